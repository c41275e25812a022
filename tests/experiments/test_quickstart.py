"""The quickstart notebook: it runs offline, and its data are what their page says."""

import gzip
import json
import os
from pathlib import Path

import nbformat
import pytest

from experiments.quickstart.execute import NOTEBOOK, executed
from experiments.quickstart.make_data import (
    ANNOTATION,
    END,
    FOLDER,
    GENOME,
    MADE_UP,
    NAME,
    START,
    VARIANTS,
    Options,
    make,
)
from ntjax.datasets import coding_strand
from ntjax.io.fasta import read_fasta
from ntjax.io.gff import read_gff

CODONS = dict(
    zip(
        (a + b + c for a in "TCAG" for b in "TCAG" for c in "TCAG"),
        "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG",
        strict=True,
    )
)
FOUND = """
import json

print(json.dumps({
    "embeddings": list(embeddings.shape),
    "auroc": [ia3.metrics["auroc"]["value"], lora.metrics["auroc"]["value"]],
    "compared": sorted(compared.differences["lora"]),
    "priors": [even.tolist(), skewed.tolist()],
    "right": right_share,
    "chance": chance,
    "genes": [len(by_gene), len(wrong)],
    "statuses": scores["status"].tolist(),
    "kinds": scores["KIND"].tolist(),
    "page": (out / "ia3.html").exists(),
}))
"""


@pytest.mark.end_to_end
def test_the_notebook_runs_offline(tmp_path):
    ran = executed(tmp_path, FOUND)
    cells = [cell for cell in ran.cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    found = json.loads(cells[-1].outputs[0].text)
    assert found["embeddings"] == [598, 192]
    assert min(found["auroc"]) > 0.9
    assert found["compared"] == ["accuracy", "auroc", "brier", "mcc"]
    for at_half, at_more in zip(*found["priors"], strict=True):
        odds = 3 * at_half / (1 - at_half)
        assert at_more == pytest.approx(odds / (1 + odds), abs=1e-4)
    assert found["right"] > found["chance"] + 0.2
    genes, wrong = found["genes"]
    assert genes > 45
    assert wrong < genes / 3
    assert found["statuses"] == ["scored"] * 10 + ["spanning_deletion"]
    assert found["kinds"][:10] == [made.kind for made in MADE_UP]
    assert found["page"]
    assert {path.name for path in tmp_path.iterdir()} == {FOLDER.name, "quickstart_runs"}


def test_the_committed_notebook_was_run_from_top_to_bottom():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert {output.get("name", "") for cell in cells for output in cell.outputs} <= {"", "stdout"}
    text = NOTEBOOK.read_text()
    assert len(text) < 300_000
    assert "/tmp/" not in text
    assert "/home/" not in text


def test_the_links_of_the_notebook_resolve():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    text = "".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    assert len(links) >= 4
    assert not [link for link in links if not (NOTEBOOK.parent / link).exists()]


def test_the_data_are_small_and_of_one_contig():
    assert sum((FOLDER / name).stat().st_size for name in (GENOME, ANNOTATION, VARIANTS)) < 60_000
    [piece] = read_fasta(FOLDER / GENOME)
    assert (piece.name.split()[0], len(piece.sequence)) == (NAME, 60_000)
    features = read_gff(FOLDER / ANNOTATION, lambda _: True)
    assert features.lengths == {NAME: 60_000}
    assert features.kinds == {"gene": 51, "CDS": 52}
    assert {feature.strand for feature in features.features} == {1, -1}


def test_no_row_but_test_rows_comes_from_the_piece():
    for part, table in coding_strand.load().items():
        starts = [int(name.split(":")[1].split("-")[0]) - 1 for name in table.names]
        inside = sum(START - 300 < start < END for start in starts)
        assert (inside > 100) if part == "test" else (inside == 0)


def test_the_made_up_variants_do_what_they_say():
    [piece] = read_fasta(FOLDER / GENOME)
    with gzip.open(FOLDER / ANNOTATION, "rt") as file:
        lines = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    coding = [cells for cells in lines if cells[2] == "CDS"]
    text = (FOLDER / VARIANTS).read_text().splitlines()
    rows = [line.split("\t") for line in text if not line.startswith("#")]
    assert len(rows) == 10
    for _, at, _, reference, alternatives, _, _, info in rows:
        begin, alternative = int(at) - 1, alternatives.split(",")[0]
        assert piece.sequence[begin : begin + len(reference)] == reference
        fields = dict(field.split("=") for field in info.split(";"))
        holds = [cells for cells in coding if int(cells[3]) - 1 <= begin < int(cells[4])]
        assert all(f";gene={fields.get('GENE')};" in cells[8] for cells in holds)
        assert bool(holds) == ("GENE" in fields)
        mutant = piece.sequence[:begin] + alternative + piece.sequence[begin + len(reference) :]
        assert fields["KIND"] == consequence(piece.sequence, mutant, *holds)


def consequence(before, after, *genes):
    """Name the effect on the longest CDS of a list of GFF cells, by plain translation."""
    if not genes:
        return "intergenic"
    cells = max(genes, key=lambda cells: int(cells[4]) - int(cells[3]))
    begin, end, change = int(cells[3]) - 1, int(cells[4]), len(after) - len(before)
    if change % 3:
        return "frameshift"
    old, new = (
        translated(text[begin:last], cells[6])
        for text, last in ((before, end), (after, end + change))
    )
    if len(new) < len(old):
        return "inframe_deletion"
    if old == new:
        return "synonymous"
    if new[0] != old[0]:
        return "start_lost"
    return "nonsense" if "*" in new[:-1] else "missense"


def translated(bases, strand):
    if strand == "-":
        bases = bases[::-1].translate(str.maketrans("ACGT", "TGCA"))
    return "".join(CODONS[bases[at : at + 3]] for at in range(0, len(bases), 3))


@pytest.mark.skipif(
    "NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no genome here"
)
def test_the_script_makes_the_committed_data(tmp_path):
    make(Options(out=tmp_path))
    for name in (GENOME, ANNOTATION, VARIANTS):
        # Compressed bytes depend on the version of zlib; the content does not.
        assert content(tmp_path / name) == content(FOLDER / name)
        if name != VARIANTS:
            assert (tmp_path / name).read_bytes()[4:8] == bytes(4)  # no time stamp


def content(path: Path):
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
