"""What the folds of a cross-validation show together.

Two protocols. *Pooled*: every row is tested once, each fold by the run that did not see it. The
value is the mean over folds; its interval is Student's with the variance that Nadeau & Bengio
(2003, "Inference for the generalization error", section 3) give for folds: training sets overlap,
so that it is (1/k + 1/(k - 1)) times the variance between folds. *Official*, the Nucleotide
Transformer's: the test rows stay and the folds take turns as validation rows. The value is the mean
over the runs; its interval is a bootstrap that draws groups of test rows anew, the same ones for
all runs, and the standard deviation between runs stands beside it.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ntjax.errors import UserError
from ntjax.evaluation.paired_runs import METRICS, related_rows, scored_run, test_rows_differ
from ntjax.metrics.bootstrap import estimates
from ntjax.metrics.splits import mean_of_splits, mean_over_splits
from ntjax.runs.results import Results

FoldProtocol = Literal["pooled", "official"]
Verdict = Literal["outperforms", "matches", "falls short", "not told apart", "no figure"]
MATCH_WIDTH = 0.02
"""Half the width of an interval, in MCC, that is narrow enough to say that a figure is matched."""


def cross_validated(
    folds: Sequence[Results], protocol: FoldProtocol, *, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Summarise the runs of a cross-validation.

    Arguments:
        folds: one finished run for each.
        protocol: what the folds were: see the module's docstring.
        resamples: of the bootstrap (official).
        seed: of the bootstrap.

    Returns:
        `protocol`, `folds`, `n` (test rows, of all folds together), `groups` of related test rows,
        and by metric `value` (the mean over folds), `low`, `high` (95%), `sd` between folds and
        `of_folds`. Where there is no interval its ends are None and `interval` is the reason.

    Raises:
        UserError: fewer than two folds, or official folds that differ in their test rows.
    """
    if len(folds) < 2:
        raise UserError(f"{len(folds)} fold(s) show no variation: two or more are needed")
    values = {
        metric: [fold.metrics.get(metric, {}).get("value") for fold in folds]
        for metric in METRICS[folds[0].kind]
    }
    found = {"protocol": protocol, "folds": len(folds)}
    if protocol == "pooled":
        return found | _pooled(folds, values)
    return found | _official(folds, values, resamples, seed)


def _pooled(folds: Sequence[Results], values: dict[str, list[float | None]]) -> dict[str, Any]:
    others = len(folds) - 1
    # Folds share no related rows, so that their groups add up.
    return {
        "n": sum(fold.metrics["n"] for fold in folds),
        "groups": sum(len(np.unique(related_rows([fold]))) for fold in folds),
        "metrics": {
            metric: mean_over_splits(own, metric, others, 1) for metric, own in values.items()
        },
    }


def _official(
    folds: Sequence[Results], values: dict[str, list[float | None]], resamples: int, seed: int
) -> dict[str, Any]:
    for number, fold in enumerate(folds[1:], 1):
        if problem := test_rows_differ(folds[0], fold):
            raise UserError(f"fold {number} was not scored on the test rows of fold 0: {problem}")
    groups = related_rows(folds)
    statistics = [scored_run(f"fold {k}", fold).statistic for k, fold in enumerate(folds)]

    def mean(weights: np.ndarray) -> dict[str, np.ndarray]:
        drawn = [statistic(weights) for statistic in statistics]
        return {metric: np.mean([one[metric] for one in drawn], axis=0) for metric in values}

    ends = estimates(mean, len(groups), resamples=resamples, seed=seed, groups=groups)
    found = {metric: mean_of_splits(own) for metric, own in values.items()}
    for metric, of_metric in found.items():
        reasons = [fold.metrics.get(metric, {}).get("interval") for fold in folds]
        if any(reasons):  # a mean on the rows that are too few for one run has no interval either
            of_metric["interval"] = next(reason for reason in reasons if reason)
        elif of_metric["value"] is not None:
            of_metric |= {end: ends[metric][end] for end in ("low", "high")}
    return {"n": len(groups), "groups": len(np.unique(groups)), "metrics": found}


def against_published(metric: dict[str, Any], published: float | None) -> Verdict:
    """Judge a value with its interval beside a published figure, which has none.

    >>> against_published({"value": 0.80, "low": 0.79, "high": 0.81}, 0.805)
    'matches'

    Arguments:
        metric: `value`, `low` and `high`, such as of `cross_validated`.
        published: the figure; None if there is none.

    Returns:
        `outperforms` and `falls short` where the interval is above or below the figure, `matches`
        where it holds it and reaches no further than 0.02 from its middle, else `not told apart`.
    """
    if published is None:
        return "no figure"
    low, high = metric["low"], metric["high"]
    if low is None or high is None:
        return "not told apart"
    if low > published:
        return "outperforms"
    if high < published:
        return "falls short"
    return "matches" if (high - low) / 2 < MATCH_WIDTH else "not told apart"
