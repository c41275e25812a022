"""Memory that a file occupies while it is mapped.

The pages of a memory-mapped file that have been read count as the process's memory (resident set),
and a limit on it, such as a batch system's, may end a process that has only read a large file.
"""

import mmap

import numpy as np


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
