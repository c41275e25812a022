"""`--sweep`: the members of a population, from what the user writes.

--sweep learning_rate=1e-4,3e-4,1e-3          these values
--sweep lora_dropout=0.1:0.9:0.1              0.1, 0.2, ... 0.9: both ends, in steps of 0.1
--sweep lora_rank=4,8 seed=0:5                every rank with each of the seeds 0, 1, 2, 3, 4
"""

import difflib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, DecimalException
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from ntjax.adapters import ADAPTERS, options_of
from ntjax.errors import UserError
from ntjax.training.settings import Settings, complete

SWEPT = (
    "adapter",
    "steps",
    "batch_size",
    "learning_rate",
    "schedule",
    "warmup_steps",
    "weight_decay",
    "gradient_clip",
    "backbone_dropout",
    "lora_rank",
    "lora_alpha",
    "lora_dropout",
    "head",
    "head_bottleneck",
    "head_queries",
    "head_learning_rate",
    "seed",
    "fold",
)
_MOST_MEMBERS = 1000


class SweptSettings(NamedTuple):
    """One member of a sweep: the values that are its own, and all its settings."""

    values: dict[str, Any]
    settings: Settings

    @property
    def name(self) -> str:
        """Such as `lora_dropout=0.1,seed=0`; the name of the member's folder."""
        return ",".join(f"{name}={_text(value)}" for name, value in self.values.items())


def swept_names(sweep: Sequence[str]) -> list[str]:
    """The settings that members differ in."""
    return [_axis(text)[0] for text in sweep]


def written(vary: Mapping[str, Iterable[Any]]) -> list[str]:
    """Write values as a user of the command would: `{"seed": range(2)}` is `["seed=0,1"]`.

    >>> written({"lora_dropout": [0.1, 0.4], "seed": range(2)})
    ['lora_dropout=0.1,0.4', 'seed=0,1']
    """
    return [f"{name}={','.join(map(_text, values))}" for name, values in vary.items()]


def with_folds(settings: Settings, sweep: Sequence[str]) -> list[str]:
    """Add the folds of a cross-validation to what is swept, unless they are there."""
    if settings.folds < 2 or not settings.cross_validates or "fold" in swept_names(sweep):
        return list(sweep)
    return [*sweep, f"fold=0:{settings.folds}"]


def expand(settings: Settings, sweep: Sequence[str]) -> list[SweptSettings]:
    """Every combination of the values in `sweep`, the last one varying fastest.

    Arguments:
        settings: what all members have in common, as the user gave it.
        sweep: `name=values` each; see the module's docstring.

    Raises:
        UserError: a text that can't be read, or a setting that can't be swept or isn't used.
    """
    axes = dict(_axis(text) for text in sweep)
    if len(axes) < len(sweep):
        raise UserError(f"--sweep {' '.join(sweep)}: the same setting stands there twice")
    combinations = list(itertools.islice(itertools.product(*axes.values()), _MOST_MEMBERS + 1))
    if len(combinations) > _MOST_MEMBERS:
        raise UserError(
            f"--sweep {' '.join(sweep)}: that is more than {_MOST_MEMBERS:,} runs; sweep fewer "
            "values, or settings one after the other"
        )
    members = []
    for combination in combinations:
        values = dict(zip(axes, combination, strict=True))
        completed, _ = complete(replace(settings, **values))
        _refuse_unused(values, completed)
        members.append(SweptSettings(values, completed))
    if len({member.name for member in members}) < len(members):
        raise UserError(f"--sweep {' '.join(sweep)}: two members would have the same name")
    return members


def _refuse_unused(values: dict[str, Any], settings: Settings) -> None:
    own = {f"{settings.adapter}_{name}" for name in options_of(settings.adapter)}
    of_adapters = {f"{kind}_{name}" for kind in ADAPTERS for name in options_of(kind)}
    if unused := [name for name in values if name in of_adapters - own]:
        raise UserError(
            f"--sweep {unused[0]}: the adapter '{settings.adapter}' has no such number, so that "
            f"all members would be the same; add --adapter {unused[0].partition('_')[0]}"
        )


def _axis(text: str) -> tuple[str, list[Any]]:
    name, mark, listed = text.partition("=")
    name = name.strip().lstrip("-").replace("-", "_")
    if name not in SWEPT:
        near = difflib.get_close_matches(name, SWEPT, n=1)
        hint = f"did you mean {near[0]}?" if near else f"can be swept: {', '.join(SWEPT)}"
        raise UserError(f"--sweep {text}: {name or '(nothing)'} can't be swept; {hint}")
    if not mark or not listed.strip():
        raise UserError(
            f"--sweep {text}: give values, such as {name}=A,B or {name}=FIRST:LAST:STEP"
        )
    try:
        texts = _range(listed) if ":" in listed else [item.strip() for item in listed.split(",")]
        values = [_value(name, item) for item in texts]
    except (ValueError, DecimalException) as error:
        problem = error if isinstance(error, ValueError) else "not a number"
        raise UserError(
            f"--sweep {text}: {problem}; write values as A,B,C, whole numbers as FIRST:END (the "
            "end left out), others as FIRST:LAST:STEP (both ends included)"
        ) from None
    if len(set(values)) < len(values):
        raise UserError(f"--sweep {text}: a value stands there twice")
    return name, values


def _range(text: str) -> list[str]:
    """The numbers of `FIRST:END` or `FIRST:LAST:STEP`; decimal, so that 0.1 + 0.2 is 0.3."""
    parts = [Decimal(part) for part in text.split(":")]
    if not all(part.is_finite() for part in parts) or len(parts) > 3:
        raise ValueError(f"{text} is not a range")
    if len(parts) == 2:
        if any(part != part.to_integral() for part in parts):
            raise ValueError(f"{text} needs a step: FIRST:LAST:STEP")
        parts = [parts[0], parts[1] - 1, Decimal(1)]
    first, last, step = parts
    if step <= 0 or last < first:
        raise ValueError(f"{text} holds no number")
    if (last - first) / step >= _MOST_MEMBERS:
        raise ValueError(f"{text} holds more than {_MOST_MEMBERS:,} numbers")
    count = int((last - first) / step) + 1
    return [format((first + number * step).normalize(), "f") for number in range(count)]


def _value(name: str, text: str) -> Any:
    hint = get_type_hints(Settings)[name]
    if get_origin(hint) in (UnionType, Union):
        hint = next(choice for choice in get_args(hint) if choice is not type(None))
    if get_origin(hint) is Literal:
        if text not in get_args(hint):
            raise ValueError(f"{text!r} is not one of {', '.join(get_args(hint))}")
        return text
    try:
        return hint(text)
    except ValueError:
        kind = "a whole number" if hint is int else "a number"
        raise ValueError(f"{text!r} is not {kind}") from None


def _text(value: Any) -> str:
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)
