"""Metrics, calibration and the table of predictions, against scikit-learn and plain NumPy."""

import csv
import io
import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from ntjax.calibration import LabelwiseCalibration, PredictionInterval
from ntjax.calibration.scaling import (
    IdentityScaling,
    IsotonicScaling,
    PlattScaling,
    TemperatureScaling,
)
from ntjax.errors import UserError
from ntjax.io.table_output import write_columns
from ntjax.io.tables import SequenceTable
from ntjax.runs.predictions import calibrate, prediction_columns, reliability, score_outputs
from ntjax.tasks import Classification, MultiLabel, Regression


def write_predictions(path, *arguments):
    write_columns(path, prediction_columns(*arguments))


def drawn(rows, classes, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(classes, size=rows)
    logits = random.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[labels]
    return logits.astype(np.float32), labels


def overconfident(logits, labels):
    return 4 * logits, labels


def task_of(classes):
    return Classification(tuple(f"class {k}" for k in range(classes)))


def table_of(labels, names=None):
    n = len(labels)
    names = tuple(names or (f"row_{k}" for k in range(n)))
    return SequenceTable(
        names, ("ACGT",) * n, tuple(map(str, labels)), "x.csv", tuple(range(2, n + 2))
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_metrics_before_and_after_calibration(classes):
    logits, labels = drawn(120, classes)
    task = task_of(classes)
    calibration = calibrate(task, *overconfident(*drawn(80, classes, seed=1)))
    result, probabilities, calibrated = score_outputs(task, logits, labels, calibration, seed=0)
    assert isinstance(calibration, PlattScaling if classes == 2 else TemperatureScaling)
    exponentials = np.array([[math.exp(x) for x in row] for row in logits.tolist()])
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, atol=1e-12)
    if classes == 2:
        slope, intercept = calibration.slope, calibration.intercept
        margin = logits[:, 1].astype(float) - logits[:, 0]
        np.testing.assert_allclose(calibrated[:, 1], expit(slope * margin + intercept), atol=1e-12)
    np.testing.assert_allclose(calibrated.sum(axis=1), 1)
    for found, p in ((result, probabilities), (result["calibrated"], calibrated)):
        assert found["accuracy"]["value"] == sk.accuracy_score(labels, p.argmax(axis=1))
        assert found["mcc"]["value"] == pytest.approx(
            sk.matthews_corrcoef(labels, p.argmax(axis=1))
        )
        auroc = sk.roc_auc_score(labels, p[:, 1] if classes == 2 else p, multi_class="ovr")
        assert found["auroc"]["value"] == pytest.approx(auroc)
        assert found["n"] == 120
    assert result.keys() == result["calibrated"].keys() | {"calibrated", "calibration"}
    assert result["calibration"] == {"method": "platt" if classes == 2 else "temperature"}


@pytest.mark.parametrize("classes", [2, 3])
def test_a_calibration_that_does_not_help_is_left_out_and_that_is_said(classes):
    logits, labels = drawn(120, classes)
    own, of_own = drawn(150, classes, seed=1)
    # Labels moved these by 1.5: by Bayes' rule 1.5 times as much are true logits.
    calibration = calibrate(task_of(classes), 1.5 * own, of_own)
    assert calibration == IdentityScaling()
    result, probabilities, calibrated = score_outputs(
        task_of(classes), logits, labels, calibration, seed=0
    )
    assert result["calibration"] == {"method": "identity"}
    np.testing.assert_array_equal(calibrated, probabilities)
    assert result["calibrated"]["brier"] == result["brier"]


def test_confident_rows_are_not_tied():
    """Float32 softmax would give 1 for all of them, and an AUROC of a half."""
    margins = np.array([20, 25, 30, 35], np.float32)
    logits = np.stack([np.zeros(4, np.float32), margins], axis=1)
    labels = np.array([0, 0, 1, 1])
    result, probabilities, _ = score_outputs(task_of(2), logits, labels, None, seed=0)
    assert result["auroc"]["value"] == 1.0
    assert len(set(probabilities[:, 1])) == 4


def test_too_few_rows_are_not_calibrated():
    logits, labels = drawn(9, 2)
    assert calibrate(task_of(2), logits, labels) is None
    assert calibrate(task_of(2), *drawn(10, 2)) is not None
    many, _ = drawn(50, 2)
    assert calibrate(task_of(2), many, np.zeros(50, int)) is None  # one class only
    result, _, calibrated = score_outputs(task_of(2), logits, labels, None, seed=0)
    assert result["calibrated"] is None
    assert calibrated is None


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_outputs_that_are_not_finite_are_not_too_few(kind, bad):
    task, (outputs, labels) = {
        "classification": (task_of(2), drawn(40, 2)),
        "multilabel": (LABELS, labels_drawn(40)),
        "regression": (VALUES, values_drawn(40)),
    }[kind]
    outputs[[3, 7], 0] = bad
    with pytest.raises(UserError) as caught:
        calibrate(task, outputs, labels)
    assert str(caught.value) == (
        "2 of 40 calibration rows (first: row 4) have predictions that are not finite: training "
        "has diverged, use a lower learning rate"
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_reliability_has_a_curve_for_each_class(classes):
    logits, labels = drawn(300, classes)
    probabilities = softmax(logits.astype(float), axis=1)
    curves = reliability(task_of(classes), labels, probabilities)
    assert list(curves) == [f"class {k}" for k in range(classes)]
    for number, curve in enumerate(curves.values()):
        fractions, means = calibration_curve(labels == number, probabilities[:, number], n_bins=10)
        filled = [k for k in range(10) if curve["count"][k]]
        np.testing.assert_allclose([curve["fraction_positive"][k] for k in filled], fractions)
        np.testing.assert_allclose([curve["mean_predicted"][k] for k in filled], means)
        assert sum(curve["count"]) == 300
        empty = set(range(10)) - set(filled)
        assert all(curve["low"][k] is None for k in empty)
    json.dumps(curves, allow_nan=False)
    assert reliability(task_of(classes), labels, None) is None


def test_predictions_of_two_classes(tmp_path):
    logits = np.array([[0.5, 2.0], [1.0, -1.0], [0.0, 0.0]], np.float32)
    probabilities = np.array([[0.2, 0.8], [0.9, 0.1], [0.5, 0.5]])
    calibrated = np.array([[0.3, 0.7], [0.6, 0.4], [0.5, 0.5]])
    table = table_of(["no", "yes", "no"], names=["thrB", "thrB", 'a, "b"'])
    path = tmp_path / "predictions.csv"
    write_predictions(path, task_of(2), table, logits, probabilities, calibrated)
    rows = list(csv.reader(io.StringIO(path.read_text())))
    assert rows == [
        ["name", "label", "logit", "probability", "calibrated_probability", "call", "row"],
        ["thrB", "no", "1.5", "0.8", "0.7", "class 1", "2"],
        ["thrB", "yes", "-2.0", "0.1", "0.4", "class 0", "3"],
        ['a, "b"', "no", "0.0", "0.5", "0.5", "class 0", "4"],
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.csv"]


def test_predictions_of_three_classes_have_a_column_each(tmp_path):
    logits, labels = drawn(6, 3)
    probabilities, calibrated = np.full((6, 3), 1 / 3), np.tile([0.2, 0.3, 0.5], (6, 1))
    path = tmp_path / "predictions.csv"
    write_predictions(path, task_of(3), table_of(labels), logits, probabilities, calibrated)
    frame = pd.read_csv(path)
    assert list(frame.columns) == [
        "name",
        "label",
        *(f"{kind}[class {k}]" for kind in ("logit", "probability") for k in range(3)),
        *(f"calibrated_probability[class {k}]" for k in range(3)),
        "call",
        "row",
    ]
    found = frame[[f"logit[class {k}]" for k in range(3)]]
    np.testing.assert_array_equal(found.astype("f4"), logits)
    np.testing.assert_array_equal(frame["calibrated_probability[class 2]"], 0.5)
    assert (frame["call"] == "class 2").all()


@pytest.mark.parametrize("classes", [2, 3])
def test_without_calibration_its_columns_are_empty(tmp_path, classes):
    logits, labels = drawn(4, classes)
    path = tmp_path / "predictions.csv"
    probabilities = np.full((4, classes), 1 / classes)
    write_predictions(path, task_of(classes), table_of(labels), logits, probabilities, None)
    frame = pd.read_csv(path)
    names = [name for name in frame.columns if name.startswith("calibrated")]
    numbered = [f"calibrated_probability[class {k}]" for k in range(3)]
    assert names == (["calibrated_probability"] if classes == 2 else numbered)
    assert frame[names].isna().all(axis=None)


@pytest.mark.parametrize(
    ("method", "kind"),
    [("isotonic", IsotonicScaling), ("temperature", TemperatureScaling), ("platt", PlattScaling)],
)
def test_the_calibration_asked_for(method, kind):
    rows = overconfident(*drawn(150, 2))
    assert isinstance(calibrate(task_of(2), *rows, method), kind)


# Several labels a row

LABELS = MultiLabel(("tata", "gc box"))


def labels_drawn(rows, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(2, size=(rows, 2))
    logits = (random.normal(size=(rows, 2)) + 2.0 * labels - 1).astype(np.float32)
    labels[random.random((rows, 2)) < 0.2] = -1
    labels[:, 0] = np.where((labels < 0).all(axis=1), 1, labels[:, 0])
    return logits, labels


def test_several_labels_before_and_after_calibration():
    logits, labels = labels_drawn(200)
    calibration = calibrate(LABELS, *overconfident(*labels_drawn(120, seed=1)))
    assert isinstance(calibration, LabelwiseCalibration)
    result, probabilities, calibrated = score_outputs(LABELS, logits, labels, calibration, seed=0)
    np.testing.assert_allclose(probabilities, expit(logits.astype(float)))
    for found, p in ((result, probabilities), (result["calibrated"], calibrated)):
        known = [labels[:, k] >= 0 for k in range(2)]
        aurocs = [sk.roc_auc_score(labels[at, k], p[at, k]) for k, at in enumerate(known)]
        assert found["auroc"]["value"] == pytest.approx(np.mean(aurocs))
        assert [found["labels"][name]["n"] for name in LABELS.outputs] == [at.sum() for at in known]
    assert result.keys() == result["calibrated"].keys() | {"calibrated", "calibration"}
    assert result["calibration"] == {"method": "labelwise"}
    own, of_own = labels_drawn(120, seed=1)
    unchanged = calibrate(LABELS, 2 * own, of_own)  # true logits
    assert unchanged.labels == (IdentityScaling(), IdentityScaling())
    json.dumps(result, allow_nan=False)


def test_reliability_of_labels_is_that_of_the_known_rows():
    logits, labels = labels_drawn(300)
    labels[:, 1] = -1
    probabilities = expit(logits.astype(float))
    curves = reliability(LABELS, labels, probabilities)
    assert list(curves) == ["tata", "gc box"]
    assert curves["gc box"] is None
    known = labels[:, 0] >= 0
    fractions, _ = calibration_curve(labels[known, 0], probabilities[known, 0], n_bins=10)
    found = [value for value in curves["tata"]["fraction_positive"] if value is not None]
    np.testing.assert_allclose(found, fractions)
    assert sum(curves["tata"]["count"]) == known.sum()


@pytest.mark.parametrize("is_calibrated", [True, False])
def test_predictions_of_several_labels_have_a_column_each(tmp_path, is_calibrated):
    logits, _ = labels_drawn(3)
    probabilities = expit(logits.astype(float))
    calibrated = np.tile([0.25, 0.75], (3, 1)) if is_calibrated else None
    path = tmp_path / "predictions.csv"
    table = table_of(["1,0", ",1", "0,"])
    write_predictions(path, LABELS, table, logits, probabilities, calibrated)
    frame = pd.read_csv(path, dtype={"label[tata]": str, "label[gc box]": str})
    assert list(frame.columns) == [
        "name",
        *(
            f"{kind}[{name}]"
            for kind in ("label", "logit", "probability", "calibrated_probability")
            for name in LABELS.outputs
        ),
        "row",
    ]
    assert frame["label[tata]"].fillna("").tolist() == ["1", "", "0"]
    assert frame["label[gc box]"].fillna("").tolist() == ["0", "1", ""]
    np.testing.assert_allclose(frame["logit[gc box]"], logits[:, 1], rtol=1e-6)
    np.testing.assert_allclose(frame["probability[tata]"], probabilities[:, 0])
    expected = 0.75 if is_calibrated else np.nan
    np.testing.assert_array_equal(frame["calibrated_probability[gc box]"], expected)


# Values

VALUES = Regression(("expression",), mean=120.0, spread=20.0)


def values_drawn(rows, seed=0):
    random = np.random.default_rng(seed)
    outputs = random.normal(size=(rows, 1)).astype(np.float32)
    return outputs, 120 + 20 * (outputs[:, 0] + 0.5 * random.normal(size=rows))


def test_values_are_scored_in_their_own_units():
    outputs, labels = values_drawn(300)
    interval = calibrate(VALUES, *values_drawn(99, seed=1))
    assert isinstance(interval, PredictionInterval)
    result, values, calibrated = score_outputs(VALUES, outputs, labels, interval, seed=0)
    np.testing.assert_allclose(values, 120 + 20 * outputs[:, 0].astype(float))
    assert calibrated is result["calibrated"] is None
    assert result["rmse"]["value"] == pytest.approx(sk.root_mean_squared_error(labels, values))
    assert result["r2"]["value"] == pytest.approx(sk.r2_score(labels, values))
    inside = np.abs(labels - values) <= interval.half_width
    assert result["interval"]["coverage"]["value"] == pytest.approx(inside.mean())
    assert result["interval"]["half_width"] == interval.half_width
    json.dumps(result, allow_nan=False)


def test_values_without_an_interval():
    outputs, labels = values_drawn(8)
    assert calibrate(VALUES, outputs, labels) is None
    result, _, _ = score_outputs(VALUES, outputs, labels, None, seed=0)
    assert list(result) == ["pearson", "spearman", "r2", "rmse", "mae", "n", "calibrated"]


def test_predictions_of_values(tmp_path):
    outputs = np.array([[0.5], [-1.0]], np.float32)
    path = tmp_path / "predictions.csv"
    table = table_of(["131.25", "1e2"])
    write_predictions(path, VALUES, table, outputs, VALUES.values(outputs), None)
    assert path.read_text().splitlines() == [
        "name,label,prediction,row",
        "row_0,131.25,130.0,2",
        "row_1,1e2,100.0,3",
    ]
