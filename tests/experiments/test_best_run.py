"""The command of the study's page for the report's best run, up to the download of the model."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "experiments/promoters/README.md"


@pytest.mark.study
@pytest.mark.skipif("NTJAX_DATA_DIR" not in os.environ, reason="NTJAX_DATA_DIR is not set: no rows")
def test_the_command_gets_as_far_as_the_download(tmp_path):
    [line] = [text for text in PAGE.read_text().splitlines() if "--lora-rank 32" in text]
    words = shlex.split(line)
    assert words[:3] == ["python", "-m", "ntjax.finetune"]
    offline = {"HF_HUB_OFFLINE": "1", "NTJAX_CACHE_DIR": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, *words[1:]],
        env=os.environ | offline,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    chosen, rest = done.stdout.splitlines()[0], done.stderr.strip().splitlines()
    assert "--train ecoli_promoters" in chosen
    assert len(rest) == 1
    assert rest[0].startswith("error: could not download 500M_1000G")
    assert not (tmp_path / "runs").exists()
