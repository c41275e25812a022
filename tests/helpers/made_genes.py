"""Genes at random places, as a GFF3 file, and what lies between them, letter by letter."""

import numpy as np


def random_genes(contigs, count, seed):
    """Rows (contig, type, start, end, strand), from 0, of genes and CDS; some overlap."""
    random, rows = np.random.default_rng(seed), []
    for contig, letters in contigs.items():
        for _ in range(count):
            start = int(random.integers(0, letters - 5))
            end = min(start + int(random.integers(5, letters // 4)), letters)
            strand = "+-."[random.choice(3, p=[0.48, 0.48, 0.04])]
            rows += [(contig, kind, start, end, strand) for kind in ("gene", "CDS")]
    return rows


def written_gff(path, rows):
    lines = (
        f"{contig}\tmade\t{kind}\t{start + 1}\t{end}\t.\t{strand}\t.\tID={number}\n"
        for number, (contig, kind, start, end, strand) in enumerate(rows)
    )
    path.write_text("##gff-version 3\n" + "".join(lines))
    return path


def brute_gaps(rows, contig, offset, letters):
    """((first, end), convergent) of every run of letters in no gene, in places of the store."""
    genes = [row[2:] for row in rows if row[:2] == (contig, "gene")]
    covered = {place for start, end, _ in genes for place in range(start, end)}
    found, place = [], 0
    while place < letters:
        if place in covered:
            place += 1
            continue
        first = place
        while place < letters and place not in covered:
            place += 1
        left = {strand for _, end, strand in genes if end == first}
        right = {strand for start, _, strand in genes if start == place}
        found.append(((offset + first, offset + place), left == {"+"} and right == {"-"}))
    return found
