"""Files on disk: written whole or not at all, memory-mapped without a growing process, cached.

The pages of a memory-mapped file that have been read count as the process's memory (resident set),
and a limit on it, such as a batch system's, may end a process that has only read a large file.
"""

import contextlib
import errno
import mmap
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ntjax.errors import UserError

ANOTHER_CACHE = "set NTJAX_CACHE_DIR to a folder on another disk"
"""What to do when the cache folder cannot hold a file."""

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def format_bytes(count: int) -> str:
    """A file size as people read it, in units of 1000: `10.19 GB`."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} bytes"


@contextlib.contextmanager
def written_atomically(
    path: Path, size: int, remedy: str = "free some space, or write to another disk"
) -> Iterator[BinaryIO]:
    """A new file that takes `path`'s place when the block ends without an error.

    The bytes go to a temporary file of a unique name in the same folder, are flushed to the disk,
    and are then renamed, so that readers, and other processes that write the same file, never see
    a part of it. `size`: the bytes about to be written, checked against the free space first.
    `remedy`: what a user should do if there is no room.

    Raises `UserError` if the folder cannot be written or the disk is full; the temporary file is
    then gone and whatever stood at `path` is as it was.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise UserError(_explained(error, path, size, remedy)) from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file that appears whole or not at all.

    Raises:
        UserError: as `written_atomically`.
    """
    with written_atomically(path, len(data)) as file:
        file.write(data)


def check_writable(folder: Path) -> None:
    """Refuse a folder that cannot be written, or cannot be made, before any time is spent.

    Raises:
        UserError: names the folder, or the one that it would be made in.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        problem = "is read-only" if existing.is_dir() else "is a file"
        raise UserError(f"{folder}: cannot be written, since {existing} {problem}: give another")


def _explained(error: OSError, path: Path, size: int, remedy: str) -> str:
    if error.errno not in _NO_SPACE:
        return f"{path}: cannot be written ({error.strerror or error}); {remedy}"
    free = format_bytes(shutil.disk_usage(path.parent).free)
    return f"{path}: disk full: needs {format_bytes(size)} in {path.parent}, {free} free; {remedy}"


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut, where the system lets folders be flushed."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def release(array: np.ndarray) -> None:
    """Give back the memory behind a memory-mapped array; of any other array nothing changes.

    The array stays valid: what is read of it again comes from the system's file cache or the disk.
    """
    mapped = _mapping(array)
    if mapped is None or not array.flags.forc or not hasattr(mmap, "MADV_DONTNEED"):
        return
    start = array.ctypes.data - np.frombuffer(mapped, np.uint8).ctypes.data
    first = start - start % mmap.PAGESIZE
    if array.nbytes:
        mapped.madvise(mmap.MADV_DONTNEED, first, start + array.nbytes - first)


def _mapping(array: np.ndarray) -> mmap.mmap | None:
    """The memory map that an array is a view of."""
    base = array
    while isinstance(base, np.ndarray):
        base = base.base
    owner = base.obj if isinstance(base, memoryview) else base
    return owner if isinstance(owner, mmap.mmap) else None


def cache_folder() -> Path:
    """Return the folder of what is made once and used again: converted weights, genome stores.

    `NTJAX_CACHE_DIR`, else `$XDG_CACHE_HOME/ntjax`, else `~/.cache/ntjax`.

    Raises:
        UserError: there is no home folder.
    """
    if folder := os.environ.get("NTJAX_CACHE_DIR"):
        return Path(folder).expanduser().absolute()
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder).expanduser().absolute() / "ntjax"
    try:
        return Path.home() / ".cache" / "ntjax"
    except RuntimeError:  # no HOME and no entry in the password file
        raise UserError(
            f"there is no home folder to keep converted weights in; {ANOTHER_CACHE}"
        ) from None
