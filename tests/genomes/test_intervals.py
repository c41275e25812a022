import gzip

import numpy as np
import pytest
from made_genomes import opened

from ntjax.errors import UserError
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.intervals import ContigNames, circular_contigs, intervals_of
from ntjax.io.bed import Feature, read_bed
from ntjax.io.gff import described_kinds, read_gff

BED = """\
# a comment
track name=sites
browser position one:1-100
one\t10\t11\ta\t0\t+

two 3 9 b 0 -
one\t0\t5\tc\t0\t.\t0\t5
"""
GFF = """\
##gff-version 3
##sequence-region one 1 100
one\tme\tregion\t1\t100\t.\t+\t.\tID=one;Is_circular=true
one\tme\tTSS\t11\t11\t.\t+\t.\tID=a
a%20b\tme\tTSS\t4\t9\t.\t-\t.\tID=b
one\tme\tgene\t1\t5\t.\t?\t.\tID=c
##FASTA
>one
ACGT
"""


@pytest.fixture
def genome(tmp_path):
    return opened(tmp_path, {"one": "ACGTA" * 20, "two": "ACGT" * 10})


@pytest.mark.parametrize("compressed", [False, True])
def test_bed(tmp_path, compressed):
    path = tmp_path / "sites.bed"
    path.write_bytes(gzip.compress(BED.encode()) if compressed else BED.encode())
    assert read_bed(path) == [
        Feature("one", 10, 11, 1, "", 4),
        Feature("two", 3, 9, -1, "", 6),
        Feature("one", 0, 5, 0, "", 7),
    ]


def test_gff_says_the_same_of_the_same_intervals(tmp_path):
    path = tmp_path / "sites.gff"
    path.write_text(GFF)
    gff = read_gff(path, "TSS".__eq__)
    assert gff.features == [
        Feature("one", 10, 11, 1, "TSS", 4, "a"),
        Feature("a b", 3, 9, -1, "TSS", 5, "b"),
    ]
    assert gff.kinds == {"TSS": 2, "region": 1, "gene": 1}
    assert gff.circular == {"one"}
    assert described_kinds(gff.kinds).startswith("'TSS' (2), ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("one\t10\t11", "line 1: 3 columns, not the six of BED"),
        (
            "one\t11\t11\ta\t0\t+",
            "line 1: start 11 and end 11 are no interval: the first base is",
        ),
        ("one\t12\t11\ta\t0\t+", "line 1: start 12 and end 11 are no interval"),
        ("one\t-1\t11\ta\t0\t+", "line 1: start '-1' and end '11' are not whole numbers"),
        ("one\t1.5\t11\ta\t0\t+", "line 1: start '1.5'"),
        ("one\t10\t11\ta\t0\tplus", "line 1: strand 'plus' should be"),
        ("# nothing", "holds no interval"),
    ],
)
def test_bad_bed(tmp_path, line, message):
    path = tmp_path / "sites.bed"
    path.write_text(line + "\n")
    with pytest.raises(UserError, match=message) as error:
        read_bed(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("one\tme\tTSS\t10\t11\t.", "line 1: 6 columns"),
        ("one me TSS 10 11 . + . ID=a", "line 1: 1 columns with tabs between, not the nine of"),
        ("one\tme\tTSS\t0\t11\t.\t+\t.\tID=a", "start 0 and end 11 are no interval: the first"),
        ("one\tme\tTSS\t12\t11\t.\t+\t.\tID=a", "start 12 and end 11 are no interval"),
        ("##gff-version 3", "holds no feature"),
    ],
)
def test_bad_gff(tmp_path, line, message):
    path = tmp_path / "sites.gff"
    path.write_text(line + "\n")
    with pytest.raises(UserError, match=message):
        read_gff(path, "TSS".__eq__)


def test_places_in_the_store(genome):
    features = [Feature("two", 0, 40, -1, "", 1), Feature("one", 7, 9, 0, "", 2)]
    found = intervals_of(ContigNames(genome, "a.bed"), features)
    assert found.bounds.tolist() == [[100, 140], [7, 9]]
    assert found.strands.tolist() == [-1, 0]
    assert found.take(np.array([1])).bounds.tolist() == [[7, 9]]
    assert intervals_of(ContigNames(genome, "a.bed"), []).bounds.shape == (0, 2)


