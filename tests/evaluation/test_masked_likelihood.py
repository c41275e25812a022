import numpy as np
import pytest
from genome_regions import random_region, region_of, text_of
from scipy import stats

from ntjax.baselines.markov import MarkovModel, UnigramModel
from ntjax.datasets.masked_windows import cut_windows, masked_windows
from ntjax.errors import UserError
from ntjax.evaluation.masked_likelihood import baseline_scores, masked_kmers
from ntjax.metrics.masked import masked_metrics
from ntjax.sequences.tokenizer import Tokenizer

TOKENIZERS = {
    "6-mers, version 1": Tokenizer.for_vocabulary_size(4105, 6),
    "6-mers, version 2": Tokenizer.for_vocabulary_size(4107, 6),
    "3-mers": Tokenizer.for_vocabulary_size(75, 3),
}


def random_windows(rows, letters, seed=0):
    return np.random.default_rng(seed).integers(0, 4, (rows, letters), dtype=np.uint8)


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]


@pytest.mark.parametrize("letters", [120, 200, 601])
def test_every_seventh_kmer_is_masked_from_a_random_one_on(tokenizer, letters):
    k, rows = tokenizer.k, 300
    windows = random_windows(rows, letters)
    found = masked_windows(windows, np.arange(rows), tokenizer, seed=1, flank=11)

    assert (np.diff(found.positions, axis=1) == 7).all()
    first = -(-11 // k) + 1  # the first token with eleven letters before it
    assert np.unique(found.positions[:, 0]).tolist() == list(range(first, first + 7))
    assert (found.positions[:, -1] * k + 11 <= letters).all()
    # One more would not fit in every row.
    assert ((first + 6 + 7 * found.positions.shape[1]) * k + 11) > letters // k * k

    ids = tokenizer.encode([text_of(row[: letters // k * k]) for row in windows])
    np.testing.assert_array_equal(found.targets, np.take_along_axis(ids, found.positions, axis=1))
    assert {len(tokenizer.vocabulary[token]) for token in np.unique(found.targets)} == {k}
    chosen = np.zeros(ids.shape, bool)
    np.put_along_axis(chosen, found.positions, True, axis=1)
    np.testing.assert_array_equal(found.tokens, np.where(chosen, tokenizer.mask_id, ids))


def test_offsets_are_a_matter_of_the_seed_alone():
    windows, tokenizer = random_windows(50, 300), TOKENIZERS["6-mers, version 1"]
    one, same, other = (
        masked_windows(windows, np.arange(50), tokenizer, seed).positions for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_flanks_are_the_letters_next_to_the_kmer(tokenizer):
    windows = random_windows(4, 240)
    found = masked_windows(windows, np.zeros(4), tokenizer, seed=3, flank=10)
    kmers = masked_kmers(found, 10)

    index = 0
    for row, positions in enumerate(found.positions):
        text = text_of(windows[row])
        for position in positions:
            start = (position - 1) * tokenizer.k
            end = start + tokenizer.k
            assert text_of(kmers.left[index]) == text[start - 10 : start]
            assert text_of(kmers.right[index]) == text[end : end + 10]
            assert kmers.targets[index] + tokenizer.id_of("A" * tokenizer.k) == tokenizer.id_of(
                text[start:end]
            )
            index += 1
    assert len(kmers.targets) == index
    with pytest.raises(ValueError, match="flanks of 40 letters reach beyond the windows"):
        masked_kmers(found, 40)


def test_flanks_that_may_be_masked_are_refused():
    with pytest.raises(ValueError, match="19 letters from a masked k-mer"):
        masked_windows(random_windows(2, 300), np.zeros(2), TOKENIZERS["3-mers"], 0, flank=19)


@pytest.mark.parametrize(("rows", "letters"), [(0, 600), (3, 60)])
def test_nothing_to_evaluate_on(rows, letters):
    windows = random_windows(rows, letters)
    with pytest.raises(UserError, match=f"{rows} held-out windows of {letters} letters"):
        masked_windows(windows, np.zeros(rows), TOKENIZERS["6-mers, version 1"], 0)


def test_windows_lie_end_to_end_within_stretches():
    regions = [random_region([25, 9, 40, 10], 0), region_of([], []), random_region([30], 1)]
    windows, group = cut_windows(regions, 10)

    assert group.tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 1, 1]  # one of each genome, near each other
    expected = [
        region.genome.letters[place : place + 10]
        for region in regions
        for start, end in region.stretches
        for place in range(start, end - 9, 10)
    ]
    np.testing.assert_array_equal(windows, expected)

    few, those = cut_windows(regions, 10, most=4, seed=2)
    rows = [int(np.flatnonzero((windows == row).all(axis=1))[0]) for row in few]
    assert len(set(rows)) == 4
    assert rows == sorted(rows)
    assert (np.diff(those) >= 0).all()


def test_windows_of_a_genome_without_n_are_drawn_by_blocks():
    """Else a finished genome would be a single group, and had no interval."""
    region = random_region([35_000], 3)
    _, group = cut_windows([region, region], 600)
    begins = np.arange(0, 35_000 - 599, 600)
    assert group.tolist() == [*(begins // 10_000), *(4 + begins // 10_000)]


def test_baselines_are_scored_at_the_masked_tokens():
    training = [random_region([5000], 5)]
    tokenizer = TOKENIZERS["3-mers"]
    found = masked_windows(random_windows(6, 150), np.zeros(6), tokenizer, seed=0)
    ids = found.targets - tokenizer.id_of("AAA")

    unigram = UnigramModel.fit(training, 3)
    losses, correct = baseline_scores(unigram, found)
    np.testing.assert_allclose(losses, -unigram.log_probabilities[ids])
    np.testing.assert_array_equal(correct, unigram.log_probabilities.argmax() == ids)

    # Without flanks a k-mer's probability is the product of its letters'.
    letters = MarkovModel.fit(training, 0)
    losses, correct = baseline_scores(letters, found)
    texts = [[tokenizer.vocabulary[token] for token in row] for row in found.targets]
    expected = [[-sum(letters.tables[0]["ATCG".index(x)] for x in t) for t in row] for row in texts]
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert correct.shape == losses.shape == found.positions.shape

    kmers, model = masked_kmers(found, 2), MarkovModel.fit(training, 2)
    scores = model.fillings(kmers.left, kmers.right, 3)
    losses, correct = baseline_scores(model, found)
    np.testing.assert_allclose(losses.ravel(), -scores[np.arange(ids.size), ids.ravel()])
    np.testing.assert_array_equal(correct.ravel(), scores.argmax(axis=1) == ids.ravel())


def test_metrics_and_their_intervals():
    random = np.random.default_rng(6)
    group = np.repeat(np.arange(60), random.integers(1, 6, 60))
    # Rows of a group are alike, as windows of a block are.
    losses = 8 + random.normal(0, 0.5, 60)[group][:, None] + random.normal(0, 1, (len(group), 12))
    correct = random.random(losses.shape) < 0.1

    metrics = masked_metrics(losses, correct, group)

    assert metrics["loss"]["value"] == pytest.approx(losses.mean())
    assert metrics["accuracy"]["value"] == pytest.approx(correct.mean())
    assert metrics["perplexity"]["value"] == pytest.approx(np.exp(losses.mean()))
    assert metrics["bits_per_nucleotide"]["value"] == pytest.approx(losses.mean() / np.log(2) / 6)
    assert (metrics["n"], metrics["groups"]) == (losses.size, 60)

    sums = np.bincount(group, losses.mean(axis=1)), np.bincount(group)
    reference = stats.bootstrap(
        sums,
        lambda total, rows, axis=-1: total.sum(axis=axis) / rows.sum(axis=axis),
        paired=True,
        n_resamples=4000,
        method="percentile",
        rng=7,
    ).confidence_interval
    width = reference.high - reference.low
    assert metrics["loss"]["low"] == pytest.approx(reference.low, abs=0.1 * width)
    assert metrics["loss"]["high"] == pytest.approx(reference.high, abs=0.1 * width)
    # Both are monotone in the loss.
    for end in ("low", "high"):
        loss = metrics["loss"][end]
        assert metrics["bits_per_nucleotide"][end] == pytest.approx(loss / np.log(2) / 6)
        assert metrics["perplexity"][end] == pytest.approx(np.exp(loss), rel=1e-3)
    assert masked_metrics(losses, correct, group) == metrics


def test_one_group_has_no_interval():
    metrics = masked_metrics(np.ones((3, 2)), np.ones((3, 2), bool), np.zeros(3), k=3)
    reason = "it needs 20 groups of related rows and there are 1"
    assert metrics["loss"] == {"value": 1.0, "low": None, "high": None, "interval": reason}
    assert metrics["bits_per_nucleotide"]["value"] == pytest.approx(1 / np.log(2) / 3)
