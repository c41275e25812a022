"""Compare what `scripts/train_mini.py` trained, and put `mini` and its card into the package.

    python scripts/mini_card.py

Writes `mini.safetensors` (matrices in bfloat16), `mini.md`, `mini.json` and `mini.png` beside
`ntjax/models/mini.py`.
"""

import datetime
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import matplotlib.pyplot as plt
import ml_dtypes
import numpy as np
import tyro
from train_mini import ARMS, GENOMES, settings

from ntjax.adapters import Adapter, FullConfig
from ntjax.checkpoints import safetensors
from ntjax.data.genome_windows import Region
from ntjax.models import mini
from ntjax.runs import read_json, write_json
from ntjax.training import held_out_report, pretraining
from ntjax.training.placement import replicated_sharding
from ntjax.training.pretrain_settings import complete
from ntjax.training.step import Trainable

SETS = {
    "E. coli K-12 and 536": ("ecoli_k12_mg1655", "ecoli_536"),
    "the other eight": tuple(name for name in GENOMES if "ecoli" not in name),
}
# Blue, orange, green: told apart by the colour-blind (Okabe & Ito).
COLOURS = {"mini": "#0072B2", "twin": "#E69F00"}
LARGEST_FILE = 20_000_000


@dataclass(frozen=True)
class Script:
    """Where the runs are."""

    runs: Path = Path("runs/mini")
    """Folder of `scripts/train_mini.py`."""


def main() -> None:
    """Bundle the weights; evaluate all arms on the same windows; write the card."""
    runs = tyro.cli(Script, description=__doc__).runs
    bundle(runs / "mini" / pretraining.WEIGHTS_FILE)
    record = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {jax.devices()[0].device_kind}, one core per model",
        "parameters": sum(np.asarray(w).size for w in jax.tree.leaves(mini.parameters())),
        "settings": read_json(runs / "mini" / "config.json")["settings"],
        "minutes": {name: minutes(runs / name) for name in ARMS if (runs / name).exists()},
        "sets": compare(runs),
        "whole_genomes": whole_genomes(runs),
    }
    write_json(mini.WEIGHTS_FILE.with_suffix(".json"), record)
    mini.WEIGHTS_FILE.with_suffix(".md").write_text(card(record))
    draw(runs, record, mini.WEIGHTS_FILE.with_suffix(".png"))
    print(card(record))


def bundle(weights: Path) -> None:
    """Matrices in bfloat16, norms and biases in float32."""
    tensors, _ = safetensors.read(weights)
    small = {
        name: tensor.astype(ml_dtypes.bfloat16)
        if name.rpartition("/")[2] in ("w", "embeddings")
        else tensor
        for name, tensor in tensors.items()
    }
    safetensors.write(mini.WEIGHTS_FILE, small)
    size = mini.WEIGHTS_FILE.stat().st_size
    if size > LARGEST_FILE:
        raise SystemExit(f"{mini.WEIGHTS_FILE} has {size:,} bytes, more than {LARGEST_FILE:,}")


def minutes(folder: Path) -> float:
    """Time in the training loop, over all the times it was begun."""
    lines = [json.loads(line) for line in (folder / "timing.jsonl").read_text().splitlines()]
    seconds = [line["seconds"] for line in lines]
    # The clock begins anew when a run is resumed.
    ends = [now for now, after in zip(seconds, [*seconds[1:], 0.0], strict=True) if after < now]
    return sum(ends) / 60


def trained(runs: Path, name: str) -> tuple[pretraining.PretrainJob, Trainable]:
    """An arm's job and the weights it ended with."""
    job = pretraining.prepare(complete(settings(ARMS[name], runs))[0])
    tensors, _ = safetensors.read(runs / name / pretraining.WEIGHTS_FILE)
    params = jax.device_put(safetensors.unflatten(tensors), replicated_sharding())
    return job, Trainable(Adapter(FullConfig(), params), {})


