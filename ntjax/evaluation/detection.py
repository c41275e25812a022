"""How good a genome scan is: precision, recall and hits per Mb, with bootstrap intervals.

Precision is a lower bound: a true start site (TSS) that nobody has mapped counts as a false call.
The intervals come from drawing blocks of the genome anew, as neighbouring sites are not
independent: they share operons, and in a scan each other's windows.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from ntjax.errors import UserError
from ntjax.genomes.regions import holds
from ntjax.genomes.scored_sites import MatchedSites
from ntjax.genomes.windows import Region
from ntjax.metrics.bootstrap import (
    bootstrap_p_value,
    estimate,
    multiplicities,
    percentile_interval,
)
from ntjax.metrics.ranking import ratio


@dataclass(frozen=True)
class BlockBootstrap:
    """How intervals are made.

    Attributes:
        block_letters: size of the blocks that are drawn; each contig is cut into them.
        resamples: 0 leaves the intervals None.
        seed: of the draws.
        confidence: coverage of the intervals.
    """

    block_letters: int = 50_000
    resamples: int = 1000
    seed: int = 0
    confidence: float = 0.95


@dataclass(frozen=True, eq=False)
class ScanCurve:
    """Precision and recall by threshold, at every score at which a known site is found.

    Between two of these scores recall stays and precision falls.

    Attributes:
        thresholds: float64 [points], falling; a site with that score or more is called.
        called: int64 [points], calls.
        found: int64 [points], known sites found.
        precision: float64 [points].
        recall: float64 [points].
        precision_interval: float64 [points, 2], ends of the interval at that threshold, NaN where
            there is none.
        recall_interval: likewise.
    """

    thresholds: NDArray[np.float64]
    called: NDArray[np.int64]
    found: NDArray[np.int64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    precision_interval: NDArray[np.float64]
    recall_interval: NDArray[np.float64]

    def best_threshold(self) -> float:
        """That with the highest F1. Choose it in other regions than it is reported for.

        Raises:
            UserError: no known site was found.
        """
        if not len(self.thresholds):
            raise UserError("no call lies near a known start site: there is no threshold to choose")
        f1 = 2 * self.precision * self.recall / (self.precision + self.recall)
        return float(self.thresholds[np.argmax(f1)])


def scan_metrics(
    matched: MatchedSites,
    region: Region,
    threshold: float,
    bootstrap: BlockBootstrap = BlockBootstrap(),
) -> dict[str, Any]:
    """Average precision, and what is found with a threshold.

    Arguments:
        matched: calls and known sites of the region.
        region: what was scanned, both strands of it.
        threshold: a site with that score or more is called.

    Returns:
        `{"average_precision": {"value": …, "low": …, "high": …}, "precision": …, "recall": …,
        "hits_per_mb": …}` and, as numbers, `threshold`, `called`, `found`, `known`, `letters`.
        `average_precision` is Σ (R_i − R_(i−1)) P_i over falling scores, as for the rows of a
        classifier, with the recall R of all known sites: those that no call finds count. Hits per
        Mb are calls, right or wrong, on both strands of a million letters. None where undefined.

    Raises:
        ValueError: a site outside the region.
    """
    counts = _BlockCounts.of(matched, region, bootstrap.block_letters)
    at = counts.from_scores(np.array([threshold]))
    whole, drawn = (
        {
            "average_precision": counts.average_precision(weights),
            "precision": ratio(at.found @ weights, at.called @ weights)[0],
            "recall": counts.recall(at.found @ weights, weights)[0],
            "hits_per_mb": 1e6 * (at.called @ weights)[0] / (counts.letters @ weights),
        }
        for weights in (counts.once, counts.drawn(bootstrap))
    )
    return {
        **{name: estimate(whole[name][0], drawn[name], bootstrap.confidence) for name in whole},
        "threshold": threshold,
        "called": int(at.called.sum()),
        "found": int(at.found.sum()),
        "known": int(counts.known.sum()),
        "letters": int(counts.letters.sum()),
    }


def scan_curve(
    matched: MatchedSites, region: Region, bootstrap: BlockBootstrap = BlockBootstrap()
) -> ScanCurve:
    """The precision-recall curve; arguments and errors as of `scan_metrics`."""
    counts = _BlockCounts.of(matched, region, bootstrap.block_letters)
    thresholds = counts.finding_scores
    at, weights = counts.from_scores(thresholds), counts.drawn(bootstrap)
    found, called = (of.sum(axis=1).astype(np.int64) for of in at)
    bands = (
        ratio(at.found @ weights, at.called @ weights),
        counts.recall(at.found @ weights, weights),
    )
    return ScanCurve(
        thresholds,
        called,
        found,
        found / called,
        counts.recall(found[:, None], counts.once)[:, 0],
        *(_bands(values, bootstrap.confidence) for values in bands),
    )


def average_precision_difference(
    first: MatchedSites,
    second: MatchedSites,
    region: Region,
    bootstrap: BlockBootstrap = BlockBootstrap(),
) -> dict[str, float | None]:
    """How much better the first of two scans of a region ranks, on the same drawn blocks.

    Returns:
        `value`, `low`, `high` and the two-sided `p` of the difference of average precisions.

    Raises:
        ValueError: as `scan_metrics`.
    """
    ours, theirs = (
        _BlockCounts.of(matched, region, bootstrap.block_letters) for matched in (first, second)
    )
    value, drawn = (
        ours.average_precision(weights) - theirs.average_precision(weights)
        for weights in (ours.once, ours.drawn(bootstrap))
    )
    return estimate(value[0], drawn, bootstrap.confidence) | {"p": bootstrap_p_value(drawn)}


class _FromScores(NamedTuple):
    """Known sites found by calls of some scores or more, and those calls, [points, blocks]."""

    found: np.ndarray
    called: np.ndarray


@dataclass(frozen=True, eq=False)
class _BlockCounts:
    """What lies in each block of the genome: every metric is a few sums over the drawn blocks.

    A call that found a site counts in the block of the site, though it may lie in the next one.

    Attributes:
        letters: int64 [blocks], of the region; above 0.
        known: int64 [blocks], known sites.
        scores: float64 [calls].
        finds: bool [calls], whether it found a site.
        block: int64 [calls], where it counts.
    """

    letters: np.ndarray
    known: np.ndarray
    scores: np.ndarray
    finds: np.ndarray
    block: np.ndarray

    @classmethod
    def of(cls, matched: MatchedSites, region: Region, block_letters: int) -> Self:
        """Sort calls and known sites into blocks."""
        sites, known, partner = matched.called.sites, matched.known, matched.partner
        if not all(holds(region, places, 1).all() for places in (sites.places, known.places)):
            raise ValueError(f"{region.name}: calls or known sites lie outside the scanned region")
        starts = _block_starts(region, block_letters)
        letters = np.diff(_letters_before(region, starts))
        used = np.flatnonzero(letters)
        finds, places = partner >= 0, sites.places.copy()
        places[finds] = known.places[partner[finds]]
        of_known, of_call = (
            np.searchsorted(used, np.searchsorted(starts, at, side="right") - 1)
            for at in (known.places, places)
        )
        counts = np.bincount(of_known, minlength=len(used))
        return cls(letters[used], counts, matched.called.scores, finds, of_call)

    @property
    def once(self) -> np.ndarray:
        """Weights [blocks, 1] with which every block counts once."""
        return np.ones((len(self.letters), 1))

    def drawn(self, bootstrap: BlockBootstrap) -> np.ndarray:
        """How often each block was drawn, [blocks, resamples]; of a single one nothing is drawn."""
        blocks = len(self.letters)
        resamples = bootstrap.resamples if blocks > 1 else 0
        chunks = multiplicities(None, blocks, resamples, np.random.default_rng(bootstrap.seed))
        return np.concatenate([np.empty((0, blocks)), *chunks]).T

    @property
    def finding_scores(self) -> np.ndarray:
        """Distinct scores of the calls that found a site, falling, [points]."""
        return np.unique(self.scores[self.finds])[::-1]

    def from_scores(self, scores: np.ndarray) -> _FromScores:
        """Counts of the calls with each of these scores [points] or more."""
        return _FromScores(*(self._from_scores(scores, rows) for rows in (self.finds, slice(None))))

    def _from_scores(self, scores: np.ndarray, rows: Any) -> np.ndarray:
        """Of some of the calls only, float64 [points, blocks]."""
        block, own = self.block[rows], self.scores[rows]
        order = np.lexsort((own, block))
        ends = np.searchsorted(block[order], np.arange(len(self.letters)), side="right")
        sorted_scores = np.split(own[order], ends[:-1])
        return np.stack(
            [float(len(of)) - np.searchsorted(of, scores) for of in sorted_scores], axis=1
        )

    def recall(self, found: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Found sites [points, resamples] as a share of those known, [points, resamples]."""
        return ratio(found, np.broadcast_to(self.known @ weights, found.shape))

    def average_precision(self, weights: np.ndarray) -> np.ndarray:
        """With blocks drawn as often as weights [blocks, resamples] say, [resamples]."""
        at = self.from_scores(self.finding_scores)
        found, called = at.found @ weights, at.called @ weights
        # Where nothing is called nothing is gained.
        precision = found / np.maximum(called, 1)
        gained = np.diff(found, axis=0, prepend=0.0)
        return ratio((gained * precision).sum(axis=0), self.known @ weights)


def _block_starts(region: Region, block_letters: int) -> np.ndarray:
    """First places of the blocks of all contigs, and the genome's end, int64 [blocks + 1]."""
    contigs = region.genome.contigs
    starts = [np.arange(contig.start, contig.end, block_letters) for contig in contigs]
    return np.concatenate([*starts, [contigs[-1].end]])


def _letters_before(region: Region, places: np.ndarray) -> np.ndarray:
    """How many of a region's letters lie before each place, int64 [places]."""
    sizes = region.stretches[:, 1] - region.stretches[:, 0]
    behind = np.cumsum(sizes)
    stretch = np.searchsorted(region.stretches[:, 0], places, side="right") - 1
    within = np.minimum(places - region.stretches[stretch, 0], sizes[stretch])
    return np.where(stretch >= 0, (behind - sizes)[stretch] + within, 0)


def _bands(values: np.ndarray, confidence: float) -> np.ndarray:
    """Interval ends [points, 2] of resampled values [points, resamples]."""
    ends = [percentile_interval(row, confidence) for row in values]
    return np.array(ends, np.float64).reshape(-1, 2)
