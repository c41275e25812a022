"""Sequences joined into buffers of letters, checked, and cut into segments of k-mers.

What the tokenizer works on: no Python loop touches a letter, a k-mer or (but for joining) a
sequence.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.sequences.alphabet import NOT_DNA

# Letters behind the last one, so that a word of this many can begin at every letter.
WORD_BYTES = 8
# Temporaries of this many elements stay in the processor's cache.
LETTERS_PER_BLOCK = 1 << 18
_PADDING = "\0" * WORD_BYTES
# Clearing bit 5 turns lower case into upper case, and nothing else into a nucleotide.
_UPPER_CASE_MASK = 0xDF
# A and C differ in bit 1 only.
_A_OR_C_MASK = 0xDD


class Text(NamedTuple):
    """Consecutive sequences in one buffer."""

    letters: np.ndarray  # uint8 [total + 8]: one sequence after the other, in any case; zeros
    sizes: np.ndarray  # int64 [sequences]: letters of each
    has_n: bool

    @property
    def total(self) -> int:
        """Letters of all sequences."""
        return len(self.letters) - WORD_BYTES

    @property
    def is_rectangular(self) -> bool:
        """Whether all sequences have the same number of tokens for sure: one length, no N."""
        return not self.has_n and len(self.sizes) > 0 and bool(np.all(self.sizes == self.sizes[0]))


class Segments(NamedTuple):
    """Runs of letters of one sequence that are either all N or free of N."""

    starts: np.ndarray  # int64 [segments]: first letter, counted through all sequences
    kmers: np.ndarray  # int64 [segments]: k-mers at the segment's left
    singles: np.ndarray  # int64 [segments]: letters behind them, each its own token
    first: np.ndarray  # int64 [sequences]: the first segment of each sequence

    @property
    def tokens_per_sequence(self) -> np.ndarray:
        """int64 [sequences], `<cls>` included."""
        if len(self.first) == 0:
            return np.zeros(0, np.int64)
        return 1 + np.add.reduceat(self.kmers + self.singles, self.first)


def read_texts(sequences: Sequence[str]) -> list[Text]:
    """Join the sequences in blocks, after refusing what is not a list of nucleotides."""
    sequences = _as_list(sequences)
    try:
        sizes = np.fromiter(map(len, sequences), np.int64, len(sequences))
    except TypeError:
        raise _not_text(sequences) from None
    if not sizes.all():
        raise UserError(
            f"sequence {int(np.argmin(sizes))} (counted from 0) is empty: remove it or give its "
            "letters"
        )
    # A block ends where the letters pass a multiple of the block's size.
    ends = np.flatnonzero(np.diff(np.cumsum(sizes) // LETTERS_PER_BLOCK, append=-1)) + 1
    texts = []
    for start, end in itertools.pairwise([0, *ends.tolist()]):
        text = _join(sequences[start:end], sizes[start:end])
        if not _all_nucleotides(text):
            raise _not_nucleotide(sequences)
        texts.append(text)
    return texts


def _join(sequences: Sequence[str], sizes: np.ndarray) -> Text:
    try:
        joined = "".join([*sequences, _PADDING])
    except TypeError:
        raise _not_text(sequences) from None
    # A character outside ASCII becomes one "?", so that places stay and the check refuses it.
    letters = np.frombuffer(joined.encode("ascii", "replace"), np.uint8)
    return Text(letters, sizes, "N" in joined or "n" in joined)


def _as_list(sequences: Sequence[str]) -> Sequence[str]:
    if isinstance(sequences, list | tuple):
        return sequences
    if isinstance(sequences, str | bytes):
        raise UserError("sequences must be a list of texts: write [sequence] for a single one")
    try:
        return list(sequences)
    except TypeError:
        raise UserError(
            f"sequences must be a list of texts, not {type(sequences).__name__}"
        ) from None


def _all_nucleotides(text: Text) -> bool:
    """Tell whether all letters are A, C, G, T or N, in either case."""
    others = b"GTN" if text.has_n else b"GT"
    masked = np.empty(min(text.total, LETTERS_PER_BLOCK), np.uint8)
    known, equal = np.empty((2, len(masked)), bool)
    for start in range(0, text.total, LETTERS_PER_BLOCK):
        block = text.letters[start : min(start + LETTERS_PER_BLOCK, text.total)]
        masked, known, equal = masked[: len(block)], known[: len(block)], equal[: len(block)]
        np.equal(np.bitwise_and(block, _A_OR_C_MASK, out=masked), ord("A"), out=known)
        np.bitwise_and(block, _UPPER_CASE_MASK, out=masked)
        for letter in others:
            known |= np.equal(masked, letter, out=equal)
        if not known.all():
            return False
    return True


def cut_segments(text: Text, k: int) -> Segments:
    """Split at N, then take k-mers from the left of each stretch, then single letters."""
    starts = sequence_starts = sum_before(text.sizes)
    first = np.arange(len(starts))
    kmers = text.sizes // k
    singles = text.sizes - k * kmers
    if text.has_n:
        is_n = text.letters[: text.total] & _UPPER_CASE_MASK == ord("N")
        is_sequence_start = np.zeros(text.total, bool)
        is_sequence_start[sequence_starts] = True
        is_start = is_sequence_start.copy()
        is_start[1:] |= is_n[1:] != is_n[:-1]
        starts = np.flatnonzero(is_start)
        first = np.flatnonzero(is_sequence_start[starts])
        sizes = np.diff(starts, append=text.total)
        kmers = np.where(is_n[starts], 0, sizes // k)
        singles = sizes - k * kmers
    return Segments(starts, kmers, singles, first)


def sum_before(counts: np.ndarray) -> np.ndarray:
    """Return the sum of the counts before each."""
    return np.cumsum(counts) - counts


def _not_text(sequences: Sequence[str]) -> UserError:
    place, found = next(
        (place, entry) for place, entry in enumerate(sequences) if not isinstance(entry, str)
    )
    return UserError(
        f"sequence {place} (counted from 0) is {type(found).__name__}, not text: sequences must "
        "be strings of A, C, G, T and N"
    )


def _not_nucleotide(sequences: Sequence[str]) -> UserError:
    sequence, found = next(
        (place, found) for place, entry in enumerate(sequences) if (found := NOT_DNA.search(entry))
    )
    return UserError(
        f"sequence {sequence}, position {found.start()} (both counted from 0): "
        f"{found.group()!a} is not a nucleotide; letters must be A, C, G, T or N "
        "(to read the other IUPAC codes as N: --ambiguous n)"
    )
