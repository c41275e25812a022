"""Compare nine members trained as one population with nine runs of their own.

    python scripts/benchmarks/benchmark_population.py       # CPU: about 15 minutes on two cores
    python scripts/benchmarks/benchmark_population.py --model 500M_1000G --dtype bfloat16  # a GPU

Steps: nine members' training steps, one program against nine calls of the single one, in one
process, in turn; medians. Whole: `python -m ntjax.finetune --sweep ...` against nine commands, one
after the other, from process start to the last result, compilation included. 81-bp sequences, 17
tokens. Writes scripts/benchmarks/benchmark_population.md and .json.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ntjax.reports.markdown import markdown_table
from ntjax.training.initial_state import member_runs
from ntjax.training.job import Job, prepare
from ntjax.training.members import spread_population, stack
from ntjax.training.population import sharing_a_program
from ntjax.training.settings import Settings
from ntjax.training.step import compile_train_step
from ntjax.training.sweep import expand

HERE = Path(__file__).parent
SWEEPS = {
    "lora": "lora_dropout=0.1:0.9:0.1",
    "ia3": "learning_rate=0.001:0.009:0.001",
}


def main() -> None:
    """Time both adapters and write the table."""
    options = parse_arguments()
    results = []
    for adapter in SWEEPS:
        for batch_size in options.batch_sizes:
            results.append(measure(options, adapter, batch_size))
            print(row(results[-1]), flush=True)
    write(options, results)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Time a population against single runs.")
    parser.add_argument("--model", default="mini", help="as for ntjax.finetune")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--steps", type=int, default=100, help="of every whole run")
    parser.add_argument("--rounds", type=int, default=9, help="times both are timed in turn")
    parser.add_argument("--out", type=Path, default=HERE / "benchmark_population")
    return parser.parse_args()


def settings_of(options: argparse.Namespace, adapter: str, batch_size: int) -> Settings:
    """A run without baselines on the built-in promoters."""
    return Settings(
        model=options.model,
        adapter=adapter,
        train="simulated_sigma70",
        steps=options.steps,
        batch_size=batch_size,
        dtype=options.dtype,
        baselines=False,
    )


def measure(options: argparse.Namespace, adapter: str, batch_size: int) -> dict[str, Any]:
    """Seconds of nine members' steps and of nine whole runs, both ways."""
    settings = settings_of(options, adapter, batch_size)
    members = [member.settings for member in expand(settings, [SWEEPS[adapter]])]
    jobs = sharing_a_program(prepare(members))
    together, alone = stepper(jobs), single_steps(jobs)
    times: dict[str, list[float]] = {"together": [], "alone": []}
    for number in range(options.rounds + 1):
        for name, step in (("together", together), ("alone", alone)):
            began = time.perf_counter()
            jax.block_until_ready(step())
            if number:  # the first one compiles
                times[name].append(time.perf_counter() - began)
    steps = {name: statistics.median(values) for name, values in times.items()}
    whole = measure_whole(options, adapter, batch_size)
    return {"adapter": adapter, "batch_size": batch_size, "steps": steps, "whole": whole}


def single_steps(jobs: list[Job]) -> Callable[[], Any]:
    """One step of each member, one after the other."""
    steppers = [stepper([job]) for job in jobs]
    return lambda: [step() for step in steppers]


def stepper(jobs: list[Job]) -> Callable[[], Any]:
    """One step of all jobs in one program, as the training loop takes it, transfers included."""
    runs = member_runs(jobs)
    job, step = jobs[0], compile_train_step(jobs[0].step, len(jobs))
    state = {"member": stack([run.member for run in runs]), "step": 0}
    numbers = stack([run.hyperparameters for run in runs])

    def one() -> Any:
        rows = [runs[0].batches.batch(state["step"])] * len(runs)
        batch = spread_population(rows, job.loop.accumulation)
        at = np.int32(state["step"])
        state["member"], values = step(job.model.params, state["member"], numbers, at, batch)
        state["step"] += 1
        return values

    return one


def measure_whole(options: argparse.Namespace, adapter: str, batch_size: int) -> dict[str, float]:
    """Seconds of the sweep's command, and of one command per member."""
    name, _ = SWEEPS[adapter].split("=")
    settings = settings_of(options, adapter, batch_size)
    values = [member.values[name] for member in expand(settings, [SWEEPS[adapter]])]
    shared = [
        *("--model", options.model, "--dtype", options.dtype, "--adapter", adapter),
        *("--train", settings.train, "--steps", str(options.steps)),
        *("--batch-size", str(batch_size), "--no-baselines", "--no-progress"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        finetune(*shared, "--out", f"{folder}/sweep", "--sweep", SWEEPS[adapter])
        together = time.perf_counter() - began
        began = time.perf_counter()
        for value in values:
            option = "--" + name.replace("_", "-")
            finetune(*shared, "--out", f"{folder}/{value}", option, str(value))
        return {"together": together, "alone": time.perf_counter() - began}


def finetune(*arguments: str) -> None:
    """The command, in a process of its own; no compiled program is kept for the next."""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    command = [sys.executable, "-m", "ntjax.finetune", *arguments]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)


def row(result: dict[str, Any]) -> list[str]:
    """A line of the table."""
    steps, whole = result["steps"], result["whole"]
    return [
        {"ia3": "IA³, nine learning rates", "lora": "LoRA, nine dropouts"}[result["adapter"]],
        str(result["batch_size"]),
        f"{1e3 * steps['alone']:.0f} ms",
        f"{1e3 * steps['together']:.0f} ms",
        f"{steps['alone'] / steps['together']:.2f} ×",
        f"{whole['alone']:.0f} s",
        f"{whole['together']:.0f} s",
        f"{whole['alone'] / whole['together']:.1f} ×",
    ]


def write(options: argparse.Namespace, results: list[dict[str, Any]]) -> None:
    """The table and the numbers behind it."""
    device = jax.devices()[0]
    machine = {
        "device": f"{jax.local_device_count()} × {device.device_kind}",
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "jax": version("jax"),
        "date": datetime.date.today().isoformat(),
    }
    heads = ["members", "batch", "nine steps, one after the other", "together", "ratio"]
    heads += [f"nine runs of {options.steps} steps", "one sweep", "ratio"]
    text = [
        f"Model {options.model}, {options.dtype}, 17 tokens; {machine['device']} "
        f"({machine['cores']} cores, {machine['processor']}), jax {machine['jax']}, "
        f"{machine['date']}. `python scripts/benchmarks/benchmark_population.py`",
        "",
        *markdown_table(heads, map(row, results)),
        "",
    ]
    options.out.with_suffix(".md").write_text("\n".join(text))
    content = {"machine": machine, "model": options.model, "results": results}
    options.out.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
