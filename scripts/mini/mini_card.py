"""Put the `mini` that `scripts/mini/train_mini.py` trained into the package, with its card.

    python scripts/mini/mini_card.py --runs runs/mini

Evaluates all finished arms on the same held-out windows (five minutes on two CPU cores) and reads
the genomes from NTJAX_DATA_DIR/genomes. Writes `mini.safetensors` (matrices in bfloat16),
`mini.md`, `mini.json` and `mini.png` beside `ntjax/checkpoints/mini.py`.
"""

import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import ml_dtypes
import numpy as np
import tyro
from mini_comparison import baselines, by_genome, compared, read_arms, whole_genomes
from train_mini import ARMS

from ntjax.checkpoints import mini, safetensors
from ntjax.io.json import read_json, write_json
from ntjax.reports import command_line
from ntjax.reports.markdown import markdown_table
from ntjax.training.pretraining import WEIGHTS_FILE

# Blue and orange are told apart by the colour-blind (Okabe & Ito).
COLOURS = {"mini": "#0072B2", "twin": "#E69F00"}
LARGEST_FILE = 20_000_000


@dataclass(frozen=True)
class Script:
    """Where the runs are, and what they were made on."""

    runs: Path = Path("runs/mini")
    """Folder of `scripts/mini/train_mini.py`."""
    machine: str = "one core of an x86-64 CPU for each model, with other work beside them"
    """What the models were trained on."""
    date: str = datetime.date.today().isoformat()
    """When they were trained."""


def main() -> None:
    """Write the weights and the card."""
    command_line.run(lambda: run(tyro.cli(Script, description=__doc__)))


def run(script: Script) -> None:
    """Card, figure, and last the weights."""
    arms = read_arms(script.runs)
    others = baselines(arms.jobs["mini"])
    tensors = bundled(script.runs / "mini" / WEIGHTS_FILE)
    safetensors.write(mini.WEIGHTS_FILE, tensors)
    mini.weights_id.cache_clear()
    record = {
        "weights": mini.weights_id(),
        "date": script.date,
        "machine": script.machine,
        "parameters": sum(np.size(tensor) for tensor in tensors.values()),
        "settings": recipe(read_json(script.runs / "mini" / "config.json")["settings"]),
        "minutes": {name: minutes(script.runs / name) for name in arms.jobs},
        "sets": compared(arms, others),
        "genomes": by_genome(arms, others),
        "whole_genomes": whole_genomes(arms),
    }
    write_json(mini.WEIGHTS_FILE.with_suffix(".json"), record)
    mini.WEIGHTS_FILE.with_suffix(".md").write_text(card(record))
    draw(script.runs, record, mini.WEIGHTS_FILE.with_suffix(".png"))
    print(card(record))


