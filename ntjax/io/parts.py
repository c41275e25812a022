"""Files that are written in parts, so that an interrupted command can go on where it stopped.

The parts lie in a folder beside the file, `NAME.parts`, each written beside and renamed, with a
plan that says what they were made from. When all are there they are joined, the file appears under
its name, and the folder goes. A command that is killed repeats the part that it was writing.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ntjax.errors import UserError
from ntjax.io.files import written_atomically
from ntjax.io.json import as_json, read_json, write_json
from ntjax.io.part_formats import format_by_name

_PLAN = "plan.json"


class Parts:
    """A file that is written in parts.

    Attributes:
        out: the file; its extension is one of those of `ntjax.io.part_formats`.
        folder: where the parts lie until all are there.
        is_whole: whether the file is there already, of an earlier run with the same plan.

    Arguments:
        out: the file.
        plan: what decides its content: hashes of the inputs, and settings.
        resume: go on with the parts that are there. If there are none, all are made.

    Raises:
        UserError: the file is there already, or parts that are not to be gone on with, or parts
            of another plan.
    """

    def __init__(self, out: Path, plan: Mapping[str, Any], resume: bool = False):
        self.out, self.folder = out, out.parent / f"{out.name}.parts"
        self._plan, self.is_whole = as_json(dict(plan)), False
        self._suffix = out.suffix.lower()
        self._format = format_by_name(out)
        if not (self.folder / _PLAN).exists():  # it holds no part then
            if out.exists():
                raise UserError(f"{out} is there already: give another --out, or remove it")
            return
        if not resume:
            raise UserError(
                f"{self.folder} holds parts of an interrupted run: add --resume to go on with it, "
                "or remove that folder"
            )
        self._check()
        if out.exists():  # killed after the file was in place
            self.is_whole = True
            shutil.rmtree(self.folder)

    def _check(self) -> None:
        before, plan = read_json(self.folder / _PLAN), self._plan
        keys = [key for key in {**before, **plan} if before.get(key) != plan.get(key)]
        if keys:
            raise UserError(
                f"{self.folder}: cannot resume: {', '.join(keys)} changed since it was begun; "
                "remove that folder, or give another --out"
            )

    def has(self, number: int) -> bool:
        """Tell whether a part is there."""
        return self._path(number).exists()

    def write(self, number: int, content: Any) -> None:
        """Write a part: a table (of the same columns as the others), or arrays by name.

        Raises:
            UserError: the disk is full.
        """
        if not (self.folder / _PLAN).exists():
            write_json(self.folder / _PLAN, self._plan)
        data = self._format.encode(content, number == 0)
        with written_atomically(self._path(number), len(data)) as file:
            file.write(data)

    def join(self) -> None:
        """Put the file in its place and remove the parts.

        Raises:
            UserError: the disk is full; the parts stay.
        """
        paths = sorted(self.folder.glob(f"[0-9]*{self._suffix}"))
        with written_atomically(self.out, sum(path.stat().st_size for path in paths)) as file:
            self._format.join(paths, file)
        shutil.rmtree(self.folder)

    def discard(self) -> None:
        """Remove the parts: what they were made from cannot be read again."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:08d}{self._suffix}"
