"""LoRA's dropout, rank, alpha and learning rate, each with several seeds (figures 4 and 5)."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from experiments.promoters import published
from experiments.promoters.data.rows import CLEAN, PROTOCOLS, protocol_rows, test_loci
from experiments.promoters.sections.comparison import METRICS
from experiments.promoters.sections.sweep_figures import draw_curves_of_members, draw_test_metrics
from experiments.promoters.study import (
    Study,
    kept,
    members,
    parts_of,
    swept,
    test_probabilities,
    validation_curve,
)
from ntjax.metrics.seeds import seed_means
from ntjax.metrics.significance import corrected_blocked_t, holm
from ntjax.reports.cells import LEVEL, counted, interval_cell, signed_cell
from ntjax.reports.page import Block, Figure, Table, Text
from ntjax.training.swept_runs import TABLE_FILE

NAME, TITLE = "sweeps", "Which dropout, rank, alpha and learning rate?"
RANK, ALPHA, DROPOUT = 8, 16.0, 0.1
LABELS = {
    "lora_dropout": "dropout",
    "lora_rank": "rank",
    "lora_alpha": "α",
    "learning_rate": "rate",
}
# 245,124 rows, with which the report trained, are 95% of its file.
_REPORTED_VALIDATION_ROWS = round(245_124 / 95 * 5)


def run(study: Study) -> dict[str, Any]:
    """Validation curves, best validation accuracies and test metrics of all settings."""
    return kept(study, NAME, lambda: _run(study))


def _run(study: Study) -> dict[str, Any]:
    parts = parts_of(study, protocol_rows(study, CLEAN))
    seeds = study.choose(2, 5)
    arms = _arms(study, seeds)
    probabilities = _probabilities(arms)
    tested = _tested(study, CLEAN, probabilities)
    for arm in arms:
        arm["test"] = tested[arm["name"]]
    sizes = {part: len(parts.tables[part]) for part in ("train", "validation")}
    choice = _choice([arm for arm in arms if arm["setting"] == "lora_dropout"], **sizes)
    # The one that the others begin from, and the one that the clean rows' validation chose.
    beside = dict.fromkeys((DROPOUT, choice["value"]))
    names = [_name("lora_dropout", value) for value in beside]
    of_protocol = {CLEAN: {name: probabilities[name] for name in names}}
    for protocol in PROTOCOLS:
        if protocol != CLEAN:
            vary = {"lora_dropout": list(beside)}
            of_protocol[protocol] = _probabilities(_swept(study, seeds, vary, protocol))
    return {
        "seeds": seeds,
        "steps": arms[0]["steps"][-1],
        "rate": study.lora_rate(),
        "rows": sizes,
        "arms": arms,
        "choice": choice,
        "protocols": {
            protocol: _tested(study, protocol, of_protocol[protocol]) for protocol in PROTOCOLS
        },
    }


def _probabilities(arms: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Of the test rows, [seeds, rows], by arm; takes the folders out of the arms."""
    return {arm["name"]: test_probabilities(arm.pop("runs")) for arm in arms}


