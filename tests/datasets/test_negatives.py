from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from made_genes import brute_gaps, random_genes, written_gff
from made_genomes import drawn_promoters, opened, random_text, two_contigs

from ntjax.datasets.negatives import (
    Places,
    draw_matched,
    find_places,
    made_windows,
    replace_refused,
)
from ntjax.errors import UserError
from ntjax.genomes.annotation import read_annotation
from ntjax.genomes.promoter_windows import locate
from ntjax.genomes.regions import whole_genome, without
from ntjax.genomes.windows import WindowGeometry
from ntjax.sequences.alphabet import gc_content

LETTERS = 21


@pytest.fixture
def annotated(tmp_path):
    """`annotated(seed)`: two contigs that touch in the store, with genes, and what is free."""

    def made(seed):
        sizes = {"one": 400, "two": 300}
        genome = opened(tmp_path, {name: random_text(size, size) for name, size in sizes.items()})
        rows = random_genes(sizes, 7, seed)
        annotation = read_annotation(genome, written_gff(tmp_path / "genes.gff", rows))
        sites = np.random.default_rng(seed).integers(0, 700, 2)
        free = without(whole_genome(genome), sites, 20)
        kept = [s for s in range(700) if min(abs(s - sites)) > 20]
        inside = [
            start
            for start in range(700 - LETTERS + 1)
            if set(range(start, start + LETTERS)) <= set(kept)
            and (start >= 400 or start + LETTERS <= 400)
        ]
        return rows, annotation, free, inside

    return made


def places(kind, free, annotation):
    return find_places(kind, free, LETTERS, annotation)


@pytest.mark.parametrize("seed", range(8))
def test_coding_places_against_every_gene(annotated, seed):
    rows, annotation, free, inside = annotated(seed)
    offset = {"one": 0, "two": 400}
    expected = {}
    for start in inside:
        strands = {
            strand
            for contig, kind, first, end, strand in rows
            if kind == "CDS"
            and offset[contig] + first <= start
            and start + LETTERS <= offset[contig] + end
        } - {"."}
        if len(strands) == 1:
            expected[start] = 1 if strands == {"+"} else -1
    found = places("cds", free, annotation)
    assert dict(zip(found.starts.tolist(), found.strands.tolist(), strict=True)) == expected
    assert len(found.starts) == len(expected)


@pytest.mark.parametrize("seed", range(8))
def test_places_between_genes_against_every_letter(annotated, seed):
    rows, annotation, free, inside = annotated(seed)
    gaps = [*brute_gaps(rows, "one", 0, 400), *brute_gaps(rows, "two", 400, 300)]
    wide = {
        (start, convergent)
        for (first, end), convergent in gaps
        for start in range(first, end - LETTERS + 1)
    }
    centred = {
        (first + end - LETTERS) // 2
        for (first, end), convergent in gaps
        if convergent and end - first < LETTERS
    }
    found = places("intergenic", free, annotation)
    assert found.starts.tolist() == sorted({start for start, _ in wide} & set(inside))
    found = places("convergent", free, annotation)
    expected = {start for start, convergent in wide if convergent} | centred
    assert found.starts.tolist() == sorted(expected & set(inside))
    assert not found.strands.any()
    assert places("genomic", free, None).starts.tolist() == inside


def test_a_short_gap_is_in_the_middle(tmp_path):
    genome = opened(tmp_path, {"one": random_text(200, 0)})
    rows = [("one", "gene", 20, 90, "+"), ("one", "gene", 101, 160, "-")]
    annotation = read_annotation(genome, written_gff(tmp_path / "genes.gff", rows))
    found = places("convergent", whole_genome(genome), annotation)
    assert found.starts.tolist() == [85]  # 5 letters of each gene and the gap of 11


def test_kinds_that_need_genes(tmp_path):
    free = whole_genome(opened(tmp_path, {"one": random_text(200, 0)}))
    for kind in ("cds", "convergent", "intergenic"):
        with pytest.raises(UserError, match=f"'{kind}' need an annotation: give --annotation"):
            places(kind, free, None)


@pytest.fixture
def promoters(tmp_path):
    contigs = two_contigs()
    return locate(opened(tmp_path, contigs), list(drawn_promoters(contigs, 200, 4).values())).unique


