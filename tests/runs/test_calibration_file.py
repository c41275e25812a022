"""A saved calibration comes back as it was; what no fit gives is refused."""

import dataclasses
import json

import numpy as np
import pytest

from ntjax.calibration import (
    IdentityScaling,
    IsotonicScaling,
    LabelwiseCalibration,
    PlattScaling,
    PredictionInterval,
    TemperatureScaling,
)
from ntjax.runs.calibration_file import calibration_from_dict

ISOTONIC = IsotonicScaling(((-1.0, 0.5, 2.0),), ((0.1, 0.4, 0.9),))
LABELWISE = LabelwiseCalibration((PlattScaling(0.7, -0.1), None, ISOTONIC))
UNCHANGED = LabelwiseCalibration((IdentityScaling(), None))


@pytest.mark.parametrize(
    ("calibration", "kind", "outputs"),
    [
        (PlattScaling(0.7, -0.1), "classification", 2),
        (IdentityScaling(), "classification", 2),
        (IdentityScaling(), "classification", 4),
        (TemperatureScaling(2.5), "classification", 2),
        (TemperatureScaling(2.5), "classification", 3),
        (ISOTONIC, "classification", 2),
        (IsotonicScaling(3 * ISOTONIC.logits, 3 * ISOTONIC.probabilities), "classification", 3),
        (LABELWISE, "multilabel", 3),
        (UNCHANGED, "multilabel", 2),
        (PredictionInterval(0.9, 3.25), "regression", 1),
    ],
    ids=lambda value: str(getattr(value, "to_dict", lambda: {"method": value})()["method"]),
)
def test_saved_and_rebuilt(calibration, kind, outputs):
    saved = json.loads(json.dumps(calibration.to_dict()))
    assert calibration_from_dict(saved, kind, outputs) == calibration
    with pytest.raises(ValueError, match="not a saved calibration"):
        calibration_from_dict(saved | {"surplus": 1}, kind, outputs)
    with pytest.raises(dataclasses.FrozenInstanceError):
        calibration.slope = 1.0


@pytest.mark.parametrize(
    "saved",
    [
        {},
        {"method": "isotonic"},
        {"method": "labelwise", "labels": [{"method": "spline"}]},
        {"method": "platt", "slope": 1.0},
        {"method": "temperature", "temperature": 1.0, "bias": 2.0},
        {"method": "labelwise", "labels": [{}]},
        [1],
        "platt",
    ],
)
def test_saved_by_another(saved):
    with pytest.raises(ValueError, match="not a saved calibration"):
        calibration_from_dict(saved, "classification", 2)


@pytest.mark.parametrize(
    ("calibration", "kind", "outputs"),
    [
        (PlattScaling(0.7, -0.1), "classification", 3),
        (PlattScaling(0.7, -0.1), "multilabel", 2),
        (PlattScaling(0.7, -0.1), "regression", 1),
        (TemperatureScaling(2.5), "multilabel", 3),
        (TemperatureScaling(2.5), "regression", 1),
        (ISOTONIC, "classification", 3),
        (ISOTONIC, "regression", 1),
        (IsotonicScaling(2 * ISOTONIC.logits, 2 * ISOTONIC.probabilities), "classification", 2),
        (IsotonicScaling((), ()), "classification", 2),
        (LABELWISE, "classification", 3),
        (LABELWISE, "regression", 1),
        (LABELWISE, "multilabel", 2),
        (LABELWISE, "multilabel", 4),
        (LabelwiseCalibration((LABELWISE, None)), "multilabel", 2),
        (LabelwiseCalibration((PredictionInterval(0.9, 1.0), None)), "multilabel", 2),
        (LabelwiseCalibration((IsotonicScaling((), ()), None)), "multilabel", 2),
        (PredictionInterval(0.9, 3.25), "classification", 2),
        (PredictionInterval(0.9, 3.25), "multilabel", 3),
    ],
)
def test_a_calibration_of_another_task_is_refused(calibration, kind, outputs):
    saved = json.loads(json.dumps(calibration.to_dict()))
    with pytest.raises(ValueError, match=rf"does not fit the task \({kind}, outputs: {outputs}\)"):
        calibration_from_dict(saved, kind, outputs)


def isotonic(logits, probabilities):
    return {"method": "isotonic", "logits": logits, "probabilities": probabilities}


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        ({"method": "platt", "slope": np.nan, "intercept": 0.0}, "slope is nan, not a finite"),
        ({"method": "platt", "slope": 1.0, "intercept": "0"}, "intercept is '0', not a finite"),
        ({"method": "platt", "slope": 10**400, "intercept": 0}, "slope is 1000"),
        ({"method": "temperature", "temperature": np.inf}, "temperature is inf, not a finite"),
        ({"method": "temperature", "temperature": 0.0}, "temperature is 0, not above 0"),
        ({"method": "temperature", "temperature": -1}, "temperature is -1, not above 0"),
        ({"method": "interval", "coverage": 1.5, "half_width": 1.0}, "coverage is 1.5"),
        ({"method": "interval", "coverage": 0.9, "half_width": -1.0}, "half_width -1"),
        ({"method": "interval", "coverage": 0.9, "half_width": None}, "half_width is None, not a"),
        (isotonic([[]], [[]]), "as many probabilities"),
        (isotonic([[0.0, 1.0]], [[0.5]]), "as many probabilities"),
        (isotonic([[0.0]], [[0.5], [0.5]]), "as many probabilities"),
        (isotonic([3.0], [0.5]), "as many probabilities"),
        (isotonic([[1.0, 0.0]], [[0.2, 0.8]]), "which rise"),
        (isotonic([[0.0, 1.0]], [[0.2, 1.8]]), "from 0 to 1"),
        (isotonic([[0.0, np.nan]], [[0.2, 0.8]]), "curves is nan, not a finite number"),
        (isotonic([[0.0, 1.0]], [[0.2, "1"]]), "curves is '1', not a finite number"),
    ],
)
def test_numbers_that_no_fit_gives_are_refused(saved, message):
    with pytest.raises(ValueError, match=message):
        calibration_from_dict(saved, "classification", 2)
