"""Regions of a genome: shrunk, without what lies around places, and whether windows fit in."""

from dataclasses import replace

import numpy as np

from ntjax.genomes.held_out import intersection
from ntjax.genomes.indexing import Genome
from ntjax.genomes.windows import Region


def whole_genome(genome: Genome) -> Region:
    """All of a genome but its N."""
    return Region(genome, genome.stretches)


def without(region: Region, places: np.ndarray, reach: int) -> Region:
    """The region but for the letters at `places` [n] and up to `reach` letters from them."""
    places = np.unique(places)
    starts = np.concatenate([[0], places + reach + 1])
    ends = np.concatenate([places - reach, [len(region.genome.letters)]])
    left = np.stack([starts, ends], axis=1)[starts < ends]
    return replace(region, stretches=intersection(region.stretches, left))


def shrunk(region: Region, letters: int) -> Region:
    """The region without so many letters at both ends of every stretch."""
    stretches = region.stretches + np.array([letters, -letters])
    return replace(region, stretches=stretches[stretches[:, 0] < stretches[:, 1]])


def holds(region: Region, starts: np.ndarray, letters: int) -> np.ndarray:
    """Whether windows of so many letters that begin at `starts` lie in one stretch, bool [n]."""
    if not len(region.stretches):
        return np.zeros(len(starts), bool)
    stretch = np.searchsorted(region.stretches[:, 0], starts, side="right") - 1
    first, end = region.stretches[stretch].T
    return (stretch >= 0) & (first <= starts) & (starts + letters <= end)
