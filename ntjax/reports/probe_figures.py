"""The curve of a probe: what each layer's embeddings hold."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ntjax.evaluation.probe_summary import SEQUENCE
from ntjax.reports.colours import COLOURS
from ntjax.reports.figures import interval_lengths, new_picture, save

_LINES = ("-", "--", ":", "-.")


def draw_layers(results: Sequence[Mapping[str, Any]], metric: str, label: str, path: Path) -> str:
    """Draw a metric over depth, a panel for each kind of probe; returns the file's name.

    Arguments:
        results: as of `ntjax.evaluation.probe_summary.summary`.
        metric: name of the metric.
        label: of its axis.
        path: of the PNG.
    """
    kinds = list(dict.fromkeys(result["probe"] for result in results))
    picture, axes = new_picture(columns=len(kinds), width=5.6)
    for axis, kind in zip(axes[0], kinds, strict=True):
        own = [result for result in results if result["probe"] == kind]
        layers = [result for result in own if result["network"] != SEQUENCE]
        lines = list(dict.fromkeys((one["network"], one["pooling"]) for one in layers))
        networks = list(dict.fromkeys(network for network, _ in lines))
        for number, (network, pooling) in enumerate(lines):
            of_line = [one for one in layers if (one["network"], one["pooling"]) == lines[number]]
            known = [one for one in of_line if one["metrics"][metric]["value"] is not None]
            values = [one["metrics"][metric] for one in known]
            axis.errorbar(
                [one["layer"] for one in known],
                [value["value"] for value in values],
                yerr=interval_lengths(values),
                color=COLOURS[number % len(COLOURS)],
                linestyle=_LINES[networks.index(network) % len(_LINES)],
                marker="o",
                markersize=4,
                capsize=2,
                label=f"{network}, {pooling}",
            )
        for number, one in enumerate(result for result in own if result["network"] == SEQUENCE):
            if (value := one["metrics"][metric]["value"]) is not None:
                colour = COLOURS[(len(lines) + number) % len(COLOURS)]
                axis.axhline(value, color=colour, linewidth=1, label=one["pooling"])
        axis.set_title({"logistic": "logistic regression", "mlp": "perceptron"}.get(kind, kind))
        axis.set_xlabel("layer (0: what enters the first)")
        axis.set_xticks(sorted({one["layer"] for one in layers}))
        axis.set_ylabel(label)
    axes[0][-1].legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return save(picture, path)
