"""What a model expects at variable sites, by the frequency of their rarer allele.

The paper records perplexity over single-nucleotide polymorphisms by frequency. A k-mer that holds
the site is masked whole, in each phase, and the likelihoods of the k-mers with either allele are
averaged. Two things differ between frequencies whatever a model knows: rare variants are more often
CpG transitions, and sequence differs along the chromosome. So bins are weighted to one distribution
of trinucleotides and alternative bases, and intervals are over blocks of the chromosome.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ntjax.baselines.markov import MarkovModel, kmer_counts, kmer_numbers
from ntjax.genomes.store import Genome
from ntjax.genomes.substitutions import Substitutions
from ntjax.genomes.windows import Region, read_windows
from ntjax.leakage.shared_sequence import kmer_occurrences
from ntjax.metrics.bootstrap import LEAST_UNITS, estimates, too_few_units
from ntjax.metrics.paired import mean_difference

BINS = ((0.0, 0.01), (0.01, 0.05), (0.05, 0.10), (0.10, 0.50))
"""Frequencies of the rarer allele, the lower bound left out. A site at which the samples of the
file do not vary counts as rare."""

BLOCK = 50_000
"""Variants of so many bases are drawn together by the bootstrap."""

MEASURES = ("loss_reference", "loss_alternative", "alternative_share")

_COMMONEST, _GAP = len(BINS) - 1, -1  # the last bin, and the first one minus it


@dataclass(frozen=True)
class Sites:
    """Variable sites.

    Attributes:
        given: the substitutions, on a genome.
        frequency: float64 [sites], of the rarer allele.
        category: int64 [sites], what bins are weighted to have alike, such as
            `substitution_class`.
    """

    given: Substitutions
    frequency: np.ndarray
    category: np.ndarray

    @property
    def bin(self) -> np.ndarray:
        """Number of each site's bin, int64 [sites]; -1 for none."""
        found = np.full(len(self.frequency), -1)
        for number, (low, high) in enumerate(BINS):
            found[(self.frequency > low) & (self.frequency <= high)] = number
        found[self.frequency == 0] = 0
        return found

    def take(self, rows: np.ndarray) -> "Sites":
        """Those of the given rows."""
        return Sites(self.given.take(rows), self.frequency[rows], self.category[rows])


