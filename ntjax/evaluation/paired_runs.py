"""Compare runs on the same test rows: how far apart are they, and could the rows have made that?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ntjax.errors import UserError
from ntjax.leakage.kmer_groups import joined_groups
from ntjax.metrics import UNKNOWN_LABEL, classification, multilabel, regression
from ntjax.metrics.bootstrap import Statistic
from ntjax.metrics.confusion import predicted_classes
from ntjax.metrics.paired import paired_differences, too_few_for_a_difference, too_few_wrong
from ntjax.metrics.significance import correct
from ntjax.runs.results import Results
from ntjax.tasks import HIGHER_IS_BETTER

METRICS = {
    "classification": ("auroc", "mcc", "accuracy", "brier"),
    "multilabel": ("auroc", "auprc", "mcc", "micro_f1"),
    "regression": ("r2", "pearson", "spearman", "rmse"),
}
"""What is compared, by kind of task. ECE is not: chance alone adds to it, by how much depends on
the model."""
LEVEL = 0.05
_LEAST_RESAMPLES, _RESAMPLES_OF_A_COMPARISON = 2000, 100  # the smallest p-value is 2 / (n + 1)
NOT_TOLD_APART = "not told apart"


@dataclass(frozen=True)
class Comparison:
    """Runs beside the first of them, which the others are compared with.

    Attributes:
        runs: what each has left, by its name.
        metrics: what is compared.
        differences: by run (but the first) and metric: `value`, `low`, `high`, `p`, `corrected`
            (Holm's p-value over all comparisons) and `verdict`: better, worse, or not told apart,
            as where there is no interval.
        rows: test rows.
        groups: of related rows, each of which counts as one.
        resamples: of the bootstrap.
        notes: what a reader has to know.
    """

    runs: dict[str, Results]
    metrics: tuple[str, ...]
    differences: dict[str, dict[str, dict[str, Any]]]
    rows: int
    groups: int
    resamples: int
    notes: tuple[str, ...]

    @property
    def first(self) -> str:
        """The run that the others are compared with."""
        return next(iter(self.runs))

    @property
    def comparisons(self) -> int:
        """How many differences are judged."""
        return len(self.differences) * len(self.metrics)


def compare(runs: Mapping[str, Results], *, resamples: int = 0, seed: int = 0) -> Comparison:
    """Compare every run with the first, on paired test rows.

    Test rows are drawn anew (percentile bootstrap), the same ones for all runs, related rows
    together, as in each run's own intervals. A difference is called better or worse if its 95%
    interval does not hold 0 and its p-value, corrected for the number of comparisons (Holm 1979),
    is below 0.05.

    Arguments:
        runs: at least two, by name.
        resamples: of the bootstrap; 0 for 2,000, and more for many comparisons, whose p-values
            must be smaller to be told from chance.
        seed: of the bootstrap.

    Raises:
        UserError: the runs were not scored on the same test rows.
    """
    if len(runs) < 2:
        raise UserError("there is one run to compare: give two folders or more")
    first, *others = runs
    _require_predictions(runs)
    for name in others:
        if problem := test_rows_differ(runs[first], runs[name]):
            raise UserError(
                f"{name}: was not scored on the test rows of {first}: {problem}; give runs of the "
                "same --test file, or of the same --train file with the same --split-seed"
            )
    groups, notes = _groups(runs)
    notes += _unknown_sequences(runs)
    metrics = METRICS[runs[first].kind]
    comparisons = len(others) * len(metrics)
    resamples = resamples or max(_LEAST_RESAMPLES, _RESAMPLES_OF_A_COMPARISON * comparisons)
    scored = {name: scored_run(name, results) for name, results in runs.items()}
    found = paired_differences(
        {name: one.statistic for name, one in scored.items()},
        first,
        metrics,
        len(groups),
        groups=groups,
        resamples=resamples,
        seed=seed,
        reasons={
            name: _too_few(runs[first], scored[first], scored[name], groups) for name in others
        },
    )
    _judge(found)
    units = len(np.unique(groups))
    return Comparison(dict(runs), metrics, found, len(groups), units, resamples, tuple(notes))


def _judge(differences: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Correct the p-values for their number, and say what may be claimed."""
    every = [(found, metric) for of_run in differences.values() for metric, found in of_run.items()]
    correct([found for found, _ in every])
    for found, metric in every:
        corrected = found["corrected"]
        if corrected is None or found["low"] <= 0 <= found["high"] or corrected >= LEVEL:
            found["verdict"] = NOT_TOLD_APART
        else:
            better = (found["value"] > 0) == HIGHER_IS_BETTER[metric]
            found["verdict"] = "better" if better else "worse"


def _require_predictions(runs: Mapping[str, Results]) -> None:
    for name, results in runs.items():
        if not results.predictions or not results.classes:
            raise UserError(
                f"{name}: has no predictions to compare (predictions.csv and adapter.json or "
                "config.json are needed); give the folder of a finished run"
            )


def test_rows_differ(first: Results, other: Results) -> str:
    """Say how two sets of test rows differ; "" if they are the same, as far as is known."""
    if first.kind != other.kind or first.classes != other.classes:
        return f"it predicts {', '.join(other.classes)}, not {', '.join(first.classes)}"
    mine, theirs = (_label_columns(results) for results in (first, other))
    counts = [len(next(iter(columns.values()), [])) for columns in (mine, theirs)]
    if counts[0] != counts[1]:
        return f"it has {counts[1]:,} test rows, not {counts[0]:,}"
    for column in mine.keys() | theirs.keys():
        if not _equal(mine.get(column), theirs.get(column)):
            return f"the column {column} of predictions.csv differs"
    hashes = _test_hash(first), _test_hash(other)
    if all(hashes) and hashes[0] != hashes[1]:
        return "names and labels agree, but the SHA-256 of sequences and groups differs"
    return ""


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return np.array_equal(first, second, equal_nan=True)
    return type(first) is type(second) and first == second


def _label_columns(results: Results) -> dict[str, Any]:
    """The columns of the predictions that come from the data: names and labels."""
    return {
        name: cells
        for name, cells in results.predictions.items()
        if name == "name" or name == "label" or name.startswith("label[")
    }


def _test_hash(results: Results) -> str:
    return ((results.config.get("data") or {}).get("test") or {}).get("sha256", "")


def _unknown_sequences(runs: Mapping[str, Results]) -> list[str]:
    unknown = [name for name, results in runs.items() if not _test_hash(results)]
    if not unknown:
        return []
    return [
        f"{', '.join(unknown)}: names and labels of the test rows agree; their sequences could not "
        "be compared, since no hash of them is at hand"
    ]


def _groups(runs: Mapping[str, Results]) -> tuple[NDArray[np.int64], list[str]]:
    """Number the groups of related test rows, and say if they are not known."""
    several = list(runs.values())
    if any(results.test_groups is not None for results in several):
        return related_rows(several), []
    return related_rows(several), [
        "the runs do not say which test rows are related (splits.csv has no groups): intervals "
        "count single rows, and are too narrow if some are related"
    ]


def related_rows(runs: Sequence[Results]) -> NDArray[np.int64]:
    """Number the groups of related test rows, [rows]; rows related in any run are.

    Where no run says which rows are related, each is a group of its own.
    """
    known = [groups for results in runs if (groups := results.test_groups) is not None]
    if known:
        return joined_groups(known)
    return np.arange(len(next(iter(runs[0].predictions.values()))))


def _labels(results: Results) -> NDArray[np.int64]:
    """Class numbers [rows], or 1, 0 and `UNKNOWN_LABEL` [rows, labels]."""
    if results.kind == "multilabel":
        columns = [results.numbers(f"label[{name}]") for name in results.classes]
        return np.nan_to_num(np.stack(columns, axis=1), nan=UNKNOWN_LABEL).astype(np.int64)
    number = {name: k for k, name in enumerate(results.classes)}
    return np.array([number[label] for label in results.predictions["label"]], np.int64)


class ScoredRun(NamedTuple):
    """What is compared of a run.

    Attributes:
        statistic: metrics of how often each row is drawn: those of `test_metrics.json`.
        wrong: bool [rows] or [rows, labels], where it calls wrongly; None of a regression.
    """

    statistic: Statistic[str]
    wrong: NDArray[np.bool_] | None


def scored_run(name: str, results: Results) -> ScoredRun:
    """Prepare the metrics of a run for resampling.

    Raises:
        UserError: its predictions lack a column.
    """
    of_kind = {"regression": _scored_values, "multilabel": _scored_labels}
    try:
        return of_kind.get(results.kind, _scored_classes)(results)
    except KeyError as missing:
        raise UserError(
            f"{name}: predictions.csv does not hold {missing.args[0]}: restore the file"
        ) from None


def _scored_values(results: Results) -> ScoredRun:
    observed, predicted = results.numbers("label"), results.numbers("prediction")
    return ScoredRun(regression.statistic(observed, predicted), None)


def _scored_labels(results: Results) -> ScoredRun:
    labels, probabilities = _labels(results), _probabilities(results)
    wrong = (labels != UNKNOWN_LABEL) & ((labels == 1) != (probabilities > 0.5))
    return ScoredRun(multilabel.statistic(labels, probabilities, results.classes), wrong)


def _scored_classes(results: Results) -> ScoredRun:
    labels, probabilities, called = _labels(results), _probabilities(results), None
    if (threshold := (results.description.get("task") or {}).get("threshold")) is not None:
        called = (results.numbers("logit") > threshold).astype(np.int64)
    calls = predicted_classes(probabilities) if called is None else called
    return ScoredRun(classification.statistic(labels, probabilities, called), calls != labels)


def _probabilities(results: Results) -> NDArray[np.float64]:
    """Probabilities before calibration, [rows, classes] or [rows, labels]."""
    if results.kind == "classification" and len(results.classes) == 2:
        positive = results.numbers("probability")
        return np.stack([1 - positive, positive], axis=1)
    columns = [results.numbers(f"probability[{name}]") for name in results.classes]
    return np.stack(columns, axis=1)


def _too_few(
    results: Results, first: ScoredRun, other: ScoredRun, groups: NDArray[np.int64]
) -> str:
    """Say why the difference of two runs has no interval; "" where it has one."""
    own = groups if len(np.unique(groups)) < len(groups) else None
    if first.wrong is None or other.wrong is None:
        return too_few_for_a_difference([np.ones(len(groups), bool)], own, "")
    labels = _labels(results)
    if results.kind == "multilabel":
        sides, of = [c == value for c in labels.T for value in (0, 1)], "either value of each label"
    else:
        sides = [labels == k for k in range(len(results.classes))]
        of = "each class" if len(sides) > 2 else "either class"
    return too_few_for_a_difference(sides, own, of) or too_few_wrong(first.wrong | other.wrong, own)
