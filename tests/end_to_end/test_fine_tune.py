"""`ntjax.fine_tune` and `ntjax.sweep`: the command's results, from a program, without a word."""

import json
import os
import signal
import subprocess
import sys
import threading

import jax
import numpy as np
import pandas as pd
import pytest
from planted_task import (
    MODEL,
    contents,
    planted_rows,
    quick,
    run,
    write_csv,
)
from safetensors.numpy import load_file

import ntjax
from ntjax.errors import UserError
from ntjax.training.callbacks import Callback
from ntjax.training.interruption import Interrupted

pytestmark = pytest.mark.usefixtures("quick_compilation", "compilations_kept")

QUICK = {
    "steps": 20,
    "batch_size": 16,
    "learning_rate": 0.02,
    "head": "mean",
    "evaluate_every": 10,
    "validation_fraction": 0.1,
    "calibration_fraction": 0.1,
    "test_fraction": 0.1,
}


@pytest.fixture(scope="module")
def model():
    return ntjax.load_pretrained(MODEL)


@pytest.fixture(scope="module")
def rows():
    _, sequences, labels = zip(*planted_rows(200), strict=True)
    return list(sequences), list(labels)


@pytest.fixture(scope="module")
def by_command(tmp_path_factory):
    """The folder of the command's run on the same rows."""
    folder = tmp_path_factory.mktemp("command")
    path = write_csv(folder / "train.csv", planted_rows(200))
    run(quick(path, adapter="lora", lora_rank=4), folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def trained(model, rows):
    return ntjax.fine_tune(model, rows, adapter=ntjax.LoRA(rank=4), **QUICK)


def named(run):
    leaves, _ = jax.tree_util.tree_flatten_with_path((run.trainable.adapter, run.trainable.head))
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def equal(one, other):
    one, other = named(one), named(other)
    assert one.keys() == other.keys()
    for name, leaf in one.items():
        np.testing.assert_array_equal(leaf, other[name], err_msg=name)


def test_the_same_adapter_as_the_command_bit_for_bit(trained, by_command, tmp_path):
    trained.save(tmp_path / "saved")
    names = ("adapter.safetensors", "metrics.jsonl", "test_metrics.json", "reliability.json")
    for name in names:
        assert (tmp_path / "saved" / name).read_bytes() == (by_command / name).read_bytes(), name
    assert trained.metrics == json.loads((by_command / "test_metrics.json").read_text())
    loaded = ntjax.load_run(by_command)
    equal(trained, loaded)
    assert loaded.metrics == trained.metrics


def test_saved_and_loaded(trained, rows, tmp_path):
    trained.save(tmp_path / "run")
    loaded = ntjax.load_run(tmp_path / "run")
    for calibrated in (False, True):
        np.testing.assert_array_equal(
            loaded.predict(rows[0][:9], calibrated=calibrated),
            trained.predict(rows[0][:9], calibrated=calibrated),
        )
    np.testing.assert_array_equal(loaded.embed(rows[0][:3]), trained.embed(rows[0][:3]))
    assert loaded.adapter.kind == "lora"
    with pytest.raises(UserError, match="is in use"):
        trained.save(tmp_path / "run")


@pytest.mark.end_to_end
@pytest.mark.parametrize(
    "adapter",
    [ntjax.Full(), ntjax.BitFit(), ntjax.HeadOnly(), "ia3"],
)
def test_every_adapter_is_saved_with_its_kind(model, rows, adapter, tmp_path):
    settings = QUICK | {"steps": 4, "evaluate_every": 2, "learning_rate": 0.001}
    made = ntjax.fine_tune(model, rows, adapter=adapter, **settings)
    made.save(tmp_path / "run")
    loaded = ntjax.load_run(tmp_path / "run")
    assert loaded.adapter == made.adapter
    expected = made.logits(rows[0][:5])
    np.testing.assert_allclose(loaded.logits(rows[0][:5]), expected, rtol=0, atol=1e-5)


def test_a_frame_a_file_and_lists_are_the_same_rows(model, rows, trained, tmp_path):
    frame = pd.DataFrame({"sequence": rows[0], "label": rows[1]})
    path = write_csv(tmp_path / "rows.csv", planted_rows(200))
    numbers = [int(label) for label in rows[1]]
    for given in (frame, str(path), path, (np.array(rows[0]), np.array(numbers))):
        equal(ntjax.fine_tune(model, given, adapter=ntjax.LoRA(rank=4), **QUICK), trained)


def test_parts_that_are_given_are_used(model, rows):
    parts = [tuple(column[a:b] for column in rows) for a, b in ((0, 150), (150, 170), (170, 200))]
    made = ntjax.fine_tune(model, *parts, **QUICK)
    assert made.metrics["n"] == 30
    assert made.record.predictions["label"] == tuple(parts[2][1])
    assert made.record.splits["part"].count("validation") == 20


@pytest.mark.end_to_end
def test_other_tasks(model, rows):
    values = [len(seq.split("TATAAT")) + 0.01 * k for k, seq in enumerate(rows[0])]
    made = ntjax.fine_tune(model, (rows[0], values), task="regression", **QUICK)
    assert made.predict(rows[0][:4]).shape == (4,)
    labels = np.array([[int(label), 1 - int(label)] for label in rows[1]])
    several = ntjax.fine_tune(
        model, (rows[0], labels), task="multilabel", label_column="tata,none", **QUICK
    )
    assert several.classes == ("tata", "none")
    assert several.predict(rows[0][:4]).shape == (4, 2)


def test_nothing_is_printed_and_nothing_is_left_on_disk(model, rows, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ntjax.fine_tune(model, rows, **QUICK)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_the_positive_class_is_chosen(model, rows):
    labels = ["enhancer" if label == "1" else "non-enhancer" for label in rows[1]]
    made = ntjax.fine_tune(model, (rows[0], labels), positive_class="enhancer", **QUICK)
    assert made.classes == ("non-enhancer", "enhancer")
    with pytest.raises(UserError, match="'promoter' should be one of two classes"):
        ntjax.fine_tune(model, (rows[0], labels), positive_class="promoter", **QUICK)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lerning_rate": 1.0}, "unknown setting 'lerning_rate', did you mean 'learning_rate'"),
        ({"steps": "many"}, "--steps is 'many': should be a whole number"),
        ({"adapter": "lorra"}, "unknown adapter 'lorra'"),
        ({"adapter": ntjax.LoRA(rank=100)}, "LoRA rank 100 is above 16"),
        ({"resume": True}, "resume needs out"),
    ],
)
def test_refused(model, rows, options, message):
    with pytest.raises(UserError, match=message):
        ntjax.fine_tune(model, rows, **(QUICK | options))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("ACGT", [1]), r"train: give \(sequences, labels\), a DataFrame"),
        ((["ACGT", "ACGG"], [1]), "train: 2 sequences, 1 labels"),
        (([], []), "train: there are no sequences"),
        ((["ACGT", 5], ["a", "b"]), "train: row 2: the sequence is int, not text"),
        ((["ACGT", "AC-T"], ["a", "b"]), "train: row 2, position 3"),
        (
            pd.DataFrame({"seq": ["ACGT"], "label": [1]}),
            "train: no column 'sequence' among 'seq', 'label'",
        ),
        ("missing.csv", "missing.csv"),
    ],
)
def test_unusable_rows_are_refused(model, given, message):
    with pytest.raises(UserError, match=message):
        ntjax.fine_tune(model, given, **QUICK)


