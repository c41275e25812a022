"""Features of genomes: BED and GFF3 files, and where in a store their intervals lie.

BED: https://samtools.github.io/hts-specs/BEDv1.pdf, intervals from 0, the end left out.
GFF3: https://github.com/The-Sequence-Ontology/Specifications, intervals from 1, the end included.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, NoReturn
from urllib.parse import unquote

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.store import Contig, Genome
from ntjax.io.fasta import excerpt, open_text

_BED_COLUMNS = "contig, start, end, name, score, strand"
_NOT_INTERVALS = ("#", "track ", "browser ")
_CIRCULAR = re.compile(r"(?:^|;)\s*Is_circular=true\s*(?:;|$)")
_STRANDS = {"+": 1, "-": -1, ".": 0, "?": 0}
_SHOWN = 3


class Feature(NamedTuple):
    """An interval of a contig: from 0, the end left out; `strand` 1, -1, or 0 for none."""

    contig: str
    start: int
    end: int
    strand: int
    kind: str
    line: int


class Gff(NamedTuple):
    """What was read of a GFF3 file.

    Attributes:
        features: those wanted.
        kinds: how many features there are of every type, wanted or not.
        circular: contigs that are marked as circular, whose features may reach over their end.
    """

    features: list[Feature]
    kinds: Counter[str]
    circular: frozenset[str]


class Intervals(NamedTuple):
    """Intervals of a store: first and behind-last places, int64 [n], and strands, int8 [n]."""

    starts: np.ndarray
    ends: np.ndarray
    strands: np.ndarray

    @property
    def bounds(self) -> np.ndarray:
        """First and behind-last places, int64 [n, 2]."""
        return np.stack([self.starts, self.ends], axis=1)

    def take(self, rows: np.ndarray) -> "Intervals":
        """Those of the given rows."""
        return Intervals(*(column[rows] for column in self))


def read_bed(path: str | os.PathLike) -> list[Feature]:
    """The intervals of a BED file with strands, plain or gzip-compressed; their type is "".

    Raises:
        UserError: the file can't be read, a line has fewer than six columns, or no interval.
    """
    features = []
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip() or line.startswith(_NOT_INTERVALS):
                continue
            cells = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
            if len(cells) < 6:
                _refuse(path, number, f"{len(cells)} columns, not the six of BED: {_BED_COLUMNS}")
            contig, start, end, _, _, strand = cells[:6]
            bounds = _bounds(path, number, start, end, first=0)
            features.append(Feature(contig, *bounds, _strand(path, number, strand), "", number))
    if not features:
        raise UserError(f"{path}: holds no interval: a line has the columns {_BED_COLUMNS}")
    return features


def read_gff(path: str | os.PathLike, wanted: Callable[[str], bool]) -> Gff:
    """The features of a GFF3 file, plain or gzip-compressed, whose type is `wanted`.

    Raises:
        UserError: the file can't be read, a line has other than nine columns, or no interval.
    """
    features, kinds, circular = [], Counter(), set()
    for number, cells in _gff_lines(path):
        contig, kind = unquote(cells[0]), cells[2]
        kinds[kind] += 1
        if _CIRCULAR.search(cells[8]):
            circular.add(contig)
        if wanted(kind):
            start, end = _bounds(path, number, cells[3], cells[4], first=1)
            strand = _strand(path, number, cells[6])
            features.append(Feature(contig, start, end, strand, kind, number))
    if not kinds:
        raise UserError(f"{path}: holds no feature: is this GFF3, with tabs between its columns?")
    return Gff(features, kinds, frozenset(circular))


def _gff_lines(path: str | os.PathLike) -> Iterator[tuple[int, list[str]]]:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if line.startswith(("##FASTA", ">")):
                return
            if not line.strip() or line.startswith("#"):
                continue
            cells = line.rstrip("\r\n").split("\t")
            if len(cells) != 9:
                _refuse(path, number, f"{len(cells)} columns with tabs between, not GFF3's nine")
            if cells[8].startswith('gene_id "'):
                _refuse(path, number, 'is GTF (gene_id "..."): convert the file to GFF3')
            yield number, cells


def described_kinds(kinds: Counter[str]) -> str:
    """Such as `'gene' (4,494), 'CDS' (4,337)`, the commonest first."""
    return ", ".join(f"{excerpt(kind)} ({count:,})" for kind, count in kinds.most_common())


def _refuse(path: str | os.PathLike, line: int, problem: str) -> NoReturn:
    raise UserError(f"{path}: line {line}: {problem}")


def _bounds(
    path: str | os.PathLike, line: int, start: str, end: str, first: int
) -> tuple[int, int]:
    """First and behind-last place; `first` is the number of a contig's first letter."""
    if not (start.isdecimal() and end.isdecimal()):
        _refuse(path, line, f"start {excerpt(start)} and end {excerpt(end)} are not whole numbers")
    low = int(start) - first
    if low < 0 or int(end) <= low:
        rule = "the first letter is 0, and the end larger than the start"
        if first:
            rule = "the first letter is 1, and the end not smaller than the start"
        _refuse(path, line, f"start {start} and end {end} are no interval: {rule}")
    return low, int(end)


def _strand(path: str | os.PathLike, line: int, strand: str) -> int:
    if strand not in _STRANDS:
        _refuse(path, line, f"strand {excerpt(strand)} should be +, - or .")
    return _STRANDS[strand]


def intervals_of(
    genome: Genome,
    path: str | os.PathLike,
    features: Iterable[Feature],
    circular: frozenset[str] = frozenset(),
) -> Intervals:
    """Where features lie in a store; what reaches over a circular contig's end begins it again.

    Arguments:
        path: the features' file, for messages.

    Raises:
        UserError: a contig that the genome lacks, or a feature that reaches beyond its contig.
    """
    contigs = {contig.name: contig for contig in genome.contigs}
    rows = []
    for feature in features:
        if feature.contig not in contigs:
            _refuse(path, feature.line, _other_contig(feature.contig, genome))
        contig = contigs[feature.contig]
        letters = contig.end - contig.start
        beyond = feature.end > letters
        if beyond and (feature.contig not in circular or feature.end > 2 * letters):
            _refuse(path, feature.line, _too_far(feature, letters, genome))
        for start, end in _around(feature, letters) if beyond else [feature[1:3]]:
            rows.append((contig.start + start, contig.start + end, feature.strand))
    starts, ends, strands = np.array(rows, np.int64).reshape(-1, 3).T
    return Intervals(starts, ends, strands.astype(np.int8))


def _around(feature: Feature, letters: int) -> list[tuple[int, int]]:
    """A feature that reaches over the end of a circular contig, as one or two intervals."""
    begin = max(feature.start - letters, 0), feature.end - letters
    return [begin] if feature.start >= letters else [(feature.start, letters), begin]


def _other_contig(name: str, genome: Genome) -> str:
    names = [excerpt(contig.name) for contig in genome.contigs]
    listed = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return (
        f"there is no contig {excerpt(name)} in {genome.path}, which has {listed}: give files of "
        "one assembly, with the same names"
    )


def _too_far(feature: Feature, letters: int, genome: Genome) -> str:
    return (
        f"{feature.contig}:{feature.start + 1}-{feature.end} reaches beyond the contig's "
        f"{letters:,} letters in {genome.path}: give files of one assembly"
    )


def contig_rows(contig: Contig, intervals: Intervals) -> slice:
    """Rows of a contig, of intervals that are sorted by their starts."""
    return slice(*np.searchsorted(intervals.starts, [contig.start, contig.end]).tolist())
