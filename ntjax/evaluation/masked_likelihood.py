"""How well masked k-mers of held-out sequence are guessed, by a model and by baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ntjax.baselines.markov import (
    MarkovModel,
    MaskedKmers,
    UnigramModel,
    choose_order,
    kmer_numbers,
)
from ntjax.datasets.masked_windows import EvaluationSet, HeldOut, held_out_windows
from ntjax.datasets.pretraining import TEST_BLOCKS
from ntjax.genomes.windows import Region
from ntjax.inference.forward import ForwardConfig, Trainable
from ntjax.inference.predict import masked_losses
from ntjax.metrics.masked import masked_metrics
from ntjax.training.pretrain_settings import begins_anew
from ntjax.training.pretraining import PretrainJob, initial_trainable

Guesses = tuple[np.ndarray, np.ndarray]

# Of the Markov models that are tried: bases before the one that is guessed.
ORDERS = range(10)


def masked_kmers(rows: EvaluationSet, flank: int) -> MaskedKmers:
    """Return the masked k-mers of all rows, one after the other, with their flanks.

    Arguments:
        rows: windows with masked tokens.
        flank: bases on each side, at most as many as the set was made for.

    Raises:
        ValueError: the flanks reach beyond the windows.
    """
    starts = (rows.positions.reshape(-1, 1) - 1) * rows.k
    numbers = np.repeat(np.arange(len(rows.letters)), rows.positions.shape[1])[:, None]
    if starts.min() < flank or starts.max() + rows.k + flank > rows.letters.shape[1]:
        raise ValueError(f"flanks of {flank} letters reach beyond the windows")
    left, kmers, right = (
        rows.letters[numbers, starts + np.arange(first, last)]
        for first, last in ((-flank, 0), (0, rows.k), (rows.k, rows.k + flank))
    )
    return MaskedKmers(left, right, kmer_numbers(kmers), rows.k)


def baseline_scores(
    model: UnigramModel | MarkovModel, evaluation: EvaluationSet
) -> tuple[np.ndarray, np.ndarray]:
    """A baseline's loss in nats and whether its best guess is right, both [rows, chosen].

    Raises:
        ValueError: the model's order is above the flanks that the set was made for.
    """
    flank = model.order if isinstance(model, MarkovModel) else 0
    losses, correct = model.score(masked_kmers(evaluation, flank))
    return losses.reshape(evaluation.positions.shape), correct.reshape(evaluation.positions.shape)


def baselines(
    training: Sequence[Region], validation: EvaluationSet
) -> dict[str, UnigramModel | MarkovModel]:
    """The two models of DNA that know no context, and none beyond a few letters."""
    kmers = masked_kmers(validation, max(ORDERS))
    markov = choose_order(training, kmers, ORDERS)
    unigram = UnigramModel.fit(training, validation.k)
    return {"unigram": unigram, f"Markov, order {markov.order}": markov}


def guesses(
    config: ForwardConfig, model: UnigramModel | MarkovModel | Trainable, rows: EvaluationSet
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
    config: ForwardConfig,
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


def held_out_report(job: PretrainJob, trainable: Trainable) -> dict[str, Any]:
    """What the weights reach on the test blocks and on each held-out genome.

    By set: `windows`, how many were left out because their sequence occurs in training, `metrics`
    of the model (of one that went on with given weights, before training too), of 6-mer
    frequencies and of a Markov model, and the `difference` of the losses.
    """
    settings, training = job.settings, job.data.parts["train"]
    others: dict[str, Any] = baselines(training, job.validation)
    if not begins_anew(settings.model):
        others = {"model before training": initial_trainable(job)} | others
    sets = {TEST_BLOCKS: job.data.parts["test"]} | {
        region.name: [region] for region in job.data.held_out
    }
    results = {}
    for name, regions in sets.items():
        windows = held_out_windows(
            regions, training, job.model.tokenizer, settings.window_tokens, settings.seed
        )
        results[name] = windows and report(
            job.step.forward, trainable, others, windows, settings.seed
        )
    return results
