"""What a finished run leaves behind can be used again, elsewhere, and only for what it is."""

import csv
import json
import shutil
import struct

import numpy as np
import pytest
from planted_task import MODEL, planted_rows, quick, run, write_csv
from safetensors.numpy import load_file, save_file
from scipy.special import softmax
from tiers import first_by_default

import ntjax
from ntjax import load_pretrained, load_run
from ntjax.checkpoints.official import write_pytree
from ntjax.datasets.prepare import read_parts
from ntjax.errors import UserError
from ntjax.runs.folder import ADAPTER_FILE, DESCRIPTION_FILE
from ntjax.training.settings import from_saved

pytestmark = pytest.mark.usefixtures("quick_compilation")

ADAPTERS = ("ia3", "lora", "bitfit", "head", "full")
HEAD_SHAPES = {
    "head.dense.b": (16,),
    "head.dense.w": (16, 16),
    "head.output.b": (2,),
    "head.output.w": (16, 2),
}
# The model has 3 layers, 4 heads of 4 dimensions, 16 dimensions in all and 32 in the middle.
ADAPTER_SHAPES = {
    "ia3": {"adapter.l_k": (3, 16), "adapter.l_v": (3, 16), "adapter.l_ff": (3, 32)},
    "lora": {
        "adapter.query.a": (3, 16, 8),
        "adapter.query.b": (3, 8, 16),
        "adapter.value.a": (3, 16, 8),
        "adapter.value.b": (3, 8, 16),
    },
    "bitfit": {
        **{f"adapter.{name}": (3, 16) for name in ("query", "key", "value", "mha_output", "fc2")},
        "adapter.fc1": (3, 32),
    },
    "head": {},
    "full": {},
}


@pytest.fixture(scope="module")
def here(tmp_path_factory, compilations_kept):
    folder = tmp_path_factory.mktemp("runs")
    write_csv(folder / "train.csv", planted_rows(200))
    return folder


@pytest.fixture(scope="module")
def finished(here):
    """`finished(adapter)`: the folder of a run, made once."""

    def folder(adapter):
        out = here / adapter
        if not out.exists():
            run(quick(here / "train.csv", adapter=adapter), out)
        return out

    return folder


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the IA³ run, to be damaged."""
    return shutil.copytree(finished("ia3"), tmp_path / "copy")


def sequences_of(folder):
    """The run's test sequences, in the order of predictions.csv."""
    settings = from_saved(json.loads((folder / "config.json").read_text())["settings"])
    return read_parts(settings).tables["test"].sequences


def columns(folder):
    with (folder / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in list(rows[0])[2:]}


