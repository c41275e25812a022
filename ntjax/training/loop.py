"""The training loop: steps, evaluation, the best checkpoint, resuming."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_softmax, softmax
from tqdm import tqdm

from ntjax import metrics
from ntjax.data.batching import Batch, TokenisedSet, TrainingBatches, evaluation_batches
from ntjax.errors import UserError
from ntjax.training.interruption import Interrupted, Interruption
from ntjax.training.optimizers import make_optimizer
from ntjax.training.state import Checkpoints, MetricsLog
from ntjax.training.step import (
    DEVICES,
    DeviceBatch,
    Hyperparameters,
    Member,
    StepConfig,
    Trainable,
    compile_predict,
    compile_train_step,
)

EVALUATION_TOKENS = 8192  # a device's share of an evaluation batch
SELECTABLE = ("loss", *metrics.HIGHER_IS_BETTER)


@dataclass(frozen=True)
class LoopConfig:
    """How long to train, how to batch, when to look.

    Attributes:
        steps: optimiser steps.
        batch_size: rows per step, over all devices and accumulation steps.
        accumulation: passes over which a batch is spread to save memory.
        evaluate_every: steps between evaluations; each also writes a checkpoint.
        log_every: steps between lines of `metrics.jsonl`.
        select: validation metric that chooses the checkpoint.
        patience: evaluations without improvement before stopping early; 0 = never.
        seed: of the order of rows and of dropout.
    """

    steps: int
    batch_size: int
    accumulation: int = 1
    evaluate_every: int = 100
    log_every: int = 10
    select: str = "mcc"
    patience: int = 0
    seed: int = 0

    def __post_init__(self):
        for name in ("steps", "batch_size", "accumulation", "evaluate_every", "log_every"):
            if getattr(self, name) < 1:
                raise UserError(f"{name.replace('_', ' ')} must be at least 1")
        if self.select not in SELECTABLE:
            raise UserError(f"cannot select by '{self.select}'; known: {', '.join(SELECTABLE)}")


class Fitted(NamedTuple):
    """The best state, where it was found, and the log's lines.

    `value` is None if the metric was defined at no evaluation; the lowest loss has chosen then.
    """

    trainable: Trainable
    step: int
    value: float | None
    history: list[dict[str, Any]]


class _State(NamedTuple):
    """All that a checkpoint holds in arrays."""

    member: Member
    best: Trainable


@dataclass
class _Progress:
    """All that a checkpoint holds in plain numbers."""

    step: int = 0
    best_step: int = 0
    best_value: float | None = None
    best_loss: float | None = None
    stale: int = 0


def replicated_sharding() -> jax.sharding.NamedSharding:
    """One copy on each local device.

    A pmapped function that is handed arrays on one device copies them to the others at every
    call; with this placement it finds them there.
    """
    mesh = jax.sharding.Mesh(np.array(jax.local_devices()), (DEVICES,))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())


def new_member(config: StepConfig, trainable: Trainable) -> Member:
    """A member before its first step, on all local devices."""
    # Copied: the step overwrites its state, and `trainable` stays the caller's.
    trainable = jax.device_put(jax.tree.map(jnp.array, trainable), replicated_sharding())
    optimizer = make_optimizer(config.optimizer).init(trainable)
    return Member(trainable, jax.device_put(optimizer, replicated_sharding()))


def spread(batch: Batch, accumulation: int) -> DeviceBatch:
    """[rows] -> [devices, accumulation, rows / both]; the batch's size must be a multiple."""
    shape = (len(jax.local_devices()), accumulation, -1)
    slots = np.arange(len(batch.rows), dtype=np.int32)
    return DeviceBatch(
        batch.tokens.reshape(*shape, batch.tokens.shape[1]),
        batch.labels.reshape(shape),
        batch.weights.reshape(shape),
        slots.reshape(shape),
    )


def predict(
    compiled: Callable, params: Any, trainable: Trainable, data: TokenisedSet, progress: str = ""
) -> np.ndarray:
    """The head's outputs for every row, float32 [rows, outputs]."""
    devices = len(jax.local_devices())
    batches = list(evaluation_batches(data, EVALUATION_TOKENS * devices, devices))
    outputs = [
        (
            batch,
            compiled(params, trainable, batch.tokens.reshape(devices, -1, batch.tokens.shape[1])),
        )
        for batch in tqdm(batches, desc=progress, unit="batch", leave=False, disable=not progress)
    ]
    result = np.empty((len(data), outputs[0][1].shape[-1]), np.float32)
    for batch, values in outputs:
        real = batch.weights > 0
        result[batch.rows[real]] = np.asarray(values).reshape(len(real), -1)[real]
    return result


def evaluate(logits: np.ndarray, labels: np.ndarray) -> dict[str, float | None]:
    """Loss and the metrics that can choose a checkpoint.

    Arguments:
        logits: [rows, classes].
        labels: class numbers [rows].
    """
    likelihoods = log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels]
    probabilities = softmax(logits.astype(np.float64), axis=1)
    scores = metrics.evaluate(labels, probabilities, bootstrap=0)
    values = {name: scores[name]["value"] for name in SELECTABLE[1:]}
    return {"loss": float(-likelihoods.mean()), **values}


