"""What commands share that read rows and write a file in parts."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ntjax.io.parts import PartFolder, Parts
from ntjax.io.row_stream import RowStream, fingerprint_of
from ntjax.io.standard_input import STDIN, called, input_file
from ntjax.runs.record import versions
from ntjax.sequences.alphabet import Ambiguous, counted


class RowOptions(Protocol):
    """The options that such commands have in common."""

    input: str
    out: Path
    sequence_column: str
    name_column: str
    ambiguous: Ambiguous
    resume: bool


class Written(Protocol):
    """What a command has written: rows, parts that were there already, notes for the user."""

    rows: int
    resumed: int
    notes: tuple[str, ...]


W = TypeVar("W", bound=Written)


def write_in_parts(
    what: str,
    options: RowOptions,
    plan: Callable[[], Mapping[str, Any]],
    write: Callable[[RowStream, Parts, int], W],
) -> W | None:
    """Open the input, write what is missing, and say what was written.

    Arguments:
        what: is written, for the user.
        options: of the command.
        plan: gives what decides the content of the file beside the input; asked for once that can
            be read.
        write: writes the parts of a stream, of about so many rows, and joins them.

    Returns:
        What `write` gives; None if all was there.

    Raises:
        UserError: bad input.
    """
    with input_file(options.input, options.out, options.resume) as path:
        stream = RowStream(
            path, options.sequence_column, options.name_column, ambiguous=options.ambiguous
        )
        fingerprint, rows = fingerprint_of(path)
        whole_plan = {"input": fingerprint, **versions(["ntjax"]), **plan()}
        parts = Parts(options.out, whole_plan, options.resume)
        if parts.is_whole:
            print(f"{what}: {options.out} (all were there)")
            return None
        with resumable(parts, can_resume=options.input != STDIN):
            found = write(stream, parts, rows)
        for note in found.notes:
            print(f"note: {called(note, options.input, path)}")
    there = f"; {counted(found.resumed, 'part')} of it were there" if found.resumed else ""
    print(f"{what}: {options.out} ({counted(found.rows, 'row')}{there})")
    return found


@contextlib.contextmanager
def resumable(parts: PartFolder, can_resume: bool) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a command, and say what is kept.

    Arguments:
        parts: of the file.
        can_resume: whether the input can be read again. If not, no part is kept.
    """

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        kept = f"; {parts.folder} keeps what is done: go on with --resume"
        print(f"stopped{kept if can_resume and parts.is_begun else ''}", file=sys.stderr)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, before)
        if not can_resume:
            parts.discard()
