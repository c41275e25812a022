"""What a list of introns says of a position: near a splice site, in an intron, in a transcript.

A list need not be complete. A position outside all listed transcripts is "not annotated", which is
not the same as intergenic; one inside a transcript and outside its listed introns is not known to
be an exon. Only a gap of at most `LONGEST_EXON` bp between consecutive listed introns is taken for
an exon, which is a guess too.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.intervals import ContigNames, Intervals, joined
from ntjax.genomes.store import Genome
from ntjax.io.bedpe import Intron, read_introns

SPLICE_SITE = "within 10 bp of a listed splice site"
INTRON = "listed intron"
EXON = "exon, as guessed from listed introns"
TRANSCRIPT = "elsewhere in a listed transcript"
NOT_ANNOTATED = "not annotated"
CATEGORIES = (SPLICE_SITE, EXON, INTRON, TRANSCRIPT, NOT_ANNOTATED)
"""Those that come first win where several apply."""

REACH = 10
"""Bases from an intron's first or last base that count as near its splice site."""

LONGEST_EXON = 300
"""Longest gap between two listed introns that is taken for an exon, in bp."""


@dataclass(frozen=True)
class ListedTranscripts:
    """Introns of a genome by transcript.

    Attributes:
        introns: sorted by transcript and start; strands are 1 or -1.
        transcript: int64 [introns], number of each intron's transcript.
        spans: int64 [transcripts, 2], bounds of each transcript in the store.
    """

    introns: Intervals
    transcript: np.ndarray
    spans: np.ndarray

    @property
    def guessed_exons(self) -> np.ndarray:
        """Short gaps between consecutive introns of one transcript, int64 [n, 2]."""
        gaps = np.stack([self.introns.ends[:-1], self.introns.starts[1:]], axis=1)
        length = gaps[:, 1] - gaps[:, 0]
        same = self.transcript[1:] == self.transcript[:-1]
        return gaps[same & (length > 0) & (length <= LONGEST_EXON)]


def read_transcripts(genome: Genome, path: str | os.PathLike) -> ListedTranscripts:
    """Read the introns of a BEDPE file that lie on the genome's contigs.

    Raises:
        UserError: the file can't be read, or none of its introns is on the genome.
    """
    names, known = ContigNames(genome, path), []
    for intron in read_introns(path):
        try:
            contig = genome.contigs[names.number(intron.contig)]
        except UserError:  # a list of all chromosomes beside a genome of one
            continue
        known.append((contig.start, contig.end, intron))
    if not known:
        raise UserError(f"{path}: none of its introns is on a contig of {genome.path}")
    for first, end, intron in known:
        if first + intron.end > end:
            raise UserError(
                f"{path}: line {intron.line}: the intron ends at {intron.end:,}, beyond "
                f"{intron.contig} of {genome.path}: give files of one assembly"
            )
    return _sorted([(first, intron) for first, _, intron in known])


def _sorted(known: Sequence[tuple[int, Intron]]) -> ListedTranscripts:
    known = sorted(known, key=lambda one: (one[1].contig, one[1].transcript, one[1].start))
    firsts = np.array([first for first, _ in known])
    starts, ends = (np.array([getattr(i, name) for _, i in known]) for name in ("start", "end"))
    keys = [(i.contig, i.transcript) for _, i in known]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    transcript = np.array([numbers[key] for key in keys])
    spans = np.full((len(numbers), 2), -1)
    for (first, intron), number in zip(known, transcript, strict=True):
        low, high = intron.span or (intron.start, intron.end)
        before = spans[number] if spans[number, 0] >= 0 else (first + low, first + high)
        spans[number] = min(before[0], first + low), max(before[1], first + high)
    strands = np.array([intron.strand for _, intron in known], np.int8)
    return ListedTranscripts(Intervals(firsts + starts, firsts + ends, strands), transcript, spans)


def categories(transcripts: ListedTranscripts, places: np.ndarray) -> np.ndarray:
    """Sort positions by what the list says of them.

    Arguments:
        transcripts: as of `read_transcripts`.
        places: int64 [n], positions in the store.

    Returns:
        Names of `CATEGORIES`, object [n].
    """
    found = np.full(len(places), NOT_ANNOTATED, object)
    found[covered(transcripts.spans, places)] = TRANSCRIPT
    found[covered(transcripts.introns.bounds, places)] = INTRON
    found[covered(transcripts.guessed_exons, places)] = EXON
    ends = np.concatenate([transcripts.introns.starts, transcripts.introns.ends - 1])
    near = np.stack([ends - REACH, ends + REACH + 1], axis=1)
    found[covered(near, places)] = SPLICE_SITE
    return found


def covered(intervals: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Tell which positions [n] lie in some of the intervals [m, 2]: bool [n].

    >>> covered(np.array([[2, 4], [3, 7]]), np.array([1, 2, 6, 7])).tolist()
    [False, True, True, False]
    """
    if not len(intervals):
        return np.zeros(len(places), bool)
    intervals = joined(intervals)
    at = np.searchsorted(intervals[:, 0], places, side="right") - 1
    return (at >= 0) & (places < intervals[at, 1])
