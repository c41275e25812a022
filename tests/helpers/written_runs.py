"""Run folders as training leaves them, from arrays: what pages are tested on without training."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ntjax.io.json import write_json
from ntjax.io.table_output import write_columns
from ntjax.runs.predictions import calibrate, reliability, score_outputs
from ntjax.tasks import Classification, MultiLabel, Regression, Task
from ntjax.training.settings import Settings, complete

TASKS = {
    "two": Classification(("forward", "reverse")),
    "three": Classification(("none", "weak", "strong")),
    "labels": MultiLabel(("TATA", "GC box")),
    "value": Regression(("expression",), mean=3.0, spread=2.0),
}
VERSIONS = {"python": "3.11.7", "ntjax": "0.1.0", "jax": "0.10.2"}


def drawn(task: Task, rows: int, seed: int, signal: float = 0.8):
    """Labels as the task encodes them, and outputs of a head that knows something of them."""
    labels_from, noise_from = np.random.default_rng(0), np.random.default_rng(seed + 1)
    number = len(task.outputs)
    if isinstance(task, Regression):
        labels = labels_from.normal(3.0, 2.0, rows)
        return labels, ((labels - 3) / 2 + noise_from.normal(size=rows) / signal)[:, None]
    if isinstance(task, MultiLabel):
        labels = labels_from.integers(-1, 2, (rows, number))
        return labels, signal * (2 * (labels == 1) - 1) + noise_from.normal(size=labels.shape)
    labels = labels_from.integers(0, number, rows)
    hits = np.eye(number)[labels]
    return labels, signal * hits + noise_from.normal(size=(rows, number))


def write_run(
    folder: Path,
    kind: str = "two",
    *,
    rows: int = 200,
    seed: int = 0,
    signal: float = 0.8,
    calibrated: bool = True,
    baselines: bool = True,
    names=None,
    classes: tuple[str, ...] | None = None,
    adapter: str = "ia3",
    sha256: str = "test",
    notes=("12 of 200 test rows share a 16-mer with a training row, on either strand",),
) -> Path:
    """Write a run of a task, with all files that a page reads."""
    task = TASKS[kind] if classes is None else Classification(classes)
    labels, outputs = drawn(task, rows, seed, signal)
    names = [f"row{number}" for number in range(rows)] if names is None else names
    groups = np.arange(rows) // 2
    calibration = None
    if calibrated:
        calibration = calibrate(task, 8 * outputs, labels)  # far from calibrated, so that it helps
        outputs = 8 * outputs
    metrics, values, after = score_outputs(task, outputs, labels, calibration, seed, groups)
    texts = _texts(task, labels)
    predictions = {
        "name": names,
        **task.label_columns(texts),
        **task.value_columns(outputs, values, after),
        "row": list(range(2, rows + 2)),
    }
    settings, _ = complete(
        Settings(train="rows.csv", task=task.kind, adapter=adapter, steps=40, seed=seed)
    )
    part = {"source": "rows.csv", "rows": rows}
    write_json(
        folder / "config.json",
        {
            "settings": asdict(settings),
            "model": {"name": "mini", "weights": "sha256-d8e7"},
            "data": {
                name: part | {"sha256": sha256 if name == "test" else name}
                for name in ("train", "validation", "calibration", "test")
            },
            "classes": list(task.outputs),
            "notes": list(notes),
            "versions": VERSIONS,
            "devices": {"platform": "cpu", "count": 1},
        },
    )
    select = settings.select
    write_json(
        folder / "adapter.json",
        {
            "model": {"name": "mini"},
            "adapter": {"kind": adapter},
            "head": {"pooling": "mean", "outputs": len(task.outputs)},
            "task": task.to_dict(),
            "classes": list(task.outputs),
            "training": {"best_step": 20, select: 0.75},
        },
    )
    log = [
        {"step": step, "loss": 1 / step, "learning_rate": 0.01}
        | ({"validation_loss": 0.3, f"validation_{select}": step / 40} if step % 20 == 0 else {})
        for step in range(10, 41, 10)
    ]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in log))
    write_columns(folder / "predictions.csv", predictions)
    write_columns(
        folder / "splits.csv",
        {
            "part": ["train", *["test"] * rows],
            "source": ["rows.csv"] * (rows + 1),
            "row": [1, *range(2, rows + 2)],
            "name": ["other", *names],
            "group": ["", *groups],
        },
    )
    if task.has_probabilities:
        curves = {
            "uncalibrated": reliability(task, labels, values),
            "calibrated": reliability(task, labels, after),
        }
        write_json(folder / "reliability.json", curves)
    if baselines:
        weaker = drawn(task, rows, seed + 1, 0.5)[1]
        scores, _, _ = score_outputs(task, weaker, labels, None, seed, groups)
        write_json(folder / "baselines.json", {"gradient boosting": scores, "CNN": scores})
    write_json(folder / "test_metrics.json", metrics)
    return folder


def _texts(task: Task, labels: np.ndarray) -> list[str]:
    """Labels as they stand in a file."""
    if isinstance(task, Regression):
        return [str(value) for value in labels]
    if isinstance(task, MultiLabel):
        return [",".join("" if cell < 0 else str(cell) for cell in row) for row in labels]
    return [task.outputs[label] for label in labels]
