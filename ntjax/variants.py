"""Score the variants of a VCF or BCF file with a model, or with a trained run.

python -m ntjax.variants --model mini --variants calls.vcf.gz --genome ref.fa --out scores.parquet
python -m ntjax.variants --run runs/mine --variants calls.bcf --genome ref.fa --out scores.vcf.gz
python -m ntjax.variants --check --variants calls.vcf.gz --genome ref.fa --out statuses.csv

In Python: `ntjax.evaluation.variant_effects.variant_effects`.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ntjax.checkpoints.cache import sha256
from ntjax.errors import UserError
from ntjax.evaluation.run_variants import RunScorer, RunWindows
from ntjax.evaluation.scan_setup import scan_geometry
from ntjax.evaluation.variant_effects import VariantScorer
from ntjax.evaluation.variant_options import SHAMS, EffectOptions, default_window
from ntjax.evaluation.variant_survey import notes_on, survey
from ntjax.evaluation.variant_table import Scorer, Written, write_table
from ntjax.genomes.alleles import AlleleReader
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.intervals import ContigNames
from ntjax.genomes.sites import read_sites
from ntjax.genomes.store import Genome
from ntjax.inference.backbones import Adapted, backbone_of
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.pretrained import PretrainedModel, load_pretrained
from ntjax.io.part_formats import VARIANTS, check_name, suffix_of
from ntjax.io.parts import Parts
from ntjax.io.variant_file import VariantFile, load_pysam
from ntjax.reports import command_line
from ntjax.reports.in_parts import resumable
from ntjax.runs.folder import ADAPTER_FILE, DESCRIPTION_FILE
from ntjax.runs.record import versions
from ntjax.runs.run import Run
from ntjax.runs.saved_run import load_run
from ntjax.sequences.alphabet import counted

CHECKED_WINDOW = 768
"""Bases of a window where statuses are checked without a model."""

_PLACES = ("run", "variants", "genome", "sites", "out", "resume", "progress")
_WINDOWS = 10

Loaded = Callable[[], Adapted | PretrainedModel]


@dataclass(frozen=True)
class Options:
    """Options of `python -m ntjax.variants`."""

    variants: Path
    """VCF or BCF file: plain, gzip or bgzip; genotypes are not needed."""
    genome: Path
    """FASTA file of the genome that the variants were called on; may be gzip-compressed."""
    out: Path
    """File of the scores: .parquet, .csv or .tsv (a row for each alternative allele), or .vcf.gz
    (the input's records with fields of INFO added)."""
    model: str = ""
    """Published model, mini, or folder; with --run: where the backbone is now, if not where it was
    when the run was trained."""
    run: Path | None = None
    """Folder of a run: scores of the adapted model, and what each allele does to its prediction."""
    check: bool = False
    """Only say whether each allele can be scored, without a model."""
    window: int | None = None
    """Bases of a window. Default: the model's training length (mini 768; version 1 5,994; version 2
    12,000); with --check alone 768."""
    phases: int | None = None
    """Read every window in all phases of the k-mers (6 of 6-mers), or in 1. Default: all."""
    strands: Literal["both", "forward"] = "both"
    """Average over both strands, or read the forward strand alone."""
    shams: int = SHAMS
    """Changes of the same length with random bases that each indel is compared with; 0 for none."""
    info: str = ""
    """Fields of INFO to copy into columns, such as AF,CSQ."""
    sites: Path | None = None
    """BED, GFF3 or GTF file of sites: of a run, read the windows around these that hold the variant
    (of a GFF file features of type TSS)."""
    site_index: int | None = None
    """With --sites: index of the site in a run's window, from 0. Default: as python -m
    ntjax.windows has cut its training rows."""
    stride: int | None = None
    """Of a run without --sites: bases between the starts of windows. Default: a tenth of one."""
    run_window: int | None = None
    """Bases of a run's window. Default: the length of its training rows."""
    class_name: Annotated[str, tyro.conf.arg(name="class")] = ""
    """Class or label of a run whose logit is compared. Default: the positive one of two."""
    regions: str = ""
    """Only records that overlap CONTIG or CONTIG:START-END (from 1); needs an index of the file."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the computation (of a run its own)."""
    resume: bool = False
    """Go on with an interrupted command of the same input and options."""
    progress: bool = True
    """Show a progress bar."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: variants(command_line.parse(Options, "ntjax.variants", __doc__ or "")))


def variants(options: Options) -> Written | None:
    """Run the command; returns what it wrote, None if all was there.

    Raises:
        UserError: bad input.
    """
    _check_options(options)
    genome = open_genome(options.genome)
    names = ContigNames(genome, options.variants)
    loaded = cache(lambda: _model(options))
    with VariantFile(options.variants, options.regions) as file:
        file.info(_info(options))
        window = _window(options, loaded)
        whole = survey(file, AlleleReader(names, window), options.progress)
    parts = Parts(options.out, _plan(options, loaded, window), options.resume)
    if parts.is_whole:
        print(f"variants: {options.out} (all were there)")
        return None
    with command_line.naming_options(target="class"):
        scorers, notes = _scorers(options, loaded, genome, window)
    with VariantFile(options.variants, options.regions) as file, resumable(parts, can_resume=True):
        written = write_table(
            file,
            AlleleReader(names, window),
            scorers,
            parts,
            info=_info(options),
            shams=options.shams,
            progress=options.progress,
            total=whole.alleles,
        )
    notes = [*names.notes, *notes, *notes_on(written.found)]
    if options.check:
        notes.insert(0, f"statuses are those of windows of {window:,} bp (--window)")
    elif notice := backbone_of(loaded()).model.notice:
        notes.insert(0, notice)
    _say(options, written, notes)
    return written


def _check_options(options: Options) -> None:
    """Refuse options that do not go together, before anything is read."""
    check_name(options.out, VARIANTS)
    load_pysam()
    if not (options.model or options.run or options.check):
        raise UserError(
            "give --model (a published name, mini or a folder), --run FOLDER, or --check"
        )
    if options.out.exists() and not options.resume:  # before a long file is read
        raise UserError(f"{options.out} is there already: give another --out, or remove it")
    if options.info and suffix_of(options.out) == ".vcf.gz":
        raise UserError("--info: a VCF keeps all fields of INFO: leave --info out")
    of_runs = ("sites", "site_index", "stride", "run_window", "class_name")
    given = [name for name in of_runs if getattr(options, name) not in (None, "")]
    if given and not options.run:
        option = given[0].removesuffix("_name").replace("_", "-")
        raise UserError(f"--{option} is for runs: add --run FOLDER")
    if options.window is not None and options.window < 1:
        raise UserError(f"--window {options.window}: give the number of bases, such as 768")


def _info(options: Options) -> list[str]:
    return [name.strip() for name in options.info.split(",") if name.strip()]


def _model(options: Options) -> Adapted | PretrainedModel:
    if options.run:
        return load_run(options.run, options.model or None)
    return load_pretrained(options.model, options.dtype, sharding=replicated_sharding())


def _window(options: Options, loaded: Loaded) -> int:
    if options.window is not None:
        return options.window
    if options.check and not (options.model or options.run):
        return CHECKED_WINDOW
    return default_window(backbone_of(loaded()).model)


def _scorers(
    options: Options, loaded: Loaded, genome: Genome, window: int
) -> tuple[list[Scorer], tuple[str, ...]]:
    """What gives the table its columns (nothing for --check), and notes on --sites."""
    if options.check:
        return [], ()
    model = loaded()
    k = backbone_of(model).model.config.k_for_kmers
    phases = k if options.phases is None else options.phases
    effects = EffectOptions(window, phases, options.strands == "both", options.shams)
    scorers: list[Scorer] = [VariantScorer(model, genome, effects)]
    if not isinstance(model, Run):
        return scorers, ()
    windows, notes = _run_windows(options, model, genome)
    return [*scorers, RunScorer(model, genome, windows, options.class_name)], notes


def _run_windows(options: Options, run: Run, genome: Genome) -> tuple[RunWindows, tuple[str, ...]]:
    """The windows of a run, and notes on the file of sites."""
    with command_line.naming_options(window="run_window"):
        geometry, _ = scan_geometry(run, options.run_window or 0, options.site_index)
    length = geometry.length()
    if not options.sites:
        stride = max(1, length // _WINDOWS) if options.stride is None else options.stride
        both = options.strands == "both" and not run.strands.average
        return RunWindows(length, stride, both_strands=both), ()
    known = run.windows is not None and run.windows.geometry == geometry
    if options.site_index is None and not known:
        raise UserError(
            f"--sites: the run does not say where the site lies in a window of {length} bp: give "
            "its --site-index"
        )
    found = read_sites(genome, options.sites, geometry)
    return RunWindows(length, sites=found.promoters), found.notes


def _plan(options: Options, loaded: Loaded, window: int) -> dict[str, Any]:
    """Everything that the file's content depends on."""
    settings = {name: value for name, value in asdict(options).items() if name not in _PLACES}
    files = {"variants": options.variants, "genome": options.genome}
    if options.sites:
        files["sites"] = options.sites
    if options.run and not options.check:
        files |= {name: options.run / name for name in (ADAPTER_FILE, DESCRIPTION_FILE)}
    plan = {**versions(["ntjax"]), **settings, "window": window}
    if not options.check:
        plan |= backbone_of(loaded()).model.identity
    return plan | {f"{name} file": sha256(path) for name, path in files.items()}


def _say(options: Options, written: Written, notes: list[str]) -> None:
    for note in notes:
        print(f"note: {note}")
    found = written.found
    there = f"; {counted(written.resumed, 'part')} of it were there" if written.resumed else ""
    scored = f"{found.statuses['scored']:,} {'can be' if options.check else 'are'} scored"
    print(f"variants: {options.out} ({counted(found.alleles, 'allele')}, {scored}{there})")


if __name__ == "__main__":
    main()