def test_the_module_of_the_command_names_the_function():
    import ntjax.finetune

    with pytest.raises(TypeError, match=r"call ntjax\.fine_tune"):
        ntjax.finetune("mini")


def test_a_run_without_its_baselines_is_not_finished(model, rows, tmp_path, monkeypatch):
    """Killed between the metrics and the baselines."""
    trained_on = []

    def score(parts, *_):
        trained_on.append(len(parts.tables["train"]))
        return {"made up": {"n": 20}}

    monkeypatch.setattr("ntjax.training.finetune.score_baselines", score)
    options = QUICK | {"out": tmp_path / "run", "steps": 2}
    first = ntjax.fine_tune(model, rows, baselines=True, **options)
    before = contents(tmp_path / "run")
    (tmp_path / "run" / "baselines.json").unlink()
    resumed = ntjax.fine_tune(model, rows, resume=True, **options)
    assert resumed.record.baselines == first.record.baselines == {"made up": {"n": 20}}
    equal(resumed, first)
    assert contents(tmp_path / "run") == before
    ntjax.fine_tune(model, rows, resume=True, **options)  # it is finished
    assert trained_on == [140, 140]


class Kill(Callback):
    """Press Ctrl-C after some steps."""

    def __init__(self, step):
        self.step = step

    def after_step(self, event):
        if event.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


