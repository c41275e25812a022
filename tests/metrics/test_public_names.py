"""The rooms of numbers: what they offer, that the examples are true, and what importing costs."""

import doctest
import importlib
import subprocess
import sys

import pytest

ROOMS = ("ntjax.metrics", "ntjax.calibration")
HEAVY = ("jax", "haiku", "optax", "orbax", "sklearn", "pandas", "pyarrow")


@pytest.mark.parametrize("room", ROOMS)
def test_importing_loads_neither_jax_nor_scikit_learn_nor_pandas(room):
    code = f"import {room}, sys; print(*set({HEAVY}) & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_there_and_documented(room):
    module = importlib.import_module(room)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        value = getattr(module, name)
        assert not callable(value) or value.__doc__, name


@pytest.mark.parametrize(
    "name",
    [
        *ROOMS,
        "ntjax.metrics.classification",
        "ntjax.metrics.bootstrap",
        "ntjax.metrics.calibration_error",
        "ntjax.metrics.least_counts",
        "ntjax.metrics.multilabel",
        "ntjax.metrics.proportions",
        "ntjax.metrics.ranking_intervals",
        "ntjax.metrics.regression",
        "ntjax.metrics.seeds",
        "ntjax.calibration.conformal",
        "ntjax.calibration.fitting",
        "ntjax.calibration.prior_shift",
    ],
)
def test_examples_are_true(name):
    tried = doctest.testmod(importlib.import_module(name))
    assert tried.attempted > 0
    assert tried.failed == 0


def test_the_value_for_an_unknown_label_is_that_of_label_files():
    from ntjax.io import labels
    from ntjax.metrics import UNKNOWN_LABEL

    assert labels.UNKNOWN_LABEL == UNKNOWN_LABEL
