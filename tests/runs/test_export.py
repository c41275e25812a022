"""Exported runs in the other side's own code, and adapters of PEFT read back."""

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
from esm_models import classifier, torch, transformers
from peft_models import ADAPTERS, ARCHITECTURES, adapted, peft, peft_config
from safetensors.numpy import load_file, save_file
from small_runs import SEQUENCES, small_run
from tiers import first_by_default

import ntjax
from ntjax import load_pretrained
from ntjax.adapters import BitFit
from ntjax.calibration import PlattScaling
from ntjax.errors import UserError
from ntjax.export import Options, export
from ntjax.runs.export import export_esm, export_official, export_peft, export_safetensors
from ntjax.runs.strands import Strands

pytestmark = [
    pytest.mark.usefixtures("quick_compilation"),
    # PEFT 0.21 asks transformers 5 by the name of old.
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"),
]
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def mini():
    return load_pretrained("mini")


def tokens(model, sequences=SEQUENCES):
    """Ids and mask, as PyTorch takes them."""
    ids = torch.tensor(model.tokenizer.encode([text.upper() for text in sequences])).long()
    return {"input_ids": ids, "attention_mask": (ids != model.tokenizer.pad_id).long()}


def head_module(folder):
    """The module of PyTorch that lies beside an exported head."""
    spec = importlib.util.spec_from_file_location("head", folder / "head.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Head()


@pytest.mark.parametrize(
    ("kind", "task"), first_by_default([("lora", "two"), ("ia3", "three"), ("ia3", "value")])
)
def test_peft_loads_adapter_and_head(mini, tmp_path, kind, task):
    run = small_run(mini, kind, task, "cls")
    export_peft(run, tmp_path)
    base = transformers.EsmForSequenceClassification.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path).eval()
    with torch.no_grad():
        found = theirs(**tokens(mini)).logits.numpy()
    expected = run.predict(SEQUENCES)[:, None] if task == "value" else run.logits(SEQUENCES)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=TOLERANCE)
    # And back.
    again = ntjax.load_peft(tmp_path, tmp_path / "base")
    assert again.classes == (run.classes if task != "value" else again.classes)
    assert again.adapter == run.adapter
    np.testing.assert_allclose(again.logits(SEQUENCES), expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "kind"), first_by_default([("v1", "lora"), ("v1", "ia3"), ("v1_token_dropout", "ia3")])
)
def test_official_weights_reach_peft(golden, golden_model, tmp_path, name, kind):
    reference, model = golden(name), golden_model(name)
    run = small_run(model, kind, "two", "cls")
    export_peft(run, tmp_path)
    base = transformers.EsmForSequenceClassification.from_pretrained(tmp_path / "base").eval()
    # The exported backbone computes what the official code does.
    given = torch.tensor(reference.expected["tokens"]).long()
    mask = (given != model.tokenizer.pad_id).long()
    with torch.no_grad():
        hidden = base.esm(input_ids=given, attention_mask=mask).last_hidden_state.numpy()
    last = reference.expected[f"embeddings_{model.config.num_layers}"]
    np.testing.assert_allclose(hidden[reference.real], last[reference.real], atol=TOLERANCE)
    # With adapter and head it computes what our run does.
    theirs = peft.PeftModel.from_pretrained(base, tmp_path).eval()
    with torch.no_grad():
        found = theirs(**tokens(model)).logits.numpy()
    expected = run.logits(SEQUENCES)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=TOLERANCE)
    again = ntjax.load_peft(tmp_path, tmp_path / "base")
    np.testing.assert_allclose(again.logits(SEQUENCES), expected, atol=TOLERANCE)


@pytest.mark.parametrize("pooling", first_by_default(["tokens", "mean", "attention", "cls"]))
@pytest.mark.parametrize("to", first_by_default(["huggingface", "peft"]))
def test_a_head_beside_the_model(mini, tmp_path, pooling, to):
    run = small_run(mini, "lora", "three", pooling)
    if to == "peft":
        export_peft(run, tmp_path, head=False)
        base = transformers.EsmForMaskedLM.from_pretrained(tmp_path / "base")
        esm = peft.PeftModel.from_pretrained(base, tmp_path).eval().base_model.model.esm
    else:
        export_esm(run, tmp_path, head=False)
        esm = transformers.EsmForMaskedLM.from_pretrained(tmp_path).eval().esm
    given = tokens(mini)
    with torch.no_grad():
        hidden = esm(**given).last_hidden_state
        found = head_module(tmp_path)(hidden, given["attention_mask"]).numpy()
    np.testing.assert_allclose(found, run.logits(SEQUENCES), rtol=1e-5, atol=TOLERANCE)
    assert len((tmp_path / "head.py").read_text().splitlines()) < 35


