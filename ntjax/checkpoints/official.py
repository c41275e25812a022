"""The official format: one pickled dictionary of arrays per model, layer by layer.

A folder `jax_model/` holds `hyperparams.json` and `pytree_ckpt.joblib`; the latter is
`{module: {parameter: array}}` under Haiku's names. The names changed between releases
(`esm_transformer/.../mha`, later `.../self_attention`; instadeepai/nucleotide-transformer,
nucleotide_transformer/pretrained.py), and so did the name of the root module. Here both are read,
checked against the shapes the hyperparameters call for, and the layers stacked along a new first
axis, which is how the model scans over them:

    nucleotide_transformer/layers/query    w [layers, dim, heads * key_dim]
"""

import contextlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib.numpy_pickle import NumpyPickler

from ntjax.checkpoints.joblib_file import joblib_bytes
from ntjax.checkpoints.safetensors import LazyTensor
from ntjax.checkpoints.unpickler import ArrayUnpickler, RefusedFileError, printable
from ntjax.errors import UserError
from ntjax.io.files import format_bytes, release, written_atomically

Tree = dict[str, dict[str, np.ndarray]]
Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]

HYPERPARAMETERS_FILE = "hyperparams.json"
WEIGHTS_FILE = "pytree_ckpt.joblib"

# Written by us: the first release's names, which every release of the official code reads (it
# renames this root and these parts to whatever it has come to call them).
_ROOT = "esm_transformer"
_MODERN = {
    "mha": "self_attention",
    "mha_layer_norm": "self_attention_layer_norm",
    "esm_roberta_lm_head": "roberta_lm_head",
}
_LEGACY = {modern: legacy for legacy, modern in _MODERN.items()}

_HEAD = ("emb_layer_norm_after", "lm_head_fc_1", "lm_head_layer_norm", "lm_final_fc")
_ATTENTION = ("query", "key", "value", "mha_output")

_LISTED = 20
_REMEDY = (
    f"check that {HYPERPARAMETERS_FILE} and {WEIGHTS_FILE} are of the same model, or download both "
    "again"
)


def read_pytree(path: Path) -> Tree:
    """The parameters in an official checkpoint file, `{module: {parameter: array}}`.

    Nothing the file names is ever run (`ntjax.checkpoints.unpickler`). The arrays of an
    uncompressed file are read-only views of a memory map and cost no memory until they are used.

    Raises `UserError` if the file asks for anything but arrays, is damaged or cut short, or is
    something else.
    """
    path = Path(path)
    data = joblib_bytes(path)
    try:
        return ArrayUnpickler(data).load()
    except RefusedFileError as error:
        raise UserError(
            f"{path}: {error}; it was NOT loaded and nothing in it was run: download it again "
            "from the model's official page, and if the official file is refused, report this "
            "message to the ntjax project"
        ) from None
    except EOFError:
        problem = "ends too early, so it was cut short or is damaged"
    except Exception as error:  # bytes that are no pickle can raise almost anything in pickle
        problem = f"is damaged or is not a joblib file ({type(error).__name__})"
    raise UserError(
        f"{path}: {problem}; it has {format_bytes(len(data))} (published: 1.94 GB for 500M, "
        "10.19 GB for 2.5B models): download it again"
    )


def vocabulary_size(official: Tree, where: str) -> int:
    """The number of tokens: the rows of the token embedding `[tokens, dim]`.

    `where` names the file in the `UserError` that is raised if there is no such table.
    """
    for module, parameters in official.items():
        table = parameters.get("embeddings")
        if _plain_name(module) == "embed" and table is not None and table.ndim == 2:
            return table.shape[0]
    some = ", ".join(printable(module) for module in list(official)[:3])
    raise UserError(
        f"{where}: has no token embedding (expected ROOT/~/embed/embeddings; found {some}, ...), "
        "so it is not a Nucleotide Transformer: check the file"
    )


def _plain_name(module: str) -> str:
    """A module's name under the root, in the modern spelling and without Haiku's `~`."""
    parts = [part for part in module.split("/") if part != "~"]
    return "/".join(_MODERN.get(part, part) for part in parts[1:])


def _official_module(module: str, layer: int | None, root: str, legacy: bool) -> str:
    """The official name of one of our modules, for one layer of a stacked one."""
    leaf = module.rpartition("/")[2]
    if layer is not None:
        block = ("self_attention",) if leaf in _ATTENTION else ()
        parts = (f"attention_layer_{layer}", "~", *block, leaf)
    elif leaf == "positional_embedding":
        parts = ("~", "esm_learned_positional_embeddings", "~", "embed")
    elif leaf in _HEAD:
        parts = ("~", "roberta_lm_head", "~", leaf)
    else:
        parts = ("~", leaf)
    return "/".join((root, *(_LEGACY.get(part, part) if legacy else part for part in parts)))


def _is_stacked(module: str) -> bool:
    return "/layers/" in module


def stack_parameters(
    official: Tree, shapes: Shapes, where: str
) -> dict[str, dict[str, LazyTensor]]:
    """Our parameter tree, of the given `shapes`, from an official one.

    Layers are stacked along a new first axis when a tensor is written or converted to an array,
    not before. Every tensor is float32, as published weights are; other floating-point types are
    converted.

    Raises `UserError` naming, one by one, every parameter (by its official name) that is missing,
    unexpected, of another shape, not floating-point or not finite. `where` names the file.
    """
    root = next(iter(official)).split("/")[0] if official else _ROOT
    legacy = any(part in _MODERN for module in official for part in module.split("/"))
    remaining, problems = _by_plain_name(official)
    stacked: dict[str, dict[str, LazyTensor]] = {}
    for module, parameters in shapes.items():
        for name, shape in parameters.items():
            layers = range(shape[0]) if _is_stacked(module) else (None,)
            parts = []
            for layer in layers:
                expected = f"{_official_module(module, layer, root, legacy)}/{name}"
                found = remaining.pop((_plain_name(expected.rpartition("/")[0]), name), None)
                part_shape = shape if layer is None else shape[1:]
                problems += parameter_problems(expected, part_shape, found)
                parts += [] if found is None else [found[1]]
            stacked.setdefault(module, {})[name] = lazy_stack(tuple(shape), parts)
    problems += [
        f"unexpected {printable(official_name)} {array.shape}"
        for official_name, array in remaining.values()
    ]
    if problems:
        raise UserError(misfit(problems, where, _REMEDY))
    return stacked


