import numpy as np
import pytest

from ntjax.errors import UserError
from ntjax.genomes.collections import GenomeTable, parse_class_weights, read_genome_table
from ntjax.genomes.windows import Region, WindowSampler
from ntjax.sequences.tokenizer import Tokenizer

FILES = {"coli": "A" * 400, "subtilis": "AC" * 100, "yeast": "AAC" * 100, "mouse": "AAAC" * 200}
ROWS = """path,class,weight
genomes/coli.fa,bacteria,1
genomes/subtilis.fa,bacteria,3

genomes/yeast.fa,fungi,
genomes/mouse.fa,vertebrates,1
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NTJAX_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "genomes").mkdir()
    for name, letters in FILES.items():
        (tmp_path / "genomes" / f"{name}.fa").write_text(f">{name}\n{letters}\n")
    return tmp_path


def table(folder, text=ROWS, name="genomes.csv"):
    path = folder / name
    path.write_text(text)
    return path


def test_a_table(folder):
    read = read_genome_table(table(folder))
    assert [genome.name for genome in read.genomes] == ["coli", "subtilis", "yeast", "mouse"]
    assert read.classes == ("bacteria", "bacteria", "fungi", "vertebrates")
    assert read.weights == (1, 3, 1, 1)


def test_tabs_absolute_paths_other_columns_and_no_weights(folder):
    lines = [
        "Class\tspecies\tpath",
        f"bacteria\tE. coli\t{folder / 'genomes' / 'coli.fa'}",
        "fungi\tS. cerevisiae\tgenomes/yeast.fa",
    ]
    read = read_genome_table(table(folder, "\n".join(lines), "genomes.tsv"))
    assert [genome.name for genome in read.genomes] == ["coli", "yeast"]
    assert read.weights == (1, 1)


def test_excluded_classes_are_not_opened(folder):
    (folder / "genomes" / "mouse.fa").unlink()
    read = read_genome_table(table(folder), exclude=["vertebrates", "bacteria"])
    assert [genome.name for genome in read.genomes] == ["yeast"]


def test_shares(folder):
    read = read_genome_table(table(folder))
    letters = np.array([400, 200, 300, 800])
    # Without class weights: letters times the row's weight.
    np.testing.assert_allclose(read.shares(letters, {}), np.array([400, 600, 300, 800]) / 2100)
    # With them: bacteria 2 of 4, fungi 1 of 4 as it has none, vertebrates 1 of 4.
    shares = read.shares(letters, {"bacteria": 2, "vertebrates": 1})
    np.testing.assert_allclose(shares, [0.5 * 0.4, 0.5 * 0.6, 0.25, 0.25])


def test_shares_of_classes_that_are_mixed_in_the_table():
    read = GenomeTable((None,) * 5, ("b", "a", "b", "c", "a"), (1, 1, 2, 1, 1))
    shares = read.shares([10, 20, 30, 40, 60], {"a": 3, "b": 0.5, "c": 1.5})
    expected = [0.1 / 7, 0.6 * 0.25, 0.1 * 6 / 7, 0.3, 0.6 * 0.75]
    np.testing.assert_allclose(shares, expected)


def test_windows_are_drawn_by_the_shares(folder):
    read = read_genome_table(table(folder))
    regions = [Region(genome, genome.stretches) for genome in read.genomes]
    shares = read.shares([region.letters for region in regions], {"fungi": 8})
    sampler = WindowSampler(regions, shares, Tokenizer.for_vocabulary_size(4107, 6), 9, 0)
    texts = sampler.tokenizer.decode(sampler.rows(0, 10_000))
    yeast = sum("AAC" * 4 in text or "GTT" * 4 in text for text in texts)
    assert abs(yeast / 10_000 - 0.8) < 4 * np.sqrt(0.8 * 0.2 / 10_000)


def test_parse_class_weights():
    assert parse_class_weights(["bacteria=2", " a=b = 0.5"]) == {"bacteria": 2, "a=b": 0.5}
    assert parse_class_weights([]) == {}


def problem(action):
    with pytest.raises(UserError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["bacteria"], "'bacteria': write CLASS=WEIGHT"),
        (["=2"], "'=2': write CLASS=WEIGHT"),
        (["a=1", "a=2"], "'a=2': class 'a' has a weight already"),
        (["a=much"], "weight 'much' is not a number"),
        (["a=0"], "weight 0 should be above 0"),
        (["a=nan"], "weight nan should be above 0"),
    ],
)
def test_unusable_class_weights(texts, expected):
    assert expected in problem(lambda: parse_class_weights(texts))


def test_unknown_classes(folder):
    path = table(folder)
    assert problem(lambda: read_genome_table(path, ["Fungus"])) == (
        "--exclude-classes: no genome is of class 'Fungus': did you mean 'fungi'?"
    )
    read = read_genome_table(path)
    assert "there are bacteria, fungi, vertebrates" in problem(
        lambda: read.shares([1, 1, 1, 1], {"zzz": 2})
    )
    assert "class 'fungi': weight -1" in problem(lambda: read.shares([1] * 4, {"fungi": -1}))


def test_all_excluded(folder):
    path = table(folder)
    message = problem(lambda: read_genome_table(path, ["bacteria", "fungi", "vertebrates"]))
    assert "all its classes are excluded" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            ROWS.replace("coli.fa", "coly.fa").replace("mouse.fa", "rat.fa"),
            r"no such file: row 2: .*coly\.fa; row 6: .*rat\.fa: paths are relative",
        ),
        (ROWS + "genomes/../genomes/coli.fa,fungi,1", "rows 2 and 7 name the same file"),
        (ROWS.replace(",3", ",much"), "row 3: weight 'much' is not a number"),
        (ROWS.replace(",3", ",0"), "row 3: weight 0 should be above 0"),
        (ROWS.replace("fungi", ""), "row 5: class is empty: fill it in"),
        (ROWS.replace("genomes/yeast.fa", ""), "row 5: path is empty: fill it in"),
        (ROWS.replace("class", "kind"), "no column 'class' among 'path', 'kind', 'weight'"),
        (ROWS.replace("weight", "class"), "2 columns are called 'class'"),
        ("path,class\n", "has column names but no rows"),
        ("\npath,class\n", "line 1 is blank"),
        (ROWS + "a,b,c,d\n", "line 7 has 4 fields, the header 3"),
    ],
    ids=[
        "missing_files",
        "twice",
        "weight_text",
        "weight_0",
        "no_class",
        "no_path",
        "no_class_column",
        "two_class_columns",
        "no_rows",
        "blank",
        "ragged",
    ],
)
def test_unusable_tables(folder, text, expected):
    path = table(folder, text)
    with pytest.raises(UserError, match=expected):
        read_genome_table(path)
    assert str(path) in problem(lambda: read_genome_table(path))


def test_a_missing_table_names_a_near_one(folder):
    table(folder)
    assert "did you mean" in problem(lambda: read_genome_table(folder / "genome.csv"))
