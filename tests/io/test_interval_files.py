"""Writers of intervals: numbers that must come back as they were."""

import io

import numpy as np
import pandas as pd

from ntjax.io.interval_files import Gff3


def test_attributes_of_gff_are_unrounded():
    row = {
        "contig": ["a;b c"],
        "start": [2_345_678_900],
        "end": [2_345_678_981],
        "name": ["call_1"],
        "strand": ["+"],
        "site": [2_345_678_960],
        "logit": np.array([23.1234567], np.float32),
        "probability": [1 - 2.0**-40],
        "gene": ["one,tw;o"],
        "distance": pd.array([-2_345_678_901], "Int64"),
    }
    file = io.BytesIO()
    Gff3(file, {}, ["site", "logit", "probability", "gene", "distance"]).write(pd.DataFrame(row))
    cells = file.getvalue().decode().splitlines()[1].split("\t")
    assert cells[0] == "a%3Bb%20c"
    assert cells[3:5] == ["2345678901", "2345678981"]
    attributes = dict(pair.split("=") for pair in cells[8].split(";"))
    assert attributes["site"] == "2345678960"
    assert np.float32(attributes["logit"]) == row["logit"][0]
    assert float(attributes["probability"]) == row["probability"][0]
    assert attributes["gene"] == "one,tw%3Bo"
    assert attributes["distance"] == "-2345678901"
