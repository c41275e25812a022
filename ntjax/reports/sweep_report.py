"""The page of a sweep: its members side by side, their curves, and what validation chose."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ntjax.io.json import read_json
from ntjax.reports.console import best_setting, means_over_seeds, repeats_of, setting_of
from ntjax.reports.rendering import write_html
from ntjax.reports.run_figures import overlaid_curves
from ntjax.reports.run_report import environment, facts, notes, parts, repeat
from ntjax.reports.summary import data_name
from ntjax.reports.wording import HEADLINE, metric_name
from ntjax.runs.folder import BASELINES_FILE, FOLDS_FILE, RESULT_FILE
from ntjax.runs.results import Results, read_history, read_results
from ntjax.tasks import TASKS
from ntjax.training.sweep import expand
from ntjax.training.swept_runs import FAILURE_FILE, member_folder, saved_sweep


@dataclass(frozen=True)
class Member:
    """One member of a sweep.

    Attributes:
        name: such as `lora_rank=8,seed=0`.
        folder: below the sweep's.
        results: None unless it was scored.
        history: lines of its log.
        failure: why it was not; "" if it was.
    """

    name: str
    folder: str
    results: Results | None
    history: list[dict[str, Any]]
    failure: str

    def validation(self, select: str) -> float | None:
        """The validation metric of the step that was kept."""
        saved = self.results.description.get("training") if self.results else None
        return (saved or {}).get(select)

    @property
    def step(self) -> int | None:
        """The step that was kept."""
        saved = self.results.description.get("training") if self.results else None
        return (saved or {}).get("best_step")


def write_sweep_page(folder: Path, file: Path) -> None:
    """Write one page for all members of a sweep.

    Raises:
        UserError: a file of the sweep is damaged, or the page cannot be written.
    """
    write_html(file, "sweep.html", sweep_content(folder))


def sweep_content(folder: Path) -> dict[str, Any]:
    """Return what the page's template names."""
    settings, swept, _ = saved_sweep(folder)
    members = [_member(folder, member.name) for member in expand(settings, swept)]
    scored = [member for member in members if member.results]
    first = scored[0].results if scored else None
    task, select = TASKS[settings.task], settings.select or TASKS[settings.task].select
    means = _means(scored, members, select)
    best = best_setting(means, select) if scored else None
    shown = [name for name in task.shown if name != "ece"]
    baselines = folder / BASELINES_FILE
    folds = read_json(folder / FOLDS_FILE) if (folder / FOLDS_FILE).exists() else {}
    return {
        "title": f"Sweep over {', '.join(_names(swept))}"
        + (f": {first.model}, {data_name(first)}" if first else ""),
        "summary": _summary(members, scored, select, means, best),
        "members": members,
        "select": select,
        "select_name": metric_name(select),
        "shown": {name: metric_name(name) for name in shown},
        "means": _lines(means) if scored else [],
        "repeats": repeats_of(member.name for member in members),
        "folds": folds,
        "metric_names": {key: metric_name(key) for one in folds.values() for key in _metrics(one)},
        "corrected": _split(scored) is not None,
        "best": best,
        "same_test_rows": len(_hashes(scored, "test")) < 2,
        "baselines": read_json(baselines) if baselines.exists() else {},
        "chart": overlaid_curves(
            {member.name: member.history for member in members if member.history},
            select,
            metric_name(select),
            next((member.name for member in scored if setting_of(member.name) == best), ""),
        ),
        "facts": [pair for pair in facts(first) if pair[0] not in ("training", "trained")]
        if first
        else [],
        "parts": parts(first.config) if first else [],
        "notes": notes(first) if first else [],
        "environment": environment(first.config) if first else [],
        "repeat": repeat(_written(settings), tuple(swept)),
    }


def _member(folder: Path, name: str) -> Member:
    own = member_folder(folder, name)
    results = read_results(own) if (own / RESULT_FILE).exists() else None
    failure = ""
    if results is None:
        saved = read_json(own / FAILURE_FILE) if (own / FAILURE_FILE).exists() else {}
        failure = str(saved.get("failure") or "not finished")
    below = own.relative_to(folder).as_posix()
    history = results.history if results else read_history(own / "metrics.jsonl")
    return Member(name, below, results, history, failure)


def _hashes(members: list[Member], part: str) -> set[str]:
    data = [(member.results.config.get("data") or {}) for member in members if member.results]
    return {(one.get(part) or {}).get("sha256", "") for one in data}


def _split(scored: list[Member]) -> tuple[int, int] | None:
    """Rows to train and to validate on, where members split the same rows anew."""
    if len(_hashes(scored, "validation")) < 2 or not scored or not scored[0].results:
        return None
    data = scored[0].results.config["data"]
    return data["train"]["rows"], data["validation"]["rows"]


def _means(scored: list[Member], members: list[Member], select: str) -> pd.DataFrame:
    lines = [
        {"member": member.name, f"validation_{select}": member.validation(select)}
        for member in members
    ]
    table = pd.DataFrame(lines).astype({f"validation_{select}": float})
    return means_over_seeds(table, select, _split(scored))


def _metrics(of_folds: dict[str, Any]) -> dict[str, Any]:
    return of_folds.get("metrics") or {}


def _lines(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table by column, None where a cell is empty."""
    return [
        {str(key): None if pd.isna(value) else value for key, value in line.items()}
        for line in table.to_dict("records")
    ]


def _summary(
    members: list[Member],
    scored: list[Member],
    select: str,
    means: pd.DataFrame,
    best: str | None,
) -> str:
    trained = f"{len(scored)} of {len(members)} members were trained and scored"
    if not scored or best is None:
        return f"{trained}; none can be chosen by validation {metric_name(select)}."
    of_best = [m.results for m in scored if setting_of(m.name) == best and m.results]
    metric = HEADLINE[of_best[0].kind]
    values = [r.metrics[metric]["value"] for r in of_best if r.metrics[metric]["value"] is not None]
    what = "the only setting" if len(means) == 1 else "the setting that validation chose"
    named = f", {best}," if best else ""
    if not values:
        return f"{trained}; of {what}{named} {metric_name(metric)} on the test rows is undefined."
    repeats = repeats_of(member.name for member in members)
    seeds = f" (mean over {len(values)} {repeats})" if len(values) > 1 else ""
    mean = sum(values) / len(values)
    reached = f"{metric_name(metric)} {mean:.3f}{seeds}"
    return f"{trained}; {what}{named} reaches {reached} on its test rows."


def _names(swept: list[str]) -> list[str]:
    names = [text.partition("=")[0].strip() for text in swept]
    return [name.replace("_", " ") for name in names]


def _written(settings: Any) -> dict[str, Any]:
    return dict(vars(settings))
