"""Position weights against loops over placements, and against who knows how promoters are made."""

import os
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from genome_regions import LETTERS, other_strand, text_of
from sklearn.metrics import roc_auc_score

from ntjax.baselines.position_weights import (
    CONSENSUS,
    DISTANCES,
    REACH,
    SPACERS,
    PositionWeights,
    fit_position_weights,
)
from ntjax.datasets.simulated import (
    BACKGROUND_PROBABILITY,
    CONSENSUS_PROBABILITY,
    SPACER_PROBABILITY,
    TSS_DISTANCE_PROBABILITY,
    motif_scores,
    simulated_task,
)
from ntjax.errors import UserError
from ntjax.leakage.kmer_groups import rows_sharing_kmers

needs_data = pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no public data here"
)
PLACEMENTS = list(product(range(len(DISTANCES)), range(len(SPACERS))))


def random_text(letters, seed, alphabet="ACGT"):
    return "".join(np.random.default_rng(seed).choice(list(alphabet), letters))


@pytest.fixture(scope="module")
def some_weights():
    """Any distributions: nothing that a fit would favour."""
    random = np.random.default_rng(0)
    sizes = [(6, 4), (6, 4), 5, 9, 4]
    shapes = [random.dirichlet(np.ones(np.atleast_1d(s)[-1]), np.atleast_1d(s)[:-1]) for s in sizes]
    return PositionWeights(*shapes)


def placement_odds(weights, text, distance, spacer):
    """Of one placement, letter by letter: p(boxes) p(placement) / p(background)."""
    minus_10 = weights.tss - DISTANCES[distance] - 5
    minus_35 = minus_10 - SPACERS[spacer] - 6
    odds = weights.distances[distance] * weights.spacers[spacer]
    for start, box in ((minus_35, weights.minus_35), (minus_10, weights.minus_10)):
        for letter, row in zip(text[start : start + 6], box, strict=True):
            if letter in LETTERS:
                code = LETTERS.index(letter)
                odds *= row[code] / weights.background[code]
    return odds


def naive_score(weights, text):
    return np.log(sum(placement_odds(weights, text, *placement) for placement in PLACEMENTS))


def test_scores_are_sums_over_placements(some_weights):
    texts = [random_text(81, seed, "ACGTN" if seed % 2 else "ACGT") for seed in range(12)]
    expected = [naive_score(some_weights, text) for text in texts]
    np.testing.assert_allclose(some_weights.scores(texts), expected)
    assert some_weights.scores([]).shape == (0,)


def test_sequences_may_have_any_length_behind_the_start_site(some_weights):
    text = random_text(81, 1)
    cut = [text, text[:61], text + "ACGT"]
    assert np.ptp(some_weights.scores(cut)) == 0


def test_a_round_is_what_expectation_maximisation_says():
    texts = [random_text(81, seed, "ACGTN") for seed in range(7)]
    background = {"A": 0.3, "C": 0.2, "G": 0.1, "T": 0.4}
    before, after = (
        fit_position_weights(texts, background=background, pseudocount=0.5, rounds=n)
        for n in (1, 2)
    )
    boxes, spacers, distances = np.zeros((2, 6, 4)), np.zeros(5), np.zeros(9)
    for text in texts:
        odds = np.array([placement_odds(before, text, *placement) for placement in PLACEMENTS])
        for (d, s), chance in zip(PLACEMENTS, odds / odds.sum(), strict=True):
            spacers[s] += chance
            distances[d] += chance
            minus_10 = 60 - DISTANCES[d] - 5
            for box, start in enumerate((minus_10 - SPACERS[s] - 6, minus_10)):
                for place, letter in enumerate(text[start : start + 6]):
                    if letter in LETTERS:
                        boxes[box, place, LETTERS.index(letter)] += chance
    prior = np.array([background[letter] for letter in LETTERS])
    boxes = (boxes + 0.5 * prior) / (boxes.sum(axis=2, keepdims=True) + 0.5)
    np.testing.assert_allclose(after.minus_35, boxes[0])
    np.testing.assert_allclose(after.minus_10, boxes[1])
    np.testing.assert_allclose(after.spacers, (spacers + 0.1) / 7.5)
    np.testing.assert_allclose(after.distances, (distances + 0.5 / 9) / 7.5)
    np.testing.assert_allclose(after.background, prior)


@pytest.fixture(scope="module")
def task():
    return simulated_task()


@pytest.fixture(scope="module")
def promoters(task):
    rows = zip(task.train.sequences, task.train.labels, strict=True)
    return [sequence for sequence, label in rows if label == "1"]


@pytest.fixture(scope="module")
def fitted(promoters):
    return fit_position_weights(promoters)


def test_what_was_planted_is_learned(fitted):
    assert fitted.consensus == CONSENSUS
    learned = np.concatenate([fitted.minus_35.max(axis=1), fitted.minus_10.max(axis=1)])
    assert learned == pytest.approx(CONSENSUS_PROBABILITY, abs=0.035)
    assert fitted.spacers == pytest.approx(list(SPACER_PROBABILITY.values()), abs=0.03)
    planted = [TSS_DISTANCE_PROBABILITY.get(distance, 0.0) for distance in DISTANCES]
    assert fitted.distances == pytest.approx(planted, abs=0.03)