@pytest.mark.parametrize("adapter", first_by_default(list(ADAPTERS)))
def test_a_loaded_run_predicts_what_the_run_reported(finished, adapter):
    folder = finished(adapter)
    reported, sequences = columns(folder), sequences_of(folder)
    loaded = ntjax.load_run(folder)
    assert loaded.classes == ("0", "1")
    probabilities = loaded.predict(sequences)
    assert probabilities.shape == (20, 2)
    np.testing.assert_allclose(probabilities[:, 1], reported["probability"], atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    logits = loaded.logits(sequences)
    np.testing.assert_allclose(logits[:, 1] - logits[:, 0], reported["logit"], atol=1e-5)
    calibrated = loaded.predict(sequences, calibrated=True)[:, 1]
    np.testing.assert_allclose(calibrated, reported["calibrated_probability"], atol=1e-6)
    # In another order, in lower case, one by one: the same.
    again = loaded.predict([sequences[3].lower()])
    np.testing.assert_allclose(again[0, 1], reported["probability"][3], atol=1e-6)


@pytest.mark.parametrize("adapter", first_by_default(list(ADAPTERS)))
def test_the_adapter_file_holds_adapter_and_head(finished, adapter):
    tensors = load_file(finished(adapter) / ADAPTER_FILE)
    assert {name: t.shape for name, t in tensors.items()} == ADAPTER_SHAPES[adapter] | HEAD_SHAPES
    assert {t.dtype for t in tensors.values()} == {np.dtype(np.float32)}
    assert all(np.isfinite(t).all() for t in tensors.values())
    if adapter == "ia3":
        assert all((tensors[f"adapter.{name}"] != 1).any() for name in ("l_k", "l_v", "l_ff"))
    if adapter == "lora":
        assert all((tensors[f"adapter.{name}.b"] != 0).any() for name in ("query", "value"))


@pytest.mark.parametrize("adapter", first_by_default(list(ADAPTERS)))
def test_the_description(finished, adapter):
    description = json.loads((finished(adapter) / DESCRIPTION_FILE).read_text())
    assert list(description) == [
        "format",
        "tensors_sha256",
        "model",
        "dtype",
        "adapter",
        "head",
        "task",
        "classes",
        "calibration",
        "training",
        "strands",
        "training_rows",
        "calibration_shares",
        "windows",
    ]
    kinds = {kind: {"kind": kind} for kind in ADAPTERS}
    lora = {"rank": 8, "alpha": 16.0, "dropout": 0.1, "targets": ["query", "value"]}
    kinds["lora"] |= lora
    assert description["adapter"] == kinds[adapter]
    assert description["head"] == {"pooling": "mean", "outputs": 2}
    assert description["task"] == {"kind": "classification"}
    assert description["classes"] == ["0", "1"]
    # With 18 rows or so it depends on the run whether a calibration helps.
    assert description["calibration"]["method"] in ("platt", "identity")
    assert description["training"]["best_step"] in (10, 20)
    assert description["strands"] == {"reverse_complement": "none", "average": False}
    # Rows of 36 bp, as many of either class.
    rows = description["training_rows"]
    assert (rows["length"], rows["unknown"]) == ([36, 36], 0.0)
    assert 0.1 < rows["gc"][0] < rows["gc"][1] < 0.9
    assert description["windows"] is None
    no, yes = description["calibration_shares"]
    assert 0.3 < yes < 0.7
    assert no + yes == pytest.approx(1)
    assert description["model"]["name"] == str(MODEL)


def classifier(embeddings, tokens, head):
    """The head of the report on the mean over nucleotides, in NumPy."""
    nucleotides = tokens != 1
    nucleotides[:, 0] = False
    pooled = (embeddings * nucleotides[..., None]).sum(1) / nucleotides.sum(1, keepdims=True)
    hidden = np.tanh(pooled @ head["head.dense.w"] + head["head.dense.b"])
    return softmax(hidden @ head["head.output.w"] + head["head.output.b"], axis=1)


def test_ia3_is_what_its_file_says(finished):
    """Vectors read by the safetensors library and multiplied into the weights by hand."""
    folder = finished("ia3")
    tensors = load_file(folder / ADAPTER_FILE)
    model = ntjax.load_pretrained(MODEL)
    params = {module: dict(weights) for module, weights in model.params.items()}
    layers = "nucleotide_transformer/layers"
    for linear, vector in (("key", "l_k"), ("value", "l_v")):
        scale = tensors[f"adapter.{vector}"]
        weights = params[f"{layers}/{linear}"]
        weights["w"], weights["b"] = weights["w"] * scale[:, None, :], weights["b"] * scale
    fc2 = params[f"{layers}/fc2"]
    fc2["w"] = fc2["w"] * tensors["adapter.l_ff"][:, :, None]
    ids = model.tokenizer.encode(sequences_of(folder))
    out = model.apply(params, ids, logits=False, embeddings_layers=(3,))
    found = classifier(np.asarray(out["embeddings_3"]), ids, tensors)[:, 1]
    np.testing.assert_allclose(found, columns(folder)["probability"], atol=1e-5)


@pytest.mark.end_to_end
def test_full_fine_tuning_leaves_a_whole_model(finished):
    folder = finished("full")
    tuned, before = ntjax.load_pretrained(folder), ntjax.load_pretrained(MODEL)
    assert tuned.config == before.config
    moved = {
        module: any((np.asarray(w) != before.params[module][name]).any() for name, w in ws.items())
        for module, ws in tuned.params.items()
    }
    language_model_head = {name for name in moved if "lm_" in name}
    assert {name for name, changed in moved.items() if not changed} == language_model_head
    ids = tuned.tokenizer.encode(sequences_of(folder))
    out = tuned.apply(tuned.params, ids, logits=False, embeddings_layers=(3,))
    head = load_file(folder / ADAPTER_FILE)
    found = classifier(np.asarray(out["embeddings_3"]), ids, head)[:, 1]
    np.testing.assert_allclose(found, columns(folder)["probability"], atol=1e-5)


@pytest.mark.end_to_end
@pytest.mark.parametrize("adapter", ["ia3", "full"])
def test_a_run_moved_elsewhere_still_loads(finished, adapter, tmp_path, monkeypatch):
    folder = finished(adapter)
    sequences = sequences_of(folder)
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    for name in ("config.json", "test_metrics.json", "metrics.jsonl", "checkpoints"):
        path = moved / name  # none of them is needed
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    monkeypatch.chdir(tmp_path)
    found = ntjax.load_run("elsewhere").predict(sequences)[:, 1]
    np.testing.assert_allclose(found, columns(folder)["probability"], atol=1e-6)


def test_a_model_given_by_a_relative_path_is_found_from_anywhere(here, tmp_path, monkeypatch):
    shutil.copytree(MODEL, tmp_path / "own" / "model")
    monkeypatch.chdir(tmp_path / "own")
    run(quick(here / "train.csv", model="model", steps=2), tmp_path / "out")
    monkeypatch.chdir(here)
    assert ntjax.load_run(tmp_path / "out").predict(["ACGTACGTACGT"]).shape == (1, 2)


def test_a_model_that_has_moved_is_asked_for(copy, tmp_path):
    shutil.copytree(MODEL, tmp_path / "model")
    description = json.loads((copy / DESCRIPTION_FILE).read_text())
    description["model"]["path"] = str(tmp_path / "gone")
    (copy / DESCRIPTION_FILE).write_text(json.dumps(description))
    with pytest.raises(UserError, match=r"is not at .*gone any more; say where it is now"):
        ntjax.load_run(copy)
    assert ntjax.load_run(copy, model=tmp_path / "model").classes == ("0", "1")


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], "there is nothing to predict: no sequences were given"),
        (["ACGT", "ACXT"], "sequences: row 2, position 3: 'X' is not one of A, C, G, T, N"),
        ([""], "sequences: row 1: the sequence is empty"),
        (["ACGT" * 200], "136 tokens are more than the model's 64 positions"),
    ],
)
def test_sequences_that_cannot_be_predicted_are_refused(finished, sequences, message):
    with pytest.raises(UserError) as caught:
        ntjax.load_run(finished("ia3")).predict(sequences)
    assert str(caught.value).startswith(message)


