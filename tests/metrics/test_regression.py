"""Metrics of values against scipy.stats and scikit-learn, resample by resample."""

import json

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sk

from ntjax.errors import UserError
from ntjax.metrics.bootstrap import multiplicities, resampling_units
from ntjax.metrics.proportions import wilson_interval
from ntjax.metrics.regression import HIGHER_IS_BETTER, evaluate, share

NAMES = ["pearson", "spearman", "r2", "rmse", "mae"]


def drawn(seed, n, *, ties=False, offset=0.0, unit=1.0):
    generator = np.random.default_rng(seed)
    targets = generator.normal(size=n)
    predictions = 0.6 * targets + 0.5 * generator.normal(size=n)
    if ties:
        targets, predictions = np.round(2 * targets), np.round(2 * predictions)
    return offset + unit * targets, offset + unit * predictions


def witnesses(targets, predictions):
    return {
        "pearson": stats.pearsonr(targets, predictions).statistic,
        "spearman": stats.spearmanr(targets, predictions).statistic,
        "r2": sk.r2_score(targets, predictions),
        "rmse": sk.root_mean_squared_error(targets, predictions),
        "mae": sk.mean_absolute_error(targets, predictions),
    }


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [3, 10, 1000])
def test_values_equal_scipy_and_scikit_learn(n, ties):
    rows = drawn(n, n, ties=ties)
    result = evaluate(*rows, bootstrap=0)
    assert list(result) == [*NAMES, "n"] == [*HIGHER_IS_BETTER, "n"]
    found = {name: result[name]["value"] for name in NAMES}
    assert found == pytest.approx(witnesses(*rows), abs=1e-12)
    assert result["n"] == n
    assert result["pearson"]["low"] is result["pearson"]["high"] is None


@pytest.mark.parametrize(("offset", "unit"), [(1e6, 1.0), (0.0, 1e-9), (-3e4, 1e3)])
def test_any_unit(offset, unit):
    rows = drawn(1, 200, offset=offset, unit=unit)
    result = evaluate(*rows, bootstrap=0)
    for name, expected in witnesses(*rows).items():
        assert result[name]["value"] == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("grouped", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_intervals_are_those_of_the_witnesses_on_the_same_resamples(ties, grouped):
    targets, predictions = drawn(2, 60, ties=ties)
    groups = np.arange(60) // 2 if grouped else None
    result = evaluate(targets, predictions, bootstrap=200, seed=5, groups=groups)
    membership, units = resampling_units(60, groups)
    weights = np.concatenate(
        list(multiplicities(membership, units, 200, np.random.default_rng(5)))
    ).astype(int)
    samples = [
        witnesses(np.repeat(targets, times), np.repeat(predictions, times)) for times in weights
    ]
    scales = {"r2": (lambda r: np.log(1 - r), lambda x: 1 - np.exp(x))}
    scales |= dict.fromkeys(("pearson", "spearman"), (np.arctanh, np.tanh))
    scales |= dict.fromkeys(("rmse", "mae"), (np.log, np.exp))
    for name in NAMES:
        there, back = scales[name]
        error = np.std([there(sample[name]) for sample in samples])
        half = stats.t.ppf(0.975, units - 1) * error * np.sqrt(units / (units - 1))
        center = there(witnesses(targets, predictions)[name])
        found = [result[name]["low"], result[name]["high"]]
        assert found == pytest.approx(sorted(back(center + np.array([-half, half])))), name


def test_intervals_of_groups_are_wider():
    targets, predictions = (np.repeat(column, 10) for column in drawn(3, 40))
    alone = evaluate(targets, predictions)["pearson"]
    together = evaluate(targets, predictions, groups=np.repeat(np.arange(40), 10))["pearson"]
    assert together["high"] - together["low"] > 2 * (alone["high"] - alone["low"])


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 + 0.1])
def test_constant_values_have_no_correlation(constant):
    targets = np.arange(8.0)
    reason = "the value is not defined for these rows"
    nothing = {"value": None, "low": None, "high": None, "interval": reason}
    result = evaluate(targets, np.full(8, constant), bootstrap=50)
    for name in ("pearson", "spearman"):
        assert result[name] == nothing
    assert result["r2"]["value"] == pytest.approx(sk.r2_score(targets, np.full(8, constant)))
    result = evaluate(np.full(8, constant), targets, bootstrap=50)
    for name in ("pearson", "spearman", "r2"):
        assert result[name] == nothing
    assert result["mae"]["value"] == pytest.approx(np.abs(targets - constant).mean())


def test_perfect_predictions():
    targets, _ = drawn(4, 50)
    result = evaluate(targets, targets)
    for name, value in (("pearson", 1), ("spearman", 1), ("r2", 1), ("rmse", 0), ("mae", 0)):
        assert result[name]["value"] == pytest.approx(value, abs=1e-12), name
        # No row shows by how much another may be missed: an interval of no width would be wrong.
        assert result[name]["low"] is result[name]["high"] is None
        assert "predicted exactly" in result[name]["interval"]
    assert evaluate(targets, -targets)["spearman"]["value"] == pytest.approx(-1)


def test_one_row():
    result = evaluate([1.5], [1.0])
    assert result["pearson"]["value"] is result["r2"]["value"] is None
    assert result["rmse"] == {
        "value": 0.5,
        "low": None,
        "high": None,
        "interval": "it needs 20 rows and there are 1",
    }


def test_json_and_seed():
    rows = drawn(5, 40)
    result = evaluate(*rows, seed=1)
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    assert evaluate(*rows, seed=1) == result
    assert evaluate(*rows, seed=2)["rmse"]["low"] != result["rmse"]["low"]


def test_the_share_of_rows():
    inside = np.arange(200) % 4 > 0
    result = share(inside)
    assert result["value"] == 0.75
    # The binomial's standard error is 0.0306.
    assert result["low"] == pytest.approx(0.75 - 1.96 * 0.0306, abs=0.01)
    assert result["high"] == pytest.approx(0.75 + 1.96 * 0.0306, abs=0.01)
    one_group = share(inside, groups=np.zeros(200))
    assert one_group["interval"] == "it needs 10 groups of related rows and there are 1"
    by_value = share(inside, groups=np.arange(200) % 20)  # each group is all true or all false
    low, high = (end[()] for end in wilson_interval(15, 20))
    assert (by_value["low"], by_value["high"]) == pytest.approx((low, high))


def test_refused():
    with pytest.raises(UserError, match="no rows to evaluate"):
        evaluate([], [])
    with pytest.raises(UserError, match=r"1 of 3 rows \(first: row 2\).*lower learning rate"):
        evaluate([1, 2, 3], [1, np.nan, 2])
    with pytest.raises(ValueError, match="targets are"):
        evaluate([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="finite"):
        evaluate([1, np.inf], [1, 2])
    with pytest.raises(ValueError, match="bootstrap"):
        evaluate([1, 2], [1, 2], bootstrap=-1)
