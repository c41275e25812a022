"""Textbook methods for the strand of a gene; all score a window against its reverse complement.

A score is above 0 where the window's forward strand looks like the coding one, and changes its sign
for the reverse complement.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import logsumexp, softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from ntjax.sequences.alphabet import reverse_complement
from ntjax.sequences.one_hot import one_hot

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Inverse strengths of the penalty (scikit-learn's C) that `KmerContrast` tries."""

_PHASES = 3
_STOPS = ("TAA", "TAG", "TGA")
_ROUNDS = 20


def fewest_stops(sequences: Sequence[str]) -> np.ndarray:
    """Compare the strands by the number of stop codons in their most open frame; needs no labels.

    Returns:
        float64 [n]: fewest stops of a frame of the reverse strand minus those of the forward one.
    """
    forward, reverse = (_stops_by_frame(s) for s in (sequences, reverse_complement(sequences)))
    return (reverse.min(axis=1) - forward.min(axis=1)).astype(np.float64)


def _stops_by_frame(sequences: Sequence[str]) -> np.ndarray:
    """Count the stop codons, int [n, 3]: frame p reads the codons from positions p, p + 3, ..."""
    return np.array(
        [
            [
                sum(sequence[i : i + 3] in _STOPS for i in range(p, len(sequence) - 2, 3))
                for p in range(_PHASES)
            ]
            for sequence in sequences
        ]
    ).reshape(-1, _PHASES)


@dataclass(frozen=True)
class PeriodicMarkov:
    """A Markov chain of coding DNA whose probabilities depend on the codon position.

    Borodovsky & McIninch 1993, GENMARK, Comput Chem 17:123, without its model of non-coding DNA:
    which frame a window is in is not known, so that the three phases are summed out.

    Attributes:
        log_probabilities: float64 [3, 4^order, 4], in nats: of a base given the `order` bases
            before it, by the base's codon position.
    """

    log_probabilities: np.ndarray

    @classmethod
    def fit(
        cls, sequences: Sequence[str], forward: np.ndarray, order: int = 2, smoothing: float = 1.0
    ) -> Self:
        """Fit the chain on windows of one length whose strand is known and whose frame is not.

        Expectation-maximisation over the frames, from the frames with the fewest stops.

        Arguments:
            sequences: [n] windows.
            forward: bool [n], whether the gene is on the forward strand.
            order: number of bases that a base depends on.
            smoothing: added to every count.
        """
        turned = reverse_complement(sequences)
        coding = [s if f else t for s, t, f in zip(sequences, turned, forward, strict=True)]
        # e^-3 for each stop: a frame without one is all but certain beside one with two.
        phases = softmax(-3.0 * _stops_by_frame(coding), axis=1)
        contexts, bases = _contexts(coding, order)
        for _ in range(_ROUNDS):
            counts = np.full((_PHASES, 4**order, 4), smoothing)
            for phase in range(_PHASES):
                places = _codon_positions(bases.shape[1], phase, order)
                np.add.at(counts, (places, contexts, bases), phases[:, phase, None])
            model = cls(np.log(counts / counts.sum(axis=2, keepdims=True)))
            phases = softmax(model._by_phase(coding), axis=1)
        return model

    def scores(self, sequences: Sequence[str]) -> np.ndarray:
        """Log-odds of the forward against the reverse strand, in nats, float64 [n]."""
        forward, reverse = (
            logsumexp(self._by_phase(strand), axis=1)
            for strand in (sequences, reverse_complement(sequences))
        )
        return forward - reverse

    def _by_phase(self, sequences: Sequence[str]) -> np.ndarray:
        """Log-likelihood of windows in each phase, float64 [n, 3]."""
        order = round(np.log2(self.log_probabilities.shape[1]) / 2)
        contexts, bases = _contexts(sequences, order)
        return np.stack(
            [
                self.log_probabilities[
                    _codon_positions(bases.shape[1], phase, order), contexts, bases
                ].sum(axis=1)
                for phase in range(_PHASES)
            ],
            axis=1,
        )


def _codon_positions(length: int, phase: int, order: int) -> np.ndarray:
    """Codon positions of the bases behind the first context, int [length].

    In phase p codons begin at positions p, p + 3, ... of the window.
    """
    return (np.arange(length) + order - phase) % _PHASES


def _contexts(sequences: Sequence[str], order: int) -> tuple[np.ndarray, np.ndarray]:
    """Each base but the first `order` and the number of its context, int64 [n, length - order]."""
    codes = one_hot(sequences, len(sequences[0])).argmax(axis=2)
    powers = 4 ** np.arange(order)[::-1]
    windows = np.lib.stride_tricks.sliding_window_view(codes, order + 1, axis=1)
    return windows[..., :order] @ powers, windows[..., order]


@dataclass(frozen=True)
class KmerContrast:
    """Logistic regression on counts of k-mers minus those of their reverse complements.

    Without an intercept, so that the two strands of a window get opposite scores.
    """

    classifier: LogisticRegression
    k: int

    @classmethod
    def fit(
        cls,
        sequences: Sequence[str],
        forward: np.ndarray,
        validation: tuple[Sequence[str], np.ndarray],
        k: int = 4,
    ) -> Self:
        """Fit it with each of `PENALTIES`; keep the lowest log loss on the validation rows."""
        counts, held_out = _count_differences(sequences, k), _count_differences(validation[0], k)
        fitted = [
            LogisticRegression(C=penalty, fit_intercept=False, max_iter=5_000).fit(counts, forward)
            for penalty in PENALTIES
        ]
        losses = [log_loss(validation[1], one.predict_proba(held_out)[:, 1]) for one in fitted]
        return cls(fitted[int(np.argmin(losses))], k)

    def scores(self, sequences: Sequence[str]) -> np.ndarray:
        """Log-odds of the forward against the reverse strand, float64 [n]."""
        return self.classifier.decision_function(_count_differences(sequences, self.k))


def _count_differences(sequences: Sequence[str], k: int) -> np.ndarray:
    """Counts of all k-mers minus those on the reverse strand, int64 [n, 4^k]."""
    return _kmer_counts(sequences, k) - _kmer_counts(reverse_complement(sequences), k)


def _kmer_counts(sequences: Sequence[str], k: int) -> np.ndarray:
    contexts, bases = _contexts(sequences, k - 1)
    return np.stack([np.bincount(row, minlength=4**k) for row in 4 * contexts + bases])
