"""One number per sequence to be explained: a weighted sum of the head's outputs."""

import numpy as np

from ntjax.errors import UserError
from ntjax.tasks import Classification, Regression, Task


def score_weights(task: Task, target: str | None = None) -> np.ndarray:
    """Weights of the head's outputs in the score that is explained, float64 [outputs].

    | task | score |
    |---|---|
    | two classes | logit of the positive class minus that of the negative |
    | more classes | logit of the class `target` minus the mean of the others |
    | labels | logit of the label `target` |
    | a value | the value, in the units of its training rows, but for a constant |

    Arguments:
        task: of the run.
        target: name of a class or label; None takes the positive one of two classes, the only
            label, or the value.

    Raises:
        UserError: there is no such class or label, or several and none was named.
    """
    names = task.outputs
    if isinstance(task, Regression):
        if target not in (None, *names):
            raise UserError(f"'{target}' is not the value of this run: it is {names[0]}")
        return np.array([task.spread])
    if target is None and len(names) == 1 + isinstance(task, Classification):
        target = names[-1]
    if target not in names:
        which = "say which to explain" if target is None else f"'{target}' is none of them"
        raise UserError(f"this run has {', '.join(names)}: {which}", field="target")
    weights = (np.array(names) == target).astype(np.float64)
    if isinstance(task, Classification):
        weights[weights == 0] = -1 / (len(names) - 1)
    return weights
