"""Precision that a scan expects: from the files of a run, of every class, and reasons for none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted_task import MODEL
from small_runs import small_run

from ntjax import load_pretrained
from ntjax.calibration import PlattScaling, TemperatureScaling
from ntjax.evaluation import scan_precision
from ntjax.evaluation.scan import ClassScore
from ntjax.genomes.windows import RecordedWindows, WindowGeometry

LENGTH = 81
SHARES = {"two": (0.5, 0.5), "three": (0.5, 0.25, 0.25)}


def run_with(task, negatives="genomic"):
    calibration = PlattScaling(1.0, 0.0) if task == "two" else TemperatureScaling(1.0)
    return replace(
        small_run(load_pretrained(MODEL), "head", task),
        calibration=calibration,
        calibration_shares=SHARES[task],
        windows=RecordedWindows(WindowGeometry(60, 20), negatives),
    )


@pytest.fixture
def folder(tmp_path):
    """Test predictions of two classes: 40 of each, three quarters of them right, in pairs."""
    labels = np.repeat(["0", "1"], 40)
    right = np.arange(80) % 4 > 0
    probabilities = np.where(right == (labels == "1"), 0.9, 0.1)
    table = {"label": labels, "calibrated_probability": probabilities}
    pd.DataFrame(table).to_csv(tmp_path / "predictions.csv", index=False)
    groups = [*range(200, 210), *np.arange(80) // 2]
    parts = ["train"] * 10 + ["test"] * 80
    rows = {"name": "", "row": range(90), "part": parts, "group": groups}
    pd.DataFrame(rows).to_csv(tmp_path / "splits.csv", index=False)
    (tmp_path / "adapter.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(("output", "share"), [(1, 0.1), (0, 0.1), (0, 0.98)])
def test_of_either_class(folder, output, share):
    run = run_with("two")
    rows = scan_precision.tested_rows(
        ClassScore(run, output, {run.classes[output]: share}), folder, LENGTH
    )
    assert rows.prior == pytest.approx(share)
    odds = 9 * share / (1 - share)
    assert rows.probabilities.max() == pytest.approx(odds / (1 + odds))
    found = rows.at(odds / (1 + odds) - 1e-9)
    assert found["true_positive_rate"]["value"] == 0.75
    assert found["false_positive_rate"]["value"] == 0.25
    assert found["value"] == pytest.approx(0.75 * share / (0.75 * share + 0.25 * (1 - share)))
    assert found["low"] < found["value"] < found["high"]
    assert rows.at(0.9999)["value"] is None


def test_of_one_of_three_classes(tmp_path):
    run = run_with("three")
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])
    table = pd.DataFrame({"label": ["none", "weak", "strong"]})
    for name, column in zip(run.classes, probabilities.T, strict=True):
        table[f"calibrated_probability[{name}]"] = column
    table.to_csv(tmp_path / "predictions.csv", index=False)
    pd.DataFrame({"name": "", "row": range(3), "part": "test", "group": range(3)}).to_csv(
        tmp_path / "splits.csv", index=False
    )
    (tmp_path / "adapter.json").write_text("{}")
    prior = {"none": 0.9, "weak": 0.04, "strong": 0.06}
    rows = scan_precision.tested_rows(ClassScore(run, 1, prior), tmp_path, LENGTH)
    assert rows.positive.tolist() == [False, True, False]
    weighted = probabilities * np.array([0.9, 0.04, 0.06]) / np.array(SHARES["three"])
    np.testing.assert_allclose(rows.probabilities, (weighted / weighted.sum(1)[:, None])[:, 1])


def test_reasons_for_none(folder, tmp_path):
    run, prior = run_with("two"), {"1": 0.1}
    for score, length, reason in (
        (ClassScore(run, 1), LENGTH, "give a --prior"),
        (ClassScore(run, 1, prior), 100, "windows of 81 bp, and those here have 100 bp"),
        (ClassScore(replace(run, calibration=None), 1), LENGTH, "was not calibrated"),
        (ClassScore(replace(run, windows=None), 1, prior), LENGTH, "not known to be positions"),
        (ClassScore(run_with("two", "shuffled"), 1, prior), LENGTH, "are shuffled"),
    ):
        assert reason in scan_precision.tested_rows(score, folder, length)
    (folder / "splits.csv").unlink()
    assert "lacks its test predictions" in scan_precision.tested_rows(
        ClassScore(run, 1, prior), folder, LENGTH
    )
