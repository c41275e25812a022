"""Score the sequences of a file with a trained run.

python -m ntjax.predict --run runs/mine --input new.csv --out scores.csv
python -m ntjax.predict --run runs/mine --input new.fasta --out scores.parquet --prior 0.01
zcat reads.fa.gz | python -m ntjax.predict --run runs/mine --input - --out scores.tsv

In Python: `ntjax.load_run(folder).predict(sequences)`.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ntjax.checkpoints.cache import sha256
from ntjax.io.part_formats import TABLES, check_name
from ntjax.io.parts import Parts
from ntjax.io.row_stream import RowStream
from ntjax.reports import command_line
from ntjax.reports.in_parts import write_in_parts
from ntjax.runs.folder import ADAPTER_FILE, DESCRIPTION_FILE
from ntjax.runs.predict_file import Predicted, predict_file
from ntjax.runs.priors import read_prior
from ntjax.runs.run import Run
from ntjax.runs.saved_run import load_run
from ntjax.sequences.alphabet import Ambiguous, counted

_PLACES = ("run", "model", "input", "out", "resume", "progress")


@dataclass(frozen=True)
class Options:
    """Options of `python -m ntjax.predict`."""

    run: Path
    """Folder of the run."""
    input: str
    """CSV, TSV, Parquet or FASTA file of sequences; all but Parquet may be gzip-compressed; - for
    standard input."""
    out: Path
    """File of the predictions: .csv, .tsv or .parquet."""
    prior: str = ""
    """Share of the positive class where the sequences come from, such as 0.01, or of each class (or
    of some labels) by name: a=0.1,b=0.9. Calibrated probabilities are then those at these shares.
    Otherwise: the shares among the rows the run was calibrated on."""
    average_strands: bool | None = None
    """Average the outputs of both strands. Default: what the run does."""
    sequence_column: str = "sequence"
    """Column of the sequences (not of FASTA)."""
    name_column: str = "name"
    """Column of the names (not of FASTA, where the header is the name)."""
    ambiguous: Ambiguous = "refuse"
    """IUPAC codes for several bases, such as R for A or G: refuse them, or n for N."""
    model: str = ""
    """Where the backbone is now, if not where it was when the run was trained."""
    resume: bool = False
    """Go on with an interrupted command of the same input and options."""
    progress: bool = True
    """Show a progress bar."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: predict(command_line.parse(Options, "ntjax.predict", __doc__ or "")))


def predict(options: Options) -> Predicted | None:
    """Run the command; returns what it wrote, None if all was there.

    Raises:
        UserError: bad input.
    """
    check_name(options.out, TABLES)

    def write(stream: RowStream, parts: Parts, rows: int) -> Predicted:
        run = load_run(options.run, options.model or None)
        prior = read_prior(options.prior, run.classes) if options.prior else None
        found = predict_file(
            run,
            stream,
            parts,
            prior=prior,
            average_strands=options.average_strands,
            progress=options.progress,
            total=rows,
        )
        return found._replace(notes=(*found.notes, *_notes(options, run, found)))

    return write_in_parts("predictions", options, lambda: _plan(options), write)


def _plan(options: Options) -> dict[str, Any]:
    """Everything that the table's content depends on, beside the input."""
    settings = {name: value for name, value in asdict(options).items() if name not in _PLACES}
    files = {name: sha256(options.run / name) for name in (ADAPTER_FILE, DESCRIPTION_FILE)}
    return {**files, **settings}


def _notes(options: Options, run: Run, found: Predicted) -> list[str]:
    """Say which columns are empty and why, and which rows the run may not be good for."""
    columns = "calibrated_probability is" if run.task.has_probabilities else "low and high are"
    notes = []
    if run.calibration is None:
        notes.append(f"the run was not calibrated: {columns} empty")
    elif not run.strands.are(options.average_strands):
        notes.append(f"the run was calibrated on outputs of {run.strands.read}: {columns} empty")
    if found.unlike:
        notes.append(
            f"{counted(found.unlike, 'row')} of {found.rows:,} are unlike all training rows "
            "(column note): how good predictions of such rows are has not been measured"
        )
    return notes


if __name__ == "__main__":
    main()
