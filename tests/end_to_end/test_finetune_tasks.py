"""Regression and several labels from the table to the loaded run, on tasks that are learned."""

import csv
import json

import numpy as np
import pandas as pd
import pytest
from planted_task import quick, run
from scipy import stats
from scipy.special import expit
from sklearn import metrics as sk
from threadpoolctl import threadpool_limits

import ntjax
from ntjax.baselines.comparison import score_baselines
from ntjax.datasets.prepare import read_parts
from ntjax.errors import UserError
from ntjax.training.settings import Settings, from_saved

# Random letters between the words, so that no two rows share a 16-mer.
WORD, OTHER_WORD, PLACES = "TATAAT", "GCCGCA", (0, 12, 24)
pytestmark = pytest.mark.usefixtures("quick_compilation")


def random_sequences(count, seed):
    letters = np.random.default_rng(seed).choice(list("ACGT"), (count, 36))
    return ["".join(row) for row in letters]


def planted(sequence, word, place):
    return sequence[:place] + word + sequence[place + 6 :]


def write(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory, compilations_kept):
    return tmp_path_factory.mktemp("tasks")


@pytest.fixture(scope="module")
def values_table(folder):
    """How many words are planted, in units of 50 around 1,000."""
    noise = np.random.default_rng(1).normal(size=300)
    rows = []
    for number, sequence in enumerate(random_sequences(300, seed=2)):
        copies = number % 4
        for place in PLACES[:copies]:
            sequence = planted(sequence, WORD, place)
        rows.append((f"s{number}", sequence, f"{1000 + 50 * copies + 5 * noise[number]:.2f}"))
    return write(folder / "values.csv", ("name", "sequence", "expression"), rows)


@pytest.fixture(scope="module")
def labels_table(folder):
    """Two words, each there or not; the second is not known of every fifth row."""
    random, rows = np.random.default_rng(3), []
    for number, sequence in enumerate(random_sequences(300, seed=4)):
        first, second = random.integers(2, size=2)
        if first:
            sequence = planted(planted(sequence, WORD, 0), WORD, 12)
        if second:
            sequence = planted(planted(sequence, OTHER_WORD, 24), OTHER_WORD, 30)
        rows.append((f"s{number}", sequence, first, "" if number % 5 == 0 else second))
    return write(folder / "labels.csv", ("name", "sequence", "tata", "gc box"), rows)


@pytest.fixture(scope="module")
def regression(folder, values_table):
    options = {"task": "regression", "label_column": "expression", "adapter": "lora"}
    settings = quick(values_table, steps=300, evaluate_every=50, **options)
    return folder / "regression", run(settings, folder / "regression")


@pytest.fixture(scope="module")
def multilabel(folder, labels_table):
    options = {"task": "multilabel", "label_column": "tata,gc box", "adapter": "lora"}
    settings = quick(labels_table, steps=150, evaluate_every=50, **options)
    return folder / "multilabel", run(settings, folder / "multilabel")


def scored_sequences(run_folder):
    settings = from_saved(json.loads((run_folder / "config.json").read_text())["settings"])
    return read_parts(settings).tables["test"].sequences


@pytest.mark.end_to_end
def test_a_regression_is_learned(regression):
    folder, result = regression
    assert result["pearson"]["value"] > 0.9
    assert result["r2"]["value"] > 0.8
    assert result["rmse"]["value"] < 25  # one planted word is worth 50
    assert result["calibrated"] is None
    assert 0.7 <= result["interval"]["coverage"]["value"] <= 1
    frame = pd.read_csv(folder / "predictions.csv")
    assert list(frame.columns) == ["name", "label", "prediction", "row"]
    assert result["n"] == len(frame)
    found = stats.spearmanr(frame["label"], frame["prediction"]).statistic
    assert result["spearman"]["value"] == pytest.approx(found)
    assert result["mae"]["value"] == pytest.approx(
        sk.mean_absolute_error(frame["label"], frame["prediction"])
    )
    assert not (folder / "reliability.json").exists()


