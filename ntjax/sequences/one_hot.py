"""Sequences as one-hot rows, for models that read columns."""

from collections.abc import Sequence

import numpy as np

from ntjax.sequences.alphabet import BASES, COLUMN_ORDER, UNKNOWN, base_codes, base_texts

NO_COLUMN = len(COLUMN_ORDER)
"""Column index of what is no base."""

_COLUMN_OF_CODE = np.full(256, NO_COLUMN, np.uint8)
_COLUMN_OF_CODE[:UNKNOWN] = [COLUMN_ORDER.index(base) for base in BASES]
_CODE_OF_COLUMN = np.append(base_codes(COLUMN_ORDER), np.uint8(UNKNOWN))
_ROW_OF_COLUMN = np.eye(NO_COLUMN + 1, NO_COLUMN, dtype=np.uint8)


def column_indices(sequences: Sequence[str], length: int) -> np.ndarray:
    """Give each base its one-hot column.

    >>> column_indices(["ACGTN", "t"], 5).tolist()
    [[0, 1, 2, 3, 4], [3, 4, 4, 4, 4]]

    Arguments:
        sequences: of any length; longer ones are cropped at their right end, shorter ones padded
            there.
        length: columns of the result, at least 1.

    Returns:
        uint8 `[sequences, length]`: indices into `COLUMN_ORDER`; `NO_COLUMN` for N, other
        characters and padding.
    """
    # A fixed-width byte string crops and zero-fills in one step, without a loop over bases.
    texts = np.array(list(sequences), dtype=f"S{length}")
    return _COLUMN_OF_CODE[base_codes(texts.tobytes())].reshape(len(sequences), length)


def one_hot(sequences: Sequence[str], length: int) -> np.ndarray:
    """Encode sequences one-hot, with columns in `COLUMN_ORDER`: A, C, G, T.

    N, other characters and the padding behind a shorter sequence are rows of zeros; longer
    sequences are cropped at their right end.

    Returns:
        uint8 `[sequences, length, 4]`.
    """
    return _ROW_OF_COLUMN[column_indices(sequences, length)]


def column_texts(columns: np.ndarray) -> list[str]:
    """Text of column indices [sequences, bases], as `column_indices` gives them; others are N."""
    return base_texts(_CODE_OF_COLUMN[columns])
