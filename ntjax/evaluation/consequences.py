"""The most severe consequence that an annotator wrote for an allele (INFO fields CSQ and ANN).

Names and order are those of Ensembl's Variant Effect Predictor
(https://www.ensembl.org/info/genome/variation/prediction/predicted_data.html), with names of
SnpEff's own (https://pcingola.github.io/SnpEff/snpeff/inputoutput/) beside their like. The paper
compares scores over 17 of such categories.
"""

import re
from collections.abc import Sequence

from ntjax.errors import UserError

SEVERITY = (
    "transcript_ablation",
    "splice_acceptor_variant",
    "splice_donor_variant",
    "exon_loss_variant",
    "stop_gained",
    "frameshift_variant",
    "stop_lost",
    "start_lost",
    "transcript_amplification",
    "feature_elongation",
    "feature_truncation",
    "inframe_insertion",
    "disruptive_inframe_insertion",
    "conservative_inframe_insertion",
    "inframe_deletion",
    "disruptive_inframe_deletion",
    "conservative_inframe_deletion",
    "missense_variant",
    "rare_amino_acid_variant",
    "initiator_codon_variant",
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
    "5_prime_UTR_premature_start_codon_gain_variant",
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
    "conserved_intergenic_variant",
    "intergenic_variant",
    "intergenic_region",
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
    entries: str, reference: str, alternatives: Sequence[str], number: int, columns: tuple[int, int]
) -> str:
    """Return the most severe consequence of an allele; "" where nothing is said of it.

    >>> entries = "T|intron_variant,T|missense_variant&splice_region_variant"
    >>> most_severe(entries, "C", ["T"], 0, (0, 1))
    'missense_variant'

    Arguments:
        entries: the field's text, entries with commas between.
        reference: REF.
        alternatives: all alleles of the record, as in ALT.
        number: index of the allele.
        columns: as of `column_numbers`.
    """
    of_allele, of_consequence = columns
    cells = [cells for entry in entries.split(",") if len(cells := entry.split("|")) > max(columns)]
    named = {one[of_allele] for one in cells}
    for name in _allele_names(reference, alternatives, number):
        if name in named:
            chosen = [one for one in cells if one[of_allele] == name]
            break
    else:  # a single allele, whatever it is called
        chosen = cells if len(alternatives) == 1 else []
    found = [name.strip() for one in chosen for name in one[of_consequence].split("&")]
    return min(filter(None, found), key=_severity, default="")


def _severity(name: str) -> tuple[int, str]:
    return _RANK.get(name, len(SEVERITY)), name


def _allele_names(reference: str, alternatives: Sequence[str], number: int) -> list[str]:
    """List what annotators call an allele: as in ALT, or without a first base that all share."""
    alternative = alternatives[number]
    names = [alternative]
    lengths = {len(reference), *map(len, alternatives)}
    if len(lengths) > 1 and {reference[:1]} == {one[:1] for one in alternatives}:
        names.append(alternative[1:] or "-")
    return names
