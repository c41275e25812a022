"""Genomes from FASTA files, as memory-mapped stores."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.store import Genome, StoreWriter, open_store
from ntjax.io.fasta import excerpt, open_binary, read_fasta, require_file
from ntjax.sequences.alphabet import (
    AMBIGUOUS,
    NOT_A_BASE,
    UNKNOWN,
    base_codes,
    described_gaps,
)

_READ_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WHITE_SPACE = b" \t\r\n\v\f"
# A genome has a few letters that stand for several; a protein is full of them.
_MOST_AMBIGUOUS = 0.1


def open_genome(path: str | os.PathLike) -> Genome:
    """The store of a FASTA file, plain or gzip-compressed; made first if there is none.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     fasta = Path(folder) / "two.fa"
    ...     _ = fasta.write_text(">chr1\\nACGTNN\\n>chr2\\nacgt\\n")
    ...     [(contig.name, contig.end - contig.start) for contig in open_genome(fasta).contigs]
    [('chr1', 6), ('chr2', 4)]

    Lower case is read as upper case, IUPAC codes for several nucleotides as N.

    Raises:
        UserError: the file can't be read, an empty record, letters that are not nucleotides (a
            protein), nothing but N, or the cache folder can't be written.
    """
    path = require_file(path)
    return open_store(path, "fasta", lambda store: _fill(path, store))


def _fill(path: Path, store: StoreWriter) -> None:
    """Read a FASTA file into a store."""
    reading = _Reading(path, store)
    for lines, continued in _blocks(path):
        begin = 0
        for place, text in enumerate(lines):
            if text.startswith(b">") and (place or not continued):
                reading.add(lines[begin:place])
                reading.open_record(text[1:].decode(errors="replace").strip())
                begin = place + 1
        reading.add(lines[begin:])
    reading.finish()


def _blocks(path: Path) -> Iterator[tuple[list[bytes], bool]]:
    """Lines with their ends, and whether the first goes on with the last of the block before.

    A line may be a whole chromosome: it comes in pieces.
    """
    with open_binary(path) as file:
        rest, continued = file.read(len(_BYTE_ORDER_MARK)).removeprefix(_BYTE_ORDER_MARK), False
        while block := file.read(_READ_BYTES):
            lines = (rest + block).splitlines(keepends=True)
            rest = b""
            is_header = lines[0].startswith(b">") and not continued
            if not lines[-1].endswith(b"\n") and (len(lines) > 1 or is_header):
                rest = lines.pop()
            if lines:
                yield lines, continued
                continued = not lines[-1].endswith((b"\n", b"\r"))
        if rest:
            yield rest.splitlines(keepends=True), False


def _gaps(path: Path) -> Counter[str]:
    """Number of gaps of each record that has any."""
    gaps = Counter()
    for record in read_fasta(path):
        gaps[record.name[:40]] += record.sequence.count("-")
    return +gaps


@dataclass
class _Reading:
    """What is known of a FASTA file up to some line; lines count from 1."""

    path: Path
    store: StoreWriter
    header: str | None = None
    header_line: int = 0
    line: int = 1
    ambiguous: int = 0

    def open_record(self, header: str) -> None:
        self._close_record()
        self.header, self.header_line = header, self.line
        self.line += 1
        self.store.begin_contig((header.split() or ["unnamed"])[0])

    def _close_record(self) -> None:
        if self.header is not None and self.store.contigs[-1].start == self.store.letters:
            raise UserError(
                f"{self.path}: line {self.header_line}: record {excerpt(self.header)} has no "
                "sequence: add its letters or remove its header"
            )

    def add(self, lines: list[bytes]) -> None:
        """Letters of the record that is open."""
        codes = base_codes(b"".join(lines), _WHITE_SPACE)
        if len(codes):
            largest = codes.max()
            if self.header is None or largest == NOT_A_BASE:
                raise self._refusal(lines)
            if largest == AMBIGUOUS:
                self.ambiguous += int(np.count_nonzero(codes == AMBIGUOUS))
                codes = np.minimum(codes, UNKNOWN)
            self.store.add(codes)
        self.line += len(lines)
        if lines and not lines[-1].endswith((b"\n", b"\r")):
            self.line -= 1  # its rest is still to come

    def _refusal(self, lines: list[bytes]) -> UserError:
        for number, line in enumerate(lines, start=self.line):
            place, text = f"{self.path}: line {number}", line.strip()
            if text and self.header is None:
                return UserError(
                    f"{place}: {excerpt(text.decode(errors='replace'))} stands before the first "
                    "header: a FASTA record begins with a line '>name'"
                )
            bad = np.frombuffer(text, np.uint8)[base_codes(text) == NOT_A_BASE].tobytes()
            if bad := bad.translate(None, _WHITE_SPACE).decode(errors="replace"):
                remedy = "write T for U" if bad[0] in "uU" else "is this a protein?"
                if bad[0] == "-":
                    remedy = described_gaps(_gaps(self.path), "record")
                return UserError(
                    f"{place}: {bad[0]!r} is no nucleotide (a genome is written in A, C, G, T, N "
                    f"and the IUPAC codes for several of them): {remedy}"
                )
        raise AssertionError("called without a letter to refuse")

    def finish(self) -> None:
        """The file's end."""
        if self.header is None:
            raise UserError(
                f"{self.path}: holds no FASTA record: a record begins with a line '>name'"
            )
        self._close_record()
        if not len(self.store.stretches):
            raise UserError(f"{self.path}: holds nothing but N: give a genome with nucleotides")
        if self.ambiguous > _MOST_AMBIGUOUS * self.store.letters:
            share = self.ambiguous / self.store.letters
            raise UserError(
                f"{self.path}: {share:.0%} of its letters stand for several nucleotides (R, Y, S, "
                "...): is this a protein?"
            )
