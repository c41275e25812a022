"""Look for a run's positive class in a genome: score windows on both strands, and call the best.

python -m ntjax.scan --run runs/mine --genome genome.fna.gz --out scans/mine
python -m ntjax.scan --run runs/mine --genome genome.fna.gz --out scans/mine --prior 0.002 \
--annotation genes.gff.gz
python -m ntjax.scan --run runs/mine --genome genome.fna.gz --regions upstream.bed --top 100 \
--out scans/best

Writes PREFIX.bed, PREFIX.gff3 and PREFIX.parquet (a row for each call), PREFIX.forward.bedgraph and
PREFIX.reverse.bedgraph (the probability of every window), and PREFIX.json (settings, counts, hits
per Mb by threshold).
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from ntjax.checkpoints.cache import sha256
from ntjax.errors import UserError
from ntjax.evaluation.scan import ClassScore, Scanned, class_to_scan, scan
from ntjax.evaluation.scan_files import FORMATS, CallSettings, scan_paths, write_scan
from ntjax.evaluation.scan_precision import tested_rows
from ntjax.evaluation.scan_setup import (
    notes_on_probabilities,
    read_regions,
    scan_geometry,
    share_of_windows,
)
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.intervals import ContigNames
from ntjax.genomes.nearest_genes import read_genes
from ntjax.genomes.scan_grid import ScanGrid
from ntjax.genomes.scored_sites import TOLERANCE
from ntjax.genomes.store import Genome
from ntjax.io.interval_files import check_formats
from ntjax.io.json import write_json
from ntjax.io.parts import PartFolder, of_this_input
from ntjax.reports import command_line
from ntjax.reports.in_parts import resumable
from ntjax.runs.folder import ADAPTER_FILE, DESCRIPTION_FILE
from ntjax.runs.priors import Prior, read_prior
from ntjax.runs.record import versions
from ntjax.runs.run import Run
from ntjax.runs.saved_run import load_run
from ntjax.sequences.alphabet import counted

_STRIDES_PER_WINDOW = 10
_THRESHOLD = 0.5


@dataclass(frozen=True)
class Options:
    """Options of `python -m ntjax.scan`."""

    run: Path
    """Folder of the run."""
    genome: Path
    """FASTA file of the genome, plain or gzip-compressed."""
    out: Path
    """What the files' names begin with, folder included."""
    regions: Path | None = None
    """BED file: look for sites in these intervals alone, on both strands."""
    stride: int = 0
    """Bases from one window to the next; 0 for a tenth of the window."""
    strands: Literal["both", "forward"] = "both"
    """Strands to read windows from."""
    class_name: Annotated[str, tyro.conf.arg(name="class")] = ""
    """Class or label to look for. Default: the positive one of two classes."""
    threshold: float = _THRESHOLD
    """Probability from which a window is a call."""
    top: int = 0
    """Call the best so many, whatever their probability; 0 for the --threshold."""
    merge_distance: int | None = None
    """Of calls on a strand whose sites are nearer to each other than this, in bp, the best is kept.
    Default: half a window. 0 keeps every window as a call."""
    prior: str = ""
    """Share of the class among the (window, strand) pairs of the genome, such as 0.002, or shares
    by name: a=0.1,b=0.9. Otherwise: the shares among the rows the run was calibrated on."""
    sites_per_mb: float = 0.0
    """In place of --prior: how many sites there are in a Mb of the genome, on both strands."""
    tolerance: int = TOLERANCE
    """With --sites-per-mb: how many bp a window may be off a site and still be counted as right."""
    annotation: Path | None = None
    """GFF3 or GTF file: tell the nearest genes of each call."""
    formats: str = "bed,gff3,parquet,bedgraph"
    """Files to write: bed, gff3, parquet (calls); bedgraph, bigwig (every window)."""
    window: int = 0
    """Bases of a window; 0 for those of the training rows."""
    site_index: int | None = None
    """Index of the site in a window, from 0. Default: as in the training rows, else the middle."""
    average_strands: bool | None = None
    """Average the outputs of both strands. Default: what the run does."""
    model: str = ""
    """Where the backbone is now, if not where it was when the run was trained."""
    resume: bool = False
    """Go on with an interrupted scan of the same genome and settings."""
    progress: bool = True
    """Show a progress bar."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: scan_command(command_line.parse(Options, "ntjax.scan", __doc__ or "")))


def scan_command(options: Options) -> dict[str, Any]:
    """Run the command; returns the content of `PREFIX.json`.

    Raises:
        UserError: bad input.
    """
    formats = tuple(filter(None, map(str.strip, options.formats.split(","))))
    _check(options, formats)
    paths = scan_paths(options.out, formats, options.strands == "both")
    summary_path = options.out.with_name(f"{options.out.name}.json")
    run = load_run(options.run, options.model or None)
    genome = open_genome(options.genome)
    with command_line.naming_options():
        score = _class_score(options, run)
        grid, notes = _grid(options, run, genome)
    genes = read_genes(genome, options.annotation) if options.annotation else None
    notes += [f"{options.annotation}: {note}" for note in (genes.notes if genes else ())]
    notes += notes_on_probabilities(score)
    for note in notes:
        print(f"note: {note}", flush=True)
    plan = _plan(options, grid, score)
    parts = _parts(options, plan, [*paths.values(), summary_path])
    merge_distance = grid.length // 2 if options.merge_distance is None else options.merge_distance
    settings = CallSettings(options.threshold, options.top, merge_distance)
    with resumable(parts, can_resume=True):
        with of_this_input(parts):
            scanned = scan(score, grid, parts, options.progress)
        tested = tested_rows(score, options.run, grid.length)
        found = write_scan(grid, parts, paths, settings, genes, tested)
        summary = {
            **_described(options, grid, score, plan),
            "merge_distance": merge_distance,
            "top": options.top or None,
            **_counts(grid, scanned),
            **found,
            "notes": notes,
        }
        write_json(summary_path, summary)
        parts.discard()
    _print_summary(options, summary, scanned)
    return summary


def _check(options: Options, formats: tuple[str, ...]) -> None:
    check_formats(formats, FORMATS)
    if not formats:
        raise UserError(f"--formats: name one or more of {', '.join(FORMATS)}")
    for name in ("stride", "top", "window", "tolerance"):
        if (value := getattr(options, name)) < 0:
            raise UserError(f"--{name} {value}: should not be negative")
    if options.merge_distance is not None and options.merge_distance < 0:
        raise UserError(f"--merge-distance {options.merge_distance}: should not be negative")
    if not 0 < options.threshold <= 1:
        raise UserError(f"--threshold {options.threshold:g}: a probability above 0, at most 1")
    if options.top and options.threshold != _THRESHOLD:
        raise UserError("--top calls windows whatever their --threshold: leave one of them out")
    if options.prior and options.sites_per_mb:
        raise UserError("--sites-per-mb is another way to give the --prior: leave one of them out")
    if options.out.is_dir() or options.out.name in ("", ".", ".."):
        raise UserError(
            f"--out {options.out}: is a folder: add what the files' names should begin with, such "
            f"as {options.out / 'scan'}"
        )


def _class_score(options: Options, run: Run) -> ClassScore:
    output = class_to_scan(run, options.class_name)
    score = ClassScore(run, output, _prior(options, run, output), options.average_strands)
    _ = score.shares  # refuses a prior that does not go with the run, before anything is read
    return score


def _grid(options: Options, run: Run, genome: Genome) -> tuple[ScanGrid, list[str]]:
    ContigNames(genome, options.genome)  # refuses two contigs of one name
    geometry, told = scan_geometry(run, options.window, options.site_index)
    stride = options.stride or max(1, geometry.length() // _STRIDES_PER_WINDOW)
    if stride > geometry.length():
        raise UserError(
            f"--stride {stride}: longer than a window of {geometry.length():,} bp, so that bases "
            "between two windows would be in none"
        )
    notes, regions = [told], None
    if options.regions:
        regions, more = read_regions(genome, options.regions)
        notes += more
    return ScanGrid(genome, geometry, stride, options.strands == "both", regions), notes


def _prior(options: Options, run: Run, output: int) -> Prior | None:
    name = run.classes[output]
    if options.prior:
        prior = read_prior(options.prior, run.classes)
        return {name: prior} if isinstance(prior, float) else prior
    if options.sites_per_mb:
        return {name: share_of_windows(options.sites_per_mb, options.tolerance)}
    return None


def _plan(options: Options, grid: ScanGrid, score: ClassScore) -> dict[str, Any]:
    """Everything that decides the scores."""
    return {
        **versions(["ntjax"]),
        **{name: sha256(options.run / name) for name in (ADAPTER_FILE, DESCRIPTION_FILE)},
        "genome": sha256(options.genome),
        "window": asdict(grid.geometry),
        "stride": grid.stride,
        "strands": options.strands,
        "regions": grid.regions is not None and np.asarray(grid.regions).tolist(),
        "class": score.name,
        "prior": score.prior,
        "average_strands": options.average_strands,
    }


def _parts(options: Options, plan: dict[str, Any], paths: list[Path]) -> PartFolder:
    """Open the parts of a scan; refuse files that are there, unless it goes on."""
    parts = PartFolder(options.out, plan, options.resume, ".npz")
    for path in paths:
        if path.exists() and not parts.is_begun:
            raise UserError(f"{path} is there already: give another --out, or remove it")
    return parts


def _described(
    options: Options, grid: ScanGrid, score: ClassScore, plan: dict[str, Any]
) -> dict[str, Any]:
    """What was scanned, with what."""
    shares = score.run.calibration_shares
    prior = None if shares is None else shares[score.output]
    return {
        "versions": versions(["ntjax"]),
        "genome": {"file": options.genome.name, "sha256": plan["genome"]},
        "run": plan[ADAPTER_FILE],
        "class": score.name,
        "calibrated": score.is_calibrated,
        "prior": prior if score.prior is None else score.prior,
        "window": grid.geometry.record(),
        "stride": grid.stride,
        "strands": options.strands,
    }


def _counts(grid: ScanGrid, scanned: Scanned) -> dict[str, int]:
    return {
        "windows": scanned.windows,
        "windows_with_n": scanned.unknown,
        "scanned_bases": grid.bases.scanned,
        "bases_in_pieces_too_short": grid.bases.too_short,
        "unknown_bases": grid.bases.unknown,
    }


def _print_summary(options: Options, summary: dict[str, Any], scanned: Scanned) -> None:
    there = f"; {counted(scanned.resumed, 'part')} of them were there" if scanned.resumed else ""
    print(
        f"{scanned.windows:,} windows of {summary['scanned_bases']:,} bp scored, "
        f"{scanned.unknown:,} with N left out{there}"
    )
    if not summary["calls"]:
        print(
            "no window reaches the --threshold: the highest probability is "
            f"{summary['highest_probability']:.3g}; lower the --threshold, or give --top"
        )
    per_mb = summary["calls"] / summary["scanned_bases"] * 1_000_000
    print(
        f"{counted(summary['calls'], 'call')} of class {summary['class']} at probability "
        f"{summary['threshold']:.4g} or more ({per_mb:,.1f} per Mb, both strands as one)"
    )
    expected = summary["expected_precision"]
    if expected["value"] is not None:
        print(
            f"expected precision of windows: {expected['value']:.2g} "
            f"[{expected['low']:.2g}, {expected['high']:.2g}]"
        )
    else:
        print(f"expected precision: not known: {expected['reason']}")
    print(f"scan: {options.out}.*")


if __name__ == "__main__":
    main()
