"""The precision that a scan expects, beside the one it has on held-out blocks of K-12.

    python -m experiments.promoters.precision

Runs the commands as a user would: `windows` with genomic negatives around the promoters of the
published set, `finetune`, and `scan` of the test blocks with the share of their known start sites
as the prior. A window is right if its site lies within a base of a known start site on its strand;
with a stride of three each of these has one such window. Writes `precision.json` and
`precision.md` beside this file.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tyro

from experiments.promoters.data.genome_files import find_genome
from experiments.promoters.data.genomic_negatives import known_promoters
from ntjax import load_run
from ntjax.datasets.promoters import NegativeOptions
from ntjax.evaluation.scan import ClassScore
from ntjax.evaluation.scan_precision import tested_rows
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.regions import split_blocks
from ntjax.genomes.windows import PROMOTER_WINDOW, Region
from ntjax.io.json import write_json
from ntjax.metrics.proportions import Interval, share_interval
from ntjax.reports import command_line
from ntjax.reports.markdown import markdown_table

STRIDE, TOLERANCE = 3, 1
_GROUP = 5_000  # bp of the genome; neighbouring windows err together
BLOCK = NegativeOptions().block_letters
# Of the windows' probabilities at the prior of the genome, where half is hardly ever reached.
THRESHOLDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05)
_SETTINGS = ("--adapter", "full", "--head", "tokens", "--backbone-dropout", "0.1")


@dataclass(frozen=True)
class Options:
    """Options of `python -m experiments.promoters.precision`."""

    steps: int = 1500
    """Optimiser steps of 32 rows."""
    genome: Path | None = None
    """FASTA of E. coli K-12. Otherwise from NTJAX_DATA_DIR."""
    runs: Path = Path("runs/precision")
    """Folder of windows, run and scan; what is there is removed."""
    out: Path = Path(__file__).parent
    """Folder of the numbers."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: run(tyro.cli(Options, description=__doc__)))


def run(options: Options) -> None:
    """Cut windows, train, scan, and compare the two precisions."""
    path = find_genome(options.genome)
    shutil.rmtree(options.runs, ignore_errors=True)
    options.runs.mkdir(parents=True)
    known = known_promoters(path).start_sites
    defaults = NegativeOptions()
    parts = {"validation": defaults.validation, "test": defaults.test}
    blocks = split_blocks(open_genome(path), parts, BLOCK, defaults.seed)["test"]
    _write_bed(options.runs / "sites.bed", known)
    _write_regions(options.runs / "test.bed", blocks)
    _train(path, options)
    scanned, prior = _scan(path, known, blocks, options)
    record = compared(scanned, known, prior, options)
    write_json(options.out / "precision.json", record)
    (options.out / "precision.md").write_text(markdown(record))


def _write_bed(path: Path, sites: Sites) -> None:
    contigs, positions = _located(sites.genome, sites.places)
    strands = np.where(sites.reverse, "-", "+")
    rows = zip(contigs, positions, positions + 1, strands, strict=True)
    path.write_text("".join(f"{c}\t{s}\t{e}\tsite\t0\t{strand}\n" for c, s, e, strand in rows))


def _write_regions(path: Path, region: Region) -> None:
    starts = region.stretches[:, 0]
    contigs, positions = _located(region.genome, starts)
    lengths = region.stretches[:, 1] - starts
    rows = zip(contigs, positions, positions + lengths, strict=True)
    path.write_text("".join(f"{contig}\t{start}\t{end}\n" for contig, start, end in rows))


