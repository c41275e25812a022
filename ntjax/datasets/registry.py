"""Named data sets: where their files come from, and how they are made ready.

Files are read from a folder of the user's, from the cache or from their public address, in this
order, and their SHA-256 must match. Only `ecoli_coding_strand`, whose genome may be redistributed,
comes with the package.
"""

import difflib
from pathlib import Path

import numpy as np

from ntjax.datasets import coding_strand, nt_benchmark
from ntjax.datasets.named_dataset import Dataset, DatasetSplits, Protocol
from ntjax.datasets.remote_files import RemoteFile, find_file
from ntjax.datasets.simulated import simulated_task
from ntjax.errors import UserError
from ntjax.genomes.windows import PROMOTER_WINDOW, RecordedWindows
from ntjax.io.tables import SequenceTable, read_table
from ntjax.leakage.kmer_groups import KMER_LENGTH, rows_sharing_kmers

PROMOTER = "1"


def load_dataset(name: str, protocol: Protocol = "clean") -> DatasetSplits:
    """Load a data set by its name.

    Arguments:
        name: one of `DATASETS`.
        protocol: "published" takes the rows as their authors split them; "clean" removes the
            training rows that share a 16-mer, on either strand, with a test promoter (of the
            Nucleotide Transformer's tasks: a k-mer with any test row).

    Raises:
        UserError: unknown name or protocol; a file is not to be had, or is not the file it
            should be.
    """
    if name not in DATASETS:
        raise UserError(f"there is no data set {name!r}: {suggested_dataset(name)}")
    protocols = ["clean", "published"]
    if protocol not in protocols:
        raise UserError(f"there is no protocol {protocol!r}: {_suggestion(protocol, protocols)}")
    dataset = DATASETS[name]
    return dataset.load(dataset, protocol)


def suggested_dataset(name: str) -> str:
    """Say which data set may have been meant, or which ones there are."""
    near = difflib.get_close_matches(name, DATASETS, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    plain = [known for known in DATASETS if known not in nt_benchmark.TASKS]
    return f"data sets are {', '.join(plain)}, and {nt_benchmark.HOW_TO_NAME}"


def require_data(name: str, shown: str) -> None:
    """Refuse what is neither a data set nor a file, nor looks like one.

    Arguments:
        name: as the user gave it.
        shown: what messages call it, such as `--train NAME`.

    Raises:
        UserError: says which data set may have been meant.
    """
    if name not in DATASETS and not Path(name).exists() and not Path(name).suffix:
        hint = suggested_dataset(name)
        raise UserError(f"{shown}: there is no such file or data set; {hint}")


def _suggestion(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}"


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
    *nt_benchmark.datasets(),
)

DATASETS = {dataset.name: dataset for dataset in _ALL}
"""All data sets by name."""
