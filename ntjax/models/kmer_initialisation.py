"""Embeddings of k-mers that begin with what their letters have in common.

A token of six letters is one of 4,096, and drawn independently each would have to be learnt by
itself that `ACGTAC` and `ACGTAG` differ in one letter. Here a k-mer's vector is the sum of one
random vector for each letter at its place, and a tenth of its independent draw; the columns of the
language-model head's last layer likewise. Nothing but the initial values changes.
"""

from typing import Any

import numpy as np

from ntjax.models.config import ROOT
from ntjax.sequences.alphabet import BASES
from ntjax.sequences.tokenizer import Tokenizer

_OWN_SHARE = 0.1
_LETTERS = len(BASES)


def with_composed_kmers(params: dict[str, Any], tokenizer: Tokenizer, seed: int) -> dict[str, Any]:
    """Freshly drawn weights in which the k-mers' vectors are composed of their letters'.

    Arguments:
        params: the tree of `parameter_shapes`, float32.
    """
    random = np.random.default_rng([seed, tokenizer.k])
    first = tokenizer.id_of(BASES[0] * tokenizer.k)
    kmers = slice(first, first + _LETTERS**tokenizer.k)
    embeddings = np.array(params[f"{ROOT}/embed"]["embeddings"])
    own = embeddings[kmers]
    embeddings[kmers] = _composed(own.shape[1], tokenizer.k, random) + _OWN_SHARE * own
    head = params[f"{ROOT}/lm_final_fc"]
    columns = np.array(head["w"])
    own = columns[:, kmers]
    scale = own.shape[0] ** -0.5
    columns[:, kmers] = scale * _composed(own.shape[0], tokenizer.k, random).T + _OWN_SHARE * own
    return params | {
        f"{ROOT}/embed": {"embeddings": embeddings},
        f"{ROOT}/lm_final_fc": head | {"w": columns},
    }


def _composed(dim: int, k: int, random: np.random.Generator) -> np.ndarray:
    """[4^k, dim], unit variance: sums of a vector per place and letter, centred at each place."""
    vectors = random.standard_normal((k, _LETTERS, dim), np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    digits = np.arange(_LETTERS**k)[:, None] // _LETTERS ** np.arange(k - 1, -1, -1) % _LETTERS
    total = sum(vectors[place][digits[:, place]] for place in range(k))
    return total / np.float32(np.sqrt(k * (1 - 1 / _LETTERS)))
