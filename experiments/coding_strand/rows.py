"""The labelled windows that every arm of the experiment learns from, and the test windows.

A seed draws its own windows from the training, validation and calibration blocks of the genome, so
that the spread over seeds holds that of the labels. The windows of fewer labels are among those of
more. Two thirds of the labels are trained on, a sixth chooses the state that is kept, a sixth is
for calibration; all of them count.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.coding_strand.make_dataset import ROWS, Windows, draw_windows
from ntjax.leakage.kmer_groups import rows_sharing_kmers

POOL = {"train": 4_000, "validation": 600, "calibration": 600, "test": ROWS["test"]}
"""Windows to draw labels from; the test windows are those of the bundled data set."""

PIECE = 10_000
"""Base pairs; test windows of one piece are drawn together by the bootstrap, since they may be of
one gene or operon."""

Rows = tuple[list[str], np.ndarray]
"""Sequences, and int [n], 1 where the gene is on the forward strand and 0 where it is not."""


@dataclass(frozen=True)
class Labelled:
    """The labelled rows of one seed."""

    train: Rows
    validation: Rows
    calibration: Rows

    @property
    def sequences(self) -> list[str]:
        """All labelled sequences."""
        return [*self.train[0], *self.validation[0], *self.calibration[0]]


def read_pool(genome: Path) -> dict[str, Windows]:
    """Read the windows of all parts from the genome; see `draw_windows`."""
    return draw_windows(genome, POOL)


def as_rows(windows: Windows, chosen: Sequence[int] | slice = slice(None)) -> Rows:
    """Return windows as rows."""
    forward = (windows.strands == 1).astype(np.int64)
    sequences = np.array(windows.sequences)[chosen]
    return sequences.tolist(), forward[chosen]


def part_sizes(labels: int) -> dict[str, int]:
    """Divide labels among the parts: even numbers, so that both strands are alike.

    >>> part_sizes(100)
    {'train': 66, 'validation': 16, 'calibration': 18}
    """
    train, validation = 2 * round(labels / 3), 2 * round(labels / 12)
    return {
        "train": train,
        "validation": validation,
        "calibration": labels - train - validation,
    }


def draw_labelled(pool: dict[str, Windows], labels: int, seed: int) -> Labelled:
    """Draw the labelled rows of a seed, half of them of either strand."""
    drawn = {}
    for number, (part, size) in enumerate(part_sizes(labels).items()):
        windows = pool[part]
        order = np.random.default_rng([seed, number]).permutation(len(windows.starts))
        strands = windows.strands[order]
        both = [order[strands == strand][: size // 2] for strand in (1, -1)]
        drawn[part] = as_rows(windows, np.stack(both, axis=1).reshape(-1))
    return Labelled(**drawn)


def pieces(windows: Windows) -> np.ndarray:
    """Number the piece of the genome that each window begins in, int [n]."""
    return windows.starts // PIECE


def apart_from(test: Windows, labelled: Labelled) -> np.ndarray:
    """Tell which test windows share no 16-mer with a labelled one, on either strand; bool [n]."""
    return ~rows_sharing_kmers(test.sequences, labelled.sequences, 16)
