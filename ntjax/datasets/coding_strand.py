"""`ecoli_coding_strand`: on which strand is the gene? Real DNA that is small enough to bundle.

Each row is a 300-bp window of *Escherichia coli* K-12 MG1655 (NC_000913.3), read on the forward
strand, that lies wholly inside one coding sequence (CDS) and touches no CDS of the other strand, no
pseudogene and no mobile genetic element. Its label is the strand of that gene, `forward` or
`reverse`. The reverse complement of a window is a window of the other label.

Whole blocks of 50 kb make the parts, and a CDS that crosses the edge of a block is left out, so
that no gene gives rows to two parts. Of every part, rows with an even index are `forward`, the
others `reverse`. `python -m experiments.coding_strand.make_dataset` makes the file again.

A 3-periodic Markov chain, as in gene finders, solves the task: it shows that a pipeline works and
how far few labels go, not that a transformer is needed.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ntjax.io.tables import SequenceTable

NAME = "ecoli_coding_strand"
FILE = Path(__file__).with_name(f"{NAME}.npz")
CONTIG = "NC_000913.3"
WINDOW_LENGTH = 300
PARTS = ("train", "validation", "calibration", "test")
LABELS = {1: "forward", -1: "reverse"}
"""Label by the strand of the gene."""

_BASES = np.frombuffer(b"ATCG", np.uint8)
_SHIFTS = np.array([6, 4, 2, 0], np.uint8)  # bits: the first of four bases is the highest


def load() -> dict[str, SequenceTable]:
    """Load the bundled windows by part.

    The file holds, of every row: `part` uint8, the index in `PARTS`; `start` int32, 0-based;
    `strand` int8, 1 or -1, of the gene; and `bases` uint8 [75], two bits a base (A, T, C, G = 0,
    1, 2, 3).
    """
    with np.load(FILE, allow_pickle=False) as file:
        part, start, strand, bases = (file[name] for name in ("part", "start", "strand", "bases"))
    sequences = unpack_bases(bases)
    whole = window_table(sequences, start, strand)
    return {name: whole.take(np.flatnonzero(part == n)) for n, name in enumerate(PARTS)}


def window_table(
    sequences: Sequence[str], starts: np.ndarray, strands: np.ndarray
) -> SequenceTable:
    """Name and label windows.

    Arguments:
        sequences: [n] windows, read on the forward strand.
        starts: [n] 0-based first positions.
        strands: [n] strand of the gene, 1 or -1.

    Returns:
        A table whose names are the intervals that the sequences can be read from, as
        `NC_000913.3:START-END(+)`: 1-based, both ends included, forward strand.
    """
    return SequenceTable(
        names=tuple(f"{CONTIG}:{start + 1}-{start + WINDOW_LENGTH}(+)" for start in starts),
        sequences=tuple(sequences),
        labels=tuple(LABELS[int(strand)] for strand in strands),
        source=NAME,
        rows=tuple(range(1, len(sequences) + 1)),
    )


def pack_bases(sequences: Sequence[str]) -> np.ndarray:
    """Pack windows of A, C, G and T into two bits a base: uint8 [n, 75]."""
    text = np.frombuffer("".join(sequences).encode(), np.uint8)
    codes = (text[:, None] == _BASES).argmax(axis=1).astype(np.uint8)
    return np.bitwise_or.reduce(codes.reshape(len(sequences), -1, 4) << _SHIFTS, axis=2)


def unpack_bases(packed: np.ndarray) -> list[str]:
    """Unpack what `pack_bases` gave: [n] sequences."""
    codes = (packed[:, :, None] >> _SHIFTS) & 3
    return [row.tobytes().decode() for row in _BASES[codes.reshape(len(packed), -1)]]