def recipe(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run, genomes by name and not by where they lay."""
    names = [Path(genome).name for genome in settings["genomes"]]
    return {name: value for name, value in settings.items() if name != "model"} | {"genomes": names}


def bundled(weights: Path) -> dict[str, np.ndarray]:
    """Matrices in bfloat16, norms and biases in float32."""
    tensors, _ = safetensors.read(weights)
    small = {
        name: tensor.astype(ml_dtypes.bfloat16)
        if name.rpartition("/")[2] in ("w", "embeddings")
        else tensor
        for name, tensor in tensors.items()
    }
    size = sum(tensor.nbytes for tensor in jax.tree.leaves(small))
    if size > LARGEST_FILE:
        raise SystemExit(f"{weights}: {size:,} bytes are more than {LARGEST_FILE:,}")
    return small


def minutes(folder: Path) -> float:
    """Time in the training loop, over all the times it was begun."""
    lines = [json.loads(line) for line in (folder / "timing.jsonl").read_text().splitlines()]
    seconds = [line["seconds"] for line in lines]
    # The clock begins anew when a run is resumed.
    ends = [now for now, after in zip(seconds, [*seconds[1:], 0.0], strict=True) if after < now]
    return sum(ends) / 60


def card(record: dict[str, Any]) -> str:
    """The model card as Markdown."""
    lines = [
        "# `mini`: a small Nucleotide Transformer for bacteria",
        "",
        "A model to try everything with, offline and on a laptop. It is small and saw few tokens: "
        "it knows far less than the published models, and how much it knows is below.",
        "",
        *description(record),
        "",
        "![Validation loss while training](mini.png)",
        "",
        "## Held-out sequence",
        "",
        "Masked 6-mers of test blocks, every seventh token masked; windows that share 31 letters "
        "with the training blocks of any of the ten genomes are left out. Bits per nucleotide (2 = "
        "knows nothing) with 95% intervals over groups of neighbouring windows. `twin` is trained "
        "like `mini`, without either *E. coli*; `grid_SIZE_N` saw the first N genomes (1: *E. "
        f"coli* K-12) for {ARMS['grid_mini_10'].steps} updates (`small`: 2 layers of 128 "
        "dimensions; `independent`: k-mers' vectors drawn each on its own). The Markov model sees "
        "true letters on both sides; its order is chosen on `mini`'s validation blocks. (Measured "
        "in float32, before rounding.)",
        "",
        *sets_table(record["sets"]),
        "",
        "## Pairs of models",
        "",
        "Differences of the loss on the same k-mers, in nats a 6-mer (below 0: the first is "
        "better):",
        "",
        *difference_table(record["sets"]),
        "",
        "## Genome by genome",
        "",
        "`mini` on the test blocks of each genome:",
        "",
        *genome_table(record["genomes"], "mini"),
        "",
        "`twin` on the whole of both genomes that it never saw (windows that share 31 letters with "
        "its training blocks left out; its own Markov model):",
        "",
        *genome_table(record["whole_genomes"], "twin"),
    ]
    return "\n".join(lines) + "\n"


def description(record: dict[str, Any]) -> list[str]:
    """What it is, what it was trained on and how."""
    config, own = mini.CONFIG, record["settings"]
    tokens = own["steps"] * own["tokens_per_update"]
    times = ", ".join(f"{name} {time:.0f} minutes" for name, time in record["minutes"].items())
    return [
        f"- **Architecture**: {config.num_layers} layers, {config.embed_dim} dimensions, "
        f"{config.attention_heads} heads, feed-forward {config.ffn_embed_dim}, rotary positions, "
        f"GELU, biases, 6-mer vocabulary of {config.vocabulary_size:,}: "
        f"{record['parameters']:,} parameters, "
        f"{mini.WEIGHTS_FILE.stat().st_size / 1e6:.1f} MB (matrices in bfloat16).",
        "- **Data**: ten bacterial genomes (30.5 Mb; NCBI RefSeq/GenBank): *E. coli* K-12 MG1655 "
        "and 536, *B. amyloliquefaciens* XH7, *R. capsulatus*, *C. jejuni*, *C. pneumoniae*, "
        "*H. pylori* G27, *S. aureus* N315, *S. pyogenes*, *V. cholerae* N16961. Of their blocks "
        f"of {own['block_letters'] / 1000:.0f} kb about {own['validation_fraction']:.0%} are kept "
        f"apart for validation and {own['test_fraction']:.0%} for the figures below.",
        f"- **Recipe**: masked-language model, {own['masking']} of {own['masked_share']:.0%}; "
        f"windows of {own['window_tokens']} tokens from either strand in any phase; "
        f"{own['steps']:,} updates of {own['tokens_per_update']:,} tokens ({tokens / 1e6:.1f} "
        f"million in all); AdamW, {own['learning_rate']:g} after {own['warmup_steps']} steps of "
        f"warm-up, {own['schedule']} decay, weight decay {own['weight_decay']:g}; k-mers' vectors "
        "begin as sums of their letters'. `python scripts/mini/train_mini.py` makes one.",
        f"- **Hardware, date**: {record['machine']}: {times}; {record['date']}.",
        "- **Licence**: as the package.",
    ]


def sets_table(sets: dict[str, Any]) -> list[str]:
    """A row for every arm and baseline, a column for every set of windows."""
    titles = [f"{title} ({r['windows']} windows)" for title, r in sets.items()]
    rows = next(iter(sets.values()))["metrics"]
    cells = {
        name: [cell(result["metrics"][name]["bits_per_nucleotide"]) for result in sets.values()]
        for name in rows
    }
    return table(["model", *titles], cells)


def difference_table(sets: dict[str, Any]) -> list[str]:
    """A row for every pair."""
    return table(["loss of", *sets], difference_cells(sets))


def difference_cells(sets: dict[str, Any]) -> dict[str, list[str]]:
    """Cells of every pair, or baseline that a model is compared with."""
    return {
        pair: [cell(result["difference"][pair], "+.3f") for result in sets.values()]
        for pair in next(iter(sets.values()))["difference"]
    }


def genome_table(results: dict[str, Any], model: str) -> list[str]:
    """A row for every genome: the model, 6-mer frequencies, and the Markov model."""
    rows = {}
    for name, result in results.items():
        if result is None:
            continue
        metrics = result["metrics"]
        markov = next(other for other in metrics if other.startswith("Markov"))
        bits = [cell(metrics[m]["bits_per_nucleotide"]) for m in (model, "unigram", markov)]
        count = f"{result['windows']} ({metrics[model]['groups']})"
        difference = cell(result["difference"][f"{model} − Markov"], "+.3f")
        rows[name] = [count, *bits, difference]
    heads = ["windows (groups)", model, "6-mer frequencies", "Markov model", "loss, − Markov"]
    return table(["genome", *heads], rows)


def table(heads: list[str], rows: dict[str, list[str]]) -> list[str]:
    """Markdown, the rows' names first."""
    return markdown_table(heads, [[name, *cells] for name, cells in rows.items()])


def cell(metric: dict[str, float | None], form: str = ".3f") -> str:
    """Value and interval."""
    value, low, high = (metric[name] for name in ("value", "low", "high"))
    return f"{value:{form}}" + ("" if low is None else f" ({low:{form}} to {high:{form}})")


def draw(runs: Path, record: dict[str, Any], path: Path) -> None:
    """Validation loss over tokens of `mini` and its twin."""
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    per_update = record["settings"]["tokens_per_update"]
    for name, colour in COLOURS.items():
        lines = (runs / name / "metrics.jsonl").read_text().splitlines()
        points = [line for line in map(json.loads, lines) if "validation_loss" in line]
        tokens = [point["step"] * per_update / 1e6 for point in points]
        bits = [point["validation_loss"] / np.log(2) / 6 for point in points]
        axes.plot(tokens, bits, marker="o", markersize=4, color=colour, label=name)
    axes.set_xlabel("tokens seen (million)")
    axes.set_ylabel("validation loss (bits per nucleotide)")
    axes.set_title("Pre-training on bacterial genomes")
    axes.legend(frameon=False, title="model (own validation blocks)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
