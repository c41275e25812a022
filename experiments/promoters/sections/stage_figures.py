"""Pictures of the species and of the stages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.promoters import published
from experiments.promoters.sections.comparison import METRICS
from ntjax.reports.figures import COLOURS, draw_bars, draw_curves, draw_members, new_picture, save


def draw_species(species: Mapping[str, Mapping[str, int]], path: Path) -> str:
    """A bar for each species with its count and share; returns the file's name."""
    picture, [[axes]] = new_picture(width=8, height=5.6)
    total = sum(count for parts in species.values() for count in parts.values())
    ordered = sorted(species.items(), key=lambda item: sum(item[1].values()))
    for place, (name, parts) in enumerate(ordered):
        train, test = parts.get("Train", 0), parts.get("Test", 0)
        colour = COLOURS[1] if name.startswith("Escherichia") else COLOURS[0]
        axes.barh(place, train, color=colour)
        axes.barh(place, test, left=train, color=colour, hatch="////", edgecolor="white")
        note = "" if train else ", Test file only"
        described = f" {train + test:,} ({(train + test) / total:.1%}{note})"
        axes.text(train + test, place, described, va="center", fontsize="small")
    axes.set_yticks(range(len(ordered)), [name for name, _ in ordered], fontsize="small")
    axes.set_xlabel(f"promoters (hatched: of the Test file), {total:,} in all")
    axes.margins(x=0.2, y=0.01)
    return save(picture, path)


def draw_stage_curves(totals: Mapping[str, Any], path: Path) -> str:
    """The report's stages beside ours, a panel for each number of steps."""
    picture, axes = new_picture(columns=1 + len(totals))
    theirs = {
        name: curve
        for name, stem in published.STAGE_CURVES.items()
        if (curve := published.validation_accuracy(stem))
    }
    draw_curves(axes[0, 0], theirs)
    axes[0, 0].set_title("as published")
    for one, (total, arms) in zip(axes[0, 1:], totals.items(), strict=True):
        for number, (name, stages) in enumerate(arms["curves"].items()):
            *before, last = stages
            colour = COLOURS[number]
            for stage in before:
                draw_members(one, stage["steps"], stage["values"], colour, None, "--")
            draw_members(one, last["steps"], last["values"], colour, name)
        one.set_title(f"here: {int(total):,} steps in all")
        one.legend(frameon=False, fontsize="small")
    return save(picture, path)


def draw_stage_bars(totals: Mapping[str, Any], path: Path) -> str:
    """Test metrics of all arms, with the spread over seeds, and of the report's runs."""
    picture, [[axes]] = new_picture(width=10)
    bars: dict[str, list[float | None]] = {}
    spreads: dict[str, list[float | None]] = {}
    for total, arms in totals.items():
        for name, test in arms["test"].items():
            key = f"{name}, {int(total):,} steps"
            bars[key] = [test[metric]["value"] for metric in METRICS]
            spreads[key] = [test[metric]["sd"] for metric in METRICS]
    for result in published.REPORT[:4]:
        bars[f"report's: {result.name}"] = [getattr(result, metric) for metric in METRICS]
    draw_bars(axes, METRICS, bars, spreads)
    axes.set_ylabel("on the published test rows")
    return save(picture, path)


def draw_left_out(species: Mapping[str, Any], path: Path) -> str:
    """AUROC of every species by method, with intervals; returns the file's name."""
    picture, [[axes]] = new_picture(width=8, height=1.5 + 0.5 * len(species))
    names = list(species)
    for number, method in enumerate(species[names[0]]["auroc"]):
        values = [species[name]["auroc"][method]["both"] for name in names]
        places = [place + 0.2 * (number - 1) for place in range(len(names))]
        middle = [value["value"] for value in values]
        lengths = [
            [v["value"] - v["low"] for v in values],
            [v["high"] - v["value"] for v in values],
        ]
        style = {"fmt": "os^"[number], "color": COLOURS[number], "capsize": 2}
        axes.errorbar(middle, places, xerr=lengths, label=f"trained on {method}", **style)
    axes.axvline(0.5, color="black", linestyle="--", linewidth=0.8)
    axes.set_yticks(range(len(names)), names, fontsize="small")
    axes.set_ylim(len(names) - 0.4, -0.6)  # the first on top
    axes.set_xlabel("AUROC, promoters against CDS and convergent windows")
    axes.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))
    return save(picture, path)
