"""ESM models of Hugging Face transformers, read and written: they compute what ours compute."""

import json
import shutil
import socket
from dataclasses import replace

import jax
import numpy as np
import pytest
from esm_models import (
    LAYERS,
    MASK,
    PAD,
    VOCABULARY,
    classifier,
    esm_config,
    masked_language_model,
    run,
    token_ids,
    torch,
    transformers,
)
from reference_transformer import random_parameters
from tiers import first_by_default

import ntjax
from ntjax import adapters
from ntjax.adapters import IA3, Adapter, LoRA
from ntjax.checkpoints import safetensors
from ntjax.checkpoints.esm import read_esm, write_esm
from ntjax.errors import UserError
from ntjax.inference.forward import Trainable
from ntjax.inference.pretrained import PretrainedModel
from ntjax.models.config import TransformerConfig, parameter_shapes
from ntjax.models.heads import HEADS, Cls
from ntjax.runs.export import export_esm
from ntjax.runs.run import Run
from ntjax.sequences.tokenizer import Tokenizer
from ntjax.tasks import Classification, MultiLabel, Regression

IDS = token_ids()
REAL = IDS != PAD
EVERY_LAYER = tuple(range(1, LAYERS + 1))
TOLERANCE = 1e-5
ROOT = "nucleotide_transformer"

ARCHITECTURES = {
    "absolute": {"layer_norm_eps": 1e-12},
    "absolute-token_dropout": {"layer_norm_eps": 1e-12, "token_dropout": True},
    "absolute-norm-tied": {
        "layer_norm_eps": 1e-5,
        "emb_layer_norm_before": True,
        "tie_word_embeddings": True,
    },
    "rotary-tied": {
        "layer_norm_eps": 1e-5,
        "position_embedding_type": "rotary",
        "tie_word_embeddings": True,
    },
    "rotary-norm-token_dropout": {
        "layer_norm_eps": 1e-12,
        "position_embedding_type": "rotary",
        "emb_layer_norm_before": True,
        "token_dropout": True,
    },
}


def same(ours, theirs):
    """Logits, every layer's embeddings and every attention map agree at real tokens."""
    assert (IDS == MASK).any()
    assert not REAL.all()
    pairs = {"logits": theirs.logits}
    for layer in EVERY_LAYER:
        pairs[f"embeddings_{layer}"] = theirs.hidden_states[layer]
        pairs[f"attention_{layer}"] = theirs.attentions[layer - 1].transpose(1, 2)
    for name, expected in pairs.items():
        found = np.swapaxes(ours[name], 1, 2) if name.startswith("attention") else ours[name]
        expected = expected.numpy()
        assert np.ptp(expected[REAL]) > 0.3, f"{name} says nothing"
        np.testing.assert_allclose(
            np.asarray(found)[REAL], expected[REAL], rtol=0, atol=TOLERANCE, err_msg=name
        )
    np.testing.assert_array_equal(np.asarray(ours["logits"])[~REAL], 0)


def outputs(model):
    layers = {"embeddings_layers": EVERY_LAYER, "attention_layers": EVERY_LAYER}
    return model.apply(model.params, IDS, **layers)


@pytest.mark.parametrize("name", first_by_default(list(ARCHITECTURES)))
def test_a_model_of_transformers_gives_the_same_here(name, tmp_path):
    theirs = masked_language_model(**ARCHITECTURES[name])
    theirs.save_pretrained(tmp_path)
    tensors, _ = safetensors.read(tmp_path / "model.safetensors")
    assert ("lm_head.decoder.weight" in tensors) == (not theirs.config.tie_word_embeddings)
    ours = ntjax.load_pretrained(tmp_path)
    same(outputs(ours), run(theirs, IDS))
    assert ours.config.max_positions == 24
    assert (ours.notice, ours.tokenizer.k) == ("", 3)


