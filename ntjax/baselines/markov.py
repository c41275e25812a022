"""What masked k-mers cost without a network: k-mer frequencies, and a Markov model of the letters.

Both learn from both strands of the training regions. The Markov model scores each of the 4ᵏ
fillings of a masked k-mer by the letters on both sides of it, which is what the transformer sees
too, though from farther away.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import log_softmax

from ntjax.genomes.regions import stretch_pieces
from ntjax.genomes.windows import Region, read_windows
from ntjax.sequences.alphabet import reverse_complement_codes
from ntjax.sequences.kmers import kmer_codes, whole_windows

SMOOTHING = (4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0)
"""What `choose_order` tries: how many occurrences the order below is worth."""

# A table of counts is no larger than that of 12-mers, 134 MB; a piece of a genome fills it once.
_LONGEST_CONTEXT = 11
_PIECE_LETTERS = 1 << 22
# The scores of so many positions stay in the processor's cache.
_POSITIONS_AT_ONCE = 64


@dataclass(frozen=True)
class MaskedKmers:
    """k-mers to be guessed from the letters around them.

    Attributes:
        left: uint8 [n, flank], the letters before, 0 to 3 for A, T, C, G.
        right: uint8 [n, flank], the letters behind.
        targets: int64 [n], the k-mers' places among the 4ᵏ in the vocabulary's order: their
            letters read as a number to the base 4.
        k: letters.
    """

    left: np.ndarray
    right: np.ndarray
    targets: np.ndarray
    k: int


def kmer_counts(regions: Sequence[Region], k: int) -> np.ndarray:
    """How often each k-mer stands in the regions, on both strands together, int64 [4ᵏ]."""
    return _with_other_strand(_one_strand_counts(regions, k), k)


def _one_strand_counts(regions: Sequence[Region], k: int) -> np.ndarray:
    counts = np.zeros(4**k, np.int64)
    for region in regions:
        for piece in stretch_pieces(region, k, _PIECE_LETTERS):
            codes = kmer_codes(piece, k)[whole_windows(piece, k)]
            counts += np.bincount(codes.view(np.int64), minlength=4**k)
    return counts


def _with_other_strand(counts: np.ndarray, k: int) -> np.ndarray:
    """Counts of one strand [4ᵏ] plus those of the other."""
    # The reverse complement of two halves is that of the second, then that of the first.
    first = k // 2
    halves = np.ix_(_reverse_complements(first), _reverse_complements(k - first))
    return counts + counts.reshape(4**first, -1)[halves].T.reshape(-1)


def _reverse_complements(k: int) -> np.ndarray:
    """The number of each k-mer's reverse complement, int64 [4ᵏ]."""
    powers = 4 ** np.arange(k)[::-1]
    letters = np.arange(4**k)[:, None] // powers % 4
    return reverse_complement_codes(letters) @ powers


@dataclass(frozen=True)
class UnigramModel:
    """How frequent each k-mer is, wherever it stands.

    Attributes:
        log_probabilities: float64 [4ᵏ], in nats.
    """

    log_probabilities: np.ndarray

    @classmethod
    def fit(cls, training: Sequence[Region], k: int = 6) -> Self:
        """Frequencies over all phases and both strands, one occurrence of each added."""
        counts = kmer_counts(training, k) + 1
        return cls(np.log(counts / counts.sum()))

    def score(self, kmers: MaskedKmers) -> tuple[np.ndarray, np.ndarray]:
        """Loss in nats float64 [n], and whether the likeliest k-mer is the true one, bool [n]."""
        best = self.log_probabilities.argmax()
        return -self.log_probabilities[kmers.targets], kmers.targets == best


