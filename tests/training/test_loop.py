"""The loop: which state is kept, when it stops, and what it refuses to save."""

import json
import os
import signal
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.metrics import log_loss, matthews_corrcoef
from tiny import hyperparameters, labelled_run, named, parameters, problem, step_config, trainable

from ntjax.datasets.batching import TokenisedSet, TrainingBatches
from ntjax.errors import UserError
from ntjax.inference import predict as prediction
from ntjax.inference.forward import compile_predict, head_outputs
from ntjax.inference.predict import predict
from ntjax.tasks import Classification
from ntjax.training.finetune import on_disk
from ntjax.training.interruption import Interruption
from ntjax.training.loop import LoopConfig, Trainer
from ntjax.training.members import new_member
from ntjax.training.step import compile_train_step

CONFIG = step_config()
TRAINING, VALIDATION = problem(), problem(16, seed=1)


@pytest.fixture(scope="module")
def params():
    return parameters()


@pytest.fixture(scope="module")
def compiled():
    return compile_train_step(CONFIG, 1), compile_predict(CONFIG.forward)


@pytest.fixture
def train(params, compiled, tmp_path):
    """`train(...)`: a run in `tmp_path`; programs are shared, since rates are no part of them."""

    def run(learning_rate=0.01, start=None, validation=VALIDATION, **options):
        defaults = {"steps": 20, "batch_size": 8, "evaluate_every": 5, "select": "loss"}
        config = LoopConfig(**(defaults | options))
        member = new_member(CONFIG.optimizer, start or trainable("ia3", params))
        rates = hyperparameters(learning_rate)
        one = labelled_run(CONFIG, config, params, member, rates, TRAINING, validation)
        trainer = Trainer(CONFIG, config, params, [one])
        trainer.train_step = compiled[0]
        [fitted] = trainer.fit(on_disk(tmp_path, [tmp_path]))
        return fitted

    return run


def log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def evaluations(history, name):
    return [(x["step"], x[f"validation_{name}"]) for x in history if "validation_loss" in x]


def best(history, name, higher):
    """Step and value of the best that is a number; of equals the lowest loss, then the first."""
    losses = dict(evaluations(history, "loss"))
    numbers = [(step, value) for step, value in evaluations(history, name) if value is not None]
    return min(numbers, key=lambda n: (-n[1] if higher else n[1], losses[n[0]], n[0]))


class TestSelection:
    @pytest.mark.parametrize(
        ("select", "higher"), [("loss", False), ("brier", False), ("accuracy", True), ("mcc", True)]
    )
    def test_the_best_evaluation_wins(self, train, tmp_path, select, higher):
        # A rate that overshoots, so that the best is neither the first nor the last.
        fitted = train(0.3, select=select, evaluate_every=2)
        pairs = evaluations(log(tmp_path), select)
        assert [step for step, _ in pairs] == list(range(2, 21, 2))
        assert len({value for _, value in pairs}) > 2
        assert (fitted.step, fitted.value) == best(log(tmp_path), select, higher)
        assert fitted.history == log(tmp_path)

    def test_the_state_is_that_of_the_best_step(self, train, params, compiled):
        fitted = train(0.3, evaluate_every=2)
        assert fitted.step < 20
        logits = predict(CONFIG.forward, params, fitted.trainable, VALIDATION)
        loss = log_loss(VALIDATION.labels, np.exp(log_softmax(logits.astype(float), axis=1)))
        assert loss == pytest.approx(fitted.value, abs=1e-6)

    def test_of_equals_the_earliest(self, train):
        fitted = train(0.0, select="accuracy")
        assert fitted.step == 5

    def test_undefined_never_wins(self, train, params, tmp_path):
        # Nothing is called positive at first: there is no precision.
        start = trainable("ia3", params)
        start.head["output"]["b"][:] = (3.0, -3.0)
        fitted = train(0.1, start=start, select="precision", steps=40)
        pairs = evaluations(log(tmp_path), "precision")
        assert pairs[0] == (5, None)
        assert (fitted.step, fitted.value) == best(log(tmp_path), "precision", higher=True)

    def test_never_defined(self, train, tmp_path):
        one_class = TokenisedSet(VALIDATION.tokens, VALIDATION.lengths, 0 * VALIDATION.labels)
        fitted = train(0.3, validation=one_class, select="auroc", evaluate_every=2)
        losses = evaluations(log(tmp_path), "loss")
        assert fitted.value is None
        assert fitted.step == min(losses, key=lambda pair: pair[1])[0]


class TestStopping:
    def test_patience(self, train, tmp_path):
        # At a rate of 0 the first evaluation is the best for ever.
        fitted = train(0.0, patience=2, log_every=100)
        assert [line["step"] for line in log(tmp_path)] == [5, 10, 15]
        assert fitted.step == 5

    def test_patience_counts_anew_after_an_improvement(self, train, tmp_path):
        fitted = train(0.3, patience=3, evaluate_every=1, steps=60)
        pairs = evaluations(log(tmp_path), "loss")
        assert len(pairs) < 60
        assert pairs[-1][0] == fitted.step + 3
        improved = [s for s, v in pairs if v < min([x for t, x in pairs if t < s], default=9e9)]
        assert improved[-1] == fitted.step
        assert np.diff(improved).max() <= 3

    def test_no_patience_is_endless(self, train, tmp_path):
        train(0.0)
        assert log(tmp_path)[-1]["step"] == 20

    def test_a_stopped_run_does_not_go_on(self, train, tmp_path):
        first = train(0.0, patience=2)
        before = (tmp_path / "metrics.jsonl").read_bytes()
        again = train(0.0, patience=2)
        assert (tmp_path / "metrics.jsonl").read_bytes() == before
        assert (again.step, again.value, again.history) == (first.step, first.value, first.history)


