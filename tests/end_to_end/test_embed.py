"""The command `python -m ntjax.embed`: every layer and pooling, the cache, kills, bad input."""

import numpy as np
import pandas as pd
import pytest
from kill_and_resume import kill_and_resume, ntjax_command, random_rows
from planted_task import MODEL, planted_rows, quick, run, write_csv

import ntjax
from ntjax.embed import Options, embed
from ntjax.errors import UserError
from ntjax.inference import embedding_cache
from ntjax.io import row_stream

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def here(tmp_path_factory, compilations_kept):
    folder = tmp_path_factory.mktemp("embed")
    rows = planted_rows(60)
    write_csv(
        folder / "rows.csv",
        [(name, text[: 20 + n % 17], "0") for n, (name, text, _) in enumerate(rows)],
    )
    return folder


@pytest.fixture
def chunks(monkeypatch):
    """Chunks of 25 rows."""
    monkeypatch.setattr(row_stream, "MOST_ROWS", 25)


def options(here, out, **others):
    given = {"model": str(MODEL), "input": str(here / "rows.csv"), "progress": False}
    return Options(out=here / out, **given | others)


@pytest.mark.compiled
def test_every_layer_and_pooling(here, chunks):
    embed(options(here, "all.npz", layers="all", pooling="mean,cls,none"))
    rows = pd.read_csv(here / "rows.csv")
    model, sequences = ntjax.load_pretrained(MODEL), rows["sequence"].tolist()
    # One by one, as the plain loop of tests/inference checks it.
    layers, poolings = range(4), ("mean", "cls", None)
    one_by_one = [
        embedding_cache.embed_poolings(model, [s], layers, poolings) for s in sequences[:5]
    ]
    with np.load(here / "all.npz") as found:
        assert found["names"].tolist() == rows["name"].tolist()
        assert len(found.files) == 2 + 3 * 4
        assert len(found["offsets"]) == 61
        for layer in layers:
            for row, expected in enumerate(one_by_one):
                for pooling in ("mean", "cls"):
                    ours = found[f"embeddings_{layer}_{pooling}"]
                    assert ours.dtype == np.float32
                    np.testing.assert_allclose(ours[row], expected[layer, pooling][0], atol=1e-5)
                start, end = found["offsets"][row : row + 2]
                tokens = found[f"tokens_{layer}"][start:end]
                np.testing.assert_allclose(tokens, expected[layer, None][0], atol=1e-5)


@pytest.mark.compiled
def test_parquet_holds_the_same(here, chunks):
    for out in ("one.npz", "one.parquet"):
        embed(options(here, out, layers="2,last", pooling="mean,none"))
    table = pd.read_parquet(here / "one.parquet")
    assert list(table) == ["name", "embeddings_2_mean", "tokens_2", "embeddings_3_mean", "tokens_3"]
    with np.load(here / "one.npz") as arrays:
        for layer in (2, 3):
            name = f"embeddings_{layer}_mean"
            np.testing.assert_array_equal(np.stack(table[name]), arrays[name])
            tokens = np.concatenate([np.stack(own) for own in table[f"tokens_{layer}"]])
            np.testing.assert_array_equal(tokens, arrays[f"tokens_{layer}"])


@pytest.mark.compiled
def test_the_cache(here, chunks, monkeypatch, tmp_path):
    monkeypatch.setenv("NTJAX_CACHE_DIR", str(tmp_path))
    asked, compute = [], embedding_cache.embed_poolings

    def counted(model, sequences, layers, poolings, **others):
        asked.append((len(sequences), tuple(layers)))
        return compute(model, sequences, layers, poolings, **others)

    monkeypatch.setattr(embedding_cache, "embed_poolings", counted)
    embed(options(here, "first.npz", layers="1", cache=True))
    assert asked == [(25, (1,)), (25, (1,)), (10, (1,))]
    asked.clear()
    embed(options(here, "second.npz", layers="1,2", cache=True))
    assert {layers for _, layers in asked} == {(2,)}
    asked.clear()
    embed(options(here, "third.npz", layers="1", cache=True))
    assert not asked
    assert (here / "first.npz").read_bytes() == (here / "third.npz").read_bytes()
    # Another type of the computation is another model.
    embed(options(here, "fourth.npz", layers="1", cache=True, dtype="bfloat16"))
    assert len(asked) == 3


@pytest.mark.end_to_end
def test_a_run_embeds_as_its_adapter_does(here, tmp_path):
    write_csv(tmp_path / "train.csv", planted_rows(200))
    run(quick(tmp_path / "train.csv"), tmp_path / "run")
    embed(options(here, "run.npz", model="", run=tmp_path / "run"))
    sequences = pd.read_csv(here / "rows.csv")["sequence"].tolist()
    with np.load(here / "run.npz") as found:
        expected = ntjax.load_run(tmp_path / "run").embed(sequences)
        np.testing.assert_allclose(found["embeddings_3_mean"], expected, atol=1e-5)


@pytest.mark.end_to_end
def test_killed_and_completed(here):
    rows, out = random_rows(here / "many.csv", 60_000), here / "killed.npz"
    command = ntjax_command("embed", "--model", MODEL, "--input", rows, "--out", out)
    [one] = kill_and_resume(command, out, kills=1, seed=3, shortest=0.5)
    assert one.same
    assert one.repeated == 0


@pytest.mark.parametrize(
    ("others", "problem"),
    [
        ({"layers": "9"}, "layer 9 does not exist"),
        ({"layers": "x"}, "layers x: give numbers"),
        ({"pooling": "max"}, "--pooling max"),
        ({"model": ""}, "--model"),
        ({"out": "embeddings.csv"}, ".npz or .parquet"),
    ],
)
def test_what_is_refused(here, others, problem):
    out = others.get("out", "refused.npz")
    with pytest.raises(UserError) as caught:
        embed(options(here, out, **{name: v for name, v in others.items() if name != "out"}))
    assert problem in str(caught.value)
    assert not list(here.glob("refused*"))
