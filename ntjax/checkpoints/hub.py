"""Official weights from the Hugging Face Hub, into its own cache.

Only the two files of `jax_model/` are fetched, both of one commit. The Hub's cache folder, its
`HF_HUB_OFFLINE` and its other variables are honoured and never set here.

A repository on the Hub can change under its name. The commit of the first download is recorded and
asked for from then on, so that the same name gives the same weights on this machine, and a commit
that the Hub's cache holds needs no request at all.
"""

import json
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ntjax.checkpoints.official import HYPERPARAMETERS_FILE, WEIGHTS_FILE
from ntjax.errors import UserError
from ntjax.io.files import cache_folder, written_atomically

if TYPE_CHECKING:
    from huggingface_hub import HfFileMetadata

_ORGANISATION = "InstaDeepAI"
_FILES = (f"jax_model/{HYPERPARAMETERS_FILE}", f"jax_model/{WEIGHTS_FILE}")

# How long the first request may take. Without an answer the Hub's own client retries for longer
# than anybody waits, so the first request is made here, and once.
_TIMEOUT_SECONDS = 10

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Download:
    """A checkpoint on this machine.

    Attributes:
        folder: holds `jax_model/`.
        commit: the 40 hexadecimal digits of the repository's revision.
        sha256: of `pytree_ckpt.joblib` as published; None where the Hub does not say.
    """

    folder: Path
    commit: str
    sha256: str | None


def download(repository: str, revision: str | None, name: str) -> Download:
    """Fetch a published model, unless the Hub's cache has it already.

    Arguments:
        repository: on huggingface.co, of InstaDeepAI unless it names another organisation.
        revision: a commit (40 hexadecimal digits), which is never looked up again once it is in
            the cache, or a branch; None means `main`.
        name: the model's name, for messages.

    Without an answer within ten seconds, what the cache holds of that revision is used.

    Raises `UserError` that tells how to fetch the files by hand if that fails too.
    """
    repository = repository if "/" in repository else f"{_ORGANISATION}/{repository}"
    revision = revision or "main"
    if _COMMIT.fullmatch(revision) and (found := _from_cache(repository, revision)):
        return found
    try:
        return _from_hub(repository, revision)
    except Exception as error:  # of the Hub's client, its HTTP client, the disk
        if found := _from_cache(repository, revision):
            return found
        raise UserError(_by_hand(repository, name, error)) from None


def _from_cache(repository: str, revision: str) -> Download | None:
    """What the Hub's cache holds; nothing is requested."""
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(repository, file, revision=revision) for file in _FILES]
    paths = [path for path in found if isinstance(path, str)]
    return _downloaded(Path(paths[1]), None) if len(paths) == len(_FILES) else None


def _from_hub(repository: str, revision: str) -> Download:
    """Ask for `revision` once, then fetch both files, the second of the first one's commit."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    url = hf_hub_url(repository, _FILES[1], revision=revision)
    metadata = get_hf_file_metadata(url, timeout=_TIMEOUT_SECONDS)
    for file in _FILES:
        path = Path(
            hf_hub_download(repository, file, revision=revision, etag_timeout=_TIMEOUT_SECONDS)
        )
        revision = _snapshot(path).name
    return _downloaded(path, metadata)


def _snapshot(file: Path) -> Path:
    """The folder of a commit in the Hub's cache, which is laid out `COMMIT/jax_model/FILE`."""
    return file.parent.parent


def _downloaded(weights: Path, metadata: "HfFileMetadata | None") -> Download:
    """What was found; in the Hub's cache a large file is a link to one named by its SHA-256."""
    folder = _snapshot(weights)
    digest = weights.resolve().name
    if metadata is not None and metadata.commit_hash == folder.name:
        digest = metadata.etag or digest  # where the system has no links
    return Download(folder, folder.name, digest if _SHA256.fullmatch(digest) else None)


def _by_hand(repository: str, name: str, error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    reason = textwrap.shorten(text.split("\n")[0], 160, placeholder=" ...")
    return (
        f"could not download {name} ({reason}): put {HYPERPARAMETERS_FILE} and {WEIGHTS_FILE} "
        f"from https://huggingface.co/{repository}/tree/main/jax_model into "
        f"models/{name}/jax_model/ and pass --model models/{name}"
    )


def pinned_commit(repository: str) -> str | None:
    """The recorded commit of a repository, or None.

    Raises:
        UserError: the record is damaged.
    """
    return _pins().get(repository)


def pin(repository: str, commit: str) -> None:
    """Record a repository's commit.

    Raises:
        UserError: the cache folder cannot be written.
    """
    data = json.dumps(_pins() | {repository: commit}, indent=1).encode()
    with written_atomically(
        _pins_file(), len(data), "set NTJAX_CACHE_DIR to another folder"
    ) as file:
        file.write(data)


def _pins_file() -> Path:
    return cache_folder() / "revisions.json"


def _pins() -> dict[str, str]:
    path = _pins_file()
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
