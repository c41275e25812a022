"""Regions of genomes that are held in memory, and what stands in them as text."""

from pathlib import Path

import numpy as np

from ntjax.genomes.store import Contig, Genome
from ntjax.genomes.windows import Region

LETTERS = "ATCG"
COMPLEMENT = {"A": "T", "T": "A", "C": "G", "G": "C"}


def region_of(letters, bounds=None, name="genome"):
    """Region of codes [letters], of the stretches `bounds` or of all."""
    bounds = np.array([(0, len(letters))] if bounds is None else bounds, np.int64).reshape(-1, 2)
    letters = np.asarray(letters, np.uint8)
    genome = Genome(Path(f"{name}.fna"), letters, (Contig("contig", 0, len(letters)),), bounds)
    return Region(genome, bounds)


def random_region(sizes, seed, gap=2):
    """Stretches of these sizes; between them letters that belong to none."""
    sizes = np.asarray(sizes)
    starts = np.cumsum(sizes + gap) - sizes
    letters = np.random.default_rng(seed).integers(0, 4, (sizes + gap).sum())
    return region_of(letters, np.stack([starts, starts + sizes], axis=1))


def text_of(letters):
    return "".join(LETTERS[code] for code in letters)


def other_strand(text):
    return "".join(COMPLEMENT[letter] for letter in reversed(text))


def strands_of(regions):
    """Both strands of every stretch, as texts."""
    forward = [
        text_of(region.genome.letters[start:end])
        for region in regions
        for start, end in region.stretches
    ]
    return forward + [other_strand(text) for text in forward]
