"""What a checkpoint file may and may not make Python do."""

import bz2
import collections
import functools
import gzip
import io
import lzma
import os
import pickle
import pickletools
import random
import zlib

import haiku as hk
import jax.numpy as jnp
import joblib
import ml_dtypes
import numpy as np
import pytest

from ntjax.checkpoints.official import read_pytree, stack_parameters, vocabulary_size
from ntjax.checkpoints.unpickler import ArrayUnpickler
from ntjax.errors import UserError

WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")


class Call:
    """Pickles as a call of `function`, which a plain unpickler makes."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def touch(path):
    return Call(os.system, f"touch {path}")


def dumped(value, **options):
    file = io.BytesIO()
    joblib.dump(value, file, **options)
    return file.getvalue()


def refusal(path, contents):
    path.write_bytes(contents)
    with pytest.raises(UserError) as refused:
        read_pytree(path)
    message = str(refused.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def opcodes(value):
    """A value's pickle without header, memo and STOP, to be put into a larger one."""
    return pickletools.optimize(pickle.dumps(value, 2))[2:-1]


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


FLOAT32 = opcodes(np.dtype("f4"))
NDARRAY = name("numpy", "ndarray")
STATE = {
    "subclass": NDARRAY,
    "shape": opcodes((2,)),
    "order": opcodes("C"),
    "dtype": FLOAT32,
    "allow_mmap": b"\x88",
}


def wrapped_array(numbers=b"\0" * 8, **changes):
    """A checkpoint of one array as joblib writes it, with parts of its description replaced."""
    state = b"".join(opcodes(key) + value for key, value in (STATE | changes).items())
    description = name(*WRAPPER) + b")\x81}(" + state + b"ub"
    return _tree(description + numbers)


def _tree(leaf):
    return b"\x80\x02}" + opcodes("root/~/embed") + b"}" + opcodes("w") + leaf + b"ss."


def test_the_hand_made_checkpoint_is_a_checkpoint(tmp_path):
    path = tmp_path / "x.joblib"
    path.write_bytes(wrapped_array(np.float32([1, 2]).tobytes()))
    np.testing.assert_array_equal(read_pytree(path)["root/~/embed"]["w"], [1, 2])
    np.testing.assert_array_equal(joblib.load(path)["root/~/embed"]["w"], [1, 2])


HOSTILE = {
    "system": lambda marker: touch(marker),
    "eval": lambda marker: Call(eval, f"__import__('os').mkdir({str(marker)!r})"),
    "exec": lambda marker: Call(exec, f"import os; os.mkdir({str(marker)!r})"),
    "partial": lambda marker: Call(functools.partial, os.system, f"touch {marker}"),
    "mkdir": lambda marker: Call(os.mkdir, str(marker)),
    "importer": lambda marker: Call(__import__, "antigravity"),
    "getattr": lambda marker: Call(getattr, "x", "__class__"),
    "object array": lambda marker: np.array([touch(marker)], dtype=object),
    "nested object array": lambda marker: {"a": {"w": np.array([[touch(marker)]], dtype=object)}},
    "object array in a list": lambda marker: {"a": {"w": [np.array([touch(marker)], object)]}},
    "object field": lambda marker: np.array(
        [(1.0, touch(marker))], dtype=[("x", "f4"), ("y", "O")]
    ),
    "beside good arrays": lambda marker: {"a": {"w": np.ones(3)}, "b": touch(marker)},
    "as a key": lambda marker: {"a": {touch(marker): np.ones(3)}},
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 3)])
def test_hostile_files_are_refused_and_nothing_runs(tmp_path, kind, compress):
    marker = tmp_path / "executed"
    message = refusal(tmp_path / "x.joblib", dumped(HOSTILE[kind](marker), compress=compress))
    assert "NOT loaded" in message
    assert not marker.exists()


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_every_pickle_protocol_is_refused(tmp_path, protocol):
    marker = tmp_path / "executed"
    message = refusal(tmp_path / "x.joblib", pickle.dumps(touch(marker), protocol))
    assert f'"{os.system.__module__}.system"' in message
    assert not marker.exists()


