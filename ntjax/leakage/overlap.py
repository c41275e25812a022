"""What of a test file stands in its training file: copies, shifted and near-identical relatives."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntjax.io.labels import classes_of
from ntjax.io.tables import SequenceTable
from ntjax.leakage.kmer_groups import KMER_LENGTH, canonical_kmers, rows_sharing_kmers
from ntjax.leakage.near_identical import IDENTITY, near_identical_pairs
from ntjax.sequences.alphabet import gc_content, reverse_complement

UNLABELLED = "unlabelled"
"""The one class of a table without labels."""


@dataclass(frozen=True)
class Overlap:
    """Which test rows have which relatives in the training file, by the relatives' labels.

    Attributes:
        classes: the labels of the training file, in order.
        exact: bool [test rows, classes], a training row of that label has the same letters.
        reverse_complement: bool [test rows, classes], or those of the other strand.
        sharing: bool [test rows, classes], or shares a k-mer on either strand; copies do.
        near_identical: bool [test rows, classes], or is near-identical and no copy.
    """

    classes: tuple[str, ...]
    exact: np.ndarray
    reverse_complement: np.ndarray
    sharing: np.ndarray
    near_identical: np.ndarray

    @property
    def copies(self) -> np.ndarray:
        """On either strand, bool [test rows, classes]."""
        return self.exact | self.reverse_complement


def labels_of(table: SequenceTable) -> tuple[str, ...]:
    """The labels of a table; without any, every row is `UNLABELLED`."""
    return (UNLABELLED,) * len(table) if table.labels is None else table.labels


def find_overlap(
    train: SequenceTable,
    test: SequenceTable,
    k: int = KMER_LENGTH,
    identity: float = IDENTITY,
) -> Overlap:
    """Compare every test row with every training row.

    Arguments:
        k: length of a shared stretch, in letters.
        identity: of near-identical rows, as in `ntjax.leakage.near_identical`.

    Raises:
        UserError: k is not between 1 and 31, or the identity not above 0.5 and at most 1.
    """
    labels = labels_of(train)
    classes = classes_of(labels)
    class_of = np.array([classes.index(label) for label in labels])
    return Overlap(
        classes,
        _same_letters(train.sequences, class_of, test.sequences, len(classes)),
        _same_letters(train.sequences, class_of, reverse_complement(test.sequences), len(classes)),
        sharing_by_label(test.sequences, train, classes, k),
        _near_identical(train.sequences, class_of, test.sequences, len(classes), identity),
    )


def sharing_by_label(
    sequences: Sequence[str], others: SequenceTable, classes: Sequence[str], k: int = KMER_LENGTH
) -> np.ndarray:
    """Which rows share a k-mer with rows of each label of another table, bool [rows, classes]."""
    labels = labels_of(others)
    columns = [
        rows_sharing_kmers(
            sequences, [s for s, of in zip(others.sequences, labels, strict=True) if of == label], k
        )
        for label in classes
    ]
    return np.stack(columns, axis=1)


def _same_letters(
    train: Iterable[str], class_of: np.ndarray, test: Iterable[str], classes: int
) -> np.ndarray:
    held: dict[str, set[int]] = {}
    for sequence, label in zip(train, class_of.tolist(), strict=True):
        held.setdefault(sequence, set()).add(label)
    same = [[label in held.get(sequence, ()) for label in range(classes)] for sequence in test]
    return np.array(same, bool)


def _near_identical(
    train: Sequence[str], class_of: np.ndarray, test: Sequence[str], classes: int, identity: float
) -> np.ndarray:
    # Copies are compared once, and not with each other.
    known, known_of = np.unique(canonical(train), return_inverse=True)
    own, own_of = np.unique(canonical(test), return_inverse=True)
    holds = np.zeros((len(known), classes), bool)
    holds[known_of, class_of] = True
    found = np.zeros((len(own), classes), bool)
    for queries, references in near_identical_pairs(own.tolist(), known.tolist(), identity):
        other = own[queries] != known[references]
        for label in range(classes):
            found[queries[other & holds[references, label]], label] = True
    return found[own_of]


def canonical(sequences: Sequence[str]) -> list[str]:
    """Of each sequence and its reverse complement the first in the alphabet: equal for copies."""
    return [min(pair) for pair in zip(sequences, reverse_complement(sequences), strict=True)]


def chance_of_sharing(
    test: Sequence[str], train: Sequence[str], k: int = KMER_LENGTH
) -> np.ndarray:
    """How likely a test row shares a k-mer with unrelated rows by chance, float64 [rows].

    Two letters drawn by the GC contents g and h of both sides are equal with probability
    p = g h / 2 + (1 - g)(1 - h) / 2. Where a k-mer is shared, the next one often is too, so that
    runs are counted, which begin at each further window with 1 - p (Arratia, Gordon & Waterman
    1986). A row of v windows against D k-mers, on two strands, is expected to have about
    m = 2 D pᵏ (1 + (v - 1)(1 - p)), and shares none with probability exp(-m).
    """
    held = len(np.unique(canonical_kmers(train, k)[0]))
    own, other = np.nan_to_num(gc_content(test), nan=0.5), _mean_gc(train)
    equal = (own * other + (1 - own) * (1 - other)) / 2
    windows = np.array([len(sequence) - k + 1 for sequence in test])
    runs = np.where(windows > 0, 1 + (windows - 1) * (1 - equal), 0)
    return -np.expm1(-2 * held * equal**k * runs)


def _mean_gc(sequences: Sequence[str]) -> float:
    known = gc_content(sequences)
    known = known[~np.isnan(known)]
    return float(known.mean()) if len(known) else 0.5


def overlap_counts(
    overlap: Overlap, labels: Sequence[str], chance: np.ndarray
) -> dict[str, dict[str, Any]]:
    """Test rows with each kind of relative: `{"by_label": {label: counts}, "total": counts}`.

    `shifted` rows share a k-mer but have no copy; `near_identical` ones have a partner that is no
    copy, whatever else they have; of `related` rows any of this is true. Rows `with_other_label`
    have a copy, shared k-mer or near-identical partner in a training row of another label.

    Arguments:
        labels: [test rows].
        chance: float64 [test rows], as `chance_of_sharing` gives it.
    """
    copy, sharing, near = (
        part.any(axis=1) for part in (overlap.copies, overlap.sharing, overlap.near_identical)
    )
    other = np.array(labels)[:, None] != np.array(overlap.classes)
    kinds = {
        "exact_copy": overlap.exact.any(axis=1),
        "reverse_complement_copy": overlap.reverse_complement.any(axis=1),
        "shifted": sharing & ~copy,
        "near_identical": near,
        "near_identical_without_shared_kmer": near & ~sharing,
        "related": sharing | near,
        "copy_with_other_label": (overlap.copies & other).any(axis=1),
        "shared_kmer_with_other_label": (overlap.sharing & other).any(axis=1),
        "near_identical_with_other_label": (overlap.near_identical & other).any(axis=1),
    }

    def counts(rows: np.ndarray) -> dict[str, Any]:
        counted = {kind: int((held & rows).sum()) for kind, held in kinds.items()}
        expected = {"shared_kmer_expected_by_chance": float(chance[rows].sum())}
        return {"rows": int(rows.sum())} | counted | expected

    return by_label(labels, counts)


def by_label(labels: Sequence[str], counts: Any) -> dict[str, Any]:
    """`counts`, a function of bool [rows], for the rows of each label and for all."""
    of = np.array(labels)
    return {
        "by_label": {label: counts(of == label) for label in classes_of(labels)},
        "total": counts(np.ones(len(of), bool)),
    }


def conflicting_copies(overlap: Overlap, test: SequenceTable) -> list[dict[str, Any]]:
    """Test rows of which the training file holds a copy, on either strand, with another label.

    Returns:
        `{"row": row of the file, "name": …, "label": …, "training_labels": […]}` each.
    """
    found = []
    for index, label in enumerate(labels_of(test)):
        held = [overlap.classes[c] for c in np.flatnonzero(overlap.copies[index])]
        if any(other != label for other in held):
            found.append(
                {
                    "row": test.rows[index],
                    "name": test.names[index],
                    "label": label,
                    "training_labels": held,
                }
            )
    return found
