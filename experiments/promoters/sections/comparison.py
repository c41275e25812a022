"""Several models under one protocol, beside the report's runs and earlier tools (figures 2, 3)."""

from pathlib import Path
from typing import Any

from experiments.promoters import published
from experiments.promoters.data.rows import PROTOCOLS, evaluated, protocol_rows
from experiments.promoters.data.untrained import untrained
from experiments.promoters.published import Result
from experiments.promoters.study import Study, kept, trained, validation_curve
from ntjax.reports.cells import interval_cell
from ntjax.reports.figures import draw_bars, draw_curves, new_picture, save
from ntjax.reports.page import Block, Figure, Table, Text

NAME, TITLE = "comparison", "Which pre-trained model?"
METRICS = ("accuracy", "mcc", "sensitivity", "specificity")


def run(study: Study) -> dict[str, Any]:
    """Curves and test metrics of every model in every protocol."""
    return kept(study, NAME, lambda: _run(study))


def _run(study: Study) -> dict[str, Any]:
    steps = study.steps(300, 1500)
    models = {Path(name).name: name for name in study.models}
    random = untrained(study.model, 0, study.runs_folder / "untrained" / "0")
    models |= {f"{Path(study.model).name}, untrained": str(random)}
    found, chosen = {}, {}
    for name, model in models.items():
        settings = study.lora(steps, model) | {"evaluate_every": max(1, steps // 10)}
        chosen[name] = {"rate": settings["learning_rate"], "head": settings["head"]}
        for protocol in PROTOCOLS:
            rows = protocol_rows(study, protocol)
            folder = trained(study, rows, f"comparison-{name}", model=model, **settings)
            tested = evaluated(study, folder)
            found[f"{name}, {protocol}"] = {
                "curve": validation_curve(folder),
                "test": {m: tested[m] for m in METRICS},
            }
    return {"model": Path(study.model).name, "steps": steps, "settings": chosen, "runs": found}


def blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """Both figures and the table of all results."""
    rates = "; ".join(
        f"{name}: learning rate {of['rate']:g}, head on `{of['head']}`"
        for name, of in record["settings"].items()
    )
    picture, axes = new_picture(columns=2)
    theirs = {
        name: curve
        for name, stem in published.MODEL_CURVES.items()
        if (curve := published.validation_accuracy(stem))
    }
    draw_curves(axes[0, 0], theirs)
    axes[0, 0].set_title("as published: NT on PPD, 245,124 rows")
    draw_curves(axes[0, 1], {name: run["curve"] for name, run in record["runs"].items()})
    axes[0, 1].set_title("here: LoRA on the E. coli rows")
    second = save(picture, folder / "figure_2_models.png")
    ours = [_result(name, run["test"]) for name, run in record["runs"].items()]
    bars = (*ours, *published.REPORT[:1], *published.REPORT[4:], *published.TOOLS[:3])
    picture, axes = new_picture(width=9)
    draw_bars(axes[0, 0], METRICS, {r.name: [getattr(r, m) for m in METRICS] for r in bars})
    axes[0, 0].set_ylabel("on the 865 promoters and 1,000 random sequences")
    third = save(picture, folder / "figure_3_metrics.png")
    return (
        Text(
            f"LoRA on query and value, one seed a model ({rates}); `untrained` is "
            "the first model's network with the random weights that pre-training begins with, "
            "each k-mer's vector composed of its letters'. In the protocol `published` all test "
            "promoters stand in the training file. The published runs were trained on another, "
            "larger set, and their curves are on other validation rows: only shapes can be "
            "compared."
        ),
        Figure(second, "Figure 2. Validation accuracy while training."),
        Figure(third, "Figure 3. Test metrics; sensitivity and specificity by the textbook."),
        Table(
            ("model or tool", *METRICS, "whose number"),
            (
                *(_row(name, run["test"]) for name, run in record["runs"].items()),
                *(_published_row(result, "the report's") for result in published.REPORT),
                *(_published_row(result, "the tool's (2020)") for result in published.TOOLS),
            ),
            f"Test metrics [95% interval over loci]; {record['steps']:,} steps here.",
        ),
    )


def _result(name: str, test: dict[str, Any]) -> Result:
    return Result(name, *(test[metric]["value"] for metric in METRICS))


def _row(name: str, test: dict[str, Any]) -> tuple[str, ...]:
    cells = [interval_cell(test[metric]) for metric in METRICS]
    return (name, *cells, "measured here")


def _published_row(result: Result, whose: str) -> tuple[str, ...]:
    values = [getattr(result, metric) for metric in METRICS]
    return (result.name, *("–" if v is None else f"{v:.3f}" for v in values), whose)
