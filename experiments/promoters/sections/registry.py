"""The sections of the promoter study in their order, and the page of them all."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

import jax

from experiments.promoters.claims import headline, ledger
from experiments.promoters.claims.findings import Records
from experiments.promoters.claims.summary import write_summary
from experiments.promoters.data.genome_files import find_annotation, find_genome
from experiments.promoters.data.species import require_archive
from experiments.promoters.lanes import Group, lanes_for, run_in_lanes
from experiments.promoters.passes import page as passes
from experiments.promoters.sections import (
    calibration,
    comparison,
    curated,
    embeddings,
    leakage,
    methods,
    negatives,
    other_species,
    salience,
    scan,
    stages,
    sweeps,
)
from experiments.promoters.study import Study, require_same_runs, result_of
from ntjax.errors import UserError
from ntjax.reports.page import Chapter, write_page

_IN_ORDER = (
    comparison,
    leakage,
    sweeps,
    stages,
    curated,
    other_species,
    methods,
    negatives,
    calibration,
    embeddings,
    salience,
    scan,
)
# Sections that share runs stay together; what takes longest begins first.
_GROUPS = (
    (leakage, methods, calibration, embeddings, salience),
    (stages,),
    (sweeps,),
    (scan,),
    (other_species,),
    (negatives,),
    (comparison,),
    (curated,),
)
_WORTH_KEEPING = 0.2  # seconds to compile
SECTIONS = {section.NAME: section for section in _IN_ORDER}
_INTRODUCTION = (
    "Promoters of *E. coli* with an adapted Nucleotide Transformer: the experiments of a report "
    "(M. Nagyal, 2024), repeated with what it left open: overlap of training and test, seeds, "
    "intervals, other negatives, and simpler models beside it."
)


def run(study: Study) -> None:
    """Run what is missing of the sections, then write the page of all that are there."""
    if unknown := [name for name in study.sections if name not in SECTIONS]:
        raise UserError(f"--sections {' '.join(unknown)}: there are {', '.join(SECTIONS)}")
    genome = find_genome(study.genome)
    require_same_runs(study, genome)
    groups = [group for sections in _GROUPS if (group := _missing(study, sections))]
    _require_files({name for group in groups for name in group}, genome)
    if (lanes := lanes_for(len(groups))) > 1:
        run_in_lanes(study, groups, lanes)
    else:
        for group in groups:
            for run_section in group.values():
                run_section(study)
    records = ledger.records_of(study)
    write_summary(study.out_folder, records, ledger.run(study, records))
    write_page(study.out_folder, "E. coli promoters", _INTRODUCTION, _chapters(study, records))
    print(f"page: {study.out_folder / 'report.html'}")


def _chapters(study: Study, records: Records) -> list[Chapter]:
    """Everything that there is, the short before the long."""
    folder, chapters = study.out_folder, []
    if top := headline.blocks(records, folder):
        chapters.append(Chapter(headline.TITLE, _command(study, headline.NAME), top))
    for section in (ledger, *_IN_ORDER):
        name = section.NAME
        if (record := result_of(study, name)) is not None:
            chapters.append(
                Chapter(section.TITLE, _command(study, name), section.blocks(record, folder))
            )
    if passes.NAME in records:
        told = passes.blocks(records[passes.NAME], folder)
        chapters.insert(2, Chapter(passes.TITLE, passes.COMMAND, told))
    return chapters


def _require_files(sections: set[str], genome: Path) -> None:
    """Say what is missing before anything runs for half an hour."""
    if sections & {negatives.NAME, scan.NAME} and not find_annotation(genome).exists():
        raise UserError(f"{find_annotation(genome)}: not there: the genome's annotation, as GFF3")
    if sections & {stages.NAME, other_species.NAME}:
        require_archive()


def _missing(study: Study, sections: Sequence[ModuleType]) -> Group:
    """Those of some sections that were asked for and are not there yet."""
    return {
        section.NAME: partial(_run_section, section.NAME)
        for section in sections
        if (not study.sections or section.NAME in study.sections)
        and result_of(study, section.NAME) is None
    }


def _run_section(name: str, study: Study) -> None:
    # Most runs differ in numbers alone: what was compiled for one serves the others.
    jax.config.update("jax_compilation_cache_dir", str(study.runs_folder / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING)
    print(f"== {SECTIONS[name].TITLE}", flush=True)
    SECTIONS[name].run(study)


def _command(study: Study, section: str) -> str:
    """What makes a section again; headline and ledger are of all of them."""
    options = ["--models", *study.models] if study.models != Study().models else []
    options += ["--full"] * study.full
    options += ["--share", f"{study.share:g}"] if study.share != 1 else []
    options += ["--sections", section] if section in SECTIONS else []
    return " ".join(["python -m experiments.promoters", *options])
