"""What alleles do to the prediction of a trained run, in all windows that hold them.

A window is of the length that the run was trained on. Around given sites it lies as it did in
training; without them, windows of both strands begin every `stride` bases of the contig, so that
neighbouring variants are seen in the same windows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.alleles import Allele, Change
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.store import Genome
from ntjax.genomes.windows import count_window
from ntjax.runs.predict_file import window_tokens
from ntjax.runs.run import Run
from ntjax.sequences.alphabet import UNKNOWN, base_codes, base_texts, reverse_complement_codes
from ntjax.tasks.scores import score_weights

_BASES_AT_ONCE = 1 << 25


@dataclass(frozen=True)
class RunWindows:
    """The windows that a run reads.

    Attributes:
        length: in bp.
        stride: bases between the starts of neighbouring windows; not looked at where there are
            sites.
        sites: whose windows are read, of this length.
        both_strands: whether windows without sites are read from both strands; of a run that
            averages strands the other one adds nothing: the same change, or its negative.
    """

    length: int
    stride: int = 1
    sites: Sites | None = None
    both_strands: bool = True


class _Window(NamedTuple):
    """A window: first base in the store, strand, and the end at which it is fixed."""

    start: int
    reverse: bool
    keeps_right: bool = False


class RunScorer:
    """Scores alleles with a run."""

    def __init__(self, run: Run, genome: Genome, windows: RunWindows, target: str = ""):
        """Score alleles of a genome.

        Arguments:
            run: trained for any task.
            genome: that the alleles are placed on.
            windows: that are read.
            target: class or label whose logit is compared; "" for the positive one of two classes,
                the only label, or the value.

        Raises:
            UserError: no such class, several and none named, windows that the run cannot read.
        """
        self.run, self.genome, self.windows = run, genome, windows
        self._weights = score_weights(run.task, target or None)
        if windows.length < 1:
            raise UserError(f"a window of {windows.length:,} bp is none: give 1 or more")
        self._tokens = window_tokens(run, windows.length)
        if windows.stride < 1:
            raise UserError(f"stride {windows.stride}: give 1 or more", field="stride")
        if windows.sites is not None:
            starts = windows.sites.starts()
            self._order = np.argsort(starts, kind="stable")
            self._starts = starts[self._order]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the scores; a regression has values in place of probabilities and logits."""
        value, change = ("probability", "logit") if self._is_probability else ("value", "value")
        return (
            f"reference_{value}",
            f"alternative_{value}",
            f"{change}_difference",
            "window_start",
            "window_end",
            "window_strand",
            f"mean_{change}_difference",
            "windows",
        )

    def unreadable(self, alleles: Sequence[Allele]) -> np.ndarray:
        """Tell that any allele can be scored, bool [alleles]: windows with an N are left out."""
        return np.zeros(len(alleles), bool)

    def scores(self, alleles: Sequence[Allele]) -> dict[str, np.ndarray]:
        """Score alleles of status "scored".

        Returns:
            The columns, [alleles]. Probabilities and difference are of the window in which the
            logit (of a regression: the value) changes most; `window_start` and `window_end` are
            those of the reference, from 1, both included. `windows` that were read: none, and NaN
            elsewhere, if no window without N holds the allele.
        """
        columns: dict[str, np.ndarray] = {
            name: np.full(len(alleles), np.nan) for name in self.columns
        }
        columns["window_strand"] = np.full(len(alleles), "", object)
        columns["windows"] = np.zeros(len(alleles))
        for rows, windows, codes in self._groups(alleles):
            changes = self._changes(codes, windows)
            first = np.searchsorted(rows, np.arange(len(alleles)), "left")
            behind = np.searchsorted(rows, np.arange(len(alleles)), "right")
            for row in np.unique(rows):
                own = slice(first[row], behind[row])
                contig = self.genome.contigs[alleles[row].contig].start
                values = self._best(changes[own], windows[own], contig)
                for name, value in zip(self.columns, values, strict=True):
                    columns[name][row] = value
        return columns

    def _best(
        self, changes: np.ndarray, windows: Sequence[_Window], contig: int
    ) -> tuple[float | str, ...]:
        """The columns of one allele from changes [windows, 3]: two values and a difference."""
        best = int(np.abs(changes[:, 2]).argmax())
        start = windows[best].start - contig
        strand = "-" if windows[best].reverse else "+"
        place = (start + 1, start + self.windows.length, strand)
        return (*changes[best], *place, changes[:, 2].mean(), len(windows))

    def _groups(
        self, alleles: Sequence[Allele]
    ) -> Iterator[tuple[np.ndarray, list[_Window], np.ndarray]]:
        """Numbers of alleles, their windows and codes uint8 [windows, 2, length], in groups.

        All windows of an allele are in one group.
        """
        rows: list[int] = []
        windows: list[_Window] = []
        codes: list[np.ndarray] = []
        for row, allele in enumerate(alleles):
            for window in self._holding(allele):
                if (pair := self._pair(allele, window)) is not None:
                    rows.append(row)
                    windows.append(window)
                    codes.append(pair)
            if len(codes) * 2 * self.windows.length > _BASES_AT_ONCE or row == len(alleles) - 1:
                if codes:
                    yield np.array(rows), windows, np.stack(codes)
                rows, windows, codes = [], [], []

    def _holding(self, allele: Allele) -> Iterator[_Window]:
        """Yield windows that hold the site of an allele."""
        contig, change, length = (
            self.genome.contigs[allele.contig],
            allele.change,
            self.windows.length,
        )
        assert change is not None
        low = max(contig.start, contig.start + change.end() - length)
        high = min(contig.start + change.site, contig.end - length)
        sites = self.windows.sites
        if sites is not None:
            behind = contig.start + change.start + len(change.reference)
            first, last = np.searchsorted(self._starts, [low, high + 1])
            for index in range(first, last):
                number = self._order[index]
                keeps_right = bool(behind <= sites.places[number])
                yield _Window(int(self._starts[index]), bool(sites.reverse[number]), keeps_right)
            return
        stride = self.windows.stride
        first = low + (contig.start - low) % stride
        for start in range(first, high + 1, stride):
            for reverse in (False, True)[: 1 + self.windows.both_strands]:
                yield _Window(start, reverse)

    def _pair(self, allele: Allele, window: _Window) -> np.ndarray | None:
        """Codes uint8 [2, length] of both alleles; None where the contig ends before, or at N."""
        contig, change, length = (
            self.genome.contigs[allele.contig],
            allele.change,
            self.windows.length,
        )
        assert change is not None
        more = max(0, -change.growth)
        start = window.start - more * window.keeps_right
        end = start + length + more
        if start < contig.start or end > contig.end:
            return None
        codes = np.array(self.genome.letters[start:end])
        count_window(self.genome)
        if (codes >= UNKNOWN).any():
            return None
        whole = _changed(codes, change, contig.start + change.start - start)
        keep = slice(-length, None) if window.keeps_right else slice(length)
        pair = np.stack([codes[keep], whole[keep]])
        return reverse_complement_codes(pair) if window.reverse else pair

    def _changes(self, codes: np.ndarray, windows: Sequence[_Window]) -> np.ndarray:
        """Values of both alleles and the difference of logits, float64 [windows, 3]."""
        texts = base_texts(codes.reshape(-1, codes.shape[-1]))
        logits = self.run.logits(texts, buckets=np.array([self._tokens]))
        values = self.run.task.values(logits)
        if self._is_probability:
            values = values[:, self._weights.argmax()]
        pairs = np.asarray(values, np.float64).reshape(len(windows), 2)
        scores = (logits @ self._weights).reshape(len(windows), 2)
        return np.column_stack([pairs, scores[:, 1] - scores[:, 0]])

    @property
    def _is_probability(self) -> bool:
        return bool(self.run.task.has_probabilities)


def _changed(codes: np.ndarray, change: Change, at: int) -> np.ndarray:
    """Codes with the alternative allele, whose change begins at an index."""
    behind = at + len(change.reference)
    return np.concatenate([codes[:at], base_codes(change.alternative), codes[behind:]])
