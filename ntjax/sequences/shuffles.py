"""Sequences in random order."""

import numpy as np


def shuffled_keeping_dinucleotides(letters: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The letters in another order with the same number of each dinucleotide.

    Every order that has the same letters and dinucleotides is equally likely; all of them begin
    and end as the original does. A sequence is a walk over the letters that takes every
    dinucleotide as a step once. Draw the last step out of each letter until, together, they lead
    from every letter to the final one; shuffle the other steps; walk. Altschul and Erickson, Mol.
    Biol. Evol. 2:526 (1985).

    Arguments:
        letters: [n] of few different values; not changed.

    Returns:
        [n], of the same type.
    """
    if len(letters) < 3:
        return letters.copy()
    following, end = letters[1:], int(letters[-1])
    steps = {int(letter): following[letters[:-1] == letter] for letter in np.unique(letters[:-1])}
    last = _last_steps(steps, end, random)
    for letter, choice in last.items():
        others = random.permutation(np.delete(steps[letter], choice))
        steps[letter] = np.append(others, steps[letter][choice])
    if end in steps:
        steps[end] = random.permutation(steps[end])
    ahead = {letter: iter(order.tolist()) for letter, order in steps.items()}
    walk = [int(letters[0])]
    for _ in following:
        walk.append(next(ahead[walk[-1]]))
    return np.array(walk, letters.dtype)


def _last_steps(
    steps: dict[int, np.ndarray], end: int, random: np.random.Generator
) -> dict[int, int]:
    """Which step is taken last from each letter but the final one: evenly, of those that work."""
    while True:
        last = {
            letter: int(random.integers(len(following)))
            for letter, following in steps.items()
            if letter != end
        }
        if all(_reaches(letter, steps, last, end) for letter in last):
            return last


def _reaches(letter: int, steps: dict[int, np.ndarray], last: dict[int, int], end: int) -> bool:
    for _ in last:
        letter = int(steps[letter][last[letter]])
        if letter == end:
            return True
    return False
