"""Labels as they stand in a file, and as the numbers that a model learns from."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from ntjax.errors import MissingLabelsError, UserError
from ntjax.io.fasta import excerpt

UNKNOWN_LABEL = -1
"""Of several labels a row: one that is not known. Not NaN, for 0 · NaN is not 0."""

# More classes than these, or than half of the rows, are measurements, not classes.
_MOST_CLASSES, _FEW_CLASSES = 1000, 10
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_WHOLE_FLOAT = re.compile(r"(-?\d+)\.0*")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
# Sums and squares of such values, and of their differences, stay far from the limits of floats.
_LARGEST, _SMALLEST_RANGE = 1e30, 1e-30
# Beside a row this many times farther away than the others reach, those are all but alike.
_FARTHEST = 1e6
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)
_BETWEEN_WORDS = re.compile(r"[\s_-]+")
_MISSING_LABELS = frozenset({"", "nan", "<na>"})  # in lower case
_NOT_KNOWN = _MISSING_LABELS | {"na", "none"}  # no class can be meant where only 0 and 1 can be


def cell_text(value: Any) -> str:
    """A cell as text, a missing one as ""."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    return str(value).strip()


def label_texts(
    values: Sequence[Any], source: str, rows: Sequence[int], require_labels: bool
) -> tuple[str, ...] | None:
    """A column of labels as text `[n]`; None if some are missing and need not be there.

    Raises:
        MissingLabelsError: a label is missing.
        UserError: labels differ in nothing that tells classes apart, such as their case.
    """
    text_of = {value: _label_text(value) for value in set(values)}
    labels = tuple(text_of[value] for value in values)
    if any(map(_is_missing, text_of.values())):
        if not require_labels:
            return None
        _refuse_missing_labels(labels, source, rows)
    if require_labels:
        _refuse_labels_alike(labels, source, rows)
    return labels


def _is_missing(text: str) -> bool:
    return text.lower() in _MISSING_LABELS or text == "NA"  # as R writes it


def group_text(value: Any) -> str:
    """A cell that names a group as text; "" where it is missing, and 1.0 is 1, as of labels."""
    text = cell_text(value)
    if _is_missing(text):
        return ""
    whole = _WHOLE_FLOAT.fullmatch(text)
    return str(int(whole.group(1))) if whole else text


def _refuse_missing_labels(labels: Sequence[str], source: str, rows: Sequence[int]) -> NoReturn:
    missing = [position for position, text in enumerate(labels) if _is_missing(text)]
    row, text = rows[missing[0]], labels[missing[0]]
    what = f"missing ({text!r})" if text else "empty"
    others = f", and {len(missing) - 1:,} more are missing" if len(missing) > 1 else ""
    remedy = "; if NA is a class, give it a longer name" if text == "NA" else ""
    raise MissingLabelsError(
        f"{source}: row {row}: the label is {what}{others}: fill it in or remove the row{remedy}"
    )


def _refuse_labels_alike(labels: Sequence[str], source: str, rows: Sequence[int]) -> None:
    counts, spellings = Counter(labels), {}
    for text in counts:
        if not _NUMBER.fullmatch(text):
            spellings.setdefault(_BETWEEN_WORDS.sub(" ", text).casefold(), []).append(text)
    alike = [texts for texts in spellings.values() if len(texts) > 1]
    if alike:
        listed = "; ".join(
            ", ".join(f"{excerpt(text)} ({counts[text]:,})" for text in texts)
            for texts in alike[:5]
        )
        raise UserError(
            f"{source}: row {rows[labels.index(alike[0][1])]}: labels differ only in case, blanks, "
            f"hyphens or underscores: {listed}: write them alike, or, if they are different "
            "classes, give them names that differ more"
        )


