"""Windows of genomes as token ids: from either strand, at any place, by a seed and a step alone."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.store import Genome
from ntjax.io.files import release
from ntjax.sequences.alphabet import BASES, reverse_complement_codes
from ntjax.sequences.tokenizer import Tokenizer

# Pages of the memory map that have been read count as the process's memory, sixteen neighbours of
# each included; after so many windows of a genome they are given back (20 MB at 6 kb).
_WINDOWS_BEFORE_RELEASE = 256


WINDOWS_RECORD = "windows.json"
"""File beside sequences of one geometry, which records it under the key "geometry"."""


@dataclass(frozen=True)
class WindowGeometry:
    """Bases before and after the site of a window, such as a transcription start site (TSS).

    The site is one base more. Both count in the direction in which the window is read.
    """

    before: int
    after: int

    @property
    def site_index(self) -> int:
        """Index of the site in the window, from 0."""
        return self.before

    def length(self, context: int = 0) -> int:
        """Bases of a window with so many more at each side."""
        return self.before + 1 + self.after + 2 * context

    def lead(self, reverse: np.ndarray) -> np.ndarray:
        """Bases between a window's start on the forward strand and its site, int64 [sites]."""
        return np.where(reverse, self.after, self.before)

    def record(self, context: int = 0) -> dict[str, int]:
        """Describe windows with so many more bases at each side, for `WINDOWS_RECORD`."""
        before, after = self.before + context, self.after + context
        return {
            "before": before,
            "after": after,
            "site_index": before,
            "length": self.length(context),
        }


PROMOTER_WINDOW = WindowGeometry(60, 20)
"""The 81 bp of the published *E. coli* promoter sets, −60 to +20."""


class RecordedWindows(NamedTuple):
    """What is known of labelled windows of a genome.

    Attributes:
        geometry: where their site lies.
        negatives: what the rows without a site are, as of `ntjax.datasets.negatives.Kind`; "" if
            that is not known.
    """

    geometry: WindowGeometry
    negatives: str = ""


def recorded_windows(path: str | os.PathLike) -> RecordedWindows | None:
    """Read what the windows of a file are from the record that `ntjax.windows` wrote beside it.

    Arguments:
        path: such as `FOLDER/train.csv`.

    Returns:
        None if there is no record beside the file, or the record does not name the file.

    Raises:
        UserError: the record is damaged.
    """
    path = Path(path)
    record = path.with_name(WINDOWS_RECORD)
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
        if path.stem not in content["counts"]:
            return None
        geometry, settings = content["geometry"], content.get("settings", {})
        lengths = WindowGeometry(int(geometry["before"]), int(geometry["after"]))
        return RecordedWindows(lengths, str(settings.get("negatives", "")))
    except OSError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{record}: does not say the geometry of the windows beside it: restore it, or write "
            "the windows again with this version of python -m ntjax.windows"
        ) from None


class WindowSource(Protocol):
    """Something that windows can be drawn from."""

    @property
    def name(self) -> str:
        """For messages."""

    def count(self, letters: int) -> int:
        """Number of windows of so many letters."""

    def read(self, numbers: np.ndarray, letters: int) -> np.ndarray:
        """Windows by number, uint8 [windows, letters], 0 to 3 for A, T, C, G."""


@dataclass(frozen=True)
class Region:
    """Parts of a genome: runs free of N, each with its first and its behind-last place.

    Attributes:
        genome: the store.
        stretches: int64 [stretches, 2], in order.
    """

    genome: Genome
    stretches: np.ndarray
    # By the letters of a window: a draft assembly has a million stretches, and a run few lengths.
    _ends_of: dict[int, np.ndarray] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def name(self) -> str:
        """The genome's."""
        return self.genome.name

    @property
    def letters(self) -> int:
        """Nucleotides in all stretches."""
        return int(np.diff(self.stretches).sum())

    def count(self, letters: int) -> int:
        """Places at which a window of so many letters can begin."""
        return int(self._ends(letters)[-1]) if len(self.stretches) else 0

    def _ends(self, letters: int) -> np.ndarray:
        """Windows up to and with each stretch."""
        if letters not in self._ends_of:
            sizes = self.stretches[:, 1] - self.stretches[:, 0]
            self._ends_of[letters] = np.cumsum(np.maximum(sizes - letters + 1, 0))
        return self._ends_of[letters]

    def places(self, numbers: np.ndarray, letters: int) -> np.ndarray:
        """Where the windows of these numbers begin, int64 [windows]."""
        ends = self._ends(letters)
        stretch = np.searchsorted(ends, numbers, side="right")
        before = np.where(stretch > 0, ends[stretch - 1], 0)
        return self.stretches[stretch, 0] + numbers - before

    def read(self, numbers: np.ndarray, letters: int) -> np.ndarray:
        """Windows by number, uint8 [windows, letters]."""
        return read_windows(self.genome, self.places(numbers, letters), letters)


