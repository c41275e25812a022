import os
from pathlib import Path

import numpy as np
import pytest
from made_genes import written_gff
from made_genomes import (
    drawn_promoters,
    occurrences,
    opened,
    other_strand,
    random_text,
    two_contigs,
)

from ntjax.datasets.negatives import KINDS
from ntjax.datasets.promoters import (
    NegativeOptions,
    against_genomic_windows,
    labelled_windows,
    windows_by_kind,
)
from ntjax.datasets.registry import load_dataset
from ntjax.errors import UserError
from ntjax.genomes.annotation import read_annotation
from ntjax.genomes.indexing import open_genome
from ntjax.genomes.promoter_windows import locate
from ntjax.genomes.windows import PROMOTER_WINDOW
from ntjax.sequences.alphabet import gc_content

needs_data = pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no public data here"
)
OPTIONS = NegativeOptions(block_letters=1_000, validation=0.2, test=0.3, reach=50)


@pytest.fixture
def genome(tmp_path):
    contigs = two_contigs()
    return opened(tmp_path, contigs), contigs


@pytest.fixture
def windows(genome):
    store, contigs = genome
    promoters = drawn_promoters(contigs, 120, 4)
    located = locate(store, list(promoters.values()))
    assert sorted(located.unique.names()) == sorted(promoters)
    return against_genomic_windows(located.unique, located.start_sites, OPTIONS), located


def spans(sites, context=0):
    starts = sites.starts(context)
    return list(zip(starts, starts + PROMOTER_WINDOW.length(context), strict=True))


def test_promoters_keep_their_letters(windows, genome):
    found, _ = windows
    by_name = drawn_promoters(genome[1], 120, 4)
    for part in found.parts.values():
        table = part.table()
        positives = [row for row, label in enumerate(table.labels) if label == "1"]
        assert len(positives) * 2 == len(table)
        assert [table.sequences[row] for row in positives] == [
            by_name[table.names[row]] for row in positives
        ]


def test_negatives_are_what_their_names_say(windows, genome):
    _, contigs = genome
    for part in windows[0].parts.values():
        for name, text in zip(part.negatives.names(), part.negatives.sequences(), strict=True):
            assert name in occurrences(contigs, text)


def test_pairs_have_equal_gc(windows):
    for part in windows[0].parts.values():
        gc = [np.sort(gc_content(s.sequences())) for s in (part.promoters, part.negatives)]
        np.testing.assert_allclose(*gc, atol=1.01 / 81)  # few places: then the nearest count
        assert np.mean(gc[0] == gc[1]) > 0.95


def test_negatives_keep_their_distance(windows):
    found, located = windows
    for part in found.parts.values():
        for start, end in spans(part.negatives):
            nearest = np.where(
                located.sites.places < start,
                start - located.sites.places,
                located.sites.places - end + 1,
            )
            assert nearest.min() >= OPTIONS.reach
    starts = np.concatenate([part.negatives.starts() for part in found.parts.values()])
    assert len(set(starts.tolist())) == len(starts)
    strands = np.concatenate([part.negatives.reverse for part in found.parts.values()])
    assert 0.3 < strands.mean() < 0.7


def test_parts_share_no_letter_nor_16mer(windows):
    letters, kmers = {}, {}
    for name, part in windows[0].parts.items():
        table = part.table()
        assert len(part) > 5
        letters[name] = {
            place
            for sites in (part.promoters, part.negatives)
            for first, end in spans(sites)
            for place in range(first, end)
        }
        both = [*table.sequences, *map(other_strand, table.sequences)]
        kmers[name] = {text[i : i + 16] for text in both for i in range(len(text) - 15)}
    for units in (letters, kmers):
        assert not units["train"] & units["test"]
        assert not units["train"] & units["validation"]
        assert not units["validation"] & units["test"]


def test_repeats_leave_training_not_the_test(tmp_path):
    # The same 81 letters, but for one, in many places: some of them in the test blocks.
    element = random_text(81, 7)
    pieces = [random_text(420, 100 + n) + element[:40] + "ACGT"[n % 4] for n in range(60)]
    path = tmp_path / "made.fna"
    path.write_text(">one\n" + "".join(piece + element[41:] for piece in pieces) + "\n")
    genome = open_genome(path)
    text = path.read_text().splitlines()[1]
    promoters = [text[n * 501 + 300 : n * 501 + 381] for n in range(60)]
    promoters += [text[n * 501 + 400 : n * 501 + 481] for n in range(60)]  # reaches into the repeat
    located = locate(genome, promoters)
    options = NegativeOptions(block_letters=1_002, validation=0.2, test=0.3, reach=20)
    found = against_genomic_windows(located.unique, located.start_sites, options)
    repeated = {
        name: sum(element[:20] in text for text in part.promoters.sequences())
        for name, part in found.parts.items()
    }
    assert repeated["test"] > 5
    assert repeated["train"] == repeated["validation"] == 0
    note = "pairs were left out of train: a window of theirs shares a 16-mer"
    assert any(note in line for line in found.notes)


