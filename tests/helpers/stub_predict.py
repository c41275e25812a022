"""Predict a file with a run whose outputs are a function of nothing; prints the peak memory.

python stub_predict.py INPUT OUTPUT
"""

import sys
from pathlib import Path

import numpy as np

from ntjax import load_pretrained
from ntjax.io.parts import Parts
from ntjax.io.row_stream import RowStream
from ntjax.models.heads import head_from_dict
from ntjax.runs.predict_file import predict_file
from ntjax.runs.run import Run
from ntjax.runs.training_rows import TrainingRows
from ntjax.tasks import Classification


class Stub(Run):
    """Scores every sequence alike."""

    def logits(self, sequences, **_):
        return np.zeros((len(sequences), 2), np.float32)


def own_peak():
    """Return the peak resident memory of this process in bytes.

    Not `ru_maxrss`, which begins at that of the process it was started from.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("VmHWM")]
    return 1024 * int(line.split()[1])


def main():
    head = head_from_dict({"pooling": "mean", "outputs": 2})
    model = load_pretrained("mini")
    rows = TrainingRows((36, 36), (0.0, 1.0), 0.0)
    run = Stub(model, head, None, Classification(("0", "1")), None, training_rows=rows)
    predict_file(run, RowStream(sys.argv[1]), Parts(Path(sys.argv[2]), {}))
    print(own_peak())


if __name__ == "__main__":
    main()
