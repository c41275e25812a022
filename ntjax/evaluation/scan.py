"""Score the windows of a genome with a run, on both strands, in chunks.

Memory does not grow with the genome: of each (window, strand) pair two numbers are kept, on disk.
What is found among them is told by `ntjax.evaluation.scan_calls`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from scipy.special import logsumexp
from tqdm import tqdm

from ntjax.calibration import calibrated_probabilities
from ntjax.datasets.batching import stream_buckets
from ntjax.errors import UserError
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.scan_grid import GridChunk, ScanGrid
from ntjax.io.parts import PartFolder
from ntjax.runs.merged_run import merged_run
from ntjax.runs.predict_file import window_tokens
from ntjax.runs.priors import Prior, checked_shares, shifted
from ntjax.runs.run import Run
from ntjax.tasks import Classification

_BASES_AT_ONCE = 1 << 19


@dataclass(frozen=True)
class ClassScore:
    """What of a run's outputs a scan keeps.

    Attributes:
        run: not of a regression.
        output: number of the class or label.
        prior: as of `Run.predict`; None for that of the calibration rows.
        average_strands: average the outputs of both strands; None for what the run does.
    """

    run: Run
    output: int
    prior: Prior | None = None
    average_strands: bool | None = None

    @property
    def name(self) -> str:
        """The class or label."""
        return self.run.classes[self.output]

    @property
    def is_calibrated(self) -> bool:
        """Whether probabilities are calibrated: a calibration holds for the strands it was of."""
        return self.run.calibration is not None and self.run.strands.are(self.average_strands)

    @cached_property
    def shares(self) -> np.ndarray | None:
        """Of each output, at the prior; None for those of the calibration rows.

        Raises:
            UserError: a prior that does not go with the run, or with these strands.
        """
        return checked_shares(self.run, self.prior, self.average_strands)

    def scores(self, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the logit float32 [n] and the probability float64 [n] of outputs [n, outputs].

        The logit is that of the class against all others together (of two classes the difference of
        their outputs), before any calibration.
        """
        run = self.run
        probabilities = run.task.values(outputs)
        if self.is_calibrated:
            probabilities = calibrated_probabilities(run.calibration, outputs)
        if self.shares is not None:
            probabilities = shifted(run, probabilities, self.shares)
        return self._logits(outputs), probabilities[:, self.output]

    def _logits(self, outputs: np.ndarray) -> np.ndarray:
        own = outputs[:, self.output]
        if not isinstance(self.run.task, Classification):
            return own
        others = np.delete(outputs, self.output, axis=1)
        return own - (others[:, 0] if others.shape[1] == 1 else logsumexp(others, axis=1))


def class_to_scan(run: Run, name: str = "") -> int:
    """Return the number of the class that a scan looks for: of two the positive one.

    Raises:
        UserError: the run has no classes, or none of that name, or several and none is named.
    """
    if not run.task.has_probabilities:
        raise UserError(
            "a scan looks for a class, and this run is of a regression: cut the genome into "
            "windows, and score them with python -m ntjax.predict"
        )
    if name in run.classes:
        return run.classes.index(name)
    listed = ", ".join(run.classes[:10]) + (", …" if len(run.classes) > 10 else "")
    if name:
        raise UserError(f"--class {name}: the run's classes are {listed}")
    if isinstance(run.task, Classification) and len(run.classes) == 2:
        return 1
    raise UserError(f"give the --class to look for, one of {listed}")


class ScoredWindows(NamedTuple):
    """Scored (window, strand) pairs of a chunk, in its order.

    Attributes:
        sites: where they lie.
        logits: float32 [pairs].
        probabilities: float64 [pairs].
        next_start: as of `GridChunk`.
    """

    sites: Sites
    logits: np.ndarray
    probabilities: np.ndarray
    next_start: int


class Scanned(NamedTuple):
    """What was scored.

    Attributes:
        parts: how many there are, and how many of them were there already.
        resumed: likewise.
        windows: (window, strand) pairs that were scored.
        unknown: pairs left out since their window holds N.
    """

    parts: int
    resumed: int
    windows: int
    unknown: int


def scan(score: ClassScore, grid: ScanGrid, parts: PartFolder, progress: bool = False) -> Scanned:
    """Score all windows of a grid; those that are there already are left as they are.

    Raises:
        UserError: the model or the head cannot read such windows, no window without N, a prior that
            does not go with the run, or a full disk.
    """
    scorer = _Scorer(score, grid.length)
    windows = unknown = there = number = 0
    bar = tqdm(
        total=len(grid) * (1 + grid.both_strands),
        unit="window",
        disable=not progress,
        desc="scan",
    )
    with bar:
        for number, chunk in enumerate(grid.chunks(chunk_size(grid)), 1):
            if parts.has(number - 1):
                there += 1
            else:
                parts.write(number - 1, scorer.scored(chunk))
            windows += len(chunk.sites)
            unknown += chunk.unknown
            bar.update(len(chunk.sites) + chunk.unknown)
    if not windows:
        raise UserError(
            f"{grid.genome.path}: no window of {grid.length:,} bp without N "
            + ("has its site in the regions" if grid.regions is not None else "fits in a contig")
        )
    return Scanned(number, there, windows, unknown)


def chunk_size(grid: ScanGrid) -> int:
    """Return the number of windows of a chunk."""
    return max(1, _BASES_AT_ONCE // grid.length)


class _Scorer:
    """Scores chunks with a run whose adapter is merged, once one has to be scored."""

    def __init__(self, score: ClassScore, length: int):
        self.score, run = score, score.run
        self._merged: Run | None = None
        tokens, longest = window_tokens(run, length), run.model.config.max_positions
        self._buckets = stream_buckets(np.array([tokens]), longest)

    def scored(self, chunk: GridChunk) -> dict[str, np.ndarray]:
        """Return what is kept of a chunk."""
        if not len(chunk.sites):
            return {"logit": np.empty(0, np.float32), "probability": np.empty(0)}
        self._merged = self._merged or merged_run(self.score.run)
        outputs = self._merged.logits(
            chunk.sites.sequences(),
            average_strands=self.score.average_strands,
            buckets=self._buckets,
        )
        logits, probabilities = self.score.scores(outputs)
        return {"logit": logits, "probability": probabilities}


def read_scores(grid: ScanGrid, parts: PartFolder) -> Iterator[ScoredWindows]:
    """Read what `scan` has written, chunk by chunk."""
    for number, chunk in enumerate(grid.chunks(chunk_size(grid))):
        with np.load(parts.path(number)) as saved:
            kept: dict[str, Any] = {name: saved[name] for name in saved.files}
        yield ScoredWindows(chunk.sites, kept["logit"], kept["probability"], chunk.next_start)
