"""Labelled rows for training and evaluation: splits, batches, masking, the data-set registry."""
