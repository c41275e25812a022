"""Models that every fine-tuned transformer has to be compared with."""
