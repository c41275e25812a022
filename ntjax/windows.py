"""Cut labelled windows around start sites of a genome, with negatives, in parts that share nothing.

python -m ntjax.windows --genome G.fna.gz --sites promoters.csv --out FOLDER
python -m ntjax.windows --genome G.fna.gz --sites tss.bed --negatives cds --annotation A.gff.gz \
--out FOLDER
python -m ntjax.finetune --train FOLDER/train.csv --validation FOLDER/validation.csv \
--test FOLDER/test.csv

Writes train.csv, validation.csv and test.csv (name,sequence,label) from different blocks of the
genome, and windows.json, which records the inputs and settings.
"""

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ntjax.checkpoints.cache import sha256
from ntjax.datasets.negatives import Kind
from ntjax.datasets.promoters import (
    LabelledSites,
    NegativeOptions,
    PromoterWindows,
    labelled_windows,
)
from ntjax.errors import UserError
from ntjax.genomes.annotation import read_annotation
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.sites import read_sites
from ntjax.genomes.windows import WINDOWS_RECORD, WindowGeometry
from ntjax.io.json import write_json
from ntjax.io.table_output import write_table
from ntjax.io.tables import SequenceTable
from ntjax.reports import command_line
from ntjax.sequences.alphabet import gc_content

_INPUTS = ("genome", "sites", "annotation")
_PACKAGES = ("ntjax", "numpy")


@dataclass(frozen=True)
class Options:
    """Options of `python -m ntjax.windows`."""

    genome: Path
    """FASTA file of the genome, plain or gzip-compressed."""
    sites: Path
    """Transcription start sites: BED (the 5' end of each interval), GFF3 or GTF (that of each
    feature of --feature-type), or promoter sequences to look up in the genome (CSV, TSV, Parquet or
    FASTA; where there are labels, the rows of label 1)."""
    out: Path
    """Folder for the files; it must be empty."""
    negatives: Kind = "genomic"
    """As many per part as promoters: iid, independent bases of the promoters' composition;
    shuffled, each promoter's bases with its dinucleotide counts kept; genomic, any position of the
    genome; cds, within a coding sequence, in its direction; convergent, between two genes that
    point at each other (a window is centred on a gap shorter than itself); intergenic, outside any
    gene. The last four have the promoters' GC and keep the --reach; the last three need an
    --annotation."""
    annotation: Path | None = None
    """GFF3 or GTF file with the genome's genes and CDS."""
    before: int = 60
    """Bases of a window before the start site, in bp."""
    after: int = 20
    """Bases of a window after the start site, in bp; the site itself is one base more."""
    context: int = 0
    """Extra bases on each side of every window, in bp. GC matching and --reach refer to the window
    without this flank."""
    block_letters: int = 50_000
    """Length of the blocks that the genome is split by, in bp."""
    validation_fraction: float = 0.1
    """Share of the blocks for validation."""
    test_fraction: float = 0.15
    """Share of the blocks for the test."""
    reach: int = 200
    """Least distance in bp of a negative from the genome to a known start site, on any strand."""
    feature_type: str = "TSS"
    """Type of the start sites in a GFF3 or GTF file."""
    tss_index: int = 60
    """Index of the start site in promoter sequences, from 0."""
    seed: int = 0
    """Of the blocks and the negatives."""


def main() -> None:
    """The command."""
    command_line.run(lambda: windows(command_line.parse(Options, "ntjax.windows", __doc__)))


def windows(options: Options) -> PromoterWindows:
    """Run the command; returns what it wrote.

    Raises:
        UserError: bad input.
    """
    _check(options)
    genome = open_genome(options.genome)
    geometry = WindowGeometry(options.before, options.after)
    sites = read_sites(genome, options.sites, geometry, options.feature_type, options.tss_index)
    annotation = read_annotation(genome, options.annotation) if options.annotation else None
    notes = [f"{options.sites}: {note}" for note in sites.notes]
    if annotation:
        notes += [f"{options.annotation}: {note}" for note in annotation.notes]
    print(*notes, sep="\n", flush=True)
    found = labelled_windows(
        sites.promoters, sites.known, options.negatives, annotation, _negative_options(options)
    )
    for note in found.notes:
        print(f"note: {note}")
    counts = {}
    for name, part in found.parts.items():
        table = part.table(options.context)
        counts[name] = _counts(part, table)
        write_table(options.out / f"{name}.csv", table)
    write_json(options.out / WINDOWS_RECORD, _record(options, counts, (*notes, *found.notes)))
    _print_counts(options, counts)
    return found


def _negative_options(options: Options) -> NegativeOptions:
    return NegativeOptions(
        reach=options.reach,
        room=options.context,
        compared=options.context,
        block_letters=options.block_letters,
        validation=options.validation_fraction,
        test=options.test_fraction,
        seed=options.seed,
    )


def _check(options: Options) -> None:
    for name in ("before", "after", "context", "reach", "tss_index", "seed"):
        if (value := getattr(options, name)) < 0:
            raise UserError(f"{_option(name)} {value}: should not be negative")
    fractions = {name: getattr(options, name) for name in ("validation_fraction", "test_fraction")}
    for name, value in fractions.items():
        if not 0 < value < 1:
            raise UserError(f"{_option(name)} {value}: should lie between 0 and 1")
    if not sum(fractions.values()) < 1:
        raise UserError(
            "--validation-fraction and --test-fraction leave no block for training: lower them"
        )
    length = WindowGeometry(options.before, options.after).length(options.context)
    if options.block_letters < length:
        raise UserError(
            f"--block-letters {options.block_letters}: should not be below the {length:,} bp of a "
            "window"
        )
    if options.out.exists() and not (options.out.is_dir() and _is_empty(options.out)):
        raise UserError(f"{options.out} is in use: give another --out")


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


def _counts(part: LabelledSites, table: SequenceTable) -> dict[str, Any]:
    gc = gc_content(table.sequences).reshape(2, -1).mean(axis=1).round(4).tolist()
    return {
        "promoters": len(part),
        "negatives": len(part),
        "gc_of_promoters": gc[0],
        "gc_of_negatives": gc[1],
        "loci_of_negatives": part.loci,
    }


def _record(
    options: Options, counts: dict[str, dict[str, Any]], notes: tuple[str, ...]
) -> dict[str, Any]:
    """Everything the files depend on, and nothing else, so that the same input gives the same."""
    paths = {name: path for name in _INPUTS if (path := getattr(options, name))}
    settings = {k: v for k, v in asdict(options).items() if k not in (*_INPUTS, "out")}
    return {
        "versions": {package: version(package) for package in _PACKAGES},
        "settings": settings,
        "geometry": WindowGeometry(options.before, options.after).record(options.context),
        "inputs": {
            name: {"file": path.name, "sha256": sha256(path)} for name, path in paths.items()
        },
        "counts": counts,
        "notes": list(notes),
    }


def _print_counts(options: Options, counts: dict[str, dict[str, Any]]) -> None:
    for name, part in counts.items():
        loci = part["loci_of_negatives"]
        print(
            f"{name}: {part['promoters']:,} promoters (GC {part['gc_of_promoters']:.3f}), as many "
            f"{options.negatives} negatives (GC {part['gc_of_negatives']:.3f}"
            + (f", {loci:,} separate intervals)" if loci is not None else ")")
        )
    print(f"windows: {options.out}")


if __name__ == "__main__":
    main()
