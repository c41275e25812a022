"""Turn a classifier's logits into probabilities that can be believed, and check that they can.

Platt scaling for two classes, temperature scaling for more. Both are fitted on rows that neither
trained the model nor test it, and have one or two numbers, so a few hundred rows are enough.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, log_softmax, ndtri, softmax

from ntjax.errors import UserError
from ntjax.metrics import CALIBRATION_BINS, probability_bins

MINIMUM_ROWS = 10

# A temperature beyond these says that the logits carry no information, or nothing else.
_TEMPERATURE_BOUNDS = (1e-3, 1e3)


@dataclass(frozen=True)
class PlattScaling:
    """P(positive) = 1 / (1 + exp(-(slope · logit + intercept))) (Platt 1999).

    Attributes:
        slope: of the logit (positive minus negative); 1 changes nothing, below 1 lessens
            confidence, below 0 means that the model ranks the calibration rows the wrong way.
        intercept: in logits; moves the threshold.
    """

    slope: float
    intercept: float

    @classmethod
    def fit(cls, logits: ArrayLike, labels: ArrayLike) -> Self:
        """Maximum likelihood on Platt's smoothed targets.

        The targets are (N₊ + 1)/(N₊ + 2) and 1/(N₋ + 2) in place of 1 and 0, which keeps the
        slope finite where the classes are perfectly separated.

        Arguments:
            logits: `[n]`, positive minus negative.
            labels: 0 or 1, `[n]`.

        Raises:
            UserError: fewer than `MINIMUM_ROWS` rows, one class only, or logits not finite.
        """
        logits, labels = _checked(logits, labels, classes=2, dimensions=1)
        # The fit does not depend on the unit of the logits, its conditioning does.
        center, spread = logits.mean(), logits.std()
        if spread <= 1e-12 * max(1.0, abs(center)):
            spread = np.inf  # Equal logits tell nothing: slope 0, the base rate for every row.
        slope, intercept = _fit_sigmoid((logits - center) / spread, _smoothed(labels, 2)[:, 1])
        slope = slope / spread
        return cls(float(slope), float(intercept - slope * center))

    def apply(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Probability of the positive class `[n]` from logits `[n]`, positive minus negative."""
        return expit(self.slope * np.asarray(logits, np.float64) + self.intercept)

    def to_dict(self) -> dict[str, Any]:
        """The numbers and the method's name, ready for JSON."""
        return {"method": "platt", **dataclasses.asdict(self)}


@dataclass(frozen=True)
class TemperatureScaling:
    """P = softmax(logits / temperature) (Guo et al. 2017, equation 9).

    Attributes:
        temperature: 1 changes nothing, above 1 lessens confidence. Never changes which class is
            the most probable.
    """

    temperature: float

    @classmethod
    def fit(cls, logits: ArrayLike, labels: ArrayLike) -> Self:
        """Maximum likelihood on smoothed targets.

        A row of class k has the target (N_k + 1)/(N_k + K) for k and 1/(N_k + K) for the others:
        Platt's targets for K classes, without which the temperature of logits that are always
        right would be 0.

        Arguments:
            logits: `[n, classes]`.
            labels: integers `[n]`.

        Raises:
            UserError: fewer than `MINIMUM_ROWS` rows, one class only, or logits not finite.
        """
        classes = np.shape(logits)[-1]
        logits, labels = _checked(logits, labels, classes=classes, dimensions=2)
        targets = _smoothed(labels, classes)

        def negative_log_likelihood(log_temperature: float) -> float:
            scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
            return -float((targets * scaled).sum(axis=1).mean())

        # Convex in 1/temperature, so it has a single minimum in its logarithm too.
        found = minimize_scalar(
            negative_log_likelihood,
            bounds=np.log(_TEMPERATURE_BOUNDS),
            method="bounded",
            options={"xatol": 1e-6},
        )
        return cls(float(np.exp(found.x)))

    def apply(self, logits: ArrayLike) -> NDArray[np.float64]:
        """Probabilities `[n, classes]` from logits `[n, classes]`."""
        return softmax(np.asarray(logits, np.float64) / self.temperature, axis=1)

    def to_dict(self) -> dict[str, Any]:
        """The number and the method's name, ready for JSON."""
        return {"method": "temperature", **dataclasses.asdict(self)}


