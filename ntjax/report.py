"""Write the page of a run, or of a sweep: one HTML file that needs nothing else.

python -m ntjax.report runs/mine
python -m ntjax.report runs/mine --out mine.html

In Python: `ntjax.load_run(folder).report(file)`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ntjax.reports import command_line
from ntjax.reports.pages import write_report
from ntjax.runs.page import REPORT_FILE


@dataclass(frozen=True)
class Options:
    """Options of `python -m ntjax.report`."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder of a run or of a sweep."""
    out: Path | None = None
    """The page. Otherwise: report.html in the folder."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: report(command_line.parse(Options, "ntjax.report", __doc__ or "")))


def report(options: Options) -> Path:
    """Run the command; returns the file that it wrote.

    Raises:
        UserError: the folder holds no run and no sweep, or a file of it is damaged.
    """
    file = options.out or options.folder / REPORT_FILE
    write_report(options.folder, file)
    print(f"report: {file}")
    return file


if __name__ == "__main__":
    main()