class TestControlC:
    @pytest.fixture(autouse=True)
    def heeded(self):
        """Ctrl-C as in a terminal; and whoever is here leaves no handler behind."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        signal.signal(signal.SIGINT, before)

    def test_without_a_folder_it_acts_as_ever(self, model, rows):
        with pytest.raises(KeyboardInterrupt):
            ntjax.fine_tune(model, rows, callbacks=[Kill(3)], **QUICK)

    def test_with_a_folder_the_run_can_be_resumed(self, model, rows, trained, tmp_path):
        options = {"adapter": ntjax.LoRA(rank=4), "out": tmp_path / "run", **QUICK}
        with pytest.raises(Interrupted, match="after step 4"):
            ntjax.fine_tune(model, rows, callbacks=[Kill(3)], **options)
        resumed = ntjax.fine_tune(model, rows, resume=True, **options)
        equal(resumed, trained)
        again = ntjax.fine_tune(model, rows, resume=True, **options)  # it is finished
        equal(again, trained)
        with pytest.raises(UserError, match="cannot resume with --seed 3"):
            ntjax.fine_tune(model, rows, resume=True, **options, seed=3)
        other = (rows[0][:-1], rows[1][:-1])
        os.remove(tmp_path / "run" / "test_metrics.json")
        with pytest.raises(UserError, match=r"cannot resume: data \(train"):
            ntjax.fine_tune(model, other, resume=True, **options)

    def test_in_a_thread(self, model, rows, trained, tmp_path):
        made = []
        options = {"adapter": ntjax.LoRA(rank=4), "out": tmp_path / "run", **QUICK}
        thread = threading.Thread(
            target=lambda: made.append(ntjax.fine_tune(model, rows, **options))
        )
        thread.start()
        thread.join()
        equal(made[0], trained)


class TestSweep:
    def test_members_are_runs_of_their_own(
        self, model, rows, trained, capfd, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        runs = ntjax.sweep(
            model,
            rows,
            vary={"learning_rate": [0.02, 0.005], "seed": range(2)},
            adapter=ntjax.LoRA(rank=4),
            **{k: v for k, v in QUICK.items() if k != "learning_rate"},
        )
        assert capfd.readouterr() == ("", "")
        assert len(runs) == 4
        for name, leaf in named(runs[0]).items():
            np.testing.assert_allclose(leaf, named(trained)[name], rtol=0, atol=1e-4)
        assert [run.record.config["settings"]["seed"] for run in runs] == [0, 1, 0, 1]

    def test_a_sweep_trains_no_baselines(self, model, rows):
        with pytest.raises(UserError, match="a sweep trains none"):
            ntjax.sweep(model, rows, vary={"seed": range(2)}, baselines=True)

    @pytest.mark.end_to_end
    def test_seeds_may_share_their_test_rows(self, model, rows):
        runs = ntjax.sweep(model, rows, vary={"seed": range(2)}, split_seed=7, **QUICK)
        first, second = (run.record for run in runs)
        assert first.splits == second.splits
        assert not np.array_equal(first.predictions["logit"], second.predictions["logit"])

    @pytest.mark.end_to_end
    def test_a_member_that_diverges_is_a_record(self, model, rows):
        settings = {k: v for k, v in QUICK.items() if k != "learning_rate"}
        good, bad = ntjax.sweep(model, rows, vary={"learning_rate": [0.02, 3e38]}, **settings)
        assert good.metrics["n"] == 20
        assert bad.values == {"learning_rate": 3e38}
        assert "is nan" in bad.failure or "not finite" in bad.failure

    def test_on_disk_it_is_the_commands(self, model, rows, tmp_path):
        options = {"vary": {"seed": range(2)}, "out": tmp_path / "sweep", **QUICK}
        runs = ntjax.sweep(model, rows, **options)
        member = tmp_path / "sweep" / "members" / "seed=1"
        saved = load_file(member / "adapter.safetensors")
        np.testing.assert_array_equal(saved["head.output.w"], runs[1].trainable.head["output"]["w"])
        assert len(pd.read_csv(tmp_path / "sweep" / "sweep.csv")) == 2
        again = ntjax.sweep(model, rows, resume=True, **options)
        for one, other in zip(again, runs, strict=True):
            equal(one, other)
        with pytest.raises(UserError, match="cannot resume with --sweep seed=0,1,2: it was begun"):
            ntjax.sweep(model, rows, resume=True, **options | {"vary": {"seed": range(3)}})
        with pytest.raises(UserError, match="cannot resume with --evaluate-every 3"):
            ntjax.sweep(model, rows, resume=True, **options | {"evaluate_every": 3})
        with pytest.raises(UserError, match="is a member of the sweep in"):
            ntjax.fine_tune(model, rows, out=member, resume=True)
        with pytest.raises(UserError, match="did you mean seed"):
            ntjax.sweep(model, rows, vary={"sed": [1]})


LOADED = """
import sys
import ntjax
before = set(sys.modules)
{code}
names = ("orbax", "pandas", "sklearn")
print([name for name in names if name in sys.modules], "jax" in before)
"""


def loaded(code):
    finished = subprocess.run(
        [sys.executable, "-c", LOADED.format(code=code)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    return finished.stdout.strip()


@pytest.mark.end_to_end
def test_what_is_not_needed_is_not_loaded(by_command):
    assert loaded("") == "[] False"
    code = f"""
model = ntjax.load_pretrained("mini")
model.embed(["ACGTACGT"])
run = ntjax.load_run({str(by_command)!r})
run.predict(["ACGTACGTACGT" * 3], calibrated=True)
"""
    assert loaded(code) == "[] False"


def test_every_public_name_is_there():
    for name in ntjax.__all__:
        assert getattr(ntjax, name).__doc__
        assert name in dir(ntjax)
    with pytest.raises(AttributeError, match="no attribute 'fine_tuner'"):
        _ = ntjax.fine_tuner
