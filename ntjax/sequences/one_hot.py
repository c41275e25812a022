"""Sequences as arrays of letters: class codes and one-hot rows."""

from collections.abc import Sequence

import numpy as np

ALPHABET = "ACGT"
OTHER = len(ALPHABET)

_CODE_OF_BYTE = np.full(256, OTHER, dtype=np.uint8)
for _code, _letter in enumerate(ALPHABET):
    _CODE_OF_BYTE[[ord(_letter), ord(_letter.lower())]] = _code

_ROW_OF_CODE = np.eye(OTHER + 1, OTHER, dtype=np.uint8)


def letter_codes(sequences: Sequence[str], length: int) -> np.ndarray:
    """Number the letters: A 0, C 1, G 2, T 3, and 4 for N, other letters and padding.

    Arguments:
        sequences: n sequences of any length; longer ones are cropped at their right end,
            shorter ones padded there.
        length: columns of the result, at least 1.

    Returns:
        uint8 `[n, length]`.
    """
    # A fixed-width byte string crops and zero-fills in one step, without a loop over letters.
    letters = np.array(list(sequences), dtype=f"S{length}").view(np.uint8)
    return _CODE_OF_BYTE[letters.reshape(len(sequences), length)]


def one_hot(sequences: Sequence[str], length: int) -> np.ndarray:
    """Encode sequences one-hot in the order A, C, G, T.

    N, every other letter and the padding behind a shorter sequence are rows of zeros; longer
    sequences are cropped at their right end.

    Returns:
        uint8 `[n, length, 4]`.
    """
    return _ROW_OF_CODE[letter_codes(sequences, length)]