@pytest.mark.end_to_end
def test_a_loaded_regression_predicts_in_the_users_units(regression):
    folder, result = regression
    loaded = ntjax.load_run(folder)
    values = loaded.predict(scored_sequences(folder))
    reported = pd.read_csv(folder / "predictions.csv")["prediction"]
    assert values.shape == (result["n"],)
    np.testing.assert_allclose(values, reported, rtol=1e-5)
    assert loaded.classes == ("expression",)
    assert loaded.calibration.half_width == result["interval"]["half_width"]
    with pytest.raises(UserError, match="has values, not probabilities"):
        loaded.predict(["ACGT"], calibrated=True)


@pytest.mark.end_to_end
def test_the_log_and_the_description_of_a_regression(regression):
    folder, _ = regression
    description = json.loads((folder / "adapter.json").read_text())
    assert description["task"].keys() == {"kind", "mean", "spread"}
    assert description["task"]["mean"] == pytest.approx(1075, abs=10)
    assert description["head"]["outputs"] == 1
    assert description["training"].keys() == {"best_step", "r2"}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    scores = [line["validation_r2"] for line in lines if "validation_r2" in line]
    assert len(scores) == 6
    assert description["training"]["r2"] == max(scores)


@pytest.mark.end_to_end
def test_several_labels_are_learned(multilabel):
    folder, result = multilabel
    assert result["auroc"]["value"] > 0.9
    assert result["labels"].keys() == {"tata", "gc box"}
    assert result["calibrated"]["labels"].keys() == {"tata", "gc box"}
    frame = pd.read_csv(folder / "predictions.csv")
    assert frame["label[gc box]"].isna().sum() > 0
    for name in ("tata", "gc box"):
        rows = frame[frame[f"label[{name}]"].notna()]
        assert result["labels"][name]["n"] == len(rows)
        auroc = sk.roc_auc_score(rows[f"label[{name}]"], rows[f"logit[{name}]"])
        assert result["labels"][name]["auroc"]["value"] == pytest.approx(auroc)
        np.testing.assert_allclose(
            rows[f"probability[{name}]"], expit(rows[f"logit[{name}]"]), rtol=1e-6
        )
    curves = json.loads((folder / "reliability.json").read_text())
    assert curves["calibrated"].keys() == {"tata", "gc box"}


@pytest.mark.end_to_end
def test_loaded_labels_predict_what_was_reported(multilabel):
    folder, result = multilabel
    loaded = ntjax.load_run(folder)
    assert loaded.classes == ("tata", "gc box")
    frame = pd.read_csv(folder / "predictions.csv")
    for kind, calibrated in (("probability", False), ("calibrated_probability", True)):
        found = loaded.predict(scored_sequences(folder), calibrated=calibrated)
        assert found.shape == (result["n"], 2)
        reported = frame[[f"{kind}[{name}]" for name in loaded.classes]]
        np.testing.assert_allclose(found, reported, atol=1e-6)


@pytest.mark.end_to_end
@pytest.mark.parametrize("calibration", ["temperature", "isotonic"])
def test_calibration_on_request(folder, labels_table, calibration):
    table = pd.read_csv(labels_table).rename(columns={"tata": "label"})
    path = folder / "classes.csv"
    table[["name", "sequence", "label"]].to_csv(path, index=False)
    out = folder / calibration
    settings = quick(path, calibration=calibration, calibration_fraction=0.4)
    result = run(settings, out)
    description = json.loads((out / "adapter.json").read_text())
    assert description["calibration"]["method"] in (calibration, "identity")
    frame = pd.read_csv(out / "predictions.csv")
    found = ntjax.load_run(out).predict(scored_sequences(out), calibrated=True)[:, 1]
    np.testing.assert_allclose(found, frame["calibrated_probability"], atol=1e-6)
    assert result["calibrated"]["brier"]["value"] is not None


