"""The README and the pages beside the code: their code runs, what they name exists."""

import ast
import contextlib
import importlib
import io
import math
import os
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from unittest import mock

import jax
import numpy as np
import pytest

import ntjax
from ntjax.adapters import ADAPTERS
from ntjax.checkpoints import mini
from ntjax.checkpoints.published_sizes import SIZES
from ntjax.datasets.registry import DATASETS
from ntjax.inference.pretrained import PretrainedModel
from ntjax.models.config import parameter_shapes
from ntjax.runs.run import Run

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
_TRACKED = subprocess.run(
    ["git", "ls-files", "-co", "--exclude-standard", "*.md"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.split()
MARKDOWN = [ROOT / name for name in sorted(_TRACKED)]
PAGES = [path for path in MARKDOWN if path.name == "README.md"]
COMMANDS = sorted(
    path.stem for path in ROOT.glob("ntjax/[!_]*.py") if "Options" in path.read_text()
)

_OFFLINE = {"NTJAX_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}


def name_of(path):
    return str(path.relative_to(ROOT))


def blocks(path, language):
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.M | re.S)


def section(path, heading):
    return re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", path.read_text(), re.M | re.S)[1]


def table(text):
    """The cells of a text's first table, without its header."""
    lines = re.search(r"(?:^\|.*\n)+", text, re.M)[0].splitlines()
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def test_the_readme_has_at_most_150_lines():
    assert len(README.read_text().splitlines()) <= 150


# Links


def slug(heading):
    """The anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", MARKDOWN, ids=name_of)
def test_links_resolve(page):
    broken = []
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        headings = (
            map(slug, re.findall(r"^#+ (.*)", target.read_text(), re.M))
            if anchor and target.is_file()
            else []
        )
        if not target.exists() or (anchor and anchor not in headings):
            broken.append(link)
    assert not broken


def test_every_page_can_be_reached_from_the_readme():
    reached, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        links = re.findall(r"\]\(([^)\s#]+)", page.read_text())
        targets = {(page.parent / link).resolve() for link in links if "://" not in link}
        waiting += [target for target in targets - reached if target in PAGES]
    assert not [name_of(page) for page in PAGES if page not in reached]


# Python


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for key, value in _OFFLINE.items():
        monkeypatch.setenv(key, value)
    names = {}
    [code] = blocks(README, "python")
    exec(compile(code, str(README), "exec"), names)

    assert names["embeddings"].shape == (2, 192)
    assert names["embeddings"].dtype == np.float32
    assert names["auroc"]["low"] <= names["auroc"]["value"] <= names["auroc"]["high"]
    np.testing.assert_allclose(names["probabilities"].sum(axis=1), 1, atol=1e-6)
    assert names["probabilities"].shape == (1, len(names["run"].classes))
    saved = ntjax.load_run("runs/strand")
    again = saved.predict([names["start_of_lacz"]], calibrated=True)
    np.testing.assert_allclose(again, names["probabilities"], atol=1e-6)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_python_blocks_import_exists(page):
    for code in blocks(page, "python"):
        tree = ast.parse(code)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names), node.module
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "ntjax":
                assert hasattr(ntjax, node.attr), node.attr


# Commands


def source_of(program):
    """The file that `python -m MODULE` or `python FILE` runs."""
    path = ROOT / (program if program.endswith(".py") else program.replace(".", "/"))
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


@cache
def options_of(program):
    """The options that `python -m MODULE` or `python FILE` lists, here in one process."""
    shown = io.StringIO()
    command = [str(source_of(program)), "--help"]
    with (
        mock.patch.dict(os.environ, {"COLUMNS": "200"}),
        mock.patch.object(sys, "argv", command),
        mock.patch.object(sys, "path", [str(Path(command[0]).parent), *sys.path]),
        contextlib.redirect_stdout(shown),
        pytest.raises(SystemExit, match=r"^0$"),
    ):
        runpy.run_path(command[0], run_name="__main__")
    return set(re.findall(r"--[a-z0-9][a-z0-9-]*", shown.getvalue()))


def commands_of_pages():
    """Every `python -m ntjax.X ...` and its like, in blocks and in running text, by program."""
    found = {}
    for page in PAGES:
        for program, rest in re.findall(
            r"python (?:-m )?((?:ntjax|experiments)\.[\w.]+|scripts/[\w/]+\.py)([^`\n#|]*)",
            page.read_text(),
        ):
            found.setdefault(program, set()).update(re.findall(r"--[a-z0-9-]+", rest))
    return found


@pytest.mark.parametrize(("program", "flags"), sorted(commands_of_pages().items()))
def test_options_in_commands_exist(program, flags):
    if flags:
        assert not flags - options_of(program)
    else:
        assert source_of(program).exists()


def test_options_in_running_text_exist():
    pages = [page for page in PAGES if page == README or name_of(page).startswith("ntjax/")]
    spans = [
        span
        for page in pages
        for span in re.findall(
            r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
        )
    ]
    flags = {flag for span in spans for flag in re.findall(r"(?<!\S)--[a-z0-9-]+", span)}
    flags -= {"--options", "--help"}
    assert len(flags) > 20
    assert not flags - set().union(*(options_of(f"ntjax.{command}") for command in COMMANDS))


def test_the_table_of_commands_is_complete():
    rows = table(section(README, "What it does"))
    named = {match[1] for row in rows if (match := re.match(r"`(\w+)", row[0]))}
    assert named == set(COMMANDS)


def test_the_python_names_in_the_table_of_commands_exist():
    owners = {"model": PretrainedModel, "run": Run}
    for row in table(section(README, "What it does")):
        for name in re.findall(r"`([\w.]+)`", row[1]):
            owner, _, attribute = name.partition(".")
            if owner in owners:
                assert hasattr(owners[owner], attribute), name
            elif not hasattr(ntjax, attribute):
                importlib.import_module(name)


@pytest.mark.slow
@pytest.mark.parametrize("line", blocks(README, "bash")[0].splitlines())
def test_the_first_commands_of_the_readme_run(line, tmp_path):
    random = np.random.default_rng(0)
    rows = ["sequence,label"]
    for index in range(400):
        bases = random.choice(list("ACGT"), 60, p=[0.4, 0.1, 0.1, 0.4] if index % 2 else None)
        rows.append(f"{''.join(bases)},{index % 2}")
    (tmp_path / "my_sequences.csv").write_text("\n".join(rows) + "\n")
    words = shlex.split(line, comments=True)
    assert words[0] == "python"
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=tmp_path,
        env=os.environ | _OFFLINE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [folder] = [path.parent for path in tmp_path.glob("runs/*/test_metrics.json")]
    assert "--out" not in words or folder == tmp_path / words[words.index("--out") + 1]


# Tables


def test_the_table_of_models_is_that_of_their_configurations():
    configs = SIZES | dict.fromkeys(mini.NAMES, mini.CONFIG)
    named = []
    for cells in table(section(README, "Models")):
        for name in re.findall(r"`(\w+)`", cells[0]):
            named.append(name)
            shapes = jax.tree.leaves(
                parameter_shapes(configs[name]), is_leaf=lambda leaf: isinstance(leaf, tuple)
            )
            millions = sum(math.prod(shape) for shape in shapes) / 1e6
            rounded = f"{millions:,.0f} M" if millions >= 10 else f"{millions:.1f} M"
            expected = [rounded, str(configs[name].k_for_kmers), f"{configs[name].max_positions:,}"]
            assert cells[1:4] == expected, name
    assert sorted(named) == sorted(configs)


def test_the_defaults_on_the_page_of_training_are_those_of_the_adapters():
    names = {"IA³": "ia3", "LoRA": "lora", "BitFit": "bitfit", "full": "full", "head": "head"}
    rows = table(section(ROOT / "ntjax/training/README.md", "Fine-tuning"))
    cells = {row[0].split("`")[1]: row[2] for row in rows}
    published, mini_rates = cells["--learning-rate"].split("; with `mini` ")
    stated = dict(re.findall(r"(\S+) (\de-\d)", published))
    assert {names[name] for name in stated} == set(ADAPTERS)
    for (name, rate), mini_rate in zip(stated.items(), mini_rates.split(", "), strict=True):
        adapter = ADAPTERS[names[name]]
        assert float(rate) == adapter.learning_rate
        assert float(mini_rate) == adapter.learning_rate_for_mini
    sizes, _ = cells["--batch-size"].split("; with `mini` ")
    for group in sizes.split("; "):
        words, _, size = group.rpartition(" ")
        for name in re.findall(r"IA³|\w+", words.replace("and", "")):
            assert int(size) == ADAPTERS[names[name]].batch_size


def test_the_table_of_data_sets_is_the_registry():
    rows = table(section(ROOT / "ntjax/datasets/README.md", "Named data sets"))
    named = {name.partition(":")[0] + ":TASK" if ":" in name else name for name in DATASETS}
    assert {row[0].strip("`") for row in rows} == named


def test_the_results_in_the_readme_are_those_of_the_study():
    rows = [line for line in section(README, "Results").splitlines() if line.startswith("| ")]
    committed = (ROOT / "experiments/promoters/full/summary.md").read_text().splitlines()
    assert len(rows) >= 7
    assert not [row for row in rows if row not in committed]


def test_intervals_on_the_page_of_the_study_are_committed_results():
    folder = ROOT / "experiments/promoters"
    results = ["full/report.md", "reduced/report.md", "passes/passes.md", "precision/precision.md"]
    committed = "".join((folder / name).read_text() for name in results)
    committed = re.sub(r" ± \d\.\d+", "", committed)
    number = r"[+-]?\d\.\d{3,4}"
    page = (folder / "README.md").read_text()
    stated = re.findall(rf"{number} \[{number}, {number}\]", page)
    assert len(stated) >= 12

    assert not [interval for interval in stated if interval not in committed]


def test_the_map_lists_the_rooms_in_the_order_of_their_imports():
    cells = [row[0] for row in table((ROOT / "ntjax/README.md").read_text())]
    rooms = [re.match(r"\[(\w+)\]", cell)[1] for cell in cells]
    folders = {path.parent.name for path in ROOT.glob("ntjax/*/__init__.py")}
    assert set(rooms) == folders | {"errors"}
    with (ROOT / "pyproject.toml").open("rb") as file:
        [layered] = [
            contract
            for contract in tomllib.load(file)["tool"]["importlinter"]["contracts"]
            if contract["type"] == "layers"
        ]
    order = [layer for layer in reversed(layered["layers"]) if layer in rooms]
    assert rooms == order
