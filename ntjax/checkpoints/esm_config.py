"""What Hugging Face transformers calls the parts of an ESM model: its `config.json`, its weights.

ESM as transformers has it (`EsmForMaskedLM`, `EsmForSequenceClassification`) is the Nucleotide
Transformer's architecture with less to choose: exact GELU, biases everywhere, learned or rotary
positions, heads that share out the embedding evenly. The published models of version 1 fit into
it, those of version 2 (gated feed-forward layers) do not.

PyTorch keeps a linear layer's weights as [outputs, inputs] and every layer by itself:

    esm.encoder.layer.7.attention.self.query.weight     [heads * key_dim, dim]
    nucleotide_transformer/layers/query/w      [layers, dim, heads * key_dim]
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ntjax.errors import UserError
from ntjax.models.config import ROOT, TransformerConfig, config_from_hyperparams
from ntjax.sequences.tokenizer import Tokenizer

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"

# Our modules and theirs, {} standing for the number of a layer from 0.
_MODULES = {
    "embed": "esm.embeddings.word_embeddings",
    "positional_embedding": "esm.embeddings.position_embeddings",
    "emb_layer_norm_before": "esm.embeddings.layer_norm",
    "layers/self_attention_layer_norm": "esm.encoder.layer.{}.attention.LayerNorm",
    "layers/query": "esm.encoder.layer.{}.attention.self.query",
    "layers/key": "esm.encoder.layer.{}.attention.self.key",
    "layers/value": "esm.encoder.layer.{}.attention.self.value",
    "layers/mha_output": "esm.encoder.layer.{}.attention.output.dense",
    "layers/final_layer_norm": "esm.encoder.layer.{}.LayerNorm",
    "layers/fc1": "esm.encoder.layer.{}.intermediate.dense",
    "layers/fc2": "esm.encoder.layer.{}.output.dense",
    "emb_layer_norm_after": "esm.encoder.emb_layer_norm_after",
    "lm_head_fc_1": "lm_head.dense",
    "lm_head_layer_norm": "lm_head.layer_norm",
    "lm_final_fc": "lm_head.decoder",
}
PARAMETERS = {
    "embeddings": "weight",
    "w": "weight",
    "b": "bias",
    "scale": "weight",
    "offset": "bias",
}
# Our head with pooling 'cls'.
CLASSIFIER = {"dense": "classifier.dense", "output": "classifier.out_proj"}

# In every file of transformers, unused here: the prediction of contacts in proteins.
CONTACT_HEAD = "esm.contact_head.regression"

# What transformers takes for a key that the file leaves out.
_DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 1026,
    "layer_norm_eps": 1e-12,
    "position_embedding_type": "absolute",
    "emb_layer_norm_before": False,
    "token_dropout": False,
    "rope_theta": 10000.0,
}
_SIZES = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)

# Row 0 of the table of positions is never used and row 1 is the padding's: positions begin at 2.
# A rotary model has no table; its files carry the same number for the sake of the format.
_UNUSED_POSITIONS = 2

# Hard-wired in transformers: the share of tokens that were <mask> in pre-training.
_MASKED_SHARE = 0.15 * 0.8

_LARGEST_K = 8


def their_name(module: str, parameter: str, layer: int | None = None) -> str:
    """transformers' name of one of our parameters; of a stacked one, in `layer` (from 0)."""
    plain = module.removeprefix(f"{ROOT}/")
    if (plain, parameter) == ("lm_final_fc", "b"):
        return "lm_head.bias"
    return f"{_MODULES[plain].format(layer)}.{PARAMETERS[parameter]}"


def is_stacked(module: str) -> bool:
    """Whether a module of our tree holds all layers."""
    return "/layers/" in module


def in_language_model_head(module: str) -> bool:
    """Whether a module of our tree is one that a classifier does not have."""
    return "/lm_" in module


def inverse_frequencies(size: int) -> np.ndarray:
    """What the positions are multiplied with to give the angles of `size` dimensions (float32)."""
    return (10000.0 ** (-np.arange(0, size, 2) / size)).astype(np.float32)


def config_from_esm(content: Mapping[str, Any], where: str) -> TransformerConfig:
    """The hyper-parameters that a `config.json` means.

    Arguments:
        content: of the file.
        where: names the file in errors.

    Raises:
        UserError: the file asks for something else than an encoder that ntjax can compute, or
            its token ids are not the Nucleotide Transformer's.
    """
    if content.get("model_type") != "esm":
        raise UserError(
            f"{where}: model_type is {content.get('model_type')!r}; of Hugging Face models ntjax "
            "reads ESM ('esm'): give the folder of such a model, or one that holds jax_model/"
        )
    esm = _DEFAULTS | {name: value for name, value in content.items() if value is not None}
    for name in (*_SIZES, "vocab_size"):
        if type(esm.get(name)) is not int or esm[name] < 1:
            raise UserError(f"{where}: {name}={esm.get(name)!r} should be a number above 0")
    if problems := list(_unreadable(esm)):
        raise UserError(
            f"{where}: ntjax cannot compute this ESM model: {'; '.join(problems)}; for a published "
            "Nucleotide Transformer take the official weights (jax_model/)"
        )
    rotary = esm["position_embedding_type"] == "rotary"
    hyperparameters = {
        "k_for_kmers": _k_of(esm["vocab_size"]),
        "max_positions": esm["max_position_embeddings"] - _UNUSED_POSITIONS,
        "attention_heads": esm["num_attention_heads"],
        "embed_dim": esm["hidden_size"],
        "ffn_embed_dim": esm["intermediate_size"],
        "num_layers": esm["num_hidden_layers"],
        "emb_layer_norm_before": esm["emb_layer_norm_before"],
        "positional_embedding": None if rotary else "learned",
        "use_rotary_embedding": rotary,
        "token_dropout": esm["token_dropout"],
        "layer_norm_eps": esm["layer_norm_eps"],
    }
    return config_from_hyperparams(hyperparameters, esm["vocab_size"], where)


