"""DNA letters: checking them, reverse complement, GC content."""

import re
from collections.abc import Iterable, Sequence
from typing import Literal, NoReturn

import numpy as np

from ntjax.errors import UserError

Ambiguous = Literal["refuse", "n"]

_NOT_DNA = re.compile("[^ACGTNacgtn]")
_DNA_BYTES = b"ACGTNacgtn"
_IUPAC_AMBIGUITY_CODES = frozenset("RYSWKMBDHV")
_PROTEIN_ONLY = frozenset("EFILPQZJ")  # amino acids whose letter is no IUPAC nucleotide code
# What pandas, NumPy and R write for a missing value. All three would pass as DNA letters.
_MISSING = frozenset({"nan", "NaN", "NA"})
_COMPLEMENT = bytes.maketrans(b"ACGTNacgtn", b"TGCANtgcan")


def clean_sequences(
    sequences: Sequence[str],
    rows: Sequence[int],
    source: str,
    ambiguous: Ambiguous = "refuse",
) -> list[str]:
    """Upper-case DNA sequences that hold A, C, G, T and N only.

    White space around a sequence is removed.

    Arguments:
        sequences: [n] texts.
        rows: [n] row numbers in the source, for messages.
        source: file or data set, for messages.
        ambiguous: what becomes of any other character: "refuse" or "n" (it is replaced by N).

    Returns:
        [n] sequences.

    Raises:
        UserError: an empty sequence or, with "refuse", another character; positions count from 1.
    """
    if ambiguous not in ("refuse", "n"):
        raise ValueError(f"ambiguous must be 'refuse' or 'n', not {ambiguous!r}")
    stripped = [sequence.strip() for sequence in sequences]
    if not all(stripped) or not _MISSING.isdisjoint(stripped):
        _refuse_missing(stripped, rows, source)
    # bytes.translate drops all valid letters in one pass of C: what remains is the offence.
    if "".join(stripped).encode("utf-8", "surrogatepass").translate(None, _DNA_BYTES):
        if ambiguous == "refuse":
            _refuse_letters(stripped, rows, source)
        stripped = [_NOT_DNA.sub("N", sequence) for sequence in stripped]
    return [sequence.upper() for sequence in stripped]


def given_sequences(sequences: Sequence[str]) -> list[str]:
    """`clean_sequences` for sequences that a caller hands over, not a file.

    Raises:
        UserError: none, one text in place of a list, something that is no text, or other letters
            than A, C, G, T and N.
    """
    if isinstance(sequences, str):
        raise UserError("sequences is one text: give a list, even of one, [sequence]")
    if not len(sequences):
        raise UserError("there is nothing to predict: no sequences were given")
    for number, sequence in enumerate(sequences, 1):
        if not isinstance(sequence, str):
            raise UserError(f"sequences: number {number} is {type(sequence).__name__}, not text")
    return clean_sequences(list(sequences), range(1, len(sequences) + 1), "sequences")


def _refuse_missing(stripped: Sequence[str], rows: Sequence[int], source: str) -> NoReturn:
    for row, sequence in zip(rows, stripped, strict=True):
        if not sequence or sequence in _MISSING:
            what = f"missing ({sequence!r})" if sequence else "empty"
            raise UserError(
                f"{source}: row {row}: the sequence is {what}: fill it in or remove the row"
            )
    raise AssertionError("called without a missing sequence")


def _refuse_letters(stripped: Sequence[str], rows: Sequence[int], source: str) -> NoReturn:
    for row, sequence in zip(rows, stripped, strict=True):
        found = _NOT_DNA.search(sequence)
        if found:
            character = found.group()
            shown = repr(character)
            if not character.isascii():  # a Cyrillic A looks like a Latin one
                shown += f" (U+{ord(character):04X})"
            raise UserError(
                f"{source}: row {row}, position {found.start() + 1}: {shown} is not one of "
                f"A, C, G, T, N: {_remedy(character.upper(), set(sequence.upper()))}"
            )
    raise AssertionError("called without a letter to refuse")


def _remedy(character: str, letters: set[str]) -> str:
    """What to do about a character, judged by all letters of its sequence."""
    if letters & _PROTEIN_ONLY:
        return "the sequence looks like protein: give the DNA"
    if "U" in letters:
        return "the sequence looks like RNA: replace U by T"
    if character in _IUPAC_AMBIGUITY_CODES:
        return "it is an IUPAC code for several bases; --ambiguous n maps such codes to N"
    return "correct the sequence, or map every such character to N with --ambiguous n"


def reverse_complement(sequences: Iterable[str]) -> list[str]:
    """Reverse complements of sequences of A, C, G, T and N (case is kept).

    >>> reverse_complement(["TATAAT", "aacgN"])
    ['ATTATA', 'Ncgtt']

    Arguments:
        sequences: [n] sequences, as from `clean_sequences`.

    Returns:
        [n] sequences, in the given order.
    """
    return [
        sequence.encode("ascii").translate(_COMPLEMENT)[::-1].decode("ascii")
        for sequence in sequences
    ]


def gc_content(sequences: Sequence[str]) -> np.ndarray:
    """Fraction of G and C among the bases that are known.

    >>> gc_content(["GATC", "GCNN"]).tolist()
    [0.5, 1.0]

    Arguments:
        sequences: [n] upper-case sequences. N is not counted.

    Returns:
        [n] float64 from 0 to 1; NaN where a sequence has nothing but N.
    """
    strong = np.array([s.count("G") + s.count("C") for s in sequences], dtype=np.float64)
    weak = np.array([s.count("A") + s.count("T") for s in sequences], dtype=np.float64)
    known = strong + weak
    return np.divide(strong, known, out=np.full_like(known, np.nan), where=known > 0)
