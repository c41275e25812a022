"""A toy task: class k > 0 holds motif k at a fixed place in i.i.d. DNA, class 0 holds none."""

import numpy as np

MOTIFS = ("TATAAT", "GGCGCC")


def planted_rows(n, length=30, classes=2, seed=0):
    """Return n sequences and labels int [n]."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    letters = np.array(list("ACGT"))[generator.integers(0, 4, (n, length))]
    sequences = ["".join(row) for row in letters]
    for i, label in enumerate(labels):
        if label > 0:
            sequences[i] = sequences[i][:10] + MOTIFS[label - 1] + sequences[i][16:]
    return sequences, labels
