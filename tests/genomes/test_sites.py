import os
from pathlib import Path

import numpy as np
import pytest
from made_genes import written_gff
from made_genomes import drawn_promoters, opened, two_contigs

from ntjax.errors import UserError
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.sites import read_sites
from ntjax.genomes.windows import PROMOTER_WINDOW, WindowGeometry

needs_data = pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no public data here"
)
GEOMETRY = WindowGeometry(3, 2)


@pytest.fixture
def genome(tmp_path):
    return opened(tmp_path, {"one": "AACCGGTTACGTCCAAGG", "two": "TTTTTTGACATTTTTTNNNN"})


def written(path, text):
    path.write_text(text)
    return path


def test_five_prime_ends_of_bed(genome, tmp_path):
    """By hand: a site is its contig's letter, counted from 1."""
    bed = "one\t5\t9\ta\t0\t+\none\t5\t9\tb\t0\t-\ntwo\t6\t7\tc\t0\t+\none\t5\t10\td\t0\t+\n"
    found = read_sites(genome, written(tmp_path / "a.bed", bed), GEOMETRY)
    assert found.promoters.names() == ["one:6:+", "one:9:-", "two:7:+"]  # the fourth is the first
    # Of AACCGGTTACGTCCAAGG and TTTTTTGACATTTTTT, from 3 letters before to 2 behind.
    assert found.promoters.sequences() == ["CCGGTT", "ACGTAA", "TTTGAC"]
    assert found.notes == ("4 intervals with 3 start sites in made",)


def test_the_other_strand_is_read_backwards(genome, tmp_path):
    found = read_sites(genome, written(tmp_path / "a.bed", "one\t5\t9\tb\t0\t-\n"), GEOMETRY)
    # AACCGG[TTACGT]CCAAGG, on the other strand GG[ACGTAA]CC.
    assert found.promoters.starts().tolist() == [6]
    assert found.promoters.sequences() == ["ACGTAA"]
    assert found.promoters.sequences(context=2) == ["GGACGTAACC"]


def test_gff_finds_the_same(genome, tmp_path):
    rows = [("one", "TSS", 5, 9, "+"), ("one", "TSS", 5, 9, "-"), ("one", "gene", 1, 4, ".")]
    found = read_sites(genome, written_gff(tmp_path / "a.gff3", rows), GEOMETRY)
    assert found.promoters.names() == ["one:6:+", "one:9:-"]
    genes = [("one", "gene", 5, 9, "+")]
    path = written_gff(tmp_path / "genes", genes)  # told by its first line
    with pytest.raises(UserError, match=r"'TSS': its types are 'gene' \(1\); .*--feature-type"):
        read_sites(genome, path, GEOMETRY)
    assert read_sites(genome, path, GEOMETRY, "gene").known.names() == ["one:6:+"]


BED6 = "one\t5\t9\t7\t0\t+\none\t5\t9\tb\t0\t-\n"
PEAKS = "".join(line + "\t5.1\t3.2\t2.2\t2\n" for line in BED6.splitlines())
GTF = "one\tX\tTSS\t6\t9\t.\t+\t.\tgene_id 1;\none\tX\tTSS\t6\t9\t.\t-\t.\tgene_id 2;\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sites.txt", BED6),
        ("sites.bed6", "# a comment\n" + BED6),
        ("sites", BED6.replace("one", "chrone")),
        ("peaks.narrowPeak", PEAKS),
        ("peaks.txt", PEAKS),
        ("sites.gtf", GTF),
        ("sites.tsv", "#!genome-build x\n" + GTF),
        ("sites.gff3", "##gff-version 3\n" + GTF.replace("one", "CHRone")),
    ],
)
def test_the_content_tells_the_format(genome, tmp_path, name, text):
    found = read_sites(genome, written(tmp_path / name, text), GEOMETRY)
    assert found.promoters.names() == ["one:6:+", "one:9:-"]
    assert any("narrowPeak is read as BED" in note for note in found.notes) == (text == PEAKS)
    assert any("is read as one" in note for note in found.notes) == ("hrone" in text.lower())


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("##fileformat=VCFv4.2\n#CHROM\tPOS\n1\t5\n", "is VCF"),
        ("LOCUS       U00096\n", "is GenBank"),
        ("chrom\tstart\tend\none\t5\t9\n", "its first line, 'chrom.*', is of no known format"),
    ],
)
def test_other_formats_are_named(genome, tmp_path, text, what):
    with pytest.raises(UserError, match=f"{what}: give start sites as BED") as error:
        read_sites(genome, written(tmp_path / "sites", text), GEOMETRY)
    assert "--" not in str(error.value)  # no option that the command lacks


@pytest.mark.parametrize("name", ["a.bed", "a.gff3", "a.fa"])
def test_a_genome_with_a_name_twice(tmp_path, name):
    path = tmp_path / "twice.fa"
    path.write_text(">one\nAACCGGTTACGTCCAAGG\n>one\nTTTTTTGACATTTTTTNNNN\n")
    texts = {"a.bed": BED6, "a.gff3": GTF, "a.fa": ">p\nAACCGGTT\n"}
    with pytest.raises(UserError, match=r"records 1 .* and 2 .* are both called 'one'"):
        read_sites(open_genome(path), written(tmp_path / name, texts[name]), GEOMETRY)


