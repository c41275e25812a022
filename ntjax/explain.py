"""Show what a run's predictions owe to each base: a table, and a logo for each sequence.

python -m ntjax.explain --run runs/mine --input some.fasta --out explained
python -m ntjax.explain --run runs/mine --input some.csv --method gradients --out explained

Writes explanation.csv (a row for each base) and, in the order of the input, logos/0001.svg, ….

In Python: `ntjax.interpret.explanation.explain`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro
from tqdm import tqdm

from ntjax.errors import UserError
from ntjax.interpret.explanation import Explanation, Method, explain
from ntjax.io.files import check_writable, write_bytes
from ntjax.io.row_stream import RowStream
from ntjax.io.standard_input import called, input_file
from ntjax.reports import command_line
from ntjax.reports.logos import check_can_draw, draw_logo
from ntjax.runs.folder import refuse_occupied
from ntjax.runs.predict_file import check_readable
from ntjax.runs.run import Run
from ntjax.runs.saved_run import load_run
from ntjax.sequences.alphabet import Ambiguous, counted

TABLE, LOGOS = "explanation.csv", "logos"
MOST_SEQUENCES = 1_000


@dataclass(frozen=True)
class Options:
    """Options of `python -m ntjax.explain`."""

    run: Path
    """Folder of the run."""
    input: str
    """CSV, TSV, Parquet or FASTA file of up to 1,000 sequences; - for standard input."""
    out: Path
    """Folder for the table and the logos; it must be empty."""
    method: Method = "mutagenesis"
    """mutagenesis: score every single-base mutant; gradients: the same to first order, faster;
    attention: what the last layer attends to, above what shuffled attention gives."""
    class_name: Annotated[str, tyro.conf.arg(name="class")] = ""
    """Class or label to explain. Default: the positive one of two classes."""
    logos: bool = True
    """Draw a logo for each sequence."""
    sequence_column: str = "sequence"
    """Column of the sequences (not of FASTA)."""
    name_column: str = "name"
    """Column of the names (not of FASTA, where the header is the name)."""
    ambiguous: Ambiguous = "refuse"
    """IUPAC codes for several bases, such as R for A or G: refuse them, or n for N."""
    model: str = ""
    """Where the backbone is now, if not where it was when the run was trained."""
    progress: bool = True
    """Show progress bars."""


def main() -> None:
    """Run the command."""
    command_line.run(
        lambda: explain_command(command_line.parse(Options, "ntjax.explain", __doc__ or ""))
    )


def explain_command(options: Options) -> Explanation:
    """Run the command; returns what it found.

    Raises:
        UserError: bad input.
    """
    refuse_occupied(options.out, can_resume=False)
    if options.logos:
        check_can_draw()
    run = load_run(options.run, options.model or None)
    with input_file(options.input, options.out) as path:
        rows, notes = _rows(options, path, run)
    for note in notes:
        print(f"note: {called(note, options.input, path)}")
    progress = options.method if options.progress else ""
    check_writable(options.out)
    with command_line.naming_options(target="class"):
        sequences = [sequence for _, sequence in rows]
        found = explain(run, sequences, options.method, options.class_name or None, progress)
    if options.logos:
        _draw(options, rows, found)
    tables = [
        found.table(row, sequence).assign(name=name) for row, (name, sequence) in enumerate(rows)
    ]
    table = pd.concat(tables)
    table = table[["name", *(column for column in table if column != "name")]]
    write_bytes(options.out / TABLE, table.to_csv(index=False, lineterminator="\n").encode())
    print(f"explained: {options.out} ({counted(len(rows), 'sequence')}; {_told(options, run)})")
    return found


def _rows(options: Options, path: Path, run: Run) -> tuple[list[tuple[str, str]], list[str]]:
    """Read the name and sequence of every row, and notes on what was guessed."""
    stream = RowStream(
        path, options.sequence_column, options.name_column, ambiguous=options.ambiguous
    )
    rows: list[tuple[str, str]] = []
    for chunk in stream.chunks():
        rows += zip(chunk.names, chunk.sequences, strict=True)
        check_readable(run, str(path), chunk)
    if len(rows) > MOST_SEQUENCES:
        raise UserError(
            f"{path}: has {len(rows):,} sequences, more than the {MOST_SEQUENCES:,} that are "
            "explained at once: choose those that matter"
        )
    return rows, stream.notes()


def _draw(options: Options, rows: list[tuple[str, str]], found: Explanation) -> None:
    for row, (name, sequence) in enumerate(tqdm(rows, "logos", disable=not options.progress)):
        path = options.out / LOGOS / f"{row + 1:04d}.svg"
        draw_logo(path, name, sequence, found.importance[row, : len(sequence)])


def _told(options: Options, run: Run) -> str:
    """Say what importance is the importance for."""
    if options.method == "attention":
        return "attention of the last layer, above that of shuffled tokens"
    if not run.task.has_probabilities:
        return f"importance for {run.classes[0]}, in its units"
    if len(run.classes) == 2 and not options.class_name:
        return f"importance for the logit of {run.classes[1]}"
    return f"importance for the logit of {options.class_name or run.classes[-1]}"


if __name__ == "__main__":
    main()
