"""Masked-language-model training: what the first loss is, what is written, how it goes on."""

import json
from dataclasses import replace

import jax
import numpy as np
import optax
import pytest
import reference_transformer
from scipy.special import log_softmax

import ntjax
from ntjax.checkpoints import safetensors
from ntjax.datasets.masking import MaskedBatches
from ntjax.errors import UserError
from ntjax.models.kmer_initialisation import with_composed_kmers
from ntjax.pretrain import Options, pretrain
from ntjax.training import pretraining
from ntjax.training.optimizers import OptimizerConfig, schedule_factor
from ntjax.training.pretrain_settings import PretrainSettings, complete

pytestmark = pytest.mark.usefixtures("quick_compilation")

HYPERPARAMETERS = {
    "k_for_kmers": 3,
    "max_positions": 64,
    "attention_heads": 2,
    "embed_dim": 16,
    "ffn_embed_dim": 32,
    "num_layers": 2,
    "positional_embedding": None,
    "use_rotary_embedding": True,
}


def write_genome(path, letters=60_000, seed=0, gc=0.5):
    random = np.random.default_rng(seed)
    shares = [(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]
    text = "".join(random.choice(list("ACGT"), letters, p=shares))
    path.write_text(f">{path.stem}\n" + "\n".join(text[i : i + 70] for i in range(0, letters, 70)))
    return str(path)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretrain")
    (folder / "hyperparams.json").write_text(json.dumps(HYPERPARAMETERS))
    write_genome(folder / "a.fna", gc=0.3)
    write_genome(folder / "b.fna", seed=1, letters=30_000, gc=0.6)
    return folder


def settings(here, **options):
    defaults = {
        "genomes": (str(here / "a.fna"), str(here / "b.fna")),
        "model": str(here / "hyperparams.json"),
        "window_tokens": 24,
        "tokens_per_update": 24 * 16,
        "steps": 6,
        "evaluate_every": 3,
        "block_letters": 3000,
        "validation_fraction": 0.2,
        "test_fraction": 0.2,
    }
    return PretrainSettings(**(defaults | options))


def run(here, out, **options):
    return pretrain(Options(settings(here, **options), out, progress=False))


@pytest.fixture(scope="module")
def finished(here):
    return here / "run", run(here, here / "run")


def log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def expected_loss(params, config, batch):
    """Mean negative log-likelihood at the chosen positions, by the NumPy transformer."""
    total, weight = 0.0, 0.0
    for ids, places, targets, weights in zip(
        batch.tokens, batch.positions, batch.labels, batch.weights, strict=True
    ):
        logits = reference_transformer.reference_forward(config, params, ids[None])["logits"][
            0, places
        ]
        losses = -log_softmax(logits, axis=1)[np.arange(len(places)), targets]
        total, weight = total + (weights * losses).sum(), weight + weights.sum()
    return total / weight


@pytest.mark.compiled
@pytest.mark.parametrize("name", ["v2_3mer", "v1", "rotary_gelu"])
def test_an_official_checkpoint_goes_on_from_its_own_loss(name, here, golden, tmp_path):
    folder = golden(name).folder
    options = {"model": str(folder), "window_tokens": 16, "tokens_per_update": 64, "steps": 1}
    run(here, tmp_path / "out", **options)
    job = pretraining.prepare(complete(settings(here, **options))[0])
    model = ntjax.load_pretrained(folder)
    batch = job.batches.batch(0)
    params = jax.tree.map(np.asarray, model.params)
    first = log(tmp_path / "out")[0]["loss"]
    assert first == pytest.approx(expected_loss(params, model.config, batch), rel=1e-5)


def test_what_is_written_is_what_was_trained(finished):
    folder, _ = finished
    official = ntjax.load_pretrained(folder)
    tensors, _ = safetensors.read(folder / pretraining.WEIGHTS_FILE)
    flat = safetensors.flatten(official.params)
    assert flat.keys() == tensors.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, flat[name], err_msg=name)
    assert official.config.k_for_kmers == 3


def test_going_on_with_our_own_weights(finished, here, tmp_path):
    """The validation loss of the weights as saved is that of the run's best step."""
    folder, _ = finished
    best = min(line["validation_loss"] for line in log(folder) if "validation_loss" in line)
    job = pretraining.prepare(complete(settings(here, model=str(folder)))[0])
    scores = pretraining.validation_scores(job, pretraining.initial_trainable(job))
    assert scores["loss"] == pytest.approx(best, abs=1e-6)


@pytest.mark.compiled
def test_it_learns_what_letters_are_frequent(here, tmp_path):
    out = tmp_path / "out"
    run(here, out, steps=60, evaluate_every=20, learning_rate=0.01)
    losses = [line["validation_loss"] for line in log(out) if "validation_loss" in line]
    assert losses[-1] < losses[0] < np.log(75) + 0.5


