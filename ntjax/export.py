"""Write a trained run for other programs.

python -m ntjax.export --run runs/mine --to huggingface --out for_pytorch
python -m ntjax.export --run runs/mine --to peft --out for_peft
python -m ntjax.export --run runs/mine --to official --out merged

In Python: `ntjax.runs.export`.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ntjax.errors import UserError
from ntjax.reports import command_line
from ntjax.runs.export import export_esm, export_official, export_peft, export_safetensors
from ntjax.runs.folder import refuse_occupied
from ntjax.runs.saved_run import load_run


@dataclass(frozen=True)
class Options:
    """Options of `python -m ntjax.export`."""

    run: Path
    """Folder of the run."""
    to: Literal["huggingface", "peft", "official", "safetensors"]
    """huggingface: one EsmForSequenceClassification of transformers, adapter merged, with its
    tokenizer; peft: the adapter with its head for PEFT, and the backbone for it in base/; official:
    InstaDeep's format, adapter merged; safetensors: the same in one safetensors file."""
    out: Path
    """Folder for it; it must be empty."""
    head: bool = True
    """huggingface and peft: with the head as transformers' classifier, which reads <cls>. --no-head
    writes any head as head.safetensors, with a module of PyTorch beside it."""
    base: bool = True
    """peft: with the backbone."""
    model: str = ""
    """Where the backbone is now, if not where it was when the run was trained."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: export(command_line.parse(Options, "ntjax.export", __doc__ or "")))


def export(options: Options) -> None:
    """Run the command.

    Raises:
        UserError: bad input, or what the format does not have.
    """
    refuse_occupied(options.out, can_resume=False)
    if not options.base and options.to != "peft":
        raise UserError("--no-base is for --to peft: leave it out")
    if not options.head and options.to not in ("peft", "huggingface"):
        raise UserError(f"--no-head: --to {options.to} always has the head beside the model")
    run = load_run(options.run, options.model or None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if options.to == "huggingface":
            export_esm(run, options.out, options.head)
        elif options.to == "peft":
            export_peft(run, options.out, options.head, options.base)
        else:
            write = export_official if options.to == "official" else export_safetensors
            write(run, options.out)
    for warning in caught:
        print(f"note: {warning.message}")
    print(f"exported: {options.out} (its README.md says how to load it)")


if __name__ == "__main__":
    main()