def _unreadable(esm: Mapping[str, Any]) -> Iterator[str]:
    """What ntjax cannot compute of an ESM config with its defaults filled in."""
    if esm.get("is_folding_model"):
        yield "is_folding_model is true (ESMFold, which predicts the structure of proteins)"
    for name in ("is_decoder", "add_cross_attention"):
        if esm.get(name):
            yield f"{name} is true (ntjax has the encoder only)"
    if "auto_map" in esm or esm.get("add_bias_fnn") is False:
        yield "it runs code of its own (auto_map, add_bias_fnn), not transformers' ESM"
    if esm["position_embedding_type"] not in ("absolute", "rotary"):
        kind = esm["position_embedding_type"]
        yield f"position_embedding_type is {kind!r} (known: 'absolute', 'rotary')"
    if esm["position_embedding_type"] == "rotary" and esm["rope_theta"] != 10000:
        yield f"rope_theta is {esm['rope_theta']!r} (known: 10000)"
    if esm["hidden_size"] % esm["num_attention_heads"]:
        heads = esm["num_attention_heads"]
        yield f"hidden_size {esm['hidden_size']} is not a multiple of {heads} heads"
    k = _k_of(esm["vocab_size"])
    if k is None or esm.get("k_for_kmers", k) != k:
        given = f" with k_for_kmers={esm['k_for_kmers']!r}" if "k_for_kmers" in esm else ""
        yield (
            f"vocab_size {esm['vocab_size']}{given} is no Nucleotide Transformer's (4105 or 4107 "
            "for 6-mers, 75 for 3-mers)"
        )
    for name, token, needed in (
        ("pad_token_id", Tokenizer.pad_id, True),
        ("mask_token_id", Tokenizer.mask_id, esm["token_dropout"]),
        ("cls_token_id", Tokenizer.cls_id, False),
    ):
        if esm.get(name, None if needed else token) != token:
            yield f"{name} is {esm.get(name)!r} (the Nucleotide Transformer's: {token})"


def _k_of(vocabulary_size: int) -> int | None:
    """Letters per k-mer; the size of the vocabulary tells them, 4105 and 4107 those of 6-mers."""
    sizes = {4**k + more: k for k in range(2, _LARGEST_K + 1) for more in (9, 11)}
    return sizes.get(vocabulary_size)


def esm_from_config(config: TransformerConfig) -> dict[str, Any]:
    """The `config.json` that makes transformers compute what ntjax computes.

    `embed_scale` has no place in it: it has to be multiplied into the token embedding.

    Raises:
        UserError: ESM has no such architecture.
    """
    if problems := list(_unwritable(config)):
        raise UserError(
            f"transformers' ESM cannot hold this model: {'; '.join(problems)}; keep it in the "
            "official format (jax_model/)"
        )
    rotary = config.use_rotary_embedding
    return {
        "model_type": "esm",
        "vocab_size": config.vocabulary_size,
        "pad_token_id": Tokenizer.pad_id,
        "mask_token_id": Tokenizer.mask_id,
        "cls_token_id": Tokenizer.cls_id,
        # ESM's default of 2 is <mask> here.
        "eos_token_id": None,
        "k_for_kmers": config.k_for_kmers,
        "hidden_size": config.embed_dim,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.attention_heads,
        "intermediate_size": config.ffn_embed_dim,
        "max_position_embeddings": config.max_positions + _UNUSED_POSITIONS,
        "position_embedding_type": "rotary" if rotary else "absolute",
        "emb_layer_norm_before": config.emb_layer_norm_before,
        "token_dropout": config.token_dropout,
        "layer_norm_eps": config.layer_norm_eps,
        # The Nucleotide Transformer was trained without dropout; transformers' default is 0.1.
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "tie_word_embeddings": False,
    }


def _unwritable(config: TransformerConfig) -> Iterator[str]:
    """What of an architecture ESM does not have."""
    if config.use_glu_in_ffn:
        yield "its feed-forward layers are gated (use_glu_in_ffn), ESM's are not"
    if (activation := config.ffn_activation_name) != "gelu-no-approx":
        yield f"its activation is '{activation}', ESM's is the exact GELU ('gelu-no-approx')"
    if not config.add_bias_ffn:
        yield "its feed-forward layers have no biases (add_bias_ffn), ESM's do"
    learned = config.positional_embedding == "learned"
    if learned == config.use_rotary_embedding:
        both = "both learned and rotary" if learned else "neither learned nor rotary"
        yield f"its positions are {both}, ESM's one of the two"
    heads, size = config.attention_heads, config.key_dim
    if heads * size != config.embed_dim:
        embed = config.embed_dim
        yield f"{heads} heads of key_dim={size} do not make embed_dim={embed}, as ESM's do"
    share = config.masking_ratio * config.masking_prob
    if config.token_dropout and abs(share - _MASKED_SHARE) > 1e-9:
        yield (
            f"token dropout counts on masking_ratio · masking_prob = {share:g}, ESM on "
            f"{_MASKED_SHARE:g}"
        )
