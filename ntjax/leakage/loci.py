"""Where rows lie in a genome, how near to each other, and which of them are one locus.

Rows of neighbouring promoters share no k-mer and yet the same stretch of genome, which a model
may know from one and use for the other. Distances are counted between *sites*: the site of a row
that has the length of the windows' geometry (`ntjax.genomes.windows.WindowGeometry`), such as its
transcription start site; the middle of any other row, and of all rows if no geometry is known.
Rows that share a base of the genome are near whatever the distance. The ends of a circular genome
are not joined.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.search import occurrences
from ntjax.genomes.store import Genome
from ntjax.genomes.windows import WindowGeometry
from ntjax.io.tables import SequenceTable
from ntjax.leakage.kmer_groups import (
    KMER_LENGTH,
    canonical_kmers,
    kmer_links,
    linked_groups,
    rows_sharing_kmers,
)
from ntjax.sequences.alphabet import UNKNOWN, base_codes, reverse_complement_codes
from ntjax.sequences.kmers import find_sorted

REACH = 200
"""Sites up to so many letters apart are one neighbourhood."""

SHORTEST = KMER_LENGTH
"""Rows with fewer letters are not looked for: they stand anywhere by chance."""

_CONTIG_GAP = 1 << 40  # farther apart than any reach


@dataclass(frozen=True)
class Loci:
    """Every exact occurrence of every row, on either strand of a genome.

    Attributes:
        sites: of the occurrences.
        starts: int64 [occurrences], place of the first letter in the store, on the + strand.
        ends: int64 [occurrences], behind the last.
        rows: int64 [occurrences], which row it is of.
        counts: int64 [rows], occurrences of each.
    """

    sites: Sites
    starts: np.ndarray
    ends: np.ndarray
    rows: np.ndarray
    counts: np.ndarray

    @property
    def mapped(self) -> np.ndarray:
        """Whether a row stands in the genome, bool [rows]."""
        return self.counts > 0

    def of_rows(self, kept: np.ndarray) -> "Loci":
        """Without the occurrences of other rows than those that are `kept`, bool [rows]."""
        chosen = kept[self.rows]
        return Loci(
            self.sites.take(chosen),
            self.starts[chosen],
            self.ends[chosen],
            self.rows[chosen],
            np.where(kept, self.counts, 0),
        )

    def names(self) -> list[str]:
        """Of each row's first site, such as `NC_000913.3:12345:+`; "" where there is none."""
        names = [""] * len(self.counts)
        first = np.unique(self.rows, return_index=True)
        for row, name in zip(first[0].tolist(), self.sites.take(first[1]).names(), strict=True):
            names[row] = name
        return names


def find_loci(
    genome: Genome, sequences: Sequence[str], geometry: WindowGeometry | None = None
) -> Loci:
    """Look rows up in a genome, on both strands; those with N, or too short, have no locus.

    Arguments:
        sequences: [rows] upper-case sequences of A, C, G, T and N, of any lengths.
        geometry: where the site lies in rows of its length.
    """
    patterns = [base_codes(sequence) for sequence in sequences]
    known = np.array(
        [
            row
            for row, pattern in enumerate(patterns)
            if len(pattern) >= SHORTEST and pattern.max() < UNKNOWN
        ],
        np.int64,
    )
    forward = [patterns[row] for row in known]
    starts, found = occurrences(
        genome, forward + [reverse_complement_codes(one) for one in forward]
    )
    order = np.lexsort((found, starts))
    starts, found = starts[order], found[order]
    reverse = found >= len(known)
    rows = known[found % len(known)] if len(known) else found
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)[rows]
    site = lengths // 2
    if geometry:
        site[lengths == geometry.length()] = geometry.site_index
    places = starts + np.where(reverse, lengths - 1 - site, site)
    counts = np.bincount(rows, minlength=len(sequences))
    # The geometry of a site's window is of no use here: `starts` and `ends` say where a row lies.
    sites = Sites(genome, places, reverse, geometry or WindowGeometry(0, 0))
    return Loci(sites, starts, starts + lengths, rows, counts)


