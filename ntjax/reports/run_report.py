"""The page of a run: what it learned from, how good it is, and where it is wrong."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ntjax.reports import calls
from ntjax.reports.charts import Chart
from ntjax.reports.rendering import write_html
from ntjax.reports.repeat import is_of_given_rows, repeating_call, repeating_command
from ntjax.reports.run_figures import (
    MOST_POINTS,
    loss_curve,
    predicted_against_observed,
    reliability_chart,
    validation_curve,
)
from ntjax.reports.summary import run_title, summary
from ntjax.reports.wording import METRICS, PARTS, adapter_name, listed, metric_name
from ntjax.runs.results import Results

MOST_RELIABILITY_CHARTS = 6
_OVERLAP = re.compile(r"test rows (share|are of a group)|overlap")
_CALIBRATION_METRICS = ("brier", "ece", "calibration_error")


def write_run_page(results: Results, file: Path) -> None:
    """Write the page of one run.

    Raises:
        UserError: the file cannot be written.
    """
    write_html(file, "run.html", run_content(results))


def run_content(results: Results) -> dict[str, Any]:
    """Return what the page's template names."""
    return {
        "title": run_title(results),
        "summary": summary(results),
        "results": results,
        "facts": facts(results),
        "parts": parts(results.config),
        "training": _training(results),
        "metrics": metrics_table(results),
        "calibration": _calibration(results),
        "calls": _calls(results),
        "errors": calls.surest_errors(results),
        "most_errors": calls.MOST_ERRORS,
        "notes": notes(results),
        "no_overlap": no_overlap(results.config),
        "environment": environment(results.config),
        "repeat": repeat(results.settings),
    }


def facts(results: Results) -> list[tuple[str, str]]:
    """Return what was trained, as pairs of a heading and a text."""
    settings, description = results.settings, results.description
    source = results.config.get("model") or description.get("model") or {}
    identity = [str(source[key]) for key in ("revision", "sha256", "weights") if source.get(key)]
    found = [("model", ", ".join([results.model, *identity]))]
    if adapter := _with_options(description.get("adapter") or {}, "kind"):
        found.append(("trained", f"{adapter_name(results.adapter)}{adapter}, with a head"))
    elif results.adapter:
        found.append(("trained", f"{adapter_name(results.adapter)}, with a head"))
    head = description.get("head") or {}
    if pooling := head.get("pooling") or settings.get("head"):
        found.append(("head", f"{pooling}{_with_options(head, 'pooling')}"))
    found.append(("task", _task(results)))
    if settings:
        rate = f"{settings.get('learning_rate'):g}" if settings.get("learning_rate") else "–"
        found.append(
            (
                "training",
                f"{settings.get('steps')} steps of {settings.get('batch_size')} rows, learning "
                f"rate {rate} ({settings.get('schedule')}), seed {settings.get('seed')}",
            )
        )
        strands = settings.get("augment_reverse_complement") or "none"
        if strands != "none":
            averaged = "; outputs are averaged over both strands"
            found.append(
                (
                    "strands",
                    "reverse complements are learned from too, with "
                    + ("the other label" if strands == "flip-label" else "the same label")
                    + (averaged if settings.get("average_strands") else ""),
                )
            )
    return found


def _with_options(described: Mapping[str, Any], kind: str) -> str:
    texts = [
        f"{name} {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}"
        for name, value in described.items()
        if name not in (kind, "outputs") and value not in (None, (), [])
    ]
    return f" ({'; '.join(texts)})" if texts else ""


def _task(results: Results) -> str:
    classes = results.classes
    if results.kind == "regression":
        return f"regression of {classes[0] if classes else 'a value'}"
    if results.kind == "multilabel":
        return f"{len(classes)} labels, each of which applies or not: {listed(classes, 20)}"
    if len(classes) == 2:
        return f"two classes: {classes[0]} and {classes[1]} (positive)"
    return f"{len(classes)} classes: {listed(classes, 20)}"


