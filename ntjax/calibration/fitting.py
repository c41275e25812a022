"""Turn a model's logits into probabilities that can be believed: the choice of a method.

Platt scaling for two classes and temperature scaling for more, unless another is asked for; every
label of a multi-label task gets a calibration of its own.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from ntjax.calibration.scaling import (
    MINIMUM_ISOTONIC_ROWS,
    IsotonicScaling,
    PlattScaling,
    TemperatureScaling,
    as_floats,
)
from ntjax.errors import UserError
from ntjax.io.labels import UNKNOWN_LABEL

ClassCalibration = PlattScaling | TemperatureScaling | IsotonicScaling


@dataclass(frozen=True)
class LabelwiseCalibration:
    """A calibration of its own for each label of a multi-label task.

    Attributes:
        labels: one per label, of the logits 0 and the label's own; None leaves a label's
            probabilities as they are.
    """

    labels: tuple[ClassCalibration | None, ...]

    @classmethod
    def fit(cls, logits: ArrayLike, labels: ArrayLike, method: str = "auto") -> Self | None:
        """Fit each label on the rows where it is known.

        Arguments:
            logits: `[n, labels]`.
            labels: integers `[n, labels]`, 1, 0 or `UNKNOWN_LABEL`.
            method: "auto", "platt", "temperature" or "isotonic".

        Returns:
            None if no label has rows enough, of both kinds.
        """
        logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
        fitted = []
        for scores, truth in zip(logits.T, labels.T, strict=True):
            known = truth != UNKNOWN_LABEL
            try:
                fitted.append(fit_calibration(_two_classes(scores[known]), truth[known], method))
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
                columns.append(calibrated_probabilities(calibration, _two_classes(scores))[:, 1])
        return np.stack(columns, axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Every label's numbers, ready for JSON."""
        return {"method": "labelwise", "labels": [c.to_dict() if c else None for c in self.labels]}


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


Calibration = ClassCalibration | LabelwiseCalibration | PredictionInterval


def method_for(rows: int, classes: int, method: str = "auto") -> str:
    """The method that is used.

    For "auto", and for isotonic scaling with too few rows, that is Platt scaling for two classes
    and temperature scaling for more.
    """
    if method == "auto" or (method == "isotonic" and rows < MINIMUM_ISOTONIC_ROWS):
        return "platt" if classes == 2 else "temperature"
    return method


def fit_calibration(logits: ArrayLike, labels: ArrayLike, method: str = "auto") -> ClassCalibration:
    """Fit the method of `method_for`.

    Calibration never turns the model's ranking round: where the best slope of Platt scaling is
    negative, which says that the model knows nothing of these rows, the slope is 0 and every
    probability the base rate.

    Arguments:
        logits: `[n, classes]`, of rows used neither for training nor for testing.
        labels: integers `[n]`.
        method: "auto", "platt", "temperature" or "isotonic".

    Raises:
        UserError: fewer than `MINIMUM_ROWS` rows, one class only, logits not finite, or Platt
            scaling for more than two classes.
    """
    logits = np.asarray(logits, np.float64)
    match method_for(len(logits), logits.shape[-1], method):
        case "temperature":
            return TemperatureScaling.fit(logits, labels)
        case "isotonic":
            return IsotonicScaling.fit(logits, labels)
    if logits.ndim != 2 or logits.shape[1] != 2:
        raise UserError(
            "Platt scaling is for two classes: use --calibration temperature or isotonic"
        )
    fitted = PlattScaling.fit(logits[:, 1] - logits[:, 0], labels)
    # Equal logits tell nothing: the fit gives slope 0 and the (smoothed) base rate.
    return fitted if fitted.slope > 0 else PlattScaling.fit(np.zeros(len(logits)), labels)


def calibrated_probabilities(
    calibration: ClassCalibration | LabelwiseCalibration, logits: ArrayLike
) -> NDArray[np.float64]:
    """Calibrated probabilities `[n, classes]` of logits `[n, classes]`, whichever the method."""
    logits = np.asarray(logits, np.float64)
    if not isinstance(calibration, PlattScaling):
        return calibration.apply(logits)
    if logits.ndim != 2 or logits.shape[1] != 2:
        raise ValueError(f"Platt scaling takes logits [n, 2], not {logits.shape}")
    positive = calibration.apply(logits[:, 1] - logits[:, 0])
    return np.stack([1 - positive, positive], axis=1)


