"""From tokens to letters: which token holds a letter, and what a token is with one exchanged."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ntjax.sequences.alphabet import COLUMN_ORDER
from ntjax.sequences.one_hot import NO_COLUMN, column_indices
from ntjax.sequences.tokenizer import Tokenizer


@dataclass(frozen=True)
class LetterPlaces:
    """Where the letters of sequences stand in their tokens.

    All arrays are [sequences, letters], as many as the longest sequence has; what lies behind a
    shorter one's end stands for nothing.

    Attributes:
        exists: bool, False behind a sequence's end.
        codes: uint8, A 0, C 1, G 2, T 3; 4 for N and behind the end.
        token: int64, column of `ids` with the token that holds the letter; 0 behind the end.
        place: int64, the letter's place in that token, from 0.
        size: int64, letters of that token; 1 behind the end.
        count: int64, how often that token holds this very letter; 1 behind the end.
    """

    exists: np.ndarray
    codes: np.ndarray
    token: np.ndarray
    place: np.ndarray
    size: np.ndarray
    count: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """Bool [sequences, letters]: A, C, G or T stands there."""
        return self.codes != NO_COLUMN

    def spread(self, values: np.ndarray) -> np.ndarray:
        """Give every letter its token's value: [sequences, tokens] -> [sequences, letters].

        Behind a sequence's end it is 0.
        """
        return np.where(self.exists, np.take_along_axis(values, self.token, axis=1), 0)


def letter_places(tokenizer: Tokenizer, cleaned: list[str], ids: np.ndarray) -> LetterPlaces:
    """Find the letters of sequences in their tokens.

    Arguments:
        tokenizer: the one that made `ids`.
        cleaned: upper-case sequences.
        ids: int32 [sequences, tokens].
    """
    sizes = _letters_per_token(tokenizer)[ids]
    ends = sizes.cumsum(axis=1)
    letters = int(ends[:, -1].max())
    positions = np.arange(letters)
    exists = positions < ends[:, -1:]
    token = np.zeros((len(ids), letters), np.int64)
    # Tokens follow each other as the letters do, row by row: each stands once for every letter.
    token[exists] = np.repeat(np.tile(np.arange(ids.shape[1]), len(ids)), sizes.ravel())
    codes = column_indices(cleaned, letters)
    place = positions - np.take_along_axis(ends - sizes, token, axis=1)
    size = np.where(exists, np.take_along_axis(sizes, token, axis=1), 1)
    count = np.where(exists, _own_count(codes, token, tokenizer.k), 1)
    return LetterPlaces(exists, codes, token, np.where(exists, place, 0), size, count)


def _letters_per_token(tokenizer: Tokenizer) -> np.ndarray:
    return np.array([0 if "<" in text else len(text) for text in tokenizer.vocabulary])


def _own_count(codes: np.ndarray, token: np.ndarray, k: int) -> np.ndarray:
    """How often a letter's token holds that letter, int64 [sequences, letters]."""
    count = np.ones(codes.shape, np.int64)
    for distance in range(1, k):
        nearer, farther = np.s_[:, :-distance], np.s_[:, distance:]
        same = (codes[nearer] == codes[farther]) & (token[nearer] == token[farther])
        count[nearer] += same
        count[farther] += same
    return count


@lru_cache(maxsize=4)
def substitutions(tokenizer: Tokenizer) -> np.ndarray:
    """The token that a token becomes with one letter exchanged, int32 [vocabulary, k, 4].

    `substitutions(tokenizer)[token, place, letter]`, letters in the order A, C, G, T. As no letter
    becomes an N or comes from one, a sequence's other tokens stay what they were. Special tokens, N
    and places that a token does not have give the token itself.
    """
    table = np.empty((tokenizer.vocabulary_size, tokenizer.k, len(COLUMN_ORDER)), np.int32)
    table[:] = np.arange(tokenizer.vocabulary_size)[:, None, None]
    for token, text in enumerate(tokenizer.vocabulary):
        if "<" in text or text == "N":
            continue
        for place in range(len(text)):
            for code, letter in enumerate(COLUMN_ORDER):
                changed = text[:place] + letter + text[place + 1 :]
                table[token, place, code] = tokenizer.id_of(changed)
    return table
