"""Substitutions of one base in their context: the 96 classes, and matched ones of a genome.

How often a base mutates depends on its neighbours: C in CpG becomes T ten times as often as other
substitutions happen. Variants of different categories or frequencies are only comparable within
the same trinucleotide and alternative base.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ntjax.genomes.store import Genome
from ntjax.sequences.alphabet import BASES, UNKNOWN, base_texts, complement

CLASSES = 96
"""Six kinds of substitution, each with 16 pairs of neighbours."""

_A, _T, _C, _G = (BASES.index(base) for base in "ATCG")


class Substitutions(NamedTuple):
    """Single bases exchanged.

    Attributes:
        places: int64 [n], positions in the store.
        alternative: uint8 [n], codes of the new bases.
    """

    places: np.ndarray
    alternative: np.ndarray

    def take(self, rows: np.ndarray) -> "Substitutions":
        """Those of the given rows."""
        return Substitutions(self.places[rows], self.alternative[rows])


def substitution_class(genome: Genome, given: Substitutions) -> np.ndarray:
    """Number the trinucleotide and alternative base, both strands as one: int64 [n], 0 to 95.

    -1 where a base of the trinucleotide is unknown or beyond the store.
    """
    left, middle, right, alternative = _folded(genome, given)
    known = np.max([left, middle, right], axis=0) < UNKNOWN
    # Of the three alternatives of a pyrimidine, those with larger codes close the gap.
    other = alternative.astype(int) - (alternative > middle)
    pyrimidine = (middle == _C).astype(int)
    number = ((pyrimidine * 3 + other) * 4 + left) * 4 + right
    return np.where(known, number, -1)


def is_cpg_transition(genome: Genome, given: Substitutions) -> np.ndarray:
    """Tell C to T before G, on either strand: bool [n]."""
    _, middle, right, alternative = _folded(genome, given)
    return (middle == _C) & (right == _G) & (alternative == _T)


def _folded(genome: Genome, given: Substitutions) -> tuple[np.ndarray, ...]:
    """Neighbours, reference and alternative on the strand where the reference is C or T."""
    # The store's ends count as unknown.
    around = np.stack([given.places + step for step in (-1, 0, 1)])
    inside = (around >= 0) & (around < len(genome.letters))
    codes = np.where(inside, genome.letters[np.where(inside, around, 0)], UNKNOWN)
    left, middle, right = codes.astype(np.uint8)
    turn = (middle == _A) | (middle == _G)
    flipped = complement(right), complement(middle), complement(left), complement(given.alternative)
    straight = left, middle, right, given.alternative
    return tuple(np.where(turn, a, b) for a, b in zip(flipped, straight, strict=True))


def matched_substitutions(
    genome: Genome,
    given: Substitutions,
    block: int,
    margin: int,
    seed: int,
    avoided: np.ndarray | None = None,
) -> np.ndarray:
    """Draw another position of the same block, trinucleotide and strand for each substitution.

    No position is drawn twice, and none of the given substitutions or of those to be avoided.

    Arguments:
        genome: of the substitutions.
        given: substitutions.
        block: bases of a block, counted from the store's first base.
        margin: bases on both sides that must be known.
        seed: of the draw.
        avoided: int64 [m], other positions that are not drawn, such as all known variants.

    Returns:
        int64 [n], positions; -1 where the block has no other one, and at the store's ends.
    """
    random, found = np.random.default_rng(seed), np.full(len(given.places), -1, np.int64)
    listed = {*given.places.tolist(), *([] if avoided is None else avoided.tolist())}
    blocks = given.places // block
    for number in np.unique(blocks):
        first = int(number) * block
        low, high = max(first, 1), min(first + block, len(genome.letters) - 1)
        text = np.asarray(genome.letters[low - 1 : high + 1]).astype(np.int64)
        codes = (text[:-2] * 5 + text[1:-1]) * 5 + text[2:]
        for row in random.permutation(np.flatnonzero(blocks == number)):
            at = given.places[row] - low
            if not 0 <= at < len(codes):
                continue
            same = low + np.flatnonzero(codes == codes[at])
            for place in random.permutation(same).tolist():
                if place not in listed and _known(genome, place, margin):
                    found[row] = place
                    listed.add(place)
                    break
    return found


def _known(genome: Genome, place: int, margin: int) -> bool:
    low, high = place - margin, place + margin + 1
    if low < 0 or high > len(genome.letters):
        return False
    return bool((genome.letters[low:high] < UNKNOWN).all())


def as_variants(genome: Genome, given: Substitutions) -> list[tuple[str, int, str, str]]:
    """Write substitutions as contig, position from 1, REF and ALT."""
    numbers = genome.contig_numbers(given.places)
    references = _bases(np.asarray(genome.letters[given.places]))
    alternatives = _bases(given.alternative)
    starts = [genome.contigs[number].start for number in numbers]
    return [
        (genome.contigs[number].name, int(place - start + 1), reference, alternative)
        for number, start, place, reference, alternative in zip(
            numbers, starts, given.places, references, alternatives, strict=True
        )
    ]


def _bases(codes: np.ndarray) -> Sequence[str]:
    return base_texts(codes[:, None])
