"""Make the data of `experiments/quickstart.ipynb` from the genome and its annotation.

    python -m experiments.quickstart.make_data

Reads `genomes/ecoli_k12_mg1655.{fna,gff}.gz` below NTJAX_DATA_DIR (NCBI RefSeq NC_000913.3,
assembly ASM584v2) and writes a piece of it beside this file: bases, genes and ten made-up variants.

The piece lies in two 50-kb blocks that the bundled data set `ecoli_coding_strand` keeps for its
test rows, so that no window that a model is fine-tuned on comes from it.
"""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import tyro

from experiments.promoters.data.genome_files import find_annotation, find_genome
from ntjax.datasets.coding_strand import CONTIG
from ntjax.errors import UserError
from ntjax.io.fasta import read_fasta
from ntjax.io.files import write_bytes
from ntjax.reports import command_line

START, END = 110_000, 170_000
"""The piece: [start, end) of the genome, from 0."""
NAME = f"{CONTIG}_{START + 1}_{END}"
"""Name of its contig. A colon would be legal, but samtools reads it as an interval."""
FOLDER = Path(__file__).parent
GENOME, ANNOTATION, VARIANTS = "ecoli_60kb.fa.gz", "ecoli_60kb.gff3.gz", "variants.vcf"

_LINE = 80
_VCF_HEADER = f"""##fileformat=VCFv4.3
##source=made up, see README.md
##contig=<ID={NAME},length={END - START}>
##INFO=<ID=GENE,Number=1,Type=String,Description="Gene that the variant lies in">
##INFO=<ID=KIND,Number=1,Type=String,Description="What the first alternative allele does">
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO
"""


@dataclass(frozen=True)
class Options:
    """Options of `python -m experiments.quickstart.make_data`."""

    genome: Path | None = None
    """FASTA of E. coli K-12 (NC_000913.3), with its annotation (.gff.gz) beside it. Otherwise from
    NTJAX_DATA_DIR."""
    out: Path = FOLDER
    """Folder to write into."""


class MadeUp(NamedTuple):
    """A variant that we made up.

    Attributes:
        position: of the first base of REF in NC_000913.3, from 1.
        reference: bases of the genome.
        alternatives: alleles, a comma between them.
        gene: that it lies in, "" for none.
        kind: what the first alternative does.
    """

    position: int
    reference: str
    alternatives: str
    gene: str
    kind: str


# The last one lies within the deletion before it, so that its second allele is `*`.
MADE_UP = (
    MadeUp(123_322, "C", "G", "aceE", "synonymous"),
    MadeUp(123_618, "G", "A", "aceE", "missense"),
    MadeUp(123_629, "C", "T", "aceE", "nonsense"),
    MadeUp(127_913, "T", "C", "lpd", "start_lost"),
    MadeUp(128_370, "G", "A", "lpd", "synonymous"),
    MadeUp(132_515, "C", "CA", "acnB", "frameshift"),
    MadeUp(134_300, "T", "G", "", "intergenic"),
    MadeUp(140_607, "G", "A", "gcd", "nonsense"),
    MadeUp(165_629, "TTAC", "T", "mrcB", "inframe_deletion"),
    MadeUp(165_631, "A", "G,*", "mrcB", "missense"),
)


def main() -> None:
    """Run the command."""
    command_line.run(lambda: make(tyro.cli(Options, description=__doc__)))


def make(options: Options) -> None:
    """Write the three files.

    Raises:
        UserError: unreadable files, or a genome that is not NC_000913.3.
    """
    genome = find_genome(options.genome)
    whole = next(iter(read_fasta(genome))).sequence.upper()
    for name, text in {
        GENOME: _fasta(whole[START:END]),
        ANNOTATION: _gff(find_annotation(genome)),
        VARIANTS: _vcf(whole),
    }.items():
        content = text.encode()
        if name.endswith(".gz"):
            content = gzip.compress(content, mtime=0)  # no time stamp: the same bytes every time
        write_bytes(options.out / name, content)
        print(f"{options.out / name}: {len(content):,} bytes")


def _fasta(sequence: str) -> str:
    lines = [sequence[at : at + _LINE] for at in range(0, len(sequence), _LINE)]
    title = f"{NAME} Escherichia coli K-12 MG1655, bases {START + 1} to {END} of {CONTIG}"
    return "\n".join([f">{title}", *lines, ""])


def _gff(annotation: Path) -> str:
    """Genes and CDS that lie wholly in the piece, at positions of the piece."""
    with gzip.open(annotation, "rt") as file:
        kept = list(_shifted(file))
    return "\n".join(["##gff-version 3", f"##sequence-region {NAME} 1 {END - START}", *kept, ""])


def _shifted(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        cells = line.rstrip("\n").split("\t")
        if len(cells) < 9 or cells[2] not in ("gene", "CDS"):
            continue
        first, last = int(cells[3]) - START, int(cells[4]) - START
        if first >= 1 and last <= END - START:
            yield "\t".join([NAME, *cells[1:3], str(first), str(last), *cells[5:]])


def _vcf(whole: str) -> str:
    rows = []
    for number, made in enumerate(MADE_UP, 1):
        begin = made.position - 1
        if whole[begin : begin + len(made.reference)] != made.reference:
            raise UserError(f"the genome is not {CONTIG}: position {made.position:,} differs")
        info = f"KIND={made.kind}" + (f";GENE={made.gene}" if made.gene else "")
        cells = [NAME, made.position - START, f"made_up_{number}", made.reference]
        rows.append("\t".join(map(str, [*cells, made.alternatives, ".", ".", info])))
    return _VCF_HEADER + "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
