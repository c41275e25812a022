"""The arms: what is trained, scored, and picked up where it stopped."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.promoters.data.rows import labels_of
from experiments.promoters.data.untrained import untrained
from experiments.promoters.passes.tasks import Task
from ntjax import fine_tune
from ntjax.adapters import ADAPTERS
from ntjax.baselines.cnn import CNNConfig, fit_cnn
from ntjax.baselines.gradient_boosting import fit_gradient_boosting
from ntjax.errors import UserError
from ntjax.io.json import read_json, write_json
from ntjax.io.tables import SequenceTable
from ntjax.runs.folder import CONFIG_FILE, LOG_FILE

BATCH = 32
HEAD = "tokens"
FRAMES = 6
_LAST_BASES = FRAMES - 1  # that no frame but the last reads: all frames are of one length
_SIX = ("query", "key", "value", "mha_output", "fc1", "fc2")
_DIGITS = 5  # of probabilities that are kept
PARTS = ("validation", "test")


@dataclass(frozen=True)
class Arm:
    """One side of the contest.

    Attributes:
        kind: `mini`, `untrained`, `cnn` or `boosting`.
        settings: of the transformer's training.
        frames: learn from each row in the six frames of its 6-mers, and average over them.
        dropout: rate on what each layer of the transformer adds.
    """

    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    frames: bool = True
    dropout: float = 0.1

    @property
    def is_transformer(self) -> bool:
        """Whether it has passes that can be looked at one by one."""
        return self.kind in ("mini", "untrained")


_LORA_SIX = {"adapter": "lora", "lora_targets": _SIX}
_FULL = {"adapter": "full"}
BEST = "mini, all weights"
CNN, CNN_FRAMES, BOOSTING = "CNN", "CNN, six frames", "gradient boosting"
ARMS: Mapping[str, Arm] = {
    BEST: Arm("mini", _FULL),
    "untrained, all weights": Arm("untrained", _FULL),
    "mini, LoRA on all six": Arm("mini", _LORA_SIX),
    "mini, LoRA on query and value": Arm("mini", {"adapter": "lora"}),
    "mini, IA³": Arm("mini", {"adapter": "ia3"}),
    "mini, head alone": Arm("mini", {"adapter": "head"}),
    "mini, all weights, one frame": Arm("mini", _FULL, frames=False),
    "mini, all weights, no dropout": Arm("mini", _FULL, dropout=0.0),
    "mini, all weights, neither": Arm("mini", _FULL, frames=False, dropout=0.0),
    CNN: Arm("cnn", frames=False, dropout=0.0),
    CNN_FRAMES: Arm("cnn", dropout=0.0),
    BOOSTING: Arm("boosting", frames=False, dropout=0.0),
}


@dataclass(frozen=True)
class Scored:
    """What a fitted arm of one seed gives.

    Attributes:
        probabilities: by part, of its rows to be promoters, [rows].
        curve: AUROC on the matched validation rows, in one frame, after each pass; empty of
            baselines.
    """

    probabilities: dict[str, np.ndarray]
    curve: list[float]


@dataclass(frozen=True)
class Plan:
    """How each arm is fitted, and where.

    Attributes:
        passes: over the training rows.
        share: of a pass that is trained.
        runs: folder of what is being trained; nothing in it is needed once it is scored.
        scores: folder of what was scored.
        progress: show progress bars.
    """

    passes: int
    share: float
    runs: Path
    scores: Path
    progress: bool = True


def score_file(name: str, task: str, seed: int, plan: Plan) -> Path:
    """Where the scores of an arm and seed are kept."""
    return score_path(plan.scores, task, name, seed)


def score_path(folder: Path, task: str, arm: str, seed: int) -> Path:
    """Name the file of an arm's scores on a task after both of them."""
    names = [text.replace("³", "3").replace(",", "").replace(" ", "_") for text in (task, arm)]
    return folder / names[0] / names[1] / f"{seed}.json"


def scored(name: str, task: Task, seed: int, plan: Plan) -> Scored:
    """Fit an arm, or go on with it, and score it; what is there is read.

    Raises:
        UserError: what is there was made with other settings or rows.
    """
    path, made_with = score_file(name, task.name, seed, plan), made_with_for(name, task, plan)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = _fitted(ARMS[name], task, seed, plan, plan.runs / task.name / name / str(seed))
        write_json(path, {"made_with": made_with, **found})
    saved = read_json(path)
    if saved["made_with"] != json.loads(json.dumps(made_with)):
        raise UserError(
            f"{path}: made with {saved['made_with']}, and not with {made_with}. Remove the file "
            "to fit this arm again, or give another --scores."
        )
    arrays = {part: np.array(saved["probabilities"][part]) for part in PARTS}
    return Scored(arrays, saved["curve"])


