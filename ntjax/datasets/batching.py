"""Batches of token ids: length buckets, seeded order, no row left out.

Which rows make up the batch of a step is a function of the seed and the step alone, so that a
resumed run sees what an uninterrupted one would have seen.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ntjax.sequences.tokenizer import Tokenizer

PAD_ID = Tokenizer.pad_id
MAXIMUM_BUCKETS = 8


@dataclass(frozen=True)
class TokenisedSet:
    """Token ids of a set of sequences.

    Attributes:
        tokens: int16 (int32 if a token needs it) [rows, longest], padded with `<pad>`.
        lengths: int [rows], tokens of each row, `<cls>` included.
        labels: what the loss compares the outputs with: class numbers int32 [rows]; numbers
            float32 [rows] or [rows, labels].
        weights: float32 [rows], above 0: how much a row weighs in the loss; None for 1.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None = None

    @classmethod
    def create(cls, ids: np.ndarray, labels: np.ndarray) -> "TokenisedSet":
        """From ids [rows, tokens] as the tokenizer gives them, and labels [rows, ...].

        Whole numbers are taken for class numbers.
        """
        labels = np.asarray(labels)
        labels = labels.astype(np.float32 if labels.dtype.kind == "f" else np.int32)
        fits = ids.max(initial=0) <= np.iinfo(np.int16).max
        tokens = ids.astype(np.int16 if fits else np.int32)
        return cls(tokens, (ids != PAD_ID).sum(axis=1), labels)

    @classmethod
    def unlabelled(cls, ids: np.ndarray) -> "TokenisedSet":
        """From ids [rows, tokens] alone, to predict with."""
        return cls.create(ids, np.zeros(len(ids), np.int32))

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass(frozen=True)
class Batch:
    """Rows to compute together.

    Attributes:
        rows: int [size], row numbers in the set; slots beyond its end repeat the first row.
        tokens: int32 [size, tokens].
        labels: of those rows, [size] or [size, labels].
        weights: float32 [size], 0 in the slots that repeat a row.
        positions: int32 [size, chosen], the tokens a language model is to predict; labels and
            weights then have that shape too.
    """

    rows: np.ndarray
    tokens: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    positions: np.ndarray | None = None

    @property
    def real_rows(self) -> np.ndarray:
        """Row numbers without the repeated ones."""
        return self.rows[self.weights.reshape(len(self.rows), -1).any(axis=1)]


def choose_buckets(lengths: np.ndarray, most: int = MAXIMUM_BUCKETS) -> np.ndarray:
    """Lengths to pad to: every length that occurs, or `most` quantiles of them.

    Each bucket is compiled once. Sequences of one length, such as 81-bp promoters, are padded
    not at all.

    >>> choose_buckets(np.arange(10, 110), most=4).tolist()
    [35, 60, 85, 109]
    """
    distinct = np.unique(lengths)
    if len(distinct) <= most:
        return distinct
    quantiles = np.quantile(lengths, np.arange(1, most + 1) / most, method="higher")
    return np.unique(quantiles)