def label_set_texts(
    columns: Sequence[Sequence[Any]], names: Sequence[str], source: str, rows: Sequence[int]
) -> tuple[str, ...]:
    """Columns of 0 and 1 as one text a row: "1,0,", "" standing for a label not known.

    Arguments:
        columns: [labels][n] cells.
        names: [labels] of the columns, for messages.
        source: file, for messages.
        rows: [n] row numbers in it, for messages.

    Raises:
        UserError: a cell is neither 0 nor 1 nor empty.
    """
    texts = []
    for name, column in zip(names, columns, strict=True):
        text_of = {value: _label_text(value) for value in set(column)}
        known = {v: "" if text.lower() in _NOT_KNOWN else text for v, text in text_of.items()}
        for row, value in zip(rows, column, strict=True):
            if known[value] not in ("", "0", "1"):
                raise UserError(
                    f"{source}: row {row}: column {name!r} holds {excerpt(text_of[value])}: write "
                    "1 where the label applies, 0 where it does not, nothing where it is not known"
                )
        texts.append([known[value] for value in column])
    return tuple(",".join(cells) for cells in zip(*texts, strict=True))


def _label_text(value: Any) -> str:
    text = cell_text(value)
    whole = _WHOLE_FLOAT.fullmatch(text)  # pandas writes 1 as 1.0 once a column had a gap
    return str(int(whole.group(1))) if whole else text


def classes_of(labels: Iterable[str]) -> tuple[str, ...]:
    """The distinct labels: in numerical order if all are integers, else alphabetically.

    Of two classes the second is the positive one.
    """
    distinct = sorted(set(labels))
    if all(map(_WHOLE_NUMBER.fullmatch, distinct)):
        distinct.sort(key=int)
    return tuple(distinct)


def encode_labels(
    labels: Sequence[str],
    classes: Sequence[str],
    where: str,
    rows: Sequence[int] | None = None,
) -> np.ndarray:
    """Labels as positions in `classes`.

    Arguments:
        labels: [n] labels.
        classes: distinct labels in order, as from `classes_of`.
        where: file or data set, for messages.
        rows: [n] row numbers in it, for messages; 1 to n if absent.

    Returns:
        int32 [n].

    Raises:
        UserError: a label is not among the classes.
    """
    position_of = {name: position for position, name in enumerate(classes)}
    unknown = set(labels) - position_of.keys()
    if unknown:
        index = next(i for i, label in enumerate(labels) if label in unknown)
        row = index + 1 if rows is None else rows[index]
        listed = ", ".join(excerpt(name) for name in classes[:10])
        more = ", …" if len(classes) > 10 else ""
        raise UserError(
            f"{where}: row {row}: class {excerpt(labels[index])} is not one of {listed}{more}: "
            "correct the label or remove the row"
        )
    return np.array([position_of[label] for label in labels], dtype=np.int32)