def our_model(**options):
    """A model of ours, with another size wherever ESM leaves the choice."""
    rotary = options.get("use_rotary_embedding", False)
    config = TransformerConfig(
        vocabulary_size=VOCABULARY,
        k_for_kmers=3,
        max_positions=24,
        attention_heads=2,
        embed_dim=24,
        ffn_embed_dim=52,
        num_layers=LAYERS,
        key_dim=12,
        **({"positional_embedding": None if rotary else "learned"} | options),
    )
    return config, random_parameters(parameter_shapes(config))


OURS = {
    "learned": {"embed_scale": 2.5},
    "learned-token_dropout-norm": {"token_dropout": True, "emb_layer_norm_before": True},
    "rotary": {"use_rotary_embedding": True, "layer_norm_eps": 1e-12},
    "rotary-token_dropout": {
        "use_rotary_embedding": True,
        "token_dropout": True,
        "embed_scale": 0.3,
    },
}


def loaded_by_transformers(kind, folder):
    model, said = kind.from_pretrained(
        folder, output_loading_info=True, attn_implementation="eager"
    )
    assert not any(said.values()), said
    return model.eval()


@pytest.mark.parametrize("name", first_by_default(list(OURS)))
def test_a_model_of_ours_gives_the_same_in_transformers(name, tmp_path):
    config, params = our_model(**OURS[name])
    write_esm(tmp_path, config, params)
    theirs = loaded_by_transformers(transformers.EsmForMaskedLM, tmp_path)
    same(_apply(config, params), run(theirs, IDS))
    assert theirs.config.k_for_kmers == 3
    # And back again: nothing is lost but embed_scale, which has gone into the embedding.
    again = read_esm(tmp_path)
    assert again.config == replace(config, embed_scale=1.0)
    for module, leaves in params.items():
        for leaf, array in leaves.items():
            scale = np.float32(config.embed_scale if module.endswith("/embed") else 1.0)
            np.testing.assert_array_equal(again.params[module][leaf], array * scale)


def _apply(config, params):
    return outputs(PretrainedModel("", config, params, None))


@pytest.mark.compiled
def test_the_epsilon_counts_in_these_comparisons():
    config, params = our_model()
    params[f"{ROOT}/embed"]["embeddings"] *= 0.01
    params[f"{ROOT}/positional_embedding"]["embeddings"] *= 0.01
    first, second = (
        _apply(replace(config, layer_norm_eps=eps), params)["logits"] for eps in (1e-5, 1e-12)
    )
    assert np.abs(first - second).max() > 100 * TOLERANCE


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_files_in_half_precision(dtype, tmp_path):
    theirs = masked_language_model(position_embedding_type="rotary")
    theirs.to(getattr(torch, dtype)).save_pretrained(tmp_path)
    params = read_esm(tmp_path).params
    expected = theirs.esm.encoder.layer[1].attention.self.key.weight.detach().float().numpy()
    np.testing.assert_array_equal(params[f"{ROOT}/layers/key"]["w"][1], expected.T)
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(params))


