"""What 18 adapters take on disk beside 18 copies of the model, for every published shape.

The deck says that fine-tuning of all weights takes 9.5 × 18 = 171 GB and adapters 171 MB.
"""

import tempfile
from math import prod
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntjax import adapters
from ntjax.adapters import IA3, AdapterConfig, LoRA
from ntjax.checkpoints import safetensors
from ntjax.checkpoints.published_sizes import SIZES
from ntjax.models.config import TransformerConfig, parameter_shapes
from ntjax.models.heads import Cls
from ntjax.reports.page import Block, Table, Text
from ntjax.runs.adapter_file import named_leaves

NAME, TITLE = "storage", "What 18 adapters take on disk"
TASKS = 18
ADAPTERS: dict[str, AdapterConfig] = {"IA³": IA3(), "LoRA, rank 4": LoRA(rank=4)}


def run(folder: Path, runs: Path) -> dict[str, Any]:
    """Write the adapter files of one task for every published model, and weigh them."""
    return {"tasks": TASKS, "models": {name: _of_model(config) for name, config in SIZES.items()}}


def parameters_of(config: TransformerConfig) -> int:
    """Count the numbers of a model."""
    shapes = jax.tree.leaves(parameter_shapes(config), is_leaf=lambda leaf: isinstance(leaf, tuple))
    return sum(map(prod, shapes))


def _of_model(config: TransformerConfig) -> dict[str, Any]:
    parameters = parameters_of(config)
    head = jax.eval_shape(lambda: Cls(outputs=2).init(config.embed_dim, jax.random.key(0)))
    found: dict[str, Any] = {
        "parameters": parameters,
        "model_bytes": 4 * parameters,
        "head_parameters": _count(head),
    }
    for name, adapter in ADAPTERS.items():
        tree = _zeros(jax.eval_shape(lambda own=adapter: _initial(own, config)))
        found[name] = {
            "parameters": _count(tree),
            "bytes_without_head": written({"adapter": tree}),
            "bytes_with_head": written({"adapter": tree, "head": _zeros(head)}),
        }
    return found


def _initial(adapter: AdapterConfig, config: TransformerConfig) -> Any:
    params = jax.tree.map(
        lambda shape: jax.numpy.zeros(shape),
        parameter_shapes(config),
        is_leaf=lambda leaf: isinstance(leaf, tuple),
    )
    return adapters.init(adapter, config, params, jax.random.key(0)).parameters


def _zeros(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), tree)


def _count(tree: Any) -> int:
    return sum(prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def written(tree: dict[str, Any]) -> int:
    """Write tensors as a run writes its adapter; return the bytes of the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "adapter.safetensors"
        safetensors.write(path, named_leaves(tree), {"format": "1"})
        return path.stat().st_size


def blocks(record: dict[str, Any]) -> tuple[Block, ...]:
    """Lay out the table, and say what the deck's two numbers are."""
    rows = []
    for name, model in record["models"].items():
        whole = TASKS * model["model_bytes"]
        cells = [name, f"{model['parameters'] / 1e6:,.0f} M", _giga(whole)]
        for adapter in ADAPTERS:
            of = model[adapter]
            sizes = [TASKS * of[f"bytes_{which}_head"] for which in ("without", "with")]
            cells += [f"{_mega(size)} ({size / whole:.3%})" for size in sizes]
        rows.append(tuple(cells))
    heads = ["model", "parameters", "18 models"]
    heads += [
        f"18 × {name}{part}" for name in ADAPTERS for part in (", vectors alone", " and head")
    ]
    return (
        Table(tuple(heads), tuple(rows), "Bytes of files in float32, in units of 10⁶ and 10⁹."),
        Text(explained(record)),
    )


def explained(record: dict[str, Any]) -> str:
    """Say where 171 GB and 171 MB come from."""
    model = record["models"]["2B5_multi_species"]
    vectors, head = model["IA³"]["parameters"], model["head_parameters"]
    without, with_head = (model["IA³"][f"bytes_{which}_head"] for which in ("without", "with"))
    size, share = model["model_bytes"], vectors / model["parameters"]
    return (
        f"The deck's 9.5 GB is one model of 2.5 billion numbers: {size / 2**30:.2f} GiB, "
        f"{size / 1e9:.2f} × 10⁹ bytes. Its 171 MB is 0.1% of 171 GB and no size of a file: the "
        f"{vectors:,} numbers of IA³ are {share:.3%} of the model and take {_mega(without)} a "
        f"task, {_mega(TASKS * without)} for 18. A head that reads `<cls>` through a dense layer "
        f"has {head:,} numbers and takes most of {_mega(with_head)} a task, "
        f"{_mega(TASKS * with_head)} for 18."
    )


def _mega(size: float) -> str:
    return f"{size / 1e6:,.1f} MB"


def _giga(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
