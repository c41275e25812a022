"""Compile training steps for TPUs that are not at hand; what the programs are goes to a JSON file.

    JAX_PLATFORMS=cpu python compiled_for_tpu.py OUT.json [500M]

Needs libtpu; says so on standard output, and writes nothing, where there is none.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import tiny

sys.path.append(str(Path(__file__).parents[2] / "scripts" / "tpu"))

from ahead_of_time import (
    bytes_needed,
    collectives,
    compile_for,
    instructions,
    products,
    tpu_devices,
    unread_bytes,
)

from ntjax.adapters import IA3, LoRA
from ntjax.errors import UserError

HOST, POD = "v5e:2x2", "v5e:8x8"
ROWS, TOKENS = 4, 96
# No two sizes alike, so that a shape tells what an array is.
SMALL = replace(
    tiny.MODEL,
    embed_dim=256,
    attention_heads=8,
    key_dim=48,
    ffn_embed_dim=640,
    max_positions=TOKENS,
    positional_embedding="learned",
    use_rotary_embedding=False,
)
ADAPTERS = {"ia3": IA3(), "lora": LoRA(rank=8)}
# (adapter, layers, topology)
CASES = [
    ("ia3", 2, HOST),
    ("ia3", 6, HOST),
    ("lora", 2, HOST),
    ("lora", 6, HOST),
    ("ia3", 2, POD),
]
LARGE = replace(
    SMALL,
    vocabulary_size=4105,
    k_for_kmers=6,
    max_positions=1000,
    attention_heads=20,
    embed_dim=1280,
    key_dim=64,
    ffn_embed_dim=5120,
    num_layers=24,
)


def described(model, kind, topology, rows, tokens):
    config = tiny.step_config(
        model=model, dtype="bfloat16", rematerialise=True, use_dropout=kind == "lora"
    )
    devices = tpu_devices(topology)
    compiled = compile_for(config, ADAPTERS[kind], devices, rows, tokens)
    memory, program = compiled.memory_analysis(), compiled.as_text()
    return {
        "devices": len(devices),
        "arguments": memory.argument_size_in_bytes,
        "temporary": memory.temp_size_in_bytes,
        "output": memory.output_size_in_bytes,
        "alias": memory.alias_size_in_bytes,
        "needed": bytes_needed(compiled) + unread_bytes(model, config.forward.dtype),
        "collectives": collectives(program),
        "products": products(program),
        "instructions": instructions(program),
    }


def main():
    path, *size = sys.argv[1:]
    try:
        if size:
            programs = {"ia3": described(LARGE, "ia3", HOST, 8, 1000)}
        else:
            programs = {
                f"{kind}/{layers}/{topology}": described(
                    replace(SMALL, num_layers=layers), kind, topology, ROWS, TOKENS
                )
                for kind, layers, topology in CASES
            }
    except UserError as error:
        print(error)
    else:
        Path(path).write_text(json.dumps(programs))


if __name__ == "__main__":
    main()
