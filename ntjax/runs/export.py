"""A trained run in other programs' formats.

run = ntjax.load_run("runs/mine")
export_esm(run, "FOLDER")

# elsewhere, with PyTorch:
transformers.EsmForSequenceClassification.from_pretrained("FOLDER")
transformers.pipeline("text-classification", "FOLDER")
"""

import os
import warnings
from pathlib import Path
from typing import Any

from ntjax import adapters
from ntjax.checkpoints.esm import write_esm
from ntjax.checkpoints.unpickler import printable
from ntjax.errors import UserError
from ntjax.runs.folder import DESCRIPTION_FILE
from ntjax.runs.run import Run
from ntjax.tasks import Regression


def export_esm(run: Run, folder: str | Path) -> None:
    """Write backbone, adapter and head as one `EsmForSequenceClassification` of transformers.

    The adapter is folded into the weights: nothing but transformers is needed to run it, and its
    outputs are this run's `logits` (of a regression its values, in the units of the training
    rows). The calibration stays behind: ESM has no place for it. Of a run that averages strands,
    which ESM does not, they are those of the forward strand, and a warning says so.

    Arguments:
        run: its head stands on the `<cls>` position.
        folder: made if there is none; its `config.json`, `model.safetensors`, `vocab.txt` and
            `tokenizer_config.json` are replaced.

    Raises:
        UserError: ESM has no such architecture or head, the folder holds a run or cannot be
            written, or the disk is full.
    """
    if not isinstance(run, Run):
        raise UserError(
            f"export_esm takes a run, not {printable(repr(run))}: read it first, with "
            "ntjax.load_run(FOLDER)"
        )
    if os.path.exists(description := Path(folder) / DESCRIPTION_FILE):
        raise UserError(
            f"{description}: this folder holds a run, whose config.json would be lost; name "
            "another folder"
        )
    if run.head.kind != "cls":
        raise UserError(
            f"transformers' ESM reads the <cls> position, this run's head is {run.head.kind}: "
            "train it with --head cls"
        )
    if run.strands.average:
        warnings.warn(
            "this run averages the outputs of both strands; the exported model reads the forward "
            "strand alone: average over both yourself",
            stacklevel=2,
        )
    params = adapters.merge(run.trainable.adapter, run.model.params)
    write_esm(folder, run.model.config, params, _head(run), run.task.outputs, run.task.problem_type)


def _head(run: Run) -> dict[str, Any]:
    """The head's parameters; a regression's give the values themselves, not standardised."""
    head = run.trainable.head
    if not isinstance(run.task, Regression):
        return head
    output, spread = head["output"], run.task.spread
    return head | {"output": {"w": output["w"] * spread, "b": output["b"] * spread + run.task.mean}}
