"""Statuses of alleles, one for each kind, and the names of contigs."""

import numpy as np
import pytest
from made_genomes import opened, random_text

from ntjax.genomes.alleles import AlleleReader, allele_windows, trimmed
from ntjax.genomes.intervals import ContigNames
from ntjax.sequences.alphabet import base_texts

CONTIGS = {
    "chr1": random_text(100, 1) + "N" + random_text(99, 2),
    "2": random_text(120, 3),
    "short": random_text(40, 4),
}


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("alleles"), CONTIGS)


@pytest.fixture
def place(genome):
    reader = AlleleReader(ContigNames(genome, "some.vcf"), 48)
    return lambda *record: reader.place(*record)


def base(contig, position):
    return CONTIGS[contig][position - 1]


def another(contig, position):
    return next(other for other in "ACGT" if other != base(contig, position))


@pytest.mark.parametrize(
    ("status", "record"),
    [
        ("no_alternative", ("chr1", 20, "A", "")),
        ("no_alternative", ("chr1", 20, "A", ".")),
        ("spanning_deletion", ("chr1", 20, "A", "*")),
        ("symbolic_allele", ("chr1", 20, "A", "<DEL>")),
        ("symbolic_allele", ("chr1", 20, "A", "<*>")),
        ("breakend", ("chr1", 20, "A", "G]17:198982]")),
        ("breakend", ("chr1", 20, "A", ".G")),
        ("contig_missing", ("chr9", 20, "A", "C")),
        ("contig_missing", ("chr9", 20, "A", "<DEL>")),
        ("outside_contig", ("chr1", 201, "A", "C")),
        ("outside_contig", ("chr1", 0, "A", "C")),
        ("outside_contig", ("2", 120, CONTIGS["2"][-1] + "A", "A")),
        ("ambiguous_allele", ("chr1", 20, base("chr1", 20), "R")),
        ("ambiguous_allele", ("chr1", 20, "M", "A")),
        ("ambiguous_allele", ("chr1", 20, base("chr1", 20), "Z7")),
        ("ambiguous_allele", ("chr1", 101, "N", "A")),
        ("reference_mismatch", ("chr1", 20, another("chr1", 20), base("chr1", 20))),
        ("same_as_reference", ("chr1", 20, base("chr1", 20), base("chr1", 20))),
        ("too_long", ("chr1", 20, base("chr1", 20), base("chr1", 20) + "A" * 13)),
        ("contig_too_short", ("short", 20, base("short", 20), another("short", 20))),
        ("n_near_site", ("chr1", 95, base("chr1", 95), another("chr1", 95))),
        ("n_near_site", ("chr1", 107, base("chr1", 107), another("chr1", 107))),
        ("n_near_site", ("chr1", 100, base("chr1", 100) + "C", "C")),
        ("scored", ("chr1", 94, base("chr1", 94), another("chr1", 94))),
        ("scored", ("chr1", 108, base("chr1", 108), another("chr1", 108))),
        ("scored", ("2", 20, base("2", 20), another("2", 20).lower())),
        ("scored", ("2", 1, base("2", 1), another("2", 1))),
        ("scored", ("2", 120, base("2", 120), base("2", 120) + "ACGT")),
    ],
)
def test_statuses(place, status, record):
    assert place(*record).status == status


@pytest.mark.parametrize(
    ("theirs", "ours", "note"),
    [("1", "chr1", "1 is read as chr1"), ("chr2", "2", "chr2 is read as 2")],
)
def test_contigs_with_and_without_chr(genome, theirs, ours, note):
    names = ContigNames(genome, "some.vcf")
    allele = AlleleReader(names, 48).place(theirs, 30, base(ours, 30), another(ours, 30))
    assert allele.status == "scored"
    assert genome.contigs[allele.contig].name == ours
    assert note in names.notes[0]


def test_a_mismatch_names_the_genome_s_bases(place):
    wrong = "".join(another("2", position) for position in (50, 51, 52))
    assert place("2", 50, wrong, "A").found == CONTIGS["2"][49:52]


def test_windows_have_the_site_in_the_middle_and_are_shifted_at_ends(genome, place):
    alleles = [place("2", at, base("2", at), another("2", at)) for at in (60, 1, 120)]
    windows = allele_windows(genome, alleles, 48)
    assert windows.site_index.tolist() == [24, 0, 47]
    starts = (35, 0, 72)
    assert base_texts(windows.reference) == [CONTIGS["2"][s : s + 48] for s in starts]
    for row, (reference, alternative) in enumerate(
        zip(windows.reference, windows.alternative, strict=True)
    ):
        assert np.flatnonzero(reference != alternative).tolist() == [windows.site_index[row]]


def test_indels_at_the_end_change_the_flank_at_the_other_side(genome, place):
    text = CONTIGS["2"]
    deletion = place("2", 116, text[115:119], text[115])
    insertion = place("2", 119, text[118], text[118] + "ACGTA")
    windows = allele_windows(genome, [deletion, insertion], 48)
    assert base_texts(windows.reference) == [text[72:]] * 2
    assert base_texts(windows.alternative) == [
        text[69:116] + text[119],
        text[77:119] + "ACGTA" + text[119],
    ]
    assert windows.changed.tolist() == [[[44, 47], [47, 47]], [[47, 47], [42, 47]]]


@pytest.mark.parametrize(
    ("reference", "alternative", "change"),
    [
        ("A", "G", (9, "A", "G")),
        ("CA", "CG", (10, "A", "G")),
        ("A", "AA", (10, "", "A")),
        ("TA", "TATA", (10, "", "AT")),
        ("CAAA", "CAA", (10, "A", "")),
        ("GA", "A", (9, "G", "")),
        ("ACG", "TCT", (9, "ACG", "TCT")),
        ("ACT", "TGGT", (9, "AC", "TGG")),
    ],
)
def test_shared_ends_are_left_out(reference, alternative, change):
    found = trimmed(9, reference, alternative)
    start, old, new = found
    assert start - 9 <= len(reference)
    # The same sequence whichever of equal bases are said to be inserted.
    whole = reference[: start - 9] + new + reference[start - 9 + len(old) :]
    assert whole == alternative
    assert found == change
