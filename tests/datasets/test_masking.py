import numpy as np
import pytest
from scipy import stats

from ntjax.datasets.masking import SCHEMES, MaskedBatches, Masking
from ntjax.sequences.tokenizer import Tokenizer

TOKENIZER = Tokenizer.for_vocabulary_size(4107, 6)
FIRST_KMER, KMERS = TOKENIZER.id_of("A" * 6), 4**6
ROWS, TOKENS = 2_500, 402
# By scheme: of the chosen tokens, how many become <mask>, a random k-mer, or stay.
MEANT = {"80/10/10": (0.8, 0.1, 0.1), "80/0/20": (0.8, 0.0, 0.2), "80/20/0": (0.8, 0.2, 0.0)}
UNLIKELY = 1e-6


class Rows:
    """Rows of `<cls>`, k-mers, a few single letters, and padding in some."""

    def __init__(self, padded=True):
        self.padded = padded

    def rows(self, step, count):
        random = np.random.default_rng([9, step])
        ids = FIRST_KMER + random.integers(0, KMERS, (count, TOKENS)).astype(np.int32)
        ids[:, -3:] = TOKENIZER.id_of("G")
        ids[:, 0] = TOKENIZER.cls_id
        if self.padded:
            ids[::5, 150:] = TOKENIZER.pad_id
            ids[1::5, 1] = TOKENIZER.id_of("<eos>")
        return ids


@pytest.fixture(scope="module", params=SCHEMES)
def million(request):
    """10⁶ nucleotide tokens: the scheme, ids, what became of them, which were chosen."""
    ids = Rows(padded=False).rows(0, ROWS)
    masking, random = Masking(TOKENIZER, scheme=request.param), np.random.default_rng(1)
    positions, weights = masking.choose(ids, random)
    corrupted = masking.corrupt(ids, positions, weights, random)
    return request.param, ids, corrupted, as_flags(ids, positions, weights)


def as_flags(ids, positions, weights):
    """Which tokens are chosen, [rows, tokens], written one by one."""
    chosen = np.zeros(ids.shape, bool)
    for row, (places, flags) in enumerate(zip(positions, weights, strict=True)):
        assert set(flags.tolist()) <= {0.0, 1.0}
        for place in places[flags > 0]:
            assert not chosen[row, place], "chosen twice"
            chosen[row, place] = True
    return chosen


def assert_share(count, of, meant):
    """A share within four standard errors of what is meant."""
    error = np.sqrt(meant * (1 - meant) / of)
    assert abs(count / of - meant) <= 4 * error, (count / of, meant, error)


def test_the_schemes():
    assert {name: (*shares, round(1 - sum(shares), 9)) for name, shares in SCHEMES.items()} == MEANT


def test_15_percent_are_chosen(million):
    _, ids, _, chosen = million
    nucleotides = ids >= FIRST_KMER
    assert nucleotides.sum() > 10**6
    assert_share(chosen.sum(), nucleotides.sum(), 0.15)
    assert not chosen[~nucleotides].any()
    per_row = chosen.sum(axis=1)  # 401 · 0.15 = 60.15: rounded up in 15% of the rows
    assert set(per_row.tolist()) == {60, 61}
    assert_share((per_row == 61).sum(), ROWS, 0.15)


def test_every_place_is_chosen_alike(million):
    *_, chosen = million
    per_place = chosen[:, 1:].sum(axis=0)
    # A row's choices exclude one another: variance n p (1 - p) in place of Poisson's n p.
    statistic = ((per_place - per_place.mean()) ** 2).sum() / (ROWS * 0.15 * 0.85)
    assert UNLIKELY < stats.chi2.sf(statistic, TOKENS - 2) < 1 - UNLIKELY


def test_what_becomes_of_the_chosen(million):
    scheme, ids, corrupted, chosen = million
    old, new = ids[chosen], corrupted[chosen]
    mask, random, _ = MEANT[scheme]
    is_mask = new == TOKENIZER.mask_id
    assert_share(is_mask.sum(), len(new), mask)
    changed = ~is_mask & (new != old)
    # A random k-mer is the old one once in 4,096 times; never where the old is a single letter.
    same = (old < FIRST_KMER + KMERS).mean() / KMERS
    assert_share(changed.sum(), len(new), random * (1 - same))
    if not random:
        assert not changed.any()
    kmers = new[changed] - FIRST_KMER
    assert ((kmers >= 0) & (kmers < KMERS)).all()


