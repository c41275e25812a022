"""Held-out windows in which k-mers are masked, to be guessed by a model or by a baseline.

All are asked for the same k-mers. In every row each seventh token is masked, from an offset drawn
at random, so that a baseline that looks at the bases next to a k-mer sees true ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.windows import Region, encode, read_windows
from ntjax.leakage.shared_sequence import SHARED_LETTERS, windows_seen_in_training
from ntjax.sequences.tokenizer import Tokenizer

MOST_WINDOWS = 1000

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
    region_of, places = _cut_places(regions, letters, most, seed)
    windows = np.empty((len(places), letters), np.uint8)
    for number, region in enumerate(regions):
        own = region_of == number
        windows[own] = read_windows(region.genome, places[own], letters)
    # Of the same genome and the same block, counted from the genome's first letter.
    blocks = np.stack([region_of, places // GROUP_LETTERS], axis=1)
    return windows, np.unique(blocks, axis=0, return_inverse=True)[1].reshape(-1)


def cut_starts(
    regions: Sequence[Region], letters: int, most: int | None = None, seed: int = 0
) -> np.ndarray:
    """Tell where the windows of `cut_windows` begin: int64 [windows], each in its own genome."""
    return _cut_places(regions, letters, most, seed)[1]


def _cut_places(
    regions: Sequence[Region], letters: int, most: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Number of each window's region, and its first base."""
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
    return region_of, places


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
