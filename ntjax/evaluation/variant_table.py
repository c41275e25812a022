"""Score the alleles of a VCF or BCF file in chunks: memory does not grow with the file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from tqdm import tqdm

from ntjax.errors import UserError
from ntjax.evaluation.variant_survey import Survey, placed
from ntjax.genomes.alleles import Allele, AlleleReader
from ntjax.io.part_formats import suffix_of
from ntjax.io.parts import Parts, of_this_input
from ntjax.io.variant_file import InfoField, VariantFile, VariantRecord
from ntjax.io.variant_output import annotated, declare

if TYPE_CHECKING:
    import pandas as pd

SITE_COLUMNS = ("chrom", "pos", "id", "ref", "alt", "status")

# What is computed at once: an SNV counts as one, an indel as one and its shams.
_MOST_AT_ONCE, _FEWEST_AT_ONCE, _BASES_AT_ONCE = 1024, 32, 1 << 20
_CHECKED_AT_ONCE = 8192


class Scorer(Protocol):
    """Gives alleles scores in columns of its own."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""

    def unreadable(self, alleles: Sequence[Allele]) -> np.ndarray:
        """Tell which alleles have more N around them than the model can read: bool [alleles]."""

    def scores(self, alleles: Sequence[Allele]) -> Mapping[str, np.ndarray]:
        """Score alleles of status "scored": arrays [alleles] by column."""


class Written(NamedTuple):
    """What was written.

    Attributes:
        found: what became of the alleles.
        resumed: how many parts were there already.
    """

    found: Survey
    resumed: int


def write_table(
    variants: VariantFile,
    reader: AlleleReader,
    scorers: Sequence[Scorer],
    parts: Parts,
    *,
    info: Sequence[str] = (),
    shams: int = 0,
    progress: bool = False,
    total: int | None = None,
) -> Written:
    """Score every allele and write a row for each, or the records with their scores.

    A VCF (`parts.out` ends in .vcf.gz) has a field of INFO for each column.

    Arguments:
        variants: the records; not read from yet.
        reader: places their alleles.
        scorers: give the columns behind `SITE_COLUMNS`; none for statuses alone.
        parts: the file.
        info: names of INFO fields that are copied into columns.
        shams: of an indel.
        progress: show a progress bar.
        total: how many alleles there are.

    Raises:
        UserError: damaged records, an INFO field that isn't there or whose name a column has, or a
            full disk.
    """
    fields = variants.info(info)
    columns = [name for scorer in scorers for name in scorer.columns]
    if taken := {field.name for field in fields} & {*SITE_COLUMNS, *columns}:
        raise UserError(f"--info {min(taken)}: the table has a column of that name: leave it out")
    header = None
    if suffix_of(parts.out) == ".vcf.gz":
        header = declare(variants, {name: _type(name) for name in ("status", *columns)})
    found, there, number = Survey(), 0, 0
    bar = tqdm(total=total, unit="allele", desc="variants", disable=not progress)
    with of_this_input(parts), bar:
        for number, chunk in enumerate(_chunks(variants, reader, shams if scorers else None)):
            chunk.decide(scorers)
            if parts.has(number):
                there += 1
            else:
                parts.write(number, chunk.content(chunk.scores(scorers), fields, header, number))
            chunk.count(found)
            bar.update(len(chunk.alleles))
    if not found.records:
        raise UserError(f"{variants.path}: holds no records: give a file with variants")
    parts.join(number + 1)
    return Written(found, there)