def stream_buckets(lengths: np.ndarray, longest: int) -> np.ndarray:
    """Lengths to pad to, chosen from the first rows of a stream.

    Rows that are longer than all of these are padded to lengths a quarter apart.

    >>> stream_buckets(np.array([17, 17, 17]), longest=40).tolist()
    [17, 22, 28, 35, 40]

    Arguments:
        lengths: of the first rows, in tokens.
        longest: that the model can read, in tokens.
    """
    buckets = choose_buckets(lengths).tolist()
    while buckets[-1] < longest:
        buckets.append(min(longest, -(-buckets[-1] * 5 // 4)))
    return np.array(buckets)


def make_batch(data: TokenisedSet, rows: np.ndarray, size: int, length: int) -> Batch:
    """Fill `size` slots with `rows`, padded to `length` tokens."""
    filler = size - len(rows)
    # A copy of a real row, not a row of padding: 0 · NaN would be NaN.
    slots = np.concatenate([rows, np.repeat(rows[:1], filler)])
    own = np.ones(len(rows)) if data.weights is None else data.weights[rows]
    weights = np.concatenate([own, np.zeros(filler)]).astype(np.float32)
    tokens = data.tokens[slots, :length].astype(np.int32)
    missing = length - tokens.shape[1]
    tokens = np.pad(tokens, ((0, 0), (0, missing)), constant_values=PAD_ID) if missing else tokens
    return Batch(slots, tokens, data.labels[slots], weights)


class TrainingBatches:
    """The batch of any step, from the seed and the step number.

    `slots`, if given, is how many a batch has at least: those beyond its rows weigh nothing.
    """

    def __init__(self, data: TokenisedSet, batch_size: int, seed: int, slots: int = 0):
        self.data, self.batch_size, self.seed = data, batch_size, seed
        self.slots = max(slots, batch_size)
        self.buckets = choose_buckets(data.lengths)
        self.bucket_of = np.searchsorted(self.buckets, data.lengths)
        self.batches_per_epoch = len(self._rows(0))
        self._rows = lru_cache(maxsize=2)(self._rows)

    def batch(self, step: int) -> Batch:
        """The batch of `step` (from 0)."""
        epoch, place = divmod(step, self.batches_per_epoch)
        rows = self._rows(epoch)[place]
        length = int(self.buckets[self.bucket_of[rows].max()])
        return make_batch(self.data, rows, self.slots, length)

    def _rows(self, epoch: int) -> list[np.ndarray]:
        """All batches of an epoch: full ones of one bucket, then the left-overs by length.

        A last batch of fewer rows than a quarter of `batch_size` shares the rows of the one before
        evenly: each batch is a step of full size, and the gradient of a few rows is mostly noise.
        """
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(len(self.data))
        size, batches, left_over = self.batch_size, [], []
        for bucket in range(len(self.buckets)):
            rows = order[self.bucket_of[order] == bucket]
            full = len(rows) // size * size
            batches += list(rows[:full].reshape(-1, size))
            left_over.append(rows[full:])
        rest = np.concatenate(left_over)
        batches += [rest[start : start + size] for start in range(0, len(rest), size)]
        if len(batches) > 1 and 4 * len(batches[-1]) < size:
            batches[-2:] = np.array_split(np.concatenate(batches[-2:]), 2)
        return [batches[place] for place in random.permutation(len(batches))]


_HALVINGS = 2


def evaluation_batches(
    data: TokenisedSet,
    tokens_per_batch: int,
    multiple: int,
    buckets: np.ndarray | None = None,
) -> Iterator[Batch]:
    """Every row once, in order of length, in batches of about `tokens_per_batch` tokens.

    Arguments:
        data: the rows.
        tokens_per_batch: of all devices together.
        multiple: of which the number of slots is one (the devices).
        buckets: lengths to pad to, where these rows are part of a stream; None for those that suit
            them. The slots depend on the bucket alone, so that each bucket is compiled once; of a
            stream a last batch has a half or a quarter of them.
    """
    lengths = choose_buckets(data.lengths) if buckets is None else buckets
    bucket_of = np.searchsorted(lengths, data.lengths)
    for bucket in np.unique(bucket_of):
        rows, length = np.flatnonzero(bucket_of == bucket), int(lengths[bucket])
        full = max(1, tokens_per_batch // length)
        full = full if buckets is not None else min(full, len(rows))
        full = -(-full // multiple) * multiple
        for start in range(0, len(rows), full):
            chosen = rows[start : start + full]
            size = full if buckets is None else _fewest_slots(len(chosen), full, multiple)
            yield make_batch(data, chosen, size, length)


def _fewest_slots(rows: int, full: int, multiple: int) -> int:
    """A full batch's slots, or half or a quarter of them if that is enough."""
    sizes = [-(-(full >> halvings) // multiple) * multiple for halvings in range(_HALVINGS + 1)]
    return min(size for size in sizes if size >= rows)
