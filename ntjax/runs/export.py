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

import jax
import numpy as np

from ntjax import adapters
from ntjax.checkpoints import safetensors
from ntjax.checkpoints.esm import write_esm
from ntjax.checkpoints.official import HYPERPARAMETERS_FILE, write_pytree
from ntjax.checkpoints.peft import write_peft
from ntjax.checkpoints.unpickler import printable
from ntjax.errors import UserError
from ntjax.io.json import write_json
from ntjax.runs.folder import DESCRIPTION_FILE, make_folder
from ntjax.runs.model_card import write_card
from ntjax.runs.run import Run
from ntjax.runs.torch_head import HEAD_FILE, MODULE_FILE, write_torch_head
from ntjax.tasks import Regression

_BASE = "base"
_GATED = (
    "Made for InstaDeep's own PyTorch class of the version 2 models, which transformers' ESM is "
    "not. Names and shapes were checked; it has not been run there."
)


def export_esm(run: Run, folder: str | Path, head: bool = True) -> None:
    """Write backbone, adapter and head as one `EsmForSequenceClassification` of transformers.

    The adapter is folded into the weights: nothing but transformers is needed to run it, and its
    outputs are this run's `logits` (of a regression its values, in the units of the training
    rows). The calibration stays behind: ESM has no place for it. Of a run that averages strands,
    which ESM does not, they are those of the forward strand, and a warning says so.

    Arguments:
        run: its head stands on the `<cls>` position, unless `head` is false.
        folder: made if there is none; its `config.json`, `model.safetensors`, `vocab.txt` and
            `tokenizer_config.json` are replaced.
        head: False for an `EsmForMaskedLM` with the head beside it, as `head.safetensors` and a
            module of PyTorch, `head.py`.

    Raises:
        UserError: ESM has no such architecture or head, the folder holds a run or cannot be
            written, or the disk is full.
    """
    folder = _checked(run, folder, head)
    config, params = run.model.config, _merged(run)
    if head:
        write_esm(folder, config, params, _head(run), run.task.outputs, run.task.problem_type)
        write_card(folder, run, _LOAD_CLASSIFIER)
    else:
        write_esm(folder, config, params)
        write_torch_head(folder, run.head, _head(run))
        write_card(folder, run, _LOAD_WITH_HEAD)


def export_peft(run: Run, folder: str | Path, head: bool = True, base: bool = True) -> None:
    """Write the adapter for PEFT, and the backbone for it as transformers' ESM in `base`.

    The head goes with the adapter, as `modules_to_save`.

    Arguments:
        run: of LoRA or IA³.
        folder: made if there is none.
        head: False for a head beside it, as of `export_esm`.
        base: False to leave the backbone out.

    Raises:
        UserError: as `export_esm`, or an adapter that PEFT does not have.
    """
    folder = _checked(run, folder, head)
    config, params, own = run.model.config, run.model.params, _head(run)
    parameters = jax.tree.map(np.asarray, run.trainable.adapter.parameters)
    where = _BASE if base else run.model.name
    if base:
        _refuse_gated(run)
    make_folder(folder)
    write_peft(folder, run.adapter, parameters, own if head else None, config.num_layers, where)
    if base:
        classifier = (own, run.task.outputs, run.task.problem_type) if head else ()
        write_esm(folder / _BASE, config, params, *classifier)
    if not head:
        write_torch_head(folder, run.head, own)
    notes = (_GATED,) if config.use_glu_in_ffn else ()
    write_card(folder, run, _LOAD_PEFT if head else _LOAD_PEFT_WITH_HEAD, notes)


def export_official(run: Run, folder: str | Path) -> None:
    """Write the adapted model in InstaDeep's format, with the head beside it.

    Raises:
        UserError: the folder holds a run or cannot be written, or the disk is full.
    """
    folder = _checked(run, folder, head=False)
    write_pytree(folder, _merged(run), run.model.config.to_hyperparams())
    write_torch_head(folder, run.head, _head(run))
    write_card(folder, run, _LOAD_OFFICIAL)


