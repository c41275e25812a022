"""`--sweep` from the command to its folder: members as if each had been a run of its own."""

import json
import logging
import shutil
import signal
import time
from dataclasses import replace

import jax
import numpy as np
import pandas as pd
import pytest
from planted_task import (
    arguments,
    contents,
    planted_rows,
    quick,
    run,
    start,
    write_csv,
)

import ntjax
from ntjax.checkpoints import safetensors
from ntjax.errors import UserError
from ntjax.finetune import Options, finetune
from ntjax.inference import forward
from ntjax.io.tables import SequenceTable
from ntjax.reports import console as result_tables
from ntjax.reports.console import means_over_seeds, split_rows
from ntjax.training import population, step
from ntjax.training.finetune import on_disk, train_jobs
from ntjax.training.job import prepare
from ntjax.training.sweep import expand

pytestmark = pytest.mark.usefixtures("quick_compilation", "compilations_kept")

SWEEP = ("learning_rate=0.005,0.02", "seed=0:2")
NAMES = [f"learning_rate={rate},seed={seed}" for rate in ("0.005", "0.02") for seed in (0, 1)]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    write_csv(folder / "train.csv", planted_rows(200))
    return folder


@pytest.fixture(scope="module")
def settings(here):
    return quick(here / "train.csv", adapter="lora", steps=10, evaluate_every=5, learning_rate=None)


def sweep(settings, out, texts=(), **options):
    return finetune(Options(settings, out, progress=False, sweep=texts, **options))


@pytest.fixture(scope="module")
def finished(here, settings):
    sweep(settings, here / "finished", SWEEP)
    return here / "finished"


def read(path):
    return json.loads(path.read_text())


def tensors(folder):
    return safetensors.read(folder / "adapter.safetensors")[0]


@pytest.mark.end_to_end
def test_members_equal_runs_of_their_own(here, settings, finished):
    for member in expand(settings, SWEEP):
        alone, together = here / f"alone-{member.name}", finished / "members" / member.name
        run(member.settings, alone)
        assert read(together / "config.json") == read(alone / "config.json")
        its = tensors(alone)
        assert len(its) > 4
        for name, tensor in tensors(together).items():
            np.testing.assert_allclose(tensor, its[name], rtol=0, atol=1e-4, err_msg=name)
        mine, theirs = (pd.read_csv(f / "predictions.csv") for f in (together, alone))
        pd.testing.assert_frame_equal(mine, theirs, rtol=0, atol=1e-3)
        assert read(together / "test_metrics.json")["n"] == read(alone / "test_metrics.json")["n"]


def test_seeds_have_their_own_split(finished):
    first, second = (pd.read_csv(finished / "members" / n / "predictions.csv") for n in NAMES[:2])
    assert set(first["name"]) != set(second["name"])


def test_what_it_leaves(finished):
    assert sorted(path.name for path in (finished / "members").iterdir()) == sorted(NAMES)
    table = pd.read_csv(finished / "sweep.csv")
    assert list(table["member"]) == NAMES
    assert list(table["learning_rate"]) == [0.005, 0.005, 0.02, 0.02]
    for _, line in table.iterrows():
        result = read(finished / "members" / line["member"] / "test_metrics.json")
        assert line["test_mcc"] == pytest.approx(result["mcc"]["value"])
        assert line["test_auroc_high"] == pytest.approx(result["auroc"]["high"])
        log = (finished / "members" / line["member"] / "metrics.jsonl").read_text().splitlines()
        best = next(x for x in map(json.loads, log) if x["step"] == line["best_step"])
        assert line["validation_mcc"] == pytest.approx(best["validation_mcc"])
    assert read(finished / "sweep.json")["populations"] == [NAMES]


def test_a_member_is_a_run(finished):
    saved = ntjax.load_run(finished / "members" / NAMES[0])
    assert saved.predict(["ACGT" * 9]).shape == (1, 2)


def test_what_it_prints(settings, finished, capsys):
    sweep(settings, finished, resume=True)
    printed = capsys.readouterr().out
    assert all(name in printed for name in NAMES)
    assert "mean validation mcc over seeds ± its standard error (corrected: seeds" in printed
    data = read(finished / "members" / NAMES[0] / "config.json")["data"]
    inflation = np.sqrt(1 / 2 + data["validation"]["rows"] / data["train"]["rows"])
    table = pd.read_csv(finished / "sweep.csv")
    means = table.groupby("learning_rate")["validation_mcc"]
    for rate in (0.005, 0.02):
        mean, error = means.mean()[rate], means.std()[rate] * inflation
        assert f"learning_rate={rate}: {mean:.3f} ± {error:.3f} (2 seeds)" in printed
    assert f"best by validation mcc: learning_rate={means.mean().idxmax()}." in printed


