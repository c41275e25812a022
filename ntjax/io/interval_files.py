"""Writers of intervals with scores: BED6, GFF3, tables, and tracks for genome browsers.

Each takes batches of rows in the order of the genome and writes them as they come, so that memory
does not grow with their number. BED: https://samtools.github.io/hts-specs/BEDv1.pdf, GFF3:
https://github.com/The-Sequence-Ontology/Specifications, bedGraph and bigWig:
https://genome.ucsc.edu/goldenPath/help/bigWig.html.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol
from urllib.parse import quote

import numpy as np

from ntjax.errors import UserError
from ntjax.io.formats import require_pyarrow

if TYPE_CHECKING:
    import pandas as pd

_GFF_SAFE = " ():+-_./|*^@!$?~[]#'\"<>{}"
_BED_LARGEST = 1000


class RowWriter(Protocol):
    """Writes rows with the columns `contig, start, end, name, strand, probability` and others."""

    def write(self, rows: "pd.DataFrame") -> None:
        """Write a batch; `start` counts from 0, `end` is left out of the interval."""

    def close(self) -> None:
        """Write what has to be at the end."""


class Bed:
    """BED6; the score is 1000 times the probability, rounded."""

    def __init__(self, file: BinaryIO):
        self._file = file

    def write(self, rows: "pd.DataFrame") -> None:
        """Write a batch."""
        scores = np.rint(_BED_LARGEST * rows["probability"].to_numpy()).astype(int).tolist()
        columns = [rows[name].tolist() for name in ("contig", "start", "end", "name", "strand")]
        for contig, start, end, name, strand, score in zip(*columns, scores, strict=True):
            self._file.write(f"{contig}\t{start}\t{end}\t{name}\t{score}\t{strand}\n".encode())

    def close(self) -> None:
        """Nothing is left to write."""


class Gff3:
    """GFF3; the columns that it has no place for are attributes, with their own names.

    Arguments:
        file: is written.
        lengths: of the contigs, in bp.
        attributes: columns to write as attributes.
        kind: the features' type, a term of the Sequence Ontology.
    """

    def __init__(
        self,
        file: BinaryIO,
        lengths: Mapping[str, int],
        attributes: Sequence[str],
        kind: str = "sequence_feature",
    ):
        self._file, self._attributes, self._kind = file, attributes, kind
        file.write(b"##gff-version 3\n")
        for contig, length in lengths.items():
            file.write(f"##sequence-region {_contig(contig)} 1 {length}\n".encode())

    def write(self, rows: "pd.DataFrame") -> None:
        """Write a batch."""
        names = ("contig", "start", "end", "probability", "strand", "name", *self._attributes)
        columns = [rows[name].astype(object) for name in names]
        known = [column.where(column.notna(), None).tolist() for column in columns]
        for row in zip(*known, strict=True):
            contig, start, end, probability, strand, name = row[:6]
            pairs = [("ID", name), *zip(self._attributes, row[6:], strict=True)]
            told = [f"{key}={_attribute(value)}" for key, value in pairs if value not in (None, "")]
            line = [_contig(contig), "ntjax", self._kind, start + 1, end, f"{probability:.6g}"]
            self._file.write(
                "\t".join([*map(str, line), strand, ".", ";".join(told)]).encode() + b"\n"
            )

    def close(self) -> None:
        """Nothing is left to write."""


def _contig(name: str) -> str:
    return quote(name, safe=".:^*$@!+_?-|")


def _attribute(value: Any) -> str:
    # A comma separates several values, each of which is escaped by itself.
    return ",".join(quote(part, safe=_GFF_SAFE) for part in str(value).split(","))


class ParquetRows:
    """Parquet, a row group for each batch that is not empty.

    Arguments:
        file: is written.
        empty: a table without rows, whose columns and types are those of every batch.
    """

    def __init__(self, file: BinaryIO, empty: "pd.DataFrame"):
        import pyarrow
        from pyarrow import parquet

        self._schema = pyarrow.Schema.from_pandas(empty, preserve_index=False).remove_metadata()
        self._writer = parquet.ParquetWriter(file, self._schema)

    def write(self, rows: "pd.DataFrame") -> None:
        """Write a batch."""
        import pyarrow

        if len(rows):
            table = pyarrow.Table.from_pandas(rows, self._schema, preserve_index=False)
            self._writer.write_table(table.replace_schema_metadata(None))

    def close(self) -> None:
        """Write the index."""
        self._writer.close()


class Track(Protocol):
    """Writes values along a genome, in its order; no two intervals overlap."""

    def write(self, contig: str, starts: np.ndarray, ends: np.ndarray, values: np.ndarray) -> None:
        """Write intervals of a contig, [n] each."""

    def close(self) -> None:
        """Write what has to be at the end."""


class BedGraph:
    """bedGraph, with the line that the UCSC browser wants before the values."""

    def __init__(self, file: BinaryIO, name: str):
        self._file = file
        told = name.replace('"', "'")
        file.write(f'track type=bedGraph name="{told}" viewLimits=0:1\n'.encode())

    def write(self, contig: str, starts: np.ndarray, ends: np.ndarray, values: np.ndarray) -> None:
        """Write intervals of a contig, [n] each."""
        rows = zip(starts.tolist(), ends.tolist(), values.tolist(), strict=True)
        text = "".join(f"{contig}\t{start}\t{end}\t{value:.6g}\n" for start, end, value in rows)
        self._file.write(text.encode())

    def close(self) -> None:
        """Nothing is left to write."""


class BigWig:
    """bigWig, by pyBigWig, which writes a file by its path.

    Arguments:
        path: is overwritten.
        lengths: of all contigs, in bp, in their order.

    Raises:
        UserError: pyBigWig is not installed.
    """

    def __init__(self, path: str, lengths: Mapping[str, int]):
        self._file = _py_big_wig().open(path, "w")
        self._file.addHeader(list(lengths.items()))

    def write(self, contig: str, starts: np.ndarray, ends: np.ndarray, values: np.ndarray) -> None:
        """Write intervals of a contig, [n] each."""
        if len(starts):
            self._file.addEntries(
                [contig] * len(starts), starts.tolist(), ends=ends.tolist(), values=values.tolist()
            )

    def close(self) -> None:
        """Write the index."""
        self._file.close()


def _py_big_wig() -> Any:
    try:
        import pyBigWig
    except ImportError as error:
        raise UserError(
            'writing bigWig needs pyBigWig: pip install "ntjax[genomics]", or leave bigwig out of '
            "--formats"
        ) from error
    return pyBigWig


def check_formats(formats: Sequence[str], known: Sequence[str]) -> None:
    """Refuse formats that are not known, or whose library is not installed.

    Raises:
        UserError: names the first one.
    """
    for name in formats:
        if name not in known:
            raise UserError(f"there is no format {name!r}: choose among {', '.join(known)}")
    if "bigwig" in formats:
        _py_big_wig()
    if "parquet" in formats:
        require_pyarrow("writing Parquet", ", or leave parquet out of --formats")
