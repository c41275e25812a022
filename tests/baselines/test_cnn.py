import dataclasses

import jax
import numpy as np
import pytest
from planted_motif import planted_rows
from scipy.special import expit

from ntjax.baselines.cnn import CNNConfig, fit_cnn
from ntjax.errors import UserError
from ntjax.sequences.one_hot import one_hot

SMALL = CNNConfig(filters=(16, 16, 8), batch_size=50, epochs=6, learning_rate=3e-3)


def fit_small(classes=2, config=SMALL, seed=0):
    rows, held_out = planted_rows(600, classes=classes), planted_rows(120, classes=classes, seed=1)
    return fit_cnn(*rows, validation=held_out, config=config, seed=seed, progress=False)


@pytest.fixture(scope="module")
def fitted():
    return fit_small()


def relu_convolution(x, w, b):
    """Same-padded convolution and ReLU with plain loops: x [length, in], w [width, in, out]."""
    width = len(w)
    padded = np.pad(x, ((width // 2, width // 2), (0, 0)))
    rows = [np.einsum("wi,wio->o", padded[i : i + width], w) for i in range(len(x))]
    return np.maximum(np.array(rows) + b, 0)


@pytest.mark.compiled
def test_default_network():
    rows = planted_rows(8, length=81)
    config = CNNConfig(epochs=1)
    model = fit_cnn(*rows, validation=rows, config=config, progress=False)
    shapes = {(m, n): v.shape for m, names in model.params.items() for n, v in names.items()}
    assert shapes == {
        ("conv1_d", "w"): (9, 4, 96),
        ("conv1_d", "b"): (96,),
        ("conv1_d_1", "w"): (7, 96, 96),
        ("conv1_d_1", "b"): (96,),
        ("~", "position_bias"): (81, 96),
        ("conv1_d_2", "w"): (5, 96, 64),
        ("conv1_d_2", "b"): (64,),
        ("linear", "w"): (41 * 64, 2),
        ("linear", "b"): (2,),
    }
    assert {leaf.dtype.name for leaf in jax.tree.leaves(model.params)} == {"float32"}


def test_logits_agree_with_numpy(fitted):
    sequences = [*planted_rows(3, seed=9)[0], "ACGNNT", "A" * 50]
    params = fitted.params
    expected = []
    for x in one_hot(sequences, 30).astype(np.float64):
        hidden = relu_convolution(x, **params["conv1_d"])
        hidden = relu_convolution(hidden, **params["conv1_d_1"]) + params["~"]["position_bias"]
        hidden = relu_convolution(hidden, **params["conv1_d_2"])
        pooled = np.array([hidden[i : i + 2].max(axis=0) for i in range(0, 30, 2)])
        expected.append(pooled.reshape(-1) @ params["linear"]["w"] + params["linear"]["b"])
    np.testing.assert_allclose(fitted.logits(sequences), expected, rtol=1e-4, atol=1e-4)


def test_learns_a_planted_motif(fitted):
    sequences, labels = planted_rows(300, seed=2)
    assert (fitted.probabilities(sequences).argmax(axis=1) == labels).mean() > 0.95


def test_logits_and_probabilities_agree(fitted):
    sequences, _ = planted_rows(70, seed=3)
    logits, probabilities = fitted.logits(sequences), fitted.probabilities(sequences)
    assert logits.shape == probabilities.shape == (70, 2)
    assert logits.dtype == probabilities.dtype == np.float32
    np.testing.assert_allclose(expit(logits[:, 1] - logits[:, 0]), probabilities[:, 1], atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_score_does_not_depend_on_the_batch(fitted):
    sequences, _ = planted_rows(130, seed=3)
    together = fitted.logits(sequences)
    alone = np.concatenate([fitted.logits([s]) for s in sequences[:3] + sequences[-3:]])
    np.testing.assert_allclose(alone, np.concatenate([together[:3], together[-3:]]), atol=1e-5)


def test_best_epoch_is_kept(fitted):
    sequences, labels = planted_rows(120, seed=1)
    accuracy = (fitted.logits(sequences).argmax(axis=1) == labels).mean()
    assert fitted.validation_score == accuracy
    # Epochs after the best one changed nothing: stopping there gives the same network.
    stopped = fit_small(config=dataclasses.replace(SMALL, epochs=fitted.epoch))
    assert stopped.epoch == fitted.epoch
    np.testing.assert_array_equal(stopped.logits(sequences), fitted.logits(sequences))


def test_validation_rows_are_not_trained_on():
    # Validation labels that contradict the training rows choose another epoch at most.
    sequences, labels = planted_rows(300)
    held_out, held_out_labels = planted_rows(100, seed=1)
    config = dataclasses.replace(SMALL, epochs=1)
    models = [
        fit_cnn(sequences, labels, validation=(held_out, v), config=config, progress=False)
        for v in (held_out_labels, 1 - held_out_labels)
    ]
    np.testing.assert_array_equal(models[0].logits(held_out), models[1].logits(held_out))


def test_seed_decides_everything(fitted):
    sequences, _ = planted_rows(20, seed=6)
    np.testing.assert_array_equal(fit_small().logits(sequences), fitted.logits(sequences))
    assert not np.array_equal(fit_small(seed=1).logits(sequences), fitted.logits(sequences))


@pytest.mark.compiled
def test_three_classes_with_unequal_lengths_and_n():
    sequences, labels = planted_rows(900, classes=3, length=31)
    sequences = [s if i % 3 else s[:20] for i, s in enumerate(sequences)]
    held_out = planted_rows(100, classes=3, length=31, seed=1)
    config = dataclasses.replace(SMALL, epochs=10)
    model = fit_cnn(sequences, labels, validation=held_out, config=config, progress=False)
    assert model.length == 31
    test, test_labels = planted_rows(200, classes=3, length=25, seed=4)
    assert (model.probabilities(test).argmax(axis=1) == test_labels).mean() > 0.95
    odd = ["N" * 31, "ACGTN", "", "A" * 99, "A" * 31]
    assert np.isfinite(model.logits(odd)).all()
    np.testing.assert_array_equal(model.logits(odd)[3], model.logits(odd)[4])


def test_fewer_rows_than_a_batch():
    rows = planted_rows(7, seed=3)
    model = fit_cnn(*rows, validation=rows, config=SMALL, progress=False)
    assert model.logits(rows[0]).shape == (7, 2)
    assert model.logits([]).shape == model.probabilities([]).shape == (0, 2)


def test_progress_bar_leaves_nothing_behind(capfd):
    rows = planted_rows(60)
    config = dataclasses.replace(SMALL, epochs=1)
    fit_cnn(*rows, validation=rows, config=config, progress=False)
    assert capfd.readouterr() == ("", "")
    fit_cnn(*rows, validation=rows, config=config)
    out, err = capfd.readouterr()
    assert out == ""
    assert "CNN" in err
    assert err.split("\r")[-1].strip() == ""


def test_one_class_is_refused():
    with pytest.raises(UserError, match="two classes"):
        fit_cnn(["ACGT", "TTTT"], [1, 1], validation=(["ACGT"], [1]), progress=False)
    with pytest.raises(UserError, match="validation set has no rows"):
        fit_cnn(["ACGT", "TTTT"], [0, 1], validation=([], []), progress=False)


def test_diverged_training_is_refused():
    sequences, _ = planted_rows(40)
    values = np.full(40, np.float32(3e38))
    config = dataclasses.replace(SMALL, epochs=2)
    with pytest.raises(UserError, match=r"the CNN's training diverged: .* any of 2 epochs"):
        fit_cnn(
            sequences,
            values,
            validation=(sequences, values),
            kind="regression",
            config=config,
            progress=False,
        )
