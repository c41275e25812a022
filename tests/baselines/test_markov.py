from collections import Counter
from itertools import product

import numpy as np
import pytest
from genome_regions import LETTERS, other_strand, random_region, region_of, strands_of, text_of
from scipy.special import log_softmax

from ntjax.baselines import markov
from ntjax.baselines.markov import (
    MarkovModel,
    MaskedKmers,
    UnigramModel,
    choose_order,
    context_counts,
    kmer_counts,
    kmer_numbers,
    smoothed,
)

SIZES = [[40, 1, 3, 17, 2, 60], [5, 90]]


def kmers(k):
    return ["".join(letters) for letters in product(LETTERS, repeat=k)]


def naive_counts(regions, k):
    counts = Counter(
        text[start : start + k]
        for text in strands_of(regions)
        for start in range(len(text) - k + 1)
    )
    return [counts[kmer] for kmer in kmers(k)]


class NaiveMarkov:
    """Probabilities by recursion over texts."""

    def __init__(self, regions, order, smoothing):
        self.order, self.smoothing = order, smoothing
        self.counts = [
            dict(zip(kmers(k), naive_counts(regions, k), strict=True)) for k in range(1, order + 2)
        ]

    def probability(self, text, start):
        """Of the letter at `start`, given up to `order` letters before it."""
        return self._given(text[max(0, start - self.order) : start], text[start])

    def _given(self, context, letter):
        counts = self.counts[len(context)]
        lower = self._given(context[1:], letter) if context else 0.25
        total = sum(counts[context + other] for other in LETTERS)
        return (counts[context + letter] + self.smoothing * lower) / (total + self.smoothing)

    def log_likelihood(self, text, first=0):
        return sum(np.log(self.probability(text, place)) for place in range(first, len(text)))


@pytest.fixture(params=[1 << 22, 8], ids=["in one piece", "in many pieces"])
def regions(request, monkeypatch):
    monkeypatch.setattr(markov, "_PIECE_LETTERS", request.param)
    return [random_region(sizes, seed) for seed, sizes in enumerate(SIZES)]


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_kmers_are_counted_on_both_strands_and_never_across_stretches(regions, k):
    assert kmer_counts(regions, k).tolist() == naive_counts(regions, k)


def test_counts_of_all_orders_from_one_reading(regions):
    counts = context_counts(regions, 4)
    assert [table.tolist() for table in counts] == [naive_counts(regions, k) for k in range(1, 6)]


@pytest.mark.parametrize("order", [-1, 12])
def test_orders_without_a_table_are_refused(regions, order):
    with pytest.raises(ValueError, match=f"0 to 11, not {order}"):
        context_counts(regions, order)


def test_unigrams_are_frequencies_with_one_more_of_each(regions):
    model = UnigramModel.fit(regions, 3)
    counts = np.array(naive_counts(regions, 3)) + 1
    np.testing.assert_allclose(np.exp(model.log_probabilities), counts / counts.sum())

    nothing = np.zeros((2, 0), np.uint8)
    targets = np.array([counts.argmax(), counts.argmin()])
    losses, correct = model.score(MaskedKmers(nothing, nothing, targets, 3))
    np.testing.assert_allclose(losses, -np.log(counts[targets] / counts.sum()))
    assert correct.tolist() == [True, False]


@pytest.mark.parametrize(
    ("order", "k"), [(0, 6), (1, 6), (2, 6), (3, 6), (2, 1), (3, 2), (4, 2)], ids=str
)
def test_fillings_by_scoring_whole_strings(order, k):
    regions = [random_region(sizes, seed) for seed, sizes in enumerate(SIZES)]
    naive = NaiveMarkov(regions, order, 2.0)
    model = MarkovModel.fit(regions, order, 2.0)
    flanks = np.random.default_rng(1).integers(0, 4, (2, 2, 5), dtype=np.uint8)

    scores = model.fillings(*flanks, k)

    expected = []
    for left, right in zip(*flanks, strict=True):
        left, right = text_of(left), text_of(right[:order])
        texts = [left + filling + right for filling in kmers(k)]
        expected.append(log_softmax([naive.log_likelihood(text, len(left)) for text in texts]))
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    np.testing.assert_allclose(np.exp(scores, dtype=np.float64).sum(axis=1), 1, atol=1e-5)


def test_score_is_that_of_the_true_filling(monkeypatch):
    monkeypatch.setattr(markov, "_POSITIONS_AT_ONCE", 7)
    random = np.random.default_rng(2)
    model = MarkovModel.fit([random_region([3000], 3)], 3)
    left, right = random.integers(0, 4, (2, 30, 3), dtype=np.uint8)
    scores = model.fillings(left, right, 2)
    targets = np.where(np.arange(30) % 2, scores.argmax(axis=1), random.integers(0, 16, 30))

    losses, correct = model.score(MaskedKmers(left, right, targets, 2))

    np.testing.assert_allclose(losses, -scores[np.arange(30), targets])
    assert correct.tolist() == (scores.argmax(axis=1) == targets).tolist()
    assert correct[1::2].all()


