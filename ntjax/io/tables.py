"""Labelled sequences from CSV, TSV, Parquet and FASTA files."""

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ntjax.errors import MissingLabelsError, UserError
from ntjax.io.delimited import filled_rows, header_of, read_cells
from ntjax.io.fasta import excerpt, header_fields, read_fasta
from ntjax.io.formats import check_flat, format_of, opened_parquet
from ntjax.io.labels import cell_text, group_text, label_set_texts, label_texts
from ntjax.sequences.alphabet import Ambiguous, clean_sequences, counted


@dataclass(frozen=True)
class SequenceTable:
    """Sequences with their names and, where known, their labels.

    Attributes:
        names: [n] names; they may repeat.
        sequences: [n] upper-case sequences of A, C, G, T and N.
        labels: [n] labels as text, or None. Of several label columns: their cells, joined by
            commas, "" where a cell is empty.
        source: file or data set they come from.
        rows: [n] row numbers in the source, counted from 1: the line of a CSV or TSV file (its
            header is line 1), the header's line of a FASTA record, the row of a Parquet file.
        notes: what was guessed or changed to read them, each with the source.
        groups: [n] names of the groups that rows belong to, "" for a row of its own, or None.
    """

    names: tuple[str, ...]
    sequences: tuple[str, ...]
    labels: tuple[str, ...] | None
    source: str
    rows: tuple[int, ...]
    notes: tuple[str, ...] = ()
    groups: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        columns = [self.names, self.sequences, self.rows]
        columns += [column for column in (self.labels, self.groups) if column is not None]
        if len({len(column) for column in columns}) > 1:
            raise ValueError(f"columns differ in length: {[len(column) for column in columns]}")

    def __len__(self) -> int:
        return len(self.sequences)

    def take(self, indices: Iterable[int]) -> "SequenceTable":
        """The table of the given rows, in the given order; indices count from 0."""
        indices = [int(index) for index in indices]

        def chosen(column: tuple) -> tuple:
            return tuple(column[index] for index in indices)

        return replace(
            self,
            names=chosen(self.names),
            sequences=chosen(self.sequences),
            labels=None if self.labels is None else chosen(self.labels),
            rows=chosen(self.rows),
            groups=None if self.groups is None else chosen(self.groups),
        )


def read_table(
    path: str | os.PathLike,
    *,
    sequence_column: str = "sequence",
    label_column: str | Sequence[str] = "label",
    name_column: str = "name",
    group_column: str = "",
    ambiguous: Ambiguous = "refuse",
    require_labels: bool = True,
) -> SequenceTable:
    """Sequences, labels and names of a CSV, TSV, Parquet or FASTA file.

    The content decides on the format, the extension only where the content leaves it open. All
    but Parquet may be gzip-compressed. In CSV and TSV empty lines and comments (`# …`) are skipped,
    and quoted line breaks shift the row numbers after them. Where every row has one field more
    than the line of column names, the first holds R's row names. FASTA labels stand in the headers
    (`ntjax.io.fasta.header_fields`).

    A label that is a whole number is written as one ("1" for 1, "1" and "1.0"). An empty cell,
    "nan" (what pandas writes) and "NA" (R) are missing labels; "None" is a class. Where the name
    is missing or empty it is "row_N", N being the row number. Names may repeat.

    Arguments:
        path: the file.
        sequence_column: column of the sequences (not for FASTA).
        label_column: column of the labels (not for FASTA); several for labels that are 0 or 1
            each, where an empty cell means that the label is not known.
        name_column: column of the names (not for FASTA); "name" may be absent.
        group_column: column of the groups that rows belong to (not for FASTA); "" for none.
        ambiguous: what becomes of IUPAC codes for several bases: "refuse", or "n" for N.
        require_labels: whether a missing label is an error. If not, `labels` is None unless
            every row has one.

    Raises:
        MissingLabelsError: a label, or the column of the labels, is missing.
        UserError: the file can't be read, a column is missing, a sequence isn't DNA.
    """
    wanted = Wanted.of(sequence_column, label_column, name_column, require_labels, group_column)
    raw = _read_raw(path, wanted)
    if not raw.rows:
        raise UserError(f"{path}: has column names but no rows: add sequences below them")
    return checked_table(raw, wanted, str(path), ambiguous)


class Wanted(NamedTuple):
    """The columns to read, by what they hold; `several`: labels of 0 and 1, one per column."""

    sequence: str
    labels: tuple[str, ...]
    name: str
    require_labels: bool
    several: bool
    group: str = ""

    @classmethod
    def of(
        cls,
        sequence: str,
        label: str | Sequence[str],
        name: str,
        require: bool,
        group: str = "",
    ) -> "Wanted":
        """The columns as `read_table` is given them."""
        several = not isinstance(label, str)
        labels = (label,) if isinstance(label, str) else tuple(label)
        return cls(sequence, labels, name, require, several, group)


class RawColumns(NamedTuple):
    """Columns as read, before any check of their values; `labels` holds one list per column."""

    names: list[str] | None
    sequences: list[str]
    labels: list[list[Any]] | None
    rows: Sequence[int]
    notes: tuple[str, ...] = ()
    groups: list[str] | None = None


