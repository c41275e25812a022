"""What scores of variants tell: categories against matched substitutions, labels, rare or common.

Directions are fixed beforehand: lower cosine similarity, larger distances and a lower likelihood
ratio mean a larger effect. No area is turned round afterwards.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ntjax.errors import UserError
from ntjax.metrics.bootstrap import resampled
from ntjax.metrics.least_counts import LEAST, as_estimate
from ntjax.metrics.paired import difference, mean_difference, too_few_for_a_difference
from ntjax.metrics.ranking import Ranking
from ntjax.metrics.ranking_intervals import auroc_interval

SEVERITY = {
    "cosine_similarity": -1.0,
    "l1": 1.0,
    "l2": 1.0,
    "local_cosine_similarity": -1.0,
    "local_l1": 1.0,
    "local_l2": 1.0,
    "log_likelihood_ratio": -1.0,
}
"""The sign that makes a score larger for a larger effect; the dot product has none."""

LEAST_OF_A_CATEGORY = 10
"""Variants of a category below which nothing is tested."""

_POWER = norm.ppf(0.975) + norm.ppf(0.8)


def against_matched(
    scores: np.ndarray, matched: np.ndarray, blocks: np.ndarray, *, seed: int = 0
) -> dict[str, Any]:
    """Compare a category's scores with those of matched substitutions, pair by pair.

    Arguments:
        scores: severity of the variants, float64 [n].
        matched: of the substitution drawn for each, [n].
        blocks: [n], variants that are drawn together.
        seed: of the bootstrap.

    Returns:
        The mean difference in standard deviations of the matched ones' scores, with `low`, `high`
        and `p`; `larger`: share of pairs in which the variant's is the larger; `n`, `groups`.
    """
    usable = np.isfinite(scores) & np.isfinite(matched)
    gaps, blocks = (scores - matched)[usable], blocks[usable]
    if len(gaps) < LEAST_OF_A_CATEGORY:
        reason = f"it needs {LEAST_OF_A_CATEGORY} variants and there are {len(gaps)}"
        nothing = {"value": None, "low": None, "high": None, "p": None, "interval": reason}
        counts = {"n": len(gaps), "groups": len(np.unique(blocks))}
        return nothing | {"larger": None} | counts
    found = mean_difference(gaps / (matched[usable].std() or 1.0), blocks, seed=seed)
    return found | {"larger": float((gaps > 0).mean() + (gaps == 0).mean() / 2)}


def separation(labels: np.ndarray, scores: np.ndarray, groups: np.ndarray) -> dict[str, Any]:
    """Compute the area under the ROC curve of severities, with an interval over groups.

    Arguments:
        labels: int [n], 1 or 0.
        scores: severity, larger for a larger effect, float64 [n].
        groups: int [n] from 0, such as blocks of the chromosome.
    """
    usable = np.isfinite(scores)
    labels, scores = labels[usable] == 1, scores[usable]
    groups = np.unique(groups[usable], return_inverse=True)[1]
    found = auroc_interval(labels[:, None], scores[:, None], groups, 0.95)
    grouped = groups.max(initial=-1) + 1 < len(labels)
    counts = {"n": len(labels), "groups": len(np.unique(groups))}
    return as_estimate(found, LEAST["auroc"], grouped=grouped) | counts


def two_sided_separation(
    labels: np.ndarray, scores: np.ndarray, groups: np.ndarray, *, seed: int = 0
) -> dict[str, Any]:
    """Find a score's sign on half of the groups, and its area on the other half.

    For a score without a direction of its own, such as the dot product.

    Raises:
        UserError: there are fewer than two groups.
    """
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    if len(names) < 2:
        raise UserError("the sign is found on half of the groups: there is only one")
    first = np.isin(groups, names[: len(names) // 2]) & np.isfinite(scores)
    positive, negative = (scores[first & (labels == label)] for label in (1, 0))
    sign = 1.0 if not len(positive) or not len(negative) else _sign(positive, negative)
    rest = ~np.isin(groups, names[: len(names) // 2])
    return separation(labels[rest], sign * scores[rest], groups[rest]) | {"sign": sign}


def _sign(positive: np.ndarray, negative: np.ndarray) -> float:
    return 1.0 if np.median(positive) >= np.median(negative) else -1.0


def gain_over_baseline(
    labels: np.ndarray,
    baseline: np.ndarray,
    scores: Mapping[str, np.ndarray],
    folds: np.ndarray,
    groups: np.ndarray,
    *,
    splits: int = 5,
    resamples: int = 5000,
    seed: int = 0,
) -> dict[str, Any]:
    """Ask what scores add to what is known without a model, in predicting a label.

    Logistic regression on the baseline's columns, with and without each score, predicts blocks
    that it was not fitted on.

    Arguments:
        labels: int [n], 1 or 0.
        baseline: float64 [n, columns], such as one-hot classes of substitution and GC.
        scores: by name, float64 [n].
        folds: int [n], long blocks that stay in one fold.
        groups: int [n], blocks that the bootstrap draws together.
        splits: number of folds.
        resamples: of blocks; few of them set a lowest p-value that no correction survives.
        seed: of the bootstrap.

    Returns:
        `baseline`: its area under the ROC curve with interval; by score `gain`: with `low`, `high`,
        `p`, and `detectable`: the gain that four of five such samples would show at 5%.

    Raises:
        UserError: fewer blocks than folds.
    """
    if len(np.unique(folds)) < splits:
        raise UserError(f"{len(np.unique(folds))} blocks are fewer than {splits} folds")
    usable = np.all([np.isfinite(values) for values in scores.values()], axis=0)
    labels, baseline, folds, groups = (a[usable] for a in (labels, baseline, folds, groups))
    groups = np.unique(groups, return_inverse=True)[1]
    parts = list(GroupKFold(splits).split(labels, labels, folds))
    alone = _predicted(baseline, labels, parts)
    found: dict[str, Any] = {
        "baseline": separation(labels, alone, groups),
        "gain": {},
        "n": len(labels),
        "groups": len(np.unique(groups)),
    }
    reason = too_few_for_a_difference([labels == 1, labels == 0], groups)
    for name, values in scores.items():
        both = _predicted(np.column_stack([baseline, values[usable]]), labels, parts)
        found["gain"][name] = _gain(labels, alone, both, groups, reason, resamples, seed)
    return found


def _predicted(features: np.ndarray, labels: np.ndarray, parts: Sequence[Any]) -> np.ndarray:
    """Logits of rows that were not fitted on, standardised fold by fold: [n]."""
    logits = np.empty(len(labels))
    for fit, held in parts:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2_000))
        logits[held] = model.fit(features[fit], labels[fit]).decision_function(features[held])
    return logits


def _gain(
    labels: np.ndarray,
    alone: np.ndarray,
    both: np.ndarray,
    groups: np.ndarray,
    reason: str,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    without, with_score = (Ranking.of(labels == 1, logits) for logits in (alone, both))

    def areas(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return {"gain": with_score.areas(weights)[0] - without.areas(weights)[0]}

    value = float(areas(np.ones((1, len(labels))))["gain"][0])
    drawn = resampled(areas, len(labels), resamples=resamples, seed=seed, groups=groups)["gain"]
    found = difference(value, drawn, reason)
    return found | {"detectable": float(_POWER * drawn.std()) if len(drawn) else None}
