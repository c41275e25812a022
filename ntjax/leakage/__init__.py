"""Find rows of a train/test split that share sequence, and shortcuts such as GC content."""
