"""Families within one file: groups of related rows, and rows that stand in it more than once."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ntjax.io.tables import SequenceTable
from ntjax.leakage.kmer_groups import KMER_LENGTH, kmer_length_for, shared_kmer_groups
from ntjax.leakage.overlap import canonical, labels_of


def describe_clusters(table: SequenceTable, k: int = KMER_LENGTH) -> dict[str, Any]:
    """Groups of rows that share k-mers, directly or through others, and duplicates.

    In large files chance alone would link most rows through 16-mers, so that k is raised to
    `kmer_length_for(sequences)` where that is more.

    Arguments:
        k: least length of the k-mers, in letters.

    Returns:
        `kmer_length`; `groups`; `largest`, in rows; `rows_in_larger_groups`: those that are not
        alone in theirs; `duplicate_rows`: those whose letters stand in an earlier row;
        `reverse_complement_rows`: further ones whose other strand does; and
        `conflicting_duplicates`: copies, on either strand, with different labels, as
        `{"rows": rows of the file, "names": […], "labels": […]}`.

    Raises:
        UserError: k is not between 1 and 31.
    """
    k = max(k, kmer_length_for(table.sequences))
    sizes = np.bincount(shared_kmer_groups(table.sequences, k))
    whole = canonical(table.sequences)
    distinct, distinct_pairs = len(set(table.sequences)), len(set(whole))
    return {
        "kmer_length": k,
        "groups": len(sizes),
        "largest": int(sizes.max()),
        "rows_in_larger_groups": int(sizes[sizes > 1].sum()),
        "duplicate_rows": len(table) - distinct,
        "reverse_complement_rows": distinct - distinct_pairs,
        "conflicting_duplicates": _conflicts(table, whole),
    }


def _conflicts(table: SequenceTable, whole: list[str]) -> list[dict[str, Any]]:
    labels = labels_of(table)
    return [
        {
            "rows": [table.rows[index] for index in indices],
            "names": [table.names[index] for index in indices],
            "labels": [labels[index] for index in indices],
        }
        for indices in _rows_in_conflict(whole, labels)
    ]


def _rows_in_conflict(sequences: Sequence[str], labels: Sequence[str]) -> list[list[int]]:
    """Rows of each sequence that has several labels."""
    holders: dict[str, list[int]] = {}
    for index, sequence in enumerate(sequences):
        holders.setdefault(sequence, []).append(index)
    return [
        indices for indices in holders.values() if len({labels[index] for index in indices}) > 1
    ]


def conflicting_labels(
    sequences: Sequence[str], labels: Sequence[str], rows: Sequence[int] | None = None
) -> str | None:
    """Say how many sequences stand in several rows with different labels; None if none does.

    Reverse complements are other sequences here: their label may depend on the strand.

    Arguments:
        sequences: [n] upper-case sequences.
        labels: [n] classes.
        rows: [n] row numbers for the note; 1 to n if absent.
    """
    found = _rows_in_conflict(sequences, labels)
    if not found:
        return None
    rows = range(1, len(labels) + 1) if rows is None else rows
    first = ", ".join(f"{rows[index]} ({labels[index]})" for index in found[0][:5])
    are = "sequence has" if len(found) == 1 else "sequences have"
    return (
        f"{len(found):,} {are} several labels, in {sum(map(len, found)):,} rows, the first in rows "
        f"{first}: no model can call them all right"
    )
