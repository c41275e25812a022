"""The arms: what is trained, kept, and picked up where it stopped."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from experiments.promoters.data.rows import labels_of
from experiments.promoters.data.untrained import untrained
from experiments.promoters.passes.tasks import Task
from ntjax import fine_tune, load_run
from ntjax.adapters import ADAPTERS
from ntjax.baselines.cnn import CNNConfig, fit_cnn
from ntjax.baselines.gradient_boosting import fit_gradient_boosting
from ntjax.io.json import read_json, write_json
from ntjax.runs.folder import CONFIG_FILE, LOG_FILE, RESULT_FILE

BATCH = 32
_SIX = ("query", "key", "value", "mha_output", "fc1", "fc2")
# By arm: whether it begins from mini, and the settings that are its own.
TRANSFORMERS: Mapping[str, tuple[bool, dict[str, Any]]] = {
    "mini, IA³": (True, {"adapter": "ia3"}),
    "mini, LoRA on query and value": (True, {"adapter": "lora"}),
    "mini, LoRA on all six": (True, {"adapter": "lora", "lora_targets": _SIX}),
    "mini, all weights": (True, {"adapter": "full"}),
    "mini, head alone": (True, {"adapter": "head"}),
    "untrained, IA³": (False, {"adapter": "ia3"}),
    "untrained, all weights": (False, {"adapter": "full"}),
}
CNN, BOOSTING = "CNN", "gradient boosting"
ARMS = (*TRANSFORMERS, CNN, BOOSTING)


@dataclass(frozen=True)
class Scored:
    """What a fitted arm of one seed gives.

    Attributes:
        auroc: on validation, matched validation and test rows.
        probabilities: of the test rows to be promoters, [test rows].
        curve: AUROC on the matched validation rows after each pass; empty of baselines.
        seconds: of training, where known.
    """

    auroc: dict[str, float]
    probabilities: np.ndarray
    curve: list[float]


def scored(arm: str, task: Task, seed: int, passes: int, share: float, runs: Path) -> Scored:
    """Fit an arm, or go on with it, and score it; what is done is read."""
    plan = f"{passes}-passes" + ("" if share == 1 else f"-share-{share:g}")
    name = arm.replace(" ", "_").replace(",", "")
    folder = runs / plan / task.name / name / str(seed)
    path = folder / "scored.json"
    if not path.exists():
        found = (
            _transformer(arm, task, seed, passes, share, folder)
            if arm in TRANSFORMERS
            else _baseline(arm, task, seed, passes)
        )
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, found)
    saved = read_json(path)
    return Scored(saved["auroc"], np.array(saved["probabilities"]), saved["curve"])


def _transformer(
    arm: str, task: Task, seed: int, passes: int, share: float, folder: Path
) -> dict[str, Any]:
    pretrained, settings = TRANSFORMERS[arm]
    model = (
        "mini" if pretrained else str(untrained("mini", seed, folder.parent / f"weights-{seed}"))
    )
    one_pass = max(1, round(share * len(task.learned) / BATCH))
    run_folder = folder / "run"
    if not (run_folder / RESULT_FILE).exists():
        fine_tune(
            model,
            task.train,
            task.matched,
            task.test,
            head="tokens",
            steps=passes * one_pass,
            batch_size=BATCH,
            evaluate_every=one_pass,
            select="auroc",
            seed=seed,
            split_seed=0,
            out=run_folder,
            resume=(run_folder / CONFIG_FILE).exists(),
            progress=True,
            # An untrained network is not called mini, and would get the rates of published models.
            learning_rate=ADAPTERS[settings["adapter"]].learning_rate_for_mini,
            **settings,
        )
    run = load_run(run_folder)
    lines = [json.loads(line) for line in (run_folder / LOG_FILE).read_text().splitlines()]
    curve = [line["validation_auroc"] for line in lines if "validation_auroc" in line]
    return _result(lambda rows: run.predict(rows)[:, 1], task) | {"curve": curve}


def _baseline(arm: str, task: Task, seed: int, passes: int) -> dict[str, Any]:
    training, validation = (
        (table.sequences, labels_of(table)) for table in (task.learned, task.matched)
    )
    if arm == CNN:
        config = CNNConfig(epochs=passes)
        model = fit_cnn(*training, validation=validation, seed=seed, config=config, progress=True)
    else:
        model = fit_gradient_boosting(*training, validation=validation, seed=seed)
    return _result(lambda rows: model.probabilities(rows)[:, 1], task) | {"curve": []}


def _result(predict: Any, task: Task) -> dict[str, Any]:
    parts = {
        "validation": task.validation,
        "matched validation": task.matched,
        "test": task.test,
    }
    values = {part: np.asarray(predict(table.sequences)) for part, table in parts.items()}
    return {
        "auroc": {
            part: float(roc_auc_score(labels_of(table), values[part]))
            for part, table in parts.items()
        },
        "probabilities": values["test"].tolist(),
    }
