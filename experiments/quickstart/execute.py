"""Run `experiments/quickstart.ipynb` offline, and keep what it shows.

    python -m experiments.quickstart.execute

A copy is run in a folder of its own, so that nothing is left beside the notebook. The outputs are
then written into the notebook: readers see the figures without running it.
"""

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

from experiments.quickstart.make_data import ANNOTATION, FOLDER, GENOME, VARIANTS

NOTEBOOK = FOLDER.with_suffix(".ipynb")


def main() -> None:
    """Run the notebook, and write it with its outputs."""
    with TemporaryDirectory() as folder:
        notebook = executed(Path(folder))
    nbformat.write(notebook, NOTEBOOK)
    print(f"{NOTEBOOK}: {NOTEBOOK.stat().st_size:,} bytes")


def executed(folder: Path, more: str = "") -> nbformat.NotebookNode:
    """Run a copy of the notebook, with nothing but its own data and no network.

    Arguments:
        folder: for the copy; an empty one.
        more: code of a last cell, to be run after the others.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    data = folder / FOLDER.name
    data.mkdir()
    for name in (GENOME, ANNOTATION, VARIANTS):
        shutil.copy(FOLDER / name, data)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    if more:
        notebook.cells.append(nbformat.v4.new_code_cell(more))
    environment = {name: value for name, value in os.environ.items() if name != "NTJAX_DATA_DIR"}
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        record_timing=False,  # it would differ every time
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute(env=environment | {"NTJAX_OFFLINE": "1", "HF_HUB_OFFLINE": "1"})


if __name__ == "__main__":
    main()
