"""The precision that a scan expects, beside the one it has on held-out blocks of K-12.

    python -m experiments.promoters.precision

Runs the commands as a user would: `windows` with genomic negatives around the promoters of the
published set, `finetune`, and `scan` of the test blocks. Then counts, in two ways, what a right
window is: its site is a known start site on its strand, or it is at most a base off. For either the
share of right windows is the prior, and the precision that the run's test rows lead one to expect
is set beside the true one, with the rates that it is made of. Writes `precision.json` and
`precision.md` beside this file.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tyro

from experiments.promoters.data.genome_files import find_genome
from experiments.promoters.data.genomic_negatives import known_promoters, parts_of_genome
from ntjax import load_run
from ntjax.errors import UserError
from ntjax.evaluation.scan import ClassScore
from ntjax.evaluation.scan_precision import TestedRows, tested_rows
from ntjax.evaluation.scan_rows import contigs_of
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.regions import holds
from ntjax.genomes.windows import PROMOTER_WINDOW, Region
from ntjax.io.json import read_json, write_json
from ntjax.metrics.bootstrap import estimates
from ntjax.metrics.expected_precision import expected_precision
from ntjax.reports import command_line
from ntjax.reports.markdown import markdown_table
from ntjax.runs.folder import CONFIG_FILE

STRIDE = 3
TOLERANCES = (0, 1)  # bp
_PIECE = 5_000  # bp of the genome; neighbouring windows err together
_RESAMPLES = 1000
# Of the windows' probabilities at the prior of the genome, where half is hardly ever reached.
THRESHOLDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
_SETTINGS = ("--adapter", "full", "--head", "tokens", "--backbone-dropout", "0.1", "--no-baselines")


Window = tuple[str, str, int]
"""Contig, strand, and position of the site from 0."""


@dataclass(frozen=True)
class Options:
    """Options of `python -m experiments.promoters.precision`."""

    steps: int = 1500
    """Optimiser steps of 32 rows."""
    genome: Path | None = None
    """FASTA of E. coli K-12. Otherwise from NTJAX_DATA_DIR."""
    runs: Path = Path("runs/precision")
    """Folder of windows, run and scan; a scan by the same steps that is there is used."""
    out: Path = Path(__file__).parent
    """Folder of the numbers."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: run(tyro.cli(Options, description=__doc__)))


def run(options: Options) -> None:
    """Cut windows, train, scan, and compare the two precisions."""
    path = find_genome(options.genome)
    options.runs.mkdir(parents=True, exist_ok=True)
    known = known_promoters(path).start_sites
    blocks = parts_of_genome(open_genome(path))["test"]
    _require_same(options)
    if not (options.runs / "scan.parquet").exists():
        _write_bed(options.runs / "sites.bed", known)
        _write_regions(options.runs / "test.bed", blocks)
        _train(path, options)
        _scan(path, sites_per_window(known, blocks), options)
    record = compared(known, blocks, options)
    write_json(options.out / "precision.json", record)
    (options.out / "precision.md").write_text(markdown(record))


def _require_same(options: Options) -> None:
    """Refuse a run of other steps."""
    config = options.runs / "run" / CONFIG_FILE
    if config.exists() and (found := read_json(config)["settings"]["steps"]) != options.steps:
        raise UserError(f"{config}: has {found} steps, not {options.steps}: give another --runs")


def _write_bed(path: Path, sites: Sites) -> None:
    contigs, first = contigs_of(sites)
    rows = zip(contigs, sites.places - first, sites.reverse, strict=True)
    path.write_text("".join(f"{c}\t{s}\t{s + 1}\tsite\t0\t{'+-'[r]}\n" for c, s, r in rows))


def _write_regions(path: Path, region: Region) -> None:
    starts, ends = region.stretches.T
    forward = np.zeros(len(starts), bool)
    contigs, first = contigs_of(Sites(region.genome, starts, forward, PROMOTER_WINDOW))
    rows = zip(contigs, starts - first, ends - first, strict=True)
    path.write_text("".join(f"{contig}\t{start}\t{end}\n" for contig, start, end in rows))


def _train(genome: Path, options: Options) -> None:
    rows = options.runs / "rows"
    _command("windows", "--genome", genome, "--sites", options.runs / "sites.bed", "--out", rows)
    files = [("--" + part, rows / f"{part}.csv") for part in ("train", "validation", "test")]
    given = [argument for pair in files for argument in pair]
    out = options.runs / "run"
    _command("finetune", *given, *_SETTINGS, "--steps", options.steps, "--out", out)


def sites_per_window(known: Sites, blocks: Region) -> float:
    """Known sites of some blocks for each window of both strands: what is taken as the prior."""
    return len(_within(known, blocks)) / (2 * blocks.letters / STRIDE)


def _within(known: Sites, blocks: Region) -> Sites:
    """The sites in some blocks, wherever their windows end."""
    return known.take(holds(blocks, known.places, 1))


def _scan(genome: Path, prior: float, options: Options) -> None:
    """Score every window of the test blocks, and keep those above the lowest threshold."""
    _command(
        *("scan", "--run", options.runs / "run", "--genome", genome),
        *("--out", options.runs / "scan", "--regions", options.runs / "test.bed"),
        *("--stride", STRIDE, "--prior", prior, "--merge-distance", 0),
        *("--threshold", THRESHOLDS[0], "--formats", "parquet"),
    )


def _command(name: str, *arguments: Any) -> None:
    subprocess.run([sys.executable, "-m", f"ntjax.{name}", *map(str, arguments)], check=True)


