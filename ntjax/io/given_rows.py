"""Labelled sequences that a program hands over: lists or a DataFrame, in place of a file."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ntjax.errors import UserError
from ntjax.io.labels import cell_text, label_set_texts, label_texts
from ntjax.sequences.alphabet import Ambiguous, clean_sequences

if TYPE_CHECKING:
    from ntjax.io.tables import SequenceTable


def given_table(
    data: Any,
    name: str,
    *,
    sequence_column: str = "sequence",
    label_column: str | Sequence[str] = "label",
    name_column: str = "name",
    ambiguous: Ambiguous = "refuse",
) -> "SequenceTable":
    """Make a table of `(sequences, labels)` or of a DataFrame with the columns of a file.

    Arguments:
        data: a pair of sequences [n] and labels [n] (or [n, labels]), a DataFrame, or a table,
            which is returned as it is.
        name: what messages call it, such as "train".
        sequence_column: column of a DataFrame that holds the sequences.
        label_column: that of the labels; several for labels that are 0 or 1 each.
        name_column: that of the names, which may be absent.
        ambiguous: what becomes of IUPAC codes other than N: "refuse" or "n".

    Raises:
        UserError: something else was given, a column is missing, or a row is unusable.
    """
    from ntjax.io.tables import SequenceTable

    if isinstance(data, SequenceTable):
        return data
    several = not isinstance(label_column, str)
    label_columns = tuple(label_column) if several else (label_column,)
    if hasattr(data, "columns"):
        sequences, columns, names = _of_frame(
            data, name, sequence_column, label_columns, name_column
        )
    else:
        sequences, columns = _of_pair(data, name, len(label_columns) if several else 0)
        names = [""] * len(sequences)
    rows = range(1, len(sequences) + 1)
    for row, sequence in zip(rows, sequences, strict=True):
        if not isinstance(sequence, str):
            raise UserError(
                f"{name}: row {row}: the sequence is {type(sequence).__name__}, not text"
            )
    if several:
        labels = label_set_texts(columns, label_columns, name, rows)
    else:
        labels = label_texts(columns[0], name, rows, True)
    return SequenceTable(
        names=tuple(own or f"row_{row}" for own, row in zip(names, rows, strict=True)),
        sequences=tuple(clean_sequences(sequences, rows, name, ambiguous)),
        labels=labels,
        source=name,
        rows=tuple(rows),
    )


def _of_frame(
    frame: Any, name: str, sequence_column: str, label_columns: Sequence[str], name_column: str
) -> tuple[list[Any], list[list[Any]], list[str]]:
    missing = [c for c in (sequence_column, *label_columns) if c not in frame.columns]
    if missing:
        raise UserError(
            f"{name}: the DataFrame has no column {missing[0]!r}; it has "
            f"{', '.join(map(str, frame.columns))}"
        )
    names = [""] * len(frame)
    if name_column in frame.columns:
        names = [cell_text(value) for value in frame[name_column]]
    return list(frame[sequence_column]), [list(frame[column]) for column in label_columns], names


def _of_pair(data: Any, name: str, labels: int) -> tuple[list[Any], list[list[Any]]]:
    if not isinstance(data, (tuple, list)) or len(data) != 2 or isinstance(data[0], str):
        raise UserError(
            f"{name}: give (sequences, labels), a DataFrame with the columns of a file, or a path"
        )
    sequences, values = list(data[0]), data[1]
    if not sequences:
        raise UserError(f"{name}: there are no sequences")
    if len(values) != len(sequences):
        raise UserError(
            f"{name}: {len(sequences):,} sequences, {len(values):,} labels: give one label for "
            "each sequence"
        )
    if not labels:
        return sequences, [_plain(values)]
    shape = np.shape(values)
    if shape != (len(sequences), labels):
        raise UserError(
            f"{name}: labels should be [rows, labels] = ({len(sequences)}, {labels}), as "
            f"label_column names {labels}, not {shape}"
        )
    return sequences, [_plain(column) for column in np.asarray(values).T]


def _plain(values: Any) -> list[Any]:
    return values.tolist() if hasattr(values, "tolist") else list(values)
