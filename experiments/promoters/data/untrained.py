"""A model's architecture with the weights that pre-training would begin with."""

from pathlib import Path

import jax

from ntjax.adapters.apply import random_parameters
from ntjax.checkpoints.official import write_pytree
from ntjax.inference.pretrained import load_pretrained
from ntjax.models.kmer_initialisation import with_composed_kmers


def untrained(model: str, seed: int, folder: Path) -> Path:
    """Its folder in the official format; written to `folder` if it is not there."""
    if not (folder / "jax_model").exists():
        trained = load_pretrained(model)
        params = random_parameters(trained.config, jax.random.key(seed))
        params = with_composed_kmers(params, trained.tokenizer, seed)
        write_pytree(folder, params, trained.config.to_hyperparams())
    return folder
