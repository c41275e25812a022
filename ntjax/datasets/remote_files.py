"""Public files that data sets are read from: found on this machine, or downloaded, and checked."""

import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from tqdm import tqdm

from ntjax.checkpoints.cache import sha256
from ntjax.errors import UserError
from ntjax.io.files import cache_folder

DATA_FOLDER_VARIABLE = "NTJAX_DATA_DIR"
CACHE_FOLDER_VARIABLE = "NTJAX_CACHE_DIR"
OFFLINE_VARIABLE = "NTJAX_OFFLINE"

_TIMEOUT_SECONDS = 20  # without a byte; a download may take as long as it likes
_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class RemoteFile:
    """A public file, pinned.

    Attributes:
        path: below `NTJAX_DATA_DIR`, or below `datasets/` in the cache.
        url: address, of a fixed revision.
        sha256: what its content must have; None where only the revision is pinned.
        size: in bytes; None where it is not known.
    """

    path: str
    url: str
    sha256: str | None = None
    size: int | None = None


def own_folder() -> Path | None:
    """Return the folder of the user's own copies, `NTJAX_DATA_DIR`; None where it is not set.

    Raises:
        UserError: there is no such folder.
    """
    given = os.environ.get(DATA_FOLDER_VARIABLE)
    if not given:
        return None
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise UserError(f"{DATA_FOLDER_VARIABLE}={given} is not a folder: correct or unset it")
    return folder


def find_file(file: RemoteFile) -> Path:
    """Find a file of a data set on this machine, or download it into the cache.

    Looks in `NTJAX_DATA_DIR`, then in `datasets/` of the cache (`NTJAX_CACHE_DIR`, else
    `$XDG_CACHE_HOME/ntjax`, else `~/.cache/ntjax`). `NTJAX_OFFLINE=1` forbids the download.

    Raises:
        UserError: the file is not to be had, or its SHA-256 differs.
    """
    own = own_folder()
    if own and (path := own / file.path).is_file():
        _check_sha256(path, file, str(path), f"replace it by {file.url}")
        return path
    path = cache_folder() / "datasets" / file.path
    if path.is_file():
        _check_sha256(path, file, str(path), "delete it, and it is downloaded again")
        return path
    _download(file, path)
    return path


def _check_sha256(path: Path, file: RemoteFile, shown: str, remedy: str) -> None:
    if file.sha256 is None:
        return
    found = sha256(path)
    if found != file.sha256:
        raise UserError(
            f"{shown}: not the expected file: SHA-256 {found}, expected {file.sha256}: {remedy}"
        )


def _download(file: RemoteFile, path: Path) -> None:
    by_hand = f"download {file.url} yourself and put it at {path}"
    if os.environ.get(OFFLINE_VARIABLE, "0") not in ("", "0"):
        raise UserError(
            f"{file.path} is not on this machine and {OFFLINE_VARIABLE} is set: {by_hand}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    except OSError as error:
        raise UserError(
            f"{path.parent}: can't be written ({error.strerror}): set {CACHE_FOLDER_VARIABLE} to a "
            "folder that can"
        ) from error
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as target:
            _copy_url(file, target.write)
        _check_sha256(partial, file, file.url, f"the download broke off, try again, or {by_hand}")
        partial.chmod(0o644)  # mkstemp lets only the owner read
        partial.replace(path)
    except (OSError, HTTPException) as error:
        raise UserError(
            f"{file.url}: download failed ({_reason(error)}): try again, or {by_hand}"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _reason(error: Exception) -> object:
    if isinstance(error, urllib.error.HTTPError):
        error.close()  # it is the server's answer, too, and holds the connection
        return error
    return getattr(error, "reason", error)


def _copy_url(file: RemoteFile, write: Callable[[bytes], object]) -> None:
    label = Path(file.path).name
    with (
        urllib.request.urlopen(file.url, timeout=_TIMEOUT_SECONDS) as response,
        tqdm(total=file.size, unit="B", unit_scale=True, desc=label, disable=None) as progress,
    ):
        missing = int(response.headers.get("Content-Length") or 0)
        while chunk := response.read(_CHUNK_BYTES):
            write(chunk)
            progress.update(len(chunk))
            missing -= len(chunk)
        if missing > 0:  # urllib says nothing when the connection ends early
            raise ConnectionError(f"it broke off {missing:,} bytes before its end")
