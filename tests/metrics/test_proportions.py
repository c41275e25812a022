"""Intervals of shares against SciPy's, against the formula, and by the coverage they are for."""

import numpy as np
import pytest
from scipy import stats

from ntjax.metrics.least_counts import LEAST, as_estimate
from ntjax.metrics.proportions import Interval, mean_interval, share_interval


def share_of(hits, groups=None):
    hits = np.asarray(hits, bool)
    groups = np.arange(len(hits)) if groups is None else np.asarray(groups)
    return share_interval(hits, np.ones(len(hits), bool), groups)


@pytest.mark.parametrize(("hits", "n"), [(0, 12), (4, 12), (7, 30), (26, 30), (30, 30)])
def test_single_rows_have_wilsons_interval(hits, n):
    found = share_of(np.arange(n) < hits)
    expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert found.value == hits / n
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.groups == n


@pytest.mark.parametrize("misses", [1, 2, 3])
def test_the_end_next_to_a_few_misses_is_poissons(misses):
    found = share_of(np.arange(20) >= misses)
    # That many misses or more are drawn with a chance of 5% at this end.
    assert stats.gamma.cdf(20 * (1 - found.high), misses) == pytest.approx(0.05)
    wilson = stats.binomtest(20 - misses, 20).proportion_ci(method="wilson")
    assert found.low == pytest.approx(wilson.low)
    assert found.high > wilson.high


@pytest.mark.parametrize("share", [0.5, 0.9, 0.98, 0.985, 0.99, 0.995])
@pytest.mark.parametrize("n", [10, 30, 300])
def test_shares_near_one_are_held(n, share):
    intervals = [share_of(np.arange(n) < hits) for hits in range(n + 1)]
    held = [found.low <= share <= found.high for found in intervals]
    assert stats.binom.pmf(np.arange(n + 1), n, share)[held].sum() > 0.92


def test_copies_of_a_row_tell_no_more_than_one():
    hits = np.arange(40) % 3 > 0
    once, copied = share_of(hits), share_of(np.repeat(hits, 7), np.repeat(np.arange(40), 7))
    assert copied == pytest.approx(once)


def test_a_large_group_that_differs_widens_the_interval():
    # Fifty rows, of which twenty in one group are all wrong.
    hits = np.arange(50) >= 20
    groups = np.concatenate([np.zeros(20, int), np.arange(1, 31)])
    found, of_groups = (
        share_of(hits, groups),
        stats.binomtest(19, 31).proportion_ci(method="wilson"),
    )
    assert found.groups == 31
    assert found.high - found.low > 2 * (of_groups.high - of_groups.low)


def test_the_mean_of_parts_adds_their_distances_in_quadrature():
    parts = [
        Interval(0.5, 0.3, 0.8, 9),
        Interval(0.9, 0.5, 0.95, 7),
        Interval(np.nan, np.nan, np.nan, 0),
    ]
    found = mean_interval(parts)
    assert found.value == pytest.approx(0.7)
    assert found.low == pytest.approx(0.7 - np.hypot(0.2, 0.4) / 2)
    assert found.high == pytest.approx(0.7 + np.hypot(0.3, 0.05) / 2)
    assert found.groups == 0


@pytest.mark.parametrize(
    ("several", "grouped", "reason"),
    [
        (False, False, "it needs 10 positive rows and there are 4"),
        (False, True, "it needs 10 positive groups of related rows and there are 4"),
        (True, False, "it needs 10 rows of every class and there are 4"),
    ],
)
def test_the_reason_names_the_rows_that_are_wanting(several, grouped, reason):
    found = Interval(0.5, 0.1, 0.9, 4)
    estimate = as_estimate(found, LEAST["sensitivity"], several=several, grouped=grouped)
    assert estimate == {"value": 0.5, "low": None, "high": None, "interval": reason}