def test_over_the_end_of_a_circle(genome):
    over = [Feature("one", 95, 103, 1, "", 1), Feature("one", 100, 101, -1, "", 2)]
    found = intervals_of(ContigNames(genome, "a.gff"), over, frozenset({"one"}))
    assert found.bounds.tolist() == [[95, 100], [0, 3], [0, 1]]
    assert found.strands.tolist() == [1, 1, -1]
    with pytest.raises(UserError, match="one:96-103 reaches beyond the contig's 100 bp"):
        intervals_of(ContigNames(genome, "a.gff"), over)


GENE = "one\tme\tgene\t96\t103\t.\t+\t.\tID=a\n"


@pytest.mark.parametrize(
    ("stated", "circular", "notes"),
    [
        ("one\tme\tregion\t1\t100\t.\t+\t.\tIs_circular=true\n", {"one"}, 0),
        ("##sequence-region one 1 100\n", {"one"}, 1),
        ("##sequence-region one 1 200\n", set(), 0),  # another assembly
        ("", set(), 0),
    ],
)
def test_a_gene_over_the_end_of_a_contig_that_is_not_marked(
    genome, tmp_path, stated, circular, notes
):
    path = tmp_path / "genes.gff3"
    path.write_text(f"##gff-version 3\n{stated}{GENE}")
    names, gff = ContigNames(genome, path), read_gff(path, "gene".__eq__)
    found, said = circular_contigs(names, gff)
    assert (found, len(said)) == (circular, notes)
    if circular:
        assert intervals_of(names, gff.features, found).bounds.tolist() == [[95, 100], [0, 3]]
        assert not notes or "one: 1 features reach over its end" in said[0]
    else:
        with pytest.raises(UserError, match=r"if the contig is circular, .* Is_circular=true"):
            intervals_of(names, gff.features, found)


def test_gtf_needs_seven_columns(tmp_path):
    path = tmp_path / "a.gtf"
    path.write_text(
        '1\tX\ttranscript\t201\t300\t.\t-\t.\ttranscript_id "b"; gene_id "a";\n'
        '1\tX\ttranscript\t401\t500\t.\t+\t.\tgene_id "c"\n'
        "1\tX\ttranscript\t601\t700\t.\t+\n"
    )
    found = read_gff(path, "transcript".__eq__).features
    assert [(f.start, f.end, f.strand) for f in found] == [
        (200, 300, -1),
        (400, 500, 1),
        (600, 700, 1),
    ]


def test_names_with_and_without_chr(tmp_path):
    genome = opened(tmp_path, {"1": "ACGT", "chrX": "ACGT", "2": "AC", "chr2": "GT"})
    names = ContigNames(genome, "a.bed")
    assert [names.number(name) for name in ("1", "2", "chr2", "chrX")] == [0, 2, 3, 1]
    assert names.notes == ()
    assert [names.number(name) for name in ("chr1", "Chr1", "X")] == [0, 0, 1]
    [note] = names.notes
    assert "chr1 is read as 1, Chr1 is read as 1, X is read as chrX" in note
    with pytest.raises(UserError, match="there is no contig '3' in"):
        names.number("3")


def test_a_name_of_two_contigs_is_refused(tmp_path):
    path = tmp_path / "twice.fa"
    path.write_text(">a first\nACGT\n>b\nAC\n>a second\nACGTAC\n")
    message = r"twice\.fa: records 1 \(4 bp\) and 3 \(6 bp\) are both called 'a'"
    with pytest.raises(UserError, match=message):
        ContigNames(open_genome(path), "a.bed")


def test_other_genomes(genome):
    with pytest.raises(UserError, match=r"a\.bed: line 9: there is no contig 'chr1'") as error:
        intervals_of(ContigNames(genome, "a.bed"), [Feature("chr1", 0, 1, 1, "", 9)])
    assert "which has 'one', 'two': " in str(error.value)
    assert str(genome.path) in str(error.value)
    with pytest.raises(UserError, match=r"a\.bed: line 9: two:41-41 reaches beyond .* 40 bp"):
        intervals_of(ContigNames(genome, "a.bed"), [Feature("two", 40, 41, 1, "", 9)])
