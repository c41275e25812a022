"""Which format a file of sequences is written in; Parquet files opened with errors in words."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from ntjax.errors import UserError
from ntjax.io.delimited import suffix_of
from ntjax.io.fasta import is_gzip, read_head, refuse_not_text

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

Format = Literal["parquet", "fasta", "delimited"]

_FASTA_SUFFIXES = frozenset({".fa", ".fasta", ".fna", ".fas"})


def format_of(path: str | os.PathLike) -> Format:
    """Tell the format by the content; the extension decides only where the content leaves it open.

    Raises:
        UserError: the file can't be read, is compressed Parquet, or none of the three.
    """
    head = read_head(path)
    if head.startswith(b"PAR1"):
        if is_gzip(path):
            raise UserError(f"{path}: is gzip-compressed Parquet: decompress it with gunzip")
        return "parquet"
    refuse_not_text(path, head)
    is_fasta = head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b">")
    return "fasta" if is_fasta or suffix_of(path) in _FASTA_SUFFIXES else "delimited"


def require_pyarrow(purpose: str, otherwise: str = "") -> None:
    """Refuse to go on where pyarrow is not installed.

    Arguments:
        purpose: what needs it, for the message.
        otherwise: what else can be done.

    Raises:
        UserError: says what to install.
    """
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise UserError(
            f'{purpose} needs pyarrow: pip install "ntjax[parquet]"{otherwise}'
        ) from error


@contextmanager
def opened_parquet(path: str | os.PathLike) -> Iterator["ParquetFile"]:
    """Open a Parquet file; what goes wrong in the block because of its data is a `UserError`.

    Raises:
        UserError: pyarrow is not installed, or the data are damaged.
    """
    require_pyarrow(f"{path}: reading Parquet")
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: the Parquet data are damaged or incomplete: copy or write the file again"
        ) from error


def check_flat(file: "ParquetFile", path: str | os.PathLike, names: list[str]) -> None:
    """Refuse columns that hold lists or structures.

    Raises:
        UserError: names the first one.
    """
    from pyarrow import types

    for name in names:
        kind = file.schema_arrow.field(name).type
        if types.is_nested(kind):
            raise UserError(f"{path}: column {name!r} holds {kind}, not text or numbers")
