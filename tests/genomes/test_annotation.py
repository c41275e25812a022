import os
from pathlib import Path

import numpy as np
import pytest
from made_genes import brute_gaps, random_genes, written_gff
from made_genomes import opened, random_text

from ntjax.errors import UserError
from ntjax.genomes.annotation import between_genes, read_annotation
from ntjax.genomes.indexing import open_genome

needs_data = pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no public data here"
)


@pytest.fixture
def genome(tmp_path):
    contigs = {"one": random_text(400, 0), "two": random_text(300, 1), "bare": "ACGT"}
    return opened(tmp_path, contigs)


def annotated(genome, rows, folder):
    return read_annotation(genome, written_gff(folder / "genes.gff", rows))


def test_genes_and_coding(genome, tmp_path):
    rows = [
        ("two", "gene", 10, 40, "-"),
        ("two", "CDS", 12, 40, "-"),
        ("one", "pseudogene", 50, 90, "+"),
        ("one", "ncRNA_gene", 20, 30, "."),
        ("one", "tRNA", 100, 120, "+"),
        ("one", "exon", 200, 220, "+"),
    ]
    found = annotated(genome, rows, tmp_path)
    assert found.genes.bounds.tolist() == [[20, 30], [50, 90], [410, 440]]
    assert found.genes.strands.tolist() == [0, 1, -1]
    assert found.coding.bounds.tolist() == [[412, 440]]
    without_genes = annotated(genome, [row for row in rows if "gene" not in row[1]], tmp_path)
    assert without_genes.genes.bounds.tolist() == [[100, 120], [412, 440]]


def test_no_genes(genome, tmp_path):
    with pytest.raises(UserError, match=r"'gene' or 'CDS': its types are 'exon' \(1\)"):
        annotated(genome, [("one", "exon", 1, 5, "+")], tmp_path)


def test_names_and_circles_that_are_guessed_are_said(genome, tmp_path):
    path = tmp_path / "genes.gff"
    path.write_text(
        "##gff-version 3\n##sequence-region chrtwo 1 300\n"
        "chrtwo\tme\tgene\t291\t305\t.\t+\t.\tID=a\n"
    )
    found = read_annotation(genome, path)
    assert found.genes.bounds.tolist() == [[400, 405], [690, 700]]
    assert "so it is read as circular" in found.notes[0]
    assert "chrtwo is read as two" in found.notes[1]
    assert between_genes(found).bounds.tolist() == [[405, 690]]


def test_gaps_by_hand(genome, tmp_path):
    rows = [
        ("one", "gene", 10, 50, "+"),
        ("one", "gene", 20, 30, "-"),  # within the first
        ("one", "gene", 60, 90, "-"),  # the gap before it is convergent
        ("one", "gene", 90, 120, "+"),  # touches
        ("one", "gene", 130, 150, "+"),
        ("one", "gene", 160, 200, "."),  # of no strand: points nowhere
        ("one", "gene", 300, 400, "+"),  # to the contig's end
        ("two", "gene", 5, 300, "-"),  # it points at the contig's beginning, at no gene
    ]
    gaps = between_genes(annotated(genome, rows, tmp_path))
    one = [[0, 10], [50, 60], [120, 130], [150, 160], [200, 300]]
    assert gaps.bounds.tolist() == [*one, [400, 405]]  # nothing of the contig without genes
    assert gaps.convergent.tolist() == [False, True, False, False, False, False]


@pytest.mark.parametrize("seed", range(10))
def test_gaps_against_every_letter(genome, tmp_path, seed):
    rows = random_genes({"one": 400, "two": 300}, 8, seed)
    gaps = between_genes(annotated(genome, rows, tmp_path))
    found = list(zip(map(tuple, gaps.bounds.tolist()), gaps.convergent.tolist(), strict=True))
    assert found == [*brute_gaps(rows, "one", 0, 400), *brute_gaps(rows, "two", 400, 300)]


@needs_data
def test_k12():
    folder = Path(os.environ["NTJAX_DATA_DIR"]) / "genomes"
    genome = open_genome(folder / "ecoli_k12_mg1655.fna.gz")
    annotation = read_annotation(genome, folder / "ecoli_k12_mg1655.gff.gz")
    assert len(annotation.genes.starts) == 2285 + 2209 + 83 + 62
    assert len(annotation.coding.starts) == 2221 + 2116
    assert (np.diff(annotation.genes.starts) >= 0).all()
    gaps = between_genes(annotation)
    sizes = np.diff(gaps.bounds)[:, 0]
    assert (gaps.convergent.sum(), (sizes[gaps.convergent] >= 81).sum()) == (576, 245)
    covered = np.zeros(len(genome.letters), bool)
    for first, end in annotation.genes.bounds:
        covered[first:end] = True
    assert sizes.sum() == (~covered).sum()
