"""Which commit of a published model this machine uses: that of its first download.

A repository on the Hub can change under its name. What is recorded here is asked for from then
on, so that the same name gives the same weights, and a commit that the Hub's cache holds needs no
request at all.
"""

import json
from pathlib import Path

from ntjax.errors import UserError
from ntjax.io.files import cache_folder, written_atomically


def pinned_commit(repository: str) -> str | None:
    """The recorded commit of a repository, or None.

    Raises:
        UserError: the record is damaged.
    """
    return _read().get(repository)


def pin(repository: str, commit: str) -> None:
    """Record a repository's commit.

    Raises:
        UserError: the cache folder cannot be written.
    """
    data = json.dumps(_read() | {repository: commit}, indent=1).encode()
    with written_atomically(_file(), len(data), "set NTJAX_CACHE_DIR to another folder") as file:
        file.write(data)


def _file() -> Path:
    return cache_folder() / "revisions.json"


def _read() -> dict[str, str]:
    path = _file()
    try:
        pins = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        pins = None
    if not isinstance(pins, dict) or not all(isinstance(commit, str) for commit in pins.values()):
        raise UserError(
            f"{path}: the record of downloaded revisions is damaged: delete it, and give "
            "--model NAME@COMMIT if a certain revision matters"
        )
    return pins
