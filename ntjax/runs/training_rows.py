"""What the training rows of a run were like, so that rows unlike them can be told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ntjax.io.json import finite_number
from ntjax.sequences.alphabet import gc_content


@dataclass(frozen=True)
class TrainingRows:
    """Ranges of the training rows.

    Attributes:
        length: shortest and longest, in bp.
        gc: lowest and highest share of G and C among known bases.
        unknown: highest share of N.
    """

    length: tuple[int, int]
    gc: tuple[float, float]
    unknown: float

    @classmethod
    def of(cls, sequences: Sequence[str]) -> Self:
        """Take the ranges of sequences of A, C, G, T and N.

        >>> TrainingRows.of(["ACGT", "ACGTAN"])
        TrainingRows(length=(4, 6), gc=(0.4, 0.5), unknown=0.16666666666666666)
        """
        lengths = np.array([len(sequence) for sequence in sequences])
        shares = gc_content(sequences)
        shares = shares[~np.isnan(shares)]  # of nothing but N
        low, high = (shares.min(), shares.max()) if len(shares) else (0.0, 1.0)
        unknown = max(map(_unknown_share, sequences))
        return cls((int(lengths.min()), int(lengths.max())), (float(low), float(high)), unknown)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Rebuild what `dataclasses.asdict` gave.

        Raises:
            ValueError: other keys, or ranges that no rows have.
        """
        if saved.keys() != {"length", "gc", "unknown"}:
            raise ValueError(f"ranges of the training rows are {saved!r:.100}")
        pairs = {}
        for name in ("length", "gc"):
            low, high = (finite_number(value, f"the rows' {name}") for value in saved[name])
            if not 0 <= low <= high:
                raise ValueError(f"the rows' {name} is {low:g} to {high:g}")
            pairs[name] = low, high
        length = (int(pairs["length"][0]), int(pairs["length"][1]))
        return cls(length, pairs["gc"], finite_number(saved["unknown"], "the rows' share of N"))

    def notes(self, sequences: Sequence[str]) -> list[str]:
        """Say of each sequence what no training row had; "" where there is nothing to say.

        >>> TrainingRows((81, 81), (0.3, 0.6), 0.0).notes(["ACGTN" * 16, "A" * 81])
        ['80 bp (training rows: 81); N 0.2 (0)', 'GC 0 (0.3 to 0.6)']
        """
        shares = gc_content(sequences)
        return [self._note(*pair) for pair in zip(sequences, shares, strict=True)]

    def _note(self, sequence: str, gc: float) -> str:
        low, high = self.length
        problems = []
        if not low <= len(sequence) <= high:
            usual = f"{low:,}" if low == high else f"{low:,} to {high:,}"
            problems.append(f"{len(sequence):,} bp (training rows: {usual})")
        if gc < self.gc[0] or gc > self.gc[1]:
            problems.append(f"GC {gc:.3g} ({self.gc[0]:.3g} to {self.gc[1]:.3g})")
        if (share := _unknown_share(sequence)) > self.unknown:
            problems.append(f"N {share:.3g} ({self.unknown:.3g})")
        return "; ".join(problems)


def _unknown_share(sequence: str) -> float:
    return sequence.count("N") / len(sequence)