def _tested(
    study: Study, protocol: str, probabilities: dict[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """Test metrics of arms, against the one that the others begin from."""
    return seed_means(
        parts_of(study, protocol_rows(study, protocol)).labels["test"],
        probabilities,
        _name("lora_dropout", DROPOUT),
        metrics=METRICS,
        groups=test_loci(study),
    )


def _arms(study: Study, seeds: int) -> list[dict[str, Any]]:
    """Every setting: nine dropouts, then the others one at a time, all else as in the first."""
    rate = study.lora_rate()
    found = _swept(study, seeds, {"lora_dropout": [tenth / 10 for tenth in range(1, 10)]})
    rates = [float(f"{rate * factor:g}") for factor in (1 / 4, 4)]
    for setting, values in (
        ("lora_rank", [1, 32]),
        ("lora_alpha", [1.0, 32.0]),
        ("learning_rate", rates),
    ):
        found += _swept(study, seeds, {setting: values})
    if study.full:  # the report's own pairs: its notebook's, and that of its best run
        for rank, alpha in ((1, 32.0), (32, 1.0)):
            [arm] = _swept(study, seeds, {}, lora_rank=rank, lora_alpha=alpha)
            found.append(arm | {"name": f"rank {rank}, α {alpha:g}"})
    return found


def _swept(
    study: Study,
    seeds: int,
    vary: dict[str, list[float]],
    protocol: str = CLEAN,
    **changed: Any,
) -> list[dict[str, Any]]:
    """The arms of one setting's values, all seeds of each; of one arm without a setting."""
    steps = study.steps(60, 240)
    settings = {"lora_rank": RANK, "lora_alpha": ALPHA, "lora_dropout": DROPOUT} | changed
    settings |= study.lora(steps) | {"schedule": "cosine"}
    settings |= {"evaluate_every": max(1, steps // study.choose(3, 4))}
    setting = next(iter(vary), "")
    name = "sweep-" + (setting or "-".join(f"{value:g}" for value in changed.values()))
    if setting:
        settings.pop(setting)
    if protocol != CLEAN:
        name += "".join(f"-{value:g}" for value in vary[setting])
    rows = protocol_rows(study, protocol)
    folder = swept(study, rows, name, {**vary, "seed": range(seeds)}, select="accuracy", **settings)
    table = pd.read_csv(folder / TABLE_FILE).sort_values("seed", kind="stable")
    groups = table.groupby(setting) if setting else [(None, table)]
    return [_arm(folder, setting, value, lines) for value, lines in groups]


def _arm(folder: Path, setting: str, value: Any, table: pd.DataFrame) -> dict[str, Any]:
    runs = [members(folder)[member] for member in table["member"]]
    curves = [validation_curve(run) for run in runs]
    return {
        "name": _name(setting, value) if setting else "",
        "setting": setting or "seed",
        "value": value if value is None else float(value),
        "steps": curves[0][0],
        "curves": [values for _, values in curves],
        "best": table["validation_accuracy"].tolist(),
        "runs": runs,
    }


def _name(setting: str, value: float) -> str:
    return f"{LABELS[setting]} {value:g}"


def _choice(arms: list[dict[str, Any]], train: int, validation: int) -> dict[str, Any]:
    """The arm with the best mean, and whether the others can be told from it."""
    scores = np.array([arm["best"] for arm in arms])
    best = int(scores.mean(axis=1).argmax())
    tests = corrected_blocked_t(scores, best, train, validation)
    corrected = holm([test.p_value for test in tests])
    others = [arm["name"] for arm in arms if arm is not arms[best]]
    return {
        "chosen": arms[best]["name"],
        "value": arms[best]["value"],
        "against": {
            name: {**test._asdict(), "holm": float(p)}
            for name, test, p in zip(others, tests, corrected, strict=True)
        },
    }


def blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """Both figures, the settings, and how far the choice of a dropout can be trusted."""
    fourth = draw_curves_of_members(record, folder / "figure_4_dropout.png")
    fifth = draw_test_metrics(record, folder / "figure_5_settings.png")
    trained = (
        f"LoRA on the {record['rows']['train']:,} clean *E. coli* rows, {record['steps']:,} steps "
        f"of 32 sequences with a cosine decay, {record['seeds']} seeds a setting"
    )
    return (
        Text(_design(record)),
        Text(_reported()),
        Text(_verdict(record)),
        Figure(
            fourth,
            "Figure 4. Validation accuracy while training. Above: the report's own runs, "
            "500M-1000G on PPD, one run each; its best run is the one with rank 32. Below: "
            f"measured here, {trained}; thin lines are seeds, thick ones their means. Above and "
            "below differ in model, rows and validation rows.",
        ),
        Figure(
            fifth,
            f"Figure 5. Test metrics by setting: {trained}; bars are means, error bars ± one "
            "standard deviation between seeds. Diamonds and grey bars are the report's own, one "
            "run each, on PPD.",
        ),
        _settings_table(record, trained),
        _protocol_table(record),
        _choice_table(record),
    )


def _design(record: dict[str, Any]) -> str:
    return (
        f"All settings share steps, batch (32) and schedule (cosine), and differ in one number from"
        f" dropout {DROPOUT:g}, rank {RANK}, α {ALPHA:g}, learning rate {record['rate']:g}. "
        "A seed draws initial values, order of rows and the validation rows, the same ones for all "
        "settings; the checkpoint is the one with the best validation accuracy. In the report the "
        "dropout runs had batch 32 and a cosine decay, the runs they are compared with batch 16 "
        "and a linear decay, so that its gain by dropout is also one by batch and schedule; and "
        "each dropout was trained once."
    )


def _reported() -> str:
    """What the report's own curves say of its choice."""
    curves = {d: published.validation_accuracy(s) for d, s in published.DROPOUT_CURVES.items()}
    if None in curves.values():
        return "The report's own curves are not to be had here."
    best = sorted(((max(values), d) for d, (_, values) in curves.items()), reverse=True)
    (first, chosen), (second, next_best) = best[:2]
    error = np.sqrt(first * (1 - first) / _REPORTED_VALIDATION_ROWS)
    return (
        f"The report chose dropout {chosen}: best validation accuracy {first:.4f}, and "
        f"{second:.4f} with dropout {next_best}, its next best. The standard error of one such "
        f"accuracy on about {_REPORTED_VALIDATION_ROWS:,} rows is {error:.4f} before any other "
        f"seed is tried; the difference is {(first - second) / error:.1f} of it."
    )


def _verdict(record: dict[str, Any]) -> str:
    choice, seeds = record["choice"], record["seeds"]
    arms = {arm["name"]: arm for arm in record["arms"]}
    best = arms[choice["chosen"]]
    told = [name for name, test in choice["against"].items() if test["holm"] < LEVEL]
    count = len(choice["against"])
    known = f"{len(told)} of the {count} others ({', '.join(told)})" if told else "none of them"
    test = best["test"]["accuracy"]
    against_base = test["difference"]
    base = _name("lora_dropout", DROPOUT)
    compared = (
        ""
        if best["name"] == base
        else (
            f" Its difference from {base} on the test rows is {signed_cell(against_base)}, "
            f"p = {against_base['p']:.3f} (bootstrap of loci, of these seeds)."
        )
    )
    return (
        f"Here validation chooses {best['name']}: {_mean_and_error(best['best'])} over {seeds} "
        f"seeds. By Holm's correction of {count} comparisons over seeds at a level of {LEVEL}, "
        f"{known} can be told from it (the choice itself was made with the same numbers, which "
        f"makes these p-values too small if anything). Its test accuracy is {interval_cell(test)}."
        + compared
    )


def _settings_table(record: dict[str, Any], trained: str) -> Table:
    heads = ("setting", "validation best", "seeds", *METRICS)
    lines = tuple(
        (
            arm["name"] + " (chosen)" * (arm["name"] == record["choice"]["chosen"]),
            _mean_and_error(arm["best"]),
            " ".join(f"{value:.3f}" for value in arm["best"]),
            *(interval_cell(arm["test"][metric]) for metric in METRICS),
        )
        for arm in record["arms"]
    )
    return Table(
        heads,
        lines,
        f"{trained}. Validation best: mean of the seeds' best accuracies on "
        f"{record['rows']['validation']:,} rows ± its standard error, then each seed's. Test "
        "metrics: means over seeds [95% interval over loci].",
    )


def _protocol_table(record: dict[str, Any]) -> Table:
    lines = tuple(
        (protocol, name, *(interval_cell(test[metric]) for metric in METRICS))
        for protocol, tested in record["protocols"].items()
        for name, test in tested.items()
    )
    return Table(
        ("rows", "setting", *METRICS),
        lines,
        "The same test rows after training on the rows of each protocol: means over "
        f"{record['seeds']} seeds [95% interval over loci].",
    )


def _choice_table(record: dict[str, Any]) -> Table:
    choice = record["choice"]
    lines = tuple(
        (
            name,
            signed_cell({"value": test["difference"], "low": test["low"], "high": test["high"]}),
            f"{test['p_value']:.3f}",
            f"{test['holm']:.3f}",
        )
        for name, test in choice["against"].items()
    )
    return Table(
        ("against", f"validation accuracy: {choice['chosen']} minus it", "p", "p (Holm)"),
        lines,
        "Paired over seeds, whose validation rows all dropouts share: Student's t with the "
        "residual of all nine dropouts' scores as the error (seeds as blocks), widened because "
        "the seeds' training rows overlap (Nadeau & Bengio 2003). A t-test of each pair alone "
        f"would have {counted(record['seeds'] - 1, 'degree')} of freedom in place of "
        f"{8 * (record['seeds'] - 1)}; a bootstrap of rows would leave out how much seeds differ.",
    )


def _mean_and_error(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"
