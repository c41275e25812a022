"""The command `python -m ntjax.scan`: its files in other programs' parsers, kills, bad input."""

import json

import numpy as np
import pandas as pd
import pytest
from kill_and_resume import kill_and_resume, ntjax_command, random_genome
from made_genomes import other_strand
from planted_task import planted_rows, quick, run, write_csv

import ntjax
from ntjax.errors import UserError
from ntjax.evaluation import scan as scanning
from ntjax.scan import Options, scan_command

pytestmark = [pytest.mark.end_to_end, pytest.mark.usefixtures("quick_compilation")]

GFF = """##gff-version 3
made\t.\tgene\t1001\t1900\t.\t+\t.\tID=g1;Name=first
made\t.\tgene\t3001\t3600\t.\t-\t.\tID=g2;Name=second
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory, compilations_kept):
    folder = tmp_path_factory.mktemp("scan")
    write_csv(folder / "train.csv", planted_rows(400))
    run(quick(folder / "train.csv"), folder / "run")
    random_genome(folder / "genome.fa", 6000)
    (folder / "genes.gff").write_text(GFF)
    return folder


def options(here, out, **others):
    given = {"run": here / "run", "genome": here / "genome.fa", "progress": False, "threshold": 0.3}
    return Options(out=here / out, **given | others)


def test_files_in_other_parsers(here, capsys):
    bioframe, gffutils = pytest.importorskip("bioframe"), pytest.importorskip("gffutils")
    pytest.importorskip("pyBigWig")
    formats = "bed,gff3,parquet,bedgraph,bigwig"
    found = scan_command(
        options(here, "whole", annotation=here / "genes.gff", prior="0.1", formats=formats)
    )
    assert "calls of class 1 at" in capsys.readouterr().out
    rows = pd.read_parquet(here / "whole.parquet")
    assert len(rows) == found["calls"] > 0
    assert rows["site"].is_monotonic_increasing
    bed = bioframe.read_table(str(here / "whole.bed"), schema="bed6")
    assert bed["start"].tolist() == rows["start"].tolist()
    assert bed["score"].tolist() == np.rint(1000 * rows["probability"]).tolist()
    features = gffutils.create_db(str(here / "whole.gff3"), ":memory:").all_features()
    by_name = {feature.id: feature for feature in features}
    for row in rows.itertuples():
        feature = by_name[row.name]
        assert (feature.start, feature.end) == (row.start + 1, row.end)
        assert float(feature.attributes["logit"][0]) == pytest.approx(row.logit, rel=1e-6)
        assert int(feature.attributes["site"][0]) == row.site
        assert feature.attributes["nearest_gene"] == [row.nearest_gene]
    assert json.loads((here / "whole.json").read_text()) == found
    assert not (here / "whole.parts").exists()


def test_calls_are_what_the_run_predicts(here):
    found = scan_command(options(here, "by-hand", merge_distance=0))
    text = (here / "genome.fa").read_text().split("\n")[1]
    rows = pd.read_parquet(here / "by-hand.parquet")
    forward = [text[start:end] for start, end in zip(rows["start"], rows["end"], strict=True)]
    read = [
        sequence if strand == "+" else other_strand(sequence)
        for sequence, strand in zip(forward, rows["strand"], strict=True)
    ]
    trained = ntjax.load_run(here / "run")
    expected = trained.predict(read, calibrated=trained.calibration is not None)[:, 1]
    np.testing.assert_allclose(rows["probability"], expected, atol=1e-5)
    assert found["hits"][0]["windows"] == found["hits"][0]["calls"] == len(rows)


def test_regions_hold_the_same_sites_as_a_whole_scan(here):
    (here / "regions.bed").write_text("chrmade\t1000\t1400\nchrmade\t1300\t2000\n")
    scan_command(options(here, "everywhere", merge_distance=0))
    scan_command(options(here, "somewhere", merge_distance=0, regions=here / "regions.bed"))
    whole, part = (pd.read_parquet(here / f"{n}.parquet") for n in ("everywhere", "somewhere"))
    inside = whole[(whole["site"] >= 1000) & (whole["site"] < 2000)].drop(columns="name")
    pd.testing.assert_frame_equal(
        inside.reset_index(drop=True), part.drop(columns="name"), rtol=1e-5
    )


def test_the_best_so_many(here):
    found = scan_command(options(here, "top", top=7, threshold=0.5, strands="forward"))
    rows = pd.read_parquet(here / "top.parquet")
    assert found["calls"] == len(rows) == 7
    assert found["threshold"] == rows["probability"].min()
    assert not (here / "top.reverse.bedgraph").exists()


def test_no_call_names_the_highest_probability(here, capsys):
    found = scan_command(options(here, "none", prior="0.000001", threshold=1.0))
    assert found["calls"] == 0
    assert "the highest probability is" in capsys.readouterr().out
    assert pd.read_parquet(here / "none.parquet").empty


def test_interrupted_and_resumed(here, monkeypatch):
    monkeypatch.setattr(scanning, "_BASES_AT_ONCE", 20_000)
    scan_command(options(here, "undisturbed"))
    save, written = scanning.PartFolder.write, []

    def interrupted(parts, number, content):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(number)
        save(parts, number, content)

    monkeypatch.setattr(scanning.PartFolder, "write", interrupted)
    with pytest.raises(SystemExit) as stopped:
        scan_command(options(here, "stopped"))
    assert stopped.value.code == 130
    monkeypatch.setattr(scanning.PartFolder, "write", save)
    with pytest.raises(UserError, match="add --resume"):
        scan_command(options(here, "stopped"))
    with pytest.raises(UserError, match="cannot resume: stride changed"):
        scan_command(options(here, "stopped", stride=5, resume=True))
    scan_command(options(here, "stopped", resume=True))
    for ending in ("bed", "gff3", "parquet", "json"):
        wanted = (here / f"undisturbed.{ending}").read_bytes()
        assert (here / f"stopped.{ending}").read_bytes() == wanted


def test_killed_and_completed(here):
    genome, out = random_genome(here / "long.fa", 120_000), here / "killed"
    command = ntjax_command("scan", "--run", here / "run", "--genome", genome, "--out", out)
    [one] = kill_and_resume(command, out, kills=1, seed=4, shortest=0.5)
    assert one.same
    assert one.repeated == 0


@pytest.mark.parametrize(
    ("others", "problem"),
    [
        ({"formats": "bed,gtf"}, "there is no format 'gtf'"),
        ({"formats": ""}, "--formats"),
        ({"stride": -1}, "--stride -1"),
        ({"stride": 1000}, "--stride 1000: longer than a window"),
        ({"threshold": 0.0}, "--threshold 0"),
        ({"prior": "0.1", "sites_per_mb": 5.0}, "leave one of them out"),
        ({"top": 3, "threshold": 0.4}, "leave one of them out"),
        ({"prior": "2"}, "--prior"),
        ({"sites_per_mb": 1e6}, "--sites-per-mb: 1e+06 makes"),
        ({"class_name": "x"}, "--class x"),
        ({"window": 30, "site_index": 30}, "--site-index: 30 is not in a window"),
        ({"window": 40_000}, "windows of 40,000 bp"),
        ({"out": ""}, "is a folder"),
        ({"merge_distance": -2}, "--merge-distance -2"),
    ],
)
def test_what_is_refused(here, others, problem):
    out = others.get("out", "refused")
    given = {name: value for name, value in others.items() if name != "out"}
    with pytest.raises(UserError) as caught:
        scan_command(options(here, out, **given))
    assert problem in str(caught.value)
    assert not list(here.glob("refused*"))


def test_genomes_that_cannot_be_scanned_leave_nothing(here):
    text = (here / "genome.fa").read_text().split("\n")[1]
    often_n = "".join("N" if number % 30 == 0 else base for number, base in enumerate(text[:900]))
    for content, problem in (
        (f">one\n{text}\n>one\n{text[::-1]}\n", "are both called 'one'"),
        (f">one\n{often_n}\n", "no window of"),
    ):
        (here / "unusable.fa").write_text(content)
        with pytest.raises(UserError, match=problem):
            scan_command(options(here, "left", genome=here / "unusable.fa"))
        assert not list(here.glob("left*"))


def test_files_that_do_not_fit(here):
    for name, text, given in (
        ("other.bed", "two\t1\t9\n", {"regions": here / "other.bed"}),
        ("short.bed", "made\t1\n", {"regions": here / "short.bed"}),
        ("other.gff", GFF.replace("made", "two"), {"annotation": here / "other.gff"}),
    ):
        (here / name).write_text(text)
        with pytest.raises(UserError, match=name):
            scan_command(options(here, "unfit", **given))
    (here / "taken.bed").write_text("mine\n")
    with pytest.raises(UserError, match=r"taken\.bed is there already"):
        scan_command(options(here, "taken"))
    assert (here / "taken.bed").read_text() == "mine\n"
