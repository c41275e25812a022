"""Conversion once, memory-mapping ever after."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors

from ntjax.checkpoints.cache import load_stacked, locate
from ntjax.errors import UserError
from ntjax.io.files import cache_folder


def refused(folder, shapes_for, **options):
    with pytest.raises(UserError) as raised:
        load_stacked(folder, shapes_for, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def only_file(cache):
    (file,) = cache.iterdir()
    return file


def identity(file):
    status = file.stat()
    return status.st_ino, status.st_mtime_ns


def test_reference_files_load(golden, cache, shapes_for):
    hyperparameters, vocabulary, tree, digest = load_stacked(golden.folder, shapes_for)
    assert hyperparameters == golden.hyperparameters
    assert vocabulary == golden.vocabulary
    shapes = {
        module: {name: array.shape for name, array in leaves.items()}
        for module, leaves in tree.items()
    }
    assert shapes == golden.shapes
    embedding = tree["nucleotide_transformer/embed"]["embeddings"]
    np.testing.assert_array_equal(embedding, golden.tree[f"{golden.root}/~/embed"]["embeddings"])
    fc1 = [golden.tree[f"{golden.root}/attention_layer_{i}/~/fc1"]["w"] for i in range(3)]
    np.testing.assert_array_equal(tree["nucleotide_transformer/layers/fc1"]["w"], fc1)
    for leaves in tree.values():
        for array in leaves.values():
            assert array.dtype == np.float32
            assert not array.flags.writeable
            assert not array.flags.owndata
    with safetensors.safe_open(only_file(cache), "np") as file:
        assert file.metadata()["source_sha256"] == digest
    assert digest == hashlib.sha256(golden.weights_file.read_bytes()).hexdigest()


def test_the_second_time_nothing_is_converted(small, cache, shapes_for):
    load_stacked(small.folder, shapes_for)
    first = identity(only_file(cache))
    tree = load_stacked(small.folder / "jax_model", shapes_for).parameters
    assert identity(only_file(cache)) == first
    assert tree["nucleotide_transformer/layers/query"]["w"].shape == (3, 16, 16)


def test_another_path_to_the_same_file_is_the_same_file(tmp_path, small, cache, shapes_for):
    (tmp_path / "link").symlink_to(small.folder)
    load_stacked(small.folder, shapes_for)
    first = identity(only_file(cache))
    load_stacked(tmp_path / "link", shapes_for)
    assert identity(only_file(cache)) == first


def changed_weights(small, folder):
    """Other weights of the same size, with the modification time the file had."""
    path = folder / "jax_model" / "pytree_ckpt.joblib"
    status = path.stat()
    contents = bytearray(path.read_bytes())
    start = contents.index(small.tree["esm_transformer/~/embed"]["embeddings"].tobytes())
    contents[start : start + 4] = np.float32(42).tobytes()
    path.write_bytes(contents)
    return path, status


def test_changed_weights_are_converted_again(tmp_path, small, cache, shapes_for):
    folder = small.put_into(tmp_path / "model")
    load_stacked(folder, shapes_for)
    path, status = changed_weights(small, folder)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    tree = load_stacked(folder, shapes_for).parameters
    assert tree["nucleotide_transformer/embed"]["embeddings"][0, 0] == 42
    only_file(cache)  # the outdated file was replaced


def test_changed_hyperparameters_are_noticed(tmp_path, small, cache, shapes_for):
    folder = small.put_into(tmp_path / "model")
    load_stacked(folder, shapes_for)
    path = folder / "jax_model" / "hyperparams.json"
    path.write_text(path.read_text().replace('"num_layers": 3', '"num_layers": 2'))
    message = refused(folder, shapes_for)
    assert "unexpected esm_transformer/attention_layer_2/~/mha/query/w (16, 16)" in message
    assert str(folder / "jax_model" / "pytree_ckpt.joblib") in message


@pytest.mark.parametrize(
    "damage",
    [
        lambda contents: contents[: len(contents) // 2],
        lambda contents: contents[:-1],
        lambda contents: contents + b"\0",
        lambda contents: b"",
        lambda contents: b"\0" * len(contents),
        lambda contents: contents.replace(b'"F32"', b'"I32"', 1),
        lambda contents: contents.replace(b"ntjax-stacked-", b"ntjax-stackex-"),
        lambda contents: contents.replace(b"layers/query/w", b"layers/quary/w"),
    ],
)
def test_damaged_cache_files_are_made_again(small, cache, shapes_for, damage):
    load_stacked(small.folder, shapes_for)
    file = only_file(cache)
    contents = file.read_bytes()
    assert damage(contents) != contents
    file.write_bytes(damage(contents))
    tree = load_stacked(small.folder, shapes_for).parameters
    assert only_file(cache).read_bytes() == contents
    query = small.tree["esm_transformer/attention_layer_1/~/mha/query"]["w"]
    np.testing.assert_array_equal(tree["nucleotide_transformer/layers/query"]["w"][1], query)


def test_arrays_stay_valid_while_their_file_is_replaced(tmp_path, small, cache, shapes_for):
    folder = small.put_into(tmp_path / "model")
    before = load_stacked(folder, shapes_for).parameters
    changed_weights(small, folder)
    load_stacked(folder, shapes_for)
    embedding = small.tree["esm_transformer/~/embed"]["embeddings"]
    np.testing.assert_array_equal(before["nucleotide_transformer/embed"]["embeddings"], embedding)


LOAD = """
import sys
from ntjax.checkpoints.cache import load_stacked
sys.path.insert(0, sys.argv[2])
from checkpoint_shapes import expected_shapes
print("ready", flush=True)
sys.stdin.readline()
tree = load_stacked(sys.argv[1], expected_shapes).parameters
print(float(sum(leaf.sum() for leaves in tree.values() for leaf in leaves.values())))
"""


@pytest.mark.slow
def test_processes_that_convert_at_once_all_succeed(small, cache, shapes_for):
    helpers = Path(__file__).parents[1] / "helpers"
    arguments = [sys.executable, "-c", LOAD, str(small.folder), str(helpers)]
    processes = [
        subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # all at once, now that they have imported what they need
        process.stdin.write("\n")
        process.stdin.flush()
    results = {process.communicate()[0] for process in processes}
    assert all(process.returncode == 0 for process in processes)
    tree = load_stacked(small.folder, shapes_for).parameters
    expected = float(sum(leaf.sum() for leaves in tree.values() for leaf in leaves.values()))
    assert results == {f"{expected}\n"}
    only_file(cache)


def test_abandoned_temporary_files_are_removed(small, cache, shapes_for):
    load_stacked(small.folder, shapes_for)
    file = only_file(cache)
    old, fresh = (file.parent / f".{file.name}.1-{part}.tmp" for part in ("old", "fresh"))
    other = file.parent / ".something-else.tmp"
    for path in (old, fresh, other):
        path.write_bytes(b"half a model")
        os.utime(path, (time.time() - 7200,) * 2)
    os.utime(fresh)
    file.unlink()
    load_stacked(small.folder, shapes_for)
    assert sorted(cache.iterdir()) == sorted((file, fresh, other))


def test_the_cache_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("NTJAX_CACHE_DIR", str(tmp_path / "here"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.setenv("NTJAX_CACHE_DIR", "")
    assert cache_folder() == tmp_path / "xdg" / "ntjax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "ntjax"


def test_an_unwritable_cache_folder_tells_what_to_do(monkeypatch, tmp_path, small, shapes_for):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NTJAX_CACHE_DIR", str(tmp_path / "file" / "cache"))
    message = refused(small.folder, shapes_for)
    assert "cannot be written" in message
    assert "set NTJAX_CACHE_DIR to a folder on another disk" in message


def test_a_published_digest_is_compared(tmp_path, small, cache, shapes_for):
    folder = small.put_into(tmp_path / "model")
    digest = hashlib.sha256(small.weights_file.read_bytes()).hexdigest()
    load_stacked(folder, shapes_for, expected_sha256=digest)
    first = identity(only_file(cache))
    load_stacked(folder, shapes_for, expected_sha256=digest)
    assert identity(only_file(cache)) == first
    message = refused(folder, shapes_for, expected_sha256="0" * 64)
    assert f"SHA-256 {digest}, published {'0' * 64}" in message
    assert identity(only_file(cache)) == first


def test_refused_weights_leave_no_cache_file(tmp_path, small, cache, shapes_for):
    for number, contents in enumerate(
        (b"", b"cos\nsystem\n.", small.weights_file.read_bytes()[:-99])
    ):
        folder = small.put_into(tmp_path / str(number), contents)
        assert str(folder / "jax_model" / "pytree_ckpt.joblib") in refused(folder, shapes_for)
    assert not cache.exists()


def test_both_layouts_of_the_folder_are_found(tmp_path, small):
    nested = small.put_into(tmp_path / "nested")
    for folder in (nested, nested / "jax_model"):
        files = locate(folder)
        assert [file.name for file in files] == ["hyperparams.json", "pytree_ckpt.joblib"]
        assert all(file.parent == nested / "jax_model" for file in files)
    (nested / "jax_model").rename(tmp_path / "flat")
    assert all(file.parent == tmp_path / "flat" for file in locate(tmp_path / "flat"))
    assert all(file.parent == tmp_path / "flat" for file in locate(str(tmp_path / "flat")))


def test_folders_without_a_checkpoint_say_what_is_looked_for(tmp_path, small, shapes_for):
    message = refused(tmp_path, shapes_for)
    assert "put hyperparams.json and pytree_ckpt.joblib into" in message
    assert str(tmp_path / "jax_model") in message
    assert "there is no such folder" in refused(tmp_path / "absent", shapes_for)
    assert "is a file, not a folder" in refused(small.weights_file, shapes_for)
    folder = small.put_into(tmp_path / "model")
    (folder / "jax_model" / "pytree_ckpt.joblib").unlink()
    assert "has hyperparams.json but no pytree_ckpt.joblib" in refused(folder, shapes_for)


@pytest.mark.parametrize(
    ("contents", "remark"),
    [
        (b'{"k_for_kmers": 6,\n "embed_dim": }', "is not valid JSON (line 2)"),
        (b"", "is not valid JSON"),
        (b"\xff\xfe\x00", "is not valid JSON"),
        (b"[" * 100_000, "is not valid JSON"),
        (b"[1, 2]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
    ],
)
def test_wrong_hyperparameters_are_refused(tmp_path, small, cache, shapes_for, contents, remark):
    folder = small.put_into(tmp_path / "model")
    path = folder / "jax_model" / "hyperparams.json"
    path.write_bytes(contents)
    message = refused(folder, shapes_for)
    assert message.startswith(f"{path}: ")
    assert remark in message
