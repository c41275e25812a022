"""What embeddings and masked tokens know of annotated elements of *E. coli* K-12."""

from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import balanced_accuracy_score

from experiments.nt_benchmark.attention import open_k12
from experiments.nt_benchmark.chr20 import Chromosome, open_chromosome
from experiments.nt_benchmark.models import MODELS, OF_MODEL, kept, named_by
from ntjax.adapters import Adapter, Full
from ntjax.baselines.markov import MarkovModel, UnigramModel
from ntjax.checkpoints import mini
from ntjax.datasets.masked_windows import GROUP_LETTERS, cut_starts, masked_windows
from ntjax.errors import UserError
from ntjax.evaluation.element_separability import (
    balanced_accuracy,
    block_parts,
    predicted_classes,
)
from ntjax.evaluation.masked_likelihood import baseline_scores, guesses
from ntjax.genomes.elements import BETWEEN_GENES
from ntjax.genomes.intervals import Intervals, intersection, joined
from ntjax.genomes.store import Genome
from ntjax.genomes.transcripts import CATEGORIES, categories
from ntjax.genomes.windows import Region, read_windows
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.embeddings import embed
from ntjax.inference.forward import ForwardConfig, Trainable, local_attention
from ntjax.inference.pretrained import PretrainedModel, place_parameters
from ntjax.leakage.kmer_groups import shared_kmer_groups
from ntjax.leakage.shared_sequence import windows_seen_in_training
from ntjax.metrics.masked import masked_metrics
from ntjax.reports.cells import counts_cell, interval_cell
from ntjax.reports.page import Block, Figure, Table, Text
from ntjax.sequences.alphabet import base_texts, gc_content, reverse_complement_codes
from ntjax.sequences.kmers import kmer_codes

