"""Compare ntjax's training step and inference with PyTorch, transformers and PEFT.

    python scripts/benchmarks/benchmark.py                      # CPU: about 15 minutes on two cores
    python scripts/benchmarks/benchmark.py --only lora --rounds 3

A GPU has a script of its own, on_gpu.py.

Needs `pip install torch transformers peft`. Same architecture, random weights, same number of
threads (all cores). For every row of the table both sides get a process of their own, because two
thread pools in one process would disturb each other; they are timed in turn (A B, B A, ...), the
other one waiting for a line of input meanwhile, after a pause in which its threads fall asleep.
Thread libraries keep the settings their users have. Writes benchmark.md and .json beside it.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmark_sides import Case, Size

from ntjax.reports.markdown import markdown_table
from ntjax.runs.record import versions

HERE = Path(__file__).parent
NAMES = ("ntjax", "PEFT")
PACKAGES = ("jax", "jaxlib", "torch", "transformers", "peft")
SLEEP = 0.1  # seconds after which no thread of an idle process spins any more
SIZES = {
    "cpu": Size(12, 512, 16, 2048, 4107, "rotary", 2048),
    "tiny": Size(2, 32, 4, 64, 75, "rotary", 64),
}
AIMS = {17: 1.2, 512: 1.0}  # ratio aimed at on a CPU, by tokens
SHAPES = {"cpu": ((32, 17), (2, 512)), "tiny": ((4, 9),)}


def main() -> None:
    """Time every case and write the tables."""
    options = parse_arguments()
    size, load = SIZES[options.device], [os.getloadavg()[0]]
    cases = [case for case in all_cases(options.device) if options.only in describe(case)]
    if not cases:
        example = describe(Case("train", "lora", 32, 17))
        sys.exit(f"--only {options.only}: no such row; a row is called '{example}'")
    with tempfile.TemporaryDirectory() as folder:
        folders = prepare(size, Path(folder))
        results = []
        for case in cases:
            results.append(measure(size, case, folders, options))
            print(*row(results[-1]), sep=" | ", flush=True)
    load.append(os.getloadavg()[0])
    if options.out:
        write(options, size, load, results)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time ntjax against PyTorch + PEFT.")
    parser.add_argument("--only", default="", help="rows whose description contains this text")
    parser.add_argument("--rounds", type=int, default=7, help="times each side is timed per row")
    parser.add_argument("--steps", type=int, default=5, help="steps of one such time")
    parser.add_argument("--starts", type=int, default=3, help="times each side is started per row")
    parser.add_argument("--device", choices=SIZES, default="cpu", help="'tiny' is for tests")
    parser.add_argument(
        "--out",
        type=Path,
        help="without suffix; by default benchmark beside this script, and nothing for a part of "
        "the rows (--only)",
    )
    options = parser.parse_args()
    if options.out is None and not options.only:
        options.out = HERE / (
            "benchmark" if options.device == "cpu" else f"benchmark_{options.device}"
        )
    return options


def all_cases(device: str) -> Iterator[Case]:
    """The rows of the table."""
    for rows, tokens in SHAPES[device]:
        for mode in ("train", "inference"):
            for adapter in ("ia3", "lora"):
                yield Case(mode, adapter, rows, tokens)
        yield Case("train", "lora", rows, tokens, dropout=0.1)
        yield Case("embed", "", rows, tokens)


def describe(case: Case) -> str:
    """A row's name, which --only looks at."""
    dropout = f", dropout {case.dropout:g}" if case.dropout else ""
    return f"{case.rows} x {case.tokens} {case.mode} {case.adapter}{dropout}".rstrip()


def prepare(size: Size, folder: Path) -> dict[str, Path]:
    """Write both sides' checkpoints."""
    os.environ["NTJAX_CACHE_DIR"] = str(folder / "cache")
    os.environ |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
    folders = {name: folder / name for name in NAMES}
    for name, place in folders.items():
        subprocess.run(command(name, size, None, place), check=True)
    return folders


def command(name: str, size: Size, case: Case | None, folder: Path) -> list[str]:
    """The command line of one side's process."""
    described = [json.dumps(asdict(part) if part else None) for part in (size, case)]
    return [sys.executable, str(HERE / "benchmark_sides.py"), name, *described, str(folder)]


