"""Baselines that learn from both strands and average over them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy.special import softmax

from ntjax.baselines.labelled_rows import LabelledRows
from ntjax.datasets.reverse_complements import (
    ReverseComplement,
    average_strands,
    with_reverse_complements,
)


class Baseline(Protocol):
    """A fitted baseline."""

    def logits(self, sequences: Sequence[str]) -> np.ndarray:
        """Score sequences: [n, outputs]."""
        ...


@dataclass(frozen=True)
class BothStrands:
    """A baseline whose outputs are averaged over both strands of a sequence."""

    model: Baseline
    reverse_complement: ReverseComplement

    def logits(self, sequences: Sequence[str]) -> np.ndarray:
        """Score sequences: float32 `[n, outputs]`, the mean of both strands."""
        return average_strands(self.model.logits, sequences, self.reverse_complement)

    def probabilities(self, sequences: Sequence[str]) -> np.ndarray:
        """Softmax of `logits`: float32 `[n, classes]`."""
        return softmax(self.logits(sequences), axis=1)


def fit_both_strands(
    fit: Callable[..., Baseline],
    training: LabelledRows,
    validation: LabelledRows,
    reverse_complement: ReverseComplement,
    average: bool = True,
    **options: Any,
) -> Baseline:
    """Fit a baseline on rows and their reverse complements.

    Arguments:
        fit: such as `fit_cnn`; called with sequences, labels, `validation` and `options`.
        training: sequences and labels.
        validation: sequences and labels, which get their reverse complements too.
        reverse_complement: what the reverse complement of a row is; with "none" the result is
            that of `fit` alone.
        average: whether outputs are averaged over both strands.
        options: of `fit`.

    Raises:
        UserError: unsuitable rows, or "flip-label" for other than two classes.
    """
    rows, held_out = (
        with_reverse_complements(*part, reverse_complement) for part in (training, validation)
    )
    model = fit(*rows, validation=held_out, **options)
    both = average and reverse_complement != "none"
    return BothStrands(model, reverse_complement) if both else model