def made_with_for(name: str, task: Task, plan: Plan) -> dict[str, Any]:
    """Everything that decides the scores, but for versions and the seed."""
    arm = ARMS[name]
    made: dict[str, Any] = asdict(arm) | {"rows": _digest(task)}
    if arm.kind != "boosting":
        made["passes"] = plan.passes
    if arm.is_transformer:
        rate = ADAPTERS[arm.settings["adapter"]].learning_rate_for_mini
        made |= {"share": plan.share, "batch": BATCH, "head": HEAD, "learning_rate": rate}
    return made


def _digest(task: Task) -> str:
    """SHA-256 of the rows of all parts, their labels, and which validation rows choose."""
    tables = (task.train, task.validation, task.test)
    rows = [[table.sequences, table.labels] for table in tables]
    return hashlib.sha256(json.dumps([rows, task.matched.tolist()]).encode()).hexdigest()


def _fitted(arm: Arm, task: Task, seed: int, plan: Plan, folder: Path) -> dict[str, Any]:
    """Fit an arm; return its probabilities, averaged over frames, and its curve."""
    if arm.is_transformer:
        predict, curve = _transformer(arm, task, seed, plan, folder)
    else:
        predict, curve = _baseline(arm, task, seed, plan), []
    probabilities = {}
    for part in PARTS:
        of_frames = [predict(rows) for rows in in_frames(getattr(task, part).sequences, arm.frames)]
        probabilities[part] = np.round(np.mean(of_frames, axis=0), _DIGITS).tolist()
    shutil.rmtree(folder, ignore_errors=True)
    return {"curve": curve, "probabilities": probabilities}


def in_frames(sequences: Sequence[str], six: bool) -> list[list[str]]:
    """Cut sequences to begin at their base 0, 1, ... 5, each as long as the last; or leave them."""
    if not six:
        return [list(sequences)]
    return [
        [text[first : len(text) - _LAST_BASES + first] for text in sequences]
        for first in range(FRAMES)
    ]


def copies(table: SequenceTable, six: bool) -> SequenceTable:
    """Repeat the rows of a table in each frame."""
    cut = in_frames(table.sequences, six)
    if len(cut) == 1:
        return table
    rows = [row for row in range(len(table)) for _ in cut]
    sequences = tuple(text for of_row in zip(*cut, strict=True) for text in of_row)
    return replace(table.take(rows), sequences=sequences)


def _transformer(
    arm: Arm, task: Task, seed: int, plan: Plan, folder: Path
) -> tuple[Callable[[list[str]], np.ndarray], list[float]]:
    pretrained = arm.kind == "mini"
    model = "mini" if pretrained else str(untrained("mini", seed, plan.runs / f"weights-{seed}"))
    matched = task.validation.take(task.matched)
    [in_one_frame, *_] = in_frames(matched.sequences, arm.frames)
    one_pass = max(1, round(plan.share * len(task.train) / BATCH))
    rows = replace(matched, sequences=tuple(in_one_frame))
    run = fine_tune(
        model,
        copies(task.train, arm.frames),
        rows,
        rows,  # test rows are read below, in all frames
        head=HEAD,
        steps=plan.passes * one_pass,
        batch_size=BATCH,
        evaluate_every=one_pass,
        select="auroc",
        seed=seed,
        split_seed=0,
        backbone_dropout=arm.dropout,
        calibration_fraction=0,
        out=folder,
        resume=(folder / CONFIG_FILE).exists(),
        progress=plan.progress,
        report=False,
        # An untrained network is not called mini, and would get the rates of published models.
        learning_rate=ADAPTERS[arm.settings["adapter"]].learning_rate_for_mini,
        **arm.settings,
    )
    lines = [json.loads(line) for line in (folder / LOG_FILE).read_text().splitlines()]
    curve = [line["validation_auroc"] for line in lines if "validation_auroc" in line]
    return lambda texts: run.predict(texts)[:, 1], [round(value, _DIGITS) for value in curve]


def _baseline(arm: Arm, task: Task, seed: int, plan: Plan) -> Callable[[list[str]], np.ndarray]:
    matched = task.validation.take(task.matched)
    training, validation = (
        (table.sequences, labels_of(table))
        for table in (copies(task.train, arm.frames), copies(matched, arm.frames))
    )
    if arm.kind == "boosting":
        model = fit_gradient_boosting(*training, validation=validation, seed=seed)
        return lambda texts: model.probabilities(texts)[:, 1]
    config = CNNConfig(epochs=plan.passes)
    cnn = fit_cnn(
        *training, validation=validation, seed=seed, config=config, progress=plan.progress
    )
    return lambda texts: cnn.probabilities(texts)[:, 1]
