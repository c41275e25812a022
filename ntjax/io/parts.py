"""Tables that are written in parts, so that an interrupted command can go on where it stopped.

The parts lie in a folder beside the table, `NAME.parts`, each written beside and renamed, with a
plan that says what they were made from. When all are there they are joined, the table appears under
its name, and the folder goes. A command that is killed repeats the part that it was writing.
"""

import io
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ntjax.errors import UserError
from ntjax.io.files import written_atomically
from ntjax.io.json import as_json, read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
_PLAN = "plan.json"


class Parts:
    """A table that is written in parts.

    Attributes:
        out: the table, `.csv`, `.tsv` or `.parquet`.
        folder: where the parts lie until all are there.
        is_whole: whether the table is there already, of an earlier run with the same plan.

    Arguments:
        out: the table.
        plan: what decides its content: hashes of the inputs, and settings.
        resume: go on with the parts that are there. If there are none, all are made.

    Raises:
        UserError: the table is there already, or parts that are not to be gone on with, or parts
            of another plan.
    """

    def __init__(self, out: Path, plan: Mapping[str, Any], resume: bool = False):
        self.out, self.folder = out, out.parent / f"{out.name}.parts"
        self._plan, self.is_whole = as_json(dict(plan)), False
        check_table_name(out)
        if not (self.folder / _PLAN).exists():  # it holds no part then
            if out.exists():
                raise UserError(f"{out} is there already: give another --out, or remove it")
            return
        if not resume:
            raise UserError(
                f"{self.folder} holds parts of an interrupted run: add --resume to go on with it, "
                "or remove that folder"
            )
        self._check()
        if out.exists():  # killed after the table was in place
            self.is_whole = True
            shutil.rmtree(self.folder)

    def _check(self) -> None:
        before, plan = read_json(self.folder / _PLAN), self._plan
        keys = [key for key in {**before, **plan} if before.get(key) != plan.get(key)]
        if keys:
            raise UserError(
                f"{self.folder}: cannot resume: {', '.join(keys)} changed since it was begun; "
                "remove that folder, or give another --out"
            )

    def has(self, number: int) -> bool:
        """Tell whether a part is there."""
        return self._path(number).exists()

    def write(self, number: int, frame: "pd.DataFrame") -> None:
        """Write a part; all have the same columns.

        Raises:
            UserError: the disk is full.
        """
        if not (self.folder / _PLAN).exists():
            write_json(self.folder / _PLAN, self._plan)
        data = _encoded(frame, self.out.suffix.lower(), header=number == 0)
        with written_atomically(self._path(number), len(data)) as file:
            file.write(data)

    def join(self) -> None:
        """Put the table in its place and remove the parts.

        Raises:
            UserError: the disk is full; the parts stay.
        """
        paths = sorted(self.folder.glob(f"[0-9]*{self.out.suffix.lower()}"))
        with written_atomically(self.out, sum(path.stat().st_size for path in paths)) as file:
            if self.out.suffix.lower() == ".parquet":
                _join_parquet(paths, file)
            else:
                for path in paths:
                    with path.open("rb") as part:
                        shutil.copyfileobj(part, file)
        shutil.rmtree(self.folder)

    def discard(self) -> None:
        """Remove the parts: what they were made from cannot be read again."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}{self.out.suffix.lower()}"


def check_table_name(out: Path) -> None:
    """Refuse a table whose format its name does not tell.

    Raises:
        UserError: lists the extensions.
    """
    if out.suffix.lower() not in TABLE_SUFFIXES:
        raise UserError(f"--out {out}: should end in {', '.join(TABLE_SUFFIXES)}")
    if out.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise UserError(
                f'--out {out}: writing Parquet needs pyarrow: pip install "ntjax[parquet]"'
            ) from error


def _encoded(frame: "pd.DataFrame", suffix: str, header: bool) -> bytes:
    if suffix == ".parquet":
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        return buffer.getvalue()
    separator = "\t" if suffix == ".tsv" else ","
    return frame.to_csv(index=False, header=header, sep=separator, lineterminator="\n").encode()


def _join_parquet(paths: list[Path], file: BinaryIO) -> None:
    from pyarrow import parquet

    tables: Iterator[Any] = map(parquet.read_table, paths)
    first = next(tables)
    with parquet.ParquetWriter(file, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table.cast(first.schema))
