"""Alternative alleles on a genome: whether they can be scored, and the windows of both alleles.

The same change gets the same window however its record is written: bases that REF and ALT share at
their ends are left out first. Indels are not left-aligned (`bcftools norm` does that).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.intervals import ContigNames
from ntjax.genomes.store import Genome
from ntjax.genomes.windows import count_window
from ntjax.sequences.alphabet import UNKNOWN, base_codes, base_texts

Status = Literal[
    "scored",
    "contig_missing",
    "no_alternative",
    "spanning_deletion",
    "symbolic_allele",
    "breakend",
    "outside_contig",
    "ambiguous_allele",
    "reference_mismatch",
    "same_as_reference",
    "too_long",
    "contig_too_short",
    "n_near_site",
    "too_many_n",
]
"""Whether an allele is scored, or why not; `ntjax/evaluation/README.md` explains each."""

N_MARGIN = 6
"""Bases on each side of a site that must not be N."""

_BASES = frozenset("ACGT")


class Change(NamedTuple):
    """What an allele changes in its contig, without the bases that REF and ALT share at their ends.

    Attributes:
        start: first changed base of the contig, from 0; of an insertion the base behind it.
        reference: the bases that are replaced; "" for an insertion.
        alternative: the bases in their place; "" for a deletion.
    """

    start: int
    reference: str
    alternative: str

    @property
    def is_snv(self) -> bool:
        """Whether one base is exchanged for another."""
        return len(self.reference) == len(self.alternative) == 1

    @property
    def growth(self) -> int:
        """By how many bases the alternative allele is longer."""
        return len(self.alternative) - len(self.reference)

    @property
    def anchor(self) -> int:
        """Unchanged bases before the change that count as its site: 1 of a pure indel, else 0.

        0 also where an indel begins the contig; there the base behind it counts.
        """
        return int(not (self.reference and self.alternative) and self.start > 0)

    @property
    def tail(self) -> int:
        """Unchanged bases behind the change that count as its site."""
        return int(not (self.reference and self.alternative) and self.start == 0)

    @property
    def site(self) -> int:
        """The base that is put into the middle of a window."""
        return self.start - self.anchor

    def end(self, alternative: bool = False) -> int:
        """Return the base behind the site, in the contig with either allele."""
        bases = self.alternative if alternative else self.reference
        return self.start + len(bases) + self.tail


def trimmed(start: int, reference: str, alternative: str) -> Change:
    """Leave out what two alleles share, at their ends first and then at their beginnings.

    >>> trimmed(9, "CA", "CAA")
    Change(start=10, reference='', alternative='A')
    >>> trimmed(9, "CAG", "CTG")
    Change(start=10, reference='A', alternative='T')
    """
    shortest = min(len(reference), len(alternative))
    same = next((n for n in range(shortest) if reference[-1 - n] != alternative[-1 - n]), shortest)
    # The first base of an indel's record is its anchor, which no suffix may take.
    if same == shortest and reference[0] == alternative[0]:
        same -= len(reference) != len(alternative)
    reference, alternative = (text[: len(text) - same] for text in (reference, alternative))
    shortest = min(len(reference), len(alternative))
    same = next((n for n in range(shortest) if reference[n] != alternative[n]), shortest)
    return Change(start + same, reference[same:], alternative[same:])


class Allele(NamedTuple):
    """An alternative allele and where it lies.

    Attributes:
        status: whether it can be scored.
        contig: index in `Genome.contigs`, -1 where it isn't known.
        change: what it changes; None where that isn't known.
        found: the genome's bases where they are not REF; "" elsewhere.
    """

    status: Status
    contig: int = -1
    change: Change | None = None
    found: str = ""


class AlleleReader:
    """Places alleles on a genome."""

    def __init__(self, names: ContigNames, window: int):
        """Place alleles for windows of a length.

        Arguments:
            names: the genome's contigs, as another file calls them.
            window: bases of a window.
        """
        self.names, self.genome = names, names.genome
        self.window = window
        self._known: dict[str, int] = {}

    def place(self, contig: str, position: int, reference: str, alternative: str) -> Allele:
        """Find out whether an allele can be scored.

        Arguments:
            contig: its name.
            position: of the first base of REF, from 1.
            reference: REF, in upper case.
            alternative: ALT, as written; "" where there is none.
        """
        number = self._number(contig)
        if number < 0:
            return Allele("contig_missing")
        if status := _no_sequence(alternative):
            return Allele(status, number)
        first, behind = self.genome.contigs[number][1:]
        start, alternative = position - 1, alternative.upper()
        if start < 0 or start + len(reference) > behind - first:
            return Allele("outside_contig", number)
        if not reference or not _BASES.issuperset(reference + alternative):
            return Allele("ambiguous_allele", number)
        there = self.genome.letters[first + start : first + start + len(reference)]
        count_window(self.genome)
        if ((there != base_codes(reference)) & (there < UNKNOWN)).any():
            [found] = base_texts(np.array(there)[None])
            return Allele("reference_mismatch", number, found=found)
        if reference == alternative:
            return Allele("same_as_reference", number)
        change = trimmed(start, reference, alternative)
        return Allele(self._status(number, change), number, change)

    def _number(self, contig: str) -> int:
        if contig not in self._known:
            try:
                self._known[contig] = self.names.number(contig)
            except UserError:
                self._known[contig] = -1
        return self._known[contig]

    def _status(self, number: int, change: Change) -> Status:
        first, behind = self.genome.contigs[number][1:]
        if max(len(change.reference), len(change.alternative)) > self.window // 4:
            return "too_long"
        if behind - first < self.window + max(0, -change.growth):
            return "contig_too_short"
        low = max(first, first + change.site - N_MARGIN)
        high = min(behind, first + change.end() + N_MARGIN)
        near = self.genome.letters[low:high]
        return "n_near_site" if (near >= UNKNOWN).any() else "scored"


def _no_sequence(alternative: str) -> Status | None:
    """Say why an ALT gives no sequence, or None where it gives one."""
    if alternative in ("", "."):
        return "no_alternative"
    if alternative == "*":
        return "spanning_deletion"
    if alternative.startswith("<"):
        return "symbolic_allele"
    if "[" in alternative or "]" in alternative or "." in alternative:
        return "breakend"
    return None


class AlleleWindows(NamedTuple):
    """Windows of both alleles, of `[alleles]` each.

    Attributes:
        starts: int64, first base of the reference's window, in the store.
        site_index: int64, of the site in the reference's window.
        reference: uint8 [alleles, window], codes of the reference.
        alternative: the same with the alternative allele.
        reference_spans: int64 [alleles, 2], first base of the site and the base behind it: the
            changed bases, of an indel its anchor too.
        alternative_spans: the same in the alternative's window.
        changed: int64 [alleles, 2, 2], the changed bases alone, in both windows.
    """

    starts: np.ndarray
    site_index: np.ndarray
    reference: np.ndarray
    alternative: np.ndarray
    reference_spans: np.ndarray
    alternative_spans: np.ndarray
    changed: np.ndarray


def allele_windows(genome: Genome, alleles: Sequence[Allele], window: int) -> AlleleWindows:
    """Cut the windows of alleles that can be scored.

    The site lies at index `window // 2`; at a contig's end the window is shifted. Of an indel the
    alternative's window has more or fewer bases at its right end; at its left end where the contig
    ends before, or where the right end would cut the site off.

    Arguments:
        genome: that the alleles were placed on.
        alleles: of status "scored".
        window: bases of a window.
    """
    count = len(alleles)
    codes = np.empty((2, count, window), np.uint8)
    starts, sites = np.empty(count, np.int64), np.empty(count, np.int64)
    spans, changed = np.empty((2, count, 2), np.int64), np.empty((count, 2, 2), np.int64)
    for row, allele in enumerate(alleles):
        change = allele.change
        assert change is not None
        first, behind = genome.contigs[allele.contig][1:]
        start = min(max(change.site - window // 2, 0), behind - first - window)
        cut_off = change.end(True) - start + N_MARGIN > window
        moved = max(0, change.growth) * cut_off
        moved = min(moved, behind - first + change.growth - window - start)
        low, deleted = min(start, start + moved), len(change.reference)
        at, high = change.start - low, start + window + max(0, moved - change.growth)
        text = np.array(genome.letters[first + low : first + high])
        inserted = base_codes(change.alternative)
        whole = np.concatenate([text[:at], inserted, text[at + deleted :]])
        codes[0, row] = text[start - low : start - low + window]
        codes[1, row] = whole[start + moved - low : start + moved - low + window]
        starts[row], sites[row] = first + start, change.site - start
        spans[0, row] = change.site - start, change.end() - start
        spans[1, row] = change.site - start - moved, change.end(True) - start - moved
        begin = change.start - start
        changed[row] = (begin, begin + deleted), (begin - moved, begin - moved + len(inserted))
        count_window(genome)
    return AlleleWindows(starts, sites, *codes, *spans, changed)
