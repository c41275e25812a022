import hashlib
from collections import Counter

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from ntjax.datasets.simulated import (
    BACKGROUND_PROBABILITY,
    CONSENSUS_PROBABILITY,
    SPACER_PROBABILITY,
    TSS_DISTANCE_PROBABILITY,
    TSS_INDEX,
    motif_scores,
    simulate_sigma70,
    simulated_task,
)
from ntjax.errors import UserError
from ntjax.leakage.kmer_groups import rows_sharing_kmers

PINNED_SHA256 = "9adf4462ca780a91fea9ceccf5aace59b6dbeee974ee726d3fc8c323848184df"
PINNED_FIRST = "GAAATTGTGTTATATATGCCAAGGGTTGTCACATGCCTTCGCGCCTAGGTTGGGCACTAACAAGCGATCAGTCTCCGTTCT"


@pytest.fixture(scope="module")
def drawn():
    return simulate_sigma70(20_000, seed=11)


@pytest.fixture(scope="module")
def labels(drawn):
    return np.array(drawn[0].labels).astype(int)


def test_pinned_rows():
    task = simulated_task()
    text = "".join(
        f"{name},{sequence},{label}\n"
        for table in (task.train, task.test)
        for name, sequence, label in zip(table.names, table.sequences, table.labels, strict=True)
    )
    sites = np.stack([vars(task.train_sites)[field] for field in sorted(vars(task.train_sites))])
    assert task.train.sequences[0] == PINNED_FIRST
    assert (
        hashlib.sha256(text.encode() + sites.astype("<i8").tobytes()).hexdigest() == PINNED_SHA256
    )


