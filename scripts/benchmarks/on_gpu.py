"""Measure ntjax on one GPU in a quarter of an hour: speed beside PEFT, parity, the default run.

    python scripts/benchmarks/on_gpu.py                 # about ten minutes on an H100
    python scripts/benchmarks/on_gpu.py --tiny          # the same sections, small, on a CPU
    python scripts/benchmarks/on_gpu.py --only attention

Needs torch, transformers and peft beside ntjax; no network and no weights: random weights are drawn
on the device. Sections run in order of worth, each in a process of its own under a time limit. One
that fails or runs out of time is written down as such, and the next one runs. Results are written
after every section, to JSON and Markdown beside this script, named for the card: on_gpu_h200.md.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmark_sides import Size

from ntjax.reports.markdown import markdown_table
from ntjax.runs.record import versions

HERE = Path(__file__).parent
PACKAGES = ("jax", "jaxlib", "dm-haiku", "torch", "transformers", "peft")
# Dense bfloat16 products a second without sparsity, from NVIDIA's data sheets (SXM cards).
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
# As much of the card's memory as is needed, and not all of it beforehand.
MEMORY = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95"}
# Seconds for any section with --tiny: a CPU with other work compiles slowly, so the limit is only
# there to end what hangs.
TINY_LIMIT = 500
AIMS = "MFU at least 40% at 500M and 1,000 tokens, 1.5 × PEFT's speed, population 5 ×"


class Section(NamedTuple):
    """A process of the benchmark; `seconds` is the most it may take."""

    name: str
    seconds: int
    about: str


SECTIONS = (
    Section("start", 60, "versions, the card, one tiny step with each form of attention"),
    Section("ntjax", 150, "speed"),
    Section("peft", 90, "speed"),
    Section("attention", 60, "cuDNN's attention against the plain form, by tokens"),
    Section("population", 180, "nine members against nine runs"),
    Section("parity", 150, "golden files, and cuDNN's attention against the plain form"),
    Section("default", 150, "python -m ntjax.finetune"),
    Section("more-ntjax", 90, "speed, other batches"),
    Section("more-peft", 60, "speed, other batches"),
    Section("rematerialised", 60, "speed with activations recomputed"),
)


def main() -> None:
    """Run the sections and write the tables after each."""
    options = parse_arguments()
    chosen = [section for section in SECTIONS if section.name in options.only]
    if options.tiny:
        chosen = [section._replace(seconds=TINY_LIMIT) for section in chosen]
    record = {
        "command": described_command(options),
        "date": datetime.date.today().isoformat(),
        "machine": {
            "card": card(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "versions": versions(PACKAGES),
        "sections": [],
    }
    for section in chosen:
        record["sections"].append(run(section, options))
        write(record, options.out)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure ntjax on one GPU.")
    parser.add_argument("--tiny", action="store_true", help="small models, to try it on a CPU")
    names = [section.name for section in SECTIONS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these sections")
    parser.add_argument("--out", type=Path, help="without suffix; default: beside this")
    options = parser.parse_args()
    if options.out is None:
        suffix = "tiny" if options.tiny else (known(card()) or "other").lower()
        options.out = HERE / f"on_gpu_{suffix}"
    return options


def described_command(options: argparse.Namespace) -> str:
    """The command line, without where its results went."""
    words = ["python scripts/benchmarks/on_gpu.py", *(["--tiny"] if options.tiny else [])]
    if len(options.only) < len(SECTIONS):
        words += ["--only", *options.only]
    return " ".join(words)


def run(section: Section, options: argparse.Namespace) -> dict[str, Any]:
    """Run a section in a process of its own; collect its rows and how it ended."""
    print(f"{section.name}: {section.about}", flush=True)
    script, began = str(HERE / "on_gpu_sections.py"), time.perf_counter()
    command = [sys.executable, script, section.name, *(["--tiny"] if options.tiny else [])]
    log = options.out.with_suffix(f".{section.name}.log")
    with log.open("w") as file:
        environment = os.environ | MEMORY
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
        try:
            ended = f"exit code {process.wait(section.seconds)}"
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            ended = f"stopped after {section.seconds} s"
    lines = log.read_text(errors="replace").splitlines()
    rows = [json.loads(line) for line in lines if line.startswith('{"row"')]
    failed = [] if ended == "exit code 0" else [line for line in lines if line.strip()][-6:]
    if not failed:
        log.unlink()
    seconds = round(time.perf_counter() - began, 1)
    print(f"  {ended}, {seconds} s, {len(rows)} rows", *failed, sep="\n  ", flush=True)
    return section._asdict() | {"ended": ended, "took": seconds, "rows": rows, "failed": failed}


def card() -> str:
    """The GPU's name, as its driver gives it."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        return subprocess.check_output(command, text=True).splitlines()[0].strip()
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "no GPU"


def known(card: str) -> str:
    """The card's name among those whose peak is known, or ""."""
    return next((name for name in PEAKS if name in card), "")


def write(record: dict[str, Any], out: Path) -> None:
    """The numbers and the tables made of them."""
    out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    out.with_suffix(".md").write_text("\n".join(as_markdown(record)) + "\n")


