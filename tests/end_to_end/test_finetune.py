"""The command: what it leaves in its folder, what it says, and how it takes bad input."""

import csv
import gzip
import json
import math
import os
import re
import shutil
import signal
import time

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from planted_task import (
    MODEL,
    arguments,
    contents,
    planted_rows,
    quick,
    run,
    start,
    write_csv,
)
from sklearn import metrics as sk

from ntjax import finetune
from ntjax.checkpoints import safetensors
from ntjax.errors import UserError
from ntjax.reports import command_line
from ntjax.training.settings import Settings

pytestmark = pytest.mark.usefixtures("quick_compilation")

METRICS = (
    "accuracy",
    "mcc",
    "sensitivity",
    "specificity",
    "precision",
    "npv",
    "f1",
    "auroc",
    "auprc",
    "brier",
    "ece",
)
RESULTS = ("metrics.jsonl", "test_metrics.json", "predictions.csv", "adapter.safetensors")


@pytest.fixture(scope="module")
def here(tmp_path_factory, compilations_kept):
    folder = tmp_path_factory.mktemp("finetune")
    write_csv(folder / "train.csv", planted_rows(200))
    return folder


@pytest.fixture(scope="module")
def settings(here):
    """A run that learns its task."""
    return quick(here / "train.csv", steps=60)


@pytest.fixture(scope="module")
def finished(here, settings):
    run(settings, here / "finished")
    return here / "finished"


def read(folder, name):
    return json.loads((folder / name).read_text())


