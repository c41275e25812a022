"""Other shares of the classes than those of the calibration rows: read, checked, applied."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from small_runs import TASKS

from ntjax.calibration import (
    IdentityScaling,
    LabelwiseCalibration,
    PlattScaling,
    PredictionInterval,
    TemperatureScaling,
)
from ntjax.errors import UserError
from ntjax.runs.priors import new_shares, read_prior, shifted
from ntjax.runs.run import Run

RANDOM = np.random.default_rng(4)


def run_of(task, calibration, shares):
    run = Run(None, None, None, TASKS[task], calibration)
    return replace(run, calibration_shares=shares)


TWO = run_of("two", PlattScaling(1.0, 0.0), (0.5, 0.5))
THREE = run_of("three", TemperatureScaling(1.0), (0.2, 0.3, 0.5))
LABELS = run_of("labels", LabelwiseCalibration((IdentityScaling(), None)), (0.4, 0.1))


@pytest.mark.parametrize(
    ("run", "prior", "expected"),
    [
        (TWO, 0.01, [0.99, 0.01]),
        (TWO, {"1": 0.2}, [0.8, 0.2]),
        (TWO, {"0": 0.2}, [0.2, 0.8]),
        (THREE, {"none": 0.9, "weak": 0.05}, [0.9, 0.05, 0.05]),
        (LABELS, {"TATA": 0.01}, [0.01, np.nan]),
    ],
)
def test_shares(run, prior, expected):
    np.testing.assert_allclose(new_shares(run, prior), expected)


@pytest.mark.parametrize(
    ("run", "prior", "problem"),
    [
        (TWO, 0.0, "between 0 and 1"),
        (TWO, {"yes": 0.1}, "no 'yes' among 0, 1"),
        (TWO, {"0": 0.3, "1": 0.3}, "sum to 1"),
        (THREE, 0.1, "none, weak, strong"),
        (THREE, {"none": 0.9}, "the share of weak, strong too"),
        (THREE, {"none": 0.9, "weak": 0.9}, "sum to 1"),
        (LABELS, 0.1, "name=share"),
        (LABELS, {"GC": 0.1}, "not calibrated"),
        (TWO, {"1": float("nan")}, "between 0 and 1"),
        (replace(TWO, calibration_shares=(1.0, 0.0)), 0.1, "100% were 0"),
        (replace(TWO, calibration=None), 0.1, "was not calibrated"),
        (replace(TWO, calibration_shares=None), 0.1, "earlier version"),
        (run_of("value", PredictionInterval(0.9, 1.0), None), 0.1, "regression"),
    ],
)
def test_what_is_refused(run, prior, problem):
    with pytest.raises(UserError, match=problem):
        new_shares(run, prior)


@pytest.mark.parametrize("text", ["", "a", "a=", "a=x", "yes=0.1", "a=0.1;c=0.2"])
def test_priors_that_cannot_be_read(text):
    with pytest.raises(UserError, match="name=share"):
        read_prior(text, ["a", "a=b", "c"])


def test_a_name_that_stands_twice():
    with pytest.raises(UserError, match="a stands twice"):
        read_prior("a=0.1,a=0.3", ["a", "c"])


def test_names_may_hold_anything():
    assert read_prior('a,"b"=0.25,a=0.75', ["a", 'a,"b"']) == {'a,"b"': 0.25, "a": 0.75}


def test_shifting_is_bayes_rule():
    # Rows drawn with other shares of the same classes: the logits of the new shares are known.
    logits = RANDOM.normal(size=(50, 3))
    old, new = np.array(THREE.calibration_shares), np.array([0.9, 0.06, 0.04])
    expected = softmax(logits + np.log(new / old), axis=1)
    found = shifted(THREE, softmax(logits, axis=1), new_shares(THREE, {"none": 0.9, "weak": 0.06}))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_labels_that_are_not_named_stay():
    before = RANDOM.uniform(0.1, 0.9, (20, 2))
    found = shifted(LABELS, before, new_shares(LABELS, {"TATA": 0.01}))
    np.testing.assert_array_equal(found[:, 1], before[:, 1])
    odds, ratio = before[:, 0] / (1 - before[:, 0]), (0.01 / 0.99) / (0.4 / 0.6)
    np.testing.assert_allclose(found[:, 0] / (1 - found[:, 0]), odds * ratio)
