"""Promoters in their genome: where they lie, and the windows around their start sites.

A window reaches from some bases before a transcription start site (TSS) to some after it, read in
the direction of transcription: `ntjax.genomes.windows.WindowGeometry`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.search import occurrences
from ntjax.genomes.store import Genome
from ntjax.genomes.windows import PROMOTER_WINDOW, WindowGeometry, read_windows
from ntjax.sequences.alphabet import (
    UNKNOWN,
    base_texts,
    code_matrix,
    reverse_complement_codes,
)


@dataclass(frozen=True)
class Sites:
    """Places on the strands of a genome.

    Attributes:
        genome: the store.
        places: int64 [sites], of the TSS, or of what is in its place in a negative.
        reverse: bool [sites], whether it is read from the other strand.
        geometry: of their windows.
    """

    genome: Genome
    places: np.ndarray
    reverse: np.ndarray
    geometry: WindowGeometry

    def __len__(self) -> int:
        return len(self.places)

    def take(self, rows: np.ndarray) -> "Sites":
        """Those of the given rows."""
        return replace(self, places=self.places[rows], reverse=self.reverse[rows])

    def replaced(self, rows: np.ndarray, others: "Sites") -> "Sites":
        """With other sites in the given rows."""
        places, reverse = self.places.copy(), self.reverse.copy()
        places[rows], reverse[rows] = others.places, others.reverse
        return replace(self, places=places, reverse=reverse)

    def starts(self, context: int = 0) -> np.ndarray:
        """First place of the windows with so many letters more at each side, int64 [sites]."""
        return self.places - context - self.geometry.lead(self.reverse)

    def windows(self, context: int = 0) -> np.ndarray:
        """Letters in the direction of transcription, uint8 [sites, letters]."""
        windows = read_windows(self.genome, self.starts(context), self.geometry.length(context))
        windows[self.reverse] = reverse_complement_codes(windows[self.reverse])
        return windows

    def sequences(self, context: int = 0) -> list[str]:
        """The windows as text."""
        return base_texts(self.windows(context))

    def names(self) -> list[str]:
        """Such as `NC_000913.3:12345:+`: contig, place in it counted from 1, strand."""
        contigs = self.genome.contigs
        of = self.genome.contig_numbers(self.places)
        return [
            f"{contigs[c].name}:{place - contigs[c].start + 1}:{'-' if reverse else '+'}"
            for c, place, reverse in zip(
                of.tolist(), self.places.tolist(), self.reverse.tolist(), strict=True
            )
        ]


class Located(NamedTuple):
    """Where sequences occur in a genome.

    Attributes:
        sites: of every occurrence of every sequence, on either strand.
        rows: int64 [occurrences], which sequence it is of.
        counts: int64 [sequences], occurrences of each.
    """

    sites: Sites
    rows: np.ndarray
    counts: np.ndarray

    @property
    def start_sites(self) -> Sites:
        """Every TSS once, by place and strand."""
        return distinct(self.sites)

    @property
    def unique(self) -> Sites:
        """Every TSS once, of the sequences that occur only once."""
        return distinct(self.sites.take(self.counts[self.rows] == 1))

    def described(self) -> str:
        """How many sequences were found."""
        once, several = (self.counts == 1).sum(), (self.counts > 1).sum()
        return (
            f"of {len(self.counts):,} sequences {once + several:,} occur in "
            f"{self.sites.genome.name} ({several:,} of them more than once) and "
            f"{len(self.counts) - once - several:,} do not; {len(self.start_sites):,} start sites"
        )


def distinct(sites: Sites) -> Sites:
    """Every site once, in the order of their places."""
    _, rows = np.unique(2 * sites.places + sites.reverse, return_index=True)
    return sites.take(rows)


def locate(
    genome: Genome, promoters: Sequence[str], geometry: WindowGeometry = PROMOTER_WINDOW
) -> Located:
    """Every exact occurrence of promoters on either strand of a genome.

    Arguments:
        promoters: upper-case windows around a TSS.
        geometry: of these windows.

    Raises:
        UserError: a sequence has another length.
    """
    length = geometry.length()
    for number, promoter in enumerate(promoters, 1):
        if len(promoter) != length:
            raise UserError(
                f"promoter {number} has {len(promoter)} bp, not {length} "
                f"(−{geometry.before} to +{geometry.after} about the start site): cut it to these"
            )
    patterns = code_matrix(promoters) if promoters else np.empty((0, length), np.uint8)
    known = np.flatnonzero((patterns < UNKNOWN).all(axis=1))
    both = np.concatenate([patterns[known], reverse_complement_codes(patterns[known])])
    starts, found = occurrences(genome, both)
    reverse = found >= len(known)
    rows = known[found % len(known)] if len(known) else found
    sites = Sites(genome, starts + geometry.lead(reverse), reverse, geometry)
    return Located(sites, rows, np.bincount(rows, minlength=len(promoters)))
