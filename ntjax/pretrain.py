"""Pre-train a Nucleotide Transformer on genomes, from random or published weights.

python -m ntjax.pretrain --genomes mine.fna.gz --model 50M_multi_species_v2     # continue
python -m ntjax.pretrain --genomes a.fna.gz b.fna.gz --model hyperparams.json   # start anew
"""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro

from ntjax.errors import UserError
from ntjax.evaluation.masked_likelihood import held_out_report
from ntjax.io.json import read_json, write_json
from ntjax.reports import command_line
from ntjax.reports.console import print_held_out
from ntjax.runs.folder import (
    CONFIG_FILE,
    GENOME_FILES,
    open_folder,
    recorded_revision,
    refuse_occupied,
)
from ntjax.training import pretraining
from ntjax.training.callbacks import ProgressBar
from ntjax.training.finetune import on_disk
from ntjax.training.pretrain_settings import PretrainSettings, complete, from_saved
from ntjax.training.settings import explicit, option, resumed


@dataclass(frozen=True)
class Options:
    """Options of `python -m ntjax.pretrain`."""

    settings: Annotated[PretrainSettings, tyro.conf.arg(name="")] = field(
        default_factory=PretrainSettings
    )
    out: Path | None = None
    """Folder for the results; it must be empty."""
    resume: bool = False
    """Continue the run in --out with its own settings. Say where files lie that have moved since:
    their content must be the same."""
    progress: bool = True
    """Show progress bars."""
    typed: Annotated[tuple[str, ...] | None, tyro.conf.Suppress] = None
    """Names of the options that were given; None for those that differ from their defaults."""


def main() -> None:
    """The command."""
    command_line.run(lambda: pretrain(_parse()))


def _parse() -> Options:
    options = command_line.parse(Options, "ntjax.pretrain", __doc__ or "")
    return replace(options, typed=command_line.typed_options())


def pretrain(options: Options) -> dict[str, Any]:
    """Run the command; returns what it reached on held-out sequence.

    Raises:
        UserError: bad input.
        Interrupted: stopped by a signal, with its state saved.
    """
    if options.out is None:
        raise UserError("--out FOLDER is missing: where the weights are to go")
    settings, chosen = _settings(options)
    if chosen:
        print("as the recipe says: " + ", ".join(f"{option(k)} {v}" for k, v in chosen.items()))
    job = pretraining.prepare(settings, recorded_revision(options.out) if options.resume else None)
    open_folder(options.out, pretraining.record(job), options.resume)
    _print_job(job)
    began = time.perf_counter()
    bar = [ProgressBar()] if options.progress else []
    fitted = pretraining.train(job, [*bar, *on_disk(options.out, [options.out])])
    print(
        f"trained in {time.perf_counter() - began:.0f} s; best step {fitted.step} (validation loss "
        f"{fitted.value:.3f} nats a token)",
        flush=True,
    )
    pretraining.save(job, fitted.trainable, options.out)
    result = held_out_report(job, fitted.trainable)
    write_json(options.out / pretraining.REPORT_FILE, result)
    print_held_out(result)
    print(f"weights: {options.out}")
    return result


def _settings(options: Options) -> tuple[PretrainSettings, dict[str, Any]]:
    if not options.resume:
        refuse_occupied(options.out)
        return complete(options.settings)
    path = options.out / CONFIG_FILE
    saved = read_json(path)
    try:
        own = complete(from_saved(saved.get("settings") if isinstance(saved, dict) else None))[0]
    except UserError as error:
        raise UserError(f"{path}: {error}; restore the file, or begin in another --out") from None
    return resumed(options.out, explicit(options.settings, options.typed), own, GENOME_FILES), {}


def _print_job(job: pretraining.PretrainJob) -> None:
    letters = {
        part: sum(region.letters for region in parts) for part, parts in job.data.parts.items()
    }
    print(
        f"{job.model.name}: {sum(w.size for w in jax.tree.leaves(job.model.params)):,} parameters; "
        + ", ".join(f"{part} {count:,} nucleotides" for part, count in letters.items()),
        flush=True,
    )
    if not sum(region.count(1) for region in job.data.parts["test"]):
        print("note: no block is kept apart for the test; --held-out-genomes gives a genome to it")
    for note in job.notes:
        print(f"note: {note}", flush=True)


if __name__ == "__main__":
    main()
