"""Probe frozen embeddings: what simple classifiers read from each layer of a model.

python -m ntjax.probe --model mini --train ecoli_coding_strand --out probed
python -m ntjax.probe --model 500M_1000G --train mine.csv --layers 6,12,18,last --out probed
python -m ntjax.probe --model mini --train mine.csv --test test.csv --probes logistic --out probed

Writes probe.csv (a row for each layer, pooling, probe and fold), probe.json (means, intervals, the
layer that inner folds choose, costs) and probe.png. Embeddings are kept in the cache folder.

In Python: `ntjax.evaluation.layer_probes`, `ntjax.evaluation.probe_summary`.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.sparse import sparray
from tqdm import tqdm

from ntjax.baselines.gradient_boosting import sequence_features
from ntjax.datasets.folds import grouped_folds
from ntjax.datasets.prepare import fingerprint
from ntjax.datasets.registry import DATASETS, load_dataset, require_data
from ntjax.datasets.row_groups import row_groups
from ntjax.errors import UserError
from ntjax.evaluation.layer_probes import SETTINGS, Probed, ProbeKind, nested_folds, probes
from ntjax.evaluation.probe_cost import costs
from ntjax.evaluation.probe_summary import SEQUENCE, Features, Rows, summary
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.embedding_cache import EmbeddingCache, embed_with_cache
from ntjax.inference.embeddings import Pooling, bag_of_kmers, named_layers
from ntjax.inference.pretrained import PretrainedModel, load_pretrained
from ntjax.inference.untrained import untrained_like
from ntjax.io.labels import classes_of, encode_labels
from ntjax.io.parts import PartFolder
from ntjax.io.tables import SequenceTable, read_table
from ntjax.leakage.kmer_groups import kmer_length_for
from ntjax.reports import command_line
from ntjax.reports.probe_report import print_probe, write_probe
from ntjax.runs.folder import refuse_occupied
from ntjax.sequences.alphabet import Ambiguous

_POOLINGS: dict[str, Pooling] = {"mean": "mean", "cls": "cls"}
_PLACES = ("out", "resume", "progress", "train", "test")


@dataclass(frozen=True)
class Options:
    """Options of `python -m ntjax.probe`."""

    train: str
    """CSV, TSV, Parquet or FASTA file of labelled sequences, or a named data set."""
    out: Path
    """Folder for the results; it must be empty."""
    model: str = "mini"
    """Published model, mini, or folder."""
    test: str = ""
    """File whose rows are scored. Otherwise the data set's test rows, or --folds."""
    folds: int = 10
    """Folds of related rows, where there is no test set: each is scored once."""
    layers: str = "all"
    """Layers, counted from 1, such as 3,6,last; 0 for what enters the first; all for all of
    these. The last layer is taken after the final layer norm."""
    pooling: str = "mean,cls"
    """mean over the tokens of bases, cls for the token <cls>, or both."""
    probes: str = "logistic,mlp"
    """logistic regression, mlp (a perceptron of one or two hidden layers), or both."""
    untrained: bool = True
    """Also probe the same network with random weights: what pre-training adds is what is above."""
    baselines: bool = True
    """Also probe the sequences themselves: bases and 3-mer counts, and 6-mer counts."""
    protocol: Literal["clean", "published"] = "clean"
    """Of a data set: without training rows that overlap the test rows, or as published."""
    sequence_column: str = "sequence"
    """Column of the sequences (not of FASTA)."""
    label_column: str = "label"
    """Column of the labels (not of FASTA)."""
    name_column: str = "name"
    """Column of the names (not of FASTA)."""
    group_column: str = ""
    """Column that says which rows belong together, besides those that share sequence."""
    ambiguous: Ambiguous = "refuse"
    """IUPAC codes for several bases, such as R for A or G: refuse them, or n for N."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the computation."""
    seed: int = 0
    """Random seed of folds, perceptrons and random weights."""
    resume: bool = False
    """Go on with an interrupted command of the same rows and options."""
    progress: bool = True
    """Show progress bars."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: probe(command_line.parse(Options, "ntjax.probe", __doc__ or "")))


def probe(options: Options) -> dict[str, Any]:
    """Run the command; returns the content of `probe.json`.

    Raises:
        UserError: bad input.
    """
    refuse_occupied(options.out, can_resume=False)
    kinds: list[Any] = command_line.chosen("--probes", options.probes, tuple(SETTINGS))
    names = command_line.chosen("--pooling", options.pooling, tuple(_POOLINGS))
    poolings = [_POOLINGS[name] for name in names]
    table, tested, notes = _tables(options)
    classes = classes_of(table.labels or ())
    rows = _rows(options, table, tested, classes)
    for note in notes:
        print(f"note: {note}")
    model = load_pretrained(options.model, options.dtype, sharding=replicated_sharding())
    layers = named_layers(options.layers, model)
    plan = _plan(options, model, table, tested)
    parts = PartFolder(options.out, plan, options.resume, ".npz")
    embeddings = _Embeddings(table.sequences, layers, poolings, options.progress)
    work = list(_work(options, model, table.sequences, embeddings))
    found, seconds = _probe_all(work, rows, kinds, options, parts)
    content = {
        "model": model.name,
        "train": options.train,
        "classes": list(classes),
        "rows": len(table),
        "protocol": "test set" if rows.one_test_set else f"{len(rows.folds)} folds",
        **rows.counts(),
        **summary(found, rows, options.seed),
        "costs": costs(model, table.sequences, embeddings.seconds, seconds),
        "notes": notes,
    }
    write_probe(options.out, content, found, rows)
    parts.discard()
    print_probe(content)
    print(f"results: {options.out}")
    return content


def _rows(options: Options, table: SequenceTable, tested: int, classes: tuple[str, ...]) -> Rows:
    """Lay out folds: each in turn, or the rows of a test set, which stand last in the table."""
    if len(classes) < 2:
        raise UserError(f"{table.source}: all rows are of class {classes[0]}: give rows of two")
    labels = encode_labels(table.labels or (), classes, table.source, table.rows)
    k = kmer_length_for(table.sequences)
    groups = row_groups(table.sequences, k, table.groups)
    if tested:
        of_row = np.repeat([-1, 0], [len(table) - tested, tested])
    elif options.folds < 2:
        raise UserError(f"--folds is {options.folds}: give 2 or more, or a --test file")
    else:
        folds, seed = options.folds, options.seed
        of_row = grouped_folds(table.sequences, labels, folds, seed, k, groups=table.groups)
    return Rows(labels, groups, nested_folds(labels, groups, of_row, options.seed))


def _tables(options: Options) -> tuple[SequenceTable, int, list[str]]:
    """Read all rows; the number of those of a test set, which stand last, and notes."""
    require_data(options.train, f"--train {options.train}")
    test, notes = None, []
    if options.train in DATASETS:
        data = load_dataset(options.train, options.protocol)
        train, test, notes = data.train, data.test, [*data.notes]
    else:
        train = _read(options.train, options)
    if options.test:
        test = _read(options.test, options)
    if test is None:
        return train, 0, [*notes, *train.notes]
    return _joined(train, test), len(test), [*notes, *train.notes, *test.notes]


def _read(path: str, options: Options) -> SequenceTable:
    return read_table(
        path,
        sequence_column=options.sequence_column,
        label_column=options.label_column,
        name_column=options.name_column,
        group_column=options.group_column,
        ambiguous=options.ambiguous,
    )


def _joined(train: SequenceTable, test: SequenceTable) -> SequenceTable:
    groups = None
    if train.groups is not None and test.groups is not None:
        groups = train.groups + test.groups
    return SequenceTable(
        train.names + test.names,
        train.sequences + test.sequences,
        (train.labels or ()) + (test.labels or ()),
        f"{train.source} and {test.source}",
        train.rows + test.rows,
        groups=groups,
    )


def _plan(
    options: Options, model: PretrainedModel, table: SequenceTable, tested: int
) -> dict[str, Any]:
    settings = {name: value for name, value in asdict(options).items() if name not in _PLACES}
    return {**settings, **model.identity, "rows": fingerprint(table), "test rows": tested}


class _Embeddings:
    """All layers of a network in one pass, kept in the cache; `seconds` by network."""

    def __init__(
        self,
        sequences: tuple[str, ...],
        layers: list[int],
        poolings: list[Pooling],
        progress: bool,
    ):
        self.sequences, self.layers, self.poolings = sequences, layers, poolings
        self.seconds: dict[str, dict[str, Any]] = {}
        self._progress = progress

    def of(self, network: PretrainedModel) -> dict[tuple[int, Pooling], np.ndarray]:
        """Return embeddings [rows, dim] by layer and pooling."""
        began, kept = time.perf_counter(), EmbeddingCache(network)
        name = f"embeddings of {network.name}" if self._progress else ""
        found = embed_with_cache(
            network, self.sequences, self.layers, self.poolings, kept, progress=name
        )
        seconds = time.perf_counter() - began
        there = all(isinstance(values, np.memmap) for values in found.values())
        self.seconds[network.name] = {"seconds": seconds, "from_cache": there}
        return found


def _work(
    options: Options, model: PretrainedModel, sequences: tuple[str, ...], embeddings: _Embeddings
) -> Iterator[tuple[Features, Callable[[], np.ndarray | sparray]]]:
    """Yield what is to be probed, and how to get it; nothing is computed before it is asked for."""
    networks: list[Callable[[], PretrainedModel]] = [lambda: model]
    names = [model.name]
    if options.untrained:
        networks.append(cache(lambda: untrained_like(model, options.seed)))
        names.append(f"{model.name}, untrained")
    for name, network in zip(names, networks, strict=True):
        of_network = cache(lambda network=network: embeddings.of(network()))
        for layer in embeddings.layers:
            for pooling in embeddings.poolings:
                yield (
                    Features(name, layer, str(pooling)),
                    lambda of=of_network, key=(layer, pooling): of()[key],
                )
    if options.baselines:
        longest = max(map(len, sequences))
        yield (
            Features(SEQUENCE, -1, "bases and 3-mer counts"),
            lambda: sequence_features(sequences, longest),
        )
        yield (
            Features(SEQUENCE, -1, "6-mer counts"),
            lambda: bag_of_kmers(model.tokenizer, sequences).tocsr(),
        )


def _probe_all(
    work: list[tuple[Features, Callable[[], np.ndarray | sparray]]],
    rows: Rows,
    kinds: list[ProbeKind],
    options: Options,
    parts: PartFolder,
) -> tuple[dict[Features, list[Probed]], float]:
    """Probe everything, or read what was probed before the interruption; seconds of all fits."""
    found: dict[Features, list[Probed]] = {features: [] for features, _ in work}
    units = [(features, load, kind) for features, load in work for kind in kinds]
    shown = tqdm(units, desc="probes", disable=not options.progress)
    for number, (features, load, kind) in enumerate(shown):
        if not parts.has(number):
            own = list(probes(load(), rows.labels, rows.folds, [kind], options.seed))
            parts.write(number, _as_arrays(own))
        found[features] += _from_arrays(kind, parts.path(number))
    return found, sum(one.seconds for own in found.values() for one in own)


def _as_arrays(own: list[Probed]) -> dict[str, np.ndarray]:
    numbers = [(SETTINGS[one.kind].index(one.setting), one.inner_loss, one.seconds) for one in own]
    return {"numbers": np.array(numbers)} | {str(one.fold): one.probabilities for one in own}


def _from_arrays(kind: ProbeKind, path: Path) -> list[Probed]:
    with np.load(path) as arrays:
        return [
            Probed(kind, fold, SETTINGS[kind][int(setting)], loss, arrays[str(fold)], seconds)
            for fold, (setting, loss, seconds) in enumerate(arrays["numbers"].tolist())
        ]


if __name__ == "__main__":
    main()
