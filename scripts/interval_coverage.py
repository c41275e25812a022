"""How often the intervals of a classifier's metrics hold the true value, with few rows.

`least_counts.LEAST` follows from the table that this prints. Test sets are drawn from two normal
distributions of scores whose area under the ROC curve is known; the model's probabilities are
right for the share of positive rows, or for balanced classes, which gives two thresholds.

    python scripts/interval_coverage.py --counts 10 20 --sets 2000

takes about four minutes a count on one core. With 10 groups of the rarer class or more, of 2,000
sets in each of 36 kinds (lowest coverage of a kind, mean coverage, mean width; the standard error
of the lowest is 0.6%):

    accuracy     93.3%  97.2%  0.20        precision  93.5%  95.5%  0.34
    mcc          93.5%  97.9%  0.49        npv        93.0%  95.9%  0.21
    sensitivity  94.0%  97.9%  0.40        f1         94.1%  96.7%  0.34
    specificity  94.5%  97.9%  0.22        auroc      96.6%  98.4%  0.28
    brier        96.1%  97.0%  0.09        auprc      92.5%  98.0%  0.41
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from ntjax.metrics.classification_intervals import ScoredRows, classification_intervals
from ntjax.metrics.confusion import confusion_rates, matthews_correlation
from ntjax.metrics.proportions import Interval

PREVALENCES = (0.05, 0.2, 0.5)
AUROCS = (0.6, 0.8, 0.95)
GROUP_SIZES = (1, 5)
# Of the variance of scores within a class, what rows of a group share.
_SHARED_VARIANCE = 0.5
_INTEGRATION = 200_001


@dataclass(frozen=True)
class Cell:
    """One kind of test set.

    Attributes:
        prevalence: share of positive groups.
        auroc: true area under the ROC curve.
        group_size: rows of a group; all of one class.
        balanced: whether probabilities are right for as many positive rows as negative ones, and
            not for the prevalence.
    """

    prevalence: float
    auroc: float
    group_size: int
    balanced: bool

    @property
    def distance(self) -> float:
        """Between the means of negative and of positive scores, which have variance 1."""
        return float(np.sqrt(2) * norm.ppf(self.auroc))

    def probabilities(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """What the model states of class 1, `[...]`."""
        prior = 0.0 if self.balanced else logit(self.prevalence)
        return expit(self.distance * scores - self.distance**2 / 2 + prior)

    def truth(self) -> dict[str, float]:
        """The value of every metric in infinitely many rows."""
        share = self.prevalence
        scores = np.linspace(-9, 9 + self.distance, _INTEGRATION)
        step = scores[1] - scores[0]
        positive, negative = norm.pdf(scores - self.distance) * step, norm.pdf(scores) * step
        stated = self.probabilities(scores)
        called, above = stated > 0.5, norm.sf(scores - self.distance) * share
        true_positive, false_positive = (positive * called).sum(), (negative * called).sum()
        cells = np.array(
            [
                [(1 - share) * (1 - false_positive), (1 - share) * false_positive],
                [share * (1 - true_positive), share * true_positive],
            ]
        )
        precision = above / np.maximum(above + norm.sf(scores) * (1 - share), 1e-300)
        errors = share * positive * (1 - stated) ** 2 + (1 - share) * negative * stated**2
        return {
            "accuracy": float(np.trace(cells)),
            "mcc": float(matthews_correlation(cells)),
            **{name: float(value) for name, value in confusion_rates(cells).items()},
            "auroc": self.auroc,
            "auprc": float((positive * precision).sum()),
            "brier": float(errors.sum()),
        }

    def draw(self, groups: int, random: np.random.Generator) -> ScoredRows:
        """A test set of so many groups; which of them are positive is an accident too."""
        labels = np.repeat(random.random(groups) < self.prevalence, self.group_size)
        group = np.repeat(np.arange(groups), self.group_size)
        shared = np.sqrt(_SHARED_VARIANCE if self.group_size > 1 else 0.0)
        own = np.sqrt(1 - shared**2) * random.normal(size=len(labels))
        scores = shared * random.normal(size=groups)[group] + own + self.distance * labels
        stated = self.probabilities(scores)
        both = np.stack([1 - stated, stated], axis=1)
        return ScoredRows.of(labels.astype(np.int64), both, group, 0.95)


@dataclass
class Coverage:
    """How many intervals were given, how many held the true value, and their summed width."""

    given: int = 0
    held: int = 0
    width: float = 0.0

    def add(self, interval: Interval, truth: float) -> None:
        """Count one more."""
        self.given += 1
        self.held += bool(interval.low <= truth <= interval.high)
        self.width += interval.high - interval.low


def cells() -> Iterator[Cell]:
    """All kinds of test sets."""
    for values in product(PREVALENCES, AUROCS, GROUP_SIZES, (False, True)):
        yield Cell(*values)


def simulate(cell: Cell, count: int, sets: int, seed: int = 0) -> dict[str, Coverage]:
    """Draw test sets, and count the intervals of each metric that rest on `count` groups or more.

    Sets have 1.2 times `count` groups of the rarer class on average, so that most of them are near
    it; a set with fewer gives no interval of the metrics that rest on that class.
    """
    random, truth = np.random.default_rng([seed, count]), cell.truth()
    groups = int(np.ceil(1.2 * count / min(cell.prevalence, 1 - cell.prevalence)))
    found = {name: Coverage() for name in truth}
    for _ in range(sets):
        for name, interval in classification_intervals(cell.draw(groups, random)).items():
            if interval.groups >= count and not np.isnan(interval.value):
                found[name].add(interval, truth[name])
    return found


def summarise(
    of_cells: Sequence[dict[str, Coverage]], sets: int
) -> dict[str, tuple[float, float, float]]:
    """By metric the lowest and the mean coverage over cells, and the mean width.

    Cells in which fewer than a tenth of the sets gave an interval are left out.
    """
    table = {}
    for name in of_cells[0]:
        enough = [of[name] for of in of_cells if of[name].given >= sets / 10]
        rates = [one.held / one.given for one in enough]
        widths = [one.width / one.given for one in enough]
        table[name] = (min(rates), float(np.mean(rates)), float(np.mean(widths)))
    return table


def main() -> None:
    """Print lowest and mean coverage and the mean width, a line per metric and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[5, 10, 15, 20, 30])
    parser.add_argument("--sets", type=int, default=2000)
    parser.add_argument("--details", action="store_true", help="a line per cell too")
    options = parser.parse_args()
    print(f"{'metric':<12} {'count':>5} {'lowest':>7} {'mean':>7} {'width':>6}")
    for count in options.counts:
        of_cells = []
        for cell in cells():
            of_cells.append(simulate(cell, count, options.sets))
            if options.details:
                rates = [
                    f"{name} {one.held / max(one.given, 1):.3f}"
                    for name, one in of_cells[-1].items()
                ]
                print(cell, *rates)
        for name, (lowest, mean, width) in summarise(of_cells, options.sets).items():
            print(f"{name:<12} {count:>5} {lowest:>7.1%} {mean:>7.1%} {width:>6.2f}", flush=True)


if __name__ == "__main__":
    main()