def test_the_hostile_files_do_run_under_joblib(tmp_path):
    """Without this, the tests above could pass because the payload is a dud."""
    for kind in ("system", "eval", "exec", "mkdir", "nested object array", "object field"):
        marker = tmp_path / kind.replace(" ", "_")
        (tmp_path / "x.joblib").write_bytes(dumped(HOSTILE[kind](marker)))
        joblib.load(tmp_path / "x.joblib")
        assert marker.exists(), kind


@pytest.mark.parametrize(
    ("contents", "refused"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),
        (b"\x80\x02(cos\nsystem\nU\x04trueo.", "os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93)\x81.", "os.system"),
        (b"\x80\x02cnumpy\nload\n.", "numpy.load"),
        (b"\x80\x02cnumpy.f2py.compile\nx\n.", "numpy.f2py.compile.x"),
        (b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.", "numpy.ndarray.__class__"),
        (b"\x80\x02cjoblib.numpy_pickle\nNumpyUnpickler\n.", "NumpyUnpickler"),
        (b"\x80\x02cjoblib.numpy_pickle\nNDArrayWrapper\n)\x81}b.", "NDArrayWrapper"),
        (b"\x80\x02cjoblib.numpy_pickle_compat\nZNDArrayWrapper\n)\x81.", "ZNDArrayWrapper"),
        (b"\x80\x02cevil\x0cname\nx y\n.", r"evil\x0cname.x y"),
    ],
)
def test_the_refused_name_is_told(tmp_path, contents, refused):
    assert refused in refusal(tmp_path / "x.joblib", contents)


REFUSED_OPCODES = {
    "persistent identifier": b"\x80\x02Pid\n.",
    "binary persistent identifier": b"\x80\x02K\x01Q.",
    "extension registry": b"\x80\x02\x82\x01.",
    "extension registry, 4 bytes": b"\x80\x02\x84\x01\x00\x00\x00.",
    "constructor with keywords": b"\x80\x04cnumpy\nndarray\n)}\x92.",
    "set": b"\x80\x04\x8f(K\x01\x90.",
    "frozen set": b"\x80\x04(K\x01\x91.",
    "byte array": b"\x80\x05\x96\x01\x00\x00\x00\x00\x00\x00\x00x.",
    "external buffer": b"\x80\x05\x97.",
}


@pytest.mark.parametrize("kind", REFUSED_OPCODES)
def test_opcodes_that_weights_do_not_need_are_refused(tmp_path, kind):
    assert "pickle format" in refusal(tmp_path / "x.joblib", REFUSED_OPCODES[kind])


HOSTILE_DESCRIPTIONS = {
    "class that is a function": {"subclass": name("os", "system")},
    "class that is not an array": {"subclass": opcodes("numpy.ndarray")},
    "dtype that is text": {"dtype": opcodes("f4")},
    "dtype that is a class": {"dtype": NDARRAY},
    "dtype object": {"dtype": opcodes(np.dtype("O"))},
    "dtype with an object field": {"dtype": opcodes(np.dtype([("x", "O")]))},
    "dtype of text": {"dtype": opcodes(np.dtype("U3"))},
    "dtype of bytes": {"dtype": opcodes(np.dtype("V8"))},
    "dtype of dates": {"dtype": opcodes(np.dtype("M8[s]"))},
    "dtype from nested tuples": {"dtype": name("numpy", "dtype") + b"(" + b")\x85" * 9 + b"tR"},
    "state on a name": {"dtype": NDARRAY + b"}b"},
    "slots on a name": {"dtype": NDARRAY + b"N}" + opcodes("x") + b"K\x01s\x86b"},
    "negative shape": {"shape": opcodes((-1,))},
    "fractional shape": {"shape": opcodes((2.0,))},
    "shape of texts": {"shape": opcodes(("2",))},
    "shape that is a number": {"shape": opcodes(2)},
    "shape that is a list": {"shape": opcodes([2])},
    "shape of terabytes": {"shape": opcodes((1 << 40,))},
    "shape beyond 64 bits": {"shape": opcodes((1 << 70,))},
    "shape whose product overflows": {"shape": opcodes((1 << 40, 1 << 40))},
    "shape of many dimensions": {"shape": opcodes((1,) * 100)},
    "zero times too much": {"shape": opcodes((0,) + (1 << 40,) * 3)},
    "order": {"order": opcodes("K")},
    "order that is a name": {"order": NDARRAY},
    "alignment beyond the end": {"numpy_array_alignment_bytes": b"K\x10", "numbers": b"\xff" * 9},
}


