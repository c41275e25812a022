"""The most severe consequence that an annotator wrote for an allele (INFO fields CSQ and ANN).

Names and order are those of Ensembl's Variant Effect Predictor
(https://www.ensembl.org/info/genome/variation/prediction/predicted_data.html), which SnpEff's ANN
shares for the most part. The paper compares scores over 17 of such categories.
"""

import re
from collections.abc import Sequence

from ntjax.errors import UserError

SEVERITY = (
    "transcript_ablation",
    "splice_acceptor_variant",
    "splice_donor_variant",
    "stop_gained",
    "frameshift_variant",
    "stop_lost",
    "start_lost",
    "transcript_amplification",
    "feature_elongation",
    "feature_truncation",
    "inframe_insertion",
    "inframe_deletion",
    "missense_variant",
    "protein_altering_variant",
    "splice_donor_5th_base_variant",
    "splice_region_variant",
    "splice_donor_region_variant",
    "splice_polypyrimidine_tract_variant",
    "incomplete_terminal_codon_variant",
    "start_retained_variant",
    "stop_retained_variant",
    "synonymous_variant",
    "coding_sequence_variant",
    "mature_miRNA_variant",
    "5_prime_UTR_variant",
    "3_prime_UTR_variant",
    "non_coding_transcript_exon_variant",
    "intron_variant",
    "NMD_transcript_variant",
    "non_coding_transcript_variant",
    "coding_transcript_variant",
    "upstream_gene_variant",
    "downstream_gene_variant",
    "TFBS_ablation",
    "TFBS_amplification",
    "TF_binding_site_variant",
    "regulatory_region_ablation",
    "regulatory_region_amplification",
    "regulatory_region_variant",
    "intergenic_variant",
    "sequence_variant",
)
"""Consequences, the most severe first."""

_RANK = {name: rank for rank, name in enumerate(SEVERITY)}
_FORMAT = re.compile(r"Format:\s*([^\"']+)")


def column_numbers(description: str, field: str) -> tuple[int, int]:
    """Find the columns of allele and consequence in a field, from its description in the header.

    >>> column_numbers("Consequence annotations from VEP. Format: Allele|Consequence|IMPACT", "CSQ")
    (0, 1)
    >>> column_numbers("Functional annotations: 'Allele | Annotation | Annotation_Impact'", "ANN")
    (0, 1)

    Raises:
        UserError: the description names no such columns.
    """
    found = _FORMAT.search(description)
    listed = found[1] if found else description.partition(":")[2].strip(" '\"")
    names = [name.strip(" '\"").lower() for name in listed.split("|")]
    consequence = next((n for n in ("consequence", "annotation") if n in names), None)
    if "allele" not in names or consequence is None:
        raise UserError(
            f"INFO field {field}: its description in the header names no columns Allele and "
            "Consequence: annotate the file with VEP (--vcf) or SnpEff"
        )
    return names.index("allele"), names.index(consequence)


def most_severe(
    entries: str, reference: str, alternative: str, columns: tuple[int, int], *, only: bool = False
) -> str:
    """Return the most severe consequence of an allele; "" where nothing is said of it.

    >>> most_severe("T|intron_variant,T|missense_variant&splice_region_variant", "C", "T", (0, 1))
    'missense_variant'

    Arguments:
        entries: the field's text, entries with commas between.
        reference: REF.
        alternative: the allele, as in ALT.
        columns: as of `column_numbers`.
        only: whether the record has no other alternative: then every entry is of this one.
    """
    of_allele, of_consequence = columns
    wanted, found = _allele_names(reference, alternative), []
    for entry in entries.split(","):
        cells = entry.split("|")
        if len(cells) <= max(columns):
            continue
        if only or cells[of_allele] in wanted:
            found += [name.strip() for name in cells[of_consequence].split("&")]
    return min(filter(None, found), key=_severity, default="")


def _severity(name: str) -> tuple[int, str]:
    return _RANK.get(name, len(SEVERITY)), name


def _allele_names(reference: str, alternative: str) -> Sequence[str]:
    """Return how annotators write an allele: as in ALT, or without the shared first base."""
    shortened = alternative
    if reference[:1] == alternative[:1] and len(reference) != len(alternative):
        shortened = alternative[1:] or "-"
    return (alternative, shortened)
