"""Baselines on a task whose reverse complements are rows of the other class."""

from functools import partial

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from ntjax.baselines.both_strands import fit_both_strands
from ntjax.baselines.cnn import CNNConfig, fit_cnn
from ntjax.baselines.gradient_boosting import fit_gradient_boosting
from ntjax.sequences.alphabet import reverse_complement

SMALL = CNNConfig(filters=(16, 16, 8), batch_size=50, epochs=8, learning_rate=3e-3)
FITS = {
    "gradient boosting": fit_gradient_boosting,
    "CNN": partial(fit_cnn, config=SMALL, progress=False),
}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with threadpool_limits(1, user_api="openmp"):
        yield


def strand_rows(n, seed=0):
    """60 bp of skewed composition, read on its own strand (label 1) or on the other one (0)."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, n)
    rows = ["".join(generator.choice(list("ACGT"), 60, p=[0.31, 0.27, 0.23, 0.19])) for _ in labels]
    turned = reverse_complement(rows)
    return [
        one if label else other for one, other, label in zip(rows, turned, labels, strict=True)
    ], labels


@pytest.fixture(scope="module", params=FITS)
def fits(request):
    """The same baseline without and with reverse complements."""
    rows, validation = strand_rows(80), strand_rows(60, seed=1)
    return [
        fit_both_strands(FITS[request.param], rows, validation, how, seed=0)
        for how in ("none", "flip-label")
    ]


def test_none_is_the_baseline_itself():
    rows, validation = strand_rows(60), strand_rows(30, seed=1)
    alone = fit_gradient_boosting(*rows, validation=validation)
    found = fit_both_strands(fit_gradient_boosting, rows, validation, "none")
    np.testing.assert_array_equal(found.logits(rows[0]), alone.logits(rows[0]))


def test_strands_are_opposite(fits):
    sequences, _ = strand_rows(50, seed=2)
    forward, reverse = (fits[1].logits(s) for s in (sequences, reverse_complement(sequences)))
    np.testing.assert_allclose(forward, reverse[:, ::-1], rtol=1e-5)
    assert not np.allclose(fits[0].logits(sequences)[:, 1], fits[0].logits(sequences)[::-1, 0])
    np.testing.assert_allclose(fits[1].probabilities(sequences).sum(axis=1), 1, rtol=1e-6)


def test_learns_more_from_the_same_rows(fits):
    sequences, labels = strand_rows(600, seed=3)
    accuracy = [(fit.logits(sequences).argmax(axis=1) == labels).mean() for fit in fits]
    assert accuracy[1] > accuracy[0] + 0.02


def test_the_model_within_saw_the_turned_rows():
    (sequences, labels), validation = strand_rows(60), strand_rows(30, seed=1)
    found = fit_both_strands(fit_gradient_boosting, (sequences, labels), validation, "flip-label")
    by_hand = fit_gradient_boosting(
        [*sequences, *reverse_complement(sequences)],
        [*labels, *(1 - labels)],
        validation=(
            [*validation[0], *reverse_complement(validation[0])],
            [*validation[1], *(1 - validation[1])],
        ),
    )
    np.testing.assert_array_equal(found.model.logits(sequences), by_hand.logits(sequences))


def test_same_label_averages_without_exchanging():
    rows, validation = strand_rows(60), strand_rows(30, seed=1)
    found = fit_both_strands(fit_gradient_boosting, rows, validation, "same")
    test, _ = strand_rows(20, seed=4)
    forward, reverse = found.model.logits(test), found.model.logits(reverse_complement(test))
    np.testing.assert_allclose(found.logits(test), (forward + reverse) / 2, rtol=1e-6)
