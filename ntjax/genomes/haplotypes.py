"""Windows of the haplotypes that phased variants make of a reference genome."""

import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ntjax.genomes.store import Genome
from ntjax.genomes.variants import PhasedVariants, read_variants
from ntjax.genomes.windows import Region, count_window

_ROWS_AT_ONCE = 256


def open_haplotypes(reference: Genome, path: str | os.PathLike) -> "Haplotypes":
    """The haplotypes of a phased VCF, on those contigs of the reference that it has records of.

    Raises:
        UserError: see `ntjax.genomes.variants.read_variants`.
    """
    variants = read_variants(reference, path)
    contigs = reference.contig_numbers(reference.stretches[:, 0])
    covered = np.isin(contigs, list(variants.contigs))
    return Haplotypes(reference, variants, reference.stretches[covered])


@dataclass(frozen=True)
class Haplotypes:
    """A source of windows (`ntjax.genomes.windows.WindowSource`).

    A window is drawn by its haplotype and by the place in the reference where it begins:
    number = haplotype · places + place. The haplotype's alleles are applied as it is read, so that
    an insertion makes the piece of reference that it takes shorter and a deletion longer. One that
    begins in a deletion begins behind it. One that would reach beyond its stretch is moved back:
    it is the haplotype's last window there.

    Arguments:
        genome: the reference.
        variants: read on that reference.
        stretches: int64 [stretches, 2], in order, runs free of N as in `Region`; what is held out
            is left out here. A variant that reaches beyond its stretch is not applied.
    """

    genome: Genome
    variants: PhasedVariants
    stretches: np.ndarray

    @property
    def name(self) -> str:
        """The VCF file's, without its endings."""
        return self.variants.path.name.removesuffix(".gz").removesuffix(".vcf")

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the result has to know about the variants, a line each."""
        return self.variants.notes

    def count(self, letters: int) -> int:
        """Windows of so many letters: places times haplotypes."""
        return self.variants.haplotypes * self._region(letters).count(letters)

    def read(self, numbers: np.ndarray, letters: int) -> np.ndarray:
        """Windows by number, uint8 [windows, letters]."""
        region = self._region(letters)
        haplotypes, numbers = np.divmod(numbers, region.count(letters))
        begins = region.places(numbers, letters)
        stretches = np.searchsorted(self.stretches[:, 0], begins, side="right") - 1
        windows = np.empty((len(numbers), letters), np.uint8)
        for row in range(len(windows)):
            place = int(haplotypes[row]), int(stretches[row]), int(begins[row])
            windows[row] = self._window(*place, letters)
            count_window(self.genome)
        return windows

    def _region(self, letters: int) -> Region:
        """The stretches that are long enough on every haplotype."""
        return Region(self.genome, self.stretches[self._shortest >= letters])

    @cached_property
    def _rows(self) -> np.ndarray:
        """The first and behind-last row of each stretch's variants, int64 [stretches, 2]."""
        rows = np.zeros((len(self.stretches), 2), np.int64)
        for number, (first, last) in self.variants.contigs.items():
            contig = self.genome.contigs[number]
            bounds = np.searchsorted(self.stretches[:, 0], [contig.start, contig.end])
            here = slice(*bounds.tolist())
            starts = self.variants.starts[first:last]
            rows[here] = first + np.searchsorted(starts, self.stretches[here])
        return rows

    @cached_property
    def _shortest(self) -> np.ndarray:
        """Letters of each stretch on the haplotype that has the fewest there, int64 [stretches]."""
        variants = self.variants
        gains = np.diff(variants.bounds) - (variants.ends - variants.starts)
        shortest = self.stretches[:, 1] - self.stretches[:, 0]
        for number, (first, last) in enumerate(self._rows.tolist()):
            inside = variants.ends[first:last] <= self.stretches[number, 1]
            rows = first + np.flatnonzero((gains[first:last] != 0) & inside)
            total = np.zeros(variants.haplotypes)
            for begin in range(0, len(rows), _ROWS_AT_ONCE):
                some = rows[begin : begin + _ROWS_AT_ONCE]
                carries = np.unpackbits(variants.carriers[some], axis=1, count=len(total))
                total += gains[some].astype(float) @ carries
            shortest[number] += int(total.min())
        return shortest

    def _window(self, haplotype: int, stretch: int, begin: int, letters: int) -> np.ndarray:
        first, last = self.stretches[stretch].tolist()
        end = begin + letters
        window, end = self._spelled(haplotype, stretch, begin, end)
        while len(window) < letters and end < last:
            missing = letters - len(window)
            window, end = self._spelled(haplotype, stretch, begin, min(end + missing, last))
        if len(window) >= letters:
            return window[:letters]
        step = letters
        while len(window) < letters:
            begin, step = max(first, begin - step), 2 * step
            window, _ = self._spelled(haplotype, stretch, begin, last)
        return window[-letters:]

    def _spelled(
        self, haplotype: int, stretch: int, begin: int, end: int
    ) -> tuple[np.ndarray, int]:
        """A haplotype's letters in place of the reference's from `begin` to before `end`.

        Returns:
            uint8 [letters], and the place before which they end: `end`, or behind the variant that
            lies across it.
        """
        variants, reference = self.variants, self.genome.letters.view(np.ndarray)
        first, last = self._rows[stretch].tolist()
        first += int(np.searchsorted(variants.reaches[first:last], begin, side="right"))
        last = first + int(np.searchsorted(variants.starts[first:last], end))
        pieces, at = [], begin
        for row in variants.carried(first, last, haplotype).tolist():
            start, behind = int(variants.starts[row]), int(variants.ends[row])
            if behind <= begin or behind > self.stretches[stretch, 1]:
                continue
            alternative = variants.letters[variants.bounds[row] : variants.bounds[row + 1]]
            # Only the first variant can begin before the window does.
            pieces += [reference[at:start], alternative[max(0, begin - start) :]]
            at = behind
        pieces.append(reference[at:end])
        return np.concatenate(pieces), max(at, end)
