"""Categories of positions by listed introns: made ones base by base, and those of chromosome 20."""

import os
from pathlib import Path

import numpy as np
import pytest
from made_genomes import opened, random_text

from ntjax.errors import UserError
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.transcripts import (
    EXON,
    INTRON,
    NOT_ANNOTATED,
    SPLICE_SITE,
    TRANSCRIPT,
    categories,
    read_transcripts,
)
from ntjax.sequences.alphabet import base_texts


def intron(contig, start, end, name="T", strand="+"):
    cells = (contig, start, start + 1, contig, end - 1, end, name, ".", strand, strand)
    return "\t".join(map(str, cells)) + "\n"


@pytest.fixture
def genome(tmp_path):
    return opened(tmp_path, {"one": random_text(500, 1), "two": random_text(3_000, 2)})


def listed(tmp_path, genome, text):
    path = tmp_path / "introns.bedpe"
    path.write_text(text)
    return read_transcripts(genome, path)


def test_every_position_against_plain_python(tmp_path, genome):
    introns = [(300, 450), (600, 700), (1_200, 1_350)]
    name = "chrtwo:201-2000|T|G|protein_coding"
    text = "".join(intron("chrtwo", *bounds, name) for bounds in introns)
    found = categories(listed(tmp_path, genome, text), np.arange(3_500))
    for place, category in enumerate(found):
        at = place - 500  # in contig two
        expected = NOT_ANNOTATED
        if 200 <= at < 2_000:
            expected = TRANSCRIPT
        if 450 <= at < 600:  # the gap of 500 bp is too long for an exon
            expected = EXON
        if any(low <= at < high for low, high in introns):
            expected = INTRON
        if any(min(abs(at - low), abs(at - high + 1)) <= 10 for low, high in introns):
            expected = SPLICE_SITE
        assert category == expected, place


def test_other_contigs_are_left_out_and_wrong_assemblies_refused(tmp_path, genome):
    text = intron("two", 100, 300) + intron("chr9", 100, 300)
    assert len(listed(tmp_path, genome, text).introns.starts) == 1
    with pytest.raises(UserError, match="none of its introns is on a contig"):
        listed(tmp_path, genome, intron("chr9", 100, 300))
    with pytest.raises(UserError, match="line 1: the intron ends at 3,001, beyond two"):
        listed(tmp_path, genome, intron("two", 100, 3_001))


@pytest.mark.skipif("NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set")
def test_introns_of_chromosome_20_begin_and_end_as_introns_do():
    folder = Path(os.environ["NTJAX_DATA_DIR"]) / "human"
    genome = open_genome(folder / "chr20_b37.fa.gz")
    transcripts = read_transcripts(genome, folder / "mane_introns_hg19.bedpe.gz")
    assert len(transcripts.introns.starts) == 1_122
    assert len(transcripts.spans) == 317
    forward = transcripts.introns.strands > 0
    begin, behind, _ = transcripts.introns
    texts = {
        "donor": np.where(forward, begin, behind - 2),
        "acceptor": np.where(forward, behind - 2, begin),
    }
    for site, counted in (("donor", 1_109), ("acceptor", 1_119)):
        pairs = np.stack([genome.letters[texts[site]], genome.letters[texts[site] + 1]], axis=1)
        wanted = ("GT", "AC") if site == "donor" else ("AG", "CT")
        on_strand = [wanted[0] if plus else wanted[1] for plus in forward]
        assert np.equal(base_texts(pairs), on_strand).sum() == counted
