"""Several labels a row, each of which applies or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.special import expit

from ntjax.calibration.acceptance import accepted_labelwise
from ntjax.errors import UserError
from ntjax.io.labels import encode_label_sets, require_both_values
from ntjax.metrics import multilabel as metrics
from ntjax.metrics.multilabel import UNKNOWN_LABEL
from ntjax.tasks.base import FEWEST_IN_A_STRATUM, Task, named_columns

if TYPE_CHECKING:
    from ntjax.calibration.labelwise import LabelwiseCalibration
    from ntjax.io.tables import SequenceTable


@dataclass(frozen=True)
class MultiLabel(Task):
    """Several labels a row, each of which applies or not.

    Attributes:
        outputs: names of the labels, in the order of the head's outputs.
    """

    outputs: tuple[str, ...]
    kind: ClassVar[str] = "multilabel"
    selectable: ClassVar[tuple[str, ...]] = ("loss", *metrics.HIGHER_IS_BETTER)
    # Needs no threshold: a rare label's probability may rank its rows well and never pass 0.5.
    select: ClassVar[str] = "auprc"
    shown: ClassVar[tuple[str, ...]] = ("mcc", "auroc", "auprc", "micro_f1")
    problem_type: ClassVar[str] = "multi_label_classification"
    all_alike: ClassVar[tuple[str, str]] = (
        "hold no label both as 1 and as 0",
        "of both kinds",
    )

    @classmethod
    def of(cls, table: "SequenceTable", columns: Sequence[str], positive_class: str = "") -> Self:
        """Return the task that the columns of a table make.

        Raises:
            UserError: a label that never or always applies, or a positive class.
        """
        if positive_class:
            raise UserError("--positive-class is for two classes: leave it out")
        task = cls(tuple(columns))
        require_both_values(task.encode(table), task.outputs, table.source)
        return task

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], outputs: Sequence[str]) -> Self:
        """Rebuild what `to_dict` gave."""
        if saved.keys() != {"kind"}:
            raise ValueError(f"not a saved task: {saved} of {', '.join(outputs)}")
        return cls(tuple(outputs))

    def encode(self, table: "SequenceTable") -> np.ndarray:
        """1, 0 or `UNKNOWN_LABEL`, int32 [rows, labels]."""
        assert table.labels is not None
        numbers = encode_label_sets(table.labels, table.source, table.rows)
        return numbers.reshape(len(table), len(self.outputs))  # also where there are no rows

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
        return np.where(count[number] < FEWEST_IN_A_STRATUM, -1, number)

    def varies(self, labels: np.ndarray) -> bool:
        """Whether metrics of these rows can tell one model from another."""
        return bool(((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any())

    def values(self, outputs: np.ndarray) -> np.ndarray:
        """Probabilities [rows, labels] from logits."""
        return expit(outputs.astype(np.float64))

    def score(
        self,
        labels: np.ndarray,
        values: np.ndarray,
        seed: int,
        groups: np.ndarray | None,
        called: np.ndarray | None = None,
    ) -> dict[str, Any]:
        """Averages over the labels, and each label's own metrics."""
        return metrics.evaluate(labels, values, self.outputs, seed=seed, groups=groups)

    def calibration(
        self,
        outputs: np.ndarray,
        labels: np.ndarray,
        method: str = "auto",
        groups: np.ndarray | None = None,
    ) -> "LabelwiseCalibration | None":
        """Fit each label that has rows enough, where that helps it; None if no label has."""
        return accepted_labelwise(outputs, labels, method, groups=groups)

    def described(self) -> str:
        """The labels, for a reader."""
        return f"labels: {', '.join(self.outputs)}"

    @staticmethod
    def loss(outputs: jax.Array, targets: jax.Array) -> jax.Array:
        """Binary cross-entropy [rows], the mean over a row's known labels.

        Arguments:
            outputs: logits [rows, labels].
            targets: float32 [rows, labels], 1, 0, or below 0 where not known.
        """
        known = targets >= 0
        losses = optax.sigmoid_binary_cross_entropy(outputs, targets)
        return jnp.where(known, losses, 0.0).sum(axis=1) / jnp.maximum(known.sum(axis=1), 1)

    @staticmethod
    def validation_scores(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float | None]:
        """Return the cross-entropy, a mean of the rows' means, and the metrics of `selectable`."""
        outputs, known = outputs.astype(np.float64), targets != UNKNOWN_LABEL
        losses = np.where(known, np.logaddexp(0, outputs) - targets * outputs, 0.0)
        loss = (losses.sum(axis=1) / known.sum(axis=1)).mean()
        numbers = [str(number) for number in range(targets.shape[1])]
        scores = metrics.evaluate(targets, expit(outputs), numbers, bootstrap=0)
        names = MultiLabel.selectable[1:]
        return {"loss": float(loss), **{name: scores[name]["value"] for name in names}}

    def label_columns(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return a column per label, named by it."""
        cells = zip(*(text.split(",") for text in labels), strict=True)
        return {f"label[{name}]": cell for name, cell in zip(self.outputs, cells, strict=True)}

    def value_columns(
        self, outputs: np.ndarray, values: np.ndarray, calibrated: np.ndarray | None
    ) -> dict[str, Any]:
        """Return logits and probabilities, a column of each per label."""
        columns = {"logit": outputs, "probability": values, "calibrated_probability": calibrated}
        return named_columns(self.outputs, columns)

    def occurrences(self, labels: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return where a label is known, and where it applies, both bool [rows]."""
        return labels[:, number] != UNKNOWN_LABEL, labels[:, number] == 1
