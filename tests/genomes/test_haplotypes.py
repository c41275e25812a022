"""Every window of every haplotype, against strings that the alleles were written into.

The witness never sees the code's arrays: it puts a haplotype's alleles into a list with one cell
for each of the reference's letters, whole contigs at a time.
"""

import gzip
import itertools
import os
from pathlib import Path

import numpy as np
import pytest

from ntjax.genomes.haplotypes import Haplotypes, open_haplotypes
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.windows import Region, WindowSampler
from ntjax.sequences.tokenizer import Tokenizer

CODES = "ATCG"


def cells_of(contig, records, haplotype):
    """The letters that stand for each letter of a contig on a haplotype.

    `records` are (position from 1, REF, [ALT, ...], [allele of each haplotype, ...]).
    """
    cells, free, inserted = list(contig), 0, 0
    for position, ref, alts, alleles in records:
        begin = position - 1
        if not alleles[haplotype] or "N" in contig[begin : begin + len(ref)]:
            continue
        alt = alts[alleles[haplotype] - 1]
        # An indel's first base is its anchor: it goes with an SNV there, but not with an insertion.
        is_indel = len(alt) != len(ref) and alt[0] == ref[0]
        has_room = inserted != free and contig[free : free + 1] not in ("", "N")
        beside = begin == free - 1 and is_indel and has_room
        if begin < free and not beside:
            continue
        free = begin + len(ref)
        for offset in range(beside, len(ref)):
            cells[begin + offset] = alt[offset : offset + 1]
        cells[free - 1] += alt[len(ref) :]
        inserted = free if len(alt) > len(ref) else inserted
    return cells


def stretches_of(contig):
    runs = itertools.groupby(range(len(contig)), lambda place: contig[place] == "N")
    runs = [list(places) for unknown, places in runs if not unknown]
    return [(places[0], places[-1] + 1) for places in runs]


def expected_windows(contigs, records, haplotypes, letters):
    """In the order of their numbers."""
    windows = []
    spelled = {
        (haplotype, name): cells_of(contig, records.get(name, []), haplotype)
        for haplotype in range(haplotypes)
        for name, contig in contigs.items()
    }
    for haplotype in range(haplotypes):
        for name, contig in contigs.items():
            if name not in records:
                continue
            for first, last in stretches_of(contig):
                texts = ["".join(spelled[h, name][first:last]) for h in range(haplotypes)]
                if min(map(len, texts)) < letters:
                    continue
                text = texts[haplotype]
                at = 0
                for place in range(first, last - letters + 1):
                    begin = min(at, len(text) - letters)
                    windows.append(text[begin : begin + letters])
                    at += len(spelled[haplotype, name][place])
    return windows


