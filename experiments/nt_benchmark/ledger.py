"""What the deck says of the evaluations, beside what was measured here: verdicts by hand.

The verdicts are of models of 3.4 million numbers, and of the tasks that the data at hand allow.
"""

from pathlib import Path
from typing import Any

from experiments.nt_benchmark.alleles import MARKOV
from experiments.nt_benchmark.attention import cells_below
from experiments.nt_benchmark.deck import Claim
from ntjax.errors import UserError
from ntjax.io.json import read_json
from ntjax.reports.cells import interval_cell, signed_cell, told
from ntjax.reports.page import Block, Table, Text

NAME, TITLE = "ledger", "What the deck says, and what was found"
READS = ("probing", "alleles", "variants", "resplits", "attention", "elements", "storage")
HUMAN = ("splice donors, chr20", "splice acceptors, chr20", "TATA, shuffled", "enhancers, clean")
"""Human tasks without a leak."""


def run(folder: Path, runs: Path) -> dict[str, Any]:
    """Take the numbers out of the other sections' results.

    Raises:
        UserError: a section has no results yet.
    """
    missing = [name for name in READS if not (folder / f"{name}.json").exists()]
    if missing:
        raise UserError(f"section ledger: run the sections {', '.join(missing)} before it")
    of = {name: read_json(folder / f"{name}.json") for name in READS}
    return {"claims": [one._asdict() for one in claims(of)]}


def claims(of: dict[str, Any]) -> list[Claim]:
    """Write the ledger.

    Arguments:
        of: results by section.
    """
    probing, costs = of["probing"], of["probing"]["costs"]
    probes = [one for one in probing["chosen"] if one["network"] == "mini"]
    frequency = of["alleles"]["of"]
    between = frequency["all"]["mini_human"]["rare_minus_common"]["loss_reference"]
    shares = {
        name: frequency["all"][name]["rare_minus_common"]["alternative_share"]
        for name in ("mini_human", MARKOV)
    }
    elements = of["elements"]
    peak = next(name for name in elements["scores"] if name.startswith("mini, layer"))
    model = of["storage"]["models"]["2B5_multi_species"]["IA³"]
    return [
        Claim(
            "probing: the best layer is never the last",
            f"layer {', '.join(str(one['layers'][0]) for one in probes)} of 4",
            "does not hold here",
            "every probe of `mini` on the coding strand chooses its last layer; a model of four "
            "layers may have none that is past its best",
        ),
        Claim(
            "fine-tuning takes fewer compute resources than probing",
            f"{probing['ia3']['multiplications'] / costs['multiplications_embedding_once']:.1f} × "
            "the multiplications",
            "the other way round here",
            "one IA³ run against one pass of all rows through the frozen network, all layers at "
            "once; the probes' own fits take seconds",
        ),
        Claim(
            "perplexity over SNPs by allele frequency",
            f"{signed_cell(between)}; share of ALT {signed_cell(shares['mini_human'])}",
            "not beyond a Markov model",
            "rarest minus commonest, human `mini`: the loss of the reference is not told apart; "
            "the share of P(ALT) in P(REF) + P(ALT) is, and so it is for a Markov model of order 5 "
            f"({signed_cell(shares[MARKOV])})",
        ),
        Claim(
            "embedding distances alone tell variant categories",
            _distances_told(of["variants"], "mini_human"),
            "not shown",
            "human `mini` against matched substitutions; of the paper's 17 categories only "
            "introns and their borders can be drawn from these data",
        ),
        Claim(
            "eQTL at an AUC of 0.73, meQTL at 0.71",
            "–",
            "can't be told here",
            "no labels are at hand; readers and matched controls are tested on simulated ones",
        ),
        Claim(
            "models of many species do well on human tasks, too",
            _pairs(of["resplits"], "human against bacterial"),
            "holds in part",
            "frozen heads on four human tasks without a leak, AUROC of human `mini` minus "
            "bacterial: told apart on TATA promoters against their shuffles alone. On two yeast "
            "marks the bacterial one is ahead of both the human and the untrained one",
        ),
        Claim(
            "attention detects elements",
            "{} cells, untrained {}".format(
                *(
                    cells_below(of["attention"]["models"][name], "p")
                    for name in ("mini", "untrained")
                )
            ),
            "holds in part",
            "random weights do it too, by composition; the ratios of `mini` reach farther",
        ),
        Claim(
            "some layer's embeddings separate elements",
            interval_cell(elements["scores"][peak]["test"]),
            "not beyond counts",
            "balanced accuracy of the best layer of `mini`; 3-mer counts reach "
            f"{interval_cell(elements['scores']['3-mer counts']['test'])}, the untrained network "
            + interval_cell(
                next(
                    one["test"]
                    for name, one in elements["scores"].items()
                    if name.startswith("untrained")
                )
            ),
        ),
        Claim(
            "171 MB for 18 tasks",
            f"{18 * model['bytes_without_head'] / 1e6:.0f} MB of vectors",
            "is no size of a file",
            "0.1% of 171 GB; with the head "
            f"{18 * model['bytes_with_head'] / 1e6:.0f} MB (section on storage)",
        ),
    ]


def _distances_told(variants: dict[str, Any], model: str) -> str:
    found = variants["models"][model]["categories"].values()
    distances = ("l2", "cosine_similarity", "local_l2")
    cells = [scores[name] for scores in found for name in distances]
    tested = [one for one in cells if one["corrected"] is not None]
    return f"{sum(map(told, tested))} of {len(tested)} cells"


def _pairs(resplits: dict[str, Any], title: str) -> str:
    gaps = [resplits["tasks"][name]["pairs"][title] for name in HUMAN]
    values = ", ".join(f"{gap['value']:+.3f}" for gap in gaps)
    return f"{values}; {sum(map(told, gaps))} of {len(gaps)} told apart"


def blocks(record: dict[str, Any]) -> tuple[Block, ...]:
    """Lay out the ledger."""
    rows = [
        (one["claim"], one["number"], one["verdict"], one["rests_on"]) for one in record["claims"]
    ]
    return (
        Text(
            "Verdicts are of models of 3.4 million numbers, trained for an hour, on the data that "
            "are at hand. They say what was seen here, and nothing on the published models: their "
            "weights can be measured with the same functions."
        ),
        Table(("the deck says", "number here", "verdict", "what it rests on"), tuple(rows)),
    )
