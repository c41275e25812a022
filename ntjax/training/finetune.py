"""Fine-tuning from rows to a run: train, choose, calibrate, score."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ntjax import adapters
from ntjax.adapters import AdapterConfig
from ntjax.baselines.comparison import score_baselines
from ntjax.datasets.prepare import split_columns
from ntjax.errors import UserError
from ntjax.inference.pretrained import PretrainedModel
from ntjax.io.json import read_json, write_json
from ntjax.runs.folder import (
    BASELINES_FILE,
    CONFIG_FILE,
    RESULT_FILE,
    SWEEP_FILE,
    open_folder,
    recorded_revision,
)
from ntjax.runs.page import write_page_or_warn
from ntjax.runs.predictions import (
    calibrate,
    class_shares,
    prediction_columns,
    reliability,
    score_outputs,
)
from ntjax.runs.run import Record, Run, write_run
from ntjax.runs.saved_run import load_run
from ntjax.runs.strands import Strands
from ntjax.runs.training_rows import TrainingRows
from ntjax.training.callbacks import Callback, Checkpointing, Logs, ProgressBar
from ntjax.training.initial_state import member_runs
from ntjax.training.interruption import Interruption
from ntjax.training.job import Given, Job, prepare, record
from ntjax.training.loop import Fitted, Trainer
from ntjax.training.scoring import outputs_of, with_threshold
from ntjax.training.settings import (
    Settings,
    complete,
    from_saved,
    refuse_unknown,
    resumed,
)

GIVEN_ROWS = "(given)"
"""Stands in `config.json` for rows that a program handed over."""


def fine_tune(
    model: PretrainedModel | str = "mini",
    train: Any = None,
    validation: Any = None,
    test: Any = None,
    *,
    adapter: AdapterConfig | str | None = None,
    task: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
    baselines: bool = False,
    report: bool = True,
    callbacks: Sequence[Callback] = (),
    **settings: Any,
) -> Run:
    """Adapt a model to labelled sequences; nothing is printed.

    The same settings through `python -m ntjax.finetune` give the same adapter, bit for bit.

    Arguments:
        model: from `load_pretrained`, or a name.
        train: (sequences, labels), a DataFrame with the columns of a file, a path, or the name of
            a data set.
        validation: the same; rows that choose the state that is kept. Otherwise set aside.
        test: the same; rows that are scored in the end. Otherwise set aside.
        adapter: `IA3()` unless another is given: `LoRA(rank=8)`, `HeadOnly()`, `Full()`, or a name.
        task: "classification" unless another is given: "multilabel" or "regression".
        out: folder for the results, as the command writes them; None leaves nothing on disk.
        resume: go on with the run in `out`.
        progress: show progress bars.
        baselines: also train gradient boosting and a small CNN on the same rows.
        report: write the page of the run into `out`, as the command does.
        callbacks: what else is to be told of training.
        settings: options of the command, with underscores for hyphens: `steps=500`, `seed=1`.

    Raises:
        UserError: bad input.
        Interrupted: a signal came, and the state is saved in `out`.
        DivergedError: a loss or gradient was not finite.

    >>> import numpy as np
    >>> import ntjax
    >>> random = np.random.default_rng(0)
    >>> sequences = ["".join(row) for row in random.choice(list("ACGT"), (200, 60))]
    >>> labels = ["rich" if row.count("A") > 15 else "poor" for row in sequences]
    >>> run = ntjax.fine_tune("mini", (sequences, labels), adapter=ntjax.LoRA(rank=2), steps=2)
    >>> run.predict(sequences[:3]).shape
    (3, 2)
    """
    given = given_rows(model, train, validation, test)
    explicit = explicit_settings(model, train, validation, test, adapter, task, **settings)
    folder = None if out is None else Path(out)
    if resume:
        if folder is None:
            raise UserError("resume needs out: the folder of the run to go on with")
        own = resumed_settings(folder, explicit)
        if is_finished(folder, own):
            return load_run(folder, given.model)
    else:
        own, _ = complete(Settings(**explicit, baselines=baselines))
    revision = recorded_revision(folder) if resume and folder else None
    [job] = prepare([own], revision, given)
    run = run_job(job, folder, resume=resume, progress=progress, callbacks=callbacks)
    run = with_baselines(job, run, folder, progress) if own.baselines else run
    if folder is not None and report:
        write_page_or_warn(folder)
    return run


def given_rows(model: Any, train: Any, validation: Any, test: Any) -> Given:
    """Return what a program hands over itself, in place of names and paths."""
    rows = {"train": train, "validation": validation, "test": test}
    held = {
        part: data
        for part, data in rows.items()
        if data is not None and not isinstance(data, (str, Path))
    }
    return Given(model if isinstance(model, PretrainedModel) else None, held)


def explicit_settings(
    model: Any,
    train: Any = None,
    validation: Any = None,
    test: Any = None,
    adapter: AdapterConfig | str | None = None,
    task: str | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Return what was asked for, as settings by name; the arguments are those of `fine_tune`.

    Raises:
        UserError: there is no such setting.
    """
    for name in settings:
        refuse_unknown(name)
    asked: dict[str, Any] = {"model": str(model)}
    if isinstance(model, PretrainedModel):
        asked = {"model": model.name, "dtype": model.dtype}
    if isinstance(adapter, AdapterConfig):
        asked["adapter"] = adapter.kind
        for name in adapters.options_of(adapter.kind):
            asked[f"{adapter.kind}_{name}"] = getattr(adapter, name)
    elif adapter is not None:
        asked["adapter"] = adapter
    if task is not None:
        asked["task"] = task
    for part, data in (("train", train), ("validation", validation), ("test", test)):
        if data is not None:
            asked[part] = str(data) if isinstance(data, (str, Path)) else GIVEN_ROWS
    return asked | settings