def read_windows(genome: Genome, places: np.ndarray, letters: int) -> np.ndarray:
    """The windows that begin at `places`, uint8 [windows, letters]."""
    windows = np.empty((len(places), letters), np.uint8)
    for row, place in enumerate(places.tolist()):
        windows[row] = genome.letters[place : place + letters]
        count_window(genome)
    return windows


def count_window(genome: Genome) -> None:
    """To be called for every window read; now and then it gives the genome's memory back."""
    if next(genome.windows_read) % _WINDOWS_BEFORE_RELEASE == 0:
        release(genome.letters)


class WindowSampler:
    """Rows of a fixed number of tokens, drawn from several genomes.

    Every row begins at a place drawn evenly from all at which a window fits, so that a source's
    contigs are seen in proportion to their length and the 6-mers in all six phases; half of the
    rows are read from the other strand. As a sequence's length is seldom a multiple of k, a row
    ends in 0 to k - 1 single letters, each as often as the other.
    """

    def __init__(
        self,
        sources: Sequence[WindowSource],
        shares: Sequence[float] | None,
        tokenizer: Tokenizer,
        tokens: int,
        seed: int,
    ):
        """Sampler of rows of `tokens` ids, `<cls>` included.

        Arguments:
            shares: probability of each source; default: in proportion to its windows.

        Raises:
            UserError: no contig is as long as a window.
        """
        self.sources, self.tokenizer, self.tokens, self.seed = sources, tokenizer, tokens, seed
        self.letters = tokenizer.k * (tokens - 1)
        self.counts = np.array([source.count(self.letters) for source in sources])
        for source, count in zip(sources, self.counts, strict=True):
            if not count:
                raise UserError(
                    f"{source.name}: no stretch without N is as long as a window of "
                    f"{self.letters:,} letters: give fewer --window-tokens, or leave it out"
                )
        shares = self.counts if shares is None else np.asarray(shares)
        self.shares = shares / shares.sum()

    def rows(self, step: int, count: int) -> np.ndarray:
        """Token ids of the rows of a step, int32 [count, tokens]."""
        random = np.random.default_rng([self.seed, step, 0])
        source_of = random.choice(len(self.sources), count, p=self.shares)
        numbers = (random.random(count) * self.counts[source_of]).astype(np.int64)
        windows = np.empty((count, self.letters), np.uint8)
        for number in np.unique(source_of):
            rows = source_of == number
            windows[rows] = self.sources[number].read(numbers[rows], self.letters)
        other = random.random(count) < 0.5
        windows[other] = reverse_complement_codes(windows[other])
        return encode(windows, random.integers(0, self.tokenizer.k, count), self.tokenizer)


def encode(windows: np.ndarray, singles: np.ndarray, tokenizer: Tokenizer) -> np.ndarray:
    """Token ids int32 [windows, 1 + letters / k] of windows uint8 [windows, letters].

    A row has as many tokens as k-mers fit in and `<cls>`; of them the last `singles` [windows] are
    single letters, at most k - 1, and the letters behind those are left out.
    """
    k, (rows, letters) = tokenizer.k, windows.shape
    kmers = letters // k
    first = tokenizer.id_of(BASES[0] * k)
    letter_ids = np.array([tokenizer.id_of(letter) for letter in BASES], np.int32)
    powers = 4 ** np.arange(k - 1, -1, -1, dtype=np.int32)
    ids = np.empty((rows, 1 + kmers), np.int32)
    ids[:, 0] = tokenizer.cls_id
    ids[:, 1:] = first + windows[:, : k * kmers].reshape(rows, kmers, k) @ powers
    for count in range(1, k):
        those = np.flatnonzero(singles == count)
        behind = k * (kmers - count)
        ids[those, 1 + kmers - count :] = letter_ids[windows[those, behind : behind + count]]
    return ids
