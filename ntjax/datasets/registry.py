"""Named data sets: where their files come from, and how they are made ready.

Files are read from a folder of the user's, from the cache or from their public address, in this
order, and their SHA-256 must match. Only `ecoli_coding_strand`, whose genome may be redistributed,
comes with the package.
"""

import difflib
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from ntjax.checkpoints.cache import sha256
from ntjax.datasets import coding_strand
from ntjax.datasets.reverse_complements import ReverseComplement
from ntjax.datasets.simulated import simulated_task
from ntjax.errors import UserError
from ntjax.genomes.windows import PROMOTER_WINDOW, RecordedWindows
from ntjax.io.files import cache_folder
from ntjax.io.tables import SequenceTable, read_table
from ntjax.leakage.kmer_groups import KMER_LENGTH, rows_sharing_kmers

DATA_FOLDER_VARIABLE = "NTJAX_DATA_DIR"
CACHE_FOLDER_VARIABLE = "NTJAX_CACHE_DIR"
OFFLINE_VARIABLE = "NTJAX_OFFLINE"

PROMOTER = "1"

_TIMEOUT_SECONDS = 20  # without a byte; a download may take as long as it likes
_CHUNK_BYTES = 1 << 18

Protocol = Literal["clean", "published"]


@dataclass(frozen=True)
class RemoteFile:
    """A public file, pinned."""

    path: str
    """Below `NTJAX_DATA_DIR`, or below `datasets/` in the cache."""
    url: str
    sha256: str
    size: int
    """Bytes."""


@dataclass(frozen=True)
class DatasetSplits:
    """A data set ready for use."""

    name: str
    protocol: Protocol
    train: SequenceTable
    test: SequenceTable
    description: str
    notes: tuple[str, ...]
    """What was removed and why, with counts, and what to keep in mind about the result."""
    validation: SequenceTable | None = None
    """Rows that choose the checkpoint; None where they are set aside from the training rows."""
    calibration: SequenceTable | None = None
    """Rows that fit the calibration; None where they are set aside from the training rows."""


@dataclass(frozen=True)
class Dataset:
    """A named data set: what it is, and how to make it ready."""

    name: str
    description: str
    licence: str
    citation: str
    files: tuple[RemoteFile, ...]
    """Training, then test file; empty for data that are bundled or made."""
    load: Callable[["Dataset", Protocol], DatasetSplits]
    reverse_complement: ReverseComplement = "none"
    """Whether the reverse complement of a row is a row of the same label, or of the other one."""
    windows: RecordedWindows | None = None
    """Where the site lies in a row, and what the negatives are; None of rows without a site."""


def load_dataset(name: str, protocol: Protocol = "clean") -> DatasetSplits:
    """Load a data set by its name.

    Arguments:
        name: one of `DATASETS`.
        protocol: "published" takes the rows as their authors split them; "clean" removes the
            training rows that share a 16-mer, on either strand, with a test promoter.

    Raises:
        UserError: unknown name or protocol; a file is not to be had, or is not the file it
            should be.
    """
    if name not in DATASETS:
        raise UserError(f"there is no data set {name!r}: {_suggestion(name, list(DATASETS))}")
    protocols = ["clean", "published"]
    if protocol not in protocols:
        raise UserError(f"there is no protocol {protocol!r}: {_suggestion(protocol, protocols)}")
    dataset = DATASETS[name]
    return dataset.load(dataset, protocol)


def find_file(file: RemoteFile) -> Path:
    """Find a file of a data set on this machine, or download it into the cache.

    Looks in `NTJAX_DATA_DIR`, then in `datasets/` of the cache (`NTJAX_CACHE_DIR`, else
    `$XDG_CACHE_HOME/ntjax`, else `~/.cache/ntjax`). `NTJAX_OFFLINE=1` forbids the download.

    Raises:
        UserError: the file is not to be had, or its SHA-256 differs.
    """
    own_folder = os.environ.get(DATA_FOLDER_VARIABLE)
    if own_folder and not Path(own_folder).expanduser().is_dir():
        raise UserError(f"{DATA_FOLDER_VARIABLE}={own_folder} is not a folder: correct or unset it")
    if own_folder and (path := Path(own_folder).expanduser() / file.path).is_file():
        _check_sha256(path, file, str(path), f"replace it by {file.url}")
        return path
    path = cache_folder() / "datasets" / file.path
    if path.is_file():
        _check_sha256(path, file, str(path), "delete it, and it is downloaded again")
        return path
    _download(file, path)
    return path


def _suggestion(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}"


def _check_sha256(path: Path, file: RemoteFile, shown: str, remedy: str) -> None:
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
        while chunk := response.read(_CHUNK_BYTES):
            write(chunk)
            progress.update(len(chunk))


def _load_ecoli_promoters(dataset: Dataset, protocol: Protocol) -> DatasetSplits:
    train, test = (read_table(find_file(file)) for file in dataset.files)
    train, notes = _against_test_promoters(train, test, protocol)
    return DatasetSplits(
        name=dataset.name,
        protocol=protocol,
        train=train,
        test=test,
        description=dataset.description,
        notes=(
            *notes,
            "the test negatives are independent random letters: any model of natural DNA tells "
            "them from promoters (a Markov chain of order 5 of the genome: AUROC 0.836), so a "
            "good score here is not yet promoter recognition",
            "in the training set the negatives are richer in G and C than the promoters (0.485 "
            "against 0.445), in the test set they are not (0.40 both)",
        ),
    )