def test_too_short_flanks_are_refused():
    model = MarkovModel.fit([random_region([100], 3)], 3)
    with pytest.raises(ValueError, match="flanks of 3 and 2 letters for order 3"):
        model.fillings(np.zeros((1, 3), np.uint8), np.zeros((1, 2), np.uint8))


def test_limits_of_smoothing():
    counts = context_counts([random_region([4000], 4)], 2)
    following = counts[2].reshape(-1, 4)

    for order, table in enumerate(smoothed(counts, 1e12).tables):
        np.testing.assert_allclose(np.exp(table), np.full(4 ** (order + 1), 0.25), rtol=1e-5)
    frequencies = following / following.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        np.exp(smoothed(counts, 1e-9).tables[2]), frequencies.reshape(-1), rtol=1e-5
    )


def test_a_context_never_seen_is_left_to_the_order_below():
    model = MarkovModel.fit([region_of([0, 0, 0, 1, 0, 0, 1, 1])], 2)  # A and T: no C, no G
    after_ca, after_a = (model.tables[order].reshape(-1, 4)[row] for order, row in ((2, 8), (1, 0)))
    np.testing.assert_allclose(after_ca, after_a, rtol=1e-6)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_likelihood_of_whole_sequences(order):
    regions = [random_region(sizes, seed) for seed, sizes in enumerate(SIZES)]
    naive = NaiveMarkov(regions, order, 2.0)
    windows = np.random.default_rng(5).integers(0, 4, (4, 12), dtype=np.uint8)

    found = MarkovModel.fit(regions, order, 2.0).log_likelihood(windows)

    expected = [
        (naive.log_likelihood(text) + naive.log_likelihood(other_strand(text))) / 2
        for text in map(text_of, windows)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_letters_that_an_n_hides_count_as_one_of_four():
    model = MarkovModel.fit([random_region([500], 6)], 1)
    whole = np.random.default_rng(7).integers(0, 4, (1, 9), dtype=np.uint8)
    with_n = whole.copy()
    with_n[0, 4] = 4
    # On each strand the N and the letter behind it.
    start, end = (model.log_likelihood(part) for part in (whole[:, :4], whole[:, 5:]))
    single = model.tables[0]
    unseen = 2 * np.log(0.25) - (single[whole[0, 5]] + single[whole[0, 3] ^ 1]) / 2
    np.testing.assert_allclose(model.log_likelihood(with_n), start + end + unseen, rtol=1e-5)


@pytest.fixture(scope="module")
def source():
    """A chain of order 2 that reads the same on both strands: log p [4, 4, 4], and sequences.

    Its 3-mers are the mean of a random chain's and of that chain's other strand: both have 2-mers
    that agree at their two ends, and so has their mean.
    """
    random = np.random.default_rng(8)
    chain = random.dirichlet(np.full(4, 0.7), (4, 4))
    pairs = np.full((4, 4), 1 / 16)
    for _ in range(500):
        pairs = np.einsum("xy,xyz->yz", pairs, chain)
    triples = pairs[..., None] * chain
    swap = [1, 0, 3, 2]
    triples = (triples + triples.transpose(2, 1, 0)[np.ix_(swap, swap, swap)]) / 2
    chain = triples / triples.sum(axis=2, keepdims=True)

    def draw(letters, seed):
        numbers = np.random.default_rng(seed).random(letters)
        cumulative = chain.cumsum(axis=2).tolist()
        text = [0, 0]
        for number in numbers.tolist():
            bounds = cumulative[text[-2]][text[-1]]
            text.append(sum(number > bound for bound in bounds[:3]))
        return np.array(text[100:], np.uint8)

    return np.log(chain), triples, draw


def masked(letters, flank):
    starts = np.arange(flank, len(letters) - 6 - flank, 6 + 2 * flank)[:, None]
    left, kmer, right = (
        letters[starts + np.arange(first, last)]
        for first, last in ((-flank, 0), (0, 6), (6, 6 + flank))
    )
    return MaskedKmers(left, right, kmer_numbers(kmer), 6)


@pytest.mark.slow
def test_entropy_of_a_chain_of_order_2_and_choice_of_the_order(source):
    log_chain, triples, draw = source
    entropy = -(triples * log_chain).sum()
    training, held_out = region_of(draw(30_000, 1)), draw(60_000, 2)
    validation = masked(draw(40_000, 3), 4)

    model = choose_order([training], validation, [1, 2, 3, 4])

    assert model.order == 2
    # In nats a letter: on new sequence the true chain costs its entropy within chance (of the
    # order of s/√n), the fitted one 48 parameters/2n more on average.
    costs = -log_chain[held_out[:-2], held_out[1:-1], held_out[2:]]
    bound = 5 * costs.std() / np.sqrt(len(costs))
    assert bound < 0.02
    loss = -model.log_likelihood(held_out[None])[0] / len(held_out)
    assert loss == pytest.approx(entropy, abs=bound)
    # Masked k-mers: as good as the true chain, better than any that looks to one side only.
    truth = MarkovModel((model.tables[0], model.tables[1], log_chain.reshape(-1)), 0.0)
    tested = masked(held_out, 4)
    losses, best = model.score(tested)[0], truth.score(tested)[0]
    assert losses.mean() == pytest.approx(best.mean(), abs=0.03)
    assert losses.mean() < 6 * entropy - 0.1
