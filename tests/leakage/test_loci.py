import os
from pathlib import Path

import numpy as np
import pytest

from ntjax.datasets.registry import load_dataset
from ntjax.errors import UserError
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.promoter_windows import locate
from ntjax.genomes.windows import PROMOTER_WINDOW, WindowGeometry
from ntjax.io.fasta import read_fasta
from ntjax.io.tables import SequenceTable
from ntjax.leakage.loci import (
    find_loci,
    groups_of_loci,
    locus_clean,
    locus_groups,
    nearest_distances,
    rows_near,
)
from ntjax.metrics import classification as metrics

needs_data = pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no public data here"
)
COMPLEMENT = str.maketrans("ACGTN", "TGCAN")
CONTIGS = (6_000, 3_000)


def other_strand(text):
    return text.translate(COMPLEMENT)[::-1]


def random_text(letters, seed):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), letters))


def table(sequences, labels=None):
    count = len(sequences)
    return SequenceTable(
        tuple(f"row {row}" for row in range(count)),
        tuple(sequences),
        labels or ("1",) * count,
        "made",
        tuple(range(1, count + 1)),
    )


@pytest.fixture(scope="module")
def contigs():
    return [random_text(letters, seed) for seed, letters in enumerate(CONTIGS)]


@pytest.fixture(scope="module")
def genome(contigs, tmp_path_factory, own_cache):
    path = tmp_path_factory.mktemp("genome") / "made.fna"
    path.write_text("".join(f">c{n}\n{text}\n" for n, text in enumerate(contigs)))
    return open_genome(path)


def drawn(contigs, count, seed, lengths=(81, 16, 40, 300)):
    """Rows from anywhere: `(contig, start, end, reverse)` each, and their letters."""
    random, places, sequences = np.random.default_rng(seed), [], []
    for row in range(count):
        contig, length = int(random.integers(2)), lengths[row % len(lengths)]
        start = int(random.integers(0, CONTIGS[contig] - length + 1))
        reverse = bool(random.integers(2))
        text = contigs[contig][start : start + length]
        places.append((contig, start, start + length, reverse))
        sequences.append(other_strand(text) if reverse else text)
    return places, sequences


def naive_site(place):
    contig, start, end, reverse = place
    length = end - start
    site = 60 if length == 81 else length // 2
    return contig, start + (length - 1 - site if reverse else site)


def naive_distance(one, other):
    (contig, site), (other_contig, other_site) = naive_site(one), naive_site(other)
    return abs(site - other_site) if contig == other_contig else np.inf


def overlap(one, other):
    return one[0] == other[0] and one[1] < other[2] and other[1] < one[2]


@pytest.mark.parametrize("same_strand", [False, True])
def test_distances_and_neighbours_as_compared_one_by_one(genome, contigs, same_strand):
    places, sequences = drawn(contigs, 60, 0)
    others, other_sequences = drawn(contigs, 15, 1)
    loci, other_loci = (
        find_loci(genome, rows, PROMOTER_WINDOW) for rows in (sequences, other_sequences)
    )
    assert loci.counts.tolist() == [1] * 60
    distances = [
        min(
            naive_distance(one, other) if not same_strand or one[3] == other[3] else np.inf
            for other in others
        )
        for one in places
    ]
    np.testing.assert_array_equal(nearest_distances(loci, other_loci, same_strand), distances)
    for reach in (0, 50, 200):
        near = [
            distance <= reach
            or any(
                overlap(one, other) and (not same_strand or one[3] == other[3]) for other in others
            )
            for one, distance in zip(places, distances, strict=True)
        ]
        found = rows_near(loci, other_loci, reach, same_strand)
        np.testing.assert_array_equal(found, near)
        assert 0 < found.sum() < 60


def test_groups_as_by_pairs(genome, contigs):
    places, sequences = drawn(contigs, 60, 2, (81, 30, 200))
    for reach in (0, 30, 100):
        number = list(range(60))
        for _ in range(60):  # until nothing changes any more
            for a in range(60):
                for b in range(60):
                    near = naive_distance(places[a], places[b]) <= reach
                    if near or overlap(places[a], places[b]):
                        number[a] = number[b] = min(number[a], number[b])
        expected = np.unique(number, return_inverse=True)[1]
        groups = locus_groups(sequences, genome, reach, geometry=PROMOTER_WINDOW)
        np.testing.assert_array_equal(groups, expected)
        assert groups.dtype == np.int64
        assert 1 < groups.max() < 59


def test_repeats_connect_and_unmapped_rows_go_by_their_kmers(tmp_path):
    repeat, stranger = random_text(100, 5), random_text(81, 6)
    text = (
        random_text(1_000, 7) + repeat + random_text(1_000, 8) + repeat[:90] + random_text(1_000, 9)
    )
    path = tmp_path / "made.fna"
    path.write_text(f">one\n{text}\n>empty\n{'N' * 50}A\n>two\n{random_text(500, 10)}\n")
    genome = open_genome(path)
    rows = [
        text[1_060:1_141],  # at the first copy
        repeat[:81],  # at both copies
        other_strand(text[2_120:2_201]),  # at the second
        text[:81],
        stranger,
        other_strand(stranger[:30] + random_text(51, 11)),
        "ACGT" * 3,  # too short to be looked for
        text[:60] + random_text(21, 12),  # mutated: shares letters with the fourth
        stranger[:40] + "N" + stranger[41:],
        random_text(81, 13),
    ]
    loci = find_loci(genome, rows, PROMOTER_WINDOW)
    assert loci.counts.tolist() == [1, 2, 1, 1, 0, 0, 0, 0, 0, 0]
    assert loci.names()[:5] == ["one:1121:+", "one:1061:+", "one:2141:-", "one:61:+", ""]
    assert groups_of_loci(rows, loci).tolist() == [0, 0, 0, 1, 2, 2, 3, 1, 2, 4]
    assert locus_groups(rows, genome).tolist() == groups_of_loci(rows, loci).tolist()
    assert loci.of_rows(np.arange(10) == 1).counts.tolist() == [0, 2] + [0] * 8


