"""The deck's claims on data, pre-training, scaling and compute, by arithmetic.

The deck: "The Nucleotide Transformer: Building and Evaluating Robust Foundation Models for Human
Genomics" (24 August 2023), slides on the paper of Dalla-Torre et al. 2023. Its tables stand here as
it prints them.
"""

from pathlib import Path
from typing import Any, NamedTuple

from experiments.nt_benchmark import storage
from ntjax.checkpoints.published_sizes import SIZES
from ntjax.datasets.nt_benchmark import TASKS
from ntjax.reports.page import Block, Table

NAME, TITLE = "deck", "The deck's claims"

SPECIES = {  # its table 6: species, and nucleotides in 10⁹
    "Bacteria": (667, 17.1),
    "Fungi": (45, 2.3),
    "Invertebrate": (39, 20.8),
    "Protozoa": (10, 0.5),
    "Mammalian Vertebrate": (31, 69.8),
    "Other Vertebrate": (57, 63.4),
}
POPULATIONS = (  # its table 2: code and people
    *(("ASW", 74), ("ACB", 116), ("BEB", 131), ("GBR", 91), ("CEU", 179), ("CLM", 132)),
    *(("CDX", 93), ("ESN", 149), ("FIN", 99), ("GWD", 178), ("GIH", 103), ("CHB", 103)),
    *(("IBS", 157), ("JPT", 104), ("KHV", 2), ("KHV", 120), ("LWK", 99), ("MSL", 99)),
    *(("MXL", 97), ("PEL", 122), ("PUR", 139), ("PJL", 146), ("CHS", 163), ("STU", 114)),
    *(("ITU", 107), ("TSI", 107), ("YRI", 178)),
)
SPLITS = (498_444, 7_784, 8_469)
"""Windows of 6,200 bp of the human reference for training, validation and test."""
PEAK = 312e12
"""FLOP/s of an A100 with dense bfloat16 products (NVIDIA's data sheet)."""
GPUS_OF_A_NODE, GPUS, DAYS = 8, 128, 28
DNABERT, ENFORMER = 110e6, 250e6
"""Parameters, as their papers state them (Ji et al. 2021; Avsec et al. 2021: rounded)."""


class Claim(NamedTuple):
    """A line of the ledger."""

    claim: str
    number: str
    verdict: str
    rests_on: str


def run(folder: Path, runs: Path) -> dict[str, Any]:
    """Compute every number."""
    species, nucleotides = (sum(column) for column in zip(*SPECIES.values(), strict=True))
    small, large = SIZES["500M_human_ref"], SIZES["2B5_multi_species"]
    weighed = {
        name: storage.parameters_of(config) for name, config in (("500M", small), ("2B5", large))
    }
    node_day = GPUS_OF_A_NODE * 86_400 * PEAK
    month = GPUS * DAYS * 86_400 * PEAK
    return {
        "species": species,
        "nucleotides_billion": round(nucleotides, 1),
        "populations": len({code for code, _ in POPULATIONS}),
        "population_rows": len(POPULATIONS),
        "people": sum(count for _, count in POPULATIONS),
        "haploid_nucleotides": 3_202 * 2 * 3.2e9,
        "parameters": weighed,
        "tokens_at_peak": {
            "500M": node_day / (6 * weighed["500M"]),
            "2B5": month / (6 * weighed["2B5"]),
        },
        "tokens_of_a_step": {"500M": GPUS_OF_A_NODE * 14 * 1_000, "2B5": GPUS * 2 * 1_000},
        "windows": sum(SPLITS),
        "window_tokens": {"6200": 6_200 / 6, "12200": 12_200 / 6},
        "ratios": {
            "500M to DNABERT": weighed["500M"] / DNABERT,
            "500M to Enformer": weighed["500M"] / ENFORMER,
            "2B5 to DNABERT": weighed["2B5"] / DNABERT,
            "2B5 to Enformer": weighed["2B5"] / ENFORMER,
        },
        "promoters": sum(TASKS["nt:promoter_all"].rows) / 2,
        "tata_promoters": sum(TASKS["nt:promoter_tata"].rows) / 2,
        "enhancer_rows": sum(TASKS["nt:enhancers"].rows),
    }


