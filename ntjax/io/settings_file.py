"""Settings in a file: JSON or YAML."""

import json
import re
from pathlib import Path
from typing import Any

from ntjax.errors import UserError

# A number that YAML 1.1 takes for text, since it has no point.
_EXPONENT = re.compile(r"[+-]?\d+e[+-]?\d+", re.IGNORECASE | re.ASCII)


def read_settings(path: Path) -> dict[str, Any]:
    """Read names and values.

    Raises:
        UserError: the file is missing, or holds no names with values.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--config {path}: cannot be read ({error})") from None
    content = _parsed(text, path)
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise UserError(
            f"--config {path}: should hold settings as names and values, such as a run's "
            "config.json, or lines like 'learning_rate: 0.001'"
        )
    return {name: _number(value) for name, value in content.items()}


def _parsed(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--config {path}: is neither JSON nor YAML ({reason})") from None


def _number(value: Any) -> Any:
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)
    return value
