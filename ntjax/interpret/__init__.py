"""What a trained run looks at, and how well its view separates the classes."""

from ntjax.interpret.aggregation import MeanMap, mean_map, mean_maps_by_outcome, outcome_rows
from ntjax.interpret.attention_salience import (
    AttentionSalience,
    attention_salience,
    received_attention,
)
from ntjax.interpret.embeddings import bag_of_kmers, mean_embeddings, one_hot_kmers
from ntjax.interpret.gradients import Gradients, gradients
from ntjax.interpret.mutagenesis import mutagenesis, position_importance
from ntjax.interpret.planted_precision import (
    PlantedPrecision,
    planted_letters,
    planted_precision,
)
from ntjax.interpret.separability import Separability, separability

__all__ = [
    "AttentionSalience",
    "Gradients",
    "MeanMap",
    "PlantedPrecision",
    "Separability",
    "attention_salience",
    "bag_of_kmers",
    "gradients",
    "mean_embeddings",
    "mean_map",
    "mean_maps_by_outcome",
    "mutagenesis",
    "one_hot_kmers",
    "outcome_rows",
    "planted_letters",
    "planted_precision",
    "position_importance",
    "received_attention",
    "separability",
]
