"""Can the probabilities be believed, and still where promoters are rare? (figure 6)"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from experiments.promoters.data.rows import CLEAN, PROTOCOLS, main_run, protocol_rows, test_loci
from experiments.promoters.data.weighted_rows import (
    FEWEST,
    MEASURES,
    at_share,
    differences,
    drawn_rows,
    intervals,
    measures,
    reliability,
)
from experiments.promoters.sections.calibration_figures import draw_figure_6, draw_priors
from experiments.promoters.study import Study, kept, parts_of
from ntjax.calibration.prior_shift import estimate_prior, log_odds_at_prior
from ntjax.calibration.scaling import PlattScaling
from ntjax.datasets.prepare import LabelledParts
from ntjax.io.json import read_json
from ntjax.metrics.bootstrap import multiplicities, resampling_units
from ntjax.reports.page import Block, Figure, Table, Text
from ntjax.runs.calibration_file import calibration_from_dict
from ntjax.runs.folder import DESCRIPTION_FILE, PREDICTIONS_FILE, RELIABILITY_FILE
from ntjax.sequences.alphabet import gc_content

NAME, TITLE = "calibration", "Can the probabilities be believed?"
PRIORS = (0.05, 0.01)
UNCALIBRATED, PLATT = "uncalibrated", "Platt"
AS_FITTED, TRUE, ESTIMATED, KNOWS_NOTHING = (
    "Platt, as it was fitted",
    "shifted to the true prior",
    "shifted to the estimated prior",
    "the true prior for every row",
)
_RESAMPLES = 500
_UNLABELLED = 2000
_HISTOGRAM_BINS = 20


def run(study: Study) -> dict[str, Any]:
    """Reliability of the main run before and after Platt scaling, at three priors."""
    return kept(study, NAME, lambda: _run(study))


def _run(study: Study) -> dict[str, Any]:
    folders = {protocol: main_run(study, protocol) for protocol in PROTOCOLS}
    folder, parts = folders[CLEAN], parts_of(study, protocol_rows(study, CLEAN))
    labels, drawn = parts.labels["test"], _drawn(test_loci(study))
    by_protocol = {protocol: _logits(of) for protocol, of in folders.items()}
    logits = by_protocol[CLEAN]
    found = {
        protocol: {name: measures(labels, values, drawn) for name, values in of.items()}
        for protocol, of in by_protocol.items()
    }
    fitted_prior = float(parts.labels["calibration"].mean())
    return {
        "steps": study.main_steps,
        "rows": {part: len(of) for part, of in parts.tables.items()},
        "promoters": {part: float(of.mean()) for part, of in parts.labels.items()},
        "strong": {part: _strong(parts, part) for part in ("calibration", "test")},
        "platt": read_json(folder / DESCRIPTION_FILE)["calibration"],
        "curves": read_json(folder / RELIABILITY_FILE),
        "histograms": {name: _histograms(labels, values) for name, values in logits.items()},
        "protocols": {
            protocol: {name: intervals(values) for name, values in of.items()}
            for protocol, of in found.items()
        },
        "change": differences(found[CLEAN][PLATT], found[CLEAN][UNCALIBRATED]),
        "fitted_prior": fitted_prior,
        "priors": {
            f"{prior:g}": _at_prior(labels, logits[PLATT], drawn, fitted_prior, prior)
            for prior in PRIORS
        },
    }


def _logits(folder: Path) -> dict[str, NDArray[np.float64]]:
    """Of a run's test rows, before and after its own calibration."""
    saved = read_json(folder / DESCRIPTION_FILE)["calibration"]
    raw = pd.read_csv(folder / PREDICTIONS_FILE)["logit"].to_numpy()
    slope, intercept = _slope_and_intercept(saved)
    return {UNCALIBRATED: raw, PLATT: slope * raw + intercept}


def _slope_and_intercept(saved: dict[str, Any]) -> tuple[float, float]:
    """Of Platt scaling; 1 and 0 where the probabilities stay as they are."""
    fitted = calibration_from_dict(saved, "classification", 2)
    return (fitted.slope, fitted.intercept) if isinstance(fitted, PlattScaling) else (1.0, 0.0)


