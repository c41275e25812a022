"""Adapt a Nucleotide Transformer to labelled sequences.

python -m ntjax.finetune                                # the embedded default, offline
python -m ntjax.finetune --model 2B5_multi_species      # E. coli promoters, IA³
python -m ntjax.finetune --model 500M_1000G --adapter lora --train mine.csv
"""

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from ntjax.baselines.comparison import score_baselines
from ntjax.errors import UserError
from ntjax.models.config import parameter_shapes
from ntjax.reports import command_line
from ntjax.reports.console import print_results, print_sweep
from ntjax.runs.run import read_json, write_json
from ntjax.training import swept_runs
from ntjax.training.finetuning import (
    CONFIG_FILE,
    RESULT_FILE,
    SWEEP_FILE,
    Job,
    finish,
    initial_trainable,
    open_folder,
    prepare,
    record,
    recorded_revision,
    refuse_occupied,
    train,
)
from ntjax.training.settings import Settings, complete, from_saved, option, refuse_differing
from ntjax.training.sweep import swept_names
from ntjax.training.swept_runs import Sweep

BASELINES_FILE = "baselines.json"


@dataclass(frozen=True)
class Options:
    """Options of `python -m ntjax.finetune`."""

    settings: Annotated[Settings, tyro.conf.arg(name="")] = field(default_factory=Settings)
    out: Path | None = None
    """Folder for the results; it must be empty. Otherwise: a fresh one under runs/."""
    resume: bool = False
    """Go on with the run in --out, with the settings it was begun with."""
    progress: bool = True
    """Show progress bars."""
    sweep: tuple[str, ...] = ()
    """Train every combination of these values together, as one population over one copy of the
    model: NAME=A,B,C or NAME=FIRST:LAST:STEP (both ends included) or NAME=FIRST:END (whole numbers,
    the end left out), such as --sweep lora_dropout=0.1:0.9:0.1 seed=0:5."""
    members_at_once: int = 0
    """Most members of a --sweep to train at once, decided when it is begun; 0 for as many as the
    memory holds."""


def main() -> None:
    """The command."""
    command_line.run(lambda: finetune(command_line.parse(Options, "ntjax.finetune", __doc__)))


def finetune(options: Options) -> dict[str, Any]:
    """Run the command; returns the content of `test_metrics.json` (a sweep: of each member).

    Raises:
        UserError: bad input.
        Interrupted: stopped by a signal, with its state saved.
    """
    if options.members_at_once and (options.resume or not options.sweep):
        raise UserError("--members-at-once goes with a new --sweep; leave it out")
    if options.resume and options.out is None:
        raise UserError("--resume needs --out FOLDER: the folder of the run to go on with")
    if options.sweep or (options.resume and (options.out / SWEEP_FILE).exists()):
        return _finetune_sweep(options)
    folder, settings, chosen = _where_and_what(options)
    if options.resume and _is_finished(folder, settings):
        print(f"{folder}: this run is finished; nothing to resume")
        return read_json(folder / RESULT_FILE)
    _print_chosen(chosen)
    [job] = prepare([settings], recorded_revision(folder) if options.resume else None)
    open_folder(folder, record(job), options.resume)
    _print_job(job, folder)
    began = time.perf_counter()
    [(fitted, scored)] = train([job], [folder], folder, options.progress)
    name = f"{Path(settings.model).name} {settings.adapter}"
    rows = {name: finish(job, folder, fitted, scored, options.progress)}
    value = "never defined: lowest loss" if fitted.value is None else f"{fitted.value:.3f}"
    print(
        f"trained and scored in {time.perf_counter() - began:.0f} s; best step {fitted.step} "
        f"(validation {settings.select} {value})",
        flush=True,
    )
    if settings.baselines:
        baselines = score_baselines(
            job.parts, settings.seed, options.progress, settings.calibration
        )
        write_json(folder / BASELINES_FILE, baselines)
        rows |= baselines
    print_results(rows, job.parts.task)
    print(f"results: {folder}")
    return next(iter(rows.values()))