def parts(config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each part of the data: its use, source, number of rows and hash."""
    return [
        {"part": part, "use": PARTS.get(part, ""), **about}
        for part, about in (config.get("data") or {}).items()
        if isinstance(about, dict) and {"source", "rows", "sha256"} <= about.keys()
    ]


def _training(results: Results) -> dict[str, Any]:
    saved = results.description.get("training") or {}
    kept, select = saved.get("best_step"), results.settings.get("select") or "loss"
    charts = [loss_curve(results.history, kept)]
    if select != "loss":
        charts.append(validation_curve(results.history, select, metric_name(select), kept))
    return {
        "charts": [chart for chart in charts if chart],
        "kept": kept,
        "select": metric_name(select),
        "value": saved.get(select),
        "threshold": saved.get("threshold"),
    }


@dataclass(frozen=True)
class MetricsTable:
    """Test metrics: a row for each metric, a column for each model.

    Attributes:
        columns: names of the models.
        rows: name, meaning and estimates [columns] of each metric by its key.
        reasons: why a metric has no interval, and which metrics have none because of it.
        n: test rows.
    """

    columns: tuple[str, ...]
    rows: dict[str, tuple[str, str, tuple[Any, ...]]]
    reasons: dict[str, tuple[str, ...]]
    n: int


def metrics_table(results: Results) -> MetricsTable | None:
    """Set the run's test metrics, calibrated and not, beside those of the baselines."""
    if not results.metrics:
        return None
    own = f"{results.model}, {adapter_name(results.adapter)}"
    models = {own: results.metrics}
    if results.metrics.get("calibrated") and not _is_identity(results):
        models[f"{own}, calibrated"] = results.metrics["calibrated"]
    models |= results.baselines
    keys = [key for key, found in results.metrics.items() if _is_estimate(found)]
    rows = {
        key: (*METRICS.get(key, (key, "")), tuple(model.get(key) for model in models.values()))
        for key in keys
    }
    return MetricsTable(tuple(models), rows, _reasons(rows), results.metrics.get("n", 0))


def _reasons(rows: Mapping[str, tuple[str, str, tuple[Any, ...]]]) -> dict[str, tuple[str, ...]]:
    reasons: dict[str, dict[str, None]] = {}
    for name, _, estimates in rows.values():
        for found in estimates:
            if found and found.get("interval"):
                reasons.setdefault(found["interval"], {})[name] = None
    return {reason: tuple(names) for reason, names in reasons.items()}


def _is_estimate(found: Any) -> bool:
    return isinstance(found, dict) and {"value", "low", "high"} <= found.keys()


def _is_identity(results: Results) -> bool:
    return (results.metrics.get("calibration") or {}).get("method") == "identity"


def _calibration(results: Results) -> dict[str, Any]:
    charts: list[Chart] = []
    left_out = 0
    if results.reliability:
        before = results.reliability.get("uncalibrated") or {}
        after = {} if _is_identity(results) else results.reliability.get("calibrated") or {}
        names = results.classes[1:] if _is_binary(results) else results.classes
        left_out = max(len(names) - MOST_RELIABILITY_CHARTS, 0)
        drawn = (
            reliability_chart(name, before.get(name), after.get(name))
            for name in names[:MOST_RELIABILITY_CHARTS]
        )
        charts = [chart for chart in drawn if chart]
    return {
        "charts": charts,
        "left_out": left_out,
        "interval": results.metrics.get("interval"),
        "method": (results.metrics.get("calibration") or {}).get("method"),
        "rows": ((results.config.get("data") or {}).get("calibration") or {}).get("rows"),
        "table": _before_and_after(results),
        "labels": _errors_of_labels(results),
    }


def _before_and_after(results: Results) -> list[tuple[str, str, Any, Any]]:
    """Name, key and estimates, before and after, of what judges probabilities."""
    after = None if _is_identity(results) else results.metrics.get("calibrated")
    return [
        (metric_name(key), key, results.metrics[key], after and after.get(key))
        for key in _CALIBRATION_METRICS
        if _is_estimate(results.metrics.get(key))
    ]


def _errors_of_labels(results: Results) -> list[tuple[str, Any, Any]]:
    """Name and calibration errors, before and after, of each of several labels."""
    before = results.metrics.get("labels") or {}
    after = {} if _is_identity(results) else results.metrics.get("calibrated") or {}
    return [
        (
            name,
            scores["calibration_error"],
            ((after.get("labels") or {}).get(name) or {}).get("calibration_error"),
        )
        for name, scores in before.items()
        if _is_estimate(scores.get("calibration_error"))
    ]


def _is_binary(results: Results) -> bool:
    return results.kind == "classification" and len(results.classes) == 2


def _calls(results: Results) -> dict[str, Any]:
    found: dict[str, Any] = {"confusion": None, "labels": [], "chart": None, "rule": ""}
    if results.kind == "regression":
        if {"label", "prediction"} <= results.predictions.keys():
            found["chart"] = predicted_against_observed(
                results.classes[0] if results.classes else "value",
                results.numbers("label"),
                results.numbers("prediction"),
            )
            found["most_points"] = MOST_POINTS
        return found
    after = results.metrics.get("calibrated") or results.metrics
    kind = "calibrated " if results.metrics.get("calibrated") and not _is_identity(results) else ""
    if results.kind == "multilabel":
        scores = after.get("labels") or {}
        found["labels"] = [
            (asdict(one), scores.get(one.name) or {}) for one in calls.label_calls(results)
        ]
        found["rule"] = f"its {kind}probability is above 0.5"
        return found
    found["confusion"] = calls.confusion(results)
    found["most_classes"] = calls.MOST_CLASSES
    task = results.description.get("task") or {}
    if "threshold" in task:
        found["rule"] = f"its log-odds before calibration are above {task['threshold']:.3f}"
    elif _is_binary(results):
        found["rule"] = f"its {kind}probability is above 0.5"
    return found


def notes(results: Results) -> list[str]:
    """Return what a reader has to know: overlap between parts, few rows, files that are missing."""
    own = [str(note) for note in results.config.get("notes") or []]
    of_baselines = [
        str(note) for scores in results.baselines.values() for note in scores.get("notes", ())
    ]
    return list(dict.fromkeys([*own, *of_baselines]))


def no_overlap(config: Mapping[str, Any]) -> bool:
    """Tell whether overlap with the test rows was looked for, and none was found."""
    noted = config.get("notes")
    return noted is not None and not any(_OVERLAP.search(str(note)) for note in noted)


def environment(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the versions and devices that the run was made with."""
    devices = config.get("devices") or {}
    found = [(name, str(version)) for name, version in (config.get("versions") or {}).items()]
    if devices:
        found.append(("devices", f"{devices.get('count')} × {devices.get('platform')}"))
    return found


def repeat(settings: Mapping[str, Any], sweep: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the command, or the call, that makes the same again."""
    if not settings:
        return {"text": "", "given": False}
    given = is_of_given_rows(settings)
    write = repeating_call if given else repeating_command
    return {"text": write(settings, sweep), "given": given}
