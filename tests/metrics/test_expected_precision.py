"""Expected precision: its formula, and how often its interval holds the truth."""

import numpy as np
import pytest

from ntjax.metrics.expected_precision import expected_precision


@pytest.mark.parametrize("prior", [0.5, 0.01, 0.0005])
@pytest.mark.parametrize(("tpr", "fpr"), [(0.9, 0.1), (0.5, 0.01), (0.3, 0.002)])
@pytest.mark.parametrize(("rows", "together"), [(60, 1), (400, 1), (400, 5)])
def test_the_interval_holds_the_truth(prior, tpr, fpr, rows, together):
    """Of rows in groups, all of a group are called or none."""
    random, truth = np.random.default_rng(7), prior * tpr / (prior * tpr + (1 - prior) * fpr)
    groups = np.repeat(np.arange(2 * rows), together)
    positive = groups < rows
    held = []
    for _ in range(400):
        rates = np.repeat([tpr, fpr], rows)
        called = np.repeat(random.random(2 * rows) < rates, together)
        found = expected_precision(called, positive, groups, prior)
        # Nothing called: the interval is all that is possible.
        held.append(not called.any() or found.low <= truth <= found.high)
    assert np.mean(held) >= 0.95


def test_the_formula():
    called = np.array([True, True, False, False, True, False, False, False])
    positive = np.arange(8) < 4
    found = expected_precision(called, positive, np.arange(8), prior=0.1)
    assert found.value == pytest.approx(0.1 * 0.5 / (0.1 * 0.5 + 0.9 * 0.25))
    assert found.low < found.value < found.high


def test_nothing_is_called():
    called, positive = np.zeros(10, bool), np.arange(10) < 5
    found = expected_precision(called, positive, np.arange(10), prior=0.1)
    assert np.isnan(found.value)
    assert (found.low, found.high) == (0, 1)
