"""The card of an exported run: what it is, how good, and under which licence."""

from pathlib import Path

from ntjax.calibration import PredictionInterval
from ntjax.checkpoints import mini
from ntjax.checkpoints.published import PUBLISHED
from ntjax.io.files import write_bytes
from ntjax.runs.run import Run

_LICENCES = dict.fromkeys(mini.NAMES, ("apache-2.0", "Apache-2.0")) | dict.fromkeys(
    PUBLISHED, ("cc-by-nc-sa-4.0", "CC BY-NC-SA 4.0 (not for commercial use)")
)
_ONE_STRAND = (
    "The run averages the outputs of both strands, and what follows was measured on these. What is "
    "exported reads the forward strand alone: average over both yourself."
)


def write_card(folder: Path, run: Run, how_to_load: str, notes: tuple[str, ...] = ()) -> None:
    """Write `README.md`, with the metadata that model hubs read.

    Arguments:
        folder: of the export.
        run: that was exported.
        how_to_load: Python, in lines.
        notes: what a reader has to know of this format.

    Raises:
        UserError: the disk is full.
    """
    write_bytes(folder / "README.md", card(run, how_to_load, notes).encode())


def card(run: Run, how_to_load: str, notes: tuple[str, ...] = ()) -> str:
    """Return the text of the card."""
    name = run.model.name
    if run.strands.average:
        notes = (*notes, _ONE_STRAND)
    code, licence = _LICENCES.get(name, ("other", "that of the model, which this file cannot know"))
    base = f"base_model: {PUBLISHED[name]}\n" if name in PUBLISHED else ""
    lines = [
        f"---\nlicense: {code}\n{base}library_name: ntjax\ntags: [biology, dna]\n---",
        f"# {name}, adapted with {run.adapter.kind}",
        f"A Nucleotide Transformer ({name}) adapted with ntjax. {_sentence(run.task.described())} "
        f"Its head reads: {run.head.kind}.",
        f"```python\n{how_to_load.strip()}\n```",
        *notes,
        "## On its test rows",
        _metrics(run),
        "## Calibration",
        _calibration(run),
        "## Licence of the weights",
        f"{licence[0].upper()}{licence[1:]}.",
    ]
    return "\n\n".join(lines) + "\n"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def _metrics(run: Run) -> str:
    if not run.metrics:
        return "No metrics are at hand."
    rows = [
        f"{run.metrics.get('n')} rows.",
        "",
        "| metric | value | 95% interval |",
        "|---|---|---|",
    ]
    for name in run.task.shown:
        found = run.metrics.get(name)
        if isinstance(found, dict) and found.get("value") is not None:
            low, high = found.get("low"), found.get("high")
            interval = "" if low is None else f"{low:.3f} to {high:.3f}"
            rows.append(f"| {name} | {found['value']:.3f} | {interval} |")
    return "\n".join(rows)


def _calibration(run: Run) -> str:
    if run.calibration is None:
        return "The run was not calibrated."
    saved = run.calibration.to_dict()
    if isinstance(run.calibration, PredictionInterval):
        return (
            f"Of rows drawn like the calibration rows {run.calibration.coverage:.0%} are within "
            f"{run.calibration.half_width:.4g} of the prediction."
        )
    if saved["method"] == "identity":
        return "Probabilities are those of the outputs: calibrating them did not help."
    return (
        "The exported outputs are not calibrated. What ntjax applies to the logits: "
        f"`{saved!r:.500}`."
    )