def compare(runs: Path) -> dict[str, Any]:
    """All arms and two baselines, on test blocks that no arm has seen any sequence of."""
    whole, _ = trained(runs, "mini")
    training, tokenizer = whole.data.parts["train"], whole.model.tokenizer
    arms = {name: trained(runs, name) for name in ARMS if is_finished(runs / name)}
    others = baselines_of({"mini": whole, "twin": arms["twin"][0]})
    results = {}
    for title, names in SETS.items():
        regions = [region for region in whole.data.parts["test"] if region.name in names]
        windows = held_out_report.held_out_windows(
            regions, training, tokenizer, whole.settings.window_tokens, whole.settings.seed
        )
        results[title] = scores(arms, others, windows)
    return results


def baselines_of(jobs: Mapping[str, pretraining.PretrainJob]) -> dict[str, Any]:
    """Unigram and Markov model on each job's training genomes."""
    found = {}
    for name, job in jobs.items():
        models = held_out_report.baselines(job.data.parts["train"], job.validation)
        found |= {f"{kind} (genomes of {name})": model for kind, model in models.items()}
    return found


def scores(
    arms: Mapping[str, tuple[pretraining.PretrainJob, Trainable]],
    others: Mapping[str, Any],
    windows: held_out_report.HeldOut,
) -> dict[str, Any]:
    """Metrics of every arm and baseline on the same windows."""
    metrics: dict[str, Any] = {}
    differences: dict[str, Any] = {}
    for name, (job, trainable) in arms.items():
        own = {} if metrics else others
        result = held_out_report.report(job.step, trainable, own, windows, job.settings.seed)
        metrics[name] = result["metrics"].pop("model")
        metrics |= result["metrics"]
        differences |= {f"{name} - {other}": d for other, d in result["difference"].items()}
    return {
        "windows": len(windows.windows.tokens),
        "left_out_as_seen": windows.seen,
        "metrics": metrics,
        "difference": differences,
    }


def whole_genomes(runs: Path) -> dict[str, Any]:
    """The twin on the two *E. coli* genomes, of which it has seen none."""
    job, trainable = trained(runs, "twin")
    others = held_out_report.baselines(job.data.parts["train"], job.validation)
    seen = pretraining.prepare(complete(settings(ARMS["mini"], runs))[0])
    results = {}
    for region in seen.data.parts["train"]:
        if "ecoli" in region.name:
            genome = Region(region.genome, region.genome.stretches)
            windows = held_out_report.held_out_windows(
                [genome],
                job.data.parts["train"],
                job.model.tokenizer,
                job.settings.window_tokens,
                job.settings.seed,
            )
            results[region.name] = held_out_report.report(
                job.step, trainable, others, windows, job.settings.seed
            )
    return results


def is_finished(folder: Path) -> bool:
    """Whether an arm has its weights."""
    return (folder / pretraining.WEIGHTS_FILE).exists()


