"""Comparisons of scores by simulation, and areas against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ntjax.evaluation.variant_contrasts import (
    against_matched,
    gain_over_baseline,
    separation,
    two_sided_separation,
)
from ntjax.metrics.ranking import Ranking


def test_no_difference_is_told_too_often_and_a_real_one_is():
    told = []
    for seed in range(150):
        random = np.random.default_rng(seed)
        blocks = np.repeat(np.arange(60), 3)
        level = random.normal(size=60)[blocks]  # what a block's variants share
        found = against_matched(
            level + random.normal(size=180), level + random.normal(size=180), blocks, seed=seed
        )
        told.append(found["p"] < 0.05)
    assert np.mean(told) < 0.11  # 0.05, four standard errors of 150 and the bootstrap's own
    random = np.random.default_rng(1)
    found = against_matched(
        random.normal(0.6, 1, 180), random.normal(0, 1, 180), np.arange(180) // 3
    )
    assert found["low"] > 0
    assert found["p"] < 0.01
    assert found["n"] == 180
    assert found["groups"] == 60


def test_few_variants_are_not_tested():
    found = against_matched(np.ones(9), np.zeros(9), np.arange(9))
    assert found["value"] is None
    assert found["p"] is None
    assert found["interval"] == "it needs 10 variants and there are 9"
    few_blocks = against_matched(np.arange(40.0), np.zeros(40), np.arange(40) // 8)
    assert few_blocks["value"] > 0
    assert few_blocks["low"] is None
    assert "20" in few_blocks["interval"]


def test_areas_with_weights_are_those_of_repeated_rows():
    random = np.random.default_rng(2)
    labels = random.random(80) < 0.4
    scores = random.integers(0, 12, 80) + labels  # with ties
    weights = random.integers(0, 4, (5, 80)).astype(float)
    found = Ranking.of(labels, scores.astype(float)).areas(weights)[0]
    for row, area in zip(weights.astype(int), found, strict=True):
        rows = np.repeat(np.arange(80), row)
        assert area == pytest.approx(roc_auc_score(labels[rows], scores[rows]))


def test_a_direction_is_never_turned_round_but_the_two_sided_finds_its_sign():
    random = np.random.default_rng(3)
    labels = np.tile([0, 1], 300)
    scores = random.normal(size=600) - labels  # positives are lower
    groups = np.arange(600) // 4
    assert separation(labels, scores, groups)["value"] < 0.3
    found = two_sided_separation(labels, scores, groups)
    assert found["sign"] == -1.0
    assert found["value"] > 0.7
    assert found["n"] == 300


def gains(seed, effect):
    random = np.random.default_rng(seed)
    places = np.sort(random.choice(3_000_000, 900, replace=False))
    kind = random.integers(0, 6, 900)
    score = random.normal(size=900)
    logit = 0.8 * (kind == 0) + effect * score
    labels = (random.random(900) < 1 / (1 + np.exp(-logit))).astype(int)
    return gain_over_baseline(
        labels,
        np.eye(6)[kind],
        {"score": score},
        places // 250_000,
        places // 50_000,
        resamples=200,
        seed=seed,
    )


def test_a_score_adds_nothing_unless_it_does():
    told = [gains(seed, 0.0)["gain"]["score"]["low"] > 0 for seed in range(25)]
    assert np.mean(told) <= 0.12
    found = gains(1, 0.8)
    assert found["gain"]["score"]["low"] > 0
    assert found["groups"] == 60
    assert 0 < found["gain"]["score"]["detectable"] < 0.2