def test_means_over_seeds():
    lines = [
        ("lora_rank=1,seed=0", 0.5),
        ("lora_rank=1,seed=1", 0.7),
        ("lora_rank=2,seed=0", 0.9),
        ("lora_rank=2,seed=1", None),
    ]
    table = pd.DataFrame(lines, columns=["member", "validation_mcc"])
    summary = means_over_seeds(table, "mcc").to_dict("records")
    assert summary[0] == pytest.approx(
        {"setting": "lora_rank=1", "mean": 0.6, "error": 0.1, "seeds": 2, "members": 2}
    )
    assert (summary[1]["mean"], summary[1]["seeds"], summary[1]["members"]) == (0.9, 1, 2)
    assert np.isnan(summary[1]["error"])
    # By hand: sd = sqrt(0.02), times sqrt(1/2 + 50/450).
    summary = means_over_seeds(table, "mcc", (450, 50)).to_dict("records")
    assert summary[0]["error"] == pytest.approx((0.02 * (1 / 2 + 1 / 9)) ** 0.5)


def test_seeds_split_the_same_rows_or_share_their_validation_rows():
    def table(*sequences):
        rows = tuple(range(1, len(sequences) + 1))
        return SequenceTable(sequences, sequences, None, "rows", rows)

    shared = [{"train": table("A", "C", "G"), "validation": table("T")}] * 2
    assert split_rows(shared) is None
    other = {"train": table("T", "C", "G"), "validation": table("A")}
    assert split_rows([shared[0], other]) == (3, 1)


class TestBest:
    def printed(self, names, values, capsys):
        table = pd.DataFrame({"member": names, "validation_mcc": values})
        result_tables._print_best(table, "mcc")
        return capsys.readouterr().out

    def test_seeds_alone_have_a_mean_and_no_best(self, capsys):
        printed = self.printed(["seed=0", "seed=1", "seed=2"], [0.5, 0.6, 0.7], capsys)
        assert "its standard error (plain: all seeds share their validation rows)" in printed
        assert "all members: 0.600 ± 0.058 (3 seeds)" in printed
        assert "best" not in printed

    def test_a_setting_that_fails_with_a_seed_does_not_win(self, capsys):
        names = [f"learning_rate={rate},seed={seed}" for rate in (1, 2) for seed in (0, 1)]
        printed = self.printed(names, [0.5, 0.6, 0.9, None], capsys)
        assert "learning_rate=2: 0.900 (1 of 2 seeds, the others failed or undefined)" in printed
        assert "best by validation mcc: learning_rate=1." in printed

    def test_the_lowest_loss(self, capsys):
        table = pd.DataFrame({"member": ["lora_rank=1", "lora_rank=2"], "validation_loss": [2, 1]})
        result_tables._print_best(table, "loss")
        assert "best by validation loss: lora_rank=2." in capsys.readouterr().out


def test_shapes_make_groups(settings, here):
    swept = expand(settings, ("lora_rank=2,4", "lora_dropout=0,0.5", "batch_size=8,16"))
    jobs = prepare([member.settings for member in swept])
    groups = population.grouped(jobs)
    found = [{swept[number].name for number in group} for group in groups]
    expected = [
        {f"lora_rank={rank},lora_dropout={dropout},batch_size={size}" for dropout in ("0", "0.5")}
        for rank in (2, 4)
        for size in (8, 16)
    ]
    assert found == expected
    for group in groups:
        together = population.sharing_a_program([jobs[number] for number in group])
        assert len({job.step for job in together}) == 1
        assert together[0].step.use_dropout
    assert len({id(job.model) for job in jobs}) == 1
    assert len({id(job.parts) for job in jobs}) == 1


@pytest.fixture(scope="module")
def jobs(settings):
    swept = expand(settings, ("learning_rate=1:6",))
    return population.sharing_a_program(prepare([member.settings for member in swept]))