def claims(found: dict[str, Any]) -> list[Claim]:
    """Write the ledger: verdicts by hand, numbers inserted."""
    tokens, step, ratios = found["tokens_at_peak"], found["tokens_of_a_step"], found["ratios"]
    human = 3.2e9 / 6
    return [
        Claim(
            "850 species",
            f"{found['species']} species",
            "does not hold",
            "the sum of the deck's own table 6 is one less than its text",
        ),
        Claim(
            "174 billion nucleotides",
            f"{found['nucleotides_billion']} billion",
            "holds",
            "table 6 sums to it, rounded",
        ),
        Claim(
            "3,202 genomes of 27 populations",
            f"{found['people']:,} people, {found['populations']} populations",
            "holds in part",
            f"table 2 has {found['population_rows']} rows that sum to the people; KHV stands in "
            "two of them",
        ),
        Claim(
            "20.5 trillion nucleotides of the 1000 Genomes",
            f"{found['haploid_nucleotides'] / 1e12:.1f} trillion",
            "holds",
            "3,202 people × 2 copies × 3.2 billion; two copies differ in about one base of a "
            "thousand, so that most of these nucleotides are the same ones again",
        ),
        Claim(
            "windows of 6,200 or 12,200 bp",
            " or ".join(f"{count:,.0f}" for count in found["window_tokens"].values()) + " tokens",
            "holds in part",
            "the first are longer than the 1,000 positions of version 1 hold (999 6-mers beside "
            "<cls>, 5,994 bp), the second fit the 2,048 "
            f"positions of version 2; {found['windows']:,} windows of 6,200 bp are "
            f"{found['windows'] * 6_200 / 1e9:.2f} billion bases",
        ),
        Claim(
            "500M in one day on one node",
            f"{tokens['500M'] / 1e9:.0f} billion tokens at peak",
            "can't be told",
            f"8 A100 at their peak of 312 TFLOP/s, 6·N·D; at two fifths of the peak "
            f"{0.4 * tokens['500M'] / 1e9:.0f} billion tokens, {0.4 * tokens['500M'] / human:.0f} "
            "passes over the human genome. The deck does not say how many tokens were seen",
        ),
        Claim(
            "2.5B in 28 days on 128 GPUs",
            f"{tokens['2B5'] / 1e12:.1f} trillion tokens at peak",
            "can't be told",
            f"at two fifths of the peak {0.4 * tokens['2B5'] / 1e12:.1f} trillion tokens, "
            f"{0.4 * tokens['2B5'] / (174e9 / 6):.0f} passes over the multi-species set; the deck "
            "does not say how many were seen",
        ),
        Claim(
            "14 and 2 sequences a GPU, 1 M tokens a batch",
            f"{step['500M']:,} and {step['2B5']:,} tokens a pass",
            "holds",
            f"with 1,000 tokens a sequence; {1e6 / step['500M']:.1f} passes on a node of 8 and "
            f"{1e6 / step['2B5']:.1f} on 128 GPUs are accumulated to a million",
        ),
        Claim(
            "five times DNABERT, ten times Enformer",
            f"{ratios['500M to DNABERT']:.1f} × and {ratios['2B5 to Enformer']:.1f} ×",
            "mixes two models",
            f"the first is that of 500M, the second that of 2.5B, which is "
            f"{ratios['2B5 to DNABERT']:.0f} × DNABERT; 500M is {ratios['500M to Enformer']:.1f} × "
            "Enformer",
        ),
        Claim(
            "29,597 promoters, 3,065 of them with a TATA box",
            f"{found['promoters']:,.0f} and {found['tata_promoters']:,.0f}",
            "holds in part",
            "half of the rows of the data sets, each promoter with a negative: one promoter more",
        ),
        Claim(
            "742 strong, 742 weak enhancers and 1,484 non-enhancers",
            f"{found['enhancer_rows']:,} rows",
            "holds in part",
            "the training set has 12,000 synthetic sequences besides, made by a generative model "
            "of the training rows, and 400 test rows of its own",
        ),
        Claim(
            "outperforms or matches 15 of 18 baselines",
            "no row",
            "can't be told here",
            "the 18 tasks' training files and the weights are not on this machine: `python -m "
            "ntjax.finetune --train nt:TASK --protocol published --folds 10 --fold-protocol "
            "official` is the run for each",
        ),
        Claim(
            "sparse attention and inputs of 200 kb are promising",
            "–",
            "not built",
            "an outlook, and no part of the models that were published",
        ),
    ]


def blocks(record: dict[str, Any]) -> tuple[Block, ...]:
    """Lay out the ledger."""
    rows = tuple((one.claim, one.number, one.verdict, one.rests_on) for one in claims(record))
    return (Table(("the deck says", "number", "verdict", "what it rests on"), rows),)
