import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from ntjax.errors import UserError
from ntjax.sequences.tokenizer import Tokenizer

GOLDEN = Path(__file__).parents[1] / "golden"
V1 = Tokenizer.for_vocabulary_size(4105, k=6)
V2 = Tokenizer.for_vocabulary_size(4107, k=6)
CODON = Tokenizer.for_vocabulary_size(75, k=3)
OFFICIAL = {
    "v1": V1,
    "v1_token_dropout": V1,
    "v2": V2,
    "rotary_gelu": V2,
    "v2_3mer": CODON,
}


def reference_tokens(sequence, k):
    """One sequence, one letter at a time, from the tokenizer's description."""
    tokens, waiting = ["<cls>"], ""
    for letter in sequence.upper():
        if letter == "N":
            tokens += [*waiting, "N"]
            waiting = ""
        else:
            waiting += letter
            if len(waiting) == k:
                tokens.append(waiting)
                waiting = ""
    return [*tokens, *waiting]


def reference_encode(sequences, tokenizer):
    ids = {token: index for index, token in enumerate(tokenizer.vocabulary)}
    rows = [[ids[token] for token in reference_tokens(s, tokenizer.k)] for s in sequences]
    width = max(map(len, rows))
    return np.array([row + [1] * (width - len(row)) for row in rows], np.int32)


def random_sequence(generator, length, letters="ACGT", share_of_n=0.0):
    drawn = generator.choice(np.frombuffer(letters.encode(), np.uint8), length)
    drawn[generator.random(length) < share_of_n] = ord("N")
    return drawn.tobytes().decode()


def random_sequences(seed, count, low, high, letters="ACGT", share_of_n=0.0):
    generator = np.random.default_rng(seed)
    lengths = generator.integers(low, high + 1, count)
    return [random_sequence(generator, n, letters, share_of_n) for n in lengths]


# The official tokens


@pytest.mark.parametrize("folder", OFFICIAL)
def test_golden_tokens(folder):
    tokenizer = OFFICIAL[folder]
    inputs = json.loads((GOLDEN / folder / "inputs.json").read_text())
    ids = tokenizer.encode(inputs["sequences"], length=inputs["fixed_length"])
    assert ids.dtype == np.int32
    assert tokenizer.tokens(ids) == inputs["tokens"]
    with np.load(GOLDEN / folder / "expected.npz") as expected:
        assert expected["logits"].shape[-1] == tokenizer.vocabulary_size
        for row, column in inputs["masked_positions"]:
            ids[row, column] = tokenizer.mask_id
        np.testing.assert_array_equal(ids, expected["tokens"])


# The vocabulary


@pytest.mark.parametrize(("tokenizer", "special"), [(V1, 4), (V2, 6), (CODON, 6)])
def test_vocabulary_order(tokenizer, special):
    names = ("<unk>", "<pad>", "<mask>", "<cls>", "<eos>", "<bos>")[:special]
    kmers = tokenizer.vocabulary[special:-5]
    assert tokenizer.vocabulary[:special] == names
    assert kmers == tuple(map("".join, itertools.product("ATCG", repeat=tokenizer.k)))
    assert tokenizer.vocabulary[-5:] == ("A", "T", "C", "G", "N")
    assert (tokenizer.unk_id, tokenizer.pad_id, tokenizer.mask_id, tokenizer.cls_id) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("token", "v1", "v2"),
    [("<cls>", 3, 3), ("AAAAAA", 4, 6), ("ATTCCG", 367, 369), ("A", 4100, 4102), ("N", 4104, 4106)],
)
def test_id_of(token, v1, v2):
    assert V1.id_of(token) == v1
    assert V2.id_of(token) == v2
    assert V2.vocabulary[v2] == token


@pytest.mark.parametrize("token", ["", "attccg", "ACG", "<eos>", "R"])
def test_id_of_refuses_what_is_no_token(token):
    with pytest.raises(UserError, match=r"is not a token: tokens are 6-mers .* <unk> <pad> <mask>"):
        V1.id_of(token)


@pytest.mark.parametrize("k", range(2, 9))
def test_every_k_and_version(k):
    sequences = random_sequences(k, 50, 1, 60, share_of_n=0.05)
    for vocabulary_size in (4**k + 9, 4**k + 11):
        tokenizer = Tokenizer.for_vocabulary_size(vocabulary_size, k)
        assert tokenizer.vocabulary_size == vocabulary_size
        assert len(set(tokenizer.vocabulary)) == vocabulary_size
        np.testing.assert_array_equal(
            tokenizer.encode(sequences), reference_encode(sequences, tokenizer)
        )