def test_weights_in_several_files_and_what_the_source_says(tmp_path):
    theirs = masked_language_model()
    theirs.save_pretrained(tmp_path / "one")
    theirs.save_pretrained(tmp_path / "many", max_shard_size="20KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 3
    one, many = (ntjax.load_pretrained(tmp_path / name) for name in ("one", "many"))
    for expected, found in zip(
        jax.tree.leaves(one.params), jax.tree.leaves(many.params), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    assert many.source["path"] == str(tmp_path / "many")
    assert one.source["sha256"] != many.source["sha256"]
    # A change in any of the files is noticed.
    name = "lm_head.bias"
    index = json.loads((tmp_path / "many" / "model.safetensors.index.json").read_text())
    changed = tmp_path / "many" / index["weight_map"][name]
    tensors, metadata = safetensors.read(changed)
    safetensors.write(changed, {**tensors, name: np.full(VOCABULARY, 7, np.float32)}, metadata)
    again = ntjax.load_pretrained(tmp_path / "many")
    np.testing.assert_array_equal(again.params[f"{ROOT}/lm_final_fc"]["b"], 7)
    assert again.source["sha256"] != many.source["sha256"]


def test_the_official_format_comes_first(golden, tmp_path):
    golden.put_into(tmp_path)
    masked_language_model().save_pretrained(tmp_path)
    assert ntjax.load_pretrained(tmp_path).config.embed_dim == golden.hyperparameters["embed_dim"]


# Classifiers

CLASSES = ("coding", "promoter", "terminator")


@pytest.mark.compiled
def test_a_classifier_of_transformers(tmp_path):
    names = dict(enumerate(CLASSES))
    theirs = classifier(classes=3, id2label=names, position_embedding_type="rotary")
    theirs.save_pretrained(tmp_path)
    model = read_esm(tmp_path)
    assert model.classes == CLASSES
    ours = ntjax.load_pretrained(tmp_path)
    last = ours.apply(ours.params, IDS, logits=False, embeddings_layers=(LAYERS,))
    logits = Cls(3).apply(model.head, last[f"embeddings_{LAYERS}"], IDS)
    np.testing.assert_allclose(logits, run(theirs, IDS).logits, rtol=0, atol=TOLERANCE)
    assert "its classification head is not used (read_esm" in ours.notice
    assert not ours.apply(ours.params, IDS)["logits"].any()


def trained_run(kind, task, pooling="cls", **options):
    """What `load_run` gives, with an adapter that changes the model."""
    head_config = HEADS[pooling](len(task.outputs))
    config, params = our_model(**options)
    random = np.random.default_rng(3)
    adapter = adapters.init(kind, config, params, jax.random.key(0))
    parameters = jax.tree.map(
        lambda leaf: np.float32(leaf + 0.3 * random.normal(size=leaf.shape)), adapter.parameters
    )
    head = jax.tree.map(
        lambda leaf: np.float32(random.normal(size=leaf.shape)),
        head_config.init(config.embed_dim, jax.random.key(0)),
    )
    tokenizer = Tokenizer.for_vocabulary_size(VOCABULARY, 3)
    model = PretrainedModel("", config, params, tokenizer)
    trainable = Trainable(Adapter(kind, parameters), head)
    return Run(model, head_config, trainable, task, None)


ADAPTERS = {
    "ia3": IA3(),
    "lora": LoRA(4, 8.0, targets=("query", "key", "value", "mha_output", "fc1", "fc2")),
}


TASKS = {
    "classification": (Classification(CLASSES), "single_label_classification"),
    "multilabel": (MultiLabel(CLASSES), "multi_label_classification"),
    "regression": (Regression(("expression",), mean=3.0, spread=0.4), "regression"),
}


@pytest.mark.parametrize(
    ("kind", "task"),
    first_by_default([("ia3", "classification"), ("lora", "multilabel"), ("ia3", "regression")]),
)
def test_a_trained_run_gives_the_same_in_transformers(kind, task, tmp_path):
    task, problem_type = TASKS[task]
    trained = trained_run(ADAPTERS[kind], task, use_rotary_embedding=True, token_dropout=True)
    export_esm(trained, tmp_path)
    theirs = loaded_by_transformers(transformers.EsmForSequenceClassification, tmp_path)
    assert theirs.config.id2label == dict(enumerate(task.outputs))
    assert theirs.config.problem_type == problem_type
    sequences = ["ACGTTGCATTAGCA", "GGGCCNATTA", "TTTACGACGACGACGAGATTTAAACCC"]
    outputs = run(theirs, trained.model.tokenizer.encode(sequences)).logits.numpy()
    if problem_type == "regression":
        expected = trained.predict(sequences)[:, None]
    else:
        expected = trained.logits(sequences)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize(("size", "k"), [(4105, 6), (4107, 6), (75, 3)])
def test_the_tokenizer_of_transformers_gives_our_tokens(size, k, tmp_path):
    config = replace(our_model()[0], vocabulary_size=size, k_for_kmers=k)
    write_esm(tmp_path, config, random_parameters(parameter_shapes(config)))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = Tokenizer.for_vocabulary_size(size, k)
    random, share = np.random.default_rng(0), [0.24, 0.24, 0.24, 0.24, 0.04]
    sequences = [
        "".join(random.choice(list("ACGTN"), letters, p=share)) for letters in range(1, 60)
    ]
    assert theirs(sequences, padding=True)["input_ids"] == ours.encode(sequences).tolist()
    assert theirs.model_max_length == config.max_positions


def test_a_pipeline_of_transformers_needs_the_folder_alone(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    trained = trained_run(IA3(), TASKS["classification"][0], use_rotary_embedding=True)
    export_esm(trained, tmp_path)
    classify = transformers.pipeline("text-classification", str(tmp_path), device="cpu")
    sequences = ["ACGTTGCATTAGCA", "GGGCCNATTA"]
    found = [{x["label"]: x["score"] for x in row} for row in classify(sequences, top_k=None)]
    probabilities = [[row[name] for name in trained.classes] for row in found]
    np.testing.assert_allclose(probabilities, trained.predict(sequences), rtol=0, atol=TOLERANCE)


def test_a_head_on_the_mean_is_refused(tmp_path):
    with pytest.raises(UserError, match="this run's head is mean: train it with --head cls"):
        export_esm(trained_run(IA3(), Classification(CLASSES), "mean"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    trained = trained_run(IA3(), Classification(CLASSES))
    for folder in (file, file / "model"):
        with pytest.raises(UserError, match=f"^{file}: is not a folder; name a folder"):
            export_esm(trained, folder)
    assert file.read_text() == "mine"


def test_a_path_in_place_of_a_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no run to export in 'mine': .* ntjax\.load_run") as error:
        export_esm("mine", tmp_path / "out")
    assert "\n" not in str(error.value)


def test_the_folder_of_a_run_is_left_alone(tmp_path):
    for name in ("adapter.json", "config.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(UserError, match=r"adapter\.json: this folder holds a run"):
        export_esm(trained_run(IA3(), Classification(CLASSES), "cls"), tmp_path)
    assert (tmp_path / "config.json").read_text() == "{}"
    assert len(list(tmp_path.iterdir())) == 2


def test_every_output_needs_a_name(tmp_path):
    config, params = our_model()
    head = Cls(3).init(config.embed_dim, jax.random.key(0))
    with pytest.raises(UserError, match="3 outputs and 2 different class names"):
        write_esm(tmp_path / "out", config, params, head, ("a", "b"))
    assert not (tmp_path / "out").exists()


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"use_glu_in_ffn": True}, "gated (use_glu_in_ffn)"),
        ({"ffn_activation_name": "gelu"}, "its activation is 'gelu'"),
        ({"ffn_activation_name": "swish"}, "its activation is 'swish'"),
        ({"add_bias_ffn": False}, "no biases (add_bias_ffn)"),
        ({"positional_embedding": None}, "neither learned nor rotary"),
        ({"positional_embedding": "learned", "use_rotary_embedding": True}, "both learned and"),
        ({"key_dim": 8}, "2 heads of key_dim=8 do not make embed_dim=24"),
        ({"token_dropout": True, "masking_prob": 0.9}, "= 0.135, ESM on 0.12"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_what_esm_cannot_hold(options, message, tmp_path):
    config, _ = our_model()
    with pytest.raises(UserError) as error:
        write_esm(tmp_path / "out", replace(config, **options), {})
    text = str(error.value)
    assert text.startswith("transformers' ESM cannot hold this model: ")
    assert message in text
    assert "\n" not in text
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder of transformers' to be changed in a copy."""
    folder = tmp_path_factory.mktemp("saved")
    masked_language_model(position_embedding_type="rotary").save_pretrained(folder)
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


def refusal(folder):
    with pytest.raises(UserError) as error:
        ntjax.load_pretrained(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "model_type is 'bert'"),
        ({"is_folding_model": True}, "ESMFold"),
        ({"is_decoder": True}, "is_decoder is true"),
        ({"add_cross_attention": True}, "add_cross_attention is true"),
        ({"auto_map": {}}, "code of its own"),
        ({"add_bias_fnn": False}, "code of its own"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ({"rope_theta": 5000.0}, "rope_theta is 5000.0"),
        ({"num_attention_heads": 5}, "32 is not a multiple of 5 heads"),
        ({"pad_token_id": 0}, "pad_token_id is 0 (the Nucleotide Transformer's: 1)"),
        ({"pad_token_id": None}, "pad_token_id is None"),
        ({"pad_token_id": "1"}, "pad_token_id is '1' (the Nucleotide Transformer's: 1)"),
        ({"mask_token_id": 32}, "mask_token_id is 32"),
        ({"cls_token_id": 0}, "cls_token_id is 0"),
        ({"vocab_size": 33}, "vocab_size 33 is no Nucleotide Transformer's (4105 or 4107"),
        ({"k_for_kmers": 6}, "vocab_size 75 with k_for_kmers=6 is no"),
        ({"k_for_kmers": "3"}, "vocab_size 75 with k_for_kmers='3' is no"),
        ({"vocab_size": None}, "vocab_size=None should be a number above 0"),
        ({"hidden_size": "32"}, "hidden_size='32' should be a number above 0"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps='small' should be of type float"),
        ({"layer_norm_eps": float("inf")}, "config.json: layer_norm_eps=inf is not finite"),
        ({"layer_norm_eps": float("nan")}, "config.json: layer_norm_eps=nan is not finite"),
        ({"intermediate_size": 40}, "intermediate.dense.weight has shape (44, 32), expected (40,"),
        ({"num_hidden_layers": 2}, "config.json: num_hidden_layers is 2, the weights next to it"),
        ({"num_hidden_layers": 10**9}, "num_layers=1000000000 is more than any model has"),
        ({"num_attention_heads": 2}, "inv_freq has shape (4,), expected (8,) for heads of 16 dim"),
        ({"hidden_size": 10**12}, "expected (75, 1000000000000)"),
        ({"position_embedding_type": "absolute"}, "missing esm.embeddings.position_embeddings"),
        ({"tie_word_embeddings": True}, "decoder.weight is not the embedding"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_configurations_that_are_refused(changes, message, copy):
    file = copy / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    assert message in refusal(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lm_head.dense.bias": None}, "missing lm_head.dense.bias (32,)"),
        ({"lm_head.bias": None}, "neither a language-model head"),
        ({"esm.extra": np.zeros(3, np.float32)}, "unexpected esm.extra (3,)"),
        ({"lm_head.dense.bias": np.full(32, np.nan, np.float32)}, "NaN or infinite"),
        ({"lm_head.dense.bias": np.zeros(32, np.int32)}, "has dtype int32"),
        (
            {"esm.rotary_embeddings.inv_freq": np.float32([1, 0.2, 0.04, 0.008])},
            "inv_freq is not 10000^(-2i / 8)",
        ),
        (
            {"esm.rotary_embeddings.inv_freq": np.ones((2, 2), bool)},
            "inv_freq has shape (2, 2), expected (4,)",
        ),
        ({"esm.encoder.layer.3.extra": np.zeros(3, np.float32)}, "have 4 layers"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_weights_that_are_refused(changes, message, copy):
    file = copy / "model.safetensors"
    tensors, metadata = safetensors.read(file)
    changed = {name: value for name, value in (tensors | changes).items() if value is not None}
    safetensors.write(file, changed, metadata)
    assert message in refusal(copy)


@pytest.fixture
def saved_classifier(tmp_path):
    classifier(position_embedding_type="rotary").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"id2label": ["a", "b"]}, "config.json: id2label=['a', 'b'] should be an object"),
        ({"id2label": "abc"}, "config.json: id2label='abc' should be an object"),
        ({"id2label": []}, "config.json: id2label=[] should be an object"),
        ({"hidden_size": 10**12}, "expected (75, 1000000000000)"),
    ],
    ids=["list", "text", "empty", "size"],
)
def test_configurations_of_classifiers_that_are_refused(changes, message, saved_classifier):
    file = saved_classifier / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    assert message in refusal(saved_classifier)


def test_a_classifier_without_a_second_axis_is_refused(saved_classifier):
    file = saved_classifier / "model.safetensors"
    tensors, metadata = safetensors.read(file)
    tensors["classifier.out_proj.weight"] = np.array(1, np.float32)
    safetensors.write(file, tensors, metadata)
    message = "classifier.out_proj.weight has shape (), expected (classes, 32)"
    assert message in refusal(saved_classifier)


def test_names_that_other_versions_of_transformers_write(saved, copy):
    file = copy / "model.safetensors"
    tensors, metadata = safetensors.read(file)
    renamed = {
        name.replace("Norm.gamma", "Norm.weight").replace("Norm.beta", "Norm.bias"): tensor
        for name, tensor in tensors.items()
    }
    renamed.pop("esm.rotary_embeddings.inv_freq", None)
    for layer in range(LAYERS):
        name = f"esm.encoder.layer.{layer}.attention.self.rotary_embeddings.inv_freq"
        renamed[name] = np.float32([1, 0.1, 0.01, 0.001])
    renamed["esm.embeddings.position_ids"] = np.arange(26)[None]
    assert renamed.keys() & tensors.keys() != tensors.keys()
    safetensors.write(file, renamed, metadata)
    for expected, found in zip(
        jax.tree.leaves(read_esm(saved).params), jax.tree.leaves(read_esm(copy).params), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_another_programs_config_json_is_left_alone(tmp_path):
    (tmp_path / "config.json").write_text('{"adapter": "ia3"}')
    with pytest.raises(UserError, match=r"put hyperparams\.json and pytree_ckpt\.joblib into"):
        ntjax.load_pretrained(tmp_path)


def test_files_that_are_missing_or_damaged(copy):
    weights = copy / "model.safetensors"
    (copy / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../b"}}')
    contents = weights.read_bytes()
    weights.write_bytes(contents[:-8])
    assert "not a complete safetensors file" in refusal(copy)
    weights.unlink()
    assert "does not say which file holds which weights" in refusal(copy)
    (copy / "model.safetensors.index.json").write_text('{"weight_map": {"a": "b.safetensors"}}')
    assert "names b.safetensors, which is not there" in refusal(copy)
    for names, message in (
        ({"a": ["b.safetensors"]}, "does not say which file holds which weights"),
        ({"a": ""}, "does not say which file holds which weights"),
        ({"a": "x" * 5000}, "x..., which is not there"),
    ):
        index = json.dumps({"weight_map": names})
        (copy / "model.safetensors.index.json").write_text(index)
        assert message in refusal(copy)
    (copy / "model.safetensors.index.json").unlink()
    (copy / "pytorch_model.bin").touch()
    assert "pytorch_model.bin is a pickle" in refusal(copy)
    config = (copy / "config.json").rename(copy / "elsewhere")
    assert "pytorch_model.bin is a pickle, which can run code: not read); save" in refusal(copy)
    config.rename(copy / "config.json")
    weights.write_bytes(contents)
    (copy / "config.json").write_text("{")
    assert "config.json: is not valid JSON" in refusal(copy)
    (copy / "config.json").unlink()
    assert "config.json: is not there; fetch it too" in refusal(copy)


def test_a_head_for_every_token_is_refused(tmp_path):
    theirs = transformers.EsmForTokenClassification(esm_config())
    theirs.save_pretrained(tmp_path)
    assert "its architecture is EsmForTokenClassification" in refusal(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"architectures": 5}))
    assert "its architecture is 5;" in refusal(tmp_path)
