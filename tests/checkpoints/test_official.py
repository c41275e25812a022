"""Official names and layers to the stacked tree and back."""

import json
import re

import joblib
import ml_dtypes
import numpy as np
import pytest

from ntjax.checkpoints.official import read_pytree, stack_parameters, vocabulary_size, write_pytree
from ntjax.errors import UserError

PLACES = {
    "embed": "~/embed",
    "positional_embedding": "~/esm_learned_positional_embeddings/~/embed",
    "emb_layer_norm_before": "~/emb_layer_norm_before",
    "emb_layer_norm_after": "~/{head}/~/emb_layer_norm_after",
    "lm_head_fc_1": "~/{head}/~/lm_head_fc_1",
    "lm_head_layer_norm": "~/{head}/~/lm_head_layer_norm",
    "lm_final_fc": "~/{head}/~/lm_final_fc",
    "layers/query": "attention_layer_{layer}/~/{attention}/query",
    "layers/key": "attention_layer_{layer}/~/{attention}/key",
    "layers/value": "attention_layer_{layer}/~/{attention}/value",
    "layers/mha_output": "attention_layer_{layer}/~/{attention}/mha_output",
    "layers/self_attention_layer_norm": "attention_layer_{layer}/~/{attention}_layer_norm",
    "layers/final_layer_norm": "attention_layer_{layer}/~/final_layer_norm",
    "layers/fc1": "attention_layer_{layer}/~/fc1",
    "layers/fc2": "attention_layer_{layer}/~/fc2",
}
LEGACY = {"attention": "mha", "head": "esm_roberta_lm_head"}
MODERN = {"attention": "self_attention", "head": "roberta_lm_head"}


def stacked(golden, tree=None):
    tree = golden.tree if tree is None else tree
    return stack_parameters(tree, golden.shapes, "here")


def message_of(golden, tree):
    with pytest.raises(UserError) as raised:
        stacked(golden, tree)
    message = str(raised.value)
    assert message.startswith("here: ")
    assert "\n" not in message
    return message


def copied(tree):
    return {module: dict(parameters) for module, parameters in tree.items()}


def test_reference_files_read_as_joblib_reads_them(golden):
    read = read_pytree(golden.weights_file)
    assert list(read) == list(golden.tree)
    for module, parameters in golden.tree.items():
        assert list(read[module]) == list(parameters)
        for name, expected in parameters.items():
            np.testing.assert_array_equal(read[module][name], expected)
            assert read[module][name].dtype == expected.dtype
            assert not read[module][name].flags.writeable


def test_reference_files_stack_to_the_expected_tree(golden):
    tree = stacked(golden)
    shapes = {
        module: {name: leaf.shape for name, leaf in leaves.items()}
        for module, leaves in tree.items()
    }
    assert shapes == golden.shapes
    spelling = LEGACY if golden.root == "esm_transformer" else MODERN
    seen = 0
    for module, leaves in tree.items():
        place = PLACES[module.removeprefix("nucleotide_transformer/")]
        for name, leaf in leaves.items():
            array = np.asarray(leaf)
            assert array.dtype == np.float32
            layers = range(3) if "{layer}" in place else [None]
            for layer in layers:
                official = f"{golden.root}/{place.format(layer=layer, **spelling)}"
                part = array if layer is None else array[layer]
                np.testing.assert_array_equal(part, golden.tree[official][name])
                seen += 1
    assert seen == sum(len(parameters) for parameters in golden.tree.values())


def test_vocabulary_is_told_by_the_embedding(golden):
    known = {"v1": 4105, "v1_token_dropout": 4105, "v2": 4107, "rotary_gelu": 4107, "v2_3mer": 75}
    assert vocabulary_size(golden.tree, "here") == known[golden.folder.name]


def test_vocabulary_without_an_embedding_is_refused():
    positions = {"a/~/esm_learned_positional_embeddings/~/embed": {"embeddings": np.ones((9, 2))}}
    with pytest.raises(UserError, match=r"here: has no token embedding .*found a/~/esm"):
        vocabulary_size(positions, "here")


