"""What a scan found, as files: calls, tracks and a summary."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntjax.evaluation.scan import read_scores
from ntjax.evaluation.scan_calls import (
    HIT_THRESHOLDS,
    Calls,
    HitCounts,
    best_calls,
    calls,
    threshold_of_top,
)
from ntjax.evaluation.scan_precision import TestedRows
from ntjax.evaluation.scan_rows import PLACED, CallRows, tracked
from ntjax.genomes.nearest_genes import GeneFinder
from ntjax.genomes.scan_grid import ScanGrid
from ntjax.io.files import written_atomically
from ntjax.io.interval_files import Bed, BedGraph, BigWig, Gff3, ParquetRows, RowWriter, Track
from ntjax.io.parts import PartFolder

FORMATS = ("bed", "gff3", "parquet", "bedgraph", "bigwig")
"""Of the calls, and of the tracks."""

_TRACK_ENDINGS = {"bedgraph": "bedgraph", "bigwig": "bw"}
_STRANDS = {"forward": False, "reverse": True}
_MB = 1_000_000


@dataclass(frozen=True)
class CallSettings:
    """Which windows are calls.

    Attributes:
        threshold: probability from which on.
        top: the best so many instead; 0 for the threshold.
        merge_distance: in bp, as of `scan_calls.calls`.
    """

    threshold: float
    top: int
    merge_distance: int


def scan_paths(
    prefix: Path, formats: Sequence[str], both_strands: bool
) -> dict[tuple[str, str], Path]:
    """Return the files that a scan writes beside its summary, by format and strand ("" of both)."""
    paths = {}
    for name in formats:
        strands = list(_STRANDS)[: 1 + both_strands] if name in _TRACK_ENDINGS else [""]
        for strand in strands:
            ending = ".".join(filter(None, [strand, _TRACK_ENDINGS.get(name, name)]))
            paths[name, strand] = prefix.with_name(f"{prefix.name}.{ending}")
    return paths


def write_scan(
    grid: ScanGrid,
    parts: PartFolder,
    paths: Mapping[tuple[str, str], Path],
    settings: CallSettings,
    genes: GeneFinder | None = None,
    tested: TestedRows | str = "",
) -> dict[str, Any]:
    """Write the files of a scan, and return its summary, ready for JSON.

    Arguments:
        grid: of the scan.
        parts: its scores, all of them.
        paths: as `scan_paths` gives them.
        settings: which windows are calls.
        genes: finds the nearest of each call; None leaves these columns out.
        tested: test rows of the run, or why no precision is expected from them.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    threshold = settings.threshold
    if settings.top:
        scored = read_scores(grid, parts)
        threshold = threshold_of_top(scored, settings.top, settings.merge_distance, grid.stride)
    counts = HitCounts.at({*HIT_THRESHOLDS, *(() if settings.top else (threshold,))})
    lowest = min(counts.thresholds[0], threshold)
    rows = CallRows(genes)
    with contextlib.ExitStack() as stack:
        writers, tracks = _opened(stack, grid, paths, rows)
        scored = tracked(read_scores(grid, parts), tracks, grid)
        scored = counts.counting_windows(scored)
        found = counts.counting_calls(calls(scored, lowest, settings.merge_distance))
        chosen = _chosen(found, threshold, settings.top)
        called, least = _write_calls(chosen, writers, rows)
    if settings.top:
        threshold = least
    return {
        "threshold": threshold,
        "calls": called,
        "highest_probability": float(counts.highest[0]),
        "hits": _hits(counts, grid.bases.scanned, tested),
        "expected_precision": _expected(tested, threshold),
    }


def _chosen(found: Iterable[Calls], threshold: float, top: int) -> Iterable[Calls]:
    above = (batch.take(batch.probabilities >= threshold) for batch in found)
    if not top:
        return above
    best = best_calls(above, top)
    return [] if best is None else [best]


def _opened(
    stack: contextlib.ExitStack,
    grid: ScanGrid,
    paths: Mapping[tuple[str, str], Path],
    rows: CallRows,
) -> tuple[list[RowWriter], dict[bool, list[Track]]]:
    contigs = {contig.name: contig.end - contig.start for contig in grid.genome.contigs}
    none = rows.of(Calls.none(grid))
    writers: list[RowWriter] = []
    tracks: dict[bool, list[Track]] = {reverse: [] for reverse in _STRANDS.values()}
    for (kind, strand), path in paths.items():
        file = stack.enter_context(written_atomically(path, 0))
        if kind in _TRACK_ENDINGS:
            track = BedGraph(file, path.stem) if kind == "bedgraph" else BigWig(file.name, contigs)
            tracks[_STRANDS[strand]].append(track)
            stack.callback(track.close)
            continue
        writer: RowWriter = Bed(file)
        if kind == "gff3":
            writer = Gff3(file, contigs, [name for name in none if name not in PLACED])
        elif kind == "parquet":
            writer = ParquetRows(file, none)
        writers.append(writer)
        stack.callback(writer.close)
    return writers, tracks


def _write_calls(
    found: Iterable[Calls], writers: Sequence[RowWriter], rows: CallRows
) -> tuple[int, float]:
    """Write calls; returns how many, and the lowest of their probabilities."""
    count, lowest = 0, 1.0
    for batch in found:
        table = rows.of(batch)
        for writer in writers:
            writer.write(table)
        count += len(batch)
        lowest = min(lowest, float(batch.probabilities.min(initial=1.0)))
    return count, lowest


def _hits(counts: HitCounts, bases: int, tested: TestedRows | str) -> list[dict[str, Any]]:
    rows = zip(counts.thresholds, counts.windows.tolist(), counts.calls.tolist(), strict=True)
    return [
        {
            "threshold": threshold,
            "windows": windows,
            "windows_per_mb": windows / bases * _MB,
            "calls": called,
            "calls_per_mb": called / bases * _MB,
            "expected_precision": _expected(tested, threshold),
        }
        for threshold, windows, called in rows
    ]


def _expected(tested: TestedRows | str, threshold: float) -> dict[str, Any]:
    """Expected precision of windows, or the reason for none."""
    if isinstance(tested, str):
        return {"value": None, "reason": tested}
    return tested.at(threshold)
