"""What a scan looks at: windows as a run was trained on, regions of a genome, a prior."""

import os

import numpy as np

from ntjax.errors import UserError
from ntjax.evaluation.scan import ClassScore
from ntjax.genomes.intervals import ContigNames, intervals_of, joined
from ntjax.genomes.store import Genome
from ntjax.genomes.windows import WindowGeometry
from ntjax.io.bed import read_bed
from ntjax.runs.run import Run

_STRANDS_OF_A_MB = 2_000_000


def scan_geometry(
    run: Run, window: int = 0, site_index: int | None = None
) -> tuple[WindowGeometry, str]:
    """Choose the windows to scan with, and say which they are.

    They are those of the training rows, where `ntjax.windows` has recorded them; otherwise as long
    as all training rows are, with the site in the middle.

    Arguments:
        run: the run.
        window: bases of a window, if not those.
        site_index: index of the site in it, from 0, if not that.

    Raises:
        UserError: training rows of several lengths and no window, or a site outside it.
    """
    known = run.windows.geometry if run.windows else None
    length, source = window, "as asked for"
    if not window and known:
        length, source = known.length(), "as the training rows"
    elif not window:
        length, source = _length_of_rows(run), "as long as the training rows"
    if site_index is None:
        site_index = known.site_index if known and known.length() == length else length // 2
    if not 0 <= site_index < length:
        raise UserError(f"{site_index} is not in a window of {length:,} bp", field="site_index")
    told = f"windows of {length:,} bp, {source}; a call's site is the base at index {site_index}"
    return WindowGeometry(site_index, length - 1 - site_index), told


def _length_of_rows(run: Run) -> int:
    remedy = "give the length of the windows in bp"
    if run.training_rows is None:
        raise UserError(
            f"{remedy}: this run of an earlier version did not keep that of its training rows",
            field="window",
        )
    shortest, longest = run.training_rows.length
    if shortest != longest:
        raise UserError(
            f"{remedy}: the run's training rows have from {shortest:,} to {longest:,} bp",
            field="window",
        )
    return longest


def read_regions(genome: Genome, path: str | os.PathLike) -> tuple[np.ndarray, list[str]]:
    """Read the intervals of a BED file, int64 [regions, 2] of the store, and notes on its contigs.

    Raises:
        UserError: the file can't be read, or does not fit the genome.
    """
    names = ContigNames(genome, path)
    regions = joined(intervals_of(names, read_bed(path, strands=False)).bounds)
    return regions, [f"{path}: {note}" for note in names.notes]


def share_of_windows(sites_per_mb: float, tolerance: int) -> float:
    """Return the share of (window, strand) pairs at a site, from how many sites there are.

    A pair counts as right where its site lies within the tolerance of one, so that each makes
    (2 · tolerance + 1) of 2,000,000 positions of a Mb right, whatever the stride.

    >>> share_of_windows(1000, tolerance=10)
    0.0105

    Arguments:
        sites_per_mb: on both strands of a Mb.
        tolerance: in bp.

    Raises:
        UserError: the share is not between 0 and 1.
    """
    share = sites_per_mb * (2 * tolerance + 1) / _STRANDS_OF_A_MB
    if not 0 < share < 1:
        raise UserError(
            f"{sites_per_mb:g} makes a share of {share:g} of all windows, which should lie between "
            "0 and 1",
            field="sites_per_mb",
        )
    return share


def notes_on_probabilities(score: ClassScore) -> list[str]:
    """Say what a reader of the probabilities has to know."""
    run = score.run
    if not score.is_calibrated:
        why = "the run was not calibrated"
        if run.calibration is not None:
            why = f"the run was calibrated on outputs of {run.strands.read}"
        return [f"{why}: probabilities are the model's own, and may be far off"]
    if score.prior is None and run.calibration_shares is not None:
        share = run.calibration_shares[score.output]
        return [
            f"probabilities are those where {share:.0%} of all windows are {score.name}, as among "
            "the rows the run was calibrated on: give --prior for those of a genome"
        ]
    return []
