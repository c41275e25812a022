"""A calibration of its own for every label of a multi-label task."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from ntjax.calibration.fitting import ClassCalibration, calibrated_probabilities, fit_calibration
from ntjax.errors import UserError
from ntjax.metrics.multilabel import UNKNOWN_LABEL


@dataclass(frozen=True)
class LabelwiseCalibration:
    """A calibration of its own for each label of a multi-label task.

    Attributes:
        labels: one per label, of the logits 0 and the label's own; None leaves a label's
            probabilities as they are.
    """

    labels: tuple[ClassCalibration | None, ...]

    @classmethod
    def fit(
        cls,
        logits: ArrayLike,
        labels: ArrayLike,
        method: str = "auto",
        groups: NDArray[np.int64] | None = None,
        fit: Callable[..., ClassCalibration] = fit_calibration,
    ) -> Self | None:
        """Fit each label on the rows where it is known.

        Arguments:
            logits: `[n, labels]`.
            labels: integers `[n, labels]`, 1, 0 or `UNKNOWN_LABEL`.
            method: "auto", "platt", "temperature" or "isotonic".
            groups: `[n]`, related rows share a number; given to `fit`, if there are any.
            fit: of a label's logits, labels and method.

        Returns:
            None if no label has rows enough, of both kinds.
        """
        logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
        fitted: list[ClassCalibration | None] = []
        for scores, truth in zip(logits.T, labels.T, strict=True):
            known = truth != UNKNOWN_LABEL
            related = {} if groups is None else {"groups": groups[known]}
            try:
                fitted.append(fit(two_classes(scores[known]), truth[known], method, **related))
            except UserError:
                fitted.append(None)
        return cls(tuple(fitted)) if any(fitted) else None

    def apply(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Probabilities `[n, labels]` from logits `[n, labels]`."""
        columns = []
        for calibration, scores in zip(self.labels, np.asarray(logits, np.float64).T, strict=True):
            if calibration is None:
                columns.append(expit(scores))
            else:
                columns.append(calibrated_probabilities(calibration, two_classes(scores))[:, 1])
        return np.stack(columns, axis=1)

    @property
    def method(self) -> str:
        """ "identity" if no label's probabilities are changed, else "labelwise"."""
        changed = any(c is not None and c.method != "identity" for c in self.labels)
        return "labelwise" if changed else "identity"

    def to_dict(self) -> dict[str, Any]:
        """Every label's numbers, ready for JSON."""
        return {"method": "labelwise", "labels": [c.to_dict() if c else None for c in self.labels]}


def two_classes(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return logits `[n, 2]` of a label that applies or not from its logits `[n]`."""
    return np.stack([np.zeros_like(scores), scores], axis=1)
