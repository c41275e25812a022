"""Adapt a Nucleotide Transformer to labelled sequences.

python -m ntjax.finetune                                # the embedded default, offline
python -m ntjax.finetune --model 2B5_multi_species      # E. coli promoters, IA³
python -m ntjax.finetune --model 500M_1000G --adapter lora --train mine.csv

In Python: `ntjax.fine_tune`.
"""

import math
import sys
import time
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, NoReturn

import jax
import tyro

from ntjax.errors import UserError
from ntjax.evaluation.cross_validation import cross_validated
from ntjax.io.json import read_json, write_json
from ntjax.io.settings_file import read_settings
from ntjax.models.config import parameter_shapes
from ntjax.reports import command_line
from ntjax.reports.console import print_folds, print_results, print_sweep, setting_of
from ntjax.runs.folder import (
    BASELINES_FILE,
    FOLDS_FILE,
    RESULT_FILE,
    SWEEP_FILE,
    recorded_revision,
    refuse_occupied,
)
from ntjax.runs.page import REPORT_FILE, page_problem
from ntjax.runs.results import results_of
from ntjax.runs.run import Run
from ntjax.training import swept_runs
from ntjax.training.finetune import (
    baseline_scores,
    is_finished,
    resumed_settings,
    run_job,
    with_baselines,
)
from ntjax.training.initial_state import head_learning_rate, initial_trainable
from ntjax.training.job import Job, notes, prepare
from ntjax.training.settings import (
    Settings,
    complete,
    explicit,
    from_saved,
    option,
)
from ntjax.training.sweep import swept_names
from ntjax.training.swept_runs import FailedRun, Sweep


