"""Many genomes: a table of files with their classes, and how often each is drawn from."""

import difflib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ntjax.errors import UserError
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.store import Genome
from ntjax.io.delimited import read_cells

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("path", "class", "weight")
_EXAMPLE = "path,class,weight"


@dataclass(frozen=True)
class GenomeTable:
    """Genomes of several classes, such as bacteria, fungi and vertebrates.

    Attributes:
        genomes: in the order of the table.
        classes: of each genome.
        weights: of each genome among those of its class; 1 unless the table says otherwise.
    """

    genomes: tuple[Genome, ...]
    classes: tuple[str, ...]
    weights: tuple[float, ...]

    def shares(
        self, letters: Sequence[float] | np.ndarray, class_weights: Mapping[str, float]
    ) -> np.ndarray:
        """Probability to draw from each genome, float64 [genomes].

        A class is drawn by its weight, 1 where none is given, and a genome within it in proportion
        to its weight · letters. Without any class weights, classes make no difference.

        Arguments:
            letters: nucleotides to draw from in each genome, [genomes].
            class_weights: above 0, by class.

        Raises:
            UserError: a class that the table doesn't have, or a weight that isn't above 0.
        """
        require_classes(class_weights, self.classes, "--class-weights")
        for name, weight in class_weights.items():
            _require_positive(weight, f"--class-weights: class {name!r}")
        sizes = np.asarray(letters, np.float64) * self.weights
        if not class_weights:
            return sizes / sizes.sum()
        names, class_of = np.unique(self.classes, return_inverse=True)
        wanted = np.array([class_weights.get(str(name), 1.0) for name in names])
        totals = np.bincount(class_of, sizes)
        return sizes / totals[class_of] * wanted[class_of] / wanted.sum()


class _Row(NamedTuple):
    line: int
    path: Path
    kind: str
    weight: float


def read_genome_table(path: str | os.PathLike, exclude: Sequence[str] = ()) -> GenomeTable:
    """The genomes of a CSV or TSV table with the columns path, class and, if wanted, weight.

    Paths are relative to the table's folder. Classes to exclude are neither opened nor kept.

    Raises:
        UserError: the table or a genome can't be read, a class to exclude is not in it, nothing is
            left, a genome stands in it twice, or a weight isn't above 0.
    """
    path = Path(path)
    rows = _rows(path)
    require_classes(exclude, [row.kind for row in rows], "--exclude-classes")
    rows = [row for row in rows if row.kind not in exclude]
    if not rows:
        raise UserError(f"{path}: all its classes are excluded: leave one to train on")
    _require_files(path, rows)
    return GenomeTable(
        genomes=tuple(open_genome(row.path) for row in rows),
        classes=tuple(row.kind for row in rows),
        weights=tuple(row.weight for row in rows),
    )


def parse_class_weights(texts: Sequence[str]) -> dict[str, float]:
    """Weights by class from texts such as `bacteria=2`.

    Raises:
        UserError: a text is not of that form, a class stands twice, a weight isn't above 0.
    """
    weights: dict[str, float] = {}
    for text in texts:
        name, mark, number = (part.strip() for part in text.rpartition("="))
        if not (name and mark):
            raise UserError(f"class weight {text!r}: write CLASS=WEIGHT, such as bacteria=2")
        if name in weights:
            raise UserError(f"class weight {text!r}: class {name!r} has a weight already")
        weights[name] = _number(number, f"class weight {text!r}")
    return weights


def require_classes(given: Iterable[str], known: Sequence[str], option: str) -> None:
    """Raises UserError unless all classes given are known; a near name is suggested."""
    for name in given:
        if name not in known:
            names = sorted(set(known))
            near = difflib.get_close_matches(name.lower(), names, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
            raise UserError(f"{option}: no genome is of class {name!r}: {remedy}")


def _rows(path: Path) -> list[_Row]:
    [cells] = read_cells(path, _EXAMPLE)
    body = cells.iloc[1:]
    body = body[(body != "").any(axis=1)]
    if body.empty:
        raise UserError(f"{path}: has column names but no rows: add a genome in each")
    columns = _columns(path, cells, body)
    rows = []
    for line, file, kind, weight in zip(body.index + 1, *columns, strict=True):
        place = f"{path}: row {line}"
        if not file or not kind:
            raise UserError(f"{place}: {'class' if file else 'path'} is empty: fill it in")
        rows.append(_Row(line, path.parent / file, kind, _number(weight or "1", place)))
    return rows


def _columns(path: Path, cells: "pd.DataFrame", body: "pd.DataFrame") -> list[list[str]]:
    """Paths, classes and weights, "" where there is no such column."""
    found = [name.strip().lower() for name in cells.iloc[0]]
    columns = []
    for name in _COLUMNS:
        if found.count(name) > 1:
            raise UserError(f"{path}: {found.count(name)} columns are called {name!r}: rename one")
        if name in found:
            columns.append([cell.strip() for cell in body[found.index(name)]])
        elif name == "weight":
            columns.append([""] * len(body))
        else:
            raise UserError(
                f"{path}: no column {name!r} among {', '.join(map(repr, found[:10]))}: line 1 must "
                f"hold the column names, such as '{_EXAMPLE}'"
            )
    return columns


def _require_files(path: Path, rows: list[_Row]) -> None:
    missing = [row for row in rows if not row.path.is_file()]
    if missing:
        named = "; ".join(f"row {row.line}: {row.path}" for row in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UserError(
            f"{path}: no such file: {named}{more}: paths are relative to the table's folder"
        )
    first: dict[Path, _Row] = {}
    for row in rows:
        before = first.setdefault(row.path.resolve(), row)
        if before is not row:
            raise UserError(
                f"{path}: rows {before.line} and {row.line} name the same file {row.path}: remove "
                "one (its weight makes a genome count more)"
            )


def _number(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise UserError(f"{place}: weight {text!r} is not a number") from None
    _require_positive(value, place)
    return value


def _require_positive(value: float, place: str) -> None:
    if not 0 < value < math.inf:
        raise UserError(f"{place}: weight {value:g} should be above 0: exclude the class instead")
