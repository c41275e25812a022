"""One of several classes a row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import jax
import numpy as np
import optax
from scipy.special import log_softmax, softmax

from ntjax.calibration.acceptance import accepted_calibration
from ntjax.errors import UserError
from ntjax.io.json import finite_number
from ntjax.io.labels import encode_labels, require_two_classes
from ntjax.metrics import classification as metrics
from ntjax.tasks.base import Task, named_columns

if TYPE_CHECKING:
    from ntjax.calibration.fitting import ClassCalibration
    from ntjax.io.tables import SequenceTable


@dataclass(frozen=True)
class Classification(Task):
    """One of several classes a row.

    Attributes:
        outputs: names of the classes, in the order of the head's outputs; of two, the second is
            the positive one.
        threshold: log-odds of the positive class, before calibration, above which a row is called
            positive; None for the likelier class.
    """

    outputs: tuple[str, ...]
    threshold: float | None = None
    kind: ClassVar[str] = "classification"
    selectable: ClassVar[tuple[str, ...]] = ("loss", *metrics.HIGHER_IS_BETTER)
    # Judges the calls themselves, of both classes alike.
    select: ClassVar[str] = "mcc"
    shown: ClassVar[tuple[str, ...]] = ("accuracy", "mcc", "auroc", "ece")
    problem_type: ClassVar[str] = "single_label_classification"
    every_class: ClassVar[bool] = True
    all_alike: ClassVar[tuple[str, str]] = ("are all of one class", "of at least two classes")

    @classmethod
    def of(cls, table: "SequenceTable", columns: Sequence[str], positive_class: str = "") -> Self:
        """Return the task that a table's labels make; of two classes the positive one is last.

        Raises:
            UserError: fewer than two classes, no such positive class, or more than two.
        """
        del columns
        classes = require_two_classes(table.labels, table.source)
        if not positive_class:
            return cls(classes)
        if positive_class not in classes or len(classes) > 2:
            raise UserError(
                f"{table.source}: --positive-class {positive_class!r} should be one of two "
                f"classes; the labels are {', '.join(classes[:10])}"
            )
        return cls(tuple(sorted(classes, key=lambda name: name == positive_class)))

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], outputs: Sequence[str]) -> Self:
        """Rebuild what `to_dict` gave."""
        if saved.keys() - {"threshold"} != {"kind"} or len(outputs) < 2:
            raise ValueError(f"not a saved task: {saved} of {', '.join(outputs)}")
        if "threshold" not in saved:
            return cls(tuple(outputs))
        if len(outputs) > 2:
            raise ValueError(f"a threshold is of two classes, not of {', '.join(outputs)}")
        return cls(tuple(outputs), finite_number(saved["threshold"], "the task's threshold"))

    def to_dict(self) -> dict[str, Any]:
        """Return the kind, and the threshold if there is one, ready for JSON."""
        threshold = {} if self.threshold is None else {"threshold": self.threshold}
        return {"kind": self.kind, **threshold}

    def calls(self, outputs: np.ndarray) -> np.ndarray | None:
        """Return class numbers [rows] by the threshold; None where the likeliest counts."""
        if self.threshold is None:
            return None
        both = outputs.astype(np.float64)  # as when the threshold was chosen
        return (both[:, 1] - both[:, 0] > self.threshold).astype(np.int64)

    def encode(self, table: "SequenceTable") -> np.ndarray:
        """Class numbers, int32 [rows]."""
        assert table.labels is not None
        return encode_labels(table.labels, self.outputs, table.source, table.rows)

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
        self,
        labels: np.ndarray,
        values: np.ndarray,
        seed: int,
        groups: np.ndarray | None,
        called: np.ndarray | None = None,
    ) -> dict[str, Any]:
        """Metrics with their intervals."""
        return metrics.evaluate(labels, values, seed=seed, groups=groups, called=called)

    def calibration(
        self,
        outputs: np.ndarray,
        labels: np.ndarray,
        method: str = "auto",
        groups: np.ndarray | None = None,
    ) -> "ClassCalibration":
        """Fit a calibration on these rows, or leave the probabilities where it does not help.

        Raises:
            UserError: they are too few, or of one class.
        """
        return accepted_calibration(outputs, labels, method, groups=groups)

    def described(self) -> str:
        """The classes, for a reader."""
        names = list(self.outputs)
        if len(names) == 2:
            names[1] += " (positive)"
        return f"classes: {', '.join(names)}"

    @staticmethod
    def loss(outputs: jax.Array, targets: jax.Array) -> jax.Array:
        """Negative log-likelihood [...] from logits [..., classes]."""
        return optax.softmax_cross_entropy_with_integer_labels(outputs, targets)

    @staticmethod
    def validation_scores(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float | None]:
        """Return the cross-entropy and the metrics of `selectable`."""
        outputs = outputs.astype(np.float64)
        loss = -log_softmax(outputs, axis=1)[np.arange(len(targets)), targets].mean()
        scores = metrics.evaluate(targets, softmax(outputs, axis=1), bootstrap=0)
        names = Classification.selectable[1:]
        return {"loss": float(loss), **{name: scores[name]["value"] for name in names}}

    def label_columns(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return the labels."""
        return {"label": labels}

    def value_columns(
        self, outputs: np.ndarray, values: np.ndarray, calibrated: np.ndarray | None
    ) -> dict[str, Any]:
        """Return logits, probabilities and the class that is called.

        Of two classes the logit is positive minus negative, probabilities are the positive
        class's; of more each class has a column, named by it. The call is by the threshold, if
        there is one, else the likeliest class, by the calibrated probabilities if there are any.
        """
        called = self.calls(outputs)
        if called is None:
            called = (values if calibrated is None else calibrated).argmax(axis=1)
        call = {"call": np.array(self.outputs)[called]}
        columns = {"logit": outputs, "probability": values, "calibrated_probability": calibrated}
        if len(self.outputs) > 2:
            return named_columns(self.outputs, columns) | call
        return {
            "logit": outputs[:, 1] - outputs[:, 0],
            "probability": values[:, 1],
            "calibrated_probability": np.nan if calibrated is None else calibrated[:, 1],
        } | call
