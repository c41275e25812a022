"""Controls for labelled variants, alike in what tells positives from others without any model.

Variants that act on expression lie near transcription start sites, are common enough to be found,
and have the neighbours that mutate. A score that knows nothing but the distance to a start site
would seem to find them. Each positive gets controls of the same trinucleotide and alternative base,
with similar distance and frequency, not within 1 kb of a positive.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ntjax.errors import UserError
from ntjax.metrics.bootstrap import numbered_groups


@dataclass(frozen=True)
class Candidates:
    """Variants, positives and those that controls are drawn from.

    Attributes:
        positive: bool [n].
        contig: [n], of any sortable kind.
        position: int64 [n], from 1.
        distance: float64 [n], to the nearest transcription start site, in bp, 0 or more.
        frequency: float64 [n], of the rarer allele.
        category: int64 [n], such as `substitution_class`.
    """

    positive: np.ndarray
    contig: np.ndarray
    position: np.ndarray
    distance: np.ndarray
    frequency: np.ndarray
    category: np.ndarray


@dataclass(frozen=True)
class Matching:
    """What controls have in common with their positive.

    Attributes:
        controls: of each positive.
        log_distance: largest difference of log10(1 + distance).
        frequency: largest difference of frequencies, as a share of the positive's.
        apart: bp between a control and any positive, at least.
        seed: of the draw.
    """

    controls: int = 1
    log_distance: float = 0.1
    frequency: float = 0.2
    apart: int = 1_000
    seed: int = 0


@dataclass(frozen=True)
class Matched:
    """Positives with their controls.

    Attributes:
        positives: int64 [matched], rows.
        controls: int64 [matched, k], rows of each one's controls; none is used twice.
        unmatched: int64 [others], positives with too few candidates, left out.
    """

    positives: np.ndarray
    controls: np.ndarray
    unmatched: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """All rows, the positives first."""
        return np.concatenate([self.positives, self.controls.reshape(-1)])

    @property
    def labels(self) -> np.ndarray:
        """1 for a positive, 0 for a control, as `rows`."""
        return np.repeat([1, 0], [len(self.positives), self.controls.size])


def match_controls(candidates: Candidates, how: Matching | None = None) -> Matched:
    """Draw controls for each positive, the positives in random order.

    Raises:
        UserError: no positive has as many candidates as it needs.
    """
    how = how or Matching()
    random = np.random.default_rng(how.seed)
    log_distance = np.log10(1 + candidates.distance)
    free = ~candidates.positive & ~_near_positives(candidates, how.apart)
    matched, controls, unmatched = [], [], []
    for row in random.permutation(np.flatnonzero(candidates.positive)):
        similar = (
            free
            & (candidates.category == candidates.category[row])
            & (np.abs(log_distance - log_distance[row]) <= how.log_distance)
            & (
                np.abs(candidates.frequency - candidates.frequency[row])
                <= how.frequency * candidates.frequency[row]
            )
        )
        found = np.flatnonzero(similar)
        if len(found) < how.controls:
            unmatched.append(row)
            continue
        own = random.choice(found, how.controls, replace=False)
        free[own] = False
        matched.append(row)
        controls.append(own)
    if not matched:
        raise UserError(
            f"no positive variant has {how.controls} candidates of the same trinucleotide and "
            "alternative base, with similar distance and frequency: give more candidates, fewer "
            "controls, or wider limits"
        )
    order = np.argsort(matched)
    left = np.sort(np.array(unmatched, np.int64))
    return Matched(np.array(matched)[order], np.array(controls)[order], left)


def _near_positives(candidates: Candidates, apart: int) -> np.ndarray:
    near = np.zeros(len(candidates.position), bool)
    for contig in np.unique(candidates.contig):
        own = np.flatnonzero(candidates.contig == contig)
        of_positives = np.sort(candidates.position[own][candidates.positive[own]])
        if len(of_positives):
            at = np.searchsorted(of_positives, candidates.position[own])
            before = of_positives[np.maximum(at - 1, 0)]
            behind = of_positives[np.minimum(at, len(of_positives) - 1)]
            gap = np.minimum(
                np.abs(candidates.position[own] - before), np.abs(candidates.position[own] - behind)
            )
            near[own] = gap < apart
    return near


def balance(candidates: Candidates, matched: Matched) -> list[dict[str, Any]]:
    """Compare all positives with all candidates, and matched positives with their controls.

    Returns:
        For distance (as log10) and frequency: means of matched `positives`, of `candidates` and
        `controls`, and the standardised difference from each, `before` and `after` matching. An
        absolute value below 0.1 is usually called balanced (Austin 2011).
    """
    columns = {
        "log10 distance to a start site": np.log10(1 + candidates.distance),
        "frequency": candidates.frequency,
    }
    table = []
    for name, values in columns.items():
        positives, others = values[matched.positives], values[~candidates.positive]
        every = values[candidates.positive]
        controls = values[matched.controls.reshape(-1)]
        spread = np.sqrt((positives.var() + others.var()) / 2) or 1.0
        table.append(
            {
                "name": name,
                "positives": float(positives.mean()),
                "candidates": float(others.mean()),
                "controls": float(controls.mean()),
                "before": float((every.mean() - others.mean()) / spread),
                "after": float((positives.mean() - controls.mean()) / spread),
            }
        )
    return table


def blocks(candidates: Candidates, length: int = 50_000) -> np.ndarray:
    """Number the blocks of contigs that variants lie in: int64 [n]."""
    names = [
        f"{c}:{p // length}" for c, p in zip(candidates.contig, candidates.position, strict=True)
    ]
    return numbered_groups(len(names), names)
