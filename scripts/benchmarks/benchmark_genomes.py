"""How fast genomes are read, and in how much memory a large one is trained on.

    python scripts/benchmarks/benchmark_genomes.py                 # about ten minutes on two cores
    python scripts/benchmarks/benchmark_genomes.py --steps 0       # reading alone: one minute

A random FASTA of 200 MB is written to a temporary folder, indexed, and drawn from: windows and
tokens a second of the input alone, masks included, and the memory of the process before and after
(reading is one thread, so its times are the processor's, which other programs disturb less).
Then `python -m ntjax.pretrain` trains on it and on one of 5 MB: tokens a second, and by how much
the large one's peak memory is above the small one's. Expected: reading is at least 5 times faster
than training consumes, and the peaks lie less than 2 GiB apart. Writes
scripts/benchmarks/benchmark_genomes.md and .json.
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from ntjax.datasets.masking import MaskedBatches, Masking
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.regions import whole_genome
from ntjax.genomes.windows import WindowSampler
from ntjax.reports.markdown import markdown_table
from ntjax.sequences.tokenizer import Tokenizer

HERE = Path(__file__).parent
LINE, CONTIG = 60, 25_000_000
SMALL_MEGABYTES = 5
MASKED_WINDOWS_AT_ONCE = 32
GIBIBYTE = 1 << 20  # in kB, as /proc and getrusage count


def main() -> None:
    """Measure and write the table."""
    options = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NTJAX_CACHE_DIR"] = str(Path(folder) / "cache")
        large, small = Path(folder) / "large.fa", Path(folder) / "small.fa"
        write_fasta(large, options.megabytes)
        results: dict[str, Any] = {"reading": measure_reading(large, options)}
        if options.steps:
            write_fasta(small, min(SMALL_MEGABYTES, options.megabytes))
            results["training"] = {
                path.stem: train(path, Path(folder), options) for path in (small, large)
            }
    report = table(options, results)
    print(report)
    options.out.with_suffix(".md").write_text(report)
    kept = {name: value for name, value in vars(options).items() if name not in ("model", "out")}
    content = {"machine": machine(), "model": Path(options.model).stem, **kept, **results}
    options.out.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time the reading of genomes.")
    parser.add_argument("--megabytes", type=int, default=200, help="size of the FASTA file")
    parser.add_argument("--windows", type=int, default=100_000, help="windows to draw")
    parser.add_argument("--window-tokens", type=int, default=128, help="tokens of a window")
    parser.add_argument("--model", default="mini", help="as for ntjax.pretrain")
    parser.add_argument("--steps", type=int, default=30, help="training steps, 30 or more; 0: none")
    parser.add_argument("--out", type=Path, default=HERE / "benchmark_genomes.md")
    return parser.parse_args()


def write_fasta(path: Path, megabytes: int) -> None:
    """Random letters in lines of 60 and contigs of 25 million, with a run of N in each."""
    random = np.random.default_rng(megabytes)
    left, number = megabytes * 1_000_000, 0
    with path.open("wb") as file:
        while left > 0:
            letters = random.choice(np.frombuffer(b"ACGT", np.uint8), min(left, CONTIG))
            letters[:: len(letters) // 20][1:2] = ord("N")
            letters[1000 : min(51_000, len(letters) // 2)] = ord("N")
            whole = letters[: len(letters) // LINE * LINE].reshape(-1, LINE)
            ends = np.full((len(whole), 1), ord("\n"), np.uint8)
            file.write(f">contig{number}\n".encode())
            file.write(np.hstack([whole, ends]).tobytes())
            left, number = left - CONTIG, number + 1


def measure_reading(path: Path, options: argparse.Namespace) -> dict[str, float]:
    """Seconds to index a genome, then speed and memory of drawing windows of it."""
    start = time.process_time()
    genome = open_genome(path)
    indexed = time.process_time() - start
    tokenizer = Tokenizer.for_vocabulary_size(4107, 6)
    region = whole_genome(genome)
    sampler = WindowSampler([region], None, tokenizer, options.window_tokens, seed=0)
    rows = MASKED_WINDOWS_AT_ONCE
    batches = MaskedBatches(sampler, Masking(tokenizer), rows, rows, seed=0)
    batches.batch(0)  # builds the tables of the vocabulary
    before = memory()
    start = time.process_time()
    steps = -(-options.windows // rows)
    for step in range(steps):
        batches.batch(step)
    seconds = time.process_time() - start
    after = memory()
    return {
        "nucleotides": len(genome.letters),
        "index_seconds": indexed,
        "windows_per_second": steps * rows / seconds,
        "tokens_per_second": steps * rows * options.window_tokens / seconds,
        "anonymous_kb": [before["RssAnon"], after["RssAnon"]],
        "mapped_kb": [before["RssFile"], after["RssFile"]],
    }


def memory() -> dict[str, int]:
    """Resident memory of this process in kB, by kind."""
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) for name in ("RssAnon", "RssFile")}


def train(path: Path, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Speed and peak memory of `python -m ntjax.pretrain` on a genome."""
    out = folder / f"run-{path.stem}"
    command = [sys.executable, "-m", "ntjax.pretrain", "--genomes", path, "--out", out]
    command += ["--model", options.model, "--window-tokens", options.window_tokens]
    # A line every ten steps: the first ten hold the compilation, the last ten the evaluation.
    command += ["--steps", options.steps, "--evaluate-every", options.steps]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"training ended with exit code {process.returncode}")
    settings = json.loads((out / "config.json").read_text())["settings"]
    lines = [json.loads(line) for line in (out / "timing.jsonl").read_text().splitlines()]
    first, last = lines[0], lines[-2]
    updates_per_second = (last["step"] - first["step"]) / (last["seconds"] - first["seconds"])
    return {
        "tokens_per_second": updates_per_second * settings["tokens_per_update"],
        "peak_kb": usage.ru_maxrss,
    }


