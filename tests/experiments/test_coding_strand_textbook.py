"""The textbook methods of the coding-strand experiment, against plain loops and on real windows."""

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef, roc_auc_score

from experiments.coding_strand.textbook import KmerContrast, PeriodicMarkov, fewest_stops
from ntjax.datasets import coding_strand
from ntjax.sequences.alphabet import reverse_complement

SEQUENCES = ["ATGTAACCCTGATTTGGG", "CCCAAATCAGGGTTACAT", "GATTACAGATTACAGATT"]


@pytest.fixture(scope="module")
def rows():
    """Sequences and whether the gene is on the forward strand, by part."""
    return {
        part: (list(table.sequences), np.array([label == "forward" for label in table.labels]))
        for part, table in coding_strand.load().items()
    }


def quality(scores, forward):
    return roc_auc_score(forward, scores), matthews_corrcoef(forward, scores > 0)


def stops(sequence):
    frames = [[sequence[i : i + 3] for i in range(p, len(sequence) - 2, 3)] for p in range(3)]
    return min(sum(codon in ("TAA", "TAG", "TGA") for codon in frame) for frame in frames)


def test_fewest_stops_agrees_with_a_loop():
    turned = reverse_complement(SEQUENCES)
    expected = [stops(t) - stops(s) for s, t in zip(SEQUENCES, turned, strict=True)]
    np.testing.assert_array_equal(fewest_stops(SEQUENCES), expected)
    assert fewest_stops(["TAACTAACTAA"]) == [-1]  # one in each frame, none on the other strand


def log_likelihood(sequence, tables, order, phase):
    """ln p of a window whose codons begin at `phase`, its first `order` bases given."""
    total = 0.0
    for i in range(order, len(sequence)):
        context = sum(
            "ACGT".index(base) * 4 ** (order - 1 - n)
            for n, base in enumerate(sequence[i - order : i])
        )
        total += tables[(i - phase) % 3, context, "ACGT".index(sequence[i])]
    return total


def test_markov_scores_agree_with_a_loop(rows):
    model = PeriodicMarkov.fit(*(column[:40] for column in rows["train"]), order=2)
    np.testing.assert_allclose(np.exp(model.log_probabilities).sum(axis=2), 1)

    def marginal(sequence):
        return np.logaddexp.reduce(
            [log_likelihood(sequence, model.log_probabilities, 2, phase) for phase in range(3)]
        )

    turned = reverse_complement(SEQUENCES)
    expected = [marginal(s) - marginal(t) for s, t in zip(SEQUENCES, turned, strict=True)]
    np.testing.assert_allclose(model.scores(SEQUENCES), expected)


def test_expectation_maximisation_does_not_lose_likelihood(rows):
    """Beside a chain that is fitted without codon positions, the same for all phases."""
    sequences, forward = (column[:200] for column in rows["train"])
    model = PeriodicMarkov.fit(sequences, forward)
    likelihood = np.logaddexp.reduce(model._by_phase(sequences)[forward], axis=1).mean()
    flat = PeriodicMarkov(
        np.broadcast_to(
            np.log(np.exp(model.log_probabilities).mean(axis=0)), model.log_probabilities.shape
        )
    )
    assert likelihood > np.logaddexp.reduce(flat._by_phase(sequences)[forward], axis=1).mean() + 5


def test_scores_change_sign_with_the_strand(rows):
    sequences, forward = (column[:60] for column in rows["train"])
    turned = reverse_complement(sequences)
    for score in (
        fewest_stops,
        PeriodicMarkov.fit(sequences, forward).scores,
        KmerContrast.fit(sequences, forward, rows["validation"]).scores,
    ):
        np.testing.assert_allclose(score(sequences), -score(turned), atol=1e-9)


def test_textbook_methods_solve_the_bundled_task(rows):
    """What the README says of them, on the 2,000 test windows."""
    test, forward = rows["test"]
    auroc, mcc = quality(fewest_stops(test), forward)
    assert auroc == pytest.approx(0.967, abs=0.0006)
    assert mcc == pytest.approx(0.776, abs=0.0006)
    auroc, mcc = quality(PeriodicMarkov.fit(*rows["train"]).scores(test), forward)
    assert auroc > 0.9999
    assert mcc > 0.998
    model = KmerContrast.fit(*rows["train"], rows["validation"])
    auroc, mcc = quality(model.scores(test), forward)
    assert auroc == pytest.approx(0.994, abs=0.0006)
    assert mcc == pytest.approx(0.921, abs=0.002)


def test_a_hundred_labels_are_enough_for_the_markov_chain(rows):
    model = PeriodicMarkov.fit(*(column[:66] for column in rows["train"]))
    assert quality(model.scores(rows["test"][0]), rows["test"][1])[1] > 0.99
