"""Compile the training step for TPUs that are not at hand: does it fit, and what does it send?

    pip install libtpu
    python scripts/tpu/compile_for_tpu.py                        # everything; writes the tables
    python scripts/tpu/compile_for_tpu.py --models 500M_1000G    # some models; the rest stays

For each published model, IA³ and LoRA (rank 8, query and value, dropout 0.1), v5e chips, 8
sequences of 1,000 tokens a chip, bfloat16, rematerialised: the step that `ntjax.finetune` would run
is compiled for four chips and for 64; at the widths of 500M and 2B5 also with 2 and with 32 layers,
to show that compile time does not grow with depth. Every program is compiled in a process of its
own, one after another. Results go to compile_for_tpu.json, as they come, and compile_for_tpu.md.
Takes about a quarter of an hour on two idle cores and 1.2 GB of memory.
"""

import argparse
import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

# Before JAX is imported: nothing is computed here, least of all on an accelerator.
os.environ["JAX_PLATFORMS"] = "cpu"

sys.path.append(str(Path(__file__).parents[1]))  # where write_random_checkpoint lies

from ahead_of_time import (
    bytes_needed,
    collectives,
    compile_for,
    instructions,
    tpu_devices,
    unread_bytes,
)

sys.path.insert(0, str(Path(__file__).parents[1]))
from ntjax.adapters import IA3, LoRA
from ntjax.checkpoints.published_sizes import SIZES
from ntjax.inference.forward import ForwardConfig
from ntjax.io.files import write_bytes
from ntjax.models.heads import Cls
from ntjax.reports.markdown import markdown_table
from ntjax.tasks import Classification
from ntjax.training.optimizers import OptimizerConfig
from ntjax.training.step import StepConfig

ROWS, TOKENS = 8, 1000
ADAPTERS = {"IA³": IA3(), "LoRA": LoRA(rank=8, targets=("query", "value"))}
HOST, POD = "v5e:2x2", "v5e:8x8"
# Models of one architecture share a program.
SAME_AS = {"500M_human_ref": "500M_1000G", "2B5_multi_species": "2B5_1000G"}
MODELS = [name for name in SIZES if name not in SAME_AS]
# Sizes that were not read from a published file.
FROM_MEMORY = [name for name in SIZES if not name.startswith(("500M_human", "500M_1000G", "2B5"))]
WIDTHS = ("500M_1000G", "2B5_1000G")
DEPTHS = (2, 32)
# Of a v5e's 16 GiB; the compiler refuses more ("exceeds available HBM (15.75G)").
USABLE = 15.75 * 2**30
# Of a v5e in bfloat16, as Google states it.
PEAK_FLOPS = 197e12
RESULTS = Path(__file__).with_suffix(".json")


@dataclass(frozen=True)
class Case:
    """One program to compile."""

    model: str
    adapter: str
    topology: str
    layers: int


def main() -> None:
    """Compile what was asked for, and write the tables anew."""
    parser = argparse.ArgumentParser(description="Compile the training step for TPUs.")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, metavar="NAME")
    parser.add_argument("--topologies", nargs="+", default=[HOST, POD], metavar="NAME")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {"programs": []}
    for case in cases(arguments.models, arguments.topologies):
        program = in_a_process(case)
        kept = [old for old in results["programs"] if Case(**old["case"]) != case]
        results = {"machine": machine(), "programs": [*kept, program]}
        write(RESULTS, json.dumps(results, indent=1, ensure_ascii=False))
        print(row(program), flush=True)
    write(RESULTS.with_suffix(".md"), "\n".join(page(results)))


def write(path: Path, text: str) -> None:
    """A text file, whole or not at all."""
    write_bytes(path, f"{text}\n".encode())


def cases(models: Iterable[str], topologies: Iterable[str]) -> list[Case]:
    """Every model as it is, on every topology; then, on one host, two widths at two depths."""
    chosen = [
        Case(model, adapter, topology, SIZES[model].num_layers)
        for topology in topologies
        for model in models
        for adapter in ADAPTERS
    ]
    depths = [
        Case(model, adapter, HOST, layers)
        for model in models
        if model in WIDTHS and HOST in topologies
        for adapter in ADAPTERS
        for layers in DEPTHS
    ]
    return list(dict.fromkeys(chosen + depths))


