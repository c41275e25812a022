"""Phased variants of a VCF file, compact: one bit for each allele and haplotype.

The file is read once, line by line. What is kept does not depend on the genome's size: the 1.7
million alleles and 5,008 haplotypes of chromosome 20 in the 1000 Genomes Project take 1.1 GB.
VCF: https://samtools.github.io/hts-specs/VCFv4.3.pdf
"""

import io
import os
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.intervals import ContigNames
from ntjax.genomes.store import Contig, Genome
from ntjax.io.fasta import excerpt, open_binary, read_head, require_file
from ntjax.io.files import release
from ntjax.io.vcf import read_genotypes, read_header
from ntjax.sequences.alphabet import BASES, UNKNOWN, base_codes

_SPELLED = re.compile(rb"[ACGTacgt]+")
# Symbols, the allele of a deletion further up, breakends, and letters for several nucleotides.
_NOT_SPELLED = re.compile(rb"<.+>|\*|.*[\[\]].*|\.[A-Za-z]+|[A-Za-z]+\.|[ACGTNRYSWKMBDHV]+", re.I)
# Pages of the reference that were read count as the process's memory until they are given back.
_RECORDS_BEFORE_RELEASE = 4096
_SHOWN_ROWS, _SHOWN_LETTERS = 3, 12


@dataclass(frozen=True)
class PhasedVariants:
    """Alleles other than the reference's, and the haplotypes that carry them.

    No two that one haplotype carries overlap. A row is one allele; the rows of a contig stand
    together, in the order of their `starts`. Haplotype 2 i is the one before the '|' of sample i,
    2 i + 1 the one behind it.

    Attributes:
        path: the VCF file.
        samples: their names.
        contigs: of the reference (index), those with records, and their rows: first, behind-last.
        starts, ends: int64 [rows], the REF allele's first and behind-last place in the store.
        bounds: int64 [rows + 1]; row i's letters are `letters[bounds[i] : bounds[i + 1]]`.
        letters: uint8 [letters], all ALT alleles one after the other.
        carriers: uint8 [rows, ⌈haplotypes / 8⌉], bits as `np.packbits` orders them.
        notes: what was left out of the file, a line each.
    """

    path: Path
    samples: tuple[str, ...]
    contigs: dict[int, tuple[int, int]]
    starts: np.ndarray
    ends: np.ndarray
    bounds: np.ndarray
    letters: np.ndarray
    carriers: np.ndarray
    notes: tuple[str, ...]

    @property
    def haplotypes(self) -> int:
        """Two for each sample."""
        return 2 * len(self.samples)

    @cached_property
    def reaches(self) -> np.ndarray:
        """The furthest of the `ends` so far in the contig, int64 [rows]."""
        reaches = np.empty_like(self.ends)
        for first, last in self.contigs.values():
            reaches[first:last] = np.maximum.accumulate(self.ends[first:last])
        return reaches

    def carried(self, first: int, last: int, haplotype: int) -> np.ndarray:
        """Those of the rows from `first` to before `last` that a haplotype carries."""
        bits = self.carriers[first:last, haplotype >> 3] << (haplotype & 7) & 128
        return first + np.flatnonzero(bits)


def read_variants(reference: Genome, path: str | os.PathLike) -> PhasedVariants:
    """The phased variants of a VCF file, plain or compressed with gzip or bgzip.

    Alleles that are not spelled out in A, C, G and T, records that touch an N of the reference,
    and variants that overlap the one before on the same haplotype are left out, as if the
    haplotype had the reference there; `notes` counts them. A missing allele is the reference's.
    Overlap is that of the REF alleles as the file has them, except that an insertion or deletion
    that repeats its first base (the anchor) may follow a variant that ends there, such as an SNV of
    that base, as in `bcftools consensus`. A contig may be called `20` in one file and `chr20` in
    the other.

    Raises:
        UserError: the file can't be read, is not a VCF, has no genotypes or is malformed; it is
            not sorted; a contig or a position that the reference lacks; heterozygous genotypes
            that are not phased; REF alleles that disagree with the reference.
    """
    path = require_file(path)
    if read_head(path).startswith(b"BCF"):
        raise UserError(f"{path}: is BCF: convert it with `bcftools view -Oz -o phased.vcf.gz`")
    with open_binary(path) as file:
        lines = enumerate(file, start=1)
        samples, stated = read_header(path, lines)
        reading = _Reading(path, reference, samples, stated)
        for number, line in lines:
            if line.strip():
                reading.add(number, line.rstrip(b"\r\n"))
    return reading.finished()


class _Allele(NamedTuple):
    """An ALT allele: what it replaces in the store, [start, end), by what, on which haplotypes."""

    start: int
    end: int
    letters: bytes
    haplotypes: np.ndarray


