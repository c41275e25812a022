"""Whether a representation tells classes of elements apart, on blocks of the genome kept apart."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse, sparray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler

from ntjax.metrics.bootstrap import estimates

Parts = Mapping[str, np.ndarray]
"""Rows of `train`, `validation` and `test`, int64 [rows]."""


def block_parts(groups: np.ndarray, shares: tuple[float, float], seed: int) -> dict[str, Any]:
    """Draw blocks for validation and test; the rest is for training.

    Arguments:
        groups: [rows], block of each row.
        shares: of the blocks, for validation and test.
        seed: of the draw.
    """
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    first, second = np.round(np.cumsum(shares) * len(names)).astype(int)
    chosen = {"validation": names[:first], "test": names[first:second], "train": names[second:]}
    return {part: np.flatnonzero(np.isin(groups, own)) for part, own in chosen.items()}


def predicted_classes(
    features: np.ndarray | sparray, labels: np.ndarray, parts: Parts, penalty: float = 0.01
) -> dict[str, np.ndarray]:
    """Fit logistic regression on training rows, classes weighing alike, and predict the others.

    Arguments:
        features: [rows, dim].
        labels: [rows].
        parts: rows of each part.
        penalty: the inverse L2 penalty C.

    Returns:
        Classes of the rows of `validation` and `test`.
    """
    scale = MaxAbsScaler() if issparse(features) else StandardScaler()
    probe = LogisticRegression(C=penalty, class_weight="balanced", max_iter=3_000)
    model = make_pipeline(scale, probe).fit(features[parts["train"]], labels[parts["train"]])
    return {part: model.predict(features[parts[part]]) for part in ("validation", "test")}


def balanced_accuracy(
    labels: np.ndarray, predicted: np.ndarray, groups: np.ndarray, *, seed: int = 0
) -> dict[str, Any]:
    """Average the recall of the classes, with an interval over groups.

    >>> found = balanced_accuracy(np.arange(60) % 2, np.arange(60) % 2, np.arange(60) // 2)
    >>> found["value"], found["n"], found["groups"]
    (1.0, 60, 30)

    Returns:
        `value`, `low`, `high`, `n`, `groups`; an interval needs 20 groups.
    """
    classes = np.unique(labels)

    def recall(weights: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        recalls = []
        for one in classes:
            own = labels == one
            total = weights[:, own].sum(axis=1)
            hits = weights[:, own] @ (predicted[own] == one)
            recalls.append(np.divide(hits, total, out=np.full(len(total), np.nan), where=total > 0))
        # A class that a resample lacks is left out of its mean.
        return {"value": np.nanmean(recalls, axis=0)}

    found = estimates(recall, len(labels), resamples=1000, seed=seed, groups=groups)["value"]
    return found | {"n": len(labels), "groups": len(np.unique(groups))}
