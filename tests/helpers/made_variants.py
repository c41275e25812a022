"""Variants on a made genome, and their scores one by one, as their definitions say."""

import re
from typing import NamedTuple

import numpy as np
from made_genomes import other_strand

K = 6


class Made(NamedTuple):
    """A change, and how a record of a VCF writes it (position from 1)."""

    contig: str
    start: int
    old: str
    new: str
    position: int
    ref: str
    alt: str


def made(contigs, contig, start, old, new):
    """A change with its record: indels have the base before them, or behind at the very start."""
    text = contigs[contig]
    assert text[start : start + len(old)] == old
    if old and new:
        return Made(contig, start, old, new, start + 1, old, new)
    if start:
        anchor = text[start - 1]
        return Made(contig, start, old, new, start, anchor + old, anchor + new)
    anchor = text[len(old)]
    return Made(contig, start, old, new, 1, old + anchor, new + anchor)


def other_base(random, base):
    return str(random.choice([other for other in "ACGT" if other != base]))


def drawn(random, bases):
    return "".join(random.choice(list("ACGT"), bases))


def snv(contigs, random, contig, start):
    base = contigs[contig][start]
    return made(contigs, contig, start, base, other_base(random, base))


def indel(contigs, random, contig, start, bases, insertion):
    """An insertion in front of a base, or a deletion from it on."""
    if insertion:
        behind = contigs[contig][start]
        return made(
            contigs, contig, start, "", other_base(random, behind) + drawn(random, bases - 1)
        )
    return made(contigs, contig, start, contigs[contig][start : start + bases], "")


class Read(NamedTuple):
    """A window in a phase: its tokens' texts, and the first and last of them over the site."""

    tokens: list
    first: int
    last: int


def windows(contigs, change, length):
    """(text, site start, site end) of the reference and of the alternative."""
    text, growth = contigs[change.contig], len(change.new) - len(change.old)
    pure = not (change.old and change.new)
    low = change.start - (pure and change.start > 0)
    tail = int(pure and change.start == 0)
    high = change.start + len(change.old) + tail
    start = min(max(low - length // 2, 0), len(text) - length)
    changed = text[: change.start] + change.new + text[change.start + len(change.old) :]
    behind = change.start + len(change.new) + tail
    shift = growth if growth > 0 and behind - start + 6 > length else 0
    shift = min(shift, len(changed) - length - start)
    return (
        (text[start : start + length], low - start, high - start),
        (
            changed[start + shift : start + shift + length],
            low - start - shift,
            behind - start - shift,
        ),
    )


def turned(window):
    text, low, high = window
    return other_strand(text), len(text) - high, len(text) - low


def read(window, phase):
    """The window in a phase; None where it does not hold the site."""
    text, low, high = window
    kept = (len(text) - phase) // K * K
    text, low, high = text[phase : phase + kept], low - phase, high - phase
    if low < 0 or high > len(text):
        return None
    tokens, bases = ["<cls>"], []
    for part in re.findall("N|[^N]+", text):
        whole = len(part) // K * K
        own = [part[i : i + K] for i in range(0, whole, K)] + list(part[whole:])
        for token in own:
            bases += [len(tokens)] * len(token)
            tokens.append(token)
    return Read(tokens, bases[low], bases[high - 1])


def one_row(model, tokens):
    ids = [model.tokenizer.id_of(token) for token in tokens]
    return np.array([ids + [1] * (model.config.max_positions - len(ids))], np.int32)  # one program


def embedded(model, seen):
    """Mean over all tokens of bases, and over those of the site, of the last layer."""
    layer = model.config.num_layers
    rows = one_row(model, seen.tokens)
    out = model.apply(model.params, rows, logits=False, embeddings_layers=(layer,))
    values = np.asarray(out[f"embeddings_{layer}"][0], np.float64)
    return values[1 : len(seen.tokens)].mean(0), values[seen.first : seen.last + 1].mean(0)


def compared(a, b):
    cosine = a @ b / np.sqrt((a @ a) * (b @ b))
    return [cosine, np.abs(a - b).sum(), np.sqrt(((a - b) ** 2).sum()), a @ b]


def distances(model, pair, phases, strands):
    """The eight measures of two windows, averaged over strands."""
    found = []
    for strand in strands:
        both = [turned(window) if strand == "-" else window for window in pair]
        seen = [[read(window, phase) for window in both] for phase in range(phases)]
        seen = [pair for pair in seen if None not in pair]
        means = np.array([[embedded(model, one) for one in pair] for pair in seen]).mean(0)
        found.append([*compared(*means[:, 0]), *compared(*means[:, 1])])
    return np.mean(found, axis=0)


def log_likelihood_ratio(model, pair, phases, strands):
    """Mean over phases and strands of log P(alternative's 6-mer) - log P(reference's)."""
    ratios = []
    for strand in strands:
        both = [turned(window) if strand == "-" else window for window in pair]
        for phase in range(phases):
            seen = [read(window, phase) for window in both]
            if None in seen or len(seen[0].tokens[seen[0].first]) < K:
                continue
            ids = one_row(model, seen[0].tokens)
            at = seen[0].first
            ids[0, at] = model.tokenizer.mask_id
            logits = np.asarray(model.apply(model.params, ids)["logits"][0, at], np.float64)
            logs = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
            new, old = (model.tokenizer.id_of(one.tokens[at]) for one in (seen[1], seen[0]))
            ratios.append(logs[new] - logs[old])
    return np.mean(ratios)
