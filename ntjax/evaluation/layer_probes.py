"""What simple classifiers read from frozen embeddings, layer by layer.

A probe is logistic regression or a perceptron of at most two hidden layers on standardised
features, as in the Nucleotide Transformer's paper. Everything is nested: how strongly a probe is
regularised, and which layer is best, is chosen by the log loss on inner folds of the training rows,
and reported on rows that had no part in it. Rows that share sequence stay in one fold throughout.
"""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from scipy.sparse import issparse, sparray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, StandardScaler
from threadpoolctl import threadpool_limits

from ntjax.errors import UserError
from ntjax.evaluation.probing import class_of_few_groups

ProbeKind = Literal["logistic", "mlp"]
INNER_FOLDS = 3

_INVERSE_PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_HIDDEN_LAYERS = ((64,), (64, 64))
_PENALTY, _EPOCHS = 1e-2, 40
_ROWS_OF_A_THREAD = 5_000

SETTINGS: Mapping[ProbeKind, tuple[Any, ...]] = {
    "logistic": _INVERSE_PENALTIES,
    "mlp": _HIDDEN_LAYERS,
}
"""What is chosen on inner folds: the inverse L2 penalty C, or the width of the hidden layers."""


@dataclass(frozen=True)
class Fold:
    """An outer fold, and the inner ones of its training rows.

    Attributes:
        train: rows that probes are fitted on, int64 [rows].
        test: rows that they are scored on.
        inner: pairs of fitted and scored rows, all of them of `train`.
    """

    train: np.ndarray
    test: np.ndarray
    inner: tuple[tuple[np.ndarray, np.ndarray], ...]


@dataclass(frozen=True)
class Probed:
    """A probe on one outer fold.

    Attributes:
        kind: of the probe.
        fold: number of the outer fold.
        setting: what the inner folds chose, of `SETTINGS`.
        inner_loss: its mean log loss on the inner folds.
        probabilities: of the test rows, [rows, classes].
        seconds: of all fits.
    """

    kind: ProbeKind
    fold: int
    setting: Any
    inner_loss: float
    probabilities: np.ndarray
    seconds: float


def nested_folds(
    labels: np.ndarray, groups: np.ndarray, of_row: np.ndarray, seed: int
) -> list[Fold]:
    """Lay inner folds into the training rows of each outer fold.

    Arguments:
        labels: [rows] classes.
        groups: [rows] numbers of groups that stay together.
        of_row: [rows] number of the outer fold whose test row it is; -1 for a row of none.
        seed: of the inner folds.

    Raises:
        UserError: a class has fewer groups than inner folds.
    """
    folds, classes = [], np.unique(labels)
    for number in range(of_row.max() + 1):
        train, test = np.flatnonzero(of_row != number), np.flatnonzero(of_row == number)
        if few := class_of_few_groups(classes, labels[train], groups[train], INNER_FOLDS):
            raise UserError(
                f"class {few[0]} has {few[1]} groups of related training rows, and settings are "
                f"chosen on {INNER_FOLDS} folds of them: add rows of it"
            )
        split = StratifiedGroupKFold(INNER_FOLDS, shuffle=True, random_state=seed)
        inner = split.split(train, labels[train], groups[train])
        folds.append(Fold(train, test, tuple((train[fit], train[held]) for fit, held in inner)))
    return folds


def probes(
    features: np.ndarray | sparray,
    labels: np.ndarray,
    folds: Sequence[Fold],
    kinds: Sequence[ProbeKind],
    seed: int = 0,
) -> Iterator[Probed]:
    """Fit and score each kind of probe on each outer fold.

    Arguments:
        features: [rows, dim].
        labels: int [rows], from 0.
        folds: as of `nested_folds`.
        kinds: of probes.
        seed: of the perceptron's initial weights and batches.
    """
    for kind, (number, fold) in product(kinds, enumerate(folds)):
        # More threads than rows keep busy wait for each other.
        with threadpool_limits(1 if len(labels) < _ROWS_OF_A_THREAD else None):
            began = time.perf_counter()
            losses = [
                np.mean(
                    [_loss(kind, setting, features, labels, *rows, seed) for rows in fold.inner]
                )
                for setting in SETTINGS[kind]
            ]
            best = int(np.argmin(losses))
            setting = SETTINGS[kind][best]
            model = fitted(kind, setting, features[fold.train], labels[fold.train], seed)
            probabilities = model.predict_proba(features[fold.test])
            seconds = time.perf_counter() - began
        yield Probed(kind, number, setting, float(losses[best]), probabilities, seconds)


def fitted(
    kind: ProbeKind, setting: Any, features: np.ndarray | sparray, labels: np.ndarray, seed: int
) -> Pipeline:
    """Fit a probe with one setting; scikit-learn's pipeline of scaling and classifier."""
    # Sparse counts keep their zeros: only their scale changes.
    scale = MaxAbsScaler() if issparse(features) else StandardScaler()
    if kind == "logistic":
        model = LogisticRegression(C=setting, max_iter=1_000)
    else:
        model = MLPClassifier(setting, alpha=_PENALTY, max_iter=_EPOCHS, random_state=seed)
    with warnings.catch_warnings():
        # The perceptron has a budget of epochs, and no fit of thousands of features to the last
        # digit is needed to rank settings.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(scale, model).fit(features, labels)


def _loss(
    kind: ProbeKind,
    setting: Any,
    features: np.ndarray | sparray,
    labels: np.ndarray,
    fit: np.ndarray,
    held: np.ndarray,
    seed: int,
) -> float:
    model = fitted(kind, setting, features[fit], labels[fit], seed)
    predicted = model.predict_proba(features[held])
    return float(log_loss(labels[held], predicted, labels=np.unique(labels)))
