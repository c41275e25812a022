"""What a run has left, as records and columns: enough for a report, without its model.

A folder of an earlier version, or one of which only a part is at hand, lacks files. What was in
them is then empty, and `missing` names them.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntjax.errors import UserError
from ntjax.io.json import as_json, read_record
from ntjax.runs.folder import (
    BASELINES_FILE,
    CONFIG_FILE,
    DESCRIPTION_FILE,
    LOG_FILE,
    PREDICTIONS_FILE,
    RELIABILITY_FILE,
    RESULT_FILE,
    SPLITS_FILE,
)
from ntjax.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

Columns = dict[str, Any]
"""By name: texts in a list, numbers in a float64 array."""
_TEXTS = ("name", "label", "call", "row", "part", "source", "group")


@dataclass(frozen=True)
class Results:
    """What a run has left.

    Attributes:
        config: the content of `config.json`: settings, versions, hashes of the data.
        description: of adapter, head and task, as in `adapter.json`.
        metrics: the content of `test_metrics.json`.
        history: lines of `metrics.jsonl`.
        reliability: the content of `reliability.json`.
        predictions: columns of `predictions.csv`: names, labels, calls and rows as texts, numbers
            as float64 [rows], NaN where a cell is empty; of several classes without their logits.
        splits: columns of `splits.csv`, as texts.
        baselines: test metrics of the baselines by name.
        missing: names of the files that are not there.
    """

    config: dict[str, Any]
    description: dict[str, Any]
    metrics: dict[str, Any]
    history: list[dict[str, Any]]
    reliability: dict[str, Any]
    predictions: Columns
    splits: Columns
    baselines: dict[str, Any]
    missing: tuple[str, ...] = ()

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of training by name."""
        return self.config.get("settings") or {}

    @property
    def kind(self) -> str:
        """The kind of task."""
        saved = self.description.get("task") or {}
        return str(saved.get("kind") or self.settings.get("task") or "classification")

    @property
    def classes(self) -> list[str]:
        """Names of the classes, labels or the value."""
        return list(self.description.get("classes") or self.config.get("classes") or [])

    @property
    def adapter(self) -> str:
        """The kind of adapter."""
        saved = self.description.get("adapter") or {}
        return str(saved.get("kind") or self.settings.get("adapter") or "")

    @property
    def model(self) -> str:
        """The model's name; the last part of a path."""
        name = (self.config.get("model") or self.description.get("model") or {}).get("name")
        return Path(name).name if name else "a model"

    @property
    def test_groups(self) -> np.ndarray | None:
        """Groups of related test rows, int64 [rows]; None if they are not at hand."""
        parts, groups = (self.splits.get(name, []) for name in ("part", "group"))
        own = [int(group) for part, group in zip(parts, groups, strict=False) if part == "test"]
        rows = len(next(iter(self.predictions.values()), ()))
        return np.array(own, np.int64) if own and len(own) == rows else None

    def numbers(self, column: str) -> np.ndarray:
        """Return a column of the predictions as float64 [rows]; NaN where a cell is empty."""
        return _numbers(self.predictions[column])


def read_results(folder: Path) -> Results:
    """Read what is at hand of a run.

    Raises:
        UserError: there is no such folder, no run in it, or a file is damaged.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; give that of a run or a sweep")
    if not any((folder / name).exists() for name in (CONFIG_FILE, DESCRIPTION_FILE, RESULT_FILE)):
        raise UserError(
            f"{folder}: holds no run and no sweep; give the --out of python -m ntjax.finetune"
        )
    missing = [
        name
        for name in (CONFIG_FILE, DESCRIPTION_FILE, RESULT_FILE, LOG_FILE, PREDICTIONS_FILE)
        if not (folder / name).exists()
    ]
    return Results(
        config=read_record(folder / CONFIG_FILE),
        description=read_record(folder / DESCRIPTION_FILE),
        metrics=read_record(folder / RESULT_FILE),
        history=read_history(folder / LOG_FILE),
        reliability=read_record(folder / RELIABILITY_FILE),
        predictions=_columns(folder / PREDICTIONS_FILE),
        splits=_columns(folder / SPLITS_FILE),
        baselines=read_record(folder / BASELINES_FILE),
        missing=tuple(missing),
    )


def results_of(run: Run) -> Results:
    """Return the same of a run in memory.

    Raises:
        UserError: it was loaded from nowhere: nothing is known of how it was made.
    """
    if run.record is None:
        if run.folder is None:
            raise UserError("nothing is known of how this run was made: there is nothing to report")
        return read_results(run.folder)
    import pandas as pd  # slow to load: only where there is a table

    record = run.record
    description = {
        "adapter": asdict(run.adapter),
        "head": run.head.to_dict(),
        "task": run.task.to_dict(),
        "classes": list(run.task.outputs),
        "calibration": run.calibration and run.calibration.to_dict(),
        "training": dict(run.training),
        "strands": asdict(run.strands),
    }
    return Results(
        config=as_json(record.config),
        description=as_json(description),
        metrics=run.metrics,
        history=record.history,
        reliability=record.reliability or {},
        predictions=_columns_of(pd.DataFrame(dict(record.predictions))),
        splits=_columns_of(pd.DataFrame(dict(record.splits))),
        baselines=record.baselines,
    )


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read the lines of `metrics.jsonl`; a line that a crash has cut off is left out."""
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            continue
    return [line for line in lines if isinstance(line, dict) and "step" in line]


def _columns(path: Path) -> Columns:
    if not path.exists():
        return {}
    import pandas as pd  # slow to load: only where there is a table

    try:
        frame = pd.read_csv(
            path,
            usecols=lambda name: not name.startswith("logit["),  # nothing is made of them
            dtype=str,  # numbers are read by Python, which rounds none of their digits
            keep_default_na=False,
        )
    except ValueError as error:
        raise UserError(f"{path}: cannot be read as CSV ({error}); restore it") from None
    return _columns_of(frame)


def _columns_of(frame: "pd.DataFrame") -> Columns:
    return {
        str(name): list(map(str, frame[name].tolist())) if name in _TEXTS else _numbers(frame[name])
        for name in frame.columns
        if not str(name).startswith("logit[")
    }


def _numbers(cells: Any) -> np.ndarray:
    """Cells as float64 [rows]; NaN where one is empty."""
    cells = np.asarray(cells)
    if cells.dtype.kind in "OUT":
        cells = np.where(cells == "", "nan", cells)
    return cells.astype(np.float64)
