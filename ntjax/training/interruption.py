"""SIGTERM (a preempted TPU VM) and Ctrl-C: finish the step, save, leave."""

import signal
from pathlib import Path
from types import FrameType
from typing import Any, Self

from ntjax.training.callbacks import Callback, StepEvent


class Interrupted(Exception):
    """The run was asked to stop and has saved its state.

    `signal_number` is the signal; a command exits with 128 + that number, as shells expect.
    """

    def __init__(self, signal_number: int, step: int, folder: Path):
        name = signal.Signals(signal_number).name
        super().__init__(
            f"stopped by {name} after step {step}; its state is saved: go on with --resume --out "
            f"{folder}"
        )
        self.signal_number, self.step = signal_number, step


class Interruption(Callback):
    """While training runs, the first SIGTERM or SIGINT is noted; a second one acts as usual.

    Arguments:
        folder: where the state is saved, for the message of `Interrupted`.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:
                return self  # not the main thread: signals are someone else's
        return self

    def __exit__(self, *_: Any):
        self._restore()

    def stop_requested(self) -> int | None:
        """Return the number of the signal that came."""
        return self.received

    def after_step(self, event: StepEvent) -> None:
        """Leave training; callbacks before this one have saved the state.

        Raises:
            Interrupted: a signal came.
        """
        if event.stopping:
            raise Interrupted(event.stopping, event.step, self.folder)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
