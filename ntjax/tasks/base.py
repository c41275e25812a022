"""What differs between kinds of tasks: classes, several labels a row, or measured values.

A task says how labels become numbers, what the head puts out, how outputs become values a user
can read, and by which metrics they are judged. The losses are in `ntjax.training.step`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import expit, log_softmax, softmax

from ntjax.calibration.fitting import (
    Calibration,
    LabelwiseCalibration,
    PredictionInterval,
    finite_number,
    fit_calibration,
)
from ntjax.errors import UserError
from ntjax.io.labels import (
    UNKNOWN_LABEL,
    encode_label_sets,
    encode_labels,
    encode_values,
    require_both_values,
    require_different_values,
    require_similar_values,
    require_two_classes,
)
from ntjax.io.tables import SequenceTable
from ntjax.metrics import (
    classification as metrics,
)
from ntjax.metrics import (
    multilabel as multilabel_metrics,
)
from ntjax.metrics import (
    regression as regression_metrics,
)

_STRATA = 10
_FEWEST_IN_A_STRATUM = 20


@dataclass(frozen=True)
class Classification:
    """One of several classes a row.

    Attributes:
        outputs: names of the classes, in the order of the head's outputs; of two, the second is
            the positive one.
    """

    outputs: tuple[str, ...]
    kind: ClassVar[str] = "classification"
    has_probabilities: ClassVar[bool] = True
    selectable: ClassVar[tuple[str, ...]] = ("loss", *metrics.HIGHER_IS_BETTER)
    # Judges the calls themselves, of both classes alike.
    select: ClassVar[str] = "mcc"
    shown: ClassVar[tuple[str, ...]] = ("accuracy", "mcc", "auroc", "ece")

    @classmethod
    def of(cls, table: SequenceTable, columns: Sequence[str]) -> Self:
        """The task that a table's labels make."""
        return cls(require_two_classes(table.labels, table.source))

    def encode(self, table: SequenceTable) -> np.ndarray:
        """Class numbers, int32 [rows]."""
        return encode_labels(table.labels, self.outputs, table.source, table.rows)

    def fitted(self, labels: np.ndarray, source: str) -> Self:
        """The task, once the training rows are known."""
        return self

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """What the loss compares the outputs with."""
        return labels

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """What a split should balance, [rows]."""
        return np.array(self.outputs)[labels]

    def varies(self, labels: np.ndarray) -> bool:
        """Whether metrics of these rows can tell one model from another."""
        return len(np.unique(labels)) > 1

    def values(self, outputs: np.ndarray) -> np.ndarray:
        """Probabilities [rows, classes] from logits; in float64, where confident rows differ."""
        return softmax(outputs.astype(np.float64), axis=1)

    def score(
        self, labels: np.ndarray, values: np.ndarray, seed: int, groups: np.ndarray | None
    ) -> dict[str, Any]:
        """Metrics with their intervals."""
        return metrics.evaluate(labels, values, seed=seed, groups=groups)

    def calibration(
        self, outputs: np.ndarray, labels: np.ndarray, method: str = "auto"
    ) -> Calibration:
        """A calibration fitted on these rows.

        Raises:
            UserError: they are too few, or of one class.
        """
        return fit_calibration(outputs, labels, method)

    def described(self) -> str:
        """The classes, for a reader."""
        names = list(self.outputs)
        if len(names) == 2:
            names[1] += " (positive)"
        return f"classes: {', '.join(names)}"

    def to_dict(self) -> dict[str, Any]:
        """The kind and its numbers, ready for JSON; the outputs' names are kept beside it."""
        return {"kind": self.kind}