def resumed_settings(folder: Path, explicit: dict[str, Any]) -> Settings:
    """Read the settings that a run was begun with; what is asked for now must be the same.

    Raises:
        UserError: the folder holds no run, or a member of a sweep, or other settings were asked
            for.
    """
    whole = folder.resolve().parent.parent
    if (whole / SWEEP_FILE).exists():
        raise UserError(
            f"{folder} is a member of the sweep in {whole}, which keeps its checkpoints: "
            f"resume that, with --resume --out {whole}"
        )
    path = folder / CONFIG_FILE
    saved = read_json(path)
    try:
        settings, _ = complete(
            from_saved(saved.get("settings") if isinstance(saved, dict) else None)
        )
    except UserError as error:
        raise UserError(
            f"{path}: {error}; restore the file, or begin anew in another --out"
        ) from None
    return resumed(folder, explicit, settings)


def is_finished(folder: Path, settings: Settings) -> bool:
    """Tell whether a run has its test metrics and, if they were asked for, its baselines.

    The baselines are trained last: a run that was killed meanwhile has its metrics alone.
    """
    return (folder / RESULT_FILE).exists() and (
        (folder / BASELINES_FILE).exists() or not settings.baselines
    )


def run_job(
    job: Job,
    folder: Path | None = None,
    *,
    resume: bool = False,
    progress: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train a job and score it; with a folder, write everything there.

    Raises:
        UserError: the folder is in use, or holds another run.
        Interrupted: a signal came, and the state is saved.
    """
    if folder is not None:
        open_folder(folder, record(job), resume)
        callbacks = (*on_disk(folder, [folder]), *callbacks)
    [fitted] = train_jobs([job], (*([ProgressBar()] if progress else []), *callbacks))
    return finish(job, fitted, folder, progress)


def on_disk(folder: Path, members: Sequence[Path]) -> list[Callback]:
    """Return the callbacks of training that can be resumed.

    Arguments:
        folder: of the checkpoints.
        members: folders of the members' logs.
    """
    return [Logs(members), Checkpointing(folder), Interruption(folder)]


def train_jobs(jobs: Sequence[Job], callbacks: Sequence[Callback] = ()) -> list[Fitted]:
    """Train jobs that share all that is compiled, as one population."""
    trainer = Trainer(jobs[0].step, jobs[0].loop, jobs[0].model.params, member_runs(jobs))
    # Signals last: whatever saves has then saved.
    ordered = sorted(callbacks, key=lambda callback: isinstance(callback, Interruption))
    return trainer.fit(ordered)


def finish(job: Job, fitted: Fitted, folder: Path | None = None, progress: bool = False) -> Run:
    """Calibrate and score the test rows; with a folder, write all of it."""
    labels, settings = job.parts.labels, job.settings
    trainable = job.folded(fitted.trainable)
    task, rule = with_threshold(job, trainable)

    calibration = None
    if len(labels["calibration"]):
        calibration = calibrate(
            task,
            outputs_of(job, trainable, "calibration"),
            labels["calibration"],
            settings.calibration,
            job.parts.calibration_groups,
        )
    outputs = outputs_of(job, trainable, "test", "scoring the test rows" if progress else "")
    metrics, values, calibrated = score_outputs(
        task, outputs, labels["test"], calibration, settings.seed, job.parts.test_groups
    )
    curves = None
    if task.has_probabilities:
        curves = {
            "uncalibrated": reliability(task, labels["test"], values),
            "calibrated": reliability(task, labels["test"], calibrated),
        }
    details = Record(
        record(job),
        fitted.history,
        curves,
        prediction_columns(task, job.parts.tables["test"], outputs, values, calibrated),
        split_columns(job.parts),
    )
    run = Run(
        job.model,
        job.head,
        trainable,
        task,
        calibration,
        metrics,
        {"best_step": fitted.step, settings.select: fitted.value, **rule},
        settings.dtype,
        details,
        Strands(job.parts.reverse_complement, bool(settings.average_strands)),
        TrainingRows.of(job.parts.tables["train"].sequences),
        None if calibration is None else class_shares(task, labels["calibration"]),
        job.parts.windows,
    )
    if folder is not None:
        write_run(folder, run)
    return run


def baseline_scores(job: Job, progress: bool = False) -> dict[str, Any]:
    """Train the baselines on a job's rows, on both strands where its data set allows that."""
    return score_baselines(
        job.parts,
        job.settings.seed,
        progress,
        job.settings.calibration,
        job.parts.reverse_complement,
        bool(job.settings.average_strands),
    )


def with_baselines(job: Job, run: Run, folder: Path | None = None, progress: bool = False) -> Run:
    """Train gradient boosting and the CNN on the same rows, and set them beside the run."""
    assert run.record is not None
    scores = baseline_scores(job, progress)
    if folder is not None:
        write_json(folder / BASELINES_FILE, scores)
    return replace(run, record=replace(run.record, baselines=scores))
