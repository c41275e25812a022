"""Elements by class, and the tokens that they cover, against plain Python."""

import numpy as np
import pytest
from made_genomes import opened, random_text

from ntjax.errors import UserError
from ntjax.genomes.elements import BETWEEN_GENES, read_elements, token_cover
from ntjax.genomes.intervals import Intervals


def test_classes_of_an_annotation(tmp_path):
    genome = opened(tmp_path, {"one": random_text(1_000, 1)})
    lines = [("gene", 101, 300, "+"), ("CDS", 101, 300, "+"), ("gene", 501, 580, "-")]
    lines.append(("tRNA", 501, 580, "-"))
    path = tmp_path / "made.gff"
    path.write_text(
        "".join(f"one\tx\t{kind}\t{a}\t{b}\t.\t{s}\t.\tID=x\n" for kind, a, b, s in lines)
    )
    found = read_elements(genome, path, {"coding": "CDS", "transfer": "tRNA"})
    assert list(found) == ["coding", "transfer", BETWEEN_GENES]
    assert found["coding"].bounds.tolist() == [[100, 300]]
    assert found["transfer"].strands.tolist() == [-1]
    assert found[BETWEEN_GENES].bounds.tolist() == [[0, 100], [300, 500], [580, 1_000]]
    with pytest.raises(UserError, match="no feature of type 'rRNA': it has 'gene'"):
        read_elements(genome, path, {"ribosomal": "rRNA"})


def test_a_token_is_covered_by_half():
    random = np.random.default_rng(1)
    for _ in range(50):
        starts = np.sort(random.choice(np.arange(0, 600, 6), 60, replace=False)) + 7
        low = random.integers(0, 590, 5)
        intervals = Intervals(low, low + random.integers(1, 60, 5), np.zeros(5, np.int8))
        inside = {p for a, b in intervals.bounds.tolist() for p in range(a, b)}
        expected = [sum(p in inside for p in range(s, s + 6)) >= 3 for s in starts.tolist()]
        assert token_cover(intervals, starts, 6).tolist() == expected
