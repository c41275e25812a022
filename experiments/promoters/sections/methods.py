"""IA³, LoRA, all weights, the head alone, or no transformer: which should I use?"""

import platform
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd

from experiments.promoters.data.baseline_runs import BOOSTING, CNN, MARKOV, baseline_runs
from experiments.promoters.data.genome_files import find_genome
from experiments.promoters.data.markov_score import markov_probabilities
from experiments.promoters.data.rows import (
    CLEAN,
    LOCUS_CLEAN,
    PROTOCOLS,
    PUBLISHED,
    protocol_rows,
    test_loci,
)
from experiments.promoters.lanes import available_cores
from experiments.promoters.study import Study, kept, members, parts_of, swept, test_probabilities
from ntjax.adapters import master_copies
from ntjax.checkpoints import safetensors
from ntjax.inference.pretrained import load_pretrained
from ntjax.metrics.seeds import METRICS, seed_means
from ntjax.metrics.significance import holm
from ntjax.reports.cells import LEVEL, counted, interval_cell, signed_cell, spread_cell
from ntjax.reports.figures import draw_intervals, new_picture, save
from ntjax.reports.page import Block, Figure, Table, Text
from ntjax.runs.folder import ADAPTER_FILE

NAME, TITLE = "methods", "Which should I use?"
ADAPTERS = ("head", "ia3", "lora", "full")
_BESIDE = ("accuracy", "auroc")
_BATCH = 32


def run(study: Study) -> dict[str, Any]:
    """Metrics, size and time of every method, trained on the clean rows."""
    return kept(study, NAME, lambda: _run(study))


def _run(study: Study) -> dict[str, Any]:
    protocols = {protocol: _in_protocol(study, protocol) for protocol in PROTOCOLS}
    return {
        "steps": _steps(study),
        "epochs": study.cnn.epochs,
        "passes": _steps(study) * _BATCH / protocols[CLEAN]["rows"],
        "machine": f"{counted(len(available_cores()), 'core')}, {platform.machine()}",
        "protocols": protocols,
    }


def _steps(study: Study) -> int:
    return study.steps(300, 1000)


def _in_protocol(study: Study, protocol: str) -> dict[str, Any]:
    """Every method trained on a protocol's rows, with fewer seeds where it is not the clean."""
    rows = protocol_rows(study, protocol)
    parts = parts_of(study, rows)
    seeds = study.choose(2, 5) if protocol == CLEAN else 1
    probabilities: dict[str, np.ndarray] = {}
    costs: dict[str, dict[str, float]] = {}
    for adapter in ADAPTERS:
        settings: dict[str, Any] = {"adapter": adapter, "steps": _steps(study)}
        settings |= {"batch_size": _BATCH, "head": study.head()}
        folder = swept(study, rows, f"methods-{adapter}", {"seed": range(seeds)}, **settings)
        runs = list(members(folder).values())
        name = f"{Path(study.model).name}, {adapter}"
        probabilities[name], costs[name] = test_probabilities(runs), _cost(study, adapter, runs)
    for name in (BOOSTING, CNN):
        folder = study.runs_folder / rows.name / "baselines"
        found = baseline_runs(folder, partial(parts_of, study, rows), name, seeds, study.cnn)
        probabilities[name], costs[name] = found.probabilities, {"seconds": found.seconds}
    probabilities[MARKOV] = markov_probabilities(parts, find_genome(study.genome))
    results = seed_means(parts.labels["test"], probabilities, CNN, groups=test_loci(study))
    others = [name for name in results if name != CNN]
    corrected = holm([results[name]["auroc"]["difference"]["p"] for name in others])
    lora, all_weights = (f"{Path(study.model).name}, {adapter}" for adapter in ("lora", "full"))
    pair = {name: probabilities[name] for name in (lora, all_weights)}
    beside = seed_means(
        parts.labels["test"], pair, all_weights, metrics=("auroc",), groups=test_loci(study)
    )
    return {
        "seeds": seeds,
        "lora_minus_full": beside[lora]["auroc"]["difference"],
        "rows": len(parts.tables["train"]),
        "results": results,
        "costs": costs,
        "p": dict(zip(others, np.asarray(corrected).tolist(), strict=True)),
    }


