"""VCF files: the header, and which haplotypes carry which of a record's alleles.

https://samtools.github.io/hts-specs/VCFv4.3.pdf
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.io.fasta import excerpt

_COLUMNS = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT"]
_GENOTYPE = re.compile(rb"(\d+|\.)(?:([|/])(\d+|\.))?")
_REFERENCE = b"0|0"
# Where GT is all there is, most columns are four bytes wide, and are compared as one number.
_REFERENCE_WORD = np.frombuffer(_REFERENCE + b"\t", np.uint32)[0]


def read_header(path: Path, lines: Iterator[tuple[int, bytes]]) -> tuple[tuple[str, ...], str]:
    """The samples' names, and the reference as the header has it."""
    stated = ""
    for number, line in lines:
        text = line.decode(errors="replace").rstrip("\r\n").removeprefix("\ufeff")
        if text.startswith("##"):
            stated = text[12:] if text.startswith("##reference=") else stated
            continue
        columns = text.split("\t")
        if columns[:8] != _COLUMNS[:8]:
            raise UserError(
                f"{path}: line {number}: {excerpt(text)} is not a VCF file's line of column names, "
                "#CHROM, POS, ID, ... with tabs between: is this a VCF?"
            )
        if len(columns) == 8:
            raise UserError(
                f"{path}: lists variants without genotypes (a sites file), so that no haplotype "
                "is known: give the phased VCF with its samples"
            )
        if columns[8] != "FORMAT" or len(columns) == 9:
            raise UserError(f"{path}: line {number}: names no samples: give a VCF with genotypes")
        return tuple(columns[9:]), stated
    raise UserError(f"{path}: has no line of column names (#CHROM, POS, ...): is this a VCF?")


class Carried(NamedTuple):
    """Alleles other than the reference's in one record.

    Attributes:
        haplotypes: int64 [carried], 2 · sample for the allele before the '|', 2 · sample + 1 for
            the one behind it.
        alleles: int64 [carried], from 1.
        missing: genotypes with a '.', which is read as the reference's allele.
    """

    haplotypes: np.ndarray
    alleles: np.ndarray
    missing: int


class _Genotype(NamedTuple):
    first: int
    second: int
    missing: bool
    unphased: bool


def read_genotypes(keys: bytes, text: bytes, samples: tuple[str, ...]) -> Carried:
    """The alleles that the samples of a record carry.

    A haploid genotype (the X and Y chromosomes of men) counts for both haplotypes of its sample.

    Arguments:
        keys: the FORMAT column.
        text: the samples' columns, which are as many as `samples`.

    Raises:
        UserError: without file and line: FORMAT does not begin with GT, a genotype is none, is
            heterozygous but unphased, or has more than two alleles.
    """
    if keys.partition(b":")[0] != b"GT":
        raise UserError(
            f"FORMAT is {excerpt(keys.decode(errors='replace'))}: it has to begin with GT, the "
            "genotypes: give a VCF with a phased genotype in every record"
        )
    places, cells, which = _as_words(text, len(samples)) or _as_cells(text)
    genotypes = [_parse(cell) for cell in cells]
    for number, (cell, genotype) in enumerate(zip(cells, genotypes, strict=True)):
        if genotype is None or genotype.unphased:
            sample = samples[places[np.flatnonzero(which == number)[0]]]
            raise _refusal(cell, genotype, sample)
    table = np.array([genotype[:2] for genotype in genotypes], np.int64).reshape(-1, 2)
    alleles = table[which].ravel()
    haplotypes = (2 * places[:, None] + np.arange(2)).ravel()
    missing = np.array([genotype.missing for genotype in genotypes], bool)
    present = alleles > 0
    return Carried(haplotypes[present], alleles[present], int(missing[which].sum()))


def _as_words(text: bytes, samples: int) -> tuple[np.ndarray, list[bytes], np.ndarray] | None:
    """As `_as_cells`, and some 50 times as fast; None if not all columns are three bytes wide."""
    if len(text) != 4 * samples - 1:
        return None
    words = np.frombuffer(text + b"\t", np.uint32)
    places = np.flatnonzero(words != _REFERENCE_WORD)
    distinct, which = np.unique(words[places], return_inverse=True)
    cells = [word.tobytes() for word in distinct]
    if any(cell[3:] != b"\t" or b"\t" in cell[:3] or b":" in cell for cell in cells):
        return None
    return places, [cell[:3] for cell in cells], which


def _as_cells(text: bytes) -> tuple[np.ndarray, list[bytes], np.ndarray]:
    """Places of the samples that are not 0|0, their distinct genotypes, and which each has."""
    columns = np.array([column.partition(b":")[0] for column in text.split(b"\t")])
    places = np.flatnonzero(columns != _REFERENCE)
    distinct, which = np.unique(columns[places], return_inverse=True)
    return places, distinct.tolist(), which


@lru_cache(1 << 12)
def _parse(cell: bytes) -> _Genotype | None:
    found = _GENOTYPE.fullmatch(cell)
    if found is None:
        return None
    first, separator, second = found.groups()
    if separator is None:
        second = first
    alleles = [0 if allele == b"." else int(allele) for allele in (first, second)]
    unphased = separator == b"/" and alleles[0] != alleles[1]
    return _Genotype(*alleles, b"." in (first, second), unphased)


def _refusal(cell: bytes, genotype: _Genotype | None, sample: str) -> UserError:
    text, sample = excerpt(cell.decode(errors="replace")), excerpt(sample)
    if genotype is None:
        return UserError(
            f"sample {sample}: {text} is not a genotype of one or two alleles such as 0|1: give "
            "a VCF of haploid or diploid samples"
        )
    return UserError(
        f"sample {sample}: {text} is heterozygous and unphased, so that it is not known which "
        "haplotype carries the allele: phase the VCF first (SHAPEIT, Beagle, Eagle), or leave "
        "out such records"
    )
