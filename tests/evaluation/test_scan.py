"""Genome scans: every window by hand, on both strands, and what the files say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_genomes import opened, other_strand, random_text
from planted_task import MODEL
from small_runs import ADAPTERS, small_run
from tiers import first_by_default

from ntjax import load_pretrained
from ntjax.adapters import HeadOnly
from ntjax.calibration import PlattScaling
from ntjax.errors import UserError
from ntjax.evaluation import scan as scanning
from ntjax.evaluation.scan import ClassScore, class_to_scan, read_scores, scan
from ntjax.evaluation.scan_files import FORMATS, CallSettings, scan_paths, write_scan
from ntjax.evaluation.scan_setup import scan_geometry
from ntjax.genomes.scan_grid import ScanGrid
from ntjax.genomes.windows import RecordedWindows, WindowGeometry
from ntjax.io.parts import PartFolder
from ntjax.runs.merged_run import merged_run
from ntjax.runs.run import Run
from ntjax.runs.strands import Strands
from ntjax.runs.training_rows import TrainingRows

pytestmark = pytest.mark.usefixtures("quick_compilation")

GEOMETRY = WindowGeometry(29, 11)


@pytest.fixture(scope="module")
def model():
    return load_pretrained(MODEL)


@pytest.fixture(scope="module")
def contigs():
    text = random_text(900, 5)
    return {"one": text[:400] + "N" * 30 + text[430:], "two": random_text(300, 6)}


@pytest.fixture(scope="module")
def genome(contigs, tmp_path_factory):
    return opened(tmp_path_factory.mktemp("genome"), contigs)


def windows_by_hand(contigs, length, stride):
    """(contig, start, strand, sequence as it is read) of every window without N."""
    for name, text in contigs.items():
        for start in range(0, len(text) - length + 1, stride):
            window = text[start : start + length]
            if "N" not in window:
                yield name, start, "+", window
                yield name, start, "-", other_strand(window)


@pytest.mark.parametrize(
    ("kind", "task", "strands"),
    first_by_default(
        [
            ("lora", "two", Strands()),
            ("ia3", "three", Strands()),
            ("head", "labels", Strands()),
            ("lora", "two", Strands("flip-label", True)),
        ]
    ),
)
def test_every_window_by_hand(model, contigs, genome, tmp_path, monkeypatch, kind, task, strands):
    monkeypatch.setattr(scanning, "_BASES_AT_ONCE", 41 * 17)
    run = replace(small_run(model, kind, task), strands=strands)
    if task == "two":
        run = replace(run, calibration=PlattScaling(0.6, -0.3), calibration_shares=(0.5, 0.5))
    output = 1
    prior = {run.classes[1]: 0.02} if task == "two" else None
    grid = ScanGrid(genome, GEOMETRY, 7)
    parts = PartFolder(tmp_path / "scan", {}, False, ".npz")
    done = scan(ClassScore(run, output, prior), grid, parts)
    by_hand = list(windows_by_hand(contigs, 41, 7))
    assert done.windows == len(by_hand)
    assert done.parts > 5
    sequences = [row[3] for row in by_hand]
    logits = run.logits(sequences)
    expected = run.predict(sequences, calibrated=task == "two", prior=prior)[:, output]
    settings = CallSettings(0.0, 0, 0)
    paths = scan_paths(tmp_path / "scan", ["parquet"], True)
    write_scan(grid, parts, paths, settings)
    found = pd.read_parquet(tmp_path / "scan.parquet")
    found = found.set_index(["contig", "start", "strand"])
    assert len(found) == len(by_hand)
    rows = found.loc[[row[:3] for row in by_hand]]
    np.testing.assert_allclose(rows["probability"], expected, atol=1e-5)
    sites = [start + (29 if strand == "+" else 11) for _, start, strand, _ in by_hand]
    assert rows["site"].tolist() == sites
    assert (rows["end"] - rows.index.get_level_values("start") == 41).all()
    if task == "two":
        np.testing.assert_allclose(rows["logit"], logits[:, 1] - logits[:, 0], atol=1e-4)
    else:
        odds = np.log(expected / (1 - expected))
        np.testing.assert_allclose(rows["logit"], odds, atol=1e-3)


class _KnownBase(Run):
    """Sure of the positive class where the site is an A, and of nothing else."""

    def logits(self, sequences, **_):
        found = [sequence[GEOMETRY.site_index] == "A" for sequence in sequences]
        return np.array([[0, 20 * is_a - 10] for is_a in found], np.float32)


def test_calls_lie_at_the_base_that_is_looked_for(model, contigs, genome, tmp_path):
    own = small_run(model, "head")
    run = _KnownBase(own.model, own.head, own.trainable, own.task, None)
    grid = ScanGrid(genome, GEOMETRY, 1)
    parts = PartFolder(tmp_path / "scan", {}, False, ".npz")
    scan(ClassScore(run, 1), grid, parts)
    paths = scan_paths(tmp_path / "scan", FORMATS, True)
    summary = write_scan(grid, parts, paths, CallSettings(0.5, 0, 0))
    found = pd.read_parquet(tmp_path / "scan.parquet")
    for name, text in contigs.items():
        for strand, base in (("+", "A"), ("-", "T")):
            sites = found[(found["contig"] == name) & (found["strand"] == strand)]["site"]
            lead = 29 if strand == "+" else 11
            starts = (site - lead for site in range(len(text)) if text[site] == base)
            possible = [
                start + lead
                for start in starts
                if 0 <= start <= len(text) - 41 and "N" not in text[start : start + 41]
            ]
            assert sites.tolist() == possible
    assert summary["calls"] == len(found)
    _check_tracks(contigs, tmp_path)


def _check_tracks(contigs, folder):
    """At stride 1 a track has the probability of each site at the site itself."""
    py_big_wig = pytest.importorskip("pyBigWig")
    for strand, base in (("forward", "A"), ("reverse", "T")):
        lines = (folder / f"scan.{strand}.bedgraph").read_text().splitlines()
        assert lines[0].startswith("track type=bedGraph")
        rows = [line.split("\t") for line in lines[1:]]
        with py_big_wig.open(str(folder / f"scan.{strand}.bw")) as wig:
            assert wig.chroms() == {name: len(text) for name, text in contigs.items()}
            for name, start, end, value in rows:
                start, end = int(start), int(end)
                assert end == start + 1
                assert (float(value) > 0.5) == (contigs[name][start] == base)
            for name in contigs:
                own = [(int(r[1]), int(r[2]), float(r[3])) for r in rows if r[0] == name]
                found = np.array(wig.intervals(name))
                np.testing.assert_allclose(found, np.array(own), rtol=1e-5)


def test_bins_of_a_track_are_as_wide_as_the_stride(model, genome, tmp_path):
    own = small_run(model, "head")
    run = _KnownBase(own.model, own.head, own.trainable, own.task, None)
    grid = ScanGrid(genome, GEOMETRY, 6)
    parts = PartFolder(tmp_path / "scan", {}, False, ".npz")
    scan(ClassScore(run, 1), grid, parts)
    paths = scan_paths(tmp_path / "scan", ["bedgraph"], True)
    write_scan(grid, parts, paths, CallSettings(0.5, 0, 0))
    for strand, lead in (("forward", 29), ("reverse", 11)):
        lines = (tmp_path / f"scan.{strand}.bedgraph").read_text().splitlines()[1:]
        bins = np.array([[int(cell) for cell in line.split("\t")[1:3]] for line in lines])
        assert bins[0].tolist() == [lead - 3, lead + 3]
        assert (bins[:, 1] - bins[:, 0] <= 6).all()
        assert ((bins[1:, 0] >= bins[:-1, 1]) | (bins[1:, 0] < bins[:-1, 0])).all()


@pytest.mark.parametrize("kind", first_by_default(list(ADAPTERS)))
def test_a_merged_run_gives_the_same(model, kind):
    sequences = [random_text(41, seed) for seed in range(8)]
    run = small_run(model, kind)
    merged = merged_run(run)
    close = {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(merged.logits(sequences), run.logits(sequences), **close)
    assert kind == "full" or isinstance(merged.adapter, HeadOnly)


def test_parts_that_are_there_are_left(model, genome, tmp_path, monkeypatch):
    monkeypatch.setattr(scanning, "_BASES_AT_ONCE", 41 * 17)
    run, grid = small_run(model), ScanGrid(genome, GEOMETRY, 9)
    whole = PartFolder(tmp_path / "whole", {}, False, ".npz")
    done = scan(ClassScore(run, 1), grid, whole)
    begun = PartFolder(tmp_path / "begun", {}, False, ".npz")
    begun.write(0, {"logit": np.zeros(34, np.float32), "probability": np.zeros(34)})
    again = scan(ClassScore(run, 1), grid, PartFolder(tmp_path / "begun", {}, True, ".npz"))
    assert (done.resumed, again.resumed) == (0, 1)
    first, *others = read_scores(grid, begun)
    assert not first.probabilities.any()
    for own, other in zip(others, list(read_scores(grid, whole))[1:], strict=True):
        assert own.probabilities.tobytes() == other.probabilities.tobytes()


def test_the_class_that_is_looked_for(model):
    assert class_to_scan(small_run(model)) == 1
    assert class_to_scan(small_run(model), "0") == 0
    assert class_to_scan(small_run(model, task="three"), "weak") == 1
    for task, name, message in (
        ("three", "", "give the --class"),
        ("labels", "", "give the --class"),
        ("two", "2", "--class 2: the run's classes are 0, 1"),
        ("value", "", "is of a regression"),
    ):
        with pytest.raises(UserError, match=message):
            class_to_scan(small_run(model, task=task), name)


def test_the_windows_to_scan_with(model):
    run = small_run(model)
    with pytest.raises(UserError, match="earlier version"):
        scan_geometry(run)
    rows = TrainingRows((81, 81), (0.2, 0.8), 0.0)
    run = replace(run, training_rows=rows)
    assert scan_geometry(run)[0] == WindowGeometry(40, 40)
    assert scan_geometry(run, 50)[0] == WindowGeometry(25, 24)
    assert scan_geometry(run, 50, 49)[0] == WindowGeometry(49, 0)
    run = replace(run, windows=RecordedWindows(WindowGeometry(60, 20), "genomic"))
    assert scan_geometry(run)[0] == WindowGeometry(60, 20)
    assert scan_geometry(run, 81, 3)[0] == WindowGeometry(3, 77)
    assert scan_geometry(run, 100)[0] == WindowGeometry(50, 49)
    with pytest.raises(UserError, match="90 is not in a window of 80 bp"):
        scan_geometry(run, 80, 90)
    uneven = replace(run, windows=None, training_rows=TrainingRows((40, 81), (0.2, 0.8), 0.0))
    with pytest.raises(UserError, match="from 40 to 81 bp"):
        scan_geometry(uneven)


def test_no_window_fits(model, genome, tmp_path):
    regions = np.array([[401, 429]])
    grid = ScanGrid(genome, GEOMETRY, 5, True, regions)
    with pytest.raises(UserError, match="no window of 41 bp without N has its site in the regions"):
        scan(ClassScore(small_run(model), 1), grid, PartFolder(tmp_path / "a", {}, False, ".npz"))
