"""The sections of on_gpu.py; each prints its results as lines of JSON that begin with "row"."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from benchmark_sides import Case, NtjaxSide, PeftSide, Size, rows_of

ROOT = Path(__file__).parents[2]
ROUNDS, STEPS, MEMBERS = 7, 10, 9
PROFILED = 3
# Kinds of kernels by parts of their names, the first that fits.
KERNELS = {
    "matrix products": ("nvjet", "gemm", "cublas"),
    "attention": ("cudnn",),
    "copies": ("memcpy", "Memcpy", "dynamic_update_slice"),
    "zeros": ("broadcast", "Memset"),
}
ENCODER = partial(Size, vocabulary=4105, positions="learned", max_tokens=1000, dtype="bfloat16")
MODELS = {
    "500M": ENCODER(24, 1280, 20, 5120),
    "2B5": ENCODER(32, 2560, 20, 10240),
    "tiny": Size(2, 32, 4, 64, 75, "rotary", 64, "bfloat16"),
}
MAIN = (
    ("500M", Case("train", "ia3", 8, 1000)),
    ("500M", Case("train", "lora", 8, 1000)),
    ("500M", Case("inference", "ia3", 8, 1000)),
    ("500M", Case("train", "ia3", 512, 17)),
    ("2B5", Case("train", "ia3", 8, 1000)),
)
MORE = (
    ("500M", Case("train", "lora", 512, 17)),
    ("500M", Case("train", "ia3", 32, 1000)),
)


def say(row: str, **values: Any) -> None:
    """Print a result."""
    print(json.dumps({"row": row, **values}), flush=True)


def start(tiny: bool) -> None:
    """Name the card and take a step with each form of attention."""
    import jax

    device = jax.devices()[0]
    say(f"JAX sees {jax.device_count()} × {device.device_kind}")
    size, case = MODELS["tiny"], Case("train", "ia3", 4, 40)  # long enough for cuDNN
    for attention in ("plain", None):
        side = NtjaxSide(size, case, None, attention)
        loss = side.wait(side.train(0, rows_of(size, case).batch(0)))
        say(f"tiny step, attention {side.config.forward.attention}: loss {loss:.4f}")
    if not tiny:
        say(f"matrix product, bfloat16, 8192: {matrix_peak() / 1e12:.0f} TFLOP/s")


def matrix_peak() -> float:
    """Measure floating-point operations a second of one large matrix product in bfloat16."""
    import jax

    side = 8192
    product, factor = jax.jit(lambda a: a @ a), jax.random.normal(jax.random.key(0), (side, side))
    a = factor.astype("bfloat16") / side**0.5
    product(a).block_until_ready()
    began = time.perf_counter()
    for _ in range(20):
        a = product(a)
    a.block_until_ready()
    return 20 * 2 * side**3 / (time.perf_counter() - began)


def time_sides(
    make: Callable[[Size, Case], Any], name: str, cases: Sequence[tuple[str, Case]], tiny: bool
) -> None:
    """Time cases of one side, one after the other."""
    for model, case in cases:
        if tiny:
            model, case = "tiny", Case(case.mode, case.adapter, 4, min(case.tokens, 32))
        size = MODELS[model]
        try:
            measured = time_case(partial(make, size, case), size, case)
        except Exception as error:  # the next case is measured whatever became of this one
            say(f"{name}, {model}, {case}: {type(error).__name__}: {str(error)[:300]}")
            continue
        about = {"model": model, "side": name, "size": asdict(size), **asdict(case)}
        say(f"{name} {model} {case}", **about, **measured)


def time_case(make: Callable[[], Any], size: Size, case: Case) -> dict[str, Any]:
    """Seconds of a step, of the first one, and the device's memory in GB."""
    began = time.perf_counter()
    side, batches = make(), rows_of(size, case)

    def steps(count: int, first: int) -> float:
        start = time.perf_counter()
        for number in range(first, first + count):
            batch = batches.batch(number)
            result = side.train(number, batch) if case.mode == "train" else side.infer(batch)
        side.wait(result)
        return (time.perf_counter() - start) / count

    steps(1, 0)
    first, once = time.perf_counter() - began, steps(3, 1)
    count = max(3, min(50, round(0.5 / once)))
    seconds = [steps(count, 4 + number * count) for number in range(ROUNDS)]
    found = {"seconds": seconds, "steps": count, "first": first, "memory_gb": memory(side)}
    if isinstance(side, NtjaxSide) and side.jax.default_backend() == "gpu":
        try:
            found["kernels_ms"] = kernels(lambda: steps(PROFILED, 0))
        except Exception as error:  # what was timed is kept
            say(f"no profile of {case}: {type(error).__name__}: {error}")
    return found


