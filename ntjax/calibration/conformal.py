"""Prediction intervals that hold for any model and any distribution: split-conformal prediction."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from ntjax.errors import UserError


@dataclass(frozen=True)
class PredictionInterval:
    """New values are expected within `half_width` of their predictions with chance `coverage`.

    Split-conformal: the only condition is that new rows are drawn like the calibration rows
    (Lei et al. 2018, algorithm 2); it holds on average over rows, not for each kind of them.
    """

    coverage: float
    half_width: float

    @classmethod
    def fit(cls, predictions: ArrayLike, targets: ArrayLike, coverage: float = 0.9) -> Self:
        """The ⌈(n + 1) · coverage⌉-th smallest absolute error of n rows.

        >>> PredictionInterval.fit([0.0] * 9, [1, -2, 3, -4, 5, -6, 7, -8, 9], coverage=0.8)
        PredictionInterval(coverage=0.8, half_width=8.0)

        Arguments:
            predictions: `[n]`, of rows used neither for training nor for testing.
            targets: `[n]`.
            coverage: between 0 and 1.

        Raises:
            UserError: too few rows for the coverage, or predictions that are not finite.
        """
        errors = np.sort(np.abs(np.asarray(predictions) - np.asarray(targets)))
        place = _rounded_up((len(errors) + 1) * coverage)
        if place > len(errors):
            raise UserError(
                f"an interval that holds {coverage:.0%} of the values needs "
                f"{_rounded_up(coverage / (1 - coverage))} calibration rows, not {len(errors)}"
            )
        if not np.isfinite(errors).all():
            raise UserError(
                "predictions of the calibration rows are not finite: training has diverged, use a "
                "lower learning rate"
            )
        return cls(coverage, float(errors[place - 1]))

    def to_dict(self) -> dict[str, Any]:
        """The numbers and the method's name, ready for JSON."""
        return {"method": "interval", "coverage": self.coverage, "half_width": self.half_width}


def _rounded_up(value: float) -> int:
    return int(np.ceil(value - 1e-9))  # 0.9 / 0.1 is a little above 9
