"""What `python -m ntjax.audit` prints: its tables, and what they mean in a sentence each."""

from collections.abc import Iterator, Sequence
from typing import Any

_OVERLAP_HEADS = {
    "rows": "rows",
    "exact_copy": "exact copy",
    "reverse_complement_copy": "other strand",
    "shifted": "shifted",
    "shared_kmer_expected_by_chance": "(by chance)",
    "near_identical": "near-identical",
    "near_identical_without_shared_kmer": "(no shared k-mer)",
    "related": "any",
}
_GENOME_HEADS = {
    "mapped": "in the genome",
    "mapped_more_than_once": "more than once",
    "near_training_row": "near a training row",
    "near_on_same_strand": "on the same strand",
    "near_after_removing_shared_kmers": "near, k-mers removed",
}


def print_audit(report: dict[str, Any]) -> None:
    """All tables of a report, as `ntjax.audit` makes it, and its findings."""
    k = report["options"]["kmer_length"]
    rows = {part: report[part]["rows"]["total"] for part in ("train", "test")}
    print(f"training file {report['train']['source']}: {rows['train']:,} rows")
    print(f"test file     {report['test']['source']}: {rows['test']:,} rows")
    _print_counts(
        f"test rows with a relative in the training file (k-mers of {k} letters; near-identical: "
        f"{report['options']['identity']:.0%} of the letters)",
        report["overlap"],
        _OVERLAP_HEADS,
    )
    _print_sharing(report["training_rows_sharing_kmers"], report["clean"], k)
    if "genome" in report:
        _print_genome(report["genome"])
    _print_clusters(report)
    _print_composition(report["composition"])
    print()
    for finding in report["findings"]:
        print(f"warning: {finding}")
    if not report["findings"]:
        print("nothing to warn of")


def _print_counts(title: str, counts: dict[str, Any], heads: dict[str, str]) -> None:
    lines = [
        [label, *(_cell(cells[key]) for key in heads)]
        for label, cells in (*counts["by_label"].items(), ("total", counts["total"]))
    ]
    _print_table(title, ["label", *heads.values()], lines)


def _print_sharing(sharing: dict[str, Any], clean: dict[str, Any], k: int) -> None:
    classes = list(sharing["total"]["with"])
    heads = ["label", *(f"with test {label}" for label in classes), "with any"]
    heads += [f"left in {name}" for name in clean]
    lines = []
    for label in (*sharing["by_label"], None):
        own = sharing["total"] if label is None else sharing["by_label"][label]
        left = [c["total"] if label is None else c["by_label"][label] for c in clean.values()]
        numbers = [*own["with"].values(), own["with_any"], *left]
        lines.append(["total" if label is None else label, *map(_cell, numbers)])
    _print_table(f"training rows that share a {k}-mer with a test row", heads, lines)


def _print_genome(genome: dict[str, Any]) -> None:
    mapped = genome["train"]["total"]
    _print_counts(
        f"test rows in {genome['path']}; near is at most {genome['reach']:,} letters, any strand",
        genome["test"],
        _GENOME_HEADS,
    )
    print(
        f"{mapped['mapped']:,} training rows stand in the genome; the test rows are "
        f"{genome['test_loci']:,} loci, the largest of {genome['rows_of_largest_locus']:,} rows"
    )


def _print_clusters(report: dict[str, Any]) -> None:
    heads = ["file", "k", "groups", "largest", "rows in groups", "duplicates", "on other strand"]
    keys = ("kmer_length", "groups", "largest", "rows_in_larger_groups", "duplicate_rows")
    lines = [
        [
            part,
            *(_cell(report[part]["clusters"][key]) for key in (*keys, "reverse_complement_rows")),
        ]
        for part in ("train", "test")
    ]
    _print_table("families within a file, by shared k-mers", heads, lines)


def _print_composition(composition: dict[str, Any]) -> None:
    heads = ["label", "GC training", "GC test", "AUROC training", "AUROC test", "more likely with"]
    keys = ("train_gc", "test_gc", "train_auroc", "test_auroc")
    lines = [
        [label, *(_cell(line[key]) for key in keys), f"{line['predicts']} GC" if line["predicts"]
         else "–"]
        for label, line in composition.items()
    ]  # fmt: skip
    _print_table("GC content, and how far GC alone tells a label from the rest", heads, lines)


