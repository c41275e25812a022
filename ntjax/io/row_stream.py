"""Rows of a file in chunks, so that memory does not grow with the file.

Chunks depend on the file alone: where they begin is the same however often it is read.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ntjax.errors import UserError
from ntjax.io.delimited import filled_rows, header_of, read_cells
from ntjax.io.fasta import open_binary, read_fasta
from ntjax.io.formats import Format, check_flat, format_of, opened_parquet
from ntjax.io.labels import cell_text
from ntjax.io.tables import Wanted, chosen_columns
from ntjax.sequences.alphabet import Ambiguous, clean_sequences, counted

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS, MOST_BASES = 8_192, 1 << 19
"""Where a chunk ends, in rows and in bp."""

_ROWS_AT_ONCE = 2_048
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True)
class RowChunk:
    """Rows that follow each other.

    Attributes:
        names: [n] names; they may repeat.
        sequences: [n] upper-case sequences of A, C, G, T and N.
        rows: [n] row numbers in the file, as in `SequenceTable`.
        others: the other columns, [n, columns], as text (of Parquet files in their own types).
    """

    names: list[str]
    sequences: list[str]
    rows: list[int]
    others: "pd.DataFrame"

    def __len__(self) -> int:
        return len(self.sequences)


class RowStream:
    """A file of sequences that is read in chunks: CSV, TSV, Parquet or FASTA.

    Attributes:
        path: the file.
        others: names of the columns beside sequences and names.

    Arguments:
        path: the file.
        sequence_column: column of the sequences (not for FASTA).
        name_column: column of the names (not for FASTA, where the whole header is the name);
            "name" may be absent: rows are then called "row_N".
        ambiguous: what becomes of IUPAC codes for several bases: "refuse", or "n" for N.

    Raises:
        UserError: the file can't be read, or a column is missing.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        sequence_column: str = "sequence",
        name_column: str = "name",
        ambiguous: Ambiguous = "refuse",
    ):
        self.path, self._ambiguous = path, ambiguous
        self._wanted = Wanted.of(sequence_column, (), name_column, False)
        self._kind: Format = format_of(path)
        self._header, self._notes = self._read_header()
        self._chosen = chosen_columns(self._header, path, self._wanted)
        self.others = [
            name
            for name in self._header
            if name not in self._chosen.values() and not _PANDAS_INDEX.fullmatch(name)
        ]
        self._changed = self._comments = 0
        _refuse_twice(self.others, path)

    def notes(self) -> list[str]:
        """Say what was guessed, and what was changed in the rows that have been read."""
        notes = list(self._notes)
        if self._comments:
            notes.append(f"skipped {counted(self._comments, 'line')} below that begin with '#'")
        if self._changed:
            notes.append(
                f"N replaced IUPAC codes, or overlapping k-mers were joined, in "
                f"{counted(self._changed, 'row')}"
            )
        return [f"{self.path}: {note}" for note in notes]

    def chunks(self) -> Iterator[RowChunk]:
        """Read the rows; a chunk ends at the row with which it has `MOST_ROWS` or `MOST_BASES`.

        Raises:
            UserError: the file can't be read, a sequence isn't DNA, or there are no rows.
        """
        self._changed = self._comments = 0
        rows = 0
        for frame in _cut(self._frames(), self._header.index(self._chosen["sequence"])):
            rows += len(frame)
            yield self._chunk(frame)
        if not rows:
            raise UserError(f"{self.path}: has column names but no rows: add sequences below them")

    def _chunk(self, frame: "pd.DataFrame") -> RowChunk:
        frame.columns = self._header
        rows = frame.index.tolist()
        texts = _texts(frame[self._chosen["sequence"]])
        sequences, _ = clean_sequences(texts, rows, str(self.path), self._ambiguous)
        self._changed += sum(a != b.upper() for a, b in zip(sequences, texts, strict=True))
        names = [""] * len(rows)
        if "name" in self._chosen:
            names = _texts(frame[self._chosen["name"]])
        names = [name or f"row_{row}" for name, row in zip(names, rows, strict=True)]
        return RowChunk(names, sequences, rows, frame[self.others].reset_index(drop=True))

    def _read_header(self) -> tuple[list[str], tuple[str, ...]]:
        if self._kind == "fasta":
            return ["name", "sequence"], ()
        if self._kind == "parquet":
            with opened_parquet(self.path) as file:
                names = list(file.schema_arrow.names)
                _refuse_twice(names, self.path)
                check_flat(file, self.path, names)
            return names, ()
        header = header_of(self.path, self._wanted.sequence, self._wanted.name)
        self._row_names = header.row_names
        return header.names, header.notes

    def _frames(self) -> Iterator["pd.DataFrame"]:
        """Rows under the numbers of their columns, indexed by row number."""
        if self._kind == "fasta":
            return _fasta_frames(self.path)
        return _parquet_frames(self.path) if self._kind == "parquet" else self._delimited_frames()

    def _delimited_frames(self) -> Iterator["pd.DataFrame"]:
        columns = len(self._header) if self._row_names else None
        header_lines = 1
        for cells in read_cells(self.path, "name,sequence", _ROWS_AT_ONCE, columns):
            body, comments = filled_rows(cells.iloc[header_lines:])
            header_lines = 0
            self._comments += comments
            body.index += 1
            yield body


