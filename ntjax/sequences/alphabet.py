"""The DNA alphabet: checked text, base codes, reverse complements, GC content.

A base is stored as a code from 0 to 3, its index in `BASES`. The order A, T, C, G is that of the
published k-mer vocabularies and of genome stores; it makes the complement of a code `code ^ 1`.
Codes above 3 are no base: see `base_codes`.
"""

import itertools
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, NoReturn

import numpy as np

from ntjax.errors import UserError

Ambiguous = Literal["refuse", "n"]

BASES = "ATCG"
"""The bases in the order of their codes, 0 to 3."""

UNKNOWN = 4
"""Code of N. Every code from here on is no base."""

AMBIGUOUS = 5
"""What `base_codes` gives the IUPAC codes that stand for several bases, such as R for A or G."""

NOT_A_BASE = 255
"""What `base_codes` gives every other character."""

COLUMN_ORDER = "".join(sorted(BASES))
"""The order of one-hot columns and of the columns of tables for people: A, C, G, T."""

NOT_DNA = re.compile(f"[^{BASES}N]", re.IGNORECASE | re.ASCII)
"""Finds a character that is none of A, C, G, T and N, in either case."""

_IUPAC_AMBIGUITY_CODES = "RYSWKMBDHV"
_NOT_IUPAC = re.compile(f"[^{BASES}N{_IUPAC_AMBIGUITY_CODES}]", re.IGNORECASE | re.ASCII)
_DNA_BYTES = f"{BASES}N{BASES}N".lower().encode() + f"{BASES}N".encode()
_IUPAC_BYTES = (_IUPAC_AMBIGUITY_CODES + _IUPAC_AMBIGUITY_CODES.lower()).encode()
_GAP = "-"
_PROTEIN_ONLY = frozenset("EFILPQZJ")  # amino acids whose letter is no IUPAC nucleotide code
# What pandas, NumPy and R write for a missing value. All three would pass as DNA letters.
_MISSING = frozenset({"nan", "NaN", "NA"})
_BASE_OF_CODE = np.frombuffer(f"{BASES}N".encode(), np.uint8)


def _code_table() -> bytes:
    """The code of each of the 256 bytes."""
    codes = bytearray([NOT_A_BASE] * 256)
    groups = [*((base, code) for code, base in enumerate(BASES)), ("N", UNKNOWN)]
    for letters, code in (*groups, (_IUPAC_AMBIGUITY_CODES, AMBIGUOUS)):
        for letter in letters + letters.lower():
            codes[ord(letter)] = code
    return bytes(codes)


def _complement_table() -> bytes:
    """The complement of each base as a byte, in its case; other bytes are their own."""
    paired = "".join(BASES[code ^ 1] for code in range(len(BASES)))
    return bytes.maketrans((BASES + BASES.lower()).encode(), (paired + paired.lower()).encode())


_CODE_OF_BYTE = _code_table()
_COMPLEMENT_OF_BYTE = _complement_table()


def base_codes(text: str | bytes, dropped: bytes = b"") -> np.ndarray:
    """Encode bases, in either case, as codes.

    >>> base_codes("ATCGnR-").tolist()
    [0, 1, 2, 3, 4, 5, 255]

    Arguments:
        text: ASCII.
        dropped: bytes to leave out, such as white space.

    Returns:
        uint8 [bases], read-only: 0 to 3 for A, T, C, G; `UNKNOWN` for N; `AMBIGUOUS` for IUPAC
        codes of several bases; `NOT_A_BASE` for anything else.
    """
    data = text.encode("ascii", "replace") if isinstance(text, str) else text
    return np.frombuffer(data.translate(_CODE_OF_BYTE, dropped), np.uint8)


def code_matrix(sequences: Sequence[str]) -> np.ndarray:
    """Encode sequences of one length, uint8 [sequences, bases]; what is no base is `UNKNOWN`."""
    codes = np.minimum(base_codes("".join(sequences)), UNKNOWN)
    return codes.reshape(len(sequences), -1 if len(codes) else 0)


def base_texts(codes: np.ndarray) -> list[str]:
    """Decode codes [sequences, bases], 0 to 4, to text.

    >>> base_texts(code_matrix(["ACGTN"]))
    ['ACGTN']
    """
    return [row.tobytes().decode() for row in _BASE_OF_CODE[codes]]


def complement(codes: np.ndarray) -> np.ndarray:
    """Complement codes of any shape; codes that are no base stay."""
    return codes ^ (codes < UNKNOWN)


def reverse_complement_codes(codes: np.ndarray) -> np.ndarray:
    """Reverse complement of codes [..., bases]: the other strand, read from its 5' end."""
    return complement(codes[..., ::-1])


class CleanSequences(NamedTuple):
    """Upper-case sequences [n] of A, C, G, T and N, and what was changed to read them so."""

    sequences: list[str]
    notes: tuple[str, ...]


