"""Tasks: how labels are encoded, trained, scored and calibrated.

To add a task, write a subclass of `Task` in a file of its own and add it to `TASKS`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ntjax.errors import UserError
from ntjax.metrics import multilabel as multilabel_metrics
from ntjax.metrics import regression as regression_metrics
from ntjax.tasks.base import Task
from ntjax.tasks.classification import Classification
from ntjax.tasks.multilabel import MultiLabel
from ntjax.tasks.regression import Regression

__all__ = [
    "HIGHER_IS_BETTER",
    "SELECTABLE",
    "TASKS",
    "Classification",
    "MultiLabel",
    "Regression",
    "Task",
    "check_select",
    "task_from_dict",
]

TASKS: dict[str, type[Task]] = {
    task.kind: task for task in (Classification, MultiLabel, Regression)
}

HIGHER_IS_BETTER: dict[str, bool] = {
    "loss": False,
    **multilabel_metrics.HIGHER_IS_BETTER,
    **regression_metrics.HIGHER_IS_BETTER,
}
SELECTABLE = tuple(dict.fromkeys(name for task in TASKS.values() for name in task.selectable))


def check_select(kind: str, select: str) -> None:
    """Refuse a validation metric that a kind of task does not have.

    Raises:
        UserError: names those it has.
    """
    known = TASKS[kind].selectable
    if select not in known:
        raise UserError(f"cannot select by '{select}'; known: {', '.join(known)}")


def task_from_dict(saved: Mapping[str, Any], outputs: Sequence[str]) -> Task:
    """Rebuild what a task's `to_dict` gave.

    Raises:
        ValueError: unknown kind, or keys or outputs that do not go with it.
    """
    if not isinstance(saved, Mapping) or saved.get("kind") not in TASKS:
        raise ValueError(f"not a saved task: {saved} of {', '.join(outputs)}")
    return TASKS[saved["kind"]].from_dict(saved, outputs)
