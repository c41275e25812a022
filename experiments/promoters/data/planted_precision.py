"""How well a map of importances points out letters that are known to matter.

On simulated promoters the truth is known: the twelve letters of the two boxes. Of a map's twelve
most important letters in a promoter, how many are among them? Two marks to compare it with:

- chance, 12 / 81;
- position alone: the mean map of all *other* promoters, so that a method which has but learned
  where boxes usually are gets no credit for it.
"""

from dataclasses import dataclass

import numpy as np

from ntjax.datasets.simulated import BOX_LENGTH, SEQUENCE_LENGTH, PlantedSites
from ntjax.errors import UserError
from ntjax.metrics.bootstrap import multiplicities, percentile_interval


@dataclass(frozen=True)
class PlantedPrecision:
    """Precision at the number of planted letters, mean over promoters.

    The first three are `{"value", "low", "high"}` with a bootstrap interval over promoters.

    Attributes:
        precision: of each promoter's own map.
        position_only: of the mean map of the other promoters.
        above_position_only: the difference, promoter by promoter.
        chance: of letters chosen at random.
        promoters: how many there are.
    """

    precision: dict[str, float | None]
    position_only: dict[str, float | None]
    above_position_only: dict[str, float | None]
    chance: float
    promoters: int


def planted_letters(sites: PlantedSites, letters: int = SEQUENCE_LENGTH) -> np.ndarray:
    """Which letters belong to the −35 or the −10 box, bool [rows, letters]; none of a negative."""
    position = np.arange(letters)

    def box(start: np.ndarray) -> np.ndarray:
        offset = position - start[:, None]
        return (start >= 0)[:, None] & (offset >= 0) & (offset < BOX_LENGTH)

    return box(sites.minus_35_start) | box(sites.minus_10_start)


def planted_precision(
    maps: np.ndarray,
    planted: np.ndarray,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> PlantedPrecision:
    """Score maps of importances on sequences with known sites.

    With `planted` itself as the maps, `position_only` is what the best guess by position alone
    would reach.

    Arguments:
        maps: [rows, letters], larger is more important. Letters that are alike, such as those of
            one token, count with the precision that a draw among them has on average.
        planted: bool [rows, letters]; rows without any, the negatives, are left out.
        bootstrap: resamples.
        seed: of the bootstrap.
        confidence: of the intervals.

    Raises:
        UserError: shapes that differ, numbers that are not finite, fewer than two promoters.
    """
    maps, planted = np.asarray(maps, np.float64), np.asarray(planted, bool)
    if maps.shape != planted.shape or maps.ndim != 2:
        raise UserError(
            f"maps are {maps.shape} and planted letters {planted.shape}; both should be "
            "[rows, letters]"
        )
    promoters = planted.any(axis=1)
    maps, planted = maps[promoters], planted[promoters]
    if len(maps) < 2:
        raise UserError(f"{len(maps)} rows have planted letters; give two or more")
    if not np.isfinite(maps).all():
        raise UserError("the maps hold numbers that are not finite: nothing can be ranked by them")
    # Ranks need not be divided by the number of the others.
    others = maps.sum(axis=0) - maps
    own, position = precision_at_planted(maps, planted), precision_at_planted(others, planted)
    values = np.stack([own, position, own - position])
    drawn = multiplicities(None, len(maps), bootstrap, np.random.default_rng(seed))
    means = [weights @ values.T / len(maps) for weights in drawn]
    resampled = np.concatenate([np.empty((0, 3)), *means])
    estimates = []
    for value, samples in zip(values.mean(axis=1), resampled.T, strict=True):
        low, high = percentile_interval(samples, confidence)
        estimates.append({"value": float(value), "low": low, "high": high})
    return PlantedPrecision(*estimates, chance=float(planted.mean()), promoters=len(maps))


def precision_at_planted(maps: np.ndarray, planted: np.ndarray) -> np.ndarray:
    """Share of planted letters among as many most important ones, float64 [rows].

    Among letters of equal importance at the edge a draw decides; this is its mean.
    """
    count = planted.sum(axis=1, keepdims=True)
    edge = np.take_along_axis(-np.sort(-maps, axis=1), count - 1, axis=1)
    above, level = maps > edge, maps == edge
    drawn = (count[:, 0] - above.sum(axis=1)) / level.sum(axis=1)
    hits = (above & planted).sum(axis=1) + drawn * (level & planted).sum(axis=1)
    return hits / count[:, 0]
