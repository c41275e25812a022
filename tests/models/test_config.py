import dataclasses
import json

import pytest
from reference_checkpoints import GOLDEN_NAMES

from ntjax.errors import UserError
from ntjax.models.config import (
    FFN_ACTIVATIONS,
    TransformerConfig,
    config_from_hyperparams,
    parameter_shapes,
)

REQUIRED = {
    "k_for_kmers": 6,
    "max_positions": 32,
    "attention_heads": 4,
    "embed_dim": 16,
    "ffn_embed_dim": 32,
    "num_layers": 3,
}
# What leaving a key out means to the official loader.
DEFAULTS = {
    "key_dim": 4,
    "embed_scale": 1.0,
    "emb_layer_norm_before": False,
    "positional_embedding": "learned",
    "use_rotary_embedding": False,
    "add_bias_ffn": True,
    "ffn_activation_name": "gelu-no-approx",
    "use_glu_in_ffn": False,
    "token_dropout": False,
    "masking_ratio": 0.15,
    "masking_prob": 0.8,
    "layer_norm_eps": 1e-5,
}


def read(**hyperparams):
    return config_from_hyperparams(REQUIRED | hyperparams, 4105, "here.json")


def test_defaults_are_those_of_the_official_loader():
    assert dataclasses.asdict(read()) == {"vocabulary_size": 4105} | REQUIRED | DEFAULTS


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_official_files_are_read(name, golden):
    hyperparams = json.loads((golden(name).folder / "jax_model" / "hyperparams.json").read_text())
    config = config_from_hyperparams(hyperparams, 75, name)
    assert dataclasses.asdict(config) == DEFAULTS | hyperparams | {"vocabulary_size": 75}


def test_hyperparams_round_trip():
    config = TransformerConfig(
        vocabulary_size=75,
        k_for_kmers=3,
        max_positions=64,
        attention_heads=3,
        embed_dim=10,
        ffn_embed_dim=7,
        num_layers=2,
        key_dim=6,
        embed_scale=0.5,
        emb_layer_norm_before=True,
        positional_embedding=None,
        use_rotary_embedding=True,
        add_bias_ffn=False,
        ffn_activation_name="swish",
        use_glu_in_ffn=True,
        token_dropout=True,
        masking_ratio=0.2,
        masking_prob=0.9,
        layer_norm_eps=1e-12,
    )
    hyperparams = json.loads(json.dumps(config.to_hyperparams()))
    assert "vocabulary_size" not in hyperparams
    assert config_from_hyperparams(hyperparams, 75, "file") == config


def test_bookkeeping_and_switched_off_architectures_are_accepted():
    config = read(
        alphabet_size=4105,
        pad_token_id=1,
        mask_token_id=2,
        embeddings_layers_to_save=[],
        attention_maps_to_save=[],
        use_gradient_checkpointing=False,
        add_bias_kv=False,
        rescaling_factor=None,
        lm_head="simple",
        pre_layer_norm=True,
        key_dim=None,
        embed_scale=1,
    )
    assert config == read()


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_key_is_named(name):
    hyperparams = {key: value for key, value in REQUIRED.items() if key != name}
    with pytest.raises(UserError, match=f"here.json: the key '{name}' is missing"):
        config_from_hyperparams(hyperparams, 4105, "here.json")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("num_layer", "num_layers"),
        ("use_rotary_embeddings", "use_rotary_embedding"),
        ("token_drop_out", "token_dropout"),
        ("add_biaskv", "add_bias_kv"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(name, nearest):
    with pytest.raises(UserError, match=f"unknown key '{name}'; did you mean '{nearest}'"):
        read(**{name: 1})


def test_an_unknown_key_like_no_other_is_refused():
    with pytest.raises(UserError, match="unknown key 'zzz'; remove it"):
        read(zzz=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("add_bias_kv", True),
        ("rescaling_factor", 4.0),
        ("bias_word_embedding", True),
        ("mask_before_attention", True),
        ("pre_layer_norm", False),
        ("lm_head", "roberta"),
    ],
)
def test_architectures_of_no_published_model_are_refused_by_name(name, value):
    with pytest.raises(UserError, match=rf"here.json: {name}={value!r} is not supported"):
        read(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_layers", "3"),
        ("num_layers", 3.0),
        ("num_layers", True),
        ("num_layers", None),
        ("num_layers", 10**9),
        ("embed_dim", [16]),
        ("key_dim", "4"),
        ("embed_scale", "1.0"),
        ("embed_scale", True),
        ("token_dropout", 1),
        ("token_dropout", "false"),
        ("use_glu_in_ffn", None),
        ("ffn_activation_name", 3),
        ("positional_embedding", "rotary"),
        ("positional_embedding", False),
        ("ffn_activation_name", "tanh"),
    ],
)
def test_values_of_the_wrong_type_are_refused(name, value):
    with pytest.raises(UserError, match=f"here.json: {name}="):
        read(**{name: value})


