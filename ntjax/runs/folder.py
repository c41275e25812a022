"""The folder of a run: its files, whether it may be used, and whose it is."""

from pathlib import Path
from typing import Any

from ntjax.errors import UserError
from ntjax.io.json import as_json, read_json, write_json

CONFIG_FILE, RESULT_FILE, PREDICTIONS_FILE = "config.json", "test_metrics.json", "predictions.csv"
ADAPTER_FILE, DESCRIPTION_FILE = "adapter.safetensors", "adapter.json"
RELIABILITY_FILE, SPLITS_FILE, BASELINES_FILE = "reliability.json", "splits.csv", "baselines.json"
LOG_FILE, SWEEP_FILE, FOLDS_FILE = "metrics.jsonl", "sweep.json", "folds.json"

FILES = ("train", "validation", "test", "start_from")
"""Settings of fine-tuning that name files; when resuming, content is compared and not names."""
GENOME_FILES = ("genomes", "genome_table", "variants", "validation_genomes", "held_out_genomes")
"""The same of pre-training."""


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
        then, now = before[part], as_json(content[part])
        if part == "settings" and isinstance(then, dict):
            # A run of an earlier version lacks settings that were added since, and goes on with
            # what it did without them.
            now = {name: value for name, value in now.items() if name in then}
        if changed := _changed(_identity(then), _identity(now)):
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
    """Return the revision of the published model that a run was begun with; it may have changed."""
    saved = read_json(folder / CONFIG_FILE)
    model = saved.get("model") if isinstance(saved, dict) else None
    return model.get("revision") if isinstance(model, dict) else None


def _identity(part: Any) -> Any:
    """A part of `config.json` without where things lay, which may change."""
    if isinstance(part, list):
        return [_identity(item) for item in part]
    if not isinstance(part, dict):
        return part
    # A model in a folder is called by its path.
    places = {
        "source",
        "path",
        "revision",
        "model",
        *FILES,
        *GENOME_FILES,
        *(["name"] if "path" in part else []),
    }
    return {
        key: _identity(value)
        for key, value in part.items()
        if key not in places or _is_described(value)
    }


def _is_described(value: Any) -> bool:
    """Whether a value says what a file holds, not only where it is."""
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_is_described, value)))


def _changed(before: Any, now: dict[str, Any]) -> list[str]:
    if not isinstance(before, dict):
        return list(now)
    return [name for name in {**now, **before} if now.get(name) != before.get(name)]


def refuse_occupied(folder: Path, can_resume: bool = True) -> None:
    """Refuse a folder that holds anything, before any time is spent.

    Arguments:
        folder: for the results.
        can_resume: whether the command could go on with a run that it holds.

    Raises:
        UserError: it is not empty, or not a folder.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is in use: it is a file; give a folder for --out")
    if folder.exists() and any(map(_is_a_result, folder.iterdir())):
        holds_run = any((folder / name).exists() for name in (CONFIG_FILE, SWEEP_FILE))
        hint = ", or add --resume to go on with the run in it" if can_resume and holds_run else ""
        raise UserError(f"{folder} is in use: give another --out{hint}")


def _is_a_result(path: Path) -> bool:
    """Not what `written_atomically` leaves behind when it is killed."""
    return not (path.name.startswith(".") and path.name.endswith(".tmp"))
