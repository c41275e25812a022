"""Introns of BEDPE files, and lines that are none."""

import pytest

from ntjax.errors import UserError
from ntjax.io.bedpe import read_introns

LINE = "chr2\t99\t100\tchr2\t199\t200\tchr2:50-900|T1|GENE|protein_coding\t.\t-\t-\n"


def test_first_and_last_base_span_the_intron(tmp_path):
    path = tmp_path / "introns.bedpe"
    path.write_text("#chrom1\n" + LINE + LINE.replace("chr2:50-900|T1|GENE|protein_coding", "T2"))
    first, second = read_introns(path)
    assert (first.contig, first.start, first.end, first.strand) == ("chr2", 99, 200, -1)
    assert first.span == (49, 900)
    assert second.transcript == "T2"
    assert second.span is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("chr2\t1\t2\n", "line 1: 3 columns"),
        (LINE.replace("chr2\t199", "chr3\t199"), "line 1: an intron from"),
        (LINE.replace("\t199\t200", "\t19\t20"), "line 1: the intron ends at 20"),
        (LINE.replace("\t-\t-", "\t.\t."), "line 1: the strand should be"),
        (LINE.replace("chr2:50-900|T1|GENE|protein_coding", "."), "line 1: the name, column 7"),
        ("\n", "holds no intron"),
    ],
)
def test_lines_that_are_no_introns(tmp_path, line, problem):
    path = tmp_path / "introns.bedpe"
    path.write_text(line)
    with pytest.raises(UserError, match=problem):
        read_introns(path)
