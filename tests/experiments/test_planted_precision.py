import numpy as np
import pytest

from experiments.promoters.data.planted_precision import (
    planted_letters,
    planted_precision,
    precision_at_planted,
)
from experiments.promoters.data.simulated_jitter import (
    planted_posterior,
    simulate_jittered_sigma70,
)
from ntjax.datasets.simulated import simulate_sigma70
from ntjax.errors import UserError

ROWS = 600


@pytest.fixture(scope="module")
def jittered():
    table, sites = simulate_jittered_sigma70(ROWS, seed=0, part="test")
    return table, planted_letters(sites)


def test_planted_letters():
    _, sites = simulate_sigma70(50, seed=1)
    planted = planted_letters(sites)
    assert planted.sum(axis=1).tolist() == [12, 0] * 25
    for row in range(0, 50, 2):
        first, second = sites.minus_35_start[row], sites.minus_10_start[row]
        expected = [*range(first, first + 6), *range(second, second + 6)]
        assert np.flatnonzero(planted[row]).tolist() == expected


def test_precision_of_ties_is_that_of_a_draw():
    random = np.random.default_rng(0)
    maps = random.integers(0, 4, (30, 12)).astype(float)
    planted = np.argsort(random.random((30, 12)), axis=1) < 5
    drawn = [
        np.take_along_axis(planted, np.lexsort((random.random((30, 12)), -maps))[:, :5], 1).mean(1)
        for _ in range(4000)
    ]
    np.testing.assert_allclose(precision_at_planted(maps, planted), np.mean(drawn, 0), atol=0.02)


def test_the_truth_is_precise_and_noise_is_chance(jittered):
    _, planted = jittered
    truth = planted_precision(planted.astype(float), planted)
    assert truth.precision == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert truth.promoters == ROWS // 2
    noise = planted_precision(np.random.default_rng(0).random(planted.shape), planted)
    assert noise.chance == pytest.approx(12 / 81)
    assert noise.precision["value"] == pytest.approx(12 / 81, abs=0.02)
    assert noise.above_position_only["low"] < 0 < noise.above_position_only["high"]


def test_position_alone_against_a_plain_loop(jittered):
    _, planted = jittered
    random = np.random.default_rng(2)
    maps = planted + random.standard_normal(planted.shape)
    found = planted_precision(maps, planted)
    promoters = np.flatnonzero(planted.any(axis=1))
    shares = []
    for row in promoters:
        mean = maps[[other for other in promoters if other != row]].mean(axis=0)
        shares.append(planted[row, np.argsort(-mean)[:12]].mean())
    assert found.position_only["value"] == pytest.approx(np.mean(shares))
    difference = found.precision["value"] - found.position_only["value"]
    assert found.above_position_only["value"] == pytest.approx(difference)


def test_the_jitter_that_is_needed(jittered):
    """Without it the best guess by position marks seven planted letters in eight."""
    table, sites = simulate_sigma70(ROWS, seed=0, part="test")
    planted = planted_letters(sites)
    guess = planted_precision(planted.astype(float), planted)
    known = planted_precision(planted_posterior(table.sequences, 0), planted)
    assert guess.position_only["value"] == pytest.approx(0.876, abs=0.001)
    assert known.precision["value"] == pytest.approx(0.991, abs=0.001)
    table, planted = jittered
    guess = planted_precision(planted.astype(float), planted)
    known = planted_precision(planted_posterior(table.sequences), planted)
    assert guess.position_only["value"] == pytest.approx(0.314, abs=0.001)
    assert known.precision["value"] == pytest.approx(0.975, abs=0.001)
    assert known.above_position_only["low"] > 0.6


def test_what_does_not_fit_is_refused(jittered):
    _, planted = jittered
    maps = np.zeros(planted.shape)
    with pytest.raises(UserError, match=r"both should be \[rows, letters\]"):
        planted_precision(maps[:, 1:], planted)
    with pytest.raises(UserError, match="1 rows have planted letters"):
        planted_precision(maps[:2], planted[:2])
    with pytest.raises(UserError, match="not finite"):
        planted_precision(maps * np.nan, planted)
