"""What the scans say, in words, tables and pictures."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.promoters.sections.scan_figures import draw_curves, draw_locus
from experiments.promoters.sections.scan_methods import APART, BLOCK_LETTERS, OPTIONS
from ntjax.genomes.scored_sites import TOLERANCE
from ntjax.reports.cells import compared, interval_cell
from ntjax.reports.page import Block, Figure, Table, Text

_HEADS = (
    "method", "AUROC of rows", "average precision", "precision", "recall", "recall of clusters",
    "hits per Mb",
)  # fmt: skip
_HITS_HEADS = (
    "probabilities", "start sites expected", "known", "finds expected among the hits", "found",
    "found / expected",
)  # fmt: skip


def scan_blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """How well start sites are found, whether hits are as many as expected, and how it looks."""
    curves = draw_curves(record, folder / "scan.png")
    stretch = draw_locus(record, folder / "scan_locus.png")
    known, letters, locus = record["known"]["test"], record["letters"]["test"], record["locus"]
    return (
        Text(_what_was_done(record)),
        Text(_verdict(record)),
        Figure(
            curves,
            f"Scans of {letters:,} held-out letters with {known:,} known start sites. Left: "
            "precision and recall by falling threshold; the dot is the threshold chosen in the "
            f"validation blocks; bands: 95% intervals over blocks of {BLOCK_LETTERS:,} letters. "
            "Right: how many of its best calls are at a known site, and how many the model's "
            "probabilities expect.",
        ),
        Table(
            _HEADS,
            tuple(_row(name, found) for name, found in record["results"].items()),
            f"One seed each [95% interval over blocks; of rows, over loci]. Precision is a "
            "lower bound: start sites that nobody has mapped count as false. Clusters: known sites "
            f"nearer than {APART} letters to the next count as one, of "
            f"which there are {record['results'][record['model']]['clusters']['known']:,}.",
        ),
        Table(
            ("average precision of", "minus that of", "difference", "p (Holm)"),
            tuple(
                (
                    of["first"],
                    of["second"],
                    "{value:+.3f} [{low:+.3f}, {high:+.3f}]".format(**of),
                    f"{of['corrected']:.3f}",
                )
                for of in record["differences"]
            ),
            "Paired: the same blocks are drawn for both.",
        ),
        Text(_what_is_expected(record)),
        Table(
            _HITS_HEADS,
            tuple(_hits_row(record, name) for name in record["hits"]["kinds"]),
            f"{record['model']}: what its probabilities make expect in the test blocks, and what "
            "is known. Start sites: the sum over all places, from every "
            f"{OPTIONS.stride}th. Hits: calls from the threshold; of each, the sum over the places "
            f"within {TOLERANCE} letters, at most 1.",
        ),
        Figure(
            stretch,
            f"{record['model']} on {locus['contig']}:{locus['start'] + 1:,}-{locus['end']:,}, the "
            "stretch of the test blocks with the median number of known start sites: scores of "
            "all places scored, calls from the threshold, known start sites and genes.",
        ),
    )


def _row(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    test = found["test"]
    return (
        name,
        interval_cell(found["rows"]),
        interval_cell(test["average_precision"]),
        interval_cell(test["precision"]),
        interval_cell(test["recall"]),
        interval_cell(found["clusters"]["recall"]),
        "{value:,.0f} [{low:,.0f}, {high:,.0f}]".format(**test["hits_per_mb"]),
    )


def _hits_row(record: dict[str, Any], name: str) -> tuple[str, ...]:
    kind, test = record["hits"]["kinds"][name], record["results"][record["model"]]["test"]
    about_sites = kind["sites"] is not None
    return (
        name,
        f"{kind['sites']:,.0f}" if about_sites else "–",
        f"{record['known']['test']:,}" if about_sites else "–",
        f"{kind['hits']:,.1f}",
        f"{test['found']:,} of {test['called']:,} hits",
        interval_cell(kind["ratio"]),
    )


def _what_was_done(record: dict[str, Any]) -> str:
    rows, letters, known = record["rows"], record["letters"], record["known"]
    return (
        "A model trained against random letters cannot scan a genome, so all methods are trained "
        f"anew, on {rows['train']:,} rows of other blocks: promoters of K-12 against windows of "
        f"like GC from the same blocks (LoRA {record['steps']:,} steps of 32; CNN "
        f"{record['epochs']} epochs; the position weights on the promoters alone). Scanned are "
        f"{record['blocks']['test']} blocks, {letters['test']:,} letters on both strands with "
        f"{known['test']:,} known start sites: every {OPTIONS.stride}th place, then all around the "
        f"best {OPTIONS.refine:.0%} (position weights: every place). Calls are {APART} letters or "
        f"more apart, and each finds one known site at most, within {TOLERANCE} letters. "
        f"Thresholds were chosen, by F1, in {letters['validation']:,} letters of other blocks "
        f"with {known['validation']:,} known sites. Backbones pre-trained on K-12 (`mini` is one) "
        "have read the blocks' sequence, though no label of it."
    )


def _verdict(record: dict[str, Any]) -> str:
    noise = record["random"]
    sentences = [
        f"Scores that are nothing but noise have an average precision of {np.mean(noise):.3f} "
        f"({min(noise):.3f} to {max(noise):.3f} in {len(noise)} scans)."
    ]
    precision = {
        name: found["test"]["average_precision"]["value"]
        for name, found in record["results"].items()
    }
    for of in record["differences"]:
        told = compared(of, of["corrected"])
        sentences.append(
            f"{of['first']} ({precision[of['first']]:.3f}) {told} {of['second']} "
            f"({precision[of['second']]:.3f})."
        )
    best = record["results"][record["model"]]
    sentences.append(
        f"At an AUROC of {best['rows']['value']:.3f} on rows of which half are promoters, "
        f"{1 - best['test']['found'] / max(best['test']['called'], 1):.0%} of the "
        f"{best['test']['called']:,} hits of {record['model']} in the genome are at no known start "
        "site."
    )
    return " ".join(sentences)


def _what_is_expected(record: dict[str, Any]) -> str:
    told = []
    for name, kind in record["hits"]["kinds"].items():
        ratio = kind["ratio"]
        if None in ratio.values():
            continue
        right = ratio["low"] <= 1 <= ratio["high"]
        verdict = (
            "as many as expected"
            if right
            else ("more than expected" if ratio["value"] > 1 else "fewer than expected")
        )
        told.append(f"{name}: {verdict} ({interval_cell(ratio)} finds for each expected)")
    return (
        f"Are the hits as many as the probabilities say? The calibration was fitted where "
        f"{record['fitted_prior']:.0%} of the rows are promoters; in the training blocks one place "
        f"of a strand in {1 / record['density']:,.0f} is a known start site. {'; '.join(told)}. "
        "A shift of the prior supposes that classes look as they did in training; there no window "
        "lay near a start site without being centred on it, while a scan passes through all of "
        "them, and takes the best of neighbours. The last calibration has seen such calls."
    )
