"""Files that are written in parts, so that an interrupted command can go on where it stopped.

The parts lie in a folder beside the file, `NAME.parts`, each written beside and renamed, with a
plan that says what they were made from. When all are there they are joined, the file appears under
its name, and the folder goes. A command that is killed repeats the part that it was writing.
"""

import contextlib
import io
import shutil
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ntjax.errors import UserError
from ntjax.io.files import write_bytes, written_atomically
from ntjax.io.json import as_json, read_json, write_json
from ntjax.io.part_formats import FORMATS, suffix_of

_PLAN, _JOINED = "plan.json", "joined.json"


class PartsError(UserError):
    """A part, or the file, could not be written; the parts stay."""


class PartFolder:
    """The parts of a result, in a folder beside it.

    Attributes:
        folder: where the parts lie until all are there.

    Arguments:
        out: what the result is called.
        plan: what decides the parts' content: hashes of the inputs, and settings.
        resume: go on with the parts that are there. If there are none, all are made.
        suffix: of the parts' format, one of `ntjax.io.part_formats`.

    Raises:
        UserError: parts that are not to be gone on with, or parts of another plan, or a folder of
            their name that is not ours.
    """

    def __init__(self, out: Path, plan: Mapping[str, Any], resume: bool, suffix: str):
        self.folder = out.parent / f"{out.name}.parts"
        self._plan, self._suffix = as_json(dict(plan)), suffix
        self._format = FORMATS[suffix]
        if not self.is_begun:
            self._refuse_others()
            return
        if not resume:
            raise UserError(
                f"{self.folder} holds parts of an interrupted run: add --resume to go on with it, "
                "or remove that folder"
            )
        self._check()

    @property
    def is_begun(self) -> bool:
        """Whether there are parts, or were about to be."""
        return (self.folder / _PLAN).exists()

    def _refuse_others(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise UserError(f"{self.folder} is in the way: rename it, or give another --out")
        # What `written_atomically` leaves behind when it is killed may lie there.
        if self.folder.exists() and any(path.suffix != ".tmp" for path in self.folder.iterdir()):
            raise UserError(
                f"{self.folder} is in the way, and holds files of something else: rename it, or "
                "give another --out"
            )

    def _check(self) -> None:
        before, plan = read_json(self.folder / _PLAN), self._plan
        before = before if isinstance(before, dict) else {}
        keys = [key for key in {**before, **plan} if before.get(key) != plan.get(key)]
        if keys:
            raise UserError(
                f"{self.folder}: cannot resume: {', '.join(keys)} changed since it was begun; "
                "remove that folder, or give another --out"
            )

    def has(self, number: int) -> bool:
        """Tell whether a part is there."""
        return self.path(number).exists()

    def path(self, number: int) -> Path:
        """Where a part lies."""
        return self.folder / f"{number:08d}{self._suffix}"

    def write(self, number: int, content: Any) -> None:
        """Write a part: a table (of the same columns as the others), or arrays by name.

        Raises:
            PartsError: the disk is full, or the folder cannot be written.
        """
        try:
            if not self.is_begun:
                write_json(self.folder / _PLAN, self._plan)
            write_bytes(self.path(number), self._format.encode(content, number == 0))
        except UserError as error:
            raise PartsError(str(error)) from None

    def discard(self) -> None:
        """Remove the parts at once: none is left without its plan."""
        if not self.is_begun:
            return
        aside = self.folder.with_name(f".{self.folder.name}-{uuid.uuid4().hex[:8]}.tmp")
        self.folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


class Parts(PartFolder):
    """A file that is written in parts.

    Attributes:
        out: the file; its extension is one of those of `ntjax.io.part_formats`.
        folder: where the parts lie until all are there.
        is_whole: whether the file is there already, of an earlier run with the same plan.

    Raises:
        UserError: as of `PartFolder`, or the file is there already.
    """

    def __init__(self, out: Path, plan: Mapping[str, Any], resume: bool = False):
        self.out, self.is_whole = out, False
        super().__init__(out, plan, resume, suffix_of(out))
        if not out.exists():
            return
        if not self.is_begun:
            raise UserError(f"{out} is there already: give another --out, or remove it")
        self.is_whole = self._is_joined()  # killed after the file was in place, or it is another
        if not self.is_whole:
            raise UserError(f"{out} is there, and not of the run that is to go on: remove it")
        self.discard()

    def _is_joined(self) -> bool:
        marker = self.folder / _JOINED
        return marker.exists() and read_json(marker) == {"bytes": self.out.stat().st_size}

    def join(self, count: int) -> None:
        """Put the file in its place and remove the parts, of which there are `count`.

        Raises:
            PartsError: the disk is full; the parts stay.
        """
        paths = [self.path(number) for number in range(count)]
        try:
            with written_atomically(self.out, sum(path.stat().st_size for path in paths)) as file:
                self._format.join(paths, file)
                file.seek(0, io.SEEK_END)
                write_json(self.folder / _JOINED, {"bytes": file.tell()})
        except UserError as error:
            raise PartsError(str(error)) from None
        self.discard()


@contextlib.contextmanager
def of_this_input(parts: PartFolder) -> Iterator[None]:
    """Remove the parts where the input turns out to be unusable: it has to be changed.

    They could not be gone on with, since they are of the input as it was.
    """
    try:
        yield
    except PartsError:
        raise
    except UserError:
        parts.discard()
        raise
