import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from ntjax.errors import UserError
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.variants import read_variants

CONTIG = "ACGTTGCAAGGCTTACCGATGANNACAGGCATCGTAGC"
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tanna\tbert"
SNV = "20\t4\trs1\tT\tC\t.\tPASS\tAF=0.5\tGT\t0|1\t1|1"


def record(position, ref, alt, *genotypes, keys="GT", contig="20"):
    fixed = [contig, str(position), ".", ref, alt, ".", ".", ".", keys]
    return "\t".join([*fixed, *genotypes])


def text(*records, columns=COLUMNS):
    return "\n".join(["##fileformat=VCFv4.3", columns, *records]) + "\n"


@pytest.fixture
def reference(tmp_path):
    path = tmp_path / "reference.fa"
    path.write_text(f">20 twenty\n{CONTIG}\n>21\n{CONTIG}\n>M\nACGT\n>23\nAC\n")
    return open_genome(path)


@pytest.fixture
def read(tmp_path, reference):
    """`read(content)`: the variants of a file with this content."""

    def through_file(content):
        path = tmp_path / "phased.vcf"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_variants(reference, path)

    return through_file


@pytest.fixture
def problem(read, tmp_path):
    """`problem(content)`: what it says about the file, without its name."""

    def message(content):
        with pytest.raises(UserError) as caught:
            read(content)
        said = str(caught.value)
        assert "\n" not in said
        assert said.startswith(f"{tmp_path / 'phased.vcf'}: ")
        return said.removeprefix(f"{tmp_path / 'phased.vcf'}: ")

    return message


def carriers(variants):
    return np.unpackbits(variants.carriers, axis=1, count=variants.haplotypes).tolist()


def alternatives(variants):
    letters = "".join("ATCG"[code] for code in variants.letters)
    pairs = zip(variants.bounds[:-1], variants.bounds[1:], strict=True)
    return [letters[first:last] for first, last in pairs]


def blocks(data):
    """As bgzip does: gzip members one after the other, an empty one at the end."""
    pieces = [data[start : start + 50] for start in range(0, len(data), 50)]
    return b"".join(gzip.compress(piece) for piece in [*pieces, b""])


@pytest.mark.parametrize("compress", [bytes, gzip.compress, blocks])
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_rows_of_a_small_file(read, compress, newline):
    records = [
        record(4, "t", "C,tgg", "0|1", "2|1"),
        record(8, "AAG", "A", "1|0", "0|0"),
        record(12, "C", ".", "0|0", "0|0"),
        record(4, "T", "A", "0|0", "0|1", contig="chr21"),
    ]
    variants = read(compress(text(*records).replace("\n", newline).encode()))
    assert variants.samples == ("anna", "bert")
    assert variants.contigs == {0: (0, 3), 1: (3, 4)}
    assert variants.starts.tolist() == [3, 3, 7, len(CONTIG) + 3]
    assert variants.ends.tolist() == [4, 4, 10, len(CONTIG) + 4]
    assert alternatives(variants) == ["C", "TGG", "A", "A"]
    assert carriers(variants) == [[0, 1, 0, 1], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    renamed = "chr21 is read as 21, as reference calls its contigs"
    assert variants.notes == (f"{variants.path}: {renamed}",)


def test_the_furthest_end_so_far(read):
    variants = read(
        text(
            record(4, CONTIG[3:13], "T", "1|0", "0|0"),
            record(5, "T", "C", "0|1", "0|0"),
            record(3, "G", "C", "0|1", "0|0", contig="21"),
        )
    )
    assert variants.reaches.tolist() == [13, 13, len(CONTIG) + 3]
    assert [variants.carried(0, 3, haplotype).tolist() for haplotype in (0, 1, 2)] == [
        [0],
        [1, 2],
        [],
    ]


@pytest.mark.parametrize("keys", ["GT", "GT:DP:GQ"])
def test_haploid_missing_and_homozygous_unphased_genotypes(read, keys):
    def sample(genotype):
        return genotype + ":7:99" * (keys != "GT")

    pairs = [("1/1", "0/0"), (".|.", "./."), (".|1", "0|."), ("1", "0"), (".", "1|0")]
    variants = read(
        text(
            *[
                record(4 + i, CONTIG[3 + i], "ACGTGTGT"[i], *map(sample, pair), keys=keys)
                for i, pair in enumerate(pairs)
            ]
        )
    )
    assert carriers(variants) == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]]
    assert variants.starts.tolist() == [3, 5, 6, 7]
    assert variants.notes == (f"{variants.path}: 5 missing genotypes are read as the reference",)


