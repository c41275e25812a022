"""The Nucleotide Transformer's forward pass in Haiku, layers stacked and scanned.

Computes what InstaDeep's `nucleotide_transformer/model.py` and `layers.py` compute. The
architecture is ESM's: pre-layer-norm encoder blocks and a RoBERTa language-model head.

Numerics: rotary angles, softmax and layer-norm statistics are float32 whatever the compute type.
A float32 model multiplies in true float32: TPUs and recent GPUs would otherwise round the factors
to bfloat16 or TF32, and the parity with the published model would be lost without a word.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from ntjax.models.attention import (
    CUDNN_TOKENS,
    Attention,
    attend,
    attention_context,
    cudnn_context,
    precision_of,
)
from ntjax.models.config import ROOT, TransformerConfig, ffn_width
from ntjax.models.layers import saved_for_backward, scanned, with_last
from ntjax.sequences.tokenizer import Tokenizer

PAD_ID, MASK_ID = Tokenizer.pad_id, Tokenizer.mask_id

# For what is cheap to compute and large to keep, such as an activation: the way back computes it
# again. In a scan over layers everything kept is written to memory once per layer, and on a CPU
# that takes longer than the arithmetic. Both directions of a scan are loops of their own, between
# which the compiler merges nothing anyway.
recomputed = partial(jax.checkpoint, prevent_cse=False)

Linear = Callable[[jax.Array], jax.Array]
# hook(per_layer, name, linear, x) -> y: stands around every linear layer of every block.
Hook = Callable[[Any, str, Linear, jax.Array], jax.Array]


def no_hook(per_layer: Any, name: str, linear: Linear, x: jax.Array) -> jax.Array:
    """The bare model: every linear layer as it is."""
    del per_layer, name
    return linear(x)


def _gelu(x: jax.Array) -> jax.Array:
    """x Φ(x).

    By the error function in float32, as PyTorch computes it: within 1.1e-6 of x Φ(x), in half the
    time of `jax.nn.gelu`, whose `erfc` is also relatively precise where almost nothing is left. Of
    bfloat16 numbers `jax.nn.gelu` rounds every step; this rounds once.
    """
    wide = _rounded(x.astype(jnp.float32), x.dtype)
    value = 0.5 * wide * (1.0 + jax.lax.erf(wide * np.float32(0.5**0.5)))
    return _rounded(value, x.dtype).astype(x.dtype)


def _rounded(x: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Round float32 numbers to those of a smaller type.

    A conversion to a smaller type and back is left out by the compiler in one program and not in
    another; this is not.
    """
    if dtype == jnp.float32:
        return x
    return jax.lax.reduce_precision(x, jnp.finfo(dtype).nexp, jnp.finfo(dtype).nmant)


_ACTIVATIONS = {
    "gelu": jax.nn.gelu,
    "gelu-no-approx": _gelu,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "sin": jnp.sin,
    "swish": jax.nn.silu,
}


class _Linear(hk.Module):
    """x W + b in the type of x, whatever the type the weights are kept in."""

    def __init__(self, size: int, name: str, bias: bool = True):
        super().__init__(name=name)
        self.size, self.bias = size, bias

    def __call__(self, x: jax.Array) -> jax.Array:
        init = hk.initializers.TruncatedNormal(x.shape[-1] ** -0.5)
        w = hk.get_parameter("w", (x.shape[-1], self.size), init=init)
        y = jnp.dot(x, w.astype(x.dtype), precision=precision_of(x.dtype))
        if self.bias:
            y = y + hk.get_parameter("b", (self.size,), init=jnp.zeros).astype(x.dtype)
        return y


class _LayerNorm(hk.Module):
    """Layer norm over the last axis, statistics and affine part in float32."""

    def __init__(self, eps: float, name: str):
        super().__init__(name=name)
        self.eps = eps

    def __call__(self, x: jax.Array) -> jax.Array:
        scale = hk.get_parameter("scale", x.shape[-1:], init=jnp.ones)
        offset = hk.get_parameter("offset", x.shape[-1:], init=jnp.zeros)
        return recomputed(partial(_normalised, self.eps))(x, scale, offset)


