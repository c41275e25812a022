"""Sections side by side: groups that share no run, taken in turn by processes of some cores each.

A step of a small model keeps one core busy and gains next to nothing from a second; two sections
at once gain almost a factor of two.
"""

import contextlib
import multiprocessing
import os
import queue
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import jax
from tqdm import tqdm

from experiments.promoters.study import Study
from ntjax.errors import UserError
from ntjax.reports import command_line

Section = Callable[[Study], object]
Group = Mapping[str, Section]
_MOST = 4  # lanes: each holds the model, and what they share is not parallel
_LOOK_EVERY = 0.5  # seconds
_OTHER_ERROR = 1


def lanes_for(groups: int) -> int:
    """How many lanes are worth having: more than one on a CPU with several cores and groups."""
    if jax.default_backend() != "cpu":
        return 1
    return min(groups, len(available_cores()), _MOST)


def run_in_lanes(study: Study, groups: Sequence[Group], count: int) -> None:
    """Run groups of sections in `count` processes, each of which takes the next group when it has
    finished one; what they print goes to a file each.

    Raises:
        UserError: a section failed; its file is named. The other lanes are stopped; what was
            finished is kept.
    """
    study.runs_folder.mkdir(parents=True, exist_ok=True)
    logs = [study.runs_folder / f"lane-{number}.log" for number in range(1, count + 1)]
    print(f"{count} lanes side by side: {', '.join(map(str, logs))}", flush=True)
    context = multiprocessing.get_context("spawn")
    waiting, done = context.Queue(), context.Queue()
    for group in (*map(dict, groups), *[None] * count):
        waiting.put(group)
    cores = available_cores()
    processes = [
        context.Process(target=_run_lane, args=(study, waiting, cores[n::count], log, done))
        for n, log in enumerate(logs)
    ]
    bar = tqdm(total=sum(map(len, groups)), desc="sections", disable=not study.progress)
    with _all_started(processes), bar:
        while any(process.is_alive() for process in processes) or not done.empty():
            _require_none_failed(processes, logs)
            with contextlib.suppress(queue.Empty):
                bar.write(f"done: {done.get(timeout=_LOOK_EVERY)}")
                bar.update()
        _require_none_failed(processes, logs)  # the last of them, while its word was waited for


def _require_none_failed(processes: Sequence[BaseProcess], logs: Sequence[Path]) -> None:
    for process, log in zip(processes, logs, strict=True):
        if process.exitcode:
            raise UserError(f"{_last_line(log)} (all that it said: {log})")


@contextlib.contextmanager
def _all_started(processes: Sequence[BaseProcess]) -> Iterator[None]:
    """Started at the beginning, and stopped whatever happens."""
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _run_lane(study: Study, waiting: Any, cores: list[int], log: Path, done: Any) -> None:
    """In the new process: nothing has been computed here, so that JAX sees these cores alone."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with log.open("w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        try:
            command_line.run(lambda: _run_groups(study, waiting, done))
        except Exception:
            traceback.print_exc()
            raise SystemExit(_OTHER_ERROR) from None


def _run_groups(study: Study, waiting: Any, done: Any) -> None:
    while (group := waiting.get()) is not None:
        for name, run in group.items():
            run(study)
            done.put(name)


def _end_with_parent() -> None:
    """Whoever starts the study again must not meet the processes of one that was killed."""
    multiprocessing.parent_process().join()
    os._exit(_OTHER_ERROR)


def available_cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _last_line(log: Path) -> str:
    lines = log.read_text().replace("\r", "\n").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "a section failed")
    return last.removeprefix("error: ")  # which is said once more
