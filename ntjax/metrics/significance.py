"""Is one method better than another, or could the rows, or the split, have made the difference?

Three questions, three tests. Of two trained models on the same independent rows: `mcnemar`. Of
methods by the mean over seeds, on rows that may hang together: the bootstrap in
`ntjax.metrics.seeds`, whose differences carry a p-value. Of methods trained and tested on several
splits of the same data: `corrected_resampled_t`, because the plain t-test takes splits that share
most of their rows for independent; `corrected_blocked_t` is the same for many methods at once.
Whoever makes many comparisons corrects them with `holm`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest
from scipy.stats import t as student_t

from ntjax.errors import UserError


class McNemar(NamedTuple):
    """Rows that only one of two models predicted rightly, and the two-sided p-value."""

    only_first: int
    only_second: int
    p_value: float


class ResampledT(NamedTuple):
    """Mean difference, its confidence interval, Student's t and the two-sided p-value."""

    difference: float
    low: float
    high: float
    t: float
    p_value: float


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """Whether two models are right equally often, by the rows on which they differ.

    The exact test (McNemar 1947, with the binomial in place of the χ² distribution): under the
    null hypothesis each row that one alone has right is the first's with chance 1/2. It speaks of
    these two models, not of others trained with another seed, and takes rows for independent.

    Arguments:
        first: bool `[n]`, whether the first model is right about each row.
        second: bool `[n]`, the same of the second model.

    Raises:
        ValueError: other shapes, or values that are not boolean.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"both must be [n], not {first.shape} and {second.shape}")
    if first.dtype != bool or second.dtype != bool:
        raise ValueError("say of each row whether it was predicted rightly: True or False")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant = only_first + only_second
    p_value = binomtest(only_first, discordant).pvalue if discordant else 1.0
    return McNemar(only_first, only_second, float(p_value))


def corrected_resampled_t(
    first: ArrayLike,
    second: ArrayLike,
    train_rows: int,
    test_rows: int,
    confidence: float = 0.95,
) -> ResampledT:
    """Whether two methods differ, from their scores on several random splits of the same data.

    t = mean(d) / sqrt((1/k + test/train) var(d)) with k - 1 degrees of freedom, for the
    differences d of k splits (Nadeau & Bengio 2003, "Inference for the generalization error",
    section 3): training sets overlap, so that the differences are correlated and the plain
    variance of their mean, var(d) / k, is too small.

    Arguments:
        first: scores `[k]` of the first method, one for each split.
        second: scores `[k]` of the second on the same splits.
        train_rows: rows trained on in each split.
        test_rows: rows tested on in each split.
        confidence: coverage of the interval.

    Raises:
        UserError: fewer than two splits, or scores that are not finite.
        ValueError: other shapes, or row numbers that are not positive.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"both must be [splits], not {first.shape} and {second.shape}")
    if train_rows <= 0 or test_rows <= 0:
        raise ValueError(f"train_rows={train_rows} and test_rows={test_rows} must be positive")
    splits = len(first)
    if splits < 2:
        raise UserError(f"{splits} split(s) show no variation between splits: give two or more")
    differences = first - second
    if not np.isfinite(differences).all():
        raise UserError(
            f"the scores of split {np.flatnonzero(~np.isfinite(differences))[0] + 1} are not finite"
        )
    difference = differences.mean()
    error = np.sqrt((1 / splits + test_rows / train_rows) * differences.var(ddof=1))
    return _student(difference, error, splits - 1, confidence)


def corrected_blocked_t(
    scores: ArrayLike,
    first: int,
    train_rows: int,
    test_rows: int,
    confidence: float = 0.95,
) -> list[ResampledT]:
    """How one method differs from each of several, all of them scored on the same splits.

    As `corrected_resampled_t`, but with one error for all comparisons: the residual of all scores
    when methods and splits each have their own level (a randomised block design, Fisher 1935), with
    (methods - 1)(splits - 1) degrees of freedom in place of splits - 1. It takes the scores of all
    methods to vary alike, and shows more where there are few splits. With two methods both are
    the same.

    Arguments:
        scores: `[methods, splits]`.
        first: number of the method that the others are subtracted from.
        train_rows: rows trained on in each split.
        test_rows: rows tested on in each split.
        confidence: coverage of the intervals.

    Returns:
        Of every method but `first`, in their order, `first` minus it.

    Raises:
        UserError: fewer than two splits, or scores that are not finite.
        ValueError: other shapes, or row numbers that are not positive.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or len(scores) < 2:
        raise ValueError(f"scores must be [methods >= 2, splits], not {scores.shape}")
    if train_rows <= 0 or test_rows <= 0:
        raise ValueError(f"train_rows={train_rows} and test_rows={test_rows} must be positive")
    methods, splits = scores.shape
    if splits < 2:
        raise UserError(f"{splits} split(s) show no variation between splits: give two or more")
    if not np.isfinite(scores).all():
        raise UserError(
            f"the scores of split {np.argwhere(~np.isfinite(scores))[0, 1] + 1} are not finite"
        )
    of_methods, of_splits = scores.mean(axis=1, keepdims=True), scores.mean(axis=0)
    residual = scores - of_methods - of_splits + scores.mean()
    freedom = (methods - 1) * (splits - 1)
    variance = 2 * (residual**2).sum() / freedom  # of a difference of two methods in one split
    error = np.sqrt((1 / splits + test_rows / train_rows) * variance)
    differences = of_methods[first, 0] - np.delete(of_methods[:, 0], first)
    return [_student(difference, error, freedom, confidence) for difference in differences]


def _student(difference: float, error: float, freedom: int, confidence: float) -> ResampledT:
    half = student_t.ppf((1 + confidence) / 2, freedom) * error
    # The same difference in every split leaves no doubt, unless it is 0.
    certain = np.copysign(np.inf, difference) if difference else 0.0
    t = difference / error if error else certain
    p_value = 2 * student_t.sf(abs(t), freedom)
    return ResampledT(*map(float, (difference, difference - half, difference + half, t, p_value)))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """P-values corrected for their number, by Holm's step-down method.

    Those below α hold together with a chance of at most α that any is wrong, however the tests
    depend on each other (Holm 1979): of m, the smallest times m, the next times m - 1, and so on;
    none smaller than the one before, none above 1.

    Arguments:
        p_values: `[comparisons]`.

    Returns:
        `[comparisons]`, in the order given.

    Raises:
        ValueError: another shape, or values outside [0, 1].
    """
    p_values = np.asarray(p_values, np.float64)
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise ValueError("p-values must be [comparisons], each in [0, 1]")
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted


def correct(comparisons: Sequence[dict[str, Any]]) -> None:
    """Set `corrected` beside `p` in each comparison: Holm's p-value, None where there is no `p`.

    >>> found = [{"p": 0.01}, {"p": None}, {"p": 0.04}]
    >>> correct(found)
    >>> [one["corrected"] for one in found]
    [0.02, None, 0.04]
    """
    tested = [one for one in comparisons if one["p"] is not None]
    for one in comparisons:
        one["corrected"] = None
    for one, corrected in zip(tested, holm([one["p"] for one in tested]), strict=True):
        one["corrected"] = float(corrected)