def table(options: argparse.Namespace, results: dict[str, Any]) -> str:
    """The results as Markdown."""
    reading = results["reading"]
    (anonymous, anonymous_after), (mapped, mapped_after) = (
        reading["anonymous_kb"],
        reading["mapped_kb"],
    )
    rows = [
        ("indexing, once", f"{reading['index_seconds']:.1f} s"),
        ("windows read and masked", f"{reading['windows_per_second']:,.0f} a second"),
        ("tokens read and masked", f"{reading['tokens_per_second']:,.0f} a second"),
        ("memory after " + f"{options.windows:,} windows, own", change(anonymous, anonymous_after)),
        ("the same, of the mapped file", change(mapped, mapped_after)),
    ]
    if training := results.get("training"):
        small, large = training["small"], training["large"]
        ratio = reading["tokens_per_second"] / large["tokens_per_second"]
        above = (large["peak_kb"] - small["peak_kb"]) / GIBIBYTE
        rows += [
            ("tokens trained on", f"{large['tokens_per_second']:,.0f} a second"),
            ("reading against training", f"{ratio:,.0f} times faster"),
            ("peak memory of training", f"{large['peak_kb'] / GIBIBYTE:.2f} GiB"),
            (f"above that with {SMALL_MEGABYTES} MB", f"{above:.2f} GiB"),
        ]
    about = machine()
    head = (
        f"{options.megabytes} MB of FASTA ({reading['nucleotides']:,} letters), windows of "
        f"{options.window_tokens} tokens, model {Path(options.model).stem}; {about['cores']} cores "
        f"({about['processor']}), jax {about['jax']}, {about['date']}. "
        "`python scripts/benchmarks/benchmark_genomes.py`"
    )
    return "\n".join([head, "", *markdown_table(["", ""], rows), ""])


def change(before: int, after: int) -> str:
    """Two amounts of memory in kB as text."""
    return f"{before / 1024:,.0f} → {after / 1024:,.0f} MiB"


def machine() -> dict[str, Any]:
    """What it was measured on."""
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "jax": version("jax"),
        "date": datetime.date.today().isoformat(),
    }


if __name__ == "__main__":
    main()