def _normalised(eps: float, x: jax.Array, scale: jax.Array, offset: jax.Array) -> jax.Array:
    centred = x.astype(jnp.float32)
    centred = centred - centred.mean(axis=-1, keepdims=True)
    variance = jnp.square(centred).mean(axis=-1, keepdims=True)
    return (centred * jax.lax.rsqrt(variance + eps) * scale + offset).astype(x.dtype)


class _Embedding(hk.Module):
    """Rows of a table, looked up by id."""

    def __init__(self, rows: int, size: int, name: str):
        super().__init__(name=name)
        self.rows, self.size = rows, size

    def __call__(self, ids: jax.Array, dtype: jnp.dtype) -> jax.Array:
        init = hk.initializers.TruncatedNormal(1.0)
        table = hk.get_parameter("embeddings", (self.rows, self.size), init=init)
        return table[ids].astype(dtype)


class NucleotideTransformer(hk.Module):
    """Tokens to logits, embeddings and attention maps."""

    def __init__(
        self,
        config: TransformerConfig,
        dtype: jax.typing.DTypeLike,
        hook: Hook = no_hook,
        rematerialise: bool = False,
        attention: Attention = "plain",
    ):
        super().__init__(name=ROOT)
        self.config, self.dtype, self.hook = config, jnp.dtype(dtype), hook
        self.rematerialise, self.attention = rematerialise, attention

    def __call__(
        self,
        tokens: jax.Array,
        attention_mask: jax.Array | None = None,
        per_layer: Any = None,
        logits: bool = True,
        embeddings_layers: tuple[int, ...] = (),
        attention_layers: tuple[int, ...] = (),
        positions: jax.Array | None = None,
        first_tokens: int | None = None,
    ) -> dict[str, jax.Array]:
        """Run the model.

        Arguments:
            tokens: int32 [batch, tokens].
            attention_mask: bool [batch, 1, tokens, tokens], True where a query (third axis) may
                look at a key (fourth axis); stands in for the padding mask.
            per_layer: pytree for the hook, every leaf [layers, ...].
            logits: whether to run the language-model head.
            embeddings_layers: layers, counted from 1, whose output is wanted; 0 for what enters
                the first.
            attention_layers: layers, counted from 1, whose attention maps are wanted.
            positions: int32 [batch, chosen], places in a row at which logits are wanted; at others
                none are computed, and `logits` are [batch, chosen, vocabulary].
            first_tokens: compute of the last layer only the output of so many first tokens; logits
                and the last embeddings are [batch, first_tokens, ...]. Not for weights that are
                trained.

        Returns:
            float32 `logits` [batch, tokens, vocabulary] (0 at `<pad>`), `embeddings_L`
            [batch, tokens, dim], `attention_L` [batch, heads, tokens, tokens].

        Raises:
            ValueError: `first_tokens` beside `attention_layers`, `positions` or recomputation.
        """
        config = self.config
        if first_tokens is not None and (
            attention_layers or positions is not None or self.rematerialise
        ):
            raise ValueError(
                "first_tokens goes with neither attention_layers nor positions nor rematerialise"
            )
        if attention_mask is None:
            attention_mask = (tokens != PAD_ID)[:, None, None, :]
        first = x = self._embed(tokens)
        x, saved = self._layers(
            x,
            attention_mask,
            per_layer,
            tuple(embeddings_layers),
            tuple(attention_layers),
            first_tokens,
        )
        # The last layer's embeddings are taken after the head's first norm, as ESM does.
        last = _LayerNorm(config.layer_norm_eps, "emb_layer_norm_after")(x)
        outputs = {name: value.astype(jnp.float32) for name, value in saved.items()}
        if 0 in embeddings_layers:
            outputs["embeddings_0"] = first.astype(jnp.float32)
        if config.num_layers in embeddings_layers:
            outputs[f"embeddings_{config.num_layers}"] = last.astype(jnp.float32)
        if logits and positions is not None:
            last = jnp.take_along_axis(last, positions[..., None], axis=1)
            tokens = jnp.take_along_axis(tokens, positions, axis=1)
        if logits:
            outputs["logits"] = self._language_model_head(last, tokens[:, : last.shape[1]])
        return outputs

    @hk.transparent
    def _embed(self, tokens: jax.Array) -> jax.Array:
        config = self.config
        x = _Embedding(config.vocabulary_size, config.embed_dim, "embed")(tokens, self.dtype)
        if config.token_dropout:
            x = x * _token_dropout_scale(config, tokens).astype(x.dtype)
        x = config.embed_scale * x
        if config.positional_embedding == "learned":
            # As in ESM, positions are counted over real tokens only and begin at pad_id + 1.
            real = tokens != PAD_ID
            positions = jnp.cumsum(real, axis=1) * real + PAD_ID
            # Else a GPU counts them again for every dimension that it looks up.
            positions = jax.lax.optimization_barrier(positions)
            table = _Embedding(config.max_positions + 2, config.embed_dim, "positional_embedding")
            x = x + table(positions, self.dtype)
        if config.emb_layer_norm_before:
            x = _LayerNorm(config.layer_norm_eps, "emb_layer_norm_before")(x)
        return x

    @hk.transparent
    def _layers(
        self,
        x: jax.Array,
        attention_mask: jax.Array,
        per_layer: Any,
        embeddings_layers: tuple[int, ...],
        attention_layers: tuple[int, ...],
        first_tokens: int | None,
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        batch, tokens, _ = x.shape
        heads = self.config.attention_heads
        # Buffers with one slot per wanted layer travel through the scan: what is not asked for
        # is neither kept nor computed.
        inner_layers = tuple(n for n in embeddings_layers if 0 < n < self.config.num_layers)
        kept = {
            "embeddings": jnp.zeros((len(inner_layers), *x.shape), x.dtype),
            "attention": jnp.zeros((len(attention_layers), batch, heads, tokens, tokens)),
        }
        wanted = {"embeddings": inner_layers, "attention": attention_layers}

        def layer(carry: Any, number: jax.Array, inputs: Any) -> tuple[Any, None]:
            x, kept = carry
            x, weights = self._layer(x, attention_mask, inputs, bool(attention_layers))
            new = {"embeddings": x, "attention": weights}
            kept = {name: _keep(kept[name], new[name], number, wanted[name]) for name in kept}
            return (x, kept), None

        def last(carry: Any, number: jax.Array, inputs: Any) -> tuple[Any, None]:
            del number  # what leaves the last layer is not kept here
            mask = attention_mask[..., :first_tokens, :]
            x, _ = self._layer(carry[0], mask, inputs, False, first_tokens)
            return (x, carry[1]), None

        count, carry = self.config.num_layers, (x, kept)
        if first_tokens is None:
            body = hk.remat(layer) if self.rematerialise else layer
            x, kept = scanned(count, body, carry, per_layer)
        else:
            x, kept = with_last(count, layer, last, carry, per_layer)
        saved = {
            f"{name}_{number}": kept[name][slot]
            for name, numbers in wanted.items()
            for slot, number in enumerate(numbers)
        }
        return x, saved

    @hk.transparent
    def _layer(
        self,
        x: jax.Array,
        attention_mask: jax.Array,
        inputs: Any,
        keep_weights: bool,
        first_tokens: int | None = None,
    ) -> tuple[jax.Array, jax.Array | None]:
        config = self.config

        def linear(name: str, size: int, x: jax.Array, bias: bool = True) -> jax.Array:
            layer = _Linear(size, name, bias)
            return self.hook(inputs, name, lambda x: saved_for_backward(layer(x)), x)

        normed = _LayerNorm(config.layer_norm_eps, "self_attention_layer_norm")(x)
        size = config.attention_heads * config.key_dim

        def heads(name: str, x: jax.Array) -> jax.Array:
            split = (*x.shape[:2], config.attention_heads, config.key_dim)
            return linear(name, size, x).reshape(split)

        query = heads("query", normed[:, :first_tokens])
        key, value = heads("key", normed), heads("value", normed)
        x = x[:, :first_tokens]
        if config.use_rotary_embedding:
            query, key = rotate(query), rotate(key)
        weights = None
        if keep_weights or first_tokens is not None:  # few queries: few scores
            context, weights = attend(query, key, value, attention_mask)
        elif self.attention == "cudnn" and x.shape[1] >= CUDNN_TOKENS:
            context = cudnn_context(query, key, value, attention_mask)
        else:
            context = attention_context(query, key, value, attention_mask)
        x = x + linear("mha_output", config.embed_dim, context.reshape(*x.shape[:2], size))
        x = saved_for_backward(x)

        normed = _LayerNorm(config.layer_norm_eps, "final_layer_norm")(x)
        inner = linear("fc1", ffn_width(config), normed, config.add_bias_ffn)
        activation = _ACTIVATIONS[config.ffn_activation_name]

        def activated(inner: jax.Array) -> jax.Array:
            if config.use_glu_in_ffn:
                inner, gate = jnp.split(inner, 2, axis=-1)
                inner = activation(inner) * gate
            else:
                inner = activation(inner)
            return linear("fc2", config.embed_dim, inner, config.add_bias_ffn)

        # fc2 is within, so that what an adapter does to its input is recomputed too; the product
        # itself is not: the way back does not need its result.
        return x + hk.remat(activated, prevent_cse=False)(inner), weights

    @hk.transparent
    def _language_model_head(self, embeddings: jax.Array, tokens: jax.Array) -> jax.Array:
        config = self.config
        x = _gelu(_Linear(config.embed_dim, "lm_head_fc_1")(embeddings))
        x = _LayerNorm(config.layer_norm_eps, "lm_head_layer_norm")(x)
        logits = _Linear(config.vocabulary_size, "lm_final_fc")(x).astype(jnp.float32)
        return jnp.where((tokens != PAD_ID)[..., None], logits, 0.0)


def _token_dropout_scale(config: TransformerConfig, tokens: jax.Array) -> jax.Array:
    """[batch, tokens, 1]: 0 at `<mask>`, elsewhere (1 - expected) / (1 - observed masking)."""
    masked = tokens == MASK_ID
    observed = masked.sum(axis=-1) / (tokens != PAD_ID).sum(axis=-1)
    scale = (1 - config.masking_ratio * config.masking_prob) / (1 - observed)
    return jnp.where(masked, 0.0, scale[:, None])[..., None]


def _keep(
    buffer: jax.Array, value: jax.Array | None, number: jax.Array, wanted: tuple[int, ...]
) -> jax.Array:
    """Write `value` into the slot of layer `number`, or leave the buffer as it is."""
    if not wanted or value is None:
        return buffer
    matches = jnp.asarray(wanted) == number
    slot = jnp.argmax(matches)
    value = jnp.where(matches.any(), value.astype(buffer.dtype), buffer[slot])
    return buffer.at[slot].set(value)


def rotate(heads: jax.Array) -> jax.Array:
    """Rotary positions (Su et al. 2021), dimension i paired with i + key_dim / 2 as in ESM-2.

    `heads`: [batch, tokens, heads, key_dim]. Angles and rotation are float32: bfloat16 angles
    are off by whole turns within a few hundred tokens.
    """
    tokens, key_dim = heads.shape[1], heads.shape[-1]
    inverse_frequency = 10000.0 ** (-jnp.arange(0, key_dim, 2, dtype=jnp.float32) / key_dim)
    angles = jnp.arange(tokens, dtype=jnp.float32)[:, None] * inverse_frequency
    cosine, sine = jnp.cos(angles)[:, None, :], jnp.sin(angles)[:, None, :]
    first, second = jnp.split(heads.astype(jnp.float32), 2, axis=-1)
    rotated = (first * cosine - second * sine, second * cosine + first * sine)
    return jnp.concatenate(rotated, axis=-1).astype(heads.dtype)
