"""FASTA records, and the opening of text files that may be gzip-compressed or not text at all."""

import difflib
import gzip
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

from ntjax.errors import MissingLabelsError, UserError

_GZIP_MAGIC = b"\x1f\x8b"
_HEAD_BYTES = 1 << 16
_CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b"))
_LABEL_FIELD = re.compile(r"(?:^|\s)label=(\S*)")
_PARTS = "training|testing|train|test|validation"
_PART_FIELD = re.compile(rf"(.*)\|\s*({_PARTS})\s*", re.IGNORECASE)
_EXCEL = "is an Excel workbook: export the sheet as CSV"
# Files that are given in place of text, by their first bytes.
_NOT_TEXT = (
    (b"\xd0\xcf\x11\xe0", _EXCEL),
    (b"\x89PNG", "is a PNG image, not sequences: check the path"),
    (b"\xff\xd8\xff", "is a JPEG image, not sequences: check the path"),
    (b"GIF8", "is a GIF image, not sequences: check the path"),
    (b"%PDF", "is a PDF document, not sequences: check the path"),
    (b"BZh", "is compressed with bzip2: decompress it or use gzip"),
    (b"\xfd7zXZ", "is compressed with xz: decompress it or use gzip"),
    (b"\x28\xb5\x2f\xfd", "is compressed with Zstandard: decompress it or use gzip"),
    (b"\xff\xfe", "is UTF-16 text: save it as UTF-8"),
    (b"\xfe\xff", "is UTF-16 text: save it as UTF-8"),
)


class FastaRecord(NamedTuple):
    """One record as written: its header without '>', its letters, its header's line number."""

    name: str
    sequence: str
    row: int


def read_fasta(path: str | os.PathLike) -> Iterator[FastaRecord]:
    """Records of a FASTA file, plain or gzip-compressed, one after the other.

    Sequences may span lines; blank lines are skipped; letters are neither checked nor
    upper-cased (see `ntjax.sequences.alphabet.clean_sequences`).

    Raises:
        UserError: while iterating: the file can't be read, a record is empty, letters stand
            before the first header, or there is no record at all.
    """
    with open_text(path) as file:
        header, row, lines = None, 0, []
        for number, line in enumerate(file, start=1):
            line = line.strip()
            if line.startswith(">"):
                if header is not None:
                    yield _record(header, lines, row, path)
                header, row, lines = line[1:].strip(), number, []
            elif line and header is None:
                raise UserError(
                    f"{path}: line {number}: {excerpt(line)} stands before the first header: "
                    "a FASTA record begins with a line '>name'"
                )
            elif line:
                lines.append(line)
        if header is None:
            raise UserError(f"{path}: holds no FASTA record: a record begins with a line '>name'")
        yield _record(header, lines, row, path)


def _record(header: str, lines: list[str], row: int, path: str | os.PathLike) -> FastaRecord:
    if not lines:
        raise UserError(
            f"{path}: line {row}: record {excerpt(header)} has no sequence: "
            "add its letters or remove its header"
        )
    return FastaRecord(header, "".join(lines), row)


def split_label(header: str) -> tuple[str, str | None]:
    """Name and label of a FASTA header, `name label=1` or `name|1` (the last field).

    >>> split_label("thrLp|1"), split_label("thrLp label=1"), split_label("thrLp")
    (('thrLp', '1'), ('thrLp', '1'), ('thrLp', None))

    A label holds no white space, so that the description at the end of an NCBI header such as
    `gi|110640213|ref|NC_008253.1| Escherichia coli 536` isn't taken for one. Without a label
    the name is the whole header.
    """
    found = _LABEL_FIELD.search(header)
    if found:
        name = f"{header[: found.start()]} {header[found.end() :].lstrip()}".strip()
        return name, found.group(1) or None
    name, bar, label = header.rpartition("|")
    label = label.strip()
    if not bar or not label or re.search(r"\s", label):
        return header, None
    return name.strip(), label


class HeaderFields(NamedTuple):
    """Names [n] and labels [n] of FASTA headers; labels are None where one is missing."""

    names: list[str]
    labels: list[str] | None
    notes: tuple[str, ...]


def header_fields(
    records: Sequence[FastaRecord], path: str | os.PathLike, require_labels: bool
) -> HeaderFields:
    """Split headers into name and label, as `split_label` does.

    In iLearn's files, `name|1|training`, the last field names a part of a split and the label is
    the one before it. Where labels are missing, the name is the whole header.

    Raises:
        MissingLabelsError: a label is missing, or a part in some headers only.
    """
    found = [_PART_FIELD.fullmatch(record.name) for record in records]
    if not all(found):
        if require_labels and {match[2].lower() for match in found if match} - {"test"}:
            row = records[found.index(None)].row
            raise MissingLabelsError(
                f"{path}: line {row}: the header has no last field such as 'training', as others "
                "have: write '>name|label|training' or '>name|label' throughout"
            )
        found = []
    headers = [match[1] for match in found] or [record.name for record in records]
    names, labels = zip(*map(split_label, headers), strict=True)
    if None not in labels:
        return HeaderFields(list(names), list(labels), _note_on_parts(found))
    if require_labels:
        record = records[labels.index(None)]
        raise MissingLabelsError(
            f"{path}: line {record.row}: header {excerpt('>' + record.name)} has no label: write "
            "'>name|label' or '>name label=1' (a label without spaces)"
        )
    return HeaderFields([record.name for record in records], None, ())


