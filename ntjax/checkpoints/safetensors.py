"""Safetensors files: streamed out tensor by tensor, memory-mapped back in.

The format (huggingface.co/docs/safetensors): eight bytes with the length of a JSON header, the
header, then the numbers of all tensors without gaps. Written here rather than by the
`safetensors` library for two reasons: the library wants every tensor in memory at once, and what
JAX takes without a copy must begin at a multiple of 64 bytes.
"""

import json
import math
import mmap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import ml_dtypes
import numpy as np

from ntjax.checkpoints.unpickler import printable
from ntjax.errors import UserError
from ntjax.io.files import written_atomically

Value = TypeVar("Value")

_ALIGNMENT = 64

# The library's own limit (safetensors/src/tensor.rs, MAX_HEADER_SIZE).
_MAXIMUM_HEADER = 100_000_000

# NumPy's limit on the dimensions of an array, and more than any one of them can be.
_MAXIMUM_DIMENSIONS = 64
_MAXIMUM_SIZE = 1 << 62

# What people hold instead of the file when a download went another way than they think.
_NOT_THE_FILE = {
    b"version https://git-lfs": "is a git-LFS pointer, not the file: run git lfs pull beside it",
    b"<!": "is a web page, not the file: use the page's download button",
    b"<html": "is a web page, not the file: use the page's download button",
}

_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is produced piece by piece when it is written.

    `chunks()` yields arrays that, one after the other in C order, are the tensor of `shape` and
    `dtype`; a stacked tensor `[layers, ...]` yields its layers.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: Callable[[], Iterable[np.ndarray]]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """The whole tensor in memory."""
        flat = [np.asarray(chunk, self.dtype).reshape(-1) for chunk in self.chunks()]
        array = np.concatenate(flat).reshape(self.shape)
        return array if dtype is None else array.astype(dtype, copy=False)


