"""How a file of each format is written in parts, and joined from them."""

import csv
import io
import shutil
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import numpy as np

from ntjax.errors import UserError
from ntjax.io.formats import require_pyarrow
from ntjax.io.variant_file import load_pysam

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".tsv", ".parquet")
ARRAYS = (".npz", ".parquet")
VARIANTS = (".parquet", ".csv", ".tsv", ".vcf.gz")

OFFSETS = "offsets"
"""Of arrays: where the items of each row begin and end, [rows + 1], counted within a part."""


class PartFormat(Protocol):
    """Writes parts, and joins them."""

    def encode(self, content: Any, first: bool) -> bytes:
        """Return the bytes of a part."""

    def join(self, paths: Sequence[Path], file: BinaryIO) -> None:
        """Write what all parts hold, in their order."""


class Delimited:
    """CSV or TSV; the first part has the names of the columns."""

    def __init__(self, separator: str):
        self.separator = separator

    def encode(self, content: "pd.DataFrame", first: bool) -> bytes:
        """Return the lines of a table."""
        written: dict[str, Any] = {"index": False, "header": first, "sep": self.separator}
        text = content.to_csv(**written, lineterminator="\n")
        if "\r" in text:  # ends a line for most readers, and pandas does not quote it
            text = content.to_csv(**written, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        return text.encode()

    def join(self, paths: Sequence[Path], file: BinaryIO) -> None:
        """Put the lines behind each other."""
        for path in paths:
            with path.open("rb") as part:
                shutil.copyfileobj(part, file)


class Parquet:
    """Parquet; each part is a row group."""

    def encode(self, content: "pd.DataFrame", first: bool) -> bytes:
        """Return the file of a table."""
        import pyarrow
        from pyarrow import parquet

        del first
        table = pyarrow.Table.from_pandas(content, preserve_index=False)
        for number, field in enumerate(table.schema):
            if pyarrow.types.is_dictionary(field.type):  # each part has another
                decoded = table.column(number).cast(field.type.value_type)
                table = table.set_column(number, field.name, decoded)
        buffer = io.BytesIO()
        # Without pandas' own names of types, some of which it cannot read again.
        parquet.write_table(table.replace_schema_metadata(None), buffer)
        return buffer.getvalue()

    def join(self, paths: Sequence[Path], file: BinaryIO) -> None:
        """Write a row group for each part."""
        from pyarrow import parquet

        schema = parquet.read_schema(paths[0])
        with parquet.ParquetWriter(file, schema) as writer:
            for path in paths:
                writer.write_table(parquet.read_table(path).cast(schema))


class Arrays:
    """NumPy's `.npz`: arrays by name, joined along the first axis."""

    def encode(self, content: Mapping[str, np.ndarray], first: bool) -> bytes:
        """Return the file of arrays."""
        del first
        buffer = io.BytesIO()
        np.savez(buffer, **content)  # type: ignore[arg-type]
        return buffer.getvalue()

    def join(self, paths: Sequence[Path], file: BinaryIO) -> None:
        """Write one array after the other; of the parts one is in memory at a time."""
        with np.load(paths[0]) as part:
            names = part.files
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name in names:
                # A date of its own would make other bytes of the same arrays.
                entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
                with archive.open(entry, "w", force_zip64=True) as target:
                    _join_arrays(paths, name, target)


def _join_arrays(paths: Sequence[Path], name: str, target: Any) -> None:
    shapes, types = zip(*(_shape_and_type(path, name) for path in paths), strict=True)
    rows = sum(shape[0] for shape in shapes)
    rows -= (len(paths) - 1) * (name == OFFSETS)
    joined = np.result_type(*types)  # of texts: as long as the longest
    header = {
        "descr": np.lib.format.dtype_to_descr(joined),
        "fortran_order": False,
        "shape": (rows, *shapes[0][1:]),
    }
    np.lib.format.write_array_header_2_0(target, header)
    for values in _arrays(paths, name):
        target.write(np.ascontiguousarray(values.astype(joined)).tobytes())


def _arrays(paths: Iterable[Path], name: str) -> Iterable[np.ndarray]:
    before = None
    for path in paths:
        with np.load(path) as part:
            values = part[name]
        if name == OFFSETS:
            values = values if before is None else values[1:] + before
            before = values[-1] if len(values) else before
        yield values


def _shape_and_type(path: Path, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Read the header of an array alone."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as entry:
        version = np.lib.format.read_magic(entry)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read(entry)
        return shape, dtype


class Vcf:
    """VCF, compressed with bgzip; the first part has the header, parts are not compressed."""

    def encode(self, content: str, first: bool) -> bytes:
        """Return the lines."""
        del first
        return content.encode()

    def join(self, paths: Sequence[Path], file: BinaryIO) -> None:
        """Put the lines behind each other, and compress them."""
        whole = paths[0].with_name("whole.vcf.tmp")
        compressed = whole.with_suffix(".gz.tmp")
        with whole.open("wb") as target:
            for path in paths:
                with path.open("rb") as part:
                    shutil.copyfileobj(part, target)
        load_pysam().tabix_compress(str(whole), str(compressed), force=True)
        with compressed.open("rb") as source:
            shutil.copyfileobj(source, file)


FORMATS: dict[str, PartFormat] = {
    ".csv": Delimited(","),
    ".tsv": Delimited("\t"),
    ".parquet": Parquet(),
    ".npz": Arrays(),
    ".vcf.gz": Vcf(),
}


def suffix_of(out: Path) -> str:
    """Return a file's extension in lower case; of compressed VCF both."""
    name = out.name.lower()
    return ".vcf.gz" if name.endswith(".vcf.gz") else out.suffix.lower()


def check_name(out: Path, suffixes: Sequence[str]) -> None:
    """Refuse a file whose format its name does not tell.

    Raises:
        UserError: lists the extensions, or says what has to be installed.
    """
    if suffix_of(out) not in suffixes:
        raise UserError(f"--out {out}: should end in {' or '.join(suffixes)}")
    if suffix_of(out) == ".parquet":
        require_pyarrow(f"--out {out}: writing Parquet")
