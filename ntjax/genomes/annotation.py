"""Genes and coding sequences of a genome, from GFF3, and what lies between them."""

import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.intervals import (
    ContigNames,
    Intervals,
    circular_contigs,
    contig_rows,
    intervals_of,
    joined,
)
from ntjax.genomes.store import Contig, Genome
from ntjax.io.bed import Feature
from ntjax.io.gff import Gff, described_kinds, read_gff

_CODING = "CDS"


@dataclass(frozen=True)
class Annotation:
    """Genes and coding sequences, sorted by their starts.

    Attributes:
        genome: the store.
        genes: all that a file calls a gene; where it has none, its CDS and RNAs.
        coding: the CDS lines, pseudogenes' among them; of a CDS in pieces, each piece.
        notes: what was guessed about the file.
    """

    genome: Genome
    genes: Intervals
    coding: Intervals
    notes: tuple[str, ...] = ()


class Gaps(NamedTuple):
    """What lies between genes, and at the ends of contigs that have genes.

    Attributes:
        bounds: int64 [gaps, 2], first and behind-last place.
        convergent: bool [gaps], whether the genes at both sides point into the gap, so that it
            lies between their 3' ends.
    """

    bounds: np.ndarray
    convergent: np.ndarray


def read_annotation(genome: Genome, path: str | os.PathLike) -> Annotation:
    """Read genes and coding sequences of a GFF3 or GTF file, plain or gzip-compressed.

    Genes are the features of type `gene`, `pseudogene` or `..._gene`; of a file without any, the
    CDS and what ends in `RNA`.

    Raises:
        UserError: the file can't be read, has no genes, or does not fit the genome.
    """
    gff, genes = gene_features(path)
    coding = [feature for feature in gff.features if feature.kind == _CODING]

    names = ContigNames(genome, path)
    circular, notes = circular_contigs(names, gff)

    def sorted_intervals(features: list[Feature]) -> Intervals:
        intervals = intervals_of(names, features, circular)
        return intervals.take(np.argsort(intervals.starts, kind="stable"))

    placed = sorted_intervals(genes), sorted_intervals(coding)
    return Annotation(genome, *placed, (*notes, *names.notes))


def gene_features(path: str | os.PathLike) -> tuple[Gff, list[Feature]]:
    """Read a GFF3 or GTF file, and which of its features are the genes, as `read_annotation` says.

    Raises:
        UserError: the file can't be read, or has no genes.
    """
    gff = read_gff(path, lambda kind: _is_gene(kind) or _is_product(kind))
    genes = [feature for feature in gff.features if _is_gene(feature.kind)]
    genes = genes or gff.features
    if not genes:
        raise UserError(
            f"{path}: holds no feature of type 'gene' or '{_CODING}': its types are "
            f"{described_kinds(gff.kinds)}"
        )
    return gff, genes


def _is_gene(kind: str) -> bool:
    return kind in ("gene", "pseudogene") or kind.endswith("_gene")


def _is_product(kind: str) -> bool:
    return kind == _CODING or kind.endswith("RNA")


def between_genes(annotation: Annotation) -> Gaps:
    """The gaps between genes, whatever their strands.

    Genes that touch or overlap leave no gap. A contig without genes is not annotated, so that
    nothing of it counts as lying between genes.
    """
    found = [(np.empty((0, 2), np.int64), np.empty(0, bool))]
    for contig in annotation.genome.contigs:
        genes = annotation.genes.take(contig_rows(contig, annotation.genes))
        if len(genes.starts):
            found.append(_gaps_of(contig, genes))
    bounds, convergent = map(np.concatenate, zip(*found, strict=True))
    return Gaps(bounds, convergent)


def _gaps_of(contig: Contig, genes: Intervals) -> tuple[np.ndarray, np.ndarray]:
    covered = joined(genes.bounds)
    first = np.concatenate([[contig.start], covered[:, 1]])
    end = np.concatenate([covered[:, 0], [contig.end]])
    from_left = _all_on(genes.ends, genes.strands, 1, first)
    from_right = _all_on(genes.starts, genes.strands, -1, end)
    kept = first < end
    return np.stack([first, end], axis=1)[kept], (from_left & from_right)[kept]


def _all_on(edges: np.ndarray, strands: np.ndarray, strand: int, places: np.ndarray) -> np.ndarray:
    """At which places genes have their edge, and none of them on another strand; bool [places]."""
    on = strands == strand
    return np.isin(places, edges[on]) & ~np.isin(places, edges[~on])