def lines(folder, name="metrics.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def predictions(folder):
    with (folder / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def command(monkeypatch, capsys):
    """`command(*arguments)`: exit code, stdout and stderr of the command, in this process."""

    def call(*given):
        monkeypatch.setattr("sys.argv", ["finetune", *map(str, given)])
        try:
            finetune.main()
            code = 0
        except SystemExit as leaving:
            code = leaving.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def refused(command):
    """`refused(*arguments)`: the message of a command that exits with 2 and says one line."""

    def call(*given):
        code, _, err = command(*given)
        assert code == 2
        assert re.fullmatch(r"error: [^\n]+\n", err), err
        return err.removeprefix("error: ").rstrip("\n")

    return call


# What a run folder holds


def test_the_files_of_a_run(finished):
    assert {path.name for path in finished.iterdir()} == {
        "config.json",
        "metrics.jsonl",
        "timing.jsonl",
        "test_metrics.json",
        "predictions.csv",
        "adapter.safetensors",
        "adapter.json",
        "reliability.json",
        "splits.csv",
        "checkpoints",
        "report.html",
    }


def test_the_record_of_a_run(finished, settings):
    config = read(finished, "config.json")
    assert list(config) == ["settings", "model", "data", "classes", "notes", "versions", "devices"]
    assert config["settings"] == vars(settings) | {
        "lora_targets": ["query", "value"],
        # Chosen.
        "select": "mcc",
        "augment_reverse_complement": "none",
        "average_strands": False,
    }
    assert config["model"]["path"] == str(MODEL)
    assert config["classes"] == ["0", "1"]
    sizes = {part: data["rows"] for part, data in config["data"].items()}
    assert sizes == {"train": 140, "validation": 20, "calibration": 20, "test": 20}
    hashes = {data["sha256"] for data in config["data"].values()}
    assert len(hashes) == 4
    assert all(re.fullmatch("[0-9a-f]{64}", sha) for sha in hashes)
    assert config["versions"]["numpy"] == np.__version__
    assert {"python", "ntjax", "jax", "dm-haiku", "optax", "orbax-checkpoint", "scikit-learn"} < (
        config["versions"].keys()
    )


def test_the_log_has_no_clock_times(finished):
    log = lines(finished)
    assert [line["step"] for line in log] == [10, 20, 30, 40, 50, 60]
    training = {"step", "loss", "gradient_norm", "learning_rate"}
    validation = {f"validation_{name}" for name in ("loss", *METRICS)}
    assert all(line.keys() == training | validation for line in log)
    # Linear decay: the rate of step n (from 0) of 60.
    for line in log:
        expected = 0.02 * (1 - (line["step"] - 1) / 60)
        assert line["learning_rate"] == pytest.approx(expected, rel=1e-5)
    timing = lines(finished, "timing.jsonl")
    assert [line["step"] for line in timing] == [line["step"] for line in log]
    assert all(line.keys() == {"step", "seconds"} for line in timing)


def test_the_task_is_learned(finished):
    log = lines(finished)
    assert log[-1]["loss"] < log[0]["loss"]
    assert read(finished, "test_metrics.json")["auroc"]["value"] > 0.8


def test_the_best_checkpoint_is_the_first_with_the_best_validation_mcc(finished):
    scores = {line["step"]: line["validation_mcc"] for line in lines(finished)}
    best = max(scores.values())
    first = min(step for step, score in scores.items() if score == best)
    assert read(finished, "adapter.json")["training"] == {"best_step": first, "mcc": best}


def test_the_predictions_are_of_the_test_rows_in_order(finished):
    header = (finished / "predictions.csv").read_text().splitlines()[0]
    assert header == "name,label,logit,probability,calibrated_probability,call,row"
    rows = [(row["name"], row["label"]) for row in predictions(finished)]
    assert len(rows) == 20
    own = [(name, label) for name, _, label in planted_rows(200)]
    assert len(set(own)) < len(own)  # names repeat, and may
    places = iter(own)
    assert all(row in places for row in rows)  # a subsequence of the file


def test_every_row_can_be_traced(finished):
    own = planted_rows(200)
    with (finished / "splits.csv").open(newline="") as file:
        splits = list(csv.DictReader(file))
    assert sorted(int(line["row"]) for line in splits) == list(range(2, 202))
    assert all(own[int(line["row"]) - 2][0] == line["name"] for line in splits)
    test = [line["row"] for line in splits if line["part"] == "test"]
    assert test == [line["row"] for line in predictions(finished)]
    # What counts as one in intervals is numbered; training rows are in none.
    assert all(
        (line["group"] != "") == (line["part"] in ("calibration", "test")) for line in splits
    )
    for line in predictions(finished):
        assert own[int(line["row"]) - 2][2] == line["label"]


def test_probabilities_follow_from_logits(finished):
    calibration = read(finished, "adapter.json")["calibration"]
    for row in predictions(finished):
        logit = float(row["logit"])
        assert float(row["probability"]) == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-6)
        # Without either, calibration did not help and the probabilities stay as they are.
        scaled = calibration.get("slope", 1) * logit + calibration.get("intercept", 0)
        assert float(row["calibrated_probability"]) == pytest.approx(
            1 / (1 + math.exp(-scaled)), abs=1e-6
        )


def expected_calibration_error(labels, probabilities):
    total = 0.0
    for low in np.arange(10) / 10:
        high = low + 0.1
        inside = [
            (p, y)
            for p, y in zip(probabilities, labels, strict=True)
            if (low < p <= high + 1e-12) or (low == 0 and p == 0)
        ]
        if inside:
            gap = sum(p for p, _ in inside) / len(inside) - sum(y for _, y in inside) / len(inside)
            total += len(inside) / len(labels) * abs(gap)
    return total


def recomputed(labels, probabilities):
    called = [int(p > 0.5) for p in probabilities]
    return {
        "accuracy": sk.accuracy_score(labels, called),
        "mcc": sk.matthews_corrcoef(labels, called),
        "sensitivity": sk.recall_score(labels, called),
        "specificity": sk.recall_score(labels, called, pos_label=0),
        "precision": sk.precision_score(labels, called),
        "npv": sk.precision_score(labels, called, pos_label=0),
        "f1": sk.f1_score(labels, called),
        "auroc": sk.roc_auc_score(labels, probabilities),
        "auprc": sk.average_precision_score(labels, probabilities),
        "brier": sk.brier_score_loss(labels, probabilities),
        "ece": expected_calibration_error(labels, probabilities),
    }


@pytest.mark.parametrize("column", ["probability", "calibrated_probability"])
def test_the_metrics_follow_from_the_predictions(finished, column):
    result = read(finished, "test_metrics.json")
    assert list(result) == [*METRICS, "calibration_error", "n", "calibrated", "calibration"]
    assert list(result["calibrated"]) == [*METRICS, "calibration_error", "n"]
    reported = result if column == "probability" else result["calibrated"]
    rows = predictions(finished)
    expected = recomputed([int(r["label"]) for r in rows], [float(r[column]) for r in rows])
    assert reported["n"] == len(rows) == 20
    for name, value in expected.items():
        assert reported[name]["value"] == pytest.approx(value, abs=1e-9), name
        low, high = reported[name]["low"], reported[name]["high"]
        assert reported[name].get("interval") if low is None else low <= high


def test_the_reliability_curves_follow_from_the_predictions(finished):
    curves = read(finished, "reliability.json")
    assert list(curves) == ["uncalibrated", "calibrated"]
    rows = predictions(finished)
    labels = np.array([int(row["label"]) for row in rows])
    for kind, column in (("uncalibrated", "probability"), ("calibrated", "calibrated_probability")):
        assert list(curves[kind]) == ["0", "1"]
        positive = np.array([float(row[column]) for row in rows])
        for name, p, y in (("0", 1 - positive, 1 - labels), ("1", positive, labels)):
            curve = curves[kind][name]
            for k in range(10):
                inside = (p > k / 10) & (p <= (k + 1) / 10)
                assert curve["count"][k] == inside.sum()
                if inside.any():
                    assert curve["mean_predicted"][k] == pytest.approx(p[inside].mean())
                    assert curve["fraction_positive"][k] == pytest.approx(y[inside].mean())
                    assert curve["low"][k] <= curve["fraction_positive"][k] <= curve["high"][k]
                else:
                    assert curve["mean_predicted"][k] is None


@pytest.mark.end_to_end
def test_baselines_are_scored_on_the_same_rows(here, finished):
    out = here / "baselines"
    run(quick(here / "train.csv", steps=2, baselines=True), out)
    baselines = read(out, "baselines.json")
    assert list(baselines) == ["gradient boosting", "CNN"]
    rows = [(row["name"], row["label"]) for row in predictions(out)]
    assert rows == [(row["name"], row["label"]) for row in predictions(finished)]
    for result in baselines.values():
        assert list(result)[: len(METRICS)] == list(METRICS)
        assert {"calibration_error", "calibrated", "calibration"} <= result.keys()
        assert result["n"] == 20
        assert result["auroc"]["value"] > 0.9
    assert not (finished / "baselines.json").exists()
    # Stopped while they were being trained: resuming makes up for them.
    before = (out / "baselines.json").read_bytes()
    (out / "baselines.json").unlink()
    run(Settings(), out, resume=True)
    assert (out / "baselines.json").read_bytes() == before


def test_the_same_command_twice_gives_the_same_bytes(here, finished, settings):
    run(settings, here / "again")
    for name in (*RESULTS, "adapter.json", "config.json", "reliability.json"):
        assert (here / "again" / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.end_to_end
def test_another_seed_is_another_run(here, finished):
    run(quick(here / "train.csv", steps=10, seed=1), here / "seed1")
    rows = [(row["name"], row["label"]) for row in predictions(here / "seed1")]
    assert rows != [(row["name"], row["label"]) for row in predictions(finished)]


@pytest.mark.end_to_end
def test_three_classes(here):
    path = write_csv(here / "three.csv", planted_rows(240, classes=3))
    result = run(quick(path, steps=10), here / "three")
    frame = pd.read_csv(here / "three" / "predictions.csv")
    kinds = ("logit", "probability", "calibrated_probability")
    columns = [f"{kind}[{k}]" for kind in kinds for k in range(3)]
    assert list(frame.columns) == ["name", "label", *columns, "call", "row"]
    logits, probabilities = (frame[[f"{kind}[{k}]" for k in range(3)]] for kind in kinds[:2])
    exponentials = np.exp(logits.to_numpy(np.float64))
    expected = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    called = probabilities.to_numpy().argmax(axis=1)
    assert result["n"] == len(frame) == 24
    assert result["accuracy"]["value"] == pytest.approx(sk.accuracy_score(frame.label, called))
    assert result["mcc"]["value"] == pytest.approx(sk.matthews_corrcoef(frame.label, called))
    assert result["sensitivity"]["value"] == pytest.approx(
        sk.recall_score(frame.label, called, average="macro")
    )
    assert result["auroc"]["value"] == pytest.approx(
        sk.roc_auc_score(frame.label, probabilities, multi_class="ovr")
    )
    method = read(here / "three", "adapter.json")["calibration"]["method"]
    assert method in ("temperature", "identity")


@pytest.mark.end_to_end
def test_given_files_are_used_whole(here):
    validation = write_csv(here / "validation.csv", planted_rows(20, seed=1))
    test = write_csv(here / "test.csv", planted_rows(20, seed=2))
    out = here / "given"
    run(quick(here / "train.csv", steps=2, validation=str(validation), test=str(test)), out)
    data = read(out, "config.json")["data"]
    assert (data["validation"]["source"], data["validation"]["rows"]) == (str(validation), 20)
    rows = [(row["name"], row["label"]) for row in predictions(out)]
    assert rows == [(name, label) for name, _, label in planted_rows(20, seed=2)]


@pytest.mark.parametrize("name", ["train.fasta", "train.fa.gz", "train.parquet", "train.tsv.gz"])
def test_other_formats_give_the_same_run(here, name, tmp_path):
    rows, path = planted_rows(200), here / name
    if name == "train.parquet":
        frame = pd.DataFrame(rows, columns=["name", "sequence", "label"])
        frame.astype({"label": int}).to_parquet(path)
    else:
        fasta = "".join(f">{n}|{label}\n{s[:20]}\n{s[20:].lower()}\n" for n, s, label in rows)
        table = "name\tsequence\tlabel\n" + "".join("\t".join(row) + "\n" for row in rows)
        text = (table if "tsv" in name else fasta).encode()
        path.write_bytes(gzip.compress(text, mtime=0) if name.endswith(".gz") else text)
    reference = here / "csv2"
    if not reference.exists():
        run(quick(here / "train.csv", steps=2), reference)
    run(quick(path, steps=2), tmp_path / "out")
    for result in RESULTS:
        if result == "predictions.csv":  # a row is numbered by its place in its own file
            found, expected = (
                [{k: v for k, v in row.items() if k != "row"} for row in predictions(folder)]
                for folder in (tmp_path / "out", reference)
            )
            assert found == expected
        else:
            assert (tmp_path / "out" / result).read_bytes() == (reference / result).read_bytes()


@pytest.mark.end_to_end
def test_a_batch_larger_than_the_data_holds_each_row_once(here):
    """A billion slots, filled up with rows that weigh nothing, would not fit into memory."""
    run(quick(here / "train.csv", steps=2, batch_size=140), here / "whole")
    run(quick(here / "train.csv", steps=2, batch_size=10**9), here / "billion")
    assert lines(here / "billion") == lines(here / "whole")


# What it says


def test_help_lists_every_option_with_its_default(command):
    code, out, err = command("--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: python -m ntjax.finetune ")
    text = re.sub(r"[│\s]+", " ", out.partition("show this help message and exit")[2])
    # Examples keep their lines.
    assert len([line for line in out.splitlines() if line.strip().startswith("python -m")]) == 3
    for option, default in {
        "--model": "mini",
        "--adapter": "ia3",
        "--train": "Default: ecoli_coding_strand for mini, ecoli_promoters for the others",
        "--validation": "Otherwise set aside from the training rows",
        "--test": "Otherwise the data set's, or set aside",
        "--steps": "Default: 1000 (300 for mini)",
        "--batch-size": "Default: 8 (ia3), 16 (lora, full), 32 (head, mini)",
        "--learning-rate": "Default: 3e-3 (ia3), 5e-4 (lora), 5e-5 (full), 1e-3 (head)",
        "--schedule": "linear",
        "--lora-rank": "8",
        "--lora-alpha": "16.0",
        "--lora-dropout": "0.1",
        "--head": "Default: cls (auto for mini)",
        "--seed": "0",
        "--dtype": "float32",
        "--out": "a fresh one under runs/",
        "--resume,": "False",
    }.items():
        entry = re.search(rf" {option} .*?\(default: [^)]*\)", text)
        assert entry, option
        assert default in entry[0], option
    for choices in (
        "{ia3,lora,full,head,bitfit}",
        "{linear,cosine,inverse-sqrt}",
        "{None,auto,cls,mean,tokens,attention}",
    ):
        assert choices in text


@pytest.mark.end_to_end
def test_what_was_chosen_is_printed_first(here, command):
    train, out = here / "train.csv", here / "chosen"
    given = ("--model", MODEL, "--train", train, "--steps", 2, "--out", out, "--no-baselines")
    code, printed, err = command(*given, "--no-progress")
    assert (code, err) == (0, "")
    text = printed.splitlines()
    assert text[0] == (
        "chosen for you: --learning-rate 0.003, --batch-size 8, --head cls, --select mcc"
    )
    assert text[1] == f"model: {MODEL}, 142,539 parameters, float32"
    assert text[2] == "trained: 192 (ia3) + 306 (cls head) parameters"
    assert (
        text[3]
        == "rows: 170 train, 10 validation, 0 calibration, 20 test; classes: 0, 1 (positive)"
    )
    assert text[-2:] == [f"results: {out}", f"report: {out / 'report.html'}"]
    table = [line for line in text if line.startswith("rotary_gelu ia3")]
    assert len(table) == 2
    result = read(out, "test_metrics.json")
    accuracy = result["accuracy"]
    cell = f"{accuracy['value']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}]"
    assert cell in table[0]
    assert re.search(r"\]\d", printed) is None  # columns do not touch


def test_a_run_that_is_not_calibrated_says_so(here, capsys):
    result = run(quick(here / "train.csv", steps=2, calibration_fraction=0.04), here / "few")
    assert result["calibrated"] is None
    printed = capsys.readouterr().out
    assert "note: only 8 calibration rows: the calibrated probabilities may rest on ch" in printed
    assert "rotary_gelu ia3: not calibrated, too few rows" in printed
    assert {row["calibrated_probability"] for row in predictions(here / "few")} == {""}


def test_without_a_folder_a_fresh_one_is_made(here, command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = arguments(quick(here / "train.csv", steps=2), tmp_path)
    given = [word for word in given if word not in ("--out", str(tmp_path))]
    for count in (1, 2):
        assert command(*given)[0] == 0
        made = list((tmp_path / "runs").iterdir())
        assert len(made) == count
        assert all(re.fullmatch(r"\d{8}-\d{6}-rotary_gelu-ia3(-\d)?", run.name) for run in made)


@pytest.mark.end_to_end
def test_the_embedded_default_needs_no_arguments(command, tmp_path):
    """All but `--steps`: 300 of them take two minutes."""
    code, printed, err = command("--steps", 2, "--no-baselines", "--no-progress", "--out", tmp_path)
    assert (code, err) == (0, "")
    assert printed.splitlines()[0] == (
        "chosen for you: --train ecoli_coding_strand, --learning-rate 0.01, --batch-size 32, "
        "--head auto, --select mcc, --augment-reverse-complement flip-label, --average-strands True"
    )


# Bad input


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde"
GOOD = "sequence,label\n" + "".join(f"{s},{y}\n" for _, s, y in planted_rows(60))


def too_long():
    return "sequence,label\n" + "".join(f"{s * 20},{y}\n" for _, s, y in planted_rows(60))


def measurements():
    values = np.random.default_rng(0).normal(size=2000)
    rows = zip(planted_rows(2000), values, strict=True)
    return "sequence,label\n" + "".join(f"{row[1]},{value}\n" for row, value in rows)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", "", "{file}: the file is empty"),
        ("header.csv", "sequence,label\n", "{file}: has column names but no rows"),
        (
            "a.csv",
            GOOD.replace("label", "class"),
            "{file}: no column 'label' among 'sequence', ",
        ),
        ("a.csv", GOOD.replace("sequence", "dna"), "{file}: no column 'sequence' among 'dna', "),
        ("a.csv", re.sub(",0\n", ",1\n", GOOD), "{file}: all 60 rows have the label '1'"),
        (
            "a.csv",
            GOOD + "ACGTXA,1\n",
            "{file}: row 62, position 5: 'X' is not one of A, C, G",
        ),
        (
            "a.csv",
            GOOD + "ACGTRA,1\n",
            "{file}: row 62, position 5: 'R' is not one of A, C, G",
        ),
        ("a.csv", GOOD + "ACGT,nan\n", "{file}: row 62: the label is missing ('nan')"),
        ("a.csv", GOOD + "ACGT,\n", "{file}: row 62: the label is empty"),
        ("a.csv", GOOD + "A,B,C\n", "{file}: line 62 has 3 fields, the header 2"),
        ("a.csv.gz", b"\x1f\x8bnot gzip after all", "{file}: "),
        ("a.csv", PNG, "{file}: "),
        ("a.parquet", b"PAR1 and no more", "{file}: the Parquet data are damaged or incomplete"),
        ("a.fa", ">one\nACGT\n", "{file}: line 1: header '>one' has no label"),
        ("a.csv", too_long(), "{file}, row 2: the sequence is too long: "),
        ("a.csv", measurements(), "{file}: the 2,000 rows have 2,000 different labels"),
        ("a.csv", "sequence,label\nACGTA,0\nCCGTA,1\nAAATT,0\n", "no "),
    ],
)
def test_unusable_training_files(refused, tmp_path, name, content, message):
    path, out = tmp_path / name, tmp_path / "out"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = refused("--model", MODEL, "--train", path, "--out", out, "--no-progress")
    assert found.startswith(message.format(file=path)), found
    assert not out.exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--train", "missing.csv"), "missing.csv: "),
        (("--train", "."), ".: "),
        (("--train", "ecoli_promotors"), "--train ecoli_promotors: there is no such file or data "),
        (("--model", "500M_1000g"), "no model or folder is called '500M_1000g'; did you mean "),
        (("--model", "."), ".: holds no checkpoint; put hyperparams.json and pytree_ckpt.joblib "),
        (("--validation", "missing.csv"), "missing.csv: "),
        (("--test", "missing.csv"), "missing.csv: "),
        (("--steps", "abc"), "--steps 'abc': should be a whole number"),
        (("--accumulation", "1.5"), "--accumulation '1.5': should be a whole number"),
        (("--learning-rate", "1,5"), "--learning-rate '1,5': should be a number"),
        (("--steps", "0"), "--steps is 0: should be at least 1"),
        (("--batch-size", "0"), "--batch-size is 0: should be at least 1"),
        (("--learning-rate", "-0.1"), "--learning-rate is -0.1: should be above 0"),
        (("--learning-rate", "nan"), "--learning-rate is nan: should be a finite number"),
        (("--seed", "-1"), "--seed is -1: should be at least 0"),
        (("--warmup-steps", "20"), "steps (20) must be above 0 and more than the warm-up steps "),
        (("--select", "mc"), "cannot select by 'mc'; known: loss, accuracy, mcc"),
        (("--lora-targets", "nose", "--adapter", "lora"), "LoRA target nose is not a linear layer"),
        (("--adapter", "lorra"), "--adapter 'lorra': should be one of ia3, lora, full, head"),
        (("--test-fraction", "0.95"), "the fractions set aside for validation (0.1), calibration"),
        (("--learn-rate", "3"), "there is no option --learn-rate; did you mean --learning-rate?"),
        (("--bogus", "3"), "there is no option --bogus"),
        (("stray",), "there is no option stray"),
        (
            ("--label-column", "lable"),
            "{train}: no column 'lable' among 'name', 'sequence', 'label': did",
        ),
    ],
)
def test_unusable_options(refused, here, tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    found = refused(*arguments(quick(here / "train.csv"), tmp_path / "out"), *given)
    assert found.startswith(message.format(train=here / "train.csv")), found
    assert not (tmp_path / "out").exists()


def test_a_misspelt_model_is_refused_before_data_are_read(refused, tmp_path):
    """They may have to be downloaded."""
    found = refused("--model", "2B5_multispecies", "--train", "no.csv", "--out", tmp_path / "out")
    assert "did you mean '2B5_multi_species'?" in found


def test_a_class_that_training_lacks(refused, here, tmp_path):
    test = write_csv(tmp_path / "test.csv", [("a", "ACGTACG", "0"), ("b", "ACGTAAA", "7")])
    found = refused(*arguments(quick(here / "train.csv", test=str(test)), tmp_path / "out"))
    assert found.startswith(f"{test}: row 3: class '7' is not one of '0', '1'")


def test_an_unknown_key_of_the_model(refused, here, tmp_path):
    model = shutil.copytree(MODEL, tmp_path / "model")
    path = model / "jax_model" / "hyperparams.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_layer": 3}))
    found = refused(*arguments(quick(here / "train.csv", model=str(model)), tmp_path / "out"))
    assert found == f"{path}: unknown key 'num_layer'; did you mean 'num_layers'?"


