"""The evaluations of the Nucleotide Transformer, on what data are at hand."""