def look_like_measurements(labels: Sequence[str]) -> bool:
    """Tell whether labels are values to be learned as such rather than classes.

    They are if more than two differ and some have decimals, or if most of ten or more stand in
    one row each, or if there are more than 1000.
    """
    counts = Counter(labels)
    if len(counts) <= 2:
        return False
    single = sum(count == 1 for count in counts.values())
    numbers = all(map(_NUMBER.fullmatch, counts))
    return (
        len(counts) > max(2, min(_MOST_CLASSES, len(labels) // 2))
        or (numbers and any(not _WHOLE_NUMBER.fullmatch(text) for text in counts))
        or (numbers and len(counts) >= _FEW_CLASSES and 2 * single > len(counts))
    )


def require_two_classes(labels: Sequence[str] | None, source: str) -> tuple[str, ...]:
    """The classes of the labels, if there are at least two.

    Raises:
        UserError: no labels, or all alike: nothing could be learned or measured.
    """
    classes = classes_of(labels or ())
    if len(classes) > 1:
        return classes
    if not classes:
        raise UserError(f"{source}: has no labels: two classes at least are needed")
    raise UserError(
        f"{source}: all {len(labels)} rows have the label {excerpt(classes[0])}: add rows of at "
        "least one other class"
    )


def encode_label_sets(
    labels: Sequence[str], where: str, rows: Sequence[int] | None = None
) -> np.ndarray:
    """Label sets, as `label_set_texts` writes them, as numbers.

    Returns:
        int32 [n, labels]: 1, 0, or `UNKNOWN_LABEL`.

    Raises:
        UserError: a row of which no label is known.
    """
    number_of = {"1": 1, "0": 0, "": UNKNOWN_LABEL}
    numbers = np.array([[number_of[cell] for cell in text.split(",")] for text in labels], np.int32)
    empty = np.flatnonzero((numbers == UNKNOWN_LABEL).all(axis=-1))
    if len(labels) and empty.size:
        row = empty[0] + 1 if rows is None else rows[empty[0]]
        raise UserError(
            f"{where}: row {row}: none of its labels is known: fill one in or remove the row"
        )
    return numbers


def require_both_values(labels: np.ndarray, names: Sequence[str], source: str) -> None:
    """Refuse a label that the rows hold only one value of: nothing of it could be learned.

    Arguments:
        labels: [n, labels], 1, 0 or `UNKNOWN_LABEL`.

    Raises:
        UserError: names the label.
    """
    for name, column in zip(names, labels.T, strict=True):
        if (column == UNKNOWN_LABEL).all():
            raise UserError(
                f"{source}: no row has a value in column {name!r}: fill it in or leave the column "
                "out of --label-column"
            )
        for value in (0, 1):
            if not (column == value).any():
                raise UserError(
                    f"{source}: no row has a {value} in column {name!r}: add such rows or leave "
                    "the column out of --label-column"
                )


def encode_values(
    labels: Sequence[str], where: str, rows: Sequence[int] | None = None
) -> np.ndarray:
    """Measured values.

    Arguments:
        labels: [n] labels.
        where: file or data set, for messages.
        rows: [n] row numbers in it, for messages; 1 to n if absent.

    Returns:
        float64 [n].

    Raises:
        UserError: a label is not a finite number, or above 1e30 or below -1e30.
    """
    for position, text in enumerate(labels):
        value = float(text) if _NUMBER.fullmatch(text) else np.nan
        if abs(value) <= _LARGEST:
            continue
        row = position + 1 if rows is None else rows[position]
        if np.isfinite(value):
            raise UserError(
                f"{where}: row {row}: {excerpt(text)} is too large a value (they may reach "
                f"{_LARGEST:g}): check its unit, correct the label or remove the row"
            )
        remedy = "correct the label or remove the row"
        if _DECIMAL_COMMA.fullmatch(text):
            remedy = "write decimals with a point"
        raise UserError(f"{where}: row {row}: {excerpt(text)} is not a finite number: {remedy}")
    return np.array([float(text) for text in labels])


def require_different_values(values: np.ndarray, source: str) -> None:
    """Refuse values `[n]` that are all alike: nothing could be learned or measured.

    Raises:
        UserError: they are, or differ by less than 1e-30, or there are none.
    """
    if not len(values):
        raise UserError(f"{source}: has no labels: numbers are needed")
    if values.min() == values.max():
        raise UserError(
            f"{source}: all {len(values)} rows have the value {values[0]:g}: add rows with others"
        )
    if values.max() - values.min() < _SMALLEST_RANGE:
        raise UserError(
            f"{source}: the values, from {values.min():g} to {values.max():g}, differ by less than "
            f"{_SMALLEST_RANGE:g}: check their unit, or write them in a smaller one"
        )


def require_similar_values(
    values: np.ndarray, others: np.ndarray, where: str, rows: Sequence[int]
) -> None:
    """Refuse a value that lies too far from others to be of the same unit.

    That is farther from the nearest of them than a million times their range. Learning would see
    nothing but that value, and so would every metric.

    Arguments:
        values: [n].
        others: [m]; if they are all alike, nothing is refused.
        where: file or data set of the values, for messages.
        rows: [n] row numbers in it, for messages.

    Raises:
        UserError: names the farthest.
    """
    low, high = others.min(), others.max()
    distances = np.maximum(low - values, values - high)
    farthest = int(np.argmax(distances))
    if low < high and distances[farthest] > _FARTHEST * (high - low):
        raise UserError(
            f"{where}: row {rows[farthest]}: {values[farthest]:g} is too far from the other values "
            f"({low:g} to {high:g}): check its unit, correct the label or remove the row"
        )
