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
from collections.abc import Iterator, Mapping
from pathlib import Path

import joblib
import numpy as np

from ntjax.checkpoints.atomic import format_bytes, written_atomically
from ntjax.checkpoints.joblib_file import joblib_bytes
from ntjax.checkpoints.pickled_arrays import RefusedFileError, printable
from ntjax.checkpoints.safetensors import LazyTensor
from ntjax.checkpoints.unpickler import ArrayUnpickler
from ntjax.errors import UserError

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
                problems += _problems(expected, part_shape, found)
                parts += [] if found is None else [found[1]]
            stacked.setdefault(module, {})[name] = _stack(tuple(shape), parts)
    problems += [
        f"unexpected {printable(official_name)} {array.shape}"
        for official_name, array in remaining.values()
    ]
    if problems:
        raise UserError(_listed(problems, where))
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


def _problems(
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
    elif not np.isfinite(_as_float32(array)).all():
        yield f"{name} has NaN or infinite values"


def _as_float32(array: np.ndarray) -> np.ndarray:
    """C-ordered float32 (no copy if it is that already); too large a float64 becomes infinite."""
    with np.errstate(over="ignore"):
        return np.asarray(array, np.float32, order="C")


def _stack(shape: tuple[int, ...], parts: list[np.ndarray]) -> LazyTensor:
    return LazyTensor(shape, np.dtype(np.float32), lambda: map(_as_float32, parts))


def _listed(problems: list[str], where: str) -> str:
    listed = "; ".join(problems[:_LISTED])
    more = f"; and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
    return (
        f"{where}: does not fit its hyperparameters: {listed}{more}: check that "
        f"{HYPERPARAMETERS_FILE} and {WEIGHTS_FILE} are of the same model, or download both again"
    )


def write_pytree(
    folder: Path,
    parameters: Mapping[str, Mapping[str, np.ndarray]],
    hyperparameters: Mapping[str, object],
) -> Path:
    """Write our (stacked) parameters and hyperparameters to `folder/jax_model/`; return that.

    The names are those of the first official release, which the official code of every release
    reads under any model name. Arrays are written as float32, uncompressed. Both files appear
    whole or not at all.

    Raises `UserError` if the disk is full or the folder cannot be written.
    """
    official = _unstacked(parameters)
    text = json.dumps(dict(hyperparameters), indent=1).encode()
    size = sum(array.nbytes for leaves in official.values() for array in leaves.values())
    model_folder = Path(folder) / "jax_model"
    with contextlib.ExitStack() as stack:
        # Left in reverse order: the weights take their place before the hyperparameters do.
        hyperparameters_file = stack.enter_context(
            written_atomically(model_folder / HYPERPARAMETERS_FILE, len(text))
        )
        weights_file = stack.enter_context(written_atomically(model_folder / WEIGHTS_FILE, size))
        hyperparameters_file.write(text)
        joblib.dump(official, weights_file)
    return model_folder


def _unstacked(parameters: Mapping[str, Mapping[str, np.ndarray]]) -> Tree:
    """The official tree: one module per layer, in the first release's names."""
    official: Tree = {}
    for module, leaves in parameters.items():
        for name, leaf in leaves.items():
            array = np.asarray(leaf, np.float32)
            parts = enumerate(array) if _is_stacked(module) else ((None, array),)
            for layer, part in parts:
                official_name = _official_module(module, layer, _ROOT, legacy=True)
                official.setdefault(official_name, {})[name] = np.ascontiguousarray(part)
    return official
