"""A measured value a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import jax
import numpy as np

from ntjax.calibration.conformal import PredictionInterval
from ntjax.errors import UserError
from ntjax.io.json import finite_number
from ntjax.io.labels import encode_values, require_different_values, require_similar_values
from ntjax.metrics import regression as metrics
from ntjax.tasks.base import Task

if TYPE_CHECKING:
    from ntjax.io.tables import SequenceTable

_STRATA = 10


@dataclass(frozen=True)
class Regression(Task):
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
    problem_type: ClassVar[str] = "regression"
    all_alike: ClassVar[tuple[str, str]] = ("all have one value", "with different values")

    @classmethod
    def of(cls, table: "SequenceTable", columns: Sequence[str], positive_class: str = "") -> Self:
        """Return the task that the numbers of a table make.

        Raises:
            UserError: values all alike, one of another unit, or a positive class.
        """
        if positive_class:
            raise UserError("--positive-class is for two classes: leave it out")
        task = cls(tuple(columns))
        values = task.encode(table)
        require_different_values(values, table.source)
        for end in (np.argmin(values), np.argmax(values)):
            others = np.delete(values, end)
            require_similar_values(values[[end]], others, table.source, [table.rows[end]])
        return task

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], outputs: Sequence[str]) -> Self:
        """Rebuild what `to_dict` gave.

        Raises:
            ValueError: also for a mean or spread that no rows have.
        """
        if saved.keys() != {"kind", "mean", "spread"} or len(outputs) != 1:
            raise ValueError(f"not a saved task: {saved} of {', '.join(outputs)}")
        mean = finite_number(saved["mean"], "the task's mean")
        spread = finite_number(saved["spread"], "the task's spread")
        if spread <= 0:
            raise ValueError(f"the task's spread is {spread:g}, not above 0")
        return cls(tuple(outputs), mean, spread)

    def encode(self, table: "SequenceTable") -> np.ndarray:
        """Values as they were measured, float64 [rows]."""
        assert table.labels is not None
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
        self,
        labels: np.ndarray,
        values: np.ndarray,
        seed: int,
        groups: np.ndarray | None,
        called: np.ndarray | None = None,
    ) -> dict[str, Any]:
        """Metrics with their intervals."""
        return metrics.evaluate(labels, values, seed=seed, groups=groups)

    def calibration(
        self,
        outputs: np.ndarray,
        labels: np.ndarray,
        method: str = "auto",
        groups: np.ndarray | None = None,
    ) -> PredictionInterval:
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

    @staticmethod
    def loss(outputs: jax.Array, targets: jax.Array) -> jax.Array:
        """Squared error [rows] of outputs [rows, 1] against standardised targets [rows]."""
        return (outputs[:, 0] - targets) ** 2

    @staticmethod
    def validation_scores(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float | None]:
        """Return the squared error and the metrics of `selectable`."""
        outputs = outputs.astype(np.float64)
        loss = ((outputs[:, 0] - targets) ** 2).mean()
        scores = metrics.evaluate(targets, outputs[:, 0], bootstrap=0)
        names = Regression.selectable[1:]
        return {"loss": float(loss), **{name: scores[name]["value"] for name in names}}

    def label_columns(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return the measured values, as they were written."""
        return {"label": labels}

    def value_columns(
        self, outputs: np.ndarray, values: np.ndarray, calibrated: np.ndarray | None
    ) -> dict[str, Any]:
        """Return the predicted values."""
        del outputs, calibrated
        return {"prediction": values}
