"""From scores of the test windows to tables and the figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.coding_strand.arms import PRIMARY
from ntjax.metrics.classification import score
from ntjax.metrics.seeds import seed_means
from ntjax.reports import figures
from ntjax.reports.cells import signed_cell, spread_cell
from ntjax.reports.page import Table, as_markdown

METRICS = {"auroc": "AUROC", "mcc": "MCC"}
_DASHED = ("3-periodic Markov chain", "4-mer logistic regression", "fewest stops, no labels")


def as_probabilities(log_odds: np.ndarray) -> np.ndarray:
    """Squash log-odds into (0, 1) without ties: the order and the sign against 1/2 are kept.

    A logistic function would be 1 to all of the Markov chain's scores above 37.
    """
    return 0.5 + 0.5 * log_odds / (1 + np.abs(log_odds))


def summarise(
    forward: np.ndarray,
    scores: Mapping[str, np.ndarray],
    groups: np.ndarray,
    apart: np.ndarray,
) -> dict[str, dict[str, Any]]:
    """Summarise the arms of one number of labels.

    Arguments:
        forward: int [n], 1 where the gene is on the forward strand.
        scores: log-odds by arm, [seeds, n].
        groups: [n], test windows that the bootstrap draws together.
        apart: bool [seeds, n], windows that share no 16-mer with a labelled one of that seed.

    Returns:
        By arm: what `seed_means` gives, where `difference` is the arm minus `PRIMARY`, with
        `ahead`, the number of seeds in which the arm is above it; and under `apart` the mean over
        seeds of the metrics on the windows that are apart.
    """
    results = compare(forward, scores, PRIMARY, groups)
    for name, result in results.items():
        restricted = _of_seeds(forward, as_probabilities(scores[name]), apart)
        result["apart"] = {metric: float(restricted[metric].mean()) for metric in METRICS}
    return results


def compare(
    forward: np.ndarray, scores: Mapping[str, np.ndarray], primary: str, groups: np.ndarray
) -> dict[str, dict[str, Any]]:
    """Compare methods with a primary one on the same test rows.

    Arguments:
        forward: int [n], 1 where the gene is on the forward strand.
        scores: log-odds by method, [seeds, n].
        primary: the method that the others are compared with.
        groups: [n], rows that the bootstrap draws together.

    Returns:
        By method: what `seed_means` gives, with `ahead` in `difference`, the number of seeds in
        which the method is above the primary one.
    """
    probabilities = {name: as_probabilities(values) for name, values in scores.items()}
    results = seed_means(
        forward, probabilities, primary, metrics=tuple(METRICS), groups=groups, bootstrap=2_000
    )
    of_seeds = {
        name: _of_seeds(forward, p, np.ones(p.shape, bool)) for name, p in probabilities.items()
    }
    for name, result in results.items():
        for metric in METRICS:
            ahead = of_seeds[name][metric] > of_seeds[primary][metric]
            result[metric]["difference"]["ahead"] = int(ahead.sum())
    return results


def _of_seeds(
    forward: np.ndarray, probabilities: np.ndarray, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Metrics [seeds] of each seed's own rows."""
    both = np.stack([1 - probabilities, probabilities], axis=2)
    return {
        metric: np.array(
            [score(forward[kept], p[kept], metric) for p, kept in zip(both, rows, strict=True)]
        )
        for metric in METRICS
    }


def markdown(results: Mapping[str, Mapping[str, dict[str, Any]]], seeds: int) -> str:
    """Write a table for every number of labels.

    Arguments:
        results: what `summarise` gives, by number of labels as text.
        seeds: number of them.
    """
    tables = [
        Table(
            ("arm", *heads(PRIMARY), "AUROC, no shared 16-mer"),
            tuple(
                (name, *cells(arm, seeds, name == PRIMARY), f"{arm['apart']['auroc']:.3f}")
                for name, arm in of_labels.items()
            ),
            f"**{int(labels):,} labels**",
        )
        for labels, of_labels in results.items()
    ]
    return "\n\n".join(as_markdown(table) for table in tables) + "\n"


def heads(primary: str) -> tuple[str, ...]:
    """Name the columns of `cells`."""
    return (*METRICS.values(), *(f"{name}, minus {primary}" for name in METRICS.values()))


def cells(result: dict[str, Any], seeds: int, is_primary: bool) -> tuple[str, ...]:
    """Write the means of a method, and how far it is from the primary one, as `compare` gives."""
    differences = (
        "" if is_primary else _difference(result[metric]["difference"], seeds) for metric in METRICS
    )
    return (*(spread_cell(result[metric]) for metric in METRICS), *differences)


def _difference(difference: dict[str, Any], seeds: int) -> str:
    return f"{signed_cell(difference)}; above in {difference['ahead']} of {seeds}"


def draw(results: Mapping[str, Mapping[str, dict[str, Any]]], path: Path) -> None:
    """Draw the metrics over the number of labels: a line for each arm, mean and interval."""
    labels = [int(number) for number in results]
    picture, axes = figures.new_picture(columns=2, height=4.8)
    for panel, (metric, title) in zip(axes.flat, METRICS.items(), strict=True):
        for number, name in enumerate(next(iter(results.values()))):
            points = [of_labels[name][metric] for of_labels in results.values()]
            _draw_line(panel, labels, points, number, name)
        panel.set_xscale("log")
        panel.set_xticks(labels, [f"{number:,}" for number in labels])
        panel.minorticks_off()
        panel.set_xlabel("labelled windows")
        panel.set_ylabel(f"{title}, 2,000 test windows")
    axes.flat[-1].legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    figures.save(picture, path)


def _draw_line(
    panel: Any, labels: Sequence[int], points: Sequence[dict[str, float]], number: int, name: str
) -> None:
    values = [point["value"] for point in points]
    below = [point["value"] - point["low"] for point in points]
    above = [point["high"] - point["value"] for point in points]
    panel.errorbar(
        labels,
        values,
        yerr=np.maximum([below, above], 0),
        color=figures.COLOURS[number % len(figures.COLOURS)],
        linestyle="--" if name in _DASHED else "-",
        marker="s" if number >= len(figures.COLOURS) else "o",
        markersize=3,
        capsize=2,
        linewidth=2 if name == PRIMARY else 1.2,
        label=name,
    )
