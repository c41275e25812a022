"""Made genomes as text, promoters drawn from them, and where they occur."""

import numpy as np

from ntjax.genomes.indexing import open_genome

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")
LETTERS = 81


def other_strand(text):
    return text.translate(COMPLEMENT)[::-1]


def random_text(letters, seed, gc=0.5):
    shares = [(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), letters, p=shares))


def two_contigs():
    """Two contigs, a run of N, and GC that falls along the first."""
    first = random_text(20_000, 0, 0.6) + "N" * 300 + random_text(20_000, 1, 0.4)
    return {"one": first, "two": random_text(9_000, 2)}


def opened(folder, contigs):
    """The store of contigs by name."""
    path = folder / "made.fna"
    path.write_text("".join(f">{name} of a test\n{text}\n" for name, text in contigs.items()))
    return open_genome(path)


def drawn_promoters(contigs, count, seed):
    """Windows of either strand with the names they should get."""
    random, found = np.random.default_rng(seed), {}
    while len(found) < count:
        contig = ("one", "two")[int(random.random() < 0.3)]
        start = int(random.integers(0, len(contigs[contig]) - LETTERS))
        text = contigs[contig][start : start + LETTERS]
        if "N" in text:
            continue
        if random.random() < 0.5:
            found[f"{contig}:{start + 61}:+"] = text
        else:
            found[f"{contig}:{start + 21}:-"] = other_strand(text)
    return found


def occurrences(contigs, promoter):
    """Names of all occurrences, by searching text."""
    names = []
    for contig, text in contigs.items():
        for strand, pattern, index in (("+", promoter, 60), ("-", other_strand(promoter), 20)):
            start = text.find(pattern)
            while start >= 0:
                names.append(f"{contig}:{start + index + 1}:{strand}")
                start = text.find(pattern, start + 1)
    return sorted(names)