def compared(known: Sites, blocks: Region, options: Options) -> dict[str, Any]:
    """Set the expected precision of windows beside the true one, by threshold and tolerance.

    Arguments:
        known: start sites of the genome.
        blocks: that were scanned.
        options: of the command.
    """
    scanned = pd.read_parquet(options.runs / "scan.parquet")
    summary = read_json(options.runs / "scan.json")
    fitted = load_run(options.runs / "run")
    score = ClassScore(fitted, 1, summary["prior"], None)
    tested = tested_rows(score, options.runs / "run", PROMOTER_WINDOW.length())
    assert not isinstance(tested, str), tested
    inside = _within(known, blocks)
    ways = {}
    for tolerance in TOLERANCES:
        there = right_windows(inside, tolerance)
        ways[str(tolerance)] = {
            "right": len(there),
            "prior": len(there) / summary["windows"],
            "thresholds": _by_threshold(scanned, there, tested, summary["windows"]),
        }
    auroc = fitted.metrics["auroc"]
    return {
        "steps": options.steps,
        "auroc": auroc,
        "windows": summary["windows"],
        "prior of the scan": summary["prior"],
        "tolerances": ways,
    }


def _by_threshold(
    scanned: pd.DataFrame, there: set[Window], tested: TestedRows, windows: int
) -> list[dict[str, Any]]:
    keys = zip(scanned["contig"], scanned["strand"], scanned["site"].tolist(), strict=True)
    right = np.array([key in there for key in keys])
    probabilities = scanned["probability"].to_numpy()
    pieces = np.unique(scanned["site"].to_numpy() // _PIECE, return_inverse=True)[1]
    rows = []
    for threshold in THRESHOLDS:
        called = probabilities >= threshold
        found = expected_precision(
            tested.probabilities >= threshold,
            tested.positive,
            tested.groups,
            len(there) / windows,
        )
        hits = int((called & right).sum())
        rows.append(
            {
                "threshold": threshold,
                "windows": int(called.sum()),
                "right": hits,
                "precision": true_precision(called, right, pieces),
                "expected": dict(zip(("value", "low", "high"), map(float, found), strict=False)),
                "true_positive_rate": {
                    "scan": hits / len(there),
                    "test rows": found.true_positive_rate.value,
                },
                "false_positive_rate": {
                    "scan": (int(called.sum()) - hits) / (windows - len(there)),
                    "test rows": found.false_positive_rate.value,
                },
            }
        )
    return rows


def true_precision(called: np.ndarray, right: np.ndarray, pieces: np.ndarray) -> dict[str, Any]:
    """Share of the called windows that are right, with an interval that draws pieces anew.

    Arguments:
        called: bool [windows].
        right: bool [windows].
        pieces: number of the piece of the genome that each lies in, [windows].
    """
    counts = np.stack([np.bincount(pieces, called), np.bincount(pieces, called & right)])

    def share(weights: np.ndarray) -> dict[str, np.ndarray]:
        of_called, of_right = counts @ weights.T
        return {"precision": of_right / of_called}

    return dict(estimates(share, counts.shape[1], resamples=_RESAMPLES)["precision"])


def right_windows(known: Sites, tolerance: int) -> set[Window]:
    """Name the windows of the scan's grid whose site is at most so many bp from a known one.

    Windows begin at every multiple of the stride of their contig, on both strands.
    """
    contigs, first_of_contig = contigs_of(known)
    positions = (known.places - first_of_contig).tolist()
    before, after = PROMOTER_WINDOW.site_index, PROMOTER_WINDOW.after
    found = set()
    for contig, position, reverse in zip(contigs, positions, known.reverse, strict=True):
        first = after if reverse else before  # site of the window that begins at 0
        for site in range(position - tolerance, position + tolerance + 1):
            if (site - first) % STRIDE == 0:
                found.add((contig, "-" if reverse else "+", site))
    return found


def markdown(record: dict[str, Any]) -> str:
    """Lay out the two precisions and what they are made of."""
    auroc = record["auroc"]
    heads = (
        "probability from",
        "windows",
        "right ones",
        "precision",
        "expected precision",
        "right windows called: scan, test rows",
        "other windows called: scan, test rows",
    )
    lines = [
        "# The precision that a scan expects, and the one it has",
        "Made by `python -m experiments.promoters.precision`: `mini`, all weights, "
        f"{record['steps']:,} steps, against windows of the genome of equal GC; AUROC of the test "
        f"rows {auroc['value']:.3f} [{auroc['low']:.3f}, {auroc['high']:.3f}]. The held-out blocks "
        f"are scanned on both strands, a window every {STRIDE} bp, {record['windows']:,} in all. "
        "Intervals of 95%; those of the precision rest on pieces of the genome of "
        f"{_PIECE:,} bp.",
    ]
    for tolerance, of in record["tolerances"].items():
        where = {"0": "at a known start site", "1": "at most a base off a known start site"}
        lines.append(
            f"Right is a window whose site is {where[tolerance]} on its strand: {of['right']:,} "
            f"windows, a share of {of['prior']:.5f}, which is the prior of the expected precision."
        )
        body = [
            (
                f"{row['threshold']:g}",
                f"{row['windows']:,}",
                f"{row['right']:,}",
                _share(row["precision"]),
                _share(row["expected"]),
                *(_rates(row[f"{kind}_positive_rate"]) for kind in ("true", "false")),
            )
            for row in of["thresholds"]
        ]
        lines.append("\n".join(markdown_table(heads, body)))
    return "\n\n".join(lines) + "\n"


def _rates(found: dict[str, float]) -> str:
    return f"{found['scan']:.3f}, {found['test rows']:.3f}"


def _share(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return found["reason"]
    return f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"


if __name__ == "__main__":
    main()
