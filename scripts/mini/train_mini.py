"""Train the bundled `mini`, its twin without *E. coli*, a human `mini`, and a grid of sizes.

    python scripts/mini/train_mini.py                  # all arms, one after the other; resumes
    python scripts/mini/train_mini.py --arms mini twin
    python scripts/mini/mini_card.py                   # weights and card into the package

The genomes are read from NTJAX_DATA_DIR/genomes, chromosome 20 from NTJAX_DATA_DIR/human. An arm
that is stopped goes on where it was. On one CPU core `mini` and `twin` take about 70 minutes each,
`human` 60, the grid 20.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tyro

from ntjax.checkpoints import mini
from ntjax.errors import UserError
from ntjax.io.fasta import read_fasta
from ntjax.io.files import write_bytes
from ntjax.models.config import TransformerConfig
from ntjax.pretrain import Options, pretrain
from ntjax.reports import command_line
from ntjax.training.pretrain_settings import PretrainSettings

# In the order in which the grid takes the first 1, 3 and 10 of them.
GENOMES = (
    "ecoli_k12_mg1655",
    "bamyloliquefaciens_xh7",
    "rcapsulatus",
    "cjejuni",
    "cpneumoniae",
    "ecoli_536",
    "hpylori_g27",
    "saureus_n315",
    "spyogenes",
    "vcholerae_n16961",
)
SIZES: dict[str, TransformerConfig] = {
    "mini": mini.CONFIG,
    "small": replace(
        mini.CONFIG, attention_heads=4, embed_dim=128, ffn_embed_dim=512, num_layers=2
    ),
}
STEPS, HUMAN_STEPS, GRID_STEPS = 7_000, 4_000, 400

HUMAN = "human_chr20"


@dataclass(frozen=True)
class Arm:
    """A model to train: its size, what it sees and for how long."""

    size: str
    genomes: tuple[str, ...]
    steps: int
    initial_kmers: Literal["letters", "independent"] = "letters"


ARMS = {
    "mini": Arm("mini", GENOMES, STEPS),
    "twin": Arm("mini", tuple(name for name in GENOMES if "ecoli" not in name), STEPS),
    "human": Arm("mini", (HUMAN,), HUMAN_STEPS),
} | {
    f"grid_{size}_{count}": Arm(size, GENOMES[:count], GRID_STEPS)
    for size in SIZES
    for count in (1, 3, 10)
}
# What it is worth that k-mers begin with what their letters have in common.
ARMS["grid_mini_10_independent"] = Arm("mini", GENOMES, GRID_STEPS, "independent")


@dataclass(frozen=True)
class Script:
    """What to do."""

    arms: tuple[str, ...] = tuple(ARMS)
    """Arms to train: mini, twin, human, grid_SIZE_GENOMES, grid_mini_10_independent."""
    runs: Path = Path("runs/mini")
    """Folder of the runs."""
    progress: bool = True
    """Show progress bars."""


def main() -> None:
    """Train the arms that are not finished."""
    command_line.run(lambda: run(tyro.cli(Script, description=__doc__)))


def run(script: Script) -> None:
    """One arm after the other."""
    if unknown := [name for name in script.arms if name not in ARMS]:
        raise UserError(f"--arms {' '.join(unknown)}: there are {', '.join(ARMS)}")
    if "NTJAX_DATA_DIR" not in os.environ:
        raise UserError("set NTJAX_DATA_DIR to the folder that holds genomes/ and human/")
    for name in script.arms:
        train(name, script)


def train(name: str, script: Script) -> None:
    """Begin an arm, or go on with it."""
    folder = script.runs / name
    if not (folder / "held_out.json").exists():
        resume = (folder / "config.json").exists()
        pretrain(Options(settings(ARMS[name], script.runs), folder, resume, script.progress))


def settings(arm: Arm, runs: Path) -> PretrainSettings:
    """The same recipe for all arms."""
    return PretrainSettings(
        genomes=tuple(str(genome_file(name, runs)) for name in sorted(arm.genomes)),
        model=str(hyperparameters_file(arm.size, runs)),
        steps=arm.steps,
        initial_kmers=arm.initial_kmers,
        tokens_per_update=2048,
        evaluate_every=500,
    )


def genome_file(name: str, runs: Path) -> Path:
    """Find a genome; chromosome 20 is written without what must stay unseen."""
    data = Path(os.environ["NTJAX_DATA_DIR"])
    if name != HUMAN:
        return data / "genomes" / f"{name}.fna.gz"
    path = runs / f"{HUMAN}.fa"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, without_unseen(data / "human" / "chr20_b37.fa.gz"))
    return path


def without_unseen(fasta: Path) -> bytes:
    """Cut a chromosome in two records, before and after what must stay unseen."""
    [record] = read_fasta(fasta)
    first, end = mini.HUMAN_UNSEEN
    return f">before\n{record.sequence[:first]}\n>after\n{record.sequence[end:]}\n".encode()


def hyperparameters_file(size: str, runs: Path) -> Path:
    """The official file that begins a model of this size with random weights."""
    path = runs / f"{size}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(SIZES[size].to_hyperparams(), indent=1))
    return path


if __name__ == "__main__":
    main()
