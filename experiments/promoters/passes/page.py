"""The contest as blocks of a page."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.promoters.data.genomic_negatives import GENOMIC
from experiments.promoters.data.rows import CLEAN
from experiments.promoters.passes.arms import ARMS
from experiments.promoters.passes.misclassified import BOXES, GC
from experiments.promoters.passes.results import PAIRS, PARTS
from experiments.promoters.passes.tasks import EQUAL_GC
from ntjax.reports.cells import interval_cell, signed_cell, spread_cell
from ntjax.reports.figures import COLOURS, new_picture, save
from ntjax.reports.page import Block, Figure, Table, Text

SEEN = (
    "`mini` was pre-trained on 97% of the blocks of this genome, without labels, so that it saw "
    "most of the test blocks"
)
NAME, TITLE = "passes", "Transformer and CNN over as many passes"
COMMAND = "python -m experiments.promoters.passes"
_TITLES = {
    GENOMIC: "Against windows of the genome of equal GC, held-out blocks",
    CLEAN: "Against random bases (the published rows, clean)",
    EQUAL_GC: "Against random bases, of equal GC in training",
}


def blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """Draw the figure into a folder, and lay out tables for each task."""
    found: list[Block] = []
    if record["share"] != 1:
        found.append(Text(f"A trial: {record['share']:.1%} of each pass."))
    found += [
        Text(
            f"{record['passes']} passes over the training rows (of the CNN in six frames over all "
            "copies), head `tokens`, rates that are the defaults of `mini`. Unless an arm's name "
            "says otherwise, transformers learn from each row in the six frames of its "
            "6-mers, their outputs are averaged over the frames, and 10% of what each layer adds "
            "is dropped in training. The state that is kept is the one with the best AUROC on "
            "validation rows of equal GC. Neither side's settings were searched beyond this (the "
            "rates are those of the grid in `experiments/defaults`). Gradient boosting is the same "
            f"for all seeds. {SEEN}."
        ),
        Figure(
            draw(record["results"], folder),
            "AUROC on validation rows of equal GC over passes, in one frame, means over seeds; "
            "in black: models that have no such curve.",
        ),
    ]
    for name, of_task in record["results"].items():
        found += _of_task(name, of_task)
    return tuple(found)


def _of_task(name: str, of_task: dict[str, Any]) -> list[Block]:
    rows = ", ".join(f"{count:,} {part}" for part, count in of_task["rows"].items())
    heads = ("arm", "seeds", *PARTS, "MCC, test", f"AUROC, test, minus {of_task['against']}")
    caption = (
        f"{_TITLES[name]}. Rows: {rows}. AUROC as means over seeds ± standard deviation; of test "
        f"rows with the 95% interval over {of_task['groups']:,} loci, and the paired difference "
        "with its own."
    )
    table = tuple(
        (arm, *_cells(one), _difference(one["test"]["auroc"]["difference"]))
        for arm, one in of_task["arms"].items()
    )
    found: list[Block] = [Table(heads, table, caption)]
    if of_task["pairs"]:
        found.append(_pair_table(of_task["pairs"]))
    found.append(_misclassified_table(of_task["misclassified"]))
    if name == CLEAN:
        found.append(_crossed_table(of_task["arms"]))
    return found


def _pair_table(pairs: dict[str, dict[str, Any]]) -> Table:
    heads = ("question", "arm", "minus", "seeds", "AUROC, test", "p (Holm)")
    rows = (
        (
            name,
            *PAIRS[name],
            " and ".join(map(str, one["seeds"].values())),
            _difference(one),
            f"{one['holm']:.3f}" if "holm" in one else "–",
        )
        for name, one in pairs.items()
    )
    return Table(
        heads,
        tuple(rows),
        (
            "Pairs of arms on the same test rows. In one frame the row is read whole, in six each "
            "copy has 76 of its 81 bp; in six frames the CNN makes six times as many steps."
        ),
    )


def _misclassified_table(found: dict[str, Any]) -> Table:
    rows = tuple(
        (
            arm,
            f"{of_arm['rows']['missed']:,} of {sum(of_arm['rows'].values()):,}",
            feature,
            _value(of_arm[feature]["found"]),
            _value(of_arm[feature]["missed"]),
            _difference(of_arm[feature]["difference"]),
        )
        for arm, of_arm in found.items()
        for feature in (BOXES, GC)
    )
    caption = (
        "Promoters that are missed (below 0.5, mean over seeds) beside those that are found. The "
        "boxes' weights are learned from the training promoters. The set is of σ70 promoters; "
        "what σ factor else binds a promoter is not in these data."
    )
    return Table(("arm", "missed", "mean of", "found", "missed", "missed − found"), rows, caption)


def _value(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _crossed_table(arms: dict[str, Any]) -> Table:
    pairs = list(next(iter(arms.values()))["crossed"])
    rows = ((arm, *(f"{one['crossed'][pair]:.3f}" for pair in pairs)) for arm, one in arms.items())
    caption = (
        "Why test rows are harder than validation rows: promoters of one part against the "
        "negatives of another, AUROC, means over seeds."
    )
    return Table(("arm", *pairs), tuple(rows), caption)


def _cells(arm: dict[str, Any]) -> tuple[str, ...]:
    validation = (_without_interval(arm["auroc"][part]) for part in PARTS[:-1])
    test, seeds = arm["test"], str(len(arm["auroc"]["test"]))
    return (seeds, *validation, spread_cell(test["auroc"]), interval_cell(test["mcc"]))


def _without_interval(values: list[float]) -> str:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return spread_cell({"value": np.mean(values), "sd": spread, "low": None})


def _difference(found: dict[str, Any]) -> str:
    """Nothing of an arm against itself."""
    if found["low"] is None or found["low"] == found["high"]:
        return "–"
    return signed_cell(found)


def draw(results: dict[str, Any], folder: Path) -> str:
    """Draw AUROC on matched validation rows over passes, a panel for each task."""
    picture, axes = new_picture(columns=len(results), width=5.6, height=4.2)
    handles: dict[str, Any] = {}
    styles = _styles()
    for axis, (name, of_task) in zip(axes.flat, results.items(), strict=True):
        for arm, one in of_task["arms"].items():
            if ARMS[arm].is_transformer:
                curve = np.mean(one["curve"], axis=0)
                [handles[arm]] = axis.plot(np.arange(1, len(curve) + 1), curve, **styles[arm])
            else:
                level = np.mean(one["auroc"]["matched validation"])
                handles[arm] = axis.axhline(level, linewidth=1, **styles[arm])
        axis.set_title(_TITLES[name], fontsize="medium", wrap=True)
        axis.set_xlabel("passes over the training rows")
    axes.flat[0].set_ylabel("AUROC, validation rows")
    picture.legend(
        list(handles.values()), list(handles), loc="outside lower center", ncols=3, frameon=False
    )
    return save(picture, folder / "passes.png")


def _styles() -> dict[str, dict[str, Any]]:
    """Colour and stroke of each arm: transformers are in colour, others black and broken."""
    transformers = [arm for arm, one in ARMS.items() if one.is_transformer]
    others = [arm for arm in ARMS if arm not in transformers]
    styles: dict[str, dict[str, Any]] = {}
    for number, arm in enumerate(transformers):
        stroke = "-" if number < len(COLOURS) else (0, (5, 1))
        styles[arm] = {"color": COLOURS[number % len(COLOURS)], "linestyle": stroke}
    for arm, stroke in zip(others, ("--", "-.", ":"), strict=True):
        styles[arm] = {"color": "0.2", "linestyle": stroke}
    return styles
