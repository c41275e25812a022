"""One fine-tuning run from data to files: train, choose, calibrate, score, write."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntjax import adapters
from ntjax.adapters import Adapter, FullConfig, LoRAConfig, full
from ntjax.adapters.lora import check_rank
from ntjax.checkpoints import mini
from ntjax.checkpoints.cache import sha256
from ntjax.checkpoints.published import PUBLISHED, unknown_model
from ntjax.datasets.batching import TokenisedSet, TrainingBatches
from ntjax.datasets.prepare import LabelledParts, describe_rows, fingerprint, read_parts, tokenise
from ntjax.errors import UserError
from ntjax.inference.devices import new_member, replicated_sharding
from ntjax.inference.predict import predict, validation_scores
from ntjax.inference.pretrained import PretrainedModel, load_pretrained
from ntjax.models import heads
from ntjax.models.heads import HeadConfig
from ntjax.runs.predictions import calibrate, reliability, score_outputs, write_predictions
from ntjax.runs.run import ADAPTER_FILE, Run, read_json, save_run, start_of, write_json
from ntjax.training.loop import Fitted, LoopConfig, MemberRun, Trainer, batch_slots
from ntjax.training.optimizers import OptimizerConfig
from ntjax.training.settings import NOT_OF_DATA, Settings, check
from ntjax.training.step import Hyperparameters, StepConfig, Trainable, compile_predict

CONFIG_FILE, RESULT_FILE, PREDICTIONS_FILE = "config.json", "test_metrics.json", "predictions.csv"
RELIABILITY_FILE, SWEEP_FILE = "reliability.json", "sweep.json"
_PACKAGES = ("ntjax", "jax", "dm-haiku", "optax", "orbax-checkpoint", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Job:
    """A run that is about to begin: everything read and checked, nothing written."""

    settings: Settings
    model: PretrainedModel
    parts: LabelledParts
    tokenised: dict[str, TokenisedSet]
    step: StepConfig
    loop: LoopConfig
    start: Run | None = None
    """The run whose adapter and head training begins with, if it does not with new ones."""


def prepare(members: Sequence[Settings], revision: str | None = None) -> list[Job]:
    """Read models and data and check the settings against them.

    What several members share is read once. `revision`: of a published model, when a run is
    resumed; the newest may have changed.

    Raises:
        UserError: any of them is unusable.
    """
    for settings in members:
        check(settings)
        # Whatever is wrong with these is said before data are read, or downloaded.
        settings.adapter_config(), _optimizer_config(settings), _loop_config(settings)
        if unknown := _unknown_model(settings.model):
            raise unknown
    data = {repr(_data_settings(settings)): settings for settings in members}
    parts = {key: read_parts(settings) for key, settings in data.items()}
    models = {key: load_model(*key, revision) for key in dict.fromkeys(map(_model_key, members))}
    tokenised: dict[tuple, dict[str, TokenisedSet]] = {}
    jobs = []
    for settings in members:
        data_key, model_key = repr(_data_settings(settings)), _model_key(settings)
        own, model = parts[data_key], models[model_key]
        if (data_key, model_key) not in tokenised:
            tokenised[data_key, model_key] = {
                part: tokenise(table, own.targets(part), model.tokenizer, model.config)
                for part, table in own.tables.items()
            }
        step = _step_config(settings, model, own)
        if isinstance(lora := settings.adapter_config(), LoRAConfig):
            check_rank(lora, model.config)
        # A larger batch would be filled up with rows that weigh nothing.
        rows = len(own.tables["train"])
        loop = _loop_config(replace(settings, batch_size=min(settings.batch_size, rows)))
        start = _start(settings, model, step, own)
        jobs.append(Job(settings, model, own, tokenised[data_key, model_key], step, loop, start))
    return jobs


def _start(
    settings: Settings, model: PretrainedModel, step: StepConfig, parts: LabelledParts
) -> Run | None:
    if settings.start_from is None:
        return None
    start = start_of(settings.start_from, model, settings.adapter_config())
    if start.head != step.head or start.classes != parts.task.outputs:
        raise UserError(
            f"--start-from {settings.start_from}: its head ({start.head.pooling}) is for "
            f"{', '.join(start.classes)}, and here it is {step.head.pooling}, for "
            f"{', '.join(parts.task.outputs)}: both have to agree"
        )
    return start


def _unknown_model(model: str) -> UserError | None:
    name = model.partition("@")[0]
    if name in (mini.NAME, *PUBLISHED) or Path(model).is_dir():
        return None
    return unknown_model(model)


def _data_settings(settings: Settings) -> dict[str, Any]:
    return {name: value for name, value in vars(settings).items() if name not in NOT_OF_DATA}


def _model_key(settings: Settings) -> tuple[str, str]:
    # Full fine-tuning trains the weights themselves: from the numbers they have, not from those
    # that bfloat16 would round them to.
    return settings.model, "float32" if settings.adapter == "full" else settings.dtype


def load_model(name: str, dtype: str, revision: str | None) -> PretrainedModel:
    """A model on all devices, at the revision that a resumed run was begun with."""
    if revision:
        name = f"{name.partition('@')[0]}@{revision}"
    return load_pretrained(name, dtype, sharding=replicated_sharding())


def _optimizer_config(settings: Settings) -> OptimizerConfig:
    return OptimizerConfig(
        settings.steps,
        settings.schedule,
        settings.warmup_steps,
        settings.weight_decay,
        settings.gradient_clip,
    )


def _step_config(settings: Settings, model: PretrainedModel, parts: LabelledParts) -> StepConfig:
    return StepConfig(
        model.config,
        HeadConfig(settings.head, len(parts.task.outputs)),
        _optimizer_config(settings),
        dtype=settings.dtype,
        rematerialise=settings.rematerialise,
        use_dropout=settings.adapter == "lora" and settings.lora_dropout > 0,
        task=settings.task,
    )


def _loop_config(settings: Settings) -> LoopConfig:
    return LoopConfig(
        steps=settings.steps,
        batch_size=settings.batch_size,
        accumulation=settings.accumulation,
        evaluate_every=settings.evaluate_every,
        select=settings.select,
        patience=settings.patience,
    )


def record(job: Job) -> dict[str, Any]:
    """The content of `config.json`: all that is needed to repeat the run."""
    return {
        "settings": asdict(job.settings),
        "model": {"name": job.model.name, **job.model.source, **_recorded_start(job)},
        "data": {
            part: {"source": table.source, "rows": len(table), "sha256": fingerprint(table)}
            for part, table in job.parts.tables.items()
        },
        "classes": list(job.parts.task.outputs),
        "notes": [*job.parts.notes, *([job.model.notice] if job.model.notice else [])],
        **environment(),
    }


def _recorded_start(job: Job) -> dict[str, Any]:
    if job.start is None:
        return {}
    folder = Path(job.settings.start_from)
    return {"start": {"path": str(folder.resolve()), "sha256": sha256(folder / ADAPTER_FILE)}}


def environment() -> dict[str, Any]:
    """Versions and devices, for the record of a run."""
    return {
        "versions": {"python": platform.python_version()} | {p: version(p) for p in _PACKAGES},
        "devices": {"platform": jax.default_backend(), "count": jax.local_device_count()},
    }


def open_folder(folder: Path, content: dict[str, Any], resume: bool) -> None:
    """Begin or re-enter a run folder; `content` is that of `config.json`.

    Raises:
        UserError: the folder holds something already and `resume` is off; or the run in it had
            other settings, data or weights.
    """
    path = folder / CONFIG_FILE
    if not resume:
        refuse_occupied(folder)
        make_folder(folder)
        write_json(path, content)
        return
    before = read_json(path)
    if not isinstance(before, dict) or before.keys() != content.keys():
        raise UserError(f"{path}: should hold {', '.join(content)} and nothing else; restore it")
    for part in ("settings", "model", "data"):
        if changed := _changed(_identity(before[part]), _identity(as_json(content[part]))):
            raise UserError(
                f"{folder}: cannot resume: {part} ({', '.join(changed)}) is not what {path} says "
                "the run was begun with; begin a new run in another --out"
            )


def make_folder(folder: Path) -> None:
    """Make a folder for results, and those above it.

    Raises:
        UserError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}): give another --out") from None


