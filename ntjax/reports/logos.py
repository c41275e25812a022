"""Sequence logos: each base as high as it is important."""

from pathlib import Path

import numpy as np
import pandas as pd

from ntjax.errors import UserError
from ntjax.io.files import written_atomically
from ntjax.sequences.alphabet import COLUMN_ORDER

# Okabe & Ito's, told apart by the colour-blind.
_COLOURS = {"A": "#009E73", "C": "#0072B2", "G": "#E69F00", "T": "#D55E00", "N": "#999999"}
_BASES_A_LINE = 120
_FORMAT = "svg"


def check_can_draw() -> None:
    """Refuse to go on where the libraries that draw logos are missing.

    Raises:
        UserError: says what to install.
    """
    try:
        import logomaker  # noqa: F401
    except ImportError as error:
        raise UserError(
            'drawing logos needs logomaker: pip install "ntjax[plots]", or --no-logos'
        ) from error


def draw_logo(path: Path, title: str, sequence: str, importance: np.ndarray) -> None:
    """Draw a sequence as an SVG file, in lines of 120 bases.

    Arguments:
        path: of the file.
        title: above it.
        sequence: of A, C, G, T and N.
        importance: [bases], height of each; below the line where it is negative.

    Raises:
        UserError: the file cannot be written.
    """
    import logomaker
    import matplotlib.pyplot as plt

    heights = _heights(sequence, importance)
    lines = -(-len(sequence) // _BASES_A_LINE)
    shown = min(len(sequence), _BASES_A_LINE)
    picture, axes = plt.subplots(
        lines, 1, figsize=(max(4, 0.12 * shown), 0.4 + 1.4 * lines), squeeze=False, sharey=True
    )
    for number, one in enumerate(axes[:, 0]):
        first = number * _BASES_A_LINE
        part = heights.iloc[first : first + _BASES_A_LINE]
        logomaker.Logo(part, ax=one, color_scheme=_COLOURS, show_spines=False, flip_below=False)
        one.set_xlim(first - 0.5, first + shown - 0.5)
        one.set_ylabel("importance")
    axes[-1, 0].set_xlabel("position, from 0")
    axes[0, 0].set_title(title, loc="left", fontsize="medium", parse_math=False)
    picture.tight_layout()
    try:
        # A fixed identifier and no date: the same picture is the same file.
        with written_atomically(path, 0) as file, plt.rc_context({"svg.hashsalt": "ntjax"}):
            picture.savefig(file, format=_FORMAT, metadata={"Date": None})
    finally:
        plt.close(picture)


def _heights(sequence: str, importance: np.ndarray) -> pd.DataFrame:
    """As logomaker takes them: a column for each base, 0 where it does not stand."""
    bases = list(COLUMN_ORDER) + ["N"] * ("N" in sequence)
    stands = np.array(list(sequence))[:, None] == np.array(bases)
    return pd.DataFrame(stands * importance[:, None].astype(np.float64), columns=bases)