def test_shuffled_windows_keep_dinucleotides(promoters):
    for context in (0, 9):
        made = made_windows("shuffled", promoters, context, seed=1)
        texts = promoters.sequences(context), made.sequences(context)
        for own, shuffled in zip(*texts, strict=True):
            assert Counter(pairwise(own)) == Counter(pairwise(shuffled))
            assert own != shuffled
    assert made.names()[0] == promoters.names()[0] + ":shuffled"


def test_independent_letters_have_the_shares(promoters):
    made = made_windows("iid", promoters, 0, seed=1)
    own, drawn = ("".join(sites.sequences()) for sites in (promoters, made))
    shares = [own.count(letter) / len(own) for letter in "ATCG"]
    np.testing.assert_allclose(made.shares, shares)
    # 16,200 letters: a standard error of 0.0035.
    np.testing.assert_allclose([drawn.count(x) / len(drawn) for x in "ATCG"], shares, atol=0.012)
    pairs = Counter(pair for text in made.sequences() for pair in pairwise(text))
    share = dict(zip("ATCG", made.shares, strict=True))
    expected = {(first, second): share[first] * share[second] for first, second in pairs}
    for pair, count in pairs.items():
        assert abs(count / pairs.total() - expected[pair]) < 0.01


@pytest.mark.parametrize("kind", ["iid", "shuffled"])
def test_made_windows_do_not_depend_on_other_rows(promoters, kind):
    made = made_windows(kind, promoters, 0, seed=1)
    rows = np.array([150, 3, 77])
    assert made.take(rows).sequences() == [made.sequences()[row] for row in rows]
    assert made.sequences() == made_windows(kind, promoters, 0, seed=1).sequences()
    assert made.sequences() != made_windows(kind, promoters, 0, seed=2).sequences()
    assert len(set(made.sequences())) == len(made) == 200


def test_matched_places(promoters):
    letters = promoters.geometry.length()
    free = whole_genome(promoters.genome)
    found = find_places("genomic", free, letters, None)
    strands = np.where(found.starts % 3 == 0, 1, np.where(found.starts % 3 == 1, -1, 0))
    drawn = draw_matched(promoters, Places(found.starts, strands), np.random.default_rng(0))
    np.testing.assert_array_equal(*(gc_content(s.sequences()) for s in (promoters, drawn)))
    starts = drawn.starts()
    assert len(set(starts.tolist())) == len(drawn)
    assert not drawn.reverse[starts % 3 == 0].any()
    assert drawn.reverse[starts % 3 == 1].all()
    assert 0.2 < drawn.reverse[starts % 3 == 2].mean() < 0.8


def test_other_shapes(promoters):
    """With 10 letters before and 30 behind, the same TSS stands elsewhere in the window."""
    geometry = WindowGeometry(10, 30)
    moved = type(promoters)(promoters.genome, promoters.places, promoters.reverse, geometry)
    for wide, narrow in zip(promoters.sequences(10), moved.sequences(), strict=True):
        assert narrow == wide[60:101]
    places = find_places("genomic", whole_genome(moved.genome), geometry.length(), None)
    drawn = draw_matched(moved, places, np.random.default_rng(0))
    assert np.isin(drawn.starts(), places.starts).all()
    assert {len(text) for text in drawn.sequences()} == {41}


def test_refused_places_are_replaced(promoters):
    places = find_places("genomic", whole_genome(promoters.genome), 81, None)
    first = draw_matched(promoters, places, np.random.default_rng(0))

    def odd(sites):
        return sites.starts() % 2 == 1

    found = replace_refused(promoters, first, places, odd, np.random.default_rng(1))
    kept = ~odd(first)
    np.testing.assert_array_equal(found.places[kept], first.places[kept])
    assert not odd(found).any()
    assert len(set(found.starts().tolist())) == len(found)
    np.testing.assert_array_equal(gc_content(found.sequences()), gc_content(first.sequences()))

    scarce = Places(np.sort(first.starts()), np.zeros(200, np.int8))
    some = promoters.take(np.arange(190))
    few = draw_matched(some, scarce, np.random.default_rng(0))
    found = replace_refused(some, few, scarce, odd, np.random.default_rng(1))
    assert odd(found).sum() < odd(few).sum()
    assert len(set(found.starts().tolist())) == 190
