"""A sweep from settings to files: one run folder per member, trained in populations.

OUT/sweep.json       what was asked for, and which members train together
OUT/sweep.csv        a line per member: its values, validation and test metrics
OUT/members/NAME/    what a run of its own would leave, but for the checkpoints
OUT/populations/N/   the checkpoints of the members that train together
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ntjax.adapters import AdapterConfig
from ntjax.errors import UserError
from ntjax.inference.pretrained import PretrainedModel
from ntjax.io.files import write_bytes
from ntjax.io.json import as_json, read_json, write_json
from ntjax.runs.folder import (
    CONFIG_FILE,
    RESULT_FILE,
    SWEEP_FILE,
    make_folder,
    open_folder,
    recorded_revision,
)
from ntjax.runs.page import write_page_or_warn
from ntjax.runs.run import Run
from ntjax.runs.saved_run import load_run
from ntjax.training.callbacks import Callback, ProgressBar
from ntjax.training.finetune import explicit_settings, finish, given_rows, on_disk, train_jobs
from ntjax.training.interruption import Interrupted
from ntjax.training.job import Given, Job, prepare, record
from ntjax.training.loop import DivergedError
from ntjax.training.population import chunked, grouped, sharing_a_program
from ntjax.training.settings import Settings, from_saved, resumed
from ntjax.training.sweep import SweptSettings, expand, with_folds, written

if TYPE_CHECKING:
    import pandas as pd

TABLE_FILE, FAILURE_FILE = "sweep.csv", "failure.json"


@dataclass(frozen=True)
class FailedRun:
    """A member of a sweep that could not be trained to the end.

    Attributes:
        values: the settings that were its own.
        failure: why.
    """

    values: dict[str, Any]
    failure: str


@dataclass(frozen=True)
class Sweep:
    """A sweep that is about to begin or go on.

    Attributes:
        folder: of all results; None leaves nothing on disk.
        members: values and settings, in the order they were asked for.
        jobs: of each member, everything read and checked.
        populations: names of the members that train together.
    """

    folder: Path | None
    members: list[SweptSettings]
    jobs: dict[str, Job]
    populations: list[list[str]]

    def member_folder(self, name: str) -> Path | None:
        """The run folder of a member."""
        return self.folder and member_folder(self.folder, name)

    def values(self, name: str) -> dict[str, Any]:
        """The settings that are a member's own."""
        return next(member.values for member in self.members if member.name == name)


def sweep(
    model: PretrainedModel | str = "mini",
    train: Any = None,
    validation: Any = None,
    test: Any = None,
    *,
    vary: Mapping[str, Iterable[Any]],
    members_at_once: int = 0,
    adapter: AdapterConfig | str | None = None,
    task: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = False,
    report: bool = True,
    **settings: Any,
) -> list[Run | FailedRun]:
    """Train every combination of values as one population over one copy of the model.

    Nothing is printed. Give `split_seed` where seeds are varied and should be scored on the same
    test rows.

    Arguments:
        model: and the following ones as of `fine_tune`.
        vary: values by setting, such as `{"seed": range(5), "lora_dropout": [0.1, 0.4]}`; with
            `folds=10` the folds of a cross-validation are added, and it may be empty.
        members_at_once: most members to train at once; 0 for as many as the memory holds.
        report: write the page of the sweep into `out`, as the command does.

    Returns:
        A run for each combination, the last setting varying fastest; a record of its failure for
        one that diverged.

    Raises:
        UserError: bad input.
    """
    given = given_rows(model, train, validation, test)
    explicit = explicit_settings(model, train, validation, test, adapter, task, **settings)
    folder = None if out is None else Path(out)
    if resume and folder is None:
        raise UserError("resume needs out: the folder of the sweep to go on with")
    if resume and folder:
        begun = reopen(folder, explicit, written(vary), given)
    else:
        if explicit.get("baselines"):
            raise UserError("baselines: a sweep trains none; ask fine_tune for them")
        own = Settings(**(explicit | {"baselines": False}))
        begun = begin(folder, own, written(vary), members_at_once, given)
    done = run(begun, progress)
    if folder is not None and report:
        write_page_or_warn(folder)
    return done


def begin(
    folder: Path | None,
    settings: Settings,
    sweep: Sequence[str],
    members_at_once: int,
    given: Given | None = None,
) -> Sweep:
    """Prepare a new sweep and write down what it is; `folder` must be empty.

    Raises:
        UserError: settings or data are unusable.
    """
    sweep = with_folds(settings, sweep)
    members = expand(settings, sweep)
    jobs = _prepared(members, None, given)
    populations = _populations(jobs, members_at_once)
    plan = {"settings": asdict(settings), "sweep": list(sweep), "populations": populations}
    if folder is not None:
        make_folder(folder)
        write_json(folder / SWEEP_FILE, plan)
    return _opened(Sweep(folder, members, jobs, populations), [])


def member_folder(folder: Path, name: str) -> Path:
    """Return the run folder of a member, below that of the sweep."""
    return folder / "members" / name


def _prepared(
    members: Sequence[SweptSettings], revision: str | None, given: Given | None
) -> dict[str, Job]:
    jobs = prepare([member.settings for member in members], revision, given)
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


