"""What a pre-trained model reached on sequence that training did not hold, beside baselines."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ntjax.baselines.markov import MarkovModel, UnigramModel, choose_order
from ntjax.errors import UserError
from ntjax.evaluation.masked_likelihood import (
    EvaluationSet,
    baseline_scores,
    cut_windows,
    masked_metrics,
    masked_windows,
)
from ntjax.genomes.windows import Region
from ntjax.inference.predict import masked_losses
from ntjax.leakage.shared_sequence import SHARED_LETTERS, windows_seen_in_training
from ntjax.sequences.tokenizer import Tokenizer
from ntjax.training.step import StepConfig, Trainable

Guesses = tuple[np.ndarray, np.ndarray]

# Of the Markov models that are tried: letters before the one that is guessed.
ORDERS = range(10)
MOST_WINDOWS = 1000


class HeldOut(NamedTuple):
    """Windows to report with.

    Attributes:
        windows: to be guessed.
        candidates: windows looked at.
        seen: those of them that share a stretch with the training genomes and were left out.
    """

    windows: EvaluationSet
    candidates: int
    seen: int


def held_out_windows(
    regions: Sequence[Region],
    training: Sequence[Region],
    tokenizer: Tokenizer,
    tokens: int,
    seed: int,
    most: int = MOST_WINDOWS,
) -> HeldOut | None:
    """Windows of regions whose sequence does not occur in training; None if there are none.

    Arguments:
        tokens: of a window, `<cls>` included.
        most: windows to look at.
    """
    letters = tokenizer.k * (tokens - 1)
    windows, group = cut_windows(regions, letters, most, seed)
    if not len(windows):
        return None
    seen = windows_seen_in_training(windows, training, min(SHARED_LETTERS, letters))
    try:
        rows = masked_windows(windows[~seen], group[~seen], tokenizer, seed)
    except UserError:
        return None
    return HeldOut(rows, len(windows), int(seen.sum()))


def baselines(
    training: Sequence[Region], validation: EvaluationSet
) -> dict[str, UnigramModel | MarkovModel]:
    """The two models of DNA that know no context, and none beyond a few letters."""
    kmers = validation.masked_kmers(max(ORDERS))
    markov = choose_order(training, kmers, ORDERS)
    unigram = UnigramModel.fit(training, validation.k)
    return {"unigram": unigram, f"Markov, order {markov.order}": markov}


def guesses(
    config: StepConfig, model: UnigramModel | MarkovModel | Trainable, rows: EvaluationSet
) -> Guesses:
    """Loss in nats and whether the likeliest k-mer is the true one, both [rows, chosen].

    `config` is of weights; baselines do not look at it.
    """
    if isinstance(model, Trainable):
        return masked_losses(config, model, rows)
    return baseline_scores(model, rows)


def loss_difference(
    first: Guesses, second: Guesses, rows: EvaluationSet, seed: int
) -> dict[str, float | None]:
    """The first's mean loss minus the second's, with its interval: below 0 the first is better."""
    losses, correct = first[0] - second[0], first[1]
    return masked_metrics(losses, correct, rows.group, rows.k, seed=seed)["loss"]


def report(
    config: StepConfig,
    trainable: Trainable,
    others: Mapping[str, UnigramModel | MarkovModel | Trainable],
    held_out: HeldOut,
    seed: int,
) -> dict[str, Any]:
    """Metrics of the model and of others, weights or baselines, on the same masked k-mers.

    `difference` is the model's loss minus that of each other, with the interval of the
    difference: below 0 the model is better.
    """
    rows = held_out.windows
    scores = {
        name: guesses(config, other, rows) for name, other in {"model": trainable, **others}.items()
    }
    metrics = {
        name: masked_metrics(*score, rows.group, rows.k, seed=seed)
        for name, score in scores.items()
    }
    differences = {
        name: loss_difference(scores["model"], scores[name], rows, seed) for name in others
    }
    return {
        "windows": len(rows.tokens),
        "candidates": held_out.candidates,
        "left_out_as_seen": held_out.seen,
        "metrics": metrics,
        "difference": differences,
    }
