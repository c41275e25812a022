"""The settings of a pre-training run: what a user gave, and what the recipe says for the rest."""

import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

from ntjax.checkpoints import mini
from ntjax.datasets.pretraining import PretrainDataSettings
from ntjax.errors import UserError
from ntjax.training.settings import LARGEST_SEED, described, is_a, option

RECIPES: dict[str, dict[str, Any]] = {
    # A small model on one machine.
    "small": {
        "window_tokens": 128,
        "tokens_per_update": 4096,
        "steps": 4000,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "warmup_steps": 200,
        "warmup_from": 0.0,
        "weight_decay": 0.01,
        "gradient_clip": 1.0,
    },
    # The Nucleotide Transformer's, as the paper's slides give it.
    "paper": {
        "window_tokens": 1000,
        "tokens_per_update": 1_000_000,
        "steps": 300_000,
        "learning_rate": 1e-4,
        "schedule": "inverse-sqrt",
        "warmup_steps": 16_000,
        "warmup_from": 0.5,
        "weight_decay": 0.0,
        "gradient_clip": 0.0,
    },
}

# Weights that have been trained would be lost at the rate that random ones need.
_RATE_OF_TRAINED = 1e-4


@dataclass(frozen=True)
class PretrainSettings(PretrainDataSettings):
    """All that decides a run's result. None stands for 'as the recipe says'."""

    model: str = mini.NAME
    """Starting point: a published name, 'mini' or a folder continues from its weights; a
    hyperparams.json in the official format starts from random weights."""
    recipe: Literal["small", "paper"] = "small"
    """Where the options below come from unless given: 'small' for a small model on one machine,
    'paper' for the Nucleotide Transformer's own (a million tokens an update)."""
    window_tokens: int | None = None
    """Tokens of a window, <cls> included. small: 128, paper: 1000."""
    tokens_per_update: int | None = None
    """Tokens of an optimiser step, over all devices and passes. small: 4096, paper: 1,000,000."""
    steps: int | None = None
    """Optimiser steps. small: 4000, paper: 300,000."""
    learning_rate: float | None = None
    """Peak learning rate. small: 2e-3 from random weights, 1e-4 from a model's; paper: 1e-4."""
    schedule: Literal["linear", "cosine", "inverse-sqrt"] | None = None
    """Decay after the warm-up. small: cosine, paper: inverse-sqrt."""
    warmup_steps: int | None = None
    """Steps of linear warm-up. small: 200, paper: 16,000; with --steps at most a tenth of them."""
    warmup_from: float | None = None
    """Share of the peak learning rate that the warm-up begins with. small: 0, paper: 0.5."""
    weight_decay: float | None = None
    """AdamW's decoupled weight decay of matrices. small: 0.01, paper: 0."""
    gradient_clip: float | None = None
    """Largest global norm of the gradient; 0 for none. small: 1, paper: 0."""
    masking: Literal["80/10/10", "80/0/20", "80/20/0"] = "80/10/10"
    """Percentages of the chosen tokens that are masked, replaced by another k-mer, left
    unchanged."""
    masked_share: float = 0.15
    """Share of the tokens that are chosen."""
    initial_kmers: Literal["letters", "independent"] = "letters"
    """Random weights only: initialise k-mer embeddings as sums over their bases ('letters'), or
    independently (as published)."""
    tokens_per_pass: int = 32_768
    """Most tokens per device in one forward and backward pass; an update accumulates as many passes
    as it needs."""
    evaluate_every: int = 250
    """Steps between evaluations; each writes a checkpoint."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the computation; trained parameters are float32 in both."""
    rematerialise: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""


def begins_anew(model: str) -> bool:
    """Whether a run begins with random weights: its model is a file of hyperparameters."""
    return Path(model).is_file()


def complete(settings: PretrainSettings) -> tuple[PretrainSettings, dict[str, Any]]:
    """Fill in what was left open; returns the settings and what the recipe said.

    Raises:
        UserError: a value that no run can use.
    """
    _check_types(settings)
    recipe = RECIPES[settings.recipe]
    if not begins_anew(settings.model):
        recipe = recipe | {"learning_rate": _RATE_OF_TRAINED}
    given = asdict(settings)
    chosen = {name: value for name, value in recipe.items() if given[name] is None}
    if chosen.get("warmup_steps", 0) and given["steps"] is not None:
        # A short run has a short warm-up.
        chosen["warmup_steps"] = min(chosen["warmup_steps"], given["steps"] // 10)
    settings = replace(settings, **chosen)
    _check(settings)
    return settings, chosen


_POSITIVE = (
    "window_tokens",
    "tokens_per_update",
    "steps",
    "learning_rate",
    "tokens_per_pass",
    "block_letters",
    "evaluate_every",
)
_NOT_NEGATIVE = ("warmup_steps", "weight_decay", "gradient_clip", "seed")


def _check_types(settings: PretrainSettings) -> None:
    for name, hint in get_type_hints(PretrainSettings).items():
        value = getattr(settings, name)
        if not is_a(value, hint):
            raise UserError(f"{option(name)} is {value!r}: should be {described(hint)}")


def _check(settings: PretrainSettings) -> None:
    for name in (*_POSITIVE, *_NOT_NEGATIVE):
        value = getattr(settings, name)
        least = "above 0" if name in _POSITIVE else "at least 0"
        if not (math.isfinite(value) and (value > 0 if name in _POSITIVE else value >= 0)):
            raise UserError(f"{option(name)} is {value!r}: should be {least}")
    for name in ("masked_share", "validation_fraction", "test_fraction"):
        if not 0 < getattr(settings, name) < 1:
            raise UserError(
                f"{option(name)} is {getattr(settings, name)!r}: should be above 0 and below 1"
            )
    if settings.validation_fraction + settings.test_fraction >= 1:
        raise UserError("--validation-fraction and --test-fraction leave nothing to train on")
    if not 0 <= settings.warmup_from <= 1:
        raise UserError(f"--warmup-from is {settings.warmup_from!r}: should be from 0 to 1")
    if settings.seed > LARGEST_SEED:
        raise UserError(f"--seed is {settings.seed}: should be at most {LARGEST_SEED}")
    if settings.masked_share * settings.tokens_per_update < 1:
        raise UserError(
            f"--masked-share {settings.masked_share} of --tokens-per-update "
            f"{settings.tokens_per_update} is less than one token: raise one of them"
        )


def from_saved(saved: Any) -> PretrainSettings:
    """Settings as they stand in a run's `config.json`.

    Raises:
        UserError: keys are missing or unknown.
    """
    names = {field.name for field in fields(PretrainSettings)}
    if not isinstance(saved, dict) or saved.keys() != names:
        raise UserError("it does not hold the settings of a pre-training run")
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in saved.items()}
    return PretrainSettings(**values)
