"""Splitting labelled sequences into parts that share no k-mer."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ntjax.datasets.row_groups import row_groups
from ntjax.errors import UserError
from ntjax.io.fasta import excerpt
from ntjax.leakage.kmer_groups import kmer_length_for, most_common_kmer, shared_kmer_groups

_TOLERANCE = 0.5
"""How far a part's size may be from the one asked for, as a share of it, before a split fails."""


def grouped_split(
    sequences: Sequence[str],
    labels: Sequence[str] | np.ndarray | None,
    fractions: Mapping[str, float],
    seed: int,
    k: int | None = None,
    every_class: bool = True,
    groups: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """Split rows at random so that related sequences stay together and classes stay balanced.

    Sequences that share a k-mer on either strand, directly or through others, form a group
    (`shared_kmer_groups`). The groups of several rows are placed first, the largest first, each
    where its classes are missing most; then the single rows fill each class of each part to its
    share.

    >>> rows = ["ACGTACGTAC" * 2, "GGATCCGGAT" * 2, "ACGTACGTAC" * 2, "TTGACATATA" * 2]
    >>> parts = grouped_split(rows, None, {"train": 0.75, "test": 0.25}, seed=0)
    >>> {name: len(part) for name, part in parts.items()}
    {'train': 3, 'test': 1}
    >>> any({0, 2} <= set(part.tolist()) for part in parts.values())  # the two copies together
    True

    Arguments:
        sequences: [rows] upper-case sequences of A, C, G, T and N.
        labels: [rows] classes, or None if there are none to balance.
        fractions: share of the rows by name of the part; they add up to 1.
        seed: not negative; the same seed gives the same split.
        k: length of the k-mers; None for `kmer_length_for(sequences)`: 16 unless that many such
            sequences share 16-mers by chance.
        every_class: whether each part must have every class; otherwise classes are only balanced,
            and a part must have some row.
        groups: [rows] names of groups that stay together, too; "" for a row of its own.

    Returns:
        int64 [rows of the part] by name: ascending indices. Every row is in exactly one part.

    Raises:
        UserError: the groups are too large for the parts asked for, or a class can't be had in
            every part.
        ValueError: the fractions are not positive or don't add up to 1.
    """
    shares = np.array(list(fractions.values()), np.float64)
    if not len(shares) or (shares <= 0).any() or not np.isclose(shares.sum(), 1):
        raise ValueError(f"fractions must be positive and add up to 1, not {dict(fractions)}")
    k = kmer_length_for(sequences) if k is None else k
    # Numbered at random, so that every later tie is broken by the seed.
    group = _shuffled_numbers(row_groups(sequences, k, groups), seed)
    classes, class_of_row = np.unique(
        np.zeros(len(sequences), int) if labels is None else np.asarray(labels),
        return_inverse=True,
    )
    counts = np.zeros((group.max(initial=-1) + 1, len(classes)), np.int64)
    np.add.at(counts, (group, class_of_row), 1)

    part_of_group = _place_groups(counts, _targets(shares, counts.sum(axis=0)))
    demanded = counts if every_class else counts.sum(axis=1, keepdims=True)
    missing = _supply_missing_classes(part_of_group, demanded, len(shares))
    sizes = np.bincount(part_of_group, counts.sum(axis=1), minlength=len(shares))
    wanted = shares * len(sequences)
    if (np.abs(sizes - wanted) > np.maximum(_TOLERANCE * wanted, 1)).any():
        raise UserError(_too_connected(sequences, group, k, list(fractions), groups))
    if missing is not None:
        part, label = missing
        kind = f" of class {str(classes[label])!r}" if every_class and labels is not None else ""
        raise UserError(_too_rare(list(fractions)[part], kind, demanded[:, label]))
    part_of_row = part_of_group[group]
    return {name: np.flatnonzero(part_of_row == part) for part, name in enumerate(fractions)}


def _shuffled_numbers(group: np.ndarray, seed: int) -> np.ndarray:
    # Raw output, because NumPy may change `Generator.permutation` from version to version.
    keys = np.random.PCG64(seed).random_raw(group.max(initial=-1) + 1)
    return np.argsort(np.argsort(keys, kind="stable"))[group]


def _targets(shares: np.ndarray, class_counts: np.ndarray) -> np.ndarray:
    """Rows wanted by part and class, int64 `[parts, classes]`; each class adds up."""
    return np.stack([_apportion(shares, count) for count in class_counts], axis=1)


def _apportion(weights: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers in proportion to the weights that add up to `total` (largest remainders)."""
    exact = weights / weights.sum() * total
    whole = np.floor(exact).astype(np.int64)
    most_missing = np.argsort(whole - exact, kind="stable")
    whole[most_missing[: total - whole.sum()]] += 1
    return whole


def _place_groups(counts: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Choose a part for every group.

    Arguments:
        counts: rows, int64 `[groups, classes]`.
        targets: rows wanted, int64 `[parts, classes]`.

    Returns:
        int64 `[groups]`.
    """
    part_of_group = np.zeros(len(counts), np.int64)
    sizes = counts.sum(axis=1)
    room = targets.copy()
    scale = np.maximum(targets, 1)
    order = np.argsort(-sizes, kind="stable")
    for group in order[sizes[order] > 1]:
        rows = counts[group]
        # The share that would still be open: large groups go to large parts, so that no small
        # part consists of one family.
        still_open = ((room - rows) / scale) @ rows
        part = int(np.argmax(still_open))
        part_of_group[group] = part
        room[part] -= rows

    for label in range(counts.shape[1]):
        single = np.flatnonzero((sizes == 1) & (counts[:, label] == 1))
        if len(single):
            open_places = np.maximum(room[:, label], 0)
            share = _apportion(open_places, len(single))
            part_of_group[single] = np.repeat(np.arange(len(share)), share)
    return part_of_group


def _supply_missing_classes(
    part_of_group: np.ndarray, counts: np.ndarray, parts: int
) -> tuple[int, int] | None:
    """Give every part a group of each class it lacks, if another part can spare one.

    Changes `part_of_group`. Returns the first part and class for which no group can be had.
    """
    for part in range(parts):
        for label in range(counts.shape[1]):
            if counts[part_of_group == part, label].any():
                continue
            donor = _group_to_spare(part_of_group, counts, label)
            if donor is None:
                return part, label
            part_of_group[donor] = part
    return None


def _group_to_spare(part_of_group: np.ndarray, counts: np.ndarray, label: int) -> int | None:
    """The smallest group of a class that leaves its part with all classes it has."""
    holders = np.flatnonzero(counts[:, label])
    for group in holders[np.argsort(counts[holders].sum(axis=1), kind="stable")]:
        others = part_of_group == part_of_group[group]
        others[group] = False
        left = counts[others].sum(axis=0)
        if (left[counts[group] > 0] > 0).all():
            return int(group)
    return None


def _too_connected(
    sequences: Sequence[str],
    group: np.ndarray,
    k: int,
    parts: list[str],
    names: Sequence[str] | None,
) -> str:
    if names is not None and np.bincount(shared_kmer_groups(sequences, k)).max() < 2:
        name, rows = Counter(name for name in names if name).most_common(1)[0]
        return (
            f"no split into {', '.join(parts)} keeps the groups of --group-column together: "
            f"{excerpt(name)} alone has {rows} of the {len(sequences)} rows: name smaller groups, "
            "or split the rows yourself and give --validation FILE and --test FILE"
        )
    kmer, holders = most_common_kmer(sequences, k)
    largest = np.bincount(group).max()
    if largest < 2:
        return (
            f"{len(sequences)} rows are too few to split into {', '.join(parts)}: add rows, or "
            "give --validation FILE and --test FILE"
        )
    if len(kmer) < k:  # a whole sequence: it is too short for a k-mer
        short = sum(len(sequence) < k for sequence in sequences)
        return (
            f"no split into {', '.join(parts)} keeps equal sequences together: {short} of the "
            f"{len(sequences)} rows are shorter than {k} bp, so short that many are equal ({kmer} "
            f"stands in {holders}): give longer sequences, or split the rows yourself and give "
            "--validation FILE and --test FILE"
        )
    return (
        f"no split into {', '.join(parts)} keeps related sequences together: {largest} of the "
        f"{len(sequences)} rows are linked by shared {k}-mers; the most common one, {kmer}, is in "
        f"{holders} rows: trim it if it is a primer or an adapter, or split the rows yourself and "
        "give --validation FILE and --test FILE"
    )


def _too_rare(part: str, kind: str, class_counts: np.ndarray) -> str:
    return (
        f"no row{kind} is left for {part}: the {class_counts.sum()} such rows make only "
        f"{np.count_nonzero(class_counts)} groups of related sequences: add rows{kind}, or "
        "split the rows yourself and give --validation FILE and --test FILE"
    )