def _note_on_parts(found: Sequence[re.Match]) -> tuple[str, ...]:
    counts = Counter(match[2] for match in found)
    if not counts:
        return ()
    listed = ", ".join(f"{part} ({count:,})" for part, count in counts.items())
    note = f"the last field of the headers, {listed}, names a part; the label is the field before"
    return (note + ("; the parts are not kept apart" if len(counts) > 1 else ""),)


def require_file(path: str | os.PathLike) -> Path:
    """The path, if it is a file that holds anything.

    Raises:
        UserError: it is missing (a near name in the folder is suggested), a folder, or empty.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise UserError(f"{path}: is a folder: give a file in it")
    if not os.path.exists(path):
        raise UserError(f"{path}: no such file: {_nearest_name(path)}")
    if not os.path.isfile(path):
        raise UserError(f"{path}: is not a regular file: save the data to a file first")
    if not os.path.getsize(path):
        raise UserError(f"{path}: the file is empty: write or download it again")
    return path


def _nearest_name(path: Path) -> str:
    folder = path.parent
    if not os.path.isdir(folder):
        return f"the folder '{folder}' does not exist"
    if not os.access(folder, os.R_OK):
        return "check the path"
    near = difflib.get_close_matches(path.name, os.listdir(folder), n=1)
    return f"did you mean '{folder / near[0]}'?" if near else "check the path"


def read_head(path: str | os.PathLike) -> bytes:
    """The first 64 KiB of a file, decompressed if it is gzip-compressed.

    Raises:
        UserError: the file can't be read, or is empty.
    """
    path = require_file(path)
    with _reading(path), _opened(path, "rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise UserError(f"{path}: the file is empty: write or download it again")
    return head


def is_gzip(path: str | os.PathLike) -> bool:
    """Whether a file begins with gzip's two magic bytes, whatever it is called."""
    with _reading(Path(path)), open(path, "rb") as file:
        return file.read(2) == _GZIP_MAGIC


@contextmanager
def open_text(path: str | os.PathLike, newline: str | None = None) -> Iterator[TextIO]:
    """A UTF-8 text file, plain or gzip-compressed, open for reading.

    What goes wrong while it is read inside the `with` block becomes a UserError too.

    Arguments:
        path: the file; gzip is recognised by its content.
        newline: as for `open`.

    Raises:
        UserError: the file is missing, empty, not permitted, damaged or not text.
    """
    refuse_not_text(path, read_head(path))
    with (
        _reading(Path(path)),
        _opened(path, "rt", encoding="utf-8-sig", newline=newline) as file,
    ):
        yield file


@contextmanager
def open_binary(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """As `open_text`, for those who read bytes."""
    refuse_not_text(path, read_head(path))
    with _reading(Path(path)), _opened(path, "rb") as file:
        yield file


def refuse_not_text(path: str | os.PathLike, head: bytes) -> None:
    """Raises UserError if a file's first bytes are an image, a workbook or anything binary."""
    for magic, problem in _NOT_TEXT:
        if head.startswith(magic):
            raise UserError(f"{path}: {problem}")
    if head.startswith(b"PK\x03\x04"):
        excel = b"xl/" in head or Path(path).suffix.lower() in (".xlsx", ".xlsm")
        raise UserError(f"{path}: {_EXCEL if excel else 'is a ZIP archive: unpack it first'}")
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        raise UserError(f"{path}: is a web page: download the file itself (the 'raw' link)")
    if head.startswith(b"@") and b"\n+" in head:
        raise UserError(f"{path}: is FASTQ: convert it to FASTA")
    if head.count(b"\0") * 3 > len(head):
        raise UserError(f"{path}: is UTF-16 text or binary data: save it as UTF-8 text")
    if len(head.translate(None, _CONTROL_BYTES)) < len(head):
        raise UserError(
            f"{path}: is binary data: give CSV, TSV, Parquet or FASTA (each but Parquet may be "
            "gzip-compressed)"
        )


def _opened(path: str | os.PathLike, mode: str, **options: str | None) -> TextIO:
    return (gzip.open if is_gzip(path) else open)(path, mode, **options)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turns what the operating system, gzip and UTF-8 object to into a UserError."""
    try:
        yield
    except PermissionError as error:
        raise UserError(f"{path}: no permission to read it: change its mode or owner") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(
            f"{path}: the gzip data are damaged or incomplete: copy or download the file again"
        ) from error
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise UserError(
            f"{path}: byte 0x{byte:02x} is not UTF-8 text: save the file as UTF-8"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or 'input/output error'}") from error


def excerpt(text: str, length: int = 40) -> str:
    """A text in quotes on one line, cut to `length` characters, for messages."""
    return repr(text if len(text) <= length else text[: length - 1] + "…")