def _print_table(title: str, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    print(f"\n{title}")
    for line in (heads, *lines):
        first, *cells = (
            f"{cell:<{width}}" if not place else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join([first, *cells]))


def _cell(number: float | None) -> str:
    if number is None:
        return "–"
    return f"{number:,}" if isinstance(number, int) else f"{number:,.3g}"


def findings(report: dict[str, Any]) -> list[str]:
    """What a user should know before trusting a score on these files, one sentence each."""
    return [
        *_of_overlap(report),
        *_of_conflicts(report),
        *_of_genome(report),
        *_of_labels(report),
        *_of_composition(report["composition"]),
    ]


def _of_overlap(report: dict[str, Any]) -> Iterator[str]:
    k, total = report["options"]["kmer_length"], report["overlap"]["total"]
    copies = total["related"] - total["shifted"] - total["near_identical_without_shared_kmer"]
    if copies:
        yield (
            f"{copies:,} of {total['rows']:,} test rows stand in the training file, letter for "
            "letter or on the other strand: what a model scores on them is memory; train on "
            "train_clean.csv (--out FOLDER)"
        )
    chance = total["shared_kmer_expected_by_chance"]
    if total["shifted"] > chance + 2 * chance**0.5:
        yield (
            f"{total['shifted']:,} test rows share {k} letters with a training row, where chance "
            f"would give about {chance:.0f}: parts of them can be known by heart"
        )
    if missed := total["near_identical_without_shared_kmer"]:
        yield (
            f"{missed:,} test rows are near-identical to a training row without a shared {k}-mer, "
            "and stay so with train_clean.csv: give a shorter --kmer-length"
        )
    if not report["options"]["seed"]["complete"]:
        yield (
            f"near-identical rows were looked for by shared {report['options']['seed']['length']}-"
            "mers: a pair whose differences are spread evenly may be missed"
        )


def _of_conflicts(report: dict[str, Any]) -> Iterator[str]:
    if found := report["conflicting_copies"]:
        yield (
            f"{len(found):,} test rows have a copy of another label in the training file, the "
            f"first in row {found[0]['row']} ({found[0]['name']}): label {found[0]['label']}, in "
            f"training {', '.join(found[0]['training_labels'])}"
        )
    if other := report["overlap"]["total"]["near_identical_with_other_label"]:
        yield f"{other:,} test rows are near-identical to a training row of another label"
    for part, name in (("train", "training"), ("test", "test")):
        if found := report[part]["clusters"]["conflicting_duplicates"]:
            rows = ", ".join(
                f"{row} ({label})"
                for row, label in zip(found[0]["rows"], found[0]["labels"], strict=True)
            )
            yield (
                f"{len(found):,} sequences of the {name} file have several labels, the first in "
                f"rows {rows}"
            )


def _of_genome(report: dict[str, Any]) -> Iterator[str]:
    genome = report.get("genome")
    if genome is None:
        return
    for part, name in (("train", "training"), ("test", "test")):
        if not genome[part]["total"]["mapped"]:
            yield (
                f"no {name} row stands in {genome['path']}: is it of the same organism and "
                "assembly? rows are compared by their letters alone"
            )
    if near := genome["test"]["total"]["near_after_removing_shared_kmers"]:
        yield (
            f"{near:,} test rows lie within {genome['reach']:,} letters of a training row even "
            "without shared k-mers: train on train_locus_clean.csv (--out FOLDER), and draw loci, "
            "not rows, for intervals (test_loci.csv)"
        )


def _of_labels(report: dict[str, Any]) -> Iterator[str]:
    labels = {part: report[part]["rows"]["by_label"] for part in ("train", "test")}
    for part, other, name in (("train", "test", "training"), ("test", "train", "test")):
        if alone := [label for label in labels[part] if label not in labels[other]]:
            yield f"label {', '.join(alone)} stands only in the {name} file"
    for name, left in report["clean"].items():
        if not left["total"]:
            yield f"no training row is left for {name}: it is not written"
        elif gone := [label for label, count in left["by_label"].items() if not count]:
            yield f"no row of label {', '.join(gone)} is left in {name}"


def _of_composition(composition: dict[str, Any]) -> Iterator[str]:
    # Of two labels, what GC says of one it says of the other.
    shown = list(composition)[1:] if len(composition) == 2 else list(composition)
    for label in shown:
        line = composition[label]
        if line["auroc_differs"]:
            yield (
                f"GC content alone tells label {label} from the rest with an AUROC of "
                f"{line['train_auroc']:.2f} in training but {line['test_auroc']:.2f} in the test: "
                "a model may learn GC from these training rows, which is of no such use in the "
                "test; match the GC of the labels"
            )
    for label, line in composition.items():
        if line["gc_differs"]:
            yield (
                f"rows of label {label} have {line['train_gc']:.1%} G and C in training and "
                f"{line['test_gc']:.1%} in the test: they were drawn differently"
            )
