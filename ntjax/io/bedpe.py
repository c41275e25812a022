"""Introns of BEDPE files: each line has the first and the last base of an intron.

BEDPE: https://bedtools.readthedocs.io/en/latest/content/general-usage.html, intervals from 0, the
end left out. The first interval is the intron's first base, the second its last one.
"""

import os
import re
from typing import NamedTuple

from ntjax.errors import UserError
from ntjax.io.bed import interval_bounds, refuse, strand_sign
from ntjax.io.fasta import excerpt, open_text

_COLUMNS = "contig, start, end, contig, start, end, name, score, strand, strand"
_SPAN = re.compile(r"[^|:]+:(\d+)-(\d+)\|")


class Intron(NamedTuple):
    """An intron [start, end) of a transcript, on a contig, from 0.

    Attributes:
        contig: name of the contig.
        start: first base.
        end: base behind the last one.
        strand: 1 or -1.
        transcript: the name column.
        span: the transcript's own bounds where its name begins with `CONTIG:START-END|`.
        line: of the file.
    """

    contig: str
    start: int
    end: int
    strand: int
    transcript: str
    span: tuple[int, int] | None
    line: int


def read_introns(path: str | os.PathLike) -> list[Intron]:
    """Read the introns of a BEDPE file, plain or gzip-compressed.

    Raises:
        UserError: the file can't be read, a line is no intron, or there is none.
    """
    introns = []
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip() and not line.startswith("#"):
                introns.append(_intron(path, number, line.rstrip("\r\n").split("\t")))
    if not introns:
        raise UserError(f"{path}: holds no intron: a line has the columns {_COLUMNS}")
    return introns


def _intron(path: str | os.PathLike, number: int, cells: list[str]) -> Intron:
    if len(cells) < 9:
        refuse(path, number, f"{len(cells)} columns, not the ten of BEDPE: {_COLUMNS}")
    if cells[0] != cells[3]:
        refuse(path, number, f"an intron from {excerpt(cells[0])} to {excerpt(cells[3])}")
    start, _ = interval_bounds(path, number, cells[1], cells[2], first=0)
    _, end = interval_bounds(path, number, cells[4], cells[5], first=0)
    if end <= start:
        refuse(path, number, f"the intron ends at {end:,}, before it begins at {start:,}")
    if cells[6] in ("", "."):
        refuse(path, number, "the name, column 7, is empty: it tells the transcript of the intron")
    strand = strand_sign(path, number, cells[8])
    if not strand:
        refuse(path, number, "the strand should be + or -: it tells the donor from the acceptor")
    found = _SPAN.match(cells[6])
    span = (int(found[1]) - 1, int(found[2])) if found else None
    return Intron(cells[0], start, end, strand, cells[6], span, number)
