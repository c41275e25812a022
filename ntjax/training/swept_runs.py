"""A sweep from settings to files: one run folder per member, trained in populations.

OUT/sweep.json       what was asked for, and which members train together
OUT/sweep.csv        a line per member: its values, validation and test metrics
OUT/members/NAME/    what a run of its own would leave, but for the checkpoints
OUT/populations/N/   the checkpoints of the members that train together
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ntjax.errors import UserError
from ntjax.io.files import written_atomically
from ntjax.runs.run import DESCRIPTION_FILE, read_json, write_json
from ntjax.training.finetuning import (
    CONFIG_FILE,
    RESULT_FILE,
    SWEEP_FILE,
    Job,
    as_json,
    finish,
    make_folder,
    open_folder,
    prepare,
    record,
    recorded_revision,
    train,
)
from ntjax.training.interruption import Interrupted
from ntjax.training.loop import DivergedError
from ntjax.training.population import chunked, grouped, sharing_a_program
from ntjax.training.settings import Settings, from_saved
from ntjax.training.sweep import SweptSettings, expand

TABLE_FILE, FAILURE_FILE = "sweep.csv", "failure.json"


@dataclass(frozen=True)
class Sweep:
    """A sweep that is about to begin or go on.

    Attributes:
        folder: of all results.
        members: values and settings, in the order they were asked for.
        jobs: of each member, everything read and checked.
        populations: names of the members that train together.
    """

    folder: Path
    members: list[SweptSettings]
    jobs: dict[str, Job]
    populations: list[list[str]]

    def member_folder(self, name: str) -> Path:
        """The run folder of a member."""
        return self.folder / "members" / name


def begin(folder: Path, settings: Settings, sweep: Sequence[str], members_at_once: int) -> Sweep:
    """Prepare a new sweep and write down what it is; `folder` must be empty.

    Raises:
        UserError: settings or data are unusable.
    """
    members = expand(settings, sweep)
    jobs = _prepared(members, None)
    populations = _populations(jobs, members_at_once)
    plan = {"settings": asdict(settings), "sweep": list(sweep), "populations": populations}
    make_folder(folder)
    write_json(folder / SWEEP_FILE, plan)
    return _opened(Sweep(folder, members, jobs, populations), [])


def _prepared(members: Sequence[SweptSettings], revision: str | None) -> dict[str, Job]:
    jobs = prepare([member.settings for member in members], revision)
    return {member.name: job for member, job in zip(members, jobs, strict=True)}


def _populations(jobs: dict[str, Job], members_at_once: int) -> list[list[str]]:
    names = list(jobs)
    populations = []
    for positions in grouped(list(jobs.values())):
        group = [names[position] for position in positions]
        sizes = [len(part) for part in chunked([jobs[name] for name in group], members_at_once)]
        for size in sizes:
            populations.append(group[:size])
            group = group[size:]
    return populations


def saved_sweep(folder: Path) -> tuple[Settings, list[str], list[list[str]]]:
    """Settings, swept values and populations of the sweep that was begun in `folder`.

    Raises:
        UserError: `sweep.json` is damaged.
    """
    path = folder / SWEEP_FILE
    saved = read_json(path)
    try:
        settings = from_saved(saved["settings"])
        names = {member.name for member in expand(settings, saved["sweep"])}
        populations = saved["populations"]
        if sorted(name for names in populations for name in names) != sorted(names):
            raise UserError("its populations are not those of its sweep")
    except (KeyError, TypeError, AttributeError):
        raise UserError(
            f"{path}: is damaged; restore the file, or begin anew in another --out"
        ) from None
    except UserError as error:
        raise UserError(
            f"{path}: {error}; restore the file, or begin anew in another --out"
        ) from None
    return settings, saved["sweep"], populations


def reopen(folder: Path) -> Sweep:
    """Go on with the sweep that was begun in `folder`.

    Raises:
        UserError: it is damaged, or data or weights are not those it was begun with.
    """
    settings, sweep, populations = saved_sweep(folder)
    members = expand(settings, sweep)
    begun = [
        member.name
        for member in members
        if (folder / "members" / member.name / CONFIG_FILE).exists()
    ]
    revision = recorded_revision(folder / "members" / begun[0]) if begun else None
    return _opened(Sweep(folder, members, _prepared(members, revision), populations), begun)


def _opened(sweep: Sweep, begun: Sequence[str]) -> Sweep:
    for name, job in sweep.jobs.items():
        open_folder(sweep.member_folder(name), record(job), resume=name in begun)
    return sweep


def run(sweep: Sweep, progress: bool = True) -> None:
    """Train and score all members that are not done yet.

    Raises:
        Interrupted: stopped by a signal, with its state saved.
    """
    for number, names in enumerate(sweep.populations, 1):
        if all(_is_done(sweep.member_folder(name)) for name in names):
            continue
        print(
            f"population {number} of {len(sweep.populations)}: {len(names)} "
            f"member{'s' if len(names) > 1 else ''}: {'  '.join(names)}",
            flush=True,
        )
        _run_population(sweep, names, sweep.folder / "populations" / str(number), progress)
        write_table(sweep)


def _is_done(folder: Path) -> bool:
    return (folder / RESULT_FILE).exists() or (folder / FAILURE_FILE).exists()


def _run_population(sweep: Sweep, names: list[str], checkpoints: Path, progress: bool) -> None:
    jobs = sharing_a_program([sweep.jobs[name] for name in names])
    folders = [sweep.member_folder(name) for name in names]
    try:
        results = train(jobs, folders, checkpoints, progress)
    except Interrupted as stop:
        raise Interrupted(stop.signal_number, stop.step, sweep.folder) from None
    except DivergedError as error:
        for folder, failure in zip(folders, error.failures, strict=True):
            write_json(folder / FAILURE_FILE, {"failure": failure})
        return
    for name, folder, (fitted, scored) in zip(names, folders, results, strict=True):
        if fitted.failure:
            write_json(folder / FAILURE_FILE, {"failure": fitted.failure})
        elif not (folder / RESULT_FILE).exists():
            finish(sweep.jobs[name], folder, fitted, scored, progress=False)


def table(sweep: Sweep) -> pd.DataFrame:
    """A line per member that is done: its values, best step, validation and test metrics.

    Every metric has three columns: its value and the ends of its 95% interval.
    """
    lines = []
    for member in sweep.members:
        folder = sweep.member_folder(member.name)
        if not _is_done(folder):
            continue
        line: dict[str, Any] = {"member": member.name, **as_json(member.values), "failure": ""}
        if (folder / FAILURE_FILE).exists():
            line["failure"] = _read(folder / FAILURE_FILE).get("failure", "of unknown cause")
        else:
            line |= _scores(folder)
        lines.append(line)
    return pd.DataFrame(lines)


def _scores(folder: Path) -> dict[str, Any]:
    training = dict(_read(folder / DESCRIPTION_FILE).get("training") or {})
    scores = {"best_step": training.pop("best_step", None)}
    scores |= {f"validation_{name}": value for name, value in training.items()}
    for name, metric in _read(folder / RESULT_FILE).items():
        if isinstance(metric, dict) and "value" in metric:
            scores[f"test_{name}"] = metric["value"]
            scores |= {f"test_{name}_{end}": metric[end] for end in ("low", "high")}
    return scores


def _read(path: Path) -> dict[str, Any]:
    """A JSON object that ntjax has written.

    Raises:
        UserError: it is missing or damaged.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise UserError(f"{path}: is not what ntjax has written; restore it")
    return content


def write_table(sweep: Sweep) -> None:
    """Write `sweep.csv`."""
    data = table(sweep).to_csv(index=False).encode()
    with written_atomically(sweep.folder / TABLE_FILE, len(data)) as file:
        file.write(data)


def results(sweep: Sweep) -> dict[str, Any]:
    """The content of `test_metrics.json` of every member that did not fail, by name."""
    folders = {name: sweep.member_folder(name) for name in sweep.jobs}
    return {
        name: read_json(folder / RESULT_FILE)
        for name, folder in folders.items()
        if (folder / RESULT_FILE).exists()
    }