def test_iupac_codes_are_read_as_n_on_request(finished):
    run = ntjax.load_run(finished("ia3"))
    with pytest.raises(UserError, match="row 1, position 3: 'R'"):
        run.predict(["ACRTACGT"])
    with pytest.warns(UserWarning, match="N replaced 1 IUPAC code in 1 row"):
        found = run.predict(["ACRTACGT"], ambiguous="n")
    np.testing.assert_array_equal(found, run.predict(["ACNTACGT"]))


def test_calibrated_probabilities_of_an_uncalibrated_run_are_refused(copy):
    description = json.loads((copy / DESCRIPTION_FILE).read_text())
    (copy / DESCRIPTION_FILE).write_text(json.dumps(description | {"calibration": None}))
    loaded = ntjax.load_run(copy)
    assert loaded.predict(["ACGT"]).shape == (1, 2)
    with pytest.raises(UserError, match="this run was not calibrated"):
        loaded.predict(["ACGT"], calibrated=True)


def refused(folder, **options):
    with pytest.raises(UserError) as caught:
        ntjax.load_run(folder, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.pop("adapter.l_k"), "adapter.l_k is missing"),
        (lambda t: t.pop("head.output.b"), "head.output.b is missing"),
        (lambda t: t.update(extra=np.ones(1, "f4")), "extra is surplus"),
        (
            lambda t: t.update({"adapter.l_v": np.ones((2, 16), "f4")}),
            "adapter.l_v is (2, 16), expected (3, 16)",
        ),
        (
            lambda t: t.update({"adapter.l_v": np.ones((3, 16))}),
            "adapter.l_v is float64, expected float32",
        ),
        (lambda t: t.clear(), "adapter.l_ff is missing; adapter.l_k is missing"),
    ],
)
def test_an_adapter_file_that_does_not_fit_is_refused(copy, change, problem):
    tensors = load_file(copy / ADAPTER_FILE)
    change(tensors)
    save_file(tensors, copy / ADAPTER_FILE)
    message = refused(copy)
    assert message.startswith(f"{copy / ADAPTER_FILE} does not hold this adapter: {problem}")
    assert message.endswith(f"is it the file that belongs to {DESCRIPTION_FILE}?")


