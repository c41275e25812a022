"""How much each training row weighs in the loss, by its class."""

from collections.abc import Sequence

import numpy as np

from ntjax.errors import UserError

NO_WEIGHTS, BALANCED = "none", "balanced"


def row_weights(text: str, classes: Sequence[str], labels: np.ndarray) -> np.ndarray | None:
    """Return the weights of training rows, float32 [rows]; None where all are 1.

    "balanced" is rows / (classes · rows of the class), as in scikit-learn: every class weighs the
    same, and the mean weight is 1.

    >>> row_weights("balanced", ("no", "yes"), np.array([0, 0, 0, 1, 1, 1])).tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    >>> row_weights("yes=5", ("no", "yes"), np.array([0, 1])).tolist()
    [1.0, 5.0]

    Arguments:
        text: "none", "balanced", or NAME=WEIGHT with commas between; 1 where a class is not named.
        classes: their names.
        labels: class numbers [rows].

    Raises:
        UserError: no such class, or a weight that is not a number above 0.
    """
    if text == NO_WEIGHTS:
        return None
    if text == BALANCED:
        counts = np.bincount(labels, minlength=len(classes))
        weights = len(labels) / (len(classes) * counts.clip(1))
    else:
        weights = _named(text, classes)
    return weights[labels].astype(np.float32)


def _named(text: str, classes: Sequence[str]) -> np.ndarray:
    weights, named = np.ones(len(classes)), set()
    for part in text.split(","):
        # A class may have a '=' in its name; a number has none.
        name, mark, number = part.rpartition("=")
        name = name.strip()
        if not mark or name not in classes:
            raise UserError(
                f"--class-weights {text}: {part.strip()!r} should be CLASS=WEIGHT; classes are "
                f"{', '.join(classes[:10])} (or give none or balanced)"
            )
        if name in named:
            raise UserError(f"--class-weights {text}: {name!r} stands there twice")
        named.add(name)
        try:
            weights[list(classes).index(name)] = weight = float(number)
        except ValueError:
            weight = np.nan
        if not (np.isfinite(weight) and weight > 0):
            raise UserError(f"--class-weights {text}: {number!r} should be a number above 0")
    return weights
