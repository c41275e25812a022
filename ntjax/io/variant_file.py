"""Variants of VCF and BCF files, one record after the other, read by htslib (pysam).

https://samtools.github.io/hts-specs/VCFv4.3.pdf. Genotypes are neither needed nor looked at; for
the haplotypes of phased samples see `ntjax.io.vcf`.
"""

import contextlib
import gzip
import os
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.io.fasta import excerpt, require_file

_BGZF_FIELD = b"BC"
_READ_BYTES = 1 << 20
_NOT_VARIANTS = (
    "is this a VCF or BCF file? (a VCF begins with ##fileformat=VCF; tabs separate its columns)"
)


class VariantRecord(NamedTuple):
    """A record of a file.

    Attributes:
        number: of the record, from 1.
        contig: as the file calls it.
        position: of the first base of REF, from 1.
        name: the ID column; "" for none.
        reference: REF, in upper case.
        alternatives: ALT, as written, one for each allele; none where ALT is missing.
        raw: pysam's record.
    """

    number: int
    contig: str
    position: int
    name: str
    reference: str
    alternatives: tuple[str, ...]
    raw: Any


def load_pysam() -> Any:
    """Import pysam, with htslib's own messages switched off.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pysam
    except ImportError as error:
        raise UserError(
            'reading VCF and BCF files needs pysam: pip install "ntjax[genomics]"'
        ) from error
    pysam.set_verbosity(0)
    return pysam


class VariantFile:
    """A VCF or BCF file, plain, gzip- or bgzip-compressed, open for reading; a context manager.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     vcf = Path(folder) / "one.vcf"
    ...     _ = vcf.write_text(
    ...         "##fileformat=VCFv4.3\\n#CHROM\\tPOS\\tID\\tREF\\tALT\\tQUAL\\tFILTER\\tINFO\\n"
    ...         "chr1\\t7\\t.\\tA\\tC,<DEL>\\t.\\t.\\t.\\n"
    ...     )
    ...     with VariantFile(vcf) as variants:
    ...         [(record.position, record.alternatives) for record in variants.records()]
    [(7, ('C', '<DEL>'))]
    """

    def __init__(self, path: str | os.PathLike, region: str = ""):
        """Open a file and read its header.

        Arguments:
            path: the file.
            region: CONTIG or CONTIG:START-END, from 1, both ends included: only records that
                overlap it are read, which needs an index beside the file.

        Raises:
            UserError: the file can't be read or is of another format, pysam is not installed, or
                a region without an index.
        """
        self.path, self.region = require_file(path), region
        self._pysam, self._pipe = load_pysam(), None
        try:
            self._pipe = _Decompressed(self.path) if _is_plain_gzip(self.path) else None
            self._file = self._pysam.VariantFile(self._pipe.reader if self._pipe else self.path)
        except (ValueError, OSError, NotImplementedError) as error:
            raise self._unreadable(error) from None
        self.header = self._file.header

    def __enter__(self) -> "VariantFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._pipe:
            self._pipe.close()

    def records(self) -> Iterator[VariantRecord]:
        """Read the records, in the order of the file; once only.

        Raises:
            UserError: names the record that can't be read.
        """
        number, before = 0, "the header"
        source = self._fetched() if self.region else self._file
        while True:
            number += 1
            try:
                record = _record(number, next(source))
            except StopIteration:
                break
            except UnicodeDecodeError:
                raise UserError(
                    f"{self.path}: record {number:,} (after {before}) is not UTF-8 text: convert "
                    "the file (iconv -f latin1 -t utf-8)"
                ) from None
            except (ValueError, OSError):
                raise self._damaged(number, before) from None
            yield record
            before = f"{record.contig}:{record.position}"
        if self._pipe:
            self._pipe.check(self.path)

    def info(self, names: Sequence[str]) -> list["InfoField"]:
        """Look up INFO fields in the header.

        Raises:
            UserError: the header has no such field, or htslib cannot read it.
        """
        known = self.header.info
        for name in names:
            if name not in known:
                listed = ", ".join(known) or "none"
                raise UserError(f"{self.path}: has no INFO field {excerpt(name)}: it has {listed}")
            if known[name].number == "G":
                raise UserError(
                    f"{self.path}: INFO field {excerpt(name)} has Number=G in the header, which "
                    "only fields of genotypes may have: make it Number=. (bcftools reheader), or "
                    "leave the field out"
                )
        return [InfoField(name, known[name].number, known[name].type) for name in names]

    def _fetched(self) -> Iterator[Any]:
        contig, _, interval = self.region.rpartition(":")
        contig = contig or interval
        if self._file.index is None:
            raise UserError(
                f"{self.path}: has no index, which a region needs: compress it with bgzip and run "
                "tabix -p vcf (or bcftools index) on it, or leave --regions out"
            )
        names = list(self._file.index)
        other = contig[3:] if contig[:3].lower() == "chr" else f"chr{contig}"
        found = next((name for name in (contig, other) if name in names), None)
        if found is None:
            listed = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            raise UserError(
                f"{self.path}: has no record of contig {excerpt(contig)}: it has {listed}"
            )
        try:
            return self._file.fetch(region=found + self.region[len(contig) :].replace(",", ""))
        except (ValueError, IndexError):  # IndexError: CONTIG:START
            raise UserError(
                f"region {excerpt(self.region)}: should be CONTIG or CONTIG:START-END, such as "
                f"{found}:1000-2000"
            ) from None

    def _unreadable(self, error: Exception) -> UserError:
        if self._pipe:
            self._pipe.close()
            self._pipe.check(self.path)
        if "EOF marker" in str(error):
            return UserError(
                f"{self.path}: is truncated (its last block is missing): copy it again"
            )
        return UserError(f"{self.path}: can't be read as variants: {_NOT_VARIANTS}")

    def _damaged(self, number: int, before: str) -> UserError:
        if self._pipe:
            self._pipe.check(self.path)
        return UserError(
            f"{self.path}: record {number:,} (after {before}) can't be read: it needs eight "
            "columns with tabs between, CHROM, POS (a whole number), ID, REF, ALT, QUAL, FILTER, "
            "INFO: correct or remove it"
        )


def _record(number: int, raw: Any) -> VariantRecord:
    reference, alternatives = (raw.ref or "").upper(), tuple(raw.alts or ())
    return VariantRecord(number, raw.chrom, raw.pos, raw.id or "", reference, alternatives, raw)


class InfoField(NamedTuple):
    """An INFO field: its name, and Number and Type of the header."""

    name: str
    number: str | int
    type: str

    def of(self, record: VariantRecord, allele: int) -> Any:
        """Return what a record says of an allele.

        Of a field with a value for each alternative allele (Number=A) or for each allele (R) it is
        that of the allele; several values of other fields are joined by commas.

        Arguments:
            record: from a file with this field.
            allele: index in `record.alternatives`, 0 where there is none.

        Returns:
            A number, a text or, of a flag, whether it is there; None where it is missing.
        """
        if self.type == "Flag":
            return self.name in record.raw.info
        value = record.raw.info.get(self.name)
        if self.number in ("A", "R") and isinstance(value, tuple):
            index = allele + (self.number == "R")
            value = value[index] if index < len(value) else None
        if isinstance(value, tuple) and self.is_single:
            value = value[0]
        if isinstance(value, tuple):
            return ",".join("." if part is None else str(_exact(part)) for part in value)
        return _exact(value) if value is None or self.is_single else str(_exact(value))

    @property
    def is_single(self) -> bool:
        """Whether there is one value for each alternative allele."""
        return self.number in ("A", "R", 1)

    @property
    def dtype(self) -> str:
        """Type of a table's column, which is the same for all parts of a table."""
        if self.type == "Flag":
            return "bool"
        types = {"Integer": "Int64", "Float": "float64"}
        return types.get(self.type, "object") if self.is_single else "object"


