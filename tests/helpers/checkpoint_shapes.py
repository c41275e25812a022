"""The reference checkpoints as plain joblib and json read them, and the trees they should give."""

import json
from pathlib import Path

import joblib

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDERS = ("rotary_gelu", "v1", "v1_token_dropout", "v2", "v2_3mer")


def expected_shapes(hyperparameters, vocabulary):
    """The stacked tree a checkpoint should have, written out from its hyperparameters."""
    dim, ffn = hyperparameters["embed_dim"], hyperparameters["ffn_embed_dim"]
    layers = hyperparameters["num_layers"]
    bias, glu = hyperparameters.get("add_bias_ffn", True), hyperparameters.get("use_glu_in_ffn")
    norm = {"scale": (dim,), "offset": (dim,)}
    stacked_norm = {"scale": (layers, dim), "offset": (layers, dim)}
    projection = {"w": (layers, dim, dim), "b": (layers, dim)}
    width = 2 * ffn if glu else ffn
    blocks = {
        "self_attention_layer_norm": stacked_norm,
        "query": projection,
        "key": projection,
        "value": projection,
        "mha_output": projection,
        "final_layer_norm": stacked_norm,
        "fc1": {"w": (layers, dim, width)} | ({"b": (layers, width)} if bias else {}),
        "fc2": {"w": (layers, ffn, dim)} | ({"b": (layers, dim)} if bias else {}),
    }
    tree = {"embed": {"embeddings": (vocabulary, dim)}}
    if hyperparameters.get("positional_embedding", "learned"):
        positions = hyperparameters["max_positions"] + 2
        tree["positional_embedding"] = {"embeddings": (positions, dim)}
    if hyperparameters["emb_layer_norm_before"]:
        tree["emb_layer_norm_before"] = norm
    tree |= {f"layers/{name}": shapes for name, shapes in blocks.items()}
    tree |= {
        "emb_layer_norm_after": norm,
        "lm_head_fc_1": {"w": (dim, dim), "b": (dim,)},
        "lm_head_layer_norm": norm,
        "lm_final_fc": {"w": (dim, vocabulary), "b": (vocabulary,)},
    }
    return {f"nucleotide_transformer/{name}": shapes for name, shapes in tree.items()}


class Golden:
    """A reference checkpoint: its files, and its contents as plain joblib and json read them."""

    def __init__(self, name):
        self.folder = GOLDEN / name
        self.weights_file = self.folder / "jax_model" / "pytree_ckpt.joblib"
        self.hyperparameters_file = self.folder / "jax_model" / "hyperparams.json"
        self.hyperparameters = json.loads(self.hyperparameters_file.read_text())
        self.tree = joblib.load(self.weights_file)
        (self.root,) = {module.split("/")[0] for module in self.tree}
        self.vocabulary = len(self.tree[f"{self.root}/~/embed"]["embeddings"])
        self.shapes = expected_shapes(self.hyperparameters, self.vocabulary)

    def put_into(self, folder, weights=None):
        """A copy of the checkpoint in `folder`, with other contents for the weights if given."""
        model = folder / "jax_model"
        model.mkdir(parents=True)
        (model / "hyperparams.json").write_bytes(self.hyperparameters_file.read_bytes())
        contents = self.weights_file.read_bytes() if weights is None else weights
        (model / "pytree_ckpt.joblib").write_bytes(contents)
        return folder
