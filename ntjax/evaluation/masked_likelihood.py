"""How well masked k-mers of held-out sequence are guessed, by a model or by a baseline.

All are asked for the same k-mers. In every row each seventh token is masked, from an offset drawn
at random, so that a baseline that looks at the letters next to a k-mer sees true ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ntjax.baselines.markov import MarkovModel, MaskedKmers, UnigramModel, kmer_numbers
from ntjax.errors import UserError
from ntjax.genomes.windows import Region, encode, read_windows
from ntjax.metrics.bootstrap import estimates
from ntjax.sequences.tokenizer import Tokenizer

GROUP_LETTERS = 10_000
"""Windows this near to each other, of one operon often, are drawn together by the bootstrap."""

SPACING = 7
"""Every seventh token is masked: 14%, as near to the 15% of training as even spacing comes."""


@dataclass(frozen=True)
class EvaluationSet:
    """Rows of tokens in which some are masked.

    Attributes:
        letters: uint8 [rows, letters], the true ones: 0 to 3 for A, T, C, G.
        tokens: int32 [rows, tokens], `<cls>` and k-mers, with `<mask>` where one is to be guessed.
        positions: int32 [rows, chosen], the masked tokens, ascending.
        targets: int32 [rows, chosen], the ids that stood there.
        group: int64 [rows]: rows of one group are drawn together by the bootstrap.
        k: letters of a k-mer.
    """

    letters: np.ndarray
    tokens: np.ndarray
    positions: np.ndarray
    targets: np.ndarray
    group: np.ndarray
    k: int

    def masked_kmers(self, flank: int) -> MaskedKmers:
        """The masked k-mers of all rows, one after the other, with their flanks.

        Arguments:
            flank: letters on each side, at most as many as the set was made for.
        """
        starts = (self.positions.reshape(-1, 1) - 1) * self.k
        rows = np.repeat(np.arange(len(self.letters)), self.positions.shape[1])[:, None]
        if starts.min() < flank or starts.max() + self.k + flank > self.letters.shape[1]:
            raise ValueError(f"flanks of {flank} letters reach beyond the windows")
        left, kmers, right = (
            self.letters[rows, starts + np.arange(first, last)]
            for first, last in ((-flank, 0), (0, self.k), (self.k, self.k + flank))
        )
        return MaskedKmers(left, right, kmer_numbers(kmers), self.k)


FLANK = 11
"""Letters that every masked k-mer has on both sides within its window."""


def least_tokens(tokenizer: Tokenizer) -> int:
    """Tokens, `<cls>` included, of the shortest window in which a k-mer can be masked."""
    return 1 + SPACING + 2 * -(-FLANK // tokenizer.k)


def masked_windows(
    windows: np.ndarray, group: np.ndarray, tokenizer: Tokenizer, seed: int, flank: int = FLANK
) -> EvaluationSet:
    """Mask every seventh k-mer of windows.

    Arguments:
        windows: uint8 [rows, letters], 0 to 3 for A, T, C, G; letters behind the last whole k-mer
            are left out.
        group: integers [rows], such as the block each comes from.
        seed: of the offsets.
        flank: letters that every masked k-mer has on both sides within the window, at most 36
            for 6-mers: then none of them is masked.

    Raises:
        UserError: no windows, or too short to mask a token.
    """
    k, rows = tokenizer.k, len(windows)
    windows = windows[:, : windows.shape[1] // k * k]
    letters = windows.shape[1]
    if flank > (SPACING - 1) * k:
        raise ValueError(f"{flank} letters from a masked k-mer another one may be masked")
    first, behind = 1 + -(-flank // k), 1 + (letters - flank) // k
    chosen = max(behind - first, 0) // SPACING
    if not rows or not chosen:
        least = (SPACING + 2 * -(-flank // k)) * k
        raise UserError(
            f"there is nothing to evaluate on: {rows:,} held-out windows of {letters:,} letters; "
            f"give at least one of {least} letters"
        )
    offsets = first + np.random.default_rng(seed).integers(0, SPACING, (rows, 1))
    positions = (offsets + SPACING * np.arange(chosen)).astype(np.int32)
    ids = encode(windows, np.zeros(rows, int), tokenizer)
    tokens = ids.copy()
    np.put_along_axis(tokens, positions, tokenizer.mask_id, axis=1)
    targets = np.take_along_axis(ids, positions, axis=1)
    return EvaluationSet(windows, tokens, positions, targets, np.asarray(group), k)


def cut_windows(
    regions: Sequence[Region], letters: int, most: int | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Windows that lie end to end in the regions' stretches.

    Arguments:
        letters: of each; what remains of a stretch is left out.
        most: how many, drawn evenly from all; None for all.
        seed: of that draw.

    Returns:
        windows uint8 [windows, letters], and the block of `GROUP_LETTERS` that each begins in,
        int64 [windows], numbered through all regions.
    """
    region_of, places = [], []
    for number, region in enumerate(regions):
        fit = np.diff(region.stretches)[:, 0] // letters
        own = np.repeat(np.arange(len(fit)), fit)
        within = np.arange(len(own)) - np.repeat(np.cumsum(fit) - fit, fit)
        places.append(region.stretches[own, 0] + letters * within)
        region_of.append(np.full(len(own), number))
    region_of, places = np.concatenate(region_of), np.concatenate(places)
    if most is not None and most < len(places):
        drawn = np.sort(np.random.default_rng(seed).choice(len(places), most, replace=False))
        region_of, places = region_of[drawn], places[drawn]
    windows = np.empty((len(places), letters), np.uint8)
    for number, region in enumerate(regions):
        own = region_of == number
        windows[own] = read_windows(region.genome, places[own], letters)
    # Of the same genome and the same block, counted from the genome's first letter.
    blocks = np.stack([region_of, places // GROUP_LETTERS], axis=1)
    return windows, np.unique(blocks, axis=0, return_inverse=True)[1].reshape(-1)


def baseline_scores(
    model: UnigramModel | MarkovModel, evaluation: EvaluationSet
) -> tuple[np.ndarray, np.ndarray]:
    """A baseline's loss in nats and whether its best guess is right, both [rows, chosen].

    Raises:
        ValueError: the model's order is above the flanks that the set was made for.
    """
    flank = model.order if isinstance(model, MarkovModel) else 0
    losses, correct = model.score(evaluation.masked_kmers(flank))
    return losses.reshape(evaluation.positions.shape), correct.reshape(evaluation.positions.shape)


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
        group: integers [rows]; with fewer than two groups intervals are None.
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
