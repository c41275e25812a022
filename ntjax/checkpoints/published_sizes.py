"""Sizes of the published Nucleotide Transformers, for what can be told without their weights.

Checked against public copies of their configurations, or against their published counts of
parameters.
"""

from dataclasses import replace

from ntjax.models.config import TransformerConfig

# Of the first release: learned positions, GELU, biases.
_FIRST = TransformerConfig(
    vocabulary_size=4105,
    k_for_kmers=6,
    max_positions=1000,
    attention_heads=20,
    embed_dim=1280,
    ffn_embed_dim=5120,
    num_layers=24,
    key_dim=64,
)
_LARGE = replace(_FIRST, embed_dim=2560, ffn_embed_dim=10240, num_layers=32, key_dim=128)
# Of the second: rotary positions, a gated feed-forward layer without biases.
_SECOND = TransformerConfig(
    vocabulary_size=4107,
    k_for_kmers=6,
    max_positions=2048,
    attention_heads=16,
    embed_dim=512,
    ffn_embed_dim=2048,
    num_layers=12,
    key_dim=32,
    positional_embedding=None,
    use_rotary_embedding=True,
    add_bias_ffn=False,
    ffn_activation_name="swish",
    use_glu_in_ffn=True,
)
SIZES: dict[str, TransformerConfig] = {
    "500M_human_ref": _FIRST,
    "500M_1000G": _FIRST,
    "2B5_1000G": _LARGE,
    "2B5_multi_species": _LARGE,
    "50M_multi_species_v2": _SECOND,
    "100M_multi_species_v2": replace(_SECOND, num_layers=22),
    "250M_multi_species_v2": replace(
        _SECOND, num_layers=24, embed_dim=768, ffn_embed_dim=3072, key_dim=48
    ),
    "500M_multi_species_v2": replace(
        _SECOND, num_layers=29, embed_dim=1024, ffn_embed_dim=4096, key_dim=64
    ),
    "1B_agro_nt": replace(
        _FIRST, max_positions=1024, num_layers=40, embed_dim=1500, ffn_embed_dim=5120, key_dim=75
    ),
    "codon_nt": replace(_SECOND, vocabulary_size=75, k_for_kmers=3),
}
"""By the names of `PUBLISHED`; `50M_3mer_multi_species_v2` is `codon_nt`."""
