"""What both baselines demand of the rows they learn from."""

from collections.abc import Sequence

import numpy as np

from ntjax.errors import UserError

LabelledRows = tuple[Sequence[str], Sequence[int] | np.ndarray]


def class_numbers(sequences: Sequence[str], labels: Sequence[int], name: str) -> np.ndarray:
    """Check one set of labelled rows and return its labels, int64 `[n]`.

    Raises:
        UserError: no rows, not one label per sequence, or labels that are not 0, 1, 2, ...
    """
    numbers = np.asarray(labels)
    if len(sequences) == 0:
        raise UserError(f"the {name} set has no rows; give labelled sequences")
    if numbers.shape != (len(sequences),):
        raise UserError(
            f"the {name} set has {len(sequences)} sequences but labels of shape {numbers.shape}; "
            "give one label per sequence"
        )
    if numbers.dtype.kind not in "iu" or numbers.min() < 0:
        raise UserError(f"the {name} labels must be class numbers 0, 1, 2, ...; convert them first")
    return numbers.astype(np.int64)


def check_labelled_rows(
    training: LabelledRows, validation: LabelledRows | None
) -> tuple[np.ndarray, np.ndarray | None, int]:
    """Check training and validation rows.

    Returns:
        training labels int64 `[n]`, validation labels int64 `[m]` or None, number of classes
        (the highest class number in either set, plus one).

    Raises:
        UserError: as `class_numbers`, or fewer than two classes among the training rows.
    """
    labels = class_numbers(*training, "training")
    if len(np.unique(labels)) < 2:
        raise UserError(
            f"all {len(labels)} training rows have class {labels[0]}; "
            "a classifier needs rows of at least two classes"
        )
    held_out = None if validation is None else class_numbers(*validation, "validation")
    highest = max(labels.max(), -1 if held_out is None else held_out.max())
    return labels, held_out, int(highest) + 1
