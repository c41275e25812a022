"""The bytes of a joblib file: memory-mapped if it is uncompressed, else decompressed."""

import bz2
import gzip
import importlib
import lzma
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from joblib.compressor import BinaryZlibFile

from ntjax.errors import UserError
from ntjax.io.files import format_bytes

_CHUNK = 1 << 24

# Trained weights hardly compress at all. A file that expands far beyond its own size is not one.
_EXPANSION = 20
_EXPANSION_ALLOWANCE = 1 << 28


def _open_lz4(file: BinaryIO) -> BinaryIO:
    try:
        frame = importlib.import_module("lz4.frame")
    except ImportError:
        raise UserError(
            f"{file.name}: is compressed with LZ4; run `pip install lz4` to read it"
        ) from None
    return frame.open(file)


# First bytes of the compressed formats joblib writes (joblib/compressor.py).
_DECOMPRESSORS: dict[bytes, Callable[[BinaryIO], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7zXZ": lzma.open,
    b"\x5d\x00": lzma.open,
    b"\x04\x22\x4d\x18": _open_lz4,
    b"\x78": BinaryZlibFile,
}

# What people hold instead of the weights when a download went another way than they think.
_NOT_WEIGHTS = {
    b"version https://git-lfs": "is a Git LFS pointer, not the weights; run `git lfs pull` in its "
    "folder, or download the file itself",
    b"<": "is a web page, not the weights; use the page's download button and put the file here",
    b"PK\x03\x04": "is a zip archive (PyTorch weights?), not a joblib file; take "
    "pytree_ckpt.joblib from the folder jax_model/",
    b"ZF": "was written by joblib 0.9 or older, which nothing official was; download it again",
    b"{": "is a JSON file, not the weights; download pytree_ckpt.joblib again",
}


def joblib_bytes(path: Path) -> memoryview:
    """The pickle in a joblib file, as read-only bytes.

    An uncompressed file is memory-mapped and costs no memory of its own. Compressed files (zlib,
    gzip, bz2, lzma, xz, lz4) are decompressed into memory.

    Raises `UserError` for an empty or unreadable file, one that is plainly something else, one
    that expands to more than weights can, and damaged compression.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
            if not head:
                raise UserError(f"{path}: is empty; download it again")
            for prefix, remark in _NOT_WEIGHTS.items():
                if head.startswith(prefix):
                    raise UserError(f"{path}: {remark}")
            file.seek(0)
            for prefix, opener in _DECOMPRESSORS.items():
                if head.startswith(prefix):
                    return _decompressed(opener(file), path)
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None


def _decompressed(stream: BinaryIO, path: Path) -> memoryview:
    limit = _EXPANSION * path.stat().st_size + _EXPANSION_ALLOWANCE
    contents = bytearray()
    try:
        while chunk := stream.read(_CHUNK):
            contents += chunk
            if len(contents) > limit:
                raise UserError(
                    f"{path}: expands to more than {format_bytes(limit)}, which weights do not; "
                    "it was not loaded: download it again"
                )
    except UserError:
        raise
    except MemoryError:
        raise UserError(
            f"{path}: does not fit in memory decompressed; rewrite it without compression "
            "(joblib.dump with compress=0), which is read without loading it"
        ) from None
    except Exception as error:  # each of the six formats has exceptions of its own
        raise UserError(
            f"{path}: is compressed and damaged or cut short ({type(error).__name__}); "
            "download it again"
        ) from None
    return memoryview(contents).toreadonly()