@dataclass(frozen=True)
class MarkovModel:
    """The probability of a letter given the `order` letters before it.

    Attributes:
        tables: for every order from 0, float32 [4^(order + 1)]: log p of the last letter of each
            (order + 1)-mer given those before, in nats.
        smoothing: how many occurrences the order below was worth.
    """

    tables: tuple[np.ndarray, ...]
    smoothing: float

    @classmethod
    def fit(cls, training: Sequence[Region], order: int, smoothing: float = 16.0) -> Self:
        """Model of one order, 0 to 11; see `smoothed` for what `smoothing` does."""
        return smoothed(context_counts(training, order), smoothing)

    @property
    def order(self) -> int:
        """Letters that a letter's probability depends on."""
        return len(self.tables) - 1

    def fillings(self, left: np.ndarray, right: np.ndarray, k: int = 6) -> np.ndarray:
        """How likely each filling of a masked k-mer is between its two flanks.

        p(w | left, right) = p(w, right | left) / Σ_w' p(w', right | left): the letters behind are
        no less telling than those before.

        Arguments:
            left: uint8 [n, order or more], of which the last `order` letters count.
            right: uint8 [n, order or more], of which the first `order` letters count.
            k: letters of the k-mer.

        Returns:
            log p float32 [n, 4ᵏ], in the vocabulary's order. That is 16 kB a position for 6-mers:
            `score` needs less.
        """
        result = np.empty((len(left), 4**k), np.float32)
        for rows, scores in self._filled(left, right, k):
            result[rows] = scores
        return result

    def score(self, kmers: MaskedKmers) -> tuple[np.ndarray, np.ndarray]:
        """Loss in nats float64 [n], and whether the likeliest k-mer is the true one, bool [n]."""
        losses, correct = np.empty(len(kmers.targets)), np.empty(len(kmers.targets), bool)
        for rows, scores in self._filled(kmers.left, kmers.right, kmers.k):
            targets = kmers.targets[rows]
            losses[rows] = -scores[np.arange(len(targets)), targets]
            correct[rows] = scores.argmax(axis=1) == targets
        return losses, correct

    def _filled(
        self, left: np.ndarray, right: np.ndarray, k: int
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Log p [rows, 4ᵏ] of some positions at a time."""
        if min(left.shape[1], right.shape[1]) < self.order:
            raise ValueError(
                f"flanks of {left.shape[1]} and {right.shape[1]} letters for order {self.order}"
            )
        left = kmer_numbers(left[:, left.shape[1] - self.order :])
        for start in range(0, len(left), _POSITIONS_AT_ONCE):
            rows = slice(start, start + _POSITIONS_AT_ONCE)
            scores = self._filling_scores(left[rows], right[rows], k)
            yield rows, log_softmax(scores, axis=1)

    def _filling_scores(self, contexts: np.ndarray, right: np.ndarray, k: int) -> np.ndarray:
        """Log p of filling and right flank given the left one [n], float32 [n, 4ᵏ]."""
        table, context = self.tables[-1], 4**self.order - 1
        codes, scores = contexts[:, None], np.zeros((len(contexts), 1), np.float32)
        for _ in range(k):  # a tree: the first letter's score is the same for all that follow
            codes = ((codes & context) * 4)[..., None] + np.arange(4)
            scores = scores[..., None] + table.take(codes)
            codes, scores = (array.reshape(len(contexts), -1) for array in (codes, scores))
        for place in range(self.order):
            # So many of the filling's last letters are still within reach.
            codes = codes[:, : 4 ** min(k, self.order - place)]
            codes = (codes & context) * 4 + right[:, place, None]
            scores.reshape(len(codes), -1, codes.shape[1])[:] += table.take(codes)[:, None]
        return scores

    def log_likelihood(self, windows: np.ndarray) -> np.ndarray:
        """How natural whole sequences look: log p in nats, the mean of both strands.

        A sequence's first letters are scored by the orders below, so that what is returned is the
        logarithm of a probability. A letter for which there is an N among those it depends on, or
        that is one, counts as one of four.

        Arguments:
            windows: uint8 [n, letters], 0 to 3 for A, T, C, G and 4 for N.

        Returns:
            float64 [n].
        """
        strands = (windows, reverse_complement_codes(windows))
        return sum(map(self._one_strand, strands)) / 2

    def _one_strand(self, windows: np.ndarray) -> np.ndarray:
        total = np.zeros(len(windows))
        for place in range(windows.shape[1]):
            seen = windows[:, max(0, place - self.order) : place + 1]
            known = (seen < 4).all(axis=1)
            scores = self.tables[seen.shape[1] - 1].take(kmer_numbers(seen & 3))
            total += np.where(known, scores, -np.log(4.0))
        return total


def kmer_numbers(letters: np.ndarray) -> np.ndarray:
    """Letters 0 to 3 [..., k] read as numbers to the base 4, int64 [...]."""
    return letters @ 4 ** np.arange(letters.shape[-1])[::-1]


def context_counts(training: Sequence[Region], order: int) -> tuple[np.ndarray, ...]:
    """Counts of all (j + 1)-mers on both strands, int64 [4^(j + 1)] for j from 0 to `order`.

    The training regions are read once for all of them: every j-mer is the end of a (j + 1)-mer,
    but for those with which a stretch begins.
    """
    if not 0 <= order <= _LONGEST_CONTEXT:
        raise ValueError(f"a Markov model's order is 0 to {_LONGEST_CONTEXT}, not {order}")
    counts = [_one_strand_counts(training, order + 1)]
    for length in range(order, 0, -1):
        ends = counts[-1].reshape(4, -1).sum(axis=0)
        counts.append(ends + _first_kmers(training, length))
    return tuple(_with_other_strand(c, k) for k, c in enumerate(reversed(counts), start=1))


def _first_kmers(regions: Sequence[Region], k: int) -> np.ndarray:
    """How often each k-mer begins a stretch, int64 [4ᵏ]."""
    counts = np.zeros(4**k, np.int64)
    for region in regions:
        sizes = np.diff(region.stretches)[:, 0]
        first = read_windows(region.genome, region.stretches[sizes >= k, 0], k)
        counts += np.bincount(kmer_numbers(first), minlength=4**k)
    return counts


def smoothed(counts: Sequence[np.ndarray], smoothing: float) -> MarkovModel:
    """The model whose probabilities are counts, interpolated with the order below.

    p_j(x | c) = (count(cx) + a p_(j-1)(x | c without its first letter)) / (count(c·) + a), and
    below order 0 every letter has 1/4 (MacKay & Peto 1995, with one a for all orders).

    Arguments:
        counts: as of `context_counts`.
        smoothing: a, above 0.
    """
    tables, probabilities = [], np.full((1, 4), 0.25)
    for order, table in enumerate(counts):
        following = table.reshape(-1, 4)
        if order:
            probabilities = np.tile(probabilities, (4, 1))
        probabilities *= smoothing
        probabilities += following
        probabilities /= following.sum(axis=1, keepdims=True) + smoothing
        tables.append(np.log(probabilities).astype(np.float32).reshape(-1))
    return MarkovModel(tuple(tables), smoothing)


def choose_order(
    training: Sequence[Region], validation: MaskedKmers, orders: Sequence[int]
) -> MarkovModel:
    """The model, of these orders and the `SMOOTHING` values, that guesses masked k-mers best.

    Arguments:
        training: regions to count in, read once.
        validation: k-mers of other regions, with flanks of the highest order or more.
        orders: each 0 to 11.

    Returns:
        That with the lowest mean loss on `validation`.
    """
    counts = context_counts(training, max(orders))
    whole = (smoothed(counts, smoothing) for smoothing in SMOOTHING)
    models = (
        MarkovModel(model.tables[: order + 1], model.smoothing)
        for model in whole
        for order in orders
    )
    return min(models, key=lambda model: model.score(validation)[0].mean())
