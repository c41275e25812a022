import numpy as np
import pytest
from small_runs import SEQUENCES

from ntjax.errors import UserError
from ntjax.interpret.letters import letter_places, substitutions
from ntjax.sequences.tokenizer import Tokenizer
from ntjax.tasks import Classification, MultiLabel, Regression
from ntjax.tasks.scores import score_weights

TOKENIZERS = [(4105, 6), (4107, 6), (75, 3)]


@pytest.mark.parametrize(("size", "k"), TOKENIZERS)
def test_places_against_the_tokens_texts(size, k):
    tokenizer = Tokenizer.for_vocabulary_size(size, k)
    cleaned = [sequence.upper() for sequence in [*SEQUENCES, "ACG", "N", "AN" * 7]]
    ids = tokenizer.encode(cleaned)
    places = letter_places(tokenizer, cleaned, ids)
    for row, texts in enumerate(tokenizer.tokens(ids)):
        expected = [
            (column, place, len(text), text.count(letter), "ACGTN".index(letter))
            for column, text in enumerate(texts)
            if "<" not in text
            for place, letter in enumerate(text)
        ]
        letters = len(cleaned[row])
        fields = (places.token, places.place, places.size, places.count, places.codes)
        found = np.stack([field[row, :letters] for field in fields], axis=1)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(places.exists[row], np.arange(81) < letters)
        assert not places.known[row, letters:].any()


@pytest.mark.parametrize(("size", "k"), TOKENIZERS)
def test_substitutions_are_what_the_tokenizer_makes(size, k):
    tokenizer = Tokenizer.for_vocabulary_size(size, k)
    table = substitutions(tokenizer)
    assert table.shape == (size, k, 4)
    random = np.random.default_rng(0)
    for text in ["".join(random.choice(list("ACGT"), k)) for _ in range(20)] + list("ACGT"):
        for place in range(len(text)):
            for code, letter in enumerate("ACGT"):
                [[_, expected]] = tokenizer.encode([text[:place] + letter + text[place + 1 :]])
                assert table[tokenizer.id_of(text), place, code] == expected
    for token in ("<cls>", "<pad>", "<mask>", "N"):
        assert (table[tokenizer.id_of(token)] == tokenizer.id_of(token)).all()


def test_scores():
    two, three = Classification(("0", "1")), Classification(("none", "weak", "strong"))
    labels, value = MultiLabel(("TATA", "GC")), Regression(("expression",), 3.0, 2.5)
    assert score_weights(two).tolist() == [-1, 1]
    assert score_weights(two, "0").tolist() == [1, -1]
    assert score_weights(three, "weak").tolist() == [-0.5, 1, -0.5]
    assert score_weights(labels, "GC").tolist() == [0, 1]
    assert score_weights(MultiLabel(("TATA",))).tolist() == [1]
    assert score_weights(value).tolist() == [2.5]
    with pytest.raises(UserError, match="this run has none, weak, strong: say which to explain"):
        score_weights(three)
    with pytest.raises(UserError, match="this run has TATA, GC: 'tata' is none of them"):
        score_weights(labels, "tata")
    with pytest.raises(UserError, match="'strong' is not the value of this run: it is expression"):
        score_weights(value, "strong")
