"""Readers of labelled variants: tables, GTEx's names, ClinVar's VCF, and bad rows."""

import pytest

from ntjax.errors import UserError
from ntjax.evaluation.labelled_variants import read_clinvar, read_labelled_table


def test_a_table_with_probabilities(tmp_path):
    path = tmp_path / "eqtl.tsv"
    path.write_text(
        "Chrom\tpos\tref\talt\tpip\ttss_distance\n"
        "chr20\t100\ta\tG\t0.95\t-40\nchr20\t200\tC\tT\t0.5\t7\nchr20\t300\tC\tCA\t0.001\t90\n"
    )
    found = read_labelled_table(path, "PIP")
    assert found.variants == [("chr20", 100, "A", "G"), ("chr20", 300, "C", "CA")]
    assert found.labels.tolist() == [1, 0]
    assert found.left_out == 1
    assert found.columns["tss_distance"].tolist() == ["-40", "90"]


def test_names_as_gtex_writes_them(tmp_path):
    path = tmp_path / "eqtl.csv"
    path.write_text("variant_id,label\nchr1_12_A_G_b38,1\nchr2_13_C_T_b38,0\n\n")
    found = read_labelled_table(path, "label")
    assert found.variants == [("chr1", 12, "A", "G"), ("chr2", 13, "C", "T")]
    assert found.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("chrom,pos,ref,alt\n20,1,A,C\n", "has no column 'label'"),
        ("chrom,pos,ref,alt,label\n20,1,A,C,yes\n", "row 1: label 'yes' is no number"),
        ("chrom,pos,ref,alt,label\n20,x,A,C,1\n", "row 1: pos 'x' is no number"),
        ("variant_id,label\nrs7,1\n", "row 1: variant_id 'rs7' should be CONTIG_POSITION_REF"),
        (
            "variant_id,label\n1_5_A_G,1\n1_5_A,1\n",
            "row 2: variant_id '1_5_A' should be CONTIG_POSITION_REF_ALT",
        ),
        ("chrom,pos,ref,alt,label\n20,12.7,A,C,1\n", "row 1: pos '12.7' is no position"),
    ],
)
def test_bad_tables(tmp_path, text, problem):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=problem):
        read_labelled_table(path, "label")


def test_clinvar(tmp_path):
    path = tmp_path / "clinvar.vcf"
    rows = ["Pathogenic", "Likely_benign", "Uncertain_significance", "Pathogenic|drug_response"]
    rows.append("Conflicting_classifications_of_pathogenicity")
    path.write_text(
        "##fileformat=VCFv4.1\n##contig=<ID=20>\n"
        '##INFO=<ID=CLNSIG,Number=.,Type=String,Description="x">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        + "".join(f"20\t{n}\t.\tA\tC\t.\t.\tCLNSIG={text}\n" for n, text in enumerate(rows, 1))
    )
    found = read_clinvar(path)
    assert [variant[1] for variant in found.variants] == [1, 2, 4]
    assert found.labels.tolist() == [1, 0, 1]
    assert found.left_out == 2
