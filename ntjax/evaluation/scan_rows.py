"""Calls of a scan as rows of a table, and its windows as tracks along the genome."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ntjax.evaluation.scan import ScoredWindows
from ntjax.evaluation.scan_calls import Calls
from ntjax.genomes.nearest_genes import GeneFinder
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.scan_grid import ScanGrid
from ntjax.io.interval_files import Track

PLACED = ("contig", "start", "end", "name", "strand")
"""Columns that say where a call lies; all others tell about it."""

_GENES = {
    "nearest_gene": "string",
    "nearest_gene_distance": "Int64",
    "downstream_gene": "string",
    "downstream_gene_distance": "Int64",
}


@dataclass
class CallRows:
    """Makes the rows of calls, numbered as they come.

    A row is a window on the forward strand, [start, end) from 0; `site` is the position in the
    contig, from 0, of what the window is about.

    Attributes:
        genes: finds the nearest genes of the sites; None leaves these columns out.
    """

    genes: GeneFinder | None
    _count: int = 0

    def of(self, found: Calls) -> pd.DataFrame:
        """Return the rows of calls."""
        contigs, first = contigs_of(found.sites)
        starts = found.sites.starts() - first
        numbers = range(self._count + 1, self._count + len(found) + 1)
        self._count += len(found)
        columns = {
            "contig": pd.Series(contigs, dtype="string"),
            "start": starts,
            "end": starts + found.sites.geometry.length(),
            "name": pd.Series([f"call_{number}" for number in numbers], dtype="string"),
            "strand": pd.Series(np.where(found.sites.reverse, "-", "+"), dtype="string"),
            "site": found.sites.places - first,
            "logit": found.logits,
            "probability": found.probabilities,
        }
        return pd.DataFrame(columns | self._gene_columns(found.sites))

    def _gene_columns(self, sites: Sites) -> Mapping[str, pd.Series]:
        if self.genes is None:
            return {}
        rows = self.genes.nearest(sites)
        columns = zip(*rows, strict=True) if rows else [()] * len(_GENES)
        return {
            name: pd.Series(list(column), dtype=kind)
            for (name, kind), column in zip(_GENES.items(), columns, strict=True)
        }


def contigs_of(sites: Sites) -> tuple[list[str], np.ndarray]:
    """Return the contigs of sites, and where these begin in the store, int64 [sites]."""
    contigs = [sites.genome.contigs[n] for n in sites.genome.contig_numbers(sites.places).tolist()]
    starts = np.array([contig.start for contig in contigs], np.int64)
    return [contig.name for contig in contigs], starts


def tracked(
    scored: Iterable[ScoredWindows], tracks: Mapping[bool, Sequence[Track]], grid: ScanGrid
) -> Iterator[ScoredWindows]:
    """Pass a stream on, and write it as tracks.

    Each window's probability stands in an interval as wide as the stride, centred on its site, so
    that no two overlap.

    Arguments:
        scored: in the order of the scan.
        tracks: of the forward strand (False) and of the reverse one (True).
        grid: of the scan.
    """
    for chunk in scored:
        for reverse, writers in tracks.items():
            if writers:
                _write_strand(chunk, chunk.sites.reverse == reverse, writers, grid)
        yield chunk


def _write_strand(
    chunk: ScoredWindows, rows: np.ndarray, writers: Sequence[Track], grid: ScanGrid
) -> None:
    places, values = chunk.sites.places[rows], chunk.probabilities[rows]
    if not len(places):
        return
    low, high = grid.genome.contig_numbers(places[[0, -1]])
    for name, first, end in grid.genome.contigs[low : high + 1]:
        here = slice(*np.searchsorted(places, [first, end]).tolist())
        starts = places[here] - grid.stride // 2
        ends = np.minimum(starts + grid.stride, end) - first
        for writer in writers:
            writer.write(name, np.maximum(starts - first, 0), ends, values[here])