Calibration = PlattScaling | TemperatureScaling

_METHODS: dict[str, type[PlattScaling] | type[TemperatureScaling]] = {
    "platt": PlattScaling,
    "temperature": TemperatureScaling,
}


def fit_calibration(logits: ArrayLike, labels: ArrayLike) -> Calibration:
    """Fit Platt scaling for two classes, temperature scaling for more.

    Calibration never turns the model's ranking round: where the best slope is negative, which
    says that the model knows nothing of these rows, the slope is 0 and every probability the base
    rate.

    Arguments:
        logits: `[n, classes]`, of rows used neither for training nor for testing.
        labels: integers `[n]`.

    Raises:
        UserError: fewer than `MINIMUM_ROWS` rows, one class only, or logits not finite.
    """
    logits = np.asarray(logits, np.float64)
    if logits.ndim == 2 and logits.shape[1] == 2:
        fitted = PlattScaling.fit(logits[:, 1] - logits[:, 0], labels)
        # Equal logits tell nothing: the fit gives slope 0 and the (smoothed) base rate.
        return fitted if fitted.slope > 0 else PlattScaling.fit(np.zeros(len(logits)), labels)
    return TemperatureScaling.fit(logits, labels)


def calibrated_probabilities(calibration: Calibration, logits: ArrayLike) -> NDArray[np.float64]:
    """Calibrated probabilities `[n, classes]` of logits `[n, classes]`, whichever the method."""
    logits = np.asarray(logits, np.float64)
    if isinstance(calibration, TemperatureScaling):
        return calibration.apply(logits)
    if logits.ndim != 2 or logits.shape[1] != 2:
        raise ValueError(f"Platt scaling takes logits [n, 2], not {logits.shape}")
    positive = calibration.apply(logits[:, 1] - logits[:, 0])
    return np.stack([1 - positive, positive], axis=1)


def calibration_from_dict(saved: Mapping[str, Any]) -> Calibration:
    """Rebuild what `to_dict` gave.

    Raises:
        ValueError: unknown method, or keys that are not exactly the method's.
    """
    numbers = {key: value for key, value in saved.items() if key != "method"}
    method = _METHODS.get(saved.get("method", ""))
    if method is None or set(numbers) != {field.name for field in dataclasses.fields(method)}:
        raise ValueError(f"not a saved calibration: {dict(saved)}")
    return method(**{key: float(value) for key, value in numbers.items()})


