"""Compare the tokenizer's speed with a loop over sequences and k-mers.

    python scripts/benchmarks/benchmark_tokenizer.py

Both make the same padded int32 array, which the script checks first. Both use one thread, so the
times are the process's CPU times, which other programs disturb less than the clock; runs alternate,
and the table shows medians. Takes about half a minute. Expected: at least 20 times faster on
sequences of one length without N (the first two rows), 13 to 17 times on the others.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from ntjax.sequences.tokenizer import Tokenizer


def main() -> None:
    """Time both tokenizers on each case and print the table."""
    parser = argparse.ArgumentParser(description="Time the tokenizer against a Python loop.")
    parser.add_argument("--repeats", type=int, default=7, help="interleaved runs per case")
    repeats = parser.parse_args().repeats

    tokenizer = Tokenizer.for_vocabulary_size(4105, k=6)
    token_ids = {token: index for index, token in enumerate(tokenizer.vocabulary)}
    tokenizer.encode(["ACGT"])  # builds the lookup tables
    print(f"{'sequences':<38}{'loop, ms':>10}{'ntjax, ms':>11}{'ratio':>8}")
    for name, sequences in make_cases(np.random.default_rng(0)).items():
        loop, ours = time_interleaved(
            lambda sequences=sequences: encode_in_a_loop(sequences, token_ids, tokenizer.k),
            lambda sequences=sequences: tokenizer.encode(sequences),
            repeats,
        )
        print(f"{name:<38}{loop * 1e3:>10.1f}{ours * 1e3:>11.1f}{loop / ours:>7.1f}x", flush=True)


def make_cases(generator: np.random.Generator) -> dict[str, list[str]]:
    """Return the sequences of every case by its name."""
    lengths = generator.integers(41, 122, 100_000)
    return {
        "100,000 x 81 bp": split_at(random_dna(generator, 8_100_000), [81] * 100_000),
        "1 x 5,000,000 bp": [random_dna(generator, 5_000_000)],
        "100,000 x 41-121 bp": split_at(random_dna(generator, int(lengths.sum())), lengths),
        "100,000 x 81 bp, 1 N in 1,000": split_at(
            random_dna(generator, 8_100_000, share_of_n=0.001), [81] * 100_000
        ),
        "1 x 5,000,000 bp, 1 N in 100,000": [random_dna(generator, 5_000_000, share_of_n=1e-5)],
    }


def random_dna(generator: np.random.Generator, length: int, share_of_n: float = 0.0) -> str:
    """Return independent random letters."""
    letters = generator.choice(np.frombuffer(b"ACGT", np.uint8), length)
    letters[generator.random(length) < share_of_n] = ord("N")
    return letters.tobytes().decode()


def split_at(text: str, lengths: list[int]) -> list[str]:
    """Cut a text into pieces of these lengths."""
    ends = np.cumsum(lengths)
    return [text[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def encode_in_a_loop(sequences: list[str], token_ids: dict[str, int], k: int) -> np.ndarray:
    """Tokenize one sequence and one k-mer at a time: int32 `[sequences, longest]`."""
    rows = []
    for sequence in sequences:
        row = [token_ids["<cls>"]]
        for index, stretch in enumerate(sequence.upper().split("N")):
            if index > 0:
                row.append(token_ids["N"])
            end = len(stretch) - len(stretch) % k
            row.extend([token_ids[stretch[start : start + k]] for start in range(0, end, k)])
            row.extend([token_ids[letter] for letter in stretch[end:]])
        rows.append(row)
    ids = np.full((len(rows), max(map(len, rows))), token_ids["<pad>"], np.int32)
    for target, row in zip(ids, rows, strict=True):
        target[: len(row)] = row
    return ids


def time_interleaved(
    first: Callable[[], np.ndarray], second: Callable[[], np.ndarray], repeats: int
) -> tuple[float, float]:
    """Return the median CPU seconds of two functions called in turn, once they agree."""
    np.testing.assert_array_equal(first(), second())
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for function, times in zip((first, second), seconds, strict=True):
            start = time.process_time()
            function()
            times.append(time.process_time() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


if __name__ == "__main__":
    main()
