"""The Nucleotide Transformer's k-mer tokenizer, vectorised over letters and sequences.

A sequence is split at N (each N is a token of its own); every stretch between is read as k-mers
from the left and what remains of it as single letters; `<cls>` comes first and `<pad>` fills up.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from ntjax.errors import UserError
from ntjax.sequences.alphabet import BASES
from ntjax.sequences.nucleotide_text import (
    WORD_BYTES,
    Segments,
    Text,
    cut_segments,
    read_texts,
    sum_before,
)

_SPECIAL_TOKENS_V1 = ("<unk>", "<pad>", "<mask>", "<cls>")
_SPECIAL_TOKENS_V2 = (*_SPECIAL_TOKENS_V1, "<eos>", "<bos>")

# A k-mer is read as one little-endian 64-bit word of eight letters.
_MAX_K = WORD_BYTES
# Where the bits of two neighbouring letters end up, in each of four lanes of 16 bits.
_LANE_BITS = np.uint64(0x001E_001E_001E_001E)
# Multiplied by this, lane i moves from bit 16i + 1 to bit 48 + 4i. No two of the sixteen partial
# products overlap, so that nothing is carried.
_LANES_TO_TOP = np.uint64(sum(1 << (47 - 12 * lane) for lane in range(4)))
# Temporaries of this many elements stay in the processor's cache.
_KMERS_PER_BLOCK = 1 << 14


@dataclass(frozen=True)
class Tokenizer:
    """Turns nucleotide sequences into token ids and back.

    Attributes:
        vocabulary: the token texts; a token's place is its id. Special tokens come first:
            `<unk>` 0, `<pad>` 1, `<mask>` 2, `<cls>` 3.
        k: letters per k-mer.
    """

    vocabulary: tuple[str, ...]
    k: int

    unk_id: ClassVar[int] = 0
    pad_id: ClassVar[int] = 1
    mask_id: ClassVar[int] = 2
    cls_id: ClassVar[int] = 3

    @classmethod
    def for_vocabulary_size(cls, vocabulary_size: int, k: int) -> "Tokenizer":
        """Return the tokenizer whose vocabulary has this many tokens.

        Arguments:
            vocabulary_size: rows of the model's token embedding. 4^k + 9 is version 1 (4105 for
                6-mers), 4^k + 11 version 2, which has `<eos>` and `<bos>` after `<cls>` (4107 for
                6-mers, 75 for 3-mers).
            k: letters per k-mer, `k_for_kmers` in the model's `hyperparams.json`; 2 to 8.

        Raises:
            UserError: no such vocabulary; the message names the sizes that exist.
        """
        if not 2 <= k <= _MAX_K:
            raise UserError(
                f"k-mers of {k} letters are not supported: k must be 2 to {_MAX_K} "
                "(6 in the Nucleotide Transformer, 3 in its codon model)"
            )
        kmers = tuple(map("".join, itertools.product(BASES, repeat=k)))
        versions = {
            len(special) + len(kmers) + 5: special
            for special in (_SPECIAL_TOKENS_V1, _SPECIAL_TOKENS_V2)
        }
        if vocabulary_size not in versions:
            first, second = versions
            raise UserError(
                f"no Nucleotide Transformer vocabulary of {k}-mers has {vocabulary_size} tokens: "
                f"version 1 has {first}, version 2 {second} (for 6-mers 4105 or 4107, for 3-mers "
                "75); check the embedding's rows and k_for_kmers in hyperparams.json"
            )
        return cls((*versions[vocabulary_size], *kmers, *BASES, "N"), k)

    @property
    def vocabulary_size(self) -> int:
        """Number of tokens."""
        return len(self.vocabulary)

    def id_of(self, token: str) -> int:
        """Return the id of a token text such as `<mask>`, `ATTCCG` or `N`.

        Raises:
            UserError: the vocabulary has no such token.
        """
        try:
            return self._ids[token]
        except KeyError:
            raise UserError(
                f"{token!r} is not a token: tokens are {self.k}-mers and single letters in upper "
                f"case, and {' '.join(self.vocabulary[: self._special_count])}"
            ) from None

    def count_tokens(self, sequences: Sequence[str]) -> np.ndarray:
        """Count the tokens of each sequence, `<cls>` included, without building them.

        Arguments:
            sequences: nucleotide sequences, refused as `encode` refuses them.

        Returns:
            int64 `[sequences]`.
        """
        texts = read_texts(sequences)
        return _concatenated([cut_segments(text, self.k).tokens_per_sequence for text in texts])

    def encode(self, sequences: Sequence[str], length: int | None = None) -> np.ndarray:
        """Turn sequences into token ids.

        >>> tokenizer = Tokenizer.for_vocabulary_size(4107, k=6)
        >>> ids = tokenizer.encode(["ATTCCGATTCCG", "TATAATN"])
        >>> ids.tolist()
        [[3, 369, 369], [3, 1095, 4106]]
        >>> tokenizer.tokens(ids)[0]
        ['<cls>', 'ATTCCG', 'ATTCCG']
        >>> tokenizer.decode(ids)
        ['ATTCCGATTCCG', 'TATAATN']

        Arguments:
            sequences: nucleotide sequences of A, C, G, T and N in either case.
            length: tokens per row, `<cls>` included; None is the shortest that fits all.

        Returns:
            int32 `[sequences, length]`: `<cls>`, the tokens, `<pad>`. No sequences at all give
            `[0, length]`, with length 1 (the `<cls>`) where it was left open.

        Raises:
            UserError: an empty sequence, another letter, a length that is too small, or
                `sequences` is not a list of texts.
        """
        texts = read_texts(sequences)
        segments = [cut_segments(text, self.k) for text in texts]
        counts = _concatenated([part.tokens_per_sequence for part in segments])
        ids = np.full((len(counts), _row_length(counts, length)), self.pad_id, np.int32)
        ids[:, 0] = self.cls_id
        row = 0
        for text, part in zip(texts, segments, strict=True):
            rows = ids[row : row + len(text.sizes)]
            row += len(rows)
            if text.is_rectangular:
                self._fill_rectangular(rows, text)
            else:
                self._fill_ragged(rows, text, part)
        return ids

    def decode(self, ids: np.ndarray) -> list[str]:
        """Turn token ids back into nucleotide sequences.

        Arguments:
            ids: integers `[sequences, tokens]`.

        Returns:
            One text per row, without `<cls>` and `<pad>`; other special tokens, such as `<mask>`,
            stand in it as their own text.

        Raises:
            UserError: `ids` is not a table of ids of this vocabulary.
        """
        texts = self._texts.copy()
        texts[[self.cls_id, self.pad_id]] = ""
        return ["".join(row) for row in texts[self._checked_ids(ids)]]

    def tokens(self, ids: np.ndarray) -> list[list[str]]:
        """Return the token texts of ids `[sequences, tokens]`, padding included.

        Raises:
            UserError: `ids` is not a table of ids of this vocabulary.
        """
        return self._texts[self._checked_ids(ids)].tolist()

    def _fill_rectangular(self, ids: np.ndarray, text: Text) -> None:
        """Write the tokens of sequences of one size without N: plain slices, no index arrays."""
        count, size = len(text.sizes), int(text.sizes[0])
        kmers = size // self.k
        windows = np.ndarray((count, kmers), "<u8", text.letters, strides=(size, self.k))
        self._fill_kmers(ids[:, 1 : 1 + kmers], windows)
        singles = text.letters[: text.total].reshape(count, size)[:, kmers * self.k :]
        columns = slice(1 + kmers, 1 + kmers + singles.shape[1])
        ids[:, columns] = self._letter_ids.take(singles, mode="wrap")

    def _fill_ragged(self, ids: np.ndarray, text: Text, segments: Segments) -> None:
        """Write the tokens of any sequences, by the place of every token in letters and ids."""
        flat = ids.reshape(-1)
        # Row r begins at r * length; tokens are numbered through all sequences without `<cls>`.
        tokens_per_sequence = segments.tokens_per_sequence - 1
        row_shifts = np.arange(len(ids)) * ids.shape[1] + 1 - sum_before(tokens_per_sequence)
        shifts = np.repeat(row_shifts, np.diff(segments.first, append=len(segments.starts)))
        targets = sum_before(segments.kmers + segments.singles) + shifts

        # A long run of k-mers lies evenly spaced in the letters and needs no index arrays.
        is_long = segments.kmers >= _KMERS_PER_BLOCK
        for start, count, target in zip(
            segments.starts[is_long], segments.kmers[is_long], targets[is_long], strict=True
        ):
            windows = np.ndarray((1, count), "<u8", text.letters, start, strides=(0, self.k))
            self._fill_kmers(flat[None, target : target + count], windows)

        # At every letter the word that begins there: they overlap, nothing is copied. NumPy is
        # faster at picking raw bytes (V8) than unaligned integers.
        words = np.ndarray((text.total,), "V8", text.letters, strides=(1,))
        kmers = np.where(is_long, 0, segments.kmers)
        sources = _spread(segments.starts, kmers, self.k)
        places = _spread(targets, kmers, 1)
        for start in range(0, len(sources), _KMERS_PER_BLOCK):
            block = slice(start, start + _KMERS_PER_BLOCK)
            flat[places[block]] = self._kmer_ids_of(words[sources[block]].view("<u8"))

        sources = _spread(segments.starts + segments.kmers * self.k, segments.singles, 1)
        places = _spread(targets + segments.kmers, segments.singles, 1)
        flat[places] = self._letter_ids.take(text.letters[sources], mode="wrap")

    def _fill_kmers(self, ids: np.ndarray, windows: np.ndarray) -> None:
        """Write the ids of words `[rows, kmers]` into `ids` `[rows, kmers]`, block by block."""
        rows, kmers = windows.shape
        if kmers == 0:
            return
        rows_per_block = max(1, _KMERS_PER_BLOCK // kmers)
        for row in range(0, rows, rows_per_block):
            for kmer in range(0, kmers, _KMERS_PER_BLOCK):
                block = np.s_[row : row + rows_per_block, kmer : kmer + _KMERS_PER_BLOCK]
                ids[block] = self._kmer_ids_of(windows[block])

    def _kmer_ids_of(self, words: np.ndarray) -> np.ndarray:
        """Return the id of the k-mer in the k low bytes of each word (uint64, any shape)."""
        # Bits 1 and 2 tell A, C, T and G apart, in either case.
        codes = words & self._kmer_bits
        codes |= codes >> np.uint64(6)
        codes &= _LANE_BITS
        codes *= _LANES_TO_TOP
        codes >>= np.uint64(48)
        # Codes are below 4^k by construction: "wrap" only spares NumPy's check of the bounds.
        return self._kmer_ids.take(codes.view(np.int64), mode="wrap")

    def _checked_ids(self, ids: np.ndarray) -> np.ndarray:
        ids = np.asarray(ids)
        if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer):
            raise UserError(
                f"token ids must be integers [sequences, tokens], not {ids.dtype} "
                f"{list(ids.shape)}; write [ids] for a single sequence"
            )
        if ids.size and not (ids.min() >= 0 and ids.max() < self.vocabulary_size):
            raise UserError(
                f"token ids from {ids.min()} to {ids.max()} are not of this vocabulary, which has "
                f"0 to {self.vocabulary_size - 1}; decode with the tokenizer that encoded them"
            )
        return ids

    @property
    def _special_count(self) -> int:
        return sum(token.startswith("<") for token in self.vocabulary)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: index for index, token in enumerate(self.vocabulary)}

    @cached_property
    def _texts(self) -> np.ndarray:
        return np.array(self.vocabulary, dtype=object)

    @cached_property
    def _letter_ids(self) -> np.ndarray:
        """Id of each single letter by its character code, either case, int32 `[256]`."""
        ids = np.full(256, self.unk_id, np.int32)
        for letter in (*BASES, "N"):
            ids[[ord(letter), ord(letter.lower())]] = self._ids[letter]
        return ids

    @cached_property
    def _kmer_bits(self) -> np.uint64:
        return np.uint64(int.from_bytes(b"\x06" * self.k, "little"))

    @cached_property
    def _kmer_ids(self) -> np.ndarray:
        """Id of each k-mer by the code `_kmer_ids_of` gives it, int32 `[4^k]`."""
        kmers = self.vocabulary[self._special_count : self._special_count + 4**self.k]
        letters = np.frombuffer("".join(kmers).encode("ascii"), np.uint8).reshape(-1, self.k)
        codes = (letters.astype(np.int64) >> 1 & 3) @ (4 ** np.arange(self.k))
        ids = np.empty(len(kmers), np.int32)
        ids[codes] = self._special_count + np.arange(len(kmers))
        return ids


def _row_length(tokens: np.ndarray, length: int | None) -> int:
    """Return the tokens per row, refusing a length that does not hold `tokens` `[sequences]`."""
    longest = int(tokens.max(initial=1))
    if length is None:
        return longest
    if length < 1:
        raise UserError(f"length={length} is too small: a row holds at least <cls>, so 1 token")
    if length < longest:
        sequence = int(np.argmax(tokens > length))
        raise UserError(
            f"sequence {sequence} (counted from 0) needs {tokens[sequence]} tokens with <cls>, "
            f"more than length={length}: set length to at least {longest} or shorten the sequences"
        )
    return length


def _concatenated(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *parts])


def _spread(first: np.ndarray, counts: np.ndarray, step: int) -> np.ndarray:
    """Return `first[i], first[i] + step, ...` (`counts[i]` numbers) for every i, end to end."""
    numbers = np.arange(0, step * int(counts.sum()), step)
    numbers += np.repeat(first - step * sum_before(counts), counts)
    return numbers
