"""A model's architecture with the weights that pre-training would begin with."""

from pathlib import Path

from ntjax.checkpoints.official import write_pytree
from ntjax.inference.pretrained import load_pretrained
from ntjax.inference.untrained import untrained_like


def untrained(model: str, seed: int, folder: Path) -> Path:
    """Its folder in the official format; written to `folder` if it is not there."""
    if not (folder / "jax_model").exists():
        twin = untrained_like(load_pretrained(model), seed)
        write_pytree(folder, twin.params, twin.config.to_hyperparams())
    return folder