def _located(genome: Any, places: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Names of the contigs and positions in them."""
    numbers = genome.contig_numbers(places)
    starts = np.array([contig.start for contig in genome.contigs])
    return [genome.contigs[number].name for number in numbers], places - starts[numbers]


def _train(genome: Path, options: Options) -> None:
    rows = options.runs / "rows"
    _command("windows", "--genome", genome, "--sites", options.runs / "sites.bed", "--out", rows)
    files = [("--" + part, rows / f"{part}.csv") for part in ("train", "validation", "test")]
    given = [argument for pair in files for argument in pair]
    out = options.runs / "run"
    _command("finetune", *given, *_SETTINGS, "--steps", options.steps, "--out", out)


def _scan(
    genome: Path, known: Sites, blocks: Region, options: Options
) -> tuple[pd.DataFrame, float]:
    """Score every window of the test blocks; return them and the prior."""
    inside = known.places[_within(known.places, blocks.stretches)]
    bases = int(np.diff(blocks.stretches, axis=1).sum())
    prior = len(inside) / (2 * bases / STRIDE)
    prefix = options.runs / "scan"
    _command(
        *("scan", "--run", options.runs / "run", "--genome", genome, "--out", prefix),
        *("--regions", options.runs / "test.bed", "--stride", STRIDE, "--prior", prior),
        *("--merge-distance", 0, "--threshold", THRESHOLDS[0], "--formats", "parquet"),
    )
    return pd.read_parquet(f"{prefix}.parquet"), prior


def _within(places: np.ndarray, stretches: np.ndarray) -> np.ndarray:
    order = stretches[np.argsort(stretches[:, 0])]
    number = np.searchsorted(order[:, 0], places, side="right") - 1
    return (number >= 0) & (places < order[np.maximum(number, 0), 1])


def _command(name: str, *arguments: Any) -> None:
    subprocess.run([sys.executable, "-m", f"ntjax.{name}", *map(str, arguments)], check=True)


def compared(scanned: pd.DataFrame, known: Sites, prior: float, options: Options) -> dict[str, Any]:
    """Set the expected precision of windows beside the true one, by threshold.

    Arguments:
        scanned: a row per window, with `contig`, `strand`, `site` and `probability`.
        known: start sites of the genome.
        prior: share of right windows.
        options: of the command.
    """
    right = is_right(scanned, known)
    groups = scanned["site"].to_numpy() // _GROUP
    fitted = load_run(options.runs / "run")
    score = ClassScore(fitted, 1, {fitted.classes[1]: prior}, None)
    tested = tested_rows(score, options.runs / "run", PROMOTER_WINDOW.length())
    assert not isinstance(tested, str), tested
    rows = []
    for threshold in THRESHOLDS:
        called = scanned["probability"].to_numpy() >= threshold
        if not right[called].any():
            continue
        true: Interval = share_interval(right, called, np.unique(groups, return_inverse=True)[1])
        rows.append(
            {
                "threshold": threshold,
                "windows": int(called.sum()),
                "right": int(right[called].sum()),
                "true": {"value": true.value, "low": true.low, "high": true.high},
                "expected": tested.at(threshold),
            }
        )
    auroc = fitted.metrics["auroc"]
    return {"steps": options.steps, "prior": prior, "auroc": auroc, "thresholds": rows}


def is_right(scanned: pd.DataFrame, known: Sites) -> np.ndarray:
    """Tell which windows have their site within a base of a known one on their strand."""
    contigs, positions = _located(known.genome, known.places)
    strands = np.where(known.reverse, "-", "+")
    there = {
        (contig, strand, position + off)
        for contig, strand, position in zip(contigs, strands, positions.tolist(), strict=True)
        for off in range(-TOLERANCE, TOLERANCE + 1)
    }
    windows = zip(scanned["contig"], scanned["strand"], scanned["site"].tolist(), strict=True)
    return np.array([window in there for window in windows])


def markdown(record: dict[str, Any]) -> str:
    """Lay out the two precisions."""
    auroc = record["auroc"]
    heads = ("probability from", "windows", "right ones", "precision", "expected precision")
    body = [
        (
            f"{row['threshold']:g}",
            f"{row['windows']:,}",
            f"{row['right']:,}",
            _share(row["true"]),
            _share(row["expected"]),
        )
        for row in record["thresholds"]
    ]
    lead = (
        "Made by `python -m experiments.promoters.precision`: `mini`, all weights, "
        f"{record['steps']:,} steps, against windows of the genome of equal GC; AUROC of the test "
        f"rows {auroc['value']:.3f} [{auroc['low']:.3f}, {auroc['high']:.3f}]. The held-out blocks "
        f"are scanned on both strands, a window every {STRIDE} bp. A share of "
        f"{record['prior']:.5f} of the windows has its site within {TOLERANCE} bp of a known start "
        "site, which is the prior. Intervals of 95%; those of the precision rest on pieces of "
        f"{_GROUP:,} bp."
    )
    title = "# The precision that a scan expects, and the one it has"
    return "\n".join([title, "", lead, "", *markdown_table(heads, body)]) + "\n"


def _share(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return found["reason"]
    return f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"


if __name__ == "__main__":
    main()
