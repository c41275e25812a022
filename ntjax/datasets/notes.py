"""What a reader has to know about rows: few, related, or not enough to calibrate."""

from collections.abc import Sequence

import numpy as np

from ntjax.calibration.acceptance import FEWEST_GROUPS
from ntjax.calibration.scaling import MINIMUM_ISOTONIC_ROWS, MINIMUM_ROWS
from ntjax.datasets.data_settings import DataSettings
from ntjax.datasets.row_groups import groups_of
from ntjax.errors import UserError
from ntjax.io.tables import SequenceTable
from ntjax.leakage.kmer_groups import rows_sharing_kmers
from ntjax.metrics import UNKNOWN_LABEL
from ntjax.tasks import Task

# Fewer rows than this tell checkpoints apart, or calibrate, by chance.
_FEW_ROWS = 50


def groups_of_test_rows(test: SequenceTable, k: int) -> tuple[np.ndarray, list[str]]:
    """Groups that count as one in intervals, and what a reader has to know about them."""
    groups = groups_of(test, k)
    sizes = np.bincount(groups)
    if len(sizes) == len(test):
        return groups, []
    related = (
        f"the {len(test):,} test rows form {len(sizes):,} groups of sequences that share a {k}-mer"
        f"{' or the name of a group' if test.groups else ''} (the largest has {sizes.max():,})"
    )
    if 2 * sizes.max() > len(test):
        # One group would be most of what an interval is made of.
        return np.arange(len(test)), [f"{related}: intervals count single rows and are too narrow"]
    return groups, [f"{related}: a group counts as one in intervals"]


def notes_on_overlap(tables: dict[str, SequenceTable], k: int) -> list[str]:
    """Test rows related to a row that trained, chose or calibrated the model."""
    test, notes = tables["test"].sequences, []
    for part, name in (
        ("train", "training"),
        ("validation", "validation"),
        ("calibration", "calibration"),
    ):
        if not len(tables[part]):
            continue
        shared = rows_sharing_kmers(test, tables[part].sequences, k)
        if shared.any():
            notes.append(
                f"{int(shared.sum()):,} of {len(test):,} test rows share a {k}-mer with a {name} "
                f"row, on either strand (in random DNA about "
                f"{rows_sharing_by_chance(test, tables[part].sequences, k):,.0f} would)"
            )
        theirs = set(tables[part].groups or ()) - {""}
        if named := sum(group in theirs for group in tables["test"].groups or ()):
            notes.append(f"{named:,} of {len(test):,} test rows are of a group of {name} rows, too")
    return notes


def rows_sharing_by_chance(queries: Sequence[str], references: Sequence[str], k: int) -> float:
    """Expected number of queries that share a k-mer, on either strand, were all letters random."""
    words = sum(max(len(sequence) - k + 1, 0) for sequence in references)
    own = np.array([max(len(sequence) - k + 1, 0) for sequence in queries])
    return float((1 - np.exp(-own * words * 2.0 / 4.0**k)).sum())


def notes_on_calibration(
    task: Task, labels: np.ndarray, method: str, groups: np.ndarray
) -> list[str]:
    """Where another method is used than the one asked for, or none."""
    if not len(labels):
        return []  # it is said why none were set aside
    if task.has_probabilities and (count := len(np.unique(groups))) < FEWEST_GROUPS:
        return [
            f"the model is not calibrated: its {len(labels)} calibration rows are of {count} "
            "groups of related rows, too few to tell whether that helps; its probabilities stay as "
            "they are"
        ]
    if not task.has_probabilities:
        try:
            task.calibration(np.zeros((len(labels), 1)), labels)
        except UserError as error:
            return [f"no interval around the predictions: {error}"]
        return []
    several = labels.ndim == 2
    names, columns = (task.outputs, labels.T) if several else ([""], [labels])
    other = "temperature" if not several and len(task.outputs) > 2 else "Platt"
    notes = []
    for name, column in zip(names, columns, strict=True):
        known = column[column != UNKNOWN_LABEL]
        if len(known) < MINIMUM_ROWS or len(np.unique(known)) < 2:
            notes.append(
                f"{repr(name) if name else 'the model'} is not calibrated: its {len(known)} "
                "calibration rows are too few or all alike; its probabilities stay as they are"
            )
        elif method == "isotonic" and len(known) < MINIMUM_ISOTONIC_ROWS:
            notes.append(
                f"isotonic scaling{f' of {name!r}' if name else ''} needs {MINIMUM_ISOTONIC_ROWS} "
                f"calibration rows and has {len(known)}: {other} scaling is used instead"
            )
    return notes


def notes_on_few_rows(
    tables: dict[str, SequenceTable], task: Task, settings: DataSettings
) -> list[str]:
    """Parts whose rows are so few that what they decide may rest on chance."""
    uses = {
        "validation": "the choice of the checkpoint",
        "calibration": (
            "the calibrated probabilities"
            if task.has_probabilities
            else "the width of the interval around a prediction"
        ),
    }
    given = {"validation"} if settings.validation else set()
    return [
        f"only {len(tables[part])} {part} rows: {use} may rest on chance"
        + ("" if part in given else f"; a higher --{part}-fraction sets more aside")
        for part, use in uses.items()
        if 0 < len(tables[part]) < _FEW_ROWS
    ]
