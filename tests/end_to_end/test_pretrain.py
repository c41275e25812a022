"""The command `python -m ntjax.pretrain`: its inputs, and what it says of bad ones."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ntjax.errors import UserError
from ntjax.io.json import read_json
from ntjax.pretrain import Options, pretrain
from ntjax.training.pretrain_settings import PretrainSettings

pytestmark = pytest.mark.usefixtures("quick_compilation")

HYPERPARAMETERS = {
    "k_for_kmers": 3,
    "max_positions": 64,
    "attention_heads": 2,
    "embed_dim": 8,
    "ffn_embed_dim": 16,
    "num_layers": 1,
    "positional_embedding": None,
    "use_rotary_embedding": True,
}
QUICK = {
    "window_tokens": 20,
    "tokens_per_update": 80,
    "steps": 2,
    "evaluate_every": 2,
    "block_letters": 1000,
    "validation_fraction": 0.2,
    "test_fraction": 0.2,
}


def dna(letters, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), letters))


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain")
    (folder / "hyperparams.json").write_text(json.dumps(HYPERPARAMETERS))
    for seed, name in enumerate(("a", "b", "c")):
        (folder / f"{name}.fna").write_text(f">{name}\n{dna(20_000, seed)}\n")
    return folder


def run(here, out, **options):
    given = {"model": str(here / "hyperparams.json"), **QUICK, **options}
    return pretrain(Options(PretrainSettings(**given), out, progress=False))


@pytest.mark.end_to_end
def test_contigs_shorter_than_a_window_do_not_count(here, tmp_path, capsys):
    """57 bp are a window of 20 tokens of 3 bp; 100 contigs of 50 bp can never be drawn from."""
    short = "".join(f">s{number}\n{dna(50, 100 + number)}\n" for number in range(100))
    (tmp_path / "draft.fna").write_text(f">long\n{dna(5_000, 9)}\n{short}")
    run(here, tmp_path / "out", genomes=(str(tmp_path / "draft.fna"),))
    [genome] = genome_data(tmp_path / "out")
    assert genome["nucleotides"] == {"train": 3_000, "validation": 1_000, "test": 1_000}
    note = "100 of 101 sequences without N, with 5,000 of 10,000 nucleotides, are shorter than a"
    assert f"{note} window of 57 bp" in capsys.readouterr().out


def genome_data(out):
    return read_json(out / "config.json")["data"]["genomes"]


@pytest.mark.end_to_end
def test_a_table_of_genomes_with_classes(here, tmp_path):
    table = here / "genomes.csv"
    table.write_text("path,class\na.fna,bacteria\nb.fna,fungi\nc.fna,plants\n")
    out = tmp_path / "out"
    run(
        here,
        out,
        genome_table=str(table),
        class_weights=("bacteria=3",),
        exclude_classes=("plants",),
    )
    assert [entry["source"].rpartition("/")[2] for entry in genome_data(out)] == ["a.fna", "b.fna"]


@pytest.mark.end_to_end
def test_windows_in_the_published_layout(here, tmp_path):
    rows = [f"{dna(1200, seed)},1,{1000 * seed},{1000 * seed + 1200}" for seed in range(30)]
    path = here / "windows.csv.gz"
    path.write_bytes(
        gzip.compress(("sequence,chromosome,start_pos,end_pos\n" + "\n".join(rows)).encode())
    )
    run(here, tmp_path / "out", genomes=(str(path),))
    parts = genome_data(tmp_path / "out")[0]["nucleotides"]
    assert sum(parts.values()) == 30 * 1200


def test_haplotypes(here, tmp_path):
    text = (here / "a.fna").read_text().splitlines()[1]
    lines = ["##fileformat=VCFv4.2", "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT one two"]
    for place in range(100, 19_000, 50):
        other = "C" if text[place] != "C" else "T"
        lines.append(f"a {place + 1} . {text[place]} {other} . PASS . GT 0|1 1|1")
    vcf = here / "phased.vcf"
    vcf.write_text("\n".join(line.replace(" ", "\t") for line in lines) + "\n")
    run(here, tmp_path / "out", genomes=(str(here / "a.fna"),), variants=str(vcf))
    with pytest.raises(UserError, match="--variants goes with one reference"):
        run(
            here,
            tmp_path / "two",
            genomes=(str(here / "a.fna"), str(here / "b.fna")),
            variants=str(vcf),
        )
    wrong = vcf.read_text().replace(
        f"\t{text[100]}\t", f"\t{'A' if text[100] != 'A' else 'G'}\t", 1
    )
    (here / "wrong.vcf").write_text(wrong)
    with pytest.raises(UserError, match=r"1 of .*378"):
        run(
            here,
            tmp_path / "wrong",
            genomes=(str(here / "a.fna"),),
            variants=str(here / "wrong.vcf"),
        )


def test_what_variants_do_not_cover_is_left_out_of_the_report_too(here, tmp_path):
    """Baselines would know chromosomes that the model never sees."""
    path = tmp_path / "two.fna"
    path.write_text(f">a\n{dna(20_000, 3)}\n>b\n{dna(20_000, 4)}\n")
    first = path.read_text().splitlines()[1][99]
    vcf = tmp_path / "a.vcf"
    columns = "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT one".replace(" ", "\t")
    row = f"a 100 . {first} {'C' if first != 'C' else 'T'} . PASS . GT 0|1".replace(" ", "\t")
    vcf.write_text(f"##fileformat=VCFv4.2\n{columns}\n{row}\n")
    run(here, tmp_path / "out", genomes=(str(path),), variants=str(vcf))
    [genome] = genome_data(tmp_path / "out")
    assert sum(genome["nucleotides"].values()) == 20_000
    # Another VCF is another run.
    vcf.write_text(vcf.read_text().replace("0|1", "1|1"))
    with pytest.raises(UserError, match=r"cannot resume: data \(others\)"):
        pretrain(Options(out=tmp_path / "out", resume=True, progress=False))


def test_genomes_that_have_moved(here, tmp_path):
    before, after, out = tmp_path / "before", tmp_path / "after", tmp_path / "out"
    before.mkdir()
    for name in ("a.fna", "b.fna", "hyperparams.json"):
        shutil.copy(here / name, before)

    def files(folder):
        return {
            "genomes": (str(folder / "a.fna"),),
            "held_out_genomes": (str(folder / "b.fna"),),
            "model": str(folder / "hyperparams.json"),
        }

    run(before, out, **files(before))
    before.rename(after)
    (out / "held_out.json").unlink()
    pretrain(Options(PretrainSettings(**files(after)), out, resume=True, progress=False))
    assert (out / "held_out.json").exists()
    shutil.copy(here / "c.fna", after / "b.fna")
    with pytest.raises(UserError, match=r"cannot resume: data \(others\)"):
        pretrain(Options(PretrainSettings(**files(after)), out, resume=True, progress=False))


def test_going_on_is_compared_with_where_it_began(here, tmp_path):
    data = {"genomes": (str(here / "a.fna"),)}
    run(here, tmp_path / "first", **data)
    result = run(here, tmp_path / "second", model=str(tmp_path / "first"), seed=0, **data)
    before = result["test blocks"]["metrics"]["model before training"]
    reached = read_json(tmp_path / "first" / "held_out.json")["test blocks"]["metrics"]["model"]
    assert before["loss"]["value"] == pytest.approx(reached["loss"]["value"], rel=1e-6)
    settings = read_json(tmp_path / "second" / "config.json")["settings"]
    assert settings["learning_rate"] == 1e-4
    first = read_json(tmp_path / "first" / "config.json")["settings"]
    assert first["learning_rate"] == 2e-3


def test_validation_by_a_genome_of_its_own(here, tmp_path):
    own = {"genomes": (str(here / "a.fna"),), "validation_genomes": (str(here / "b.fna"),)}
    run(here, tmp_path / "out", **own)
    [genome] = genome_data(tmp_path / "out")
    assert genome["nucleotides"] == {"train": 16_000, "validation": 0, "test": 4000}


def test_whole_genomes_held_out(here, tmp_path):
    result = run(
        here,
        tmp_path / "out",
        genomes=(str(here / "a.fna"),),
        held_out_genomes=(str(here / "b.fna"),),
    )
    assert [*result] == ["test blocks", "b"]
    assert result == read_json(tmp_path / "out" / "held_out.json")
    # Of a genome that is trained on too, no window is new.
    result = run(
        here,
        tmp_path / "same",
        genomes=(str(here / "a.fna"),),
        held_out_genomes=(str(here / "a.fna"),),
        validation_fraction=0.1,
        test_fraction=0.1,
    )
    assert result["a"]["left_out_as_seen"] > 0.7 * result["a"]["candidates"]


BAD = {
    "protein": (">p\nMKVLAAGIVGLLLAQWE\n", "is no nucleotide"),
    "empty record": (">a\n>b\nACGT\n", "'a' has no sequence"),
    "only N": (f">a\n{'N' * 5000}\n", "nothing but N"),
    "short contigs": (">a\nACGTACGTAAACCC\n>b\nACGATTAAA\n", "long"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_genomes(kind, here, tmp_path):
    text, message = BAD[kind]
    path = tmp_path / "bad.fna"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as error:
        run(here, tmp_path / "out", genomes=(str(path),))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_what_does_not_go_together(here, tmp_path):
    with pytest.raises(UserError, match="--genome-table"):
        run(here, tmp_path / "out")
    with pytest.raises(UserError, match="go with --genome-table"):
        run(here, tmp_path / "out", genomes=(str(here / "a.fna"),), class_weights=("a=1",))
    with pytest.raises(UserError, match="--out FOLDER is missing"):
        pretrain(Options(PretrainSettings(genomes=(str(here / "a.fna"),))))


@pytest.mark.end_to_end
def test_one_line_and_exit_code_2(here, tmp_path):
    command = [sys.executable, "-m", "ntjax.pretrain", "--genomes", str(tmp_path / "missing.fna")]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert "no such file" in done.stderr


def start(*given):
    """The command in a process of its own: as all of one test are, since compilers differ."""
    return subprocess.Popen(
        [sys.executable, "-m", "ntjax.pretrain", *map(str, given), "--no-progress"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def metrics(out):
    path = out / "metrics.jsonl"
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture(scope="module")
def long(here):
    """Options of a run that takes a while, and the folder of one that was left alone."""
    values = QUICK | {"steps": 400, "evaluate_every": 20, "model": here / "hyperparams.json"}
    given = [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]
    given += ["--genomes", here / "a.fna"]
    process = start(*given, "--out", here / "whole")
    assert process.wait(timeout=240) == 0
    return given, here / "whole"


@pytest.mark.end_to_end
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_command_goes_on_as_if_nothing_had_happened(long, tmp_path, number):
    (given, whole), out = long, tmp_path / "out"
    process = start(*given, "--out", out)
    until = time.monotonic() + 240
    while len(metrics(out)) <= 5:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(process.pid, number)
    assert process.wait(timeout=120) == (143 if number == signal.SIGTERM else -9)
    assert not (out / "held_out.json").exists()
    assert start("--resume", "--out", out).wait(timeout=240) == 0
    for name in ("metrics.jsonl", "weights.safetensors", "held_out.json"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