def _where_and_what(options: Options) -> tuple[Path, Settings, dict[str, Any]]:
    if not options.resume:
        settings, chosen = complete(options.settings)
        folder = options.out or _fresh_folder(settings)
        refuse_occupied(folder)
        return folder, settings, chosen
    whole = options.out.resolve().parent.parent
    if (whole / SWEEP_FILE).exists():
        raise UserError(
            f"{options.out} is a member of the sweep in {whole}, which keeps its checkpoints: "
            f"resume that, with --resume --out {whole}"
        )
    path = options.out / CONFIG_FILE
    saved = read_json(path)
    try:
        settings, _ = complete(
            from_saved(saved.get("settings") if isinstance(saved, dict) else None)
        )
    except UserError as error:
        raise UserError(
            f"{path}: {error}; restore the file, or begin anew in another --out"
        ) from None
    refuse_differing(options.out, options.settings, settings)
    return options.out, settings, {}


def _finetune_sweep(options: Options) -> dict[str, Any]:
    sweep = _resumed_sweep(options) if options.resume else _new_sweep(options)
    job = next(iter(sweep.jobs.values()))
    _print_job(job, sweep.folder)
    began = time.perf_counter()
    swept_runs.run(sweep, options.progress)
    results = swept_runs.results(sweep)
    print(
        f"{len(results)} of {len(sweep.jobs)} members trained and scored, "
        f"{time.perf_counter() - began:.0f} s",
        flush=True,
    )
    if not results:
        raise UserError(
            f"{sweep.folder}: every member failed, the first because of this: "
            f"{swept_runs.table(sweep)['failure'].iloc[0]}"
        )
    baselines = {}
    if job.settings.baselines:
        path = sweep.folder / BASELINES_FILE
        if not path.exists():
            write_json(
                path,
                score_baselines(
                    job.parts, job.settings.seed, options.progress, job.settings.calibration
                ),
            )
        baselines = read_json(path)
    print_sweep(swept_runs.table(sweep), job.settings.select, job.parts.task, baselines)
    print(f"results: {sweep.folder}")
    return results


def _new_sweep(options: Options) -> Sweep:
    folder = options.out or _fresh_folder(options.settings)
    refuse_occupied(folder)
    if options.members_at_once < 0:
        raise UserError(f"--members-at-once is {options.members_at_once}: should be at least 0")
    swept = swept_names(options.sweep)
    _print_chosen({k: v for k, v in complete(options.settings)[1].items() if k not in swept})
    return swept_runs.begin(folder, options.settings, options.sweep, options.members_at_once)


def _resumed_sweep(options: Options) -> Sweep:
    settings, texts, _ = swept_runs.saved_sweep(options.out)
    refuse_differing(options.out, options.settings, settings)
    if options.sweep and list(options.sweep) != texts:
        raise UserError(
            f"{options.out}: cannot resume with --sweep {' '.join(options.sweep)}: it was begun "
            f"with --sweep {' '.join(texts)}; leave it out, or begin anew in another --out"
        )
    return swept_runs.reopen(options.out)


def _print_chosen(chosen: dict[str, Any]) -> None:
    if chosen:
        print("chosen for you: " + ", ".join(f"{option(k)} {v}" for k, v in chosen.items()))


def _is_finished(folder: Path, settings: Settings) -> bool:
    return (folder / RESULT_FILE).exists() and (
        (folder / BASELINES_FILE).exists() or not settings.baselines
    )


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
    trained = jax.eval_shape(lambda: initial_trainable(job))
    adapter, head = (sum(leaf.size for leaf in jax.tree.leaves(part)) for part in trained)
    print(f"model: {job.model.name}, {total:,} parameters, {job.settings.dtype}")
    backbone = f"{adapter:,} ({job.settings.adapter}) + " if adapter else ""
    print(f"trained: {backbone}{head:,} (head) parameters")
    counts = ", ".join(f"{len(table):,} {part}" for part, table in job.parts.tables.items())
    print(f"rows: {counts}; {job.parts.task.described()}")
    print(f"devices: {jax.local_device_count()} × {jax.devices()[0].device_kind}")
    for note in (*job.parts.notes, *([job.model.notice] if job.model.notice else [])):
        print(f"note: {note}")
    print(f"folder: {folder}", flush=True)


if __name__ == "__main__":
    main()