def recorded_revision(folder: Path) -> str | None:
    """Of the published model a run was begun with; the newest one may have changed since."""
    saved = read_json(folder / CONFIG_FILE)
    model = saved.get("model") if isinstance(saved, dict) else None
    return model.get("revision") if isinstance(model, dict) else None


def _identity(part: Any) -> Any:
    """A part of `config.json` without the places things lay in, which may change."""
    if not isinstance(part, dict):
        return part
    return {
        key: _identity(value)
        for key, value in part.items()
        if key not in ("source", "path", "revision")
    }


def _changed(before: Any, now: dict[str, Any]) -> list[str]:
    if not isinstance(before, dict):
        return list(now)
    return [name for name in {**now, **before} if now.get(name) != before.get(name)]


def refuse_occupied(folder: Path) -> None:
    """Refuse a folder that holds anything, before any time is spent.

    Raises:
        UserError: it is not empty, or not a folder.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is in use: it is a file; give a folder for --out")
    if folder.exists() and any(map(_is_a_result, folder.iterdir())):
        hint = ", or add --resume to go on with the run in it"
        raise UserError(
            f"{folder} is in use: give another --out"
            + (hint if any((folder / name).exists() for name in (CONFIG_FILE, SWEEP_FILE)) else "")
        )


def _is_a_result(path: Path) -> bool:
    """Not what `written_atomically` leaves behind when it is killed."""
    return not (path.name.startswith(".") and path.name.endswith(".tmp"))


def as_json(value: Any) -> Any:
    """A value as it comes back from JSON: tuples are lists."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, (list, tuple)) else value