@pytest.mark.parametrize("name", [*REQUIRED, "key_dim"])
@pytest.mark.parametrize("value", [0, -1])
def test_sizes_below_one_are_refused(name, value):
    with pytest.raises(UserError, match=f"{name}={value} should be at least 1"):
        read(**{name: value})


@pytest.mark.parametrize("value", [0, -1e-5, float("nan")])
def test_epsilons_that_are_not_positive_are_refused(value):
    with pytest.raises(UserError, match="layer_norm_eps"):
        read(layer_norm_eps=value)


@pytest.mark.parametrize("value", [float("inf"), -float("inf"), float("nan"), 1e39, 10**400])
@pytest.mark.parametrize("name", ["layer_norm_eps", "embed_scale", "masking_ratio", "masking_prob"])
def test_numbers_that_are_not_finite_are_refused(name, value):
    with pytest.raises(UserError, match=f"here.json: {name}=.* is not finite"):
        read(**{name: value})


def test_heads_have_to_divide_the_embedding_unless_key_dim_is_given():
    with pytest.raises(UserError, match="embed_dim=16 is not a multiple of attention_heads=5"):
        read(attention_heads=5)
    assert read(attention_heads=5, key_dim=3).key_dim == 3


def test_rotary_positions_need_an_even_key_dim():
    with pytest.raises(UserError, match="key_dim=5 is odd"):
        read(key_dim=5, use_rotary_embedding=True)
    assert read(key_dim=5).key_dim == 5


@pytest.mark.parametrize("name", FFN_ACTIVATIONS)
def test_known_activations_are_accepted(name):
    assert read(ffn_activation_name=name).ffn_activation_name == name


def count(shapes):
    size = 0
    for parameters in shapes.values():
        for shape in parameters.values():
            product = 1
            for length in shape:
                product *= length
            size += product
    return size


def test_the_tree_is_spelled_out():
    root, layers = "nucleotide_transformer", "nucleotide_transformer/layers"
    assert parameter_shapes(read()) == {
        f"{root}/embed": {"embeddings": (4105, 16)},
        f"{root}/positional_embedding": {"embeddings": (34, 16)},
        f"{layers}/self_attention_layer_norm": {"scale": (3, 16), "offset": (3, 16)},
        f"{layers}/query": {"w": (3, 16, 16), "b": (3, 16)},
        f"{layers}/key": {"w": (3, 16, 16), "b": (3, 16)},
        f"{layers}/value": {"w": (3, 16, 16), "b": (3, 16)},
        f"{layers}/mha_output": {"w": (3, 16, 16), "b": (3, 16)},
        f"{layers}/final_layer_norm": {"scale": (3, 16), "offset": (3, 16)},
        f"{layers}/fc1": {"w": (3, 16, 32), "b": (3, 32)},
        f"{layers}/fc2": {"w": (3, 32, 16), "b": (3, 16)},
        f"{root}/emb_layer_norm_after": {"scale": (16,), "offset": (16,)},
        f"{root}/lm_head_fc_1": {"w": (16, 16), "b": (16,)},
        f"{root}/lm_head_layer_norm": {"scale": (16,), "offset": (16,)},
        f"{root}/lm_final_fc": {"w": (16, 4105), "b": (4105,)},
    }


def test_gated_units_double_fc1_and_heads_may_be_wider_than_the_embedding():
    shapes = parameter_shapes(
        read(use_glu_in_ffn=True, add_bias_ffn=False, key_dim=6, positional_embedding=None)
    )
    layers = "nucleotide_transformer/layers"
    assert shapes[f"{layers}/fc1"] == {"w": (3, 16, 64)}
    assert shapes[f"{layers}/fc2"] == {"w": (3, 32, 16)}
    assert shapes[f"{layers}/key"] == {"w": (3, 16, 24), "b": (3, 24)}
    assert shapes[f"{layers}/mha_output"] == {"w": (3, 24, 16), "b": (3, 16)}
    assert "nucleotide_transformer/positional_embedding" not in shapes


def test_published_sizes_come_to_what_their_names_say():
    half = read(num_layers=24, embed_dim=1280, attention_heads=20, ffn_embed_dim=5120)
    large = read(num_layers=32, embed_dim=2560, attention_heads=20, ffn_embed_dim=10240)
    assert count(parameter_shapes(half)) == pytest.approx(485e6, rel=0.01)  # 1.94 GB in float32
    assert count(parameter_shapes(large)) == pytest.approx(2.5475e9, rel=0.01)  # 10.19 GB