@pytest.mark.parametrize("what", ["a finished run", "a stray file"])
def test_a_folder_in_use_is_left_alone(refused, here, finished, tmp_path, what):
    out = finished
    if what == "a stray file":
        out = tmp_path / "notes"
        out.mkdir()
        (out / "notes.txt").write_text("mine")
    before = contents(out)
    found = refused(*arguments(quick(here / "train.csv"), out))
    hint = ", or add --resume to go on with the run in it" if what == "a finished run" else ""
    assert found == f"{out} is in use: give another --out{hint}"
    assert contents(out) == before


def test_a_file_in_place_of_the_folder(refused, here, tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        assert str(out) in refused(*arguments(quick(here / "train.csv"), out))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.end_to_end
def test_a_run_that_diverges_names_step_and_rows(refused, here, tmp_path):
    settings = quick(here / "train.csv", learning_rate=1e38, gradient_clip=0.0, steps=40)
    found = refused(*arguments(settings, tmp_path / "out"))
    assert re.match(r"the loss at step \d+ is (nan|inf); its batch held rows [\d, ]+ of ", found)
    assert not (tmp_path / "out" / "test_metrics.json").exists()


def test_out_of_memory_is_one_line(capsys):
    with pytest.raises(SystemExit) as leaving:
        command_line.run(lambda: jnp.zeros((1 << 50,), jnp.int8).block_until_ready())
    assert leaving.value.code == 2
    assert capsys.readouterr().err.startswith("error: out of memory: lower --batch-size")


def test_a_bug_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        command_line.run(lambda: 1 / 0)


@pytest.mark.end_to_end
def test_the_real_command_exits_with_2_and_one_line(tmp_path):
    process = start("--train", "missing.csv", "--out", "out", cwd=tmp_path)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert re.fullmatch(r"error: missing\.csv: [^\n]+\n", err)
    assert "Traceback" not in out + err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.end_to_end
def test_a_reader_that_has_seen_enough_is_no_error():
    process = start("--help")
    process.stdout.close()
    assert process.wait(timeout=300) == 128 + signal.SIGPIPE
    assert process.stderr.read() == ""
    process.stderr.close()


# Going on


LONG = 400


@pytest.fixture(scope="module")
def long(here):
    return quick(here / "train.csv", steps=LONG, evaluate_every=20)


@pytest.fixture(scope="module")
def uninterrupted(here, long):
    run(long, here / "uninterrupted")
    return here / "uninterrupted"


@pytest.mark.end_to_end
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    here, tmp_path, long, uninterrupted, number
):
    out = tmp_path / "out"
    process = start(*arguments(long, out))
    wait_for_step(process, out, 40)
    os.kill(process.pid, number)
    printed, err = process.communicate(timeout=300)
    if number == signal.SIGTERM:
        assert process.returncode == 128 + signal.SIGTERM
        assert re.fullmatch(
            r"stopped by SIGTERM after step \d+; its state is saved: go on with --resume .*\n", err
        )
        assert "results:" not in printed
    else:
        assert process.returncode == -signal.SIGKILL
    assert not (out / "test_metrics.json").exists()
    assert lines(out)[-1]["step"] < LONG

    run(Settings(), out, resume=True)  # the run's own settings, none repeated
    for name in RESULTS:
        assert (out / name).read_bytes() == (uninterrupted / name).read_bytes(), name
    assert [line["step"] for line in lines(out, "timing.jsonl")] == list(range(10, LONG + 1, 10))


