"""VCF records with scores in their INFO column."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ntjax.io.variant_file import VariantFile, VariantRecord

PREFIX = "NTJAX_"
"""Begins the name of every INFO field that is added: NTJAX_L2 of the column `l2`."""

STATUS = "status"


def info_name(column: str) -> str:
    """Return the name of the INFO field of a column.

    >>> info_name("local_l2")
    'NTJAX_LOCAL_L2'
    """
    return PREFIX + column.upper()


def declare(variants: VariantFile, types: Mapping[str, str]) -> str:
    """Add INFO fields to the header of a file that is being read.

    Arguments:
        variants: the file, of which no record has been read.
        types: "Float", "Integer" or "String" by column.

    Returns:
        The header as text.
    """
    for column, kind in types.items():
        # A record without an alternative allele has a status too.
        number = "." if column == STATUS else "A"
        text = f"column {column} of ntjax.variants, for each alternative allele"
        if info_name(column) not in variants.header.info:
            variants.header.info.add(info_name(column), number, kind, text)
    return str(variants.header)


def annotated(records: Sequence[VariantRecord], columns: Mapping[str, Sequence[Any]]) -> str:
    """Return records as lines of a VCF, with a field of INFO for each column.

    Arguments:
        records: of a file whose header declares the fields; they are changed.
        columns: a value for each alternative allele of all records, and one for a record without;
            missing values are NaN, None or "".
    """
    lines, start = [], 0
    for record in records:
        end = start + max(1, len(record.alternatives))
        for column, values in columns.items():
            if not record.alternatives and column != STATUS:
                continue
            own = tuple(_plain(value) for value in values[start:end])
            if any(value is not None for value in own):
                record.raw.info[info_name(column)] = own
        start = end
        lines.append(str(record.raw))
    return "".join(lines)


def _plain(value: Any) -> Any:
    """Return what pysam takes, None for a missing value."""
    if value is None or value == "" or value != value:
        return None
    return value.item() if isinstance(value, np.generic) else value
