"""Promoters over passes: a transformer with as many passes over the rows as the CNN."""
