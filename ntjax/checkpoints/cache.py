"""Official weights, converted once to a file that memory-maps, and read from there ever after.

Unpickling a model of 10 GB, checking and stacking it takes a minute; mapping the result takes a
millisecond and no memory. One file per checkpoint lies in the cache folder (`NTJAX_CACHE_DIR`,
else `$XDG_CACHE_HOME/ntjax`, else `~/.cache/ntjax`). It records what it was made from and is made
again when that changes.
"""

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ntjax.checkpoints import safetensors
from ntjax.checkpoints.official import (
    HYPERPARAMETERS_FILE,
    WEIGHTS_FILE,
    Shapes,
    Tree,
    read_pytree,
    stack_parameters,
    vocabulary_size,
)
from ntjax.errors import UserError
from ntjax.io.files import ANOTHER_CACHE, cache_folder

# Raise this when the layout of the cached tree changes: older files are then made again.
_FORMAT = "ntjax-stacked-1"

_EMBEDDING = ("nucleotide_transformer/embed", "embeddings")

# A conversion that has written nothing for this long was killed; its temporary file is removed.
_ABANDONED_SECONDS = 3600

_logger = logging.getLogger(__name__)

ShapesFor = Callable[[dict[str, object], int], Shapes]
LazyTree = dict[str, dict[str, safetensors.LazyTensor]]


class Stacked(NamedTuple):
    """A checkpoint as it lies in the cache; `sha256` is that of the files it was made from."""

    hyperparameters: dict[str, object]
    vocabulary_size: int
    parameters: Tree
    sha256: str


def load_stacked(
    folder: Path, shapes_for: ShapesFor, expected_sha256: str | None = None
) -> Stacked:
    """The hyperparameters, vocabulary size and stacked float32 parameters of a checkpoint.

    Arguments:
        folder: holds `jax_model/`, or is it, or holds `hyperparams.json` and
            `pytree_ckpt.joblib` under any name of its own.
        shapes_for: the parameters' shapes, from the hyperparameters and the vocabulary size.
        expected_sha256: of `pytree_ckpt.joblib`, if known; compared when it is converted.

    The arrays are read-only views of a memory map of the cached file.

    Raises `UserError` if a file is missing, damaged or not what it should be, the parameters do
    not fit `shapes_for`, or the cache folder cannot be written.
    """
    hyperparameters_file, weights_file = locate(folder)
    hyperparameters = read_hyperparameters(hyperparameters_file)

    def stacked() -> LazyTree:
        official = read_pytree(weights_file)
        shapes = shapes_for(hyperparameters, vocabulary_size(official, str(weights_file)))
        return stack_parameters(official, shapes, str(weights_file))

    return through_cache((weights_file,), hyperparameters, shapes_for, stacked, expected_sha256)


def through_cache(
    weights_files: tuple[Path, ...],
    hyperparameters: dict[str, object],
    shapes_for: ShapesFor,
    stacked: Callable[[], LazyTree],
    expected_sha256: str | None = None,
) -> Stacked:
    """What the cache holds of these weights, written there first if need be.

    Arguments:
        weights_files: all that the weights are read from; what is cached is made again when one
            of them changes.
        hyperparameters, shapes_for, expected_sha256: as for `load_stacked`; the SHA-256 is that
            of the files one after the other.
        stacked: reads and checks the weights; called only if the cache does not hold them.

    Raises `UserError` as `load_stacked` does.
    """
    cached = _cache_file(weights_files[0])
    fingerprint = _fingerprint(weights_files, hyperparameters)
    if expected_sha256 is not None:
        fingerprint["source_sha256"] = expected_sha256
    loaded = _read_current(cached, fingerprint, hyperparameters, shapes_for)
    if loaded is None:
        _convert(weights_files, cached, fingerprint, stacked)
        loaded = _read_current(cached, fingerprint, hyperparameters, shapes_for)
    if loaded is None:
        raise UserError(f"{cached}: changed while it was being written; run the command again")
    return loaded