def test_any_root_name_will_do(small):
    renamed = {
        "some_other_root/" + module.split("/", 1)[1]: leaves
        for module, leaves in small.tree.items()
    }
    for module, leaves in stacked(small, renamed).items():
        for name, leaf in leaves.items():
            np.testing.assert_array_equal(
                np.asarray(leaf), np.asarray(stacked(small)[module][name])
            )


def test_other_floating_point_types_become_float32(small):
    for dtype in (np.float16, np.float64, ml_dtypes.bfloat16):
        tree = {
            module: {name: array.astype(dtype) for name, array in leaves.items()}
            for module, leaves in small.tree.items()
        }
        embedding = np.asarray(stacked(small, tree)["nucleotide_transformer/embed"]["embeddings"])
        original = small.tree["esm_transformer/~/embed"]["embeddings"]
        assert embedding.dtype == np.float32
        np.testing.assert_array_equal(embedding, original.astype(dtype).astype(np.float32))


def test_every_wrong_parameter_is_named(small):
    tree = copied(small.tree)
    del tree["esm_transformer/attention_layer_1/~/mha/key"]["b"]
    del tree["esm_transformer/~/esm_roberta_lm_head/~/lm_head_layer_norm"]
    tree["esm_transformer/attention_layer_2/~/fc1"]["b"] = np.ones(64, np.float32)
    tree["esm_transformer/u_net"] = {"w": np.ones((2, 2), np.float32)}
    tree["esm_transformer/attention_layer_0/~/fc2"]["w"] = np.ones((16, 32), np.float32)
    tree["esm_transformer/attention_layer_0/~/mha/query"]["b"] = np.arange(16)
    key = small.tree["esm_transformer/attention_layer_0/~/mha/key"]["w"].copy()
    key[3, 4] = np.nan
    tree["esm_transformer/attention_layer_0/~/mha/key"]["w"] = key
    message = message_of(small, tree)
    for part in (
        "missing esm_transformer/attention_layer_1/~/mha/key/b (16,)",
        "missing esm_transformer/~/esm_roberta_lm_head/~/lm_head_layer_norm/scale (16,)",
        "missing esm_transformer/~/esm_roberta_lm_head/~/lm_head_layer_norm/offset (16,)",
        "unexpected esm_transformer/attention_layer_2/~/fc1/b (64,)",
        "unexpected esm_transformer/u_net/w (2, 2)",
        "esm_transformer/attention_layer_0/~/fc2/w has shape (16, 32), expected (32, 16)",
        "esm_transformer/attention_layer_0/~/mha/query/b has dtype int64, expected floating-point",
        "esm_transformer/attention_layer_0/~/mha/key/w has NaN or infinite values",
    ):
        assert part in message
    assert message.count(";") == 7


def test_missing_parameters_are_named_as_the_file_would_name_them(golden):
    tree = copied(golden.tree)
    removed = [module for module in tree if module.endswith(("attention/value", "mha/value"))]
    assert len(removed) == 3
    for module in removed:
        del tree[module]
    message = message_of(golden, tree)
    assert re.findall(r"missing (\S+)/w ", message) == removed


def test_infinite_values_are_named(small):
    for value in (np.inf, -np.inf):
        tree = copied(small.tree)
        tree["esm_transformer/~/embed"] = {"embeddings": np.full((75, 16), value, np.float32)}
        assert "~/embed/embeddings has NaN or infinite" in message_of(small, tree)
    tree["esm_transformer/~/embed"] = {"embeddings": np.full((75, 16), 1e300)}
    assert "~/embed/embeddings has NaN or infinite" in message_of(small, tree)


def test_long_lists_are_cut(small):
    tree = {"esm_transformer/~/embed": small.tree["esm_transformer/~/embed"]}
    message = message_of(small, tree)
    total = sum(len(leaves) for leaves in small.tree.values()) - 1
    assert message.count("missing ") == 20
    assert f"; and {total - 20} more: check that" in message


