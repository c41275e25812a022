"""The arms of the experiment: each learns from the labelled rows of a seed and scores windows.

The protocol, fixed before any of it was run: one configuration an arm, that of the package for
`mini` (see `RATES`), linear decay to 0, batches of 32. Steps grow with the cube root of the labels
(`steps_for`), the state with the best validation MCC of three is kept. Every arm but the textbook
methods, which have it built in, learns from the reverse complements too, with flipped labels, and
its log-odds are averaged over both strands of a test window.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.coding_strand.rows import Labelled, Rows
from experiments.coding_strand.textbook import KmerContrast, PeriodicMarkov, fewest_stops
from experiments.promoters.data.untrained import untrained
from ntjax.baselines.both_strands import fit_both_strands
from ntjax.baselines.cnn import fit_cnn
from ntjax.baselines.gradient_boosting import fit_gradient_boosting
from ntjax.datasets.reverse_complements import average_strands, with_reverse_complements

if TYPE_CHECKING:
    from ntjax import Run

Scorer = Callable[[Sequence[str]], np.ndarray]
"""Log-odds of the forward strand, [n], of sequences."""

Arm = Callable[[Labelled, int], Scorer]
"""Learns from the labelled rows of a seed."""

PRIMARY = "IA³, mini"
"""The arm that the others are compared with, named before the experiment was run."""

RATES = {"ia3": 1e-2, "lora": 2e-3, "head": 3e-3, "full": 5e-4}
"""Learning rates: those that `python -m ntjax.finetune` chooses for `mini`."""

_NAMES = {"ia3": "IA³", "lora": "LoRA", "head": "head only", "full": "all weights"}
_NETWORKS = {
    "mini": ("ia3", "lora", "head"),
    "mini untrained": ("ia3", "full"),
    "twin without E. coli": ("ia3",),
}
_BATCH_SIZE = 32
_EVALUATIONS = 3


def steps_for(labels: int) -> int:
    """Optimiser steps for a number of labels.

    >>> [steps_for(labels) for labels in (100, 300, 1000, 3000)]
    [60, 87, 129, 186]
    """
    return round(60 * (labels / 100) ** (1 / 3))


def arms(runs: Path, twin: Path | None) -> dict[str, Arm]:
    """Return all arms by name.

    Arguments:
        runs: folder for untrained weights.
        twin: weights of the network that saw no E. coli; None leaves its arm out.
    """
    networks = {
        f"{_NAMES[adapter]}, {network}": partial(_fit_network, network, adapter, runs, twin)
        for network, adapters in _NETWORKS.items()
        for adapter in adapters
        if twin is not None or not network.startswith("twin")
    }
    return networks | {
        "gradient boosting": partial(_fit_baseline, fit_gradient_boosting),
        "CNN": partial(_fit_baseline, partial(fit_cnn, progress=False)),
        "3-periodic Markov chain": _fit_markov,
        "4-mer logistic regression": _fit_logistic,
        "fewest stops, no labels": lambda rows, seed: fewest_stops,
    }


def _fit_network(
    network: str, adapter: str, runs: Path, twin: Path | None, rows: Labelled, seed: int
) -> Scorer:
    weights = {
        "mini": lambda: "mini",
        "mini untrained": lambda: untrained("mini", seed, runs / f"untrained-{seed}"),
        "twin without E. coli": lambda: twin,
    }[network]()
    run = _train(str(weights), adapter, rows, seed)
    return partial(_log_odds, run.logits)


def _train(weights: str, adapter: str, rows: Labelled, seed: int) -> "Run":
    """Fine-tune a network: the one call of the package's training.

    The test rows are not given: validation rows stand in for them, and the caller scores both
    strands of each test window.
    """
    import ntjax

    sequences = [rows.train, rows.calibration]
    train = tuple(np.concatenate(column) for column in zip(*sequences, strict=True))
    labels = len(rows.sequences)
    steps = steps_for(labels)
    validation = _as_texts(rows.validation)
    return ntjax.fine_tune(
        ntjax.load_pretrained(weights),
        train=_as_texts(train),
        validation=validation,
        test=validation,
        adapter={
            "ia3": ntjax.IA3,
            "lora": ntjax.LoRA,
            "head": ntjax.HeadOnly,
            "full": ntjax.Full,
        }[adapter](),
        head="mean",
        seed=seed,
        steps=steps,
        batch_size=_BATCH_SIZE,
        learning_rate=RATES[adapter],
        evaluate_every=-(-steps // _EVALUATIONS),
        calibration_fraction=len(rows.calibration[0]) / len(train[0]),
    )


def _as_texts(rows: Rows) -> tuple[list[str], list[str]]:
    """Add reverse complements with flipped labels; classes are named 0 and 1."""
    sequences, forward = with_reverse_complements(list(rows[0]), rows[1], "flip-label")
    return sequences, [str(label) for label in forward]


def _log_odds(logits: Callable[[Sequence[str]], np.ndarray], sequences: Sequence[str]) -> Any:
    """Average over both strands: log-odds of class 1, [n]."""
    both = average_strands(logits, sequences, "flip-label")
    return both[:, 1] - both[:, 0]


def _fit_baseline(fit: Callable[..., Any], rows: Labelled, seed: int) -> Scorer:
    model = fit_both_strands(fit, rows.train, rows.validation, "flip-label", seed=seed)

    def scorer(sequences: Sequence[str]) -> np.ndarray:
        logits = model.logits(sequences)
        return logits[:, 1] - logits[:, 0]

    return scorer


def _fit_markov(rows: Labelled, seed: int) -> Scorer:
    return PeriodicMarkov.fit(rows.train[0], rows.train[1] == 1).scores


def _fit_logistic(rows: Labelled, seed: int) -> Scorer:
    return KmerContrast.fit(*rows.train, rows.validation).scores