def test_random_kmers_are_uniform(million):
    scheme, ids, corrupted, chosen = million
    changed = chosen & (corrupted != TOKENIZER.mask_id) & (corrupted != ids)
    if not MEANT[scheme][1]:
        assert not changed.any()
        return
    counts = np.bincount(corrupted[changed] - FIRST_KMER, minlength=KMERS)
    assert len(counts) == KMERS
    assert UNLIKELY < stats.chisquare(counts).pvalue < 1 - UNLIKELY


def test_unchosen_tokens_are_unchanged(million):
    _, ids, corrupted, chosen = million
    np.testing.assert_array_equal(corrupted[~chosen], ids[~chosen])


def test_special_and_padding_tokens_are_never_chosen():
    for step in range(20):
        batch = MaskedBatches(Rows(), Masking(TOKENIZER, 0.5), 40, 40, 3).batch(step)
        ids = Rows().rows(step, 40)
        chosen = as_flags(ids, batch.positions, batch.weights)
        special = ids < FIRST_KMER
        assert special.any()
        assert not chosen[special].any()
        np.testing.assert_array_equal(batch.tokens[special], ids[special])
        share = chosen.sum(axis=1) / (~special).sum(axis=1)
        np.testing.assert_allclose(share, 0.5, atol=1 / 148)


@pytest.mark.parametrize("share", [0.001, 0.15, 0.999])
def test_any_share(share):
    # Of 401 tokens 0.4, 60.15 and 400.6: none, or all, may be chosen in a row.
    ids = Rows(padded=False).rows(0, 500)
    positions, weights = Masking(TOKENIZER, share).choose(ids, np.random.default_rng(0))
    chosen = as_flags(ids, positions, weights)
    assert not chosen[:, 0].any()
    assert abs(chosen.sum(axis=1).mean() - 401 * share) < 4 * 0.5 / np.sqrt(500)


def test_targets_are_the_original_tokens():
    batch = MaskedBatches(Rows(), Masking(TOKENIZER), 40, 40, 3).batch(7)
    ids = Rows().rows(7, 40)
    for row in range(40):
        assert batch.labels[row].tolist() == [ids[row, place] for place in batch.positions[row]]
    assert batch.tokens.dtype == np.int32
    assert batch.weights.dtype == np.float32
    assert batch.positions.dtype == np.int32
    assert batch.labels.shape == batch.weights.shape == batch.positions.shape == (40, 61)


def test_slots_beyond_the_rows_weigh_nothing_and_change_nothing():
    full = MaskedBatches(Rows(), Masking(TOKENIZER), 10, 10, 3).batch(2)
    padded = MaskedBatches(Rows(), Masking(TOKENIZER), 10, 16, 3).batch(2)
    for name in ("rows", "tokens", "labels", "weights", "positions"):
        np.testing.assert_array_equal(getattr(padded, name)[:10], getattr(full, name))
        assert len(getattr(padded, name)) == 16
    assert not padded.weights[10:].any()
    np.testing.assert_array_equal(padded.tokens[10:], np.repeat(full.tokens[:1], 6, axis=0))
    np.testing.assert_array_equal(padded.real_rows, np.arange(10))


def test_seed_and_step_decide():
    def batch(seed, step):
        return MaskedBatches(Rows(), Masking(TOKENIZER), 6, 6, seed).batch(step)

    for name in ("tokens", "weights", "positions", "labels"):
        np.testing.assert_array_equal(getattr(batch(1, 4), name), getattr(batch(1, 4), name))
    assert (batch(1, 4).positions != batch(2, 4).positions).any()
    assert (batch(1, 4).positions != batch(1, 5).positions).any()


def test_pinned_batch():
    # Runs that are resumed must see the same masks in later versions.
    class Counting:
        def rows(self, step, count):
            return np.tile(np.arange(6, 26, dtype=np.int32), (count, 1))

    batch = MaskedBatches(Counting(), Masking(TOKENIZER), 2, 2, 0).batch(4)
    expected = np.tile(np.arange(6, 26), (2, 1))
    expected[0, [16, 8, 9]] = expected[1, [1, 2, 11]] = TOKENIZER.mask_id
    assert batch.positions.tolist() == [[16, 8, 9, 11], [1, 2, 11, 18]]
    assert batch.weights.tolist() == [[1, 1, 1, 0], [1, 1, 1, 0]]
    np.testing.assert_array_equal(batch.tokens, expected)