@dataclass(frozen=True)
class MultiLabel:
    """Several labels a row, each of which applies or not.

    Attributes:
        outputs: names of the labels, in the order of the head's outputs.
    """

    outputs: tuple[str, ...]
    kind: ClassVar[str] = "multilabel"
    has_probabilities: ClassVar[bool] = True
    selectable: ClassVar[tuple[str, ...]] = ("loss", *multilabel_metrics.HIGHER_IS_BETTER)
    # Needs no threshold: a rare label's probability may rank its rows well and never pass 0.5.
    select: ClassVar[str] = "auprc"
    shown: ClassVar[tuple[str, ...]] = ("mcc", "auroc", "auprc", "micro_f1")

    @classmethod
    def of(cls, table: SequenceTable, columns: Sequence[str]) -> Self:
        """The task that the columns of a table make."""
        task = cls(tuple(columns))
        require_both_values(task.encode(table), task.outputs, table.source)
        return task

    def encode(self, table: SequenceTable) -> np.ndarray:
        """1, 0 or `UNKNOWN_LABEL`, int32 [rows, labels]."""
        return encode_label_sets(table.labels, table.source, table.rows)

    def fitted(self, labels: np.ndarray, source: str) -> Self:
        """The task, once the training rows are known."""
        source = f"{source} (rows left to train on, others being set aside)"
        require_both_values(labels, self.outputs, source)
        return self

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """What the loss compares the outputs with, float32 [rows, labels]."""
        return labels.astype(np.float32)

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """What a split should balance: combinations of labels, the rare ones in one, [rows]."""
        _, number, count = np.unique(labels, axis=0, return_inverse=True, return_counts=True)
        return np.where(count[number] < _FEWEST_IN_A_STRATUM, -1, number)

    def varies(self, labels: np.ndarray) -> bool:
        """Whether metrics of these rows can tell one model from another."""
        return bool(((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any())

    def values(self, outputs: np.ndarray) -> np.ndarray:
        """Probabilities [rows, labels] from logits."""
        return expit(outputs.astype(np.float64))

    def score(
        self, labels: np.ndarray, values: np.ndarray, seed: int, groups: np.ndarray | None
    ) -> dict[str, Any]:
        """Averages over the labels, and each label's own metrics."""
        return multilabel_metrics.evaluate(labels, values, self.outputs, seed=seed, groups=groups)

    def calibration(
        self, outputs: np.ndarray, labels: np.ndarray, method: str = "auto"
    ) -> Calibration | None:
        """A calibration for each label that has rows enough; None if no label has."""
        return LabelwiseCalibration.fit(outputs, labels, method)

    def described(self) -> str:
        """The labels, for a reader."""
        return f"labels: {', '.join(self.outputs)}"

    def to_dict(self) -> dict[str, Any]:
        """The kind, ready for JSON."""
        return {"kind": self.kind}


@dataclass(frozen=True)
class Regression:
    """A measured value a row.

    The head learns the value less `mean`, divided by `spread`, so that one learning rate suits
    all units.

    Attributes:
        outputs: name of the value.
        mean: of the training rows.
        spread: their standard deviation.
    """

    outputs: tuple[str, ...]
    mean: float = 0.0
    spread: float = 1.0
    kind: ClassVar[str] = "regression"
    has_probabilities: ClassVar[bool] = False
    # Errors are in units of the spread while training: only what has no unit is named there.
    selectable: ClassVar[tuple[str, ...]] = ("loss", "pearson", "spearman", "r2")
    # The correlations do not see that all values are too high, or too far apart.
    select: ClassVar[str] = "r2"
    shown: ClassVar[tuple[str, ...]] = ("pearson", "spearman", "r2", "rmse")

    @classmethod
    def of(cls, table: SequenceTable, columns: Sequence[str]) -> Self:
        """The task that the numbers of a table make."""
        task = cls(tuple(columns))
        values = task.encode(table)
        require_different_values(values, table.source)
        for end in (np.argmin(values), np.argmax(values)):
            others = np.delete(values, end)
            require_similar_values(values[[end]], others, table.source, [table.rows[end]])
        return task

    def encode(self, table: SequenceTable) -> np.ndarray:
        """Values as they were measured, float64 [rows]."""
        return encode_values(table.labels, table.source, table.rows)

    def fitted(self, labels: np.ndarray, source: str) -> Self:
        """The task with the mean and spread of the training rows."""
        source = f"{source} (rows left to train on, others being set aside)"
        require_different_values(labels, source)
        return type(self)(self.outputs, float(labels.mean()), float(labels.std()))

    def targets(self, labels: np.ndarray) -> np.ndarray:
        """What the loss compares the outputs with: standardised values, float32 [rows]."""
        return ((labels - self.mean) / self.spread).astype(np.float32)

    def strata(self, labels: np.ndarray) -> np.ndarray:
        """What a split should balance: tenths of the rows by value, [rows]."""
        edges = np.quantile(labels, np.arange(1, _STRATA) / _STRATA)
        return np.searchsorted(edges, labels)

    def varies(self, labels: np.ndarray) -> bool:
        """Whether metrics of these rows can tell one model from another."""
        return bool(labels.min() < labels.max())

    def values(self, outputs: np.ndarray) -> np.ndarray:
        """Values [rows] in the user's units from outputs [rows, 1]."""
        return self.mean + self.spread * outputs[:, 0].astype(np.float64)

    def score(
        self, labels: np.ndarray, values: np.ndarray, seed: int, groups: np.ndarray | None
    ) -> dict[str, Any]:
        """Metrics with their intervals."""
        return regression_metrics.evaluate(labels, values, seed=seed, groups=groups)

    def calibration(
        self, outputs: np.ndarray, labels: np.ndarray, method: str = "auto"
    ) -> Calibration:
        """How far from the prediction nine in ten values are.

        Raises:
            UserError: the rows are too few.
        """
        return PredictionInterval.fit(self.values(outputs), labels)

    def described(self) -> str:
        """The value and where it lies, for a reader."""
        return f"{self.outputs[0]}: {self.mean:.4g} ± {self.spread:.4g} (training rows)"

    def to_dict(self) -> dict[str, Any]:
        """The kind and its numbers, ready for JSON."""
        return {"kind": self.kind, "mean": self.mean, "spread": self.spread}


Task = Classification | MultiLabel | Regression

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
    """Rebuild what `to_dict` gave.

    Raises:
        ValueError: unknown kind, keys or outputs that don't go with it, or a mean or spread that
            no rows have.
    """
    match saved:
        case {"kind": "classification", **rest} if not rest and len(outputs) > 1:
            return Classification(tuple(outputs))
        case {"kind": "multilabel", **rest} if not rest:
            return MultiLabel(tuple(outputs))
        case {"kind": "regression", "mean": mean, "spread": spread, **rest} if (
            not rest and len(outputs) == 1
        ):
            task = Regression(
                tuple(outputs),
                finite_number(mean, "the task's mean"),
                finite_number(spread, "the task's spread"),
            )
            if task.spread <= 0:
                raise ValueError(f"the task's spread is {task.spread:g}, not above 0")
            return task
    raise ValueError(f"not a saved task: {saved} of {', '.join(outputs)}")


def evaluate(
    outputs: np.ndarray, targets: np.ndarray, kind: str = "classification"
) -> dict[str, float | None]:
    """Loss and the metrics that can choose a checkpoint.

    Arguments:
        outputs: of the head, [rows, outputs].
        targets: what the loss compares them with, as from the task's `targets`.
        kind: of the task.
    """
    outputs = outputs.astype(np.float64)
    match kind:
        case "classification":
            loss = -log_softmax(outputs, axis=1)[np.arange(len(targets)), targets].mean()
            scores = metrics.evaluate(targets, softmax(outputs, axis=1), bootstrap=0)
        case "multilabel":
            loss = _label_cross_entropy(outputs, targets)
            names = [str(number) for number in range(targets.shape[1])]
            scores = multilabel_metrics.evaluate(targets, expit(outputs), names, bootstrap=0)
        case "regression":
            loss = ((outputs[:, 0] - targets) ** 2).mean()
            scores = regression_metrics.evaluate(targets, outputs[:, 0], bootstrap=0)
    names = TASKS[kind].selectable[1:]
    return {"loss": float(loss), **{name: scores[name]["value"] for name in names}}


def _label_cross_entropy(outputs: np.ndarray, targets: np.ndarray) -> np.floating:
    """Mean over rows of the mean over their known labels."""
    known = targets != UNKNOWN_LABEL
    losses = np.where(known, np.logaddexp(0, outputs) - targets * outputs, 0.0)
    return (losses.sum(axis=1) / known.sum(axis=1)).mean()
