"""What a run begins with: adapter and head before the first step, and the numbers of its steps."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from ntjax import adapters
from ntjax.adapters import Adapter, HeadOnly, master_copies
from ntjax.datasets.batching import TrainingBatches
from ntjax.datasets.prepare import describe_rows
from ntjax.inference.forward import Trainable
from ntjax.io.tables import SequenceTable
from ntjax.training.coordinates import RATE_IN_COORDINATES
from ntjax.training.job import Job
from ntjax.training.loop import MemberRun, batch_slots
from ntjax.training.members import Hyperparameters, new_member
from ntjax.training.scoring import validation_scores


def initial_trainable(job: Job) -> Trainable:
    """Adapter and head before the first step, from the run's seed, or those of another run."""
    if job.start is not None:
        adapter = job.start.trainable.adapter
        if adapter.config.trains_backbone:
            adapter = Adapter(adapter.config, master_copies(job.start.model.params))
        return Trainable(adapter, _in_coordinates(job, job.start.trainable.head))
    adapter_key, head_key = jax.random.split(jax.random.key(job.settings.seed))
    adapter = adapters.init(
        job.settings.adapter_config(), job.model.config, job.model.params, adapter_key
    )
    parameters = job.head.init(job.model.config.embed_dim, head_key)
    if job.coordinates is not None:
        parameters |= {"coordinates": job.coordinates}
    return Trainable(adapter, parameters)


def _in_coordinates(job: Job, head: Any) -> Any:
    """Return a finished head as it is in the coordinates of this job; its outputs are the same."""
    if job.coordinates is None:
        return head
    back = np.linalg.inv(job.coordinates.astype(np.float64)).astype(np.float32)
    return job.head.folded(head | {"coordinates": back}) | {"coordinates": job.coordinates}


def hyperparameters(job: Job) -> Hyperparameters:
    """Return the traced numbers of the job's steps."""
    # Not 0 or 1: those are the keys that adapter and head are drawn with.
    key = jax.random.fold_in(jax.random.key(job.settings.seed), 2)
    return Hyperparameters(
        np.float32(job.settings.learning_rate),
        np.float32(head_learning_rate(job)),
        np.float32(job.settings.adapter_config().dropout),
        np.float32(job.settings.backbone_dropout),
        key,
    )


def head_learning_rate(job: Job) -> float | None:
    """Return the peak learning rate of the head."""
    if job.settings.head_learning_rate is not None:
        return job.settings.head_learning_rate
    # Where the head is all that is trained, a rate that is given is the head's.
    alone = isinstance(job.settings.adapter_config(), HeadOnly)
    own = job.coordinates is not None and not alone
    return RATE_IN_COORDINATES if own else job.settings.learning_rate


def member_runs(jobs: Sequence[Job]) -> list[MemberRun]:
    """Return what the members of jobs begin with and learn from."""
    made: dict[tuple[int, int], TrainingBatches] = {}
    runs = []
    for job in jobs:
        rows, seed = job.tokenised["train"], job.settings.seed
        if (id(rows), seed) not in made:
            made[id(rows), seed] = TrainingBatches(
                rows, job.loop.batch_size, seed, batch_slots(job.loop)
            )
        runs.append(
            MemberRun(
                new_member(job.step.optimizer, initial_trainable(job)),
                hyperparameters(job),
                made[id(rows), seed],
                partial(validation_scores, job),
                partial(_described, job.parts.tables["train"]),
            )
        )
    return runs


def _described(table: SequenceTable, rows: np.ndarray) -> str:
    """Name training rows, of which reverse complements stand behind all others."""
    return describe_rows(table, rows % len(table))
