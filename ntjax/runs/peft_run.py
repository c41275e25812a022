"""A PEFT folder trained in PyTorch, read as a run."""

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp

from ntjax.adapters import Adapter
from ntjax.checkpoints.cache import read_hyperparameters
from ntjax.checkpoints.esm_config import CONFIG_FILE
from ntjax.checkpoints.peft import read_peft
from ntjax.errors import UserError
from ntjax.inference.forward import Trainable
from ntjax.inference.pretrained import PretrainedModel, load_pretrained
from ntjax.models.heads import Cls
from ntjax.runs.run import Run
from ntjax.tasks import Classification, MultiLabel, Regression, Task


def load_peft(
    folder: str | Path, model: PretrainedModel | str | Path, classes: Sequence[str] = ()
) -> Run:
    """Read an adapter that PEFT has trained, with its head, as a run.

    Arguments:
        folder: holds `adapter_config.json` and `adapter_model.safetensors`.
        model: that it was trained on: a model, or the folder of transformers' ESM.
        classes: names of the outputs; otherwise those of the ESM folder's `id2label`, or LABEL_0, …

    Raises:
        UserError: a file is missing or damaged, there is no head, or the adapter is not one of
            ours on this model.
    """
    folder = Path(folder)
    if not isinstance(model, PretrainedModel):
        model = load_pretrained(model)
    found = read_peft(folder, model.config)
    if found.head is None:
        raise UserError(
            f"{folder}: has no head: save the adapter with modules_to_save=['classifier'], or the "
            "head that was trained with it is lost"
        )
    outputs = len(found.head["output"]["b"])
    task = _task(model, outputs, tuple(map(str, classes)))
    trained = jax.tree.map(jnp.asarray, (found.parameters, found.head))
    trainable = Trainable(Adapter(found.config, trained[0]), trained[1])
    return Run(model, Cls(outputs), trainable, task, None)


def _task(model: PretrainedModel, outputs: int, classes: tuple[str, ...]) -> Task:
    """What the outputs mean, by the configuration of the ESM folder, if there is one."""
    path = Path(model.source.get("path", "")) / CONFIG_FILE
    content = read_hyperparameters(path) if model.source.get("path") and path.is_file() else {}
    saved = content.get("id2label")
    labels = saved if isinstance(saved, dict) and len(saved) == outputs else {}
    names = classes or tuple(str(labels.get(str(n), f"LABEL_{n}")) for n in range(outputs))
    if len(set(names)) != outputs or len(names) != outputs:
        raise UserError(f"classes: give {outputs} different names, one for each output")
    kind = content.get("problem_type")
    if outputs == 1 or kind == "regression":
        return Regression(names)
    return MultiLabel(names) if kind == "multi_label_classification" else Classification(names)
