"""Nearest genes: against a loop over all genes, on made and real annotations."""

import numpy as np
import pytest
from made_genomes import opened, random_text

from ntjax.errors import UserError
from ntjax.genomes.nearest_genes import NearestGene, read_genes
from ntjax.genomes.promoter_windows import Sites
from ntjax.genomes.windows import PROMOTER_WINDOW
from ntjax.io.gff import feature_name

GFF = """##gff-version 3
##sequence-region ring 1 1000
ring\t.\tregion\t1\t1000\t.\t+\t.\tID=r;Is_circular=true
ring\t.\tgene\t101\t200\t.\t+\t.\tID=g1;Name=one
ring\t.\tgene\t251\t300\t.\t-\t.\tID=g2;Name=two
ring\t.\tgene\t251\t320\t.\t-\t.\tID=g3;Name=three
ring\t.\tgene\t951\t1020\t.\t+\t.\tID=g4;Name=over
"""


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genome")
    return opened(folder, {"ring": random_text(1000, 0), "bare": random_text(300, 1)})


@pytest.fixture(scope="module")
def genes(genome, tmp_path_factory):
    path = tmp_path_factory.mktemp("genes") / "genes.gff"
    path.write_text(GFF)
    return read_genes(genome, path)


@pytest.mark.parametrize(
    ("site", "strand", "expected"),
    [
        (60, "+", NearestGene("one", -40, "one", -40)),
        (100, "+", NearestGene("one", 0, "one", 0)),
        (199, "-", NearestGene("one", 0, "three", -880)),
        (210, "+", NearestGene("one", 11, "over", -740)),
        (225, "-", NearestGene("three,two", 25, "three", -906)),
        (225, "+", NearestGene("three,two", 25, "over", -725)),
        (400, "-", NearestGene("three", -81, "three", -81)),
        (310, "-", NearestGene("three", 0, "three", 0)),
        (260, "-", NearestGene("three,two", 0, "three,two", 0)),
        (10, "+", NearestGene("over", 0, "over", 0)),
        (30, "+", NearestGene("over", 11, "one", -70)),
        (1100, "+", NearestGene("", None, "", None)),
    ],
)
def test_by_hand(genome, genes, site, strand, expected):
    sites = Sites(genome, np.array([site]), np.array([strand == "-"]), PROMOTER_WINDOW)
    [found] = genes.nearest(sites)
    assert found == expected


def test_against_all_genes(tmp_path):
    random = np.random.default_rng(4)
    genome = opened(tmp_path, {"line": random_text(3000, 3)})
    rows = []
    for number in range(60):
        start = int(random.integers(0, 2900))
        end = start + int(random.integers(1, 100))
        rows.append((start, end, "+-"[random.integers(2)], f"g{number}"))
    path = tmp_path / "genes.gff3"
    lines = [
        f"line\t.\tgene\t{start + 1}\t{end}\t.\t{strand}\t.\tName={name}"
        for start, end, strand, name in rows
    ]
    path.write_text("\n".join(["##gff-version 3", *lines]))
    finder = read_genes(genome, path)

    def distance(site, gene):
        start, end, strand, _ = gene
        along = 0 if start <= site < end else site - start if site < start else site - end + 1
        return along if strand == "+" else -along

    def nearest(site, genes):
        if not genes:
            return "", None
        least = min(abs(distance(site, gene)) for gene in genes)
        tied = sorted(gene[3] for gene in genes if abs(distance(site, gene)) == least)
        return ",".join(tied), least

    places = random.integers(0, 3000, 300)
    strands = random.random(300) < 0.5
    found = finder.nearest(Sites(genome, places, strands, PROMOTER_WINDOW))
    for site, reverse, one in zip(places.tolist(), strands.tolist(), found, strict=True):
        own = [gene for gene in rows if (gene[2] == "-") == reverse and distance(site, gene) <= 0]
        assert (one.gene, abs(one.distance)) == nearest(site, rows)
        least = None if one.downstream_distance is None else -one.downstream_distance
        assert (one.downstream, least) == nearest(site, own)


def test_names():
    assert feature_name("ID=x;gene=b%3Bc") == "b;c"
    assert feature_name('gene_id "ENSG1"; transcript_id "T"') == "ENSG1"
    assert feature_name("note") == ""


def test_an_annotation_of_another_genome(genome, tmp_path):
    path = tmp_path / "genes.gff"
    path.write_text(GFF.replace("ring", "other"))
    with pytest.raises(UserError, match="there is no contig 'other'"):
        read_genes(genome, path)