@pytest.mark.compiled
@pytest.mark.parametrize("name", list(ADAPTERS))
def test_an_adapter_of_peft_is_read(tmp_path, name):
    theirs = adapted(name).eval()
    theirs.save_pretrained(tmp_path / "adapter")
    classifier(**ARCHITECTURES[name]).save_pretrained(tmp_path / "base")
    run = ntjax.load_peft(tmp_path / "adapter", tmp_path / "base", classes=["no", "yes"])
    assert run.adapter == ADAPTERS[name]
    sequences = ["ACGTTGCATTAGCA", "GGGCCATTA", "TTTACGACGACGACGAGATTTAAACCC"]
    given = tokens(run.model, sequences)
    with torch.no_grad():
        expected = theirs(**given).logits.numpy()
    np.testing.assert_allclose(run.logits(sequences), expected, atol=TOLERANCE)


def saved(tmp_path, config, seed=1):
    """A folder of PEFT with this configuration on a random model, and the model's."""
    model = peft.get_peft_model(classifier(), config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for path, weights in model.named_parameters():
            if "lora_" in path:
                weights.copy_(0.2 * torch.randn(weights.shape, generator=generator))
    model.save_pretrained(tmp_path / "adapter")
    classifier().save_pretrained(tmp_path / "base")
    return model.eval(), tmp_path / "adapter", tmp_path / "base"


def lora_config(**options):
    config = peft_config(ADAPTERS["lora"])
    for name, value in options.items():
        setattr(config, name, value)
    return config


@pytest.mark.compiled
@pytest.mark.parametrize("options", [{"use_rslora": True}, {"layers_to_transform": [1]}])
def test_what_peft_calls_otherwise_is_applied(tmp_path, options):
    config = lora_config(**options)
    if "layers_to_transform" in options:
        config.target_modules = ["query", "value"]
    theirs, adapter, base = saved(tmp_path, config)
    run = ntjax.load_peft(adapter, base)
    sequences = ["ACGTTGCATTAGCA", "TTTACGACGACGACGAGATTT"]
    with torch.no_grad():
        expected = theirs(**tokens(run.model, sequences)).logits.numpy()
    np.testing.assert_allclose(run.logits(sequences), expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"use_dora": True}, "use_dora=True"),
        ({"bias": "lora_only"}, "bias='lora_only'"),
        ({"rank_pattern": {r".*query": 2}}, "rank_pattern"),
        ({"alpha_pattern": {r".*query": 2}}, "alpha_pattern"),
        ({"modules_to_save": None}, "has no head: save the adapter with modules_to_save"),
    ],
)
def test_what_cannot_be_computed_is_refused(tmp_path, options, problem):
    _, adapter, base = saved(tmp_path, lora_config(**options))
    with pytest.raises(UserError) as caught:
        ntjax.load_peft(adapter, base)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_adapter_of_another_model_is_refused(mini, tmp_path):
    _, adapter, _ = saved(tmp_path, lora_config())
    with pytest.raises(UserError, match="trained on another model"):
        ntjax.load_peft(adapter, mini)
    content = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(
        json.dumps(content | {"init_lora_weights": "pissa_niter_16"})
    )
    with pytest.raises(UserError, match="changed the model's own weights"):
        ntjax.load_peft(adapter, mini)
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "VERA"}))
    with pytest.raises(UserError, match="'VERA'; LORA and IA3"):
        ntjax.load_peft(adapter, mini)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("query.lora_B.weight", "lora_B.weight is missing"),
        ("out_proj.bias", "out_proj.bias is mis"),
    ],
)
def test_a_folder_that_lacks_a_tensor_is_refused(tmp_path, name, problem):
    _, adapter, base = saved(tmp_path, lora_config())
    tensors = load_file(adapter / "adapter_model.safetensors")
    gone = next(key for key in tensors if key.endswith(name))
    save_file(
        {k: v for k, v in tensors.items() if k != gone}, adapter / "adapter_model.safetensors"
    )
    with pytest.raises(UserError, match=problem):
        ntjax.load_peft(adapter, base)
    save_file(tensors | {gone: tensors[gone] * np.nan}, adapter / "adapter_model.safetensors")
    with pytest.raises(UserError, match="not finite"):
        ntjax.load_peft(adapter, base)