def in_a_process(case: Case) -> dict[str, Any]:
    """`compile_case` where no earlier program has left anything in memory."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as executor:
        return executor.submit(compile_case, case).result()


def compile_case(case: Case) -> dict[str, Any]:
    """What the compiler says of a case: memory, messages, operations, time."""
    model, adapter = replace(SIZES[case.model], num_layers=case.layers), ADAPTERS[case.adapter]
    config = StepConfig(
        ForwardConfig(model, Cls(), "bfloat16", rematerialise=True),
        OptimizerConfig(steps=1000),
        Classification.loss,
        use_dropout=isinstance(adapter, LoRA),
    )
    devices = tpu_devices(case.topology)
    wall, processor = time.perf_counter(), time.process_time()
    compiled = compile_for(config, adapter, devices, ROWS, TOKENS)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    memory, text = compiled.memory_analysis(), compiled.as_text()
    needed = bytes_needed(compiled) + unread_bytes(model, config.forward.dtype)
    return {
        "case": asdict(case),
        "devices": len(devices),
        "bytes": {
            "arguments": memory.argument_size_in_bytes,
            "temporary": memory.temp_size_in_bytes,
            "output": memory.output_size_in_bytes,
            "alias": memory.alias_size_in_bytes,
            "code": memory.generated_code_size_in_bytes,
            "unread weights": unread_bytes(model, config.forward.dtype),
            "needed": needed,
        },
        "fits": needed <= USABLE,
        "collectives": [message._asdict() for message in collectives(text)],
        # The compiler counts the body of a loop once; both loops run over the layers.
        "flops": compiled.cost_analysis()["flops"] * case.layers,
        "instructions": instructions(text),
        "compile seconds": {"processor": processor, "wall": wall},
    }


def machine() -> dict[str, str]:
    """What the programs were compiled with."""
    return {
        "compiled on": f"{os.cpu_count()} CPU cores, {platform.system()}, nothing run on a TPU",
        "libtpu": version("libtpu"),
        "jax": version("jax"),
        "date": date.today().isoformat(),
    }


def page(results: dict[str, Any]) -> list[str]:
    """The tables, in Markdown."""
    programs = {Case(**program["case"]): program for program in results["programs"]}
    about = ", ".join(f"{name} {value}" for name, value in results["machine"].items())
    lines = [
        "# The training step, compiled for TPU v5e ahead of time",
        "",
        f"Written by `python scripts/tpu/compile_for_tpu.py`; {about}.",
        "",
        f"{ROWS} sequences of {TOKENS:,} tokens a chip, bfloat16, rematerialised; LoRA: rank 8, "
        "query and value, dropout 0.1. GB are 10⁹ bytes. *Needed*: arguments, temporary, results "
        "that overwrite nothing, program, and the language-model head, which lies on the chip "
        f"though no step reads it. *Fits*: needed ≤ {USABLE / 1e9:.2f} GB, the 15.75 of a chip's "
        "16 GiB that the compiler gives to programs (it refuses more). *Least time*: FLOPs at "
        f"the chip's {PEAK_FLOPS / 1e12:.0f} TFLOP/s, which no real step reaches; FLOPs are the "
        "compiler's, which counts a loop's body once, times the layers. *CPU s*: of all threads; "
        "other programs ran beside.",
        "",
        "Sizes from memory, not from a published file: " + ", ".join(FROM_MEMORY) + ".",
    ]
    for topology in (HOST, POD):
        chosen = [
            program
            for case, program in sorted(programs.items(), key=lambda item: order(item[0]))
            if case.topology == topology and case.layers == SIZES[case.model].num_layers
        ]
        lines += ["", f"## {topology}", "", *table(chosen)]
    return [*lines, "", "## Depth", "", *depth_table(programs)]


def order(case: Case) -> tuple[int, int]:
    """Models as the package lists them, IA³ before LoRA."""
    return MODELS.index(case.model), list(ADAPTERS).index(case.adapter)


def table(programs: list[dict[str, Any]]) -> list[str]:
    """One row for each program."""
    columns = (
        "model",
        "adapter",
        "arguments, GB",
        "temporary, GB",
        "needed, GB",
        "fits",
        "messages between chips a step",
        "TFLOP a chip and step",
        "least time, ms",
        "compile, CPU s",
    )
    return markdown_table(columns, map(row, programs), align="llrrrllrrr")


def row(program: dict[str, Any]) -> tuple[str, ...]:
    """A program's row of the table."""
    case, sizes = Case(**program["case"]), program["bytes"]
    names = [case.model, *(name for name, same in SAME_AS.items() if same == case.model)]
    messages = (
        f"{message['count']} {message['kind']}, {message['bytes'] / 1e6:.1f} MB"
        for message in program["collectives"]
    )
    return (
        ", ".join(names),
        case.adapter,
        f"{sizes['arguments'] / 1e9:.2f}",
        f"{sizes['temporary'] / 1e9:.2f}",
        f"{sizes['needed'] / 1e9:.2f}",
        "yes" if program["fits"] else "**no**",
        "; ".join(messages) or "none",
        f"{program['flops'] / 1e12:.1f}",
        f"{program['flops'] / PEAK_FLOPS * 1e3:.0f}",
        f"{program['compile seconds']['processor']:.0f}",
    )


def depth_table(programs: dict[Case, dict[str, Any]]) -> list[str]:
    """Compile time and size of the program at two depths of one width."""
    few, many = DEPTHS
    heads = ["width of", "adapter", f"compile, CPU s: {few} layers", f"{many} layers", "ratio"]
    heads += [f"instructions: {few} layers", f"{many} layers", "ratio"]
    rows = []
    for model in WIDTHS:
        for adapter in ADAPTERS:
            pair = [programs.get(Case(model, adapter, HOST, layers)) for layers in DEPTHS]
            if None in pair:
                continue
            seconds = [program["compile seconds"]["processor"] for program in pair]
            sizes = [program["instructions"] for program in pair]
            cells = [f"{seconds[0]:.0f}", f"{seconds[1]:.0f}", f"{seconds[1] / seconds[0]:.2f}"]
            cells += [f"{sizes[0]:,}", f"{sizes[1]:,}", f"{sizes[1] / sizes[0]:.2f}"]
            rows.append([model, adapter, *cells])
    return markdown_table(heads, rows, align="llrrrrrr")


if __name__ == "__main__":
    main()
