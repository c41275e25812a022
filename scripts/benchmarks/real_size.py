"""Load models of real size and train them, and see how much memory and time that takes.

    python scripts/benchmarks/real_size.py FOLDER
    python scripts/benchmarks/real_size.py FOLDER --models 500M_1000G --no-save

For each model a random checkpoint in the official format is written to FOLDER (once: 2 GB for
500M_1000G, 10.2 GB for 2B5_1000G, and as much again for the converted weights). Then, every time
in a fresh process: a first load, which converts the weights; a second, which maps the result; the
same with none of the files in the system's file cache; some training steps, each timed; and the
command a user would give:

    python -m ntjax.finetune --model FOLDER --adapter ia3 --dtype bfloat16 --steps 3 ...

A process that takes more than 20 GiB, or leaves the machine less than 0.7 GB, is stopped. Memory is
the peak of the whole resident set (VmHWM), the pages of mapped files included. Needs Linux; takes
about a quarter of an hour on two cores, and writes real_size.md and real_size.json beside itself.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))  # where write_random_checkpoint lies

from write_random_checkpoint import write_random_checkpoint

from ntjax.checkpoints.published_sizes import SIZES
from ntjax.reports.markdown import markdown_table

GIB = 1 << 30
LARGEST_RESIDENT = 20 * GIB
LEAST_AVAILABLE = 700_000_000
ROWS, TOKENS = 8, 17
STEPS = 3

# Prints what it measured as one line of JSON. Its first step includes compiling.
_LOAD_AND_STEP = """
import json, sys, time
import jax, numpy as np
from ntjax import adapters, load_pretrained
from ntjax.models.heads import Cls
from ntjax.training.optimizers import OptimizerConfig
from ntjax.training.members import new_member
from ntjax.inference.devices import replicated_sharding
from ntjax.training.members import DeviceBatch, Hyperparameters
from ntjax.training.step import StepConfig, compile_train_step
from ntjax.inference.forward import ForwardConfig, Trainable
from ntjax.tasks import Classification

folder, steps, rows, tokens = sys.argv[1], *map(int, sys.argv[2:])
sharding = replicated_sharding()
began = time.perf_counter()
model = load_pretrained(folder, "bfloat16", sharding=sharding)
jax.block_until_ready(model.params)
seconds = [time.perf_counter() - began]
if steps:
    config = StepConfig(
        ForwardConfig(model.config, Cls(), "bfloat16"),
        OptimizerConfig(100),
        Classification.loss,
    )
    adapter = adapters.init(
        adapters.adapter_config("ia3"), model.config, model.params, jax.random.key(0))
    head = config.forward.head.init(model.config.embed_dim, jax.random.key(1))
    member = new_member(config.optimizer, Trainable(adapter, head))
    rates = (np.float32(3e-3), np.float32(3e-3), np.float32(0), np.float32(0))
    hyperparameters = jax.device_put(Hyperparameters(*rates, jax.random.key(2)), sharding)
    generator, shape = np.random.default_rng(0), (1, 1, rows)
    batch = DeviceBatch(
        generator.integers(6, 4000, (*shape, tokens)).astype(np.int32),
        generator.integers(0, 2, shape).astype(np.int32),
        np.ones(shape, np.float32),
        np.arange(rows, dtype=np.int32).reshape(shape))
    step = compile_train_step(config)
    for number in range(1 + steps):
        began = time.perf_counter()
        member, values = step(model.params, member, hyperparameters, np.int32(number), batch)
        assert np.isfinite(values["loss"]), values
        seconds.append(time.perf_counter() - began)
