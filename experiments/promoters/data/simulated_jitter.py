"""The simulated σ70 task with every sequence shifted: where the boxes stand has to be looked up.

In `ntjax.datasets.simulated` nine boxes in ten lie within one letter of their usual place: whoever
marks the usual places in every sequence marks 88% of the planted letters, having read none, and one
who knows how the promoters are made marks 99%. Shifted at random by up to 15 letters, the best
guess by position marks 31%, and one who knows 97%.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.special import softmax

from ntjax.datasets.simulated import (
    BACKGROUND_PROBABILITY,
    BOX_LENGTH,
    SEQUENCE_LENGTH,
    SPACER_PROBABILITY,
    TSS_DISTANCE_PROBABILITY,
    PlantedSites,
    choose,
    placement_log_odds,
    planted_places,
    simulate_sigma70,
)
from ntjax.io.tables import SequenceTable
from ntjax.sequences.one_hot import column_indices, column_texts

LARGEST_SHIFT = 15
"""Letters to either side; each shift from one end to the other is as likely."""

_LIMIT = 21  # the farthest box is then at the sequence's first letter
_STREAMS = {"train": 3, "validation": 4, "test": 5}  # 0 to 2 draw the sequences themselves


def simulate_jittered_sigma70(
    rows: int, seed: int, part: str = "train", largest_shift: int = LARGEST_SHIFT
) -> tuple[SequenceTable, PlantedSites]:
    """The sequences of `simulate_sigma70`, each shifted, and where the boxes stand now.

    Promoters and negatives alike move by a random number of letters to the left or the right; what
    leaves the window is background, and so is what is drawn anew at the other end. The TSS moves
    with the boxes.

    Arguments:
        rows: number of sequences.
        seed: not negative. The same seed and part give the same rows on every platform, and the
            first rows do not depend on how many are drawn.
        part: "train", "validation" or "test".
        largest_shift: letters, 0 to 21.

    Raises:
        ValueError: unknown part, or a shift that would push boxes out.
    """
    _check_shift(largest_shift)
    table, sites = simulate_sigma70(rows, seed, part)
    source = np.random.PCG64(np.random.SeedSequence((seed, _STREAMS[part])))
    uniform = (source.random_raw((rows, 1 + SEQUENCE_LENGTH)) >> np.uint64(11)) * 2.0**-53
    shift = np.floor(uniform[:, :1] * (2 * largest_shift + 1)).astype(np.int64) - largest_shift
    background = choose(uniform[:, 1:], list(BACKGROUND_PROBABILITY.values()))
    origin = np.arange(SEQUENCE_LENGTH) - shift
    inside = (origin >= 0) & (origin < SEQUENCE_LENGTH)
    moved = np.take_along_axis(_codes(table.sequences), origin.clip(0, SEQUENCE_LENGTH - 1), axis=1)
    planted = sites.minus_35_start >= 0
    moved_sites = replace(
        sites,
        minus_35_start=np.where(planted, sites.minus_35_start + shift[:, 0], -1),
        minus_10_start=np.where(planted, sites.minus_10_start + shift[:, 0], -1),
    )
    return (
        replace(
            table,
            sequences=tuple(column_texts(np.where(inside, moved, background))),
            source=f"jittered_sigma70 ({part}, seed {seed}, ±{largest_shift})",
        ),
        moved_sites,
    )


def planted_posterior(sequences: Sequence[str], largest_shift: int = LARGEST_SHIFT) -> np.ndarray:
    """How probably each letter is one of the twelve of the boxes, if the sequence is a promoter.

    By Bayes' rule over all placements and shifts, for one who knows how the promoters are made:
    no map of a trained model can be expected to point out the planted letters better.

    Arguments:
        sequences: of 81 letters each.
        largest_shift: letters, 0 to 21; 0 for sequences of `simulate_sigma70`.

    Returns:
        float32 [sequences, letters]; a row sums to 12.

    Raises:
        ValueError: a shift that would push boxes out, or sequences of another length.
    """
    _check_shift(largest_shift)
    codes = _codes(sequences)
    scores, marked = [], []
    for distance, distance_probability in TSS_DISTANCE_PROBABILITY.items():
        for spacer, spacer_probability in SPACER_PROBABILITY.items():
            prior = np.log(distance_probability * spacer_probability)
            unmoved = planted_places(np.array([distance]), np.array([spacer]))[0]
            for shift in range(-largest_shift, largest_shift + 1):
                scores.append(placement_log_odds(codes[:, unmoved + shift]) + prior)
                marked.append(np.isin(np.arange(SEQUENCE_LENGTH), _boxes(unmoved) + shift))
    weights = softmax(np.stack(scores, axis=1), axis=1)
    return (weights @ np.stack(marked)).astype(np.float32)


def _boxes(places: np.ndarray) -> np.ndarray:
    return places[: 2 * BOX_LENGTH]


def _codes(sequences: Sequence[str]) -> np.ndarray:
    """Columns of the bases, uint8 [sequences, letters]; 4 for anything else."""
    if any(len(sequence) != SEQUENCE_LENGTH for sequence in sequences):
        raise ValueError(f"the simulated sequences have {SEQUENCE_LENGTH} letters each")
    return column_indices(sequences, SEQUENCE_LENGTH)


def _check_shift(largest_shift: int) -> None:
    if not 0 <= largest_shift <= _LIMIT:
        raise ValueError(f"largest_shift must be 0 to {_LIMIT}, not {largest_shift}")
