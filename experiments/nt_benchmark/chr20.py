"""Chromosome 20 of GRCh37, variants of 1000 Genomes at 1 to 4 Mb, and its listed introns."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntjax.errors import UserError
from ntjax.evaluation.allele_frequency import Sites, minor_frequency
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.intervals import intersection
from ntjax.genomes.regions import whole_genome
from ntjax.genomes.store import Genome
from ntjax.genomes.substitutions import Substitutions, substitution_class
from ntjax.genomes.transcripts import ListedTranscripts, read_transcripts
from ntjax.genomes.windows import Region
from ntjax.io.variant_file import VariantFile
from ntjax.sequences.alphabet import base_codes

GENOME, VARIANTS = "human/chr20_b37.fa.gz", "human/chr20_1kg_1mb_4mb.sites.vcf.gz"
INTRONS = "human/mane_introns_hg19.bedpe.gz"
UNSEEN = (990_000, 4_010_000)
"""Bases that `mini_human` never saw (`scripts/mini/train_mini.py`)."""


@dataclass(frozen=True)
class Chromosome:
    """The data, open.

    Attributes:
        genome: the chromosome.
        sites: its substitutions of one base, in the file's order.
        transcripts: listed introns.
        learned_from: the chromosome without `UNSEEN`.
    """

    genome: Genome
    sites: Sites
    transcripts: ListedTranscripts
    learned_from: Region


def open_chromosome() -> Chromosome:
    """Read the files of NTJAX_DATA_DIR/human.

    Raises:
        UserError: the variable is not set, or a file is missing.
    """
    if "NTJAX_DATA_DIR" not in os.environ:
        raise UserError("set NTJAX_DATA_DIR to the folder that holds human/")
    folder = Path(os.environ["NTJAX_DATA_DIR"])
    genome = open_genome(folder / GENOME)
    rest = np.array([[0, UNSEEN[0]], [UNSEEN[1], len(genome.letters)]])
    return Chromosome(
        genome,
        _sites(genome, folder / VARIANTS),
        read_transcripts(genome, folder / INTRONS),
        Region(genome, intersection(whole_genome(genome).stretches, rest)),
    )


def _sites(genome: Genome, path: Path) -> Sites:
    places, alternatives, counts, numbers = [], [], [], []
    with VariantFile(path) as file:
        count, number = file.info(["AC", "AN"])
        for record in file.records():
            if [len(allele) for allele in (record.reference, *record.alternatives)] == [1, 1]:
                places.append(record.position - 1)
                alternatives.append(record.alternatives[0])
                counts.append(int(count.of(record, 0)))
                numbers.append(int(number.of(record, 0)))
    given = Substitutions(np.array(places), base_codes("".join(alternatives)))
    frequency = minor_frequency(np.array(counts), np.array(numbers))
    return Sites(given, frequency, substitution_class(genome, given))
