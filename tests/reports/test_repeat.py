"""The command that repeats a run gives its settings again."""

import shlex
import sys
from dataclasses import asdict, replace

import pytest

from ntjax.finetune import Options
from ntjax.io.json import as_json
from ntjax.reports.command_line import parse
from ntjax.reports.repeat import is_of_given_rows, repeating_call, repeating_command
from ntjax.training.finetune import GIVEN_ROWS
from ntjax.training.settings import Settings, complete


@pytest.mark.parametrize(
    "settings",
    [
        Settings(),
        Settings(model="2B5_multi_species"),
        Settings(adapter="lora", lora_rank=4, lora_targets=("query", "fc1"), train="my rows.csv"),
        Settings(train="a.csv", task="multilabel", label_column="TATA,GC box", baselines=False),
        Settings(augment_reverse_complement="same", average_strands=False, split_seed=3),
        Settings(train="x'y.csv", threshold="precision=0.9", class_weights="promoter=5"),
    ],
)
def test_the_command_gives_the_same_settings(settings, monkeypatch):
    completed, _ = complete(settings)
    command = repeating_command(as_json(asdict(completed)))
    words = shlex.split(command.replace("\\\n", ""))  # as a shell joins lines
    assert words[:3] == ["python", "-m", "ntjax.finetune"]
    monkeypatch.setattr(sys, "argv", ["ntjax.finetune", *words[3:]])
    parsed = parse(Options, "ntjax.finetune", "").settings
    assert complete(parsed)[0] == completed


def test_only_what_differs_from_the_defaults_is_typed():
    assert repeating_command(asdict(Settings(seed=3))) == "python -m ntjax.finetune \\\n  --seed 3"
    assert "--lora-targets" not in repeating_command(as_json(asdict(Settings())))


def test_a_sweep_is_repeated_whole():
    command = repeating_command(asdict(Settings(adapter="lora")), ("lora_rank=4,8", "seed=0:3"))
    assert command.endswith("--sweep lora_rank=4,8 seed=0:3")


def test_rows_of_a_program_need_a_call():
    settings = asdict(replace(complete(Settings())[0], train=GIVEN_ROWS, baselines=False))
    assert is_of_given_rows(settings)
    assert not is_of_given_rows(asdict(Settings()))
    call = repeating_call(settings)
    assert call.startswith("ntjax.fine_tune(\n    'mini',\n    train=(sequences, labels),\n")
    assert "baselines" not in call
    assert "learning_rate=0.01" in call
    compile(call, "call", "eval")
    assert "baselines=True" in repeating_call(settings | {"baselines": True})
    swept = repeating_call(settings, ("seed=0,1",))
    assert "ntjax.sweep(" in swept
    assert "vary={'seed': ['0', '1']}" in swept
    compile(swept, "call", "eval")