def _by_plain_name(
    official: Tree,
) -> tuple[dict[tuple[str, str], tuple[str, np.ndarray]], list[str]]:
    """`{(plain module, parameter): (official name, array)}`, and names that stand twice."""
    found: dict[tuple[str, str], tuple[str, np.ndarray]] = {}
    problems = []
    for module, parameters in official.items():
        for name, array in parameters.items():
            key = (_plain_name(module), name)
            if key in found:
                problems.append(f"{printable(f'{module}/{name}')} stands twice: {found[key][0]}")
            found[key] = (f"{module}/{name}", array)
    return found, problems


def parameter_problems(
    expected: str, shape: tuple[int, ...], found: tuple[str, np.ndarray] | None
) -> Iterator[str]:
    """What is wrong with one official parameter: at most one text."""
    if found is None:
        yield f"missing {expected} {tuple(shape)}"
        return
    name, array = printable(found[0]), found[1]
    if array.shape != tuple(shape):
        yield f"{name} has shape {array.shape}, expected {tuple(shape)}"
    elif not np.issubdtype(array.dtype, np.floating) and array.dtype.name != "bfloat16":
        yield f"{name} has dtype {array.dtype}, expected floating-point numbers"
    else:
        if not np.isfinite(_as_float32(array)).all():
            yield f"{name} has NaN or infinite values"
        release(array)


def _as_float32(array: np.ndarray) -> np.ndarray:
    """C-ordered float32 (no copy if it is that already); too large a float64 becomes infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(array, np.float32, order="C")


def lazy_stack(shape: tuple[int, ...], parts: list[np.ndarray]) -> LazyTensor:
    """A float32 tensor of `shape` whose chunks are `parts`, the layers of a stacked one."""

    def chunks() -> Iterator[np.ndarray]:
        for part in parts:
            yield _as_float32(part)
            release(part)

    return LazyTensor(shape, np.dtype(np.float32), chunks)


def misfit(problems: list[str], where: str, remedy: str) -> str:
    """The message for parameters that are not what the hyperparameters call for."""
    listed = "; ".join(problems[:_LISTED])
    more = f"; and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
    return f"{where}: does not fit its hyperparameters: {listed}{more}: {remedy}"


def write_pytree(
    folder: Path,
    parameters: Mapping[str, Mapping[str, LazyTensor | np.ndarray]],
    hyperparameters: Mapping[str, object],
) -> Path:
    """Write our (stacked) parameters and hyperparameters to `folder/jax_model/`; return that.

    The names are those of the first official release, which the official code of every release
    reads under any model name. Arrays are written as float32, uncompressed; of a stacked
    `LazyTensor` (whose chunks are its layers) one layer at a time is held in memory. Both files
    appear whole or not at all.

    Raises `UserError` if the disk is full or the folder cannot be written.
    """
    official = _unstacked(parameters)
    text = json.dumps(dict(hyperparameters), indent=1).encode()
    size = 4 * sum(
        math.prod(leaf.shape) for leaves in parameters.values() for leaf in leaves.values()
    )
    model_folder = Path(folder) / "jax_model"
    with contextlib.ExitStack() as stack:
        # Left in reverse order: the weights take their place before the hyperparameters do.
        hyperparameters_file = stack.enter_context(
            written_atomically(model_folder / HYPERPARAMETERS_FILE, len(text))
        )
        weights_file = stack.enter_context(written_atomically(model_folder / WEIGHTS_FILE, size))
        hyperparameters_file.write(text)
        _StreamingPickler(weights_file).dump(official)
    return model_folder


@dataclass(frozen=True)
class _Next:
    """The next of these arrays, which is made when it is written."""

    parts: Iterator[np.ndarray]


class _StreamingPickler(NumpyPickler):
    """What `joblib.dump` writes with, for a tree of `_Next` of which one array exists at a time."""

    def save(self, obj: object) -> None:
        """Write an object; called for everything in the tree, in order."""
        super().save(_as_float32(next(obj.parts)) if isinstance(obj, _Next) else obj)


def _unstacked(
    parameters: Mapping[str, Mapping[str, LazyTensor | np.ndarray]],
) -> dict[str, dict[str, _Next]]:
    """The official tree: one module per layer, in the first release's names."""
    official: dict[str, dict[str, _Next]] = {}
    for module, leaves in parameters.items():
        for name, leaf in leaves.items():
            # In the order in which the tree is written, the layers of a leaf follow one another.
            upcoming = _Next(_parts(leaf, _is_stacked(module)))
            for layer in range(leaf.shape[0]) if _is_stacked(module) else (None,):
                official_name = _official_module(module, layer, _ROOT, legacy=True)
                official.setdefault(official_name, {})[name] = upcoming
    return official


def _parts(leaf: LazyTensor | np.ndarray, stacked: bool) -> Iterator[np.ndarray]:
    """The layers of a stacked parameter, else the whole of it."""
    if stacked and isinstance(leaf, LazyTensor):
        yield from leaf.chunks()
    elif stacked:
        yield from np.asarray(leaf)
    else:
        yield np.asarray(leaf)