print(json.dumps(seconds))
"""


class StoppedError(Exception):
    """A process took more memory than it may."""


def main() -> None:
    """Measure each model; print the table and save it."""
    parser = argparse.ArgumentParser(description="Memory and time of models of real size.")
    parser.add_argument("folder", type=Path, help="for checkpoints and converted weights")
    parser.add_argument("--models", nargs="+", choices=SIZES, default=["500M_1000G", "2B5_1000G"])
    parser.add_argument("--no-save", action="store_true", help="print the table only")
    parser.add_argument("--note", default="", help="said below the table, as what else was running")
    arguments = parser.parse_args()
    results: dict[str, Any] = {"machine": machine(), "note": arguments.note, "models": {}}
    for name in arguments.models:
        results["models"][name] = measure(name, arguments.folder)
    table = as_markdown(results)
    print(table)
    if not arguments.no_save:
        beside = Path(__file__).with_suffix("")
        beside.with_suffix(".md").write_text(table)
        beside.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")


def measure(name: str, folder: Path) -> dict[str, Any]:
    """All figures of one model; bytes and seconds."""
    checkpoint, cache = folder / name, folder / f"{name}-converted"
    if not (checkpoint / "jax_model").is_dir():
        _say(f"{name}: writing a random checkpoint to {checkpoint}")
        write_random_checkpoint(checkpoint, SIZES[name])
    result: dict[str, Any] = {"file_bytes": sum(file.stat().st_size for file in _files(checkpoint))}
    for state in ("warm", "cold"):
        shutil.rmtree(cache, ignore_errors=True)
        for number in ("first", "second"):
            if state == "cold":
                _forget(checkpoint, cache)
            elif number == "first":
                _read_through(checkpoint)
            (seconds,), peak = load_and_step(checkpoint, cache)
            result[f"{number}_load_{state}"] = {"seconds": seconds, "peak_bytes": peak}
            _say(f"{name}: {number} load, {state}: {seconds:.1f} s, {peak / GIB:.2f} GiB")
    (_, compiled, *steps), peak = load_and_step(checkpoint, cache, STEPS)
    result["steps"] = {
        "first_seconds": compiled,
        "seconds": steps,
        "median_seconds": statistics.median(steps),
        "peak_bytes": peak,
    }
    _say(f"{name}: {result['steps']['median_seconds']:.1f} s a step, {peak / GIB:.2f} GiB")
    result["finetune"] = finetune(checkpoint, cache)
    _say(f"{name}: ntjax.finetune: {result['finetune']}")
    return result


def load_and_step(checkpoint: Path, cache: Path, steps: int = 0) -> tuple[list[float], int]:
    """Seconds of a load and of some steps, and the peak of resident memory, of a fresh process."""
    numbers = map(str, (steps, ROWS, TOKENS))
    output, peak, _ = watched(
        [sys.executable, "-c", _LOAD_AND_STEP, str(checkpoint), *numbers], cache
    )
    return json.loads(output.splitlines()[-1]), peak


def finetune(checkpoint: Path, cache: Path) -> dict[str, Any]:
    """Run the command on a few random sequences: whole time, peak of resident memory."""
    with tempfile.TemporaryDirectory() as place:
        data = {name: Path(place) / f"{name}.csv" for name in ("train", "validation", "test")}
        for seed, (name, path) in enumerate(data.items()):
            _write_sequences(path, 64 if name == "train" else 16, seed)
        options = [part for name, path in data.items() for part in (f"--{name}", str(path))]
        options += ["--adapter", "ia3", "--dtype", "bfloat16", "--steps", str(STEPS)]
        options += ["--batch-size", str(ROWS), "--no-baselines", "--no-progress"]
        command = [sys.executable, "-m", "ntjax.finetune", "--model", str(checkpoint), *options]
        _, peak, seconds = watched([*command, "--out", str(Path(place) / "run")], cache)
        line = (Path(place) / "run" / "metrics.jsonl").read_text().splitlines()[-1]
    return {"seconds": seconds, "peak_bytes": peak, "loss": json.loads(line)["loss"]}


def watched(command: list[str], cache: Path) -> tuple[str, int, float]:
    """Run a command: its output, the peak of its resident memory in bytes, and seconds.

    Raises:
        StoppedError: it came near what the machine has, and was killed.
        RuntimeError: it failed.
    """
    began, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile("w+") as output:
        environment = os.environ | {"NTJAX_CACHE_DIR": str(cache)}
        process = subprocess.Popen(command, stdout=output, env=environment)
        try:
            while process.poll() is None:
                peak = max(peak, _kibibytes(f"/proc/{process.pid}/status", "VmHWM"))
                available = _kibibytes("/proc/meminfo", "MemAvailable")
                if peak > LARGEST_RESIDENT or available < LEAST_AVAILABLE:
                    raise StoppedError(
                        f"stopped at {peak / GIB:.2f} GiB resident, {available / GIB:.2f} GiB left"
                    )
                time.sleep(0.02)
        finally:
            process.kill()  # does nothing to one that has ended
            process.wait()
        seconds = time.perf_counter() - began
        if process.returncode:
            raise RuntimeError(f"{command[:3]} ended with {process.returncode}")
        output.seek(0)
        return output.read(), peak, seconds


def _kibibytes(path: str, name: str) -> int:
    """A line of a file under /proc, in bytes; 0 if it is not there (the process just ended)."""
    with contextlib.suppress(OSError), open(path) as lines:
        for line in lines:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0


def _files(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def _forget(*folders: Path) -> None:
    """Have the system's file cache forget these files."""
    for path in _files(*folders):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)  # pages that are yet to be written cannot be forgotten
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _read_through(folder: Path) -> None:
    """Have the system's file cache hold these files, as after a download."""
    for path in _files(folder):
        with path.open("rb") as file:
            while file.read(1 << 24):
                pass


