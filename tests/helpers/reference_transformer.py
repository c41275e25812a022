"""The Nucleotide Transformer in plain NumPy, float64, one sequence and one head at a time.

Written from the papers (ESM, IA³, LoRA, rotary positions) and deliberately slow: no stacking, no
scan, no batching. `tests/models/test_transformer.py` holds it against the official model's outputs;
the other tests then hold ntjax against it where there are no official outputs.
"""

import math

import numpy as np

ROOT = "nucleotide_transformer"
PAD, MASK = 1, 2
_erf = np.vectorize(math.erf)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = {
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "gelu-no-approx": lambda x: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    "relu": lambda x: np.maximum(x, 0),
    "silu": lambda x: x * _sigmoid(x),
    "sin": np.sin,
    "swish": lambda x: x * _sigmoid(x),
}


def _layer_norm(weights, x, eps):
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return centred / deviation * weights["scale"] + weights["offset"]


def _rotate(x):
    """[tokens, size]: rotate the plane (i, i + size / 2) by position · 10000^(-2i / size)."""
    size = x.shape[1]
    rotated = np.empty_like(x)
    for position in range(len(x)):
        for i in range(size // 2):
            angle = position * 10000 ** (-2 * i / size)
            a, b = x[position, i], x[position, i + size // 2]
            rotated[position, i] = a * math.cos(angle) - b * math.sin(angle)
            rotated[position, i + size // 2] = b * math.cos(angle) + a * math.sin(angle)
    return rotated


def _embed(config, params, tokens):
    x = params["embed"]["embeddings"][tokens].copy()
    real = tokens != PAD
    if config.token_dropout:
        masked = tokens == MASK
        x *= (1 - config.masking_ratio * config.masking_prob) / (1 - masked.sum() / real.sum())
        x[masked] = 0
    x *= config.embed_scale
    if config.positional_embedding == "learned":
        positions = [PAD + real[: i + 1].sum() if real[i] else PAD for i in range(len(tokens))]
        x += params["positional_embedding"]["embeddings"][positions]
    if config.emb_layer_norm_before:
        x = _layer_norm(params["emb_layer_norm_before"], x, config.layer_norm_eps)
    return x


def _attention(config, query, key, value, allowed):
    """Context [tokens, heads * key_dim] and weights [heads, tokens, tokens]."""
    contexts, maps = [], []
    for head in range(config.attention_heads):
        columns = slice(head * config.key_dim, (head + 1) * config.key_dim)
        q, k, v = query[:, columns], key[:, columns], value[:, columns]
        if config.use_rotary_embedding:
            q, k = _rotate(q), _rotate(k)
        scores = np.where(allowed, q @ k.T / math.sqrt(config.key_dim), -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        contexts.append(weights @ v)
        maps.append(weights)
    return np.concatenate(contexts, axis=1), np.stack(maps)


def _one_sequence(config, params, tokens, allowed, vectors, branches, scale):
    outputs = {}
    x = _embed(config, params, tokens)
    for layer in range(config.num_layers):
        weights = {
            name.removeprefix("layers/"): {key: array[layer] for key, array in module.items()}
            for name, module in params.items()
            if name.startswith("layers/")
        }

        def linear(name, x, weights=weights, layer=layer):
            y = x @ weights[name]["w"] + weights[name].get("b", 0)
            if name in branches:
                y = y + scale * (x @ branches[name]["a"][layer] @ branches[name]["b"][layer])
            return y

        normed = _layer_norm(weights["self_attention_layer_norm"], x, config.layer_norm_eps)
        query, key, value = (linear(name, normed) for name in ("query", "key", "value"))
        if vectors:
            key, value = key * vectors["l_k"][layer], value * vectors["l_v"][layer]
        context, maps = _attention(config, query, key, value, allowed)
        x = x + linear("mha_output", context)
        normed = _layer_norm(weights["final_layer_norm"], x, config.layer_norm_eps)
        inner, activation = linear("fc1", normed), ACTIVATIONS[config.ffn_activation_name]
        if config.use_glu_in_ffn:
            width = inner.shape[1] // 2
            inner = activation(inner[:, :width]) * inner[:, width:]
        else:
            inner = activation(inner)
        if vectors:
            inner = inner * vectors["l_ff"][layer]
        x = x + linear("fc2", inner)
        outputs[f"embeddings_{layer + 1}"] = x
        outputs[f"attention_{layer + 1}"] = maps
    last = _layer_norm(params["emb_layer_norm_after"], x, config.layer_norm_eps)
    outputs[f"embeddings_{config.num_layers}"] = last
    hidden = last @ params["lm_head_fc_1"]["w"] + params["lm_head_fc_1"]["b"]
    hidden = ACTIVATIONS["gelu-no-approx"](hidden)
    hidden = _layer_norm(params["lm_head_layer_norm"], hidden, config.layer_norm_eps)
    logits = hidden @ params["lm_final_fc"]["w"] + params["lm_final_fc"]["b"]
    outputs["logits"] = np.where((tokens == PAD)[:, None], 0, logits)
    return outputs


def _float64(tree):
    if isinstance(tree, dict):
        return {name.removeprefix(f"{ROOT}/"): _float64(child) for name, child in tree.items()}
    return np.asarray(tree).astype(np.float64)


def reference_forward(
    config, params, tokens, attention_mask=None, *, vectors=None, branches=None, scale=1.0
):
    """Logits, all embeddings and all attention maps.

    `attention_mask` is [batch, tokens, tokens]; `vectors` are IA³'s l_k, l_v, l_ff; `branches` are
    LoRA's {target: {"a", "b"}} and `scale` its alpha / rank.
    """
    params, tokens = _float64(params), np.asarray(tokens)
    vectors, branches = _float64(vectors or {}), _float64(branches or {})
    outputs = []
    for number, row in enumerate(tokens):
        if attention_mask is None:
            allowed = np.broadcast_to(row != PAD, (len(row), len(row)))
        else:
            allowed = attention_mask[number]
        outputs.append(_one_sequence(config, params, row, allowed, vectors, branches, scale))
    return {name: np.stack([one[name] for one in outputs]) for name in outputs[0]}


def random_parameters(shapes, seed=0):
    """Weights for a tree of shapes, float32: no bias is zero, no scale one, attention not flat."""
    random = np.random.default_rng(seed)

    def draw(name, shape):
        if name == "scale":
            return random.uniform(0.5, 1.5, shape)
        if name == "w":
            return random.normal(size=shape) / math.sqrt(shape[-2])
        return random.normal(size=shape) * (1.0 if name == "embeddings" else 0.3)

    return {
        module: {name: draw(name, shape).astype(np.float32) for name, shape in leaves.items()}
        for module, leaves in shapes.items()
    }
