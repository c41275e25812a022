"""Labelled sequences from CSV, TSV, Parquet and FASTA files."""

import difflib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ntjax.errors import MissingLabelsError, UserError
from ntjax.io.fasta import (
    excerpt,
    is_gzip,
    open_text,
    read_fasta,
    read_head,
    refuse_not_text,
    split_label,
)
from ntjax.io.labels import cell_text, label_set_texts, label_texts
from ntjax.sequences.alphabet import Ambiguous, clean_sequences

_FASTA_SUFFIXES = frozenset({".fa", ".fasta", ".fna", ".fas"})
_LOOKS_LIKE_DATA = re.compile(r"[ACGTUNRYSWKMBDHV]{10,}", re.IGNORECASE)


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
    """

    names: tuple[str, ...]
    sequences: tuple[str, ...]
    labels: tuple[str, ...] | None
    source: str
    rows: tuple[int, ...]

    def __post_init__(self) -> None:
        columns = [self.names, self.sequences, self.rows]
        if self.labels is not None:
            columns.append(self.labels)
        if len({len(column) for column in columns}) > 1:
            raise ValueError(f"columns differ in length: {[len(column) for column in columns]}")

    def __len__(self) -> int:
        return len(self.sequences)

    def take(self, indices: Iterable[int]) -> "SequenceTable":
        """The table of the given rows, in the given order; indices count from 0."""
        indices = [int(index) for index in indices]

        def chosen(column: tuple) -> tuple:
            return tuple(column[index] for index in indices)

        return SequenceTable(
            names=chosen(self.names),
            sequences=chosen(self.sequences),
            labels=None if self.labels is None else chosen(self.labels),
            source=self.source,
            rows=chosen(self.rows),
        )


def read_table(
    path: str | os.PathLike,
    *,
    sequence_column: str = "sequence",
    label_column: str | Sequence[str] = "label",
    name_column: str = "name",
    ambiguous: Ambiguous = "refuse",
    require_labels: bool = True,
) -> SequenceTable:
    """Sequences, labels and names of a CSV, TSV, Parquet or FASTA file.

    The content decides on the format, the extension only where the content leaves it open. All
    but Parquet may be gzip-compressed. In CSV and TSV an empty line is skipped, and quoted
    line breaks shift the row numbers after them. FASTA labels stand in the headers
    (`ntjax.io.fasta.split_label`).

    A label that is a whole number is written as one ("1" for 1, "1" and "1.0"). An empty cell
    and "nan" (what pandas writes) are missing labels; "NA" and "None" are classes. Where the
    name is missing or empty it is "row_N", N being the row number.

    Arguments:
        path: the file.
        sequence_column: column of the sequences (not for FASTA).
        label_column: column of the labels (not for FASTA); several for labels that are 0 or 1
            each, where an empty cell means that the label is not known.
        name_column: column of the names (not for FASTA); "name" may be absent.
        ambiguous: what becomes of letters other than A, C, G, T, N: "refuse" or "n".
        require_labels: whether a missing label is an error. If not, `labels` is None unless
            every row has one.

    Raises:
        MissingLabelsError: a label, or the column of the labels, is missing.
        UserError: the file can't be read, a column is missing, a sequence isn't DNA.
    """
    several = not isinstance(label_column, str)
    label_columns = tuple(label_column) if several else (label_column,)
    wanted = _Wanted(sequence_column, label_columns, name_column, require_labels, several)
    raw = _read_raw(path, wanted)
    source = str(path)
    if not raw.rows:
        raise UserError(f"{source}: has column names but no rows: add sequences below them")
    labels = None
    if raw.labels is not None and several:
        labels = label_set_texts(raw.labels, label_columns, source, raw.rows)
    elif raw.labels is not None:
        labels = label_texts(raw.labels[0], source, raw.rows, require_labels)
    sequences = clean_sequences(raw.sequences, raw.rows, source, ambiguous)
    given = raw.names or [""] * len(raw.rows)
    names = (name or f"row_{row}" for name, row in zip(given, raw.rows, strict=True))
    return SequenceTable(
        names=tuple(names),
        sequences=tuple(sequences),
        labels=labels,
        source=source,
        rows=tuple(raw.rows),
    )


class _Wanted(NamedTuple):
    """The columns to read, by what they hold; `several`: labels of 0 and 1, one per column."""

    sequence: str
    labels: tuple[str, ...]
    name: str
    require_labels: bool
    several: bool


class _Raw(NamedTuple):
    """Columns as read, before any check of their values; `labels` holds one list per column."""

    names: list[str] | None
    sequences: list[str]
    labels: list[list[Any]] | None
    rows: list[int]


def _read_raw(path: str | os.PathLike, wanted: _Wanted) -> _Raw:
    head = read_head(path)
    if head.startswith(b"PAR1"):
        if is_gzip(path):
            raise UserError(f"{path}: is gzip-compressed Parquet: decompress it with gunzip")
        return _read_parquet(path, wanted)
    refuse_not_text(path, head)
    is_fasta = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b">")
    if is_fasta or _suffix(path) in _FASTA_SUFFIXES:
        return _read_fasta_columns(path, wanted)
    return _read_delimited(path, wanted)


def _suffix(path: str | os.PathLike) -> str:
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")


def _delimiter(path: str | os.PathLike) -> str:
    """Comma or tab as the extension says, unless only another one is in the first line."""
    head = read_head(path).removeprefix(b"\xef\xbb\xbf")
    first_line = (head.splitlines() or [b""])[0].decode("utf-8", "replace")
    candidates = ",\t;" if _suffix(path) == ".csv" else "\t,;"  # Excel writes ';' in many countries
    return next((mark for mark in candidates if mark in first_line), candidates[0])


def read_cells(
    path: str | os.PathLike, example: str, rows: int = sys.maxsize
) -> Iterator[pd.DataFrame]:
    """The cells of a CSV or TSV file as text, all at once or so many rows at a time.

    The index is the line of the file, from 0; the first row holds the column names.

    Arguments:
        path: the file.
        example: of column names, for messages.
        rows: most rows of a frame.

    Raises:
        UserError: while iterating: the file can't be read or is no table.
    """
    delimiter = _delimiter(path)
    with open_text(path, newline="") as file:
        try:
            # Without a header for pandas, it neither takes a surplus column for an index nor
            # drops blank lines, so that the frame's row is the file's line.
            yield from pd.read_csv(
                file,
                sep=delimiter,
                header=None,
                dtype=str,
                na_filter=False,
                skip_blank_lines=False,
                chunksize=rows,
            )
        except pd.errors.EmptyDataError as error:
            raise UserError(
                f"{path}: line 1 is blank: it must hold the column names, such as '{example}'"
            ) from error
        except pd.errors.ParserError as error:
            raise UserError(f"{path}: {_parser_problem(str(error), delimiter)}") from error


def _read_delimited(path: str | os.PathLike, wanted: _Wanted) -> _Raw:
    [cells] = read_cells(path, "sequence,label")
    found = [name.strip() for name in cells.iloc[0]]
    if wanted.sequence not in found and any(map(_LOOKS_LIKE_DATA.fullmatch, found)):
        raise UserError(
            f"{path}: line 1 looks like data, not column names: add a first line such as "
            "'sequence,label'"
        )
    chosen = _chosen_columns(found, path, wanted)
    body = cells.iloc[1:]
    body = body[(body != "").any(axis=1)]
    columns = {role: body[found.index(name)].tolist() for role, name in chosen.items()}
    return _raw(columns, [index + 1 for index in body.index.tolist()])


def _parser_problem(message: str, delimiter: str) -> str:
    ragged = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if ragged:
        expected, line, saw = ragged.groups()
        return (
            f"line {line} has {saw} fields, the header {expected}: put quotes around a field "
            f"that holds {delimiter!r}, or remove what is too many"
        )
    unclosed = re.search(r"EOF inside string starting at row (\d+)", message)
    if unclosed:
        return f'the quote (") opened in line {int(unclosed.group(1)) + 1} is never closed'
    return f"is not a table: {excerpt(' '.join(message.split()), 120)}"


def _read_parquet(path: str | os.PathLike, wanted: _Wanted) -> _Raw:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(
            f'{path}: reading Parquet needs pyarrow: pip install "ntjax[parquet]"'
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            chosen = _chosen_columns(file.schema_arrow.names, path, wanted)
            for name in chosen.values():
                kind = file.schema_arrow.field(name).type
                if pyarrow.types.is_nested(kind):
                    raise UserError(f"{path}: column {name!r} holds {kind}, not text or numbers")
            arrow = file.read(columns=list(dict.fromkeys(chosen.values())))
        columns = {role: arrow[name].to_pylist() for role, name in chosen.items()}
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: the Parquet data are damaged or incomplete: copy or write the file again"
        ) from error
    return _raw(columns, list(range(1, arrow.num_rows + 1)))


def _chosen_columns(
    found: Sequence[str], path: str | os.PathLike, wanted: _Wanted
) -> dict[str, str]:
    """Column of each of "sequence", "name", "label" ("label 2", ...) that is there."""
    required = [
        ("sequence", wanted.sequence, True),
        *((_label_role(n), name, wanted.require_labels) for n, name in enumerate(wanted.labels)),
        ("name", wanted.name, wanted.name != "name"),
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
    lowered = {name.lower(): name for name in found}
    near = difflib.get_close_matches(column.lower(), lowered, n=1)
    option = f"--{role.split()[0]}-column"
    remedy = f"choose one with {option}"
    if near:
        remedy = f"did you mean {option} {excerpt(lowered[near[0]])}?"
    listed = ", ".join(excerpt(name) for name in found[:10])
    more = ", …" if len(found) > 10 else ""
    return f"no column {column!r} among {listed}{more}: {remedy}"


def _read_fasta_columns(path: str | os.PathLike, wanted: _Wanted) -> _Raw:
    if wanted.several:
        raise UserError(
            f"{path}: a FASTA header holds one label, not {len(wanted.labels)}: give a table (CSV, "
            "TSV or Parquet) with a column for each"
        )
    names, sequences, labels, headers, rows = [], [], [], [], []
    for header, sequence, row in read_fasta(path):
        name, label = split_label(header)
        if label is None and wanted.require_labels:
            raise MissingLabelsError(
                f"{path}: line {row}: header {excerpt('>' + header)} has no label: write "
                "'>name|label' or '>name label=1' (a label without spaces)"
            )
        names.append(name)
        sequences.append(sequence)
        labels.append(label)
        headers.append(header)
        rows.append(row)
    if None in labels:  # then a last field is part of the name
        return _Raw(headers, sequences, None, rows)
    return _Raw(names, sequences, [labels], rows)


def _raw(columns: dict[str, list[Any]], rows: list[int]) -> _Raw:
    names = columns.get("name")
    # Labels that are not required may be missing in part: then there are none.
    labels = [values for role, values in columns.items() if role.startswith("label")]
    return _Raw(
        names=None if names is None else [cell_text(name) for name in names],
        sequences=[cell_text(sequence) for sequence in columns["sequence"]],
        labels=labels or None,
        rows=rows,
    )
