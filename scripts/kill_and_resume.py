"""Kill commands at random moments and complete them: the same bytes, one part repeated at most.

    python scripts/kill_and_resume.py --kills 5

Each command runs once undisturbed. Then it is killed (SIGKILL) at a random moment of that time, the
folder is looked at, and it is run again with `--resume`. Writes `kill_and_resume.md` beside this
file.
"""

import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import tyro

import ntjax

HERE = Path(__file__).parent
ROWS, GENOME_BASES, SNVS = 40_000, 100_000, 5_000
_HEAD = (
    "# Commands killed at random, and completed",
    "",
    "Made by `python scripts/kill_and_resume.py`. A command writes its output in parts. Repeated: "
    "parts that were whole when it was killed and were made again all the same.",
    "",
    "| command | killed after, s | parts left | parts repeated | same bytes |",
    "|---|---:|---:|---:|---|",
)
_THERE = re.compile(r"([\d,]+) parts? of (?:it|them) were there")


@dataclass(frozen=True)
class Options:
    """Options of `python scripts/kill_and_resume.py`."""

    kills: int = 5
    """Of each command."""
    seed: int = 0
    """Of the moments."""
    commands: tuple[str, ...] = ()
    """Which; all if none is named."""
    out: Path = HERE / "kill_and_resume.md"
    """File of the log."""


class Killed(NamedTuple):
    """What a kill left behind, and what became of it.

    Attributes:
        seconds: after the start.
        parts: whole ones it left.
        repeated: parts of these that were made again.
        same: whether the completed output has the bytes of the undisturbed one.
    """

    seconds: float
    parts: int
    repeated: int
    same: bool


def kill_and_resume(
    command: list[str], out: Path, kills: int, seed: int, shortest: float = 0.0
) -> list[Killed]:
    """Kill a command that writes `out`, several times, and complete it each time.

    Arguments:
        command: without `--resume`.
        out: the file that it writes, or what the files' names begin with.
        kills: how often.
        seed: of the moments.
        shortest: earliest moment, as a share of the time that the command takes.

    Raises:
        AssertionError: a kill left an output, or something half-written that was not removed.
    """
    moments, result = random.Random(seed), []
    started = time.monotonic()
    _finished(command)
    whole, wanted = time.monotonic() - started, _outputs(out)
    while len(result) < kills:
        for name in _outputs(out):
            (out.parent / name).unlink()
        result.append(_killed(command, out, wanted, moments.uniform(shortest * whole, whole)))
    return result


def _outputs(out: Path) -> dict[str, bytes]:
    """Return the content of what a command has written, by name."""
    found = [out, *out.parent.glob(f"{out.name}.*")]
    return {path.name: path.read_bytes() for path in found if path.is_file()}


def _killed(command: list[str], out: Path, wanted: dict[str, bytes], seconds: float) -> Killed:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    folder = out.parent / f"{out.name}.parts"
    parts = {path.name for path in folder.glob("[0-9]*")} if folder.exists() else set()
    # It may have been done: then its output is whole.
    left = _outputs(out)
    assert all(wanted[name] == content for name, content in left.items()), "a half-written output"
    if left and not folder.exists():
        return Killed(seconds, len(parts), 0, left == wanted)
    said = _finished([*command, "--resume"])
    assert not folder.exists(), "parts were left behind"
    there = _THERE.search(said)
    kept = int(there[1].replace(",", "")) if there else 0
    complete = "all were there" in said
    return Killed(
        seconds, len(parts), 0 if complete else len(parts) - kept, _outputs(out) == wanted
    )


def _finished(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def predict(folder: Path) -> tuple[list[str], Path]:
    """Return a command that predicts, and what it writes."""
    rows = random_rows(folder / "rows.csv", ROWS)
    run = trained(folder)
    out = folder / "scores.csv"
    return ntjax_command("predict", "--run", run, "--input", rows, "--out", out), out


def embed(folder: Path) -> tuple[list[str], Path]:
    """Return a command that embeds, and what it writes."""
    rows, out = random_rows(folder / "rows.csv", ROWS), folder / "rows.npz"
    return ntjax_command("embed", "--model", "mini", "--input", rows, "--out", out), out


def scan(folder: Path) -> tuple[list[str], Path]:
    """Return a command that scans, and what the names of its files begin with."""
    genome, out = random_genome(folder / "genome.fa", GENOME_BASES), folder / "found"
    return ntjax_command("scan", "--run", trained(folder), "--genome", genome, "--out", out), out


def variants(folder: Path, model: object = "mini") -> tuple[list[str], Path]:
    """Return a command that scores SNVs in small windows, and what it writes."""
    drawn, bases, out = random.Random(2), 4 * SNVS, folder / "scores.vcf.gz"
    text = "".join(drawn.choices("ACGT", k=bases))
    (folder / "genome.fa").write_text(f">1\n{text}\n")
    lines = ["##fileformat=VCFv4.3", "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO"]
    for position in sorted(drawn.sample(range(bases), SNVS)):
        old = text[position]
        new = "ACGT"[("ACGT".index(old) + drawn.randrange(1, 4)) % 4]
        lines.append(f"1\t{position + 1}\t.\t{old}\t{new}\t.\t.\t.")
    (folder / "snvs.vcf").write_text("\n".join(lines) + "\n")
    files = ("--variants", folder / "snvs.vcf", "--genome", folder / "genome.fa", "--out", out)
    settings = ("--model", model, "--window", 48, "--phases", 1)
    return ntjax_command("variants", *settings, *files), out


def ntjax_command(name: str, *options: object) -> list[str]:
    """Return a command line without a progress bar."""
    return [sys.executable, "-m", f"ntjax.{name}", *map(str, options), "--no-progress"]


def random_rows(path: Path, rows: int) -> Path:
    """Write sequences of 36 bp."""
    drawn = random.Random(1)
    lines = ("".join(drawn.choices("ACGT", k=36)) for _ in range(rows))
    path.write_text("sequence\n" + "\n".join(lines) + "\n")
    return path


def random_genome(path: Path, bases: int) -> Path:
    """Write a contig."""
    path.write_text(f">made\n{''.join(random.Random(2).choices('ACGT', k=bases))}\n")
    return path


def trained(folder: Path) -> Path:
    """Train `mini`'s head for a step on rows of 36 bp."""
    rows = random_rows(folder / "train.csv", 400).read_text().split()[1:]
    labels = ["yes", "no"] * (len(rows) // 2)
    ntjax.fine_tune(
        "mini", (rows, labels), adapter="head", head="mean", steps=1, out=folder / "run"
    )
    return folder / "run"


COMMANDS: dict[str, Callable[[Path], tuple[list[str], Path]]] = {
    "predict": predict,
    "embed": embed,
    "scan": scan,
    "variants": variants,
}


def main() -> None:
    """Run all, and write the log as it grows."""
    options = tyro.cli(Options, description=__doc__)
    lines = list(_HEAD)
    for name in options.commands or COMMANDS:
        with tempfile.TemporaryDirectory() as folder:
            for one in kill_and_resume(*COMMANDS[name](Path(folder)), options.kills, options.seed):
                same = "yes" if one.same else "NO"
                lines.append(
                    f"| {name} | {one.seconds:.1f} | {one.parts} | {one.repeated} | {same} |"
                )
                print(lines[-1], flush=True)
        options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
