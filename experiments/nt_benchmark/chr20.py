"""Chromosome 20 of GRCh37, variants of 1000 Genomes at 1 to 4 Mb, and its listed introns."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from experiments.nt_benchmark.models import MODELS, in_pieces, named_by
from ntjax.checkpoints import mini
from ntjax.datasets.remote_files import DATA_FOLDER_VARIABLE
from ntjax.errors import UserError
from ntjax.evaluation.allele_frequency import Sites, minor_frequency
from ntjax.evaluation.variant_effects import VariantScorer
from ntjax.evaluation.variant_options import EffectOptions
from ntjax.genomes.alleles import Allele, AlleleReader
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.intervals import ContigNames, intersection
from ntjax.genomes.regions import whole_genome
from ntjax.genomes.store import Genome
from ntjax.genomes.substitutions import Substitutions, as_variants, substitution_class
from ntjax.genomes.transcripts import ListedTranscripts, read_transcripts
from ntjax.genomes.windows import Region
from ntjax.io.variant_file import VariantFile
from ntjax.sequences.alphabet import base_codes

GENOME, VARIANTS = "human/chr20_b37.fa.gz", "human/chr20_1kg_1mb_4mb.sites.vcf.gz"
INTRONS = "human/mane_introns_hg19.bedpe.gz"
_PIECE = 200  # substitutions that are scored at a time


@dataclass(frozen=True)
class Chromosome:
    """The data, open.

    Attributes:
        genome: the chromosome.
        sites: its substitutions of one base, in the file's order.
        transcripts: listed introns.
        learned_from: what `mini_human` learned from.
    """

    genome: Genome
    sites: Sites
    transcripts: ListedTranscripts
    learned_from: Region


def data_folder() -> Path:
    """Return the folder of NTJAX_DATA_DIR.

    Raises:
        UserError: it is not set.
    """
    if folder := os.environ.get(DATA_FOLDER_VARIABLE):
        return Path(folder)
    raise UserError(f"set {DATA_FOLDER_VARIABLE} to the folder that holds human/, histone/, ...")


def open_chromosome() -> Chromosome:
    """Read the files of NTJAX_DATA_DIR/human.

    Raises:
        UserError: the variable is not set, or a file is missing.
    """
    folder, (first, end) = data_folder(), mini.HUMAN_UNSEEN
    genome = open_genome(folder / GENOME)
    rest = np.array([[0, first], [end, len(genome.letters)]])
    return Chromosome(
        genome,
        _sites(genome, folder / VARIANTS),
        read_transcripts(genome, folder / INTRONS),
        Region(genome, intersection(whole_genome(genome).stretches, rest)),
    )


def scored_in_pieces(
    model: str,
    genome: Genome,
    given: Substitutions,
    options: EffectOptions,
    folder: Path,
    scores: Callable[[VariantScorer, list[Allele]], dict[str, np.ndarray]],
) -> dict[str, np.ndarray]:
    """Score substitutions with a model, a piece at a time; what was scored before is read.

    Arguments:
        model: of `MODELS`; loaded where something is left to score.
        genome: of the substitutions.
        given: the substitutions, all of which can be scored.
        options: how they are scored.
        folder: of the pieces.
        scores: makes arrays by name of some alleles.
    """
    reader = AlleleReader(ContigNames(genome, "the variants"), options.window)
    alleles = [reader.place(*variant) for variant in as_variants(genome, given)]
    assert {allele.status for allele in alleles} == {"scored"}
    scorer = cache(lambda: VariantScorer(MODELS[model](), genome, options))
    key = named_by(model, options.window, options.phases, given.places, given.alternative)
    return in_pieces(
        folder / key,
        len(alleles),
        _PIECE,
        lambda rows: scores(scorer(), [alleles[row] for row in rows]),
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
