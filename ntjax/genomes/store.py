"""Stores of nucleotides: one byte a letter, memory-mapped, with an index of the runs free of N.

A store is made once from a file, in pieces, and kept in the cache folder; what is read of it later
are the windows that are asked for. Memory does not depend on the genome's size.
"""

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.io.files import cache_folder
from ntjax.sequences.alphabet import UNKNOWN

# Raise this when the layout changes: older stores are then made again.
_FORMAT = "ntjax-genome-2"
_LETTERS_FILE, _INDEX_FILE, _STRETCHES_FILE = "letters.u8", "index.json", "stretches.npy"
# A store that was begun this long ago and is still no further was abandoned.
_ABANDONED_SECONDS = 3600


class Contig(NamedTuple):
    """A sequence of the file: its name, and its first and its behind-last place in the store."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Genome:
    """A store, open for reading.

    Attributes:
        path: the file it was made from.
        letters: uint8 [nucleotides], memory-mapped: 0 to 3 for A, T, C, G; 4 for anything else.
        contigs: in the order of the file.
        stretches: int64 [stretches, 2], first and behind-last place of every run of A, C, G and T;
            none reaches beyond its contig.
        windows_read: counts the windows, so that their memory is given back now and then.
    """

    path: Path
    letters: np.ndarray
    contigs: tuple[Contig, ...]
    stretches: np.ndarray
    windows_read: Iterator[int] = field(
        default_factory=lambda: itertools.count(1), init=False, repr=False, compare=False
    )

    @property
    def name(self) -> str:
        """The file's name without its endings."""
        return self.path.name.removesuffix(".gz").rpartition(".")[0] or self.path.name

    def contig_numbers(self, places: np.ndarray) -> np.ndarray:
        """Return the index in `contigs` of the one that holds each place, int64 [places]."""
        starts = np.array([contig.start for contig in self.contigs])
        return np.searchsorted(starts, places, side="right") - 1


class StoreWriter:
    """Writes the letters to a file and remembers where contigs and runs free of N lie."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._stretches: list[list[int]] = []
        self.contigs: list[Contig] = []
        self.letters = 0

    def begin_contig(self, name: str) -> None:
        """What is added from here on belongs to a new contig."""
        self.contigs.append(Contig(name, self.letters, self.letters))

    def add(self, codes: np.ndarray) -> None:
        """Append letters [nucleotides], uint8 0 to 4, to the contig that was begun last."""
        known = np.concatenate([[False], codes < UNKNOWN, [False]])
        runs = (np.flatnonzero(known[1:] != known[:-1]) + self.letters).reshape(-1, 2).tolist()
        contig = self.contigs[-1]
        touching = self._stretches and runs and self._stretches[-1][1] == runs[0][0]
        if touching and contig.start < runs[0][0]:  # within this contig, over the pieces' border
            self._stretches[-1][1] = runs.pop(0)[1]
        self._stretches += runs
        self._file.write(codes)
        self.letters += len(codes)
        self.contigs[-1] = contig._replace(end=self.letters)

    @property
    def stretches(self) -> np.ndarray:
        """As in `Genome`."""
        return np.array(self._stretches, np.int64).reshape(-1, 2)


def open_store(path: Path, kind: str, fill: Callable[[StoreWriter], None]) -> Genome:
    """The store of a file; made first if there is none.

    Arguments:
        path: the file.
        kind: how it is read; stores of different kinds live side by side.
        fill: reads the file into a store; it may raise UserError, and must add a letter.

    Raises:
        UserError: as `fill`, or the cache folder can't be written.
    """
    folder = _folder(path, kind)
    for _ in range(2):
        if genome := _read(path, folder):
            return genome
        _build(path, folder, fill)
    raise UserError(f"{folder}: changed while it was being read; run the command again")


def _folder(path: Path, kind: str) -> Path:
    """One for each state of each file: a file that has changed gets another."""
    status = path.stat()
    source = f"{_FORMAT} {kind} {path.resolve()} {status.st_size} {status.st_mtime_ns}"
    digest = hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest()
    return cache_folder() / "genomes" / digest[:24]


def _read(path: Path, folder: Path) -> Genome | None:
    """The store, or None if it is missing or damaged."""
    try:
        index = json.loads((folder / _INDEX_FILE).read_text())
        contigs = tuple(Contig(*contig) for contig in index["contigs"])
        stretches = np.load(folder / _STRETCHES_FILE)
        letters = np.memmap(folder / _LETTERS_FILE, np.uint8, "r")
        sound = (
            len(letters) == contigs[-1].end
            and stretches.shape == (index["stretches"], 2)
            and stretches.dtype == np.int64
            and stretches.max(initial=0) <= len(letters)
        )
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError):
        return None
    return Genome(path, letters, contigs, stretches) if sound else None


def _build(path: Path, folder: Path, fill: Callable[[StoreWriter], None]) -> None:
    """Write the store beside its place, then rename it."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    try:
        temporary.mkdir(parents=True)
        _remove_abandoned(folder.parent)
        _write(path, temporary, fill)
        if folder.exists() and _read(path, folder) is None:
            shutil.rmtree(folder)
        try:
            temporary.rename(folder)
        except OSError:
            if _read(path, folder) is None:  # else another process was faster
                raise
    except OSError as error:
        raise UserError(
            f"{folder}: the store of {path} cannot be written ({error.strerror or error}); free "
            "some space, or set NTJAX_CACHE_DIR to a folder on another disk"
        ) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(path: Path, folder: Path, fill: Callable[[StoreWriter], None]) -> None:
    with (folder / _LETTERS_FILE).open("wb") as file:
        writer = StoreWriter(file)
        fill(writer)
        file.flush()
        os.fsync(file.fileno())
    np.save(folder / _STRETCHES_FILE, writer.stretches)
    index = {
        "source": str(path.resolve()),
        "stretches": len(writer.stretches),
        "contigs": writer.contigs,
    }
    (folder / _INDEX_FILE).write_text(json.dumps(index))


def _remove_abandoned(folder: Path) -> None:
    """Delete what processes that were killed have left."""
    for temporary in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            newest = max(place.stat().st_mtime for place in (temporary, *temporary.iterdir()))
            if time.time() - newest > _ABANDONED_SECONDS:
                shutil.rmtree(temporary)
