"""Hyper-parameters of a Nucleotide Transformer and the parameter tree they imply."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ntjax.errors import UserError

ROOT = "nucleotide_transformer"

FFN_ACTIVATIONS = ("gelu", "gelu-no-approx", "relu", "silu", "sin", "swish")

# Keys of official files that carry no information for the forward pass.
_BOOKKEEPING = {
    "alphabet_size",
    "attention_maps_to_save",
    "embeddings_layers_to_save",
    "mask_token_id",
    "pad_token_id",
    "use_gradient_checkpointing",
}
# Architectures that no published model uses: only the value that switches them off is accepted.
_UNSUPPORTED = {
    "add_bias_kv": False,
    "bias_word_embedding": False,
    "lm_head": "simple",
    "mask_before_attention": False,
    "pre_layer_norm": True,
    "rescaling_factor": None,
}

_LARGEST_FLOAT32 = (2 - 2**-23) * 2.0**127

Shapes = dict[str, dict[str, tuple[int, ...]]]


@dataclass(frozen=True)
class TransformerConfig:
    """Hyper-parameters, named as in the official `jax_model/hyperparams.json`.

    The defaults of the optional fields are those of the official loader.
    """

    vocabulary_size: int
    k_for_kmers: int
    max_positions: int
    attention_heads: int
    embed_dim: int
    ffn_embed_dim: int
    num_layers: int
    key_dim: int
    embed_scale: float = 1.0
    emb_layer_norm_before: bool = False
    positional_embedding: str | None = "learned"
    use_rotary_embedding: bool = False
    add_bias_ffn: bool = True
    ffn_activation_name: str = "gelu-no-approx"
    use_glu_in_ffn: bool = False
    token_dropout: bool = False
    masking_ratio: float = 0.15
    masking_prob: float = 0.8
    layer_norm_eps: float = 1e-5

    def to_hyperparams(self) -> dict[str, Any]:
        """The content of an official `hyperparams.json` for this model."""
        hyperparams = asdict(self)
        del hyperparams["vocabulary_size"]
        return hyperparams


_FIELDS = {field.name: field for field in fields(TransformerConfig)}
_REQUIRED = (
    "k_for_kmers",
    "max_positions",
    "attention_heads",
    "embed_dim",
    "ffn_embed_dim",
    "num_layers",
)
_POSITIVE = (*_REQUIRED, "key_dim")
# Every layer's parameters are looked for by name: a slip here should not fill the memory.
_MOST_LAYERS = 1000


def config_from_hyperparams(
    hyperparams: Mapping[str, Any], vocabulary_size: int, where: str
) -> TransformerConfig:
    """Read an official `hyperparams.json`; the vocabulary is told by the embedding's rows.

    Raises:
        UserError: a key is missing, unknown, of the wrong type, or asks for an architecture
            that is not supported (`add_bias_kv`, rotary rescaling, ...). `where` names the file.
    """
    known = {name: value for name, value in hyperparams.items() if name in _FIELDS}
    known.pop("vocabulary_size", None)
    _refuse_unsupported(hyperparams, where)
    for name in _REQUIRED:
        if name not in known:
            raise UserError(f"{where}: the key '{name}' is missing; add it or download it again")
    if known.get("key_dim") is None:
        known["key_dim"] = _default_key_dim(known, where)
    for name, value in known.items():
        _check_value(name, value, where)
    if known.get("use_rotary_embedding") and known["key_dim"] % 2:
        raise UserError(
            f"{where}: key_dim={known['key_dim']} is odd; rotary positions turn pairs of dimensions"
        )
    return TransformerConfig(vocabulary_size=vocabulary_size, **known)


def _refuse_unsupported(hyperparams: Mapping[str, Any], where: str) -> None:
    for name, value in hyperparams.items():
        if name in _UNSUPPORTED:
            if value != _UNSUPPORTED[name]:
                raise UserError(
                    f"{where}: {name}={value!r} is not supported; no published Nucleotide "
                    "Transformer uses it"
                )
        elif name not in _FIELDS and name not in _BOOKKEEPING:
            near = difflib.get_close_matches(name, [*_FIELDS, *_UNSUPPORTED], n=1)
            hint = f"did you mean '{near[0]}'?" if near else "remove it if it changes nothing"
            raise UserError(f"{where}: unknown key '{name}'; {hint}")


def _default_key_dim(known: Mapping[str, Any], where: str) -> int:
    for name in ("embed_dim", "attention_heads"):
        _check_value(name, known[name], where)
    if known["embed_dim"] % known["attention_heads"]:
        raise UserError(
            f"{where}: embed_dim={known['embed_dim']} is not a multiple of "
            f"attention_heads={known['attention_heads']}; give key_dim"
        )
    return known["embed_dim"] // known["attention_heads"]


def _check_value(name: str, value: Any, where: str) -> None:
    kind: Any = _FIELDS[name].type
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= _LARGEST_FLOAT32 else math.inf
    if name == "positional_embedding":
        if value not in ("learned", None):
            raise UserError(f"{where}: positional_embedding={value!r}; known: 'learned', null")
    elif not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise UserError(f"{where}: {name}={value!r} should be of type {kind.__name__}")
    if kind is float and not abs(value) <= _LARGEST_FLOAT32:
        raise UserError(f"{where}: {name}={value!r} is not finite; it should be a float32 number")
    if name == "num_layers" and value > _MOST_LAYERS:
        raise UserError(f"{where}: num_layers={value!r} is more than any model has")
    if name in _POSITIVE and value < 1:
        raise UserError(f"{where}: {name}={value!r} should be at least 1")
    if name == "ffn_activation_name" and value not in FFN_ACTIVATIONS:
        raise UserError(f"{where}: ffn_activation_name={value!r}; known: {list(FFN_ACTIVATIONS)}")
    if name == "layer_norm_eps" and not value > 0:
        raise UserError(f"{where}: layer_norm_eps={value!r} should be above 0")


def check_length(config: TransformerConfig, tokens: int) -> None:
    """Refuse sequences beyond the positions the model was trained on.

    Raises:
        UserError: more tokens than `max_positions`.
    """
    if tokens > config.max_positions:
        letters = (config.max_positions - 1) * config.k_for_kmers
        raise UserError(
            f"{tokens} tokens are more than the model's {config.max_positions} positions; shorten "
            f"the sequences to {letters:,} letters without N"
        )


def parameter_shapes(config: TransformerConfig) -> Shapes:
    """The whole parameter tree, per-layer arrays stacked on axis 0 (`[layers, ...]`).

    >>> config = TransformerConfig(
    ...     vocabulary_size=4105,
    ...     k_for_kmers=6,
    ...     max_positions=1000,
    ...     attention_heads=20,
    ...     embed_dim=1280,
    ...     ffn_embed_dim=5120,
    ...     num_layers=24,
    ...     key_dim=64,
    ... )  # 500M_1000G
    >>> shapes = parameter_shapes(config)
    >>> shapes["nucleotide_transformer/layers/query"]["w"]
    (24, 1280, 1280)
    >>> sum(math.prod(shape) for leaves in shapes.values() for shape in leaves.values())
    485698825
    """
    embed, inner = config.embed_dim, config.attention_heads * config.key_dim
    layers = {
        "self_attention_layer_norm": _norm(embed),
        "query": _linear(embed, inner),
        "key": _linear(embed, inner),
        "value": _linear(embed, inner),
        "mha_output": _linear(inner, embed),
        "final_layer_norm": _norm(embed),
        "fc1": _linear(embed, ffn_width(config), config.add_bias_ffn),
        "fc2": _linear(config.ffn_embed_dim, embed, config.add_bias_ffn),
    }
    tree: Shapes = {f"{ROOT}/embed": {"embeddings": (config.vocabulary_size, embed)}}
    if config.positional_embedding == "learned":
        # Row 0 is never used and row 1 is the padding's, as in ESM: positions begin at 2.
        tree[f"{ROOT}/positional_embedding"] = {"embeddings": (config.max_positions + 2, embed)}
    if config.emb_layer_norm_before:
        tree[f"{ROOT}/emb_layer_norm_before"] = _norm(embed)
    for module, shapes in layers.items():
        tree[f"{ROOT}/layers/{module}"] = {
            name: (config.num_layers, *shape) for name, shape in shapes.items()
        }
    tree[f"{ROOT}/emb_layer_norm_after"] = _norm(embed)
    tree[f"{ROOT}/lm_head_fc_1"] = _linear(embed, embed)
    tree[f"{ROOT}/lm_head_layer_norm"] = _norm(embed)
    tree[f"{ROOT}/lm_final_fc"] = _linear(embed, config.vocabulary_size)
    return tree


def ffn_width(config: TransformerConfig) -> int:
    """Columns of fc1: a gated unit holds activation and gate side by side."""
    return config.ffn_embed_dim * (2 if config.use_glu_in_ffn else 1)


def _norm(size: int) -> dict[str, tuple[int, ...]]:
    return {"scale": (size,), "offset": (size,)}


def _linear(rows: int, columns: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    return {"w": (rows, columns)} | ({"b": (columns,)} if bias else {})