@dataclass(frozen=True)
class _Entry:
    """One tensor of the header: `end - start` bytes from `start`, counted after the header."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    start: int
    end: int


def flatten(tree: Mapping[str, Mapping[str, Value]]) -> dict[str, Value]:
    """`{module: {parameter: value}}` as `{module/parameter: value}`, the names in a file.

    >>> flatten({"nt/layers/query": {"w": 1, "b": 2}})
    {'nt/layers/query/w': 1, 'nt/layers/query/b': 2}
    """
    return {
        f"{module}/{name}": value
        for module, parameters in tree.items()
        for name, value in parameters.items()
    }


def unflatten(tensors: Mapping[str, Value]) -> dict[str, dict[str, Value]]:
    """The inverse of `flatten`: a name is split at its last slash.

    >>> unflatten({"nt/layers/query/w": 1, "nt/layers/query/b": 2})
    {'nt/layers/query': {'w': 1, 'b': 2}}
    """
    tree: dict[str, dict[str, Value]] = {}
    for path, value in tensors.items():
        module, _, name = path.rpartition("/")
        tree.setdefault(module, {})[name] = value
    return tree


def write(
    path: Path,
    tensors: Mapping[str, LazyTensor | np.ndarray],
    metadata: Mapping[str, str] | None = None,
    remedy: str = "free some space, or write to another disk",
) -> None:
    """Write `tensors` to `path`, whole or not at all, holding one chunk in memory at a time.

    The data begin at a multiple of 64 bytes, and so does every tensor whose predecessors' sizes
    allow it (the format forbids gaps): tensors are ordered by how well their size keeps the
    alignment, which leaves at most the odd bias vector unaligned.

    Raises `UserError` if the disk is full or the folder cannot be written (`remedy` says what to
    do then), `ValueError` for a dtype the format does not have.
    """
    entries = _layout(tensors)
    header = _header(entries, metadata or {})
    size = len(header) + (entries[-1].end if entries else 0)
    with written_atomically(Path(path), size, remedy) as file:
        file.write(header)
        for entry in entries:
            written = 0
            for chunk in _chunks(tensors[entry.name]):
                written += file.write(_little_endian_bytes(chunk, entry.dtype))
            if written != entry.end - entry.start:
                raise ValueError(f"{entry.name}: {written} bytes do not make {entry.shape}")


def _layout(tensors: Mapping[str, LazyTensor | np.ndarray]) -> list[_Entry]:
    """Names, types and places of the tensors in the order in which they are written."""
    sizes = {
        name: math.prod(tensor.shape) * np.dtype(tensor.dtype).itemsize
        for name, tensor in tensors.items()
    }
    entries, start = [], 0
    for name in sorted(sizes, key=lambda name: (-math.gcd(sizes[name], _ALIGNMENT), name)):
        dtype = np.dtype(tensors[name].dtype).newbyteorder("<")
        if dtype not in _NAMES:
            raise ValueError(f"{name}: safetensors has no dtype {dtype}")
        end = start + sizes[name]
        entries.append(_Entry(name, dtype, tuple(tensors[name].shape), start, end))
        start = end
    return entries


def _header(entries: Iterable[_Entry], metadata: Mapping[str, str]) -> bytes:
    """The length and the JSON header, padded with spaces up to the alignment."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    for entry in entries:
        header[entry.name] = {
            "dtype": _NAMES[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": [entry.start, entry.end],
        }
    text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-(8 + len(text)) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _chunks(tensor: LazyTensor | np.ndarray) -> Iterable[np.ndarray]:
    return tensor.chunks() if isinstance(tensor, LazyTensor) else (np.asarray(tensor),)


def _little_endian_bytes(array: np.ndarray, dtype: np.dtype) -> memoryview:
    """The numbers of `array` in C order; no copy if they lie so already."""
    return np.ascontiguousarray(array, dtype).reshape(-1).view(np.uint8).data


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors and the metadata of a safetensors file.

    The arrays are read-only views of one memory map: nothing is read until it is used, and the
    file may be replaced or deleted meanwhile.

    Raises `UserError` if the file cannot be opened, is cut short, or its header does not
    describe it exactly.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError:  # what mmap says of an empty file
        raise UserError(f"{path}: is empty; write or download it again") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    try:
        return _parsed(data)
    except _DamagedError as error:
        start = bytes(data[:64]).lstrip().lower()
        for prefix, remark in _NOT_THE_FILE.items():
            if start.startswith(prefix):
                raise UserError(f"{path}: {remark}") from None
        raise UserError(
            f"{path}: is not a complete safetensors file ({error}); write or download it again"
        ) from None


class _DamagedError(Exception):
    """What is wrong with a file, in a few words."""


def _parsed(data: memoryview) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(len(data) - 8, _MAXIMUM_HEADER):
        raise _DamagedError(f"its header would need {length} bytes, it has {len(data)}")
    header = _json_object(bytes(data[8 : 8 + length]))
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(type(v) is str for v in metadata.values()):
        raise _DamagedError("its metadata are not texts")
    entries = sorted((_entry(*item) for item in header.items()), key=lambda e: (e.start, e.end))
    expected = 0
    for entry in entries:
        if entry.start != expected:
            raise _DamagedError(f"gap or overlap before tensor {printable(entry.name)}")
        expected = entry.end
    if expected != len(data) - 8 - length:
        raise _DamagedError(f"{len(data) - 8 - length} bytes of numbers, {expected} announced")
    return {entry.name: _array(data, 8 + length, entry) for entry in entries}, metadata


def _json_object(text: bytes) -> dict[str, object]:
    try:
        header = json.loads(text, object_pairs_hook=_unrepeated)
    except (ValueError, RecursionError):
        raise _DamagedError("its header is not JSON") from None
    if not isinstance(header, dict):
        raise _DamagedError("its header is not a JSON object")
    return header


def _unrepeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _DamagedError("a name stands twice in its header")
    return result


def _entry(name: str, description: object) -> _Entry:
    """One item of the header, checked by itself."""
    match description:
        case {"dtype": str() as dtype, "shape": [*shape], "data_offsets": [start, end]} if all(
            type(number) is int and 0 <= number < _MAXIMUM_SIZE for number in (*shape, start, end)
        ):
            pass
        case _:
            raise _DamagedError(f"tensor {printable(name)} is described wrongly")
    if len(shape) > _MAXIMUM_DIMENSIONS:
        raise _DamagedError(f"tensor {printable(name)} has {len(shape)} dimensions")
    if dtype not in _DTYPES:
        raise _DamagedError(f"tensor {printable(name)} has an unknown type {printable(dtype)}")
    if end - start != math.prod(shape) * _DTYPES[dtype].itemsize:
        raise _DamagedError(f"tensor {printable(name)} has a size that is not its shape's")
    return _Entry(name, _DTYPES[dtype], tuple(shape), start, end)


def _array(data: memoryview, offset: int, entry: _Entry) -> np.ndarray:
    count = math.prod(entry.shape)
    # NumPy accepts no offset at the very end of a buffer, where an empty tensor may begin.
    flat = np.frombuffer(data, entry.dtype, count, offset + entry.start) if count else np.empty(0)
    try:
        return flat.astype(entry.dtype, copy=False).reshape(entry.shape)
    except ValueError:  # a size of zero among others whose product no array can have
        raise _DamagedError(f"tensor {printable(entry.name)} has an impossible shape") from None
