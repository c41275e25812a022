"""Calls of a scan: windows at or above a threshold, the best of neighbours, as a stream.

Windows of a strand whose sites are nearer than the merge distance to each other compete: by falling
score each leaves out those that are near it (`ntjax.genomes.scored_sites.merged`). Whoever is left
does not depend on windows below the threshold, nor on windows behind a gap as wide as the distance:
so a stream can be cut at such gaps, and memory holds what lies between two of them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from ntjax.evaluation.scan import ScoredWindows
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.scan_grid import ScanGrid
from ntjax.genomes.scored_sites import ScoredSites, merged, strand_places

HIT_THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)
"""Probabilities at which hits per Mb are told."""


@dataclass(frozen=True)
class Calls:
    """Calls, sorted by site, of one position the one on the forward strand first.

    Attributes:
        sites: where they lie.
        logits: float32 [calls].
        probabilities: float64 [calls].
    """

    sites: Sites
    logits: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.logits)

    @classmethod
    def none(cls, grid: ScanGrid) -> Self:
        """No call."""
        nothing = Sites(grid.genome, np.empty(0, np.int64), np.empty(0, bool), grid.geometry)
        return cls(nothing, np.empty(0, np.float32), np.empty(0))

    def take(self, rows: np.ndarray) -> "Calls":
        """Those of the given rows."""
        return Calls(self.sites.take(rows), self.logits[rows], self.probabilities[rows])

    def by_site(self) -> "Calls":
        """In the order of their sites."""
        return self.take(np.lexsort((self.sites.reverse, self.sites.places)))

    def with_others(self, others: "Calls") -> "Calls":
        """Return both, these first."""
        sites = Sites(
            self.sites.genome,
            np.concatenate([self.sites.places, others.sites.places]),
            np.concatenate([self.sites.reverse, others.sites.reverse]),
            self.sites.geometry,
        )
        logits = np.concatenate([self.logits, others.logits])
        return Calls(sites, logits, np.concatenate([self.probabilities, others.probabilities]))


def calls(
    scored: Iterable[ScoredWindows], threshold: float, merge_distance: int
) -> Iterator[Calls]:
    """Return the calls of a scan, in the order of their sites.

    Arguments:
        scored: all windows, in the order of the scan.
        threshold: probability from which a window is a call.
        merge_distance: in bp; of calls on a strand whose sites are nearer to each other the best is
            left. 0 leaves all.
    """
    waiting: Calls | None = None
    ready: Calls | None = None
    for chunk in scored:
        chosen = Calls(*chunk[:3]).take(chunk.probabilities >= threshold)
        waiting = chosen if waiting is None else waiting.with_others(chosen)
        is_settled = _settled(waiting, chunk.next_start, merge_distance)
        settled = _best(waiting.take(is_settled), merge_distance)
        waiting = waiting.take(~is_settled)
        ready = settled if ready is None else ready.with_others(settled)
        first_open = _first_site(chunk, waiting)
        yield ready.take(ready.sites.places < first_open).by_site()
        ready = ready.take(ready.sites.places >= first_open)
    if ready is not None and waiting is not None:
        yield ready.with_others(_best(waiting, merge_distance)).by_site()


def _settled(waiting: Calls, next_start: int, distance: int) -> np.ndarray:
    """Calls behind which, on their strand, a gap as wide as the distance follows, bool [calls]."""
    settled = np.zeros(len(waiting), bool)
    genome, geometry = waiting.sites.genome, waiting.sites.geometry
    at_end = next_start >= len(genome.letters)
    for reverse in (False, True):
        rows = np.flatnonzero(waiting.sites.reverse == reverse)
        if not len(rows):
            continue
        coming = next_start + int(geometry.lead(np.bool_(reverse)))
        last = np.array([min(coming, len(genome.letters) - 1)])
        following = Sites(genome, last, np.array([reverse]), geometry)
        keys = strand_places(waiting.sites.take(rows), distance)
        behind = np.append(keys[1:], strand_places(following, distance))
        gaps = np.flatnonzero(behind - keys >= distance)
        if at_end:
            settled[rows] = True
        elif len(gaps):
            settled[rows[: gaps[-1] + 1]] = True
    return settled


def _first_site(chunk: ScoredWindows, waiting: Calls) -> int:
    """Return the first position at which a call may still appear."""
    geometry = chunk.sites.geometry
    coming = chunk.next_start + min(geometry.before, geometry.after)
    return int(min(waiting.sites.places.min(initial=coming), coming))


def _best(found: Calls, distance: int) -> Calls:
    """Merge calls by their probability; where that is the same, as near 1, by their logit."""
    if not len(found) or not distance:
        return found
    ranks = np.stack([found.probabilities, found.logits.astype(np.float64)], axis=1)
    _, scores = np.unique(ranks, axis=0, return_inverse=True)
    rows = np.arange(len(found))
    best = merged(ScoredSites(found.sites, scores.reshape(-1).astype(np.float64)), distance)
    keys = 2 * found.sites.places + found.sites.reverse
    kept = np.isin(keys, 2 * best.sites.places + best.sites.reverse)
    return found.take(rows[kept])


def threshold_of_top(
    scored: Iterable[ScoredWindows], top: int, merge_distance: int, stride: int
) -> float:
    """Return a threshold at which at least `top` calls are left after merging, if there are any.

    A call leaves out no more than the windows nearer to it than the distance, so that among so many
    times `top` windows as lie there `top` calls are left.

    Returns:
        A probability; 0 where there are too few windows to leave any out.
    """
    neighbours = max(0, -(-merge_distance // stride) - 1)
    wanted = top * (2 * neighbours + 1)
    best = np.empty(0)
    for chunk in scored:
        best = np.concatenate([best, chunk.probabilities])
        if len(best) > wanted:
            best = np.partition(best, len(best) - wanted)[-wanted:]
    return float(best.min()) if len(best) == wanted else 0.0


def best_calls(found: Iterable[Calls], top: int) -> Calls | None:
    """Return the best so many calls, in the order of their sites; None if there is no window.

    Of calls of one probability and logit those first in the genome are kept.
    """
    best: Calls | None = None
    for batch in found:
        best = batch if best is None else best.with_others(batch)
        reverse = best.sites.reverse
        order = np.lexsort((reverse, best.sites.places, -best.logits, -best.probabilities))
        best = best.take(order[:top])
    return None if best is None else best.by_site()


class HitCounts(NamedTuple):
    """How many windows, and calls, there are by threshold.

    Attributes:
        thresholds: rising.
        windows: int64 [thresholds], before merging.
        calls: int64 [thresholds], after it.
        highest: float64 [1], the highest probability so far.
    """

    thresholds: tuple[float, ...]
    windows: np.ndarray
    calls: np.ndarray
    highest: np.ndarray

    @classmethod
    def at(cls, thresholds: Iterable[float]) -> Self:
        """Nothing counted so far."""
        rising = tuple(sorted(thresholds))
        return cls(rising, *np.zeros((2, len(rising)), np.int64), np.zeros(1))

    def counting_windows(self, scored: Iterable[ScoredWindows]) -> Iterator[ScoredWindows]:
        """Pass a stream on, and count it."""
        for chunk in scored:
            self.windows[:] += _at_least(chunk.probabilities, self.thresholds)
            self.highest[:] = max(self.highest[0], chunk.probabilities.max(initial=0))
            yield chunk

    def counting_calls(self, found: Iterable[Calls]) -> Iterator[Calls]:
        """Pass a stream on, and count it; it holds the calls of the lowest threshold."""
        for batch in found:
            self.calls[:] += _at_least(batch.probabilities, self.thresholds)
            yield batch


def _at_least(probabilities: np.ndarray, thresholds: Sequence[float]) -> np.ndarray:
    return (probabilities[:, None] >= np.array(thresholds)).sum(axis=0)