@pytest.mark.compiled
class TestMemory:
    def test_grows_with_the_members(self, jobs):
        one, two, four = (population.step_memory(jobs[:count]) for count in (1, 2, 4))
        assert one < two < four
        assert 1.5 < (four - two) / (two - one) < 3

    def test_as_many_as_fit(self, jobs):
        needed = population.step_memory(jobs[:3])
        assert population.members_that_fit(jobs, 2 * needed) == 5
        assert 2 <= population.members_that_fit(jobs, 1.05 * needed) <= 3
        assert population.members_that_fit(jobs, 1.0) == 1

    def test_of_this_machine(self, jobs):
        total = population.available_memory()
        assert 2**27 < total < 2**45
        assert population.members_that_fit(jobs, total) == 5

    def test_chunks_are_even(self, jobs):
        assert [len(chunk) for chunk in population.chunked(jobs, 3)] == [3, 2]
        assert [len(chunk) for chunk in population.chunked(jobs, 1)] == [1] * 5
        assert [len(chunk) for chunk in population.chunked(jobs)] == [5]

    @pytest.mark.parametrize(("measured", "compiled"), [(4, 1), (3, 2)])
    def test_the_training_uses_the_program_that_was_measured(
        self, jobs, tmp_path, caplog, measured, compiled
    ):
        """What is left to compile is prediction; and the step, if another was measured."""
        jobs = [replace(job, loop=replace(job.loop, steps=2)) for job in jobs[:4]]
        step.compile_train_step.cache_clear()
        forward.compile_predict.cache_clear()
        population.step_memory(jobs[:measured])
        folders = [tmp_path / str(number) for number in range(4)]
        for folder in folders:
            folder.mkdir()
        with jax.log_compiles(), caplog.at_level(logging.WARNING):
            train_jobs(jobs, on_disk(tmp_path, folders))
        finished = [m for m in caplog.messages if "Finished XLA compilation of jit(_fun)" in m]
        assert len(finished) == compiled


@pytest.mark.end_to_end
def test_fewer_at_once(here, settings, finished):
    sweep(settings, here / "pairs", SWEEP, members_at_once=3)
    assert read(here / "pairs" / "sweep.json")["populations"] == [NAMES[:2], NAMES[2:]]
    for name in NAMES:
        its = tensors(finished / "members" / name)
        for key, tensor in tensors(here / "pairs" / "members" / name).items():
            np.testing.assert_allclose(tensor, its[key], rtol=0, atol=1e-4)


@pytest.mark.end_to_end
def test_a_member_that_diverges(here, settings, capsys):
    results = sweep(settings, here / "ill", ("learning_rate=0.02,3e38",))
    assert list(results) == ["learning_rate=0.02"]
    assert "failed: the loss at step" in capsys.readouterr().out
    ill = here / "ill" / "members" / "learning_rate=3e+38"
    assert "is nan" in read(ill / "failure.json")["failure"]
    assert not (ill / "test_metrics.json").exists()
    table = pd.read_csv(here / "ill" / "sweep.csv")
    assert table["failure"].notna().tolist() == [False, True]


def test_all_diverge(here, settings):
    with pytest.raises(UserError, match="every member failed, the first because of this: the loss"):
        sweep(settings, here / "worse", ("learning_rate=2e38,3e38",))
    table = pd.read_csv(here / "worse" / "sweep.csv")
    assert table["failure"].notna().all()


def test_a_rank_beyond_the_models(here, settings):
    with pytest.raises(UserError, match="LoRA rank 100,000,000 is above 16"):
        sweep(settings, here / "vast", ("lora_rank=2,100000000",))
    assert not (here / "vast").exists()


def test_members_at_once_without_a_sweep(here, settings):
    with pytest.raises(UserError, match="goes with a new --sweep"):
        sweep(settings, here / "one", members_at_once=2)