def test_alleles_that_are_not_spelled_out(read):
    skipped = "<DEL>,*,T[21:5[,]21:5]T,T.,.T,<*>,TN,R"
    variants = read(
        text(
            record(4, "T", f"{skipped},C", "1|10", "10|5"), record(5, "T", "<INS:ME>", "1|0", "0|0")
        )
    )
    assert alternatives(variants) == ["C"]
    assert carriers(variants) == [[0, 1, 1, 0]]
    assert variants.notes == (
        f"{variants.path}: left out: 10 ALT alleles not spelled out in A, C, G and T "
        "(<DEL>, *, ...)",
    )


def test_the_later_of_two_that_overlap_is_left_out(read):
    variants = read(
        text(
            record(5, "TGC", "T", "1|0", "0|1"),
            record(5, "T", "A", "1|1", "0|0"),
            record(7, "C", "G,A", "2|2", "0|1"),
            record(8, "A", "T", "1|0", "0|0"),
        )
    )
    assert carriers(variants) == [[1, 0, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0]]
    assert alternatives(variants) == ["T", "A", "A", "T"]
    assert "left out: 3 alleles that overlap the one before" in variants.notes[0]


def spelled(variants, haplotype, end=38):
    """A haplotype of the first contig, allele after allele."""
    pieces, at = [], 0
    for row in variants.carried(0, len(variants.starts), haplotype).tolist():
        pieces += [CONTIG[at : variants.starts[row]], alternatives(variants)[row]]
        at = variants.ends[row]
    return "".join([*pieces, CONTIG[at:end]])


def test_an_indel_beside_a_snv_of_its_anchor_does_not_overlap_it(read):
    """By hand, as `bcftools consensus` has it: the SNV's base, then what is inserted or deleted."""
    variants = read(
        text(
            record(5, "T", "C", "1|1", "0|1"),
            record(5, "T", "TAAA", "1|0", "1|0"),
            record(6, "G", "A", "0|1", "0|0"),
            record(9, "A", "G", "1|0", "0|0"),
            record(9, "AGG", "A", "1|1", "0|0"),
        )
    )
    assert variants.notes == ()
    assert (np.diff(variants.starts) >= 0).all()
    assert spelled(variants, 0) == "ACGTCAAAGCAG" + CONTIG[11:]
    assert spelled(variants, 1) == "ACGTCACA" + "A" + CONTIG[11:]
    assert spelled(variants, 2) == "ACGTTAAA" + CONTIG[5:]
    assert spelled(variants, 3) == "ACGTC" + CONTIG[5:]


@pytest.mark.parametrize(
    "second",
    [
        record(5, "T", "TCC", "1|0", "0|0"),  # a second insertion at one position
        record(5, "T", "A", "1|0", "0|0"),  # an SNV after the insertion
        record(5, "TG", "CGG", "1|0", "0|0"),  # no anchor
    ],
)
def test_what_overlaps_an_insertion_is_left_out(read, second):
    variants = read(text(record(5, "T", "TAAA", "1|0", "0|0"), second))
    assert spelled(variants, 0) == "ACGTTAAA" + CONTIG[5:]
    assert "left out: 1 alleles that overlap the one before" in variants.notes[0]


def test_a_name_that_two_contigs_have(tmp_path):
    path = tmp_path / "twice.fa"
    path.write_text(f">20 first\n{CONTIG}\n>21\nACGT\n>20 second\n{CONTIG}AC\n")
    (tmp_path / "phased.vcf").write_text(text(SNV))
    with pytest.raises(
        UserError, match=r"records 1 \(38 bp\) and 3 \(40 bp\) are both called '20'"
    ):
        read_variants(open_genome(path), tmp_path / "phased.vcf")


