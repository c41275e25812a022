"""What of the test stands in training, and what scores owe to it."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.promoters.data.baseline_runs import BOOSTING, CNN, baseline_runs
from experiments.promoters.data.genome_files import find_genome
from experiments.promoters.data.rows import (
    CLEAN,
    DATASET,
    LOCUS_CLEAN,
    PROTOCOLS,
    PUBLISHED,
    main_run,
    protocol_rows,
    test_loci,
)
from experiments.promoters.study import Study, kept, parts_of, test_probabilities
from ntjax.audit import Options, audit
from ntjax.metrics.seeds import METRICS, seed_means
from ntjax.metrics.significance import holm
from ntjax.reports.cells import signed_cell, spread_cell
from ntjax.reports.figures import draw_intervals, new_picture, save
from ntjax.reports.page import Block, Figure, Table, Text

NAME, TITLE = "leakage", "Is the test set distinct from the training set?"
_OVERLAP = {
    "exact_copy": "stand in the training file letter for letter",
    "reverse_complement_copy": "stand in it on the other strand",
    "shifted": "share a 16-mer with a training row, and are no copy",
    "near_identical": "have 90% of their letters or more in common with a training row that is no "
    "copy",
}
_GENOME = {
    "near_training_row": "lie within 200 letters of a training row in the genome",
    "near_on_same_strand": "of these, on the same strand",
    "near_after_removing_shared_kmers": "lie so near even after training rows that share a "
    f"16-mer are removed ({CLEAN})",
}


def run(study: Study) -> dict[str, Any]:
    """The audit of the published files, and test metrics after training in every protocol."""
    return kept(study, NAME, lambda: _run(study))


def _run(study: Study) -> dict[str, Any]:
    report = audit(Options(DATASET, genome=find_genome(study.genome)))
    probabilities = {protocol: _probabilities(study, protocol) for protocol in PROTOCOLS}
    labels = parts_of(study, protocol_rows(study, CLEAN)).labels
    results = {
        method: seed_means(
            labels["test"],
            {protocol: probabilities[protocol][method] for protocol in PROTOCOLS},
            CLEAN,
            groups=test_loci(study),
        )
        for method in probabilities[CLEAN]
    }
    pairs = [(method, p) for method in results for p in (PUBLISHED, LOCUS_CLEAN)]
    corrected = holm([results[method][p]["auroc"]["difference"]["p"] for method, p in pairs])
    return {
        "audit": _shown(report),
        "steps": study.main_steps,
        "rows": {protocol: _training_rows(study, protocol) for protocol in PROTOCOLS},
        "results": results,
        "p": [
            {"method": method, "protocol": protocol, "p": float(p)}
            for (method, protocol), p in zip(pairs, corrected, strict=True)
        ],
    }


def _shown(report: dict[str, Any]) -> dict[str, Any]:
    """Of an audit what the page shows; not where the files lay."""
    shown = {
        "overlap": ("by_label",),
        "genome": ("test", "test_loci"),
        "train": ("rows", "clusters"),
    }
    parts = {part: {key: report[part][key] for key in keys} for part, keys in shown.items()}
    return parts | {"composition": report["composition"]}


def _training_rows(study: Study, protocol: str) -> dict[str, int]:
    """All rows that a protocol leaves, and the promoters among them."""
    labels = parts_of(study, protocol_rows(study, protocol)).labels
    known = np.concatenate([labels[part] for part in ("train", "validation", "calibration")])
    return {"all": len(known), "promoters": int(known.sum())}


def _probabilities(study: Study, protocol: str) -> dict[str, np.ndarray]:
    """Of the test rows, [1, rows], of the adapted model and of two simpler ones."""
    rows = protocol_rows(study, protocol)
    parts, folder = partial(parts_of, study, rows), study.runs_folder / rows.name / "baselines"
    simpler = {
        name: baseline_runs(folder, parts, name, 1, study.cnn).probabilities
        for name in (BOOSTING, CNN)
    }
    adapted = test_probabilities([main_run(study, protocol)])
    return {f"{Path(study.model).name}, lora": adapted} | simpler


def blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """The counts, the labels' give-aways, and the scores of the three protocols."""
    picture, [[axes]] = new_picture(width=8, height=3)
    results = record["results"]
    of_protocol = {p: [results[method][p]["auroc"] for method in results] for p in PROTOCOLS}
    draw_intervals(axes, list(results), of_protocol)
    axes.set_xlabel("AUROC on the published test rows")
    file = save(picture, folder / "leakage.png")
    return (
        Text(_what_was_found(record["audit"])),
        _overlap_table(record["audit"]),
        Text(
            "So three protocols stand side by side in this study. "
            + " ".join(
                f"`{protocol}`: {said} ({record['rows'][protocol]['all']:,} rows, "
                f"{record['rows'][protocol]['promoters']:,} promoters)."
                for protocol, said in PROTOCOLS.items()
            )
            + " The test rows are always the same. Intervals draw loci of test rows, "
            f"{record['audit']['genome']['test_loci']:,} of them, not rows."
        ),
        Figure(file, "AUROC by the rows that were trained on, with 95% intervals. One seed."),
        Table(
            ("method", "rows", *METRICS, f"AUROC − {CLEAN}", "p (Holm)"),
            tuple(_row(record, method, protocol) for method in results for protocol in PROTOCOLS),
            f"Metrics on the published test rows, one seed [95% interval over loci]; LoRA "
            f"{record['steps']:,} steps. Differences: paired bootstrap of loci, p corrected for "
            "all of them: of these models, where another seed may differ as much. Where more "
            "is left out there are fewer rows to train on, which costs a little of its own, and "
            "fewer of them are promoters, which moves the threshold of accuracy and MCC.",
        ),
        _composition_table(record["audit"]),
        Text(_verdict(record)),
    )