def card(record: dict[str, Any]) -> str:
    """The model card as Markdown."""
    config, own = mini.CONFIG, record["settings"]
    tokens = own["steps"] * own["tokens_per_update"]
    titles = " | ".join(f"{t} ({r['windows']} windows)" for t, r in record["sets"].items())
    lines = [
        "# `mini`: a small Nucleotide Transformer for bacteria",
        "",
        "A model to try everything with, offline and on a laptop. It is small and was trained for "
        "less than an hour on one CPU core: it knows far less than the published models, and how "
        "much it knows is below.",
        "",
        f"- **Architecture**: {config.num_layers} layers, {config.embed_dim} dimensions, "
        f"{config.attention_heads} heads, feed-forward {config.ffn_embed_dim}, rotary positions, "
        f"GELU, biases, 6-mer vocabulary of {config.vocabulary_size:,}: "
        f"{record['parameters']:,} parameters, "
        f"{mini.WEIGHTS_FILE.stat().st_size / 1e6:.1f} MB (matrices in bfloat16).",
        "- **Data**: ten bacterial genomes (30.5 Mb; NCBI RefSeq/GenBank): *E. coli* K-12 MG1655 "
        "and 536, *B. amyloliquefaciens* XH7, *R. capsulatus*, *C. jejuni*, *C. pneumoniae*, "
        "*H. pylori* G27, *S. aureus* N315, *S. pyogenes*, *V. cholerae* N16961. Blocks of 50 kb "
        "are kept apart: 2% for validation, 3% for the figures below.",
        f"- **Recipe**: masked-language model, {own['masking']} of {own['masked_share']:.0%}; "
        f"windows of {own['window_tokens']} tokens from either strand in any phase; "
        f"{own['steps']:,} updates of {own['tokens_per_update']:,} tokens ({tokens / 1e6:.1f} "
        f"million in all); AdamW, {own['learning_rate']:g} after {own['warmup_steps']} steps of "
        f"warm-up, cosine to 0, weight decay {own['weight_decay']:g}; k-mers' vectors begin as "
        "sums of their letters'. `python scripts/train_mini.py` repeats it.",
        f"- **Hardware, date**: {record['machine']}; {record['minutes']['mini']:.0f} minutes "
        f"(`twin`: {record['minutes']['twin']:.0f}), with other work on the machine; "
        f"{record['date']}. The loss was still falling when the budget was spent.",
        "- **Licence**: as the package.",
        "",
        "![Validation loss while training](mini.png)",
        "",
        "## Held-out sequence",
        "",
        "Masked 6-mers of test blocks, every seventh token masked; windows that share 31 letters "
        "with any training genome are left out. Bits per nucleotide (2 = knows nothing), with 95% "
        "intervals over blocks. `twin` is `mini` without either *E. coli*; `grid_SIZE_N` saw the "
        "first N genomes for a sixth of the updates (small: 2 layers of 128 dimensions). The "
        "Markov model guesses with true flanks on both sides; its order is chosen on validation "
        "blocks.",
        "",
        f"| model | {titles} | accuracy, {next(iter(record['sets']))} |",
        "|---|" + "---|" * (len(record["sets"]) + 1),
    ]
    first = next(iter(record["sets"].values()))
    for name in first["metrics"]:
        cells = [_cell(r["metrics"][name]["bits_per_nucleotide"]) for r in record["sets"].values()]
        accuracy = first["metrics"][name]["accuracy"]["value"]
        lines.append(f"| {name} | {' | '.join(cells)} | {accuracy:.4f} |")
    lines += ["", *difference_lines(record), "", *whole_genome_lines(record)]
    return "\n".join(lines) + "\n"


def difference_lines(record: dict[str, Any]) -> list[str]:
    """Loss of `mini` minus that of the best baseline, with its interval."""
    lines = []
    for title, result in record["sets"].items():
        for name, value in result["difference"].items():
            if "Markov" in name and "of mini" in name:
                lines.append(
                    f"{name}, on {title}: {value['value']:+.4f} nats a token "
                    f"[{value['low']:+.4f}, {value['high']:+.4f}] (below 0: `mini` is better)."
                )
    return lines


def whole_genome_lines(record: dict[str, Any]) -> list[str]:
    """The table of the twin on whole genomes."""
    lines = [
        "Whole genomes that `twin` has not seen (bits per nucleotide):",
        "",
        "| genome | windows | left out as seen | "
        + " | ".join(next(iter(record["whole_genomes"].values()))["metrics"]).replace(
            "model", "twin", 1
        )
        + " |",
    ]
    for number, (name, result) in enumerate(record["whole_genomes"].items()):
        metrics = result["metrics"]
        if number == 0:
            lines.append("|---|---|---|" + "---|" * len(metrics))
        cells = " | ".join(_cell(m["bits_per_nucleotide"]) for m in metrics.values())
        lines.append(f"| {name} | {result['windows']} | {result['left_out_as_seen']} | {cells} |")
    return lines


def _cell(metric: dict[str, float | None]) -> str:
    return "{value:.4f} ({low:.4f}–{high:.4f})".format(**metric)


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
    axes.set_title("Pre-training on bacterial genomes, one CPU core each")
    axes.legend(frameon=False, title="model (own validation blocks)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