@dataclass(frozen=True)
class Options:
    """Options of `python -m ntjax.finetune`."""

    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)
    out: Path | None = None
    """Folder for the results; it must be empty. Otherwise: a fresh one under runs/."""
    resume: bool = False
    """Go on with the run in --out, with the settings it was begun with. Say where files lie that
    have moved since (--train and others): their content must be the same."""
    progress: bool = True
    """Show progress bars."""
    sweep: tuple[str, ...] = ()
    """Train every combination of these values together, as one population over one copy of the
    model: NAME=A,B,C or NAME=FIRST:LAST:STEP (both ends included) or NAME=FIRST:END (whole numbers,
    the end left out), such as --sweep lora_dropout=0.1:0.9:0.1 seed=0:5."""
    members_at_once: int = 0
    """Most members of a --sweep to train at once, decided when it is begun; 0 for as many as the
    memory holds."""
    config: Path | None = None
    """JSON or YAML file of settings, such as a run's config.json; options given beside it win."""
    report: bool = True
    """Write the page of the run, or of the sweep, at its end: report.html."""
    typed: Annotated[tuple[str, ...] | None, tyro.conf.Suppress] = None
    """Names of the settings that were given; None for those that differ from their defaults."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: finetune(_parse()))


def _parse() -> Options:
    options = command_line.parse(Options, "ntjax.finetune", __doc__ or "")
    options = replace(options, typed=command_line.typed_options())
    return options if options.config is None else _with_config(options, options.config)


def _with_config(options: Options, path: Path) -> Options:
    """Read settings from a file; what was typed beside it wins."""
    saved = read_settings(path)
    # A run's config.json holds its settings beside what is known of the data.
    settings = saved.get("settings", saved) if isinstance(saved, dict) else saved
    try:
        base = from_saved(settings, partial=settings is saved)
    except UserError as error:
        raise UserError(f"--config {path}: {error}") from None
    typed = options.typed or ()
    own = explicit(options.settings, typed)
    given = (*typed, *(name for name in settings if getattr(base, name) is not None))
    return replace(options, settings=replace(base, **own), typed=tuple(dict.fromkeys(given)))


def finetune(options: Options) -> dict[str, Any]:
    """Run the command; returns the content of `test_metrics.json` (a sweep: of each member).

    Raises:
        UserError: bad input.
        Interrupted: stopped by a signal, with its state saved.
    """
    if options.members_at_once and (
        options.resume or not (options.sweep or options.settings.folds)
    ):
        raise UserError("--members-at-once goes with a new --sweep; leave it out")
    if options.resume and options.out is None:
        raise UserError("--resume needs --out FOLDER: the folder of the run to go on with")
    several = options.sweep or (options.settings.cross_validates and not options.resume)
    if several or (options.resume and (options.out / SWEEP_FILE).exists()):
        return _finetune_sweep(options)
    folder, settings, chosen = _where_and_what(options)
    if options.resume and is_finished(folder, settings):
        print(f"{folder}: this run is finished; nothing to resume")
        return read_json(folder / RESULT_FILE)
    _print_chosen(chosen)
    [job] = prepare([settings], recorded_revision(folder) if options.resume else None)
    _print_job(job, folder)
    began = time.perf_counter()
    run = run_job(job, folder, resume=options.resume, progress=options.progress)
    best = run.training[settings.select]
    value = "never defined: lowest loss" if best is None else f"{best:.3f}"
    print(
        f"trained and scored in {time.perf_counter() - began:.0f} s; best step "
        f"{run.training['best_step']} (validation {settings.select} {value})",
        flush=True,
    )
    if said := run.training.get("threshold"):
        print(f"threshold: {said}")
    rows = {f"{Path(settings.model).name} {settings.adapter}": run.metrics}
    if settings.baselines:
        run = with_baselines(job, run, folder, options.progress)
        rows |= run.record.baselines
    print_results(rows, job.parts.task)
    print(f"results: {folder}")
    _report(folder, options)
    return run.metrics


def _report(folder: Path, options: Options) -> None:
    """Write the page; a run is whole without it."""
    if not options.report:
        return
    if problem := page_problem(folder):
        print(f"warning: {problem}", file=sys.stderr)
    else:
        print(f"report: {folder / REPORT_FILE}")


def _where_and_what(options: Options) -> tuple[Path, Settings, dict[str, Any]]:
    if not options.resume:
        settings, chosen = complete(options.settings)
        folder = options.out or _fresh_folder(settings)
        refuse_occupied(folder)
        return folder, settings, chosen
    given = explicit(options.settings, options.typed)
    return options.out, resumed_settings(options.out, given), {}


def _finetune_sweep(options: Options) -> dict[str, Any]:
    if options.resume:
        given = explicit(options.settings, options.typed)
        sweep = swept_runs.reopen(options.out, given, options.sweep)
    else:
        sweep = _new_sweep(options)
    job = next(iter(sweep.jobs.values()))
    _print_job(job, sweep.folder)
    began = time.perf_counter()

    def announce(number: int, names: list[str]) -> None:
        print(
            f"population {number} of {len(sweep.populations)}: {len(names)} "
            f"member{'s' if len(names) > 1 else ''}: {'  '.join(names)}",
            flush=True,
        )

    done = swept_runs.run(sweep, options.progress, announce)
    by_name = {member.name: one for member, one in zip(sweep.members, done, strict=True)}
    results = {name: one.metrics for name, one in by_name.items() if isinstance(one, Run)}
    print(
        f"{len(results)} of {len(sweep.jobs)} members trained and scored, "
        f"{time.perf_counter() - began:.0f} s",
        flush=True,
    )
    if not results:
        [first, *_] = [one.failure for one in done if isinstance(one, FailedRun)]
        raise UserError(f"{sweep.folder}: every member failed, the first because of this: {first}")
    baselines = _baselines_of(sweep, job, options.progress) if job.settings.baselines else {}
    table = swept_runs.table(sweep.members, by_name)
    parts = [job.parts.tables for job in sweep.jobs.values()]
    print_sweep(table, job.settings.select, job.parts.task, baselines, parts)
    if job.settings.folds:
        _summarise_folds(sweep, by_name, job)
    print(f"results: {sweep.folder}")
    _report(sweep.folder, options)
    return results


def _summarise_folds(sweep: Sweep, done: dict[str, Run | FailedRun], job: Job) -> None:
    """Print and write what the folds of each setting show together."""
    found: dict[str, Any] = {}
    for setting, names in groupby(sorted(done, key=setting_of), key=setting_of):
        members = [done[name] for name in names]
        failed = [one.failure for one in members if isinstance(one, FailedRun)]
        folds = [results_of(one) for one in members if isinstance(one, Run)]
        found[setting] = (
            {"failure": f"{len(failed)} of {len(members)} failed ({failed[0]})"}
            if failed
            else cross_validated(folds, job.settings.fold_protocol)
        )
    print_folds(found, job.parts.task)
    write_json(sweep.folder / FOLDS_FILE, found)


def _baselines_of(sweep: Sweep, job: Job, progress: bool) -> dict[str, Any]:
    path = sweep.folder / BASELINES_FILE
    if not path.exists():
        write_json(path, baseline_scores(job, progress))
    return read_json(path)


def _new_sweep(options: Options) -> Sweep:
    folder = options.out or _fresh_folder(options.settings)
    refuse_occupied(folder)
    if options.members_at_once < 0:
        raise UserError(f"--members-at-once is {options.members_at_once}: should be at least 0")
    swept = swept_names(options.sweep)
    _print_chosen({k: v for k, v in complete(options.settings)[1].items() if k not in swept})
    return swept_runs.begin(folder, options.settings, options.sweep, options.members_at_once)


def _print_chosen(chosen: dict[str, Any]) -> None:
    if chosen:
        print("chosen for you: " + ", ".join(f"{option(k)} {v}" for k, v in chosen.items()))


def _fresh_folder(settings: Settings) -> Path:
    name = Path(settings.model).name
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{name}-{settings.adapter}"
    folder, number = Path("runs") / stem, 2
    while folder.exists():
        folder, number = Path("runs") / f"{stem}-{number}", number + 1
    return folder


def _print_job(job: Job, folder: Path) -> None:
    shapes = jax.tree.leaves(
        parameter_shapes(job.model.config), is_leaf=lambda leaf: isinstance(leaf, tuple)
    )
    total = sum(math.prod(shape) for shape in shapes)
    trained = jax.eval_shape(lambda: job.folded(initial_trainable(job)))
    adapter, head = (sum(leaf.size for leaf in jax.tree.leaves(part)) for part in trained)
    print(f"model: {job.model.name}, {total:,} parameters, {job.settings.dtype}")
    backbone = f"{adapter:,} ({job.settings.adapter}) + " if adapter else ""
    print(f"trained: {backbone}{head:,} ({job.head.kind} head) parameters{_rate_of_head(job)}")
    counts = ", ".join(f"{len(table):,} {part}" for part, table in job.parts.tables.items())
    print(f"rows: {counts}; {job.parts.task.described()}")
    print(f"devices: {jax.local_device_count()} × {jax.devices()[0].device_kind}")
    for note in notes(job):
        print(f"note: {note}")
    print(f"folder: {folder}", flush=True)


def _rate_of_head(job: Job) -> str:
    """The head's learning rate, where it is not the adapter's."""
    rate = head_learning_rate(job)
    return "" if rate == job.settings.learning_rate else f"; the head's learning rate: {rate:g}"


class _Command(ModuleType):
    """A module that names the function one may have meant to call."""

    def __call__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("ntjax.finetune is the command's module: call ntjax.fine_tune(...)")


sys.modules[__name__].__class__ = _Command

if __name__ == "__main__":
    main()