def wait_for_step(process, out, step):
    until = time.monotonic() + 240
    while time.monotonic() < until:
        assert process.poll() is None, process.communicate()
        text = (out / "metrics.jsonl").read_text() if (out / "metrics.jsonl").exists() else ""
        if f'{{"step": {step},' in text:
            return
        time.sleep(0.02)
    process.kill()
    raise AssertionError(f"step {step} was not reached: {process.communicate()}")


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "copy")


def test_a_finished_run_is_left_as_it_is(command, copy):
    before = contents(copy)
    code, out, err = command("--resume", "--out", copy)
    assert (code, err) == (0, "")
    assert out == f"{copy}: this run is finished; nothing to resume\n"
    assert contents(copy) == before


def test_results_that_are_missing_are_made_again(copy, finished):
    """As after an interruption behind the last step: nothing is trained a second time."""
    (copy / "test_metrics.json").unlink()
    run(Settings(), copy, resume=True)
    for name in (*RESULTS, "timing.jsonl"):
        assert (copy / name).read_bytes() == (finished / name).read_bytes(), name


def unfinished(copy):
    (copy / "test_metrics.json").unlink()
    return contents(copy)


def test_resuming_needs_a_folder(refused):
    assert refused("--resume").startswith("--resume needs --out FOLDER")