def checked_table(
    raw: RawColumns, wanted: Wanted, source: str, ambiguous: Ambiguous
) -> SequenceTable:
    """Check the cells and make a table of them.

    Raises:
        UserError: a label is missing, or a sequence isn't DNA.
    """
    labels = None
    if raw.labels is not None and wanted.several:
        labels = label_set_texts(raw.labels, wanted.labels, source, raw.rows)
    elif raw.labels is not None:
        labels = label_texts(raw.labels[0], source, raw.rows, wanted.require_labels)
    sequences, notes = clean_sequences(raw.sequences, raw.rows, source, ambiguous)
    given = raw.names or [""] * len(raw.rows)
    return SequenceTable(
        names=tuple(name or f"row_{row}" for name, row in zip(given, raw.rows, strict=True)),
        sequences=tuple(sequences),
        labels=labels,
        source=source,
        rows=tuple(raw.rows),
        notes=tuple(f"{source}: {note}" for note in (*raw.notes, *notes)),
        groups=None if raw.groups is None else tuple(raw.groups),
    )


def _read_raw(path: str | os.PathLike, wanted: Wanted) -> RawColumns:
    readers = {
        "parquet": _read_parquet,
        "fasta": _read_fasta_columns,
        "delimited": _read_delimited,
    }
    return readers[format_of(path)](path, wanted)


def _read_delimited(path: str | os.PathLike, wanted: Wanted) -> RawColumns:
    header = header_of(path, wanted.sequence, wanted.name)
    columns = len(header.names) if header.row_names else None
    [cells] = read_cells(path, "sequence,label", columns=columns)
    chosen = chosen_columns(header.names, path, wanted)
    body, comments = filled_rows(cells.iloc[1:])
    notes = header.notes
    if comments:
        notes += (f"skipped {counted(comments, 'line')} below that begin with '#'",)
    values = {role: body[header.names.index(name)].tolist() for role, name in chosen.items()}
    return raw_columns(values, [index + 1 for index in body.index.tolist()], notes)


def _read_parquet(path: str | os.PathLike, wanted: Wanted) -> RawColumns:
    with opened_parquet(path) as file:
        chosen = chosen_columns(file.schema_arrow.names, path, wanted)
        check_flat(file, path, list(chosen.values()))
        arrow = file.read(columns=list(dict.fromkeys(chosen.values())))
        columns = {role: arrow[name].to_pylist() for role, name in chosen.items()}
    return raw_columns(columns, list(range(1, arrow.num_rows + 1)))


def chosen_columns(found: Sequence[str], path: str | os.PathLike, wanted: Wanted) -> dict[str, str]:
    """Column of each of "sequence", "name", "label" ("label 2", ...) that is there.

    Raises:
        MissingLabelsError: a column of labels is not there.
        UserError: another one is not there, or is there twice.
    """
    required = [
        ("sequence", wanted.sequence, True),
        *((_label_role(n), name, wanted.require_labels) for n, name in enumerate(wanted.labels)),
        ("name", wanted.name, wanted.name != "name"),
        *([("group", wanted.group, True)] if wanted.group else []),
    ]
    chosen = {}
    for role, column, is_required in required:
        if found.count(column) > 1:
            raise UserError(
                f"{path}: {found.count(column)} columns are called {column!r}: rename all but one"
            )
        if column in found:
            chosen[role] = column
        elif is_required:
            kind = MissingLabelsError if role.startswith("label") else UserError
            raise kind(f"{path}: {_missing_column(role, column, found)}")
    return chosen


def _label_role(number: int) -> str:
    return f"label {number + 1}" if number else "label"


def _missing_column(role: str, column: str, found: Sequence[str]) -> str:
    if role == "label" and set(several := column.split(",")) <= set(found):
        return (
            f"--label-column {column} names {len(several)} columns: one value a row; several "
            "targets are not supported: choose one of them (columns of 0 and 1 are learned "
            "together with --task multilabel)"
        )
    lowered = {name.lower(): name for name in found}
    near = difflib.get_close_matches(column.lower(), lowered, n=1)
    option = f"--{role.split()[0]}-column"
    remedy = f"choose one with {option}"
    if near:
        remedy = f"did you mean {option} {excerpt(lowered[near[0]])}?"
    listed = ", ".join(excerpt(name) for name in found[:10])
    more = ", …" if len(found) > 10 else ""
    return f"no column {column!r} among {listed}{more}: {remedy}"


def _read_fasta_columns(path: str | os.PathLike, wanted: Wanted) -> RawColumns:
    if wanted.several:
        raise UserError(
            f"{path}: a FASTA header holds one label, not {len(wanted.labels)}: give a table (CSV, "
            "TSV or Parquet) with a column for each"
        )
    if wanted.group:
        raise UserError(
            f"{path}: FASTA has no column {wanted.group!r}: give a table (CSV, TSV or Parquet), or "
            "leave --group-column out"
        )
    records = list(read_fasta(path))
    names, labels, notes = header_fields(records, path, wanted.require_labels)
    rows = [record.row for record in records]
    sequences = [record.sequence for record in records]
    return RawColumns(names, sequences, None if labels is None else [labels], rows, notes)


def raw_columns(
    columns: dict[str, list[Any]], rows: Sequence[int], notes: tuple[str, ...] = ()
) -> RawColumns:
    """Turn columns by what they hold, as `chosen_columns` names it, into texts."""
    names = columns.get("name")
    # Labels that are not required may be missing in part: then there are none.
    labels = [values for role, values in columns.items() if role.startswith("label")]
    return RawColumns(
        names=None if names is None else [cell_text(name) for name in names],
        sequences=[cell_text(sequence) for sequence in columns["sequence"]],
        labels=labels or None,
        rows=rows,
        notes=notes,
        groups=[group_text(name) for name in columns["group"]] if "group" in columns else None,
    )