NAME, TITLE = "elements", "What embeddings and masked tokens know of elements"
DEPTH, CLOUD = "elements_depth.png", "elements_cloud.png"
BASES, PER_CLASS, BLOCK = 198, 400, 50_000
PENALTIES = (1e-3, 1e-2, 1e-1)
MARKOV_ORDER = 8
MARKOV = f"Markov, order {MARKOV_ORDER}"
# Seven nearly identical operons: one sequence, not 22 elements.
SHOWN_ONLY = "rRNA"
ONE_OF_A_FAMILY = ("tRNA", "other RNA", "mobile element")
_SEED, _WINDOW_TOKENS, _LEAST_TOKENS, _LEAST_ROWS = 0, 128, 50, 10
_MASKED_WINDOWS = 1_500
# Bases of chromosome 20 that `mini_human` never saw.
PART = (1_000_000, 4_000_000)
_CLASS_COLOURS = ("#0072B2", "#D55E00", "#999999", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def run(folder: Path, runs: Path) -> dict[str, Any]:
    """Classify windows by layer, and score masked tokens by class.

    Raises:
        UserError: PaCMAP is not installed, or data are missing.
    """
    if find_spec("pacmap") is None:
        raise UserError("not installed: pacmap; pip install '.[study]'")
    genome, elements = open_k12()
    codes, labels, places = windows(genome, elements)
    record: dict[str, Any] = {"bases": BASES, "rows": dict(Counter(labels.tolist()))}
    layers = {
        name: kept(
            runs / NAME / f"{named_by(name, codes)}.npz", lambda name=name: _embedded(name, codes)
        )
        for name in MODELS
    }
    record |= separability(codes, labels, places, layers)
    record["masked"] = masked_tokens(open_chromosome(), runs)
    draw_depth(record, folder / DEPTH)
    draw_cloud(layers["mini"][str(mini.CONFIG.num_layers)], labels, folder / CLOUD)
    return record


def windows(
    genome: Genome, elements: dict[str, Intervals]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut windows of one length around elements, read on the element's strand.

    Returns:
        Codes [rows, bases], the class of each row, and its first base in the store.
    """
    random, parts = np.random.default_rng(_SEED), []
    others = np.concatenate([elements[name].bounds for name in ("pseudogene", "mobile element")])
    for name, intervals in elements.items():
        if name == "coding":  # also annotated as CDS: pseudogenes, and genes of mobile elements
            apart = ~_overlaps(intervals.bounds, others)
            intervals = intervals.take(np.flatnonzero(apart))
        found = _cut(genome, name, intervals, random)
        parts.append((*found, np.full(len(found[0]), name, object)))
    codes, places, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    return codes, labels, places


def _overlaps(bounds: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Tell which intervals [n, 2] overlap one of the others: bool [n]."""
    others = joined(others)
    first = np.searchsorted(others[:, 1], bounds[:, 0], side="right")
    inside = first < len(others)
    return inside & (others[np.where(inside, first, 0), 0] < bounds[:, 1])


def _cut(
    genome: Genome, name: str, intervals: Intervals, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    if name in ("coding", "pseudogene", BETWEEN_GENES):  # whole windows within the element
        intervals = intervals.take(np.flatnonzero(intervals.ends - intervals.starts >= BASES))
    middle = (intervals.starts + intervals.ends - BASES) // 2
    inside = (middle >= 0) & (middle + BASES <= len(genome.letters))
    strands = np.where(
        intervals.strands == 0, random.choice([-1, 1], len(middle)), intervals.strands
    )
    rows = np.flatnonzero(inside)
    codes = read_windows(genome, middle[rows], BASES)
    turned = strands[rows] < 0
    codes[turned] = reverse_complement_codes(codes[turned])
    order = random.permutation(len(rows))
    if name in ONE_OF_A_FAMILY:
        own = intervals.take(rows[order])
        texts = [
            base_texts(np.asarray(genome.letters[start:end])[None])[0] for start, end in own.bounds
        ]
        order = order[np.sort(np.unique(shared_kmer_groups(texts), return_index=True)[1])]
    return codes[order[:PER_CLASS]], middle[rows][order[:PER_CLASS]]


def _embedded(name: str, codes: np.ndarray) -> dict[str, np.ndarray]:
    model = MODELS[name]()
    found = embed(model, base_texts(codes), range(model.config.num_layers + 1))
    return {str(layer): values for layer, values in found.items()}


def separability(
    codes: np.ndarray,
    labels: np.ndarray,
    places: np.ndarray,
    layers: dict[str, dict[str, np.ndarray]],
) -> dict[str, Any]:
    """Balanced accuracy of each layer and of simple features, on blocks kept apart."""
    parts = block_parts(places // BLOCK, (0.2, 0.4), _SEED)
    in_test = Counter(labels[parts["test"]].tolist())
    few = [name for name, count in in_test.items() if count < _LEAST_ROWS]
    counted = np.flatnonzero(~np.isin(labels, [SHOWN_ONLY, *few]))
    labels, groups = labels[counted], places[counted] // BLOCK
    parts = {part: np.flatnonzero(np.isin(counted, rows)) for part, rows in parts.items()}
    scores: dict[str, Any] = {}
    for name, features in _baselines(codes[counted]).items():
        scores[name] = _scores(features, labels, groups, parts)
    depth = {
        name: {
            layer: _scores(values[counted], labels, groups, parts) for layer, values in own.items()
        }
        for name, own in layers.items()
    }
    for name, own in depth.items():
        peak = max(own, key=lambda layer: own[layer]["validation"])
        scores[f"{name}, layer {peak}"] = own[peak]
    return {
        "depth": depth,
        "scores": scores,
        "classes": dict(Counter(labels[parts["test"]].tolist())),
        "left_out": few,
        "chance": 1 / len(set(labels.tolist())),
    }


def _baselines(codes: np.ndarray) -> dict[str, Any]:
    texts = base_texts(codes)
    return {
        "GC content": gc_content(texts)[:, None],
        "3-mer counts": _kmer_counts(codes, 3),
        "6-mer counts": _kmer_counts(codes, 6),
    }


def _kmer_counts(codes: np.ndarray, k: int) -> np.ndarray:
    counts = [np.bincount(kmer_codes(row, k).astype(np.int64), minlength=4**k) for row in codes]
    return np.stack(counts).astype(np.float32)


def _scores(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray, parts: dict[str, Any]
) -> dict[str, Any]:
    truth = {part: labels[parts[part]] for part in ("validation", "test")}
    fits = {one: predicted_classes(features, labels, parts, one) for one in PENALTIES}
    found = {
        one: float(balanced_accuracy_score(truth["validation"], predicted["validation"]))
        for one, predicted in fits.items()
    }
    best = max(found, key=lambda one: found[one])
    test = balanced_accuracy(truth["test"], fits[best]["test"], groups[parts["test"]])
    return {"validation": found[best], "test": test, "C": best}


def masked_tokens(data: Chromosome, runs: Path) -> dict[str, dict[str, Any]]:
    """Score masked tokens of the variants' part of chromosome 20 by class, beside Markov."""
    tokenizer = MODELS["mini"]().tokenizer
    k = tokenizer.k
    region = Region(data.genome, intersection(data.genome.stretches, np.array([PART])))
    starts = cut_starts([region], k * (_WINDOW_TOKENS - 1), _MASKED_WINDOWS, _SEED)
    letters = read_windows(data.genome, starts, k * (_WINDOW_TOKENS - 1))
    unseen = ~windows_seen_in_training(letters, [data.learned_from])
    starts, letters = starts[unseen], letters[unseen]
    rows = masked_windows(letters, starts // GROUP_LETTERS, tokenizer, _SEED)
    middle = starts[:, None] + k * (rows.positions - 1) + k // 2
    found: dict[str, Any] = {}
    for name in MODELS:
        arrays = kept(
            runs / NAME / f"{named_by(name, rows.tokens)}.npz",
            lambda name=name: _guessed(MODELS[name](), rows),
        )
        found[name] = arrays["losses"], arrays["correct"]
    markov = MarkovModel.fit([data.learned_from], MARKOV_ORDER)
    found[MARKOV] = baseline_scores(markov, rows)
    found["6-mer frequencies"] = baseline_scores(UnigramModel.fit([data.learned_from]), rows)
    group = np.repeat(rows.group, middle.shape[1])
    classes = categories(data.transcripts, middle.reshape(-1))
    result: dict[str, dict[str, Any]] = {}
    for one in CATEGORIES:
        own = np.flatnonzero(classes == one)
        if len(own) < _LEAST_TOKENS:
            continue
        result[one] = {
            name: masked_metrics(
                losses.reshape(-1)[own, None],
                correct.reshape(-1)[own, None],
                group[own],
                seed=_SEED,
            )
            for name, (losses, correct) in found.items()
        }
    return result


def _guessed(model: PretrainedModel, rows: Any) -> dict[str, np.ndarray]:
    attention = local_attention(model.config, model.dtype)
    config = ForwardConfig(model.config, dtype=model.dtype, attention=attention)
    params = place_parameters(model.params, dtype=model.dtype, sharding=replicated_sharding())
    losses, correct = guesses(config, Trainable(Adapter(Full(), params), {}), rows)
    return {"losses": losses, "correct": correct}


def draw_depth(record: dict[str, Any], path: Path) -> None:
    """Draw balanced accuracy over layers."""
    figure, axis = plt.subplots(figsize=(6.4, 4), layout="constrained")
    for name, own in record["depth"].items():
        layers = sorted(own, key=int)
        values = [own[layer]["test"] for layer in layers]
        axis.plot(
            [int(layer) for layer in layers],
            [one["value"] for one in values],
            "o-",
            color=OF_MODEL[name],
            label=name,
        )
        if values[0]["low"] is not None:
            axis.fill_between(
                [int(layer) for layer in layers],
                [one["low"] for one in values],
                [one["high"] for one in values],
                color=OF_MODEL[name],
                alpha=0.12,
                linewidth=0,
            )
    for name, style in (("6-mer counts", ":"), ("3-mer counts", "--"), ("GC content", "-.")):
        value = record["scores"][name]["test"]["value"]
        axis.axhline(value, color="#666666", linestyle=style, linewidth=1, label=name)
    axis.axhline(record["chance"], color="#bbbbbb", linewidth=1, label="chance")
    axis.set_xlabel("layer (0 enters the first)")
    axis.set_ylabel("balanced accuracy on test blocks")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.legend(frameon=False, fontsize=8, ncols=2)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def draw_cloud(values: np.ndarray, labels: np.ndarray, path: Path) -> None:
    """Draw the last layer with PaCMAP (Huang et al. 2022), rRNA among the classes."""
    import pacmap  # takes seconds to import

    points = pacmap.PaCMAP(n_components=2, random_state=_SEED).fit_transform(values)
    figure, axis = plt.subplots(figsize=(6.4, 4.6), layout="constrained")
    for name, colour in zip(dict.fromkeys(labels.tolist()), _CLASS_COLOURS, strict=True):
        own = labels == name
        axis.scatter(*points[own].T, s=9, color=colour, label=f"{name} ({own.sum()})", alpha=0.7)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=150)
    plt.close(figure)


def blocks(record: dict[str, Any]) -> tuple[Block, ...]:
    """Lay out separability, masked tokens and what follows."""
    scores = [
        (name, f"{one['validation']:.3f}", interval_cell(one["test"]))
        for name, one in record["scores"].items()
    ]
    masked = [
        (
            one,
            name,
            counts_cell(metrics),
            interval_cell(metrics["bits_per_nucleotide"]),
            interval_cell(metrics["accuracy"]),
        )
        for one, models in record["masked"].items()
        for name, metrics in models.items()
    ]
    test = next(iter(record["scores"].values()))["test"]
    return (
        Text(_method(record)),
        Table(
            ("features", "validation", "test"),
            tuple(scores),
            f"Balanced accuracy of logistic regression on {test['n']} test windows "
            f"({', '.join(f'{name} {count}' for name, count in record['classes'].items())}) in "
            f"{test['groups']} blocks of 50 kb; every class weighs alike, chance is "
            f"{record['chance']:.3f}. Layer and penalty are chosen on validation blocks. Classes "
            f"of fewer than {_LEAST_ROWS} test windows, left out: "
            f"{', '.join(record['left_out']) or 'none'}.",
        ),
        Figure(f"results/{DEPTH}", "Balanced accuracy over depth, with 95% intervals."),
        Figure(
            f"results/{CLOUD}",
            "The last layer of `mini` by PaCMAP. rRNA is shown here and not counted: its seven "
            "operons are nearly identical.",
        ),
        Table(
            ("class", "model", "masked tokens (blocks)", "bits a base", "accuracy"),
            tuple(masked),
            "Masked 6-mers of chromosome 20, 1 to 4 Mb, which `mini_human` never saw, by what the "
            "list of introns says of their middle; windows that share a 31-mer with the rest of "
            f"the chromosome are left out, and classes of fewer than {_LEAST_TOKENS} tokens.",
        ),
        Text(conclusion(record)),
    )


def _method(record: dict[str, Any]) -> str:
    rows = ", ".join(f"{name} {count}" for name, count in record["rows"].items())
    return (
        f"Windows of {record['bases']} bp of *E. coli* K-12 around elements ({rows}), read on the "
        "element's strand, those between genes on a random one. RNAs and mobile elements: one for "
        "each family that shares a 16-mer; rRNA is shown and left out of the numbers. Blocks of 50 "
        "kb are kept apart for choosing the layer and for the test."
    )


def conclusion(record: dict[str, Any]) -> str:
    """Say which representations separate the classes."""
    scores = {name: one["test"] for name, one in record["scores"].items()}
    peak = {
        model: next(name for name in scores if name.startswith(f"{model}, layer"))
        for model in MODELS
    }
    cells = "; ".join(f"{name} {interval_cell(scores[name])}" for name in peak.values())
    simple = ("3-mer counts", "6-mer counts", "GC content")
    best = max(simple, key=lambda name: record["scores"][name]["validation"])
    bits = "; ".join(
        f"{one} {interval_cell(found['mini_human']['bits_per_nucleotide'])} and "
        f"{interval_cell(found[MARKOV]['bits_per_nucleotide'])}"
        for one, found in record["masked"].items()
    )
    return (
        f"Peak layers: {cells}; the best simple features are {best} "
        f"({interval_cell(scores[best])}). Masked tokens of human sequence, bits a base of "
        f"`mini_human` and of the Markov model: {bits}. The paper's observation that "
        "some layer separates its five kinds of human elements cannot be tested here: enhancers "
        "and promoters of chromosome 20 are not annotated in these data."
    )
