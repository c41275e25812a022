"""What happens beside training: logs, checkpoints, progress, signals.

A tracker or a report is one more `Callback`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from ntjax.training.state import Checkpoints, MetricsLog

Line = dict[str, Any]


@dataclass(frozen=True)
class StepEvent:
    """What is known after a step.

    Attributes:
        step: optimiser steps done.
        lines: the log's line of each active member by its number; empty if this step logs none.
        evaluated: whether the lines hold validation metrics.
        seconds: since training began in this process.
        state: all arrays of the population, as a checkpoint holds them.
        numbers: what a checkpoint holds beside them.
        stopping: number of the signal that asks training to stop, if one came.
    """

    step: int
    lines: dict[int, Line]
    evaluated: bool
    seconds: float
    state: Any
    numbers: dict[str, Any]
    stopping: int | None = None


class Callback:
    """Something that accompanies training; every method may be left as it is.

    Open as a context manager for as long as training runs.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any):
        pass

    def restore(self, template: Any) -> tuple[Any, dict[str, Any]] | None:
        """Return a state to go on from, like `template`, and its numbers; None if there is none."""
        del template

    def begin(self, step: int, steps: int) -> list[list[Line]] | None:
        """Be told where training begins, and where it ends; return the members' earlier lines."""
        del step, steps

    def after_step(self, event: StepEvent) -> None:
        """Be told what is known after every step."""
        del event

    def stop_requested(self) -> int | None:
        """Return the number of the signal that asks training to stop."""


class Logs(Callback):
    """`metrics.jsonl` and `timing.jsonl` of every member."""

    def __init__(self, folders: Sequence[Path]):
        self._logs = [MetricsLog(folder) for folder in folders]

    def begin(self, step: int, steps: int) -> list[list[Line]]:
        """Forget lines after `step`, which will be written again; return the others."""
        del steps
        return [log.rewind(step) for log in self._logs]

    def after_step(self, event: StepEvent) -> None:
        """Append the members' lines."""
        for number, line in event.lines.items():
            timing = {"step": event.step, "seconds": round(event.seconds, 3)}
            self._logs[number].write(line, timing)


class Checkpointing(Callback):
    """A checkpoint at every evaluation, and when training is asked to stop."""

    def __init__(self, folder: Path):
        self._folder = folder

    def __enter__(self) -> Self:
        self._checkpoints = Checkpoints(self._folder / "checkpoints")
        return self

    def __exit__(self, *_: Any):
        self._checkpoints.__exit__()

    def restore(self, template: Any) -> tuple[Any, dict[str, Any]] | None:
        """Return the newest state in the folder."""
        return self._checkpoints.restore(template)

    def after_step(self, event: StepEvent) -> None:
        """Save."""
        if event.evaluated or event.stopping:
            self._checkpoints.save(event.step, event.state, event.numbers)


class ProgressBar(Callback):
    """A progress bar with the newest loss (of the first member that has one)."""

    def __init__(self) -> None:
        self._shown: dict[str, str] = {}

    def begin(self, step: int, steps: int) -> None:
        """Draw it."""
        self._bar = tqdm(total=steps, initial=step, unit="step")

    def __exit__(self, *_: Any):
        if hasattr(self, "_bar"):
            self._bar.close()

    def after_step(self, event: StepEvent) -> None:
        """Move on by one step."""
        self._bar.update()
        for line in list(event.lines.values())[:1]:
            self._shown["loss"] = f"{line['loss']:.3f}"
            if "validation_loss" in line:
                self._shown["validation loss"] = f"{line['validation_loss']:.3f}"
            self._bar.set_postfix(self._shown)