@pytest.mark.parametrize(("vocabulary_size", "k"), [(4106, 6), (75, 6), (4105, 3), (0, 6)])
def test_unknown_vocabulary_size_names_those_that_exist(vocabulary_size, k):
    with pytest.raises(UserError, match=r"version 1 has .* version 2 .*4105 or 4107.*75") as error:
        Tokenizer.for_vocabulary_size(vocabulary_size, k)
    assert f" {4**k + 9}," in str(error.value)
    assert f" {4**k + 11} " in str(error.value)


@pytest.mark.parametrize("k", [0, 1, 9])
def test_unsupported_k(k):
    with pytest.raises(UserError, match="k must be 2 to 8"):
        Tokenizer.for_vocabulary_size(4105, k)


# Agreement with one letter at a time


@pytest.mark.parametrize("tokenizer", [V1, V2, CODON], ids=["v1", "v2", "codon"])
@pytest.mark.parametrize("share_of_n", [0.0, 0.001, 0.05, 0.7])
def test_random_sequences(tokenizer, share_of_n):
    # More letters than one block of the tokenizer holds.
    sequences = random_sequences(0, 3000, 1, 200, "ACGTacgt", share_of_n)
    expected = reference_encode(sequences, tokenizer)
    np.testing.assert_array_equal(tokenizer.encode(sequences), expected)
    np.testing.assert_array_equal(tokenizer.count_tokens(sequences), (expected != 1).sum(1))


@pytest.mark.parametrize("tokenizer", [V1, CODON], ids=["6-mers", "3-mers"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 7, 12, 81, 200])
@pytest.mark.parametrize("extra", [[], ["N" * 4], ["ACGTA"], ["ANNC"]])
def test_sequences_of_one_size(tokenizer, size, extra):
    sequences = [*random_sequences(size, 700, size, size, "ACGTacgt"), *extra]
    expected = reference_encode(sequences, tokenizer)
    np.testing.assert_array_equal(tokenizer.encode(sequences), expected)
    np.testing.assert_array_equal(tokenizer.count_tokens(sequences), (expected != 1).sum(1))


def test_every_kmer():
    for tokenizer in (V1, V2, CODON):
        kmers = tokenizer.vocabulary[-5 - 4**tokenizer.k : -5]
        expected = np.arange(len(kmers)) + len(tokenizer.vocabulary) - 5 - len(kmers)
        np.testing.assert_array_equal(tokenizer.encode(kmers)[:, 1], expected)
        np.testing.assert_array_equal(tokenizer.encode(["".join(kmers)])[0, 1:], expected)
        np.testing.assert_array_equal(
            tokenizer.encode(["N" + "".join(kmers)])[0, 2:], expected
        )  # at odd addresses, by the path for sequences with N


@pytest.mark.parametrize("tokenizer", [V1, CODON], ids=["6-mers", "3-mers"])
def test_long_sequences(tokenizer):
    generator = np.random.default_rng(1)
    long = random_sequence(generator, 400_001)
    gap = "N" * 1_000
    sequences = [long, long[7:300_000] + gap + long[:250_005] + "N" + long[5:90], "ACGTACG", gap]
    for case in ([long], sequences, sequences[1:2], sequences[::-1]):
        np.testing.assert_array_equal(tokenizer.encode(case), reference_encode(case, tokenizer))


@pytest.mark.parametrize(
    "sequences",
    [
        ["N"],
        ["A", "N", "A"],
        ["NNNNNN", "NNNNNN"],
        ["ACGTAN", "NACGTA", "NCGTAN"],  # N at both sides of a boundary between sequences
        ["ACGTACN", "ACGTACGTACGT", "N", "ACGTAC"],
    ],
)
def test_n_at_the_ends(sequences):
    for tokenizer in (V1, CODON):
        expected = reference_encode(sequences, tokenizer)
        np.testing.assert_array_equal(tokenizer.encode(sequences), expected)
        np.testing.assert_array_equal(tokenizer.count_tokens(sequences), (expected != 1).sum(1))


def test_lower_case_equals_upper_case():
    sequences = random_sequences(2, 200, 1, 100, share_of_n=0.02)
    lower = [sequence.lower() for sequence in sequences]
    np.testing.assert_array_equal(V2.encode(lower), V2.encode(sequences))
    np.testing.assert_array_equal(V2.count_tokens(lower), V2.count_tokens(sequences))
    assert V2.decode(V2.encode(lower)) == sequences


@pytest.mark.parametrize("kind", [tuple, np.array, lambda texts: np.array(texts, dtype=object)])
def test_other_containers_of_texts(kind):
    sequences = ["ACGTACG", "NACGTNN"]
    np.testing.assert_array_equal(V1.encode(kind(sequences)), reference_encode(sequences, V1))


# Length


def test_length():
    sequences = ["ACGTACGTA", "N"]
    assert V1.count_tokens(sequences).tolist() == [5, 2]
    assert V1.encode(sequences).shape == (2, 5)
    padded = V1.encode(sequences, length=8)
    assert padded.shape == (2, 8)
    np.testing.assert_array_equal(padded[:, :5], V1.encode(sequences))
    assert (padded[:, 5:] == 1).all()
    promoter = "TTGACA" * 13 + "ACG"
    assert V1.encode([promoter]).shape == (1, 17)


