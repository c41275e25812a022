"""Intervals of BED files, and what they share with those of GFF3 files.

BED: https://samtools.github.io/hts-specs/BEDv1.pdf, intervals from 0, the end left out.
"""

import os
from typing import NamedTuple, NoReturn

from ntjax.errors import UserError
from ntjax.io.fasta import excerpt, open_text

_BED_COLUMNS = "contig, start, end, name, score, strand"
_NOT_INTERVALS = ("#", "track ", "browser ")
_STRANDS = {"+": 1, "-": -1, ".": 0, "?": 0}


class Feature(NamedTuple):
    """An interval of a contig: from 0, the end left out; `strand` 1, -1, or 0 for none.

    `name` is that of a gene, where the file tells it.
    """

    contig: str
    start: int
    end: int
    strand: int
    kind: str
    line: int
    name: str = ""


def read_bed(path: str | os.PathLike, strands: bool = True) -> list[Feature]:
    """Read the intervals of a BED file, plain or gzip-compressed; their type is "".

    Columns after the sixth are left out, so that narrowPeak files can be read.

    Arguments:
        path: the file.
        strands: read the strand, the sixth column; otherwise three columns are enough.

    Raises:
        UserError: the file can't be read, a line has too few columns, or no interval.
    """
    columns = _BED_COLUMNS if strands else "contig, start, end"
    features = []
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip() or line.startswith(_NOT_INTERVALS):
                continue
            cells = line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
            if len(cells) < (6 if strands else 3):
                wanted = "six" if strands else "first three"
                refuse(path, number, f"{len(cells)} columns, not the {wanted} of BED: {columns}")
            contig, start, end = cells[:3]
            bounds = interval_bounds(path, number, start, end, first=0)
            strand = strand_sign(path, number, cells[5]) if strands else 0
            features.append(Feature(contig, *bounds, strand, "", number))
    if not features:
        raise UserError(f"{path}: holds no interval: a line has the columns {columns}")
    return features


def refuse(path: str | os.PathLike, line: int, problem: str) -> NoReturn:
    """Raise a UserError about a line of a file."""
    raise UserError(f"{path}: line {line}: {problem}")


def interval_bounds(
    path: str | os.PathLike, line: int, start: str, end: str, first: int
) -> tuple[int, int]:
    """Read the bounds of an interval as [start, end), counted from 0.

    Arguments:
        first: the number of a contig's first base in the file, 0 or 1.

    Raises:
        UserError: they are not whole numbers, or no interval.
    """
    if not (start.isdecimal() and end.isdecimal()):
        refuse(path, line, f"start {excerpt(start)} and end {excerpt(end)} are not whole numbers")
    low = int(start) - first
    if low < 0 or int(end) <= low:
        rule = "the first base is 0, and the end larger than the start"
        if first:
            rule = "the first base is 1, and the end not smaller than the start"
        refuse(path, line, f"start {start} and end {end} are no interval: {rule}")
    return low, int(end)


def strand_sign(path: str | os.PathLike, line: int, strand: str) -> int:
    """Return 1, -1, or 0 for a strand that is not known.

    Raises:
        UserError: another text than +, -, . or ?.
    """
    if strand not in _STRANDS:
        refuse(path, line, f"strand {excerpt(strand)} should be +, - or .")
    return _STRANDS[strand]