def locate(folder: Path) -> tuple[Path, Path]:
    """The two files of a checkpoint in `folder` or in `folder/jax_model`.

    Raises `UserError` that says which files are looked for and where.
    """
    folder = Path(folder).expanduser()
    names = (HYPERPARAMETERS_FILE, WEIGHTS_FILE)
    both = " and ".join(names)
    if not os.path.isdir(folder):
        problem = "is a file, not a folder" if os.path.exists(folder) else "there is no such folder"
        raise UserError(f"{folder}: {problem}; pass the folder that holds jax_model/ with {both}")
    for place in (folder / "jax_model", folder):
        present = [name for name in names if os.path.isfile(place / name)]
        if len(present) == 2:
            return place / names[0], place / names[1]
        if present:
            (missing,) = set(names) - set(present)
            raise UserError(f"{place}: has {present[0]} but no {missing}; put both files there")
    raise UserError(f"{folder}: holds no checkpoint; put {both} into {folder / 'jax_model'}")


def read_hyperparameters(path: Path) -> dict[str, object]:
    """The object in a `hyperparams.json`; `UserError` if it is not one JSON object."""
    try:
        hyperparameters = json.loads(path.read_bytes()[: 1 << 20])
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError) as error:
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(f"{path}: is not valid JSON{where}; download it again") from None
    if not isinstance(hyperparameters, dict):
        raise UserError(f"{path}: is not a JSON object ({{...}}); download it again")
    return hyperparameters


def _cache_file(weights_file: Path) -> Path:
    """One file per checkpoint's path, so that what becomes outdated is replaced, not left over."""
    source = str(weights_file.resolve())
    digest = hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest()
    return cache_folder() / f"{digest[:24]}.safetensors"


def _fingerprint(
    weights_files: tuple[Path, ...], hyperparameters: dict[str, object]
) -> dict[str, str]:
    """What a cached file must say it was made from to be used."""
    statuses = [file.stat() for file in weights_files]
    canonical = json.dumps(hyperparameters, sort_keys=True).encode()
    return {
        "format": _FORMAT,
        "source": " ".join(ascii(str(file.resolve())) for file in weights_files),
        "source_size": " ".join(str(status.st_size) for status in statuses),
        "source_mtime_ns": " ".join(str(status.st_mtime_ns) for status in statuses),
        "hyperparameters_sha256": hashlib.sha256(canonical).hexdigest(),
    }


def _read_current(
    cached: Path,
    fingerprint: dict[str, str],
    hyperparameters: dict[str, object],
    shapes_for: ShapesFor,
) -> Stacked | None:
    """What `cached` holds, or None if it is absent, damaged or outdated."""
    if not os.path.isfile(cached):
        return None
    try:
        tensors, metadata = safetensors.read(cached)
    except UserError as error:
        _logger.warning("%s; converting the weights again", error)
        return None
    if fingerprint.items() - metadata.items() or "source_sha256" not in metadata:
        return None
    tree: Tree = safetensors.unflatten(tensors)
    module, name = _EMBEDDING
    if name not in tree.get(module, {}):
        return None
    vocabulary = len(tree[module][name])
    shapes = safetensors.flatten(shapes_for(hyperparameters, vocabulary))
    expected = {name: (tuple(shape), np.dtype(np.float32)) for name, shape in shapes.items()}
    if {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()} != expected:
        return None
    return Stacked(hyperparameters, vocabulary, tree, metadata["source_sha256"])


def _convert(
    weights_files: tuple[Path, ...],
    cached: Path,
    fingerprint: dict[str, str],
    stacked: Callable[[], LazyTree],
) -> None:
    """Check the weights and write them, stacked, to `cached`."""
    first = weights_files[0]
    _logger.info("converting %s (once); the result is kept in %s", first, cached)
    digest = sha256(*weights_files)
    expected = fingerprint.get("source_sha256", digest)
    if digest != expected:
        raise UserError(
            f"{first}: was damaged on the way (SHA-256 {digest}, published {expected}); "
            "delete it and download it again"
        )
    tree = stacked()
    metadata = fingerprint | {"source_sha256": digest}
    _remove_abandoned(cached)
    safetensors.write(cached, safetensors.flatten(tree), metadata, ANOTHER_CACHE)


def sha256(*paths: Path) -> str:
    """The SHA-256 of a file's contents, or of several one after the other, in hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                hashlib.file_digest(file, lambda: digest)
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
    return digest.hexdigest()


def _remove_abandoned(cached: Path) -> None:
    """Delete what conversions of this checkpoint that were killed have left in the cache."""
    for temporary in cached.parent.glob(f".{cached.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - temporary.stat().st_mtime > _ABANDONED_SECONDS:
                temporary.unlink()
