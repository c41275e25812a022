"""Sequences, labels and tokens: reading, splitting, batching."""
