from itertools import product

import numpy as np
import pytest
from planted_motif import planted_rows
from scipy.special import expit
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from ntjax.baselines.gradient_boosting import (
    MAXIMUM_ROUNDS,
    count_3mers,
    fit_gradient_boosting,
    sequence_features,
)
from ntjax.errors import UserError
from ntjax.sequences.one_hot import one_hot


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    # On toy tables the threads of scikit-learn mostly wait for each other: many times slower on a
    # machine that runs other tests beside these.
    with threadpool_limits(1, user_api="openmp"):
        yield


@pytest.fixture(scope="module")
def fitted():
    return fit_gradient_boosting(*planted_rows(400), validation=planted_rows(100, seed=1))


def test_3mer_counts_agree_with_a_loop():
    sequences = ["ACGTACGTTTTT", "AANAAACNNGT", "AC", "", "N" * 8, "GATTACA" * 5]
    words = ["".join(word) for word in product("ACGT", repeat=3)]
    expected = [[sum(s[i:].startswith(word) for i in range(len(s))) for word in words]
                for s in sequences]  # fmt: skip
    np.testing.assert_array_equal(count_3mers(sequences), expected)


def test_3mers_are_counted_on_the_whole_sequence_and_letters_on_its_head():
    features = sequence_features(["ACGTTTT", "CC"], length=4)
    assert features.shape == (2, 16 + 64)
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features[:, :16], one_hot(["ACGT", "CC"], 4).reshape(2, 16))
    assert features[0, 16:].sum() == 5
    assert features[0, -1] == 2  # TTT
    assert features[1, 16:].sum() == 0


def test_learns_a_planted_motif(fitted):
    sequences, labels = planted_rows(300, seed=2)
    probabilities = fitted.probabilities(sequences)
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.95
    # One-hot letters alone do it: the motif is gone from position 10 when shifted by 7.
    shifted = ["ACGTCAG" + s for s in np.array(sequences)[labels == 1]]
    assert fitted.probabilities(shifted)[:, 1].mean() < 0.5


def test_logits_agree_with_scikit_learn(fitted):
    sequences, _ = planted_rows(50, seed=3)
    logits, probabilities = fitted.logits(sequences), fitted.probabilities(sequences)
    assert logits.shape == probabilities.shape == (50, 2)
    assert logits.dtype == probabilities.dtype == np.float32
    log_odds = logits[:, 1] - logits[:, 0]
    np.testing.assert_allclose(expit(log_odds), probabilities[:, 1], atol=1e-6)
    staged = list(fitted.classifier.staged_predict_proba(sequence_features(sequences, 30)))
    np.testing.assert_allclose(probabilities, staged[fitted.rounds - 1], atol=1e-6)


def test_validation_rows_choose_the_number_of_rounds():
    # Noise labels: the more rounds, the worse on rows not seen.
    sequences, _ = planted_rows(150, length=20)
    labels = np.random.default_rng(0).integers(0, 2, 150)
    validation = (sequences[100:], labels[100:])
    model = fit_gradient_boosting(sequences[:100], labels[:100], validation=validation)
    features = sequence_features(validation[0], 20)
    losses = [log_loss(validation[1], p) for p in model.classifier.staged_predict_proba(features)]
    assert len(losses) == MAXIMUM_ROUNDS
    assert model.rounds == np.argmin(losses) + 1 < MAXIMUM_ROUNDS
    # ... and nothing else: the trees themselves do not depend on them.
    alone = fit_gradient_boosting(sequences[:100], labels[:100])
    assert alone.rounds == MAXIMUM_ROUNDS
    np.testing.assert_array_equal(
        alone.classifier.decision_function(features), model.classifier.decision_function(features)
    )


def test_same_seed_same_model():
    rows = planted_rows(60, length=20)
    first, second = (fit_gradient_boosting(*rows, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.logits(rows[0]), second.logits(rows[0]))


def test_three_classes_with_unequal_lengths_and_n():
    sequences, labels = planted_rows(300, length=20, classes=3)
    sequences = [s if i % 3 else s[:17] for i, s in enumerate(sequences)]
    model = fit_gradient_boosting(sequences, labels)
    test, test_labels = planted_rows(200, length=20, classes=3, seed=4)
    probabilities = model.probabilities(test)
    assert probabilities.shape == (200, 3)
    assert (probabilities.argmax(axis=1) == test_labels).mean() > 0.95
    assert np.isfinite(model.logits(["N" * 30, "ACGTN", "", "A" * 99])).all()


def test_class_that_no_training_row_has():
    sequences, labels = planted_rows(200, length=20)
    model = fit_gradient_boosting(
        sequences, labels * 2, validation=([*sequences, "ACGT"], [*(labels * 2), 3])
    )
    probabilities = model.probabilities(sequences)
    assert probabilities.shape == (200, 4)
    assert (probabilities.argmax(axis=1) == labels * 2).mean() > 0.9
    assert 0 < probabilities[:, [1, 3]].max() < 1e-6


def test_no_sequences_to_score(fitted):
    assert fitted.logits([]).shape == fitted.probabilities([]).shape == (0, 2)


def test_one_class_is_refused():
    with pytest.raises(UserError, match="two classes"):
        fit_gradient_boosting(["ACGT", "TTTT"], [1, 1])