def _cost(study: Study, adapter: str, runs: list[Path]) -> dict[str, float]:
    """Numbers that are trained, bytes that travel, seconds of training a seed."""
    tensors, _ = safetensors.read(runs[0] / ADAPTER_FILE)
    count = sum(int(np.size(tensor)) for tensor in tensors.values())
    travel = [runs[0] / ADAPTER_FILE, *runs[0].glob("jax_model/*.joblib")]
    if adapter == "full":  # the file holds the head alone
        weights = jax.eval_shape(master_copies, load_pretrained(study.model).params)
        count += sum(leaf.size for leaf in jax.tree.leaves(weights))
    return {
        "trained": count,
        "bytes": sum(path.stat().st_size for path in travel),
        "seconds": float(np.mean([_seconds(run) for run in runs])),
    }


def _seconds(run: Path) -> float:
    """Of a run's training; after a resumption its clock begins again."""
    clock = pd.read_json(run / "timing.jsonl", lines=True)["seconds"].to_numpy()
    stopped = np.append(np.diff(clock) < 0, True)
    return float(clock[stopped].sum())


def blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """The table, and what can be told apart."""
    protocols = record["protocols"]
    clean = protocols[CLEAN]
    picture, [[axes]] = new_picture(width=8, height=4.2)
    draw_intervals(
        axes,
        list(clean["results"]),
        {
            name: [of["results"][method]["auroc"] for method in clean["results"]]
            for name, of in protocols.items()
        },
    )
    axes.set_xlabel("AUROC on the published test rows")
    file = save(picture, folder / "methods.png")
    heads = (
        "method", *METRICS, "AUROC − the CNN's", "p (Holm)",
        *(f"{metric}, {name}" for name in (PUBLISHED, LOCUS_CLEAN) for metric in _BESIDE),
        "trained numbers", "bytes", "seconds",
    )  # fmt: skip
    cells = tuple(_row(name, protocols) for name in clean["results"])
    counts = ", ".join(f"{of['rows']:,} ({name})" for name, of in protocols.items())
    caption = (
        f"{record['steps']:,} steps of {_BATCH} sequences, {record['passes']:.1f} passes over the "
        f"rows (the CNN: {record['epochs']}). First "
        f"columns: trained on the clean rows, means over {clean['seeds']} seeds ± their standard "
        "deviation; the published and locus-clean rows: one seed; rows to train on: "
        f"{counts}. [95% interval over loci of the test rows]. p: paired bootstrap of the mean "
        "AUROC over loci, corrected for all comparisons. Seconds of a seed's training "
        f"({record['machine']}; of the simpler models with the scoring of the test). The Markov "
        "chain has no threshold of its own: that of its accuracy and MCC is chosen on the training "
        "labels, its AUROC needs none."
    )
    return (
        Text(
            "These runs are short, and the head of `mini` reads the mean over tokens, which "
            "forgets where a base stands: what they cost and what the protocols change is to be "
            "read here. For a contest over as many passes on both sides see the chapter on "
            "transformer and CNN."
        ),
        Text(_verdict(clean)),
        Figure(
            file,
            "AUROC of every method after training on the rows of each protocol, with 95% intervals "
            f"over loci of the test rows; means over {clean['seeds']} seeds on the clean rows, one "
            "seed on the others.",
        ),
        Table(heads, cells, caption),
    )


def _row(name: str, protocols: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    clean = protocols[CLEAN]
    result, cost, p = clean["results"][name], clean["costs"].get(name, {}), clean["p"].get(name)
    beside = [protocols[other]["results"][name] for other in (PUBLISHED, LOCUS_CLEAN)]
    return (
        name,
        *(spread_cell(result[metric]) for metric in METRICS),
        "–" if name == CNN else signed_cell(result["auroc"]["difference"]),
        "–" if p is None else f"{p:.3f}",
        *(interval_cell(other[metric]) for other in beside for metric in _BESIDE),
        *(f"{cost[key]:,}" if key in cost else "–" for key in ("trained", "bytes")),
        f"{cost['seconds']:.0f}" if "seconds" in cost else "–",
    )


def _verdict(record: dict[str, Any]) -> str:
    """Which methods are above the CNN, below it, or not told from it, on the clean rows."""
    told: dict[str, list[str]] = {"above": [], "below": [], "not told from": []}
    for name, p in record["p"].items():
        higher = record["results"][name]["auroc"]["difference"]["value"] > 0
        told["not told from" if p >= LEVEL else "above" if higher else "below"].append(name)
    parts = [f"{where} the CNN are {' and '.join(names)}" for where, names in told.items() if names]
    return "By AUROC on the test rows, " + "; ".join(parts) + "."