def test_the_report_names_model_and_baselines(finished):
    _, result = finished
    test = result["test blocks"]
    assert [*test["metrics"]][:2] == ["model", "unigram"]
    assert any(name.startswith("Markov") for name in test["metrics"])
    model, unigram = test["metrics"]["model"]["loss"], test["metrics"]["unigram"]["loss"]
    assert test["difference"]["unigram"]["value"] == pytest.approx(
        model["value"] - unigram["value"], abs=1e-6
    )


def test_a_resumed_run_equals_an_uninterrupted_one(finished, here, tmp_path, monkeypatch):
    whole, _ = finished
    out = tmp_path / "out"

    class Stopped(Exception):
        pass

    original = MaskedBatches.batch

    def batch(self, step):
        if step == 4:
            raise Stopped
        return original(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(MaskedBatches, "batch", batch)
        with pytest.raises(Stopped):
            run(here, out)
    pretrain(Options(out=out, resume=True, progress=False))
    assert (out / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    name = pretraining.WEIGHTS_FILE
    assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_other_settings_are_refused_on_resume(finished, here):
    folder, _ = finished
    with pytest.raises(UserError, match="--seed 3"):
        pretrain(Options(PretrainSettings(seed=3), folder, resume=True))


def test_passes_are_as_large_as_they_may_be(here):
    # That they change nothing is shown, on one device and on several, in test_devices.py.
    whole = pretraining.prepare(complete(settings(here))[0])
    passes = pretraining.prepare(complete(settings(here, tokens_per_pass=24 * 4))[0])
    assert (whole.loop.accumulation, passes.loop.accumulation) == (1, 4)
    assert whole.loop.batch_size == passes.loop.batch_size == 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"genomes": ()}, "give either --genomes"),
        ({"window_tokens": 65}, "64 positions"),
        ({"window_tokens": 12}, "--window-tokens is 12: should be at least 16"),
        ({"seed": 2**70}, "--seed"),
        ({"masking": "x"}, "--masking is 'x': should be one of"),
        ({"steps": "abc"}, "--steps is 'abc': should be"),
        ({"masked_share": 0.001}, "less than one token"),
        ({"held_out_genomes": ("SAME", "SAME")}, "rename a file"),
        ({"masked_share": 0.0}, "--masked-share"),
        ({"steps": 0}, "--steps"),
        ({"learning_rate": -1.0}, "--learning-rate"),
        ({"validation_fraction": 0.6, "test_fraction": 0.5}, "nothing to train on"),
        ({"block_letters": 60, "window_tokens": 60, "validation_fraction": 0.01}, "long enough"),
        ({"model": "no_such_model"}, "no_such_model"),
    ],
)
def test_bad_settings(here, tmp_path, options, message):
    options = {
        name: tuple(str(here / "b.fna") for _ in value) if name == "held_out_genomes" else value
        for name, value in options.items()
    }
    with pytest.raises(UserError, match=message):
        run(here, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_the_paper_recipe_is_its_schedule():
    own, _ = complete(PretrainSettings(recipe="paper", genomes=("a",)))
    assert (own.tokens_per_update, own.window_tokens, own.masked_share) == (1_000_000, 1000, 0.15)
    config = OptimizerConfig(own.steps, own.schedule, own.warmup_steps, warmup_from=own.warmup_from)
    rates = {
        step: own.learning_rate * float(schedule_factor(config, np.int32(step)))
        for step in (0, 8000, 16_000, 64_000)
    }
    assert rates == pytest.approx({0: 5e-5, 8000: 7.5e-5, 16_000: 1e-4, 64_000: 5e-5}, rel=1e-5)
    assert own.weight_decay == 0
    assert optax.scale_by_adam.__defaults__[:2] == (0.9, 0.999)


def test_kmers_that_share_letters_begin_alike(here):
    job = pretraining.prepare(complete(settings(here, initial_kmers="independent"))[0])
    tokenizer = job.model.tokenizer
    params = with_composed_kmers(jax.tree.map(np.asarray, job.model.params), tokenizer, seed=0)
    table = params["nucleotide_transformer/embed"]["embeddings"]

    def likeness(first, second):
        a, b = (table[tokenizer.id_of(kmer)] for kmer in (first, second))
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    assert likeness("ACG", "ACT") > likeness("ACG", "TTA")
    special = table[:6], job.model.params["nucleotide_transformer/embed"]["embeddings"][:6]
    np.testing.assert_array_equal(*special)
    assert table[6:70].std() == pytest.approx(1.0, abs=0.3)


def test_independent_kmers_are_the_models_own(here):
    letters, independent = (
        pretraining.prepare(complete(replace(settings(here), initial_kmers=kind))[0]).model.params[
            "nucleotide_transformer/embed"
        ]["embeddings"]
        for kind in ("letters", "independent")
    )
    assert not np.array_equal(letters, independent)