def test_resuming_needs_a_run(refused, tmp_path):
    found = refused("--resume", "--out", tmp_path)
    assert found == f"{tmp_path / 'config.json'} is missing; is {tmp_path} the folder of a run?"


def test_resuming_with_another_option(refused, copy):
    before = unfinished(copy)
    found = refused("--resume", "--out", copy, "--learning-rate", 0.5, "--seed", 3)
    assert found == (
        f"{copy}: cannot resume with --seed 3, --learning-rate 0.5: the run was begun with "
        "--seed 0, --learning-rate 0.02; leave it out, or begin a new run in another --out"
    )
    assert contents(copy) == before


def test_resuming_with_the_same_options_is_allowed(command, copy, settings):
    code, out, _ = command("--resume", *arguments(settings, copy))
    assert (code, out) == (0, f"{copy}: this run is finished; nothing to resume\n")


def test_resuming_with_other_data(refused, here, tmp_path, finished):
    train = write_csv(tmp_path / "train.csv", planted_rows(200))
    out = tmp_path / "out"
    run(quick(train, steps=2), out)
    before = unfinished(out)
    write_csv(train, planted_rows(200, seed=9))
    found = refused("--resume", "--out", out)
    assert found.startswith(f"{out}: cannot resume: data (train, validation, calibration, test) is")
    assert contents(out) == before