@dataclass
class Chunk:
    """Records that are scored together.

    Attributes:
        records: all of the chunk.
        rows: of each allele: its record, and its index among the alternatives.
        alleles: one for each row.
    """

    records: list[VariantRecord] = field(default_factory=list)
    rows: list[tuple[VariantRecord, int]] = field(default_factory=list)
    alleles: list[Allele] = field(default_factory=list)

    def add(self, record: VariantRecord, alleles: Sequence[Allele]) -> None:
        """Append a record."""
        self.records.append(record)
        self.rows += [(record, number) for number in range(len(alleles))]
        self.alleles += alleles

    def decide(self, scorers: Sequence[Scorer]) -> None:
        """Set the status of alleles that a scorer cannot read."""
        for scorer in scorers:
            chosen = self._scored()
            if not chosen:
                continue
            for row in np.flatnonzero(scorer.unreadable([self.alleles[row] for row in chosen])):
                number = chosen[row]
                self.alleles[number] = self.alleles[number]._replace(status="too_many_n")

    def scores(self, scorers: Sequence[Scorer]) -> dict[str, np.ndarray]:
        """Return columns [alleles]; those of alleles that are not scored are NaN or ""."""
        chosen, columns = self._scored(), {}
        for scorer in scorers:
            found = scorer.scores([self.alleles[row] for row in chosen]) if chosen else {}
            for name in scorer.columns:
                column = np.full(len(self.alleles), *(("", object) if name in _TEXT else (np.nan,)))
                if chosen:
                    column[chosen] = found[name]
                columns[name] = column
        return columns

    def count(self, found: Survey) -> None:
        """Add all records to a survey."""
        start = 0
        for record in self.records:
            end = start + max(1, len(record.alternatives))
            found.add(record, self.alleles[start:end])
            start = end

    def content(
        self,
        scores: Mapping[str, np.ndarray],
        fields: Sequence[InfoField],
        header: str | None,
        number: int,
    ) -> "pd.DataFrame | str":
        """Return the rows of the table or, where there is a header, lines of a VCF."""
        if header is None:
            return self.frame(scores, fields)
        statuses = [allele.status for allele in self.alleles]
        lines = annotated(self.records, {"status": statuses, **scores})
        return lines if number else header + lines

    def frame(
        self, scores: Mapping[str, np.ndarray], fields: Sequence[InfoField]
    ) -> "pd.DataFrame":
        """Return the rows of the table."""
        import pandas as pd

        columns: dict[str, Any] = {
            "chrom": [record.contig for record, _ in self.rows],
            "pos": [record.position for record, _ in self.rows],
            "id": [record.name for record, _ in self.rows],
            "ref": [record.reference for record, _ in self.rows],
            "alt": [(*record.alternatives, "")[number] for record, number in self.rows],
            "status": [allele.status for allele in self.alleles],
        }
        for info in fields:
            values = [info.of(record, number) for record, number in self.rows]
            if info.dtype == "object":  # texts
                values = ["" if value is None else value for value in values]
            columns[info.name] = pd.Series(values, dtype=info.dtype)
        for name, values in scores.items():
            columns[name] = pd.Series(values).astype("Int64") if name in _WHOLE else values
        return pd.DataFrame(columns)

    def _scored(self) -> list[int]:
        return [row for row, allele in enumerate(self.alleles) if allele.status == "scored"]


_WHOLE = frozenset({"site_index", "phases", "window_n", "window_start", "window_end", "windows"})
_TEXT = frozenset({"status", "window_strand"})


def _type(column: str) -> str:
    """Type of a column in a VCF's header."""
    if column in _TEXT:
        return "String"
    return "Integer" if column in _WHOLE else "Float"


def _chunks(variants: VariantFile, reader: AlleleReader, shams: int | None) -> Iterator[Chunk]:
    """Cut the records into chunks that depend on them alone; `shams` is None without scores."""
    most = _CHECKED_AT_ONCE
    if shams is not None:
        fits = _BASES_AT_ONCE // reader.window
        most = max(_FEWEST_AT_ONCE, min(_MOST_AT_ONCE, fits))
    chunk, work = Chunk(), 0
    for record in variants.records():
        alleles = placed(reader, record)
        chunk.add(record, alleles)
        changes = [allele.change for allele in alleles if allele.change]
        work += len(alleles) + (shams or 0) * sum(change.growth != 0 for change in changes)
        if work >= most:
            yield chunk
            chunk, work = Chunk(), 0
    if chunk.records:
        yield chunk
