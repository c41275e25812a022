"""Read the calibration that a run's `adapter.json` holds."""

from collections.abc import Mapping
from typing import Any

from ntjax.calibration import (
    Calibration,
    IdentityScaling,
    IsotonicScaling,
    LabelwiseCalibration,
    PlattScaling,
    PredictionInterval,
    TemperatureScaling,
)
from ntjax.calibration.scaling import as_floats
from ntjax.io.json import finite_number


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
        case TemperatureScaling() | IdentityScaling():
            return True
        case IsotonicScaling(curves):
            return len(curves) == (1 if classes == 2 else classes)
    return False


def _rebuilt(saved: Any) -> Calibration:
    match saved:
        case {"method": "identity", **rest} if not rest:
            return IdentityScaling()
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
