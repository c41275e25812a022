"""Thresholds chosen on validation rows, and what a run does with them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef

import ntjax
from ntjax.calibration.threshold import check_threshold, choose_threshold
from ntjax.errors import UserError

RANDOM = np.random.default_rng(4)


def drawn(rows, seed, levels):
    random = np.random.default_rng(seed)
    truth = random.random(rows) < 0.3
    return np.round(random.normal(size=rows) + truth, levels), truth


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 60), st.integers(0, 1000), st.sampled_from([0, 1, 6]))
def test_no_threshold_has_a_higher_mcc(rows, seed, levels):
    scores, truth = drawn(rows, seed, levels)
    found = choose_threshold("validation-mcc", scores, truth)
    if truth.all() or not truth.any():
        assert found is None
        return
    best = max(matthews_corrcoef(truth, scores > at - 1e-9) for at in scores)
    assert matthews_corrcoef(truth, scores > found) == pytest.approx(max(best, 0), abs=1e-9)


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 60), st.integers(0, 1000), st.sampled_from([0, 1, 6]))
def test_most_calls_of_a_precision(rows, seed, levels):
    scores, truth = drawn(rows, seed, levels)
    found = choose_threshold("precision=0.6", scores, truth)
    if truth.all() or not truth.any():
        assert found is None
        return
    calls = [scores > at - 1e-9 for at in scores]
    enough = [int(called.sum()) for called in calls if truth[called].mean() >= 0.6]
    assert (found is None) == (not enough)
    if found is not None:
        assert (scores > found).sum() == max(enough)
    assert choose_threshold("fdr=0.4", scores, truth) == found


@pytest.mark.parametrize(
    "text", ["0.7", "mcc", "precision=1.2", "precision=0", "fdr=", "recall=.5"]
)
def test_rules_that_do_not_exist(text):
    with pytest.raises(UserError, match=r"give 0\.5, validation-mcc, precision=0\.9 or fdr=0\.05"):
        check_threshold(text)


def rows(count):
    sequences = ["".join(RANDOM.choice(list("ACGT"), 60)) for _ in range(count)]
    labels = ["rich" if s.count("A") + RANDOM.normal(0, 3) > 17 else "poor" for s in sequences]
    return sequences, labels


@pytest.mark.end_to_end
def test_a_run_keeps_its_threshold(tmp_path):
    train, validation, test = rows(200), rows(100), rows(100)
    options = {"steps": 20, "batch_size": 32, "adapter": "head", "head": "mean"}
    run = ntjax.fine_tune(
        "mini", train, validation, test, threshold="validation-mcc", out=tmp_path / "run", **options
    )
    logits = run.logits(validation[0]).astype(np.float64)
    log_odds = logits[:, 1] - logits[:, 0]
    expected = choose_threshold("validation-mcc", log_odds, np.array(validation[1]) == "rich")
    assert run.task.threshold == pytest.approx(expected, abs=1e-4)
    assert run.training["threshold"].startswith("validation-mcc: log-odds above")
    # The metrics of calls, calibrated or not, are those of the calls in predictions.csv.
    table = run.record.predictions
    called = table["logit"] > run.task.threshold
    assert (table["call"] == np.where(called, "rich", "poor")).all()
    mcc = matthews_corrcoef(np.array(table["label"]) == "rich", called)
    assert run.metrics["mcc"]["value"] == pytest.approx(mcc)
    if run.metrics["calibrated"]:
        assert run.metrics["calibrated"]["mcc"]["value"] == pytest.approx(mcc)
    assert run.metrics["mcc"]["low"] <= mcc <= run.metrics["mcc"]["high"]
    assert ntjax.load_run(tmp_path / "run").task == run.task
    three = (train[0], (["a", "b", "c"] * 67)[:200])
    with pytest.raises(UserError, match="is for two classes, and there are 3"):
        ntjax.fine_tune("mini", three, three, three, threshold="fdr=0.1", steps=1)
