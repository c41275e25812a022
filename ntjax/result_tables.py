"""What a command prints at its end: one line per model, or per member of a sweep."""

from typing import Any

import pandas as pd

from ntjax.tasks import HIGHER_IS_BETTER, Task


def print_results(rows: dict[str, dict[str, Any]], task: Task) -> None:
    """A line per model: value and 95% interval, on the test rows."""
    width = max(len(name) for name in rows) + 14
    count = next(iter(rows.values()))["n"]
    title = f"{count:,} test rows [95% interval]"
    width = max(width, len(title))
    print(f"\n{title:<{width}}" + "".join(f"{metric:>24}" for metric in task.shown))
    for name, result in rows.items():
        print(f"{name:<{width}}" + "".join(f"  {_cell(result[m], m):>22}" for m in task.shown))
        if result["calibrated"]:
            cells = "".join(f"  {_cell(result['calibrated'][m], m):>22}" for m in task.shown)
            print(f"{name + ', calibrated':<{width}}{cells}")
        elif "interval" in result:
            interval = result["interval"]
            print(
                f"{name}: ± {_number(interval['half_width'], True)} should hold "
                f"{interval['expected']:.0%} of the values and holds {_cell(interval['coverage'])}"
            )
        elif task.has_probabilities:
            print(f"{name}: not calibrated, too few rows (or only one class) were set aside for it")
    print()


def _cell(numbers: dict[str, float | None], metric: str = "") -> str:
    if numbers["value"] is None:
        return "–"
    in_units = metric in ("rmse", "mae")
    value = _number(numbers["value"], in_units)
    if numbers["low"] is None:
        return value
    return f"{value} [{_number(numbers['low'], in_units)}, {_number(numbers['high'], in_units)}]"


def _number(value: float, in_units: bool = False) -> str:
    """Three decimals; of an error in the user's units, whatever they are, three digits."""
    return f"{value:.3g}" if in_units else f"{value:.3f}"


def print_sweep(
    table: pd.DataFrame, select: str, task: Task, baselines: dict[str, dict[str, Any]]
) -> None:
    """A line per member and per baseline, the means over seeds, and the best by validation.

    Arguments:
        table: as `ntjax.training.swept_runs.table` makes it.
        select: validation metric that chose the checkpoints, and chooses here.
        task: what the metrics are of.
        baselines: test metrics by name, trained on the first member's rows.
    """
    width = max(len(name) for name in (*table["member"], *baselines, "member")) + 2
    heads = ("best step", f"validation {select}")
    print(
        f"\n{'member':<{width}}"
        + "".join(f"{head:>{len(head) + 2}}" for head in heads)
        + "".join(f"{'test ' + metric:>24}" for metric in task.shown)
    )
    for line in table.to_dict("records"):
        print(f"{line['member']:<{width}}{_sweep_cells(line, select, task)}")
    blank = "".join(" " * (len(head) + 2) for head in heads)
    for name, result in baselines.items():
        print(
            f"{name:<{width}}{blank}" + "".join(f"  {_cell(result[m], m):>22}" for m in task.shown)
        )
    print()
    _print_best(table, select)


def _sweep_cells(line: dict[str, Any], select: str, task: Task) -> str:
    if line["failure"]:
        return f"  failed: {line['failure']}"
    value = line[f"validation_{select}"]
    cells = f"{int(line['best_step']):>11}"
    cells += f"{'–' if pd.isna(value) else _number(value):>{len(select) + 13}}"
    for metric in task.shown:
        ends = {"value": "", "low": "_low", "high": "_high"}
        numbers = {name: line[f"test_{metric}{end}"] for name, end in ends.items()}
        numbers = {name: None if pd.isna(x) else x for name, x in numbers.items()}
        cells += f"  {_cell(numbers, metric):>22}"
    return cells


def _print_best(table: pd.DataFrame, select: str) -> None:
    column = f"validation_{select}"
    if column not in table or table[column].isna().all():
        return
    summary = means_over_seeds(table, select)
    if summary["seeds"].max() > 1 and len(summary) > 1:
        print(f"mean validation {select} over seeds ± its standard error")
        for line in summary.to_dict("records"):
            error = "" if pd.isna(line["error"]) else f" ± {_number(line['error'])}"
            print(f"  {line['setting']}: {_number(line['mean'])}{error} ({line['seeds']} seeds)")
    order = summary["mean"].sort_values(ascending=not HIGHER_IS_BETTER[select])
    best = summary.loc[order.index[0]]
    print(
        f"best by validation {select}: {best['setting']}. Report the test figures of the setting "
        "that validation chose:\nthe best of the test column is chosen by the test rows, and too "
        "good."
    )


def means_over_seeds(table: pd.DataFrame, select: str) -> pd.DataFrame:
    """Per setting, `seed` apart: `setting`, `mean`, `error` (standard error) and `seeds`."""
    column = f"validation_{select}"
    done = table[table["failure"] == ""].copy()
    done["setting"] = [
        ",".join(part for part in name.split(",") if not part.startswith("seed=")) or "all seeds"
        if "," in name
        else name
        for name in done["member"]
    ]
    groups = done.groupby("setting", sort=False)[column]
    return pd.DataFrame(
        {"mean": groups.mean(), "error": groups.sem(), "seeds": groups.count()}
    ).reset_index()
