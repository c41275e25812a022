"""Which head a run gets: the one that was asked for, or the one that suits its rows."""

from collections.abc import Mapping

import numpy as np

from ntjax.datasets.batching import TokenisedSet
from ntjax.errors import UserError
from ntjax.io.tables import SequenceTable
from ntjax.models.heads import MOST_TOKENS, Attention, Cls, HeadConfig, Mean, Tokens
from ntjax.training.settings import Settings

_MOST_FOR_AUTO = 32


def head_of(
    settings: Settings,
    outputs: int,
    tables: Mapping[str, SequenceTable],
    tokenised: Mapping[str, TokenisedSet],
) -> HeadConfig:
    """Return the head of a run.

    "auto" is `tokens` where all rows are of one length up to 32 tokens, else `mean`: short rows
    are mostly cut around something, such as a start site, and long ones seldom.

    Arguments:
        settings: its `head` is not None.
        outputs: of the task.
        tables: rows by part.
        tokenised: their tokens by part.

    Raises:
        UserError: `tokens` was asked for, and rows are of several lengths or too long.
    """
    name, longest = settings.head, max(int(part.tokens.shape[1]) for part in tokenised.values())
    problem = _no_positions(tables, longest)
    if name == "auto":
        # An N makes more tokens of a row: a few of those do not decide.
        usual = np.median(tokenised["train"].lengths)
        name = "mean" if problem or usual > _MOST_FOR_AUTO else "tokens"
    match name:
        case "tokens" if problem:
            raise UserError(f"--head tokens {problem}; take --head attention or --head mean")
        case "tokens":
            bases = len(tables["train"].sequences[0])
            return Tokens(outputs, longest, settings.head_bottleneck, bases)
        case "attention":
            return Attention(outputs, settings.head_queries, longest)
        case "mean":
            return Mean(outputs)
    return Cls(outputs)


def _no_positions(tables: Mapping[str, SequenceTable], longest: int) -> str:
    """Why a head cannot have weights of its own for each position; "" if it can."""
    if longest > MOST_TOKENS:
        return f"reads at most {MOST_TOKENS} tokens a row, and the longest has {longest}"
    first = len(tables["train"].sequences[0])
    for table in tables.values():
        for sequence, row in zip(table.sequences, table.rows, strict=True):
            if len(sequence) != first:
                return (
                    f"needs rows of one length: {table.source}, row {row} has {len(sequence)} bp, "
                    f"the first training row {first}"
                )
    return ""
