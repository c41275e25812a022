"""The command `python -m ntjax.windows`: its files, and what it says of bad input."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest
from made_genes import random_genes, written_gff
from made_genomes import drawn_promoters, opened, other_strand, two_contigs

from ntjax.checkpoints.cache import sha256
from ntjax.datasets.negatives import KINDS
from ntjax.errors import UserError
from ntjax.genomes.windows import WindowGeometry, recorded_windows
from ntjax.io.tables import read_table
from ntjax.windows import Options, windows

FILES = ["test.csv", "train.csv", "validation.csv", "windows.json"]
SPLIT = {"block_letters": 1_000, "validation_fraction": 0.2, "test_fraction": 0.3, "reach": 30}


@pytest.fixture
def here(tmp_path):
    contigs = two_contigs()
    opened(tmp_path, contigs)
    promoters = drawn_promoters(contigs, 80, 4)
    lines = []
    for name in promoters:
        contig, place, strand = name.split(":")
        lines.append(f"{contig}\t{int(place) - 1}\t{place}\t.\t0\t{strand}\n")
    (tmp_path / "tss.bed").write_text("".join(lines))
    written_gff(tmp_path / "genes.gff", random_genes({"one": 40_300, "two": 9_000}, 3, 1))
    return tmp_path


def options(here, out="out", **others):
    given = {"genome": here / "made.fna", "sites": here / "tss.bed", **SPLIT, **others}
    return Options(out=here / out, **given)


def test_files(here, capsys):
    found = windows(options(here, negatives="cds", annotation=here / "genes.gff"))
    out = here / "out"
    assert sorted(path.name for path in out.iterdir()) == FILES
    promoters = drawn_promoters(two_contigs(), 80, 4)
    record = json.loads((out / "windows.json").read_text())
    for name, part in found.parts.items():
        table = read_table(out / f"{name}.csv")
        positives = [row for row, label in enumerate(table.labels) if label == "1"]
        assert 2 * len(positives) == len(table) == 2 * len(part)
        for row in positives:
            assert promoters[table.names[row]] == table.sequences[row]
        assert record["counts"][name]["promoters"] == len(part)
        assert record["counts"][name]["loci_of_negatives"] == part.loci
    assert list(pd.read_csv(out / "test.csv").columns) == ["name", "sequence", "label"]
    assert record["settings"]["negatives"] == "cds"
    assert record["inputs"]["sites"] == {
        "file": "tss.bed",
        "sha256": sha256(here / "tss.bed"),
    }
    printed = capsys.readouterr().out
    assert "tss.bed: 80 intervals with 80 start sites in made" in printed
    for note in found.notes:
        assert f"note: {note}\n" in printed


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind not in ("convergent", "intergenic")]
)
def test_same_seed_same_files(here, kind):
    shared = {"negatives": kind, "annotation": here / "genes.gff"}
    for out in ("a", "b"):
        windows(options(here, out, **shared))
    windows(options(here, "c", seed=1, **shared))
    read = {out: [(here / out / name).read_bytes() for name in FILES] for out in "abc"}
    assert read["a"] == read["b"]
    assert all(a != c for a, c in zip(read["a"], read["c"], strict=True))


def test_shape_and_context(here):
    windows(options(here, before=50, after=10, context=7))
    contigs = two_contigs()
    for name in ("train", "test"):
        table = read_table(here / "out" / f"{name}.csv")
        assert {len(text) for text in table.sequences} == {50 + 1 + 10 + 2 * 7}
        for where, text in zip(table.names, table.sequences, strict=True):
            contig, place, strand = where.split(":")
            place, whole = int(place) - 1, contigs[contig]
            if strand == "+":
                assert text == whole[place - 57 : place + 18]
            else:
                assert text == other_strand(whole[place - 17 : place + 58])
        geometry, negatives = recorded_windows(here / "out" / f"{name}.csv")
        assert negatives == options(here).negatives
        assert (geometry, geometry.site_index, geometry.length()) == (
            WindowGeometry(57, 17),
            57,
            75,
        )
        assert geometry.length() == len(table.sequences[0])


def test_a_geometry_is_that_of_the_files_of_its_record(here):
    assert recorded_windows(here / "train.csv") is None
    windows(options(here))
    (here / "out" / "other.csv").write_text("sequence,label\nACGT,1\n")
    assert recorded_windows(here / "out" / "other.csv") is None
    record = here / "out" / "windows.json"
    content = json.loads(record.read_text())
    assert content["geometry"] == {"before": 60, "after": 20, "site_index": 60, "length": 81}
    del content["geometry"]
    record.write_text(json.dumps(content))
    with pytest.raises(UserError, match="does not say the geometry of the windows beside it"):
        recorded_windows(here / "out" / "train.csv")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"before": -1}, "--before -1: should not be negative"),
        ({"seed": -1}, "--seed -1: should not be negative"),
        ({"test_fraction": 0.0}, "--test-fraction 0.0: should lie between 0 and 1"),
        ({"test_fraction": 0.9}, "leave no block for training"),
        ({"block_letters": 80}, "--block-letters 80: should not be below the 81 bp"),
        ({"negatives": "cds"}, "'cds' need an annotation: give --annotation GFF"),
        ({"reach": 5_000}, r"and 0 places for 'genomic' windows lie in the part"),
    ],
)
def test_bad_options(here, given, message):
    with pytest.raises(UserError, match=message):
        windows(options(here, **given))
    assert not (here / "out").exists()


def test_folders_in_use(here):
    (here / "out").mkdir()
    windows(options(here))
    before = (here / "out" / "test.csv").read_bytes()
    with pytest.raises(UserError, match="out is in use: give another --out"):
        windows(options(here, seed=1))
    assert (here / "out" / "test.csv").read_bytes() == before


@pytest.mark.end_to_end
def test_command_line(here):
    command = [sys.executable, "-m", "ntjax.windows", "--genome", str(here / "made.fna")]
    command += ["--sites", str(here / "tss.bed"), "--out", str(here / "out")]
    (here / "tss.bed").write_text("chr1\t5\t9\ta\t0\t+\n")
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ}, check=False)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        f"error: {here / 'tss.bed'}: line 1: there is no contig 'chr1' in {here / 'made.fna'}, "
        "which has 'one', 'two': give files of one assembly, with the same names"
    ]