def test_isotonic_scaling_falls_back_and_says_so(values_table, labels_table):
    options = {"task": "multilabel", "label_column": "tata,gc box", "calibration": "isotonic"}
    notes = read_parts(quick(labels_table, **options)).notes
    assert [note for note in notes if note.startswith("isotonic")] == [
        "isotonic scaling of 'tata' needs 100 calibration rows and has 30: Platt scaling is used "
        "instead",
        "isotonic scaling of 'gc box' needs 100 calibration rows and has 24: Platt scaling is used "
        "instead",
    ]


def test_a_label_that_cannot_be_calibrated_is_named(folder, labels_table):
    table = pd.read_csv(labels_table)
    table["rare"] = (np.arange(300) < 4).astype(int)
    path = folder / "rare.csv"
    table.to_csv(path, index=False)
    parts = read_parts(quick(path, task="multilabel", label_column="tata,rare", seed=3))
    rows = len(parts.labels["calibration"])
    assert parts.labels["calibration"][:, 1].sum() == 0
    expected = (
        f"'rare' is not calibrated: its {rows} calibration rows are too few or all alike; its "
        "probabilities stay as they are"
    )
    assert expected in parts.notes


def test_platt_scaling_of_three_classes_is_refused(folder, values_table):
    table = pd.read_csv(values_table)
    table["label"] = np.arange(300) % 3
    path = folder / "three.csv"
    table.to_csv(path, index=False)
    with pytest.raises(UserError, match=r"for two classes, and .*three.csv has 3: use temperature"):
        read_parts(quick(path, calibration="platt"))


@pytest.mark.end_to_end
def test_baselines_learn_values_and_labels(values_table, labels_table):
    values = {"task": "regression", "label_column": "expression"}
    labels = {"task": "multilabel", "label_column": "tata,gc box"}
    # The threads of scikit-learn mostly wait for each other on tables as small as these.
    with threadpool_limits(1, user_api="openmp"):
        of_values = score_baselines(read_parts(quick(values_table, **values)), progress=False)
        of_labels = score_baselines(read_parts(quick(labels_table, **labels)), progress=False)
    assert of_values.keys() == of_labels.keys() == {"gradient boosting", "CNN"}
    for result in of_values.values():
        assert result["r2"]["value"] > 0.8
        assert result["interval"]["half_width"] < 50
    for result in of_labels.values():
        assert result["auroc"]["value"] > 0.95
        assert result["calibrated"]["labels"].keys() == {"tata", "gc box"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "regression", "select": "mcc"}, "cannot select by 'mcc'; known: loss, pearson"),
        ({"select": "r2"}, "cannot select by 'r2'; known: loss, accuracy"),
        (
            {"task": "regression", "calibration": "platt"},
            "--calibration platt is for probabilities",
        ),
        (
            {"calibration": "isotonic", "calibration_fraction": 0.0},
            "--calibration isotonic needs rows, and --calibration-fraction 0 sets none aside",
        ),
        ({"task": "multilabel", "label_column": "a,,b"}, "should name each column once"),
        ({"task": "multilabel", "label_column": "a,a"}, "should name each column once"),
        ({"task": "ranking"}, "--task is 'ranking': should be one of classification, multilabel"),
        ({"task": "regression"}, "no column 'label' among 'name', 'sequence', 'expression'"),
        ({"task": "multilabel", "label_column": "expression"}, "column 'expression' holds '10"),
        (
            {"task": "regression", "train": "ecoli_promoters"},
            "--task regression needs --train FILE",
        ),
    ],
)
def test_refused_before_anything_is_written(values_table, tmp_path, options, message):
    out = tmp_path / "out"
    settings = quick(values_table) if "train" not in options else quick("ecoli_promoters")
    values = vars(settings) | options
    with pytest.raises(UserError) as caught:
        run(Settings(**values), out)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not out.exists()
