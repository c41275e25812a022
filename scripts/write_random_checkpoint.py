"""Write a random model of any size in the official format.

    python scripts/write_random_checkpoint.py 2B5_1000G FOLDER
    python scripts/write_random_checkpoint.py 2B5_1000G FOLDER --num-layers 4

For trying out, where the published weights are not at hand, what depends on size: memory, time to
load, time per step. One matrix is drawn and written at a time: 10.2 GB for 2B5_1000G take one or
two minutes and 0.8 GB of memory. The numbers are normal and scaled so that activations neither
vanish nor grow: matrices by 1/√rows, those that add to the residual stream by 1/√(2 layers)
besides.
"""

import argparse
import math
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ntjax.checkpoints.official import write_pytree
from ntjax.checkpoints.published_sizes import SIZES
from ntjax.checkpoints.safetensors import LazyTensor
from ntjax.models.config import TransformerConfig, parameter_shapes

_CHANGEABLE = ("num_layers", "embed_dim", "ffn_embed_dim", "attention_heads", "key_dim")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Write a random model in the official format.")
    parser.add_argument("model", choices=SIZES, help="published model whose sizes to take")
    parser.add_argument("folder", type=Path, help="gets jax_model/ with both files")
    for name in _CHANGEABLE:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help="in place of the model's")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    changed = {
        name: value for name in _CHANGEABLE if (value := getattr(arguments, name)) is not None
    }
    config = replace(SIZES[arguments.model], **changed)
    print(write_random_checkpoint(arguments.folder, config, arguments.seed))


def write_random_checkpoint(folder: Path, config: TransformerConfig, seed: int = 0) -> Path:
    """Write `folder/jax_model/`, one layer at a time; returns that folder.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    return write_pytree(folder, random_tensors(config, seed), config.to_hyperparams())


def random_tensors(config: TransformerConfig, seed: int) -> dict[str, dict[str, LazyTensor]]:
    """The tree of `parameter_shapes`, drawn when it is written; the same for the same seed."""
    return {
        module: {
            name: _random_tensor(config, f"{module}/{name}", shape, seed)
            for name, shape in shapes.items()
        }
        for module, shapes in parameter_shapes(config).items()
    }


def _random_tensor(
    config: TransformerConfig, path: str, shape: tuple[int, ...], seed: int
) -> LazyTensor:
    name = path.rpartition("/")[2]
    scale = 0.02 if name in ("b", "scale", "offset") else 1.0
    if name == "w":
        scale = shape[-2] ** -0.5
    if "/mha_output/" in path or "/fc2/" in path:
        scale /= math.sqrt(2 * config.num_layers)

    def chunks() -> Iterator[np.ndarray]:
        # A generator of its own for every parameter, which does not depend on the others.
        generator = np.random.Generator(np.random.SFC64((seed, zlib.crc32(path.encode()))))
        stacked = "/layers/" in path
        for _ in range(shape[0] if stacked else 1):
            drawn = generator.standard_normal(shape[1:] if stacked else shape, np.float32)
            drawn *= np.float32(scale)
            if name == "scale":
                drawn += 1
            yield drawn

    return LazyTensor(shape, np.dtype(np.float32), chunks)


if __name__ == "__main__":
    main()
