"""Parity with InstaDeep's own package, for whoever has it: `pytest -m official`.

    pip install --no-deps git+https://github.com/instadeepai/nucleotide-transformer

Without `--no-deps` it would bring pydantic 1.10, NumPy below 2, PyTorch and scanpy, which the
model itself does not need (only `regex` besides what ntjax has).
"""

import json

import haiku as hk
import jax
import joblib
import numpy as np
import pytest

import ntjax
from ntjax.errors import UserError

pytestmark = pytest.mark.official
official = pytest.importorskip(
    "nucleotide_transformer.pretrained",
    reason="InstaDeep's nucleotide-transformer package is not installed",
)

ARCHITECTURES = {
    "v1": {"token_dropout": False},
    "v1 with token dropout": {"token_dropout": True},
    "v1 with a norm before": {"token_dropout": False, "emb_layer_norm_before": True},
    "v2": {
        "positional_embedding": None,
        "use_rotary_embedding": True,
        "use_glu_in_ffn": True,
        "ffn_activation_name": "swish",
        "add_bias_ffn": False,
    },
    "rotary with gelu": {"positional_embedding": None, "use_rotary_embedding": True},
    "3-mers": {
        "positional_embedding": None,
        "use_rotary_embedding": True,
        "use_glu_in_ffn": True,
        "ffn_activation_name": "swish",
        "add_bias_ffn": False,
        "k_for_kmers": 3,
    },
}
BASE = {
    "k_for_kmers": 6,
    "max_positions": 64,
    "embed_scale": 1.0,
    "emb_layer_norm_before": False,
    "attention_heads": 4,
    "key_dim": 8,
    "embed_dim": 32,
    "ffn_embed_dim": 48,
    "num_layers": 3,
    "positional_embedding": "learned",
    "token_dropout": True,
    "masking_ratio": 0.15,
    "masking_prob": 0.8,
}
# Whole 6-mers, single letters at the end, N in the middle, one letter, and nothing to pad.
SEQUENCES = ["ATTCCGATTCCGCA", "ACGTNNACGTACGTT", "G", "TTGACA" * 23, "TTGACATTTATGCTTCCGGCTCG"]
LENGTH = {6: 24, 3: 47}  # by letters a token


def official_tokenizer(hyperparams):
    options = {
        "k_mers": hyperparams["k_for_kmers"],
        "fixed_length": LENGTH[hyperparams["k_for_kmers"]],
    }
    if hyperparams.get("use_rotary_embedding"):  # what the second release's vocabulary goes with
        ids, _ = official.compute_tokens_to_ids_v2(k_mers=hyperparams["k_for_kmers"])
        options["tokens_to_ids"] = ids
    return official.FixedSizeNucleotidesKmersTokenizer(prepend_cls_token=True, **options)


def official_forward(hyperparams, tokenizer, vocabulary):
    """The official model with everything it can put out.

    Asked for attention head n it gives head n + 1, so heads 0, 1, ... are asked for as -1, 0, ...
    """
    layers, heads = hyperparams["num_layers"], hyperparams["attention_heads"]
    fields = official.NucleotideTransformerConfig.__dataclass_fields__
    config = official.NucleotideTransformerConfig(
        alphabet_size=vocabulary,
        pad_token_id=tokenizer.pad_token_id,
        mask_token_id=tokenizer.mask_token_id,
        key_size=hyperparams["key_dim"],
        embeddings_layers_to_save=tuple(range(1, layers + 1)),
        attention_maps_to_save=[
            (layer, head - 1) for layer in range(1, layers + 1) for head in range(heads)
        ],
        **{name: value for name, value in hyperparams.items() if name in fields},
    )
    build = official.build_nucleotide_transformer_fn
    return hk.transform(build(model_config=config, model_name="nucleotide_transformer"))


def official_outputs(forward, params, tokens, hyperparams):
    outputs = forward.apply(params, None, tokens)
    for layer in range(1, hyperparams["num_layers"] + 1):
        maps = [
            outputs.pop(f"attention_map_layer_{layer}_number_{head - 1}")
            for head in range(hyperparams["attention_heads"])
        ]
        outputs[f"attention_{layer}"] = np.stack(maps, axis=1)
    return {name: np.asarray(values) for name, values in outputs.items()}


