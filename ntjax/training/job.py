"""A fine-tuning run that is about to begin: settings, model and rows, read and checked."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntjax.calibration.threshold import EVEN
from ntjax.checkpoints import mini
from ntjax.checkpoints.cache import sha256
from ntjax.checkpoints.published import PUBLISHED, unknown_model
from ntjax.datasets.batching import TokenisedSet
from ntjax.datasets.data_settings import DataSettings
from ntjax.datasets.prepare import LabelledParts, fingerprint, read_parts, tokenise
from ntjax.datasets.reverse_complements import with_reverse_complements
from ntjax.errors import UserError
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.forward import ForwardConfig, Trainable, local_attention
from ntjax.inference.pretrained import PretrainedModel, load_pretrained
from ntjax.models.heads import HeadConfig
from ntjax.runs.folder import ADAPTER_FILE
from ntjax.runs.record import environment
from ntjax.runs.run import Run
from ntjax.runs.saved_run import start_of
from ntjax.tasks import TASKS
from ntjax.training.class_weights import row_weights
from ntjax.training.coordinates import whitening
from ntjax.training.head_choice import head_of
from ntjax.training.loop import LoopConfig
from ntjax.training.optimizers import OptimizerConfig
from ntjax.training.settings import Settings, check
from ntjax.training.step import StepConfig


@dataclass(frozen=True)
class Given:
    """What a program hands over in place of names and files.

    Attributes:
        model: the model, in place of the one that the settings name.
        rows: by part: (sequences, labels) or a DataFrame.
    """

    model: PretrainedModel | None = None
    rows: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Job:
    """Everything read and checked, nothing written.

    Attributes:
        settings: complete.
        model: the frozen backbone.
        parts: the rows.
        tokenised: their tokens, by part; reverse complements stand behind the training rows.
        other_strand: tokens of the reverse complements, by part, where strands are averaged.
        step: what is compiled.
        loop: how long to train, when to look.
        start: the run whose adapter and head training begins with, if not with new ones.
        coordinates: [dim, dim], in which the head is trained; None for those of the embeddings.
    """

    settings: Settings
    model: PretrainedModel
    parts: LabelledParts
    tokenised: dict[str, TokenisedSet]
    other_strand: dict[str, TokenisedSet]
    step: StepConfig
    loop: LoopConfig
    start: Run | None = None
    coordinates: np.ndarray | None = None

    @property
    def head(self) -> HeadConfig:
        """What the head reads."""
        assert self.step.forward.head is not None
        return self.step.forward.head

    def folded(self, trainable: Trainable) -> Trainable:
        """Return adapter and head as they are saved: without the coordinates of training."""
        return trainable._replace(head=self.head.folded(trainable.head))


def prepare(
    members: Sequence[Settings], revision: str | None = None, given: Given | None = None
) -> list[Job]:
    """Read models and data and check the settings against them.

    What several members share is read once.

    Arguments:
        members: complete settings.
        revision: of a published model, when a run is resumed; the newest may have changed.
        given: what is at hand already.

    Raises:
        UserError: any of them is unusable.
    """
    given = given or Given()
    for settings in members:
        check(settings)
        if settings.cross_validates:
            raise UserError(
                f"--folds {settings.folds} trains {settings.folds} runs: say which with --fold, or "
                "train all of them with python -m ntjax.finetune or ntjax.sweep"
            )
        # Whatever is wrong with these is said before data are read, or downloaded.
        settings.adapter_config(), _optimizer_config(settings), _loop_config(settings)
        if not given.model and (unknown := _unknown_model(settings.model)):
            raise unknown
    data = {repr(_data_settings(settings)): settings for settings in members}
    parts = {key: read_parts(settings, given.rows) for key, settings in data.items()}
    models = {
        key: _place(given.model) if given.model else load_model(*key, revision)
        for key in dict.fromkeys(map(_model_key, members))
    }
    rows: dict[tuple, tuple[dict[str, TokenisedSet], dict[str, TokenisedSet]]] = {}
    white: dict[tuple, np.ndarray] = {}
    jobs = []
    for settings in members:
        data_key, model_key = repr(_data_settings(settings)), _model_key(settings)
        own, model = parts[data_key], models[model_key]
        both = data_key, model_key, settings.class_weights
        if both not in rows:
            _check_classes(settings, own)
            rows[both] = _token_sets(settings, own, model)
        tokenised, _ = rows[both]
        head = head_of(settings, len(own.task.outputs), own.tables, tokenised)
        step = _step_config(settings, model, head)
        settings.adapter_config().check(model.config)
        # A larger batch would be filled up with rows that weigh nothing.
        size = min(settings.batch_size or 1, len(tokenised["train"]))
        loop = _loop_config(replace(settings, batch_size=size))
        start = _start(settings, model, step, own)
        if head.in_coordinates and both not in white:
            white[both] = whitening(model, tokenised["train"])
        coordinates = white[both] if head.in_coordinates else None
        sets = rows[both]
        jobs.append(Job(settings, model, own, *sets, step, loop, start, coordinates))
    return jobs


def _check_classes(settings: Settings, parts: LabelledParts) -> None:
    """Refuse settings that the number of classes does not allow."""
    if settings.threshold != EVEN and (classes := len(parts.task.outputs)) != 2:
        raise UserError(
            f"--threshold {settings.threshold} is for two classes, and there are {classes}: leave "
            "it out"
        )


def _token_sets(
    settings: Settings, parts: LabelledParts, model: PretrainedModel
) -> tuple[dict[str, TokenisedSet], dict[str, TokenisedSet]]:
    """Token ids of all parts, and of the other strand where strands are averaged."""
    encode, how = model.tokenizer.encode, parts.reverse_complement
    tokenised, other_strand = {}, {}
    for part, table in parts.tables.items():
        targets = parts.targets(part)
        tokenised[part] = tokenise(table, targets, model.tokenizer, model.config)
        if how == "none" or not len(table):
            continue
        sequences, doubled = with_reverse_complements(table.sequences, targets, how)
        if part == "train":
            tokenised[part] = TokenisedSet.create(encode(sequences), doubled)
        elif settings.average_strands:
            other_strand[part] = TokenisedSet.unlabelled(encode(sequences[len(table) :]))
    if settings.task == "classification":
        train = tokenised["train"]
        weights = row_weights(settings.class_weights, parts.task.outputs, train.labels)
        tokenised["train"] = replace(train, weights=weights)
    return tokenised, other_strand


def _start(
    settings: Settings, model: PretrainedModel, step: StepConfig, parts: LabelledParts
) -> Run | None:
    if settings.start_from is None:
        return None
    start = start_of(settings.start_from, model, settings.adapter_config())
    head = step.forward.head
    if start.head != head or start.classes != parts.task.outputs:
        raise UserError(
            f"--start-from {settings.start_from}: its head is {_described(start.head)}, for "
            f"{', '.join(start.classes)}, and here it is {_described(head)}, for "
            f"{', '.join(parts.task.outputs)}: both have to agree"
        )
    return start


def _described(head: HeadConfig | None) -> str:
    numbers = head.to_dict() if head else {}
    kind = numbers.pop("pooling", "none")
    own = [f"{name} {value}" for name, value in numbers.items() if name != "outputs"]
    return f"{kind} ({', '.join(own)})" if own else kind


def _unknown_model(model: str) -> UserError | None:
    name = model.partition("@")[0]
    if name in (*mini.NAMES, *PUBLISHED) or Path(model).is_dir():
        return None
    return unknown_model(model)


def _data_settings(settings: Settings) -> dict[str, Any]:
    """What rows and their split depend on."""
    values = {field.name: getattr(settings, field.name) for field in fields(DataSettings)}
    return values | {"seed": None, "split_seed": settings.seed_of_the_split}


def _model_key(settings: Settings) -> tuple[str, str]:
    # Full fine-tuning trains the weights themselves: from the numbers they have, not from those
    # that bfloat16 would round them to.
    whole = settings.adapter_config().trains_backbone
    return settings.model, "float32" if whole else settings.dtype


def _place(model: PretrainedModel) -> PretrainedModel:
    return replace(model, params=jax.device_put(model.params, replicated_sharding()))


def load_model(name: str, dtype: str, revision: str | None) -> PretrainedModel:
    """Load a model on all devices, at the revision that a resumed run was begun with."""
    if revision:
        name = f"{name.partition('@')[0]}@{revision}"
    return load_pretrained(name, dtype, sharding=replicated_sharding())


def _optimizer_config(settings: Settings) -> OptimizerConfig:
    return OptimizerConfig(
        settings.steps or 0,
        settings.schedule,
        settings.warmup_steps,
        settings.weight_decay,
        settings.gradient_clip,
    )


def _step_config(settings: Settings, model: PretrainedModel, head: HeadConfig) -> StepConfig:
    return StepConfig(
        ForwardConfig(
            model.config,
            head,
            settings.dtype,
            settings.rematerialise,
            local_attention(model.config, settings.dtype),
        ),
        _optimizer_config(settings),
        TASKS[settings.task].loss,
        use_dropout=settings.adapter_config().dropout > 0,
        use_backbone_dropout=settings.backbone_dropout > 0,
    )


def _loop_config(settings: Settings) -> LoopConfig:
    return LoopConfig(
        steps=settings.steps or 0,
        batch_size=settings.batch_size or 0,
        accumulation=settings.accumulation,
        evaluate_every=settings.evaluate_every,
        select=settings.select or "loss",
        patience=settings.patience,
    )


def record(job: Job) -> dict[str, Any]:
    """Return the content of `config.json`: all that is needed to repeat the run."""
    return {
        "settings": asdict(job.settings),
        "model": {"name": job.model.name, **job.model.source, **_recorded_start(job)},
        "data": {
            part: {"source": table.source, "rows": len(table), "sha256": fingerprint(table)}
            for part, table in job.parts.tables.items()
        },
        "classes": list(job.parts.task.outputs),
        "notes": notes(job),
        **environment(),
    }


def notes(job: Job) -> list[str]:
    """Return what a reader of the result has to know."""
    return [*job.parts.notes, *([job.model.notice] if job.model.notice else [])]


def _recorded_start(job: Job) -> dict[str, Any]:
    if job.settings.start_from is None:
        return {}
    folder = Path(job.settings.start_from)
    return {"start": {"path": str(folder.resolve()), "sha256": sha256(folder / ADAPTER_FILE)}}
