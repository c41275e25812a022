"""Windows at every so many bp of a genome, to be scored one after the other.

They are numbered through all contigs, so that chunks of them depend on the genome and on the
settings alone. A window begins at a multiple of the stride, counted from the start of its contig:
a scan of some regions scores the same windows there as a scan of the whole genome.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ntjax.genomes.intervals import intersection, joined
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.regions import holds, whole_genome
from ntjax.genomes.store import Genome
from ntjax.genomes.windows import WindowGeometry


class GridChunk(NamedTuple):
    """Windows that follow each other.

    Attributes:
        sites: of the (window, strand) pairs without N, by strand and position.
        unknown: pairs left out since their window holds N.
        next_start: position at which the first window of the next chunk begins; the end of the
            store for the last one.
    """

    sites: Sites
    unknown: int
    next_start: int


class Bases(NamedTuple):
    """Bases of the genome, or of the regions of a scan.

    Attributes:
        scanned: without N, in a run of such bases that is as long as a window.
        too_short: without N, in a shorter run, such as a contig that holds no window.
        unknown: N.
    """

    scanned: int
    too_short: int
    unknown: int


@dataclass(frozen=True)
class ScanGrid:
    """The windows of a scan.

    Attributes:
        genome: the store.
        geometry: of the windows.
        stride: bp from one window to the next.
        both_strands: whether windows are read from the reverse strand too.
        regions: int64 [regions, 2], intervals of the store that hold the sites to be scored, sorted
            and disjoint; None for the whole genome.
    """

    genome: Genome
    geometry: WindowGeometry
    stride: int
    both_strands: bool = True
    regions: np.ndarray | None = None

    @property
    def length(self) -> int:
        """Bases of a window."""
        return self.geometry.length()

    @cached_property
    def _runs(self) -> np.ndarray:
        """First position and number of windows of runs without a gap, int64 [runs, 2]."""
        contigs = np.array([contig[1:] for contig in self.genome.contigs], np.int64)
        possible = contigs - [0, self.length - 1]
        pieces = intersection(self._wanted_starts(), possible[possible[:, 0] < possible[:, 1]])
        contig = contigs[self.genome.contig_numbers(pieces[:, 0]), 0]
        begin = contig - (contig - pieces[:, 0]) // self.stride * self.stride
        counts = np.maximum(-(-(pieces[:, 1] - begin) // self.stride), 0)
        return np.stack([begin, counts], axis=1)[counts > 0]

    def _wanted_starts(self) -> np.ndarray:
        """Intervals of the positions at which a window with a site in a region may begin."""
        if self.regions is None:
            return np.array([[0, len(self.genome.letters)]])
        leads = self.geometry.lead(np.array([False, True][: 1 + self.both_strands]))
        return joined(np.concatenate([self.regions - lead for lead in leads]))

    @cached_property
    def _ends(self) -> np.ndarray:
        return np.cumsum(self._runs[:, 1])

    def __len__(self) -> int:
        """Return the number of windows, those with N included."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def chunks(self, windows: int) -> Iterator[GridChunk]:
        """Return all windows, so many at a time."""
        for first in range(0, len(self), windows):
            behind = min(first + windows, len(self))
            yield self._chunk(np.arange(first, behind), behind)

    def _chunk(self, numbers: np.ndarray, behind: int) -> GridChunk:
        starts = self._starts(numbers)
        known = holds(whole_genome(self.genome), starts, self.length)
        parts, unknown = [], 0
        for reverse in (False, True)[: 1 + self.both_strands]:
            places = starts + int(self.geometry.lead(np.bool_(reverse)))
            wanted = self._in_regions(places)
            unknown += int((wanted & ~known).sum())
            parts.append(places[wanted & known])
        strands = np.repeat([False, True][: len(parts)], [len(part) for part in parts])
        sites = Sites(self.genome, np.concatenate(parts), strands, self.geometry)
        end = len(self.genome.letters)
        following = int(self._starts(np.array([behind]))[0]) if behind < len(self) else end
        return GridChunk(sites, unknown, following)

    def _starts(self, numbers: np.ndarray) -> np.ndarray:
        run = np.searchsorted(self._ends, numbers, side="right")
        before = self._ends[run] - self._runs[run, 1]
        return self._runs[run, 0] + self.stride * (numbers - before)

    def _in_regions(self, places: np.ndarray) -> np.ndarray:
        if self.regions is None:
            return np.ones(len(places), bool)
        region = np.searchsorted(self.regions[:, 0], places, side="right") - 1
        return (region >= 0) & (places < self.regions[region, 1])

    @cached_property
    def bases(self) -> Bases:
        """How many bases of the genome, or of the regions, a window can hold."""
        regions = self.regions
        if regions is None:
            regions = np.array([[0, len(self.genome.letters)]])
        without_n = self.genome.stretches
        fits = np.diff(without_n, axis=1)[:, 0] >= self.length
        known = int(np.diff(intersection(without_n, regions)).sum())
        scanned = int(np.diff(intersection(without_n[fits], regions)).sum())
        return Bases(scanned, known - scanned, int(np.diff(regions).sum()) - known)
