"""The figure of the experiment: two metrics over the number of labels."""

from collections.abc import Mapping
from pathlib import Path

from ntjax.reports.figures import new_picture, save

_STYLES = {"mini": "-", "untrained": ":", "twin": "--"}


def draw(results: Mapping, path: Path) -> None:
    """Draw AUROC and MCC of every method over the number of labels."""
    picture, axes = new_picture(columns=2, width=5.5, height=4.6)
    names = list(dict.fromkeys(name for found in results["labels"].values() for name in found))
    for axis, metric, title in zip(axes[0], ("auroc", "mcc"), ("AUROC", "MCC"), strict=True):
        for number, name in enumerate(names):
            points = [
                (int(count), found[name][metric])
                for count, found in results["labels"].items()
                if name in found
            ]
            counts, values = zip(*points, strict=True)
            means = [value["value"] for value in values]
            errors = [
                [value["value"] - value["low"] for value in values],
                [value["high"] - value["value"] for value in values],
            ]
            style = next((s for begin, s in _STYLES.items() if name.startswith(begin)), "-.")
            # Beside each other, so that error bars can be told apart.
            shifted = [count * (1 + 0.012 * (number - len(names) / 2)) for count in counts]
            axis.errorbar(
                shifted, means, errors, label=name, linestyle=style, marker="o", markersize=4
            )
        axis.set_xscale("log")
        ticks = [int(count) for count in results["labels"]]
        axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axis.minorticks_off()
        axis.set_xlabel("labels (those that choose and calibrate among them)")
        axis.set_ylabel(f"{title}, 2,000 test windows")
        axis.grid(alpha=0.3)
    axes[0][1].legend(fontsize=7, loc="lower right")
    save(picture, path)
