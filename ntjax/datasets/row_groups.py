"""Which rows belong together: those that share sequence, and those of which a user says so."""

from collections.abc import Sequence

import numpy as np

from ntjax.io.tables import SequenceTable
from ntjax.leakage.kmer_groups import joined_groups, shared_kmer_groups


def row_groups(sequences: Sequence[str], k: int, names: Sequence[str] | None = None) -> np.ndarray:
    """Number the groups of rows: int64 [rows].

    Rows belong together if they share a k-mer, on either strand, or the name of a group, directly
    or through others.

    >>> row_groups(["ACGTACGTAC", "GGATCCGGAT", "TTGACATATA"], 8, ["lacZ", "", "lacZ"]).tolist()
    [0, 1, 0]

    Arguments:
        sequences: [rows] of A, C, G, T and N.
        k: length of the k-mers.
        names: [rows] of groups, "" for a row of its own; None for none.
    """
    shared = shared_kmer_groups(sequences, k)
    if names is None:
        return shared
    known, number = np.unique(np.array(names, str), return_inverse=True)
    alone = np.array(names, str) == ""
    number[alone] = len(known) + np.flatnonzero(alone)
    return joined_groups([shared, number])


def groups_of(table: SequenceTable, k: int) -> np.ndarray:
    """Number the groups of a table's rows: int64 [rows]."""
    return row_groups(table.sequences, k, table.groups)