def test_resuming_when_data_and_weights_lie_elsewhere_now(here, tmp_path, refused):
    before, after, out = tmp_path / "before", tmp_path / "after", tmp_path / "out"
    shutil.copytree(MODEL, before / "model")
    write_csv(before / "train.csv", planted_rows(200))
    run(quick(before / "train.csv", steps=2, model=str(before / "model")), out)
    unfinished(out)
    before.rename(after)
    (after / "train.csv").rename(after / "rows.csv")
    assert f"no model or folder is called '{before}" in refused("--resume", "--out", out)
    moved = {"train": str(after / "rows.csv"), "model": str(after / "model")}
    run(Settings(**moved), out, resume=True)
    assert (out / "test_metrics.json").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["settings"].update(stepz=1), "unknown setting 'stepz', did you mean 'steps'?"),
        (lambda c: c["settings"].pop("seed"), "missing setting seed"),
        (lambda c: c["settings"].update(steps="abc"), "--steps is 'abc': should be a whole number"),
        (lambda c: c["settings"].update(steps=0), "--steps is 0: should be at least 1"),
        (lambda c: c.pop("settings"), "it holds no settings"),
        (lambda c: c.update(surprise=1), "should hold settings, model, data, classes, notes"),
        (lambda c: c.pop("data"), "should hold settings, model, data, classes, notes"),
        (lambda c: c["data"].update(other={}), "cannot resume: data (other) is not what"),
        (lambda c: c.update(model=None), "cannot resume: model ("),
        (lambda c: c["model"].pop("sha256"), "cannot resume: model (sha256) is not what"),
        (lambda c: c["model"].update(sha256="0" * 64), "cannot resume: model (sha256) is not what"),
    ],
)
def test_resuming_with_a_damaged_record(refused, copy, change, message):
    config = read(copy, "config.json")
    change(config)
    (copy / "config.json").write_text(json.dumps(config))
    before = unfinished(copy)
    found = refused("--resume", "--out", copy)
    assert found.startswith(str(copy))
    assert message in found
    assert contents(copy) == before


@pytest.mark.parametrize("text", ["", "{", "[1]", "null"])
def test_resuming_with_a_record_that_is_no_json_object(refused, copy, text):
    (copy / "config.json").write_text(text)
    assert str(copy / "config.json") in refused("--resume", "--out", copy)


def test_errors_are_users_errors_in_the_library_too(here, finished):
    with pytest.raises(UserError, match="is in use"):
        run(quick(here / "train.csv"), finished)


def test_the_adapter_file_says_its_format(finished):
    _, metadata = safetensors.read(finished / "adapter.safetensors")
    assert metadata == {"format": "1"}
