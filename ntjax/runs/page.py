"""The page of a run or a sweep, for those who may not know how it is made.

Rooms import only rooms below them, and `reports` is above this one. `Run.report` is part of what
users call, though, and training writes the page at its end. This module holds the one import
upwards, made when a page is asked for; the contract in `pyproject.toml` names it.
"""

import warnings
from pathlib import Path
from typing import Any

REPORT_FILE = "report.html"


def write_page(source: Any, file: str | Path) -> None:
    """Write the page of a run, or of the folder of a run or a sweep.

    Raises:
        UserError: there is nothing to report, or the file cannot be written.
    """
    from ntjax.reports.pages import write_report

    write_report(source, Path(file))


def page_problem(folder: Path) -> str:
    """Write a folder's page into it; return why that failed, in one line, or "".

    A run is whole without its page: whatever goes wrong here must not fail it.
    """
    try:
        write_page(folder, folder / REPORT_FILE)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return f"{folder / REPORT_FILE} was not written ({reason}); the results are whole"
    return ""


def write_page_or_warn(folder: Path) -> None:
    """Write a folder's page into it; a failure is a warning of one line."""
    if problem := page_problem(folder):
        warnings.warn(problem, RuntimeWarning, stacklevel=3)
