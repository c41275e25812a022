"""A simulated σ70 promoter task: small, offline, and with the truth about every sequence.

Each sequence has 81 letters, −60 to +20 about the transcription start site (TSS) at 0-based index
60, as the *E. coli* promoter sets have. A promoter (label 1) holds

- a −35 box like TTGACA and a −10 box like TATAAT, 15 to 19 letters apart, mostly 17;
- the −10 box ends 5 to 9 positions before the TSS, mostly 7 (box at −12 to −7);
- in one sequence of five an extended −10: TG and one free letter in front of the −10 box.

The model for this are the 263 *E. coli* promoters of Harley & Reynolds 1987 (doi
10.1093/nar/15.5.2343). Spacers vary as there (17 ± 1 in 92%). To leave less to chance, so that a
small model learns the task in a minute or two, the distance varies less (7 ± 1 in 90%, there
75%), and of the mutations in the boxes (frequencies as tabulated in J Bacteriol 1998, 180:594,
table 3) only **six tenths** are made. One who knows the model then reaches an AUROC of 0.98
(`motif_scores`); with all mutations it would be 0.93.

A negative (label 0) is made in exactly the same way, and then the letters of its two boxes are
shuffled among the places of both. So the composition, of the whole sequence or of the stretch that
holds both boxes, tells nothing: a classifier on letter counts scores an AUROC of 0.5.

Only the raw output of PCG64 is used, which NumPy keeps the same for ever; the methods of its
`Generator` may change between versions. The first rows do not depend on how many are drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ntjax.errors import UserError
from ntjax.io.tables import SequenceTable
from ntjax.sequences.one_hot import column_indices, column_texts

SEQUENCE_LENGTH = 81
TSS_INDEX = 60
BOX_LENGTH = 6

_COUNTED = (0.78, 0.82, 0.68, 0.58, 0.51, 0.55, 0.82, 0.90, 0.52, 0.59, 0.49, 0.89)
_MUTATIONS_KEPT = 0.6
CONSENSUS_PROBABILITY = tuple(1 - _MUTATIONS_KEPT * (1 - counted) for counted in _COUNTED)
"""Chance of the consensus letter at the six places of the −35 and the six of the −10 box."""

SPACER_PROBABILITY = {15: 0.04, 16: 0.20, 17: 0.52, 18: 0.20, 19: 0.04}
"""Letters between the two boxes."""

TSS_DISTANCE_PROBABILITY = {5: 0.05, 6: 0.20, 7: 0.50, 8: 0.20, 9: 0.05}
"""Positions from the last letter of the −10 box to the TSS."""

EXTENDED_PROBABILITY = 0.2
"""Chance of TGn in front of the −10 box."""

BACKGROUND_PROBABILITY = {"A": 0.28, "C": 0.22, "G": 0.22, "T": 0.28}

TRAIN_ROWS, TEST_ROWS = 4_000, 1_000

_PARTS = ("train", "validation", "test")
_PLANTED = column_indices(["TTGACATATAATTG"], 14)[0].astype(np.int64)
_BOXES = 2 * BOX_LENGTH
_ABSENT = -1


@dataclass(frozen=True)
class PlantedSites:
    """Where the boxes were planted; −1 in every array for a negative, which has none.

    All are int64 `[rows]`; starts are 0-based indices into the sequence.
    """

    minus_35_start: np.ndarray
    minus_10_start: np.ndarray
    spacer: np.ndarray
    """Letters between the boxes."""
    extended: np.ndarray
    """1 where TGn stands in front of the −10 box, 0 where it was not planted."""


@dataclass(frozen=True)
class SimulatedTask:
    """The built-in task: tables to learn from and to test on, and the truth about both."""

    train: SequenceTable
    test: SequenceTable
    train_sites: PlantedSites
    test_sites: PlantedSites


def simulated_task(
    seed: int = 0, train_rows: int = TRAIN_ROWS, test_rows: int = TEST_ROWS
) -> SimulatedTask:
    """Training and test set of the built-in task; the sets of one seed are independent draws."""
    train, train_sites = simulate_sigma70(train_rows, seed, "train")
    test, test_sites = simulate_sigma70(test_rows, seed, "test")
    return SimulatedTask(train, test, train_sites, test_sites)


def simulate_sigma70(
    rows: int, seed: int, part: str = "train"
) -> tuple[SequenceTable, PlantedSites]:
    """Simulated sequences, promoters and negatives in turn, beginning with a promoter.

    Arguments:
        rows: number of sequences.
        seed: not negative. The same seed and part give the same rows on every platform.
        part: "train", "validation" or "test": independent draws of one seed. Row 17 of "train"
            is named `sim_train_17`; rows count from 1.

    Returns:
        the sequences with labels "1" and "0", and where the boxes stand.

    Raises:
        ValueError: unknown part.
    """
    if part not in _PARTS:
        raise ValueError(f"part must be one of {', '.join(_PARTS)}, not {part!r}")
    uniform = _UniformColumns(rows, seed, _PARTS.index(part))
    letters = choose(uniform.take(SEQUENCE_LENGTH), list(BACKGROUND_PROBABILITY.values()))
    distance = _choose_key(uniform.take(1)[:, 0], TSS_DISTANCE_PROBABILITY)
    spacer = _choose_key(uniform.take(1)[:, 0], SPACER_PROBABILITY)
    extended = uniform.take(1)[:, 0] < EXTENDED_PROBABILITY
    places = planted_places(distance, spacer)
    planted = _mutated_consensus(uniform.take(_BOXES), uniform.take(_BOXES))
    free = np.take_along_axis(letters, places[:, _BOXES:], axis=1)
    planted[:, _BOXES:] = np.where(extended[:, None], planted[:, _BOXES:], free)

    promoter = np.arange(rows) % 2 == 0
    shuffled = _shuffle(planted, extended, uniform.take(planted.shape[1]))
    np.put_along_axis(letters, places, np.where(promoter[:, None], planted, shuffled), axis=1)
    table = SequenceTable(
        names=tuple(f"sim_{part}_{row}" for row in range(1, rows + 1)),
        sequences=tuple(column_texts(letters)),
        labels=tuple("1" if positive else "0" for positive in promoter),
        source=f"simulated_sigma70 ({part}, seed {seed})",
        rows=tuple(range(1, rows + 1)),
    )
    sites = (places[:, 0], places[:, BOX_LENGTH], spacer, extended.astype(np.int64))
    return table, PlantedSites(*(np.where(promoter, site, _ABSENT) for site in sites))


def motif_scores(sequences: Sequence[str]) -> np.ndarray:
    """Scores by one who knows how the promoters are made: the bar for a trained model.

    The logarithm of the probability of the boxes' letters under the model against the
    background, plus that of spacer and position, at the best of the 25 placements. Letters
    other than A, C, G and T count as uninformative.

    Arguments:
        sequences: of 81 letters each.

    Returns:
        float64 `[sequences]`, natural logarithm; larger is more like a promoter.

    Raises:
        UserError: a sequence has not 81 letters.
    """
    for row, sequence in enumerate(sequences, start=1):
        if len(sequence) != SEQUENCE_LENGTH:
            raise UserError(
                f"sequence {row} has {len(sequence)} letters; the simulated promoters have "
                f"{SEQUENCE_LENGTH}: cut it to −60..+20 about its transcription start site"
            )
    columns = column_indices(sequences, SEQUENCE_LENGTH)
    best = np.full(len(sequences), -np.inf)
    for distance, distance_probability in TSS_DISTANCE_PROBABILITY.items():
        for spacer, spacer_probability in SPACER_PROBABILITY.items():
            places = planted_places(np.array([distance]), np.array([spacer]))[0]
            score = placement_log_odds(columns[:, places])
            best = np.maximum(best, score + np.log(distance_probability * spacer_probability))
    return best


def placement_log_odds(columns: np.ndarray) -> np.ndarray:
    """Log-odds of the bases at one placement: int `[rows, 14]` (boxes, then TG), 4 if unknown."""
    background = np.array(list(BACKGROUND_PROBABILITY.values()))
    consensus = np.array(CONSENSUS_PROBABILITY)[:, None]
    is_consensus = np.arange(4) == _PLANTED[:_BOXES, None]
    boxes = np.log(np.where(is_consensus, consensus, (1 - consensus) / 3) / background)
    boxes = np.pad(boxes, ((0, 0), (0, 1)))  # the last column: unknown bases
    score = boxes[np.arange(_BOXES), columns[:, :_BOXES]].sum(axis=1)
    has_tg = (columns[:, _BOXES:] == _PLANTED[_BOXES:]).all(axis=1)
    tg_by_chance = background[_PLANTED[_BOXES:]].prod()
    return score + np.log(1 - EXTENDED_PROBABILITY + EXTENDED_PROBABILITY * has_tg / tg_by_chance)


class _UniformColumns:
    """Uniform numbers in [0, 1) for every row, handed out column by column.

    Every row owns a stretch of the stream, so that row 17 is the same in a table of any size.
    """

    def __init__(self, rows: int, seed: int, stream: int):
        columns = SEQUENCE_LENGTH + 3 + 2 * _BOXES + len(_PLANTED)
        raw = np.random.PCG64(np.random.SeedSequence((seed, stream))).random_raw((rows, columns))
        self._values = (raw >> np.uint64(11)) * 2.0**-53
        self._taken = 0

    def take(self, columns: int) -> np.ndarray:
        self._taken += columns
        return self._values[:, self._taken - columns : self._taken]


def choose(uniform: np.ndarray, probabilities: list[float]) -> np.ndarray:
    """Turn uniform numbers into int64 choices 0, 1, … with the given probabilities."""
    return np.searchsorted(np.cumsum(probabilities)[:-1], uniform, side="right")


def _choose_key(uniform: np.ndarray, probabilities: dict[int, float]) -> np.ndarray:
    return np.array(list(probabilities))[choose(uniform, list(probabilities.values()))]


def planted_places(distance: np.ndarray, spacer: np.ndarray) -> np.ndarray:
    """Give the index of every planted letter, int64 `[rows, 14]`: −35 box, −10 box, TG."""
    minus_10 = TSS_INDEX - distance - (BOX_LENGTH - 1)
    minus_35 = minus_10 - spacer - BOX_LENGTH
    box = np.arange(BOX_LENGTH)
    tg = np.array([-3, -2])
    starts = (minus_35[:, None] + box, minus_10[:, None] + box, minus_10[:, None] + tg)
    return np.concatenate(starts, axis=1)


def _mutated_consensus(mutate: np.ndarray, replace: np.ndarray) -> np.ndarray:
    """Mutate the boxes' letters, each to one of the other three alike; TG stays."""
    step = 1 + np.floor(3 * replace).astype(np.int64)
    consensus = _PLANTED[:_BOXES]
    kept = mutate < np.array(CONSENSUS_PROBABILITY)
    boxes = np.where(kept, consensus, (consensus + step) % 4)
    tg = np.broadcast_to(_PLANTED[_BOXES:], (len(boxes), len(_PLANTED) - _BOXES))
    return np.concatenate((boxes, tg), axis=1)


def _shuffle(planted: np.ndarray, extended: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Shuffle the planted letters of each row among their places; a free TG place keeps its own."""
    free = np.arange(planted.shape[1]) >= np.where(extended, planted.shape[1], _BOXES)[:, None]
    keys = np.where(free, 1 + np.arange(planted.shape[1]), keys)  # sorts behind every other
    return np.take_along_axis(planted, np.argsort(keys, axis=1, kind="stable"), axis=1)
