"""How well classes lie apart in a representation, in numbers: what a picture only suggests."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse, sparray
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import silhouette_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ntjax.errors import UserError
from ntjax.metrics.regression import share

NEIGHBOURS = 5

# The silhouette compares every row with every other.
_SILHOUETTE_ROWS = 5_000


@dataclass(frozen=True)
class Separability:
    """Numbers of a representation with labels.

    Accuracies are `{"value", "low", "high"}` with a 95% interval (Wilson's, of as many trials as
    there are groups), of rows that were predicted by a fit to other groups.

    Attributes:
        linear_probe: accuracy of logistic regression.
        nearest_neighbours: accuracy of the vote of the five nearest rows.
        silhouette: mean silhouette coefficient (Rousseeuw 1987), −1 to 1; near 0 where the classes
            mix.
        majority: share of the most frequent class, which needs no representation.
        rows: how many there are.
        folds: of the cross-validation.
    """

    linear_probe: dict[str, float | None]
    nearest_neighbours: dict[str, float | None]
    silhouette: float
    majority: float
    rows: int
    folds: int


def separability(
    representation: np.ndarray | sparray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    folds: int = 5,
    seed: int = 0,
) -> Separability:
    """Measure how well the classes lie apart.

    The probe is scikit-learn's logistic regression on standardised features. Those of a sparse
    matrix stay as they are: divided by its tiny spread, a k-mer seen once outweighs all others (on
    the report's test set one-hot 6-mers lose six points of accuracy by it, 3-mers three).
    Neighbours and silhouette go by the Euclidean distance in the representation itself.

    Arguments:
        representation: [rows, features], dense or sparse.
        labels: [rows], class of each.
        groups: [rows], relatives share a number and stay together, as from `shared_kmer_groups`.
        folds: of the cross-validation, stratified by class.
        seed: of folds and, beyond 5,000 rows, those the silhouette is computed of.

    Raises:
        UserError: not one label and group for each row, or a class in fewer groups than folds.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    _check(representation.shape[0], labels, groups, folds)
    scale = [] if issparse(representation) else [StandardScaler()]
    probe = make_pipeline(*scale, LogisticRegression(max_iter=5_000))
    splits = list(
        StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(labels, labels, groups)
    )
    correct = [
        _predicted(model, representation, labels, splits) == labels
        for model in (probe, KNeighborsClassifier(NEIGHBOURS))
    ]
    sample = min(len(labels), _SILHOUETTE_ROWS)
    return Separability(
        *(share(hits, groups=groups) for hits in correct),
        silhouette=float(
            silhouette_score(representation, labels, sample_size=sample, random_state=seed)
        ),
        majority=float(np.unique(labels, return_counts=True)[1].max() / len(labels)),
        rows=len(labels),
        folds=folds,
    )


def _predicted(
    model: ClassifierMixin,
    representation: np.ndarray | sparray,
    labels: np.ndarray,
    splits: list[tuple[np.ndarray, np.ndarray]],
) -> np.ndarray:
    """Each row's class by a fit to the other folds, [rows]."""
    predicted = np.empty_like(labels)
    for fitted, tested in splits:
        model.fit(representation[fitted], labels[fitted])
        predicted[tested] = model.predict(representation[tested])
    return predicted


def _check(rows: int, labels: np.ndarray, groups: np.ndarray, folds: int) -> None:
    if labels.shape != (rows,) or groups.shape != (rows,):
        raise UserError(
            f"{rows} rows, but labels are {labels.shape} and groups {groups.shape}: give one of "
            "each for every row"
        )
    classes = np.unique(labels)
    if len(classes) < 2:
        raise UserError(f"all rows are of class {classes[0]}: there is nothing to tell apart")
    if few := class_of_few_groups(classes, labels, groups, folds):
        label, families = few
        raise UserError(
            f"class {label} has {families} groups of related rows, fewer than {folds} folds: "
            "give more rows or fewer folds"
        )


def class_of_few_groups(
    classes: np.ndarray, labels: np.ndarray, groups: np.ndarray, least: int
) -> tuple[Any, int] | None:
    """Find a class whose rows are of fewer groups than folds need; None if there is none.

    Arguments:
        classes: that are looked at; one may have no row.
        labels: [rows] class of each.
        groups: [rows], relatives share a number.
        least: number of groups that is enough.

    Returns:
        The first such class, and its number of groups.
    """
    for label in classes:
        if (count := len(np.unique(groups[labels == label]))) < least:
            return label, count
    return None
