"""How many hits of a scan a model expects, at a prior, against how many there are."""

from typing import Any

import numpy as np
from scipy.special import expit

from experiments.promoters.sections.scan_methods import BLOCK_LETTERS, OPTIONS, Scanned
from ntjax.calibration.prior_shift import log_odds_at_prior
from ntjax.calibration.scaling import PlattScaling
from ntjax.evaluation.genome_scan import candidates
from ntjax.genomes.scored_sites import TOLERANCE, ScoredSites, strand_places
from ntjax.metrics.bootstrap import multiplicities, percentile_interval
from ntjax.metrics.ranking import ratio

AS_CALIBRATED, AT_DENSITY, ON_CALLS = (
    "Platt, as fitted on the rows",
    "shifted to the density of known sites",
    "Platt, fitted on the validation blocks' calls",
)
_RANKS = 60
_RESAMPLES = 1000


def expected_hits(
    test: Scanned,
    validation: Scanned,
    platt: PlattScaling,
    fitted_prior: float,
    density: float,
    threshold: float,
) -> dict[str, Any]:
    """Expected and true numbers of start sites and of finds, by kind of probability.

    Arguments:
        test: scanned with `OPTIONS`, so that the coarse places come first.
        validation: other blocks.
        platt: of the scores; `fitted_prior` is that of its rows.
        density: known sites for each place of a strand, outside the region.
        threshold: a call with that score or more is a hit.

    Returns:
        Of each kind of probability `sites`, how many start sites it expects in the region (None
        of the last, which is about calls), `hits`, how many finds among those called, `ratio`,
        finds for each that was expected, with its interval, and `curve`, finds expected among the
        first so many calls. `ranks` are these numbers, `found` the true ones.
    """
    scored, matched = test.scored, test.matched
    logits = platt.slope * scored.scores + platt.intercept
    chances = {
        AS_CALIBRATED: expit(logits),
        AT_DENSITY: expit(log_odds_at_prior(logits, fitted_prior, density)),
    }
    of_calls = {
        name: np.minimum(sums_near(scored, matched.called, values), 1)
        for name, values in chances.items()
    }
    calls = validation.matched
    refitted = PlattScaling.fit(calls.called.scores, calls.partner >= 0)
    of_calls[ON_CALLS] = refitted.apply(matched.called.scores)
    coarse = len(candidates(test.region, OPTIONS.geometry, OPTIONS.stride))
    finds, hit = matched.partner >= 0, matched.called.scores >= threshold
    blocks = matched.called.sites.places // BLOCK_LETTERS
    ranks = np.unique(np.geomspace(1, len(finds), _RANKS).round().astype(int))
    return {
        "kinds": {
            name: {
                "sites": OPTIONS.stride * float(chances[name][:coarse].sum())
                if name in chances
                else None,
                "hits": float(values[hit].sum()),
                "ratio": _ratio(finds[hit], values[hit], blocks[hit]),
                "curve": np.cumsum(values)[ranks - 1].round(2).tolist(),
            }
            for name, values in of_calls.items()
        },
        "ranks": ranks.tolist(),
        "found": np.cumsum(finds)[ranks - 1].tolist(),
    }


def sums_near(scored: ScoredSites, calls: ScoredSites, values: np.ndarray) -> np.ndarray:
    """Sums [calls] of the values [scored] of places within the tolerance of each call."""
    keys = strand_places(scored.sites, TOLERANCE)
    along = np.argsort(keys)
    before = np.concatenate([[0.0], np.cumsum(values[along])])
    call_keys = strand_places(calls.sites, TOLERANCE)
    low, high = (
        np.searchsorted(keys[along], call_keys + offset, side=side)
        for offset, side in ((-TOLERANCE, "left"), (TOLERANCE, "right"))
    )
    return before[high] - before[low]


def _ratio(finds: np.ndarray, expected: np.ndarray, blocks: np.ndarray) -> dict[str, Any]:
    """Finds for each expected one, with the interval of blocks drawn anew."""
    if not len(finds):
        return {"value": None, "low": None, "high": None}
    names, member = np.unique(blocks, return_inverse=True)
    sums = np.stack([np.bincount(member, of) for of in (finds, expected)])
    random = np.random.default_rng(0)
    chunks = multiplicities(None, len(names), _RESAMPLES if len(names) > 1 else 0, random)
    drawn = np.concatenate([np.empty((0, len(names))), *chunks])
    low, high = percentile_interval(ratio(*(drawn @ of for of in sums)), 0.95)
    whole = sums.sum(axis=1)
    return {"value": float(whole[0] / whole[1]), "low": low, "high": high}
