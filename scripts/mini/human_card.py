"""Put the `mini_human` that `scripts/mini/train_mini.py` trained into the package, with its card.

    python scripts/mini/train_mini.py --arms human
    python scripts/mini/human_card.py --runs runs/mini

Writes `mini_human.safetensors` (matrices in bfloat16), `mini_human.md` and `mini_human.json` beside
`ntjax/checkpoints/mini.py`. What it reaches on test blocks is what the run itself reported.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from mini_card import bundled, difference_cells, minutes, recipe, sets_table, table

from ntjax.checkpoints import mini, safetensors
from ntjax.io.json import read_json, write_json
from ntjax.reports import command_line
from ntjax.training.pretraining import REPORT_FILE, WEIGHTS_FILE


@dataclass(frozen=True)
class Script:
    """Where the run is, and what it was made on."""

    runs: Path = Path("runs/mini")
    """Folder of `scripts/mini/train_mini.py`."""
    machine: str = "one core of an AMD EPYC without AVX-512, with other work beside it"
    """What the model was trained on."""
    date: str = datetime.date.today().isoformat()
    """When it was trained, as today."""


def main() -> None:
    """Write the weights and the card."""
    command_line.run(lambda: run(tyro.cli(Script, description=__doc__)))


def run(script: Script) -> None:
    """Weights first: the card names them."""
    folder, target = script.runs / "human", mini.weights_file(mini.HUMAN)
    tensors = bundled(folder / WEIGHTS_FILE)
    safetensors.write(target, tensors)
    mini.weights_id.cache_clear()
    record = {
        "weights": mini.weights_id(mini.HUMAN),
        "date": script.date,
        "machine": script.machine,
        "parameters": sum(np.size(tensor) for tensor in tensors.values()),
        "settings": recipe(read_json(folder / "config.json")["settings"]),
        "minutes": minutes(folder),
        "sets": named(read_json(folder / REPORT_FILE)),
    }
    write_json(target.with_suffix(".json"), record)
    target.with_suffix(".md").write_text(card(record))
    print(card(record))


def named(sets: dict[str, Any]) -> dict[str, Any]:
    """Give the run's own model its name."""
    for result in sets.values():
        result["metrics"] = {
            mini.HUMAN if name == "model" else name: metric
            for name, metric in result["metrics"].items()
        }
    return sets


def card(record: dict[str, Any]) -> str:
    """Lay the model card out as Markdown."""
    own = record["settings"]
    tokens = own["steps"] * own["tokens_per_update"]
    first, end = (place / 1e6 for place in mini.HUMAN_UNSEEN)
    lines = [
        "# `mini_human`: the same small network for human DNA",
        "",
        "The architecture of [`mini`](mini.md), trained on one human chromosome: to compare a "
        "human with a bacterial model of the same size, offline. It is small and saw few tokens, "
        "and knows far less than the published models.",
        "",
        f"- **Data**: chromosome 20 of GRCh37, without {first:g} to {end:g} Mb, so that the "
        "variants of 1000 Genomes at 1 to 4 Mb lie in sequence that it never saw. Of its blocks of "
        f"{own['block_letters'] / 1000:.0f} kb about {own['validation_fraction']:.0%} are kept "
        f"apart for validation and {own['test_fraction']:.0%} for the figures below.",
        f"- **Recipe**: as of `mini`, {own['steps']:,} updates of {own['tokens_per_update']:,} "
        f"tokens ({tokens / 1e6:.1f} million in all; `mini` saw 14.3 million). `python "
        "scripts/mini/train_mini.py --arms human` makes one.",
        f"- **Size**: {record['parameters']:,} parameters, "
        f"{mini.weights_file(mini.HUMAN).stat().st_size / 1e6:.1f} MB (matrices in bfloat16).",
        f"- **Hardware, date**: {record['machine']}: {record['minutes']:.0f} minutes; "
        f"{record['date']}.",
        "- **Licence**: as the package.",
        "",
        "## Held-out sequence",
        "",
        "Masked 6-mers of test blocks, every seventh token masked; windows that share 31 bases "
        "with the training blocks are left out. Bits per nucleotide (2 = knows nothing) with 95% "
        "intervals over groups of neighbouring windows. The Markov model sees true bases on both "
        "sides. (Measured in float32, before rounding.)",
        "",
        *sets_table(record["sets"]),
        "",
        "Loss of `mini_human` minus that of each baseline, in nats a 6-mer (below 0: `mini_human` "
        "is better):",
        "",
        *table(["against", *record["sets"]], difference_cells(record["sets"])),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
