"""*E. coli* promoters with adapted Nucleotide Transformers."""
