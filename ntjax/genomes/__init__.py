"""Whole genomes: the indexed store, intervals, windows, annotation, sites and variants."""