class Trainer:
    """Trains one member over a frozen backbone; state lives in `folder`."""

    def __init__(
        self,
        config: StepConfig,
        loop: LoopConfig,
        params: Any,
        hyperparameters: Hyperparameters,
        folder: Path,
        describe_rows: Callable[[np.ndarray], str] = str,
    ):
        """`params` must be placed by `replicated_sharding`; `describe_rows` names rows."""
        self.config, self.loop, self.params = config, loop, params
        self.hyperparameters = jax.device_put(hyperparameters, replicated_sharding())
        self.folder, self.describe_rows = folder, describe_rows
        self.train_step, self.predict = compile_train_step(config), compile_predict(config)
        self._pending: list[tuple[int, dict[str, jax.Array], np.ndarray]] = []

    def fit(
        self,
        member: Member,
        training: TokenisedSet,
        validation: TokenisedSet,
        progress: bool = True,
    ) -> Fitted:
        """Train from the newest checkpoint in the folder, or from `member` if there is none.

        Raises:
            Interrupted: SIGTERM or Ctrl-C came; the state is saved.
            UserError: the run diverged (loss, gradient or the validation rows' outputs are not
                finite any more); step and rows are named.
        """
        passes = len(jax.local_devices()) * self.loop.accumulation
        # Slots without a row weigh nothing, so that any batch size runs on any number of devices.
        slots = -(-self.loop.batch_size // passes) * passes
        batches = TrainingBatches(training, self.loop.batch_size, self.loop.seed, slots)
        log = MetricsLog(self.folder)
        with (
            Checkpoints(self.folder / "checkpoints") as checkpoints,
            Interruption() as interruption,
        ):
            state = _State(member, jax.tree.map(jnp.copy, member.trainable))
            at = _Progress()
            if restored := checkpoints.restore(state):
                state, at = restored[0], _Progress(**restored[1])
            history = log.rewind(at.step)
            bar = tqdm(total=self.loop.steps, initial=at.step, unit="step", disable=not progress)
            began = time.perf_counter()
            with bar:
                while at.step < self.loop.steps and not self._stale(at):
                    batch = batches.batch(at.step)
                    state, values = self._step(state, at, batch)
                    line = self._look(state, at, values, batch, validation)
                    if line is not None:
                        if "validation_loss" in line:
                            state = self._select(state, at, line)
                        seconds = round(time.perf_counter() - began, 3)
                        log.write(line, {"step": at.step, "seconds": seconds})
                        history.append(line)
                        bar.set_postfix(_postfix(history))
                    bar.update()
                    if interruption.received or "validation_loss" in (line or {}):
                        self._raise_if_not_finite()
                        checkpoints.save(at.step, state, vars(at))
                    if interruption.received and at.step < self.loop.steps:
                        raise Interrupted(interruption.received, at.step, self.folder)
        return Fitted(state.best, at.best_step, at.best_value, history)

    def _stale(self, at: _Progress) -> bool:
        return bool(self.loop.patience) and at.stale >= self.loop.patience

    def _step(
        self, state: _State, at: _Progress, batch: Batch
    ) -> tuple[_State, dict[str, jax.Array]]:
        member, values = self.train_step(
            self.params,
            state.member,
            self.hyperparameters,
            np.int32(at.step),
            spread(batch, self.loop.accumulation),
        )
        at.step += 1
        self._pending.append((at.step, values, batch.real_rows))
        return state._replace(member=member), values

    def _look(
        self,
        state: _State,
        at: _Progress,
        values: dict[str, jax.Array],
        batch: Batch,
        validation: TokenisedSet,
    ) -> dict[str, Any] | None:
        """The log's line for this step, if it is one to log."""
        last = at.step == self.loop.steps
        evaluates = last or at.step % self.loop.evaluate_every == 0
        if not (evaluates or at.step % self.loop.log_every == 0):
            return None
        self._raise_if_not_finite()
        line = {"step": at.step} | {name: float(value) for name, value in values.items()}
        if evaluates:
            logits = predict(self.predict, self.params, state.member.trainable, validation)
            if not np.isfinite(logits).all():
                what = f"the validation rows' outputs after step {at.step} are not finite"
                raise self._diverged(what, batch.real_rows)
            scores = evaluate(logits, validation.labels)
            line |= {f"validation_{name}": value for name, value in scores.items()}
        return line

    def _select(self, state: _State, at: _Progress, line: dict[str, Any]) -> _State:
        value, loss = line[f"validation_{self.loop.select}"], line["validation_loss"]
        sign = 1 if metrics.HIGHER_IS_BETTER.get(self.loop.select, False) else -1

        # Undefined (no row called positive: no precision) is worse than any number. Of equals the
        # lower loss wins: while everything is still called one class, every MCC is 0.
        def rank(value: float | None, loss: float) -> tuple[bool, float, float]:
            return value is not None, sign * (value or 0.0), -loss

        if at.best_loss is None or rank(value, loss) > rank(at.best_value, at.best_loss):
            at.best_step, at.best_value, at.best_loss, at.stale = at.step, value, loss, 0
            # Copied: the next step overwrites the member's own arrays.
            return state._replace(best=jax.tree.map(jnp.copy, state.member.trainable))
        at.stale += 1
        return state

    def _raise_if_not_finite(self) -> None:
        pending, self._pending = self._pending, []
        for step, values, rows in pending:
            # The gradient too: one that is not finite spoils the state before any loss shows it.
            for name in ("loss", "gradient_norm"):
                if not np.isfinite(values[name]):
                    what = f"the {name.replace('_', ' ')} at step {step} is {float(values[name])}"
                    raise self._diverged(what, rows)

    def _diverged(self, what: str, rows: np.ndarray) -> UserError:
        return UserError(
            f"{what}; its batch held {self.describe_rows(rows)}; nothing of it was saved: look at "
            "these rows, lower --learning-rate, or use --dtype float32"
        )


def _postfix(history: list[dict[str, Any]]) -> dict[str, str]:
    shown = {"loss": f"{history[-1]['loss']:.3f}"}
    for line in reversed(history):
        if "validation_accuracy" in line:
            return shown | {"validation accuracy": f"{line['validation_accuracy']:.3f}"}
    return shown
