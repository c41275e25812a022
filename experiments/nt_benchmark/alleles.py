"""Perplexity over variants of chromosome 20 by the frequency of their rarer allele."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from experiments.nt_benchmark.chr20 import Chromosome, open_chromosome, scored_in_pieces
from experiments.nt_benchmark.models import MODELS, OF_MODEL
from ntjax.baselines.markov import MarkovModel
from ntjax.evaluation.allele_frequency import (
    BINS,
    MEASURES,
    Sites,
    by_frequency,
    drawn_by_bin,
    markov_likelihoods,
    paired_losses,
    share_of_repeats,
    trinucleotide_likelihoods,
)
from ntjax.evaluation.variant_options import EffectOptions
from ntjax.genomes.regions import whole_genome
from ntjax.genomes.substitutions import is_cpg_transition
from ntjax.reports.cells import counts_cell, interval_cell, signed_cell
from ntjax.reports.page import Block, Figure, Table, Text

NAME, TITLE = "alleles", "Perplexity over variants by allele frequency"
PICTURE = "alleles.png"
PER_BIN, WINDOW, PHASES, ORDER = 500, 768, 6, 5
MARKOV, NEIGHBOURS = f"Markov, order {ORDER}", "neighbours alone"
_SEED = 0
_COLOURS = {**OF_MODEL, MARKOV: "#666666"}


def run(folder: Path, runs: Path) -> dict[str, Any]:
    """Score the two alleles of every drawn site with each model, and summarise by frequency."""
    data = open_chromosome()
    sites = data.sites.take(drawn_by_bin(data.sites, PER_BIN, _SEED))
    found = {name: likelihoods(name, data, sites, runs / NAME) for name in MODELS}
    markov = MarkovModel.fit([data.learned_from], ORDER)
    found[MARKOV] = markov_likelihoods(markov, data.genome, sites.given)
    neighbours = trinucleotide_likelihoods([data.learned_from], data.genome, sites.given)
    cpg = is_cpg_transition(data.genome, sites.given)
    repeats = share_of_repeats(data.genome, sites.given, [whole_genome(data.genome)])
    rows = {
        "all": np.arange(len(sites.frequency)),
        "CpG transitions": np.flatnonzero(cpg),
        "all others": np.flatnonzero(~cpg),
        "unique sequence": np.flatnonzero(repeats == 0),
    }
    record = {
        "sites": np.bincount(data.sites.bin, minlength=len(BINS)).tolist(),
        "unseen_in_samples": int((data.sites.frequency == 0).sum()),
        "window": WINDOW,
        "phases": PHASES,
        "of": {
            which: {
                name: by_frequency(values[own], sites.take(own))
                for name, values in {**found, NEIGHBOURS: neighbours}.items()
            }
            for which, own in rows.items()
        },
        "against": {
            f"{one} − {other}": paired_losses(found[one], found[other], sites)
            for one, other in (
                ("mini_human", "mini"),
                ("mini", "untrained"),
                ("mini_human", "untrained"),
                ("mini_human", MARKOV),
            )
        }
        | {
            f"mini_human − {MARKOV}, unique sequence": paired_losses(
                *(found[name][rows["unique sequence"]] for name in ("mini_human", MARKOV)),
                sites.take(rows["unique sequence"]),
            )
        },
        "repeats": [float(repeats[sites.bin == n].mean()) for n in range(len(BINS))],
    }
    draw(record, folder / PICTURE)
    return record


def likelihoods(name: str, data: Chromosome, sites: Sites, folder: Path) -> np.ndarray:
    """Log p of the k-mers with REF and with ALT, float64 [sites, 2]."""
    found = scored_in_pieces(
        name,
        data.genome,
        sites.given,
        EffectOptions(WINDOW, PHASES, both_strands=False, shams=0),
        folder,
        lambda scorer, alleles: {"log_p": scorer.log_likelihoods(alleles)},
    )
    return found["log_p"]


def draw(record: dict[str, Any], path: Path) -> None:
    """Draw perplexity of the reference and the share of the alternative over frequency."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    titles = {
        "loss_reference": "Loss of the k-mer with the reference base (nats)",
        "alternative_share": "P(ALT) / (P(REF) + P(ALT))",
    }
    for axis, (measure, title) in zip(axes, titles.items(), strict=True):
        for shift, (name, colour) in enumerate(_COLOURS.items()):
            bins = record["of"]["all"][name]["bins"]
            values = np.array([one[measure]["value"] for one in bins])
            places = np.arange(len(bins)) + 0.1 * (shift - 1.5)
            axis.plot(places, values, "o", color=colour, label=name)
            for place, one in zip(places, bins, strict=True):
                if one[measure]["low"] is not None:
                    ends = one[measure]["low"], one[measure]["high"]
                    axis.plot([place, place], ends, color=colour)
        axis.set_xticks(range(len(BINS)), [bin_name(*bounds) for bounds in BINS])
        axis.set_xlabel("frequency of the rarer allele")
        axis.set_title(title, fontsize=10)
    axes[0].axhline(
        np.log(4096), color="#bbbbbb", linestyle="--", linewidth=1, label="all 6-mers alike"
    )
    axes[1].axhline(0.5, color="#bbbbbb", linestyle="--", linewidth=1)
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def bin_name(low: float, high: float) -> str:
    """Write the bounds of a bin in percent."""
    return f"{100 * low:g} to {100 * high:g}%"


