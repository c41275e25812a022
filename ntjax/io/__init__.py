"""Read and write files: tables, labels, FASTA, BED, GFF and VCF as plain records."""
