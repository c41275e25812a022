"""Does pre-training pay? `python -m experiments.promoters.pretraining`."""