def clean_sequences(
    sequences: Sequence[str],
    rows: Sequence[int],
    source: str,
    ambiguous: Ambiguous = "refuse",
) -> CleanSequences:
    """Read DNA as upper-case A, C, G, T and N.

    White space around a sequence is removed. Overlapping k-mers with blanks between them, as
    DNABERT is given them, are joined into the sequence that they were cut from.

    >>> clean_sequences(["acgt", "ACG CGT GTN"], rows=[2, 3], source="some.csv")
    CleanSequences(sequences=['ACGT', 'ACGTN'], notes=('joined the overlapping 3-mers of 1 row',))

    Arguments:
        sequences: [n] texts.
        rows: [n] row numbers in the source, for messages.
        source: file or data set, for messages.
        ambiguous: what becomes of IUPAC codes for several bases, such as R for A or G: "refuse",
            or "n": N replaces them. Any other character is refused.

    Raises:
        UserError: an empty sequence or another character; positions count from 1.
    """
    if ambiguous not in ("refuse", "n"):
        raise ValueError(f"ambiguous must be 'refuse' or 'n', not {ambiguous!r}")
    stripped = [sequence.strip() for sequence in sequences]
    if not all(stripped) or not _MISSING.isdisjoint(stripped):
        _refuse_missing(stripped, rows, source)
    notes: list[str] = []
    others = _not_dna(stripped)
    if re.search(rb"\s", others):
        stripped, notes = _join_kmers(stripped)
        others = _not_dna(stripped)
    if others:
        if ambiguous == "refuse" or others.translate(None, _IUPAC_BYTES):
            _refuse_letters(stripped, rows, source, ambiguous)
        changed = sum(NOT_DNA.search(sequence) is not None for sequence in stripped)
        notes.append(
            f"N replaced {counted(len(others), 'IUPAC code')} in {counted(changed, 'row')}"
        )
        stripped = [NOT_DNA.sub("N", sequence) for sequence in stripped]
    return CleanSequences([sequence.upper() for sequence in stripped], tuple(notes))


def given_sequences(sequences: Sequence[str], ambiguous: Ambiguous = "refuse") -> list[str]:
    """`clean_sequences` for sequences that a caller hands over, not a file; notes are warnings.

    Raises:
        UserError: none, one text in place of a list, something that is no text, or other
            characters than `clean_sequences` accepts.
    """
    if isinstance(sequences, str):
        raise UserError("sequences is one text: give a list, even of one, [sequence]")
    if not len(sequences):
        raise UserError("there is nothing to predict: no sequences were given")
    for number, sequence in enumerate(sequences, 1):
        if not isinstance(sequence, str):
            raise UserError(f"sequences: number {number} is {type(sequence).__name__}, not text")
    rows = range(1, len(sequences) + 1)
    cleaned, notes = clean_sequences(list(sequences), rows, "sequences", ambiguous)
    for note in notes:
        warnings.warn(f"sequences: {note}", stacklevel=3)
    return cleaned


def counted(number: int, noun: str) -> str:
    """A number with its noun: `1 row`, `2,000 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def described_gaps(gaps: Mapping[int | str, int], kind: str) -> str:
    """Say that sequences are aligned, and what to do: `40 gaps ('-') in 1 record ('a'): …`.

    Arguments:
        gaps: number of gaps by the row or record that has any.
        kind: "row" or "record".
    """
    listed = ", ".join(map(repr, list(gaps)[:5])) + (", …" if len(gaps) > 5 else "")
    return (
        f"{counted(sum(gaps.values()), 'gap')} ('-') in {counted(len(gaps), kind)} ({listed}): "
        "these are aligned sequences: remove the gaps"
    )


def _not_dna(sequences: Sequence[str]) -> bytes:
    """All that is no A, C, G, T or N; bytes.translate drops those in one pass of C."""
    return "".join(sequences).encode("utf-8", "surrogatepass").translate(None, _DNA_BYTES)


def _join_kmers(sequences: Sequence[str]) -> tuple[list[str], list[str]]:
    """Join the k-mers of sequences [n] that are nothing but overlapping k-mers; and a note."""
    joined, lengths = [], []
    for sequence in sequences:
        first, *rest = words = sequence.upper().split()
        steps = itertools.pairwise(words)
        if rest and all(len(a) == len(b) and a[1:] == b[:-1] for a, b in steps):
            lengths.append(len(first))
            sequence = first + "".join(word[-1] for word in rest)
        joined.append(sequence)
    kinds = ", ".join(f"{k}-mers" for k in sorted(set(lengths)))
    note = f"joined the overlapping {kinds} of {counted(len(lengths), 'row')}"
    return joined, [note] if lengths else []


def _refuse_missing(stripped: Sequence[str], rows: Sequence[int], source: str) -> NoReturn:
    for row, sequence in zip(rows, stripped, strict=True):
        if not sequence or sequence in _MISSING:
            what = f"missing ({sequence!r})" if sequence else "empty"
            raise UserError(
                f"{source}: row {row}: the sequence is {what}: fill it in or remove the row"
            )
    raise AssertionError("called without a missing sequence")


def _refuse_letters(
    stripped: Sequence[str], rows: Sequence[int], source: str, ambiguous: Ambiguous
) -> NoReturn:
    refused = NOT_DNA if ambiguous == "refuse" else _NOT_IUPAC
    for row, sequence in zip(rows, stripped, strict=True):
        found = refused.search(sequence)
        if found:
            character = found.group()
            shown = repr(character)
            if not character.isascii():  # a Cyrillic A looks like a Latin one
                shown += f" (U+{ord(character):04X})"
            if character == _GAP:
                gaps = {r: s.count(character) for r, s in zip(rows, stripped, strict=True)}
                remedy = described_gaps({r: n for r, n in gaps.items() if n}, "row")
            else:
                remedy = _remedy(character.upper(), set(sequence.upper()))
            raise UserError(
                f"{source}: row {row}, position {found.start() + 1}: {shown} is not one of "
                f"A, C, G, T, N: {remedy}"
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
    if character.isspace():
        return (
            "overlapping k-mers may have blanks between them, but these do not all overlap: "
            "write the sequence without blanks"
        )
    return "correct the sequence or remove the row"


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
        sequence.encode("ascii").translate(_COMPLEMENT_OF_BYTE)[::-1].decode("ascii")
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
