"""Compare runs on the same test rows, with paired intervals of their differences.

python -m ntjax.compare runs/lora runs/ia3 --out compared.html
python -m ntjax.compare runs/sweep/members/* --out members.html

The first run is the one that the others are compared with.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ntjax.errors import UserError
from ntjax.evaluation.paired_runs import Comparison
from ntjax.evaluation.paired_runs import compare as compare_runs
from ntjax.reports import command_line
from ntjax.reports.compare_report import print_comparison, write_comparison
from ntjax.runs.folder import SWEEP_FILE
from ntjax.runs.results import read_results


@dataclass(frozen=True)
class Options:
    """Options of `python -m ntjax.compare`."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of two runs or more; the others are compared with the first."""
    out: Path
    """The page: an HTML file."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: compare(command_line.parse(Options, "ntjax.compare", __doc__ or "")))


def compare(options: Options) -> Comparison:
    """Run the command; returns what it found.

    Raises:
        UserError: a folder holds no run, or the runs were not scored on the same test rows.
    """
    for folder in options.folders:
        if (folder / SWEEP_FILE).exists():
            raise UserError(
                f"{folder} is a sweep: give the folders of its members, {folder}/members/*"
            )
    folders = named(options.folders)
    found = compare_runs({name: read_results(folder) for name, folder in folders.items()})
    print_comparison(found)
    write_comparison(found, options.out, folders)
    print(f"report: {options.out}")
    return found


def named(folders: tuple[Path, ...]) -> dict[str, Path]:
    """Name runs by the shortest ends of their paths that differ.

    >>> list(named((Path("runs/a/seed=0"), Path("runs/b/seed=0"))))
    ['a/seed=0', 'b/seed=0']
    """
    absolute = [folder.resolve() for folder in folders]
    for length in range(1, max((len(path.parts) for path in absolute), default=1) + 1):
        names = ["/".join(path.parts[-length:]) for path in absolute]
        if len(set(names)) == len(set(absolute)):
            break
    found: dict[str, Path] = {}
    for name, folder in zip(names, folders, strict=True):
        number = sum(other == name or other.startswith(f"{name} (") for other in found)
        found[f"{name} ({number + 1})" if number else name] = folder
    return found


if __name__ == "__main__":
    main()
