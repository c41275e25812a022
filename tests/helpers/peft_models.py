"""PEFT's adapters on a random classifier, and the same numbers as our adapter and head."""

import re

import numpy as np
import pytest
from esm_models import LAYERS, WHY, classifier, torch

from ntjax.adapters import IA3, Adapter, AdapterConfig, LoRA
from ntjax.inference.forward import Trainable

peft = pytest.importorskip("peft", reason=WHY)

# Our names of the linear layers, and transformers'.
LINEAR = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mha_output": "attention.output.dense",
    "fc1": "intermediate.dense",
    "fc2": "output.dense",
}
HEAD = {"dense": "dense", "output": "out_proj"}
ADAPTERS: dict[str, AdapterConfig] = {
    "lora": LoRA(rank=8, alpha=16.0, targets=("query", "value")),
    "lora-every-layer": LoRA(rank=8, alpha=16.0, targets=tuple(LINEAR)),
    "ia3": IA3(),
}
ARCHITECTURES = {
    "lora": {"token_dropout": True, "layer_norm_eps": 1e-12},
    "lora-every-layer": {"position_embedding_type": "rotary", "layer_norm_eps": 1e-5},
    "ia3": {"position_embedding_type": "rotary", "emb_layer_norm_before": True},
}


def modules(names):
    """A pattern for these linear layers of every block; a list of endings would match too many
    (`attention.output.dense` ends with `output.dense`)."""
    return rf".*\.layer\.\d+\.({'|'.join(re.escape(LINEAR[name]) for name in names)})"


def peft_config(config):
    """PEFT's words for one of our adapters."""
    if isinstance(config, IA3):
        return peft.IA3Config(
            target_modules=modules(["key", "value", "fc2"]),
            feedforward_modules=modules(["fc2"]),
            modules_to_save=["classifier"],
        )
    return peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=0.0,
        target_modules=modules(config.targets),
        modules_to_save=["classifier"],
    )


def adapted(name, seed=1):
    """The classifier with PEFT's adapter; no branch is zero and no vector one."""
    model = peft.get_peft_model(classifier(**ARCHITECTURES[name]), peft_config(ADAPTERS[name]))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for path, weights in trained(model).items():
            noise = torch.randn(weights.shape, generator=generator)
            if "ia3_l" in path:
                weights.copy_(1 + 0.2 * noise)
            elif "lora_" in path:
                weights.copy_(0.2 * noise)
    return model.train()


def trained(model):
    """The parameters that PEFT trains, by name."""
    return {name: leaf for name, leaf in model.named_parameters() if leaf.requires_grad}


def places(config):
    """`{our path: their names, one per layer}`; the head's has one name."""
    layer = "base_model.model.esm.encoder.layer.{}."
    names = {}
    if isinstance(config, IA3):
        for ours, linear in (("l_k", "key"), ("l_v", "value"), ("l_ff", "fc2")):
            names["adapter", ours] = f"{layer}{LINEAR[linear]}.ia3_l.default"
    else:
        for linear in config.targets:
            for ours, theirs in (("a", "lora_A"), ("b", "lora_B")):
                names["adapter", linear, ours] = f"{layer}{LINEAR[linear]}.{theirs}.default.weight"
    for ours, theirs in HEAD.items():
        for leaf, kind in (("w", "weight"), ("b", "bias")):
            path = f"base_model.model.classifier.modules_to_save.default.{theirs}.{kind}"
            names["head", ours, leaf] = path
    return {
        path: [name.format(i) for i in range(LAYERS)] if "{}" in name else [name]
        for path, name in names.items()
    }


def to_ours(config, values):
    """Adapter and head from `{their name: array}`: of weights, or of gradients."""
    values, trees = dict(values), {"adapter": {}, "head": {}}
    for (kind, *path), names in places(config).items():
        leaves = [np.array(values.pop(name), np.float32) for name in names]
        leaves = [leaf.reshape(-1) if path[0].startswith("l_") else leaf.T for leaf in leaves]
        tree = trees[kind]
        for key in path[:-1]:
            tree = tree.setdefault(key, {})
        tree[path[-1]] = np.stack(leaves) if kind == "adapter" else leaves[0]
    assert not values, f"PEFT trains more: {list(values)}"
    return Trainable(Adapter(config, trees["adapter"]), trees["head"])


def to_theirs(trainable, model):
    """Put our adapter and head into PEFT's model."""
    parameters = trained(model)
    trees = {"adapter": trainable.adapter.parameters, "head": trainable.head}
    for (kind, *path), names in places(trainable.adapter.config).items():
        leaf = trees[kind]
        for key in path:
            leaf = leaf[key]
        for name, array in zip(names, leaf if kind == "adapter" else [leaf], strict=True):
            target = parameters.pop(name)
            array = np.array(array).reshape(target.shape) if "ia3" in name else np.array(array).T
            with torch.no_grad():
                target.copy_(torch.tensor(array))
    assert not parameters
