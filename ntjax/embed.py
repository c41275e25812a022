"""Embed the sequences of a file with a model, or with a trained run.

python -m ntjax.embed --model mini --input new.csv --out new.npz
python -m ntjax.embed --model 500M_1000G --input new.fasta --layers 6,last --out new.npz
python -m ntjax.embed --run runs/mine --input new.csv --pooling none --out tokens.parquet

In Python: `model.embed(sequences)`, `run.embed(sequences)`.
"""

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ntjax.checkpoints.cache import sha256
from ntjax.errors import UserError
from ntjax.inference.backbones import Adapted, backbone_of
from ntjax.inference.devices import replicated_sharding
from ntjax.inference.embed_file import Embedded, embed_file
from ntjax.inference.embedding_cache import EmbeddingCache
from ntjax.inference.embeddings import Pooling, named_layers
from ntjax.inference.pretrained import PretrainedModel, load_pretrained
from ntjax.io.part_formats import ARRAYS, check_name
from ntjax.io.parts import Parts
from ntjax.io.row_stream import RowStream
from ntjax.reports import command_line
from ntjax.reports.in_parts import write_in_parts
from ntjax.runs.folder import ADAPTER_FILE, DESCRIPTION_FILE
from ntjax.runs.saved_run import load_run
from ntjax.sequences.alphabet import Ambiguous

_PLACES = ("run", "input", "out", "cache", "resume", "progress")
_POOLINGS: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "none": None}


@dataclass(frozen=True)
class Options:
    """Options of `python -m ntjax.embed`."""

    input: str
    """CSV, TSV, Parquet or FASTA file of sequences; all but Parquet may be gzip-compressed; - for
    standard input."""
    out: Path
    """File of the embeddings: .npz or .parquet."""
    model: str = ""
    """Published model, mini, or folder; with --run: where the backbone is now, if not where it was
    when the run was trained."""
    run: Path | None = None
    """Folder of a run, to embed as its adapter does."""
    layers: str = "last"
    """Layers, counted from 1, such as 3,6,last; 0 for what enters the first; all for all of
    these. The last layer is taken after the final layer norm."""
    pooling: str = "mean"
    """mean over the tokens of bases (without <cls> and padding), cls for that of <cls>, none for
    every token of bases; several as mean,cls."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the computation (of a run its own)."""
    sequence_column: str = "sequence"
    """Column of the sequences (not of FASTA)."""
    name_column: str = "name"
    """Column of the names (not of FASTA, where the header is the name)."""
    ambiguous: Ambiguous = "refuse"
    """IUPAC codes for several bases, such as R for A or G: refuse them, or n for N."""
    cache: bool = False
    """Keep pooled embeddings in the cache folder (NTJAX_CACHE_DIR), and read what is there of the
    same model and sequences."""
    resume: bool = False
    """Go on with an interrupted command of the same input and options."""
    progress: bool = True
    """Show a progress bar."""


def main() -> None:
    """Run the command."""
    command_line.run(lambda: embed(command_line.parse(Options, "ntjax.embed", __doc__ or "")))


def embed(options: Options) -> Embedded | None:
    """Run the command; returns what it wrote, None if all was there.

    Raises:
        UserError: bad input.
    """
    check_name(options.out, ARRAYS)
    names = command_line.chosen("--pooling", options.pooling, tuple(_POOLINGS))
    poolings = [_POOLINGS[name] for name in names]
    if not options.model and not options.run:
        raise UserError("give --model (a published name, mini or a folder), or --run FOLDER")
    loaded = cache(lambda: _model(options))

    def write(stream: RowStream, parts: Parts, rows: int) -> Embedded:
        model = loaded()
        return embed_file(
            model,
            stream,
            parts,
            named_layers(options.layers, backbone_of(model).model),
            poolings,
            cache=EmbeddingCache(model) if options.cache else None,
            progress=options.progress,
            total=rows,
        )

    return write_in_parts("embeddings", options, lambda: _plan(options, loaded()), write)


def _model(options: Options) -> Adapted | PretrainedModel:
    if options.run:
        return load_run(options.run, options.model or None)
    return load_pretrained(options.model, options.dtype, sharding=replicated_sharding())


def _plan(options: Options, model: Adapted | PretrainedModel) -> dict[str, Any]:
    """Everything that the file's content depends on, beside the input."""
    settings = {name: value for name, value in asdict(options).items() if name not in _PLACES}
    names = (ADAPTER_FILE, DESCRIPTION_FILE) if options.run else ()
    files = {name: sha256((options.run or Path()) / name) for name in names}
    return {**backbone_of(model).model.identity, **files, **settings}


if __name__ == "__main__":
    main()