def vcf(records, haplotypes, names=str):
    samples = [f"sample{number}" for number in range(haplotypes // 2)]
    lines = ["##fileformat=VCFv4.2", f"##contig=<ID={names('20')}>"]
    lines.append(
        "\t".join(
            ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *samples]
        )
    )
    for name, rows in records.items():
        for position, ref, alts, alleles in rows:
            genotypes = [f"{a}|{b}" for a, b in zip(alleles[::2], alleles[1::2], strict=True)]
            fixed = [names(name), str(position), ".", ref, ",".join(alts), ".", ".", ".", "GT"]
            lines.append("\t".join(fixed + genotypes))
    return "\n".join(lines) + "\n"


@pytest.fixture
def opened(tmp_path):
    """`opened(contigs, records, haplotypes)`: the source, through files."""

    def open_files(contigs, records, haplotypes, names=str):
        fasta, variants = tmp_path / "reference.fa", tmp_path / "phased.vcf.gz"
        fasta.write_text("".join(f">{name} a contig\n{text}\n" for name, text in contigs.items()))
        variants.write_bytes(gzip.compress(vcf(records, haplotypes, names).encode()))
        return open_haplotypes(open_genome(fasta), variants)

    return open_files


def all_windows(source, letters):
    windows = source.read(np.arange(source.count(letters)), letters)
    assert windows.dtype == np.uint8
    return ["".join(CODES[code] for code in window) for window in windows]


#          1        10        20        30
CONTIG = "ACGTTGCAAGGCTTACCGATGATTACAGGCATCGTAGC"
RECORDS = {
    "20": [
        (1, "A", ["G"], [1, 0, 0, 1]),  # SNV, the first letter
        (4, "T", ["TGGG", "C"], [1, 2, 0, 0]),  # insertion and SNV in one record
        (8, "AAGG", ["A"], [0, 1, 1, 0]),  # deletion
        (9, "A", ["T"], [1, 1, 0, 0]),  # inside the second haplotype's deletion
        (12, "CTT", ["C", "GTT", "CTTTT"], [1, 2, 3, 0]),
        (14, "T", ["A"], [0, 1, 0, 1]),  # within that record's REF on the second
        (20, "TG", ["CA"], [0, 0, 1, 1]),  # two letters by two
        (38, "C", ["CTTG"], [0, 1, 0, 0]),  # behind the last letter
        (38, "C", ["A"], [1, 1, 0, 0]),
    ]
}


def test_the_witness_on_a_haplotype_written_by_hand():
    assert "".join(cells_of(CONTIG, RECORDS["20"], 1)) == (
        "ACGCTGCA" + "GTTACCGATGATTACAGGCATCGTAGCTTG"
    )
    assert "".join(cells_of(CONTIG, RECORDS["20"], 0)) == (
        "GCGTGGGTGCATGGC" + "ACCGATGATTACAGGCATCGTAGA"
    )


@pytest.mark.parametrize("letters", [1, 2, 6, 20, 36, 37, 38])
def test_all_windows_of_all_haplotypes(opened, letters):
    source = opened({"20": CONTIG}, RECORDS, 4)
    expected = expected_windows({"20": CONTIG}, RECORDS, 4, letters)
    assert source.count(letters) == len(expected) == (4 * (39 - letters) if letters < 38 else 0)
    assert all_windows(source, letters) == expected
    assert source.name == "phased"
    assert source.notes == (
        f"{source.variants.path}: left out: 3 alleles that overlap the one before on the same "
        "haplotype",
    )


def test_the_order_and_repetition_of_numbers_is_free(opened):
    source = opened({"20": CONTIG}, RECORDS, 4)
    windows = source.read(np.arange(source.count(6)), 6)
    numbers = np.random.default_rng(0).integers(0, len(windows), 500)
    np.testing.assert_array_equal(source.read(numbers, 6), windows[numbers])
    assert source.read(np.array([], np.int64), 6).shape == (0, 6)


@pytest.mark.parametrize("names", [str, lambda name: f"chr{name}"], ids=["20", "chr20"])
@pytest.mark.parametrize("prefix", ["", "chr"])
def test_contigs_with_and_without_chr(opened, names, prefix):
    source = opened({f"{prefix}20": CONTIG}, RECORDS, 4, names)
    assert all_windows(source, 6) == expected_windows({"20": CONTIG}, RECORDS, 4, 6)


def random_letters(random, count):
    return "".join(random.choice(list("ACGT"), count))


def random_records(random, contig, count, haplotypes):
    records = []
    for position in np.sort(random.integers(1, len(contig) + 1, count)).tolist():
        longest = int(random.choice([1, 1, 2, 4, 12, 30]))
        ref = contig[position - 1 : position - 1 + longest]
        sizes = random.integers(1, random.choice([2, 3, 15]), random.integers(1, 12))
        alts = [random_letters(random, size) for size in sizes]  # ten or more: two digits
        carried = random.random(haplotypes) < random.choice([0.05, 0.5, 0.9])
        alleles = carried * random.integers(1, len(alts) + 1, haplotypes)
        records.append((position, ref, alts, alleles.tolist()))
    return records


@pytest.mark.parametrize("seed", range(12))
def test_random_variants_on_several_contigs_with_runs_of_n(opened, seed):
    random = np.random.default_rng(seed)
    haplotypes = 2 * int(random.integers(1, 8))
    contigs = {}
    for name in ("1", "2", "X"):
        text = list(random_letters(random, random.integers(150, 400)))
        for start in random.integers(0, len(text), random.integers(0, 3)):
            text[start : start + 7] = "N" * len(text[start : start + 7])
        contigs[name] = "".join(text)
    records = {  # not in the order of the FASTA; contig 2 has none
        name: random_records(random, contigs[name], random.integers(1, 60), haplotypes)
        for name in ("X", "1")
    }
    source = opened(contigs, records, haplotypes)
    for letters in (1, 7, 30, 90):
        expected = expected_windows(contigs, records, haplotypes, letters)
        assert source.count(letters) == len(expected)
        assert all_windows(source, letters) == expected


def test_nobody_carries_anything(opened):
    records = {"20": [(1, "A", ["G"], [0, 0])]}
    source = opened({"20": CONTIG, "21": CONTIG}, records, 2)
    region = Region(source.genome, source.genome.stretches[:1])
    both = np.tile(region.read(np.arange(region.count(10)), 10), (2, 1))
    np.testing.assert_array_equal(source.read(np.arange(source.count(10)), 10), both)


def test_long_deletions_need_long_references(opened):
    contig = random_letters(np.random.default_rng(3), 5000)
    records = {
        "20": [
            (10, contig[9:2000], [contig[9]], [1, 0]),
            (2010, contig[2009:4500], [contig[2009]], [1, 1]),
        ]
    }
    source = opened({"20": contig}, records, 2)
    for letters in (20, 400):
        expected = expected_windows({"20": contig}, records, 2, letters)
        assert all_windows(source, letters) == expected
    assert source.count(5000 - 1990 - 2490) == 2 * (1990 + 2490 + 1)
    assert source.count(5000 - 1990 - 2490 + 1) == 0


def test_what_is_held_out_is_not_read(opened):
    whole = opened({"20": CONTIG}, RECORDS, 4)
    parts = np.array([[0, 9], [13, 38]])  # cuts the deletion at 8 and the records at 12
    source = Haplotypes(whole.genome, whole.variants, parts)
    pieces = {"a": CONTIG[:9], "b": CONTIG[13:]}
    moved = {
        name: [
            (position - first, ref, alts, alleles)
            for position, ref, alts, alleles in RECORDS["20"]
            if first <= position - 1 and position - 1 + len(ref) <= last
        ]
        for name, (first, last) in zip("ab", parts.tolist(), strict=True)
    }
    # Variants that overlap on the whole contig stay left out.
    moved["a"][2:] = [(9, "A", ["T"], [1, 0, 0, 0])]
    moved["b"][0] = (1, "T", ["A"], [0, 0, 0, 1])
    assert all_windows(source, 5) == expected_windows(pieces, moved, 4, 5)


def test_rows_of_the_sampler(opened):
    random = np.random.default_rng(5)
    contig = random_letters(random, 3000)
    records = {"20": random_records(random, contig, 100, 6)}
    source = opened({"20": contig}, records, 6)
    tokenizer = Tokenizer.for_vocabulary_size(4105, 6)
    sampler = WindowSampler([source], None, tokenizer, 9, seed=1)
    rows = sampler.rows(0, 64)
    assert rows.shape == (64, 9)
    texts = ["".join(cells_of(contig, records["20"], haplotype)) for haplotype in range(6)]
    other = str.maketrans("ACGT", "TGCA")
    both = " ".join(texts + [text.translate(other)[::-1] for text in texts])
    for row in rows.tolist():
        assert "".join(tokenizer.vocabulary[token] for token in row[1:]) in both


@pytest.mark.slow
def test_made_up_genotypes_on_the_real_chromosome_20(tmp_path):
    if "NTJAX_DATA_DIR" not in os.environ:
        pytest.skip("NTJAX_DATA_DIR is not set: the development data are needed")
    folder = Path(os.environ["NTJAX_DATA_DIR"]) / "human"
    sites = gzip.decompress((folder / "chr20_1kg_1mb_4mb.sites.vcf.gz").read_bytes()).decode()
    random = np.random.default_rng(7)
    lines, records = [], []
    for line in sites.splitlines():
        if line.startswith("##"):
            lines.append(line)
        elif line.startswith("#"):
            lines.append(f"{line}\tFORMAT\tfirst\tsecond")
        else:
            fields = line.split("\t")
            alts = fields[4].split(",")
            alleles = random.integers(0, len(alts) + 1, 4).tolist()
            genotypes = "{}|{}\t{}|{}".format(*alleles)
            lines.append(f"{line}\tGT\t{genotypes}")
            records.append((int(fields[1]), fields[3], alts, alleles))
    assert len(records) == 24_990
    path = tmp_path / "made_up.vcf"
    path.write_text("\n".join(lines) + "\n")
    genome = open_genome(folder / "chr20_b37.fa.gz")
    source = open_haplotypes(genome, path)
    first, last = 999_000, 4_002_000
    codes = genome.letters[first:last]
    contig = "".join(CODES[code] for code in codes)
    moved = [(position - first, *rest) for position, *rest in records]
    part = Haplotypes(genome, source.variants, np.array([[first, last]]))
    letters = 6000
    places = last - first - letters + 1
    assert part.count(letters) == 4 * places
    for haplotype in range(4):
        cells = cells_of(contig, moved, haplotype)
        text, ends = "".join(cells), np.cumsum([len(cell) for cell in cells])
        chosen = np.append(random.integers(0, places, 500), [0, places - 1])
        for place in chosen.tolist():
            window = part.read(np.array([haplotype * places + place]), letters)[0]
            at = min(int(ends[place - 1]) if place else 0, len(text) - letters)
            assert "".join(CODES[code] for code in window) == text[at : at + letters]
