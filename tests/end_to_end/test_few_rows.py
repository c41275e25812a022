"""Rows so few that none can be set aside to calibrate, and labels so rare that none is called."""

import numpy as np
import pytest

import ntjax
from ntjax.metrics.multilabel import evaluate

pytestmark = pytest.mark.usefixtures("quick_compilation")

RANDOM = np.random.default_rng(9)
OPTIONS = {"steps": 2, "adapter": "head", "head": "mean", "evaluate_every": 1}


def dna(count, letters=60):
    return ["".join(row) for row in RANDOM.choice(list("ACGT"), (count, letters))]


def several(count):
    return RANDOM.integers(0, 2, (count, 2))


def numbers(count):
    return RANDOM.normal(size=count)


def classes(count):
    return RANDOM.choice(["a", "b"], count)


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    ("task", "labels"),
    [("classification", classes), ("multilabel", several), ("regression", numbers)],
)
def test_no_row_is_left_to_calibrate(task, labels):
    parts = [(dna(count), labels(count)) for count in (48, 40, 60)]
    columns = {"label_column": "first,second"} if task == "multilabel" else {}
    run = ntjax.fine_tune("mini", *parts, task=task, **columns, **OPTIONS)
    assert run.calibration is None
    assert run.metrics["n"] == 60
    assert sum("calibrat" in note or "interval" in note for note in run.record.config["notes"]) == 1


@pytest.mark.end_to_end
def test_no_label_is_called():
    labels = np.zeros((50, 2), int)
    labels[:5, 0] = labels[10:14, 1] = 1
    found = evaluate(labels, np.full((50, 2), 0.3), ["first", "second"], bootstrap=0)
    assert found["precision"] == {"value": None, "low": None, "high": None}
    assert found["sensitivity"]["value"] == 0
    rare = (dna(300), (RANDOM.random((300, 2)) < 0.1).astype(int))
    run = ntjax.fine_tune(
        "mini", rare, rare, rare, task="multilabel", label_column="first,second", **OPTIONS
    )
    assert len(run.record.history) >= 1
