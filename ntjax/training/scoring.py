"""A job's outputs and scores on its rows."""

from dataclasses import replace
from functools import partial

import numpy as np

from ntjax.calibration.threshold import EVEN, choose_threshold
from ntjax.datasets.reverse_complements import combined
from ntjax.inference.forward import Trainable
from ntjax.inference.predict import predict
from ntjax.tasks import Classification, Task
from ntjax.training.job import Job
from ntjax.training.loop import Scores


def outputs_of(job: Job, trainable: Trainable, part: str, progress: str = "") -> np.ndarray:
    """Return the head's outputs for a part's rows, float32 [rows, outputs].

    Where the job averages strands, they are the mean of both.
    """
    compute = partial(predict, job.step.forward, job.model.params, trainable, progress=progress)
    forward = compute(job.tokenised[part])
    if part not in job.other_strand:
        return forward
    return combined(forward, compute(job.other_strand[part]), job.parts.reverse_complement)


def validation_scores(job: Job, trainable: Trainable) -> Scores | None:
    """Return the metrics that choose a checkpoint; None if the outputs are not finite."""
    found = outputs_of(job, trainable, "validation")
    if not np.isfinite(found).all():
        return None
    return job.parts.task.validation_scores(found, job.tokenised["validation"].labels)


def with_threshold(job: Job, trainable: Trainable) -> tuple[Task, dict[str, str]]:
    """Choose the threshold of two classes on the validation rows.

    Returns:
        The task with it, and what is said of it; nothing where the likelier class is called.
    """
    task, rule = job.parts.task, job.settings.threshold
    if rule == EVEN or not isinstance(task, Classification):
        return task, {}
    found = outputs_of(job, trainable, "validation").astype(np.float64)
    threshold = choose_threshold(rule, found[:, 1] - found[:, 0], job.parts.labels["validation"])
    if threshold is None:
        return task, {"threshold": f"no threshold gives {rule} on the validation rows: 0.5 is used"}
    said = (
        f"{rule}: log-odds above {threshold:.3f} are called {task.outputs[1]} (the baselines call "
        "the likelier class)"
    )
    return replace(task, threshold=threshold), {"threshold": said}
