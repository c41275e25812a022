"""The settings of a fine-tuning run: what a user gave, and what is chosen for the rest."""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from ntjax.adapters import ADAPTERS, AdapterConfig, adapter_config, options_of
from ntjax.calibration.threshold import EVEN, check_threshold
from ntjax.checkpoints import mini
from ntjax.checkpoints.published import PUBLISHED
from ntjax.datasets.data_settings import DataSettings
from ntjax.datasets.registry import DATASETS
from ntjax.errors import UserError
from ntjax.models.heads import LARGEST_BOTTLENECK
from ntjax.runs.folder import FILES
from ntjax.tasks import TASKS, check_select
from ntjax.training.class_weights import NO_WEIGHTS

_STEPS = 1000
# The embedded default: small enough for two CPU cores and two minutes. A small model takes, and
# needs, larger steps.
_FOR_MINI = {"steps": 300, "batch_size": 32, "head": "auto"}
_DATASET, _DATASET_FOR_MINI = "ecoli_promoters", "ecoli_coding_strand"

_AT_LEAST = {
    "steps": 1,
    "batch_size": 1,
    "accumulation": 1,
    "evaluate_every": 1,
    "lora_rank": 1,
    "head_bottleneck": 0,
    "head_queries": 1,
    "warmup_steps": 0,
    "weight_decay": 0,
    "gradient_clip": 0,
    "patience": 0,
    "seed": 0,
    "split_seed": 0,
    "folds": 0,
    "fold": 0,
}
_ABOVE_ZERO = ("learning_rate", "head_learning_rate", "lora_alpha")
# Settings that runs of earlier versions do not have.
_ADDED_LATER = (
    "positive_class",
    "split_seed",
    "head_bottleneck",
    "head_queries",
    "head_learning_rate",
    "augment_reverse_complement",
    "average_strands",
    "class_weights",
    "threshold",
    "group_column",
    "backbone_dropout",
    "folds",
    "fold",
    "fold_protocol",
)
# What they did without having the setting, where that is not its default today.
_IN_EARLIER_RUNS = {"augment_reverse_complement": "none", "average_strands": False}
# scikit-learn takes no larger ones, and to JAX, which keeps 32 bits, they would equal smaller ones.
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True)
class Settings(DataSettings):
    """All that decides a run's result. None stands for 'choose for me'."""

    model: str = mini.NAME
    """Published name (500M_1000G, 2B5_multi_species, ...), 'mini', or a folder of weights."""
    adapter: Literal[tuple(ADAPTERS)] = "ia3"  # type: ignore[valid-type]
    """What is trained besides the head."""
    start_from: str | None = None
    """Folder of a finished run with the same model and adapter. Start from its adapter and head, as
    a second stage on other rows."""
    steps: int | None = None
    """Optimiser steps. Default: 1000 (300 for mini)."""
    batch_size: int | None = None
    """Sequences per step, over all devices. Default: 8 (ia3), 16 (lora, full), 32 (head, mini),
    16 (bitfit)."""
    accumulation: int = 1
    """Split each batch into this many passes and accumulate gradients, to save memory."""
    learning_rate: float | None = None
    """Peak learning rate. Default: 3e-3 (ia3), 5e-4 (lora), 5e-5 (full), 1e-3 (head), 1e-3
    (bitfit); for mini 1e-2, 2e-3, 5e-4, 3e-3, 1e-2."""
    schedule: Literal["linear", "cosine", "inverse-sqrt"] = "linear"
    """Learning-rate decay after warm-up: linear to 0, half cosine to 0, or 1 / sqrt(step)."""
    warmup_steps: int = 0
    """Steps of linear warm-up; the first has 1 / (steps + 1) of the rate."""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay of matrices (never of IA3 vectors, biases and norms)."""
    gradient_clip: float = 1.0
    """Clip gradients to this global norm; 0 turns clipping off."""
    backbone_dropout: float = 0.0
    """Dropout rate, while training, of what attention and feed-forward add in each layer, with any
    adapter: against learning few rows by heart."""
    lora_rank: int = 8
    """LoRA: rank of the update."""
    lora_alpha: float = 16.0
    """LoRA: the update is scaled by alpha / rank."""
    lora_dropout: float = 0.1
    """LoRA: dropout rate on the input of the adapter branch."""
    lora_targets: tuple[str, ...] = ("query", "value")
    """LoRA: linear layers to adapt: query, key, value, mha_output, fc1, fc2."""
    head: Literal["auto", "cls", "mean", "tokens", "attention"] | None = None
    """What the head reads of the last layer: the <cls> position, the mean over the tokens of bases,
    all tokens side by side (rows of one length, at most 64 tokens), or means that learned queries
    make (attention, any length). auto: tokens for rows of one length up to 32 tokens, else mean.
    Default: cls (auto for mini)."""
    head_bottleneck: int = 0
    """--head tokens: width of a hidden layer between tokens and outputs, at most 64; 0 for none."""
    head_queries: int = 16
    """--head attention: number of queries."""
    head_learning_rate: float | None = None
    """Peak learning rate of the head. Default: that of the adapter; of the heads tokens and
    attention 2e-3, unless the head is trained alone."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the computation; trained parameters are float32 in both."""
    rematerialise: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    evaluate_every: int = 100
    """Steps between evaluations on the validation rows; each writes a checkpoint."""
    select: str | None = None
    """Validation metric that chooses the checkpoint: loss, accuracy, mcc, auroc, f1, ...; for
    --task regression loss, pearson, spearman, r2. Default: mcc; auprc (multilabel), the mean over
    the labels; r2 (regression)."""
    patience: int = 0
    """Stop after this many evaluations without improvement; 0 turns early stopping off."""
    class_weights: str = NO_WEIGHTS
    """How much a training row weighs in the loss: none (all the same), balanced (every class weighs
    the same in all), or by class, such as promoter=5. Uncalibrated probabilities are then those of
    classes of other shares; calibration brings them back."""
    threshold: str = EVEN
    """Where a row is called positive, of two classes: 0.5 (the likelier class), or chosen on the
    validation rows: validation-mcc (the highest MCC), precision=0.9 or fdr=0.05 (most calls of
    which at least 90%, or 95%, are right). Kept in the run; metrics of calls are at it."""
    baselines: bool = True
    """Train gradient boosting and a small CNN on the same rows, to compare with."""

    def adapter_config(self) -> AdapterConfig:
        """Return the adapter these settings describe: its options are settings KIND_OPTION."""
        if self.adapter not in ADAPTERS:
            return adapter_config(self.adapter)  # refuses it, naming those there are
        options = {
            name: getattr(self, f"{self.adapter}_{name}") for name in options_of(self.adapter)
        }
        return adapter_config(self.adapter, **options)


