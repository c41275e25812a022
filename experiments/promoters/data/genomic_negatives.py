"""Promoters of K-12 against windows of the same genome, split by blocks of the genome.

The windows have as many G and C as the promoters, and none is near a known start site.
"""

from pathlib import Path
from typing import NamedTuple

from experiments.promoters.data.rows import promoters_of
from ntjax.datasets.promoters import NegativeOptions, against_genomic_windows
from ntjax.datasets.registry import load_dataset
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.promoter_windows import Located, locate
from ntjax.genomes.regions import split_blocks
from ntjax.genomes.store import Genome
from ntjax.genomes.windows import Region
from ntjax.io.tables import SequenceTable

GENOMIC = "genomic"
_PROMOTERS = "ecoli_promoters"
_ROOM = 100  # bp that windows keep to the borders of the blocks


def known_promoters(genome: Path) -> Located:
    """Where all promoters of the published files lie in the genome."""
    splits = load_dataset(_PROMOTERS, "published")
    both = (*promoters_of(splits.train), *promoters_of(splits.test))
    return locate(open_genome(genome), list(dict.fromkeys(both)))


class GenomicRows(NamedTuple):
    """Promoters that occur once in the genome, each with a window of the same part."""

    train: SequenceTable
    validation: SequenceTable
    test: SequenceTable
    notes: tuple[str, ...]


def genomic_rows(genome: Path) -> GenomicRows:
    """Cut the rows out of the genome."""
    known = known_promoters(genome)
    options = NegativeOptions(room=_ROOM, redraw=False)
    found = against_genomic_windows(known.unique, known.start_sites, options)
    parts = (found.parts[name].table() for name in ("train", "validation", "test"))
    first = f"{known.described()}; promoters of unique sequence are used"
    return GenomicRows(*parts, (first, *found.notes))


def parts_of_genome(genome: Genome) -> dict[str, Region]:
    """The blocks that the rows of the genomic tasks lie in: train, validation and test."""
    options = NegativeOptions(room=_ROOM)
    shares = {"validation": options.validation, "test": options.test}
    return split_blocks(genome, shares, options.block_letters, options.seed)
