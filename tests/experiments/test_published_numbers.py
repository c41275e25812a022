"""The report's own numbers, against the files that it published."""

import os

import pytest

from experiments.promoters import published
from experiments.promoters.published import DROPOUT_CURVES, MODEL_CURVES, REPORT, STAGE_CURVES

needs_files = pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no published files"
)


@needs_files
@pytest.mark.parametrize(
    ("number", "stem"),
    [
        (0, MODEL_CURVES["500M-1000G"]),
        (1, STAGE_CURVES["10,000 steps"]),
        (2, STAGE_CURVES["dropout 0.4, r 32, α 1, 10,000 steps"]),
        (3, STAGE_CURVES["10,000 steps, then E. coli 10,000"]),
        (4, MODEL_CURVES["2.5B-1000G"]),
        (5, MODEL_CURVES["2.5B-multi-species"]),
    ],
)
def test_accuracies_are_the_published_ones(number, stem):
    assert published.test_accuracy(stem) == pytest.approx(REPORT[number].accuracy, abs=0.0005)


@needs_files
def test_curves():
    curves = {name: published.validation_accuracy(stem) for name, stem in DROPOUT_CURVES.items()}
    assert all(steps == list(range(100, 1001, 100)) for steps, _ in curves.values())
    # The report chose 0.4 for a best accuracy of 0.8315, and its neighbour has 0.8291.
    best = {name: max(values) for name, (_, values) in curves.items()}
    assert sorted(best, key=best.get)[-2:] == ["0.1", "0.4"]
    steps, values = published.validation_accuracy(
        STAGE_CURVES["dropout 0.4, r 32, α 1, 10,000 steps"]
    )
    assert max(zip(values, steps, strict=True)) == (pytest.approx(0.867, abs=0.0005), 7300)


def test_without_the_files_there_are_no_curves(monkeypatch):
    monkeypatch.delenv("NTJAX_DATA_DIR", raising=False)
    assert published.validation_accuracy(MODEL_CURVES["500M-1000G"]) is None
    assert published.test_accuracy(MODEL_CURVES["500M-1000G"]) is None


def test_metrics_fit_each_other():
    """Accuracy and MCC follow from sensitivity and specificity on 865 and 1,000 rows."""
    for result in REPORT[:4]:
        hits, rejected = 865 * result.sensitivity, 1000 * result.specificity
        assert (hits + rejected) / 1865 == pytest.approx(result.accuracy, abs=0.003)
        called = hits + 1000 - rejected
        numerator = hits * rejected - (1000 - rejected) * (865 - hits)
        mcc = numerator / (called * 865 * 1000 * (1865 - called)) ** 0.5
        assert mcc == pytest.approx(result.mcc, abs=0.005)