def kernels(run: Callable[[], Any]) -> dict[str, float]:
    """Milliseconds of a step on the GPU by kind of kernel, from JAX's profiler."""
    import jax

    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = options.host_tracer_level = 0
    found = dict.fromkeys([*KERNELS, "other"], 0.0)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            run()
        (path,) = Path(folder).rglob("*.xplane.pb")
        planes = [
            p for p in jax.profiler.ProfileData.from_file(str(path)).planes if "GPU" in p.name
        ]
    for line in (line for plane in planes for line in plane.lines if "Stream" in line.name):
        for event in line.events:
            kinds = (kind for kind, words in KERNELS.items() if any(w in event.name for w in words))
            found[next(kinds, "other")] += event.duration_ns / 1e6 / PROFILED
    return {kind: round(value, 3) for kind, value in found.items()}


def memory(side: Any) -> float | None:
    """The most that the side's framework held on the device so far, in GB."""
    if isinstance(side, PeftSide):
        cuda = side.torch.cuda
        most = cuda.max_memory_allocated() if cuda.is_available() else None
        if most is not None:
            cuda.reset_peak_memory_stats()
    else:
        most = (side.jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return None if most is None else most / 1e9


def attention(tiny: bool) -> None:
    """Time both forms of attention, forward and backward, on as many tokens in all."""
    import jax
    import jax.numpy as jnp

    from ntjax.models.attention import attention_context, cudnn_context

    total, heads, key_dim = (64, 2, 8) if tiny else (8192, 20, 64)
    forms = {"plain": attention_context}
    if jax.default_backend() == "gpu":
        forms["cuDNN"] = cudnn_context

    def there_and_back(form: Callable, mask: Any, arrays: Any, gradient: Any) -> Any:
        context, back = jax.vjp(lambda *heads: form(*heads, mask), *arrays)
        return context, back(gradient)

    for tokens in (9, 16) if tiny else (17, 33, 65, 129, 257, 1000):
        rows = total // tokens
        mask = jnp.ones((rows, 1, 1, tokens), bool)
        keys = jax.random.split(jax.random.key(0), 4)
        shape = (rows, tokens, heads, key_dim)
        *arrays, gradient = (jax.random.normal(key, shape, jnp.bfloat16) for key in keys)
        found = {
            name: _milliseconds(partial(there_and_back, form, mask), arrays, gradient)
            for name, form in forms.items()
        }
        times = ", ".join(f"{name} {value:.3f} ms" for name, value in found.items())
        say(f"attention of a layer, {rows} × {tokens} tokens, there and back: {times}", **found)


def _milliseconds(function: Callable, *arguments: Any, times: int = 30) -> float:
    """Time a call: the median over rounds of many, waited for at the end of a round."""
    import jax

    compiled, seconds = jax.jit(function), []
    for number in range(ROUNDS + 1):
        began = time.perf_counter()
        for _ in range(times if number else 1):  # the first compiles
            result = compiled(*arguments)
        jax.block_until_ready(result)
        seconds.append((time.perf_counter() - began) / times)
    return 1e3 * statistics.median(seconds[1:])


def population(tiny: bool) -> None:
    """Train nine members in one program, and one after the other."""
    model, long = ("tiny", 40) if tiny else ("500M", 256)
    for adapter, rows, tokens in (("ia3", 32, 17), ("ia3", 2, long), ("lora", 32, 17)):
        side_by_side = time_population(MODELS[model], Case("train", adapter, rows, tokens))
        together, alone = (statistics.median(values) for values in side_by_side.values())
        say(
            f"{model}, {adapter}, {MEMBERS} members of {rows} × {tokens}: {1e3 * together:.1f} ms "
            f"a step together, {1e3 * alone:.1f} ms one after the other, "
            f"ratio {alone / together:.2f}",
            population=side_by_side,
        )


def time_population(size: Size, case: Case) -> dict[str, list[float]]:
    """Seconds of a step of nine members, `together` and `alone`, in turn."""
    import jax
    import numpy as np

    from ntjax.training.members import spread_population, stack
    from ntjax.training.step import compile_train_step

    side, batches = NtjaxSide(size, case, None), rows_of(size, case)
    rates = [np.float32(1e-3 * (1 + number)) for number in range(MEMBERS)]
    members = [side.hyperparameters._replace(learning_rate=rate) for rate in rates]
    step, numbers = compile_train_step(side.config, MEMBERS), stack(members)
    state = {"members": stack([side.member] * MEMBERS)}

    def together(at: int) -> Any:
        batch = spread_population([batches.batch(at)] * MEMBERS, 1)
        state["members"], values = step(side.params, state["members"], numbers, np.int32(at), batch)
        return values["loss"]

    def alone(at: int) -> Any:
        for side.hyperparameters in members:
            loss = side.train(at, batches.batch(at))
        return loss

    seconds: dict[str, list[float]] = {"together": [], "alone": []}
    for number in range(ROUNDS + 1):
        for name, take in (("together", together), ("alone", alone)):
            began = time.perf_counter()
            for at in range(STEPS):
                loss = take(STEPS * number + at)
            jax.block_until_ready(loss)
            if number:  # the first round compiles
                seconds[name].append((time.perf_counter() - began) / STEPS)
    return seconds


def parity(tiny: bool) -> None:
    """Run the tests against the official model's outputs and of cuDNN's attention."""
    del tiny
    files = ["tests/models/test_golden.py", "tests/models/test_cudnn_attention.py"]
    workers = str(min(12, os.cpu_count() or 1))
    options = ["-q", "-n", workers, "--dist", "load", "-p", "no:cacheprovider", "-W", "default"]
    options += ["-m", "not official"]  # every case, those of the slower tiers too
    finished = run_module("pytest", *options, *files, folder=ROOT, capture_output=True)
    print(finished.stdout, finished.stderr, sep="\n")
    say(f"{' '.join(files)}: {finished.stdout.strip().splitlines()[-1]}")
    for line in finished.stdout.splitlines():
        if line.startswith(("FAILED", "ERROR")):
            say(line[:300])
    sys.exit(finished.returncode)


def run_module(module: str, *options: str, folder: Path, **how: Any) -> Any:
    """Run `python -m module` in a folder, with this checkout's ntjax."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-m", module, *options]
    return subprocess.run(command, cwd=folder, env=environment, text=True, check=False, **how)


def default(tiny: bool) -> None:
    """Run the embedded default as a user would."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--steps", "3", "--no-baselines"] if tiny else []
        began = time.perf_counter()
        finished = run_module(
            "ntjax.finetune", "--no-progress", "--out", "run", *options, folder=Path(folder)
        )
        finished.check_returncode()
        took = time.perf_counter() - began
        auroc = json.loads(Path(folder, "run", "test_metrics.json").read_text())["auroc"]
    say(
        f"`python -m ntjax.finetune` with its baselines: {took:.0f} s; AUROC {auroc['value']:.3f} "
        f"[{auroc['low']:.3f}, {auroc['high']:.3f}]"
    )


def _ours(size: Size, case: Case, **choices: Any) -> NtjaxSide:
    return NtjaxSide(size, case, None, **choices)


def _theirs(size: Size, case: Case) -> PeftSide:
    return PeftSide(size, case, None)


REMATERIALISED = partial(_ours, rematerialise=True)
SECTIONS: dict[str, Callable[[bool], None]] = {
    "start": start,
    "ntjax": partial(time_sides, _ours, "ntjax", MAIN),
    "peft": partial(time_sides, _theirs, "PEFT", MAIN),
    "attention": attention,
    "population": population,
    "parity": parity,
    "default": default,
    "more-ntjax": partial(time_sides, _ours, "ntjax", MORE),
    "more-peft": partial(time_sides, _theirs, "PEFT", MORE),
    "rematerialised": partial(time_sides, REMATERIALISED, "ntjax, rematerialised", MAIN[:1]),
}


if __name__ == "__main__":
    SECTIONS[sys.argv[1]](tiny="--tiny" in sys.argv)
