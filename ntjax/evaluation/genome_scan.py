"""Transcription start sites looked for in a genome: both strands, coarsely, then closely.

A model's score of a window says how likely its place is a start site (TSS). A large model cannot
score every place of a genome, and need not: `scan` scores every `stride`-th place, then all places
around those with the best scores. A baseline that can is scored everywhere by `scan_every_place`.
Neighbours score alike: `ntjax.genomes.scored_sites.merged` leaves the best of them.
`ntjax.evaluation.detection` measures how good the result is.

The same is found whichever strand a genome is written as: places are counted, and ties are broken,
in the direction of transcription.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from ntjax.errors import UserError
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.regions import holds
from ntjax.genomes.scored_sites import ScoredSites
from ntjax.genomes.windows import Region, WindowGeometry
from ntjax.io.files import release
from ntjax.metrics.classification import require_finite

WindowScores = Callable[[list[str]], np.ndarray]
"""Scores float `[n]` of n windows of the geometry that is scanned; larger: rather a site."""

PlaceScores = Callable[[np.ndarray, bool], np.ndarray]
"""Scores float `[letters]` of every place of letters uint8 `[letters]`, on the strand read from
left to right (False) or on the other (True); anything where the window does not fit."""

_PLACES_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class ScanOptions:
    """How a genome is scanned.

    Attributes:
        geometry: of the windows, without context: that of the windows a model was trained on.
        stride: every so many places one is scored on each strand.
        refine: share of those, the best, around which every place within the stride is scored.
        refine_from: if given, the score from which that is done instead.
        context: letters more at each side of a window.
        batch: windows scored at once.
    """

    geometry: WindowGeometry
    stride: int = 5
    refine: float = 0.1
    refine_from: float | None = None
    context: int = 0
    batch: int = 4096

    def __post_init__(self):
        if self.stride < 1 or self.batch < 1 or self.context < 0 or not 0 <= self.refine <= 1:
            raise UserError(
                f"stride {self.stride} and batch {self.batch} must be 1 or more, context "
                f"{self.context} 0 or more, and refine {self.refine} from 0 to 1"
            )


def scan(
    region: Region,
    score: WindowScores,
    options: ScanOptions,
    progress: bool = True,
) -> ScoredSites:
    """Score both strands of a region coarsely, and closely where that is promising.

    Arguments:
        region: only windows that lie in one of its stretches are scored, so none with an N.
        score: called with up to `options.batch` windows.

    Returns:
        Every place that was scored.

    Raises:
        UserError: no window fits in, or scores that are not finite.
        ValueError: not one score for each window.
    """
    sites = candidates(region, options.geometry, options.stride, options.context)
    if not len(sites):
        raise _no_window(region, options.geometry.length(options.context))
    coarse = score_sites(sites, score, options, "scan" if progress else None)
    near = _near(coarse, region, options)
    close = score_sites(near, score, options, "refine" if progress else None)
    return _joined([coarse, close])


def _no_window(region: Region, length: int) -> UserError:
    return UserError(
        f"{region.name}: no stretch without N is as long as a window of "
        f"{length:,} bp: give larger regions, or less context"
    )


def score_sites(
    sites: Sites, score: WindowScores, options: ScanOptions, progress: str | None = None
) -> ScoredSites:
    """Score the windows of sites in batches; `progress` names the bar, None leaves it out."""
    scores = np.empty(len(sites))
    rows = np.arange(len(sites))
    with tqdm(
        total=len(sites), desc=progress, unit="window", leave=False, disable=progress is None
    ) as bar:
        for start in range(0, len(sites), options.batch):
            batch = rows[start : start + options.batch]
            found = np.asarray(score(sites.take(batch).sequences(options.context)))
            if found.shape != batch.shape:
                raise ValueError(f"{len(batch)} windows got scores of shape {found.shape}")
            scores[batch] = found
            bar.update(len(batch))
    require_finite(scores, "windows")
    return ScoredSites(sites, scores)


def candidates(
    region: Region, geometry: WindowGeometry, stride: int = 1, context: int = 0
) -> Sites:
    """Every `stride`-th place of both strands whose window lies in one stretch of a region.

    On either strand they are counted from a stretch's end upstream.
    """
    length = geometry.length(context)
    counts = np.maximum(region.stretches[:, 1] - region.stretches[:, 0] - length + 1, 0)
    chosen = -(-counts // stride)
    within = np.arange(chosen.sum()) - np.repeat(np.cumsum(chosen) - chosen, chosen)
    first = np.repeat(region.stretches[:, 0], chosen) + stride * within
    last = np.repeat(region.stretches[:, 1] - length, chosen) - stride * within
    places = np.concatenate([first + geometry.before, last + geometry.after]) + context
    return Sites(region.genome, places, np.repeat([False, True], len(first)), geometry)


def inside(region: Region, sites: Sites, context: int = 0) -> Sites:
    """The sites whose window lies in one stretch of a region: those that a scan can find."""
    return sites.take(holds(region, sites.starts(context), sites.geometry.length(context)))


def _near(coarse: ScoredSites, region: Region, options: ScanOptions) -> Sites:
    """The places less than a stride from promising ones that have no score yet."""
    count = int(np.ceil(options.refine * len(coarse)))
    if options.refine_from is not None:
        lowest = options.refine_from
    else:
        lowest = np.sort(coarse.scores)[-count] if count else np.inf
    chosen = coarse.sites.take(coarse.scores >= lowest)
    offsets = np.arange(1 - options.stride, options.stride)
    keys = 2 * (chosen.places[:, None] + offsets) + chosen.reverse[:, None]
    keys = np.setdiff1d(keys, 2 * coarse.sites.places + coarse.sites.reverse)
    near = Sites(region.genome, keys // 2, keys % 2 == 1, options.geometry)
    return inside(region, near, options.context)


def scan_every_place(
    region: Region, score: PlaceScores, geometry: WindowGeometry, context: int = 0
) -> ScoredSites:
    """Score every place of both strands whose window lies in one stretch of a region.

    Arguments:
        score: such as `PositionWeights.scan`. It gets a window and more at a time.
        geometry: of the windows that must fit in.
        context: letters more at each side of them.

    Raises:
        UserError: no window fits in, or scores that are not finite.
    """
    parts = [
        ScoredSites(
            Sites(region.genome, places, np.full(len(places), reverse), geometry),
            np.asarray(score(letters, reverse), np.float64)[places - begin],
        )
        for begin, letters in _pieces(region, geometry.length(context))
        for reverse in (False, True)
        for places in [_places(begin, len(letters), reverse, geometry, context)]
    ]
    if not parts:
        raise _no_window(region, geometry.length(context))
    scored = _joined(parts)
    require_finite(scored.scores, "places")
    return scored


def _pieces(region: Region, window: int) -> Iterator[tuple[int, np.ndarray]]:
    """First place and letters of pieces of the stretches; every window is in exactly one."""
    for start, end in region.stretches.tolist():
        for begin in range(start, end - window + 1, _PLACES_AT_ONCE):
            behind = min(begin + _PLACES_AT_ONCE + window - 1, end)
            yield begin, np.array(region.genome.letters[begin:behind])
            release(region.genome.letters)


def _places(
    begin: int, letters: int, reverse: bool, geometry: WindowGeometry, context: int
) -> np.ndarray:
    """Places of the sites whose windows lie in a piece."""
    starts = begin + np.arange(letters - geometry.length(context) + 1)
    return starts + context + int(geometry.lead(np.bool_(reverse)))


def _joined(parts: list[ScoredSites]) -> ScoredSites:
    sites = Sites(
        parts[0].sites.genome,
        np.concatenate([part.sites.places for part in parts]),
        np.concatenate([part.sites.reverse for part in parts]),
        parts[0].sites.geometry,
    )
    return ScoredSites(sites, np.concatenate([part.scores for part in parts]))