@pytest.mark.end_to_end
def test_the_adapter_of_another_kind_is_refused(copy, finished):
    shutil.copy(finished("lora") / ADAPTER_FILE, copy / ADAPTER_FILE)
    message = refused(copy)
    assert "adapter.l_k is missing" in message
    assert "adapter.query.a is surplus" in message


@pytest.mark.parametrize(
    "damage",
    [b"", b"\0" * 7, b"not a safetensors file", struct.pack("<Q", 1 << 60) + b"{}", None],
)
def test_a_damaged_adapter_file_is_refused(copy, damage):
    path = copy / ADAPTER_FILE
    path.write_bytes(path.read_bytes()[:-4] if damage is None else damage)
    assert str(path) in refused(copy)


def test_missing_files_are_named(copy, tmp_path):
    (copy / ADAPTER_FILE).unlink()
    assert ADAPTER_FILE in refused(copy)
    assert "is missing; is" in refused(tmp_path / "nothing")


def test_another_backbone_is_refused(copy, tmp_path):
    """The same architecture with other weights would give wrong answers without a word."""
    other = shutil.copytree(MODEL, tmp_path / "other")
    fresh = ntjax.load_run(copy).model
    params = {m: {n: np.asarray(w) * 1.1 for n, w in ws.items()} for m, ws in fresh.params.items()}
    shutil.rmtree(other / "jax_model")
    write_pytree(other, params, fresh.config.to_hyperparams())
    message = refused(copy, model=other)
    assert message.startswith(f"{copy}: the adapter was trained on other weights ")
    assert message.endswith("give the right model")


@pytest.mark.parametrize("name", ["v1", "v2_3mer"])
def test_a_backbone_of_another_shape_is_refused(copy, name):
    message = refused(copy, model=MODEL.parent / name)
    assert message.startswith(f"{copy}: the adapter was trained on other weights ")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format": 2}, "format 2 is of another version of ntjax"),
        ({"surprise": 1}, "unknown key surprise"),
        ({"adapter": None}, "does not describe a run"),
        ({"adapter": {"kind": "prefix"}}, "unknown adapter 'prefix'"),
        ({"adapter": {"kind": "ia3", "rank": 8}}, "does not know all of: rank"),
        ({"adapter": {"kind": "lora", "targets": ["nose"]}}, "LoRA target nose is not"),
        ({"head": {"pooling": "max", "outputs": 2}}, "unknown pooling 'max'"),
        ({"head": {"pooling": "cls", "width": 2}}, "does not describe a run"),
        ({"classes": ["0", "1", "2"]}, "3 classes, 2 outputs"),
        ({"task": {"kind": "ranking"}}, "not a saved task: {'kind': 'ranking'} of 0, 1"),
        ({"task": {"kind": "regression", "mean": 0, "spread": 1}}, "not a saved task"),
        ({"task": "classification"}, "task is 'classification', not a JSON object"),
        ({"task": {"kind": "multilabel"}}, "does not fit the task (multilabel, outputs: 2)"),
        ({"classes": None}, "classes is None, not a list of texts"),
        ({"classes": "ab"}, "classes is 'ab', not a list of texts"),
        ({"classes": [0, 1]}, "classes is [0, 1], not a list of texts"),
        ({"classes": {"0": 1, "1": 2}}, "classes is {'0': 1, '1': 2}, not a list of texts"),
        ({"classes": ["a", "a"]}, "classes is ['a', 'a'], not all of them different"),
        ({"head": {"pooling": "cls", "outputs": "2"}}, "not a pooling and a whole number of out"),
        ({"head": {"pooling": "cls", "outputs": 1}}, "2 classes, 1 outputs"),
        ({"head": "cls"}, "head is 'cls', not a JSON object"),
        ({"adapter": {}}, "the key 'kind' is missing"),
        ({"adapter": {"kind": ["ia3"]}}, "a name of the adapter or the model is not text"),
        ({"calibration": {"method": "magic"}}, "not a saved calibration"),
        ({"calibration": {}}, "not a saved calibration: {}"),
        ({"calibration": [1]}, "not a saved calibration: [1]"),
        ({"calibration": {"method": "temperature", "temperature": 0}}, "is 0, not above 0"),
        (
            {"calibration": {"method": "interval", "coverage": 0.9, "half_width": 1}},
            "the calibration (interval) does not fit the task (classification, outputs: 2)",
        ),
        ({"model": "mini"}, "model is 'mini', not a JSON object"),
        ({"model": {}}, "the key 'name' is missing"),
        ({"model": {"name": "mini", "path": 3}}, "a name of the adapter or the model is not text"),
        ({"dtype": "float8"}, "unknown dtype 'float8'"),
    ],
)
def test_a_damaged_description_is_refused(copy, change, problem):
    path = copy / DESCRIPTION_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert problem in refused(copy)