def initial_trainable(job: Job) -> Trainable:
    """Adapter and head before the first step, from the run's seed, or those of another run."""
    if job.start is not None:
        adapter = job.start.trainable.adapter
        if job.settings.adapter == "full":
            adapter = Adapter(FullConfig(), full.init(job.start.model.params))
        return Trainable(adapter, job.start.trainable.head)
    adapter_key, head_key = jax.random.split(jax.random.key(job.settings.seed))
    adapter = adapters.init(
        job.settings.adapter_config(), job.model.config, job.model.params, adapter_key
    )
    return Trainable(adapter, heads.init(job.step.head, job.model.config.embed_dim, head_key))


def hyperparameters(job: Job) -> Hyperparameters:
    """The traced numbers of the job's steps."""
    # Not 0 or 1: those are the keys that adapter and head are drawn with.
    key = jax.random.fold_in(jax.random.key(job.settings.seed), 2)
    return Hyperparameters(
        np.float32(job.settings.learning_rate), np.float32(job.settings.lora_dropout), key
    )


def member_runs(jobs: Sequence[Job], folders: Sequence[Path]) -> list[MemberRun]:
    """What the members of jobs begin with; their logs go to `folders`."""
    made: dict[tuple[int, int], TrainingBatches] = {}
    runs = []
    for job, folder in zip(jobs, folders, strict=True):
        rows, seed = job.tokenised["train"], job.settings.seed
        if (id(rows), seed) not in made:
            made[id(rows), seed] = TrainingBatches(
                rows, job.loop.batch_size, seed, batch_slots(job.loop)
            )
        runs.append(
            MemberRun(
                new_member(job.step, initial_trainable(job)),
                hyperparameters(job),
                made[id(rows), seed],
                partial(validation_scores, job.step, job.model.params, job.tokenised["validation"]),
                folder,
                partial(describe_rows, job.parts.tables["train"]),
            )
        )
    return runs


def train(
    jobs: Sequence[Job], folders: Sequence[Path], checkpoints: Path, progress: bool = True
) -> list[tuple[Fitted, Callable]]:
    """Train (or go on training) jobs that share all that is compiled, as one population.

    Returns:
        For each the best state and a function to predict with it.
    """
    job = jobs[0]
    trainer = Trainer(
        job.step,
        job.loop,
        job.model.params,
        member_runs(jobs, folders),
        checkpoints,
    )
    return [
        (fitted, partial(predict, compile_predict(job.step), job.model.params, fitted.trainable))
        for fitted in trainer.fit(progress)
    ]


def finish(
    job: Job, folder: Path, fitted: Fitted, scored: Callable, progress: bool = True
) -> dict[str, Any]:
    """Calibrate, score the test rows, write the results; returns `test_metrics.json`."""
    task, labels = job.parts.task, job.parts.labels
    method = job.settings.calibration
    calibration = calibrate(
        task, scored(job.tokenised["calibration"]), labels["calibration"], method
    )
    outputs = scored(job.tokenised["test"], "scoring the test rows" if progress else "")
    table = job.parts.tables["test"]
    result, values, calibrated = score_outputs(
        task, outputs, labels["test"], calibration, job.settings.seed, job.parts.test_groups
    )
    training = {"best_step": fitted.step, job.settings.select: fitted.value}
    save_run(
        folder,
        job.model,
        job.step.head,
        fitted.trainable,
        task,
        calibration,
        training,
        job.settings.dtype,
    )
    write_predictions(folder / PREDICTIONS_FILE, task, table, outputs, values, calibrated)
    if task.has_probabilities:
        curves = {
            "uncalibrated": reliability(task, labels["test"], values),
            "calibrated": reliability(task, labels["test"], calibrated),
        }
        write_json(folder / RELIABILITY_FILE, curves)
    write_json(folder / RESULT_FILE, result)
    return result
