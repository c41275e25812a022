"""The methods of the coding-strand experiment: rows in, probabilities of the test rows out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy.special import expit

import ntjax
from experiments.coding_strand.textbook import KmerContrast, PeriodicMarkov, fewest_stops
from experiments.promoters.data.untrained import untrained
from ntjax.adapters import AdapterConfig
from ntjax.baselines.both_strands import fit_both_strands
from ntjax.baselines.cnn import fit_cnn
from ntjax.baselines.gradient_boosting import fit_gradient_boosting
from ntjax.io.tables import SequenceTable

PASSES, FEWEST_STEPS, BATCH_SIZE = 10, 60, 32
"""Models are trained for ten passes over their rows, and for 60 steps of 32 rows at least."""

_CALIBRATION_SHARE = 1 / 5  # of what is given as training rows: a sixth of all labels


@dataclass(frozen=True)
class Labels:
    """The rows that a method may look at, and those it is tested on.

    A third of the labels choose and calibrate, in equal parts; the baselines, which are not
    calibrated here, leave the latter alone.

    Attributes:
        train: rows to learn from.
        validation: rows that choose the state that is kept.
        calibration: rows kept apart by every method.
        test: rows to score.
    """

    train: SequenceTable
    validation: SequenceTable
    calibration: SequenceTable
    test: SequenceTable

    def first(self, labels: int) -> "Labels":
        """Keep so many labels, half of either strand: of every part the first rows."""
        sixth = 2 * round(labels / 12)
        counts = {"train": labels - 2 * sixth, "validation": sixth, "calibration": sixth}
        parts = {part: getattr(self, part).take(range(n)) for part, n in counts.items()}
        return replace(self, **parts)

    def pair(self, part: str) -> tuple[Sequence[str], np.ndarray]:
        """Return sequences and labels of a part, 1 where the gene is on the forward strand."""
        table = getattr(self, part)
        return table.sequences, np.array([label == "forward" for label in table.labels], int)


Method = Callable[[Labels, Sequence[int]], np.ndarray]
"""Probabilities of the forward strand, [seeds, test rows]."""


def adapted(
    adapter: AdapterConfig, model: Callable[[int], str], labels: Labels, seeds: Sequence[int]
) -> np.ndarray:
    """Fine-tune a model, once for each seed, by the defaults of `mini`."""
    train = tuple(
        (*getattr(labels.train, column), *getattr(labels.calibration, column))
        for column in ("sequences", "labels")
    )
    steps = max(FEWEST_STEPS, round(PASSES * len(labels.train) / BATCH_SIZE))
    found = []
    for seed in seeds:
        run = ntjax.fine_tune(
            model(seed),
            train,
            (labels.validation.sequences, labels.validation.labels),
            (labels.test.sequences, labels.test.labels),
            adapter=adapter,
            calibration_fraction=_CALIBRATION_SHARE,
            positive_class="forward",
            seed=seed,
            steps=steps,
            evaluate_every=max(1, steps // 4),
            learning_rate=adapter.learning_rate_for_mini,
            batch_size=BATCH_SIZE,
            head="mean",
        )
        found.append(run.record.predictions["probability"])
    return np.array(found)


def boosted(labels: Labels, seeds: Sequence[int]) -> np.ndarray:
    """Gradient boosting on both strands; it draws nothing, so that its seeds are alike."""
    model = fit_both_strands(
        fit_gradient_boosting, labels.pair("train"), labels.pair("validation"), "flip-label"
    )
    return np.repeat(model.probabilities(labels.test.sequences)[None, :, 1], len(seeds), axis=0)


def convolutional(labels: Labels, seeds: Sequence[int]) -> np.ndarray:
    """The small CNN on both strands."""
    rows = labels.pair("train"), labels.pair("validation")
    fit = partial(fit_cnn, progress=False)
    models = [fit_both_strands(fit, *rows, "flip-label", seed=seed) for seed in seeds]
    return np.array([model.probabilities(labels.test.sequences)[:, 1] for model in models])


def kmer_contrast(labels: Labels, seeds: Sequence[int]) -> np.ndarray:
    """Logistic regression on 4-mers minus their reverse complements."""
    fitted = KmerContrast.fit(*labels.pair("train"), labels.pair("validation"))
    return np.tile(expit(fitted.scores(labels.test.sequences)), (len(seeds), 1))


def periodic_markov(labels: Labels, seeds: Sequence[int]) -> np.ndarray:
    """The 3-periodic Markov chain of gene finders."""
    fitted = PeriodicMarkov.fit(*labels.pair("train"))
    return np.tile(expit(fitted.scores(labels.test.sequences)), (len(seeds), 1))


def open_frames(labels: Labels, seeds: Sequence[int]) -> np.ndarray:
    """The strand with fewer stop codons in its best frame; no labels are needed."""
    return np.tile(expit(fewest_stops(labels.test.sequences)), (len(seeds), 1))


BOOSTING, CNN = "gradient boosting, both strands", "CNN, both strands"


def methods(runs: Path, twin: Path | None) -> dict[str, Method]:
    """Return the methods by name; untrained networks are written below `runs`."""

    def mini(seed: int) -> str:
        del seed
        return "mini"

    def fresh(seed: int) -> str:
        return str(untrained("mini", seed, runs / "untrained" / str(seed)))

    def without_coli(seed: int) -> str:
        del seed
        return str(twin)

    found: dict[str, Method] = {
        "mini, IA³": partial(adapted, ntjax.IA3(), mini),
        "mini, LoRA": partial(adapted, ntjax.LoRA(), mini),
        "mini, head": partial(adapted, ntjax.HeadOnly(), mini),
        "untrained network, IA³": partial(adapted, ntjax.IA3(), fresh),
    }
    if twin is not None:
        found["twin that saw no E. coli, IA³"] = partial(adapted, ntjax.IA3(), without_coli)
    return found | {
        BOOSTING: boosted,
        CNN: convolutional,
        "4-mer contrast, logistic regression": kmer_contrast,
        "3-periodic Markov chain": periodic_markov,
        "fewest stops, no labels": open_frames,
    }
