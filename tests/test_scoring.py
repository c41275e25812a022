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

from ntjax.calibration import PlattScaling, TemperatureScaling
from ntjax.data.tables import SequenceTable
from ntjax.scoring import calibrate, reliability, score_logits, write_predictions


def drawn(rows, classes, seed=0):
    random = np.random.default_rng(seed)
    labels = random.integers(classes, size=rows)
    logits = random.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[labels]
    return logits.astype(np.float32), labels


def table_of(labels, names=None):
    n = len(labels)
    names = tuple(names or (f"row_{k}" for k in range(n)))
    return SequenceTable(
        names, ("ACGT",) * n, tuple(map(str, labels)), "x.csv", tuple(range(2, n + 2))
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_metrics_before_and_after_calibration(classes):
    logits, labels = drawn(120, classes)
    calibration = calibrate(*drawn(80, classes, seed=1))
    result, probabilities, calibrated = score_logits(logits, labels, calibration, seed=0)
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
    assert result.keys() == result["calibrated"].keys() | {"calibrated"}


def test_confident_rows_are_not_tied():
    """Float32 softmax would give 1 for all of them, and an AUROC of a half."""
    margins = np.array([20, 25, 30, 35], np.float32)
    logits = np.stack([np.zeros(4, np.float32), margins], axis=1)
    result, probabilities, _ = score_logits(logits, np.array([0, 0, 1, 1]), None, seed=0)
    assert result["auroc"]["value"] == 1.0
    assert len(set(probabilities[:, 1])) == 4


def test_too_few_rows_are_not_calibrated():
    logits, labels = drawn(9, 2)
    assert calibrate(logits, labels) is None
    assert calibrate(*drawn(10, 2)) is not None
    many, _ = drawn(50, 2)
    assert calibrate(many, np.zeros(50, int)) is None  # one class only
    result, _, calibrated = score_logits(logits, labels, None, seed=0)
    assert result["calibrated"] is None
    assert calibrated is None


@pytest.mark.parametrize("classes", [2, 3])
def test_reliability_has_a_curve_for_each_class(classes):
    logits, labels = drawn(300, classes)
    probabilities = softmax(logits.astype(float), axis=1)
    curves = reliability(labels, probabilities, [f"class {k}" for k in range(classes)])
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
    assert reliability(labels, None, ["0", "1"]) is None


def test_predictions_of_two_classes(tmp_path):
    logits = np.array([[0.5, 2.0], [1.0, -1.0], [0.0, 0.0]], np.float32)
    probabilities = np.array([[0.2, 0.8], [0.9, 0.1], [0.5, 0.5]])
    calibrated = np.array([[0.3, 0.7], [0.6, 0.4], [0.5, 0.5]])
    table = table_of(["no", "yes", "no"], names=["thrB", "thrB", 'a, "b"'])
    path = tmp_path / "predictions.csv"
    write_predictions(path, table, logits, probabilities, calibrated)
    rows = list(csv.reader(io.StringIO(path.read_text())))
    assert rows == [
        ["name", "label", "logit", "probability", "calibrated_probability"],
        ["thrB", "no", "1.5", "0.8", "0.7"],
        ["thrB", "yes", "-2.0", "0.1", "0.4"],
        ['a, "b"', "no", "0.0", "0.5", "0.5"],
    ]
    assert [file.name for file in tmp_path.iterdir()] == ["predictions.csv"]


def test_predictions_of_three_classes_have_a_column_each(tmp_path):
    logits, labels = drawn(6, 3)
    probabilities, calibrated = np.full((6, 3), 1 / 3), np.tile([0.2, 0.3, 0.5], (6, 1))
    path = tmp_path / "predictions.csv"
    write_predictions(path, table_of(labels), logits, probabilities, calibrated)
    frame = pd.read_csv(path)
    assert list(frame.columns) == [
        "name",
        "label",
        *(f"{kind}_{k}" for kind in ("logit", "probability") for k in range(3)),
        *(f"calibrated_probability_{k}" for k in range(3)),
    ]
    np.testing.assert_array_equal(frame[[f"logit_{k}" for k in range(3)]].astype("f4"), logits)
    np.testing.assert_array_equal(frame["calibrated_probability_2"], 0.5)


@pytest.mark.parametrize("classes", [2, 3])
def test_without_calibration_its_columns_are_empty(tmp_path, classes):
    logits, labels = drawn(4, classes)
    path = tmp_path / "predictions.csv"
    write_predictions(path, table_of(labels), logits, np.full((4, classes), 1 / classes), None)
    frame = pd.read_csv(path)
    names = [name for name in frame.columns if name.startswith("calibrated")]
    numbered = [f"calibrated_probability_{k}" for k in range(3)]
    assert names == (["calibrated_probability"] if classes == 2 else numbered)
    assert frame[names].isna().all(axis=None)
