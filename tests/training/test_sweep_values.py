"""What `--sweep` stands for."""

from dataclasses import fields

import pytest

from ntjax.datasets.data_settings import DataSettings
from ntjax.errors import UserError
from ntjax.training.settings import Settings
from ntjax.training.sweep import SWEPT, expand

LORA = Settings(adapter="lora")


def values(*sweep, settings=LORA):
    return [tuple(member.values.values()) for member in expand(settings, sweep)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("learning_rate=1e-4,3e-4", [1e-4, 3e-4]),
        ("learning-rate=1e-4", [1e-4]),
        ("--learning-rate=0.01, 0.02", [0.01, 0.02]),
        ("lora_dropout=0.1:0.9:0.1", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
        ("lora_dropout=0:0.5:0.25", [0.0, 0.25, 0.5]),
        ("lora_dropout=0:0.5:0.2", [0.0, 0.2, 0.4]),
        ("seed=0:5", [0, 1, 2, 3, 4]),
        ("seed=3:4", [3]),
        ("lora_rank=4:16:4", [4, 8, 12, 16]),
        ("lora_rank=1,32", [1, 32]),
        ("batch_size=8:10", [8, 9]),
        ("schedule=linear,inverse-sqrt", ["linear", "inverse-sqrt"]),
        ("adapter=ia3,lora", ["ia3", "lora"]),
        ("head=cls,tokens", ["cls", "tokens"]),
        ("head_learning_rate=1e-3", [1e-3]),
    ],
)
def test_values(text, expected):
    found = [value for (value,) in values(text)]
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


def test_no_two_members_of_one_name():
    members = expand(LORA, ["learning_rate=0.0001000001,0.0001000002"])
    assert len({member.name for member in members}) == 2


def test_what_is_swept_leaves_the_data_alone():
    assert set(SWEPT) & {field.name for field in fields(DataSettings)} == {"seed", "fold"}


def test_every_combination():
    members = expand(LORA, ["lora_rank=4,8", "seed=0:2"])
    assert [member.values for member in members] == [
        {"lora_rank": 4, "seed": 0},
        {"lora_rank": 4, "seed": 1},
        {"lora_rank": 8, "seed": 0},
        {"lora_rank": 8, "seed": 1},
    ]
    assert members[2].name == "lora_rank=8,seed=0"
    assert [(m.settings.lora_rank, m.settings.seed) for m in members] == [
        (4, 0),
        (4, 1),
        (8, 0),
        (8, 1),
    ]


def test_each_adapter_has_its_own_defaults():
    ia3, lora = expand(Settings(), ["adapter=ia3,lora"])
    assert (ia3.settings.learning_rate, lora.settings.learning_rate) == (1e-2, 2e-3)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        (["learning_rat=1"], "did you mean learning_rate"),
        (["model=mini,500M_1000G"], "model can't be swept; can be swept: adapter"),
        (["=1"], r"\(nothing\) can't be swept"),
        (["seed"], "give values, such as seed=A,B"),
        (["seed="], "give values"),
        (["seed=1,1"], "a value stands there twice"),
        (["learning_rate=0.1,1e-1"], "a value stands there twice"),
        (["seed=0:2", "seed=3"], "the same setting stands there twice"),
        (["seed=0.5"], "'0.5' is not a whole number"),
        (["seed=a:b"], "write values as A,B,C"),
        (["seed=5:0"], "5:0 holds no number"),
        (["seed=0:nan"], "0:nan is not a range"),
        (["seed=1:2:3:4"], "1:2:3:4 is not a range"),
        (["lora_dropout=0.1:0.9"], r"0.1:0.9 needs a step"),
        (["lora_dropout=0.1:0.9:0"], "holds no number"),
        (["lora_dropout=0.1:0.9:-0.1"], "holds no number"),
        (["lora_dropout=,"], "'' is not a number"),
        (["adapter=ia3,lor"], "'lor' is not one of ia3, lora, full, head"),
        (["seed=0:5000"], "holds more than 1,000 numbers"),
        (["seed=0:9e999999999"], "not a number"),
        (["learning_rate=1:1e400000:1"], "holds more than 1,000 numbers"),
        (["seed=0:200", "lora_rank=1:20"], "more than 1,000 runs"),
    ],
)
def test_refused(sweep, message):
    with pytest.raises(UserError, match=message) as error:
        expand(LORA, sweep)
    assert "\n" not in str(error.value)


def test_a_number_the_adapter_does_not_have():
    with pytest.raises(UserError, match="'ia3' has no such number"):
        expand(Settings(), ["lora_dropout=0.1,0.2"])
    # As a whole it makes no sense, even where one of the adapters has it.
    with pytest.raises(UserError, match="'ia3' has no such number"):
        expand(Settings(), ["adapter=ia3,lora", "lora_rank=1,2"])