def test_context_is_the_same_window_with_more_letters(genome):
    store, contigs = genome
    located = locate(store, list(drawn_promoters(contigs, 120, 4).values()))
    options = NegativeOptions(block_letters=2_000, validation=0.2, test=0.3, reach=50, room=70)
    found = against_genomic_windows(located.unique, located.start_sites, options)
    inside = {}
    for name, part in found.parts.items():
        plain, wide = part.table(), part.table(context=70)
        assert plain.names == wide.names
        assert [text[70:-70] for text in wide.sequences] == list(plain.sequences)
        assert not any("N" in text for text in wide.sequences)
        inside[name] = {
            place
            for sites in (part.promoters, part.negatives)
            for first, end in spans(sites, 70)
            for place in range(first, end)
        }
    assert not inside["train"] & inside["test"]


def test_seeds(genome):
    store, contigs = genome
    located = locate(store, list(drawn_promoters(contigs, 120, 4).values()))

    def names(seed):
        options = NegativeOptions(block_letters=1_000, reach=50, seed=seed)
        parts = against_genomic_windows(located.unique, located.start_sites, options).parts
        return [part.table().names for part in parts.values()]

    assert names(1) == names(1) != names(2)


def test_no_place_left(genome):
    store, contigs = genome
    located = locate(store, list(drawn_promoters(contigs, 120, 4).values()))
    with pytest.raises(UserError, match="choose smaller blocks, or a shorter reach"):
        against_genomic_windows(
            located.unique, located.start_sites, NegativeOptions(reach=5_000, block_letters=1_000)
        )


@pytest.fixture
def of_all_kinds(tmp_path):
    """A genome with short genes far apart, in which every kind finds places; by kind."""
    contigs = {"one": random_text(60_000, 5), "two": random_text(20_000, 6)}
    genome = opened(tmp_path, contigs)
    random = np.random.default_rng(0)
    rows = []
    for number, start in enumerate(range(500, 59_000, 1_000)):
        end = start + int(random.integers(300, 700))
        rows += [("one", kind, start, end, "+-"[number % 2]) for kind in ("gene", "CDS")]
    annotation = read_annotation(genome, written_gff(tmp_path / "genes.gff", rows))
    located = locate(genome, list(drawn_promoters(contigs, 60, 4).values()))
    options = NegativeOptions(block_letters=2_000, validation=0.2, test=0.3, reach=20)
    return windows_by_kind(located.unique, located.start_sites, KINDS, annotation, options)


def test_kinds_share_promoters_and_nothing_crosses_parts(of_all_kinds):
    kmers = {"train": set(), "validation": set(), "test": set()}
    for part, seen in kmers.items():
        names = {kind: found.parts[part].promoters.names() for kind, found in of_all_kinds.items()}
        assert names["iid"]
        assert all(own == names["iid"] for own in names.values())
        for found in of_all_kinds.values():
            table = found.parts[part].table()
            assert table.labels.count("0") == table.labels.count("1") == len(names["iid"])
            both = [*table.sequences, *map(other_strand, table.sequences)]
            seen |= {text[i : i + 16] for text in both for i in range(len(text) - 15)}
    assert not kmers["train"] & (kmers["validation"] | kmers["test"])
    assert not kmers["validation"] & kmers["test"]


def test_negatives_with_repeats_are_drawn_anew(tmp_path):
    # In each 1,200 letters, 800 of an element that repeats and 400 of their own.
    element = random_text(60, 7)
    plain = [random_text(400, 500 + n) for n in range(40)]
    repeats = ["".join(random_text(40, 40 * n + m) + element for m in range(8)) for n in range(40)]
    text = "".join(pair for both in zip(repeats, plain, strict=True) for pair in both)
    genome = opened(tmp_path, {"one": text})
    located = locate(genome, [own[160:241] for own in plain])

    def found(redraw):
        options = NegativeOptions(
            block_letters=1_200, validation=0.2, test=0.3, reach=60, redraw=redraw
        )
        return against_genomic_windows(located.unique, located.start_sites, options)

    as_drawn, anew = found(False), found(True)
    assert as_drawn.parts["test"].table() == anew.parts["test"].table()
    assert len(as_drawn.parts["train"]) < len(anew.parts["train"]) == 20
    assert any("windows of train were drawn anew" in note for note in anew.notes)

    def holds_element(part):
        both = [*(table := part.table()).sequences, *map(other_strand, table.sequences)]
        return any(element[20:36] in text for text in both)

    assert holds_element(anew.parts["test"])
    assert not holds_element(anew.parts["train"])


