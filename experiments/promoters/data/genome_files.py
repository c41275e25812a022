"""Where the genome of *E. coli* K-12 and its annotation are."""

import os
from pathlib import Path

from ntjax.datasets.remote_files import DATA_FOLDER_VARIABLE
from ntjax.errors import UserError

K12 = "genomes/ecoli_k12_mg1655.fna.gz"


def find_genome(path: Path | None) -> Path:
    """The genome of *E. coli* K-12 (NC_000913.3).

    Raises:
        UserError: no path is given, and `NTJAX_DATA_DIR` is not set.
    """
    if path:
        return path
    if folder := os.environ.get(DATA_FOLDER_VARIABLE):
        return Path(folder) / K12
    raise UserError(
        f"give --genome FILE: E. coli K-12 (NC_000913.3), or set {DATA_FOLDER_VARIABLE}"
    )


def find_annotation(genome: Path) -> Path:
    """The annotation beside the genome: its genes, as GFF3."""
    name = genome.name.removesuffix(".gz").rpartition(".")[0]
    return genome.with_name(f"{name}.gff.gz")