def _exact(value: Any) -> Any:
    """Return a float32 of htslib as the shortest decimal number that it is read from."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _is_plain_gzip(path: Path) -> bool:
    """Tell gzip from bgzip, whose blocks have a field of their own in their headers."""
    with path.open("rb") as file:
        head = file.read(18)
    return head.startswith(b"\x1f\x8b") and head[12:14] != _BGZF_FIELD


class _Decompressed:
    """A gzip file as a stream of its content: pysam opens those of bgzip alone.

    Attributes:
        reader: to be read from.
    """

    def __init__(self, path: Path):
        descriptor, self._target = os.pipe()
        self.reader = os.fdopen(descriptor, "rb")
        self._damage: Exception | None = None
        self._thread = threading.Thread(target=self._feed, args=(path,), daemon=True)
        self._thread.start()

    def _feed(self, path: Path) -> None:
        target = os.fdopen(self._target, "wb")
        with contextlib.suppress(BrokenPipeError), target, gzip.open(path) as file:
            while block := self._read(file):
                target.write(block)

    def _read(self, file: Any) -> bytes:
        try:
            return file.read(_READ_BYTES)
        except (EOFError, OSError, zlib.error) as error:
            self._damage = error
            return b""

    def check(self, path: Path) -> None:
        """Refuse a file whose compressed data are damaged or end early.

        Raises:
            UserError: they are.
        """
        self._thread.join(timeout=1)
        if self._damage is not None:
            raise UserError(f"{path}: its gzip data are damaged or end early: copy the file again")

    def close(self) -> None:
        """Stop reading."""
        self.reader.close()
        self._thread.join(timeout=1)