def nearest_distances(loci: Loci, others: Loci, same_strand: bool = False) -> np.ndarray:
    """Letters from a row's sites to the nearest site of the others, float64 [rows].

    Infinite where there is none on the contig, or the row has no locus.
    """
    best = np.full(len(loci.counts), np.inf)
    own, other = _separated(loci, loci.sites.places), _separated(others, others.sites.places)
    for mine, theirs in _by_strand(loci, others, same_strand):
        places = np.sort(other[theirs])
        if len(places):
            at = np.searchsorted(places, own[mine])
            after = np.abs(places[np.minimum(at, len(places) - 1)] - own[mine])
            before = np.abs(own[mine] - places[np.maximum(at - 1, 0)])
            np.minimum.at(best, loci.rows[mine], np.minimum(after, before))
    return np.where(best < _CONTIG_GAP // 2, best, np.inf)


def rows_near(
    loci: Loci, others: Loci, reach: int = REACH, same_strand: bool = False
) -> np.ndarray:
    """Which rows have a site at most `reach` letters from one of the others, or share a letter.

    Returns:
        bool [rows].

    Raises:
        UserError: the reach is negative.
    """
    near = nearest_distances(loci, others, same_strand) <= _checked(reach)
    own = _separated(loci, loci.starts), _separated(loci, loci.ends)
    other = _separated(others, others.starts), _separated(others, others.ends)
    for mine, theirs in _by_strand(loci, others, same_strand):
        # Those that begin before the end, less those that end before the beginning.
        begun = np.searchsorted(np.sort(other[0][theirs]), own[1][mine])
        ended = np.searchsorted(np.sort(other[1][theirs]), own[0][mine], side="right")
        near[loci.rows[mine][begun > ended]] = True
    return near


def locus_groups(
    sequences: Sequence[str],
    genome: Genome,
    reach: int = REACH,
    k: int = KMER_LENGTH,
    geometry: WindowGeometry | None = None,
) -> np.ndarray:
    """Rows that are one locus, for a bootstrap that draws loci (`groups` of `ntjax.metrics`).

    Rows with sites within the reach of each other, on any strand, or that share a letter, are one
    group, directly or through others; a row that stands in the genome more than once connects its
    places. A row that stands nowhere joins those that it shares a k-mer with.

    Arguments:
        sequences: [rows].
        reach: letters.
        k: letters of the k-mers.
        geometry: as of `find_loci`.

    Returns:
        int64 [rows]: group numbers in order of appearance, from 0.

    Raises:
        UserError: the reach is negative, or k not between 1 and 31.
    """
    return groups_of_loci(sequences, find_loci(genome, sequences, geometry), reach, k)


def groups_of_loci(
    sequences: Sequence[str], loci: Loci, reach: int = REACH, k: int = KMER_LENGTH
) -> np.ndarray:
    """As `locus_groups`, of rows that have been looked up."""
    links = [
        *_neighbours(loci, _checked(reach)),
        _links_of_unmapped(sequences, loci.mapped, k),
    ]
    left, right = (np.concatenate(ends) for ends in zip(*links, strict=True))
    return linked_groups(left, right, len(sequences))


def _neighbours(loci: Loci, reach: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Links of rows: of each site to the next one, and of each row to one that it overlaps."""
    places = _separated(loci, loci.sites.places)
    order = np.argsort(places, kind="stable")
    near = np.diff(places[order]) <= reach
    rows = loci.rows[order]
    sites = rows[:-1][near], rows[1:][near]

    starts, ends = _separated(loci, loci.starts), _separated(loci, loci.ends)
    order = np.argsort(starts, kind="stable")
    starts, ends, rows = starts[order], ends[order], loci.rows[order]
    # A row that begins before the farthest end so far overlaps a row of the run that it belongs to.
    new_run = starts[1:] >= np.maximum.accumulate(ends)[:-1]
    return [sites, (rows[:-1][~new_run], rows[1:][~new_run])]


def _links_of_unmapped(
    sequences: Sequence[str], mapped: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Links through the k-mers that some row without a locus holds."""
    codes, owners = canonical_kmers(sequences, k)
    wanted = np.unique(codes[~mapped[owners]])
    shared = find_sorted(wanted, codes)[1]
    return kmer_links(codes[shared], owners[shared])


def locus_clean(
    train: SequenceTable,
    test: SequenceTable,
    genome: Genome,
    reach: int = REACH,
    k: int = KMER_LENGTH,
    geometry: WindowGeometry | None = None,
) -> SequenceTable:
    """The training rows that neither share a k-mer with a test row nor lie near one.

    Near is at most `reach` letters from a test row's site, on any strand, or overlapping. Training
    rows that stand nowhere in the genome go by their k-mers alone.

    Raises:
        UserError: the reach is negative, or k not between 1 and 31.
    """
    loci = (find_loci(genome, table.sequences, geometry) for table in (train, test))
    near = rows_near(*loci, reach=reach)
    related = rows_sharing_kmers(train.sequences, test.sequences, k)
    return train.take(np.flatnonzero(~(near | related)))


def _separated(loci: Loci, places: np.ndarray) -> np.ndarray:
    """Places with a gap between contigs, which touch in the store."""
    borders = np.array([contig.end for contig in loci.sites.genome.contigs])
    contigs = np.searchsorted(borders, loci.starts, side="right")
    return places + contigs * _CONTIG_GAP


def _by_strand(loci: Loci, others: Loci, same_strand: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Which occurrences of both to compare: bool [occurrences] each."""
    own, other = loci.sites.reverse, others.sites.reverse
    if not same_strand:
        return [(np.ones(len(own), bool), np.ones(len(other), bool))]
    return [(own == strand, other == strand) for strand in (False, True)]


def _checked(reach: int) -> int:
    if reach < 0:
        raise UserError(f"reach {reach}: it must not be negative")
    return reach
