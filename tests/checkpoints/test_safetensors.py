"""Files that the `safetensors` library reads, and the other way round."""

import json
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from ntjax.checkpoints.safetensors import LazyTensor, flatten, read, unflatten, write
from ntjax.errors import UserError

GENERATOR = np.random.default_rng(0)
TENSORS = {
    "a/matrix": GENERATOR.normal(size=(7, 16)).astype(np.float32),
    "a/odd": GENERATOR.normal(size=75).astype(np.float32),
    "b/half": GENERATOR.normal(size=(3, 5)).astype(np.float16),
    "b/double": GENERATOR.normal(size=(2, 3, 4)),
    "b/long": np.arange(-5, 6),
    "b/bytes": np.arange(9, dtype=np.uint8),
    "b/flags": np.array([True, False, True]),
    "c/scalar": np.array(2.5, np.float32),
    "c/empty": np.zeros((0, 4), np.float32),
    "c/column-major": np.asfortranarray(GENERATOR.normal(size=(3, 4)).astype(np.float32)),
    "c/big-endian": np.arange(4, dtype=">f4"),
}
BFLOAT16 = np.linspace(-3, 3, 14).astype(ml_dtypes.bfloat16).reshape(2, 7)


def header_of(path):
    contents = path.read_bytes()
    length = int.from_bytes(contents[:8], "little")
    return json.loads(contents[8 : 8 + length]), 8 + length


def damaged(path, contents):
    path.write_bytes(contents)
    with pytest.raises(UserError) as raised:
        read(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)
    return str(raised.value)


def with_header(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "is a git-LFS pointer"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"\n<HTML><head>", "is a web page"),
    ],
    ids=["pointer", "page", "page-old"],
)
def test_downloads_that_are_something_else(contents, message, tmp_path):
    assert message in damaged(tmp_path / "x.safetensors", contents)


def test_a_header_that_begins_like_a_web_page(tmp_path):
    # The first byte, part of a length, is "<", the second "!".
    length = int.from_bytes(b"<!", "little")
    contents = length.to_bytes(8, "little") + b"{}".ljust(length)
    (tmp_path / "x.safetensors").write_bytes(contents)
    assert read(tmp_path / "x.safetensors") == ({}, {})


def test_the_library_reads_what_is_written(tmp_path):
    path = tmp_path / "x.safetensors"
    write(path, TENSORS, {"format": "np", "note": "σ70"})
    loaded = safetensors.numpy.load_file(path)
    assert set(loaded) == set(TENSORS)
    for name, expected in TENSORS.items():
        np.testing.assert_array_equal(loaded[name], expected)
        assert loaded[name].dtype == expected.dtype.newbyteorder("=")
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == {"format": "np", "note": "σ70"}


def test_what_the_library_writes_is_read(tmp_path):
    path = tmp_path / "x.safetensors"
    tensors = {name: np.ascontiguousarray(array) for name, array in TENSORS.items()}
    del tensors["c/big-endian"]
    tensors["bfloat16"] = BFLOAT16
    safetensors.numpy.save_file(tensors, path, {"key": "value"})
    loaded, metadata = read(path)
    assert metadata == {"key": "value"}
    assert set(loaded) == set(tensors)
    for name, expected in tensors.items():
        np.testing.assert_array_equal(loaded[name], expected)
        assert loaded[name].dtype == expected.dtype
        assert loaded[name].shape == expected.shape


def test_bfloat16_goes_both_ways(tmp_path):
    path = tmp_path / "x.safetensors"
    write(path, {"w": BFLOAT16})
    assert header_of(path)[0]["w"]["dtype"] == "BF16"
    np.testing.assert_array_equal(read(path)[0]["w"], BFLOAT16)
    np.testing.assert_array_equal(safetensors.numpy.load_file(path)["w"], BFLOAT16)


