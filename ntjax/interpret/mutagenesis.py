"""In-silico mutagenesis: what every exchange of one letter does to a run's score.

Each mutant is read by the whole model: 243 passes for a promoter of 81 letters.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from ntjax.datasets.batching import choose_buckets
from ntjax.inference.backbones import encoded
from ntjax.inference.devices import EVALUATION_TOKENS, RowBatch, in_batches
from ntjax.inference.forward import compile_predict
from ntjax.interpret.letters import LetterPlaces, letter_places, substitutions
from ntjax.runs.run import Run
from ntjax.sequences.tokenizer import Tokenizer
from ntjax.tasks.scores import score_weights

_OTHERS = 3


def mutagenesis(
    run: Run, sequences: Sequence[str], *, target: str | None = None, progress: str = ""
) -> np.ndarray:
    """Change of the score with each of the three other letters at each position.

    Of a run that averages strands it is the score of the forward strand alone.

    Arguments:
        run: trained for any task.
        sequences: of A, C, G, T and N.
        target: class or label to explain, see `score_weights`.
        progress: name of the progress bar; "" for none.

    Returns:
        float32 [sequences, letters, 4], score of the mutant minus that of the sequence, letters in
        the order A, C, G, T. 0 for the letter that stands there, at N (there is no letter to change
        from) and behind a sequence's end.

    Raises:
        UserError: sequences that the model cannot read, or a target that does not exist.
    """
    weights = score_weights(run.task, target)
    cleaned, ids = encoded(run.model, sequences)
    places = letter_places(run.model.tokenizer, cleaned, ids)
    table = substitutions(run.model.tokenizer)
    before = run.logits(cleaned, average_strands=False) @ weights
    changes = np.zeros((*places.codes.shape, 4), np.float32)
    groups = _groups(ids, places)
    total = sum(-(-_OTHERS * len(group.letters) // group.size) for group in groups)
    mutants = _mutants(groups, ids, places, table)
    compiled = compile_predict(run.forward_config)
    for numbers, outputs in in_batches(
        compiled, run.model.params, run.trainable, mutants, progress, total
    ):
        rows, letters, exchanged = numbers.T
        changes.reshape(-1, 4)[letters, exchanged] = outputs @ weights - before[rows]
    return changes


def position_importance(changes: np.ndarray) -> np.ndarray:
    """How much the score owes to the letter at each position, [sequences, letters].

    Minus the mean of the three changes of `mutagenesis` (or `Gradients.substitutions`)
    [sequences, letters, 4]: above 0 where other letters would lower the score.
    """
    return -changes.sum(axis=-1) / _OTHERS


class _Group(NamedTuple):
    """Sequences whose mutants are computed with one program.

    Attributes:
        length: tokens of a row.
        size: mutants of a batch.
        letters: int64, numbers of the known letters in [sequences, letters], flattened.
    """

    length: int
    size: int
    letters: np.ndarray


def _groups(ids: np.ndarray, places: LetterPlaces) -> list[_Group]:
    lengths = (ids != Tokenizer.pad_id).sum(axis=1)
    buckets = choose_buckets(lengths)
    bucket_of = np.searchsorted(buckets, lengths)
    devices, groups = len(jax.local_devices()), []
    for bucket, length in enumerate(buckets):
        letters = np.flatnonzero(places.known & (bucket_of == bucket)[:, None])
        most = max(1, EVALUATION_TOKENS // int(length)) * devices
        size = -(-min(most, _OTHERS * len(letters)) // devices) * devices
        if len(letters):
            groups.append(_Group(int(length), size, letters))
    return groups


def _mutants(
    groups: list[_Group], ids: np.ndarray, places: LetterPlaces, table: np.ndarray
) -> Iterator[RowBatch]:
    """Batches of mutants; the last one of a group is filled with its last mutant.

    `rows` are int64 [size, 3]: each mutant's row, its letter's number in [sequences, letters], and
    the letter that stands there now; the array is its tokens, int32 [size, tokens].
    """
    for length, size, known in groups:
        for start in range(0, _OTHERS * len(known), size):
            number = np.minimum(np.arange(start, start + size), _OTHERS * len(known) - 1)
            letter = known[number // _OTHERS]
            row = letter // places.codes.shape[1]
            exchanged = (places.codes.ravel()[letter] + 1 + number % _OTHERS) % 4
            token, place = places.token.ravel()[letter], places.place.ravel()[letter]
            tokens = ids[row, :length]
            slot = np.arange(size)
            tokens[slot, token] = table[tokens[slot, token], place, exchanged]
            yield RowBatch(np.stack([row, letter, exchanged], axis=1), (tokens,))