def test_it_tells_promoters_nearly_as_well_as_one_who_knows(task, fitted):
    truth = np.array(task.test.labels) == "1"
    area = roc_auc_score(truth, fitted.scores(task.test.sequences))
    assert area == pytest.approx(0.9864, abs=0.0005)
    assert area > roc_auc_score(truth, motif_scores(task.test.sequences)) - 0.003


def test_the_likelihood_rises_with_every_round(promoters):
    few = promoters[:200]
    means = [
        fit_position_weights(few, pseudocount=1e-6, rounds=rounds).scores(few).mean()
        for rounds in range(8)
    ]
    assert (np.diff(means) > 0).all()


def test_what_is_known_of_the_background(promoters, fitted):
    counts = [sum(text.count(letter) for text in promoters) for letter in LETTERS]
    assert fitted.background == pytest.approx(np.array(counts) / sum(counts), abs=1e-4)
    given = fit_position_weights(promoters[:50], background=BACKGROUND_PROBABILITY)
    assert given.background.tolist() == [BACKGROUND_PROBABILITY[letter] for letter in LETTERS]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_scores_what_the_windows_score(some_weights, fitted, reverse):
    letters = np.random.default_rng(3).integers(0, 4, 400).astype(np.uint8)
    letters[[90, 200, 201, 310]] = 4
    text = "".join((LETTERS + "N")[code] for code in letters)
    for weights in (some_weights, fitted):
        scores = weights.scan(letters, reverse)
        assert scores.shape == (400,)
        if reverse:
            strand = text.translate(str.maketrans("ACGT", "TGCA"))[::-1]
            scores = scores[::-1]
        else:
            strand = text
        assert np.flatnonzero(np.isnan(scores)).tolist() == list(range(REACH))
        places = range(60, 380)
        windows = [strand[place - 60 : place + 21] for place in places]
        np.testing.assert_allclose(scores[places], weights.scores(windows), rtol=1e-10)


@pytest.mark.parametrize("letters", [0, 5, REACH, REACH + 1])
def test_few_letters_to_scan(some_weights, letters):
    text = random_text(letters, 4)
    codes = np.array([LETTERS.index(letter) for letter in text], np.uint8)
    found = some_weights.scan(codes)
    assert np.isnan(found[:REACH]).all()
    if letters > REACH:
        assert found[-1] == pytest.approx(naive_score(some_weights, "C" * 19 + text[-42:]))
        assert text_of(codes) == text
        other = np.array([LETTERS.index(letter) for letter in other_strand(text)], np.uint8)
        np.testing.assert_allclose(some_weights.scan(other, reverse=True), found[::-1])


def test_a_start_site_elsewhere(promoters):
    moved = fit_position_weights([text[10:] for text in promoters[:300]], tss=50)
    stayed = fit_position_weights(promoters[:300], background=_as_given(moved.background))
    np.testing.assert_allclose(moved.minus_10, stayed.minus_10)
    assert moved.scores([promoters[0][10:]]) == pytest.approx(stayed.scores([promoters[0]]))


def _as_given(background):
    return dict(zip(LETTERS, background, strict=True))


def test_refused(some_weights):
    with pytest.raises(UserError, match="no promoters to fit"):
        fit_position_weights([])
    for call in (fit_position_weights, some_weights.scores):
        with pytest.raises(UserError, match="sequence 2 has 60 letters and no start site at its"):
            call(["A" * 81, "A" * 60])
    with pytest.raises(ValueError, match="tss=40 must be 41 or more"):
        fit_position_weights(["A" * 81], tss=40)
    with pytest.raises(ValueError, match="pseudocount=0"):
        fit_position_weights(["A" * 81], pseudocount=0)
    with pytest.raises(ValueError, match="must name A, C, G and T"):
        fit_position_weights(["A" * 81], background={"A": 1.0})
    with pytest.raises(ValueError, match="sum to 1"):
        fit_position_weights(["A" * 81], background=dict.fromkeys("ACGT", 0.3))


@needs_data
def test_promoters_of_e_coli():
    """Fitted to promoters that share no 16-mer with the test; its negatives are random letters."""
    folder = Path(os.environ["NTJAX_DATA_DIR"]) / "promoters" / "prokprompred"
    train, test = (pd.read_csv(folder / name) for name in ("train_coli.csv", "test.csv"))
    clean = ~rows_sharing_kmers(train.sequence.tolist(), test.sequence.tolist())
    weights = fit_position_weights(train.sequence[clean & (train.label == 1)].tolist())
    assert weights.consensus == ("TTGAAA", "TATAAT")
    assert SPACERS[weights.spacers.argmax()] == 17
    assert DISTANCES[weights.distances.argmax()] in (6, 7)
    area = roc_auc_score(test.label, weights.scores(test.sequence.tolist()))
    assert area == pytest.approx(0.836, abs=0.001)
