"""One page for whatever is given: a run, the folder of a run, the folder of a sweep."""

from pathlib import Path

from ntjax.reports.run_report import write_run_page
from ntjax.reports.sweep_report import write_sweep_page
from ntjax.runs.folder import SWEEP_FILE
from ntjax.runs.results import read_results, results_of
from ntjax.runs.run import Run


def write_report(source: Run | Path, file: Path) -> None:
    """Write one self-contained page: no script, nothing from the network.

    Arguments:
        source: a run, or the folder of a run or of a sweep.
        file: the page.

    Raises:
        UserError: there is no run, a file of it is damaged, or the page cannot be written.
    """
    if isinstance(source, Run):
        write_run_page(results_of(source), file)
    elif (source / SWEEP_FILE).exists():
        write_sweep_page(source, file)
    else:
        write_run_page(read_results(source), file)