def test_contigs_are_apart_and_an_empty_side_is_near_nothing(genome, contigs):
    ends = find_loci(genome, [contigs[0][-81:]])
    begins = find_loci(genome, [contigs[1][:81], "A" * 81])
    assert nearest_distances(begins, ends).tolist() == [np.inf, np.inf]
    assert not rows_near(begins, ends, 10_000).any()
    assert not rows_near(begins, find_loci(genome, [])).any()
    assert find_loci(genome, ["N" * 81]).names() == [""]
    assert locus_groups([], genome).tolist() == []
    with pytest.raises(UserError, match="reach -1: it must not be negative"):
        rows_near(begins, ends, -1)


def test_locus_clean_keeps_what_is_far_and_unrelated(genome, contigs):
    text = contigs[0]
    test = table([text[1_000:1_081], random_text(81, 20)])
    train = table(
        [
            text[1_200:1_281],  # 200 letters away
            text[1_201:1_282],  # 201
            other_strand(text[761:842]),  # site 1060 − 239 + 20: 279 letters before
            other_strand(text[840:921]),  # 200 before: 840 + 20 = 860
            text[1_060:1_141],  # overlaps: shares a 21-mer
            random_text(60, 21) + test.sequences[1][:21],
            random_text(81, 22),
        ]
    )
    assert locus_clean(train, test, genome, geometry=PROMOTER_WINDOW).rows == (2, 3, 7)
    assert locus_clean(train, test, genome, reach=300, geometry=PROMOTER_WINDOW).rows == (7,)
    assert locus_clean(train, test, genome, reach=199, geometry=PROMOTER_WINDOW).rows == (
        1,
        2,
        3,
        4,
        7,
    )
    assert 6 in locus_clean(train, test, genome, k=22).rows


def test_where_the_site_lies_is_told_by_the_geometry(genome, contigs):
    rows = [contigs[0][100:151], other_strand(contigs[0][300:351]), contigs[0][500:540]]
    sites = find_loci(genome, rows, WindowGeometry(40, 10)).sites
    assert sites.places.tolist() == [140, 310, 520]  # the last has another length: its middle
    assert find_loci(genome, rows).sites.places.tolist() == [125, 325, 520]


def test_groups_serve_a_bootstrap(genome, contigs):
    _, sequences = drawn(contigs, 40, 3, (81,))
    labels = np.arange(40) % 2
    probabilities = np.stack([1 - labels, labels], axis=1) * 0.8 + 0.1
    probabilities[:4] = probabilities[:4, ::-1]
    result = metrics.evaluate(labels, probabilities, groups=locus_groups(sequences, genome))
    assert result["accuracy"]["value"] == 0.9
    assert result["accuracy"]["low"] < 0.9


@pytest.fixture(scope="module")
def k12(own_cache):
    return open_genome(Path(os.environ["NTJAX_DATA_DIR"]) / "genomes/ecoli_k12_mg1655.fna.gz")


@needs_data
@pytest.mark.slow
def test_neighbours_of_the_published_test_promoters(k12):
    """74 lie nearer than 81 letters to a training promoter, 306 nearer than 200.

    That is after the training rows that share a 16-mer with a test promoter were removed, between
    start sites on any strand, with training promoters that stand in the genome once. Those that
    stand there more than once bring three further test promoters near.
    """
    data = load_dataset("ecoli_promoters", "clean")
    test = [
        s for s, label in zip(data.test.sequences, data.test.labels, strict=True) if label == "1"
    ]
    loci, training = (
        find_loci(k12, rows, PROMOTER_WINDOW) for rows in (test, data.train.sequences)
    )
    once = training.of_rows(training.counts == 1)
    distances = nearest_distances(loci, once)
    assert ((distances < 81).sum(), (distances < 200).sum()) == (74, 306)
    everywhere = nearest_distances(loci, training)
    assert ((everywhere < 81).sum(), (everywhere < 200).sum()) == (74, 309)
    # Of two strands at most 120 letters apart, rows may share a letter: not one does here.
    assert rows_near(loci, training, 200).sum() == (everywhere <= 200).sum() == 310

    located = locate(k12, test)
    np.testing.assert_array_equal(located.counts, loci.counts)
    assert sorted(located.sites.names()) == sorted(loci.sites.names())


@needs_data
@pytest.mark.slow
def test_the_split_of_ipro_mp_overlaps(k12):
    """Its convergent negatives: most test rows lie within 20 letters of a training row."""
    folder = Path(os.environ["NTJAX_DATA_DIR"]) / "promoters/ipro_mp"

    def rows(part):
        records = list(read_fasta(folder / part.title() / f"10_{part}.txt.gz"))
        kinds = [
            record.name.rpartition("--")[0].rpartition("MG1655")[2].strip() for record in records
        ]
        sequences = [record.sequence.upper() for record in records]
        return find_loci(k12, sequences, PROMOTER_WINDOW), np.array(kinds)

    (train, _), (test, kinds) = rows("train"), rows("test")
    within = nearest_distances(test, train)[kinds == "Convergent"]
    assert len(within) == 1_246
    assert (within <= 20).sum() == 1_037
