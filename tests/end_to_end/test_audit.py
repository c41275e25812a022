"""The command `python -m ntjax.audit`."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ntjax.audit import Options, audit
from ntjax.datasets.registry import load_dataset
from ntjax.errors import UserError
from ntjax.genomes.indexing import open_genome
from ntjax.io.json import read_json
from ntjax.io.tables import read_table
from ntjax.leakage.kmer_groups import rows_sharing_kmers
from ntjax.leakage.loci import locus_clean, locus_groups

needs_data = pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no public data here"
)


def random_text(letters, seed):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), letters))


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("name", "sequence", "label"), *rows])
    return str(path)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A genome, and rows of it: copies, neighbours, strangers."""
    folder, text = tmp_path_factory.mktemp("audit"), random_text(20_000, 0)
    (folder / "genome.fna").write_text(f">one\n{text}\n")
    (folder / "elsewhere.fna").write_text(f">two\n{random_text(5_000, 1)}\n")

    def row(start, label):
        return f"at {start}", text[start : start + 81], label

    train = [row(1_000 + 500 * n, "1") for n in range(12)]
    train += [(f"random {n}", random_text(81, 100 + n), "0") for n in range(12)]
    test = [row(1_000, "1"), row(1_520, "0"), row(2_150, "1"), row(15_000, "1"), row(15_100, "1")]
    test += [(f"other {n}", random_text(81, 200 + n), "0") for n in range(4)]
    write(folder / "train.csv", train)
    write(folder / "test.csv", [*test, ("same", test[0][1], "0")])
    return folder


def options(here, **given):
    return Options(str(here / "train.csv"), str(here / "test.csv"), **given)


def test_report_and_files(here, tmp_path, capsys):
    out = tmp_path / "out"
    report = audit(options(here, genome=here / "genome.fna", out=out))
    printed = capsys.readouterr().out
    assert read_json(out / "audit.json") == report
    assert sorted(path.name for path in out.iterdir()) == [
        "audit.json",
        "test_loci.csv",
        "train_clean.csv",
        "train_locus_clean.csv",
    ]
    assert report["overlap"]["total"]["exact_copy"] == 2
    assert report["overlap"]["by_label"]["0"]["shifted"] == 1
    assert [c["row"] for c in report["conflicting_copies"]] == [11]
    assert report["genome"]["test"]["total"] == {
        "mapped": 6,
        "mapped_more_than_once": 0,
        "near_training_row": 4,
        "near_on_same_strand": 4,
        "near_after_removing_shared_kmers": 1,
    }
    assert report["genome"]["test_loci"] == 8
    assert report["clean"]["train_clean.csv"] == {"by_label": {"0": 12, "1": 10}, "total": 22}
    assert report["clean"]["train_locus_clean.csv"]["by_label"] == {"0": 12, "1": 9}
    assert "warning: 2 of 10 test rows stand in the training file" in printed
    assert "first in row 11 (same): label 0, in training 1" in printed
    assert "1 test rows lie within 200 letters of a training row even without" in printed
    assert f"results: {out}" in printed

    train, test = (read_table(here / f"{part}.csv") for part in ("train", "test"))
    genome = open_genome(here / "genome.fna")
    clean = read_table(out / "train_clean.csv")
    kept = ~rows_sharing_kmers(train.sequences, test.sequences)
    assert clean.sequences == train.take(np.flatnonzero(kept)).sequences
    cleaner, expected = read_table(out / "train_locus_clean.csv"), locus_clean(train, test, genome)
    for column in ("names", "sequences", "labels"):
        assert getattr(cleaner, column) == getattr(expected, column)
    with (out / "test_loci.csv").open() as file:
        loci = list(csv.DictReader(file))
    assert [int(line["row"]) for line in loci] == list(range(2, 12))
    groups = [int(line["group"]) for line in loci]
    assert groups == locus_groups(test.sequences, genome).tolist()
    assert groups == [0, 1, 2, 3, 3, 4, 5, 6, 7, 0]
    assert [loci[0]["locus"], loci[5]["locus"]] == [
        "one:1041:+",
        "",
    ]  # the middle: no windows.json names a site


