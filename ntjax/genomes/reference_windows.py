"""The paper's data layout: windows of chromosomes, one row each, split by chromosome.

Rows hold `sequence, chromosome, start_pos, end_pos`. Every window has 6,000 (or 12,000) letters of
its own and shares 100 with the neighbour at each side, so that it can be read from any of the first
places. Of hg38's 1 to 22, X and Y this makes 498,444 rows to train on, 7,784 to validate with
(chromosome 21) and 8,469 to test with (chromosome 22).
"""

import csv
import gzip
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.intervals import ContigNames
from ntjax.genomes.store import Contig, Genome, StoreWriter, open_store
from ntjax.genomes.windows import read_windows
from ntjax.io.delimited import read_cells
from ntjax.io.fasta import require_file
from ntjax.io.files import written_atomically
from ntjax.sequences.alphabet import NOT_A_BASE, UNKNOWN, base_codes, base_texts

if TYPE_CHECKING:
    import pandas as pd

OVERLAP = 100
# By part, its chromosomes; all others are the part "train".
PAPER_SPLIT = {"validation": ("21",), "test": ("22",)}

_COLUMNS = ("sequence", "chromosome", "start_pos", "end_pos")
_WINDOWS_AT_ONCE = 64
_ROWS_AT_ONCE = 1000


class ReferenceWindow(NamedTuple):
    """A row: letters A, C, G, T and N, and where they begin and end (from 0, end left out)."""

    sequence: str
    chromosome: str
    start_pos: int
    end_pos: int


def window_count(letters: int, own_letters: int = 6000) -> int:
    """Number of windows of a chromosome of so many letters; what is left at its end is dropped."""
    return max(0, letters - 2 * OVERLAP) // own_letters


def reference_windows(
    genome: Genome, own_letters: int = 6000, chromosomes: Sequence[str] | None = None
) -> Iterator[ReferenceWindow]:
    """The windows of a genome's chromosomes, in order; those of nothing but N too.

    Arguments:
        own_letters: letters that a window doesn't share, 6,000 or 12,000 in the paper.
        chromosomes: names, with or without 'chr'; default: all.

    Raises:
        UserError: the genome has no such chromosome.
    """
    for contig in _chosen(genome, chromosomes):
        count = window_count(contig.end - contig.start, own_letters)
        size = own_letters + 2 * OVERLAP
        for first in range(0, count, _WINDOWS_AT_ONCE):
            starts = np.arange(first, min(first + _WINDOWS_AT_ONCE, count)) * own_letters
            windows = base_texts(read_windows(genome, contig.start + starts, size))
            for start, window in zip(starts.tolist(), windows, strict=True):
                yield ReferenceWindow(window, contig.name, start, start + size)


def write_reference_windows(
    genome: Genome,
    folder: Path,
    split: Mapping[str, Sequence[str]] = PAPER_SPLIT,
    own_letters: int = 6000,
    chromosomes: Sequence[str] | None = None,
) -> dict[str, int]:
    """Write `train.csv.gz` and a file for each part of the split; returns the rows of each.

    Arguments:
        split: chromosomes by the name of the part; those named nowhere are for training.
        chromosomes: those to use at all (of hg38: 1 to 22, X and Y); default: all.

    Raises:
        UserError: a chromosome is missing or in two parts, a part has no window, or the folder
            can't be written.
    """
    contigs = _chosen(genome, chromosomes)
    part_of = _part_of(contigs, split, genome)
    members = {
        part: [contig for contig in contigs if part_of[contig.name] == part]
        for part in ("train", *split)
    }
    for part, those in members.items():
        if not any(window_count(contig.end - contig.start, own_letters) for contig in those):
            raise UserError(
                f"{genome.path}: part {part!r} has no chromosome of {own_letters + 2 * OVERLAP:,} "
                "letters: split it in another way"
            )
    counts = {}
    for part, those in members.items():
        names = [contig.name for contig in those]
        rows = reference_windows(genome, own_letters, names)
        size = sum(contig.end - contig.start for contig in those) // 3
        counts[part] = _write(Path(folder) / f"{part}.csv.gz", rows, size)
    return counts


def open_reference_windows(path: str | os.PathLike) -> Genome:
    """A store of the `sequence` column of a CSV or TSV file, each row a contig of its own.

    Made at the first use, row by row. A sampler that reads windows shorter than the rows finds
    them at every place, as the paper's random offset does. Letters that stand for several
    nucleotides become N.

    Raises:
        UserError: the file can't be read, there is no column `sequence`, a row is empty or isn't
            DNA, all of it is N, or the cache folder can't be written.
    """
    path = require_file(path)
    return open_store(path, "reference windows", lambda store: _fill(path, store))


def _chosen(genome: Genome, chromosomes: Iterable[str] | None) -> list[Contig]:
    if chromosomes is None:
        return list(genome.contigs)
    names = ContigNames(genome, genome.path)
    return [genome.contigs[names.number(name)] for name in chromosomes]


def _part_of(
    contigs: list[Contig], split: Mapping[str, Sequence[str]], genome: Genome
) -> dict[str, str]:
    """Part of each contig, by name."""
    part_of = dict.fromkeys((contig.name for contig in contigs), "train")
    for part, names in split.items():
        for contig in _chosen(genome, names):
            if part_of.get(contig.name) != "train":
                raise UserError(
                    f"{genome.path}: chromosome {contig.name!r} is in two parts, or not among "
                    "those to use"
                )
            part_of[contig.name] = part
    return part_of


def _write(path: Path, rows: Iterable[ReferenceWindow], size: int) -> int:
    count = 0
    with (
        written_atomically(path, size) as file,
        gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="ascii", newline="") as text,
    ):
        table = csv.writer(text, lineterminator="\n")
        table.writerow(_COLUMNS)
        for row in rows:
            table.writerow(row)
            count += 1
    return count


def _fill(path: Path, store: StoreWriter) -> None:
    """Read the rows into a store."""
    columns = None
    for cells in read_cells(path, ",".join(_COLUMNS), _ROWS_AT_ONCE):
        if columns is None:
            columns = _columns(path, cells)
            cells = cells.iloc[1:]
        cells = cells[(cells != "").any(axis=1)]  # without blank lines
        texts = [cells[column].str.strip() for column in columns]
        for line, sequence, *place in zip(cells.index + 1, *texts, strict=True):
            store.begin_contig("{}:{}-{}".format(*place) if place else f"row_{line}")
            store.add(_codes(sequence, f"{path}: row {line}"))
    if not len(store.stretches):
        problem = "holds nothing but N" if store.contigs else "has column names but no rows"
        raise UserError(f"{path}: {problem}: give windows with nucleotides")


def _columns(path: Path, cells: "pd.DataFrame") -> list[int]:
    """Number of the column of the sequences, and those of the places if all are there."""
    found = [name.strip() for name in cells.iloc[0]]
    if "sequence" not in found:
        named = ", ".join(name[:20] for name in found[:10])
        raise UserError(f"{path}: no column 'sequence' among {named}: line 1 must hold the names")
    names = _COLUMNS if set(_COLUMNS) <= set(found) else _COLUMNS[:1]
    return [found.index(name) for name in names]


def _codes(sequence: str, place: str) -> np.ndarray:
    if not sequence:
        raise UserError(f"{place}: the sequence is empty: fill it in or remove the row")
    codes = base_codes(sequence)
    if codes.max() == NOT_A_BASE:
        character = sequence[int(np.argmax(codes))]
        raise UserError(f"{place}: {character!r} is no nucleotide: give DNA")
    return np.minimum(codes, UNKNOWN)