class Side:
    """A running process of one side; `started` is seconds from its start to its first result."""

    def __init__(self, name: str, size: Size, case: Case, folder: Path):
        began = time.perf_counter()
        self.process = subprocess.Popen(
            command(name, size, case, folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.first = self._answer()["seconds"]
        self.started = time.perf_counter() - began

    def ask(self, line: object) -> float:
        """Send a line and wait for the number that answers it."""
        time.sleep(SLEEP)
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return next(iter(self._answer().values()))

    def _answer(self) -> dict[str, float]:
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"a benchmark process ended early: {self.process.wait()}")

    def stop(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def measure(
    size: Size, case: Case, folders: dict[str, Path], options: argparse.Namespace
) -> dict[str, Any]:
    """Start-up, step times and peak memory of both sides."""
    started: dict[str, list[float]] = {name: [] for name in NAMES}
    seconds: dict[str, list[float]] = {name: [] for name in NAMES}
    with contextlib.ExitStack() as stack:
        for start in range(options.starts):
            stack.close()
            sides = {}
            for name in in_turn(start):
                sides[name] = Side(name, size, case, folders[name])
                stack.callback(sides[name].stop)
                started[name].append(sides[name].started)
        for side in sides.values():
            side.ask(options.steps)
        for number in range(options.rounds):
            for name in in_turn(number):
                seconds[name].append(sides[name].ask(options.steps))
        memory = {name: sides[name].ask("peak") for name in NAMES}
    return {
        "case": asdict(case),
        "step_seconds": seconds,
        "start_seconds": started,
        "peak_gb": memory,
    }


def in_turn(number: int) -> tuple[str, ...]:
    """Both names, the first one first in even rounds."""
    return NAMES if number % 2 == 0 else NAMES[::-1]


def ratio(result: dict[str, Any], what: str) -> float:
    """PEFT's median over ntjax's: above 1, ntjax is faster."""
    ours, theirs = (statistics.median(result[what][name]) for name in NAMES)
    return theirs / ours


HEADS = ["batch", "what", "adapter", "ntjax, ms", "PEFT, ms", "ntjax, tokens/s", "ratio"]
HEADS += ["start, s: ntjax", "PEFT", "ratio", "peak, GB: ntjax", "PEFT"]


def row(result: dict[str, Any]) -> list[str]:
    """The cells of one row of the table."""
    case = Case(**result["case"])
    medians = {name: statistics.median(result["step_seconds"][name]) for name in NAMES}
    starts = {name: statistics.median(result["start_seconds"][name]) for name in NAMES}
    dropout = f", dropout {case.dropout:g}" if case.dropout else ""
    return [
        f"{case.rows} x {case.tokens}",
        {"train": "train step", "inference": "inference", "embed": "embedding"}[case.mode],
        {"ia3": "IA³", "lora": f"LoRA{dropout}", "": "–"}[case.adapter],
        *(with_spread(result["step_seconds"][name]) for name in NAMES),
        f"{case.rows * case.tokens / medians['ntjax']:,.0f}",
        f"**{ratio(result, 'step_seconds'):.2f}**",
        *(f"{starts[name]:.1f}" for name in NAMES),
        f"{ratio(result, 'start_seconds'):.2f}",
        *(f"{result['peak_gb'][name]:.2f}" for name in NAMES),
    ]


def with_spread(seconds: list[float]) -> str:
    """Median and quartiles in milliseconds."""
    low, middle, high = (1e3 * s for s in _quartiles(seconds))
    return f"{middle:.0f} ({low:.0f}-{high:.0f})"


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return values[0], values[0], values[0]
    return tuple(statistics.quantiles(values, n=4, method="inclusive"))


def write(
    options: argparse.Namespace, size: Size, load: list[float], results: list[dict[str, Any]]
) -> None:
    """The table and the numbers behind it, beside this script."""
    about = {
        "command": " ".join(["python scripts/benchmarks/benchmark.py", *sys.argv[1:]]),
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "load_average": {"begin": load[0], "end": load[1]},
        "versions": {"python": platform.python_version()} | versions(PACKAGES),
        "size": asdict(size),
        "rounds": options.rounds,
        "steps": options.steps,
        "starts": options.starts,
    }
    rows = markdown_table(HEADS, map(row, results))
    text = "\n".join([*introduction(about), *rows, *notes(results)])
    options.out.with_suffix(".json").write_text(
        json.dumps(about | {"results": results}, indent=1) + "\n"
    )
    options.out.with_suffix(".md").write_text(text + "\n")


def introduction(about: dict[str, Any]) -> list[str]:
    """What was measured, where and how."""
    size, versions = Size(**about["size"]), about["versions"]
    return [
        "# ntjax against PyTorch + PEFT",
        "",
        f"Made by `{about['command']}` on {about['date']}: {about['machine']}; "
        + ", ".join(f"{name} {number}" for name, number in versions.items())
        + ".",
        "",
        f"{size.layers} layers x {size.width}, {size.heads} heads, feed-forward {size.ffn}, GELU, "
        f"{size.positions} positions, vocabulary {size.vocabulary}, {size.dtype}, dropout 0 unless "
        f"named; IA³ on key, value and feed-forward, LoRA of rank 8 on query and value, each with "
        "the head (dense, tanh, dense) and AdamW, gradient norm clipped at 1; inference to the "
        "classifier's logits, adapter not merged. PEFT: `EsmForSequenceClassification` with "
        '`attn_implementation="sdpa"`, fused AdamW. Both are fed host batches, without padding. '
        "Embedding: the mean of the last layer over the tokens of bases, without an adapter; ntjax "
        "is given text, transformers token ids.",
        "",
        f"Interleaved: {about['rounds']} rounds of {about['steps']} steps a side; medians and, in "
        f"brackets, quartiles over rounds. Start: from the start of the process to the end of its "
        f"first step, imports, loading and compilation included; median of {about['starts']}. "
        "Ratio: PEFT's time over ntjax's, above 1 where ntjax is faster. Peak: the largest "
        "resident memory of the process. Load average of the machine: "
        f"{about['load_average']['begin']:.1f} when it began, {about['load_average']['end']:.1f} "
        "when it ended (the benchmark itself makes up to the number of cores).",
        "",
    ]


def notes(results: list[dict[str, Any]]) -> list[str]:
    """What stands below the table."""
    aimed = [(Case(**result["case"]), ratio(result, "step_seconds")) for result in results]
    missed = [
        f"{describe(case)} ({value:.2f})"
        for case, value in aimed
        if value < AIMS.get(case.tokens, 0)
    ]
    aims = ", ".join(f"{aim} at {tokens} tokens" for tokens, aim in AIMS.items())
    return ["", f"Aims for the ratio: {aims}. Not reached: {', '.join(missed) or 'none'}."]


def machine() -> str:
    """Processor and cores."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {os.cpu_count()} cores"
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"


if __name__ == "__main__":
    main()
