"""Which test rows a run calls rightly and wrongly, from its predictions."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ntjax.runs.results import Results

MOST_ERRORS = 10
MOST_CLASSES = 30
"""Most classes of a confusion matrix on a page; of more, the commonest confusions are listed."""


@dataclass(frozen=True)
class Errors:
    """The rows of one kind of error of which the run was surest.

    Attributes:
        title: which error.
        heads: of the columns.
        rows: cells, without the last.
        values: the last cell of each row, which they are sorted by: the probability of the call
            (several labels: of the label), or the error of a value.
        count: of all such errors.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    values: tuple[float, ...]
    count: int


@dataclass(frozen=True)
class Confusion:
    """Calls against labels.

    Attributes:
        classes: names.
        counts: int [classes, classes], true labels along the rows.
        commonest: (label, call, rows) of wrong calls, the commonest first.
    """

    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    commonest: tuple[tuple[str, str, int], ...]


@dataclass(frozen=True)
class LabelCalls:
    """How one of several labels is called, on the rows where it is known."""

    name: str
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


def probability_column(results: Results, name: str = "") -> str | None:
    """Return the column of the probabilities that calls are made by; None if there is none.

    Calibrated ones, where the run has them.

    Arguments:
        results: of a run.
        name: of a class of several, or of a label.
    """
    ending = f"[{name}]" if name else ""
    for kind in ("calibrated_probability", "probability"):
        if kind + ending not in results.predictions:
            continue
        if not np.isnan(results.numbers(kind + ending)).all():
            return kind + ending
    return None


def calls(results: Results) -> list[str] | None:
    """Return the class that each test row is called; None if the predictions are not at hand."""
    predictions, classes = results.predictions, results.classes
    if "call" in predictions:
        return predictions["call"]
    names = [probability_column(results, name) for name in classes]
    if len(classes) == 2 and (column := probability_column(results)):
        return [classes[int(p > 0.5)] for p in results.numbers(column)]
    if not classes or None in names:
        return None
    scores = np.stack([results.numbers(name) for name in names if name], axis=1)
    return [classes[number] for number in scores.argmax(axis=1)]


def confusion(results: Results) -> Confusion | None:
    """Count labels against calls; None if the predictions are not at hand."""
    called, labels = calls(results), results.predictions.get("label")
    if called is None or labels is None:
        return None
    cells = Counter(zip(labels, called, strict=True))
    classes = tuple(results.classes)
    counts = tuple(tuple(cells[label, call] for call in classes) for label in classes)
    wrong = [(*pair, rows) for pair, rows in cells.most_common() if pair[0] != pair[1]]
    return Confusion(classes, counts, tuple(wrong[:20]))


def label_calls(results: Results) -> list[LabelCalls]:
    """Count the calls of each label, at a probability of 0.5."""
    found = []
    for name in results.classes:
        column = probability_column(results, name)
        if column is None or f"label[{name}]" not in results.predictions:
            continue
        label, called = results.numbers(f"label[{name}]"), results.numbers(column) > 0.5
        found.append(
            LabelCalls(
                name,
                int(((label == 1) & called).sum()),
                int(((label == 0) & called).sum()),
                int(((label == 1) & ~called).sum()),
                int(((label == 0) & ~called).sum()),
            )
        )
    return found


def surest_errors(results: Results) -> list[Errors]:
    """List the rows that a run is wrong about though it is sure, at most ten each way."""
    if not results.predictions:
        return []
    by_kind = {"multilabel": _of_labels, "regression": _of_values}
    return by_kind.get(results.kind, _of_classes)(results)


def _of_classes(results: Results) -> list[Errors]:
    called, labels = calls(results), results.predictions.get("label")
    if called is None or labels is None:
        return []
    probability = _of_the_call(results, called)
    heads = ("name", "row", "label", "called", "probability")
    wrong = np.array([call != label for call, label in zip(called, labels, strict=True)], bool)
    if len(results.classes) != 2:
        cells = ("label", "call")
        return [_errors("Wrong calls", heads, results, wrong, probability, called, cells)]
    found, heads = [], (*heads[:2], "probability")
    for call in reversed(results.classes):
        other = next(name for name in results.classes if name != call)
        of_call = wrong & np.array([one == call for one in called], bool)
        title = f"Called {call}, labelled {other}"
        found.append(_errors(title, heads, results, of_call, probability, called, ()))
    return found


def _of_the_call(results: Results, called: list[str]) -> np.ndarray:
    """The probability of the class that each row is called."""
    classes = results.classes
    if len(classes) == 2 and (column := probability_column(results)):
        positive = results.numbers(column)
        return np.where([call == classes[1] for call in called], positive, 1 - positive)
    columns = {name: results.numbers(probability_column(results, name) or "") for name in classes}
    return np.array([columns[call][row] for row, call in enumerate(called)])


def _of_labels(results: Results) -> list[Errors]:
    found = []
    for title, sign in (("Called, but does not apply", 1), ("Not called, but applies", -1)):
        rows = []
        for name in results.classes:
            column = probability_column(results, name)
            if column is None or f"label[{name}]" not in results.predictions:
                continue
            label, p = results.numbers(f"label[{name}]"), results.numbers(column)
            wrong = (label == 0) & (p > 0.5) if sign > 0 else (label == 1) & (p <= 0.5)
            rows += [(p[row], _name(results, row), name) for row in np.flatnonzero(wrong)]
        rows.sort(key=lambda one: -sign * one[0])
        shown = rows[:MOST_ERRORS]
        found.append(
            Errors(
                title,
                ("name", "row", "label", "probability"),
                tuple((*name, label) for _, name, label in shown),
                tuple(float(p) for p, _, _ in shown),
                len(rows),
            )
        )
    return found


def _of_values(results: Results) -> list[Errors]:
    if not {"label", "prediction"} <= results.predictions.keys():
        return []
    error = results.numbers("prediction") - results.numbers("label")
    heads = ("name", "row", "observed", "predicted", "predicted − observed")
    columns = ("observed", "call")
    called = [f"{value:.6g}" for value in results.numbers("prediction")]
    return [
        _errors("Predicted too high", heads, results, error > 0, error, called, columns),
        _errors("Predicted too low", heads, results, error < 0, error, called, columns, True),
    ]


def _errors(
    title: str,
    heads: tuple[str, ...],
    results: Results,
    wrong: np.ndarray,
    values: np.ndarray,
    called: list[str],
    columns: tuple[str, ...],
    lowest: bool = False,
) -> Errors:
    rows = np.flatnonzero(wrong)
    order = rows[np.argsort(values[rows] if lowest else -values[rows], kind="stable")]
    cells = results.predictions | {"call": called}
    if "observed" in columns:
        cells["observed"] = [f"{value:.6g}" for value in results.numbers("label")]
    shown = order[:MOST_ERRORS]
    return Errors(
        title,
        heads,
        tuple((*_name(results, row), *(cells[column][row] for column in columns)) for row in shown),
        tuple(float(values[row]) for row in shown),
        len(rows),
    )


def _name(results: Results, row: int) -> tuple[str, str]:
    """A row's name and its number in its file."""
    columns = results.predictions
    return tuple(columns[name][row] if name in columns else "" for name in ("name", "row"))
