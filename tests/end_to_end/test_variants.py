"""The command `python -m ntjax.variants`: every format, a kill, statuses alone, bad input."""

import gzip
import subprocess
import time

import numpy as np
import pandas as pd
import pysam
import pytest
from kill_and_resume import ntjax_command
from kill_and_resume import variants as kill_and_resume_variants
from made_genomes import random_text
from planted_task import MODEL
from small_runs import small_run

from ntjax import load_pretrained
from ntjax.errors import UserError
from ntjax.evaluation import variant_table
from ntjax.runs.saved_run import load_run
from ntjax.runs.strands import Strands
from ntjax.runs.training_rows import TrainingRows
from ntjax.variants import Options, variants

pytestmark = pytest.mark.usefixtures("quick_compilation")

HEADER = """##fileformat=VCFv4.3
##INFO=<ID=AF,Number=A,Type=Float,Description="x">
#CHROM	POS	ID	REF	ALT	QUAL	FILTER	INFO
"""
TEXT = random_text(900, 21) + "NN" + random_text(600, 22)


def record(position, alternatives, bases=1, name=".", contig="chr1"):
    reference = TEXT[position - 1 : position - 1 + bases]
    info = "AF=" + ",".join("0.25" for _ in alternatives.split(","))
    return f"{contig}\t{position}\t{name}\t{reference}\t{alternatives}\t.\t.\t{info}\n"


def substituted(position):
    return next(base for base in "ACGT" if base != TEXT[position - 1])


@pytest.fixture(scope="module")
def here(tmp_path_factory, compilations_kept):
    folder = tmp_path_factory.mktemp("variants")
    (folder / "genome.fa").write_text(f">1 of a test\n{TEXT}\n")
    random = np.random.default_rng(0)
    records = [record(at, substituted(at)) for at in sorted(random.integers(1, 890, 60).tolist())]
    records += [
        record(895, TEXT[894] + "ACGT"),
        record(920, f"{substituted(920)},{TEXT[919]}AC,<DEL>,*", name="rs1"),
        record(930, TEXT[929], bases=5),
        record(940, "."),
        record(950, "C", contig="chrX"),
    ]
    (folder / "some.vcf").write_text(HEADER + "".join(records))
    return folder


@pytest.fixture
def chunks(monkeypatch):
    """Chunks of about 30 alleles, an indel counting more."""
    monkeypatch.setattr(variant_table, "_MOST_AT_ONCE", 30)
    monkeypatch.setattr(variant_table, "_FEWEST_AT_ONCE", 30)


def options(here, out, **others):
    given = {"model": str(MODEL), "window": 96, "phases": 1, "shams": 2, "progress": False}
    files = {"variants": here / "some.vcf", "genome": here / "genome.fa", "out": here / out}
    return Options(**files | given | others)


@pytest.mark.compiled
def test_the_same_scores_in_every_format(here, chunks, capsys):
    for out in ("a.csv", "a.parquet", "a.vcf.gz"):
        variants(options(here, out, info="AF" if out != "a.vcf.gz" else ""))
    said = capsys.readouterr().out
    assert "chr1 is read as 1" in said
    assert "not scored: contig_missing (chrX)" in said
    assert "variants: " in said
    assert "(68 alleles, 63 are scored)" in said
    table = pd.read_parquet(here / "a.parquet")
    csv = pd.read_csv(here / "a.csv", keep_default_na=False, na_values=[""])
    assert list(table) == list(csv)
    assert table["status"].value_counts().to_dict() == {
        "scored": 63,
        "n_near_site": 1,
        "symbolic_allele": 1,
        "spanning_deletion": 1,
        "no_alternative": 1,
        "contig_missing": 1,
    }
    assert (table.loc[table["alt"] != "", "AF"] == 0.25).all()
    numbers = table.select_dtypes("number").columns
    np.testing.assert_array_equal(csv[numbers].astype(float), table[numbers].astype(float))
    assert table[["l2", "site_index"]].isna().all(axis=1).equals(table["status"] != "scored")
    annotated = [
        (record.info["NTJAX_STATUS"], record.info.get("NTJAX_L2"), record.info["AF"])
        for record in pysam.VariantFile(here / "a.vcf.gz")
    ]
    statuses = [status for row in annotated for status in row[0]]
    assert statuses == table["status"].tolist()
    distances = [x for row in annotated for x in row[1] or [None] * len(row[0])]
    found = np.array([np.nan if x is None else x for x in distances])
    np.testing.assert_allclose(found, table["l2"].astype(float), rtol=1e-5)


@pytest.mark.compiled
def test_compressed_and_binary_files_give_the_same(here):
    variants(options(here, "plain.csv"))
    plain = (here / "some.vcf").read_bytes()
    (here / "some.vcf.gz").write_bytes(gzip.compress(plain))
    variants(options(here, "gz.csv", variants=here / "some.vcf.gz"))
    assert (here / "gz.csv").read_bytes() == (here / "plain.csv").read_bytes()


def test_statuses_need_no_model(here, monkeypatch):
    monkeypatch.setattr("ntjax.variants.load_pretrained", None)
    variants(options(here, "check.csv", model="", check=True, phases=None))
    table = pd.read_csv(here / "check.csv")
    assert list(table) == ["chrom", "pos", "id", "ref", "alt", "status"]
    assert len(table) == 68


