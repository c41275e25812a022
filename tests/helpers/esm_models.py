"""Random ESM models of Hugging Face transformers, and batches for them."""

import numpy as np
import pytest

WHY = "needs PyTorch, transformers and PEFT: pip install 'ntjax[interop]'"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)
transformers.utils.logging.disable_progress_bar()
# Threads that wait for one another cost these small models more than they save.
torch.set_num_threads(1)

PAD, MASK, CLS, FIRST_KMER = 1, 2, 3, 6
VOCABULARY = 75  # 3-mers
LAYERS = 3


def esm_config(**options):
    """A small architecture; every number is its own, so that no two axes can be confused."""
    defaults = {
        "vocab_size": VOCABULARY,
        "pad_token_id": PAD,
        "mask_token_id": MASK,
        "hidden_size": 32,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": 44,
        "max_position_embeddings": 26,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "tie_word_embeddings": False,
    }
    return transformers.EsmConfig(**(defaults | options))


def randomise(model, seed=0):
    """Draw every weight: no bias is 0, no scale 1, attention is not flat.

    Embeddings are small, so that the norms' epsilon counts.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            noise = torch.randn(weights.shape, generator=generator)
            if "embeddings.weight" in name:
                noise *= 0.01
            elif "norm" in name.lower() and name.endswith("weight"):
                noise = 1 + 0.2 * noise
            elif weights.ndim == 1:
                noise *= 0.2
            else:
                noise *= weights.shape[1] ** -0.5
            weights.copy_(noise)
    return model.eval()


def masked_language_model(seed=0, **options):
    config = esm_config(attn_implementation="eager", **options)
    return randomise(transformers.EsmForMaskedLM(config), seed)


def classifier(seed=0, classes=2, **options):
    config = esm_config(num_labels=classes, attn_implementation="eager", **options)
    return randomise(transformers.EsmForSequenceClassification(config), seed)


def token_ids(rows=5, longest=20, masked=0.2, seed=0):
    """int32 [rows, longest]: `<cls>`, k-mers, `<mask>` among them, padded but for the first row."""
    random = np.random.default_rng(seed)
    ids = random.integers(FIRST_KMER, VOCABULARY, (rows, longest))
    ids[random.random(ids.shape) < masked] = MASK
    ids[:, 0] = CLS
    lengths = np.concatenate([[longest], random.integers(2, longest, rows - 1)])
    ids[np.arange(longest) >= lengths[:, None]] = PAD
    return ids.astype(np.int32)


def run(model, ids):
    """The outputs of a transformers model that looks away from `<pad>`."""
    with torch.no_grad():
        return model(
            torch.tensor(ids, dtype=torch.long),
            attention_mask=torch.tensor(ids != PAD, dtype=torch.long),
            output_hidden_states=True,
            output_attentions=True,
        )
