"""Intervals of a genome's store: where features lie in it, and the arithmetic of intervals."""

import os
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.store import Contig, Genome
from ntjax.io.bed import Feature, refuse
from ntjax.io.fasta import excerpt
from ntjax.io.gff import Gff

_SHOWN = 3


class Intervals(NamedTuple):
    """Intervals [start, end) of a store, int64 [n], and their strands, int8 [n]: 1, -1 or 0."""

    starts: np.ndarray
    ends: np.ndarray
    strands: np.ndarray

    @property
    def bounds(self) -> np.ndarray:
        """Starts and ends, int64 [n, 2]."""
        return np.stack([self.starts, self.ends], axis=1)

    def take(self, rows: np.ndarray) -> "Intervals":
        """Those of the given rows."""
        return Intervals(*(column[rows] for column in self))


class ContigNames:
    """The contigs of a genome, looked up by the names that another file gives them.

    A name that the genome lacks is looked up again with or without `chr` in front: UCSC writes
    `chr1` for what Ensembl writes `1`. `notes` say for which names that was done.
    """

    def __init__(self, genome: Genome, path: str | os.PathLike):
        """Index the names of a genome.

        Arguments:
            path: the file whose names are looked up, for messages.

        Raises:
            UserError: two records of the genome have one name.
        """
        self.genome, self.path = genome, path
        self._numbers: dict[str, int] = {}
        for number, contig in enumerate(genome.contigs):
            if (first := self._numbers.setdefault(contig.name, number)) != number:
                raise UserError(_same_name(genome, first, number))
        self._other_names: dict[str, str] = {}

    def number(self, name: str) -> int:
        """Return the index of a contig in `Genome.contigs`.

        Raises:
            UserError: the genome has no such contig; without the file and its line.
        """
        if name in self._numbers:
            return self._numbers[name]
        other = name[3:] if name[:3].lower() == "chr" else f"chr{name}"
        if other not in self._numbers:
            raise UserError(_no_contig(name, self.genome))
        self._other_names[name] = other
        return self._numbers[other]

    def contig(self, name: str, line: int) -> Contig:
        """Return the contig that a line of the file names.

        Raises:
            UserError: the genome has no such contig.
        """
        try:
            return self.genome.contigs[self.number(name)]
        except UserError as error:
            remedy = "give files of one assembly, with the same names"
            refuse(self.path, line, f"{error}: {remedy}")

    @property
    def notes(self) -> tuple[str, ...]:
        """Which contigs have another name in the file than in the genome, at most one note."""
        if not self._other_names:
            return ()
        pairs = [f"{name} is read as {other}" for name, other in self._other_names.items()]
        more = f" and {len(pairs) - _SHOWN} more alike" if len(pairs) > _SHOWN else ""
        return (f"{', '.join(pairs[:_SHOWN])}{more}, as {self.genome.name} calls its contigs",)


def _same_name(genome: Genome, first: int, second: int) -> str:
    sizes = [f"{c.end - c.start:,} bp" for c in (genome.contigs[first], genome.contigs[second])]
    return (
        f"{genome.path}: records {first + 1} ({sizes[0]}) and {second + 1} ({sizes[1]}) are both "
        f"called {excerpt(genome.contigs[first].name)}, so that a position on it may lie in "
        "either: give every record a name of its own in a copy of the file"
    )


def _no_contig(name: str, genome: Genome) -> str:
    names = [excerpt(contig.name) for contig in genome.contigs]
    listed = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    return f"there is no contig {excerpt(name)} in {genome.path}, which has {listed}"


def circular_contigs(names: ContigNames, gff: Gff) -> tuple[frozenset[str], tuple[str, ...]]:
    """Contigs whose features may reach over the end, and notes about those that are not marked.

    A contig counts as circular where the file marks it (`Is_circular=true`), or where a feature
    begins on the contig and reaches over its end although file and genome agree on its length
    (`##sequence-region`), which some annotation programs leave unmarked.

    Raises:
        UserError: a feature is on a contig that the genome lacks.
    """
    over = Counter()
    for feature in gff.features:
        contig = names.contig(feature.contig, feature.line)
        length = contig.end - contig.start
        if feature.start < length < feature.end and gff.lengths.get(feature.contig) == length:
            over[feature.contig] += 1
    notes = (
        f"{name}: {count:,} features reach over its end; its length is that in {names.genome.name},"
        " so it is read as circular, though not marked Is_circular=true"
        for name, count in over.items()
        if name not in gff.circular
    )
    return gff.circular | frozenset(over), tuple(notes)


def intervals_of(
    names: ContigNames, features: Iterable[Feature], circular: frozenset[str] = frozenset()
) -> Intervals:
    """Where features lie in a store; what reaches over a circular contig's end begins it again.

    Arguments:
        circular: contigs, as the features' file calls them.

    Raises:
        UserError: a contig that the genome lacks, or a feature that reaches beyond its contig.
    """
    rows = []
    for feature in features:
        contig = names.contig(feature.contig, feature.line)
        length = contig.end - contig.start
        beyond = feature.end > length
        if beyond and (feature.contig not in circular or feature.end > 2 * length):
            refuse(names.path, feature.line, _too_far(feature, length, names.genome))
        for start, end in _around(feature, length) if beyond else [feature[1:3]]:
            rows.append((contig.start + start, contig.start + end, feature.strand))
    starts, ends, strands = np.array(rows, np.int64).reshape(-1, 3).T
    return Intervals(starts, ends, strands.astype(np.int8))


def _around(feature: Feature, length: int) -> list[tuple[int, int]]:
    """A feature that reaches over the end of a circular contig, as one or two intervals."""
    begin = max(feature.start - length, 0), feature.end - length
    return [begin] if feature.start >= length else [(feature.start, length), begin]


def _too_far(feature: Feature, length: int, genome: Genome) -> str:
    remedy = "give files of one assembly"
    if feature.start < length:
        remedy += (
            "; if the contig is circular, end the interval there and begin another, or add "
            "Is_circular=true to the contig's line in a GFF3 file"
        )
    return (
        f"{feature.contig}:{feature.start + 1}-{feature.end} reaches beyond the contig's "
        f"{length:,} bp in {genome.path}: {remedy}"
    )


def contig_rows(contig: Contig, intervals: Intervals) -> slice:
    """Rows of a contig, of intervals that are sorted by their starts."""
    return slice(*np.searchsorted(intervals.starts, [contig.start, contig.end]).tolist())


def joined(intervals: np.ndarray) -> np.ndarray:
    """Intervals [n, 2] sorted, those that touch or overlap made one.

    Two contigs may touch in a store; the intersection with its stretches parts them again.
    """
    intervals = intervals[np.argsort(intervals[:, 0])]
    if not len(intervals):
        return intervals
    reached = np.maximum.accumulate(intervals[:, 1])
    begins = np.concatenate([[True], intervals[1:, 0] > reached[:-1]])
    ends = np.concatenate([begins[1:], [True]])
    return np.stack([intervals[begins, 0], reached[ends]], axis=1)


def intersection(stretches: np.ndarray, intervals: np.ndarray) -> np.ndarray:
    """What two lists of sorted, disjoint intervals have in common, int64 [n, 2]."""
    first = np.searchsorted(stretches[:, 1], intervals[:, 0], side="right")
    behind = np.searchsorted(stretches[:, 0], intervals[:, 1], side="left")
    common = [
        (max(begin, int(stretches[number, 0])), min(end, int(stretches[number, 1])))
        for (begin, end), low, high in zip(intervals.tolist(), first, behind, strict=True)
        for number in range(low, high)
    ]
    return np.array(common, np.int64).reshape(-1, 2)