def test_sizes_names_and_letters():
    task = simulated_task()
    assert (len(task.train), len(task.test)) == (4_000, 1_000)
    assert task.train.names[16] == "sim_train_17"
    assert task.test.names[-1] == "sim_test_1000"
    assert task.train.rows[:2] == (1, 2)
    assert task.train.labels[:4] == ("1", "0", "1", "0")
    for table in (task.train, task.test):
        assert {len(sequence) for sequence in table.sequences} == {81}
        assert set("".join(table.sequences)) == set("ACGT")
        assert Counter(table.labels) == {"0": len(table) // 2, "1": len(table) // 2}


def test_training_and_test_rows_share_nothing_but_chance():
    task = simulated_task()
    assert rows_sharing_kmers(task.test.sequences, task.train.sequences).mean() < 0.05
    assert not set(task.test.sequences) & set(task.train.sequences)


def test_first_rows_do_not_depend_on_the_number():
    few, few_sites = simulate_sigma70(10, seed=3)
    many, many_sites = simulate_sigma70(100, seed=3)
    assert few == many.take(range(10))
    np.testing.assert_array_equal(few_sites.spacer, many_sites.spacer[:10])


def test_seeds_and_parts_differ():
    draws = {
        simulate_sigma70(5, seed, part)[0].sequences
        for seed in (0, 1)
        for part in ("train", "test")
    }
    assert len(draws) == 4


def test_planted_boxes_hold_the_consensus_as_often_as_stated(drawn):
    table, sites = drawn
    planted = np.flatnonzero(sites.minus_35_start >= 0)
    starts = np.stack([sites.minus_35_start, sites.minus_10_start], axis=1)[planted]
    for box, consensus in enumerate(("TTGACA", "TATAAT")):
        for place, letter in enumerate(consensus):
            found = np.mean(
                [
                    table.sequences[row][start + place] == letter
                    for row, start in zip(planted, starts[:, box], strict=True)
                ]
            )
            assert found == pytest.approx(CONSENSUS_PROBABILITY[6 * box + place], abs=0.02)


def test_mutations_go_to_the_other_three_letters_alike(drawn):
    table, sites = drawn
    letters = Counter(
        table.sequences[row][sites.minus_10_start[row] + 4] for row in range(0, 20_000, 2)
    )
    mutated = letters.total() - letters["A"]
    assert {letter: letters[letter] / mutated for letter in "CGT"} == pytest.approx(
        {"C": 1 / 3, "G": 1 / 3, "T": 1 / 3}, abs=0.03
    )


def test_planted_positions_vary_as_stated(drawn, labels):
    _, sites = drawn
    promoter = labels == 1
    spacer = sites.minus_10_start - sites.minus_35_start - 6
    np.testing.assert_array_equal(spacer[promoter], sites.spacer[promoter])
    for letters, share in SPACER_PROBABILITY.items():
        assert np.mean(spacer[promoter] == letters) == pytest.approx(share, abs=0.015)
    distance = TSS_INDEX - (sites.minus_10_start[promoter] + 5)
    for positions, share in TSS_DISTANCE_PROBABILITY.items():
        assert np.mean(distance == positions) == pytest.approx(share, abs=0.015)


def test_the_most_common_promoter_has_its_boxes_at_minus_35_and_minus_12(drawn):
    _, sites = drawn
    # There is no position 0: index 59 is −1.
    assert Counter(sites.minus_10_start[::2] - TSS_INDEX).most_common(1)[0][0] == -12
    assert Counter(sites.minus_35_start[::2] - TSS_INDEX).most_common(1)[0][0] == -35


def test_extended_promoters_hold_tgn(drawn, labels):
    table, sites = drawn
    extended = np.flatnonzero(sites.extended == 1)
    assert len(extended) / labels.sum() == pytest.approx(0.2, abs=0.02)
    for row in extended:
        start = sites.minus_10_start[row]
        assert table.sequences[row][start - 3 : start - 1] == "TG"


def test_negatives_have_no_sites(drawn, labels):
    for values in vars(drawn[1]).values():
        assert values.dtype == np.int64
        assert (values[labels == 0] == -1).all()
        assert (values[labels == 1] >= 0).all()


def letter_counts(sequences):
    return np.array([[sequence.count(letter) for letter in "ACGT"] for sequence in sequences])


def test_composition_tells_nothing(drawn, labels):
    for first, last in ((0, 81), (20, 56)):  # all, and the stretch that holds both boxes
        counts = letter_counts([sequence[first:last] for sequence in drawn[0].sequences])
        model = LogisticRegression().fit(counts[:10_000], labels[:10_000])
        scores = model.decision_function(counts[10_000:])
        assert roc_auc_score(labels[10_000:], scores) == pytest.approx(0.5, abs=0.02)
        means = [counts[labels == label].mean(axis=0) for label in (0, 1)]
        np.testing.assert_allclose(*means, atol=0.15)


def test_outside_the_boxes_is_background(drawn):
    counts = letter_counts([sequence[:20] + sequence[56:] for sequence in drawn[0].sequences])
    shares = counts.sum(axis=0) / counts.sum()
    np.testing.assert_allclose(shares, list(BACKGROUND_PROBABILITY.values()), atol=0.003)


def test_one_who_knows_the_model_separates_the_classes(drawn, labels):
    scores = motif_scores(drawn[0].sequences)
    assert roc_auc_score(labels, scores) == pytest.approx(0.979, abs=0.003)


def test_a_linear_model_learns_the_task():
    task = simulated_task()
    words = {}

    def positional_trimers(table):
        matrix = np.zeros((len(table), 79 * 64), np.float32)
        for row, sequence in enumerate(table.sequences):
            for start in range(79):
                word = words.setdefault(sequence[start : start + 3], len(words))
                matrix[row, start * 64 + word] = 1
        return matrix

    model = LogisticRegression(C=0.03, max_iter=200).fit(
        positional_trimers(task.train.take(range(4000))), task.train.labels[:4000]
    )
    scores = model.decision_function(positional_trimers(task.test))
    assert roc_auc_score(task.test.labels, scores) > 0.9


def naive_motif_score(sequence):
    best = -np.inf
    for distance, distance_share in TSS_DISTANCE_PROBABILITY.items():
        for spacer, spacer_share in SPACER_PROBABILITY.items():
            minus_10 = 60 - distance - 5
            letters = sequence[minus_10 - spacer - 6 :][:6] + sequence[minus_10:][:6]
            score = np.log(distance_share) + np.log(spacer_share)
            for letter, wanted, share in zip(
                letters, "TTGACATATAAT", CONSENSUS_PROBABILITY, strict=True
            ):
                if letter != "N":
                    chance = share if letter == wanted else (1 - share) / 3
                    score += np.log(chance / BACKGROUND_PROBABILITY[letter])
            has_tg = sequence[minus_10 - 3 : minus_10 - 1] == "TG"
            score += np.log(0.8 + 0.2 * has_tg / 0.28 / 0.22)
            best = max(best, score)
    return best


def test_motif_scores_against_a_plain_loop():
    table, _ = simulate_sigma70(40, seed=2)
    sequences = [*table.sequences, "N" * 81, "ACGTN" * 16 + "A"]
    np.testing.assert_allclose(
        motif_scores(sequences), [naive_motif_score(sequence) for sequence in sequences]
    )


def test_motif_scores_refuse_another_length():
    with pytest.raises(UserError, match="sequence 2 has 80 letters"):
        motif_scores(["A" * 81, "A" * 80])


def test_unknown_part_is_refused():
    with pytest.raises(ValueError, match="holdout"):
        simulate_sigma70(5, seed=0, part="holdout")
