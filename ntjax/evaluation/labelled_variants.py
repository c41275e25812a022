"""Variants with labels: tables of eQTL and meQTL, and ClinVar's VCF file.

No such labels are part of ntjax. The eQTL of GTEx and others come as tables of variants with a
posterior probability of being causal; ClinVar (https://www.ncbi.nlm.nih.gov/clinvar) as a VCF with
a clinical significance.
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntjax.errors import UserError
from ntjax.io.delimited import filled_rows, header_of, read_cells, suffix_of
from ntjax.io.formats import opened_parquet
from ntjax.io.variant_file import VariantFile

_PATHOGENIC = frozenset({"pathogenic", "likely_pathogenic", "pathogenic/likely_pathogenic"})
_BENIGN = frozenset({"benign", "likely_benign", "benign/likely_benign"})
_SITE = ("chrom", "pos", "ref", "alt")


@dataclass(frozen=True)
class LabelledVariants:
    """Variants and what is known of them.

    Attributes:
        variants: contig, position from 1, REF and ALT of each.
        labels: int64 [variants], 1 or 0.
        columns: other columns of a table by name, [variants].
        left_out: how many have no clear label.
    """

    variants: list[tuple[str, int, str, str]]
    labels: np.ndarray
    columns: dict[str, np.ndarray]
    left_out: int


def read_labelled_table(
    path: str | os.PathLike, label: str, *, above: float = 0.9, below: float = 0.01
) -> LabelledVariants:
    """Read a table (CSV, TSV, Parquet) of variants with a label or a probability.

    The columns `chrom`, `pos`, `ref` and `alt` (in any case), or `variant_id` as GTEx writes it
    (`chr1_12345_A_G_b38`), name the variant.

    Arguments:
        path: the file.
        label: the column: 0 and 1, or the posterior probability (PIP) of being causal.
        above: probability from which on a variant is positive.
        below: probability up to which it is a candidate for a control; others are left out.

    Raises:
        UserError: a column is missing, or a value is no number, with its row.
    """
    frame = _with_sites(path, _frame(path))
    missing = [name for name in (*_SITE, label.lower()) if name not in frame]
    if missing:
        raise UserError(
            f"{path}: has no column {missing[0]!r}: it needs chrom, pos, ref, alt (or variant_id) "
            f"and {label}"
        )
    values, positions = _numbers(path, frame, label.lower()), _positions(path, frame)
    clear = (values >= above) | (values <= below)
    rows = np.flatnonzero(clear)
    variants = [
        (str(frame["chrom"].iloc[row]), int(positions[row]), *_alleles(frame, row)) for row in rows
    ]
    others = {
        str(name): frame[name].to_numpy()[rows]
        for name in frame.columns
        if name not in (*_SITE, label.lower())
    }
    labels = (values[rows] >= above).astype(np.int64)
    return LabelledVariants(variants, labels, others, int((~clear).sum()))


def _frame(path: str | os.PathLike) -> Any:
    """Read a table with its column names in lower case."""
    if suffix_of(path) == ".parquet":
        with opened_parquet(path) as file:
            frame = file.read().to_pandas()
    else:
        names = header_of(path, "chrom", "variant_id").names
        [cells] = read_cells(path, "chrom,pos,ref,alt,label", columns=len(names))
        frame = filled_rows(cells.iloc[1:])[0].set_axis(names, axis=1).reset_index(drop=True)
    return frame.rename(columns={name: str(name).strip().lower() for name in frame.columns})


def _with_sites(path: str | os.PathLike, frame: Any) -> Any:
    """Take the site out of `variant_id` where it has no columns of its own."""
    if "variant_id" not in frame or set(_SITE) <= set(frame):
        return frame
    parts = frame["variant_id"].astype(str).str.split("_", expand=True)
    short = np.flatnonzero(parts[3].isna()) if parts.shape[1] > 3 else np.zeros(1, int)
    if len(short):
        raise UserError(
            f"{path}: row {short[0] + 1:,}: variant_id {frame['variant_id'].iloc[short[0]]!r} "
            "should be CONTIG_POSITION_REF_ALT"
        )
    return frame.assign(**dict(zip(_SITE, (parts[n] for n in range(4)), strict=True)))


def _positions(path: str | os.PathLike, frame: Any) -> np.ndarray:
    positions = _numbers(path, frame, "pos")
    if (wrong := np.flatnonzero((positions < 1) | (positions % 1 > 0))).size:
        raise UserError(
            f"{path}: row {wrong[0] + 1:,}: pos {frame['pos'].iloc[wrong[0]]!r} is no position: "
            "the first base of a contig is 1"
        )
    return positions


def _alleles(frame: Any, row: int) -> tuple[str, str]:
    return str(frame["ref"].iloc[row]).upper(), str(frame["alt"].iloc[row]).upper()


def _numbers(path: str | os.PathLike, frame: Any, name: str) -> np.ndarray:
    import pandas as pd

    values = pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64)
    if (wrong := np.flatnonzero(~np.isfinite(values))).size:
        raise UserError(
            f"{path}: row {wrong[0] + 1:,}: {name} {frame[name].iloc[wrong[0]]!r} is no number"
        )
    return values


def read_clinvar(path: str | os.PathLike, region: str = "") -> LabelledVariants:
    """Read pathogenic (1) and benign (0) alleles of ClinVar's VCF, likely ones among them.

    Alleles of conflicting or uncertain significance are left out and counted, as are records of
    several alternatives.

    Arguments:
        path: the file, from ftp.ncbi.nlm.nih.gov/pub/clinvar.
        region: CONTIG or CONTIG:START-END, which needs an index.

    Raises:
        UserError: the file can't be read, or has no field CLNSIG.
    """
    variants, labels, left_out = [], [], 0
    with VariantFile(path, region) as file:
        [significance] = file.info(["CLNSIG"])
        for record in file.records():
            text = str(significance.of(record, 0) or "").lower()
            label = _clinical_label(text)
            if label is None or len(record.alternatives) != 1:
                left_out += 1
                continue
            site = record.contig, record.position, record.reference, record.alternatives[0]
            variants.append(site)
            labels.append(label)
    return LabelledVariants(variants, np.array(labels, np.int64), {}, left_out)


def _clinical_label(text: str) -> int | None:
    # Several submitters are joined by "|" or ","; what follows is no significance of its own.
    first = text.replace("|", ",").split(",")[0].strip()
    if first in _PATHOGENIC:
        return 1
    return 0 if first in _BENIGN else None
