"""Which letters count: the report's salience, controlled, beside two other methods (figure 8)."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.promoters.data.planted_precision import planted_letters, planted_precision
from experiments.promoters.data.rows import CLEAN, labels_of, main_run, protocol_rows
from experiments.promoters.data.simulated_jitter import (
    planted_posterior,
    simulate_jittered_sigma70,
)
from experiments.promoters.study import Rows, Study, kept, trained
from ntjax.interpret.aggregation import mean_maps_by_outcome
from ntjax.interpret.attention_salience import attention_salience
from ntjax.interpret.gradients import gradients
from ntjax.interpret.mutagenesis import mutagenesis, position_importance
from ntjax.reports.cells import interval_cell, signed_cell
from ntjax.reports.figures import COLOURS, new_picture, save
from ntjax.reports.page import Block, Figure, Table, Text
from ntjax.runs.run import Run
from ntjax.runs.saved_run import load_run
from ntjax.sequences.alphabet import COLUMN_ORDER

NAME, TITLE = "salience", "Which letters count?"
FIRST = -60  # the first letter's place; that of the start site is 0, as in the report
LETTERS = COLUMN_ORDER
KNOWS = "one who knows how they were made"
_SUBSETS = {
    "correct_promoters": "promoters, called",
    "miscalled_promoters": "promoters, missed",
    "correct_nonpromoters": "others, rejected",
    "miscalled_nonpromoters": "others, called promoters",
}
# Okabe & Ito's, in the order A, C, G, T.
_LETTER_COLOURS = dict(zip(LETTERS, (COLOURS[2], COLOURS[0], COLOURS[1], COLOURS[5]), strict=True))

Maps = dict[str, np.ndarray]


def run(study: Study) -> dict[str, Any]:
    """Mean maps of four subsets of the test rows, and precision where the truth is known."""
    return kept(study, NAME, lambda: _run(study))


def _run(study: Study) -> dict[str, Any]:
    adapted = load_run(main_run(study))
    test = protocol_rows(study, CLEAN).test
    labels = labels_of(test)
    probabilities = adapted.predict(test.sequences)[:, 1]
    maps = _maps(adapted, _some(test.sequences, study), study)
    chosen = _some(np.arange(len(labels)), study)
    sequences = [test.sequences[row] for row in chosen]
    means: dict[str, Any] = {}
    for method, values in maps.items():
        found = mean_maps_by_outcome(values, sequences, labels[chosen], probabilities[chosen])
        means[method] = {
            name: {"rows": mean.rows, "heights": np.round(mean.heights.astype(float), 6).tolist()}
            for name, mean in found.items()
        }
    return {"means": means, "planted": _planted(study)}


def _some(values: Any, study: Study) -> Any:
    """Every sixth row, or every second: mutants are 243 a sequence."""
    return values[:: study.choose(6, 2)]


def _maps(run: Run, sequences: Any, study: Study) -> Maps:
    """Importances [sequences, letters] of each method."""
    progress = "mutants" if study.progress else ""
    attention = attention_salience(run, sequences)
    found = gradients(run, sequences)
    changes = mutagenesis(run, sequences, progress=progress)
    return {
        "attention (the report's)": attention.salience,
        "attention above shuffled": attention.above_shuffled,
        "gradient × input": found.letters,
        "gradient, substitutions": position_importance(found.substitutions),
        "mutagenesis": position_importance(changes),
    }


def _planted(study: Study) -> dict[str, Any]:
    """Precision at the planted letters of simulated promoters whose boxes stand anywhere."""
    train, _ = simulate_jittered_sigma70(8000, 0)
    test, sites = simulate_jittered_sigma70(400, 0, "test")
    steps = study.steps(900, 2000)
    # All weights, so that the model learns the boxes: what is tested here is the maps.
    rows = Rows("simulated", train, test)
    adapted = load_run(trained(study, rows, "full", adapter="full", steps=steps, head="mean"))
    planted = planted_letters(sites)
    boxes = np.flatnonzero(planted.any(axis=1))  # the others have no letter to be found
    promoters = [test.sequences[row] for row in boxes]
    maps = _maps(adapted, promoters, study)
    maps[KNOWS] = planted_posterior(promoters)
    labels = labels_of(test)
    called = (adapted.predict(test.sequences)[:, 1] > 0.5) == (labels == 1)
    return {
        "steps": steps,
        "accuracy": float(called.mean()),
        "precision": {
            name: asdict(planted_precision(m, planted[boxes])) for name, m in maps.items()
        },
    }


def blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """Logos of the four subsets, for each method; and what the methods find of known boxes."""
    figures = []
    for number, (method, means) in enumerate(record["means"].items(), 1):
        file = _logos(method, means, folder / f"figure_8_{number}.png")
        figures.append(Figure(file, f"Figure 8, {method}. {_MEANING[method]}"))
    planted = record["planted"]
    rows_drawn = sum(mean["rows"] for mean in next(iter(record["means"].values())).values())
    rows = tuple(
        (
            name,
            *(interval_cell(p[k]) for k in ("precision", "position_only", "above_position_only")),
        )
        for name, p in planted["precision"].items()
    )
    first = next(iter(planted["precision"].values()))
    return (
        Text(
            "The mean importance of each letter at each place, −60 to +20, over four subsets of "
            f"{rows_drawn:,} of the test rows. Attention is not a cause: it is drawn here because "
            "the report drew it, with the control that shuffles it among the tokens of a sequence "
            "(dividing by letter counts favours rare letters whatever the model looks at)."
        ),
        *figures,
        Table(
            ("method", "precision", "by position alone", "above position"),
            rows,
            "Share of the twelve letters of both boxes among the twelve highest, mean over "
            f"{first['promoters']} simulated promoters whose boxes stand up to 15 letters off "
            f"their place [95% interval]; by chance {first['chance']:.3f}. The model (all "
            f"weights, {planted['steps']:,} steps) calls {planted['accuracy']:.3f} of these test "
            "rows rightly.",
        ),
        Text(_verdict(planted["precision"])),
    )


_MEANING: dict[str, str] = {
    "attention (the report's)": "Attention that a letter's token receives, by the letter's count.",
    "attention above shuffled": "The same, less its mean over all shuffles.",
    "gradient × input": "In equal shares of a token's letters; above 0: towards promoter.",
    "gradient, substitutions": "To first order, what the score owes to the letter.",
    "mutagenesis": "What the score (log-odds) owes to the letter: mean over its three mutants.",
}


def _logos(method: str, means: dict[str, Any], path: Path) -> str:
    import logomaker  # of the extra: only who draws needs it

    picture, axes = new_picture(rows=len(_SUBSETS), width=10, height=1.7)
    for one, (subset, called) in zip(axes[:, 0], _SUBSETS.items(), strict=True):
        heights = np.array(means[subset]["heights"])
        places = np.arange(FIRST, FIRST + len(heights))
        table = pd.DataFrame(heights, index=places, columns=list(LETTERS))
        logomaker.Logo(table, ax=one, color_scheme=_LETTER_COLOURS, show_spines=False)
        one.set_title(f"{called} ({means[subset]['rows']} rows)", fontsize="medium", loc="left")
        one.set_xlim(FIRST - 1, places[-1] + 1)
        one.set_xticks(range(FIRST, places[-1] + 1, 10))
        one.set_ylabel("importance")
    axes[-1, 0].set_xlabel("letters from the start site (0 is the first that is transcribed)")
    picture.suptitle(method)
    return save(picture, path)


def _verdict(precision: dict[str, Any]) -> str:
    said = []
    for method, of in precision.items():
        above = of["above_position_only"]
        if method == KNOWS:
            continue
        if above["low"] <= 0 <= above["high"]:
            word = "cannot be told from it"
        else:
            word = "is above it" if above["low"] > 0 else "is below it"
        said.append(f"{method} {word} ({signed_cell(above)})")
    return "Against what the place alone says of the boxes: " + "; ".join(said) + "."
