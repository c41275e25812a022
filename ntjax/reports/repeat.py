"""The command that repeats a run, from its settings."""

import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ntjax.training.finetune import GIVEN_ROWS
from ntjax.training.settings import Settings, option

_ROWS = ("train", "validation", "test")


def repeating_command(settings: Mapping[str, Any], sweep: tuple[str, ...] = ()) -> str:
    """Return the command that repeats a run, a line for each option.

    Settings that have their default value are left out; those that were chosen for the user are
    named, since another version may choose others.

    >>> print(repeating_command({"adapter": "lora", "steps": 300, "lora_rank": 8}))
    python -m ntjax.finetune \\
      --adapter lora \\
      --steps 300

    Arguments:
        settings: by name, as in `config.json`.
        sweep: swept values, as in `sweep.json`.
    """
    words = ["python -m ntjax.finetune"]
    words += [_typed(name, value) for name, value in _own(settings).items()]
    if sweep:
        words.append("--sweep " + " ".join(map(shlex.quote, sweep)))
    return " \\\n  ".join(words)


def repeating_call(settings: Mapping[str, Any], sweep: tuple[str, ...] = ()) -> str:
    """Return the call that repeats a run of rows that a program handed over."""
    own = {name: value for name, value in _own(settings).items() if value != GIVEN_ROWS}
    model = own.pop("model", Settings.model)
    own.pop("baselines", None)
    if settings.get("baselines"):  # the command's default is not that of the call
        own["baselines"] = True
    rows = [name for name in _ROWS if settings.get(name) == GIVEN_ROWS]
    arguments = [repr(model), *(f"{name}=(sequences, labels)" for name in rows)]
    if sweep:
        vary = {
            name: texts.split(",") for name, _, texts in (text.partition("=") for text in sweep)
        }
        arguments.append(f"vary={vary!r}")
    arguments += [f"{name}={value!r}" for name, value in own.items()]
    name = "sweep" if sweep else "fine_tune"
    return f"ntjax.{name}(\n    " + ",\n    ".join(arguments) + ",\n)"


def is_of_given_rows(settings: Mapping[str, Any]) -> bool:
    """Tell whether a program handed rows over, which no command can name."""
    return any(settings.get(name) == GIVEN_ROWS for name in _ROWS)


def _own(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings other than the defaults, in the order of `--help`."""
    defaults = {field.name: field.default for field in fields(Settings)}
    return {
        name: settings[name]
        for name, default in defaults.items()
        if name in settings and settings[name] is not None and not _same(settings[name], default)
    }


def _same(value: Any, default: Any) -> bool:
    # Tuples come back from JSON as lists.
    return list(value) == list(default) if isinstance(default, tuple) else value == default


def _typed(name: str, value: Any) -> str:
    if isinstance(value, bool):
        if isinstance(getattr(Settings, name, None), bool):
            return option(name) if value else option("no_" + name)
        return f"{option(name)} {value}"
    if isinstance(value, list | tuple):
        return " ".join([option(name), *(shlex.quote(str(item)) for item in value)])
    return f"{option(name)} {shlex.quote(str(value))}"
