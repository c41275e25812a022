"""Make the bundled data set `ecoli_coding_strand` from the genome and its annotation.

    python -m experiments.coding_strand.make_dataset

Reads `genomes/ecoli_k12_mg1655.{fna,gff}.gz` below NTJAX_DATA_DIR (NCBI RefSeq NC_000913.3,
assembly ASM584v2) and writes `ntjax/datasets/ecoli_coding_strand.npz`, the same bytes every time.
The definition of a window is that of `ntjax.datasets.coding_strand`.

Only the raw output of PCG64 is used, which NumPy keeps the same for ever. A part's first rows do
not depend on how many are drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from experiments.promoters.data.genome_files import find_annotation, find_genome
from ntjax.datasets.coding_strand import FILE, PARTS, WINDOW_LENGTH, pack_bases, window_table
from ntjax.errors import UserError
from ntjax.io.bed import Feature
from ntjax.io.fasta import read_fasta
from ntjax.io.files import written_atomically
from ntjax.io.gff import read_gff
from ntjax.io.tables import SequenceTable
from ntjax.reports import command_line

BLOCK = 50_000
"""Base pairs; whole blocks make the parts."""
BLOCKS = {"test": 25, "validation": 8, "calibration": 8}
"""Blocks of each part, of 93; the rest are for training."""
ROWS = {"train": 1_000, "validation": 250, "calibration": 250, "test": 2_000}
"""Rows of the bundled data set."""

_EXCLUDED = ("pseudogene", "mobile_genetic_element")
_SEED = 0


@dataclass(frozen=True)
class Options:
    """Options of `python -m experiments.coding_strand.make_dataset`."""

    genome: Path | None = None
    """FASTA of E. coli K-12 (NC_000913.3), with its annotation (.gff.gz) beside it. Otherwise from
    NTJAX_DATA_DIR."""
    out: Path = FILE
    """File to write."""


@dataclass(frozen=True)
class Windows:
    """Windows of one part, forward and reverse in turn.

    Attributes:
        starts: int32 [n], 0-based.
        strands: int8 [n], 1 or -1.
        sequences: [n], on the forward strand.
    """

    starts: np.ndarray
    strands: np.ndarray
    sequences: list[str]

    def table(self) -> SequenceTable:
        """Return the windows as labelled rows."""
        return window_table(self.sequences, self.starts, self.strands)


def main() -> None:
    """Run the command."""
    command_line.run(lambda: make(tyro.cli(Options, description=__doc__)))


def make(options: Options) -> None:
    """Write the data set."""
    windows = draw_windows(find_genome(options.genome), ROWS)
    ordered = [windows[part] for part in PARTS]
    columns = {
        "part": np.repeat(np.arange(len(PARTS), dtype=np.uint8), [ROWS[part] for part in PARTS]),
        "start": np.concatenate([part.starts for part in ordered]),
        "strand": np.concatenate([part.strands for part in ordered]),
        "bases": pack_bases([sequence for part in ordered for sequence in part.sequences]),
    }
    # Not compressed: two bits a base leave little to gain, and versions of zlib differ.
    with written_atomically(options.out, sum(column.nbytes for column in columns.values())) as file:
        np.savez(file, **columns)
    print(f"{options.out}: {len(columns['start']):,} windows")


def draw_windows(genome: Path, rows: Mapping[str, int]) -> dict[str, Windows]:
    """Draw windows of every part, half of them of either strand.

    Arguments:
        genome: FASTA of one contig, with its annotation (.gff.gz) beside it.
        rows: even number of windows by part.

    Raises:
        UserError: unreadable files, or fewer windows than asked for.
    """
    sequence = next(iter(read_fasta(genome))).sequence.upper()
    kinds = ("CDS", *_EXCLUDED)
    features = read_gff(find_annotation(genome), lambda kind: kind in kinds).features
    candidates = _candidates(features, len(sequence))
    part_of_block = _parts_of_blocks(-(-len(sequence) // BLOCK))
    keys = _random(1).random_raw(len(candidates))
    candidates = candidates[np.argsort(keys, kind="stable")]
    starts, strands = candidates.T
    drawn = {}
    for part, count in rows.items():
        in_part = part_of_block[starts // BLOCK] == PARTS.index(part)
        both = [starts[in_part & (strands == strand)][: count // 2] for strand in (1, -1)]
        if min(map(len, both)) < count // 2:
            raise UserError(f"{genome}: fewer than {count} windows for {part}; ask for fewer")
        of_part = np.stack(both, axis=1).reshape(-1)
        drawn[part] = Windows(
            of_part.astype(np.int32),
            np.tile(np.array([1, -1], np.int8), count // 2),
            [sequence[start : start + WINDOW_LENGTH] for start in of_part],
        )
    return drawn


def _random(stream: int) -> np.random.PCG64:
    return np.random.PCG64(np.random.SeedSequence((_SEED, stream)))


def _parts_of_blocks(blocks: int) -> np.ndarray:
    """Index in `PARTS` of every block of the genome, int [blocks]."""
    order = np.argsort(_random(0).random_raw(blocks), kind="stable")
    parts = np.full(blocks, PARTS.index("train"))
    ends = np.cumsum(list(BLOCKS.values()))
    for part, chosen in zip(BLOCKS, np.split(order, ends), strict=False):
        parts[chosen] = PARTS.index(part)
    return parts


def _candidates(features: list[Feature], length: int) -> np.ndarray:
    """Starts and strands of all windows that fit the definition, int [n, 2]; none overlap.

    Each CDS is tiled from a random base on, so that windows begin in all three codon positions.
    """
    coding = [feature for feature in features if feature.kind == "CDS"]
    excluded = _covered_before([f for f in features if f.kind in _EXCLUDED], length)
    opposite = {
        strand: _covered_before([f for f in coding if f.strand == -strand], length)
        for strand in (1, -1)
    }
    found, reached = [], 0
    for cds, draw in zip(coding, _random(2).random_raw(len(coding)), strict=True):
        if cds.start // BLOCK != (cds.end - 1) // BLOCK:
            continue
        count, spare = divmod(cds.end - cds.start, WINDOW_LENGTH)
        first = cds.start + int(draw) % (spare + 1)
        for start in range(first, first + count * WINDOW_LENGTH, WINDOW_LENGTH):
            end = start + WINDOW_LENGTH
            touched = sum(c[end] - c[start] for c in (excluded, opposite[cds.strand]))
            if start >= reached and touched == 0:
                found.append((start, cds.strand))
                reached = end
    return np.array(found)


def _covered_before(features: list[Feature], length: int) -> np.ndarray:
    """Number of positions before each that any of the features covers, int [length + 1]."""
    covered = np.zeros(length + 1, np.int32)
    for feature in features:
        covered[feature.start + 1 : feature.end + 1] = 1
    return np.cumsum(covered)


if __name__ == "__main__":
    main()
