"""Values with their bootstrap intervals, against resamples drawn row by row."""

import numpy as np
import pytest

from ntjax.metrics import bootstrap
from ntjax.metrics.bootstrap import estimates, resampled

ROWS = np.random.default_rng(0).normal(size=40)


def mean(weights):
    return {"mean": weights @ ROWS / weights.sum(axis=1)}


@pytest.mark.parametrize("groups", [None, np.arange(40) // 4])
def test_intervals_equal_those_of_rows_drawn_one_by_one(groups, monkeypatch):
    monkeypatch.setattr(bootstrap, "LEAST_UNITS", 10)
    found = estimates(mean, 40, resamples=300, seed=3, groups=groups, confidence=0.9)["mean"]
    units = [[row] for row in range(40)] if groups is None else np.arange(40).reshape(10, 4)
    drawn = np.random.default_rng(3).integers(len(units), size=(300, len(units)))
    means = [np.concatenate([ROWS[units[unit]] for unit in draw]).mean() for draw in drawn]
    low, high = np.quantile(means, [0.05, 0.95])
    expected = {"value": ROWS.mean(), "low": low, "high": high}
    assert found == pytest.approx(expected, abs=1e-12)
    values = resampled(mean, 40, resamples=300, seed=3, groups=groups)["mean"]
    np.testing.assert_allclose(values, means, atol=1e-12)


def test_intervals_do_not_depend_on_chunks(monkeypatch):
    whole = estimates(mean, 40, resamples=33)["mean"]
    monkeypatch.setattr(bootstrap, "_CHUNK_ENTRIES", 300)
    assert estimates(mean, 40, resamples=33)["mean"] == pytest.approx(whole, abs=1e-12)


@pytest.mark.parametrize(("resamples", "groups"), [(0, None), (100, np.zeros(40))])
def test_nothing_is_drawn_of_a_single_group(resamples, groups):
    found = estimates(mean, 40, resamples=resamples, groups=groups)["mean"]
    assert (found["low"], found["high"]) == (None, None)
    assert found["value"] == pytest.approx(ROWS.mean())
    if resamples:
        assert found["interval"] == "it needs 20 groups of related rows and there are 1"
    else:
        assert "interval" not in found
    assert resampled(mean, 40, resamples=resamples, groups=groups)["mean"].size == 0


def test_an_undefined_value_is_none():
    undefined = estimates(lambda weights: {"x": np.full(len(weights), np.nan)}, 5, resamples=20)
    reason = "the value is not defined for these rows"
    assert undefined == {"x": {"value": None, "low": None, "high": None, "interval": reason}}


@pytest.mark.parametrize("options", [{"resamples": -1}, {"resamples": 9, "confidence": 1.0}])
def test_numbers_out_of_range(options):
    with pytest.raises(ValueError, match="need >= 0"):
        estimates(mean, 40, **options)