def _row(record: dict[str, Any], method: str, protocol: str) -> tuple[str, ...]:
    tested = record["results"][method][protocol]
    p = [of["p"] for of in record["p"] if (of["method"], of["protocol"]) == (method, protocol)]
    return (
        method,
        protocol,
        *(spread_cell(tested[metric]) for metric in METRICS),
        signed_cell(tested["auroc"]["difference"]) if p else "–",
        f"{p[0]:.3f}" if p else "–",
    )


def _what_was_found(audited: dict[str, Any]) -> str:
    of = audited["overlap"]["by_label"]["1"]
    groups = audited["train"]["clusters"]
    return (
        'The report calls its test set "distinct". Of its '
        f"{of['rows']:,} promoters, {of['exact_copy']:,} stand in the *E. coli* training file "
        f"letter for letter. Inside the training file {groups['rows_in_larger_groups']:,} of "
        f"{audited['train']['rows']['total']:,} rows share a 16-mer with another one, in families "
        f"of up to {groups['largest']}: validation rows drawn at random have relatives in training."
    )


def _overlap_table(audited: dict[str, Any]) -> Table:
    promoters, others = (audited["overlap"]["by_label"][label] for label in ("1", "0"))
    lines = [
        (said, _count(promoters, key), _count(others, key), _chance(promoters, others, key))
        for key, said in _OVERLAP.items()
    ]
    placed = [audited["genome"]["test"]["by_label"][label] for label in ("1", "0")]
    lines += [(said, *(f"{of[key]:,}" for of in placed), "–") for key, said in _GENOME.items()]
    return Table(
        ("test rows that", "promoters", "random letters", "by chance"),
        tuple(lines),
        f"Of {promoters['rows']:,} promoters and {others['rows']:,} sequences of random letters, "
        "both strands counted, as `python -m ntjax.audit ecoli_promoters --genome FASTA` finds "
        "them. By chance: expected of random letters.",
    )


def _count(of: dict[str, Any], key: str) -> str:
    """Rows; a dash where there are none left to be counted, as all are copies."""
    return "–" if key == "shifted" and of["exact_copy"] == of["rows"] else f"{of[key]:,}"


def _chance(promoters: dict[str, Any], others: dict[str, Any], key: str) -> str:
    if key != "shifted":
        return "–"
    expected = "shared_kmer_expected_by_chance"
    return f"{promoters[expected]:.0f} and {others[expected]:.0f}"


def _composition_table(audited: dict[str, Any]) -> Table:
    lines = [
        (
            called,
            *(f"{audited['composition'][label][f'{part}_gc']:.3f}" for part in ("train", "test")),
            *(
                f"{audited['composition'][label][f'{part}_auroc']:.3f}"
                for part in ("train", "test")
            ),
        )
        for label, called in (("1", "promoters"), ("0", "random letters"))
    ]
    return Table(
        ("rows", "GC, training", "GC, test", "AUROC of GC alone, training", "in the test"),
        tuple(lines),
        "Share of G and C, and how far it alone tells the classes in the direction that holds in "
        "training: what a model can learn from the training rows that is of no use in the test.",
    )


def _verdict(record: dict[str, Any]) -> str:
    sentences = []
    for method, of in record["results"].items():
        with_test, without_near = (of[p]["auroc"]["difference"] for p in (PUBLISHED, LOCUS_CLEAN))
        sentences.append(
            f"{method}: AUROC {of[CLEAN]['auroc']['value']:.3f} after training on clean rows, "
            f"{signed_cell(with_test)} with the test promoters among them, "
            f"{signed_cell(without_near)} without those promoters' neighbours."
        )
    return " ".join(sentences)
