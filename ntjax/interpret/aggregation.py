"""Many sequences' maps in one: what a logo shows of promoters and others, called and miscalled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ntjax.errors import UserError
from ntjax.sequences.one_hot import one_hot


@dataclass(frozen=True)
class MeanMap:
    """Mean importance by position and letter over some rows.

    Attributes:
        heights: float32 [letters, 4], letters in the order A, C, G, T: what a logo draws.
        rows: how many rows went into it.
    """

    heights: np.ndarray
    rows: int


def outcome_rows(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float = 0.5
) -> dict[str, np.ndarray]:
    """Which rows are called rightly and which not, bool [rows] each.

    Arguments:
        labels: [rows], 1 for a promoter, 0 for a non-promoter.
        probabilities: [rows], of being a promoter.
        threshold: called a promoter from here on.

    Returns:
        `correct_promoters`, `miscalled_promoters`, `correct_nonpromoters`,
        `miscalled_nonpromoters`, in the order of the promoter report's figure.

    Raises:
        UserError: labels other than 0 and 1, or not one probability for each.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities)
    if labels.ndim != 1 or probabilities.shape != labels.shape:
        raise UserError(
            f"labels are {labels.shape} and probabilities {probabilities.shape}: give one number "
            "of each for every row"
        )
    if not np.isin(labels, (0, 1)).all():
        raise UserError("labels are not all 0 or 1: say for each row whether it is a promoter (1)")
    promoter, called = labels == 1, probabilities >= threshold
    return {
        "correct_promoters": promoter & called,
        "miscalled_promoters": promoter & ~called,
        "correct_nonpromoters": ~promoter & ~called,
        "miscalled_nonpromoters": ~promoter & called,
    }


def mean_map(maps: np.ndarray, sequences: Sequence[str], rows: np.ndarray | None = None) -> MeanMap:
    """Mean importance by position and letter.

    The height of A at a position is the sum of the importances of the rows with an A there, divided
    by the number of all rows with a known letter there: the four heights add up to the position's
    mean importance, and a letter that is both frequent and important stands out. Rows with N at a
    position, or that end before it, do not count there.

    Arguments:
        maps: [rows, letters], as of `attention_salience`, `gradients` or `position_importance`.
        sequences: the rows' sequences.
        rows: bool [rows] or row numbers of the subset; None for all.

    Returns:
        The mean; zeros if the subset is empty.

    Raises:
        UserError: not one map for each sequence, or maps shorter than the longest of them.
    """
    maps = np.asarray(maps)
    longest = max(map(len, sequences), default=0)
    if maps.ndim != 2 or len(maps) != len(sequences) or maps.shape[1] < longest:
        raise UserError(
            f"maps are {maps.shape}, but there are {len(sequences)} sequences of up to {longest} "
            "letters: give a map [letters] for each"
        )
    chosen = np.arange(len(maps)) if rows is None else np.asarray(rows)
    chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
    if not len(chosen):
        return MeanMap(np.zeros((maps.shape[1], 4), np.float32), 0)
    letters = one_hot([sequences[row] for row in chosen], maps.shape[1])
    sums = np.einsum("rp,rpl->pl", maps[chosen].astype(np.float64), letters)
    counted = np.maximum(letters.any(axis=2).sum(axis=0), 1)
    return MeanMap((sums / counted[:, None]).astype(np.float32), len(chosen))


def mean_maps_by_outcome(
    maps: np.ndarray, sequences: Sequence[str], labels: np.ndarray, probabilities: np.ndarray
) -> dict[str, MeanMap]:
    """`mean_map` of each of the four subsets of `outcome_rows`."""
    outcomes = outcome_rows(labels, probabilities)
    return {name: mean_map(maps, sequences, rows) for name, rows in outcomes.items()}