def test_a_parameter_that_stands_twice_is_named(small):
    tree = copied(small.tree)
    tree["other/~/embed"] = tree["esm_transformer/~/embed"]
    assert (
        "other/~/embed/embeddings stands twice: esm_transformer/~/embed/embeddings"
        in message_of(small, tree)
    )


def test_what_is_written_is_what_was_read(tmp_path, golden):
    written = write_pytree(tmp_path / "run", stacked(golden), golden.hyperparameters)
    assert written == tmp_path / "run" / "jax_model"
    assert sorted(path.name for path in written.iterdir()) == [
        "hyperparams.json",
        "pytree_ckpt.joblib",
    ]
    assert json.loads((written / "hyperparams.json").read_text()) == golden.hyperparameters
    tree = joblib.load(written / "pytree_ckpt.joblib")
    if golden.root == "esm_transformer":  # the reference files in the first release's names
        assert set(tree) == set(golden.tree)
    # The official code renames this root, and these parts, to those of the model it builds.
    renamed = {
        module.replace("esm_transformer", golden.root)
        if golden.root == "esm_transformer"
        else module.replace("esm_transformer", golden.root)
        .replace("esm_roberta_lm_head", "roberta_lm_head")
        .replace("mha_layer_norm", "self_attention_layer_norm")
        .replace("/mha/", "/self_attention/"): leaves
        for module, leaves in tree.items()
    }
    assert set(renamed) == set(golden.tree)
    for module, leaves in golden.tree.items():
        assert set(renamed[module]) == set(leaves)
        for name, expected in leaves.items():
            assert renamed[module][name].dtype == np.float32
            np.testing.assert_array_equal(renamed[module][name], expected)


def test_writing_replaces_what_was_there_and_leaves_nothing_else(tmp_path, small):
    first = write_pytree(tmp_path, stacked(small), {"num_layers": 1})
    second = write_pytree(tmp_path, stacked(small), small.hyperparameters)
    assert first == second
    assert json.loads((second / "hyperparams.json").read_text()) == small.hyperparameters
    assert len(list(second.iterdir())) == 2


def test_writing_into_a_file_is_refused(tmp_path, small):
    (tmp_path / "file").write_text("earlier result")
    with pytest.raises(UserError, match=r"cannot be written"):
        write_pytree(tmp_path / "file", stacked(small), small.hyperparameters)
    assert (tmp_path / "file").read_text() == "earlier result"


@pytest.mark.parametrize(
    ("contents", "remark"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"PK\x03\x04" + b"\0" * 40, "is a zip archive"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "is damaged or is not a joblib file"),
        (b"{}", "is a JSON file"),
        (b"ZF0x20" + b"x" * 40, "joblib 0.9"),
        (b"\x04\x22\x4d\x18" + b"x" * 40, "LZ4"),
        (b"x\x9c" + b"x" * 40, "is compressed and damaged"),
        (b"hello world, this is not a checkpoint", "download it again"),
        (bytes(range(256)) * 4, "download it again"),
    ],
)
def test_other_files_are_recognised(tmp_path, contents, remark):
    path = tmp_path / "pytree_ckpt.joblib"
    path.write_bytes(contents)
    with pytest.raises(UserError, match=re.escape(remark)) as raised:
        read_pytree(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_absent_files_and_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_pytree(tmp_path / "absent")
    with pytest.raises(UserError, match="Is a directory"):
        read_pytree(tmp_path)


def test_files_that_expand_without_end_are_refused(tmp_path):
    """300 MB of zeros in 300 kB: more than weights can gain from compression."""
    path = tmp_path / "x.joblib"
    joblib.dump({"a": {"w": np.zeros(300_000_000, np.int8)}}, path, compress=("zlib", 1))
    with pytest.raises(UserError, match=r"expands to more than \d+\.\d+ MB"):
        read_pytree(path)