def test_too_few_places(tmp_path):
    contigs = two_contigs()
    genome = opened(tmp_path, contigs)
    rows = [("one", "gene", 0, 10_000, "+"), ("one", "gene", 10_100, 40_000, "-")]
    annotation = read_annotation(genome, written_gff(tmp_path / "genes.gff", rows))
    located = locate(genome, list(drawn_promoters(contigs, 120, 4).values()))
    sites = located.unique, located.start_sites
    with pytest.raises(UserError, match=r"and \d+ places for 'convergent' windows lie") as error:
        labelled_windows(*sites, "convergent", annotation, OPTIONS)
    assert "choose smaller blocks, or a shorter reach, or another kind" in str(error.value)
    with pytest.raises(UserError, match="no promoter lies in the part"):
        labelled_windows(sites[0].take(np.arange(1)), sites[1], "iid", None, OPTIONS)


@pytest.fixture(scope="module")
def k12():
    """Promoters of the training and the test file in K-12, and its genes."""
    folder = Path(os.environ["NTJAX_DATA_DIR"]) / "genomes"
    genome = open_genome(folder / "ecoli_k12_mg1655.fna.gz")
    splits = load_dataset("ecoli_promoters", "published")
    train, test = (
        [text for text, label in zip(t.sequences, t.labels, strict=True) if label == "1"]
        for t in (splits.train, splits.test)
    )
    annotation = read_annotation(genome, folder / "ecoli_k12_mg1655.gff.gz")
    return locate(genome, train), locate(genome, test), annotation


def is_coding(annotation, start, end, strand):
    """Within a CDS of this strand, and none of the other."""
    coding = annotation.coding
    around = (coding.starts <= start) & (coding.ends >= end)
    return set(coding.strands[around].tolist()) == {strand}


def is_intergenic(annotation, start, end, strand):
    return not ((annotation.genes.starts < end) & (annotation.genes.ends > start)).any()


def is_convergent(annotation, start, end, strand):
    """Around its middle lies a gap, or it lies in one, between a gene on + and one on -."""
    genes, middle = annotation.genes, (start + end) // 2
    first = genes.ends[genes.ends <= middle].max()
    behind = genes.starts[genes.starts >= middle].min()
    pointing = set(genes.strands[genes.ends == first].tolist()) == {1} and set(
        genes.strands[genes.starts == behind].tolist()
    ) == {-1}
    centred = abs((first + behind) - (start + end)) <= 1
    is_gap = is_intergenic(annotation, first, behind, strand)
    return pointing and is_gap and (centred or (first <= start and end <= behind))


@pytest.mark.slow
@needs_data
def test_negatives_of_k12_are_of_their_kind(k12):
    """Against the annotation, window by window."""
    known, _, annotation = k12
    some = known.unique.take(np.arange(0, 8_000, 10))
    rules = {"cds": is_coding, "convergent": is_convergent, "intergenic": is_intergenic}
    found = windows_by_kind(some, known.start_sites, list(rules), annotation)
    sites = known.start_sites.places
    for kind, windows in found.items():
        for part in windows.parts.values():
            gc = [gc_content(own.sequences()).mean() for own in (part.promoters, part.negatives)]
            assert abs(gc[0] - gc[1]) < 0.003
            assert len(part) > 50
            for start, reverse in zip(part.negatives.starts(), part.negatives.reverse, strict=True):
                assert rules[kind](annotation, start, start + 81, -1 if reverse else 1)
                assert np.maximum(start - sites, sites - start - 80).min() >= 200


@needs_data
def test_known_promoters_of_k12(k12):
    known, tested, _ = k12
    assert ((known.counts > 0).sum(), (known.counts > 1).sum()) == (8_615, 77)
    assert len(known.start_sites) == 8_576
    assert (tested.counts > 0).all()
    assert set(tested.start_sites.names()) <= set(known.start_sites.names())

    def sizes(windows):
        return [len(part) for part in windows.parts.values()]

    options = NegativeOptions(redraw=False)
    found = against_genomic_windows(known.unique, known.start_sites, options)
    assert sizes(found) == [5_877, 929, 1_157]
    found = against_genomic_windows(known.unique, known.start_sites)
    assert sizes(found) == [6_080, 942, 1_157]
    for part in found.parts.values():
        table, pairs = part.table(), len(part)
        gc = gc_content(table.sequences)
        np.testing.assert_array_equal(gc[:pairs], gc[pairs:])
