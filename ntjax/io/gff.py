"""Features of GFF3 and GTF files.

GFF3: https://github.com/The-Sequence-Ontology/Specifications, intervals from 1, the end included.
GTF differs in column 9 (attributes) only, of which names of features are read.
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

_REGION = re.compile(r"##sequence-region\s+(\S+)\s+1\s+(\d+)\s*$")
_ATTRIBUTE = re.compile(r'(\w+)(?:=([^;]*)|\s+"([^"]*)")')
_NAMES = ("gene_name", "Name", "gene", "locus_tag", "gene_id", "ID")
_CIRCULAR = re.compile(r"(?:^|;)\s*Is_circular=true\s*(?:;|$)")


class Gff(NamedTuple):
    """What was read of a GFF3 file.

    Attributes:
        features: those wanted.
        kinds: how many features there are of every type, wanted or not.
        circular: contigs that are marked as circular, whose features may reach over their end.
        lengths: of contigs, in bp, as `##sequence-region` lines state them.
    """

    features: list[Feature]
    kinds: Counter[str]
    circular: frozenset[str]
    lengths: dict[str, int]


def read_gff(path: str | os.PathLike, wanted: Callable[[str], bool]) -> Gff:
    """Read the features whose type is `wanted` of a GFF3 or GTF file, plain or gzip-compressed.

    Raises:
        UserError: the file can't be read, a line has fewer than seven columns, or no interval.
    """
    features, kinds, circular, lengths = [], Counter(), set(), {}
    for number, line in _lines(path):
        if line.startswith("#"):
            if found := _REGION.match(line):
                lengths[unquote(found[1])] = int(found[2])
            continue
        cells = line.split("\t")
        if len(cells) < 7:
            problem = f"{len(cells)} columns with tabs between, not the nine of GFF3 or GTF"
            refuse(path, number, problem)
        contig, kind = unquote(cells[0]), cells[2]
        kinds[kind] += 1
        if len(cells) > 8 and _CIRCULAR.search(cells[8]):
            circular.add(contig)
        if wanted(kind):
            start, end = interval_bounds(path, number, cells[3], cells[4], first=1)
            strand = strand_sign(path, number, cells[6])
            name = feature_name(cells[8]) if len(cells) > 8 else ""
            features.append(Feature(contig, start, end, strand, kind, number, name))
    if not kinds:
        raise UserError(f"{path}: holds no feature: is this GFF3, with tabs between its columns?")
    return Gff(features, kinds, frozenset(circular), lengths)


def feature_name(attributes: str) -> str:
    """Read what a gene is called from column 9 of GFF3 or GTF; "" where it has no name.

    >>> feature_name("ID=gene-b0001;Name=thrL;locus_tag=b0001")
    'thrL'
    >>> feature_name('gene_id "ENSG1"; gene_name "BRCA2";')
    'BRCA2'
    """
    found = {key: text or quoted for key, text, quoted in _ATTRIBUTE.findall(attributes)}
    return next((unquote(found[key]) for key in _NAMES if found.get(key)), "")


def _lines(path: str | os.PathLike) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers, up to the sequences at the end if any."""
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if line.startswith(("##FASTA", ">")):
                return
            if line.strip():
                yield number, line.rstrip("\r\n")


def described_kinds(kinds: Counter[str]) -> str:
    """List types and their counts, such as `'gene' (4,494)`, the commonest first."""
    return ", ".join(f"{excerpt(kind)} ({count:,})" for kind, count in kinds.most_common())