def complete(settings: Settings) -> tuple[Settings, dict[str, Any]]:
    """Fill in what was left open.

    Returns:
        The settings with what was chosen, and that by name. None stays where files were not given
        and where rows decide: of the head's learning rate and the share set aside to calibrate.
    """
    adapter = settings.adapter_config()
    bundled = settings.model in mini.NAMES
    suggested = {
        "train": _DATASET_FOR_MINI if bundled else _DATASET,
        "steps": _STEPS,
        "learning_rate": adapter.learning_rate_for_mini if bundled else adapter.learning_rate,
        "batch_size": adapter.batch_size,
        "head": "cls",
        **(_FOR_MINI if bundled else {}),
        "select": TASKS[settings.task].select if settings.task in TASKS else None,
    }
    suggested |= _strands(settings, settings.train or suggested["train"])
    given = asdict(settings)
    chosen = {name: value for name, value in suggested.items() if given[name] is None}
    # That nothing is done need not be said.
    said = {name: value for name, value in chosen.items() if value not in ("none", False)}
    return replace(settings, **chosen), said


def _strands(settings: Settings, train: Any) -> dict[str, Any]:
    """What is done with reverse complements: what is known of a data set, else nothing."""
    known = DATASETS[train].reverse_complement if train in DATASETS else "none"
    chosen = settings.augment_reverse_complement or known
    return {"augment_reverse_complement": chosen, "average_strands": chosen != "none"}


def option(name: str) -> str:
    """The option of a setting: `--learning-rate` of `learning_rate`."""
    return "--" + name.replace("_", "-")


def check(settings: Settings) -> None:
    """Refuse values that no run can use.

    Raises:
        UserError: names the option and what it can be.
    """
    for name, hint in get_type_hints(Settings).items():
        value = getattr(settings, name)
        problem = _problem(name, value) if is_a(value, hint) else f"should be {described(hint)}"
        if problem:
            raise UserError(f"{option(name)} is {value!r}: {problem}")
    _check_task(settings)


def _check_task(settings: Settings) -> None:
    """Refuse settings that do not go together with the kind of task."""
    if settings.select is not None:
        check_select(settings.task, settings.select)
    if settings.average_strands and settings.augment_reverse_complement in (None, "none"):
        raise UserError(
            "--average-strands needs --augment-reverse-complement same or flip-label, which says "
            "what the reverse complement of a row is"
        )
    if settings.class_weights != NO_WEIGHTS and settings.task != "classification":
        raise UserError(
            f"--class-weights {settings.class_weights} is for --task classification: leave it out"
        )
    if settings.augment_reverse_complement == "flip-label" and settings.task != "classification":
        raise UserError(
            "--augment-reverse-complement flip-label is for two classes: give same, or leave it out"
        )
    for name, head in (("head_bottleneck", "tokens"), ("head_queries", "attention")):
        given = getattr(settings, name) != getattr(Settings, name)
        if given and settings.head not in (head, "auto", None):
            raise UserError(f"{option(name)} is of --head {head}, not of {settings.head}")
    check_threshold(settings.threshold)
    if settings.threshold != EVEN and settings.task != "classification":
        raise UserError(f"--threshold {settings.threshold} is for two classes: leave it out")
    _check_folds(settings)
    columns = settings.label_columns()
    if len(set(columns)) < len(columns) or not all(columns):
        raise UserError(
            f"--label-column is {settings.label_column!r}: should name each column once, with one "
            "comma between two"
        )
    if settings.calibration_fraction == 0 and settings.calibration != "auto":
        raise UserError(
            f"--calibration {settings.calibration} needs rows, and --calibration-fraction 0 sets "
            "none aside: leave one of them out"
        )
    if settings.task == "regression" and settings.calibration != "auto":
        raise UserError(
            f"--calibration {settings.calibration} is for probabilities, which --task regression "
            "does not have: leave it out"
        )


