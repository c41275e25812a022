import gzip

import numpy as np
import pytest
from made_genomes import opened

from ntjax.errors import UserError
from ntjax.genomes.intervals import intervals_of
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
        Feature("one", 10, 11, 1, "TSS", 4),
        Feature("a b", 3, 9, -1, "TSS", 5),
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
            "line 1: start 11 and end 11 are no interval: the first letter is",
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
        ("one\tme\tTSS\t10\t11\t.\t+", "line 1: 7 columns"),
        ("one me TSS 10 11 . + . ID=a", "line 1: 1 columns with tabs between, not GFF3's nine"),
        ("one\tme\tTSS\t0\t11\t.\t+\t.\tID=a", "start 0 and end 11 are no interval: the first"),
        ("one\tme\tTSS\t12\t11\t.\t+\t.\tID=a", "start 12 and end 11 are no interval"),
        ('one\tme\tTSS\t1\t2\t.\t+\t.\tgene_id "a";', "is GTF"),
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
    found = intervals_of(genome, "a.bed", features)
    assert found.bounds.tolist() == [[100, 140], [7, 9]]
    assert found.strands.tolist() == [-1, 0]
    assert found.take(np.array([1])).bounds.tolist() == [[7, 9]]
    assert intervals_of(genome, "a.bed", []).bounds.shape == (0, 2)


def test_over_the_end_of_a_circle(genome):
    over = [Feature("one", 95, 103, 1, "", 1), Feature("one", 100, 101, -1, "", 2)]
    found = intervals_of(genome, "a.gff", over, frozenset({"one"}))
    assert found.bounds.tolist() == [[95, 100], [0, 3], [0, 1]]
    assert found.strands.tolist() == [1, 1, -1]
    with pytest.raises(UserError, match="one:96-103 reaches beyond the contig's 100 letters"):
        intervals_of(genome, "a.gff", over)


def test_other_genomes(genome):
    with pytest.raises(UserError, match=r"a\.bed: line 9: there is no contig 'chr1'") as error:
        intervals_of(genome, "a.bed", [Feature("chr1", 0, 1, 1, "", 9)])
    assert "which has 'one', 'two': " in str(error.value)
    assert str(genome.path) in str(error.value)
    with pytest.raises(UserError, match=r"a\.bed: line 9: two:41-41 reaches beyond .* 40 letters"):
        intervals_of(genome, "a.bed", [Feature("two", 40, 41, 1, "", 9)])
