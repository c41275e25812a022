"""Pictures of scans: precision and recall, expected and true finds, a stretch of the genome."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ntjax.reports.figures import COLOURS, new_picture, save

_KNOWN, _FALSE = COLOURS[2], COLOURS[5]
_GREY = COLOURS[6]


def draw_curves(record: dict[str, Any], path: Path) -> str:
    """Precision and recall of all methods; finds that the model expected, and true ones."""
    picture, axes = new_picture(columns=2, width=6.2, height=4.8)
    _draw_precision(axes[0, 0], record)
    _draw_finds(axes[0, 1], record["hits"], record["model"])
    return save(picture, path)


def _draw_precision(axes: Axes, record: dict[str, Any]) -> None:
    highest = 4 * record["chance"]
    for (name, found), colour in zip(record["results"].items(), COLOURS, strict=False):
        curve, test = found["curve"], found["test"]
        low, high = np.array(curve["precision_interval"], float).reshape(-1, 2).T
        highest = max(highest, np.nanmax(np.append(high, curve["precision"])))
        axes.fill_between(curve["recall"], low, high, color=colour, alpha=0.12, linewidth=0)
        axes.plot(
            curve["recall"],
            curve["precision"],
            color=colour,
            label=f"{name}: {test['average_precision']['value']:.3f}",
        )
        if test["precision"]["value"] is not None:
            axes.plot(test["recall"]["value"], test["precision"]["value"], "o", color=colour)
    axes.axhline(record["chance"], color="black", linestyle=":", label="calls at random places")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(0, min(1.02, 1.25 * highest))
    axes.set_xlabel("recall: share of the known start sites found")
    axes.set_ylabel("precision: share of the calls at a known site")
    axes.legend(frameon=False, fontsize="small", title="average precision", loc="upper right")


def _draw_finds(axes: Axes, hits: dict[str, Any], model: str) -> None:
    ranks = hits["ranks"]
    axes.plot(ranks, hits["found"], color="black", linewidth=2, label="found")
    styles = (("--", COLOURS[5]), ("-.", COLOURS[0]), ("-", COLOURS[2]))
    for (name, kind), (line, colour) in zip(hits["kinds"].items(), styles, strict=True):
        axes.plot(ranks, kind["curve"], color=colour, linestyle=line, label=f"expected: {name}")
    axes.set_xscale("log")
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, 30 * ranks[-1])  # with room for the legend
    axes.set_xlabel("calls, the best first")
    axes.set_ylabel("of them at a known start site")
    axes.set_title(model, fontsize="medium")
    axes.legend(frameon=False, fontsize="small", loc="upper left")


def draw_locus(record: dict[str, Any], path: Path) -> str:
    """Scores, calls and known sites of both strands, with the genes between them."""
    locus = record["locus"]
    picture, axes = new_picture(rows=3, width=12, height=1.9)
    axes[0, 0].get_gridspec().set_height_ratios([3, 1, 3])
    above, middle, below = axes[:, 0]
    for one, strand in ((above, "+"), (below, "-")):
        _draw_strand(one, locus, strand)
        one.sharex(above)
        one.tick_params(labelbottom=one is below)
    middle.sharex(above)
    _draw_genes(middle, locus)
    limits = [limit for one in (above, below) for limit in one.get_ylim()]
    above.set_ylim(min(limits), max(limits) + 2)
    below.set_ylim(max(limits) + 2, min(limits))  # the other strand hangs
    above.set_xlim(locus["start"] / 1000, locus["end"] / 1000)
    below.set_xlabel(f"place in {locus['contig']} (kb)")
    above.legend(frameon=False, fontsize="small", ncols=4, loc="lower right", bbox_to_anchor=(1, 1))
    return save(picture, path)


def _draw_strand(axes: Axes, locus: dict[str, Any], strand: str) -> None:
    found = locus["strands"][strand]
    places, scores = (np.array(of, float) for of in found["scores"])
    axes.plot(places / 1000, scores, color=_GREY, linewidth=0.6)
    axes.axhline(locus["threshold"], color="black", linestyle=":", linewidth=0.8, label="threshold")
    called, of_calls, right = (np.array(of) for of in found["calls"])
    for kind, colour, marker, name in (
        (right.astype(bool), _KNOWN, "o", "call at a known site"),
        (~right.astype(bool), _FALSE, "x", "call elsewhere"),
    ):
        axes.plot(
            called[kind] / 1000,
            of_calls[kind],
            marker,
            color=colour,
            markersize=5,
            label=name,
            linestyle="",
        )
    low = scores.min()
    axes.plot(
        np.array(found["known"]) / 1000,
        np.full(len(found["known"]), low - 1),
        "^" if strand == "+" else "v",
        color=COLOURS[0],
        markersize=6,
        linestyle="",
        label="known start site",
    )
    axes.set_ylabel(f"{'+' if strand == '+' else '−'} strand\nscore (log-odds)")


def _draw_genes(axes: Axes, locus: dict[str, Any]) -> None:
    for start, end, strand in locus["genes"]:
        start, end = max(start, locus["start"]) / 1000, min(end, locus["end"]) / 1000
        tail, head = (start, end) if strand > 0 else (end, start)
        axes.annotate(
            "",
            xy=(head, 0.5 * strand),
            xytext=(tail, 0.5 * strand),
            arrowprops={"arrowstyle": "-|>", "color": "#444444", "linewidth": 2.5, "shrinkA": 0},
        )
    axes.set_ylim(-1.2, 1.2)
    axes.set_yticks([0.5, -0.5], ["genes +", "genes −"])
    axes.tick_params(labelbottom=False, left=False)
    axes.spines[["left", "bottom"]].set_visible(False)