@pytest.mark.parametrize("key", ["format", "model", "dtype", "adapter", "head", "classes"])
def test_a_missing_key_is_named(copy, key):
    path = copy / DESCRIPTION_FILE
    description = json.loads(path.read_text())
    del description[key]
    path.write_text(json.dumps(description))
    assert refused(copy) == f"{path}: the key '{key}' is missing; restore the file"


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "\udcff"])
def test_a_description_that_is_no_json_object_is_refused(copy, text):
    path = copy / DESCRIPTION_FILE
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert str(path) in refused(copy)


@pytest.mark.compiled
def test_a_bfloat16_run_keeps_its_type(here):
    run(quick(here / "train.csv", dtype="bfloat16", steps=10), here / "bfloat16")
    tensors = load_file(here / "bfloat16" / ADAPTER_FILE)
    assert {t.dtype for t in tensors.values()} == {np.dtype(np.float32)}
    loaded = ntjax.load_run(here / "bfloat16")
    assert loaded.model.dtype == "bfloat16"
    found = loaded.predict(sequences_of(here / "bfloat16"))[:, 1]
    np.testing.assert_allclose(found, columns(here / "bfloat16")["probability"], atol=1e-6)


def test_tensors_of_another_run_are_refused(copy, here, tmp_path):
    run(quick(here / "train.csv", adapter="ia3", seed=7), tmp_path / "other")
    shutil.copy(tmp_path / "other" / ADAPTER_FILE, copy / ADAPTER_FILE)
    with pytest.raises(UserError, match=r"is not the file that adapter\.json was written with"):
        load_run(copy)


def test_a_fully_trained_run_refuses_other_weights(finished, here):
    with pytest.raises(UserError, match="trained on other weights"):
        load_run(finished("full"), model=quick(here / "train.csv").model)


@pytest.mark.compiled
def test_full_fine_tuning_in_bfloat16_keeps_the_float32_weights(here, tmp_path):
    settings = quick(
        here / "train.csv", adapter="full", dtype="bfloat16", steps=2, learning_rate=1e-9
    )
    run(settings, tmp_path / "full")
    before, after = load_pretrained(settings.model), load_pretrained(tmp_path / "full")
    for module, parameters in before.params.items():
        for name, value in parameters.items():
            np.testing.assert_allclose(after.params[module][name], value, atol=1e-7)
    assert load_run(tmp_path / "full").model.dtype == "bfloat16"


@pytest.mark.parametrize(
    ("sequences", "message"),
    [("TTGACA", "is one text: give a list"), (["TTGACA", 3], "number 2 is int, not text")],
)
def test_predicting_what_is_no_list_of_texts(finished, sequences, message):
    with pytest.raises(UserError, match=message):
        load_run(finished("ia3")).predict(sequences)
