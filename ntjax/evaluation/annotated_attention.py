"""Whether attention goes to annotated elements more than their share of the sequence.

Windows are cut end to end, wherever the elements lie. `<cls>`, padding and each token's attention
to itself are left out, and what is left of a row is scaled to sum to one. The statistic is the
attention that tokens of a class of elements receive, divided by their share of the tokens.

Neighbouring tokens receive similar attention, and elements are long: tokens are no independent
trials. The null shifts the whole annotation along the genome, by the same distances for all heads;
the largest standardised deviation over layers, heads and classes gives p-values that hold for all
of them together (Westfall & Young 1993). The paper's own statistic, as far as it is known, counts
weights above 0.3 on elements and tests them as independent trials; it is given for comparison, of
the same weights before they are scaled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.stats import binom

from ntjax.adapters import Adapter
from ntjax.adapters.apply import forward
from ntjax.datasets.batching import TokenisedSet
from ntjax.datasets.masked_windows import cut_starts
from ntjax.errors import UserError
from ntjax.genomes.elements import token_cover
from ntjax.genomes.intervals import Intervals
from ntjax.genomes.regions import whole_genome
from ntjax.genomes.store import Genome
from ntjax.genomes.windows import encode, read_windows
from ntjax.inference.backbones import Adapted, backbone_of
from ntjax.inference.devices import EVALUATION_TOKENS, in_batches, over_devices, token_batches
from ntjax.inference.pretrained import PretrainedModel
from ntjax.models.config import TransformerConfig

STRONG = 0.3
"""Weights above it are counted by the paper's statistic."""

LEAST_SHIFT = 20_000
"""Bases that the annotation is shifted by at least."""

_WEIGHTS_PER_BATCH = 1 << 25


@dataclass(frozen=True)
class TokenAttention:
    """What tokens of a genome receive, window by window.

    Attributes:
        received: float32 [layers, heads, tokens], sums over the queries of a window.
        strong: the same, numbers of weights above `STRONG`.
        starts: int64 [tokens], first base of each in the store, ascending.
        k: bases of a token.
    """

    received: np.ndarray
    strong: np.ndarray
    starts: np.ndarray
    k: int


