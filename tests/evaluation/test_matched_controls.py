"""Matched controls: limits, balance, and labels that depend on the distance alone."""

import numpy as np
import pytest

from ntjax.errors import UserError
from ntjax.evaluation.matched_controls import Candidates, Matching, balance, blocks, match_controls
from ntjax.evaluation.variant_contrasts import separation


def drawn(seed, rows=6_000):
    """Variants whose label depends on their distance to a start site alone."""
    random = np.random.default_rng(seed)
    distance = 10 ** random.uniform(1, 6, rows)
    chance = 0.12 / (1 + np.exp(2.5 * (np.log10(distance) - 3.5)))
    return Candidates(
        positive=random.random(rows) < chance,
        contig=np.repeat("20", rows),
        position=np.sort(random.choice(200_000_000, rows, replace=False)),
        distance=distance,
        frequency=random.uniform(0.05, 0.5, rows),
        category=random.integers(0, 12, rows),
    )


def test_controls_are_alike_and_used_once():
    candidates = drawn(1)
    matched = match_controls(candidates, Matching(controls=2))
    assert len(matched.positives) + len(matched.unmatched) == candidates.positive.sum()
    assert len(np.unique(matched.controls)) == matched.controls.size
    assert matched.unmatched.dtype == np.int64
    assert not candidates.positive[matched.controls].any()
    of_positives = candidates.position[candidates.positive]
    for row, own in zip(matched.positives, matched.controls, strict=True):
        assert (candidates.category[own] == candidates.category[row]).all()
        gap = np.log10(1 + candidates.distance[own]) - np.log10(1 + candidates.distance[row])
        assert np.abs(gap).max() <= 0.1
        change = candidates.frequency[own] / candidates.frequency[row] - 1
        assert np.abs(change).max() <= 0.2
        apart = np.abs(candidates.position[own][:, None] - of_positives).min()
        assert apart >= 1_000


def test_balance_before_and_after():
    candidates = drawn(2)
    table = balance(candidates, match_controls(candidates))
    distance, frequency = table
    assert distance["before"] < -0.5
    assert abs(distance["after"]) < 0.05
    assert abs(frequency["after"]) < 0.1


def test_a_score_that_knows_the_distance_alone_finds_nothing_after_matching():
    before, after = [], []
    for seed in range(12):
        candidates = drawn(10 + seed)
        matched = match_controls(candidates)
        score = -np.log10(candidates.distance)
        group = blocks(candidates)
        labels = candidates.positive.astype(int)
        before.append(separation(labels, score, group)["value"])
        rows = matched.rows
        after.append(separation(matched.labels, score[rows], group[rows])["value"])
    assert np.mean(before) > 0.7
    assert np.mean(after) == pytest.approx(0.5, abs=0.03)


def test_nothing_to_match():
    candidates = drawn(3, 200)
    alone = Candidates(*(getattr(candidates, name)[:5] for name in candidates.__annotations__))
    alone = Candidates(np.ones(5, bool), *list(vars(alone).values())[1:])
    with pytest.raises(UserError, match="no positive variant has 1 candidates"):
        match_controls(alone)
