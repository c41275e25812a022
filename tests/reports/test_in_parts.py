"""Commands that are stopped say what is kept, and only if anything is."""

import numpy as np
import pytest

from ntjax.io.parts import PartFolder
from ntjax.reports.in_parts import resumable


def stopped_after(parts, written, can_resume):
    with resumable(parts, can_resume):
        for number in range(written):
            parts.write(number, {"logit": np.zeros(2)})
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("written", "can_resume", "told"), [(1, True, True), (0, True, False), (1, False, False)]
)
def test_what_is_kept_is_told(tmp_path, capsys, written, can_resume, told):
    parts = PartFolder(tmp_path / "scan", {}, False, ".npz")
    with pytest.raises(SystemExit) as stopped:
        stopped_after(parts, written, can_resume)
    assert stopped.value.code == 130
    assert ("--resume" in capsys.readouterr().err) == told