@pytest.mark.compiled
def test_official_and_safetensors_hold_the_merged_model(mini, tmp_path):
    run = small_run(mini, "lora", "two", "tokens")
    export_official(run, tmp_path / "official")
    again = load_pretrained(tmp_path / "official")
    np.testing.assert_allclose(again.embed(SEQUENCES), run.embed(SEQUENCES), atol=1e-5)
    export_safetensors(run, tmp_path / "tensors")
    tensors = load_file(tmp_path / "tensors/model.safetensors")
    for module, leaves in again.params.items():
        for name, leaf in leaves.items():
            np.testing.assert_allclose(tensors[f"{module}.{name}"], leaf, atol=1e-6)
    head = load_file(tmp_path / "tensors/head.safetensors")
    np.testing.assert_array_equal(head["output.w"], run.trainable.head["output"]["w"])


def test_version_2_has_no_place_in_esm(golden_model, tmp_path):
    """Its adapter alone is written: names as InstaDeep's class has them, gate and value side by
    side in `intermediate.dense`."""
    run = small_run(golden_model("v2_3mer"), "lora", "two", "cls")
    config = run.model.config
    assert config.use_glu_in_ffn
    with pytest.raises(UserError, match="--no-base writes the adapter alone"):
        export_peft(run, tmp_path)
    assert not list(tmp_path.iterdir())
    export_peft(run, tmp_path, base=False)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    layer = "base_model.model.esm.encoder.layer.2."
    rank, dim = run.adapter.rank, config.embed_dim
    inner = config.attention_heads * config.key_dim
    assert {
        name.removeprefix(layer): array.shape
        for name, array in tensors.items()
        if name.startswith(layer)
    } == {
        "attention.self.query.lora_A.weight": (rank, dim),
        "attention.self.query.lora_B.weight": (inner, rank),
        "attention.self.value.lora_A.weight": (rank, dim),
        "attention.self.value.lora_B.weight": (inner, rank),
        "intermediate.dense.lora_A.weight": (rank, dim),
        "intermediate.dense.lora_B.weight": (2 * config.ffn_embed_dim, rank),
    }
    assert not (tmp_path / "base").exists()
    assert "has not been run there" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("to", ["huggingface", "peft"])
def test_a_head_that_esm_does_not_have_is_refused(mini, tmp_path, to):
    write = export_esm if to == "huggingface" else export_peft
    with pytest.raises(UserError, match=r"head is mean: train it with --head cls, or .*--no-head"):
        write(small_run(mini, "lora", "two", "mean"), tmp_path)


def test_an_adapter_that_peft_does_not_have(mini, tmp_path):
    run = small_run(mini, "full", "two", "cls")
    with pytest.raises(UserError, match="no adapter such as full: --to huggingface"):
        export_peft(run, tmp_path)
    assert BitFit().kind == "bitfit"  # likewise


def test_the_command(mini, tmp_path, capsys):
    run = replace(
        small_run(mini, "ia3", "two", "cls"),
        calibration=PlattScaling(0.5, 0.1),
        metrics={"n": 120, "accuracy": {"value": 0.8, "low": 0.7, "high": 0.9}},
        strands=Strands("same", average=True),
    )
    run.save(tmp_path / "run")
    export(Options(tmp_path / "run", "huggingface", tmp_path / "out", model="mini"))
    said = capsys.readouterr().out
    assert "note: this run averages the outputs of both strands" in said
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert "| accuracy | 0.800 | 0.700 to 0.900 |" in card
    assert "'slope': 0.5" in card
    with pytest.raises(UserError, match="is in use"):
        export(Options(tmp_path / "run", "official", tmp_path / "out", model="mini"))
    for others, problem in (
        ({"base": False}, "--no-base is for --to peft"),
        ({"head": False}, "--no-head"),
    ):
        with pytest.raises(UserError, match=problem):
            export(Options(tmp_path / "run", "official", tmp_path / "x", model="mini", **others))