def reopen(
    folder: Path,
    explicit: Mapping[str, Any],
    sweep: Sequence[str] = (),
    given: Given | None = None,
) -> Sweep:
    """Go on with the sweep that was begun in `folder`; what is asked for now must be the same.

    Arguments:
        folder: of the sweep.
        explicit: settings that were asked for, by name.
        sweep: the swept values that were asked for; none for those that it was begun with.
        given: what is at hand already.

    Raises:
        UserError: it is damaged, or settings, data or weights are not those it was begun with.
    """
    settings, begun_with, populations = saved_sweep(folder)
    settings = resumed(folder, explicit, settings)
    if sweep and with_folds(settings, sweep) != begun_with:
        raise UserError(
            f"{folder}: cannot resume with --sweep {' '.join(sweep)}: it was begun with --sweep "
            f"{' '.join(begun_with)}; leave it out, or begin anew in another --out"
        )
    members = expand(settings, begun_with)
    begun = [
        member.name
        for member in members
        if (member_folder(folder, member.name) / CONFIG_FILE).exists()
    ]
    revision = recorded_revision(member_folder(folder, begun[0])) if begun else None
    return _opened(Sweep(folder, members, _prepared(members, revision, given), populations), begun)


def _opened(sweep: Sweep, begun: Sequence[str]) -> Sweep:
    for name, job in sweep.jobs.items():
        if folder := sweep.member_folder(name):
            open_folder(folder, record(job), resume=name in begun)
    return sweep


def run(
    sweep: Sweep,
    progress: bool = False,
    announce: Callable[[int, list[str]], None] = lambda number, names: None,
) -> list[Run | FailedRun]:
    """Train and score all members that are not done yet.

    Arguments:
        sweep: what to train.
        progress: show progress bars.
        announce: told the number and the members of each population before it is trained.

    Raises:
        Interrupted: stopped by a signal, with its state saved.
    """
    done: dict[str, Run | FailedRun] = {}
    for number, names in enumerate(sweep.populations, 1):
        if earlier := _earlier(sweep, names):
            done |= earlier
            continue
        announce(number, names)
        done |= _run_population(sweep, number, names, progress)
        _write_table(sweep, done)
    return [done[member.name] for member in sweep.members]


def _earlier(sweep: Sweep, names: Sequence[str]) -> dict[str, Run | FailedRun]:
    """The members of a population that was finished earlier; none if it was not."""
    folders = {name: sweep.member_folder(name) for name in names}
    if not all(folder and _is_done(folder) for folder in folders.values()):
        return {}
    return {name: _finished(sweep, name, folder) for name, folder in folders.items() if folder}


def _is_done(folder: Path) -> bool:
    """Whether a member was scored or failed; the baselines are the sweep's, not a member's."""
    return (folder / RESULT_FILE).exists() or (folder / FAILURE_FILE).exists()


def _finished(sweep: Sweep, name: str, folder: Path) -> Run | FailedRun:
    if (folder / FAILURE_FILE).exists():
        saved = read_json(folder / FAILURE_FILE)
        known = isinstance(saved, dict) and "failure" in saved
        return FailedRun(sweep.values(name), saved["failure"] if known else "of unknown cause")
    return load_run(folder, sweep.jobs[name].model)


def _run_population(
    sweep: Sweep, number: int, names: list[str], progress: bool
) -> dict[str, Run | FailedRun]:
    jobs = sharing_a_program([sweep.jobs[name] for name in names])
    callbacks: list[Callback] = [ProgressBar()] if progress else []
    if sweep.folder:
        folders = [member_folder(sweep.folder, name) for name in names]
        callbacks += on_disk(sweep.folder / "populations" / str(number), folders)
    try:
        results = train_jobs(jobs, callbacks)
    except Interrupted as stop:
        assert sweep.folder is not None
        raise Interrupted(stop.signal_number, stop.step, sweep.folder) from None
    except DivergedError as error:
        pairs = zip(names, error.failures, strict=True)
        return {name: _failed(sweep, name, failure) for name, failure in pairs}
    done: dict[str, Run | FailedRun] = {}
    for name, fitted in zip(names, results, strict=True):
        folder = sweep.member_folder(name)
        if fitted.failure:
            done[name] = _failed(sweep, name, fitted.failure)
        elif folder and (folder / RESULT_FILE).exists():
            done[name] = _finished(sweep, name, folder)
        else:
            done[name] = finish(sweep.jobs[name], fitted, folder)
    return done


def _failed(sweep: Sweep, name: str, failure: str) -> FailedRun:
    if folder := sweep.member_folder(name):
        write_json(folder / FAILURE_FILE, {"failure": failure})
    return FailedRun(sweep.values(name), failure)


def table(members: Sequence[SweptSettings], done: Mapping[str, Run | FailedRun]) -> "pd.DataFrame":
    """Make a line per member that is done: its values, best step, validation and test metrics.

    Every metric has three columns: its value and the ends of its 95% interval.
    """
    import pandas as pd

    lines = []
    for member in members:
        result = done.get(member.name)
        if result is None:
            continue
        line: dict[str, Any] = {"member": member.name, **as_json(member.values), "failure": ""}
        if isinstance(result, FailedRun):
            line["failure"] = result.failure
        else:
            line |= _scores(result)
        lines.append(line)
    return pd.DataFrame(lines)


def _scores(run: Run) -> dict[str, Any]:
    training = dict(run.training)
    training.pop("threshold", None)  # a sentence; the number is in the member's adapter.json
    scores = {"best_step": training.pop("best_step", None)}
    scores |= {f"validation_{name}": value for name, value in training.items()}
    for name, metric in run.metrics.items():
        if isinstance(metric, dict) and "value" in metric:
            scores[f"test_{name}"] = metric["value"]
            scores |= {f"test_{name}_{end}": metric[end] for end in ("low", "high")}
    return scores


def _write_table(sweep: Sweep, done: Mapping[str, Run | FailedRun]) -> None:
    if sweep.folder:
        data = table(sweep.members, done).to_csv(index=False).encode()
        write_bytes(sweep.folder / TABLE_FILE, data)
