"""Sites of a genome with scores: the best of neighbours, and which known sites they find."""

from dataclasses import dataclass

import numpy as np

from ntjax.genomes.promoter_windows import Sites

TOLERANCE = 10
"""How far a call may lie from the TSS that it finds, in letters."""


@dataclass(frozen=True)
class ScoredSites:
    """Places on the strands of a genome that may be start sites.

    Attributes:
        sites: no place twice on a strand.
        scores: float64 [sites].
    """

    sites: Sites
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: np.ndarray) -> "ScoredSites":
        """Those of the given rows."""
        return ScoredSites(self.sites.take(rows), self.scores[rows])

    def order(self) -> np.ndarray:
        """Rows by falling score; of equal ones on a strand the one upstream first."""
        downstream = np.where(self.sites.reverse, -self.sites.places, self.sites.places)
        return np.lexsort((downstream, -self.scores))


@dataclass(frozen=True)
class MatchedSites:
    """Calls and the known start sites that they found.

    Attributes:
        called: what a scan found, `merged`.
        known: the start sites, each once.
        partner: int64 [called], which known site each call found; −1 for none.
    """

    called: ScoredSites
    known: Sites
    partner: np.ndarray


def merged(scored: ScoredSites, distance: int) -> ScoredSites:
    """Of sites nearer than `distance` to each other on a strand, the best.

    Non-maximum suppression: by falling score each site takes the place of all that are nearer to
    it and still there. What is left on a strand is `distance` or more apart.

    Returns:
        By falling score.
    """
    keys = strand_places(scored.sites, distance)
    order = scored.order()
    along = np.argsort(keys)
    rank = np.empty_like(along)
    rank[along] = np.arange(len(along))
    keys = keys[along]
    low = np.searchsorted(keys, keys - distance, side="right")
    high = np.searchsorted(keys, keys + distance, side="left")
    free, kept = np.ones(len(keys), bool), []
    for place in rank[order]:
        if free[place]:
            kept.append(place)
            free[low[place] : high[place]] = False
    return scored.take(along[np.array(kept, np.int64)])


def strand_places(sites: Sites, distance: int) -> np.ndarray:
    """Places on one line for all strands of all contigs, which are further apart than `distance`.

    Returns:
        int64 [sites]: differences are those of the places for sites of one strand.
    """
    strand = 2 * sites.genome.contig_numbers(sites.places) + sites.reverse
    return sites.places + strand * (len(sites.genome.letters) + distance + 1)


def match(called: ScoredSites, known: Sites, tolerance: int = TOLERANCE) -> MatchedSites:
    """Match calls one to one with known start sites of the same strand.

    Greedily: by falling score each call takes the nearest site within the tolerance that is still
    free, of two at equal distance the one upstream. So a threshold changes nothing about the calls
    above it, which average precision supposes, and the second call at a site is false. Where no
    two calls, or no two known sites, lie within twice the tolerance of each other on a strand, no
    matching finds more. Of known sites nearer to each other than merged calls can be, one is found.

    Arguments:
        called: as `merged` leaves them.
        known: start sites of the same genome that the scan could find, see `genome_scan.inside`.
        tolerance: letters.

    Raises:
        ValueError: a known site is given twice.
    """
    keys = strand_places(known, tolerance)
    along = np.argsort(keys)
    keys = keys[along]
    if (np.diff(keys) == 0).any():
        raise ValueError("a known start site is given twice: give each place and strand once")
    call_keys = strand_places(called.sites, tolerance)
    low = np.searchsorted(keys, call_keys - tolerance, side="left")
    high = np.searchsorted(keys, call_keys + tolerance, side="right")
    free, partner = np.ones(len(keys), bool), np.full(len(called), -1, np.int64)
    order = called.order()
    for row in order[low[order] < high[order]]:
        near = low[row] + np.flatnonzero(free[low[row] : high[row]])
        if len(near):
            downstream = (keys[near] - call_keys[row]) * (-1 if called.sites.reverse[row] else 1)
            chosen = near[np.lexsort((downstream, np.abs(downstream)))[0]]
            free[chosen], partner[row] = False, along[chosen]
    return MatchedSites(called, known, partner)


def clustered(matched: MatchedSites, distance: int) -> MatchedSites:
    """The same with crowded known sites as one: each nearer than `distance` to the next.

    Merged calls cannot find all sites of such a cluster; what can be asked is whether any is
    found. Of the calls that found sites of a cluster the best is left: the others are not wrong,
    and find nothing more.

    Returns:
        `known` are the clusters, each at its first site in the genome's direction.
    """
    keys = strand_places(matched.known, distance)
    along = np.argsort(keys)
    first = np.diff(keys[along], prepend=-distance) >= distance
    cluster = np.empty(len(along), np.int64)
    cluster[along] = np.cumsum(first) - 1
    order = matched.called.order()
    partner = matched.partner[order]
    finds = partner >= 0
    partner[finds] = cluster[partner[finds]]
    best = ~finds
    best[np.unique(partner, return_index=True)[1]] = True
    rows = order[best]
    return MatchedSites(matched.called.take(rows), matched.known.take(along[first]), partner[best])
