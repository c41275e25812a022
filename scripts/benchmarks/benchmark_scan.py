"""Scan a genome with `mini`: windows per second beside PyTorch + transformers, and peak memory.

    python scripts/benchmarks/benchmark_scan.py

A run of `mini` with IA³ and the `cls` head is exported for transformers. Both sides score the same
windows of 81 bp on both strands of a made genome, in turn, several times, each from the genome's
text to a probability for every window. Memory is that of the whole command on two genomes, the
second four times as long. Writes `benchmark_scan.md` beside this file.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

import ntjax
from ntjax.evaluation.scan import ClassScore, read_scores, scan
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.scan_grid import ScanGrid
from ntjax.genomes.windows import WindowGeometry
from ntjax.io.parts import PartFolder
from ntjax.runs.export import export_esm

HERE = Path(__file__).parent
GEOMETRY, STRIDE = WindowGeometry(60, 20), 8
COMPLEMENT = str.maketrans("ACGT", "TGCA")


@dataclass(frozen=True)
class Options:
    """Options of `python scripts/benchmarks/benchmark_scan.py`."""

    bases: int = 200_000
    """Of the genome; memory is measured on one four times as long too."""
    repeats: int = 5
    """Of each side."""
    batch: int = 256
    """Windows that PyTorch scores at once."""
    out: Path = HERE / "benchmark_scan.md"
    """File of the table."""
    memory_of: tuple[str, ...] = ()
    """Run and genome: only scan, and print the peak memory."""


def made_genome(path: Path, bases: int) -> Path:
    """Write a contig of random bases."""
    letters = np.random.default_rng(0).choice(list("ACGT"), bases)
    path.write_text(f">made\n{''.join(letters)}\n")
    return path


def trained(folder: Path) -> Path:
    """Train for a step: what a scan costs does not depend on the weights."""
    random = np.random.default_rng(1)
    rows = ["".join(row) for row in random.choice(list("ACGT"), (400, GEOMETRY.length()))]
    labels = ["yes", "no"] * 200
    settings = {"adapter": "ia3", "head": "cls", "steps": 1, "out": folder / "run"}
    settings["calibration_fraction"] = 0.0  # ESM has no place for a calibration
    export_esm(ntjax.fine_tune("mini", (rows, labels), **settings), folder / "esm")
    return folder / "run"


class OurSide:
    """Scans with ntjax, parts on disk included."""

    def __init__(self, folder: Path, genome: Path):
        self.folder, self.score = folder, ClassScore(ntjax.load_run(folder / "run"), 1)
        self.grid = ScanGrid(open_genome(genome), GEOMETRY, STRIDE)

    def probabilities(self) -> np.ndarray:
        """Return those of all forward windows, then of the reverse ones."""
        parts = PartFolder(self.folder / "scan", {}, False, ".npz")
        scan(self.score, self.grid, parts)
        scored = list(read_scores(self.grid, parts))
        parts.discard()
        reverse = np.concatenate([part.sites.reverse for part in scored])
        values = np.concatenate([part.probabilities for part in scored])
        return np.concatenate([values[~reverse], values[reverse]])


class TorchSide:
    """Scans with PyTorch + transformers.

    Tokens are those of `EsmTokenizer` where `tokenizes`; otherwise they were made beforehand, and
    the model alone is timed.
    """

    def __init__(self, folder: Path, genome: Path, batch: int, tokenizes: bool):
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        torch.set_num_threads(os.cpu_count() or 1)
        self.torch, self.batch = torch, batch
        self.text = genome.read_text().split("\n")[1]
        self.model = AutoModelForSequenceClassification.from_pretrained(folder / "esm").eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "esm")
        self.tokens = None if tokenizes else self._tokens(self._windows())

    def _windows(self) -> list[str]:
        length = GEOMETRY.length()
        starts = range(0, len(self.text) - length + 1, STRIDE)
        forward = [self.text[start : start + length] for start in starts]
        return forward + [window.translate(COMPLEMENT)[::-1] for window in forward]

    def _tokens(self, windows: list[str]) -> dict:
        return self.tokenizer(windows, return_tensors="pt", padding=True)

    def probabilities(self) -> np.ndarray:
        """Return those of all forward windows, then of the reverse ones."""
        found = []
        windows = None if self.tokens is not None else self._windows()
        total = len(windows) if windows else len(self.tokens["input_ids"])
        with self.torch.inference_mode():
            for start in range(0, total, self.batch):
                rows = slice(start, start + self.batch)
                if windows:
                    inputs = self._tokens(windows[rows])
                else:
                    inputs = {name: values[rows] for name, values in self.tokens.items()}
                found.append(self.model(**inputs).logits.softmax(dim=-1)[:, 1].numpy())
        return np.concatenate(found)


def peak_memory(run: Path, genome: Path) -> float:
    """Return the peak resident memory of a whole scan, in MB."""
    command = [sys.executable, __file__, "--memory-of", str(run), str(genome)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(said.split()[-1]) / 1e6


def own_peak() -> int:
    """Return the peak resident memory of this process in bytes.

    Not `ru_maxrss`, which begins at that of the process it was started from.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("VmHWM")]
    return 1024 * int(line.split()[1])