class TestLog:
    def test_steps_that_are_logged(self, train, tmp_path):
        train(steps=17, evaluate_every=5, log_every=4)
        lines = log(tmp_path)
        assert [line["step"] for line in lines] == [4, 5, 8, 10, 12, 15, 16, 17]
        evaluated = [line["step"] for line in lines if "validation_mcc" in line]
        assert evaluated == [5, 10, 15, 17]
        assert lines[0].keys() == {"step", "loss", "gradient_norm", "learning_rate"}
        timing = [json.loads(x) for x in (tmp_path / "timing.jsonl").read_text().splitlines()]
        assert [line["step"] for line in timing] == [line["step"] for line in lines]

    def test_no_clock_times(self, train, tmp_path):
        train()
        assert not any("second" in name for line in log(tmp_path) for name in line)


class TestDivergence:
    def rows_of(self, step):
        return set(TrainingBatches(TRAINING, 8, seed=0).batch(step - 1).real_rows)

    def test_step_and_rows_are_named(self, train, tmp_path):
        # The first step's loss is that of the start; its update then overflows.
        with pytest.raises(UserError, match="the loss at step 2 is nan") as error:
            train(3e38)
        listed = str(error.value).split("[")[1].split("]")[0].split()
        assert {int(row) for row in listed} == self.rows_of(2)
        assert not self.rows_of(2) & self.rows_of(1)
        assert not list((tmp_path / "checkpoints").iterdir())
        assert (tmp_path / "metrics.jsonl").read_text() == ""

    def test_seen_first_on_the_validation_rows(self, train, tmp_path):
        with pytest.raises(UserError, match="outputs after step 1 are not finite") as error:
            train(3e38, evaluate_every=1)
        listed = str(error.value).split("[")[1].split("]")[0].split()
        assert {int(row) for row in listed} == self.rows_of(1)
        assert not list((tmp_path / "checkpoints").iterdir())

    def test_a_gradient_that_is_not_finite(self, train, params, tmp_path):
        start = trainable("ia3", params)
        # A loss of about 1e30 is still a number; the square of its gradient is not.
        start.head["output"]["w"][:] *= 1e30
        with pytest.raises(UserError, match="the gradient norm at step 1 is inf"):
            train(start=start)
        assert not list((tmp_path / "checkpoints").iterdir())

    def test_earlier_checkpoints_stay(self, train, tmp_path):
        train(steps=10)
        with pytest.raises(UserError, match="step 12 is nan"):
            train(3e38)
        assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["10"]
        assert [line["step"] for line in log(tmp_path)] == [5, 10]


class TestPredict:
    @pytest.mark.parametrize("rows", [1, 29])
    def test_every_row_in_its_place(self, params, compiled, rows, monkeypatch):
        monkeypatch.setattr(prediction, "EVALUATION_TOKENS", 40)  # several batches a bucket
        data, state = problem(rows, seed=3, lengths=(5, 7, 10)), trainable("ia3", params)
        logits = predict(CONFIG.forward, params, state, data)
        assert (logits.shape, logits.dtype) == ((rows, 2), np.float32)
        one = jax.jit(lambda tokens: head_outputs(CONFIG.forward, params, state, tokens))
        for row, length in enumerate(data.lengths):
            alone = one(data.tokens[row : row + 1, :length].astype(np.int32))[0]
            np.testing.assert_allclose(logits[row], alone, atol=1e-5)


def test_evaluate_against_scikit_learn():
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(40, 3)).astype(np.float32) * 3, np.arange(40) % 3
    values = Classification.validation_scores(logits, labels)
    probabilities = np.exp(log_softmax(logits.astype(float), axis=1))
    assert values["loss"] == pytest.approx(log_loss(labels, probabilities))
    assert values["accuracy"] == pytest.approx((logits.argmax(axis=1) == labels).mean())
    assert values["mcc"] == pytest.approx(matthews_corrcoef(labels, logits.argmax(axis=1)))


def test_the_callers_state_is_not_touched(train, params):
    start = trainable("ia3", params)
    before = named(start)
    train(0.1, start=start)
    assert all((before[name] == leaf).all() for name, leaf in named(start).items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"batch_size": 0}, "batch size must be at least 1"),
        ({"accumulation": -1}, "accumulation must be at least 1"),
        ({"evaluate_every": 0}, "evaluate every must be at least 1"),
        ({"select": "luck"}, "cannot select by 'luck'; known: loss, accuracy"),
    ],
)
def test_refused(options, message):
    with pytest.raises(UserError, match=message):
        LoopConfig(**({"steps": 1, "batch_size": 1} | options))


class TestInterruption:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_the_first_signal_is_noted(self, number):
        before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
        with Interruption(Path("out")) as interruption:
            assert interruption.received is None
            os.kill(os.getpid(), number)
            assert interruption.received == number
            assert {n: signal.getsignal(n) for n in before} == before  # a second acts as usual
        assert {n: signal.getsignal(n) for n in before} == before

    @pytest.fixture(autouse=True)
    def heeded(self):
        """Ctrl-C as in a terminal; a shell starts what runs in the background with it ignored."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    def test_the_second_acts_as_usual(self):
        with Interruption(Path("out")) as interruption:
            os.kill(os.getpid(), signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        assert interruption.received == signal.SIGINT
