"""Zero-shot scores of variants of chromosome 20, by category and by frequency."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from experiments.nt_benchmark.chr20 import Chromosome, open_chromosome, scored_in_pieces
from experiments.nt_benchmark.models import MODELS, OF_MODEL
from ntjax.evaluation.allele_frequency import BLOCK, drawn_by_bin
from ntjax.evaluation.variant_contrasts import (
    LEAST_OF_A_CATEGORY,
    SEVERITY,
    against_matched,
    gain_over_baseline,
)
from ntjax.evaluation.variant_effects import VariantScorer
from ntjax.evaluation.variant_options import EffectOptions
from ntjax.genomes.alleles import Allele
from ntjax.genomes.substitutions import (
    CLASSES,
    Substitutions,
    is_cpg_transition,
    matched_substitutions,
    substitution_class,
)
from ntjax.genomes.transcripts import CATEGORIES, categories
from ntjax.genomes.windows import read_windows
from ntjax.metrics.significance import correct
from ntjax.reports.cells import counts_cell, interval_cell, marked_cell, signed_cell, told
from ntjax.reports.page import Block, Figure, Table, Text
from ntjax.sequences.alphabet import BASES

NAME, TITLE = "variants", "Zero-shot scores of variants"
PICTURE = "variants.png"
PER_CATEGORY, PER_BIN, WINDOW, PHASES = 200, 500, 384, 6
SCORES = ("l2", "cosine_similarity", "local_l2", "log_likelihood_ratio")
FOLD = 250_000
_SEED, _GC_REACH = 0, 50


def run(folder: Path, runs: Path) -> dict[str, Any]:
    """Score drawn variants and matched substitutions, and compare them."""
    data = open_chromosome()
    of_site = categories(data.transcripts, data.sites.given.places)
    names, drawn, matched = by_category(data, of_site)
    rare_or_common = _rare_or_common(data)
    given = _joined(drawn, matched, rare_or_common)
    ends = np.cumsum([len(names), len(names)])
    record: dict[str, Any] = {
        "window": WINDOW,
        "phases": PHASES,
        "counts": {name: int((of_site == name).sum()) for name in CATEGORIES},
        "models": {},
    }
    for model in MODELS:
        scores = scored(model, data, given, runs / NAME)
        severity = {name: SEVERITY[name] * scores[name] for name in SCORES}
        by_name = {}
        for name in CATEGORIES:
            own = np.flatnonzero(names == name)
            by_name[name] = {
                score: against_matched(
                    values[own], values[ends[0] + own], drawn.places[own] // BLOCK
                )
                for score, values in severity.items()
            }
        correct([one for found in by_name.values() for one in found.values()])
        record["models"][model] = {
            "categories": by_name,
            "rare_or_common": _rare(
                data, rare_or_common, {n: v[ends[1] :] for n, v in severity.items()}
            ),
            "quartiles": {
                name: np.quantile(severity["l2"][: ends[0]][names == name], [0.25, 0.5, 0.75])
                .round(6)
                .tolist()
                for name in CATEGORIES
            },
        }
    models = record["models"].values()
    correct([gain for one in models for gain in one["rare_or_common"]["gain"].values()])
    draw(record, folder / PICTURE)
    return record


def by_category(
    data: Chromosome, of_site: np.ndarray
) -> tuple[np.ndarray, Substitutions, Substitutions]:
    """Draw variants of each category, and a matched substitution for each.

    Arguments:
        data: the chromosome.
        of_site: category of each of its sites.

    Returns:
        The category of each variant, the variants, and the matched ones.
    """
    random = np.random.default_rng(_SEED)
    rows = np.concatenate(
        [random.permutation(np.flatnonzero(of_site == n))[:PER_CATEGORY] for n in CATEGORIES]
    )
    drawn = data.sites.given.take(rows)
    places = matched_substitutions(
        data.genome, drawn, BLOCK, WINDOW // 2, _SEED, avoided=data.sites.given.places
    )
    kept = np.flatnonzero(places >= 0)
    matched = Substitutions(places[kept], drawn.alternative[kept])
    return of_site[rows][kept], drawn.take(kept), matched


def _rare_or_common(data: Chromosome) -> Substitutions:
    rows = drawn_by_bin(data.sites, PER_BIN, _SEED)
    ends = np.isin(data.sites.bin[rows], (0, 3))
    return data.sites.given.take(rows[ends])


def _joined(*several: Substitutions) -> Substitutions:
    return Substitutions(*(np.concatenate(columns) for columns in zip(*several, strict=True)))


def scored(
    model: str, data: Chromosome, given: Substitutions, folder: Path
) -> dict[str, np.ndarray]:
    """Score substitutions with a model: float64 [n] by score."""

    def scores(scorer: VariantScorer, alleles: list[Allele]) -> dict[str, np.ndarray]:
        found = scorer.scores(alleles)
        return {name: found[name] for name in SCORES}

    options = EffectOptions(WINDOW, PHASES, both_strands=False, shams=0)
    return scored_in_pieces(model, data.genome, given, options, folder, scores)


def _rare(
    data: Chromosome, given: Substitutions, severity: dict[str, np.ndarray]
) -> dict[str, Any]:
    """What scores add to the substitution's class, CpG and GC in telling rare from common."""
    frequency = dict(
        zip(data.sites.given.places.tolist(), data.sites.frequency.tolist(), strict=True)
    )
    rare = np.array([frequency[place] <= 0.01 for place in given.places.tolist()]).astype(int)
    around = read_windows(data.genome, given.places - _GC_REACH, 2 * _GC_REACH + 1)
    gc = np.isin(around, [BASES.index("G"), BASES.index("C")]).mean(axis=1)
    kinds = np.eye(CLASSES)[substitution_class(data.genome, given)]
    baseline = np.column_stack([kinds, is_cpg_transition(data.genome, given), gc])
    return gain_over_baseline(
        rare, baseline, severity, given.places // FOLD, given.places // BLOCK, seed=_SEED
    )


