"""VCF and BCF files in every compression, INFO fields by allele, damaged files."""

import gzip
import importlib
import sys

import pysam
import pytest

from ntjax.errors import UserError
from ntjax.io.variant_file import VariantFile
from ntjax.io.variant_output import annotated, declare

HEADER = """##fileformat=VCFv4.3
##contig=<ID=chr1,length=5000>
##INFO=<ID=AF,Number=A,Type=Float,Description="x">
##INFO=<ID=AD,Number=R,Type=Integer,Description="x">
##INFO=<ID=AN,Number=1,Type=Integer,Description="x">
##INFO=<ID=DB,Number=0,Type=Flag,Description="x">
##INFO=<ID=CSQ,Number=.,Type=String,Description="x">
##INFO=<ID=END,Number=1,Type=Integer,Description="x">
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO
"""
RECORDS = """chr1	3	rs1	a	C,<DEL>	.	PASS	AF=0.1,0.25;AD=7,8,9;AN=4;DB;CSQ=a|b,c|d
chr1	4	.	A	.	.	.	AN=6
chr1	9	.	AT	*	.	.	AF=.
"""


@pytest.fixture
def written(tmp_path):
    """`written(kind)`: the same records as VCF, with gzip or bgzip, or as BCF."""
    plain = tmp_path / "some.vcf"
    plain.write_text(HEADER + RECORDS)

    def file(kind):
        path = tmp_path / f"some.{kind}"
        if kind == "vcf.gz":
            path.write_bytes(gzip.compress(plain.read_bytes()))
        elif kind == "vcf.bgz":
            pysam.tabix_compress(str(plain), str(path))
        elif kind == "bcf":
            source = pysam.VariantFile(plain)
            with source, pysam.VariantFile(path, "wb", header=source.header) as target:
                for record in source:
                    target.write(record)
        return path

    return file


@pytest.mark.parametrize("kind", ["vcf", "vcf.gz", "vcf.bgz", "bcf"])
def test_the_same_records_of_every_kind_of_file(written, kind):
    with VariantFile(written(kind)) as file:
        records = [record[:6] for record in file.records()]
    assert records == [
        (1, "chr1", 3, "rs1", "A", ("C", "<DEL>")),
        (2, "chr1", 4, "", "A", ()),
        (3, "chr1", 9, "", "AT", ("*",)),
    ]


@pytest.mark.parametrize("kind", ["vcf", "bcf"])
def test_info_by_allele(written, kind):
    with VariantFile(written(kind)) as file:
        fields = file.info(["AF", "AD", "AN", "DB", "CSQ"])
        assert [field.dtype for field in fields] == ["float64", "Int64", "Int64", "bool", "object"]
        rows = [
            [field.of(record, allele) for field in fields]
            for record in file.records()
            for allele in range(max(1, len(record.alternatives)))
        ]
    assert rows == [
        [0.1, 8, 4, True, "a|b,c|d"],
        [0.25, 9, 4, True, "a|b,c|d"],
        [None, None, 6, False, None],
        [None, None, None, False, None],
    ]


def test_an_info_field_that_is_not_there(written):
    with (
        VariantFile(written("vcf")) as file,
        pytest.raises(UserError, match="no INFO field 'MAF': it has AF, AD, AN, DB, CSQ, END"),
    ):
        file.info(["MAF"])


def test_an_info_field_that_htslib_cannot_read(tmp_path):
    path = tmp_path / "some.vcf"
    field = '##INFO=<ID=GL,Number=G,Type=Float,Description="x">\n#CHROM'
    path.write_text(HEADER.replace("#CHROM", field) + RECORDS)
    with VariantFile(path) as file, pytest.raises(UserError, match="'GL' has Number=G"):
        file.info(["GL"])


def test_regions_by_index_with_and_without_chr(written):
    path = written("vcf.bgz")
    with VariantFile(path, "chr1:1-3") as file, pytest.raises(UserError, match=r"no index.*tabix"):
        list(file.records())
    pysam.tabix_index(str(path), preset="vcf", force=True)
    for region, positions in {"1:3-4": [3, 4], "chr1": [3, 4, 9], "chr1:1,000-2,000": []}.items():
        with VariantFile(path, region) as file:
            assert [record.position for record in file.records()] == positions
    wrong = {"2:1-5": "no record of contig '2'", "chr1:x-y": "CONTIG:START", "1:3": "CONTIG:START"}
    for region, message in wrong.items():
        with VariantFile(path, region) as file, pytest.raises(UserError, match=message):
            list(file.records())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello\n", "can't be read as variants"),
        (b"", "the file is empty"),
        (gzip.compress(b"hello\n", mtime=0), "can't be read as variants"),
        ((HEADER + RECORDS + "chr1\tx\t.\tA\tC\t.\t.\t.\n").encode(), r"record 4 \(after chr1:9\)"),
        ((HEADER + RECORDS + "chr1\t7\t.\tA\n").encode(), r"record 4 \(after chr1:9\)"),
        (HEADER.encode() + b"chr1\t7\t\xe9\tA\tC\t.\t.\t.\n", r"record 1 .* is not UTF-8 text"),
        (gzip.compress((HEADER + RECORDS * 5000).encode())[:400], "gzip data are damaged or end"),
    ],
)
def test_damaged_files_are_one_line(tmp_path, content, message):
    path = tmp_path / "some.vcf.gz"
    path.write_bytes(content)

    def read():
        with VariantFile(path) as file:
            list(file.records())

    with pytest.raises(UserError, match=message) as caught:
        read()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_truncated_bgzip(written, tmp_path):
    whole = written("vcf.bgz")
    path = tmp_path / "cut.vcf.gz"
    path.write_bytes(whole.read_bytes()[:-28])
    with pytest.raises(UserError, match="is truncated"):
        VariantFile(path)


def test_a_missing_library_is_named(monkeypatch, tmp_path):
    module = importlib.import_module("ntjax.io.variant_file")
    monkeypatch.setitem(sys.modules, "pysam", None)
    (tmp_path / "some.vcf").write_text(HEADER)
    with pytest.raises(UserError, match=r'pip install "ntjax\[genomics\]"'):
        module.VariantFile(tmp_path / "some.vcf")


def test_fields_are_added_to_records(written):
    columns = {
        "status": ["scored", "symbolic_allele", "no_alternative", "spanning_deletion"],
        "l2": [0.5, float("nan"), float("nan"), float("nan")],
        "phases": [12, float("nan"), float("nan"), float("nan")],
    }
    with VariantFile(written("vcf")) as file:
        header = declare(file, {"status": "String", "l2": "Float", "phases": "Integer"})
        lines = annotated(list(file.records()), columns).splitlines()
    assert '##INFO=<ID=NTJAX_L2,Number=A,Type=Float,Description="column l2' in header
    added = "NTJAX_STATUS=scored,symbolic_allele;NTJAX_L2=0.5,.;NTJAX_PHASES=12,."
    assert lines[0].endswith(f"CSQ=a|b,c|d;{added}")
    assert lines[1].endswith("AN=6;NTJAX_STATUS=no_alternative")