def export_safetensors(run: Run, folder: str | Path) -> None:
    """Write the adapted model as `model.safetensors`, under our names, with the head beside it.

    Layers are stacked along the first axis: `nucleotide_transformer/layers/query.w` is [layers,
    dim, heads · key_dim].

    Raises:
        UserError: as `export_official`.
    """
    folder = _checked(run, folder, head=False)
    make_folder(folder)
    tensors = {
        f"{module}.{name}": np.asarray(leaf, np.float32)
        for module, leaves in _merged(run).items()
        for name, leaf in leaves.items()
    }
    safetensors.write(folder / "model.safetensors", tensors)
    write_json(folder / HYPERPARAMETERS_FILE, run.model.config.to_hyperparams())
    write_torch_head(folder, run.head, _head(run))
    write_card(folder, run, _LOAD_SAFETENSORS)


def _checked(run: Run, folder: str | Path, head: bool) -> Path:
    if not isinstance(run, Run):
        raise UserError(
            f"there is no run to export in {printable(repr(run))}: read it first, with "
            "ntjax.load_run(FOLDER)"
        )
    if os.path.exists(description := Path(folder) / DESCRIPTION_FILE):
        raise UserError(
            f"{description}: this folder holds a run, whose config.json would be lost; name "
            "another folder"
        )
    if head and run.head.kind != "cls":
        raise UserError(
            f"transformers' ESM reads the <cls> position, this run's head is {run.head.kind}: "
            "train it with --head cls, or export it with --no-head, which writes the head beside "
            "the model with a module of PyTorch to run it"
        )
    if run.strands.average:
        warnings.warn(
            "this run averages the outputs of both strands; the exported model reads the forward "
            "strand alone: average over both yourself",
            stacklevel=3,
        )
    return Path(folder)


def _refuse_gated(run: Run) -> None:
    if run.model.config.use_glu_in_ffn:
        raise UserError(
            f"{run.model.name}: transformers' ESM has no gated feed-forward layers, as models of "
            "version 2 do: --no-base writes the adapter alone"
        )


def _merged(run: Run) -> Any:
    return adapters.merge(run.trainable.adapter, run.model.params)


def _head(run: Run) -> dict[str, Any]:
    """The head's parameters; a regression's give the values themselves, not standardised."""
    head = run.trainable.head
    if not isinstance(run.task, Regression):
        return head
    output, spread = head["output"], run.task.spread
    return head | {"output": {"w": output["w"] * spread, "b": output["b"] * spread + run.task.mean}}


_LOAD_CLASSIFIER = """
from transformers import AutoTokenizer, EsmForSequenceClassification

model = EsmForSequenceClassification.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model(**tokenizer(["ACGTACGTACGT"], return_tensors="pt")).logits
"""
_LOAD_WITH_HEAD = f"""
from transformers import AutoTokenizer, EsmForMaskedLM
from head import Head        # {MODULE_FILE}, beside {HEAD_FILE}

model = EsmForMaskedLM.from_pretrained("FOLDER")
inputs = AutoTokenizer.from_pretrained("FOLDER")(["ACGTACGTACGT"], return_tensors="pt")
Head()(model.esm(**inputs).last_hidden_state, inputs["attention_mask"])
"""
_LOAD_PEFT = """
from peft import PeftModel
from transformers import EsmForSequenceClassification

base = EsmForSequenceClassification.from_pretrained("FOLDER/base")
model = PeftModel.from_pretrained(base, "FOLDER")        # the head comes with the adapter
"""
_LOAD_PEFT_WITH_HEAD = f"""
from peft import PeftModel
from transformers import AutoTokenizer, EsmForMaskedLM
from head import Head        # {MODULE_FILE}, beside {HEAD_FILE}

model = PeftModel.from_pretrained(EsmForMaskedLM.from_pretrained("FOLDER/base"), "FOLDER")
inputs = AutoTokenizer.from_pretrained("FOLDER/base")(["ACGTACGTACGT"], return_tensors="pt")
hidden = model.base_model.model.esm(**inputs).last_hidden_state
Head()(hidden, inputs["attention_mask"])
"""
_LOAD_OFFICIAL = """
import ntjax

model = ntjax.load_pretrained("FOLDER")        # or InstaDeep's own code
# head.safetensors holds the head, head.py says in PyTorch what is computed with it
"""
_LOAD_SAFETENSORS = """
from safetensors.numpy import load_file

tensors = load_file("FOLDER/model.safetensors")        # layers stacked along the first axis
# head.safetensors holds the head, head.py says in PyTorch what is computed with it
"""
