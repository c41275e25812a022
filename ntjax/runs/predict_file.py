"""Score the rows of a file with a run, in chunks: memory does not grow with the file."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ntjax.calibration import calibrated_probabilities
from ntjax.errors import UserError
from ntjax.inference.backbones import buckets_of, check_rows
from ntjax.io.parts import Parts, of_this_input
from ntjax.io.row_stream import RowChunk, RowStream
from ntjax.models.config import check_length
from ntjax.runs.priors import Prior, checked_shares, shifted
from ntjax.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd


class Predicted(NamedTuple):
    """What was written.

    Attributes:
        rows: how many.
        resumed: how many parts of the table were there already.
        unlike: how many are unlike the training rows; None where the run does not know these.
        notes: what was guessed or changed to read the rows.
    """

    rows: int
    resumed: int
    unlike: int | None
    notes: tuple[str, ...]


def predict_file(
    run: Run,
    stream: RowStream,
    parts: Parts,
    *,
    prior: Prior | None = None,
    average_strands: bool | None = None,
    progress: bool = False,
    total: int | None = None,
) -> Predicted:
    """Score each row, in the order of the file, and write a table.

    Its columns are `name`, the other columns of the file, those of `predictions.csv` (of a
    regression `prediction`, and `low` and `high`, between which nine in ten values are expected),
    and `note`: how a row is unlike all training rows.

    Arguments:
        run: the run.
        stream: the rows.
        parts: the table.
        prior: as of `Run.predict`.
        average_strands: average the outputs of both strands; None for what the run does.
        progress: show a progress bar.
        total: about how many rows there are.

    Raises:
        UserError: rows that the run cannot score, columns whose names are taken, a prior that does
            not go with the run, or a full disk.
    """
    scorer = _Scorer(run, stream, prior, average_strands)
    scorer.check_names()
    known = run.training_rows
    rows = unlike = there = number = 0
    bar = tqdm(total=total, unit="row", disable=not progress, desc="predict")
    with of_this_input(parts), bar:
        for number, chunk in enumerate(stream.chunks()):
            if number == 0:
                scorer.buckets = buckets_of(run.model, chunk)
            notes = known.notes(chunk.sequences) if known else None
            unlike += sum(map(bool, notes or []))
            if parts.has(number):
                there += 1
            else:
                parts.write(number, scorer.scored(chunk, notes))
            rows += len(chunk)
            bar.update(len(chunk))
    parts.join(number + 1)
    return Predicted(rows, there, unlike if known else None, tuple(stream.notes()))


def check_readable(run: Run, source: str, chunk: RowChunk) -> None:
    """Refuse rows of a file that a run's model or head cannot read.

    Raises:
        UserError: names the first one.
    """
    tokens = check_rows(run.model, source, chunk)
    for sequence, count, row in zip(chunk.sequences, tokens, chunk.rows, strict=True):
        if problem := run.head.unreadable(len(sequence), int(count)):
            raise UserError(f"{source}: row {row} {problem}")


def window_tokens(run: Run, bases: int) -> int:
    """Count the tokens of windows of so many bases without N.

    Raises:
        UserError: the run's model or head cannot read them.
    """
    [tokens] = map(int, run.model.tokenizer.count_tokens(["A" * bases]))
    try:
        check_length(run.model.config, tokens)
    except UserError as error:
        raise UserError(f"windows of {bases:,} bp: {error}") from None
    if problem := run.head.unreadable(bases, tokens):
        raise UserError(f"--window: a window {problem}")
    return tokens


class _Scorer:
    """Scores chunks of a stream, all padded alike."""

    def __init__(
        self, run: Run, stream: RowStream, prior: Prior | None, average_strands: bool | None
    ):
        self.run, self.stream = run, stream
        self.average_strands = average_strands
        self.as_calibrated = run.strands.are(average_strands)
        self.shares = checked_shares(run, prior, average_strands)
        self.buckets: np.ndarray | None = None

    def check_names(self) -> None:
        """Refuse columns of the file that the table has of its own.

        Raises:
            UserError: names the first one.
        """
        own = {"name", "note", *self._columns(np.zeros((1, len(self.run.classes)), np.float32))}
        if taken := own & set(self.stream.others):
            raise UserError(
                f"{self.stream.path}: has a column {min(taken)!r}, which the predictions have too: "
                "rename it"
            )

    def scored(self, chunk: RowChunk, notes: list[str] | None) -> "pd.DataFrame":
        """Return the columns of the table, with notes on the rows if there can be any."""
        import pandas as pd

        check_readable(self.run, str(self.stream.path), chunk)
        logits = self.run.logits(
            chunk.sequences, average_strands=self.average_strands, buckets=self.buckets
        )
        others = {name: chunk.others[name] for name in chunk.others}
        noted = {} if notes is None else {"note": notes}
        return pd.DataFrame({"name": chunk.names, **others, **self._columns(logits), **noted})

    def _columns(self, logits: np.ndarray) -> dict[str, Any]:
        run, values = self.run, self.run.task.values(logits)
        # A calibration holds for outputs of the strands that it was fitted on.
        calibration = run.calibration if self.as_calibrated else None
        if not run.task.has_probabilities:
            half = getattr(calibration, "half_width", np.nan)
            columns = dict(run.task.value_columns(logits, values, None))
            return columns | {"low": values - half, "high": values + half}
        calibrated = None
        if calibration is not None:
            calibrated = calibrated_probabilities(calibration, logits)
            if self.shares is not None:
                calibrated = shifted(run, calibrated, self.shares)
        return dict(run.task.value_columns(logits, values, calibrated))