def blocks(record: dict[str, Any]) -> tuple[Block, ...]:
    """Lay out the table by frequency, the differences and what they mean."""
    rows = []
    for name, found in record["of"]["all"].items():
        for one in found["bins"]:
            cells = [interval_cell(one[measure]) for measure in MEASURES]
            rows.append((name, bin_name(*one["bounds"]), counts_cell(one), *cells))
        between = found["rare_minus_common"]
        ends = (signed_cell(between[measure]) for measure in MEASURES)
        rows.append((name, "rarest − commonest", counts_cell(between), *ends))
    heads = ("model", "frequency", "sites (blocks)", "loss, REF", "loss, ALT", "share of ALT")
    apart = [
        (
            which,
            name,
            counts_cell(found["rare_minus_common"]),
            signed_cell(found["rare_minus_common"]["loss_reference"]),
            signed_cell(found["rare_minus_common"]["alternative_share"]),
        )
        for which, models in record["of"].items()
        if which != "all"
        for name, found in models.items()
    ]
    pairs = [(pair, signed_cell(one), counts_cell(one)) for pair, one in record["against"].items()]
    return (
        Text(_method(record)),
        Figure(f"results/{PICTURE}", "With 95% intervals; points are shifted sideways."),
        Table(heads, tuple(rows), "Nats a 6-mer; perplexity is the exponential."),
        Table(
            ("sites", "model", "sites (blocks)", "loss, REF: rarest − commonest", "share of ALT"),
            tuple(apart),
            "CpG transitions apart, and sites whose 31-mers occur once on the chromosome.",
        ),
        Table(
            ("pair", "loss of the reference, first − second", "sites (blocks)"),
            tuple(pairs),
            "Below 0 the first is better, on the same sites, all of them weighing alike.",
        ),
        Text(conclusion(record)),
    )


def _method(record: dict[str, Any]) -> str:
    counts = " / ".join(f"{count:,}" for count in record["sites"])
    return (
        f"Substitutions of 1000 Genomes at 20:1–4 Mb by the frequency of the rarer allele (AC / "
        f"AN; {counts} in the four bins; at {record['unseen_in_samples']:,} sites of the first the "
        f"file's samples do not vary), of which {PER_BIN} of each bin were drawn. The "
        f"6-mer that holds the site is masked, in each of {record['phases']} phases of a "
        f"{record['window']}-bp window of the forward strand. Bins are weighted to the same "
        "trinucleotides and alternative bases; classes that a bin lacks are left out. Intervals "
        "are over blocks of 50 kb. AN is 600: a frequency of 1% is six chromosomes; the reference "
        "is not the ancestral allele. Shares of 31-mers over the site that occur elsewhere on the "
        f"chromosome: {', '.join(f'{share:.3f}' for share in record['repeats'])}."
    )


def conclusion(record: dict[str, Any]) -> str:
    """Say what may be read from the numbers."""
    human = record["against"]["mini_human − mini"]
    markov = record["against"][f"mini_human − {MARKOV}"]
    told = [
        name
        for name, found in record["of"]["all"].items()
        if name in MODELS
        and found["rare_minus_common"]["loss_reference"]["low"] is not None
        and not _holds_zero(found["rare_minus_common"]["loss_reference"])
    ]
    frequency = (
        "No network's loss of the reference differs between the rarest and the commonest sites "
        "by more than chance."
        if not told
        else "The loss of the reference is told apart between the rarest and the commonest sites "
        f"for {', '.join(told)}. Of sites whose 31-mers occur once on the chromosome the "
        f"difference is {_unique(record, told)}. Where this interval holds 0, the difference "
        "among all sites may come from repeats."
    )
    return (
        f"On human sequence the human `mini` is {_better(human)} the bacterial one "
        f"({signed_cell(human)} nats a 6-mer) and {_better(markov)} a Markov model of order "
        f"{ORDER} of the same chromosome ({signed_cell(markov)}). {frequency} The share of P(ALT) "
        f"in P(REF) + P(ALT), rarest minus commonest: {_shares(record)}. A model of 3.4 "
        "million numbers that saw 8 million tokens of one chromosome is no test of the paper's "
        "observation on models of 500 million and more; a published model is scored by the same "
        "function, `ntjax.evaluation.allele_frequency.by_frequency`."
    )


def _shares(record: dict[str, Any]) -> str:
    found = record["of"]["all"]
    return ", ".join(
        f"{name} {signed_cell(found[name]['rare_minus_common']['alternative_share'])}"
        for name in (*MODELS, MARKOV)
    )


def _unique(record: dict[str, Any], told: list[str]) -> str:
    found = record["of"]["unique sequence"]
    return ", ".join(
        f"{signed_cell(found[name]['rare_minus_common']['loss_reference'])} ({name})"
        for name in told
    )


def _better(difference: dict[str, Any]) -> str:
    if difference["low"] is None or _holds_zero(difference):
        return "not told apart from"
    return "better than" if difference["value"] < 0 else "worse than"


def _holds_zero(difference: dict[str, Any]) -> bool:
    return difference["low"] <= 0 <= difference["high"]
