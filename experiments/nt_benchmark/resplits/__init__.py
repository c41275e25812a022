"""Tasks of the benchmark that can be split anew from the data at hand, and their contest."""
