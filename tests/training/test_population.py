"""Members that train together are what they would have become alone."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny
from tiers import first_by_default
from tiny import hyperparameters, labelled_run, named, parameters, problem, step_config, trainable

from ntjax.training.loop import DivergedError, LoopConfig, Trainer
from ntjax.training.members import new_member, spread_population, stack, take
from ntjax.training.optimizers import OptimizerConfig

pytestmark = pytest.mark.usefixtures("quick_compilation")

STEPS = 10
CONFIG = step_config(optimizer=OptimizerConfig(STEPS), use_dropout=True)
LOOP = LoopConfig(STEPS, batch_size=7, evaluate_every=5, log_every=1, select="loss")
VALIDATION = problem(16, seed=9)
# Learning rate, dropout, seed, lengths of the rows: all of them each member's own.
MEMBERS = ((0.01, 0.1, 0, (10,)), (0.002, 0.0, 1, (7, 10)), (0.03, 0.5, 2, (7,)))


@pytest.fixture(scope="module")
def params():
    return parameters()


def member_runs(kind, params, config=CONFIG):
    runs = []
    # Of all weights some have gradients that are hardly more than rounding errors, and Adam makes
    # steps of full size out of them: at the rates that vectors and heads take these would show.
    slower = 0.1 if kind == "full" else 1.0
    for rate, dropout, seed, lengths in MEMBERS:
        rows = problem(40, seed=seed, lengths=lengths)
        member = new_member(config.optimizer, trainable(kind, params, seed=seed))
        numbers = hyperparameters(slower * rate, dropout, seed, backbone_dropout=dropout)
        runs.append(labelled_run(config, LOOP, params, member, numbers, rows, VALIDATION, seed))
    return runs


def fit(params, runs, folder, loop=LOOP, config=CONFIG):
    logs = [folder / f"log{number}" for number in range(len(runs))]
    for log in logs:
        log.mkdir(parents=True, exist_ok=True)
    return tiny.fit(config, loop, params, runs, folder, logs)


def lines(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", first_by_default(["head", "lora", "ia3", "full"]))
def test_members_equal_runs_of_their_own(kind, params, tmp_path):
    config = replace(CONFIG, use_dropout=kind == "lora", use_backbone_dropout=kind == "ia3")
    together = fit(params, member_runs(kind, params, config), tmp_path, config=config)
    for number, run in enumerate(member_runs(kind, params, config)):
        [alone] = fit(params, [run], tmp_path / f"run{number}", config=config)
        assert (together[number].step, len(together[number].history)) == (alone.step, STEPS)
        for mine, its in zip(together[number].history, alone.history, strict=True):
            assert mine.keys() == its.keys()
            assert mine == pytest.approx(its, abs=1e-4)
        expected = named(alone.trainable)
        if kind == "full":
            # Adam makes a step of full size out of the rounding error of a gradient that is 0,
            # such as the key bias's: attention does not depend on it.
            expected = {name: leaf for name, leaf in expected.items() if "key']['b" not in name}
        leaves = named(together[number].trainable)
        for name, leaf in expected.items():
            where = f"member {number}, {name}"
            np.testing.assert_allclose(leaves[name], leaf, rtol=0, atol=1e-4, err_msg=where)
    losses = {fitted.history[-1]["loss"] for fitted in together}
    assert len(losses) == len(MEMBERS), "the members were not different"


@pytest.mark.compiled
def test_dropout_of_a_member_is_its_own(params, tmp_path):
    """A rate of 0 among others drops nothing; the others' masks come from their own keys."""
    config, runs = CONFIG, member_runs("lora", params)
    base = runs[0]
    rates = (0.0, 0.0, 0.5, 0.5)
    same = [
        base._replace(hyperparameters=hyperparameters(0.01, rate, seed))
        for rate, seed in zip(rates, (0, 1, 0, 1), strict=True)
    ]
    fitted = fit(params, same, tmp_path, LoopConfig(1, 7, log_every=1, select="loss"), config)
    losses = [member.history[0]["loss"] for member in fitted]
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3


class TestFailing:
    def runs(self, params, rates):
        runs = member_runs("ia3", params)
        numbers = [hyperparameters(rate, 0.0, 0) for rate in rates]
        return [run._replace(hyperparameters=n) for run, n in zip(runs, numbers, strict=True)]

    @pytest.mark.compiled
    def test_the_others_go_on(self, params, tmp_path):
        well = self.runs(params, (0.01, 0.01, 0.01))
        expected = fit(params, well, tmp_path / "a", config=step_config())
        runs = self.runs(params, (0.01, 3e38, 0.01))
        fitted = fit(params, runs, tmp_path / "b", config=step_config())
        assert [bool(member.failure) for member in fitted] == [False, True, False]
        assert "the loss at step 2 is nan; its batch held" in fitted[1].failure
        for number in (0, 2):
            assert fitted[number].history == expected[number].history
            leaves = named(fitted[number].trainable)
            for name, leaf in named(expected[number].trainable).items():
                np.testing.assert_array_equal(leaves[name], leaf)
        assert [line["step"] for line in lines(tmp_path / "b" / "log1")] == [1]

    @pytest.mark.compiled
    def test_a_failure_is_remembered(self, params, tmp_path):
        first = self.runs(params, (0.01, 3e38, 0.01))
        fit(params, first, tmp_path, replace(LOOP, steps=5), config=step_config())
        again = self.runs(params, (0.01, 3e38, 0.01))
        fitted = fit(params, again, tmp_path, config=step_config())
        assert "at step 2" in fitted[1].failure
        assert len(lines(tmp_path / "log2")) == STEPS

    def test_all_of_them(self, params, tmp_path):
        runs = self.runs(params, (3e38, 3e38, 3e38))
        with pytest.raises(DivergedError, match="at step 2 is nan") as error:
            fit(params, runs, tmp_path, config=step_config())
        assert len(error.value.failures) == 3
        assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.compiled
