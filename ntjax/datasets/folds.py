"""Cross-validation: rows in folds, one of which a run sets aside."""

from collections.abc import Mapping, Sequence

import numpy as np

from ntjax.datasets.data_settings import DataSettings
from ntjax.datasets.splits import grouped_split
from ntjax.errors import UserError
from ntjax.io.tables import SequenceTable
from ntjax.tasks import Task


def grouped_folds(
    sequences: Sequence[str],
    labels: np.ndarray,
    folds: int,
    seed: int,
    k: int | None = None,
    every_class: bool = True,
    groups: Sequence[str] | None = None,
) -> np.ndarray:
    """Number the fold of each row; related rows share theirs, and classes are balanced.

    >>> rows = ["ACGTACGTAC" * 2, "GGATCCGGAT" * 2, "ACGTACGTAC" * 2, "TTGACATATA" * 2]
    >>> folds = grouped_folds(rows, np.zeros(4, int), 2, seed=0)
    >>> bool(folds[0] == folds[2])  # the two copies together
    True

    Arguments:
        sequences: and all others as in `grouped_split`.
        labels: [rows] classes, or what else is to be balanced.
        folds: how many, all of one size.
        seed: not negative; the same seed gives the same folds.
        k: length of the k-mers that make rows related.
        every_class: whether each fold must have every class.
        groups: [rows] names of groups that stay together, too.

    Returns:
        int64 [rows], from 0.

    Raises:
        UserError: the groups are too large, or a class too rare, for so many folds.
    """
    shares = {f"fold {fold}": 1 / folds for fold in range(folds)}
    parts = grouped_split(sequences, labels, shares, seed, k, every_class, groups)
    of_row = np.zeros(len(sequences), np.int64)
    for fold, rows in enumerate(parts.values()):
        of_row[rows] = fold
    return of_row


def with_fold(
    tables: Mapping[str, SequenceTable], task: Task, settings: DataSettings, k: int
) -> dict[str, SequenceTable]:
    """Set the fold of a run aside: its test rows (pooled), or its validation rows (official).

    Arguments:
        tables: what is given, by part.
        task: what the labels mean.
        settings: with `folds` and `fold`.
        k: length of the k-mers that make rows related.

    Raises:
        UserError: the part that the fold would be is there already, or the test set is missing.
    """
    if not settings.folds:
        return dict(tables)
    part = {"pooled": "test", "official": "validation"}[settings.fold_protocol]
    _check_parts(tables, settings, part)
    whole = tables["train"]
    of_row = grouped_folds(
        whole.sequences,
        task.strata(task.encode(whole)),
        settings.folds,
        settings.seed_of_the_split,
        k,
        task.every_class,
        whole.groups,
    )
    own = of_row == settings.fold
    aside = {"train": whole.take(np.flatnonzero(~own)), part: whole.take(np.flatnonzero(own))}
    return {**tables, **aside}


def _check_parts(tables: Mapping[str, SequenceTable], settings: DataSettings, part: str) -> None:
    asked = f"--folds {settings.folds} --fold-protocol {settings.fold_protocol}"
    if settings.fold_protocol == "official" and "test" not in tables:
        raise UserError(
            f"{asked}: rotates the validation rows beside a test set that stays, and there is "
            "none: give --test FILE, or --fold-protocol pooled, where each fold is tested once"
        )
    if part in tables:
        remedy = (
            "give --fold-protocol official, or all rows in one --train FILE"
            if part == "test"
            else "leave --validation out, or give all rows in one --train FILE"
        )
        raise UserError(
            f"{asked}: takes its {part} rows from the training rows, but "
            f"{tables[part].source} is given for them: {remedy}"
        )
