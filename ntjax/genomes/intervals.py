"""Intervals of a genome's store: where features lie in it, and the arithmetic of intervals."""

import os
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ntjax.genomes.store import Contig, Genome
from ntjax.io.bed import Feature, refuse
from ntjax.io.fasta import excerpt

_SHOWN = 3


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
            refuse(path, feature.line, _other_contig(feature.contig, genome))
        contig = contigs[feature.contig]
        letters = contig.end - contig.start
        beyond = feature.end > letters
        if beyond and (feature.contig not in circular or feature.end > 2 * letters):
            refuse(path, feature.line, _too_far(feature, letters, genome))
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
