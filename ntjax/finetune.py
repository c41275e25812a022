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

from ntjax import command_line
from ntjax.baselines.comparison import score_baselines
from ntjax.errors import UserError
from ntjax.models.config import parameter_shapes
from ntjax.runs import read_json, write_json
from ntjax.training.finetuning import (
    CONFIG_FILE,
    RESULT_FILE,
    Job,
    finish,
    initial_trainable,
    open_folder,
    prepare,
    refuse_occupied,
    train,
)
from ntjax.training.settings import Settings, complete, differing, from_saved, option

BASELINES_FILE = "baselines.json"
_SHOWN = ("accuracy", "mcc", "auroc", "ece")


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


def main() -> None:
    """The command."""
    command_line.run(lambda: finetune(command_line.parse(Options, "ntjax.finetune", __doc__)))


def finetune(options: Options) -> dict[str, Any]:
    """Run the command; returns the content of `test_metrics.json`.

    Raises:
        UserError: bad input.
        Interrupted: stopped by a signal, with its state saved.
    """
    folder, settings, chosen = _where_and_what(options)
    if options.resume and _is_finished(folder, settings):
        print(f"{folder}: this run is finished; nothing to resume")
        return read_json(folder / RESULT_FILE)
    if chosen:
        print("chosen for you: " + ", ".join(f"{option(k)} {v}" for k, v in chosen.items()))
    job = prepare(settings, _recorded_revision(folder) if options.resume else None)
    open_folder(folder, job, options.resume)
    _print_job(job, folder)
    began = time.perf_counter()
    fitted, scored = train(job, folder, options.progress)
    name = f"{Path(settings.model).name} {settings.adapter}"
    rows = {name: finish(job, folder, fitted, scored, options.progress)}
    value = "never defined: lowest loss" if fitted.value is None else f"{fitted.value:.3f}"
    print(
        f"trained and scored in {time.perf_counter() - began:.0f} s; best step {fitted.step} "
        f"(validation {settings.select} {value})",
        flush=True,
    )
    if settings.baselines:
        baselines = score_baselines(job.parts, settings.seed, options.progress)
        write_json(folder / BASELINES_FILE, baselines)
        rows |= baselines
    _print_results(rows)
    print(f"results: {folder}")
    return next(iter(rows.values()))


def _where_and_what(options: Options) -> tuple[Path, Settings, dict[str, Any]]:
    if not options.resume:
        settings, chosen = complete(options.settings)
        folder = options.out or _fresh_folder(settings)
        refuse_occupied(folder)
        return folder, settings, chosen
    if options.out is None:
        raise UserError("--resume needs --out FOLDER: the folder of the run to go on with")
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
    if changed := differing(options.settings, settings):
        given = ", ".join(f"{option(name)} {getattr(options.settings, name)}" for name in changed)
        had = ", ".join(f"{option(name)} {getattr(settings, name)}" for name in changed)
        raise UserError(
            f"{options.out}: cannot resume with {given}: the run was begun with {had}; leave it "
            "out, or begin a new run in another --out"
        )
    return options.out, settings, {}


def _recorded_revision(folder: Path) -> str | None:
    """Of the published model a run was begun with; the newest one may have changed since."""
    model = read_json(folder / CONFIG_FILE).get("model")
    return model.get("revision") if isinstance(model, dict) else None


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
    classes = list(job.parts.classes)
    if len(classes) == 2:
        classes[1] += " (positive)"
    print(f"rows: {counts}; classes: {', '.join(classes)}")
    print(f"devices: {jax.local_device_count()} × {jax.devices()[0].device_kind}")
    for note in (*job.parts.notes, *([job.model.notice] if job.model.notice else [])):
        print(f"note: {note}")
    print(f"folder: {folder}", flush=True)


def _print_results(rows: dict[str, dict[str, Any]]) -> None:
    """A line per model: value and 95% interval, on the test rows."""
    width = max(len(name) for name in rows) + 14
    count = next(iter(rows.values()))["n"]
    title = f"{count:,} test rows [95% interval]"
    width = max(width, len(title))
    print(f"\n{title:<{width}}" + "".join(f"{metric:>24}" for metric in _SHOWN))
    for name, result in rows.items():
        print(f"{name:<{width}}" + "".join(f"{_cell(result[m]):>24}" for m in _SHOWN))
        if result["calibrated"]:
            cells = "".join(f"{_cell(result['calibrated'][m]):>24}" for m in _SHOWN)
            print(f"{name + ', calibrated':<{width}}{cells}")
        else:
            print(f"{name}: not calibrated, too few rows (or only one class) were set aside for it")
    print()


def _cell(metric: dict[str, float | None]) -> str:
    if metric["value"] is None:
        return "–"
    if metric["low"] is None:
        return f"{metric['value']:.3f}"
    return f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"


if __name__ == "__main__":
    main()
