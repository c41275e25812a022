"""Features of GFF3 files.

GFF3: https://github.com/The-Sequence-Ontology/Specifications, intervals from 1, the end included.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import unquote

from ntjax.errors import UserError
from ntjax.io.bed import Feature, interval_bounds, refuse, strand_sign
from ntjax.io.fasta import excerpt, open_text

_CIRCULAR = re.compile(r"(?:^|;)\s*Is_circular=true\s*(?:;|$)")


class Gff(NamedTuple):
    """What was read of a GFF3 file.

    Attributes:
        features: those wanted.
        kinds: how many features there are of every type, wanted or not.
        circular: contigs that are marked as circular, whose features may reach over their end.
    """

    features: list[Feature]
    kinds: Counter[str]
    circular: frozenset[str]


def read_gff(path: str | os.PathLike, wanted: Callable[[str], bool]) -> Gff:
    """The features of a GFF3 file, plain or gzip-compressed, whose type is `wanted`.

    Raises:
        UserError: the file can't be read, a line has other than nine columns, or no interval.
    """
    features, kinds, circular = [], Counter(), set()
    for number, cells in _gff_lines(path):
        contig, kind = unquote(cells[0]), cells[2]
        kinds[kind] += 1
        if _CIRCULAR.search(cells[8]):
            circular.add(contig)
        if wanted(kind):
            start, end = interval_bounds(path, number, cells[3], cells[4], first=1)
            strand = strand_sign(path, number, cells[6])
            features.append(Feature(contig, start, end, strand, kind, number))
    if not kinds:
        raise UserError(f"{path}: holds no feature: is this GFF3, with tabs between its columns?")
    return Gff(features, kinds, frozenset(circular))


def _gff_lines(path: str | os.PathLike) -> Iterator[tuple[int, list[str]]]:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if line.startswith(("##FASTA", ">")):
                return
            if not line.strip() or line.startswith("#"):
                continue
            cells = line.rstrip("\r\n").split("\t")
            if len(cells) != 9:
                refuse(path, number, f"{len(cells)} columns with tabs between, not GFF3's nine")
            if cells[8].startswith('gene_id "'):
                refuse(path, number, 'is GTF (gene_id "..."): convert the file to GFF3')
            yield number, cells


def described_kinds(kinds: Counter[str]) -> str:
    """Such as `'gene' (4,494), 'CDS' (4,337)`, the commonest first."""
    return ", ".join(f"{excerpt(kind)} ({count:,})" for kind, count in kinds.most_common())