def test_regions_of_an_indexed_file(here, tmp_path):
    path = tmp_path / "some.vcf.gz"
    pysam.tabix_compress(str(here / "some.vcf"), str(path))
    pysam.tabix_index(str(path), preset="vcf", force=True)
    check = {"variants": path, "model": "", "check": True}
    variants(options(here, tmp_path / "part.csv", regions="1:920-940", **check))
    table = pd.read_csv(tmp_path / "part.csv")
    assert table["pos"].tolist() == [920, 920, 920, 920, 930, 940]
    with pytest.raises(UserError, match="holds no records of 1:2000-3000"):
        variants(options(here, tmp_path / "none.csv", regions="1:2000-3000", **check))


@pytest.fixture(scope="module")
def run_folder(here):
    from dataclasses import replace

    run = small_run(load_pretrained(MODEL), "ia3")
    replace(run, training_rows=TrainingRows((39, 39), (0.2, 0.8), 0.0)).save(here / "run")
    return here / "run"


@pytest.mark.compiled
def test_a_run_adds_its_predictions(here, run_folder, chunks):
    variants(options(here, "run.csv", model="", run=run_folder))
    table = pd.read_csv(here / "run.csv")
    scored = table[table["status"] == "scored"]
    assert {"l2", "log_likelihood_ratio"} < set(table)
    assert scored["logit_difference"].notna().all()
    assert (scored["windows"] > 10).mean() > 0.8
    logit = np.log(scored["alternative_probability"] / (1 - scored["alternative_probability"]))
    logit -= np.log(scored["reference_probability"] / (1 - scored["reference_probability"]))
    np.testing.assert_allclose(logit, scored["logit_difference"], atol=1e-3)


@pytest.mark.compiled
def test_a_run_that_averages_strands_is_read_on_one(here, run_folder, tmp_path):
    """The other strand gives the same change or, of classes that are strands, its negative."""
    from dataclasses import replace

    run = replace(load_run(run_folder), strands=Strands("flip-label", average=True))
    run.save(tmp_path / "run")
    few = tmp_path / "few.vcf"
    few.write_text(HEADER + record(200, substituted(200)))
    variants(options(here, tmp_path / "a.csv", model="", run=tmp_path / "run", variants=few))
    [row] = pd.read_csv(tmp_path / "a.csv").to_dict("records")
    assert row["window_strand"] == "+"
    assert abs(row["mean_logit_difference"]) > 1e-6
    with pytest.raises(UserError, match=r"^--stride 0: give 1 or more"):
        variants(options(here, tmp_path / "b.csv", model="", run=tmp_path / "run", stride=0))


@pytest.mark.compiled
def test_windows_around_sites(here, run_folder, capsys):
    bed = here / "sites.bed"
    bed.write_text("".join(f"chr1\t{at}\t{at + 1}\t.\t0\t+\n" for at in range(100, 800, 40)))
    variants(options(here, "sites.csv", model="", run=run_folder, sites=bed, site_index=30))
    assert "18 intervals with 18 start sites" in capsys.readouterr().out
    table = pd.read_csv(here / "sites.csv")
    near = table[table["windows"] > 0]
    assert 10 < len(near) < 60
    assert set((near["window_start"] + 30 - 1) % 40) == {100 % 40}
    with pytest.raises(UserError, match="--site-index"):
        variants(options(here, "no.csv", model="", run=run_folder, sites=bed))


def test_bad_options_leave_nothing(here, tmp_path):
    for given, message in {
        "scores.txt": r"--out .*should end in .*\.vcf\.gz",
        "scores.csv": "give --model",
    }.items():
        with pytest.raises(UserError, match=message):
            variants(options(here, tmp_path / given, model=""))
    with pytest.raises(UserError, match="leave --info out"):
        variants(options(here, tmp_path / "a.vcf.gz", info="AF"))
    for given in ({"stride": 3}, {"class_name": "x"}, {"run_window": 9}):
        with pytest.raises(UserError, match=f"--{min(given)[:3]}.* is for runs: add --run"):
            variants(options(here, tmp_path / "a.csv", **given))
    with pytest.raises(UserError, match=r"some\.vcf: has no INFO field 'CSQ'"):
        variants(options(here, tmp_path / "a.csv", info="CSQ"))
    with pytest.raises(UserError, match=r"^--window 100: should be a multiple of 6"):
        variants(options(here, tmp_path / "a.csv", window=100))
    (tmp_path / "l2.vcf").write_text(HEADER.replace("ID=AF", "ID=l2") + record(9, "A", 2))
    with pytest.raises(UserError, match="column of that name"):
        variants(options(here, tmp_path / "a.csv", variants=tmp_path / "l2.vcf", info="l2"))
    assert [path.name for path in tmp_path.iterdir()] == ["l2.vcf"]


@pytest.mark.end_to_end
def test_a_wrong_genome_ends_with_code_2(here, tmp_path):
    shifted = tmp_path / "shifted.fa"
    shifted.write_text(f">1\n{TEXT[1:]}\n")
    files = ("--variants", here / "some.vcf", "--genome", shifted, "--out", tmp_path / "a.csv")
    ended = subprocess.run(
        ntjax_command("variants", "--check", *files), capture_output=True, text=True
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"error: {here / 'some.vcf'}: REF of ")
    assert ended.stderr.count("\n") == 1
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.end_to_end
def test_killed_and_resumed(tmp_path):
    """Killed as soon as a part is there, whenever that is."""
    command, out = kill_and_resume_variants(tmp_path, MODEL)
    subprocess.run(command, check=True, capture_output=True)
    whole = out.read_bytes()
    out.unlink()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    parts = tmp_path / f"{out.name}.parts"
    while not list(parts.glob("[0-9]*")):
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert not out.exists()
    resumed = subprocess.run([*command, "--resume"], check=True, capture_output=True, text=True)
    assert "of it were there" in resumed.stdout
    assert out.read_bytes() == whole
    assert not parts.exists()
