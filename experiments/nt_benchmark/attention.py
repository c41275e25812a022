"""Which annotated elements of *E. coli* K-12 attention goes to, layer by layer and head by head."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from experiments.nt_benchmark.chr20 import data_folder
from experiments.nt_benchmark.models import MODELS, kept, named_by
from experiments.promoters.data.genome_files import K12, find_annotation
from ntjax.evaluation.annotated_attention import TokenAttention, element_attention, tiled_attention
from ntjax.genomes.elements import BETWEEN_GENES, read_elements
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.intervals import Intervals
from ntjax.genomes.store import Genome
from ntjax.reports.cells import LEVEL
from ntjax.reports.page import Block, Figure, Table, Text

NAME, TITLE = "attention", "Attention on annotated elements"
PICTURE = "attention.png"
COMPARED = ("mini", "untrained")
KINDS = {
    "coding": "CDS",
    "tRNA": "tRNA",
    "rRNA": "rRNA",
    "other RNA": "ncRNA",
    "pseudogene": "pseudogene",
    "mobile element": "mobile_genetic_element",
}
WINDOW, SHIFTS = 768, 2000


def open_k12() -> tuple[Genome, dict[str, Intervals]]:
    """Open *E. coli* K-12 and its elements by class.

    Raises:
        UserError: NTJAX_DATA_DIR is not set, or a file is missing.
    """
    path = data_folder() / K12
    genome = open_genome(path)
    return genome, read_elements(genome, find_annotation(path), KINDS)


def run(folder: Path, runs: Path) -> dict[str, Any]:
    """Read the whole genome with each model, and compare with shifted annotations."""
    genome, elements = open_k12()
    record: dict[str, Any] = {"window": WINDOW, "models": {}}
    for name in COMPARED:
        path = runs / NAME / f"{named_by(name, WINDOW, len(genome.letters))}.npz"
        arrays = kept(path, lambda name=name: _arrays(name, genome))
        attention = TokenAttention(arrays["received"], arrays["strong"], arrays["starts"], 6)
        found = element_attention(attention, elements, shifts=SHIFTS)
        record["models"][name] = {
            one: {key: _listed(value) for key, value in values.items()}
            for one, values in found["classes"].items()
        }
        record["shifts"], record["tokens"] = found["shifts"], found["tokens"]
    draw(record, folder / PICTURE)
    return record


def _arrays(name: str, genome: Genome) -> dict[str, np.ndarray]:
    found = tiled_attention(MODELS[name](), genome, WINDOW, progress=f"attention of {name}")
    return {"received": found.received, "strong": found.strong, "starts": found.starts}


def _listed(value: Any) -> Any:
    """Round arrays for JSON; NaN, where a head has no strong weight, becomes null."""
    if not isinstance(value, np.ndarray):
        return value
    # p-values span many orders of magnitude: four digits of each, not four decimals.
    return [[None if np.isnan(x) else float(f"{x:.4g}") for x in row] for row in value]


def draw(record: dict[str, Any], path: Path) -> None:
    """Draw heat maps of layers and heads, a row for each model and a column for each class."""
    classes = list(record["models"][COMPARED[0]])
    figure, axes = plt.subplots(
        len(COMPARED), len(classes), figsize=(12, 3.6), layout="constrained", squeeze=False
    )
    for row, name in enumerate(COMPARED):
        for axis, one in zip(axes[row], classes, strict=True):
            found = record["models"][name][one]
            ratios, p = np.array(found["ratio"]), np.array(found["p"])
            image = axis.imshow(ratios, cmap="PuOr_r", vmin=0.9, vmax=1.1, origin="lower")
            for layer, head in np.argwhere(p < LEVEL):
                axis.plot(head, layer, "o", color="white", markeredgecolor="black", markersize=4)
            axis.set_xticks(range(ratios.shape[1]), range(1, ratios.shape[1] + 1), fontsize=7)
            axis.set_yticks(range(ratios.shape[0]), range(1, ratios.shape[0] + 1), fontsize=7)
            if row == 0:
                axis.set_title(one, fontsize=10)
        axes[row, 0].set_ylabel(f"{name}\nlayer")
    figure.supxlabel("head", fontsize=10)
    figure.colorbar(image, ax=axes, label="attention received / share of tokens", shrink=0.8)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def blocks(record: dict[str, Any]) -> tuple[Block, ...]:
    """Lay out how many heads are told from chance, and the strongest of each class."""
    rows = []
    for name, found in record["models"].items():
        for one, values in found.items():
            ratio, p = np.array(values["ratio"]), np.array(values["p"])
            layer, head = np.unravel_index(np.argmax(np.abs(np.array(values["z"]))), p.shape)
            rows.append(
                (
                    name,
                    one,
                    f"{values['tokens'] / record['tokens']:.2%}",
                    f"{ratio[layer, head]:.2f} (layer {layer + 1}, head {head + 1})",
                    f"{p[layer, head]:.4f}",
                    f"{((p < LEVEL) & (ratio > 1)).sum()} / {((p < LEVEL) & (ratio < 1)).sum()}",
                    str((np.array(values["binomial_p"]) < LEVEL).sum()),
                )
            )
    heads = (
        "model",
        "class",
        "share of tokens",
        "strongest ratio",
        "p, family-wise",
        "heads above / below, shifted annotation",
        "heads above, binomial",
    )
    heads_of_all = np.size(record["models"][COMPARED[0]]["coding"]["p"])
    return (
        Text(_method(record)),
        Figure(
            f"results/{PICTURE}",
            "Attention received over share of tokens; dots: told from shifted annotations "
            "(family-wise p below 0.05).",
        ),
        Table(heads, tuple(rows), f"Of {heads_of_all} heads."),
        Text(conclusion(record)),
    )


def _method(record: dict[str, Any]) -> str:
    return (
        f"*E. coli* K-12 in windows of {record['window']} bp that lie end to end "
        f"({record['tokens']:,} tokens); `<cls>`, padding and each token's attention to itself are "
        "left out and rows scaled to one. A token belongs to a class when half of it or more does. "
        f"The null shifts the annotation along the genome by {record['shifts']:,} distances of "
        "more than 20 kb, the same for all heads; p is of the largest deviation over layers, heads "
        "and classes. The last column is the paper's statistic (weights above 0.3 as independent "
        "trials, binomial test, Bonferroni; from memory). `mini` saw 97% of this genome's blocks "
        "without labels. K-12 has no enhancers, and those of human sequence are not annotated on "
        "chromosome 20 here: the paper's claim on enhancers is not testable with these data."
    )


def conclusion(record: dict[str, Any]) -> str:
    """Say what is told for the model and for its untrained twin."""
    told = {
        name: [one for one, values in found.items() if np.min(values["p"]) < LEVEL]
        for name, found in record["models"].items()
    }
    heads = {name: cells_below(found, "p") for name, found in record["models"].items()}
    binomial = {name: cells_below(found, "binomial_p") for name, found in record["models"].items()}
    trained, untrained = COMPARED
    ranges = {name: _range_of_told(found) for name, found in record["models"].items()}
    return (
        f"With shifted annotations {heads[trained]} cells of layer, head and class are told from "
        f"chance for `mini` ({_listed_names(told[trained])}; ratios {ranges[trained]}) and "
        f"{heads[untrained]} for the untrained network ({_listed_names(told[untrained])}; "
        f"{ranges[untrained]}). What the untrained network shows is composition: some 6-mers "
        "receive more attention under any weights, and classes differ in their 6-mers. So a head "
        "that is told from chance is no evidence of what was learned unless its ratio is beyond "
        f"those of random weights. The paper's statistic finds {binomial[trained]} cells for "
        f"`mini` and {binomial[untrained]} for the untrained network, whose weights are hardly "
        f"ever above 0.3. ({BETWEEN_GENES[0].upper()}{BETWEEN_GENES[1:]} is what the annotation "
        "leaves between two genes.)"
    )


def cells_below(found: dict[str, Any], p: str) -> int:
    """Count the cells of layer, head and class of a model whose p-value is below the level."""
    return sum(int((np.array(values[p]) < LEVEL).sum()) for values in found.values())


def _range_of_told(found: dict[str, Any]) -> str:
    ratios = np.concatenate(
        [np.array(one["ratio"])[np.array(one["p"]) < LEVEL] for one in found.values()]
    )
    return f"{ratios.min():.2f} to {ratios.max():.2f}" if len(ratios) else "none"


def _listed_names(names: list[str]) -> str:
    return ", ".join(names) if names else "none"