def test_length_that_is_too_small_names_the_first_sequence_and_the_length_needed():
    message = "sequence 1 .* needs 5 tokens .*length=4: set length to at least 14"
    with pytest.raises(UserError, match=message):
        V1.encode(["ACG", "ACGTACGTA", "N" * 13], length=4)


@pytest.mark.parametrize("length", [0, -3])
@pytest.mark.parametrize("sequences", [[], ["ACG"]])
def test_length_below_one(length, sequences):
    with pytest.raises(UserError, match=f"length={length} is too small"):
        V1.encode(sequences, length=length)


def test_no_sequences():
    assert V1.encode([]).shape == (0, 1)
    assert V1.encode([], length=7).shape == (0, 7)
    assert V1.encode([]).dtype == np.int32
    assert V1.count_tokens([]).shape == (0,)
    assert V1.decode(V1.encode([])) == V1.tokens(V1.encode([])) == []


# Back to text


@pytest.mark.parametrize("tokenizer", [V1, V2, CODON], ids=["v1", "v2", "codon"])
def test_decode_gives_the_sequences_back(tokenizer):
    sequences = random_sequences(3, 500, 1, 100, share_of_n=0.02)
    assert tokenizer.decode(tokenizer.encode(sequences, length=102)) == sequences


def test_special_tokens_stand_in_the_decoded_text():
    ids = V2.encode(["ACGTACTT"], length=6)
    ids[0, 2] = V2.mask_id
    assert V2.decode(ids) == ["ACGTAC<mask>T"]
    assert V2.tokens(ids) == [["<cls>", "ACGTAC", "<mask>", "T", "<pad>", "<pad>"]]
    assert V2.decode([[3, 0, 4, 5]]) == ["<unk><eos><bos>"]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([3, 367]), r"integers \[sequences, tokens\].*write \[ids\]"),
        (np.array([[3.0, 367.0]]), "float64"),
        (np.array([[3, 4105]]), "which has 0 to 4104"),
        (np.array([[3, -1]]), "from -1 to 3"),
    ],
)
def test_ids_of_another_kind_are_refused(ids, message):
    for back in (V1.decode, V1.tokens):
        with pytest.raises(UserError, match=message):
            back(ids)


# What is refused


# Besides IUPAC codes: characters whose code ends in a nucleotide's byte or equals a nucleotide's
# but for one or two bits, and letters that .upper() turns into ASCII or into two letters.
OTHER_CHARACTERS = [*"RYKMSWBDHVUX-. \n\0!#\x01*1EFL", *"éßıſＡАŇŎŁﬁ", "\ud800", "🧬"]


@pytest.mark.parametrize("call", [V1.encode, V1.count_tokens])
@pytest.mark.parametrize("others", [["ACGT"], ["N"], ["acgtn"], ["ACGT" * 10_000] * 10])
def test_other_characters(call, others):
    for character in OTHER_CHARACTERS:
        with pytest.raises(UserError) as error:
            call([*others, "ACGTA" + character + "ACGTACGT" + character, "XX"])
        assert str(error.value) == (
            f"sequence {len(others)}, position 5 (both counted from 0): {character!a} is not a "
            "nucleotide; letters must be A, C, G, T or N "
            "(to read the other IUPAC codes as N: --ambiguous n)"
        )


def test_exactly_ten_characters_are_accepted():
    accepted = set()
    for code in range(0x300):
        try:
            V1.count_tokens([chr(code)])
        except UserError:
            continue
        accepted.add(chr(code))
    assert accepted == set("ACGTNacgtn")


@pytest.mark.parametrize("call", [V1.encode, V1.count_tokens])
@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ("ACGT", r"write \[sequence\]"),
        (b"ACGT", r"write \[sequence\]"),
        (None, "not NoneType"),
        (7, "not int"),
        (["ACGT", ""], "sequence 1 .* is empty"),
        ([""], "sequence 0 .* is empty"),
        (["ACGT", float("nan")], "sequence 1 .* is float, not text"),
        (["ACGT", None], "sequence 1 .* is NoneType, not text"),
        (["ACGT", "A", b"ACGT"], "sequence 2 .* is bytes, not text"),
        ([["A", "C"]], "sequence 0 .* is list, not text"),
    ],
)
def test_what_is_not_a_list_of_texts(call, sequences, message):
    with pytest.raises(UserError, match=message):
        call(sequences)


def test_tokenizers_of_one_vocabulary_are_equal():
    V1.encode(["ACGT"])  # the lookup tables it keeps do not count
    again = Tokenizer.for_vocabulary_size(4105, k=6)
    assert again == V1
    assert hash(again) == hash(V1)
    assert again != V2
