"""What is chosen for the user, what is refused, and settings that come back from a file."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest

from ntjax.checkpoints.published import PUBLISHED
from ntjax.errors import UserError
from ntjax.runs.folder import open_folder
from ntjax.training.settings import (
    Settings,
    check,
    complete,
    explicit,
    from_saved,
    option,
    resumed,
)

PEAK = {"ia3": 3e-3, "lora": 5e-4, "full": 5e-5, "head": 1e-3, "bitfit": 1e-3}
BATCH = {"ia3": 8, "lora": 16, "full": 16, "head": 32, "bitfit": 16}


def test_no_arguments_stand_for_mini_on_the_coding_strand():
    settings, chosen = complete(Settings())
    assert chosen == {
        "train": "ecoli_coding_strand",
        "steps": 300,
        "learning_rate": 1e-2,
        "batch_size": 32,
        "head": "auto",
        "select": "mcc",
        "augment_reverse_complement": "flip-label",
        "average_strands": True,
    }
    assert (settings.model, settings.adapter) == ("mini", "ia3")
    assert {name: getattr(settings, name) for name in chosen} == chosen


@pytest.mark.parametrize("adapter", PEAK)
@pytest.mark.parametrize("model", [*PUBLISHED, "some/folder"])
def test_other_models_get_the_promoter_task_and_what_suits_the_adapter(model, adapter):
    settings, chosen = complete(Settings(model=model, adapter=adapter))
    assert chosen == {
        "train": "ecoli_promoters",
        "steps": 1000,
        "learning_rate": PEAK[adapter],
        "batch_size": BATCH[adapter],
        "head": "cls",
        "select": "mcc",
    }
    # Files that were not given stay so: rows are set aside later, an adapter begins anew.
    left_open = {field.name for field in fields(Settings) if getattr(settings, field.name) is None}
    open_still = {"validation", "test", "start_from", "split_seed", "calibration_fraction", "fold"}
    assert left_open == open_still | {"head_learning_rate"}
    check(settings)


def test_what_is_given_is_kept():
    given = Settings(
        model="1B_agro_nt",
        train="a.csv",
        steps=7,
        batch_size=3,
        learning_rate=0.5,
        head="mean",
        select="loss",
    )
    one_strand = {"augment_reverse_complement": "none", "average_strands": False}
    assert complete(given) == (replace(given, **one_strand), {})
    settings, chosen = complete(Settings(steps=7))
    assert settings.steps == 7
    assert "steps" not in chosen


def test_an_unknown_adapter_is_refused_by_name():
    with pytest.raises(
        UserError, match="unknown adapter 'lorra'; known: ia3, lora, full, head, bitfit"
    ):
        complete(Settings(adapter="lorra"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "--steps is 0: should be at least 1"),
        ({"batch_size": 0}, "--batch-size is 0: should be at least 1"),
        ({"accumulation": 0}, "--accumulation is 0: should be at least 1"),
        ({"evaluate_every": -5}, "--evaluate-every is -5: should be at least 1"),
        ({"patience": -1}, "--patience is -1: should be at least 0"),
        ({"warmup_steps": -1}, "--warmup-steps is -1: should be at least 0"),
        ({"weight_decay": -0.1}, "--weight-decay is -0.1: should be at least 0"),
        ({"gradient_clip": -1.0}, "--gradient-clip is -1.0: should be at least 0"),
        ({"learning_rate": -0.001}, "--learning-rate is -0.001: should be above 0"),
        ({"learning_rate": 0.0}, "--learning-rate is 0.0: should be above 0"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan: should be a finite number"),
        ({"learning_rate": float("inf")}, "--learning-rate is inf: should be a finite number"),
        ({"weight_decay": float("nan")}, "--weight-decay is nan: should be a finite number"),
        ({"lora_alpha": float("nan")}, "--lora-alpha is nan: should be a finite number"),
        ({"lora_rank": 0}, "--lora-rank is 0: should be at least 1"),
        ({"lora_dropout": 1.0}, "--lora-dropout is 1.0: should be at least 0 and below 1"),
        ({"lora_dropout": float("nan")}, "--lora-dropout is nan: should be a finite number"),
        ({"validation_fraction": float("nan")}, "--validation-fraction is nan: should be a finite"),
        ({"seed": -1}, "--seed is -1: should be at least 0"),
        ({"seed": 2**32}, "--seed is 4294967296: should be at most 4294967295"),
        ({"steps": "many"}, "--steps is 'many': should be a whole number or left out"),
        ({"steps": True}, "--steps is True: should be a whole number or left out"),
        ({"learning_rate": "x"}, "--learning-rate is 'x': should be a number or left out"),
        ({"head": "max"}, "--head is 'max': should be one of auto, cls, mean"),
        ({"schedule": "step"}, "--schedule is 'step': should be one of linear, cosine, inverse-"),
        ({"dtype": "float16"}, "--dtype is 'float16': should be one of float32, bfloat16"),
        ({"protocol": "cleen"}, "--protocol is 'cleen': should be one of clean, published"),
        ({"baselines": 1}, "--baselines is 1: should be true or false"),
        ({"lora_targets": "query"}, "--lora-targets is 'query': should be a list of words"),
        ({"model": None}, "--model is None: should be text"),
    ],
)
def test_values_that_no_run_can_use_are_refused(values, message):
    with pytest.raises(UserError) as caught:
        check(replace(Settings(), **values))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_the_outermost_values_are_accepted():
    check(Settings())
    check(
        Settings(
            steps=1,
            learning_rate=1,  # an integer is a number
            lora_dropout=0.0,
            gradient_clip=0.0,
            seed=2**32 - 1,
            lora_targets=(),
        )
    )


@pytest.mark.parametrize("adapter", PEAK)
def test_settings_come_back_from_json_as_they_were(adapter):
    settings, _ = complete(Settings(adapter=adapter, lora_targets=("query", "fc1"), seed=3))
    assert from_saved(json.loads(json.dumps(asdict(settings)))) == settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stepz": 3}, "unknown setting 'stepz', did you mean 'steps'?"),
        ({"zzz": 3}, "unknown setting 'zzz'"),
        ({"seed": None}, "--seed is None: should be a whole number"),
        ({"steps": "3"}, "--steps is '3': should be a whole number or left out"),
        ({"lora_targets": [1]}, "--lora-targets is (1,): should be a list of words"),
    ],
)
def test_a_damaged_file_of_settings_is_refused(change, message):
    with pytest.raises(UserError) as caught:
        from_saved(asdict(Settings()) | change)
    assert str(caught.value) == message


def test_missing_settings_are_named():
    saved = asdict(Settings())
    del saved["dtype"], saved["seed"]
    with pytest.raises(UserError, match=r"^missing setting seed, dtype$"):
        from_saved(saved)


@pytest.mark.parametrize("saved", [None, [], "settings", 3])
def test_something_else_than_settings_is_refused(saved):
    with pytest.raises(UserError, match=r"^it holds no settings$"):
        from_saved(saved)


def test_only_what_was_given_and_differs_is_reported():
    own, _ = complete(Settings(seed=5, steps=10, lora_targets=("query",)))
    resumed(Path("out"), explicit(Settings(), None), own)
    resumed(Path("out"), explicit(own, ["seed", "steps"]), own)
    other = explicit(Settings(seed=6, steps=11, lora_targets=("key",)), None)
    assert list(other) == ["seed", "steps", "lora_targets"]
    with pytest.raises(UserError, match=r"--seed 6, --steps 11, --lora-targets \('key',\)"):
        resumed(Path("out"), other, own)


def test_a_typed_default_counts_as_given():
    own, _ = complete(Settings(seed=3))
    with pytest.raises(UserError, match=r"cannot resume with --seed 0: .* --seed 3"):
        resumed(Path("out"), explicit(Settings(), ["seed"]), own)


def test_files_and_folders_of_models_may_have_moved(tmp_path):
    own, _ = complete(Settings(train="a.csv", model="weights", start_from="run"))
    given = {"train": "b.csv", "model": str(tmp_path), "start_from": "runs/run", "seed": own.seed}
    assert resumed(Path("out"), given, own) == replace(own, **given)
    for name in ("mini", "500M_1000G", "nowhere"):
        with pytest.raises(UserError, match=f"cannot resume with --model {name}: .* weights"):
            resumed(Path("out"), {"model": name}, own)


def test_more_steps_of_a_run_are_a_second_stage():
    own, _ = complete(Settings(steps=40))
    with pytest.raises(UserError, match=r"to train it further: --start-from out"):
        resumed(Path("out"), explicit(Settings(steps=80), ["steps"]), own)


def test_the_option_of_a_setting():
    assert option("learning_rate") == "--learning-rate"


def test_a_run_begun_before_a_setting_was_added_goes_on(tmp_path):
    settings, _ = complete(Settings(head="mean"))
    content = {"settings": asdict(settings), "model": {}, "data": {}}
    open_folder(tmp_path / "run", content, resume=False)
    path = tmp_path / "run" / "config.json"
    saved = json.loads(path.read_text())
    for name in ("threshold", "class_weights", "group_column", "average_strands"):
        del saved["settings"][name]
    path.write_text(json.dumps(saved))
    rebuilt = from_saved(saved["settings"])
    assert rebuilt.average_strands is False
    open_folder(tmp_path / "run", content | {"settings": asdict(rebuilt)}, resume=True)
    other = asdict(replace(rebuilt, learning_rate=0.5))
    with pytest.raises(UserError, match=r"cannot resume: settings \(learning_rate\)"):
        open_folder(tmp_path / "run", content | {"settings": other}, resume=True)
