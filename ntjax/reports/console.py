"""What a command prints at its end: one line per model, or per member of a sweep."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd

from ntjax.io.tables import SequenceTable
from ntjax.metrics.seeds import standard_error
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
        if result.get("calibration") == {"method": "identity"}:
            print(
                f"{name}: its probabilities stay as they are; calibrating them did not help, "
                "beyond chance, on the rows set aside for that"
            )
        elif result["calibrated"]:
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
    _print_notes(rows)
    _print_missing_intervals(next(iter(rows.values())), task.shown)
    print()


def _print_missing_intervals(result: Mapping[str, Any], shown: Sequence[str]) -> None:
    """Say why a value that is shown has no interval; `ece` never has one."""
    for metric in shown:
        if (reason := result[metric].get("interval")) and metric != "ece":
            print(f"note: no interval of {metric}: {reason}")


def _print_notes(rows: Mapping[str, Mapping[str, Any]]) -> None:
    """Print each note of models once, such as that baselines crop long rows."""
    for note in dict.fromkeys(note for result in rows.values() for note in result.get("notes", ())):
        print(f"note: {note}")


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


def split_rows(
    members: Sequence[Mapping[str, SequenceTable]], part: str = "validation"
) -> tuple[int, int] | None:
    """Count the rows of members that are scored on different ones.

    Arguments:
        members: tables of each member by name of the part.
        part: the rows that members are scored on.

    Returns:
        The first member's rows to train on and to score on; None if all are scored on the same.
    """
    first = members[0][part]
    if all(tables[part].sequences == first.sequences for tables in members):
        return None
    return len(members[0]["train"]), len(first)


def print_sweep(
    table: pd.DataFrame,
    select: str,
    task: Task,
    baselines: dict[str, dict[str, Any]],
    parts: Sequence[Mapping[str, SequenceTable]],
) -> None:
    """A line per member and per baseline, the means over seeds, and the best by validation.

    Arguments:
        table: as `ntjax.training.swept_runs.table` makes it.
        select: validation metric that chose the checkpoints, and chooses here.
        task: what the metrics are of.
        baselines: test metrics by name, trained on the first member's rows.
        parts: tables of each member by name of the part.
    """
    width = max(len(name) for name in (*table["member"], *baselines, "member")) + 2
    notes = ["test metrics with their 95% intervals"]
    if split_rows(parts, "test"):
        notes.append(f"rows set aside for the test differ between {repeats_of(table['member'])}")
    if baselines:
        notes.append("baselines learn from the first member's rows")
    print("\n" + "; ".join(notes))
    heads = ("best step", f"validation {select}")
    print(
        f"{'member':<{width}}"
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
    _print_notes(baselines)
    print()
    _print_best(table, select, split_rows(parts))


def _sweep_cells(line: dict[str, Any], select: str, task: Task) -> str:
    if line["failure"]:
        return f"  failed: {line['failure']}"
    value = line[f"validation_{select}"]
    step = line["best_step"]
    cells = f"{'–' if pd.isna(step) else int(step):>11}"
    cells += f"{'–' if pd.isna(value) else _number(value):>{len(select) + 13}}"
    for metric in task.shown:
        ends = {"value": "", "low": "_low", "high": "_high"}
        numbers = {name: line[f"test_{metric}{end}"] for name, end in ends.items()}
        numbers = {name: None if pd.isna(x) else x for name, x in numbers.items()}
        cells += f"  {_cell(numbers, metric):>22}"
    return cells


def _print_best(table: pd.DataFrame, select: str, split: tuple[int, int] | None = None) -> None:
    if f"validation_{select}" not in table:
        return  # every member has failed
    summary, repeats = means_over_seeds(table, select, split), repeats_of(table["member"])
    if summary["members"].max() > 1:
        print(
            f"mean validation {select} over {repeats} ± its standard error "
            + (
                f"(corrected: {repeats} split the same rows anew)"
                if split
                else f"(plain: all {repeats} share their validation rows)"
            )
        )
        for line in summary.to_dict("records"):
            cell = _mean_cell(line, repeats[:-1])
            print(f"  {line['setting'] or 'all members'}: {cell}")
    best = best_setting(summary, select)
    if len(summary) < 2 or best is None:
        return
    print(
        f"best by validation {select}: {best}. Report the test "
        "figures of the setting that validation chose:\nthe best of the test column is chosen by "
        "the test rows, and too good."
    )


def print_folds(results: Mapping[str, Mapping[str, Any]], task: Task) -> None:
    """Print a line per setting: test metrics over the folds.

    Arguments:
        results: by setting, what `ntjax.evaluation.cross_validation.cross_validated` returns, or
            the `failure` of a fold.
        task: what the metrics are of.
    """
    print("test metrics over the folds [95% interval]")
    for name, result in results.items():
        of = f"  {name}: " if name else "  "
        if "failure" in result:
            print(f"{of}no mean over folds: {result['failure']}")
            continue
        shown = [metric for metric in task.shown if metric in result["metrics"]]
        cells = [f"{metric} {_cell(result['metrics'][metric], metric)}" for metric in shown]
        print(
            f"{of}mean over {result['folds']} {result['protocol']} folds, {result['n']:,} test "
            f"rows of {result['groups']:,} groups: {', '.join(cells)}"
        )


def best_setting(means: pd.DataFrame, select: str) -> str | None:
    """Return the setting of the best mean, of those without a failed member; None if there is none.

    Arguments:
        means: as of `means_over_seeds`.
        select: the validation metric.
    """
    whole = means[means["seeds"] == means["members"]]
    if whole.empty:
        return None
    order = whole["mean"].sort_values(ascending=not HIGHER_IS_BETTER[select])
    return str(whole.loc[order.index[0], "setting"])


def _mean_cell(line: dict[str, Any], repeat: str) -> str:
    seeds = f"{line['seeds']} {repeat}{'' if line['seeds'] == 1 else 's'}"
    if line["seeds"] < line["members"]:
        seeds = f"{line['seeds']} of {line['members']} {repeat}s, the others failed or undefined"
    if not line["seeds"]:
        return f"– ({seeds})"
    error = "" if pd.isna(line["error"]) else f" ± {_number(line['error'])}"
    return f"{_number(line['mean'])}{error} ({seeds})"


def means_over_seeds(
    table: pd.DataFrame, select: str, split: tuple[int, int] | None = None
) -> pd.DataFrame:
    """Per setting, whatever its seed, in the order of the table.

    Arguments:
        table: as of `print_sweep`.
        select: validation metric.
        split: as of `split_rows`.

    Returns:
        `setting`, `mean` of the validation metric, `error` (the mean's standard error, as of
        `ntjax.metrics.seeds.standard_error`), `seeds` that the mean is of, and `members`: with
        those that failed, or whose metric is undefined.
    """
    column, (train, validation) = f"validation_{select}", split or (0, 0)
    settings = [setting_of(name) for name in table["member"]]
    # A member that failed has no value: its cells are empty.
    groups = table.assign(setting=settings).groupby("setting", sort=False)[column]
    columns = {
        "mean": groups.mean(),
        "error": groups.agg(partial(standard_error, train_rows=train, test_rows=validation)),
        "seeds": groups.count(),
        "members": groups.size(),
    }
    return pd.DataFrame(columns).reset_index()


def setting_of(name: str) -> str:
    """Name a member's setting whatever its seed and fold.

    >>> setting_of("lora_rank=8,seed=0")
    'lora_rank=8'
    """
    own = [part for part in name.split(",") if not part.startswith(("seed=", "fold="))]
    return ",".join(own)


def repeats_of(names: Iterable[str]) -> str:
    """Tell by the names of members what those of one setting differ in: seeds or folds."""
    return "folds" if any("fold=" in name for name in names) else "seeds"


_HELD_OUT_METRICS = ("loss", "perplexity", "accuracy", "bits_per_nucleotide")


def print_held_out(results: dict[str, dict[str, Any] | None]) -> None:
    """A table per set of held-out windows, as `ntjax.training.pretraining.report` makes them."""
    for name, result in results.items():
        if result is None:
            print(f"\n{name}: no window is long enough and new to the model: nothing to report")
            continue
        title = f"{name}: {result['windows']:,} windows"
        width = max(len(title), *map(len, result["metrics"])) + 2
        print(f"\n{title:<{width}}" + "".join(f"{metric:>24}" for metric in _HELD_OUT_METRICS))
        for model, metrics in result["metrics"].items():
            cells = "".join(f"  {_cell(metrics[metric]):>22}" for metric in _HELD_OUT_METRICS)
            print(f"{model:<{width}}{cells}")
        if result["left_out_as_seen"]:
            print(
                f"{result['left_out_as_seen']:,} of {result['candidates']:,} windows share 31 "
                "letters or more with the training genomes and were left out"
            )
    print()
