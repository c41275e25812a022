"""Zero-shot scores of variants: how far a model's view of a window moves with one allele.

A window is read in each phase of the k-mers and, if wanted, on both strands. Embeddings are
averaged over phases for each allele first; then the two alleles' means are compared. A change of
length re-frames every token behind it, whatever the bases are: the scores of indels come with those
of shams, changes of the same length and place with random bases. Definitions, and what is borrowed
from Dalla-Torre et al. 2024, are in `ntjax/evaluation/README.md`.
"""

import os
import zlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ntjax.adapters import Adapter
from ntjax.datasets.batching import stream_buckets
from ntjax.evaluation.variant_options import EffectOptions, default_window
from ntjax.genomes.alleles import Allele, AlleleReader, AlleleWindows, allele_windows
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.intervals import ContigNames
from ntjax.genomes.store import Genome
from ntjax.inference.backbones import Adapted, Backbone, backbone_of
from ntjax.inference.pretrained import PretrainedModel
from ntjax.inference.token_spans import masked_token_likelihoods, span_embeddings
from ntjax.sequences.alphabet import BASES, UNKNOWN, reverse_complement_codes
from ntjax.sequences.phases import (
    PhaseTokens,
    base_kmers,
    is_whole_kmer,
    most_tokens,
    phase_tokens,
)

DISTANCES = ("cosine_similarity", "l1", "l2", "dot_product")
"""What compares two embeddings."""

MEASURES = (*DISTANCES, *(f"local_{name}" for name in DISTANCES))
"""The same of the whole window, and of the tokens over the site."""


def variant_effects(
    model: Adapted | PretrainedModel,
    genome: Genome | str | os.PathLike,
    variants: Sequence[tuple[str, int, str, str]],
    *,
    window: int | None = None,
    phases: int | None = None,
    both_strands: bool = True,
    shams: int = 0,
) -> dict[str, np.ndarray]:
    """Score variants that are at hand; for files see `ntjax.evaluation.variant_table`.

    An example is in `ntjax/evaluation/README.md`.

    Arguments:
        model: a run (as its adapter made it), or a bare model.
        genome: the store, or a FASTA file.
        variants: contig, position of the first base of REF from 1, REF and ALT of each.
        window: bases of a window; None for the model's training length.
        phases: 1, or k for all; None for all.
        both_strands: average over both strands.
        shams: that indels are compared with; 0 for none.

    Returns:
        `status` and the columns of `VariantScorer`, [variants]; NaN where a variant is not scored.

    Raises:
        UserError: an option that does not go with the model, or a genome that can't be read.
    """
    genome = genome if isinstance(genome, Genome) else open_genome(genome)
    base = backbone_of(model).model
    length = default_window(base) if window is None else window
    phases = base.config.k_for_kmers if phases is None else phases
    options = EffectOptions(length, phases, both_strands, shams)
    scorer = VariantScorer(model, genome, options)
    reader = AlleleReader(ContigNames(genome, "the variants"), length)
    alleles = [reader.place(c, at, ref.upper(), alt) for c, at, ref, alt in variants]
    statuses = np.array([allele.status for allele in alleles], object)
    rows = np.flatnonzero(statuses == "scored")
    many_n = rows[scorer.unreadable([alleles[row] for row in rows])]
    statuses[many_n] = "too_many_n"
    rows = np.setdiff1d(rows, many_n)
    columns = {name: np.full(len(alleles), np.nan) for name in scorer.columns}
    if len(rows):
        for name, values in scorer.scores([alleles[row] for row in rows]).items():
            columns[name][rows] = values
    return {"status": statuses, **columns}


class _Rows(NamedTuple):
    """Windows that are embedded, and the pairs of them that are compared.

    Attributes:
        codes: uint8 [rows, window].
        sites: int64 [rows, 2], bases of the site.
        pairs: int64 [pairs, 2], rows; first those of all alleles, reference and alternative, then
            those of shams.
        sham_of: int64 [pairs of shams], number of the allele.
    """

    codes: np.ndarray
    sites: np.ndarray
    pairs: np.ndarray
    sham_of: np.ndarray