def test_windows_that_do_not_fit(genome, tmp_path):
    bed = "one\t2\t3\ta\t0\t+\none\t2\t3\ta\t0\t-\none\t14\t15\ta\t0\t+\ntwo\t14\t15\ta\t0\t+\n"
    bed += "two\t3\t4\ta\t0\t+\n"
    found = read_sites(genome, written(tmp_path / "a.bed", bed), GEOMETRY)
    assert len(found.known) == 5
    assert found.promoters.names() == ["one:3:-", "one:15:+", "two:4:+"]
    assert found.notes[1].startswith("2 of 5 windows reach beyond a contig's end or hold an N")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("one\t5\t9\ta\t0\t.", "line 1: a start site needs a strand, . or -, not '.'"),
        ("chr1\t5\t9\ta\t0\t+", "line 1: there is no contig 'chr1' in .*made.fna, which has 'one'"),
        ("one\t5\t19\ta\t0\t+", "line 1: one:6-19 reaches beyond the contig's 18 bp"),
        ("one\t9\t9\ta\t0\t+", "line 1: start 9 and end 9 are no interval"),
    ],
)
def test_bad_sites(genome, tmp_path, line, message):
    with pytest.raises(UserError, match=message) as error:
        read_sites(genome, written(tmp_path / "a.bed", line + "\n"), GEOMETRY)
    assert "\n" not in str(error.value)


@pytest.fixture
def larger(tmp_path):
    contigs = two_contigs()
    return opened(tmp_path, contigs), drawn_promoters(contigs, 20, 4)


def test_promoters_are_looked_up(larger, tmp_path):
    genome, promoters = larger
    rows = "".join(f"{text},1\n" for text in promoters.values()) + "A" * 30 + ",0\n"
    path = written(tmp_path / "a.csv", "sequence,label\n" + rows)
    found = read_sites(genome, path, PROMOTER_WINDOW)
    assert sorted(found.promoters.names()) == sorted(promoters)
    by_name = dict(zip(found.promoters.names(), found.promoters.sequences(), strict=True))
    assert by_name == promoters
    assert "of 20 sequences 20 occur in made" in found.notes[0]
    fasta = "".join(f">p\n{text}\n" for text in promoters.values())
    plain = read_sites(genome, written(tmp_path / "a.fa", fasta), PROMOTER_WINDOW)
    parts = written(tmp_path / "parts.fa", fasta.replace(">p", ">p|1|training"))
    assert "names a part; the label is" in read_sites(genome, parts, PROMOTER_WINDOW).notes[-1]
    assert plain.promoters.names() == found.promoters.names()


def test_promoters_of_other_lengths(larger, tmp_path):
    """40 letters with the TSS at 30 lie where the 81 with it at 60 do; windows are as wanted."""
    genome, promoters = larger
    fasta = "".join(f">p\n{text[30:70]}\n" for text in promoters.values())
    path = written(tmp_path / "a.fa", fasta)
    found = read_sites(genome, path, WindowGeometry(60, 20), tss_index=30)
    by_name = dict(zip(found.promoters.names(), found.promoters.sequences(), strict=True))
    assert by_name == promoters
    with pytest.raises(UserError, match="row 1: the promoter has 40 letters, none at index 60"):
        read_sites(genome, path, PROMOTER_WINDOW)
    path = written(tmp_path / "b.fa", fasta + ">last\nACGT\n")
    with pytest.raises(UserError, match="row 41: the promoter has 4 letters, others 40"):
        read_sites(genome, path, PROMOTER_WINDOW, tss_index=30)


def test_promoters_of_elsewhere(larger, tmp_path):
    elsewhere = written(tmp_path / "a.fa", ">p\n" + "AC" * 40 + "A\n")
    with pytest.raises(UserError, match=r"none of its 1 promoters occurs in .*made\.fna"):
        read_sites(larger[0], elsewhere, PROMOTER_WINDOW)
    with pytest.raises(UserError, match="has labels, but no row of label 1"):
        read_sites(larger[0], written(tmp_path / "a.fa", ">p|0\nACGT\n"), PROMOTER_WINDOW)


@needs_data
def test_promoters_of_k12():
    folder = Path(os.environ["NTJAX_DATA_DIR"])
    genome = open_genome(folder / "genomes/ecoli_k12_mg1655.fna.gz")
    found = read_sites(genome, folder / "promoters/prokprompred/train_coli.csv", PROMOTER_WINDOW)
    assert found.notes[0].startswith("of 8,616 sequences 8,615 occur in ecoli_k12_mg1655 (77 of")
    assert (len(found.known), len(found.promoters)) == (8_576, 8_398)
    assert np.isin(found.promoters.places, found.known.places).all()
