"""Bases, their codes, k-mers and tokens. NumPy only."""