class VariantScorer:
    """Scores alleles with a model; every batch of it has one of a few shapes."""

    def __init__(
        self,
        model: Adapted | PretrainedModel,
        genome: Genome,
        options: EffectOptions,
        adapter: Adapter | None = None,
    ):
        """Score alleles of a genome.

        Arguments:
            model: a run (as its adapter made it), or a bare model.
            genome: that the alleles are placed on.
            options: how.
            adapter: to run a bare model with.

        Raises:
            UserError: options that do not go with the model.
        """
        self.backbone: Backbone = backbone_of(model, adapter)
        self.genome, self.options = genome, options
        options.check(self.backbone.model)
        k, longest = options.window // self._k, self.backbone.model.config.max_positions
        self._buckets = stream_buckets(np.array([1 + k]), min(longest, 1 + options.window))

    @property
    def _k(self) -> int:
        return self.backbone.model.config.k_for_kmers

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the scores, in the order of a table."""
        shams = [f"{name}_{what}" for name in MEASURES for what in ("sham", "z")]
        known = ("log_likelihood_ratio", "site_index", "phases", "window_n")
        return (*MEASURES, *(shams if self.options.shams else ()), *known)

    def unreadable(self, alleles: Sequence[Allele]) -> np.ndarray:
        """Tell whose windows have more tokens than the model has positions: bool [alleles].

        Each N is a token of its own.
        """
        windows = allele_windows(self.genome, alleles, self.options.window)
        result = np.zeros(len(alleles), bool)
        for codes in (windows.reference, windows.alternative):
            rows = np.flatnonzero((codes >= UNKNOWN).any(axis=1))
            for turned in self._strands(codes[rows]):
                counts = most_tokens(self.backbone.model.tokenizer, turned, self._phases)
                result[rows] |= counts > self.backbone.model.config.max_positions
        return result

    def scores(self, alleles: Sequence[Allele]) -> dict[str, np.ndarray]:
        """Score alleles.

        Arguments:
            alleles: of status "scored", and not `unreadable`.

        Returns:
            The columns, float64 or int64 [alleles]; NaN where a score does not exist.
        """
        windows = allele_windows(self.genome, alleles, self.options.window)
        rows, count = self._rows(alleles, windows), len(alleles)
        total, phases = np.zeros((len(rows.pairs), len(MEASURES))), np.zeros(count, np.int64)
        for reverse in self._reverse:
            found, held = self._distances(rows, reverse)
            total += found / len(self._reverse)
            phases += held[:count]
        ratios = np.full(count, np.nan)
        snvs = np.flatnonzero([allele.change.is_snv for allele in alleles if allele.change])
        if len(snvs):
            reference, alternative = self._likelihoods(windows, snvs).T
            ratios[snvs] = alternative - reference
        columns = dict(zip(MEASURES, total[:count].T, strict=True))
        if self.options.shams:
            columns |= self._sham_columns(total, rows, count)
        return columns | {
            "log_likelihood_ratio": ratios,
            "site_index": windows.site_index,
            "phases": phases,
            "window_n": (windows.reference >= UNKNOWN).sum(axis=1),
        }

    def log_likelihoods(self, alleles: Sequence[Allele]) -> np.ndarray:
        """How likely the k-mers with REF and with ALT are where the k-mer is masked.

        Arguments:
            alleles: SNVs of status "scored", and not `unreadable`.

        Returns:
            Means of log p over phases and strands, in nats: float64 [alleles, 2], REF and ALT;
            NaN where no phase has the site in a k-mer.
        """
        windows = allele_windows(self.genome, alleles, self.options.window)
        return self._likelihoods(windows, np.arange(len(alleles)))

    @property
    def _reverse(self) -> tuple[bool, ...]:
        return (False, True) if self.options.both_strands else (False,)

    @property
    def _phases(self) -> range:
        return range(self.options.phases)

    def _strands(self, codes: np.ndarray) -> list[np.ndarray]:
        return [reverse_complement_codes(codes) if turn else codes for turn in self._reverse]

    def _rows(self, alleles: Sequence[Allele], windows: AlleleWindows) -> _Rows:
        """Collect all windows once: that of the reference serves all alleles of a site."""
        count = len(alleles)
        first, same = _distinct(windows.starts, windows.reference_spans)
        alternative = len(first) + np.arange(count)
        shams = list(self._shams(alleles, windows)) if self.options.shams else []
        codes = [windows.reference[first], windows.alternative, *(sham[1] for sham in shams)]
        sites = [windows.reference_spans[first], windows.alternative_spans]
        pairs, sham_of, behind = [np.column_stack([same, alternative])], [], len(first) + count
        for row, drawn, longer in shams:
            site = (windows.reference_spans, windows.alternative_spans)[longer][row]
            sites.append(np.repeat(site[None], len(drawn), axis=0))
            other = np.full(len(drawn), same[row] if longer else alternative[row])
            pairs.append(np.column_stack([other, behind + np.arange(len(drawn))]))
            sham_of.append(np.full(len(drawn), row))
            behind += len(drawn)
        return _Rows(
            np.concatenate(codes),
            np.concatenate(sites),
            np.concatenate(pairs),
            np.concatenate([np.zeros(0, np.int64), *sham_of]),
        )

    def _shams(
        self, alleles: Sequence[Allele], windows: AlleleWindows
    ) -> Iterator[tuple[int, np.ndarray, int]]:
        """Yield the shams of every allele that changes the length.

        Its number, the windows [shams, window], and which allele they are in place of, the longer
        one: 0 for the reference, 1 for the alternative.
        """
        for row, allele in enumerate(alleles):
            change = allele.change
            if change is None or not change.growth:
                continue
            longer = int(change.growth > 0)
            codes = (windows.reference, windows.alternative)[longer][row]
            start, end = windows.changed[row, longer]
            drawn = np.repeat(codes[None], self.options.shams, axis=0)
            random = np.random.default_rng(self._seed(allele))
            drawn[:, start:end] = random.integers(0, len(BASES), (len(drawn), end - start))
            yield row, drawn, longer

    def _seed(self, allele: Allele) -> int:
        """Return what an allele's shams are drawn from, whatever else is scored."""
        name = self.genome.contigs[allele.contig].name
        return zlib.crc32(f"{name}\t{allele.change}".encode())

    def _distances(self, rows: _Rows, reverse: bool) -> tuple[np.ndarray, np.ndarray]:
        """Compute distances float64 [pairs, measures], and in how many phases [pairs]."""
        width = self.backbone.model.config.embed_dim
        sums = np.zeros((2, 2, len(rows.pairs), width))
        phases = np.zeros(len(rows.pairs), np.int64)
        for phase in self._phases:
            read = self._read(rows.codes, rows.sites, phase, reverse)
            means = span_embeddings(self.backbone, read.ids, read.spans, self._buckets)
            held = read.held[rows.pairs].all(axis=1)
            phases += held
            for own, values in zip(sums, means, strict=True):
                for side, of in zip(own, rows.pairs.T, strict=True):
                    side[held] += values[of[held]]
        sums /= phases[:, None]
        return np.column_stack([*_compared(*sums[0]), *_compared(*sums[1])]), phases

    def _read(self, codes: np.ndarray, sites: np.ndarray, phase: int, reverse: bool) -> PhaseTokens:
        if reverse:
            codes, sites = reverse_complement_codes(codes), self.options.window - sites[:, ::-1]
        return phase_tokens(self.backbone.model.tokenizer, codes, sites, phase)

    def _likelihoods(self, windows: AlleleWindows, snvs: np.ndarray) -> np.ndarray:
        """Average over phases and strands, float64 [SNVs, 2].

        Phases in which the site is a single base are left out: near a contig's end the bases behind
        an N may be too few for a k-mer.
        """
        result, readings = np.zeros((len(snvs), 2)), np.zeros(len(snvs))
        for reverse in self._reverse:
            for phase in self._phases:
                found, usable = self._likelihoods_in(windows, snvs, phase, reverse)
                result += found
                readings += usable
        readings = readings[:, None]
        return np.divide(result, readings, out=np.full_like(result, np.nan), where=readings > 0)

    def _likelihoods_in(
        self, windows: AlleleWindows, snvs: np.ndarray, phase: int, reverse: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """One reading: log p float64 [SNVs, 2], 0 where it is of no use, and where it is of use."""
        sites = windows.reference_spans[snvs]
        first, same = _distinct(windows.starts[snvs], sites)
        read = self._read(windows.reference[snvs[first]], sites[first], phase, reverse)
        kmers = read.ids[np.arange(len(first)), read.spans[:, 0]]
        usable = read.held & is_whole_kmer(self.backbone.model.tokenizer, kmers)
        held = np.flatnonzero(usable)
        ids, positions, kmers = read.ids[held], read.spans[held, 0], kmers[held]
        targets = base_kmers(self.backbone.model.tokenizer, kmers, read.offsets[held])
        found = np.zeros((len(first), len(BASES)))
        found[held] = masked_token_likelihoods(
            self.backbone, ids, positions, targets, self._buckets
        )
        before = windows.reference[snvs, sites[:, 0]] ^ reverse
        after = windows.alternative[snvs, windows.alternative_spans[snvs, 0]] ^ reverse
        both = np.column_stack([before, after])
        return np.take_along_axis(found[same], both, axis=1), usable[same]

    def _sham_columns(self, total: np.ndarray, rows: _Rows, count: int) -> dict[str, np.ndarray]:
        """Return the mean of the shams, and the score's distance from it in their SDs."""
        columns, has = {}, np.unique(rows.sham_of)
        shams = total[count:].reshape(len(has), self.options.shams, len(MEASURES))
        mean, spread = shams.mean(axis=1), shams.std(axis=1, ddof=1)
        difference = total[has] - mean
        z = np.divide(difference, spread, out=np.full_like(mean, np.nan), where=spread > 0)
        for number, name in enumerate(MEASURES):
            for what, values in (("sham", mean), ("z", z)):
                column = np.full(count, np.nan)
                column[has] = values[:, number]
                columns[f"{name}_{what}"] = column
        return columns


def _distinct(starts: np.ndarray, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the distinct windows: a row of each, and the number of each row."""
    keys = np.column_stack([starts, spans])
    _, first, same = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return first, same.reshape(-1)


def _compared(first: np.ndarray, second: np.ndarray) -> Iterator[np.ndarray]:
    """Yield cosine similarity, L1 and L2 distance and dot product of rows [n, dim]."""
    dot = (first * second).sum(axis=1)
    yield dot / (np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1))
    yield np.abs(first - second).sum(axis=1)
    yield np.linalg.norm(first - second, axis=1)
    yield dot