def draw(record: dict[str, Any], path: Path) -> None:
    """Draw the differences from matched substitutions by category."""
    figure, axes = plt.subplots(
        1, len(SCORES), figsize=(11, 3.6), sharey=True, layout="constrained"
    )
    for axis, score in zip(axes, SCORES, strict=True):
        for shift, (model, colour) in enumerate(OF_MODEL.items()):
            for row, name in enumerate(CATEGORIES):
                one = record["models"][model]["categories"][name][score]
                place = row + 0.2 * (shift - 1)
                if one["value"] is None:
                    continue
                label = model if row == 0 else None
                axis.plot(one["value"], place, "o", color=colour, markersize=4, label=label)
                if one["low"] is not None:
                    axis.plot([one["low"], one["high"]], [place, place], color=colour)
        axis.axvline(0, color="#bbbbbb", linewidth=1, zorder=0)
        axis.set_title(score.replace("_", " "), fontsize=10)
    axes[0].set_yticks(range(len(CATEGORIES)), CATEGORIES, fontsize=8)
    axes[0].invert_yaxis()
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, fontsize=8, loc="outside right upper")
    figure.supxlabel("severity above matched substitutions (standard deviations)", fontsize=10)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def blocks(record: dict[str, Any]) -> tuple[Block, ...]:
    """Lay out the differences by category, and rare against common."""
    rows = []
    for model, found in record["models"].items():
        for name, scores in found["categories"].items():
            cells = [marked_cell(scores[score]) for score in SCORES]
            rows.append((model, name, counts_cell(scores["l2"]), *cells))
    rare = []
    for model, found in record["models"].items():
        own = found["rare_or_common"]
        for score, gain in own["gain"].items():
            rare.append(
                (
                    model,
                    score,
                    counts_cell(own),
                    interval_cell(own["baseline"]),
                    marked_cell(gain),
                    "–" if gain["detectable"] is None else f"{gain['detectable']:.3f}",
                )
            )
    return (
        Text(_method(record)),
        Figure(
            f"results/{PICTURE}",
            "Right of the line: the variants move the model more than substitutions of the same "
            "trinucleotide and alternative base drawn in the same 50 kb.",
        ),
        Table(
            ("model", "category", "variants (blocks)", *SCORES),
            tuple(rows),
            "Mean difference of severity from matched substitutions, in their standard deviations; "
            "an asterisk where it is told from 0 after Holm's correction over all cells of a "
            "model.",
        ),
        Table(
            ("model", "score", "variants (blocks)", "AUROC without", "gain", "detectable"),
            tuple(rare),
            "Rare (up to 1%) against common (above 10%): logistic regression on class of "
            "substitution, CpG and GC, without and with a score, on 250-kb blocks that it was not "
            "fitted on. An asterisk as above, over all models and scores. Detectable: the gain "
            "that four of five such samples would show at 5% without correction.",
        ),
        Text(conclusion(record)),
    )


def _method(record: dict[str, Any]) -> str:
    counts = "; ".join(f"{name} {count:,}" for name, count in record["counts"].items())
    return (
        f"Categories are those that a list of introns carries ({counts}). It holds introns of 100 "
        "to 800 bp alone, so that most introns and all exons of other transcripts are unlisted: "
        "what is outside is *not annotated*, which is not intergenic, and exons are a guess. Of "
        f"each category up to {PER_CATEGORY} substitutions were drawn. A difference is tested from "
        f"{LEAST_OF_A_CATEGORY} variants in 20 blocks of 50 kb on, which exons do not reach. "
        f"Windows of {record['window']} bp, {record['phases']} phases, forward strand. The paper's "
        "17 categories come from a "
        "column of consequences (VEP's CSQ, SnpEff's ANN) of the user's own file "
        "(`ntjax.evaluation.consequences`). eQTL, meQTL and ClinVar labels are not at hand here: "
        "their readers and matched controls (`labelled_variants`, `matched_controls`) are tested "
        "on simulated labels, and no area is given."
    )


def conclusion(record: dict[str, Any]) -> str:
    """Say what is told from chance."""
    cells_told: dict[str, list[str]] = {}
    for model, found in record["models"].items():
        cells_told[model] = [
            f"{name} ({score.replace('_', ' ')})"
            for name, scores in found["categories"].items()
            for score, one in scores.items()
            if told(one)
        ]
    said = "; ".join(
        f"{model}: {', '.join(cells) if cells else 'nothing'}"
        for model, cells in cells_told.items()
    )
    gains = [
        f"{model} {signed_cell(gain)} ({score.replace('_', ' ')})"
        for model, found in record["models"].items()
        for score, gain in found["rare_or_common"]["gain"].items()
        if told(gain) and gain["value"] > 0
    ]
    rare = f"a gain is told for {', '.join(gains)}" if gains else "no score adds what can be told"
    return (
        f"Told from matched substitutions after correction: {said}. What the untrained network "
        "shows as well comes from the composition of the sequence, not from learning. Rare "
        f"against common, beyond class, CpG and GC: {rare}. The sites' categories and frequencies "
        "are no labels of "
        "effect: neither result says how well a score finds variants that do something."
    )
