"""The Nucleotide Transformer's evaluations, on data at hand and with the bundled models.

    python -m experiments.nt_benchmark
    python -m experiments.nt_benchmark --sections storage

A section whose JSON is there is read; `--again` computes it anew. Writes `results/NAME.json` and
`results.md` beside this file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import tyro

from experiments.nt_benchmark import (
    alleles,
    attention,
    deck,
    elements,
    ledger,
    probing,
    storage,
    task_table,
    variants,
)
from experiments.nt_benchmark.resplits import section as resplits
from ntjax.errors import UserError
from ntjax.io.json import read_json, write_json
from ntjax.reports import command_line
from ntjax.reports.page import Block, as_markdown


class Section(Protocol):
    """A module of this folder."""

    NAME: str
    TITLE: str

    def run(self, folder: Path, runs: Path) -> dict[str, Any]:
        """Compute the content of the section's JSON; pictures go to the folder."""
        ...

    def blocks(self, record: dict[str, Any]) -> tuple[Block, ...]:
        """Lay it out."""
        ...


SECTIONS: dict[str, Section] = {
    one.NAME: one
    for one in (
        task_table,
        resplits,
        probing,
        variants,
        alleles,
        attention,
        elements,
        storage,
        deck,
        ledger,
    )
}
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Options:
    """Options of `python -m experiments.nt_benchmark`."""

    sections: tuple[str, ...] = tuple(SECTIONS)
    """Which to run: tasks, resplits, probing, variants, alleles, attention, elements, storage,
    deck, ledger."""
    again: bool = False
    """Compute sections whose results are there."""
    runs: Path = Path("runs/nt_benchmark")
    """Folder of what is being computed; an interrupted section goes on from there."""
    out: Path = _HERE
    """Folder of the results."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: run(tyro.cli(Options, description=__doc__)))


def run(options: Options) -> None:
    """Run sections, and write the page of all that have results.

    Raises:
        UserError: there is no such section.
    """
    if unknown := [name for name in options.sections if name not in SECTIONS]:
        raise UserError(f"there is no section {unknown[0]!r}: choose of {', '.join(SECTIONS)}")
    folder = options.out / "results"
    folder.mkdir(parents=True, exist_ok=True)
    for name in options.sections:
        if options.again or not (folder / f"{name}.json").exists():
            write_json(folder / f"{name}.json", SECTIONS[name].run(folder, options.runs))
    (options.out / "results.md").write_text(markdown(folder))


def markdown(folder: Path) -> str:
    """Lay out the sections that have results."""
    parts = ["# Results", "Made by `python -m experiments.nt_benchmark`."]
    for name, section in _in_order():
        path = folder / f"{name}.json"
        if path.exists():
            parts.append(f"## {section.TITLE}")
            parts += [as_markdown(block) for block in section.blocks(read_json(path))]
    return "\n\n".join(parts) + "\n"


def _in_order() -> list[tuple[str, Section]]:
    """Return the sections as they are read: what was found first."""
    return sorted(SECTIONS.items(), key=lambda one: one[0] != ledger.NAME)


if __name__ == "__main__":
    main()
