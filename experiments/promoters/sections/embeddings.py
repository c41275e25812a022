"""Input and output embeddings of the test rows, before and after fine-tuning (figure 7)."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.decomposition import TruncatedSVD

from experiments.promoters.data.rows import CLEAN, labels_of, main_run, protocol_rows, test_loci
from experiments.promoters.study import Study, kept
from ntjax.evaluation.probing import separability
from ntjax.inference.embeddings import bag_of_kmers, embed, one_hot_kmers
from ntjax.inference.pretrained import PretrainedModel
from ntjax.reports.cells import interval_cell
from ntjax.reports.figures import OTHER, PROMOTER, new_picture, save
from ntjax.reports.page import Block, Figure, Table, Text
from ntjax.runs.run import Run
from ntjax.runs.saved_run import load_run

NAME, TITLE = "embeddings", "What do the embeddings tell apart?"
_LAYERS = 2
_SEED = 0
# PaCMAP itself begins with the principal components of what has more dimensions.
_DIMENSIONS = 100


def run(study: Study) -> dict[str, Any]:
    """PaCMAP's coordinates of each representation, and numbers that need no picture."""
    return kept(study, NAME, lambda: _run(study))


def _over_last_layers(
    model: Run | PretrainedModel, sequences: Sequence[str], layers: int
) -> np.ndarray:
    """The mean over the tokens of bases and over the last layers, float32 [sequences, dim]."""
    last = (model.model if isinstance(model, Run) else model).config.num_layers
    chosen = range(last - layers + 1, last + 1)
    return np.mean(list(embed(model, sequences, chosen).values()), axis=0)


def _run(study: Study) -> dict[str, Any]:
    test = protocol_rows(study, CLEAN).test
    adapted = load_run(main_run(study))
    layers = min(_LAYERS, adapted.model.config.num_layers)
    sequences, labels = test.sequences, labels_of(test)
    representations = {
        "input: one-hot k-mers": one_hot_kmers(adapted.model.tokenizer, sequences),
        "input: bag of k-mers": bag_of_kmers(adapted.model.tokenizer, sequences),
        "output, before fine-tuning": _over_last_layers(adapted.model, sequences, layers),
        "output, after fine-tuning": _over_last_layers(adapted, sequences, layers),
    }
    groups = test_loci(study)
    return {
        "model": Path(study.model).name,
        "layers": layers,
        "labels": labels.tolist(),
        "points": {name: _points(values) for name, values in representations.items()},
        "numbers": {
            name: asdict(separability(values, labels, groups, seed=_SEED))
            for name, values in representations.items()
        },
    }


def _points(values: Any) -> list[list[float]]:
    """PaCMAP (Huang et al. 2022) in two dimensions, [rows, 2]."""
    import pacmap  # takes seconds to import: only who makes the figure waits for it

    if issparse(values):
        values = TruncatedSVD(_DIMENSIONS, random_state=_SEED).fit_transform(values)
    found = pacmap.PaCMAP(n_components=2, random_state=_SEED).fit_transform(np.asarray(values))
    return np.round(found.astype(float), 3).tolist()


def blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """Four clouds, and how far the classes lie apart in each."""
    labels, colours = np.array(record["labels"]), np.array([OTHER, PROMOTER])
    picture, axes = new_picture(columns=2, rows=2, width=4.6, height=4.2)
    for one, (name, points) in zip(axes.flat, record["points"].items(), strict=True):
        points = np.array(points)
        # In a random order: neither class is drawn over the other.
        order = np.random.default_rng(_SEED).permutation(len(labels))
        one.scatter(*points[order].T, s=4, alpha=0.6, color=colours[labels[order]])
        one.set_title(name, fontsize="medium")
        one.set_xticks([])
        one.set_yticks([])
        one.set_xlabel("PaCMAP 1")
        one.set_ylabel("PaCMAP 2")
    for colour, called in zip(colours, ("random letters", "promoter"), strict=True):
        axes[0, 0].scatter([], [], s=12, color=colour, label=called)
    picture.legend(frameon=False, loc="outside upper center", ncols=2)
    file = save(picture, folder / "figure_7_embeddings.png")
    rows = tuple(
        (
            name,
            interval_cell(numbers["linear_probe"]),
            interval_cell(numbers["nearest_neighbours"]),
            f"{numbers['silhouette']:.3f}",
        )
        for name, numbers in record["numbers"].items()
    )
    first = next(iter(record["numbers"].values()))
    return (
        Text(
            f"The {first['rows']:,} test rows as the model sees them. Output: the mean over the "
            f"nucleotide tokens and the last {record['layers']} layers of {record['model']}, "
            "before and after LoRA was trained on the clean rows (neither has seen the classes of "
            "these rows). A picture shows what its method is made to show; the "
            f"numbers below need none. {_verdict(record)}"
        ),
        Figure(file, "Figure 7. PaCMAP of input and output embeddings of the test rows."),
        Table(
            ("representation", "linear probe", "5 nearest neighbours", "silhouette"),
            rows,
            f"Accuracy [95% interval over loci] in {first['folds']}-fold cross-validation, "
            f"a locus together; always saying the larger class: {first['majority']:.3f}. "
            "Silhouette from −1 to 1; near 0 the classes mix.",
        ),
    )


def _verdict(record: dict[str, Any]) -> str:
    """Whether pre-training alone, or only fine-tuning, sets the output above the input."""
    numbers = {name: n["linear_probe"] for name, n in record["numbers"].items()}
    before, after = numbers["output, before fine-tuning"], numbers["output, after fine-tuning"]
    best = max(
        (metric for name, metric in numbers.items() if name.startswith("input")),
        key=lambda metric: metric["value"],
    )
    return (
        f"A linear probe reads {best['value']:.3f} off the better input, {before['value']:.3f} off "
        f"the output before fine-tuning ({_compared(before, best)}) and {after['value']:.3f} after "
        f"it ({_compared(after, best)})."
    )


def _compared(one: dict[str, Any], other: dict[str, Any]) -> str:
    if one["low"] > other["high"]:
        return "above the input, intervals apart"
    if one["high"] < other["low"]:
        return "below the input, intervals apart"
    return "not told from the input: the intervals overlap"
