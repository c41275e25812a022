"""What a pre-training run learns from: sources of windows, and the parts that are held out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.collections import GenomeTable, parse_class_weights, read_genome_table
from ntjax.genomes.haplotypes import Haplotypes, open_haplotypes
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.intervals import intersection
from ntjax.genomes.reference_windows import open_reference_windows
from ntjax.genomes.regions import split_blocks, whole_genome, with_room
from ntjax.genomes.store import Genome
from ntjax.genomes.windows import Region, WindowSource

TEST_BLOCKS = "test blocks"

_TABLE_ENDINGS = (".csv", ".tsv", ".csv.gz", ".tsv.gz")


@dataclass(frozen=True)
class PretrainDataSettings:
    """The genomes that a run learns from, and how they are split."""

    genomes: tuple[str, ...] = ()
    """FASTA files, plain or gzip-compressed, or tables of windows with a column 'sequence' (CSV,
    the layout of the published training sets); drawn from in proportion to their length."""
    genome_table: str | None = None
    """CSV or TSV with one genome per row, instead of --genomes: columns path, class and (optional)
    weight."""
    class_weights: tuple[str, ...] = ()
    """Relative sampling weight of each class of --genome-table, such as bacteria=2 fungi=1 (default
    1). Without weights, genomes are sampled in proportion to length times the weight column."""
    exclude_classes: tuple[str, ...] = ()
    """Classes of --genome-table that are left out."""
    variants: str | None = None
    """A VCF file with phased genotypes on the one genome that --genomes names: windows are drawn
    from the haplotypes of its samples."""
    validation_genomes: tuple[str, ...] = ()
    """Whole genomes (or the published validation windows) that choose the checkpoint, in place of
    blocks of --genomes."""
    held_out_genomes: tuple[str, ...] = ()
    """Whole genomes (or the published test windows) to report with, never trained on."""
    block_letters: int = 10_000
    """Length of the blocks of the genomes that are kept apart for validation and test."""
    validation_fraction: float = 0.02
    """Share of each genome's blocks (one at least) that chooses the checkpoint."""
    test_fraction: float = 0.03
    """Share of each genome's blocks (one at least) that is kept apart for the report."""
    seed: int = 0
    """Of everything random: blocks, initial values, windows, masks."""


@dataclass(frozen=True)
class PretrainData:
    """Genomes in parts.

    Attributes:
        parts: 'train', 'validation' and 'test', each a region of every genome.
        sources: what windows are drawn from.
        shares: probability of each source; None for in proportion to its windows.
        held_out: whole genomes to report with.
        notes: what a reader of the result has to know.
    """

    parts: dict[str, list[Region]]
    sources: Sequence[WindowSource]
    shares: np.ndarray | None
    held_out: list[Region]
    notes: tuple[str, ...] = ()


def read_data(settings: PretrainDataSettings, window: int) -> PretrainData:
    """Index what the settings name and split it in blocks.

    Runs free of N that are shorter than a window belong to no part, for nothing can be drawn
    from them: contigs of a draft assembly, above all.

    Arguments:
        window: length of the windows, in bp.

    Raises:
        UserError: a file is unusable, or options do not go together.
    """
    genomes, table = _genomes(settings)
    notes = tuple(note for genome in genomes if (note := _too_short(genome, window)))
    fractions = {"validation": settings.validation_fraction, "test": settings.test_fraction}
    if settings.validation_genomes:
        del fractions["validation"]
    parts: dict[str, list[Region]] = {"train": [], "validation": [], "test": []}
    for genome in genomes:
        split = split_blocks(genome, fractions, settings.block_letters, settings.seed, window)
        for part, region in split.items():
            parts[part].append(with_room(region, window))
    shares = None
    if table is not None:
        letters = [region.letters for region in parts["train"]]
        shares = table.shares(letters, parse_class_weights(settings.class_weights))
    parts["validation"] += [whole_genome(_open(path)) for path in settings.validation_genomes]
    held_out = [whole_genome(_open(path)) for path in settings.held_out_genomes]
    _refuse_equal_names(held_out)
    if settings.variants is None:
        return PretrainData(parts, parts["train"], shares, held_out, notes)
    haplotypes = _haplotypes(settings.variants, genomes)
    # What is reported, and what baselines are fitted to, is what is learnt from: the contigs that
    # the variants are on.
    parts = {part: [_covered(r, haplotypes) for r in regions] for part, regions in parts.items()}
    source = replace(haplotypes, stretches=parts["train"][0].stretches)
    return PretrainData(parts, [source], shares, held_out, (*notes, *haplotypes.notes))


def _genomes(settings: PretrainDataSettings) -> tuple[list[Genome], GenomeTable | None]:
    if bool(settings.genomes) == bool(settings.genome_table):
        raise UserError(
            "give either --genomes with one or more FASTA files to train on, or --genome-table"
        )
    if settings.genome_table is None:
        if settings.class_weights or settings.exclude_classes:
            raise UserError("--class-weights and --exclude-classes go with --genome-table")
        return [_open(path) for path in settings.genomes], None
    table = read_genome_table(settings.genome_table, settings.exclude_classes)
    return list(table.genomes), table


def _too_short(genome: Genome, window: int) -> str | None:
    """Say how much of a genome lies in runs that hold no window, if it is 1% or more."""
    whole = whole_genome(genome)
    kept = with_room(whole, window)
    lost, runs = whole.letters - kept.letters, len(whole.stretches) - len(kept.stretches)
    if 100 * lost < whole.letters:
        return None
    return (
        f"{genome.path}: {runs:,} of {len(whole.stretches):,} sequences without N, with {lost:,} "
        f"of {whole.letters:,} nucleotides, are shorter than a window of {window:,} bp and are "
        "left out; fewer --window-tokens would keep more"
    )


def _open(path: str) -> Genome:
    is_table = path.lower().endswith(_TABLE_ENDINGS)
    return open_reference_windows(path) if is_table else open_genome(path)


def _refuse_equal_names(held_out: Sequence[Region]) -> None:
    names = [region.name for region in held_out]
    for name in names:
        if names.count(name) > 1 or name == TEST_BLOCKS:
            raise UserError(
                f"--held-out-genomes: more than one result would be called {name!r}: rename a file"
            )


def _haplotypes(path: str, genomes: Sequence[Genome]) -> Haplotypes:
    if len(genomes) != 1:
        raise UserError("--variants goes with one reference: give a single file as --genomes")
    return open_haplotypes(genomes[0], path)


def _covered(region: Region, haplotypes: Haplotypes) -> Region:
    if region.genome is not haplotypes.genome:
        return region
    return replace(region, stretches=intersection(region.stretches, haplotypes.stretches))
