"""Rows doubled by their reverse complements, and predictions averaged over both strands."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from ntjax.errors import UserError
from ntjax.sequences.alphabet import reverse_complement

ReverseComplement = Literal["none", "same", "flip-label"]
"""What the reverse complement of a row is: nothing known, a row of the same label, or, of two
classes, a row of the other one."""


def with_reverse_complements(
    sequences: Sequence[str], targets: np.ndarray, how: ReverseComplement
) -> tuple[list[str], np.ndarray]:
    """Add the reverse complement of every row behind all rows.

    Arguments:
        sequences: [n] sequences of A, C, G, T and N.
        targets: [n] class numbers or values, or [n, labels].
        how: "none" adds nothing; "flip-label" exchanges the classes 0 and 1.

    Returns:
        [2 n] sequences and their targets ([n] for "none").

    Raises:
        UserError: "flip-label" for other targets than the class numbers 0 and 1.
    """
    targets = np.asarray(targets)
    if how == "none":
        return list(sequences), targets
    turned = targets
    if how == "flip-label":
        are_classes = targets.ndim == 1 and targets.dtype.kind in "iu"
        if not are_classes or not np.isin(targets, (0, 1)).all():
            raise UserError(
                "--augment-reverse-complement flip-label is for two classes: give same or none"
            )
        turned = 1 - targets
    return [*sequences, *reverse_complement(sequences)], np.concatenate([targets, turned])


def average_strands(
    outputs: Callable[[Sequence[str]], np.ndarray],
    sequences: Sequence[str],
    how: ReverseComplement,
) -> np.ndarray:
    """Average a model's outputs over both strands of each sequence.

    Arguments:
        outputs: the model: [n] sequences -> logits or values [n, outputs].
        sequences: [n] sequences of A, C, G, T and N.
        how: "none" leaves the forward strand alone; "flip-label" exchanges the two classes'
            logits on the reverse strand.

    Returns:
        [n, outputs].
    """
    forward = outputs(sequences)
    if how == "none":
        return forward
    return combined(forward, outputs(reverse_complement(sequences)), how)


def combined(forward: np.ndarray, reverse: np.ndarray, how: ReverseComplement) -> np.ndarray:
    """Average outputs [n, outputs] of sequences and of their reverse complements."""
    return (forward + (reverse[:, ::-1] if how == "flip-label" else reverse)) / 2
