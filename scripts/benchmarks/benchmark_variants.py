"""Score every SNV of 1000 Genomes on 3 Mb of chromosome 20 with `mini`, and say how long it takes.

    python scripts/benchmarks/benchmark_variants.py

Windows of 204 bp, one phase, one strand. Reads the files of the folder `human` in NTJAX_DATA_DIR.
Writes `benchmark_variants.md` beside this file.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import tyro

from ntjax.io.variant_file import VariantFile

_SETTINGS = ("--model", "mini", "--window", "204", "--phases", "1", "--strands", "forward")
RESULT = Path(__file__).with_suffix(".md")
_QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Options:
    """Options of `python scripts/benchmarks/benchmark_variants.py`."""

    out: Path = RESULT
    """File of the result."""


def main() -> None:
    """Score, and write the result."""
    options, human = (
        tyro.cli(Options, description=__doc__),
        Path(os.environ["NTJAX_DATA_DIR"]) / "human",
    )
    with tempfile.TemporaryDirectory() as folder:
        variants, scores = Path(folder) / "snvs.vcf", Path(folder) / "scores.parquet"
        count = snvs(human / "chr20_1kg_1mb_4mb.sites.vcf.gz", variants)
        files = ("--variants", variants, "--genome", human / "chr20_b37.fa.gz", "--out", scores)
        command = [sys.executable, "-m", "ntjax.variants", *_SETTINGS, *map(str, files)]
        started = time.monotonic()
        subprocess.run(command, check=True)
        seconds = time.monotonic() - started
        table = pd.read_parquet(scores)
    options.out.write_text(described(table, count, seconds))


def snvs(source: Path, target: Path) -> int:
    """Copy the records of one exchanged base; returns how many."""
    with VariantFile(source) as file, target.open("w") as out:
        out.write(str(file.header))
        records = [r for r in file.records() if {*map(len, (r.reference, *r.alternatives))} == {1}]
        out.writelines(str(record.raw) for record in records)
    return len(records)


def described(table: pd.DataFrame, count: int, seconds: float) -> str:
    """Return the page."""
    scored = table[table["status"] == "scored"]
    names = ["cosine_similarity", "l2", "local_l2", "log_likelihood_ratio"]
    quantiles = scored[names].quantile(_QUANTILES)
    rows = [
        f"| {name} | " + " | ".join(f"{x:.4g}" for x in quantiles[name]) + " |" for name in names
    ]
    return (
        "# SNVs of chromosome 20 scored with `mini`\n\n"
        "Made by `python scripts/benchmarks/benchmark_variants.py`: 1000 Genomes, chr20:1–4 Mb, "
        "windows of 204 bp, one phase, forward strand.\n\n"
        f"{len(scored):,} of {count:,} SNVs scored in {seconds:.0f} s ({count / seconds:.0f} a "
        f"second) on {os.cpu_count()} CPU cores, with other work beside it; three passes of the "
        "model for each. `mini` has seen bacteria only: the scores show speed, not what a variant "
        "does.\n\n"
        "| score | 5% | median | 95% |\n|---|---:|---:|---:|\n" + "\n".join(rows) + "\n"
    )


if __name__ == "__main__":
    main()
