"""Probes of all layers in numbers: each layer, the one that inner folds choose, and the last.

With several outer folds a value is the mean over folds, and intervals are Student's with the
variance of Nadeau & Bengio (2003), for training rows overlap. With one given test set a value is
that of its rows, and intervals are those of `ntjax.metrics`, of differences a paired bootstrap.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ntjax.evaluation.layer_probes import Fold, Probed, ProbeKind
from ntjax.metrics.classification import evaluate, score, statistic
from ntjax.metrics.paired import paired_differences, too_few_for_a_difference
from ntjax.metrics.significance import correct, corrected_resampled_t
from ntjax.metrics.splits import mean_over_splits

METRICS = ("mcc", "accuracy", "auroc")
PRIMARY = "mcc"
SEQUENCE = "sequence"
"""The network of features that no network has made."""
_NO_DIFFERENCE = {"value": 0.0, "low": None, "high": None, "interval": "the last layer is chosen"}


class Features(NamedTuple):
    """What a probe reads.

    Attributes:
        network: name of the model, or `SEQUENCE`.
        layer: number of the layer; -1 of a sequence's own features.
        pooling: how tokens are pooled; of a sequence the name of the features.
    """

    network: str
    layer: int
    pooling: str


@dataclass(frozen=True)
class Rows:
    """What was predicted.

    Attributes:
        labels: int [rows].
        groups: [rows] numbers of groups of related rows.
        folds: the outer folds.
    """

    labels: np.ndarray
    groups: np.ndarray
    folds: Sequence[Fold]

    @property
    def one_test_set(self) -> bool:
        """Whether there is a single test set, and no cross-validation."""
        return len(self.folds) == 1

    def counts(self) -> dict[str, int]:
        """Return `n`, the test rows of all folds, and `groups` of related ones."""
        tested = np.concatenate([fold.test for fold in self.folds])
        return {"n": len(tested), "groups": len(np.unique(self.groups[tested]))}

    def shares(self) -> tuple[int, int]:
        """Return the mean numbers of rows that a fold trains on and is scored on."""
        parts = [(len(fold.train), len(fold.test)) for fold in self.folds]
        train, test = np.mean(parts, axis=0)
        return max(round(train), 1), max(round(test), 1)


def of_folds(probabilities: Sequence[np.ndarray], rows: Rows, metric: str) -> list[float | None]:
    """Score the test rows of each fold."""
    pairs = zip(rows.folds, probabilities, strict=True)
    return [score(rows.labels[fold.test], own, metric) for fold, own in pairs]


def metrics_of(probabilities: Sequence[np.ndarray], rows: Rows, seed: int = 0) -> dict[str, Any]:
    """Return each metric with its interval, or the reason why it has none."""
    if rows.one_test_set:
        test = rows.folds[0].test
        found = evaluate(
            rows.labels[test], probabilities[0], groups=rows.groups[test], bootstrap=1000, seed=seed
        )
        return {metric: found[metric] for metric in METRICS}
    return {
        metric: mean_over_splits(of_folds(probabilities, rows, metric), metric, *rows.shares())
        for metric in METRICS
    }


def differences(
    probabilities: Mapping[Any, Sequence[np.ndarray]], against: Any, rows: Rows, seed: int = 0
) -> dict[Any, dict[str, Any]]:
    """Subtract one's MCC from that of the others, with Holm's correction for their number.

    Returns:
        By key (but `against`): `value`, `low`, `high` (95%), `p` and `corrected`; None, with
        `interval` as the reason, where there is none.
    """
    compare: Callable = _of_one_test_set if rows.one_test_set else _over_folds
    found = compare(probabilities, against, rows, seed)
    correct(list(found.values()))
    return found


def _over_folds(
    probabilities: Mapping[Any, Sequence[np.ndarray]], against: Any, rows: Rows, seed: int
) -> dict[Any, dict[str, Any]]:
    scores = {key: of_folds(own, rows, PRIMARY) for key, own in probabilities.items()}
    found = {}
    for key, values in scores.items():
        if key != against:
            result = corrected_resampled_t(values, scores[against], *rows.shares())
            ends = {"low": result.low, "high": result.high, "p": result.p_value}
            found[key] = {"value": result.difference, **ends}
    return found


def _of_one_test_set(
    probabilities: Mapping[Any, Sequence[np.ndarray]], against: Any, rows: Rows, seed: int
) -> dict[Any, dict[str, Any]]:
    test = rows.folds[0].test
    labels, groups = rows.labels[test], rows.groups[test]
    sides = [labels == label for label in np.unique(labels)]
    reason = too_few_for_a_difference(sides, groups)
    names = {str(key): key for key in probabilities}
    found = paired_differences(
        {name: statistic(labels, probabilities[key][0]) for name, key in names.items()},
        str(against),
        [PRIMARY],
        len(test),
        groups=groups,
        seed=seed,
        reasons={name: reason for name in names if reason},
    )
    return {names[name]: dict(one[PRIMARY]) for name, one in found.items()}


def chosen_layers(inner_losses: Mapping[int, Sequence[float]]) -> list[int]:
    """Choose the layer that the inner folds of each outer fold prefer.

    >>> chosen_layers({0: [0.6, 0.5], 1: [0.4, 0.5], 2: [0.5, 0.3]})
    [1, 2]

    Arguments:
        inner_losses: by layer, of each outer fold.
    """
    layers = list(inner_losses)
    table = np.array([inner_losses[layer] for layer in layers])
    return [layers[row] for row in table.argmin(axis=0)]


def summary(
    found: Mapping[Features, Sequence[Probed]], rows: Rows, seed: int = 0
) -> dict[str, Any]:
    """Summarise the probes of all features.

    Arguments:
        found: by features, the probes of each kind and outer fold.
        rows: what was predicted.
        seed: of bootstraps.

    Returns:
        `results`: a record for each features and probe; `chosen`: of each network, pooling and
        probe the score with the layer chosen on inner folds, beside the last layer's.
    """
    results, chosen = [], []
    kinds = list(dict.fromkeys(probed.kind for probed in next(iter(found.values()))))
    for kind in kinds:
        own = {features: _of_kind(probes, kind) for features, probes in found.items()}
        for features, probes in own.items():
            probabilities = [probed.probabilities for probed in probes]
            results.append(
                {**features._asdict(), "probe": kind, **rows.counts()}
                | {"metrics": metrics_of(probabilities, rows, seed)}
                | {"settings": [probed.setting for probed in probes]}
                | {"seconds": sum(probed.seconds for probed in probes)}
            )
        for network, pooling in dict.fromkeys((one.network, one.pooling) for one in own):
            if network != SEQUENCE:
                of_layers = {
                    features.layer: probes
                    for features, probes in own.items()
                    if (features.network, features.pooling) == (network, pooling)
                }
                chosen.append(
                    {"network": network, "pooling": pooling, "probe": kind, **rows.counts()}
                    | _chosen(of_layers, rows, seed)
                )
    return {"results": results, "chosen": chosen}


def _of_kind(probes: Sequence[Probed], kind: ProbeKind) -> list[Probed]:
    return sorted((one for one in probes if one.kind == kind), key=lambda one: one.fold)


def _chosen(of_layers: Mapping[int, Sequence[Probed]], rows: Rows, seed: int) -> dict[str, Any]:
    losses = {layer: [one.inner_loss for one in probes] for layer, probes in of_layers.items()}
    layers, last = chosen_layers(losses), max(of_layers)
    picked = [of_layers[layer][fold].probabilities for fold, layer in enumerate(layers)]
    probabilities: dict[Any, list[np.ndarray]] = {
        layer: [one.probabilities for one in probes] for layer, probes in of_layers.items()
    }
    pair = {"chosen": picked, "last": probabilities[last]}
    found: dict[str, Any] = {"layers": layers, "last": last}
    found["metrics"] = metrics_of(picked, rows, seed)
    if len(of_layers) > 1:
        found["chosen_minus_last"] = (
            _NO_DIFFERENCE
            if set(layers) == {last}
            else differences(pair, "last", rows, seed)["chosen"]
        )
        found["layers_minus_last"] = {
            str(layer): one for layer, one in differences(probabilities, last, rows, seed).items()
        }
    return found