@pytest.mark.parametrize("kind", HOSTILE_DESCRIPTIONS)
def test_hostile_array_descriptions_are_refused(tmp_path, kind):
    refusal(tmp_path / "x.joblib", wrapped_array(**HOSTILE_DESCRIPTIONS[kind]))


def test_hostile_numpy_and_jax_arrays_are_refused(tmp_path):
    start = name("numpy.core.multiarray", "_reconstruct")
    arguments = NDARRAY + opcodes((0,)) + b"C\x01b\x87"
    state = b"(K\x01" + opcodes((2,)) + FLOAT32 + b"\x89"
    path = tmp_path / "x.joblib"
    path.write_bytes(_tree(start + arguments + b"R" + state + b"C\x08" + b"\0" * 8 + b"tb"))
    np.testing.assert_array_equal(read_pytree(path)["root/~/embed"]["w"], [0, 0])
    for leaf in (
        start + arguments + b"R",  # announced but never filled in
        start + arguments + b"R" + state + b"C\x04\0\0\0\0tb",  # too few numbers
        start + arguments + b"R" + state + b"C\x08" + b"\0" * 8 + b"tb" + state + b"C\0tb",  # twice
        start + arguments + b"R" + state + b"](K\x01etb",  # numbers as a list of objects
        start + name("os", "system") + opcodes((0,)) + b"C\x01b\x87R",
        start + NDARRAY + b"\x85R",
        name("jax._src.array", "_reconstruct_array") + b"(" + name("os", "system") + b"tR",
        name("jax._src.array", "_reconstruct_array") + b"(" + start + b"NNNtR",
        name("collections", "OrderedDict") + b"K\x01\x85R",
        NDARRAY + opcodes(((1 << 40,),)) + b"R",
        NDARRAY + opcodes(((1 << 40,),)) + b"\x81",
        name("numpy", "dtype") + b")R",
    ):
        refusal(path, _tree(leaf))


def test_keys_that_take_for_ever_to_hash_are_refused(tmp_path):
    bomb = b"\x80\x02}K\x01" + b"2\x86" * 64 + b"K\x01s."
    refusal(tmp_path / "x.joblib", bomb)


@pytest.mark.parametrize(
    "value",
    [
        [np.ones(2)],
        np.ones(2),
        {},
        {"a": np.ones(2)},
        {"a": {"w": [1.0, 2.0]}},
        {"a": {"w": {"deeper": np.ones(2)}}},
        {"a": {1: np.ones(2)}},
        {1: {"w": np.ones(2)}},
        {"a": {"w": 1.0}},
        "text",
        None,
    ],
)
def test_other_structures_are_refused(tmp_path, value):
    assert "NOT loaded" in refusal(tmp_path / "x.joblib", dumped(value))


ARRAYS = {
    "float32": np.arange(6, dtype="f4").reshape(2, 3),
    "float16": np.arange(6, dtype="f2"),
    "float64": np.arange(6, dtype="f8").reshape(3, 2),
    "big-endian": np.arange(6, dtype=">f4").reshape(2, 3),
    "column-major": np.asfortranarray(np.arange(6, dtype="f4").reshape(2, 3)),
    "bfloat16": np.arange(6).astype(ml_dtypes.bfloat16),
    "jax": jnp.arange(6, dtype=jnp.float32).reshape(2, 3),
    "jax bfloat16": jnp.arange(6, dtype=jnp.bfloat16),
    "jax large": jnp.arange(40_000, dtype=jnp.float32).reshape(200, 200),
    "scalar array": np.array(3.5, dtype="f4"),
    "empty": np.zeros((0, 3), dtype="f4"),
    "integers": np.arange(6),
    "booleans": np.array([True, False]),
}


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("compress", [0, "zlib", "gzip", "bz2", "lzma", "xz"])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_arrays_equal_what_joblib_reads(tmp_path, kind, compress, protocol):
    path = tmp_path / "x.joblib"
    tree = {"root/~/embed": {"w": ARRAYS[kind], "again": ARRAYS[kind]}, "b": {"w": np.ones(5)}}
    path.write_bytes(dumped(tree, compress=compress, protocol=protocol))
    read = read_pytree(path)
    expected = joblib.load(path)
    for module, parameters in expected.items():
        for leaf_name, leaf in parameters.items():
            array = read[module][leaf_name]
            assert isinstance(array, np.ndarray)
            assert array.dtype.newbyteorder("=") == np.asarray(leaf).dtype
            np.testing.assert_array_equal(array, np.asarray(leaf))