@dataclass(frozen=True, eq=False)
class ReliabilityCurve:
    """What happened against what was predicted, in equal-width bins of probability.

    Attributes:
        bin_edges: `[bins + 1]`, from 0 to 1.
        count: rows in each bin `[bins]`.
        mean_predicted: mean probability of those rows `[bins]`, NaN in an empty bin.
        fraction_positive: share of them that is positive `[bins]`, NaN in an empty bin.
        low: lower end of the 95% Wilson interval of `fraction_positive` `[bins]`, NaN if empty.
        high: upper end of it.
    """

    bin_edges: NDArray[np.float64]
    count: NDArray[np.int64]
    mean_predicted: NDArray[np.float64]
    fraction_positive: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def reliability_curve(
    labels: ArrayLike, probabilities: ArrayLike, bins: int = CALIBRATION_BINS
) -> ReliabilityCurve:
    """Reliability curve of one class, in the bins that `ece` uses.

    For the other of two classes pass `1 - labels` and `1 - probabilities`.

    Arguments:
        labels: 1 where the class is the true one, else 0, `[n]`.
        probabilities: of the class, `[n]`.
        bins: number of bins.

    Raises:
        UserError: no rows.
        ValueError: shapes that differ, labels other than 0 and 1, probabilities outside [0, 1].
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    if labels.size == 0:
        raise UserError("there are no rows to draw a reliability curve from")
    if labels.ndim != 1 or labels.shape != probabilities.shape or not np.isin(labels, (0, 1)).all():
        raise ValueError("labels must be 0 or 1, [n], and probabilities [n]")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("probabilities must be in [0, 1]")
    member = probability_bins(probabilities, bins)
    count = np.bincount(member, minlength=bins)
    rows = np.where(count > 0, count, np.nan)
    positive = np.bincount(member, weights=labels, minlength=bins)
    low, high = wilson_interval(positive, rows)
    return ReliabilityCurve(
        bin_edges=np.linspace(0, 1, bins + 1),
        count=count,
        mean_predicted=np.bincount(member, weights=probabilities, minlength=bins) / rows,
        fraction_positive=positive / rows,
        low=low,
        high=high,
    )


def wilson_interval(
    successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wilson's score interval of a proportion (Wilson 1927), in [0, 1] even at 0 of n and n of n.

    With k of n and normal quantile z: (k + z²/2 ± z sqrt(k(n - k)/n + z²/4)) / (n + z²).

    Arguments:
        successes: `[...]`.
        trials: `[...]`, positive, or NaN for a NaN interval.
        confidence: coverage.
    """
    k, n = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    z = ndtri((1 + confidence) / 2)
    center = k + z**2 / 2
    half = z * np.sqrt(k * (n - k) / n + z**2 / 4)
    # At 0 of n and n of n the ends are 0 and 1 but for rounding.
    return np.clip((center - half) / (n + z**2), 0, 1), np.clip((center + half) / (n + z**2), 0, 1)


def _checked(
    logits: ArrayLike, labels: ArrayLike, *, classes: int, dimensions: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    if logits.ndim != dimensions or labels.shape != logits.shape[:1]:
        raise ValueError(f"logits are {logits.shape} and labels {labels.shape}")
    if len(labels) < MINIMUM_ROWS:
        raise UserError(
            f"calibration has {len(labels)} rows and needs {MINIMUM_ROWS} at least, better some "
            "hundreds: set more rows aside for it"
        )
    if labels.dtype.kind not in "biu" or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must be integers in 0..{classes - 1}")
    if not np.isfinite(logits).all():
        raise UserError(
            "logits of the calibration rows are not finite: training has diverged, use a lower "
            "learning rate"
        )
    if labels.min() == labels.max():
        raise UserError(
            f"all {len(labels)} calibration rows are of one class: set rows of every class aside"
        )
    return logits, labels.astype(np.int64)


def _smoothed(labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Targets `[n, classes]`: (N_k + 1)/(N_k + K) for the row's class k, 1/(N_k + K) elsewhere."""
    rows = np.bincount(labels, minlength=classes)[labels]
    return (np.eye(classes)[labels] * rows[:, None] + 1) / (rows + classes)[:, None]


def _fit_sigmoid(
    scores: NDArray[np.float64], targets: NDArray[np.float64]
) -> tuple[np.float64, np.float64]:
    """Slope and intercept of the cross-entropy's minimum; scores and targets are `[n]`."""
    design = np.stack([scores, np.ones_like(scores)], axis=1)

    def cross_entropy(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = design @ parameters
        loss = np.logaddexp(0, logits) - targets * logits
        return float(loss.mean()), design.T @ (expit(logits) - targets) / len(scores)

    def curvature(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        probability = expit(design @ parameters)
        weights = probability * (1 - probability) / len(scores)
        return (design * weights[:, None]).T @ design

    start = np.array([0.0, np.log(targets.mean() / (1 - targets.mean()))])
    found = minimize(
        cross_entropy, start, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-9}
    )
    return found.x[0], found.x[1]