def test_patience_is_each_members_own(params, tmp_path):
    # At a rate of 0 the first evaluation is the best for ever.
    loop = LoopConfig(STEPS, 7, evaluate_every=1, log_every=1, select="loss", patience=3)
    runs = [
        run._replace(hyperparameters=hyperparameters(rate, 0.0))
        for run, rate in zip(member_runs("head", params), (0.0, 0.003, 0.0), strict=True)
    ]
    fitted = fit(params, runs, tmp_path, loop, step_config())
    assert [len(member.history) for member in fitted] == [4, STEPS, 4]
    assert [member.step for member in fitted][::2] == [1, 1]


@pytest.mark.compiled
def test_a_member_that_has_stopped_can_not_fail(params, tmp_path):
    # The first member gets no better from the first evaluation on and is stepped on until its
    # numbers overflow; the second keeps the population going.
    loop = LoopConfig(STEPS, 7, evaluate_every=1, log_every=1, select="loss", patience=1)
    config = step_config(optimizer=OptimizerConfig(STEPS, "inverse-sqrt", gradient_clip=0.0))
    rates = (1e9, 0.003)

    def runs():
        made = member_runs("lora", params, config)[:2]
        return [
            run._replace(hyperparameters=hyperparameters(rate, 0.0))
            for run, rate in zip(made, rates, strict=True)
        ]

    [alone] = fit(params, runs()[:1], tmp_path / "a", loop, config)
    together = fit(params, runs(), tmp_path / "b", loop, config)
    assert len(together[1].history) > len(alone.history)
    assert (together[0].failure, together[0].step) == (alone.failure, alone.step) == ("", 1)
    assert len(together[0].history) == len(alone.history) == 2


@pytest.mark.compiled
def test_resumed_bit_for_bit(params, tmp_path):
    whole = fit(params, member_runs("lora", params), tmp_path / "whole")
    for steps in (5, STEPS):
        runs = member_runs("lora", params)
        halves = fit(params, runs, tmp_path / "halves", replace(LOOP, steps=steps))
    for number, (one, two) in enumerate(zip(whole, halves, strict=True)):
        assert one.history == two.history
        logs = [
            (tmp_path / part / f"log{number}" / "metrics.jsonl").read_bytes()
            for part in ("whole", "halves")
        ]
        assert logs[0] == logs[1]
        leaves = named(two.trainable)
        for name, leaf in named(one.trainable).items():
            np.testing.assert_array_equal(leaves[name], leaf)


def test_stack_and_take():
    trees = [{"a": np.full(2, number), "key": jax.random.key(number)} for number in range(3)]
    population = stack(trees)
    assert population["a"].shape == (3, 2)
    for number, tree in enumerate(trees):
        one = take(population, number)
        np.testing.assert_array_equal(one["a"], tree["a"])
        assert jax.random.key_data(one["key"]).tolist() == [0, number]


def test_shorter_batches_are_padded(params, tmp_path):
    trainer = Trainer(CONFIG, LOOP, params, member_runs("ia3", params))
    batches = trainer._batches(0)
    spread = spread_population(batches, 1)
    longest = max(batch.tokens.shape[1] for batch in batches)
    assert len({batch.tokens.shape[1] for batch in batches}) > 1
    assert spread.tokens.shape == (1, 3, 1, 7, longest)
    for number, batch in enumerate(batches):
        length = batch.tokens.shape[1]
        np.testing.assert_array_equal(spread.tokens[0, number, 0, :, :length], batch.tokens)
        assert (spread.tokens[0, number, 0, :, length:] == 1).all()  # <pad>


@pytest.mark.compiled
def test_devices_change_nothing(tmp_path):
    """The same population on two devices, each with half of every member's rows."""
    results = {}
    for devices in (1, 2):
        path = tmp_path / f"{devices}.npz"
        flags = (
            f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
        )
        subprocess.run(
            [sys.executable, "-W", "error", str(Path(__file__)), str(path)],
            env=_environment() | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
            check=True,
        )
        results[devices] = dict(np.load(path))
    assert results[1]
    for name, leaf in results[1].items():
        np.testing.assert_allclose(results[2][name], leaf, rtol=0, atol=1e-5, err_msg=name)


def _environment():
    import os

    helpers = Path(__file__).parents[1] / "helpers"
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(helpers), *sys.path])}


def main(path):
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        params = parameters()
        fitted = fit(params, member_runs("lora", params), Path(folder))
    leaves = {
        f"{number}{name}": leaf
        for number, member in enumerate(fitted)
        for name, leaf in named(member.trainable).items()
    }
    np.savez(path, **leaves)


if __name__ == "__main__":
    main(sys.argv[1])