def tiled_attention(
    model: Adapted | PretrainedModel,
    genome: Genome,
    window: int,
    *,
    most: int | None = None,
    progress: str = "",
) -> TokenAttention:
    """Read a genome in windows that lie end to end, and sum what each token receives.

    Arguments:
        model: a run, or a bare model.
        genome: windows with an N are left out.
        window: bases, a multiple of the model's k.
        most: windows from the genome's beginning; None for all.
        progress: name of the progress bar; "" for none.

    Raises:
        UserError: the window is no multiple of k, or the genome holds none.
    """
    backbone = backbone_of(model)
    base = backbone.model
    k, config = base.config.k_for_kmers, base.config
    if window < 2 * k or window % k:
        raise UserError(f"window {window}: should be a multiple of {k}", field="window")
    places = cut_starts([whole_genome(genome)], window)[:most]
    if not len(places):
        raise UserError(f"{genome.path}: holds no window of {window:,} bp without N")
    letters = read_windows(genome, places, window)
    ids = encode(letters, np.zeros(len(letters), int), base.tokenizer)
    tokens = ids.shape[1]
    shape = (config.num_layers, config.attention_heads, len(ids), tokens - 1)
    received, strong = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    weights = config.num_layers * config.attention_heads * tokens
    batches = token_batches(
        TokenisedSet.unlabelled(ids),
        max(tokens, min(EVALUATION_TOKENS, _WEIGHTS_PER_BATCH // weights)),
    )
    compiled = _compiled(config, base.dtype)
    for rows, (own, counts) in in_batches(
        compiled, base.params, backbone.adapter, batches, progress
    ):
        received[:, :, rows] = np.moveaxis(own, 0, 2)
        strong[:, :, rows] = np.moveaxis(counts, 0, 2)
    starts = (places[:, None] + k * np.arange(tokens - 1)).reshape(-1)
    flat = (*shape[:2], -1)
    return TokenAttention(received.reshape(flat), strong.reshape(flat), starts, k)


@lru_cache(maxsize=16)
def _compiled(config: TransformerConfig, dtype: str) -> Any:
    return over_devices(partial(_received, config, dtype), dtype)


def _received(
    config: TransformerConfig, dtype: str, params: Any, adapter: Adapter | None, tokens: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """What each token of bases receives, and strong weights: [rows, layers, heads, tokens]."""
    layers = range(1, config.num_layers + 1)
    outputs = forward(
        config, dtype, params, tokens, adapter, logits=False, attention_layers=tuple(layers)
    )
    sums, counts = [], []
    for layer in layers:
        weights = outputs[f"attention_{layer}"][:, :, 1:, 1:].astype(jnp.float32)
        others = weights * (1 - jnp.eye(weights.shape[-1]))
        counts.append((others > STRONG).sum(axis=2))
        total = others.sum(axis=-1, keepdims=True)
        sums.append((others / jnp.maximum(total, 1e-30)).sum(axis=2))
    return jnp.stack(sums, axis=1), jnp.stack(counts, axis=1).astype(jnp.float32)


def element_attention(
    attention: TokenAttention,
    elements: Mapping[str, Intervals],
    *,
    shifts: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """Compare the attention that classes of elements receive with that of shifted annotations.

    Arguments:
        attention: as of `tiled_attention`.
        elements: intervals by class.
        shifts: number of shifted annotations, 1,000 or more.
        seed: of the distances.

    Returns:
        `classes`, by name: `tokens` and, [layers, heads], `ratio` (attention received over share of
        tokens), `z` (in standard deviations of the shifted ones), `p` (family-wise over all
        layers, heads and classes, both directions), and of the paper's statistic `strong_share`
        and `binomial_p` (Bonferroni over all of them); `shifts`, `tokens`.

    Raises:
        UserError: too few shifts, a genome too short for them, or a class that covers no token or
            all of them.
    """
    tokens, least = len(attention.starts), -(-LEAST_SHIFT // attention.k)
    if shifts < 1000:
        raise UserError(f"{shifts} shifts: give 1,000 or more", field="shifts")
    if tokens - 2 * least < shifts:
        raise UserError(
            f"the annotation is shifted by {LEAST_SHIFT:,} bp or more, and {tokens:,} tokens are "
            f"too few for {shifts:,} shifts: give a longer genome",
            field="shifts",
        )
    drawn = np.random.default_rng(seed).choice(tokens - 2 * least, shifts, replace=False) + least
    covers = {
        name: token_cover(intervals, attention.starts, attention.k)
        for name, intervals in elements.items()
    }
    for name, cover in covers.items():
        if not cover.any() or cover.all():
            raise UserError(
                f"{name}: its elements cover none or all of the {tokens:,} tokens that were read: "
                "read more of the genome, or leave the class out"
            )
    ratios = {name: _ratios(attention.received, cover, drawn) for name, cover in covers.items()}
    scores = {name: _standardised(*found) for name, found in ratios.items()}
    largest = np.max([np.abs(null).max(axis=(0, 1)) for _, null in scores.values()], axis=0)
    comparisons = len(covers) * attention.received.shape[0] * attention.received.shape[1]
    return {
        "classes": {
            name: {
                "tokens": int(cover.sum()),
                "ratio": ratios[name][0],
                "z": scores[name][0],
                "p": (1 + (largest >= np.abs(scores[name][0])[..., None]).sum(axis=-1))
                / (1 + shifts),
                **_as_published(attention.strong, cover, comparisons),
            }
            for name, cover in covers.items()
        },
        "shifts": shifts,
        "tokens": tokens,
    }


def _ratios(
    received: np.ndarray, cover: np.ndarray, shifts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Attention received over share of tokens: [layers, heads], and shifted [.., shifts]."""
    tokens = received.shape[-1]
    total = received.sum(axis=-1, dtype=np.float64)
    expected = total * cover.mean()
    found = received[..., cover].sum(axis=-1, dtype=np.float64)
    # Correlations with all shifts at once: the cover is repeated so that it goes round.
    size = next_fast_len(2 * tokens, real=True)
    turned = np.conj(rfft(cover.astype(np.float64), size))
    null = np.empty((*received.shape[:2], len(shifts)))
    for layer, head in np.ndindex(*received.shape[:2]):
        twice = np.concatenate([received[layer, head]] * 2).astype(np.float64)
        null[layer, head] = irfft(rfft(twice, size) * turned, size)[shifts]
    return found / expected, null / expected[..., None]


def _standardised(found: np.ndarray, null: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, spread = null.mean(axis=-1), null.std(axis=-1)
    spread = np.where(spread > 0, spread, np.inf)
    return (found - mean) / spread, (null - mean[..., None]) / spread[..., None]


def _as_published(strong: np.ndarray, cover: np.ndarray, comparisons: int) -> dict[str, Any]:
    """Share of strong weights on elements, and a binomial test of it: [layers, heads]."""
    total, hits = strong.sum(axis=-1), strong[..., cover].sum(axis=-1)
    share = np.divide(hits, total, out=np.full(total.shape, np.nan), where=total > 0)
    p = binom.sf(hits - 1, total, cover.mean())
    return {"strong_share": share, "binomial_p": np.minimum(p * comparisons, 1.0)}
