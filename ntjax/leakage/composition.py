"""GC content by label, and how far it alone tells the labels apart, in training and in test.

Where it does so in one file and not in the other, the rows of a label were drawn differently, and
a model is rewarded in training for what is of no use in the test.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ntjax.io.labels import classes_of
from ntjax.io.tables import SequenceTable
from ntjax.leakage.overlap import labels_of
from ntjax.metrics.ranking import Ranking
from ntjax.sequences.alphabet import gc_content

NOTABLE_AUROC, NOTABLE_GC = 0.05, 0.02
"""Differences that are named, if they are also twice their standard error."""


def describe_composition(train: SequenceTable, test: SequenceTable) -> dict[str, dict[str, Any]]:
    """GC content of each label's rows, and the AUROC of GC alone, label against the rest.

    Returns:
        by label: `train_gc`, `test_gc`: means over rows; `predicts`: "higher" or "lower", whichever
        GC speaks for the label in the training file; `train_auroc`, so that it is 0.5 at least, and
        `test_auroc` for the same direction; `auroc_differs` and `gc_differs`: whether training and
        test differ by more than 0.05 (0.02) and more than twice the standard error. What is not
        defined, for want of rows, is None.
    """
    parts = [(gc_content(table.sequences), np.array(labels_of(table))) for table in (train, test)]
    classes = classes_of([*labels_of(train), *labels_of(test)])
    return {label: _of_label(label, parts) for label in classes}


def _of_label(label: str, parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    own, areas, errors = [], [], []
    for gc, labels in parts:
        known = ~np.isnan(gc)
        positive = labels[known] == label
        own.append(gc[known][positive])
        areas.append(auroc_of(positive, gc[known]))
        errors.append(_null_error(positive))
    lower = areas[0] is not None and areas[0] < 0.5
    train, test = (None if area is None else 1 - area if lower else area for area in areas)
    means = [float(values.mean()) if len(values) else None for values in own]
    return {
        "train_gc": means[0],
        "test_gc": means[1],
        "predicts": None if train is None else "lower" if lower else "higher",
        "train_auroc": train,
        "test_auroc": test,
        "auroc_differs": _differs(train, test, NOTABLE_AUROC, np.hypot(*errors)),
        "gc_differs": _differs(*means, NOTABLE_GC, np.hypot(*map(_standard_error, own))),
    }


def auroc_of(positive: np.ndarray, scores: np.ndarray) -> float | None:
    """Area under the ROC curve of scores [rows]; None without rows of both kinds."""
    if positive.all() or not positive.any():
        return None
    return float(Ranking.of(positive, scores).areas(np.ones((1, len(scores))))[0][0])


def _null_error(positive: np.ndarray) -> float:
    """Standard error of the AUROC of a score that tells nothing (Mann & Whitney 1947)."""
    own, rest = int(positive.sum()), int((~positive).sum())
    return np.sqrt((own + rest + 1) / (12 * own * rest)) if own and rest else np.inf


def _standard_error(values: np.ndarray) -> float:
    return values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.inf


def _differs(one: float | None, other: float | None, least: float, error: float) -> bool:
    return None not in (one, other) and bool(abs(one - other) > max(least, 2 * error))