def test_the_site_is_that_of_the_windows(here, tmp_path):
    """A record beside the files says where it lies: here one base before the end."""
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_bytes((here / f"{name}.csv").read_bytes())
    record = {"counts": {"train": {}, "test": {}}, "geometry": {"before": 79, "after": 1}}
    (tmp_path / "windows.json").write_text(json.dumps(record))
    audit(options(tmp_path, genome=here / "genome.fna", out=tmp_path / "out"))
    with (tmp_path / "out" / "test_loci.csv").open() as file:
        assert next(csv.DictReader(file))["locus"] == "one:1080:+"


def test_without_genome_or_labels(here, tmp_path, capsys):
    out = tmp_path / "out"
    report = audit(options(here, out=out, unlabelled=True))
    assert sorted(path.name for path in out.iterdir()) == ["audit.json", "train_clean.csv"]
    assert list(report["overlap"]["by_label"]) == ["unlabelled"]
    assert (out / "train_clean.csv").read_text().startswith("name,sequence\n")
    assert report["composition"]["unlabelled"]["train_auroc"] is None
    assert "genome" not in report
    assert "other label" not in capsys.readouterr().out


def test_a_genome_of_something_else_is_named_and_no_obstacle(here, capsys):
    report = audit(options(here, genome=here / "elsewhere.fna"))
    printed = capsys.readouterr().out
    for part in ("training", "test"):
        assert printed.count(f"warning: no {part} row stands in {here / 'elsewhere.fna'}") == 1
    clean = report["clean"]
    assert clean["train_locus_clean.csv"] == clean["train_clean.csv"]


def test_labels_of_one_file_and_nothing_left(here, tmp_path, capsys):
    text = random_text(200, 5)
    train = write(tmp_path / "a.csv", [("x", text[:90], "up"), ("y", text[10:100], "down")])
    test = write(tmp_path / "b.csv", [("z", text[5:95], "up"), ("z", text[5:95], "down")])
    out = tmp_path / "out"
    report = audit(Options(train, test, out=out))
    assert [path.name for path in out.iterdir()] == ["audit.json"]
    assert any("no training row is left for train_clean.csv" in f for f in report["findings"])
    assert any("have several labels, the first in rows 2 (up), 3 (down)" in f
               for f in report["findings"])  # fmt: skip
    other = write(tmp_path / "c.csv", [("z", random_text(90, 6), "left")])
    findings = audit(Options(train, other))["findings"]
    assert "label down, up stands only in the training file" in findings
    assert "label left stands only in the test file" in findings
    capsys.readouterr()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"train": "ecoli_promoter"}, "no such file or data set; did you mean 'ecoli_promoters'"),
        ({"train": "missing.csv", "test": "b.csv"}, "missing.csv: no such file"),
        ({"test": None}, "no test file to compare .*train.csv with"),
        ({"kmer_length": 0}, "1 to 31 letters long, not 0"),
        ({"identity": 0.3}, "identity 0.3: it must be above 0.5"),
        ({"reach": -5}, "reach -5: it must not be negative"),
        ({"label_column": "class"}, "no column 'class' among .*--unlabelled audits without"),
    ],
)
def test_bad_options(here, tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    files = {"train": str(here / "train.csv"), "test": str(here / "test.csv")}
    with pytest.raises(UserError, match=message):
        audit(Options(**(files | {"genome": here / "genome.fna"} | given)))


def test_bad_files(here, tmp_path):
    empty, unlabelled = tmp_path / "empty.csv", tmp_path / "unlabelled.fa"
    empty.write_text("")
    unlabelled.write_text(">a\nACGT\n")
    good = str(here / "train.csv")
    with pytest.raises(UserError, match=r"empty\.csv: the file is empty"):
        audit(Options(good, str(empty)))
    with pytest.raises(
        UserError, match=r"line 1: header '>a' has no label: .*; --unlabelled audits"
    ):
        audit(Options(good, str(unlabelled)))
    protein = tmp_path / "labelled" / "label.csv"
    protein.parent.mkdir()
    protein.write_text("sequence,label\nMEPQ,1\n")
    with pytest.raises(UserError, match=r"looks like protein: give the DNA$"):
        audit(Options(good, str(protein)))  # the word in a path says nothing about labels
    gap = write(tmp_path / "gap.csv", [("x", "ACGTACGT", "1"), ("y", "ACGT", "")])
    with pytest.raises(UserError, match=r"gap\.csv: row 3: the label is empty"):
        audit(Options(gap, good))
    values = write(tmp_path / "v.csv", [(n, random_text(30, n), n / 7) for n in range(60)])
    with pytest.raises(UserError, match=r"60 different labels: for values .*add --unlabelled"):
        audit(Options(values, good))
    with pytest.raises(UserError, match="is in use: give another --out"):
        audit(Options(good, good, out=tmp_path))


@pytest.mark.end_to_end
def test_from_the_command_line(here, tmp_path):
    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "ntjax.audit", *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
        )

    done = run(str(here / "train.csv"), str(here / "test.csv"), "--kmer-length", "20")
    assert done.returncode == 0, done.stderr
    assert "k-mers of 20 letters" in done.stdout
    refused = run(str(here / "train.csv"))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: no test file")
    assert refused.stderr.count("\n") == 1


