"""The 18 tasks of both sets beside the published figures."""

from pathlib import Path
from typing import Any

from ntjax.datasets.nt_benchmark import PUBLISHED_MODELS, BenchmarkTask, tasks_of
from ntjax.reports.page import Block, Table, Text

NAME, TITLE = "tasks", "The 18 tasks of both sets"


def run(folder: Path, runs: Path) -> dict[str, Any]:
    """List what the registry knows; nothing is measured."""
    return {
        release: [_described(task) for task in tasks_of(release)]
        for release in ("original", "revised")
    }


def _described(task: BenchmarkTask) -> dict[str, Any]:
    return {
        "name": task.name,
        "description": task.description,
        "bp": task.length,
        "classes": task.classes,
        "train_rows": task.rows[0],
        "test_rows": task.rows[1],
        "published_mcc": dict(task.published),
    }


def blocks(record: dict[str, Any]) -> tuple[Block, ...]:
    """Lay out a table for each set."""
    found: list[Block] = [
        Text(
            "Published: MCC of the preprint after fine-tuning (IA³), without standard deviations. "
            "No file of these tasks' training rows is at hand where this page is made, so that no "
            "column of our own stands beside them. The two sets share names and no rows."
        )
    ]
    for release, tasks in record.items():
        figures = PUBLISHED_MODELS if release == "original" else ()
        heads = ("data set", "what", "bp", "classes", "training", "test", *figures)
        rows = tuple(
            (
                f"`{task['name']}`",
                task["description"],
                f"{task['bp']:,}",
                str(task["classes"]),
                f"{task['train_rows']:,}",
                f"{task['test_rows']:,}",
                *(f"{task['published_mcc'][model]:.2f}" for model in figures),
            )
            for task in tasks
        )
        found.append(Table(heads, rows, f"The {release} set."))
    return tuple(found)