class TestResume:
    @pytest.mark.end_to_end
    def test_after_a_kill(self, settings, tmp_path):
        settings = replace(settings, steps=60)
        whole, killed = (
            start(*arguments(settings, tmp_path / name), "--sweep", *SWEEP)
            for name in ("whole", "killed")
        )
        log = tmp_path / "killed" / "members" / NAMES[-1] / "metrics.jsonl"
        while not (log.exists() and b"validation" in log.read_bytes()):
            assert killed.poll() is None, killed.stderr.read()
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert not (log.parent / "test_metrics.json").exists()
        again = start("--out", str(tmp_path / "killed"), "--resume", "--no-progress")
        for process in (whole, again):
            _, errors = process.communicate()
            assert process.returncode == 0, errors
        expected, found = (contents(tmp_path / name / "members") for name in ("whole", "killed"))
        assert expected.keys() == found.keys()
        for name in expected:
            if not name.endswith("timing.jsonl"):
                assert found[name] == expected[name], name

    def test_only_what_is_missing(self, here, settings, finished, tmp_path):
        out = tmp_path / "again"
        shutil.copytree(finished, out)
        (out / "members" / NAMES[2] / "test_metrics.json").unlink()
        kept = (out / "members" / NAMES[0] / "test_metrics.json").stat().st_mtime_ns
        sweep(settings, out, resume=True)
        assert (out / "members" / NAMES[0] / "test_metrics.json").stat().st_mtime_ns == kept
        for file, content in contents(finished / "members").items():
            if not file.endswith("timing.jsonl"):
                assert contents(out / "members")[file] == content, file

    def test_what_a_killed_write_leaves(self, here, settings, finished, tmp_path):
        out = tmp_path / "stray"
        shutil.copytree(finished, out)
        member = out / "members" / NAMES[0]
        shutil.rmtree(member)
        member.mkdir()
        (member / ".config.json.123-abc.tmp").write_text("{")
        sweep(settings, out, resume=True)
        assert (member / "test_metrics.json").exists()

    @pytest.mark.parametrize("file", ["adapter.json", "test_metrics.json", "config.json"])
    def test_damaged_members(self, settings, finished, tmp_path, file):
        out = tmp_path / "damaged"
        shutil.copytree(finished, out)
        (out / "members" / NAMES[0] / file).write_text("[]")
        with pytest.raises(UserError, match=file) as error:
            sweep(settings, out, resume=True)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("options", "texts", "message"),
        [
            ({"steps": 11}, (), "cannot resume with --steps 11"),
            ({}, ("seed=0:3",), "cannot resume with --sweep seed=0:3: it was begun with"),
        ],
    )
    def test_with_something_else(self, finished, settings, options, texts, message):
        with pytest.raises(UserError, match=message):
            sweep(replace(settings, **options), finished, texts, resume=True)

    def test_with_rows_that_have_moved(self, here, settings, finished, tmp_path):
        out, moved = tmp_path / "out", str(tmp_path / "moved.csv")
        shutil.copytree(finished, out)
        plan = read(out / "sweep.json")
        plan["settings"]["train"] = "gone.csv"
        (out / "sweep.json").write_text(json.dumps(plan))
        with pytest.raises(UserError, match=r"gone\.csv: no such file"):
            finetune(Options(out=out, progress=False, resume=True))
        shutil.copy(here / "train.csv", moved)
        sweep(replace(settings, train=moved), out, resume=True)
        write_csv(tmp_path / "moved.csv", planted_rows(200, seed=9))
        with pytest.raises(UserError, match=r"cannot resume: data \(train"):
            sweep(replace(settings, train=moved), out, resume=True)

    @pytest.mark.parametrize(
        "damage",
        [
            lambda plan: plan.pop("sweep"),
            lambda plan: plan.update(populations=[["a"]]),
            lambda plan: plan.update(populations=3),
            lambda plan: plan.update(sweep=["luck=1"]),
            lambda plan: plan["settings"].update(steps="many"),
        ],
        ids=["missing", "members", "type", "unknown", "setting"],
    )
    def test_damaged(self, finished, settings, tmp_path, damage):
        plan = read(finished / "sweep.json")
        damage(plan)
        (tmp_path / "sweep.json").write_text(json.dumps(plan))
        with pytest.raises(UserError, match="restore the file") as error:
            sweep(settings, tmp_path, resume=True)
        assert "\n" not in str(error.value)


def test_a_member_is_not_resumed_alone(finished, settings):
    with pytest.raises(UserError, match=r"is a member of the sweep in .*: resume that"):
        sweep(settings, finished / "members" / NAMES[0], resume=True)


def test_resume_needs_a_folder(settings):
    with pytest.raises(UserError, match="--resume needs --out"):
        sweep(settings, None, SWEEP, resume=True)


def test_an_occupied_folder(finished, settings):
    with pytest.raises(UserError, match="add --resume to go on"):
        sweep(settings, finished, SWEEP)


def test_members_at_once_below_0(tmp_path, settings):
    with pytest.raises(UserError, match="should be at least 0"):
        sweep(settings, tmp_path / "x", SWEEP, members_at_once=-1)