@pytest.mark.slow
@needs_data
def test_published_promoters(tmp_path, capsys):
    """What is known of the data set; 15,484 rows stay where only test promoters count."""
    genome = Path(os.environ["NTJAX_DATA_DIR"]) / "genomes/ecoli_k12_mg1655.fna.gz"
    report = audit(Options("ecoli_promoters", genome=genome, out=tmp_path / "out"))
    promoters, total = report["overlap"]["by_label"]["1"], report["overlap"]["total"]
    assert promoters["rows"] == promoters["exact_copy"] == promoters["related"] == 865
    assert promoters["copy_with_other_label"] == len(report["conflicting_copies"]) == 0
    # The random test rows share 16-mers as often as chance would have it.
    strangers = report["overlap"]["by_label"]["0"]
    assert (strangers["exact_copy"], strangers["shifted"]) == (0, 33)
    assert 22 < strangers["shared_kmer_expected_by_chance"] < 33
    assert total["near_identical_without_shared_kmer"] == 0

    sharing = report["training_rows_sharing_kmers"]
    assert sharing["by_label"]["1"]["with"]["1"] == 1_732
    rows = report["train"]["rows"]
    assert rows["by_label"] == {"0": 8_616, "1": 8_616}
    assert rows["total"] - sharing["total"]["with"]["1"] == 15_484
    assert report["clean"]["train_clean.csv"]["total"] == 15_444
    assert report["clean"]["train_locus_clean.csv"]["total"] == 14_925
    assert report["train"]["clusters"]["duplicate_rows"] == 164
    assert report["test"]["clusters"]["duplicate_rows"] == 1  # 864 distinct promoters

    assert report["genome"]["train"]["by_label"]["1"]["mapped"] == 8_615
    found = report["genome"]["test"]["by_label"]
    assert found["1"]["mapped"] == 865
    assert found["0"]["mapped"] == 0
    assert report["genome"]["test_loci"] == 1_667
    clean = read_table(tmp_path / "out" / "train_locus_clean.csv")
    assert len(clean) == 14_925
    test = load_dataset("ecoli_promoters", "published").test
    assert not rows_sharing_kmers(clean.sequences, test.sequences).any()
    assert "GC content alone tells label 1 from the rest" in capsys.readouterr().out
