"""Loading, outputs on request and attention masks."""

import hashlib
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference_checkpoints import GOLDEN_NAMES
from reference_transformer import reference_forward

import ntjax
from ntjax.checkpoints import hub as huggingface
from ntjax.errors import UserError
from ntjax.models.config import parameter_shapes

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture
def assert_official(golden):
    """`assert_official(outputs, name)`: equal to the official ones, queries at `<pad>` left out."""

    def check(outputs, name):
        real = golden(name).real[:, : outputs[next(iter(outputs))].shape[-2]]
        for output, value in outputs.items():
            expected = golden(name).expected[output]
            if output.startswith("attention"):
                value, expected = (np.swapaxes(maps, 1, 2) for maps in (value, expected))
            expected = expected[:, : real.shape[1]]
            np.testing.assert_allclose(
                np.asarray(value)[real], expected[real], rtol=0, atol=1e-5, err_msg=output
            )

    return check


# Outputs on request


def test_only_what_is_asked_for_comes_back(golden, golden_model, assert_official):
    nt, tokens = golden_model("v2_3mer"), golden("v2_3mer").expected["tokens"]
    out = nt.apply(
        nt.params, tokens, logits=False, embeddings_layers=(3, 2, 2), attention_layers=[2, 2]
    )
    assert set(out) == {"embeddings_2", "embeddings_3", "attention_2"}
    assert_official(out, "v2_3mer")


def test_logits_are_the_default(golden_model):
    nt = golden_model("v2_3mer")
    shapes = jax.eval_shape(nt.apply, nt.params, jnp.zeros((2, 5), jnp.int32))
    assert {name: value.shape for name, value in shapes.items()} == {"logits": (2, 5, 75)}


def test_padding_changes_nothing(golden, golden_model, assert_official):
    nt, tokens = golden_model("v2_3mer"), golden("v2_3mer").expected["tokens"]
    length = int((tokens != 1).sum(1).max())
    assert length < tokens.shape[1]
    assert_official(nt.apply(nt.params, tokens[:, :length]), "v2_3mer")


def compiled(nt, tokens, **request):
    program = jax.jit(lambda params, ids: nt.apply(params, ids, **request))
    return program.lower(nt.params, jnp.asarray(tokens)).compile()


def test_cost_is_paid_on_request_only(golden, golden_model):
    nt, tokens = golden_model("v1"), golden("v1").expected["tokens"]
    bare = compiled(nt, tokens, logits=False, embeddings_layers=(3,))
    all_of_it = compiled(nt, tokens, embeddings_layers=(3,), attention_layers=(2,))
    embed, vocabulary = nt.config.embed_dim, nt.config.vocabulary_size
    head = 2 * tokens.size * embed * (embed + vocabulary)
    assert all_of_it.cost_analysis()["flops"] - bare.cost_analysis()["flops"] >= head
    assert bare.cost_analysis()["flops"] < head  # nothing of the head is left in it
    (batch, length), heads = tokens.shape, nt.config.attention_heads
    logits_bytes = 4 * tokens.size * vocabulary
    map_bytes = 4 * batch * heads * length * length

    def memory(program):
        analysis = program.memory_analysis()
        return analysis.output_size_in_bytes + analysis.temp_size_in_bytes

    assert memory(all_of_it) - memory(bare) >= logits_bytes + map_bytes
    assert memory(bare) < logits_bytes


@pytest.mark.parametrize("argument", ["embeddings_layers", "attention_layers"])
@pytest.mark.parametrize("layer", [0, -1, 4])
def test_layers_that_do_not_exist_are_refused(argument, layer, golden_model):
    nt = golden_model("v1")
    with pytest.raises(UserError, match=rf"layer {layer} .* from 1 to 3"):
        nt.apply(nt.params, np.full((1, 4), 3), **{argument: (1, layer)})


@pytest.mark.parametrize(("name", "positions"), [("v1", 32), ("v2", 64)])
def test_more_tokens_than_positions_are_refused(name, positions, golden_model):
    nt = golden_model(name)
    ids = np.full((1, positions + 1), 10, np.int32)
    with pytest.raises(UserError, match=rf"{positions + 1} tokens .* {positions} positions"):
        nt.apply(nt.params, ids)


def test_the_last_position_can_be_used(golden_model):
    nt = golden_model("v1")
    tokens = np.random.default_rng(0).integers(4, 4105, (1, 32))
    tokens[:, 0] = 3
    expected = reference_forward(nt.config, nt.params, tokens)["logits"]
    np.testing.assert_allclose(nt.apply(nt.params, tokens)["logits"], expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(4,), (1, 1, 4)])
