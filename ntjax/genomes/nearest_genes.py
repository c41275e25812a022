"""Which gene a site of a genome is nearest to, and how far away that is."""

import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ntjax.genomes.annotation import gene_features
from ntjax.genomes.intervals import ContigNames, circular_contigs, intervals_of
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.store import Genome


class NearestGene(NamedTuple):
    """The nearest gene of a site, and the nearest one downstream on the site's own strand.

    A distance is in bp, in the gene's direction: negative where the site lies before the gene's
    start, 0 within the gene, positive behind its end. Genes without a strand are read as of the
    forward one. Of genes at the same distance all are named, with commas between.

    Attributes:
        gene: names; "" where the contig has no gene.
        distance: of it; None where there is none.
        downstream: names.
        downstream_distance: of it.
    """

    gene: str
    distance: int | None
    downstream: str
    downstream_distance: int | None


class _Genes(NamedTuple):
    """Genes of a contig sorted by their starts, [genes], a circular one with copies at both ends.

    `reaches` is the furthest end so far.
    """

    starts: np.ndarray
    ends: np.ndarray
    reverse: np.ndarray
    names: np.ndarray
    reaches: np.ndarray

    @classmethod
    def of(cls, rows: list[tuple[int, int, bool, str]]) -> "_Genes":
        starts, ends, reverse, names = (
            np.array([row[column] for row in sorted(rows)], kind)
            for column, kind in enumerate((np.int64, np.int64, bool, object))
        )
        return cls(starts, ends, reverse, names, np.maximum.accumulate(ends))

    def nearest(self, site: int, downstream: bool = False) -> tuple[str, int | None]:
        """Return the names and the distance; of those that lie downstream only, if wanted."""
        behind = np.searchsorted(self.starts, site, side="right")
        reach = min(site + 1, self.reaches[behind - 1]) if behind else site + 1
        first = np.searchsorted(self.reaches, reach)
        if behind < len(self.starts):  # up to the next gene, and those that begin with it
            behind = np.searchsorted(self.starts, self.starts[behind], side="right")
        rows = np.arange(first, behind)
        distances = self._distances(rows, site)
        if downstream:
            rows, distances = rows[distances <= 0], distances[distances <= 0]
        if not len(rows):
            return "", None
        nearest = np.abs(distances) == np.abs(distances).min()
        names = sorted(set(self.names[rows[nearest]].tolist()))
        return ",".join(names), int(distances[nearest][0])

    def _distances(self, rows: np.ndarray, site: int) -> np.ndarray:
        starts, ends = self.starts[rows], self.ends[rows]
        before = np.where(site < starts, site - starts, 0)
        signed = before + np.where(site >= ends, site - ends + 1, 0)
        return np.where(self.reverse[rows], -signed, signed)


class _Contig(NamedTuple):
    """The genes of a contig, and those of each strand; None where a strand has none."""

    all: _Genes
    forward: _Genes | None
    reverse: _Genes | None

    @classmethod
    def of(cls, rows: list[tuple[int, int, bool, str]]) -> "_Contig":
        strands = ([row for row in rows if row[2] == reverse] for reverse in (False, True))
        return cls(_Genes.of(rows), *(_Genes.of(own) if own else None for own in strands))


@dataclass(frozen=True)
class GeneFinder:
    """Finds the genes that sites are nearest to.

    Attributes:
        genome: the store.
        notes: what was guessed about the annotation.
    """

    genome: Genome
    notes: tuple[str, ...]
    _genes: dict[int, _Contig]

    def nearest(self, sites: Sites) -> list[NearestGene]:
        """Return the nearest genes of each site."""
        contigs = self.genome.contig_numbers(sites.places)
        rows = zip(contigs.tolist(), sites.places.tolist(), sites.reverse.tolist(), strict=True)
        return [self._of(*row) for row in rows]

    def _of(self, contig: int, site: int, reverse: bool) -> NearestGene:
        if contig not in self._genes:
            return NearestGene("", None, "", None)
        genes = self._genes[contig]
        own = genes.reverse if reverse else genes.forward
        downstream = own.nearest(site, downstream=True) if own else ("", None)
        return NearestGene(*genes.all.nearest(site), *downstream)


def read_genes(genome: Genome, path: str | os.PathLike) -> GeneFinder:
    """Read the genes of a GFF3 or GTF file, as `ntjax.genomes.annotation.read_annotation` does.

    Raises:
        UserError: the file can't be read, has no genes, or does not fit the genome.
    """
    gff, features = gene_features(path)
    names = ContigNames(genome, path)
    circular, notes = circular_contigs(names, gff)
    intervals_of(names, features, circular)  # refuses those that do not fit
    rows: dict[int, list[tuple[int, int, bool, str]]] = {}
    for feature in features:
        number = names.number(feature.contig)
        first, end = genome.contigs[number][1:]
        shifts = (-1, 0, 1) if feature.contig in circular else (0,)
        for shift in shifts:
            begin = first + shift * (end - first)
            row = (begin + feature.start, begin + feature.end, feature.strand < 0, feature.name)
            rows.setdefault(number, []).append(row)
    genes = {number: _Contig.of(found) for number, found in rows.items()}
    return GeneFinder(genome, (*notes, *names.notes), genes)