def test_dictionary_types_haiku_has_used(tmp_path):
    plain = {"a/~/embed": {"w": np.ones(3)}}
    for tree in (
        hk.data_structures.to_immutable_dict(plain),
        collections.OrderedDict({"a/~/embed": collections.OrderedDict(w=np.ones(3))}),
    ):
        path = tmp_path / "x.joblib"
        path.write_bytes(dumped(tree))
        read = read_pytree(path)
        assert type(read) is dict
        assert type(read["a/~/embed"]) is dict
        np.testing.assert_array_equal(read["a/~/embed"]["w"], np.ones(3))


def test_uncompressed_files_are_read_without_copies():
    data = memoryview(bytearray(dumped({"a": {"w": np.zeros(7, "f4")}})))
    array = ArrayUnpickler(data).load()["a"]["w"]
    data[len(data) - len(dumped({})) - 40 :]  # (the numbers lie somewhere in `data`)
    before = array.copy()
    start = bytes(data).rindex(b"\0" * 28)
    data[start : start + 4] = np.float32(5).tobytes()
    assert before[0] == 0
    assert array[0] == 5


def outcome(path, contents, shapes):
    """Loads and stacks, or ends in a `UserError`; any other exception fails the test."""
    path.unlink(missing_ok=True)  # some filesystems flush a file that is truncated and rewritten
    path.write_bytes(contents)
    try:
        tree = read_pytree(path)
        vocabulary_size(tree, str(path))
        stack_parameters(tree, shapes, str(path))
    except UserError as error:
        message = str(error)
    else:
        return True
    assert "\n" not in message
    return False


def test_files_cut_short_are_refused(tmp_path, golden):
    contents = golden.weights_file.read_bytes()
    path = tmp_path / "x.joblib"
    cuts = {len(contents) * part // 20 for part in range(20)}
    cuts |= set(range(0, 300, 7)) | {len(contents) - back for back in (1, 2, 3, 5, 10, 100, 1000)}
    for cut in sorted(cuts):
        assert not outcome(path, contents[:cut], golden.shapes), cut


@pytest.mark.parametrize("compressed", [zlib.compress, gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files_cut_short_are_refused(tmp_path, small, compressed):
    contents = compressed(small.weights_file.read_bytes())
    path = tmp_path / "x.joblib"
    assert outcome(path, contents, small.shapes)
    for part in range(20):
        assert not outcome(path, contents[: len(contents) * part // 20], small.shapes), part


def test_flipped_bytes_never_crash(tmp_path, small):
    contents = small.weights_file.read_bytes()
    generator = random.Random(0)
    loaded = 0
    for _ in range(800):
        damaged = bytearray(contents)
        for _ in range(generator.choice((1, 1, 1, 5))):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        loaded += outcome(tmp_path / "x.joblib", bytes(damaged), small.shapes)
    assert 100 < loaded < 800  # most flips hit numbers, which no format can notice; some do not


def test_flips_in_the_description_of_an_array_never_crash(tmp_path):
    contents = dumped({"a/~/embed": {"embeddings": np.ones((4, 3), "f4")}})
    for position in range(len(contents)):
        for bit in range(8):
            damaged = bytearray(contents)
            damaged[position] ^= 1 << bit
            outcome(tmp_path / "x.joblib", bytes(damaged), {})


def test_random_pickles_never_crash(tmp_path):
    generator = random.Random(1)
    codes = [bytes([code]) for code in sorted(pickle._Unpickler.dispatch)]
    pieces = [name(*WRAPPER), NDARRAY, FLOAT32, opcodes((2,)), opcodes("w"), b")\x81", b"}", b"("]
    for _ in range(3000):
        parts = [
            generator.choice(pieces if generator.random() < 0.4 else codes)
            for _ in range(generator.randrange(1, 30))
        ]
        outcome(tmp_path / "x.joblib", b"\x80\x04" + b"".join(parts) + b".", {})
