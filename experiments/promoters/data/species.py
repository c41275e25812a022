"""Promoters of twenty species, from iPro-MP's files: what stands in for the report's training set.

The report trained on the whole of PPD, and its file is not to be had. iPro-MP (GitHub,
Jackie-Suv/iPro-MP at 4266b52, `Benchmark Dataset`) took its promoters from PPD too: 81 letters,
-60 to +20 about the start site, against windows of coding sequence and between convergent genes.
Nothing of it is redistributed; the files are read from NTJAX_DATA_DIR, gzip-compressed or not.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ntjax.datasets.remote_files import DATA_FOLDER_VARIABLE
from ntjax.errors import UserError
from ntjax.io.fasta import read_fasta
from ntjax.io.tables import SequenceTable

FOLDER = "promoters/ipro_mp"
PARTS = ("Train", "Test")
PROMOTER, CDS, CONVERGENT = "promoter", "CDS", "convergent"
KINDS = (PROMOTER, CDS, CONVERGENT)
ECOLI, SHIGELLA = 10, 16
_WHOLE = re.compile("[ACGT]+")


class Species(NamedTuple):
    """A species of the files. Those of one `family` count as relatives."""

    name: str
    family: str


# By the number of its files; there is no 9, and no Train file of 2 and of 17.
SPECIES = {
    1: Species("Acinetobacter baumannii ATCC 17978", "Moraxellaceae"),
    2: Species("Bradyrhizobium japonicum USDA 110", "Nitrobacteraceae"),
    3: Species("Burkholderia cenocepacia J2315", "Burkholderiaceae"),
    4: Species("Campylobacter jejuni RM1221", "Campylobacteraceae"),
    5: Species("Campylobacter jejuni 81116", "Campylobacteraceae"),
    6: Species("Campylobacter jejuni 81-176", "Campylobacteraceae"),
    7: Species("Campylobacter jejuni NCTC 11168", "Campylobacteraceae"),
    8: Species("Corynebacterium diphtheriae NCTC 13129", "Corynebacteriaceae"),
    10: Species("Escherichia coli K-12 MG1655", "Enterobacteriaceae"),
    11: Species("Haloferax volcanii DS2", "Haloferacaceae"),
    12: Species("Helicobacter pylori 26695", "Helicobacteraceae"),
    13: Species("Nostoc sp. PCC 7120", "Nostocaceae"),
    14: Species("Paenibacillus riograndensis SBR5", "Paenibacillaceae"),
    15: Species("Pseudomonas putida KT2440", "Pseudomonadaceae"),
    16: Species("Shigella flexneri 5a M90T", "Enterobacteriaceae"),
    17: Species("Sinorhizobium meliloti 1021", "Rhizobiaceae"),
    18: Species("Staphylococcus aureus MW2", "Staphylococcaceae"),
    19: Species("Staphylococcus epidermidis ATCC 12228", "Staphylococcaceae"),
    20: Species("Synechococcus elongatus PCC 7942", "Synechococcaceae"),
    21: Species("Thermococcus kodakarensis KOD1", "Thermococcaceae"),
}


class Windows(NamedTuple):
    """Windows of one file.

    Attributes:
        sequences: by kind, of `KINDS`.
        dropped: how many hold another letter than A, C, G, T, and were left out.
    """

    sequences: dict[str, tuple[str, ...]]
    dropped: int


Archive = Mapping[tuple[int, str], Windows]
"""The files that are there, by species and part."""


def relatives_of(number: int) -> list[int]:
    """The other species of its family."""
    family = SPECIES[number].family
    return [n for n, other in SPECIES.items() if other.family == family and n != number]


def read_archive() -> Archive:
    """All files.

    Raises:
        UserError: `NTJAX_DATA_DIR` is not set or does not hold them, or a file is of a species
            that it should not be of.
    """
    folder = require_archive()
    found = {}
    for number in SPECIES:
        for part in PARTS:
            stem = folder / part / f"{number}_{part.lower()}.txt"
            path = next((p for p in (stem, Path(f"{stem}.gz")) if p.exists()), None)
            if path is not None:
                found[number, part] = _read(path, SPECIES[number])
    return found


def require_archive() -> Path:
    """The folder of the files.

    Raises:
        UserError: `NTJAX_DATA_DIR` is not set or does not hold it.
    """
    root = os.environ.get(DATA_FOLDER_VARIABLE)
    folder = Path(root or ".") / FOLDER
    if not root or not folder.is_dir():
        raise UserError(
            f"{folder}: not there: put `Benchmark Dataset/Train` and `/Test` of "
            f"https://github.com/Jackie-Suv/iPro-MP there, and set {DATA_FOLDER_VARIABLE} to "
            f"the folder that holds {FOLDER}"
        )
    return folder


def _read(path: Path, species: Species) -> Windows:
    records = [(record.name, record.sequence.upper()) for record in read_fasta(path)]
    genus = species.name.split()[0]
    if strange := next((name for name, _ in records if not name.startswith(genus)), None):
        raise UserError(f"{path}: holds '{strange}', and should be of {species.name}: replace it")
    return sorted_by_kind(records)


def sorted_by_kind(records: Iterable[tuple[str, str]]) -> Windows:
    """Headers (`SPECIES--n`, `SPECIES CDS--n`, `SPECIES Convergent--n`) and their sequences."""
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    dropped = 0
    for header, sequence in records:
        if _WHOLE.fullmatch(sequence):
            found[kind_of(header)].append(sequence)
        else:
            dropped += 1
    return Windows({kind: tuple(sequences) for kind, sequences in found.items()}, dropped)


def kind_of(header: str) -> str:
    """What a header says that its sequence is, of `KINDS`."""
    last = header.rpartition("--")[0].split()[-1]
    return {"CDS": CDS, "Convergent": CONVERGENT}.get(last, PROMOTER)


def promoters(archive: Archive, number: int) -> list[str]:
    """All promoters of a species, of both parts."""
    parts = [archive[number, part] for part in PARTS if (number, part) in archive]
    return [sequence for part in parts for sequence in part.sequences[PROMOTER]]


def random_letters(like: Sequence[str], seed: int) -> list[str]:
    """As many sequences of the same lengths, each letter drawn with the share it has in `like`."""
    text = np.frombuffer("".join(like).encode(), np.uint8)
    letters, counts = np.unique(text, return_counts=True)
    drawn = np.random.default_rng(seed).choice(letters, len(text), p=counts / len(text))
    whole, ends = drawn.tobytes().decode(), np.cumsum([len(sequence) for sequence in like])
    return [whole[end - len(own) : end] for own, end in zip(like, ends.tolist(), strict=True)]


def labelled(positives: Sequence[str], negatives: Sequence[str], source: str) -> SequenceTable:
    """A table of label 1, then of label 0."""
    count = len(positives) + len(negatives)
    return SequenceTable(
        names=tuple(f"row_{row}" for row in range(1, count + 1)),
        sequences=(*positives, *negatives),
        labels=("1",) * len(positives) + ("0",) * len(negatives),
        source=source,
        rows=tuple(range(1, count + 1)),
    )


def at_most(sequences: Sequence[str], count: int | None, seed: int) -> list[str]:
    """All of them if `count` is None or not below their number; else so many, drawn at random."""
    if count is None or count >= len(sequences):
        return list(sequences)
    rows = np.random.default_rng(seed).choice(len(sequences), count, replace=False)
    return [sequences[row] for row in np.sort(rows)]
