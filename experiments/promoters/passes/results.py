"""The numbers of the contest: what every arm reaches, and how far two are apart."""

from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from experiments.promoters.data.rows import labels_of
from experiments.promoters.passes.arms import BEST, CNN, CNN_FRAMES, Scored
from experiments.promoters.passes.misclassified import misclassified
from experiments.promoters.passes.tasks import Task
from ntjax.metrics.seeds import seed_means
from ntjax.metrics.significance import holm

PARTS = ("validation", "matched validation", "test")
# What is asked of two arms: the first minus the second.
PAIRS = {
    "pre-training": (BEST, "untrained, all weights"),
    "LoRA on all six layers, against all weights": ("mini, LoRA on all six", BEST),
    "LoRA on query and value, against all weights": ("mini, LoRA on query and value", BEST),
    "IA³, against all weights": ("mini, IA³", BEST),
    "the head alone, against all weights": ("mini, head alone", BEST),
    "frames and dropout": (BEST, "mini, all weights, neither"),
    "frames": (BEST, "mini, all weights, one frame"),
    "dropout": (BEST, "mini, all weights, no dropout"),
    "frames of the CNN": (CNN_FRAMES, CNN),
}


def aurocs(task: Task, one: Scored) -> dict[str, float]:
    """AUROC of an arm and seed on validation rows, those of equal GC, and test rows."""
    labels = {"validation": labels_of(task.validation), "test": labels_of(task.test)}
    rows = {
        "validation": (labels["validation"], one.probabilities["validation"]),
        "matched validation": (
            labels["validation"][task.matched],
            one.probabilities["validation"][task.matched],
        ),
        "test": (labels["test"], one.probabilities["test"]),
    }
    return {part: float(roc_auc_score(*of_part)) for part, of_part in rows.items()}


def crossed(task: Task, arms: list[Scored]) -> dict[str, float]:
    """AUROC of the promoters of one part against the negatives of another, means over seeds.

    Shows whether it is the promoters or the negatives of the test rows that are harder.
    """
    labels = {"validation": labels_of(task.validation), "test": labels_of(task.test)}

    def auroc(promoters: str, negatives: str) -> float:
        values = []
        for one in arms:
            positive = one.probabilities[promoters][labels[promoters] == 1]
            negative = one.probabilities[negatives][labels[negatives] == 0]
            truth = np.repeat([1, 0], [len(positive), len(negative)])
            values.append(roc_auc_score(truth, np.concatenate([positive, negative])))
        return float(np.mean(values))

    return {
        f"{promoters} promoters, {negatives} negatives": auroc(promoters, negatives)
        for promoters in labels
        for negatives in labels
    }


def result(task: Task, arms: dict[str, list[Scored]]) -> dict[str, Any]:
    """Compare the arms of a task on its test rows."""
    of_test = {
        name: np.array([one.probabilities["test"] for one in of]) for name, of in arms.items()
    }
    against = CNN if CNN in arms else next(iter(arms))
    means = seed_means(labels_of(task.test), of_test, against, groups=task.groups)
    counts = {"train": len(task.train), "validation": len(task.validation)}
    counts |= {"matched validation": len(task.matched), "test": len(task.test)}
    found = {}
    for name, of in arms.items():
        each = [aurocs(task, one) for one in of]
        found[name] = {
            "test": means[name],
            "auroc": {part: [one[part] for one in each] for part in PARTS},
            "crossed": crossed(task, of),
            "curve": [one.curve for one in of],
        }
    return {
        "rows": counts,
        "groups": len(np.unique(task.groups)),
        "against": against,
        "arms": found,
        "pairs": paired(task, of_test),
        "misclassified": {
            name: misclassified(task, of_test[name].mean(axis=0))
            for name in (BEST, CNN)
            if name in of_test
        },
    }


def paired(task: Task, of_test: dict[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Subtract one arm from another where both are there: AUROC, p-values corrected (Holm)."""
    there = {name: pair for name, pair in PAIRS.items() if all(arm in of_test for arm in pair)}
    found = {}
    for name, (arm, without) in there.items():
        of_pair = {one: of_test[one] for one in (arm, without)}
        means = seed_means(
            labels_of(task.test), of_pair, without, metrics=("auroc",), groups=task.groups
        )
        seeds = {one: len(of_test[one]) for one in (arm, without)}
        found[name] = means[arm]["auroc"]["difference"] | {"seeds": seeds}
    tested = [name for name, one in found.items() if one["p"] is not None]
    for name, corrected in zip(tested, holm([found[n]["p"] for n in tested]), strict=True):
        found[name]["holm"] = float(corrected)
    return found
