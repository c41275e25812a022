"""A task that a model of three layers learns in seconds, and quick settings to fine-tune on it."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np

from ntjax.finetune import Options, finetune
from ntjax.training.settings import Settings

MODEL = Path(__file__).parents[1] / "golden" / "rotary_gelu"
WORDS = ("", "TATAAT", "GCCGCA")
"""What a sequence of class 0, 1, 2 holds at two places, on the model's own grid of 6-mers."""
PLACES = (12, 24)


def planted_rows(count: int, classes: int = 2, seed: int = 0) -> list[tuple[str, str, str]]:
    """Name (three rows share one), sequence of 36 letters and label of each row."""
    letters = np.random.default_rng(seed).choice(list("ACGT"), (count, 36))
    rows = []
    for number, row in enumerate(letters):
        label, sequence = number % classes, "".join(row)
        word = WORDS[label]
        for place in PLACES:
            sequence = sequence[:place] + word + sequence[place + len(word) :]
        rows.append((f"site{number // 3}", sequence, str(label)))
    return rows


def write_csv(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("name", "sequence", "label"), *rows])
    return path


def quick(train: Path, **options) -> Settings:
    """Settings for a run of seconds; all parts but the training rows are of one size."""
    values = {
        "model": str(MODEL),
        "steps": 20,
        "batch_size": 16,
        "learning_rate": 0.02,
        "head": "mean",
        "evaluate_every": 10,
        "validation_fraction": 0.1,
        "calibration_fraction": 0.1,
        "test_fraction": 0.1,
        "baselines": False,
    }
    return Settings(train=str(train), **values | options)


def run(settings: Settings, out: Path, resume: bool = False) -> dict:
    return finetune(Options(settings, out, resume, progress=False))


def arguments(settings: Settings, out: Path) -> list[str]:
    """The command line that stands for `settings`."""
    given = ["--no-progress", "--out", str(out)]
    for name, value in vars(settings).items():
        option = name.replace("_", "-")
        if value == getattr(Settings(), name):
            continue
        given += [f"--no-{option}"] if value is False else [f"--{option}", str(value)]
    return given


def start(*given: str, cwd: Path | None = None) -> subprocess.Popen:
    """The real command in a process of its own; warnings are errors there too."""
    quick = jax.config.read("jax_disable_most_optimizations")  # what is compared is compiled alike
    settings = {
        "JAX_DISABLE_MOST_OPTIMIZATIONS": str(quick),
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "ntjax.finetune", *given],
        env=os.environ | settings,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