def test_ids_of_another_rank_are_refused(shape, golden_model):
    nt = golden_model("v1")
    with pytest.raises(UserError, match=r"\[batch, tokens\]"):
        nt.apply(nt.params, np.full(shape, 3))


@pytest.mark.parametrize("shape", [(2, 4, 4), (1, 1, 4, 4), (2, 1, 1, 4), (2, 4, 4, 4), (2, 4)])
def test_attention_masks_of_another_shape_are_refused(shape, golden_model):
    nt = golden_model("v1")
    with pytest.raises(UserError, match=r"\(2, 1, 4, 4\)"):
        nt.apply(nt.params, np.full((2, 4), 3), attention_mask=np.ones(shape, bool))


# A user's attention mask


@pytest.fixture(scope="module")
def masked(golden_model):
    """`masked(tokens, attention_mask)` of v2_3mer: logits, embeddings 2 and 3, attention 1."""
    nt = golden_model("v2_3mer")

    def run(tokens, attention_mask):
        out = nt.apply(
            nt.params,
            tokens,
            attention_mask=attention_mask,
            embeddings_layers=(2, 3),
            attention_layers=(1,),
        )
        return jax.tree.map(np.asarray, out)

    return run


def test_a_mask_of_the_real_tokens_is_the_padding_mask(golden, masked, assert_official):
    tokens, real = golden("v2_3mer").expected["tokens"], golden("v2_3mer").real
    mask = np.broadcast_to(real[:, None, None, :], (6, 1, 60, 60))
    assert_official(masked(tokens, mask), "v2_3mer")


def test_an_arbitrary_mask_replaces_the_padding_mask(golden, golden_model, masked):
    tokens, nt = golden("v2_3mer").expected["tokens"], golden_model("v2_3mer")
    mask = np.random.default_rng(1).random((6, 1, 60, 60)) < 0.4
    mask[..., 59] = True  # a <pad> in every row: the padding mask is gone
    out = masked(tokens, mask)
    rows = slice(1, 3)
    expected = reference_forward(nt.config, nt.params, tokens[rows], mask[rows, 0])
    for name, value in out.items():
        np.testing.assert_allclose(value[rows], expected[name], rtol=0, atol=1e-5, err_msg=name)
    assert (out["attention_1"][~np.broadcast_to(mask, out["attention_1"].shape)] == 0).all()


def test_two_packed_sequences_do_not_see_each_other(golden, masked):
    # Rotary positions are relative: a sequence with its own <cls> may begin anywhere.
    tokens = golden("v2_3mer").expected["tokens"]
    lengths = [int((row != 1).sum()) for row in tokens]
    first, second = 1, 4
    split, end = lengths[first], lengths[first] + lengths[second]
    packed = np.ones((6, 60), np.int32)
    packed[:, :split], packed[:, split:end] = tokens[first, :split], tokens[second, : end - split]
    assert packed[0, split] == 3
    mask = np.zeros((6, 1, 60, 60), bool)
    mask[:, :, :split, :split] = mask[:, :, split:, split:end] = True
    out = masked(packed, mask)
    for name in ("embeddings_2", "embeddings_3", "logits"):
        alone = golden("v2_3mer").expected[name]
        for place, row in ((slice(0, split), first), (slice(split, end), second)):
            expected = alone[row, : lengths[row]]
            np.testing.assert_allclose(out[name][0, place], expected, rtol=0, atol=1e-5)


def test_a_query_that_may_look_nowhere_gives_no_nan(golden, masked):
    mask = np.ones((6, 1, 60, 60), bool)
    mask[:, :, 5] = False
    out = masked(golden("v2_3mer").expected["tokens"], mask)
    assert all(np.isfinite(value).all() for value in out.values())


# Loading


