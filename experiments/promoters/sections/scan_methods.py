"""What looks for start sites in a genome: the adapted model, and three that know less."""

import io
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from experiments.promoters.data.baseline_runs import BOOSTING, CNN, fitted_baseline
from experiments.promoters.data.rows import promoters_of
from experiments.promoters.study import Rows, Study, parts_of, trained
from ntjax.baselines.position_weights import fit_position_weights
from ntjax.datasets.prepare import LabelledParts
from ntjax.evaluation.genome_scan import ScanOptions, WindowScores, inside, scan, scan_every_place
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.regions import without
from ntjax.genomes.scored_sites import TOLERANCE, MatchedSites, ScoredSites, match, merged
from ntjax.genomes.windows import PROMOTER_WINDOW, Region
from ntjax.io.files import written_atomically
from ntjax.runs.run import Run
from ntjax.runs.saved_run import load_run

WEIGHTS = "position weights (−35, −10)"
OPTIONS = ScanOptions(PROMOTER_WINDOW, stride=5, refine=0.1)
# Calls at least so far apart compete for no known site.
APART = 2 * TOLERANCE + 1
# Drawn for the intervals; smaller than the blocks held out, of which there are few.
BLOCK_LETTERS = 10_000


class Method(NamedTuple):
    """A fitted method.

    Attributes:
        search: scores places of a region.
        score: the score of windows, one by one.
    """

    search: Callable[[Region], ScoredSites]
    score: WindowScores


class Fitted(NamedTuple):
    """The methods by name, that of the adapted model first, and its run and rows."""

    methods: dict[str, Method]
    run: Run
    parts: LabelledParts


class Scanned(NamedTuple):
    """A region, all of its places that were scored, and what was called and found of them."""

    region: Region
    scored: ScoredSites
    matched: MatchedSites

    @classmethod
    def of(cls, region: Region, scored: ScoredSites, known: Sites) -> Self:
        """With the best of neighbouring places called, and matched with the known sites."""
        called = merged(scored, APART)
        return cls(region, scored, match(called, inside(region, known)))


def fitted(study: Study, rows: Rows) -> Fitted:
    """All methods on the same training rows; the adapted model's run is kept."""
    parts = parts_of(study, rows)
    run = load_run(trained(study, rows, "lora", **study.lora(study.main_steps)))
    # Only fitted where a scan of theirs is not there yet.
    boosting = cache(lambda: fitted_baseline(parts, BOOSTING))
    cnn = cache(lambda: fitted_baseline(parts, CNN, cnn=study.cnn, progress=study.progress))
    weights = fit_position_weights(promoters_of(parts.tables["train"]))
    scores: dict[str, WindowScores] = {
        f"{Path(study.model).name}, lora": lambda windows: _log_odds(run.logits(windows)),
        BOOSTING: lambda windows: _log_odds(boosting().logits(windows)),
        CNN: lambda windows: _log_odds(cnn().logits(windows)),
    }
    methods = {
        name: Method(partial(scan, score=score, options=OPTIONS, progress=study.progress), score)
        for name, score in scores.items()
    }
    everywhere = Method(
        lambda region: scan_every_place(region, weights.scan, OPTIONS.geometry), weights.scores
    )
    return Fitted(methods | {WEIGHTS: everywhere}, run, parts)


def _log_odds(logits: np.ndarray) -> np.ndarray:
    return logits[:, 1].astype(np.float64) - logits[:, 0]


def kept_scan(path: Path, region: Region, search: Callable[[Region], ScoredSites]) -> ScoredSites:
    """A scan of a region from its file; done and written if there is none."""
    if not path.exists():
        found = search(region)
        file = io.BytesIO()
        np.savez(file, places=found.sites.places, reverse=found.sites.reverse, scores=found.scores)
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_atomically(path, len(file.getvalue())) as written:
            written.write(file.getvalue())
    with np.load(path) as arrays:
        sites = Sites(region.genome, arrays["places"], arrays["reverse"], OPTIONS.geometry)
        return ScoredSites(sites, arrays["scores"])


def some_blocks(region: Region, block_letters: int, count: int | None) -> Region:
    """So many of a region's blocks, evenly spaced among them; None for all."""
    blocks = np.array(
        [
            (begin, min(begin + block_letters, end))
            for start, end in region.stretches.tolist()
            for begin in range(start, end, block_letters)
        ]
    )
    if count is not None:
        blocks = blocks[np.linspace(0, len(blocks) - 1, count).round().astype(int)]
    return Region(region.genome, blocks)


def share_near(region: Region, known: Sites) -> float:
    """Share of the places of both strands from which a known site is within the tolerance.

    The precision of calls at random places, but for those that come second at a site.
    """
    letters = [
        without(region, known.places[known.reverse == reverse], TOLERANCE).letters
        for reverse in (False, True)
    ]
    return 1 - sum(letters) / (2 * region.letters)
