"""The debiased calibration error against loops written out, and what it is for: no false alarm."""

import numpy as np
import pytest

from ntjax.metrics import calibration_error, evaluate
from ntjax.metrics.calibration_error import equal_mass_bins


def by_loop(probabilities, happened, bins):
    """Kumar et al. 2019, definition 5.1, of rows that are not related."""
    total = 0.0
    for number in range(bins.max() + 1):
        stated, seen = probabilities[bins == number], happened[bins == number]
        share = seen.mean()
        by_chance = share * (1 - share) / (len(seen) - 1)
        total += len(seen) / len(bins) * ((stated.mean() - share) ** 2 - by_chance)
    return total


def drawn(seed, n, power=1.0):
    random = np.random.default_rng(seed)
    truth = random.beta(2, 2, n)
    return truth**power, random.random(n) < truth


@pytest.mark.parametrize("n", [40, 200, 1000])
def test_the_value_is_that_of_the_formula(n):
    probabilities, happened = drawn(n, n, power=3.0)
    bins = equal_mass_bins(probabilities, np.arange(n))
    assert np.ptp(np.bincount(bins)) <= 1
    assert len(np.bincount(bins)) == 15
    found = calibration_error(probabilities, happened)
    assert found["value"] == pytest.approx(by_loop(probabilities, happened, bins))
    assert found["p"] < 0.05 or n == 40
    assert found["low"] is found["high"] is None
    assert "note" not in found


def test_it_has_no_bias_and_the_test_no_false_alarms():
    values, alarms, plain = [], [], []
    for seed in range(400):
        probabilities, happened = drawn(seed, 150)
        bins = equal_mass_bins(probabilities, np.arange(150))
        values.append(by_loop(probabilities, happened, bins))
        alarms.append(calibration_error(probabilities, happened, resamples=99)["p"] <= 0.05)
        gaps = [
            abs(probabilities[bins == b].mean() - happened[bins == b].mean()) for b in set(bins)
        ]
        plain.append(np.mean(np.square(gaps)))
    assert abs(np.mean(values)) < 3 * np.std(values) / 20
    assert np.mean(plain) > 0.015
    assert 0.02 < np.mean(alarms) < 0.08


def test_what_is_below_zero_is_zero_and_said():
    probabilities = np.repeat([0.25, 0.75], 40)
    happened = np.concatenate([np.arange(40) < 10, np.arange(40) < 30])  # exactly as stated
    found = calibration_error(probabilities, happened)
    assert found["value"] == 0
    assert "below 0" in found["note"]
    assert found["p"] > 0.9


def test_equal_probabilities_share_a_bin_whatever_the_order_of_rows():
    happened = np.arange(60) < 30
    found = calibration_error(np.full(60, 0.5), happened)
    assert found["value"] == 0
    with_others = np.where(np.arange(60) % 3 > 0, 0.5, np.linspace(0, 1, 60))
    bins = equal_mass_bins(with_others, np.arange(60))
    assert len(set(bins[with_others == 0.5])) == 1
    assert np.bincount(bins).min() >= 2


def test_related_rows_are_redrawn_together():
    probabilities, happened = drawn(2, 40)
    copied = np.repeat(probabilities, 20), np.repeat(happened, 20)
    alone = calibration_error(*copied)
    grouped = calibration_error(*copied, groups=np.repeat(np.arange(40), 20))
    assert alone["p"] < 0.01  # eight hundred rows would be surprising, forty are not
    assert grouped["p"] > 0.1


@pytest.mark.parametrize("classes", [2, 3])
def test_it_judges_the_probability_that_ece_judges(classes):
    random = np.random.default_rng(2)
    probabilities = random.dirichlet(np.ones(classes), 200)
    labels = random.integers(classes, size=200)
    found = evaluate(labels, probabilities, seed=3)["calibration_error"]
    if classes == 2:
        stated, happened = probabilities[:, 1], labels == 1
    else:
        stated, happened = probabilities.max(axis=1), labels == probabilities.argmax(axis=1)
    assert found == calibration_error(stated, happened, seed=3)


def test_one_row():
    found = calibration_error([0.3], [True])
    assert found["value"] is found["p"] is None
    assert "2 rows" in found["interval"]
