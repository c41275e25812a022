"""The training loop: steps, evaluation, the best state; for one member or many.

Logs, checkpoints, progress bars and signals are callbacks (`ntjax.training.callbacks`).
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from ntjax.datasets.batching import Batch
from ntjax.errors import UserError
from ntjax.inference.forward import Trainable
from ntjax.tasks import HIGHER_IS_BETTER, SELECTABLE
from ntjax.training.callbacks import Callback, Line, StepEvent
from ntjax.training.members import (
    Hyperparameters,
    Member,
    replaced,
    spread_population,
    stack,
    take,
)
from ntjax.training.step import StepConfig, compile_train_step

Scores = dict[str, float | None]


@dataclass(frozen=True)
class LoopConfig:
    """How long to train, how to batch, when to look; the same for all members.

    Attributes:
        steps: optimiser steps.
        batch_size: rows per step, over all devices and accumulation steps.
        accumulation: passes over which a batch is spread to save memory.
        evaluate_every: steps between evaluations; each also writes a checkpoint.
        log_every: steps between lines of `metrics.jsonl`.
        select: validation metric that chooses the checkpoint.
        patience: evaluations without improvement before stopping early; 0 = never.
    """

    steps: int
    batch_size: int
    accumulation: int = 1
    evaluate_every: int = 100
    log_every: int = 10
    select: str = "mcc"
    patience: int = 0

    def __post_init__(self):
        for name in ("steps", "batch_size", "accumulation", "evaluate_every", "log_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name.replace('_', ' ')} must be at least 1")
        if self.select not in SELECTABLE:
            raise UserError(f"cannot select by '{self.select}'; known: {', '.join(SELECTABLE)}")


class DivergedError(UserError):
    """All members have failed; `failures` says why each did, the message why the first."""

    def __init__(self, failures: list[str]):
        super().__init__(failures[0])
        self.failures = failures


class BatchSource(Protocol):
    """The batches to learn from."""

    def batch(self, step: int) -> Batch:
        """The batch of `step` (from 0), of `batch_slots` rows: a function of the step alone."""


class MemberRun(NamedTuple):
    """What one member begins with and learns from.

    Attributes:
        member: adapter, head and optimiser state before the first step.
        hyperparameters: learning rate, dropout and key.
        batches: what to learn from; one object for members that see the same rows.
        evaluate: validation metrics of a state; None if its outputs are not finite.
        describe_rows: names training rows in an error message.
    """

    member: Member | None
    hyperparameters: Hyperparameters
    batches: BatchSource
    evaluate: Callable[[Trainable], Scores | None]
    describe_rows: Callable[[np.ndarray], str] = str


class Fitted(NamedTuple):
    """The best state, where it was found, and the log's lines.

    `value` is None if the metric was defined at no evaluation; the lowest loss has chosen then.
    `failure` says why a member of a population could not be trained to the end.
    """

    trainable: Trainable
    step: int
    value: float | None
    history: list[Line]
    failure: str = ""


class _State(NamedTuple):
    """All that a checkpoint holds in arrays."""

    member: Member
    best: Trainable


@dataclass
class _Progress:
    """What a checkpoint holds of one member in plain numbers."""

    best_step: int = 0
    best_value: float | None = None
    best_loss: float | None = None
    stale: int = 0
    failure: str = ""


@dataclass
class _Position:
    """Where the population stands."""

    step: int
    members: list[_Progress]
    histories: list[list[Line]] = field(default_factory=list)


def batch_slots(loop: LoopConfig) -> int:
    """Rows of a batch, filled up to a multiple of devices and accumulation steps.

    Slots without a row weigh nothing, so that any batch size runs on any number of devices.
    """
    passes = len(jax.local_devices()) * loop.accumulation
    return -(-loop.batch_size // passes) * passes


class Trainer:
    """Trains the members of a population, often just one, over a frozen backbone."""

    def __init__(
        self, config: StepConfig, loop: LoopConfig, params: Any, runs: Sequence[MemberRun]
    ):
        """`params` must be placed by `replicated_sharding`."""
        self.config, self.loop, self.params, self.runs = config, loop, params, tuple(runs)
        self.hyperparameters = stack([run.hyperparameters for run in runs])
        self.train_step = compile_train_step(config, len(self.runs))
        self._pending: list[tuple[int, dict[str, jax.Array], list[Batch]]] = []

    def fit(self, callbacks: Sequence[Callback] = ()) -> list[Fitted]:
        """Train from the state that a callback restores, or from the beginning; call it once.

        A member whose loss, gradient or validation outputs are not finite any more has failed;
        the others go on. When a callback asks to stop, training ends after the step.

        Raises:
            DivergedError: all members failed; step and rows of the first are named.
        """
        with ExitStack() as stack_of_callbacks:
            for callback in callbacks:
                stack_of_callbacks.enter_context(callback)
            state, at = self._begin(callbacks)
            began, stopping = time.perf_counter(), None
            while at.step < self.loop.steps and self._active(at) and not stopping:
                batches = self._batches(at.step)
                state, values = self._step(state, at, batches)
                lines = self._look(state, at, values, batches)
                state = self._select_all(state, at, lines)
                for number, line in lines.items():
                    at.histories[number].append(line)
                evaluated = any("validation_loss" in line for line in lines.values())
                stopping = next(filter(None, (c.stop_requested() for c in callbacks)), None)
                if stopping or evaluated:
                    self._note_failures(at)
                event = StepEvent(
                    at.step,
                    lines,
                    evaluated,
                    time.perf_counter() - began,
                    state,
                    _as_numbers(at),
                    stopping,
                )
                for callback in callbacks:
                    callback.after_step(event)
        return [self._fitted(state, at, number) for number in range(len(self.runs))]

    def _begin(self, callbacks: Sequence[Callback]) -> tuple[_State, _Position]:
        member = stack([run.member for run in self.runs])
        # The states that members begin with are not kept beside those they reach.
        self.runs = tuple(run._replace(member=None) for run in self.runs)
        state = _State(member, jax.tree.map(jnp.copy, member.trainable))
        at = _Position(0, [_Progress() for _ in self.runs])
        if restored := next(filter(None, (c.restore(state) for c in callbacks)), None):
            state, numbers = restored
            at = _Position(numbers["step"], [_Progress(**saved) for saved in numbers["members"]])
        begun = [callback.begin(at.step, self.loop.steps) for callback in callbacks]
        at.histories = next(filter(None, begun), [[] for _ in self.runs])
        return state, at

    def _active(self, at: _Position) -> list[int]:
        """Members that have neither failed nor stopped early."""
        patience = self.loop.patience
        return [
            number
            for number, member in enumerate(at.members)
            if not member.failure and not (patience and member.stale >= patience)
        ]

    def _batches(self, step: int) -> list[Batch]:
        # Members that see the same rows in the same order share the work of choosing them.
        distinct = {id(run.batches): run.batches for run in self.runs}
        made = {key: batches.batch(step) for key, batches in distinct.items()}
        return [made[id(run.batches)] for run in self.runs]

    def _step(
        self, state: _State, at: _Position, batches: list[Batch]
    ) -> tuple[_State, dict[str, jax.Array]]:
        member, values = self.train_step(
            self.params,
            state.member,
            self.hyperparameters,
            np.int32(at.step),
            spread_population(batches, self.loop.accumulation),
        )
        at.step += 1
        self._pending.append((at.step, values, batches))
        return state._replace(member=member), values

    def _look(
        self, state: _State, at: _Position, values: dict[str, jax.Array], batches: list[Batch]
    ) -> dict[int, Line]:
        """The log's line of every active member, by its number, if this step is one to log."""
        last = at.step == self.loop.steps
        evaluates = last or at.step % self.loop.evaluate_every == 0
        if not (evaluates or at.step % self.loop.log_every == 0):
            return {}
        self._note_failures(at)
        columns = {name: np.asarray(column) for name, column in values.items()}
        lines = {}
        for number in self._active(at):
            line = {name: float(column[number]) for name, column in columns.items()}
            scores = self._evaluate(state, number) if evaluates else {}
            if scores is None:
                what = f"the validation rows' outputs after step {at.step} are not finite"
                at.members[number].failure = self._diverged(what, number, batches)
                continue
            lines[number] = {"step": at.step, **line, **scores}
        self._raise_if_all_failed(at)
        return lines

    def _evaluate(self, state: _State, number: int) -> Scores | None:
        """The validation metrics of one member; None if its outputs are not finite."""
        scores = self.runs[number].evaluate(take(state.member.trainable, number))
        return scores and {f"validation_{name}": value for name, value in scores.items()}

    def _select_all(self, state: _State, at: _Position, lines: dict[int, Line]) -> _State:
        for number, line in lines.items():
            if "validation_loss" in line:
                state = self._select(state, at, number, line)
        return state

    def _select(self, state: _State, at: _Position, number: int, line: Line) -> _State:
        member = at.members[number]
        value, loss = line[f"validation_{self.loop.select}"], line["validation_loss"]
        sign = 1 if HIGHER_IS_BETTER[self.loop.select] else -1

        # Undefined (no row called positive: no precision) is worse than any number. Of equals the
        # lower loss wins: while everything is still called one class, every MCC is 0.
        def rank(value: float | None, loss: float) -> tuple[bool, float, float]:
            return value is not None, sign * (value or 0.0), -loss

        if member.best_loss is None or rank(value, loss) > rank(
            member.best_value, member.best_loss
        ):
            member.best_step, member.best_value, member.best_loss = at.step, value, loss
            member.stale = 0
            best = replaced(state.best, state.member.trainable, number)
            return state._replace(best=best)
        member.stale += 1
        return state

    def _note_failures(self, at: _Position) -> None:
        """Look at the steps since the last look; waits for the device."""
        pending, self._pending = self._pending, []
        # Members that stopped early keep stepping until the population ends; their later losses
        # are ignored.
        active = self._active(at)
        for step, values, batches in pending:
            # The gradient too: one that is not finite spoils the state before any loss shows it.
            for name in ("loss", "gradient_norm"):
                column = np.asarray(values[name])
                for number in np.intersect1d(np.flatnonzero(~np.isfinite(column)), active):
                    what = f"the {name.replace('_', ' ')} at step {step} is {column[number]}"
                    failure = self._diverged(what, number, batches)
                    at.members[number].failure = at.members[number].failure or failure
        self._raise_if_all_failed(at)

    def _raise_if_all_failed(self, at: _Position) -> None:
        if all(member.failure for member in at.members):
            raise DivergedError([member.failure for member in at.members])

    def _diverged(self, what: str, number: int, batches: list[Batch]) -> str:
        rows = self.runs[number].describe_rows(batches[number].real_rows)
        return (
            f"{what}; its batch held {rows}; nothing of it was saved: look at these rows, lower "
            "--learning-rate, or use --dtype float32"
        )

    def _fitted(self, state: _State, at: _Position, number: int) -> Fitted:
        member = at.members[number]
        best = take(state.best, number)
        history = at.histories[number]
        return Fitted(best, member.best_step, member.best_value, history, member.failure)


def _as_numbers(at: _Position) -> dict[str, Any]:
    return {"step": at.step, "members": [vars(member) for member in at.members]}
