"""A stretch of the genome as a scan sees it: scores of both strands, known sites, genes."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.promoters.sections.scan_methods import BLOCK_LETTERS, Scanned
from ntjax.genomes.annotation import read_annotation


def locus(scan: Scanned, threshold: float, annotation: Path) -> dict[str, Any]:
    """What lies in one of the region's stretches of `BLOCK_LETTERS`.

    That with the median number of known sites is taken, the first of several.

    Returns:
        Places from 0. By strand, `scores` ([places], [scores]) of all that was scored, `calls`
        ([places], [scores], [found]) from the threshold, `known` [places]; `genes` [start, end,
        strand], empty without an annotation.
    """
    start = _typical(scan)
    end = start + BLOCK_LETTERS
    scored, called, known = scan.scored, scan.matched.called, scan.matched.known
    shown = (called.scores >= threshold) & _within(called.sites.places, start, end)
    strands = {}
    for name, reverse in (("+", False), ("-", True)):
        of = _within(scored.sites.places, start, end) & (scored.sites.reverse == reverse)
        along = np.flatnonzero(of)[np.argsort(scored.sites.places[of])]
        calls = shown & (called.sites.reverse == reverse)
        sites = _within(known.places, start, end) & (known.reverse == reverse)
        strands[name] = {
            "scores": [
                scored.sites.places[along].tolist(),
                scored.scores[along].round(3).tolist(),
            ],
            "calls": [
                called.sites.places[calls].tolist(),
                called.scores[calls].round(3).tolist(),
                (scan.matched.partner[calls] >= 0).tolist(),
            ],
            "known": known.places[sites].tolist(),
        }
    return {
        "contig": _contig(scan, start),
        "start": start,
        "end": end,
        "threshold": threshold,
        "strands": strands,
        "genes": _genes(scan, annotation, start, end),
    }


def _within(places: np.ndarray, start: int, end: int) -> np.ndarray:
    return (places >= start) & (places < end)


def _typical(scan: Scanned) -> int:
    """Where the stretch with the median number of known sites begins."""
    starts = np.concatenate(
        [np.arange(a, b - BLOCK_LETTERS + 1, BLOCK_LETTERS) for a, b in scan.region.stretches]
    )
    places = np.sort(scan.matched.known.places)
    counts = np.searchsorted(places, starts + BLOCK_LETTERS) - np.searchsorted(places, starts)
    order = np.argsort(counts, kind="stable")
    return int(starts[order[(len(order) - 1) // 2]])


def _contig(scan: Scanned, place: int) -> str:
    contigs = scan.region.genome.contigs
    return next(c.name for c in contigs if c.start <= place < c.end)


def _genes(scan: Scanned, annotation: Path, start: int, end: int) -> list[list[int]]:
    if not annotation.exists():
        return []
    genes = read_annotation(scan.region.genome, annotation).genes
    rows = np.flatnonzero((genes.ends > start) & (genes.starts < end))
    return np.stack([genes.starts[rows], genes.ends[rows], genes.strands[rows]], 1).tolist()
