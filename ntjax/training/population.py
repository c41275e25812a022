"""Which runs train as one population, and how many at once."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntjax.datasets.batching import make_batch
from ntjax.inference.devices import replicated_sharding
from ntjax.training.initial_state import hyperparameters, initial_trainable
from ntjax.training.job import Job
from ntjax.training.loop import batch_slots
from ntjax.training.members import DeviceBatch, Member, spread_population
from ntjax.training.optimizers import make_optimizer
from ntjax.training.step import compile_train_step

# Kept free for what is not the step's: evaluation, and whatever else runs on the machine.
_SHARE_OF_MEMORY = 0.9
_UNKNOWN_MEMORY = 4 * 2**30


def grouped(jobs: Sequence[Job]) -> list[list[int]]:
    """Positions of the jobs that one compiled program can train, in order of their first.

    Learning rate, dropout, seed and rows may differ; all that is compiled (ranks and other
    shapes, schedule, batch size) may not.
    """
    groups: dict[Any, list[int]] = {}
    for position, job in enumerate(jobs):
        step = replace(job.step, use_dropout=False, use_backbone_dropout=False)
        key = (step, job.loop, job.settings.adapter_config(), id(job.model))
        groups.setdefault(key, []).append(position)
    return list(groups.values())


def sharing_a_program(jobs: Sequence[Job]) -> list[Job]:
    """The jobs of a group, all with a dropout that is traced if any of them drops anything."""
    used = {
        name: any(getattr(job.step, name) for job in jobs)
        for name in ("use_dropout", "use_backbone_dropout")
    }
    return [replace(job, step=replace(job.step, **used)) for job in jobs]


def chunked(jobs: Sequence[Job], members_at_once: int = 0) -> list[list[Job]]:
    """A group cut into populations that fit into the memory.

    `members_at_once`: 0 to find out, by compiling the step for all and asking the compiler.
    """
    jobs = sharing_a_program(jobs)
    most = members_at_once or members_that_fit(jobs, available_memory())
    # As equal as can be: two programs of nearly the same size at the most.
    count = -(-len(jobs) // most)
    return [list(part) for part in np.array_split(np.array(jobs, dtype=object), count)]


def members_that_fit(jobs: Sequence[Job], available: float) -> int:
    """How many of these jobs can be trained at once in `available` bytes a device, at least 1."""
    members = len(jobs)
    while members > 1:
        try:
            needed = step_memory(jobs[:members])
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            members //= 2  # the compiler itself found that it can't fit
            continue
        if needed <= available:
            return members
        # Nearly proportional to the members, but for what they share.
        members = max(1, min(members - 1, int(members * available / needed)))
    return 1


def step_memory(jobs: Sequence[Job]) -> int:
    """Bytes a device needs beyond the frozen weights for one step of all these jobs.

    The step is compiled, for the longest rows; a training of all of them uses this program.
    """
    job, members = jobs[0], len(jobs)
    member = jax.eval_shape(lambda: _start(job))
    numbers = jax.eval_shape(lambda: hyperparameters(job))
    population = [_abstract(tree, members) for tree in (member, numbers)]
    step = compile_train_step(job.step, members)
    lowered = step.lower(job.model.params, *population, np.int32(0), _longest_batch(jobs))
    usage = lowered.compile().memory_analysis()
    state = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(population[0]))
    # The state, which the step overwrites, the best one so far, and a copy that is to replace it.
    return usage.temp_size_in_bytes + 2 * state


def _start(job: Job) -> Member:
    trainable = initial_trainable(job)
    return Member(trainable, make_optimizer(job.step.optimizer).init(trainable))


def _abstract(tree: Any, members: int) -> Any:
    """Shapes of a population whose members are like `tree`, placed as `stack` places them."""
    sharding = replicated_sharding()

    def shape(leaf: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype, sharding=sharding)

    return jax.tree.map(shape, tree)


def _longest_batch(jobs: Sequence[Job]) -> DeviceBatch:
    slots = batch_slots(jobs[0].loop)
    longest = [
        make_batch(data, np.array([np.argmax(data.lengths)]), slots, int(data.lengths.max()))
        for data in (job.tokenised["train"] for job in jobs)
    ]
    return spread_population(longest, jobs[0].loop.accumulation)


def available_memory() -> float:
    """Bytes that each local device has left for a step."""
    devices = jax.local_devices()
    statistics = [device.memory_stats() for device in devices]
    if all(statistics):
        free = min(known["bytes_limit"] - known["bytes_in_use"] for known in statistics)
        return _SHARE_OF_MEMORY * free
    # CPU devices share the machine's memory.
    return _SHARE_OF_MEMORY * _free_host_memory() / len(devices)


def _free_host_memory() -> int:
    """What the host can give without swapping, in bytes."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        kibibytes = next(line.split()[1] for line in lines if line.startswith("MemAvailable"))
        return 1024 * int(kibibytes)
    except (OSError, StopIteration):  # not Linux
        return _UNKNOWN_MEMORY