@pytest.mark.parametrize("name", GOLDEN_NAMES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_matrices_take_the_type_and_norms_and_biases_stay_float32(name, dtype, golden_model):
    nt = golden_model(name, dtype)
    shapes = parameter_shapes(nt.config)
    assert {module: set(params) for module, params in nt.params.items()} == {
        module: set(params) for module, params in shapes.items()
    }
    for module, params in nt.params.items():
        for leaf, array in params.items():
            assert array.shape == shapes[module][leaf]
            assert array.dtype == (dtype if leaf in ("w", "embeddings") else "float32")


def test_what_a_loaded_model_says_of_itself(golden, golden_model):
    nt, folder = golden_model("v2"), golden("v2").folder
    assert nt.name == str(folder)
    assert nt.source["path"] == str(folder)
    weights = (folder / "jax_model" / "pytree_ckpt.joblib").read_bytes()
    assert nt.source["sha256"] == hashlib.sha256(weights).hexdigest()
    assert (nt.dtype, nt.notice) == ("float32", "")
    assert nt.config.key_dim == 4
    assert nt.tokenizer.k == 6


def test_weights_go_where_the_sharding_says(golden):
    mesh = jax.make_mesh((1,), ("devices",), axis_types=(jax.sharding.AxisType.Auto,))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    nt = ntjax.load_pretrained(golden("v2_3mer").folder, sharding=sharding)
    assert all(array.sharding == sharding for array in jax.tree.leaves(nt.params))


def test_misspelt_names_are_answered_with_the_nearest():
    with pytest.raises(UserError, match="did you mean '2B5_multi_species'"):
        ntjax.load_pretrained("2B5_multispecies")


def test_published_names_are_fetched_from_their_repository(golden, monkeypatch, tmp_path):
    monkeypatch.setenv("NTJAX_CACHE_DIR", str(tmp_path))
    # What `download` itself does is tested with the checkpoints; here: what it is asked for.
    asked = []

    def download(*arguments):
        asked.append(arguments)
        return huggingface.Download(golden("v1").folder, "0123abcd", sha256)

    weights = golden("v1").folder / "jax_model" / "pytree_ckpt.joblib"
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    monkeypatch.setattr("ntjax.inference.pretrained.download", download)
    nt = ntjax.load_pretrained("500M_1000G")
    assert asked == [("InstaDeepAI/nucleotide-transformer-500m-1000g", None, "500M_1000G")]
    assert nt.source["revision"] == "0123abcd"
    assert nt.source["repository"] == "InstaDeepAI/nucleotide-transformer-500m-1000g"
    assert nt.source["sha256"] == sha256
    commit = "4" * 40
    assert ntjax.load_pretrained(f"500M_1000G@{commit}").name == "500M_1000G"
    assert asked[1][1] == commit
    # The commit of the first download is asked for from then on, of this repository only.
    ntjax.load_pretrained("500M_1000G")
    ntjax.load_pretrained("500M_human_ref")
    assert [revision for _, revision, _ in asked[2:]] == ["0123abcd", None]
    (tmp_path / "revisions.json").write_text("{")
    with pytest.raises(UserError, match=r"revisions\.json: the record .* is damaged: delete it"):
        ntjax.load_pretrained("500M_1000G")


def test_a_download_of_another_sha256_is_refused(golden, monkeypatch, tmp_path):
    monkeypatch.setenv("NTJAX_CACHE_DIR", str(tmp_path))
    download = huggingface.Download(golden("v1").folder, "0123abcd", "0" * 64)
    monkeypatch.setattr("ntjax.inference.pretrained.download", lambda *_: download)
    with pytest.raises(UserError, match="damaged on the way"):
        ntjax.load_pretrained("500M_1000G")


def test_unknown_types_are_refused(golden):
    with pytest.raises(UserError, match=r"'float16'.*float32, bfloat16"):
        ntjax.load_pretrained(golden("v1").folder, dtype="float16")


def test_folders_without_a_checkpoint_are_refused(tmp_path, golden):
    with pytest.raises(UserError, match=r"hyperparams\.json and pytree_ckpt\.joblib"):
        ntjax.load_pretrained(tmp_path)
    (tmp_path / "jax_model").mkdir()
    shutil.copy(golden("v1").folder / "jax_model" / "hyperparams.json", tmp_path / "jax_model")
    with pytest.raises(UserError, match=r"no pytree_ckpt\.joblib"):
        ntjax.load_pretrained(tmp_path)


def test_a_refused_hyperparameter_is_reported_with_the_files_path(tmp_path, golden):
    folder = tmp_path / "model"
    shutil.copytree(golden("v1").folder, folder)
    file = folder / "jax_model" / "hyperparams.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"add_bias_kv": True}))
    with pytest.raises(UserError) as error:
        ntjax.load_pretrained(folder)
    assert str(error.value).startswith(f"{file}: add_bias_kv=True is not supported")


@pytest.mark.parametrize("ids", [[[3, 4107]], [[3, -1]]])
def test_ids_outside_the_vocabulary_are_refused(ids, golden_model):
    nt = golden_model("rotary_gelu")
    with pytest.raises(UserError, match="rotary_gelu has tokens 0 to 4106"):
        nt.apply(nt.params, np.asarray(ids, np.int32))


def test_ids_that_are_not_whole_numbers_are_refused(golden_model):
    nt = golden_model("rotary_gelu")
    with pytest.raises(UserError, match="whole numbers, not float32"):
        nt.apply(nt.params, np.ones((1, 2), np.float32))
