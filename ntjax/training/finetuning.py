"""One fine-tuning run from data to files: train, choose, calibrate, score, write."""

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntjax import adapters
from ntjax.data.batching import TokenisedSet
from ntjax.errors import UserError
from ntjax.models import heads, mini
from ntjax.models.heads import HeadConfig
from ntjax.models.pretrained import PretrainedModel, load_pretrained
from ntjax.models.published import PUBLISHED, unknown_model
from ntjax.runs import read_json, save_run, write_json
from ntjax.scoring import calibrate, reliability, score_logits, write_predictions
from ntjax.training.loop import (
    Fitted,
    LoopConfig,
    Trainer,
    new_member,
    predict,
    replicated_sharding,
)
from ntjax.training.optimizers import OptimizerConfig
from ntjax.training.prepare import LabelledParts, describe_rows, fingerprint, read_parts, tokenise
from ntjax.training.settings import Settings, check
from ntjax.training.step import Hyperparameters, StepConfig, Trainable

CONFIG_FILE, RESULT_FILE, PREDICTIONS_FILE = "config.json", "test_metrics.json", "predictions.csv"
RELIABILITY_FILE = "reliability.json"
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


def prepare(settings: Settings, revision: str | None = None) -> Job:
    """Read model and data and check the settings against them.

    `revision`: of a published model, when a run is resumed; the newest may have changed.

    Raises:
        UserError: any of them is unusable.
    """
    check(settings)
    config = settings.adapter_config()
    optimizer = OptimizerConfig(
        settings.steps,
        settings.schedule,
        settings.warmup_steps,
        settings.weight_decay,
        settings.gradient_clip,
    )
    loop = LoopConfig(
        steps=settings.steps,
        batch_size=settings.batch_size,
        accumulation=settings.accumulation,
        evaluate_every=settings.evaluate_every,
        select=settings.select,
        patience=settings.patience,
        seed=settings.seed,
    )
    name = settings.model.partition("@")[0]
    if not (name in (mini.NAME, *PUBLISHED) or Path(settings.model).is_dir()):
        raise unknown_model(settings.model)  # before data are read, or downloaded
    parts = read_parts(settings)
    # A larger batch would be filled up with rows that weigh nothing.
    loop = replace(loop, batch_size=min(loop.batch_size, len(parts.tables["train"])))
    # Full fine-tuning trains the weights themselves: from the numbers they have, not from those
    # that bfloat16 would round them to.
    dtype = "float32" if settings.adapter == "full" else settings.dtype
    name = f"{name}@{revision}" if revision else settings.model
    model = load_pretrained(name, dtype, sharding=replicated_sharding())
    tokenised = {
        part: tokenise(table, parts.labels[part], model.tokenizer, model.config)
        for part, table in parts.tables.items()
    }
    step = StepConfig(
        model.config,
        HeadConfig(settings.head, len(parts.classes)),
        optimizer,
        dtype=settings.dtype,
        rematerialise=settings.rematerialise,
        use_dropout=config.kind == "lora" and settings.lora_dropout > 0,
    )
    return Job(settings, model, parts, tokenised, step, loop)


def record(job: Job) -> dict[str, Any]:
    """The content of `config.json`: all that is needed to repeat the run."""
    return {
        "settings": asdict(job.settings),
        "model": {"name": job.model.name, **job.model.source},
        "data": {
            part: {"source": table.source, "rows": len(table), "sha256": fingerprint(table)}
            for part, table in job.parts.tables.items()
        },
        "classes": list(job.parts.classes),
        "notes": [*job.parts.notes, *([job.model.notice] if job.model.notice else [])],
        "versions": {"python": platform.python_version()} | {p: version(p) for p in _PACKAGES},
        "devices": {"platform": jax.default_backend(), "count": jax.local_device_count()},
    }


def open_folder(folder: Path, job: Job, resume: bool) -> None:
    """Begin or re-enter a run folder.

    Raises:
        UserError: the folder holds something already and `resume` is off; or the run in it had
            other settings, data or weights.
    """
    content = record(job)
    path = folder / CONFIG_FILE
    if not resume:
        refuse_occupied(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"{folder} cannot be made ({error.strerror}): give another --out"
            ) from None
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
    if folder.exists() and any(folder.iterdir()):
        hint = ", or add --resume to go on with the run in it"
        raise UserError(
            f"{folder} is in use: give another --out"
            + (hint if (folder / CONFIG_FILE).exists() else "")
        )


def as_json(value: Any) -> Any:
    """A value as it comes back from JSON: tuples are lists."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, (list, tuple)) else value


def initial_trainable(job: Job) -> Trainable:
    """Adapter and head before the first step, from the run's seed."""
    adapter_key, head_key = jax.random.split(jax.random.key(job.settings.seed))
    adapter = adapters.init(
        job.settings.adapter_config(), job.model.config, job.model.params, adapter_key
    )
    return Trainable(adapter, heads.init(job.step.head, job.model.config.embed_dim, head_key))


def train(job: Job, folder: Path, progress: bool = True) -> tuple[Fitted, Callable]:
    """Train (or go on training) and give the best state and a function to predict with it."""
    # Not 0 or 1: those are the keys that adapter and head are drawn with.
    key = jax.random.fold_in(jax.random.key(job.settings.seed), 2)
    hyperparameters = Hyperparameters(
        np.float32(job.settings.learning_rate), np.float32(job.settings.lora_dropout), key
    )
    table = job.parts.tables["train"]
    trainer = Trainer(
        job.step, job.loop, job.model.params, hyperparameters, folder, partial(describe_rows, table)
    )
    member = new_member(job.step, initial_trainable(job))
    training, validation = job.tokenised["train"], job.tokenised["validation"]
    fitted = trainer.fit(member, training, validation, progress)
    scored = partial(predict, trainer.predict, job.model.params, fitted.trainable)
    return fitted, scored


def finish(
    job: Job, folder: Path, fitted: Fitted, scored: Callable, progress: bool = True
) -> dict[str, Any]:
    """Calibrate, score the test rows, write the results; returns `test_metrics.json`."""
    calibration = calibrate(scored(job.tokenised["calibration"]), job.parts.labels["calibration"])
    logits = scored(job.tokenised["test"], "scoring the test rows" if progress else "")
    table, labels = job.parts.tables["test"], job.parts.labels["test"]
    result, probabilities, calibrated = score_logits(
        logits, labels, calibration, job.settings.seed, job.parts.test_groups
    )
    training = {"best_step": fitted.step, job.settings.select: fitted.value}
    save_run(
        folder,
        job.model,
        job.step.head,
        fitted.trainable,
        job.parts.classes,
        calibration,
        training,
        job.settings.dtype,
    )
    write_predictions(folder / PREDICTIONS_FILE, table, logits, probabilities, calibrated)
    curves = {
        "uncalibrated": reliability(labels, probabilities, job.parts.classes),
        "calibrated": reliability(labels, calibrated, job.parts.classes),
    }
    write_json(folder / RELIABILITY_FILE, curves)
    write_json(folder / RESULT_FILE, result)
    return result