def _drawn(loci: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often each test row counts: once, then by resample of loci, [1 + resamples, rows]."""
    membership, units = resampling_units(len(loci), loci)
    random = np.random.default_rng(0)
    once = np.ones((1, len(loci)))
    return np.concatenate([once, *multiplicities(membership, units, _RESAMPLES, random)])


def _strong(parts: LabelledParts, part: str) -> dict[str, float]:
    """Share of G and C among the letters of a part's promoters and of its other rows."""
    shares, labels = gc_content(parts.tables[part].sequences), parts.labels[part]
    return {
        name: float(shares[labels == of].mean()) for name, of in (("promoters", 1), ("others", 0))
    }


def _histograms(labels: NDArray[np.int64], logits: NDArray[np.float64]) -> list[list[int]]:
    """Rows by probability, [other or promoter, bins]."""
    edges = np.linspace(0, 1, _HISTOGRAM_BINS + 1)
    return [np.histogram(expit(logits[labels == of]), edges)[0].tolist() for of in (0, 1)]


def _at_prior(
    labels: NDArray[np.int64],
    logits: NDArray[np.float64],
    drawn: NDArray[np.float64],
    fitted_prior: float,
    prior: float,
) -> dict[str, Any]:
    """Measures of the test rows, weighted so that `prior` of them are promoters."""
    weights = at_share(drawn, labels, prior)
    shift = partial(log_odds_at_prior, logits, fitted_prior)
    estimates = _estimates(expit(logits), weights, fitted_prior)
    nothing = np.full(len(labels), np.log(prior / (1 - prior)))
    found = {
        AS_FITTED: measures(labels, logits, weights),
        TRUE: measures(labels, shift(prior), weights),
        ESTIMATED: _stacked(
            [measures(labels, shift(e), w[None]) for e, w in zip(estimates, weights, strict=True)]
        ),
        KNOWS_NOTHING: measures(labels, nothing, weights),
    }
    return {
        "measures": {name: intervals(values) for name, values in found.items()},
        "change": differences(found[TRUE], found[AS_FITTED]),
        "estimate": intervals({"prior": estimates})["prior"],
        "curves": {
            AS_FITTED: reliability(labels, logits, weights[1:]),
            TRUE: reliability(labels, shift(prior), weights[1:]),
        },
    }


def _estimates(
    probabilities: NDArray[np.float64], weights: NDArray[np.float64], fitted_prior: float
) -> NDArray[np.float64]:
    """The prior as estimated from rows without labels, drawn by each resample's weights."""
    random = np.random.default_rng(1)
    found = [
        estimate_prior(probabilities[drawn_rows(one, _UNLABELLED, random)], fitted_prior)
        for one in weights
    ]
    # A share of 0 has no odds: less than one row in two is as little as so many rows can show.
    return np.maximum(found, 1 / (2 * _UNLABELLED))


def _stacked(parts: list[dict[str, NDArray[np.float64]]]) -> dict[str, NDArray[np.float64]]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def blocks(record: dict[str, Any], folder: Path) -> tuple[Block, ...]:
    """Figure 6, what Platt scaling does, and what becomes of it at other priors."""
    sixth = draw_figure_6(record, folder / "figure_6_calibration.png")
    priors = draw_priors(record, (AS_FITTED, TRUE), folder / "calibration_priors.png")
    resampled, of_ece = _what_the_numbers_are(record)
    return (
        Text(_what_was_done(record)),
        Figure(
            sixth,
            "Figure 6. Above: how many of the test rows that got a probability are of that class, "
            "in ten bins with 95% Wilson intervals; the curve of the other class is that of the "
            "first turned by half a circle, as there are two. Below: probabilities of the rows of "
            "both classes. Dashed: before, solid: after Platt scaling.",
        ),
        Table(
            ("rows trained on", "", *MEASURES),
            (
                *(
                    (protocol, name, *_cells(found))
                    for protocol, of in record["protocols"].items()
                    for name, found in of.items()
                ),
                (CLEAN, "change", *_cells(record["change"], "+")),
            ),
            f"The test rows as they are ({record['promoters']['test']:.0%} promoters): "
            f"{resampled}; of the change, paired. {of_ece}",
        ),
        Text(_what_platt_does(record)),
        Text(_what_the_prior_does(record)),
        Figure(
            priors,
            "The test rows, promoters weighted down to the share above each panel: how many are "
            "promoters among the rows that got a probability, before and after it is shifted to "
            "that share; 95% bootstrap intervals over loci. Bins of fewer than "
            f"{FEWEST} test rows are left out. The diagonal is right.",
        ),
        Table(
            ("promoters", "probabilities", *MEASURES),
            tuple(
                (f"{float(prior):.0%}", name, *_cells(measured))
                for prior, found in record["priors"].items()
                for name, measured in found["measures"].items()
            ),
            f"The test rows weighted to a prior: {resampled}. The prior is estimated, in each "
            f"resample, from {_UNLABELLED:,} rows drawn from it without their labels.",
        ),
    )


def _what_the_numbers_are(record: dict[str, Any]) -> tuple[str, str]:
    """What stands in tables, and of the ECE. Records made before 2026-12 have ranges of it too."""
    over = f"over {_RESAMPLES}"
    if record["change"]["ECE"]["low"] is None:
        return (
            f"values, and 95% ranges {over} resamples of the test rows' loci",
            "Of the ECE there is the value alone: chance adds to it, so that no range of resamples "
            "holds the true one.",
        )
    return (
        f"means and 95% ranges {over} bootstrap resamples of the test rows' loci",
        "Drawing rows anew adds noise to the bins, which the ECE counts as error.",
    )


def _cells(found: dict[str, Any], sign: str = "") -> list[str]:
    value, ends = f"{{value:{sign}.4f}}", f" [{{low:{sign}.4f}}, {{high:{sign}.4f}}]"
    cells = (found[name] for name in MEASURES)
    return [(value + ("" if of["low"] is None else ends)).format(**of) for of in cells]


def _what_was_done(record: dict[str, Any]) -> str:
    rows, strong = record["rows"], record["strong"]
    slope, intercept = _slope_and_intercept(record["platt"])
    return (
        f"LoRA, one seed, {record['steps']:,} steps of 32 sequences on {rows['train']:,} clean "
        f"rows. Platt scaling has two numbers, slope {slope:.3f} and intercept "
        f"{intercept:+.3f}, fitted on {rows['calibration']:,} other rows of the "
        f"training file, of which {record['fitted_prior']:.1%} are promoters, and is tested on "
        f"{rows['test']:,} rows. The two are not alike: those that are no promoters have "
        f"{strong['calibration']['others']:.1%} G and C in the training file and "
        f"{strong['test']['others']:.1%} in the test file, promoters "
        f"{strong['calibration']['promoters']:.1%} and {strong['test']['promoters']:.1%}; no "
        "calibration on the former knows that."
    )


def _what_platt_does(record: dict[str, Any]) -> str:
    before, change = record["protocols"][CLEAN][UNCALIBRATED], record["change"]
    said = [f"{name} {_told(change[name])} ({before[name]['value']:.4f} before)" for name in change]
    return f"After Platt scaling, on the test rows: {'; '.join(said)}."


def _what_the_prior_does(record: dict[str, Any]) -> str:
    sentences = [
        f"Where {float(prior):.0%} of the rows are promoters, the probabilities that were fitted "
        f"where {record['fitted_prior']:.0%} were have an ECE of "
        f"{found['measures'][AS_FITTED]['ECE']['value']:.3f}; shifted to the true prior by Bayes' "
        f"rule {found['measures'][TRUE]['ECE']['value']:.3f} (ECE {_told(found['change']['ECE'])}, "
        f"log loss {_told(found['change']['log loss'])}). Unshifted, their log loss is "
        f"{_against_nothing(found)} that of the prior itself, said of every row. "
        f"{_estimated(float(prior), found['estimate'])}"
        for prior, found in record["priors"].items()
    ]
    return " ".join(sentences)


def _estimated(prior: float, estimate: dict[str, float]) -> str:
    known = estimate["low"] <= prior <= estimate["high"]
    return (
        f"Estimated from rows without labels the prior is {estimate['value']:.4f} "
        f"[{estimate['low']:.4f}, {estimate['high']:.4f}], which "
        + ("holds" if known else "misses")
        + " the true one."
    )


def _against_nothing(found: dict[str, Any]) -> str:
    ours, nothing = (found["measures"][name]["log loss"] for name in (AS_FITTED, KNOWS_NOTHING))
    if ours["low"] > nothing["high"]:
        return "above"
    return "below" if ours["high"] < nothing["low"] else "not told from"


def _told(change: dict[str, float]) -> str:
    """What an interval of a difference says, or the value where it is alone."""
    if change["low"] is None:
        return f"changes by {change['value']:+.3f}"
    if change["low"] > 0:
        return "rises"
    return "falls" if change["high"] < 0 else "is not told from what it was"
