"""What a prediction owes to each base: one table for every method."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from ntjax.errors import UserError
from ntjax.interpret.attention_salience import attention_salience
from ntjax.interpret.gradients import gradients
from ntjax.interpret.mutagenesis import mutagenesis, position_importance
from ntjax.runs.run import Run
from ntjax.sequences.alphabet import COLUMN_ORDER

if TYPE_CHECKING:
    import pandas as pd

Method = Literal["mutagenesis", "gradients", "attention"]


@dataclass(frozen=True)
class Explanation:
    """What predictions owe to the bases of sequences.

    Attributes:
        importance: float32 [sequences, bases]; 0 behind a sequence's end. Of mutagenesis and
            gradients: minus the mean effect of the three substitutions, in units of the score. Of
            attention: the salience less its mean over all shuffles, without a sign.
        effects: float32 [sequences, bases, 4], change of the score with A, C, G or T there; None of
            attention.
    """

    importance: np.ndarray
    effects: np.ndarray | None

    def table(self, row: int, sequence: str) -> "pd.DataFrame":
        """Return a row for each base: its position from 0, `importance`, effects of A, C, G, T."""
        import pandas as pd

        columns = {"position": np.arange(len(sequence)), "base": list(sequence)}
        columns["importance"] = self.importance[row, : len(sequence)]
        if self.effects is not None:
            for number, base in enumerate(COLUMN_ORDER):
                columns[f"to_{base}"] = self.effects[row, : len(sequence), number]
        return pd.DataFrame(columns)


def explain(
    run: Run,
    sequences: Sequence[str],
    method: Method = "mutagenesis",
    target: str | None = None,
    progress: str = "",
) -> Explanation:
    """Compute what a run's score owes to each base.

    The score is that of `ntjax.tasks.scores.score_weights`, on the forward strand alone.

    Arguments:
        run: the run.
        sequences: of A, C, G, T and N.
        method: "mutagenesis" scores every single-base mutant (three forward passes a base);
            "gradients" is its first-order approximation (one pass); "attention" is the attention
            that the last layer pays, which knows of no score.
        target: class or label to explain, if there are several.
        progress: name of the progress bar; "" for none.

    Raises:
        UserError: sequences that the model cannot read, a target that does not exist or that the
            method does not take.
    """
    if method not in get_args(Method):
        raise UserError(
            f"there is no method {method!r}: choose among {', '.join(get_args(Method))}"
        )
    if method == "attention":
        if target is not None:
            raise UserError("attention is the same for every class: leave --class (target) out")
        found = attention_salience(run, sequences, progress=progress)
        return Explanation(found.above_shuffled, None)
    if method == "gradients":
        effects = gradients(run, sequences, target=target, progress=progress).substitutions
    else:
        effects = mutagenesis(run, sequences, target=target, progress=progress)
    return Explanation(position_importance(effects), effects)
