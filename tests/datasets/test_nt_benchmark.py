"""The 18 tasks of the Nucleotide Transformer: what is known of them, and reading their files."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ntjax.datasets.nt_benchmark import PUBLISHED_MODELS, TASKS, tasks_of
from ntjax.datasets.registry import DATASETS, load_dataset
from ntjax.errors import UserError
from ntjax.io.tables import read_table

HISTONE = Path(os.environ.get("NTJAX_DATA_DIR", "")) / "histone"
REPOSITORY = "nucleotide_transformer_downstream_tasks"
needs_data = pytest.mark.skipif(not HISTONE.is_dir(), reason="no NTJAX_DATA_DIR/histone here")


def rows(seed, count, length=60):
    random = np.random.default_rng(seed)
    sequences = ["".join(random.choice(list("ACGT"), length)) for _ in range(count)]
    return [(f"chr{row}:{seed}", seq, str(row % 2)) for row, seq in enumerate(sequences)]


PARTS = {"train": rows(0, 40), "test": rows(1, 10)}


def fasta(part):
    return "".join(f">{name}|{label}\n{seq}\n" for name, seq, label in PARTS[part]).encode()


def frame(part, task=None):
    data = pd.DataFrame(PARTS[part], columns=["name", "sequence", "label"])
    data["label"] = data["label"].astype(int)
    return data if task is None else data.assign(task=task)


def as_fasta(folder):
    for part in PARTS:
        (folder / "H3").mkdir(parents=True, exist_ok=True)
        (folder / "H3" / f"{part}.fna").write_bytes(fasta(part))


def as_gzip(folder):
    for part in PARTS:
        (folder / "H3").mkdir(parents=True, exist_ok=True)
        (folder / "H3" / f"{part}.fna.gz").write_bytes(gzip.compress(fasta(part)))


def as_parquet(folder):
    for part in PARTS:
        (folder / "H3").mkdir(parents=True, exist_ok=True)
        frame(part).to_parquet(folder / "H3" / f"{part}.parquet")


def as_one_parquet(folder):
    (folder / "data").mkdir(parents=True)
    for part in PARTS:
        other = frame(part, "H4").assign(sequence="ACGT" * 15)
        pd.concat([other, frame(part, "H3"), other]).to_parquet(
            folder / "data" / f"{part}-00000-of-00001.parquet"
        )


def as_pieces(folder):
    (folder / "data").mkdir(parents=True)
    for part in PARTS:
        rows = frame(part, "H3")
        for number, piece in enumerate((rows[:7], rows[7:])):
            piece.to_parquet(folder / "data" / f"{part}-{number:05d}-of-00002.parquet")


@pytest.fixture
def own(monkeypatch, tmp_path):
    """The user's own folder; nothing can be downloaded."""
    monkeypatch.setenv("NTJAX_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("NTJAX_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NTJAX_OFFLINE", "1")
    return tmp_path


@pytest.mark.parametrize("write", [as_fasta, as_gzip, as_parquet, as_one_parquet, as_pieces])
def test_all_layouts_give_the_same_rows(own, write):
    write(own / REPOSITORY)
    splits = load_dataset("nt:H3")
    for part in ("train", "test"):
        table = getattr(splits, part)
        given = zip(table.names, table.sequences, table.labels, strict=True)
        assert list(given) == PARTS[part]
    assert sum("states" in note and "not comparable" in note for note in splits.notes) == 2


def test_each_set_has_its_18_tasks():
    for release, prefix in (("original", "nt:"), ("revised", "nt-revised:")):
        tasks = tasks_of(release)
        assert len(tasks) == 18
        assert all(task.name.startswith(prefix) and task.name in DATASETS for task in tasks)
    assert all(set(task.published) == set(PUBLISHED_MODELS) for task in tasks_of("original"))
    assert not any(task.published for task in tasks_of("revised"))


def test_the_figures_of_a_task_are_those_of_its_models():
    published = TASKS["nt:H3K14ac"].published
    assert published == {
        "2B5_multi_species": 0.54,
        "2B5_1000G": 0.45,
        "500M_1000G": 0.38,
        "500M_human_ref": 0.37,
    }


def test_counts_agree_with_the_counts_of_the_deck():
    """3,065 TATA promoters, each with a negative; 2,968 enhancer rows and 12,000 synthetic ones."""
    assert sum(TASKS["nt:promoter_tata"].rows) == 2 * 3_065
    parts = (TASKS[f"nt:promoter_{kind}"].rows for kind in ("tata", "no_tata"))
    assert tuple(map(sum, zip(*parts, strict=True))) == TASKS["nt:promoter_all"].rows
    # One promoter more than the 29,597 of the deck.
    assert sum(TASKS["nt:promoter_all"].rows) == 2 * (29_597 + 1)
    assert TASKS["nt:enhancers"].rows == (742 + 742 + 1_484 + 12_000, 100 + 100 + 200)


@needs_data
@pytest.mark.parametrize("path", sorted(HISTONE.glob("*.fna.gz")), ids=lambda path: path.name)
def test_published_test_files_have_the_stated_rows(path):
    task = TASKS[f"nt:{path.name.partition('.')[0]}"]
    table = read_table(path)
    assert len(table) == task.rows[1]
    assert len(set(table.labels)) == task.classes
    assert max(map(len, table.sequences)) == task.length


def test_clean_removes_what_published_keeps(own):
    as_fasta(own / REPOSITORY)
    first, *others = PARTS["train"]
    name, _, label = first
    copied = PARTS["test"][0][1]
    text = "".join(f">{n}|{lab}\n{s}\n" for n, s, lab in [(name, copied, label), *others])
    (own / REPOSITORY / "H3/train.fna").write_text(text)
    published, clean = (load_dataset("nt:H3", protocol) for protocol in ("published", "clean"))
    assert len(published.train) == 40
    assert clean.train.names == published.train.names[1:]
    assert any("1 of 40 training rows share a 16-mer" in note for note in clean.notes)
    assert any("--protocol published" in note for note in clean.notes)


def test_the_file_of_another_task_is_refused(own):
    as_fasta(own / REPOSITORY)
    (own / REPOSITORY / "H3").rename(own / REPOSITORY / "splice_sites_all")
    with pytest.raises(UserError, match="labels are 0, 1, and nt:splice_sites_all has 3 classes"):
        load_dataset("nt:splice_sites_all")


def test_a_task_that_one_file_lacks_is_refused(own):
    as_one_parquet(own / REPOSITORY)
    with pytest.raises(UserError, match="holds no row of the task H4ac"):
        load_dataset("nt:H4ac")


def test_a_task_that_is_not_at_hand_names_its_address(own):
    with pytest.raises(UserError, match=r"resolve/[0-9a-f]{40}/H2AFZ/train\.fna"):
        load_dataset("nt-revised:H2AFZ")


def test_a_misspelt_task_is_suggested():
    with pytest.raises(UserError, match="did you mean 'nt:promoter_all'"):
        load_dataset("nt:promotor_all")
    with pytest.raises(UserError, match="nt:TASK or nt-revised:TASK"):
        load_dataset("zebra")
