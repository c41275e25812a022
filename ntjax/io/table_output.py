"""Tables of sequences as CSV, written beside and renamed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ntjax.io.files import write_bytes
from ntjax.io.tables import SequenceTable


def write_table(path: Path, table: SequenceTable) -> None:
    """Write `name,sequence,label` (no `label` without labels); `read_table` reads it back.

    Raises:
        UserError: the file cannot be written.
    """
    columns = {"name": table.names, "sequence": table.sequences}
    write_columns(path, columns if table.labels is None else columns | {"label": table.labels})


def write_columns(path: Path, columns: Mapping[str, Sequence]) -> None:
    """Write columns of equal length under their names.

    Raises:
        UserError: the file cannot be written.
    """
    import pandas as pd  # slow to load: only when a table is written

    data = pd.DataFrame(dict(columns)).to_csv(index=False, lineterminator="\n").encode()
    write_bytes(path, data)
