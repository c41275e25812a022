"""The page of a comparison: runs on the same test rows, and what may be said of them."""

from pathlib import Path
from typing import Any

from ntjax.evaluation.paired_runs import LEVEL, NOT_TOLD_APART, Comparison
from ntjax.reports.charts import Axis, IntervalChart
from ntjax.reports.rendering import IN_UNITS, rounded, write_html
from ntjax.reports.run_report import parts
from ntjax.reports.summary import data_name
from ntjax.reports.wording import METRICS, adapter_name, listed, metric_name
from ntjax.runs.results import Results
from ntjax.tasks import HIGHER_IS_BETTER

_NO_DIFFERENCE = ("start_from", "baselines")
_NO_SPREAD = (-0.01, 0.01)  # an axis for differences that are all 0


def write_comparison(comparison: Comparison, file: Path, folders: dict[str, Path]) -> None:
    """Write the page.

    Arguments:
        comparison: of runs.
        file: the page.
        folders: of the runs, by name.

    Raises:
        UserError: the file cannot be written.
    """
    write_html(file, "compare.html", comparison_content(comparison, folders))


def comparison_content(comparison: Comparison, folders: dict[str, Path]) -> dict[str, Any]:
    """Return what the page's template names."""
    runs = comparison.runs
    first = runs[comparison.first]
    test = [row for row in parts(first.config) if row["part"] == "test"]
    return {
        "title": f"{len(runs)} runs on the same {comparison.rows:,} test rows",
        "summary": summary(comparison),
        "comparison": comparison,
        "folders": folders,
        "names": {key: METRICS[key] for key in comparison.metrics},
        "lower_is_better": [key for key in comparison.metrics if not HIGHER_IS_BETTER[key]],
        "described": {name: _described(results) for name, results in runs.items()},
        "charts_of_metrics": [_chart(comparison, metric) for metric in comparison.metrics],
        "reasons": _reasons(comparison),
        "settings": differing_settings(runs),
        "same_training_rows": _same_rows(runs, "train"),
        "test": test,
        "level": LEVEL,
        "apart": NOT_TOLD_APART,
    }


def summary(comparison: Comparison) -> str:
    """Say in a sentence which runs are told from the first, and which are not."""
    said = []
    for name, differences in comparison.differences.items():
        told = {
            verdict: [
                metric_name(key) for key, one in differences.items() if one["verdict"] == verdict
            ]
            for verdict in ("better", "worse")
        }
        claims = [f"{verdict} in {listed(names)}" for verdict, names in told.items() if names]
        if claims:
            said.append(f"{name} is {' and '.join(claims)} than {comparison.first}")
        elif all(one["low"] is None for one in differences.values()):
            said.append(
                f"{name} and {comparison.first} cannot be compared: the test rows are too few"
            )
        else:
            said.append(f"{name} and {comparison.first} are {NOT_TOLD_APART} on these rows")
    return "; ".join(said) + "."


def _described(results: Results) -> str:
    return f"{results.model}, {adapter_name(results.adapter)}, trained on {data_name(results)}"


def differing_settings(runs: dict[str, Results]) -> dict[str, list[str]]:
    """Return the settings that are not the same in all runs: a text for each run."""
    names = dict.fromkeys(name for results in runs.values() for name in results.settings)
    found = {}
    for name in names:
        values = [_text(results.settings.get(name)) for results in runs.values()]
        if name not in _NO_DIFFERENCE and len(set(values)) > 1:
            found[name.replace("_", " ")] = values
    return found


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "–" if value is None else str(value)


def _same_rows(runs: dict[str, Results], part: str) -> bool | None:
    """Whether all runs have the same rows in a part; None if that is not known."""
    data = [(results.config.get("data") or {}).get(part) or {} for results in runs.values()]
    hashes = {one.get("sha256") for one in data}
    return None if None in hashes else len(hashes) == 1


def _reasons(comparison: Comparison) -> list[str]:
    """Say of which runs there is no interval, and why."""
    found: dict[str, dict[str, None]] = {}
    for name, differences in comparison.differences.items():
        for one in differences.values():
            if reason := one.get("interval"):
                found.setdefault(reason, {})[name] = None
    return [f"no interval of {listed(list(names))}: {reason}" for reason, names in found.items()]


def _chart(comparison: Comparison, metric: str) -> IntervalChart:
    rows = [(name, of_run[metric]) for name, of_run in comparison.differences.items()]
    values = [one[key] for _, one in rows for key in ("value", "low", "high")]
    known = [value for value in values if value is not None and value]
    label = f"difference in {metric_name(metric)}"
    if metric in IN_UNITS:
        label += ", in units of the value"
    return IntervalChart(
        f"Difference in {metric_name(metric)} from {comparison.first}",
        "; ".join(f"{name}: {one['verdict']}" for name, one in rows),
        Axis.over(label, [*(known or _NO_SPREAD), 0.0], ticks=4),
        tuple((name, one["value"], one["low"], one["high"]) for name, one in rows),
    )


def print_comparison(comparison: Comparison) -> None:
    """Print a line for each run: its metrics, or its differences from the first with intervals."""
    width = max(map(len, comparison.runs)) + 2
    heads = [metric_name(metric) for metric in comparison.metrics]
    print(f"{comparison.rows:,} test rows; differences from {comparison.first} [95% interval]")
    print(" " * width + "".join(f"{head:>26}" for head in heads))
    first = comparison.runs[comparison.first].metrics
    values = [
        rounded((first.get(metric) or {}).get("value"), metric) for metric in comparison.metrics
    ]
    print(f"{comparison.first:<{width}}" + "".join(f"{value:>26}" for value in values))
    for name, differences in comparison.differences.items():
        cells = [_difference(one, metric) for metric, one in differences.items()]
        print(f"{name:<{width}}" + "".join(f"{cell:>26}" for cell in cells))
        print(" " * width + "".join(f"{one['verdict']:>26}" for one in differences.values()))
    if comparison.comparisons > 1:
        print(f"p-values are corrected for {comparison.comparisons} comparisons (Holm)")
    for note in (*comparison.notes, *_reasons(comparison)):
        print(f"note: {note}")


def _difference(found: dict[str, Any], metric: str) -> str:
    value, low, high = (rounded(found[key], metric, sign=True) for key in ("value", "low", "high"))
    return value if found["low"] is None else f"{value} [{low}, {high}]"