def _write_sequences(path: Path, rows: int, seed: int) -> None:
    """Random DNA of 81 letters, which makes 17 tokens, with labels in turn."""
    letters = np.random.default_rng(seed).choice(list("ACGT"), (rows, 81))
    lines = [f"{''.join(row)},{number % 2}" for number, row in enumerate(letters)]
    path.write_text("\n".join(("sequence,label", *lines)) + "\n")


def machine() -> dict[str, Any]:
    """What was measured on, and when."""
    processors = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line for line in processors if line.startswith("model name")), ": unknown")
    return {
        "processor": model.partition(":")[2].strip(),
        "cores": os.cpu_count(),
        "memory_bytes": _kibibytes("/proc/meminfo", "MemTotal"),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {package: version(package) for package in ("ntjax", "jax", "jaxlib")},
    }


def as_markdown(results: dict[str, Any]) -> str:
    """The table, with what it was measured on."""
    about, models = results["machine"], results["models"]

    def seconds(value: float) -> str:
        return f"{value:.1f} s"

    def memory(part: dict[str, Any]) -> str:
        return f"{part['peak_bytes'] / GIB:.1f} GiB"

    def ratio(result: dict[str, Any], state: str) -> str:
        first, second = (result[f"{n}_load_{state}"]["seconds"] for n in ("first", "second"))
        return f"{second / first:.2f}"

    loads = [(n, state) for state in ("warm", "cold") for n in ("first", "second")]
    rows: list[tuple[str, Any]] = [("checkpoint", lambda r: f"{r['file_bytes'] / 1e9:.2f} GB")]
    for number, state in loads:
        key = f"{number}_load_{state}"
        rows.append((f"{number} load, {state}", lambda r, k=key: seconds(r[k]["seconds"])))
        if number == "second":
            rows.append((f"second / first, {state}", lambda r, s=state: ratio(r, s)))
    rows += [
        ("peak memory, first load", lambda r: memory(r["first_load_warm"])),
        ("peak memory, second load", lambda r: memory(r["second_load_warm"])),
        ("peak memory, load and training steps", lambda r: memory(r["steps"])),
        ("**peak memory, `ntjax.finetune`**", lambda r: f"**{memory(r['finetune'])}**"),
        ("first step, compiling included", lambda r: seconds(r["steps"]["first_seconds"])),
        ("time per step, median", lambda r: seconds(r["steps"]["median_seconds"])),
        ("`ntjax.finetune`, whole process", lambda r: seconds(r["finetune"]["seconds"])),
    ]
    cells = [[title, *(value(result) for result in models.values())] for title, value in rows]
    lines = markdown_table(["", *models], cells, align="l" + "r" * len(models))
    return (
        f"Random checkpoints in the official format, IA³, bfloat16, {ROWS} rows x {TOKENS} tokens; "
        f"{about['processor']}, {about['cores']} cores, {about['memory_bytes'] / GIB:.0f} GiB, "
        f"JAX {about['versions']['jax']}, {about['date']} "
        "(`python scripts/benchmarks/real_size.py`).\n\n"
        + "\n".join(lines)
        + "\n\nMemory is the peak resident set (VmHWM), pages of mapped files included. The first "
        "load checks and converts the weights and places them on the device, the second maps the "
        "result and places it; warm: the files are in the system's file cache as far as it has "
        f"room, cold: they are not. `ntjax.finetune`: a second load, {STEPS} steps on 64 rows, "
        "evaluation, calibration and test on 16 rows each, all results written."
        + (f" {results['note']}" if results["note"] else "")
        + "\n"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