def _against_test_promoters(
    train: SequenceTable, test: SequenceTable, protocol: Protocol
) -> tuple[SequenceTable, list[str]]:
    """Remove (clean) or only count (published) training rows related to a test promoter."""
    promoters = [
        sequence
        for sequence, label in zip(test.sequences, test.labels, strict=True)
        if label == PROMOTER
    ]
    related = rows_sharing_kmers(train.sequences, promoters)
    positive = int(related[np.array(train.labels) == PROMOTER].sum())
    counted = (
        f"{related.sum():,} of {len(train):,} training rows ({positive:,} promoters, "
        f"{related.sum() - positive:,} negatives) share a {KMER_LENGTH}-mer with a test promoter, "
        "on either strand"
    )
    if protocol == "published":
        overlap = len(set(promoters) & set(train.sequences))
        return train, [
            f"{counted}, and stay: {overlap:,} of the {len(set(promoters)):,} distinct test "
            "promoters stand verbatim in the training set, so test results are too good; use "
            "--protocol clean for honest ones"
        ]
    kept = train.take(np.flatnonzero(~related))
    return kept, [f"{counted}, and were removed; {len(kept):,} rows are left"]


def _load_simulated_sigma70(dataset: Dataset, protocol: Protocol) -> DatasetSplits:
    task = simulated_task()
    note = "training and test rows are independent draws: both protocols give the same rows"
    return DatasetSplits(
        dataset.name, protocol, task.train, task.test, dataset.description, (note,)
    )


def _load_ecoli_coding_strand(dataset: Dataset, protocol: Protocol) -> DatasetSplits:
    notes = (
        "a 3-periodic Markov chain, as in gene finders, solves this task (AUROC 1.000): a good "
        "score shows that the pipeline works, not that a transformer is needed",
        "parts are whole blocks of 50 kb of the genome: both protocols give the same rows",
    )
    tables = coding_strand.load()
    return DatasetSplits(
        dataset.name,
        protocol,
        tables["train"],
        tables["test"],
        dataset.description,
        notes,
        tables["validation"],
        tables["calibration"],
    )


_PROKPROMPRED = (
    "https://raw.githubusercontent.com/manjot-nagyal/prokprompred/"
    "aa103e3eca277f80f6ac7e69b7af26de5aa14790/Bioinformatics_Project/PPD"
)

_ALL = (
    Dataset(
        name="ecoli_promoters",
        description=(
            "Escherichia coli K-12 promoters (PPD) against random sequences, 81 letters, −60 to "
            "+20 about the transcription start site; the test set is 865 σ70 promoters "
            "(RegulonDB) and 1,000 random sequences (Cassiano & Silva-Rocha 2020)"
        ),
        licence=(
            "PPD and RegulonDB are free for academic use; the repository states no licence. "
            "Nothing is redistributed with ntjax"
        ),
        citation=(
            "Su et al. 2021, PPD: a manually curated database for experimentally verified "
            "prokaryotic promoters, J Mol Biol; Cassiano & Silva-Rocha 2020, Benchmarking "
            "bacterial promoter prediction tools, mSystems; files by way of "
            "github.com/manjot-nagyal/prokprompred"
        ),
        files=(
            RemoteFile(
                path="promoters/prokprompred/train_coli.csv",
                url=f"{_PROKPROMPRED}/train_data/train_coli.csv",
                sha256="2848e8612e5f38b276e4fe8948153b33e5213dd16d76a28aaee36df8618a34d0",
                size=1_550_900,
            ),
            RemoteFile(
                path="promoters/prokprompred/test.csv",
                url=f"{_PROKPROMPRED}/test_data/test.csv",
                sha256="2d80c111eff675eb5227c1b7188cf71ed56caa58283c8fe55982e71e216267d5",
                size=163_920,
            ),
        ),
        load=_load_ecoli_promoters,
        windows=RecordedWindows(PROMOTER_WINDOW, "iid"),
    ),
    Dataset(
        name="simulated_sigma70",
        description=(
            "simulated σ70 promoters with known −35 and −10 boxes against the same with shuffled "
            "boxes, 81 letters, −60 to +20 about the transcription start site"
        ),
        licence="generated by ntjax, nothing to license",
        citation="ntjax.datasets.simulated",
        files=(),
        load=_load_simulated_sigma70,
        windows=RecordedWindows(PROMOTER_WINDOW, "shuffled"),
    ),
    Dataset(
        name=coding_strand.NAME,
        description=(
            "300-bp windows inside coding sequences of Escherichia coli K-12 MG1655 "
            "(NC_000913.3); the label is the strand of the gene: 1,000 training, 250 validation, "
            "250 calibration and 2,000 test windows, half of them of each strand"
        ),
        licence="public domain: NCBI RefSeq NC_000913.3 (ASM584v2), bundled with ntjax",
        citation=(
            "Blattner et al. 1997, The complete genome sequence of Escherichia coli K-12, Science "
            "277:1453; annotation: NCBI RefSeq"
        ),
        files=(),
        load=_load_ecoli_coding_strand,
        reverse_complement="flip-label",
    ),
)

DATASETS = {dataset.name: dataset for dataset in _ALL}
"""All data sets by name."""
