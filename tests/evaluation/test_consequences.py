"""Most severe consequences, in a made VCF as VEP and SnpEff write it."""

import pytest

from ntjax.errors import UserError
from ntjax.evaluation.consequences import SEVERITY, column_numbers, most_severe
from ntjax.io.variant_file import VariantFile

VEP = "Consequence annotations from Ensembl VEP. Format: Allele|Consequence|IMPACT|SYMBOL"
HEADER = (
    "##fileformat=VCFv4.3\n##contig=<ID=20>\n"
    f'##INFO=<ID=CSQ,Number=.,Type=String,Description="{VEP}">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
)
ROWS = (
    "20\t7\t.\tC\tT,G\t.\t.\tCSQ=T|intron_variant|MODIFIER|A,T|stop_gained&splice_region_variant"
    "|HIGH|B,G|synonymous_variant|LOW|A\n"
    "20\t9\t.\tCAT\tC\t.\t.\tCSQ=-|inframe_deletion|MODERATE|A,-|downstream_gene_variant|MODIFIER|B"
    "\n20\t12\t.\tA\tC\t.\t.\t.\n"
)


def test_the_most_severe_of_each_allele(tmp_path):
    path = tmp_path / "made.vcf"
    path.write_text(HEADER + ROWS)
    found = []
    with VariantFile(path) as file:
        [field] = file.info(["CSQ"])
        columns = column_numbers(file.header.info["CSQ"].description, "CSQ")
        for record in file.records():
            for number in range(len(record.alternatives)):
                entries = field.of(record, number) or ""
                alleles = record.reference, record.alternatives
                found.append(most_severe(entries, *alleles, number, columns))
    assert found == ["stop_gained", "synonymous_variant", "inframe_deletion", ""]


def test_names_that_are_not_known_are_the_least_severe():
    assert most_severe("T|made_up&intergenic_variant", "C", ["T"], 0, (0, 1)) == SEVERITY[-3]
    assert most_severe("T|made_up", "C", ["T"], 0, (0, 1)) == "made_up"
    assert most_severe("other|missense_variant", "C", ["T"], 0, (0, 1)) == "missense_variant"
    assert len(set(SEVERITY)) == len(SEVERITY)


@pytest.mark.parametrize(
    ("reference", "alternatives", "entries", "expected"),
    [
        ("CAT", ["C"], "-|disruptive_inframe_deletion,-|upstream_gene_variant", ["disruptive"]),
        ("G", ["GA", "A"], "GA|frameshift_variant,A|intron_variant", ["frameshift", "intron"]),
        ("CA", ["C", "CT"], "-|frameshift_variant,T|missense_variant", ["frameshift", "missense"]),
        ("C", ["T", "G"], "A|stop_gained", ["", ""]),
    ],
)
def test_names_of_alleles(reference, alternatives, entries, expected):
    for number, beginning in enumerate(expected):
        found = most_severe(entries, reference, alternatives, number, (0, 1))
        assert found.startswith(beginning)
        assert bool(found) == bool(beginning)


def test_a_field_without_such_columns():
    with pytest.raises(UserError, match="names no columns Allele and Consequence"):
        column_numbers("Some text", "CSQ")
