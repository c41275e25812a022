"""Masked-language-model examples: which tokens are to be predicted, and what stands there instead.

Everything is drawn from the seed and the step for the whole batch, so that neither the number of
devices nor resuming changes it.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ntjax.datasets.batching import Batch
from ntjax.sequences.tokenizer import Tokenizer

# Of the chosen tokens: percent that become <mask>, another k-mer, or stay. The Nucleotide
# Transformer's sources disagree about its own.
SCHEMES = {"80/10/10": (0.8, 0.1), "80/0/20": (0.8, 0.0), "80/20/0": (0.8, 0.2)}


class RowSource(Protocol):
    """Token ids to learn from."""

    def rows(self, step: int, count: int) -> np.ndarray:
        """int32 [count, tokens]."""


@dataclass(frozen=True)
class Masking:
    """How examples are made.

    Attributes:
        tokenizer: names the special tokens and the k-mers.
        share: of the tokens that are chosen.
        scheme: what becomes of them, a key of `SCHEMES`.
    """

    tokenizer: Tokenizer
    share: float = 0.15
    scheme: str = "80/10/10"

    def choose(self, ids: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Places of the tokens to predict, and 1 where a place is one, both [rows, most].

        A row of n nucleotide tokens has n · share of them, rounded up or down at random so that
        the mean is right; which, is drawn evenly. Special tokens and padding never are.
        """
        may = ids >= self._first_kmer
        draws = np.where(may, random.random(ids.shape), 2.0)
        wanted = np.floor(may.sum(axis=1) * self.share + random.random(len(ids))).astype(int)
        most = int(ids.shape[1] * self.share) + 1
        positions = np.argsort(draws, axis=1)[:, :most].astype(np.int32)
        weights = (np.arange(positions.shape[1]) < wanted[:, None]).astype(np.float32)
        return positions, weights

    def corrupt(
        self,
        ids: np.ndarray,
        positions: np.ndarray,
        weights: np.ndarray,
        random: np.random.Generator,
    ) -> np.ndarray:
        """A copy of the ids in which the chosen tokens are replaced as the scheme says."""
        masked, replaced = SCHEMES[self.scheme]
        fate = random.random(positions.shape)
        kmers = self._first_kmer + random.integers(0, 4**self.tokenizer.k, positions.shape)
        old = np.take_along_axis(ids, positions, axis=1)
        new = np.where(fate < masked + replaced, kmers, old)
        new = np.where(fate < masked, self.tokenizer.mask_id, new)
        result = ids.copy()
        np.put_along_axis(result, positions, np.where(weights > 0, new, old), axis=1)
        return result

    @property
    def _first_kmer(self) -> int:
        return self.tokenizer.id_of("A" * self.tokenizer.k)


class MaskedBatches:
    """The batch of any step: rows, the tokens to predict in them, and what stands there."""

    def __init__(self, source: RowSource, masking: Masking, rows: int, slots: int, seed: int):
        """`slots`: how many rows a batch has in all; those beyond `rows` weigh nothing."""
        self.source, self.masking, self.count, self.seed = source, masking, rows, seed
        self.slots = slots

    def batch(self, step: int) -> Batch:
        """The batch of `step` (from 0)."""
        ids = self.source.rows(step, self.count)
        random = np.random.default_rng([self.seed, step, 1])
        positions, weights = self.masking.choose(ids, random)
        corrupted = self.masking.corrupt(ids, positions, weights, random)
        slots = np.concatenate([np.arange(self.count), np.zeros(self.slots - self.count, int)])
        weights = weights[slots] * (np.arange(self.slots) < self.count)[:, None]
        targets = np.take_along_axis(ids, positions, axis=1)
        return Batch(
            slots, corrupted[slots], targets[slots], weights.astype(np.float32), positions[slots]
        )
