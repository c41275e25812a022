"""Labelled sequences that a program hands over: lists or a DataFrame, in place of a file."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ntjax.errors import UserError
from ntjax.io.tables import (
    RawColumns,
    SequenceTable,
    Wanted,
    checked_table,
    chosen_columns,
    raw_columns,
)
from ntjax.sequences.alphabet import Ambiguous


def given_table(
    data: Any,
    name: str,
    *,
    sequence_column: str = "sequence",
    label_column: str | Sequence[str] = "label",
    name_column: str = "name",
    group_column: str = "",
    ambiguous: Ambiguous = "refuse",
) -> SequenceTable:
    """Make a table of `(sequences, labels)` or of a DataFrame with the columns of a file.

    Arguments:
        data: a pair of sequences [n] and labels [n] (or [n, labels]), a DataFrame, or a table,
            which is returned as it is.
        name: what messages call it, such as "train".
        sequence_column: column of a DataFrame that holds the sequences.
        label_column: that of the labels; several for labels that are 0 or 1 each.
        name_column: that of the names, which may be absent.
        group_column: that of the groups that rows belong to; "" for none.
        ambiguous: what becomes of IUPAC codes other than N: "refuse" or "n".

    Raises:
        UserError: something else was given, a column is missing, or a row is unusable.
    """
    if isinstance(data, SequenceTable):
        return data
    wanted = Wanted.of(sequence_column, label_column, name_column, True, group_column)
    if hasattr(data, "columns"):
        found = [str(column) for column in data.columns]
        chosen = chosen_columns(found, name, wanted)
        columns = {role: list(data.iloc[:, found.index(c)]) for role, c in chosen.items()}
        raw = raw_columns(columns, range(1, len(data) + 1))
    else:
        if group_column:
            raise UserError(
                f"{name}: (sequences, labels) have no column {group_column!r}: give a DataFrame, "
                "or leave group_column out"
            )
        sequences, labels = _of_pair(data, name, len(wanted.labels) if wanted.several else 0)
        raw = RawColumns(None, sequences, labels, range(1, len(sequences) + 1))
    return checked_table(raw, wanted, name, ambiguous)


def _of_pair(data: Any, name: str, labels: int) -> tuple[list[Any], list[list[Any]]]:
    if not isinstance(data, (tuple, list)) or len(data) != 2 or isinstance(data[0], str):
        raise UserError(
            f"{name}: give (sequences, labels), a DataFrame with the columns of a file, or a path"
        )
    sequences, values = list(data[0]), data[1]
    if not sequences:
        raise UserError(f"{name}: there are no sequences")
    for row, sequence in enumerate(sequences, 1):
        if not isinstance(sequence, str):
            raise UserError(
                f"{name}: row {row}: the sequence is {type(sequence).__name__}, not text"
            )
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