def test_records_that_touch_n_of_the_reference(read):
    variants = read(
        text(
            record(22, "ANNA", "A", "1|0", "0|0"),
            record(23, "N", "A", "1|0", "0|0"),
            record(24, "A", "AT", "1|0", "0|0"),
            record(25, "A", "AT", "1|0", "0|0"),
        )
    )
    assert variants.starts.tolist() == [24]
    assert "left out: 3 records that touch an N of the reference" in variants.notes[0]


def test_nothing_but_the_reference(read):
    variants = read(text(record(4, "T", "C", "0|0", "0|0")))
    assert len(variants.starts) == len(variants.letters) == 0
    assert variants.carriers.shape == (0, 1)
    assert variants.carried(0, 0, 3).tolist() == []


def test_many_samples_and_many_alleles(read):
    random = np.random.default_rng(0)
    columns = COLUMNS.replace("\tanna\tbert", "".join(f"\ts{number}" for number in range(700)))
    alleles = random.integers(0, 13, (700, 2))
    alts = ["A" * (2 + number) for number in range(12)]
    genotypes = [f"{first}|{second}" for first, second in alleles.tolist()]
    variants = read(text(record(4, "T", ",".join(alts), *genotypes), columns=columns))
    expected = [(alleles.ravel() == allele).astype(int).tolist() for allele in range(1, 13)]
    assert carriers(variants) == expected
    assert alternatives(variants) == alts


