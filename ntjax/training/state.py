"""Checkpoints of a run (Orbax) and its line-by-line log, kept consistent with each other."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from ntjax.errors import UserError
from ntjax.io.files import write_bytes
from ntjax.runs.adapter_file import named_leaves


class Checkpoints:
    """The newest states of a run; each write is atomic and replaces the one before.

    A state is a pytree of arrays plus a dict of plain numbers (`progress`).
    """

    def __init__(self, folder: Path):
        # Synchronous: a step overwrites its state in place, even while it is being written.
        options = ocp.CheckpointManagerOptions(
            max_to_keep=1, create=True, enable_async_checkpointing=False
        )
        handlers = {
            "state": ocp.StandardCheckpointHandler(),
            "progress": ocp.JsonCheckpointHandler(),
        }
        self._manager = ocp.CheckpointManager(
            Path(folder).resolve(), options=options, item_handlers=handlers
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: Any):
        self._manager.close()

    def save(self, step: int, state: Any, progress: Mapping[str, Any]) -> None:
        """Write, then forget the state before; a second save of a step does nothing."""
        if step == self._manager.latest_step():
            return
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(named_leaves(state)),
            progress=ocp.args.JsonSave(dict(progress)),
        )
        try:
            self._manager.save(step, args=items)
        except (OSError, ValueError) as error:  # a full disk is a ValueError of tensorstore's
            raise UserError(
                f"{self._manager.directory}: the checkpoint of step {step} cannot be written "
                f"({_first_line(error)}): free some space, then go on with --resume; the one "
                "before it is untouched"
            ) from error

    def restore(self, template: Any) -> tuple[Any, dict[str, Any]] | None:
        """The newest state in the shape and placement of `template`; None if there is none.

        Raises:
            UserError: the checkpoint was written by a different configuration, or is damaged.
        """
        step = self._manager.latest_step()
        if step is None:
            return None
        wanted = jax.tree.map(ocp.utils.to_shape_dtype_struct, named_leaves(template))
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(wanted), progress=ocp.args.JsonRestore()
        )
        try:
            self._refuse_other(step, wanted)
            restored = self._manager.restore(step, args=items)
        except UserError:
            raise
        except (AttributeError, KeyError, OSError, ValueError) as error:
            raise UserError(
                f"{self._manager.directory / str(step)}: the checkpoint is damaged; delete it and "
                f"start again ({_first_line(error)})"
            ) from error
        leaves = [restored.state[name] for name in named_leaves(template)]
        state = jax.tree.unflatten(jax.tree.structure(template), leaves)
        return state, dict(restored.progress)

    def _refuse_other(self, step: int, wanted: Mapping[str, jax.ShapeDtypeStruct]) -> None:
        # Orbax would say so too, but after it has begun to read, from tasks of its own.
        stored = self._manager.item_metadata(step).state
        shapes = {name: (tuple(leaf.shape), leaf.dtype) for name, leaf in stored.items()}
        if shapes != {name: (leaf.shape, leaf.dtype) for name, leaf in wanted.items()}:
            raise UserError(
                f"{self._manager.directory / str(step)}: the checkpoint does not hold this run's "
                "parameters; was it made with other options?"
            )


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [""])[0][:200]


class MetricsLog:
    """`metrics.jsonl` (no clock times: runs can be compared byte by byte) and `timing.jsonl`."""

    def __init__(self, folder: Path):
        self._metrics, self._timing = folder / "metrics.jsonl", folder / "timing.jsonl"

    def rewind(self, step: int) -> list[dict[str, Any]]:
        """Forget lines after `step`, which a resumed run will write again; return the rest."""
        kept = {path: _lines_until(path, step) for path in (self._metrics, self._timing)}
        for path, lines in kept.items():
            data = "".join(json.dumps(line) + "\n" for line in lines).encode()
            write_bytes(path, data)
        return kept[self._metrics]

    def write(self, metrics: Mapping[str, Any], timing: Mapping[str, Any]) -> None:
        """Append one line to each file."""
        for path, line in ((self._metrics, metrics), (self._timing, timing)):
            with path.open("a") as file:
                file.write(json.dumps(line) + "\n")


def _lines_until(path: Path, step: int) -> list[dict[str, Any]]:
    lines = []
    for text in path.read_text().splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except ValueError:
            break  # the line being written when the run was killed
        if line["step"] <= step:
            lines.append(line)
    return lines