def _check_folds(settings: Settings) -> None:
    folds, fold = settings.folds, settings.fold
    if not folds:
        if fold is not None:
            raise UserError(f"--fold {fold} needs --folds, the number of all folds")
        return
    if folds == 1:
        raise UserError("--folds is 1: give 2 or more, or 0 for one split")
    if fold is not None and fold >= folds:
        raise UserError(f"--fold is {fold}: should be at most {folds - 1}, counted from 0")


def _problem(name: str, value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "should be a finite number"
    if value is not None and name in _AT_LEAST and value < _AT_LEAST[name]:
        return f"should be at least {_AT_LEAST[name]}"
    if value is not None and name in _ABOVE_ZERO and value <= 0:
        return "should be above 0"
    if name in ("seed", "split_seed") and value is not None and value > LARGEST_SEED:
        return f"should be at most {LARGEST_SEED}"
    if name == "head_bottleneck" and value > LARGEST_BOTTLENECK:
        return f"should be at most {LARGEST_BOTTLENECK}"
    if name in ("lora_dropout", "backbone_dropout") and not 0 <= value < 1:
        return "should be at least 0 and below 1"
    return ""


def is_a(value: Any, hint: Any) -> bool:
    """Whether a value, as it may come from a file, is of the type of a setting."""
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) in (UnionType, Union):
        return any(is_a(value, choice) for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    if isinstance(value, bool):
        return hint is bool
    return isinstance(value, (int, float) if hint is float else hint)


def described(hint: Any) -> str:
    """What values a setting's type allows, for a message."""
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(get_args(hint))
    if get_origin(hint) in (UnionType, Union):
        return " or ".join(described(choice) for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return "a list of words"
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return names.get(hint, "left out")


def explicit(settings: Any, typed: Sequence[str] | None) -> dict[str, Any]:
    """Return the settings that were asked for.

    Arguments:
        settings: with the values of all options.
        typed: names of those that were given; None for those that differ from their defaults.
    """
    given = {field.name: getattr(settings, field.name) for field in fields(settings)}
    if typed is not None:
        return {name: value for name, value in given.items() if name in typed}
    return {f.name: given[f.name] for f in fields(settings) if given[f.name] != f.default}


def resumed(folder: Path, given: Mapping[str, Any], own: Any, files: Sequence[str] = FILES) -> Any:
    """Return the settings to resume a run with: its own, which what is given must agree with.

    A file that is named anew is read instead of the one that was named before, which may have
    moved, and so is a model's; that the content is the same is checked when it has been read.

    Arguments:
        folder: of the run.
        given: what was asked for explicitly, by name.
        own: the settings that the run was begun with.
        files: names of the settings that name files.

    Raises:
        UserError: names the options, and what the run was begun with.
    """
    moved = [name for name in given if name in files or (name == "model" and _is_path(given[name]))]
    settings = replace(own, **{name: given[name] for name in moved})
    changed = [name for name in given if given[name] != getattr(settings, name)]
    if not changed:
        return settings
    wanted = ", ".join(f"{option(name)} {given[name]}" for name in changed)
    had = ", ".join(f"{option(name)} {getattr(own, name)}" for name in changed)
    more = "" if changed != ["steps"] else f" (to train it further: --start-from {folder})"
    raise UserError(
        f"{folder}: cannot resume with {wanted}: the run was begun with {had}; leave it out, "
        f"or begin a new run in another --out{more}"
    )


def _is_path(model: str) -> bool:
    name = model.partition("@")[0]
    return name not in ("", *mini.NAMES, *PUBLISHED) and Path(model).exists()


def from_saved(saved: Any, partial: bool = False) -> Settings:
    """Rebuild settings as they stand in a run's `config.json`.

    Arguments:
        saved: settings by name.
        partial: whether settings may be missing, such as in a file written by hand.

    Raises:
        UserError: a key is missing or unknown, or a value is unusable.
    """
    if not isinstance(saved, Mapping):
        raise UserError("it holds no settings")
    known = [field.name for field in fields(Settings)]
    for name in saved:
        refuse_unknown(name)
    missing = [name for name in known if name not in saved and name not in _ADDED_LATER]
    if missing and not partial:
        raise UserError(f"missing setting {', '.join(missing)}")
    if not partial:
        saved = _IN_EARLIER_RUNS | dict(saved)
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in saved.items()}
    settings = Settings(**values)
    check(settings)
    return settings


def refuse_unknown(name: str) -> None:
    """Refuse a setting that does not exist.

    Raises:
        UserError: names the nearest one.
    """
    known = [field.name for field in fields(Settings)]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise UserError(
            f"unknown setting {name!r}" + (f", did you mean {near[0]!r}?" if near else "")
        )