def _refuse_twice(names: list[str], path: str | os.PathLike) -> None:
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(f"{path}: columns called {min(twice)!r}: rename all but one of them")


def _texts(column: "pd.Series") -> list[str]:
    """Cells as text, missing ones as ""."""
    missing = column.isna()
    return ["" if absent else cell_text(cell) for cell, absent in zip(column, missing, strict=True)]


def _fasta_frames(path: str | os.PathLike) -> Iterator["pd.DataFrame"]:
    import pandas as pd

    cells, rows, bases = [], [], 0
    for record in read_fasta(path):
        cells.append((record.name, record.sequence))
        rows.append(record.row)
        bases += len(record.sequence)
        if len(rows) == _ROWS_AT_ONCE or bases >= MOST_BASES:
            yield pd.DataFrame(cells, index=rows)
            cells, rows, bases = [], [], 0
    if rows:
        yield pd.DataFrame(cells, index=rows)


def _parquet_frames(path: str | os.PathLike) -> Iterator["pd.DataFrame"]:
    import pandas as pd

    row = 1
    with opened_parquet(path) as file:
        for batch in file.iter_batches(_ROWS_AT_ONCE):
            # Without what pandas wrote about its index, which it would take out of the columns.
            frame = batch.to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
            frame.columns = range(frame.shape[1])
            frame.index = pd.RangeIndex(row, row + len(frame))
            row += len(frame)
            yield frame


def _cut(frames: Iterator["pd.DataFrame"], sequence: int) -> Iterator["pd.DataFrame"]:
    """Cut frames anew, at `MOST_ROWS` and `MOST_BASES`."""
    import pandas as pd

    waiting: list[pd.DataFrame] = []
    rows = bases = 0
    for frame in frames:
        start = 0
        for place, cell in enumerate(frame[sequence]):
            rows, bases = rows + 1, bases + len(cell_text(cell))
            if rows == MOST_ROWS or bases >= MOST_BASES:
                yield pd.concat([*waiting, frame.iloc[start : place + 1]])
                waiting, start, rows, bases = [], place + 1, 0, 0
        if start < len(frame):
            waiting.append(frame.iloc[start:])
    if waiting:
        yield pd.concat(waiting)


def fingerprint_of(path: str | os.PathLike) -> tuple[str, int]:
    """SHA-256 of a file's content, decompressed, and about how many rows it has.

    Raises:
        UserError: the file can't be read.
    """
    kind, digest, rows = format_of(path), hashlib.sha256(), 0
    if kind == "parquet":
        with opened_parquet(path) as file:
            rows = file.metadata.num_rows
        with open(path, "rb") as bytes_file:
            return hashlib.file_digest(bytes_file, "sha256").hexdigest(), rows
    mark, rows = (b">", 0) if kind == "fasta" else (b"\n", -1)
    with open_binary(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
            rows += block.count(mark)
    return digest.hexdigest(), rows