def as_markdown(record: dict[str, Any]) -> list[str]:
    """The page: where, speed, and everything else in the order it was measured."""
    rows = [row for section in record["sections"] for row in section["rows"]]
    card = record["machine"]["card"]
    packages = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    lines = [
        f"# ntjax on {card}",
        "",
        f"Made by `{record['command']}` on {record['date']}; {card}, {record['machine']['cores']} "
        f"CPU cores, Python {record['machine']['python']}; {packages}.",
        "",
        "Random weights, bfloat16, dropout 0, IA³ on key, value and feed-forward, LoRA of rank 8 "
        "on query and value, each with the head (dense, tanh, dense) and AdamW. PEFT: "
        '`EsmForSequenceClassification` with `attn_implementation="sdpa"` and fused AdamW, in '
        "bfloat16. Medians over rounds and, in brackets, quartiles. MFU: 4 N operations a token in "
        "training (frozen weights have no gradient) and 2 N in inference, N the matrices that a "
        "head on `<cls>` needs (of the last layer key and value alone), over the peak of the "
        "card's data sheet; neither attention's products nor recomputation are counted. Memory: "
        "the largest that the framework held on the device; ntjax's is the largest of all rows so "
        "far.",
        "",
        *_speed_table(rows, card),
        "",
        *_kernel_table(rows),
        f"Aims: {AIMS}.",
        "",
    ]
    return lines + _other_rows(record["sections"])


def _speed_table(rows: list[dict[str, Any]], card: str) -> list[str]:
    heads = ["model", "batch", "what", "side", "step, ms", "tokens/s", "MFU"]
    heads += ["× PEFT", "device memory, GB", "first step, s"]
    timed = [row for row in rows if "seconds" in row]
    theirs = {_key(row): row for row in timed if row["side"] == "PEFT"}
    return list(markdown_table(heads, (_speed_row(row, theirs, card) for row in timed)))


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["model"], row["rows"], row["tokens"], row["mode"], row["adapter"]


def _speed_row(
    row: dict[str, Any], theirs: dict[tuple[Any, ...], dict[str, Any]], card: str
) -> list[str]:
    low, middle, high = statistics.quantiles(row["seconds"], n=4, method="inclusive")
    tokens = row["rows"] * row["tokens"] / middle
    peak = PEAKS.get(known(card))
    operations = (4 if row["mode"] == "train" else 2) * layer_weights(Size(**row["size"]))
    other = theirs.get(_key(row))
    ratio = ""
    if other and row["side"] != "PEFT":
        ratio = f"{statistics.median(other['seconds']) / middle:.2f}"
    return [
        *_case(row),
        row["side"],
        f"{1e3 * middle:.1f} ({1e3 * low:.1f}-{1e3 * high:.1f})",
        f"{tokens:,.0f}",
        f"{tokens * operations / peak:.0%}" if peak else "",
        ratio,
        f"{row['memory_gb']:.1f}" if row["memory_gb"] is not None else "",
        f"{row['first']:.1f}",
    ]


def layer_weights(size: Size) -> int:
    """The matrices that are multiplied with every token; of the last layer key and value alone."""
    layer = 4 * size.width**2 + 2 * size.width * size.ffn
    return (size.layers - 1) * layer + 2 * size.width**2


def _kernel_table(rows: list[dict[str, Any]]) -> list[str]:
    """Where the GPU's time goes, of the rows that were profiled."""
    profiled = [row for row in rows if "kernels_ms" in row]
    if not profiled:
        return []
    kinds = list(profiled[0]["kernels_ms"])
    table = markdown_table(
        ["model", "batch", "what", *(f"{kind}, ms" for kind in kinds)],
        ([*_case(row), *(f"{row['kernels_ms'][kind]:.1f}" for kind in kinds)] for row in profiled),
    )
    about = (
        "Where ntjax's time on the GPU goes, by JAX's profiler. Other: layer norm, GELU, what an "
        "adapter adds, and the sums over rows of IA³'s gradients. Copies and zeros: what a scan "
        "over layers costs, which keeps activations in arrays of all layers."
    )
    return [about, "", *table, ""]


def _case(row: dict[str, Any]) -> list[str]:
    return [
        row["model"],
        f"{row['rows']} × {row['tokens']:,}",
        f"{row['mode']}, {'IA³' if row['adapter'] == 'ia3' else 'LoRA'}",
    ]


def _other_rows(sections: list[dict[str, Any]]) -> list[str]:
    lines = []
    for section in sections:
        lines += [f"- {row['row']}" for row in section["rows"] if "seconds" not in row]
        if section["ended"] != "exit code 0":
            last = section["failed"][-1] if section["failed"] else ""
            lines.append(f"- {section['name']} ({section['about']}): {section['ended']}. {last}")
    run = {section["name"] for section in sections}
    left = [section.name for section in SECTIONS if section.name not in run]
    return [*lines, *([f"- Sections that were not run: {', '.join(left)}."] if left else [])]


if __name__ == "__main__":
    main()