def minor_frequency(counts: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Frequency of the rarer allele from AC and AN, float64 [sites].

    >>> minor_frequency(np.array([1, 450]), np.array([600, 600])).round(4).tolist()
    [0.0017, 0.25]
    """
    return np.minimum(counts, numbers - counts) / numbers


def drawn_by_bin(sites: Sites, most: int, seed: int) -> np.ndarray:
    """Draw at most so many sites of every bin, int64 [rows], ascending."""
    random, bins = np.random.default_rng(seed), sites.bin
    rows = [random.permutation(np.flatnonzero(bins == n))[:most] for n in range(len(BINS))]
    return np.sort(np.concatenate(rows))


def category_weights(category: np.ndarray, bins: np.ndarray) -> NDArray[np.float64]:
    """Weigh sites so that all bins have the categories in the same shares: float64 [sites].

    Categories that some bin lacks are left out with weight 0, as are sites of no bin or category.
    """
    weights = np.zeros(len(category))
    numbers = [n for n in range(len(BINS)) if (bins == n).any()]
    usable = (bins >= 0) & (category >= 0)
    for one in np.unique(category[usable]):
        own = usable & (category == one)
        counts = np.array([(own & (bins == n)).sum() for n in numbers])
        if (counts == 0).any():
            continue
        share = own.sum() / usable.sum()
        for number, count in zip(numbers, counts, strict=True):
            weights[own & (bins == number)] = share / count
    return weights


def by_frequency(
    likelihoods: np.ndarray, sites: Sites, *, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Summarise log-likelihoods by bin, with intervals over blocks of the chromosome.

    Arguments:
        likelihoods: log p of the k-mer with REF and with ALT, in nats, float64 [sites, 2].
        sites: the same sites.
        resamples: of blocks.
        seed: of the resampling.

    Returns:
        `bins`: for each its bounds, `n`, `groups` (blocks), and as values with intervals
        `loss_reference`, `loss_alternative` (nats a k-mer; their exponentials are perplexities) and
        `alternative_share`, the mean of P(ALT) / (P(REF) + P(ALT)); `rare_minus_common`: the same
        three, first bin minus last one, with their own `n` and `groups`; `left_out`: sites without
        a weight or a likelihood.
    """
    known = np.isfinite(likelihoods).all(axis=1)
    likelihoods, sites = likelihoods[known], sites.take(np.flatnonzero(known))
    bins, blocks = sites.bin, sites.given.places // BLOCK
    weights = category_weights(sites.category, bins)
    ratio = likelihoods[:, 1] - likelihoods[:, 0]
    values = np.column_stack([-likelihoods, 1 / (1 + np.exp(-ratio))])
    used = np.unique(sites.category[weights > 0])
    shares = {one: weights[(sites.category == one) & (bins == 0)].sum() for one in used}

    def means(drawn: NDArray[np.float64]) -> dict[tuple[int, str], NDArray[np.float64]]:
        """Average within each category of a resample, then over categories by fixed shares."""
        found = {}
        for number in range(len(BINS)):
            sums, total = np.zeros((len(drawn), len(MEASURES))), np.zeros((len(drawn), 1))
            for one, share in shares.items():
                rows = np.flatnonzero((bins == number) & (sites.category == one))
                count = drawn[:, rows].sum(axis=1, keepdims=True)
                there = count > 0  # a category that a resample lacks is left out of its mean
                mean = np.divide(
                    drawn[:, rows] @ values[rows],
                    count,
                    out=np.zeros_like(sums),
                    where=there,
                )
                sums += share * mean
                total += share * there
            average = np.divide(sums, total, out=np.full_like(sums, np.nan), where=total > 0)
            for column, name in enumerate(MEASURES):
                found[number, name] = average[:, column]
        return found

    def statistic(drawn: NDArray[np.float64]) -> dict[tuple[int, str], NDArray[np.float64]]:
        found = means(drawn)
        gaps = {(_GAP, name): found[0, name] - found[_COMMONEST, name] for name in MEASURES}
        return found | gaps

    found = estimates(statistic, len(values), resamples=resamples, seed=seed, groups=blocks)
    table = []
    for number, bounds in enumerate(BINS):
        own = (bins == number) & (weights > 0)
        metrics = {name: dict(found[number, name]) for name in MEASURES}
        if reason := too_few_units(int(own.sum()), blocks[own]):
            for metric in metrics.values():
                metric.update(low=None, high=None, interval=reason)
        counts = {"n": int(own.sum()), "groups": len(np.unique(blocks[own]))}
        table.append({"bounds": list(bounds), **counts, **metrics})
    ends = np.flatnonzero(np.isin(bins, (0, _COMMONEST)) & (weights > 0))
    between = {name: found[_GAP, name] for name in MEASURES}
    fewest = min(table[0]["groups"], table[-1]["groups"])
    for difference_of in between.values():
        if fewest < LEAST_UNITS:
            reason = f"it needs {LEAST_UNITS} blocks of either and there are {fewest}"
            difference_of.update(low=None, high=None, interval=reason)
    return {
        "bins": table,
        "rare_minus_common": {
            **between,
            "n": len(ends),
            "groups": len(np.unique(blocks[ends])),
        },
        "left_out": int((weights == 0).sum() + (~known).sum()),
        "n": int((weights > 0).sum()),
        "groups": len(np.unique(blocks[weights > 0])),
    }


def paired_losses(
    first: np.ndarray, second: np.ndarray, sites: Sites, *, resamples: int = 2000, seed: int = 0
) -> dict[str, Any]:
    """Subtract one model's mean loss of the reference from another's, all sites weighing alike.

    Arguments:
        first: log-likelihoods of one model, float64 [sites, 2].
        second: of the other.
        sites: the same sites.

    Returns:
        `value`, `low`, `high`, `p`: nats a k-mer, below 0 where the first is better; `n`, `groups`.
    """
    gaps = second[:, 0] - first[:, 0]
    return mean_difference(gaps, sites.given.places // BLOCK, resamples=resamples, seed=seed)


def markov_likelihoods(
    model: MarkovModel, genome: Genome, given: Substitutions, k: int = 6
) -> NDArray[np.float64]:
    """What a Markov model expects of the k-mers with either allele, float64 [sites, 2].

    As of a network: each k-mer that holds the site is masked whole, and the mean taken over the k
    phases. The model reads `order` bases on both sides.
    """
    total = np.zeros((len(given.places), 2))
    rows = np.arange(len(given.places))
    for offset in range(k):
        starts = given.places - offset
        letters = read_windows(genome, starts - model.order, k + 2 * model.order)
        left, right = letters[:, : model.order], letters[:, model.order + k :]
        kmers = letters[:, model.order : model.order + k].astype(np.int64)
        reference = kmer_numbers(kmers)
        kmers[:, offset] = given.alternative
        scores = model.fillings(left, right, k)
        both = np.column_stack([reference, kmer_numbers(kmers)])
        total += scores[rows[:, None], both]
    return total / k


def trinucleotide_likelihoods(
    training: Sequence[Region], genome: Genome, given: Substitutions
) -> NDArray[np.float64]:
    """What the two neighbours alone tell of the base: log p of REF and ALT, float64 [sites, 2]."""
    counts = (kmer_counts(training, 3) + 1.0).reshape(4, 4, 4)
    log_p = np.log(counts / counts.sum(axis=1, keepdims=True))
    left, middle, right = read_windows(genome, given.places - 1, 3).T
    return np.column_stack([log_p[left, base, right] for base in (middle, given.alternative)])


def share_of_repeats(
    genome: Genome, given: Substitutions, everywhere: Sequence[Region], k: int = 31
) -> NDArray[np.float64]:
    """Count how many of the k-mers over a site occur elsewhere: shares, float64 [sites].

    Arguments:
        genome: of the sites.
        given: the sites.
        everywhere: where k-mers are looked for, the sites' own places among them.
    """
    around = read_windows(genome, given.places - k + 1, 2 * k - 1)
    return (kmer_occurrences(around, everywhere, k) > 1).mean(axis=1)
