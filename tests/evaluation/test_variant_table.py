"""Files of variants: a status for every allele, files that do not go with the genome, real data."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_genomes import opened, random_text

from ntjax.errors import UserError
from ntjax.evaluation.variant_survey import notes_on, survey
from ntjax.evaluation.variant_table import write_table
from ntjax.genomes.alleles import AlleleReader
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.intervals import ContigNames
from ntjax.io.parts import Parts
from ntjax.io.variant_file import VariantFile

TEXT = random_text(400, 9)
HEADER = "##fileformat=VCFv4.3\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("table"), {"1": TEXT})


@pytest.fixture
def check(tmp_path, genome):
    """`check(records)`: the survey of a file of these."""

    def surveyed(*records, contig="1"):
        path = tmp_path / "some.vcf"
        lines = [
            "\t".join([contig, str(pos), ".", ref, alt, ".", ".", "."]) for pos, ref, alt in records
        ]
        path.write_text(HEADER + "".join(f"{line}\n" for line in lines))
        with VariantFile(path) as file:
            return survey(file, AlleleReader(ContigNames(genome, path), 48))

    return surveyed


def snvs(positions, shift=0):
    return [
        (at, TEXT[at - 1 + shift], "ACGT"["CGTA".index(TEXT[at - 1 + shift])]) for at in positions
    ]


def test_every_allele_is_counted(check):
    found = check(*snvs(range(50, 90)), (100, TEXT[99], "<DEL>,*,R"), (101, TEXT[100], "."))
    assert found.statuses == Counter(
        {
            "scored": 40,
            "symbolic_allele": 1,
            "spanning_deletion": 1,
            "ambiguous_allele": 1,
            "no_alternative": 1,
        }
    )
    assert found.records == 42
    assert found.alleles == 44


def test_a_few_mismatches_are_counted_and_named(check):
    found = check(*snvs(range(50, 90)), *snvs([95], shift=1))
    assert TEXT[94] != TEXT[95]
    assert found.statuses["reference_mismatch"] == 1
    [note] = notes_on(found)
    assert note == (
        "1 of 41 alleles is not scored: reference_mismatch (record 41 (1:95) has "
        f"{TEXT[95]}, the genome {TEXT[94]})"
    )


def test_a_wrong_record_does_not_refuse_a_short_file(check):
    found = check(*snvs(range(50, 54)), *snvs([95], shift=1))
    assert found.statuses == {"scored": 4, "reference_mismatch": 1}
    first, second = notes_on(found)
    assert "reference_mismatch (record 5 (1:95) has" in first
    assert "were the variants called on another one?" in second


def test_many_mismatches_are_refused(check):
    with pytest.raises(
        UserError, match=r"REF of \d+ of 40 alleles \(\d\d%, more than 50%\)"
    ) as caught:
        check(*snvs(range(50, 90), shift=1))
    assert "record 1 (1:50)" in str(caught.value)


def test_no_contig_in_common_and_no_records(check):
    with pytest.raises(UserError, match=r"none of its contigs \(X\) is in .*\(1\)"):
        check(*snvs([50]), contig="X")
    with pytest.raises(UserError, match="holds no records"):
        check()


def test_a_table_of_statuses_in_parts(tmp_path, genome, check, monkeypatch):
    from ntjax.evaluation import variant_table

    monkeypatch.setattr(variant_table, "_CHECKED_AT_ONCE", 7)
    check(*snvs(range(50, 90)), (100, TEXT[99], "<DEL>,*,R"))
    reader = AlleleReader(ContigNames(genome, "some.vcf"), 48)
    whole = None
    for size in (7, 1000):
        monkeypatch.setattr(variant_table, "_CHECKED_AT_ONCE", size)
        out = tmp_path / f"{size}.csv"
        with VariantFile(tmp_path / "some.vcf") as file:
            written = write_table(file, reader, [], Parts(out, {}))
        assert written.found.alleles == 43
        whole = whole or out.read_bytes()
        assert out.read_bytes() == whole
    assert whole.splitlines()[0] == b"chrom,pos,id,ref,alt,status"
    assert len(whole.splitlines()) == 44


# Real data: 1000 Genomes on chromosome 20, and its reference.


@pytest.fixture(scope="module")
def human():
    folder = Path(os.environ.get("NTJAX_DATA_DIR", "")) / "human"
    if not os.environ.get("NTJAX_DATA_DIR") or not folder.exists():
        pytest.skip("NTJAX_DATA_DIR is not set, or has no folder human: chr20 and its variants")
    return folder


@pytest.fixture(scope="module")
def chr20(human):
    return open_genome(human / "chr20_b37.fa.gz")


@pytest.mark.slow
def test_chr20_has_no_mismatch(human, chr20):
    path = human / "chr20_1kg_1mb_4mb.sites.vcf.gz"
    with VariantFile(path) as file:
        found = survey(file, AlleleReader(ContigNames(chr20, path), 768))
    assert found.alleles == 24_990
    assert found.statuses["scored"] >= 0.999 * found.alleles
    assert found.statuses["reference_mismatch"] == 0


@pytest.mark.slow
def test_chr20_shifted_by_one_is_refused(human, chr20, tmp_path):
    from ntjax.sequences.alphabet import base_texts

    path, shifted = human / "chr20_1kg_1mb_4mb.sites.vcf.gz", tmp_path / "shifted.fa"
    [text] = base_texts(np.array(chr20.letters[1:4_100_000])[None])
    shifted.write_text(f">20\n{text}\n")
    genome = open_genome(shifted)
    with (
        VariantFile(path) as file,
        pytest.raises(UserError, match=r"of 24,990 alleles \((\d+)%") as caught,
    ):
        survey(file, AlleleReader(ContigNames(genome, path), 768))
    share = int(str(caught.value).partition("alleles (")[2].partition("%")[0])
    assert share > 60
