"""The first sentence of a page, and its title."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ntjax.reports.wording import HEADLINE, adapter_name, metric_name
from ntjax.runs.results import Results
from ntjax.tasks import HIGHER_IS_BETTER


def run_title(results: Results) -> str:
    """Name a run: model, adapter, data."""
    return f"{results.model}, {adapter_name(results.adapter)}: {data_name(results)}"


def data_name(results: Results) -> str:
    """Name the training data: a data set, or the last part of a path."""
    source = ((results.config.get("data") or {}).get("train") or {}).get("source")
    source = source or results.settings.get("train")
    return Path(str(source)).name if source else "its rows"


def summary(results: Results) -> str:
    """Say in one sentence what was trained and how good it is, beside the best baseline.

    Nothing is claimed of a difference: predictions of baselines are not kept, so that no paired
    interval can be had.
    """
    who = f"{results.model} with {adapter_name(results.adapter)}, trained on {data_name(results)},"
    metric = HEADLINE[results.kind]
    found = results.metrics.get(metric)
    if not found or found.get("value") is None:
        return f"{who} has no {metric_name(metric)} here: no test metrics are at hand."
    rows = results.metrics.get("n", 0)
    said = f"{who} reaches {_with_interval(found, metric)}{_kind_of_mean(results)}"
    said += f" on {rows:,} test rows"
    return f"{said}{_beside(results.baselines, metric, found)}."


def _kind_of_mean(results: Results) -> str:
    several = results.kind == "multilabel" or (
        results.kind == "classification" and len(results.classes) > 2
    )
    what = "labels" if results.kind == "multilabel" else "classes"
    return f", a mean over {len(results.classes)} {what}," if several else ""


def _with_interval(found: Mapping[str, Any], metric: str) -> str:
    text = f"{metric_name(metric)} {found['value']:.3f}"
    if found.get("low") is None:
        return text
    return f"{text} [95% interval {found['low']:.3f} to {found['high']:.3f}]"


def _beside(baselines: Mapping[str, Any], metric: str, own: Mapping[str, Any]) -> str:
    scored = {
        name: scores[metric]
        for name, scores in baselines.items()
        if (scores.get(metric) or {}).get("value") is not None
    }
    if not scored:
        return "; no baseline was trained on the same rows"
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    best = max(scored, key=lambda name: sign * scored[name]["value"])
    of_several = "the better of the baselines" if len(scored) == 2 else "the best baseline"
    name = f"{of_several}, {best}," if len(scored) > 1 else f"the baseline, {best},"
    verdict = "" if _apart(own, scored[best]) else ": their intervals overlap"
    found = scored[best]
    interval = "" if found.get("low") is None else f" [{found['low']:.3f} to {found['high']:.3f}]"
    return f"; {name} reaches {found['value']:.3f}{interval}{verdict}"


def _apart(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two intervals share no value; True where one has none, and nothing can be said."""
    if first.get("low") is None or second.get("low") is None:
        return True
    return first["low"] > second["high"] or second["low"] > first["high"]
