"""Classes of annotated elements of a genome, and which tokens or positions they cover."""

import os
from collections.abc import Mapping

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.annotation import between_genes, read_annotation
from ntjax.genomes.intervals import ContigNames, Intervals, circular_contigs, intervals_of
from ntjax.genomes.store import Genome
from ntjax.io.gff import described_kinds, read_gff

BETWEEN_GENES = "between genes"


def read_elements(
    genome: Genome, path: str | os.PathLike, kinds: Mapping[str, str]
) -> dict[str, Intervals]:
    """Read elements of a GFF3 or GTF file by class, and the gaps between genes.

    Arguments:
        genome: the store.
        path: the annotation.
        kinds: type of the file's features by the name of the class, such as
            `{"coding": "CDS", "tRNA": "tRNA"}`.

    Returns:
        Intervals by class, sorted by their starts; `BETWEEN_GENES` last, without a strand.

    Raises:
        UserError: the file can't be read, does not fit the genome, or has none of a type.
    """
    gff = read_gff(path, set(kinds.values()).__contains__)
    names = ContigNames(genome, path)
    circular, _ = circular_contigs(names, gff)
    found = {}
    for name, kind in kinds.items():
        features = [feature for feature in gff.features if feature.kind == kind]
        if not features:
            raise UserError(
                f"{path}: has no feature of type {kind!r}: it has {described_kinds(gff.kinds)}"
            )
        intervals = intervals_of(names, features, circular)
        found[name] = intervals.take(np.argsort(intervals.starts, kind="stable"))
    gaps = between_genes(read_annotation(genome, path)).bounds
    found[BETWEEN_GENES] = Intervals(*gaps.T, np.zeros(len(gaps), np.int8))
    return found


def token_cover(intervals: Intervals, starts: np.ndarray, k: int) -> np.ndarray:
    """Tell which tokens have half of their bases or more in some interval: bool [tokens].

    Arguments:
        intervals: of one class.
        starts: int64 [tokens], first base of each, ascending.
        k: bases of a token.
    """
    if not len(starts):
        return np.zeros(0, bool)
    low = int(starts[0])
    inside = np.zeros(int(starts[-1]) + k - low + 1, np.int64)
    first = np.clip(intervals.starts - low, 0, len(inside) - 1)
    end = np.clip(intervals.ends - low, 0, len(inside) - 1)
    np.add.at(inside, first, 1)
    np.add.at(inside, end, -1)
    covered = np.concatenate([[0], np.cumsum(np.cumsum(inside) > 0)])
    return 2 * (covered[starts - low + k] - covered[starts - low]) >= k
