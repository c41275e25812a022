"""The cells of CSV and TSV files, each with the line that it stands in."""

import csv
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ntjax.errors import UserError
from ntjax.io.fasta import excerpt, open_text, read_head
from ntjax.sequences.alphabet import counted

if TYPE_CHECKING:  # pandas takes longer to load than all else here
    import pandas as pd

LOOKS_LIKE_DATA = re.compile(r"[ACGTUNRYSWKMBDHV]{10,}", re.IGNORECASE)
"""Matches a cell that is a sequence, not the name of a column."""

_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # Excel's own first line


class Layout(NamedTuple):
    """How a file of cells is written.

    Attributes:
        delimiter: between the fields.
        skipped: number of lines above that of the column names.
        header: the fields of that line.
        first: the fields of the row below it; none if it is not among the first 64 KiB.
        notes: what was guessed.
    """

    delimiter: str
    skipped: int
    header: list[str]
    first: list[str]
    notes: tuple[str, ...]


def suffix_of(path: str | os.PathLike) -> str:
    """The last extension that is not `.gz`, in lower case."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    return next((suffix for suffix in reversed(suffixes) if suffix != ".gz"), "")


def layout_of(path: str | os.PathLike) -> Layout:
    """Find the delimiter and the line of the column names.

    The delimiter is comma or tab as the extension says, unless only another one is in that line,
    or Excel's first line `sep=;` names it. Lines that begin with `#` are skipped above the
    names, which may begin with `#` themselves if sequences follow at once.

    Raises:
        UserError: the file can't be read.
    """
    head = read_head(path).removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    lines = re.split(r"\r\n|\r|\n", head)
    named = _SEPARATOR_LINE.fullmatch(lines[0].strip())
    above = skipped = int(named is not None)
    while lines[skipped:] and lines[skipped].startswith("#"):
        skipped += 1
    below = next(filter(str.strip, lines[skipped:]), "")
    delimiter = named[1] if named else _delimiter(path, below)
    if skipped > above and _are_names(lines[skipped - 1], below, delimiter):
        skipped -= 1
    filled = (f"{line}\n" for line in lines[skipped:] if line.strip())
    rows = csv.reader(filled, delimiter=delimiter)
    header, first = next(rows, []), next(rows, [])
    count = skipped - above
    notes = (f"skipped {counted(count, 'line')} that begin with '#'",) if count else ()
    return Layout(delimiter, skipped, header, first, notes)


class Header(NamedTuple):
    """The names of the columns of a file of cells.

    Attributes:
        names: of the columns, as many as the rows have fields.
        row_names: whether the first field of each row has no name in the file.
        notes: what was guessed.
    """

    names: list[str]
    row_names: bool
    notes: tuple[str, ...]


def header_of(path: str | os.PathLike, sequence_column: str, name_column: str) -> Header:
    """Read the names of the columns; R leaves out that of the row names.

    Raises:
        UserError: the file can't be read, or begins with data.
    """
    layout = layout_of(path)
    notes = list(layout.notes)
    names = [name.strip() for name in layout.header]
    row_names = _has_row_names(layout, names, sequence_column)
    if row_names:
        names.insert(0, "" if name_column in names else name_column)
        notes.append("the first field of each row has no column name: it is taken for a row name")
    elif names and (layout.skipped or names[0].startswith("#")):
        names[0] = names[0].lstrip("# ")
    if sequence_column not in names and any(map(LOOKS_LIKE_DATA.fullmatch, names)):
        raise UserError(
            f"{path}: line 1 looks like data, not column names: add a first line such as "
            "'sequence,label'"
        )
    return Header(names, row_names, tuple(notes))


def _has_row_names(layout: Layout, names: list[str], sequence_column: str) -> bool:
    """Whether rows begin with a field that the line of column names lacks, as R writes them."""
    if len(layout.first) != len(names) + 1 or sequence_column not in names:
        return False
    at = names.index(sequence_column)
    here, right = (bool(LOOKS_LIKE_DATA.fullmatch(layout.first[i])) for i in (at, at + 1))
    return right and not here


def filled_rows(cells: "pd.DataFrame") -> tuple["pd.DataFrame", int]:
    """Leave out blank lines and comments; returns the other rows and the number of comments."""
    filled = cells != ""
    comments = cells[0].str.startswith("#") & ~filled.iloc[:, 1:].any(axis=1)
    return cells[filled.any(axis=1) & ~comments], int(comments.sum())


def _delimiter(path: str | os.PathLike, line: str) -> str:
    candidates = (
        ",\t;" if suffix_of(path) == ".csv" else "\t,;"
    )  # Excel writes ';' in many countries
    return next((mark for mark in candidates if mark in line), candidates[0])


def _are_names(line: str, below: str, delimiter: str) -> bool:
    """Whether a line that begins with '#' holds the names of the columns of a row of data."""
    fields = below.split(delimiter)
    return line.count(delimiter) == len(fields) - 1 and any(
        LOOKS_LIKE_DATA.fullmatch(field.strip(' "')) for field in fields
    )


def read_cells(
    path: str | os.PathLike, example: str, rows: int = sys.maxsize, columns: int | None = None
) -> Iterator["pd.DataFrame"]:
    """The cells of a CSV or TSV file as text, all at once or so many rows at a time.

    The index is the line of the file, from 0; the first row holds the column names.

    Arguments:
        path: the file.
        example: of column names, for messages.
        rows: most rows of a frame.
        columns: number of columns, if the line of the names does not tell it.

    Raises:
        UserError: while iterating: the file can't be read or is no table.
    """
    import pandas as pd

    layout = layout_of(path)
    with open_text(path, newline="") as file:
        try:
            # Without a header for pandas, it neither takes a surplus column for an index nor
            # drops blank lines, so that the frame's row is the file's line.
            for cells in pd.read_csv(
                file,
                sep=layout.delimiter,
                header=None,
                names=columns and range(columns),
                skiprows=layout.skipped,
                dtype=str,
                na_filter=False,
                skip_blank_lines=False,
                chunksize=rows,
            ):
                cells.index += layout.skipped
                yield cells
        except pd.errors.EmptyDataError as error:
            raise UserError(
                f"{path}: line {layout.skipped + 1} is blank: it must hold the column names, such "
                f"as '{example}'"
            ) from error
        except pd.errors.ParserError as error:
            raise UserError(f"{path}: {_parser_problem(str(error), layout.delimiter)}") from error


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