def print_peak_memory(run: str, genome: str) -> None:
    """Scan by the command, and print the peak."""
    from ntjax.scan import Options as ScanOptions
    from ntjax.scan import scan_command

    with tempfile.TemporaryDirectory() as folder:
        options = ScanOptions(Path(run), Path(genome), Path(folder) / "scan", progress=False)
        scan_command(options)
    print(own_peak())


def main() -> None:
    """Time both sides in turn, measure memory, write the table."""
    options = tyro.cli(Options, description=__doc__)
    if options.memory_of:
        print_peak_memory(*options.memory_of)
        return
    with tempfile.TemporaryDirectory() as folder:
        lines = _measured(Path(folder), options)
    options.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def _measured(folder: Path, options: Options) -> list[str]:
    run, genome = trained(folder), made_genome(folder / "genome.fa", options.bases)
    ours = OurSide(folder, genome)
    sides = {
        "ntjax": ours,
        "PyTorch + transformers": TorchSide(folder, genome, options.batch, True),
        "PyTorch, tokens at hand": TorchSide(folder, genome, options.batch, False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    expected = ours.probabilities()  # compiles
    for _ in range(options.repeats):
        for name, side in sides.items():
            started = time.perf_counter()
            found = side.probabilities()
            seconds[name].append(time.perf_counter() - started)
            np.testing.assert_allclose(found, expected, atol=1e-5)
    lines = [
        "# Scanning a genome",
        "",
        f"Made by `python scripts/benchmarks/benchmark_scan.py` on {os.cpu_count()} CPU cores: "
        f"`mini` with IA³ and the `cls` head, {options.bases:,} random bases, windows of "
        f"{GEOMETRY.length()} bp every {STRIDE} bp on both strands, {len(expected):,} in all. "
        f"Median of {options.repeats} [quartiles], in turn.",
        "",
        "| side | windows per second | ntjax is faster by |",
        "|---|---:|---:|",
    ]
    fastest = statistics.median(seconds["ntjax"])
    for name, times in seconds.items():
        low, middle, high = np.quantile(times, [0.75, 0.5, 0.25])
        rates = " to ".join(f"{len(expected) / t:,.0f}" for t in (low, high))
        lines.append(
            f"| {name} | {len(expected) / middle:,.0f} [{rates}] | {middle / fastest:.2f} × |"
        )
    longer = made_genome(folder / "longer.fa", 4 * options.bases)
    small, large = peak_memory(run, genome), peak_memory(run, longer)
    lines += [
        "",
        f"Peak memory of the whole command: {small:,.0f} MB on {options.bases:,} bp, {large:,.0f} "
        f"MB on {4 * options.bases:,} bp ({large / small - 1:+.1%}).",
    ]
    return lines


if __name__ == "__main__":
    main()
