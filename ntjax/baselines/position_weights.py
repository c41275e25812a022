"""The −35 and −10 boxes of σ70 promoters as position-weight matrices: the classical baseline.

A promoter is a −35 box, a spacer of 15 to 19 letters, a −10 box and 3 to 11 positions from its last
letter to the transcription start site (TSS); all other letters are background. The matrices, and
how frequent each spacer and distance is, are learned from promoters alone by
expectation-maximisation over the 45 placements, from the consensus TTGACA and TATAAT, one promoter
in each sequence (Cardon & Stormo 1992, J Mol Biol 223:159).

On the *E. coli* promoter test set, fitted to the 6,860 promoters that share no 16-mer with it, the
AUROC is 0.836.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from scipy.special import softmax

from ntjax.errors import UserError
from ntjax.genomes.windows import PROMOTER_WINDOW
from ntjax.sequences.alphabet import BASES, UNKNOWN, code_matrix, reverse_complement_codes

CONSENSUS = ("TTGACA", "TATAAT")
"""What the −35 and the −10 box are like before anything is learned."""

SPACERS = range(15, 20)
"""Letters between the boxes."""

DISTANCES = range(3, 12)
"""Positions from the last letter of the −10 box to the TSS."""

_BOX = len(CONSENSUS[0])
_CONSENSUS_PROBABILITY = 0.7
# Letters in front of the −10 box that a −35 box can lie in.
_BEFORE_MINUS_10 = SPACERS[-1] + _BOX

REACH = DISTANCES[-1] + (_BOX - 1) + _BEFORE_MINUS_10
"""Letters before the TSS that the boxes can lie in."""


@dataclass(frozen=True, eq=False)
class PositionWeights:
    """A fitted pair of boxes. Letters are in the order A, T, C, G, as in a genome's store.

    Attributes:
        minus_35: probability of each letter at each place of the −35 box, float64 [6, 4].
        minus_10: the same of the −10 box.
        spacers: probability of each of `SPACERS`, float64 [5].
        distances: probability of each of `DISTANCES`, float64 [9].
        background: probability of each letter elsewhere, float64 [4].
        tss: index of the TSS in the sequences that are scored.
    """

    minus_35: np.ndarray
    minus_10: np.ndarray
    spacers: np.ndarray
    distances: np.ndarray
    background: np.ndarray
    tss: int = PROMOTER_WINDOW.site_index

    @property
    def consensus(self) -> tuple[str, str]:
        """The likeliest letters of the −35 and the −10 box."""
        boxes = (self.minus_35, self.minus_10)
        return tuple("".join(BASES[code] for code in box.argmax(axis=1)) for box in boxes)

    def scores(self, sequences: Sequence[str]) -> np.ndarray:
        """How much likelier each sequence is with a promoter than without, float64 [sequences].

        The natural logarithm of Σ p(placement) p(boxes | placement) / p(background). Letters
        other than A, C, G and T (upper case) tell nothing.

        Arguments:
            sequences: with the TSS at index `tss`.

        Raises:
            UserError: a sequence ends before its TSS.
        """
        if not len(sequences):
            return np.empty(0)
        return self._log_odds(_upstream(sequences, self.tss, with_tss=True))[:, 0]

    def scan(self, letters: np.ndarray, reverse: bool = False) -> np.ndarray:
        """The score of every place as a TSS, as `scores` of the windows one by one.

        Each box is scored once at every place, whatever the number of placements: less than half a
        second for a million letters.

        Arguments:
            letters: uint8 [letters], 0 to 3 for A, T, C, G; anything else tells nothing.
            reverse: read the other strand; places stay those of this one.

        Returns:
            float64 [letters]; NaN at the `REACH` places where the boxes could lie outside.
        """
        codes = reverse_complement_codes(letters) if reverse else letters
        scores = np.full(len(letters), np.nan)
        if len(letters) > REACH:
            scores[REACH:] = self._log_odds(codes)
        return scores[::-1] if reverse else scores

    def _log_odds(self, codes: np.ndarray) -> np.ndarray:
        """Of a TSS at every place with `REACH` letters before it, [..., letters - REACH]."""
        minus_35, minus_10 = self._box_scores(codes)
        # `linked` is of −10 boxes, from the first that the farthest −35 box has room before.
        minus_10 = minus_10[..., _BEFORE_MINUS_10:]
        count = minus_10.shape[-1]
        linked = minus_10 + _summed(
            minus_35[..., SPACERS[-1] - spacer :][..., :count] + np.log(probability)
            for spacer, probability in zip(SPACERS, self.spacers, strict=True)
        )
        count = codes.shape[-1] - REACH
        return _summed(
            linked[..., DISTANCES[-1] - distance :][..., :count] + np.log(probability)
            for distance, probability in zip(DISTANCES, self.distances, strict=True)
        )

    def _box_scores(self, codes: np.ndarray) -> list[np.ndarray]:
        """Log-odds of either box at every place where it fits, [..., letters - 5] each."""
        codes = np.minimum(codes, UNKNOWN)
        count = codes.shape[-1] - _BOX + 1
        weights = [np.log(box / self.background) for box in (self.minus_35, self.minus_10)]
        return [
            sum(
                np.append(row, 0.0)[codes[..., place : place + count]]
                for place, row in enumerate(box)
            )
            for box in weights
        ]


def fit_position_weights(
    sequences: Sequence[str],
    *,
    tss: int = PROMOTER_WINDOW.site_index,
    background: Mapping[str, float] | None = None,
    pseudocount: float = 1.0,
    rounds: int = 30,
) -> PositionWeights:
    """Learn the boxes from promoters.

    Arguments:
        sequences: promoters, each with its TSS at index `tss`.
        tss: 41 or more, so that every placement fits in.
        background: probability of A, C, G and T outside the boxes; default: their shares in the
            sequences.
        pseudocount: occurrences added to each place of a box, shared among the letters as in the
            background, and to the spacers and the distances, shared evenly; above 0.
        rounds: of expectation-maximisation.

    Raises:
        UserError: no sequences, or one that ends before its TSS.
        ValueError: a `tss` that leaves no room, a pseudocount that is not positive, or a
            background that is no distribution.
    """
    if tss < REACH or not pseudocount > 0:
        raise ValueError(f"tss={tss} must be {REACH} or more and pseudocount={pseudocount} above 0")
    if not len(sequences):
        raise UserError("there are no promoters to fit position weights to: give their sequences")
    codes = _upstream(sequences, tss)
    shares = _composition(sequences) if background is None else _given(background)
    boxes = (_near_consensus(box) for box in CONSENSUS)
    evenly = [np.full(len(values), 1 / len(values)) for values in (SPACERS, DISTANCES)]
    fitted = PositionWeights(*boxes, *evenly, shares, tss)
    for _ in range(rounds):
        fitted = _improved(fitted, codes, pseudocount)
    return fitted


def _improved(weights: PositionWeights, codes: np.ndarray, pseudocount: float) -> PositionWeights:
    """One round of expectation-maximisation on letters before the TSS, uint8 [n, REACH]."""
    minus_10_starts = REACH - np.array(DISTANCES) - (_BOX - 1)
    minus_35_starts = minus_10_starts[:, None] - np.array(SPACERS) - _BOX
    minus_35, minus_10 = weights._box_scores(codes)
    log_odds = minus_35[:, minus_35_starts] + minus_10[:, minus_10_starts, None]
    log_odds += np.log(weights.distances)[:, None] + np.log(weights.spacers)
    chance = softmax(log_odds, axis=(1, 2))  # of every placement [n, distances, spacers]
    of_distance = chance.sum(axis=2)
    background = weights.background
    return PositionWeights(
        _letter_shares(codes, minus_35_starts, chance, pseudocount, background),
        _letter_shares(codes, minus_10_starts, of_distance, pseudocount, background),
        _shares(chance.sum(axis=(0, 1)), pseudocount),
        _shares(of_distance.sum(axis=0), pseudocount),
        background,
        weights.tss,
    )


def _letter_shares(
    codes: np.ndarray,
    starts: np.ndarray,
    chance: np.ndarray,
    pseudocount: float,
    background: np.ndarray,
) -> np.ndarray:
    """Letters at each place of a box [6, 4] that begins at `starts` with the given chances."""
    rows = []
    for place in range(_BOX):
        letters = codes[:, starts + place].ravel()
        counts = np.bincount(letters, chance.ravel(), minlength=UNKNOWN + 1)[:UNKNOWN]
        rows.append((counts + pseudocount * background) / (counts.sum() + pseudocount))
    return np.stack(rows)


def _shares(counts: np.ndarray, pseudocount: float) -> np.ndarray:
    return (counts + pseudocount / len(counts)) / (counts.sum() + pseudocount)


def _near_consensus(box: str) -> np.ndarray:
    """Letter probabilities [6, 4] that favour those of a box."""
    is_consensus = code_matrix([box])[0][:, None] == np.arange(UNKNOWN)
    other = (1 - _CONSENSUS_PROBABILITY) / (UNKNOWN - 1)
    return np.where(is_consensus, _CONSENSUS_PROBABILITY, other)


def _upstream(sequences: Sequence[str], tss: int, with_tss: bool = False) -> np.ndarray:
    """Codes of the `REACH` letters before the TSS, uint8 [sequences, REACH], or of one more."""
    for row, sequence in enumerate(sequences, 1):
        if len(sequence) <= tss:
            raise UserError(
                f"sequence {row} has {len(sequence)} letters and no start site at its letter "
                f"{tss + 1}: give windows that reach beyond it"
            )
    return code_matrix([text[tss - REACH : tss + with_tss] for text in sequences])


def _composition(sequences: Sequence[str]) -> np.ndarray:
    """Share of each letter in all sequences, one of each added, [4]."""
    counts = np.array([sum(text.count(letter) for text in sequences) for letter in BASES])
    return (counts + 1) / (counts.sum() + UNKNOWN)


def _given(background: Mapping[str, float]) -> np.ndarray:
    if sorted(background) != sorted(BASES):
        raise ValueError(f"the background must name A, C, G and T, not {sorted(background)}")
    shares = np.array([background[letter] for letter in BASES])
    if not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise ValueError(f"the background must be positive and sum to 1: {dict(background)}")
    return shares


def _summed(log_odds: Iterable[np.ndarray]) -> np.ndarray:
    """Logarithm of the sum of odds, from their logarithms."""
    return reduce(np.logaddexp, log_odds)
