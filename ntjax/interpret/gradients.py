"""Gradient × input, and what the same gradient says of exchanged letters.

The score that is explained (`ntjax.tasks.scores`) is differentiated with respect to the token
embeddings, before scaling and positions. From the gradient g at a token follow

- gradient × input (Shrikumar et al. 2016, arXiv:1605.01713): g · embedding, one number per token.
  The model reads a k-mer as a whole, and no gradient tells its letters apart: to draw a map, every
  letter gets an equal share, so that the letters add up to what the tokens add up to. All letters
  of a token are then alike; where a motif begins within a k-mer cannot be seen.
- the change that each exchange of a letter would make to first order: g · (embedding of the k-mer
  with that letter exchanged − embedding). This does tell the letters of a token apart, by way of
  the 3k k-mers next to it, and stands to in-silico mutagenesis as a tangent to a curve, at the cost
  of one pass forth and back instead of three per letter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from ntjax import adapters
from ntjax.datasets.batching import TokenisedSet
from ntjax.inference.backbones import encoded
from ntjax.inference.devices import in_batches, over_devices, token_batches
from ntjax.inference.forward import ForwardConfig, Trainable, head_outputs
from ntjax.interpret.letters import LetterPlaces, letter_places, substitutions
from ntjax.models.config import ROOT
from ntjax.runs.run import Run
from ntjax.tasks.scores import score_weights

# On one device. The way back keeps every layer's activations, and products with all of the
# vocabulary are 4107 numbers a token.
_TOKENS_PER_BATCH = 2048


@dataclass(frozen=True)
class Gradients:
    """What one gradient says of sequences, float32; 0 behind a sequence's end and at `<pad>`.

    Attributes:
        tokens: [sequences, tokens], gradient × input; column 0 is `<cls>`.
        letters: [sequences, letters], the same in equal shares of a token's letters.
        substitutions: [sequences, letters, 4], change of the score to first order with A, C, G or T
            in the letter's place; 0 for the letter that stands there and at N.
    """

    tokens: np.ndarray
    letters: np.ndarray
    substitutions: np.ndarray


def gradients(
    run: Run, sequences: Sequence[str], *, target: str | None = None, progress: str = ""
) -> Gradients:
    """Differentiate the run's score with respect to its token embeddings.

    Of a run that averages strands it is the score of the forward strand alone.

    Arguments:
        run: trained for any task.
        sequences: of A, C, G, T and N.
        target: class or label to explain, see `score_weights`.
        progress: name of the progress bar; "" for none.

    Raises:
        UserError: sequences that the model cannot read, or a target that does not exist.
    """
    model = run.model
    weights = score_weights(run.task, target).astype(np.float32)
    cleaned, ids = encoded(model, sequences)
    run.head.check_readable(cleaned, ids)
    places = letter_places(model.tokenizer, cleaned, ids)
    config = replace(run.forward_config, rematerialise=True)
    batches = token_batches(TokenisedSet.unlabelled(ids), _TOKENS_PER_BATCH)
    trained = _Explained(run.trainable, weights, substitutions(model.tokenizer))
    tokens = np.zeros(ids.shape, np.float32)
    changes = np.zeros((*places.codes.shape, 4), np.float32)
    for rows, (products, exchanged) in in_batches(
        _compiled(config), model.params, trained, batches, progress
    ):
        tokens[rows, : products.shape[1]] = products
        changes[rows] = _at_letters(places, rows, exchanged)
    letters = places.spread(tokens) / places.size
    return Gradients(tokens, letters.astype(np.float32), changes)


def _at_letters(places: LetterPlaces, rows: np.ndarray, exchanged: np.ndarray) -> np.ndarray:
    """[rows, tokens, k, 4] -> [rows, letters, 4]."""
    batch = np.arange(len(rows))[:, None]
    changes = exchanged[batch, places.token[rows], places.place[rows]]
    return np.where(places.known[rows][..., None], changes, 0)


class _Explained(NamedTuple):
    """Adapter and head, weights of the outputs [outputs], `substitutions` [vocabulary, k, 4]."""

    trainable: Trainable
    weights: np.ndarray
    substitutions: np.ndarray


@lru_cache(maxsize=64)
def _compiled(config: ForwardConfig) -> Callable:
    return over_devices(partial(_explain, config), config.dtype)


def _explain(
    config: ForwardConfig, params: Any, explained: _Explained, tokens: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Gradient × input [rows, tokens] and the changes by substitution [rows, tokens, k, 4]."""
    whole = adapters.bind(explained.trainable.adapter, params).params
    table = whole[f"{ROOT}/embed"]["embeddings"].astype(config.dtype).astype(jnp.float32)

    def score(shift: jax.Array) -> jax.Array:
        with hk.intercept_methods(partial(_shifted, shift)):
            outputs = head_outputs(config, params, explained.trainable, tokens)
        return jnp.dot(outputs, explained.weights, precision="highest").sum()

    gradient = jax.grad(score)(jnp.zeros((*tokens.shape, table.shape[1])))
    # With every token of the vocabulary in this place, to first order: [rows, tokens, vocabulary].
    products = jnp.einsum("rtd,vd->rtv", gradient, table, precision="highest")
    own = jnp.take_along_axis(products, tokens[..., None], axis=-1)
    mutants = explained.substitutions[tokens]
    exchanged = jnp.take_along_axis(products, mutants.reshape(*tokens.shape, -1), axis=-1) - own
    return own[..., 0], exchanged.reshape(mutants.shape)


def _shifted(
    shift: jax.Array, call: Callable, arguments: tuple, options: dict[str, Any], context: Any
) -> Any:
    """Add `shift` [rows, tokens, dim] to what the token embedding gives."""
    value = call(*arguments, **options)
    if context.module.module_name == f"{ROOT}/embed" and context.method_name == "__call__":
        return (value.astype(jnp.float32) + shift).astype(value.dtype)
    return value