@dataclass
class _Reading:
    """What is known of a VCF file up to some line."""

    path: Path
    reference: Genome
    samples: tuple[str, ...]
    stated: str

    chromosome: bytes = b""
    position: int = 0
    records: int = 0
    contigs: dict[int, tuple[int, int]] = field(default_factory=dict)
    starts: array = field(default_factory=lambda: array("q"))
    ends: array = field(default_factory=lambda: array("q"))
    bounds: array = field(default_factory=lambda: array("q", [0]))
    letters: bytearray = field(default_factory=bytearray)
    carriers: io.BytesIO = field(default_factory=io.BytesIO)
    disagreeing: int = 0
    shown: list[str] = field(default_factory=list)
    unknown: int = 0
    not_spelled: int = 0
    missing: int = 0
    overlapping: int = 0

    def __post_init__(self):
        self.contig: Contig | None = None
        self.store = memoryview(self.reference.letters)
        self.names = ContigNames(self.reference, self.path)
        # By haplotype: the end of the last variant, and where bases were inserted last.
        self.taken, self.inserted = np.zeros((2, 2 * len(self.samples)), np.int64)
        # Alleles without their anchor, which lie behind all others of the same position.
        self.waiting: list[_Allele] = []

    def problem(self, line: int, text: str) -> UserError:
        return UserError(f"{self.path}: line {line}: {text}")

    def add(self, line: int, text: bytes) -> None:
        """One record."""
        columns = text.count(b"\t") + 1
        if columns != 9 + len(self.samples):
            raise self.problem(
                line,
                f"has {columns} columns, where the header names {9 + len(self.samples)}: the file "
                "is damaged or cut short; make or download it again",
            )
        chromosome, position, _, ref, alt, _, _, _, keys, genotypes = text.split(b"\t", 9)
        if chromosome != self.chromosome:
            self._open_contig(line, chromosome)
        start = self._place(line, position, ref)
        self.records += 1
        if self.records % _RECORDS_BEFORE_RELEASE == 0:
            release(self.reference.letters)
        if not self._agrees(line, start, ref) or self.disagreeing:
            return
        alternatives = self._alternatives(line, alt)
        try:
            haplotypes, alleles, missing = read_genotypes(keys, genotypes, self.samples)
        except UserError as error:
            raise self.problem(line, str(error)) from None
        self.missing += missing
        if len(alleles) and alleles.max() > len(alternatives):
            sample = self.samples[haplotypes[alleles.argmax()] // 2]
            raise self.problem(
                line,
                f"sample {excerpt(sample)} has allele {alleles.max()}, but ALT lists "
                f"{len(alternatives)}: the record is damaged",
            )
        for allele in np.unique(alleles).tolist():
            if letters := alternatives[allele - 1]:
                found = _Allele(start, start + len(ref), letters, haplotypes[alleles == allele])
                self._append(found, bytes(self.store[start : start + 1]))

    def _open_contig(self, line: int, chromosome: bytes) -> None:
        self._close_contig()
        name = chromosome.decode(errors="replace")
        self.contig = self.names.contig(name, line)
        number = self.names.number(name)
        if number in self.contigs:
            raise self.problem(
                line,
                f"contig {excerpt(name)} has other records further up: sort the file "
                "(`bcftools sort`)",
            )
        self.contigs[number] = (len(self.starts), len(self.starts))
        self.chromosome, self.position = chromosome, 0
        self.taken[:] = self.inserted[:] = 0

    def _close_contig(self) -> None:
        self._write_waiting()
        if self.contigs:
            number, (first, _) = self.contigs.popitem()
            self.contigs[number] = (first, len(self.starts))

    def _place(self, line: int, position: bytes, ref: bytes) -> int:
        """The record's first place in the store."""
        if not position.isdigit() or not int(position):
            text = excerpt(position.decode(errors="replace"))
            raise self.problem(line, f"POS is {text}: it has to be a whole number from 1 on")
        at = int(position)
        if at < self.position:
            raise self.problem(
                line,
                f"position {at:,} stands behind {self.position:,}: sort the file (`bcftools sort`)",
            )
        if at > self.position:
            self._write_waiting()
        self.position = at
        contig = self.contig
        if not ref or at - 1 + len(ref) > contig.end - contig.start:
            raise self.problem(
                line,
                f"position {at:,} with its REF of {len(ref):,} letters lies beyond contig "
                f"{contig.name}, which has {contig.end - contig.start:,} in "
                f"{self.reference.path}: give the FASTA the VCF was made on",
            )
        return contig.start + at - 1

    def _agrees(self, line: int, start: int, ref: bytes) -> bool:
        """Whether REF is what the reference has, and that is free of N."""
        found = bytes(self.store[start : start + len(ref)])
        if UNKNOWN in found:
            self.unknown += 1
            return False
        if found == base_codes(ref).tobytes():
            return True
        self.disagreeing += 1
        if len(self.shown) < _SHOWN_ROWS:
            there = "".join(BASES[code] for code in found[:_SHOWN_LETTERS])
            given = ref[:_SHOWN_LETTERS].decode(errors="replace")
            dots = "..." * (len(ref) > _SHOWN_LETTERS)
            self.shown.append(
                f"line {line} at {self.contig.name}:{self.position:,}, where the VCF has "
                f"{given}{dots} and the FASTA {there}{dots}"
            )
        return False

    def _alternatives(self, line: int, text: bytes) -> list[bytes]:
        """The codes of the ALT alleles; none for one that is not spelled out."""
        alleles = [] if text == b"." else text.split(b",")
        for allele in alleles:
            if not (_SPELLED.fullmatch(allele) or _NOT_SPELLED.fullmatch(allele)):
                bad = excerpt(allele.decode(errors="replace"))
                raise self.problem(line, f"ALT has {bad}, which is no allele: correct the record")
        codes = [base_codes(a).tobytes() if _SPELLED.fullmatch(a) else b"" for a in alleles]
        self.not_spelled += codes.count(b"")
        return codes

    def _append(self, allele: _Allele, anchor: bytes) -> None:
        """Keep an allele on those of its haplotypes where nothing overlaps it.

        Where only its first base is taken, and the allele repeats that, the rest is kept.
        """
        taken = self.taken[allele.haplotypes]
        free = taken <= allele.start
        beside = np.zeros_like(free)
        behind = allele.start + 1
        can_follow = behind < self.contig.end and self.store[behind] != UNKNOWN
        if allele.letters[:1] == anchor and len(allele.letters) != allele.end - allele.start:
            beside = (taken == behind) & (self.inserted[allele.haplotypes] != behind) & can_follow
        self.overlapping += int(np.count_nonzero(~(free | beside)))
        if free.any():
            self._write(self._taken_up(allele._replace(haplotypes=allele.haplotypes[free])))
        if beside.any():
            rest = _Allele(behind, allele.end, allele.letters[1:], allele.haplotypes[beside])
            self.waiting.append(self._taken_up(rest))

    def _taken_up(self, allele: _Allele) -> _Allele:
        """Mark an allele's interval as taken on its haplotypes."""
        self.taken[allele.haplotypes] = allele.end
        if len(allele.letters) > allele.end - allele.start:
            self.inserted[allele.haplotypes] = allele.end
        return allele

    def _write_waiting(self) -> None:
        for allele in self.waiting:
            self._write(allele)
        self.waiting.clear()

    def _write(self, allele: _Allele) -> None:
        carries = np.zeros(len(self.taken), np.bool_)
        carries[allele.haplotypes] = True
        self.carriers.write(np.packbits(carries).tobytes())
        self.starts.append(allele.start)
        self.ends.append(allele.end)
        self.letters += allele.letters
        self.bounds.append(len(self.letters))

    def finished(self) -> PhasedVariants:
        """All of it.

        Raises:
            UserError: there was no record, or REF alleles disagree with the reference.
        """
        self._close_contig()
        if not self.records:
            raise UserError(f"{self.path}: holds no variants: give a VCF with records")
        if self.disagreeing:
            stated = f" (the VCF's header names {excerpt(self.stated, 80)})" if self.stated else ""
            raise UserError(
                f"{self.path}: REF disagrees with {self.reference.path} in {self.disagreeing:,} of "
                f"{self.records:,} records: {'; '.join(self.shown)}"
                f"{'; ...' * (self.disagreeing > len(self.shown))}: give the FASTA of the build "
                f"that the VCF was made on{stated}"
            )
        width = -(-len(self.taken) // 8)
        return PhasedVariants(
            self.path,
            self.samples,
            self.contigs,
            np.array(self.starts),
            np.array(self.ends),
            np.array(self.bounds),
            np.frombuffer(self.letters, np.uint8),
            np.frombuffer(self.carriers.getbuffer(), np.uint8).reshape(len(self.starts), width),
            tuple(self._notes()),
        )

    def _notes(self) -> Iterator[str]:
        for count, what in (
            (self.not_spelled, "ALT alleles not spelled out in A, C, G and T (<DEL>, *, ...)"),
            (self.unknown, "records that touch an N of the reference"),
            (self.overlapping, "alleles that overlap the one before on the same haplotype"),
        ):
            if count:
                yield f"{self.path}: left out: {count:,} {what}"
        for note in self.names.notes:
            yield f"{self.path}: {note}"
        if self.missing:
            yield f"{self.path}: {self.missing:,} missing genotypes are read as the reference"
