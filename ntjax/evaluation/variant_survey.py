"""What becomes of the alleles of a VCF or BCF file, without a model, and files that do not fit."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from ntjax.errors import UserError
from ntjax.genomes.alleles import Allele, AlleleReader
from ntjax.io.variant_file import VariantFile, VariantRecord

MOST_MISMATCHES = 0.5
"""Share of alleles whose REF differs from the genome above which a file is refused: shifted
positions or another assembly give 60% and more, wrong records in a short file less."""

_MANY_MISMATCHES = 0.1  # above which the note asks for another genome

_SHOWN = 3


@dataclass
class Survey:
    """What became of the alleles of a file.

    Attributes:
        records: how many.
        statuses: alleles by status.
        mismatches: the first ones whose REF differs from the genome, described.
        missing: contigs that the genome lacks.
        compared: alleles whose REF was compared with the genome.
    """

    records: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    mismatches: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    compared: int = 0

    @property
    def alleles(self) -> int:
        """Alleles of all statuses."""
        return self.statuses.total()

    def add(self, record: VariantRecord, alleles: Sequence[Allele]) -> None:
        """Count the alleles of a record."""
        self.records += 1
        for allele in alleles:
            self.statuses[allele.status] += 1
            mismatch = allele.status == "reference_mismatch"
            self.compared += allele.change is not None or mismatch
            if mismatch and len(self.mismatches) < _SHOWN:
                place = f"{record.contig}:{record.position}"
                self.mismatches.append(
                    f"record {record.number:,} ({place}) has {_short(record.reference)}, the "
                    f"genome {_short(allele.found)}"
                )
            if allele.status == "contig_missing" and record.contig not in self.missing:
                self.missing.append(record.contig)


def survey(variants: VariantFile, reader: AlleleReader, progress: bool = False) -> Survey:
    """Give every allele of a file its status, without a model.

    Raises:
        UserError: damaged records, no records, or a file that does not go with the genome: no
            contig that it has, or too many reference alleles that differ from it.
    """
    found, genome = Survey(), reader.genome
    for record in tqdm(variants.records(), desc="check", unit="record", disable=not progress):
        found.add(record, placed(reader, record))
    if not found.records:
        where = f" of {variants.region}" if variants.region else ""
        raise UserError(f"{variants.path}: holds no records{where}: give a file with variants")
    if found.statuses["contig_missing"] == found.alleles:
        theirs = ", ".join(found.missing[:_SHOWN])
        ours = ", ".join(contig.name for contig in genome.contigs[:_SHOWN])
        raise UserError(
            f"{variants.path}: none of its contigs ({theirs}) is in {genome.path} ({ours}): give "
            "the genome that the variants were called on, or rename the contigs (bcftools "
            "annotate --rename-chrs)"
        )
    wrong = found.statuses["reference_mismatch"]
    if wrong > MOST_MISMATCHES * found.compared:
        raise UserError(
            f"{variants.path}: REF of {wrong:,} of {found.compared:,} alleles "
            f"({wrong / found.compared:.0%}, more than {MOST_MISMATCHES:.0%}) differs from "
            f"{genome.path}: {'; '.join(found.mismatches)}: give the genome that the variants were "
            "called on (the same assembly, positions from 1)"
        )
    return found


def notes_on(found: Survey) -> list[str]:
    """Say how many alleles are not scored and why, with the first ones that do not fit."""
    notes = []
    for status, count in sorted(found.statuses.items()):
        if status != "scored":
            verb = "is" if count == 1 else "are"
            share = f"{count:,} of {found.alleles:,} alleles {verb} not scored: {status}"
            named = {"reference_mismatch": found.mismatches, "contig_missing": found.missing}
            some = "; ".join(named.get(status, [])[:_SHOWN])
            notes.append(f"{share} ({some})" if some else share)
    if found.statuses["reference_mismatch"] > _MANY_MISMATCHES * found.compared:
        notes.append("many REF differ from the genome: were the variants called on another one?")
    return notes


def placed(reader: AlleleReader, record: VariantRecord) -> list[Allele]:
    """Place the alleles of a record; one without a sequence where ALT is missing."""
    return [
        reader.place(record.contig, record.position, record.reference, alternative)
        for alternative in record.alternatives or ("",)
    ]


def _short(text: str) -> str:
    return text if len(text) <= 12 else f"{text[:9]}…"