WRONG = {
    "no vcf": ("sequence\tlabel\nACGT\t1\n", "line 1: 'sequence\\tlabel' is not a VCF file's line"),
    "fasta": (">20\nACGT\n", "line 1: '>20' is not a VCF file's line of column names"),
    "spaces": (text(columns=COLUMNS.replace("\t", " ")), "line 2: '#CHROM POS"),
    "header only": ("##fileformat=VCFv4.3\n", "has no line of column names"),
    "empty": ("", "the file is empty"),
    "image": (b"\x89PNG\r\n", "is a PNG image"),
    "bcf": (gzip.compress(b"BCF\2\2\0\0"), "is BCF: convert it with `bcftools view"),
    "cut gzip": (gzip.compress(text(SNV).encode())[:-20], "the gzip data are damaged"),
    "sites": (text(columns=COLUMNS.partition("\tFORMAT")[0]), "lists variants without genotypes"),
    "no samples": (text(columns=COLUMNS.partition("\tanna")[0]), "line 2: names no samples"),
    "no records": (text(), "holds no variants"),
    "too few columns": (text(SNV, SNV[:-4]), "line 4: has 10 columns, where the header names 11"),
    "too many columns": (text(SNV + "\t0|0"), "line 3: has 12 columns"),
    "no contig": (
        text(record(1, "A", "C", "0|0", "0|0", contig="chrX")),
        "line 3: there is no contig 'chrX' in ",
    ),
    "beyond": (text(record(39, "A", "C", "0|0", "0|0")), "line 3: position 39 with its REF of 1"),
    "partly beyond": (text(record(38, "CA", "C", "0|0", "0|0")), "lies beyond contig 20, which"),
    "zero": (text(record(0, "A", "C", "0|0", "0|0")), "line 3: POS is '0'"),
    "no position": (text(record("x", "A", "C", "0|0", "0|0")), "line 3: POS is 'x'"),
    "unsorted": (text(SNV, record(3, "G", "C", "0|0", "0|0")), "line 4: position 3 stands behind"),
    "contig twice": (
        text(SNV, record(3, "G", "C", "0|0", "0|0", contig="21"), SNV),
        "line 5: contig '20' has other records further up: sort the file",
    ),
    "bad alt": (text(record(4, "T", "C,X1", "0|0", "0|0")), "line 3: ALT has 'X1'"),
    "empty alt": (text(record(4, "T", "", "0|0", "0|0")), "line 3: ALT has ''"),
    "no GT": (text(record(4, "T", "C", "3", "4", keys="DP")), "line 3: FORMAT is 'DP'"),
    "GT not first": (
        text(record(4, "T", "C", "3:0|0", "4:0|1", keys="DP:GT")),
        "line 3: FORMAT is 'DP:GT': it has to begin with GT",
    ),
    "unphased": (
        text(record(4, "T", "C", "0|0", "0/1")),
        "line 3: sample 'bert': '0/1' is heterozygous and unphased",
    ),
    "unphased with more fields": (
        text(record(4, "T", "C,A", "2/1:3", "0|1:4", keys="GT:DP")),
        "line 3: sample 'anna': '2/1' is heterozygous and unphased",
    ),
    "triploid": (
        text(record(4, "T", "C", "0|0|1", "0|0")),
        "line 3: sample 'anna': '0|0|1' is not",
    ),
    "no genotype": (text(record(4, "T", "C", "0|0", "A|C")), "line 3: sample 'bert': 'A|C' is not"),
    "no separator": (text(record(4, "T", "C", "0|0", "0 1")), "sample 'bert': '0 1' is not"),
    "beyond ALT": (text(record(4, "T", "C", "0|0", "0|2")), "line 3: sample 'bert' has allele 2"),
    "without ALT": (text(record(4, "T", ".", "1|0", "0|0")), "has allele 1, but ALT lists 0"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_line_for_what_is_wrong(problem, name):
    content, expected = WRONG[name]
    assert expected in problem(content)


def test_ref_that_disagrees_is_counted_and_the_first_are_named(problem, reference):
    wrong = [record(at, "C", "A", "1|0", "0|1") for at in range(4, 9)]  # T, T, G, C, A
    content = text(record(1, "A", "C", "0|0", "0|1"), *wrong, record(10, "GG", "G", "0|0", "0|0"))
    content = content.replace("#CHROM", "##reference=file:///data/GRCh38.fa\n#CHROM", 1)
    assert problem(content) == (
        f"REF disagrees with {reference.path} in 4 of 7 records: line 5 at 20:4, where the VCF "
        "has C and the FASTA T; line 6 at 20:5, where the VCF has C and the FASTA T; line 7 at "
        "20:6, where the VCF has C and the FASTA G; ...: give the FASTA of the build that the VCF "
        "was made on (the VCF's header names 'file:///data/GRCh38.fa')"
    )


@pytest.fixture(scope="module")
def real():
    if "NTJAX_DATA_DIR" not in os.environ:
        pytest.skip("NTJAX_DATA_DIR is not set: the development data are needed")
    folder = Path(os.environ["NTJAX_DATA_DIR"]) / "human"
    sites = folder / "chr20_1kg_1mb_4mb.sites.vcf.gz"
    return open_genome(folder / "chr20_b37.fa.gz"), sites


def test_a_real_sites_file_has_no_genotypes(real):
    genome, sites = real
    with pytest.raises(UserError, match=r"lists variants without genotypes \(a sites file\)"):
        read_variants(genome, sites)


def test_ref_alleles_of_the_real_sites(real, tmp_path):
    genome, sites = real
    lines = gzip.decompress(sites.read_bytes()).decode().splitlines()
    header = next(number for number, line in enumerate(lines) if line.startswith("#CHROM"))
    lines[header] += "\tFORMAT\tanna\tbert"
    lines[header + 1 :] = [f"{line}\tGT\t0|1\t1|0" for line in lines[header + 1 :]]
    path = tmp_path / "made_up.vcf.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode(), 1))
    variants = read_variants(genome, path)
    assert len(lines) - header - 1 == 24_990
    read = len(variants.starts)
    assert read > 24_000
    assert not any("touch an N" in note for note in variants.notes)

    expected = []
    for number in (header + 1, header + 1000, len(lines) - 1):
        fields = lines[number].split("\t")
        right, wrong = fields[3], fields[3].translate(str.maketrans("ACGT", "CATG"))
        fields[3] = wrong
        lines[number] = "\t".join(fields)
        expected.append(
            f"line {number + 1} at 20:{int(fields[1]):,}, where the VCF has {wrong} and the FASTA "
            f"{right}"
        )
    path.write_bytes(gzip.compress("\n".join(lines).encode(), 1))
    with pytest.raises(UserError) as caught:
        read_variants(genome, path)
    assert f"in 3 of 24,990 records: {'; '.join(expected)}: give the FASTA" in str(caught.value)
