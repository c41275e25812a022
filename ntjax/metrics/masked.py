"""What masked tokens cost a model, with bootstrap intervals."""

import numpy as np

from ntjax.metrics.bootstrap import estimates


def masked_metrics(
    losses: np.ndarray,
    correct: np.ndarray,
    group: np.ndarray,
    k: int = 6,
    *,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, dict[str, float | None] | int]:
    """What masked tokens cost, with 95% percentile bootstrap intervals over groups (Efron 1979).

    `loss` is the mean in nats a token, `perplexity` its exponential, `bits_per_nucleotide` the
    loss in bits over the letters of a k-mer (2 for letters that are drawn evenly), `accuracy` the
    share of tokens that are guessed right. The intervals of two models on the same set and with
    the same seed come from the same draws; of the differences of their losses, `loss` is the mean
    difference with its interval.

    Arguments:
        losses: nats [rows, chosen].
        correct: bool [rows, chosen].
        group: integers [rows]; with fewer than `bootstrap.LEAST_UNITS` intervals are None, and
            `interval` is the reason.
        k: letters of a token.
        bootstrap: number of resamples.

    Returns:
        `{"loss": {"value": …, "low": …, "high": …}, …, "n": tokens, "groups": groups}`.
    """
    # Every row has as many tokens, so that means of rows do.
    means = np.stack([losses.mean(axis=1, dtype=np.float64), correct.mean(axis=1)], axis=1)
    found = estimates(
        lambda weights: _metrics(weights @ means / weights.sum(axis=1, keepdims=True), k),
        len(means),
        resamples=bootstrap,
        seed=seed,
        groups=group,
    )
    return {**found, "n": losses.size, "groups": len(np.unique(group))}


def _metrics(means: np.ndarray, k: int) -> dict[str, np.ndarray]:
    """Metrics [n] from mean losses and shares of right guesses [n, 2]."""
    loss, accuracy = means.T
    return {
        "loss": loss,
        "perplexity": np.exp(loss),
        "accuracy": accuracy,
        "bits_per_nucleotide": loss / np.log(2) / k,
    }
