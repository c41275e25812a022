"""A trained model of a task: predict with it, save it, load it again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ntjax.adapters import AdapterConfig
from ntjax.calibration import Calibration, calibrated_probabilities
from ntjax.datasets.batching import TokenisedSet
from ntjax.datasets.reverse_complements import combined
from ntjax.errors import UserError
from ntjax.genomes.windows import RecordedWindows
from ntjax.inference.backbones import encoded
from ntjax.inference.forward import ForwardConfig, Trainable, local_attention
from ntjax.inference.predict import predict
from ntjax.inference.pretrained import PretrainedModel
from ntjax.io.files import write_bytes
from ntjax.io.json import write_json
from ntjax.models.heads import HeadConfig
from ntjax.runs.adapter_file import Description, write_adapter
from ntjax.runs.folder import (
    BASELINES_FILE,
    CONFIG_FILE,
    LOG_FILE,
    PREDICTIONS_FILE,
    RELIABILITY_FILE,
    RESULT_FILE,
    SPLITS_FILE,
    make_folder,
    refuse_occupied,
)
from ntjax.runs.priors import Prior, new_shares, shifted
from ntjax.runs.strands import ONE_STRAND, Strands
from ntjax.runs.training_rows import TrainingRows
from ntjax.sequences.alphabet import Ambiguous, reverse_complement
from ntjax.tasks import Task

Columns = Mapping[str, Sequence[Any] | np.ndarray]


@dataclass(frozen=True)
class Record:
    """What is known of how a run was made, beside the adapter itself.

    Attributes:
        config: the content of `config.json`: settings, versions, hashes of the data.
        history: lines of `metrics.jsonl`.
        reliability: the content of `reliability.json`; None for a regression.
        predictions: columns of `predictions.csv`, a row for each test row.
        splits: columns of `splits.csv`: which row went into which part.
        baselines: test metrics of the baselines by name.
    """

    config: dict[str, Any]
    history: list[dict[str, Any]]
    reliability: dict[str, Any] | None
    predictions: Columns
    splits: Columns
    baselines: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A trained model of a task.

    Attributes:
        model: the frozen backbone.
        head: its kind and number of outputs.
        trainable: adapter and head.
        task: what the outputs mean.
        calibration: fitted on rows kept apart (for a regression, how far from the prediction most
            values are); None if there were too few.
        metrics: on the test rows, as in `test_metrics.json`; empty if none are at hand.
        training: the step and the validation metric of the state that was kept.
        dtype: type of the computation; that of the model unless all weights were trained.
        record: how the run was made; None of a run that was loaded.
        strands: what is done with the two strands of a sequence.
        training_rows: their ranges; None of a run of an earlier version.
        calibration_shares: of the classes, or labels, among the calibration rows: the prior of
            calibrated probabilities.
        windows: where the site lies in the training rows; None of rows without a site.
        folder: where it was loaded from; None of a run that was not.
    """

    model: PretrainedModel
    head: HeadConfig
    trainable: Trainable = field(repr=False)
    task: Task
    calibration: Calibration | None
    metrics: dict[str, Any] = field(default_factory=dict, repr=False)
    training: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = ""
    record: Record | None = field(default=None, repr=False)
    strands: Strands = ONE_STRAND
    training_rows: TrainingRows | None = field(default=None, repr=False)
    calibration_shares: tuple[float, ...] | None = field(default=None, repr=False)
    windows: RecordedWindows | None = field(default=None, repr=False)
    folder: Path | None = field(default=None, repr=False)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, labels or the value, in the order of the head's outputs."""
        return self.task.outputs

    @property
    def adapter(self) -> AdapterConfig:
        """The adapter's configuration."""
        return self.trainable.adapter.config

    @property
    def forward_config(self) -> ForwardConfig:
        """What is compiled to run this model."""
        dtype = self.dtype or self.model.dtype
        attention = local_attention(self.model.config, dtype)
        return ForwardConfig(self.model.config, self.head, dtype, attention=attention)

    def logits(
        self,
        sequences: Sequence[str],
        *,
        average_strands: bool | None = None,
        progress: str = "",
        ambiguous: Ambiguous = "refuse",
        buckets: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the head's outputs, float32 [n, classes], [n, labels], or [n, 1] of a regression.

        The arguments are those of `predict`. `buckets`: numbers of tokens that sequences are padded
        to, where they are part of a stream; None for those that suit them.

        Raises:
            UserError: no sequences, other letters than ACGTN, more than the model can hold, or
                strands to average of a run that has learned from one alone.
        """
        average, how = average_strands, self.strands.reverse_complement
        if average and how == "none":
            raise UserError(
                "--average-strands: this run learned from one strand alone; train with "
                "--augment-reverse-complement same or flip-label"
            )
        cleaned, ids = encoded(self.model, sequences, ambiguous)
        self.head.check_readable(cleaned, ids)
        forward = self._outputs(ids, progress, buckets)
        if not (self.strands.average if average is None else average):
            return forward
        _, ids = encoded(self.model, reverse_complement(cleaned))
        return combined(forward, self._outputs(ids, progress, buckets), how)

    def _outputs(self, ids: np.ndarray, progress: str, buckets: np.ndarray | None) -> np.ndarray:
        data = TokenisedSet.unlabelled(ids)
        config, params = self.forward_config, self.model.params
        return predict(config, params, self.trainable, data, progress, buckets)

    def predict(
        self,
        sequences: Sequence[str],
        *,
        calibrated: bool = False,
        prior: Prior | None = None,
        average_strands: bool | None = None,
        progress: str = "",
        ambiguous: Ambiguous = "refuse",
    ) -> np.ndarray:
        """Return probabilities [n, classes] or [n, labels], in the order of `classes`.

        Of a regression: values [n] in the units of its training rows.

        Arguments:
            sequences: of A, C, G, T and N.
            calibrated: give `calibrated_probability` of `predictions.csv`.
            prior: share of the positive class, or shares by class (or label), where the sequences
                come from; calibrated probabilities are then those at these shares. None for the
                shares of the calibration rows.
            average_strands: average the outputs of both strands; None for what the run does.
            progress: name of the progress bar; "" for none.
            ambiguous: what becomes of IUPAC codes for several bases: "refuse", or "n" for N, with
                a warning that counts them.

        Raises:
            UserError: sequences that the model cannot read, or no calibration.
        """
        if calibrated and not self.task.has_probabilities:
            raise UserError("a regression has values, not probabilities: leave calibrated out")
        if prior is not None and not calibrated:
            raise UserError("prior: shifts calibrated probabilities: give calibrated=True too")
        if calibrated and not self.strands.are(average_strands):
            raise UserError(
                f"this run was calibrated on outputs of {self.strands.read}: leave average_strands "
                "or calibrated out"
            )
        if calibrated and self.calibration is None:
            raise UserError(
                "this run was not calibrated: too few rows, or none, were set aside for it"
            )
        shares = None if prior is None else new_shares(self, prior)
        logits = self.logits(
            sequences, average_strands=average_strands, progress=progress, ambiguous=ambiguous
        )
        if not calibrated:
            return self.task.values(logits)
        probabilities = calibrated_probabilities(self.calibration, logits)
        return probabilities if shares is None else shifted(self, probabilities, shares)

    def embed(
        self, sequences: Sequence[str], layer: int | None = None, pooling: Any = "mean"
    ) -> Any:
        """Embed sequences as the adapted model does; see `PretrainedModel.embed`."""
        from ntjax.inference.embeddings import embed

        [embeddings] = embed(self, sequences, None if layer is None else [layer], pooling).values()
        return embeddings

    def report(self, file: str | Path) -> None:
        """Write one self-contained HTML page: what was trained on what, how good, where wrong.

        Raises:
            UserError: nothing is known of how the run was made, or the file cannot be written.
        """
        from ntjax.runs.page import write_page

        write_page(self, file)

    def save(self, folder: str | Path) -> None:
        """Write the run into an empty folder, as the command does.

        Raises:
            UserError: the folder is in use, or the disk is full.
        """
        folder = Path(folder)
        refuse_occupied(folder)
        make_folder(folder)
        if self.record:
            write_json(folder / CONFIG_FILE, self.record.config)
            lines = "".join(json.dumps(line) + "\n" for line in self.record.history).encode()
            write_bytes(folder / LOG_FILE, lines)
        write_run(folder, self)


def write_run(folder: Path, run: Run) -> None:
    """Write everything but `config.json` and the log, which are begun before training.

    Metrics come last: a folder that has them is whole, but for baselines still to be trained.
    """
    source = {"name": run.model.name, **run.model.source}
    described = Description(
        run.adapter,
        run.head,
        run.task,
        run.calibration,
        source,
        run.dtype or run.model.dtype,
        run.training,
        strands=run.strands,
        training_rows=run.training_rows,
        calibration_shares=run.calibration_shares,
        windows=run.windows,
    )
    write_adapter(folder, described, run.trainable, run.model)
    if run.record:
        from ntjax.io.table_output import write_columns  # loads pandas, which reading does not need

        write_columns(folder / PREDICTIONS_FILE, run.record.predictions)
        write_columns(folder / SPLITS_FILE, run.record.splits)
        if run.record.reliability:
            write_json(folder / RELIABILITY_FILE, run.record.reliability)
        if run.record.baselines:
            write_json(folder / BASELINES_FILE, run.record.baselines)
    if run.metrics:
        write_json(folder / RESULT_FILE, run.metrics)