def randomised(params, seed):
    """Weights of a size that trained ones have; Haiku's own begin with zeros and ones."""
    random = np.random.default_rng(seed)

    def draw(path, leaf):
        noise = random.standard_normal(leaf.shape).astype(np.float32)
        match path[-1].key:
            case "w":
                return noise * leaf.shape[0] ** -0.5
            case "scale":
                return 1 + 0.1 * noise
            case "embeddings":
                return 0.5 * noise
        return 0.1 * noise

    return jax.tree_util.tree_map_with_path(draw, params)


def assert_equal_outputs(ours, theirs, tokens, tolerance):
    real = tokens != 1
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        found = np.asarray(ours[name])
        if name.startswith("attention"):
            found, expected = (maps.transpose(0, 2, 1, 3) for maps in (found, expected))
        np.testing.assert_allclose(found[real], expected[real], atol=tolerance, err_msg=name)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_random_model_computes_the_same(name, tmp_path):
    hyperparams = BASE | ARCHITECTURES[name]
    tokenizer = official_tokenizer(hyperparams)
    tokens = np.array([ids for _, ids in tokenizer.batch_tokenize(SEQUENCES)], np.int32)
    # The first release's vocabulary has no <eos> and no <bos>.
    rotary = hyperparams.get("use_rotary_embedding")
    vocabulary = len(tokenizer.vocabulary) - (0 if rotary else 2)
    forward = official_forward(hyperparams, tokenizer, vocabulary)
    params = jax.eval_shape(forward.init, jax.random.key(0), tokens)
    params = randomised(params, seed=len(name))

    (tmp_path / "jax_model").mkdir()
    (tmp_path / "jax_model" / "hyperparams.json").write_text(json.dumps(hyperparams))
    joblib.dump(params, tmp_path / "jax_model" / "pytree_ckpt.joblib")
    nt = ntjax.load_pretrained(tmp_path)

    encoded = nt.tokenizer.encode(SEQUENCES, length=tokens.shape[1])
    np.testing.assert_array_equal(encoded, tokens)
    tokens[0, 1] = tokens[3, 5:8] = tokenizer.mask_token_id
    layers = tuple(range(1, hyperparams["num_layers"] + 1))
    ours = nt.apply(nt.params, tokens, embeddings_layers=layers, attention_layers=layers)
    theirs = official_outputs(forward, params, tokens, hyperparams)
    assert_equal_outputs(ours, theirs, tokens, tolerance=2e-5)


@pytest.mark.slow
def test_a_published_model_computes_the_same(request):
    """50M_multi_species_v2, 0.2 GB, which both packages download."""
    if "official" not in request.config.getoption("-m"):
        pytest.skip("downloads a published model twice: ask for it with -m official")
    name = "50M_multi_species_v2"
    try:
        nt = ntjax.load_pretrained(name)
    except UserError as error:
        pytest.skip(f"{name} cannot be had: {error}")
    layers = (1, nt.config.num_layers)
    params, forward, tokenizer, _ = official.get_pretrained_model(
        model_name=name,
        embeddings_layers_to_save=layers,
        attention_maps_to_save=[(layer, -1) for layer in layers],
        max_positions=LENGTH[6],
    )
    tokens = np.array([ids for _, ids in tokenizer.batch_tokenize(SEQUENCES)], np.int32)
    np.testing.assert_array_equal(nt.tokenizer.encode(SEQUENCES, length=LENGTH[6]), tokens)
    theirs = hk.transform(forward).apply(params, None, tokens)
    ours = nt.apply(nt.params, tokens, embeddings_layers=layers, attention_layers=layers)
    real = tokens != 1
    for output in ("logits", *(f"embeddings_{layer}" for layer in layers)):
        found, expected = np.asarray(ours[output])[real], np.asarray(theirs[output])[real]
        np.testing.assert_allclose(found, expected, atol=1e-3, err_msg=output)
    for layer in layers:
        found = np.asarray(ours[f"attention_{layer}"])[:, 0][real]
        expected = np.asarray(theirs[f"attention_map_layer_{layer}_number_-1"])[real]
        np.testing.assert_allclose(found, expected, atol=1e-4)
