"""JSON files that appear whole or not at all."""

import json
import sys
from pathlib import Path
from typing import Any

from ntjax.errors import UserError
from ntjax.io.files import write_bytes


def write_json(path: Path, content: Any) -> None:
    """Write JSON beside the file and rename it into place."""
    data = (json.dumps(content, indent=1) + "\n").encode()
    write_bytes(path, data)


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: it is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing; is {path.parent} the folder of a run?") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as JSON ({error}); restore it") from None


def read_record(path: Path) -> dict[str, Any]:
    """Read a JSON object of ours; an empty one if the file is not there.

    Raises:
        UserError: it is something else.
    """
    if not path.exists():
        return {}
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: is not what ntjax has written; restore it")
    return content


def as_json(value: Any) -> Any:
    """Return a value as it comes back from JSON: tuples are lists."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    return [as_json(item) for item in value] if isinstance(value, (list, tuple)) else value


def finite_number(value: Any, name: str) -> float:
    """A number of a saved description.

    Raises:
        ValueError: it is not a number, or not finite; the message begins with `name`.
    """
    largest = sys.float_info.max
    if type(value) in (int, float) and -largest <= value <= largest:
        return float(value)
    raise ValueError(f"{name} is {value!r:.40}, not a finite number")
