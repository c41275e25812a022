"""Promoters over passes: each side at its best, with as many passes over the rows as the CNN."""
