import numpy as np
import pytest
from sklearn.metrics import accuracy_score, matthews_corrcoef, roc_auc_score

from ntjax.metrics.classification import evaluate
from ntjax.metrics.seeds import METRICS, seed_means, standard_error
from ntjax.metrics.significance import corrected_resampled_t

SKLEARN = {
    "accuracy": lambda labels, p: accuracy_score(labels, p > 0.5),
    "mcc": lambda labels, p: matthews_corrcoef(labels, p > 0.5),
    "auroc": roc_auc_score,
}


@pytest.fixture(scope="module")
def scored():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 300)
    common = random.normal(size=300)

    def method(signal, seeds):
        noise = 0.3 * random.normal(size=(seeds, 300))
        return 1 / (1 + np.exp(-(signal * (labels - 0.5) + common + noise)))

    return labels, {"good": method(2.0, 5), "poor": method(1.0, 3), "one": method(1.0, 1)}


def test_means_and_deviations_against_sklearn(scored):
    labels, probabilities = scored
    result = seed_means(labels, probabilities, "poor", bootstrap=20)
    for name, seeds in probabilities.items():
        for metric in METRICS:
            expected = [SKLEARN[metric](labels, p) for p in seeds]
            found = result[name][metric]
            assert found["value"] == pytest.approx(np.mean(expected))
            if name == "one":
                assert found["sd"] is None
            else:
                assert found["sd"] == pytest.approx(np.std(expected, ddof=1))
            assert found["difference"]["value"] == pytest.approx(
                found["value"] - result["poor"][metric]["value"]
            )


def test_one_seed_has_the_interval_of_a_single_run(scored):
    labels, probabilities = scored
    groups = np.arange(300) // 3
    p = probabilities["one"][0]
    single = evaluate(labels, np.stack([1 - p, p], axis=1), seed=4, groups=groups)
    result = seed_means(labels, {"one": p[None]}, "one", groups=groups, seed=4)["one"]
    for metric in METRICS:
        for end in ("value", "low", "high"):
            assert result[metric][end] == pytest.approx(single[metric][end])
        assert result[metric]["difference"] == {"value": 0, "low": 0, "high": 0, "p": 1}


def test_differences_are_of_paired_rows(scored):
    """Both methods err on the same rows: their difference varies less than either."""
    labels, probabilities = scored
    result = seed_means(labels, probabilities, "poor")["good"]["auroc"]
    difference = result["difference"]
    assert 0 < difference["low"] < difference["value"] < difference["high"]
    assert difference["high"] - difference["low"] < result["high"] - result["low"]


def test_other_metrics_on_the_same_resamples(scored):
    labels, probabilities = scored
    chosen = ("sensitivity", "accuracy")
    result = seed_means(labels, probabilities, "poor", metrics=chosen, bootstrap=50)
    usual = seed_means(labels, probabilities, "poor", bootstrap=50)
    for name, seeds in probabilities.items():
        assert tuple(result[name]) == chosen
        assert result[name]["accuracy"] == usual[name]["accuracy"]
        expected = np.mean([(p > 0.5)[labels == 1].mean() for p in seeds])
        assert result[name]["sensitivity"]["value"] == pytest.approx(expected)


def test_the_standard_error_of_seeds_that_split_the_same_rows():
    # sd of 1, 2, 3, 4 is sqrt(5/3); by hand, with 10 of 100 rows to score on.
    values = [1.0, 2.0, np.nan, 3.0, 4.0]
    assert standard_error(values) == pytest.approx((5 / 3 / 4) ** 0.5)
    assert standard_error(values, 90, 10) == pytest.approx((5 / 3 * (1 / 4 + 1 / 9)) ** 0.5)
    assert np.isnan(standard_error([0.5, np.nan], 90, 10))
    # The confidence interval of the corrected resampled t-test is that many standard errors.
    test = corrected_resampled_t([1, 2, 3, 4], np.zeros(4), 90, 10)
    assert test.difference / test.t == pytest.approx(standard_error(values, 90, 10))