def test_numbers_begin_at_multiples_of_64_bytes(tmp_path):
    path = tmp_path / "x.safetensors"
    shapes = {"a": (75,), "b": (16, 75), "c": (16, 4), "d": (3, 16), "e": (32,), "f": (75, 16)}
    write(path, {name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    header, start = header_of(path)
    assert start % 64 == 0
    assert all(entry["data_offsets"][0] % 64 == 0 for entry in header.values())
    for array in read(path)[0].values():
        assert array.__array_interface__["data"][0] % 64 == 0
    write(path, TENSORS)  # tensors of any size still begin at a multiple of their item's
    for name, array in read(path)[0].items():
        assert array.flags.aligned, name


def test_reading_copies_nothing(tmp_path):
    path = tmp_path / "x.safetensors"
    write(path, {"w": np.zeros(64, np.float32)})
    array = read(path)[0]["w"]
    assert not array.flags.writeable
    assert not array.flags.owndata
    with path.open("r+b") as file:  # a map of the file shows what is written to it
        file.seek(header_of(path)[1])
        file.write(np.float32(7).tobytes())
    assert array[0] == 7


def test_lazy_tensors_are_written_chunk_by_chunk(tmp_path):
    alive = []

    def layers():
        for layer in range(4):
            alive.append(layer)
            yield np.full((2, 3), layer, np.float64)

    lazy = LazyTensor((4, 2, 3), np.dtype(np.float32), layers)
    path = tmp_path / "x.safetensors"
    write(path, {"w": lazy})
    assert alive == [0, 1, 2, 3]
    expected = np.repeat(np.arange(4, dtype=np.float32), 6).reshape(4, 2, 3)
    np.testing.assert_array_equal(safetensors.numpy.load_file(path)["w"], expected)
    np.testing.assert_array_equal(np.asarray(lazy), expected)


def test_chunks_that_do_not_fit_the_shape_leave_no_file(tmp_path):
    lazy = LazyTensor((4, 3), np.dtype(np.float32), lambda: [np.zeros(3, np.float32)] * 3)
    with pytest.raises(ValueError, match="36 bytes do not make"):
        write(tmp_path / "x.safetensors", {"w": lazy})
    assert not list(tmp_path.iterdir())


def test_unknown_dtypes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no dtype complex64"):
        write(tmp_path / "x.safetensors", {"w": np.zeros(3, np.complex64)})
    assert not list(tmp_path.iterdir())


def test_a_file_without_tensors(tmp_path):
    path = tmp_path / "x.safetensors"
    write(path, {}, {"only": "metadata"})
    assert read(path) == ({}, {"only": "metadata"})
    assert safetensors.numpy.load_file(path) == {}


def test_trees_are_flattened_at_the_last_slash():
    tree = {"a/b": {"w": 1, "b": 2}, "c": {"w": 3}}
    assert flatten(tree) == {"a/b/w": 1, "a/b/b": 2, "c/w": 3}
    assert unflatten(flatten(tree)) == tree


def test_files_cut_short_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    write(path, TENSORS, {"key": "value"})
    contents = path.read_bytes()
    for cut in range(0, len(contents), 13):
        damaged(path, contents[:cut])
    damaged(path, contents[:-1])
    damaged(path, contents + b"\0")


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "header",
    [
        b"not JSON",
        b"[]",
        b"[" * 100_000,
        b'{"w":{},"w":{}}',
        b"\xff\xfe",
        {"w": ENTRY | {"dtype": "F12"}},
        {"w": ENTRY | {"dtype": 3}},
        {"w": ENTRY | {"shape": [3]}},
        {"w": ENTRY | {"shape": [-2]}},
        {"w": ENTRY | {"shape": [2.0]}},
        {"w": ENTRY | {"shape": [True, 2]}},
        {"w": ENTRY | {"shape": "2"}},
        {"w": ENTRY | {"shape": [1] * 65 + [2]}},
        {"w": ENTRY | {"shape": [1 << 61] * 4 + [0], "data_offsets": [0, 0]}},
        {"w": ENTRY | {"data_offsets": [0, 4]}},
        {"w": ENTRY | {"data_offsets": [8, 0]}},
        {"w": ENTRY | {"data_offsets": [8, 16]}},
        {"w": ENTRY | {"data_offsets": [0]}},
        {"w": ENTRY | {"data_offsets": [0, 10**30]}},
        {"w": ENTRY, "v": ENTRY},
        {"w": ENTRY, "v": ENTRY | {"data_offsets": [4, 12]}},
        {"w": None},
        {"w": {}},
        {"w": ENTRY, "__metadata__": {"a": 1}},
        {"w": ENTRY, "__metadata__": []},
        {},
    ],
)
def test_wrong_headers_are_refused(tmp_path, header):
    damaged(tmp_path / "x.safetensors", with_header(header, b"\0" * 8))


def test_impossible_header_lengths_are_refused(tmp_path):
    for length in (1 << 63, (1 << 64) - 1, 100, 9):
        damaged(tmp_path / "x", length.to_bytes(8, "little") + b"{}      ")


def test_absent_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read(tmp_path / "absent")


LIMITED = """
import resource, sys
import numpy as np
from pathlib import Path
from ntjax.checkpoints.safetensors import write
from ntjax.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    write(Path(sys.argv[1]), {"w": np.zeros(1 << 20, np.float32)}, remedy="do something else")
except UserError as error:
    print(error)
"""


def test_a_disk_that_fills_while_writing(tmp_path):
    """The kernel refuses to let the file grow past a megabyte, as a full disk or a quota would."""
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"earlier result")
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, path], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith(f"{path}: disk full: needs 4.19 MB in {tmp_path}, ")
    assert result.stdout.endswith("do something else\n")
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == b"earlier result"


def test_a_disk_without_room_is_noticed_before_writing(tmp_path):
    """More than any disk has; were it begun, the chunks would end the test with an error."""

    def chunks():
        raise AssertionError("writing began")
        yield

    lazy = LazyTensor((1 << 58,), np.dtype(np.float32), chunks)
    with pytest.raises(
        UserError, match=r"disk full: needs 1152921504\.\d\d GB in .* GB free; free"
    ):
        write(tmp_path / "x.safetensors", {"w": lazy})
    assert not list(tmp_path.iterdir())


def test_interrupted_writing_leaves_no_file(tmp_path):
    def chunks():
        yield np.zeros(3, np.float32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "x", {"w": LazyTensor((6,), np.dtype(np.float32), chunks)})
    assert not list(tmp_path.iterdir())