def calibration_from_dict(saved: Mapping[str, Any], kind: str, outputs: int) -> Calibration:
    """Rebuild what `to_dict` gave.

    Arguments:
        saved: what it gave.
        kind: of the task that is calibrated.
        outputs: how many it has.

    Raises:
        ValueError: unknown method, keys that are not exactly the method's, numbers that no fit
            gives, or a calibration of another task.
    """
    calibration = _rebuilt(saved)
    match kind, calibration:
        case "regression", PredictionInterval():
            return calibration
        case "multilabel", LabelwiseCalibration(labels) if len(labels) == outputs:
            if all(label is None or _is_of_classes(label, 2) for label in labels):
                return calibration
        case "classification", _ if _is_of_classes(calibration, outputs):
            return calibration
    raise ValueError(
        f"the calibration ({saved['method']}) does not fit the task ({kind}, outputs: {outputs})"
    )


def _is_of_classes(calibration: Calibration, classes: int) -> bool:
    match calibration:
        case PlattScaling():
            return classes == 2
        case TemperatureScaling():
            return True
        case IsotonicScaling(curves):
            return len(curves) == (1 if classes == 2 else classes)
    return False


def _rebuilt(saved: Any) -> Calibration:
    match saved:
        case {"method": "platt", "slope": slope, "intercept": intercept, **rest} if not rest:
            slope = finite_number(slope, "the calibration's slope")
            return PlattScaling(slope, finite_number(intercept, "the calibration's intercept"))
        case {"method": "temperature", "temperature": temperature, **rest} if not rest:
            temperature = finite_number(temperature, "the calibration's temperature")
            if temperature > 0:
                return TemperatureScaling(temperature)
            raise ValueError(f"the calibration's temperature is {temperature:g}, not above 0")
        case {"method": "isotonic", "logits": [*x], "probabilities": [*y], **rest} if not rest:
            return _isotonic(x, y)
        case {"method": "labelwise", "labels": [*labels], **rest} if not rest:
            fitted = (None if label is None else _rebuilt(label) for label in labels)
            return LabelwiseCalibration(tuple(fitted))
        case {"method": "interval", "coverage": coverage, "half_width": half_width, **rest} if (
            not rest
        ):
            coverage = finite_number(coverage, "the interval's coverage")
            half_width = finite_number(half_width, "the interval's half_width")
            if 0 < coverage < 1 and half_width >= 0:
                return PredictionInterval(coverage, half_width)
            raise ValueError(
                f"the interval's coverage is {coverage:g}, half_width {half_width:g}: they should "
                "be between 0 and 1, and not below 0"
            )
    raise ValueError(f"not a saved calibration: {saved!r:.200}")


def _isotonic(logits: list[Any], probabilities: list[Any]) -> IsotonicScaling:
    if len(logits) == len(probabilities) and all(map(_is_curve, logits, probabilities)):
        return IsotonicScaling(as_floats(logits), as_floats(probabilities))
    raise ValueError(
        "the calibration's curves should have as many probabilities, from 0 to 1, as logits, which "
        "rise"
    )


def _is_curve(logits: Any, probabilities: Any) -> bool:
    if not (isinstance(logits, list) and isinstance(probabilities, list)):
        return False
    for value in (*logits, *probabilities):
        finite_number(value, "a corner of the calibration's curves")
    if not 0 < len(logits) == len(probabilities):
        return False
    return logits == sorted(logits) and min(probabilities) >= 0 and max(probabilities) <= 1


def finite_number(value: Any, name: str) -> float:
    """A number of a saved description.

    Raises:
        ValueError: it is not a number, or not finite; the message begins with `name`.
    """
    largest = sys.float_info.max
    if type(value) in (int, float) and -largest <= value <= largest:
        return float(value)
    raise ValueError(f"{name} is {value!r:.40}, not a finite number")


def _rounded_up(value: float) -> int:
    return int(np.ceil(value - 1e-9))  # 0.9 / 0.1 is a little above 9


def _two_classes(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logits `[n, 2]` of a label that applies or not from its logits `[n]`."""
    return np.stack([np.zeros_like(scores), scores], axis=1)
