"""A published table made by two processes that train each network together."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
for package in ("lightning", "monai", "safetensors", "tensorboard", "sklearn"):
    pytest.importorskip(package, reason="needs the train extra")

from safetensors.torch import load_file

from ICHSegmenterLib.cli.main import main
from ICHSegmenterLib.datasets import physionet
from reproduced_tables import NARROW_UNET, SLICES, exams, table_of

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
def test_two_processes_train_the_networks_of_one_and_make_one_table(tmp_path: Path) -> None:
    """Plain gradient descent, so that the order of sums is all that differs between the weights."""
    physionet.write(exams(4), tmp_path / "ct-ich")
    changes = ["optimizer={name: sgd, momentum: 0.0}", "data.evaluation_batch_size=4", NARROW_UNET]
    arguments = ["reproduce", "unet", "--data", str(tmp_path / "ct-ich"), "--fold-count", "2", "--accelerator", "cpu"]
    arguments += ["--device", "cpu", "--resamples", "20", "--quiet", "--set", *SLICES, *changes]
    assert main([*arguments, "--output", str(tmp_path / "one"), "--devices", "1"]) == 0
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launch, "-m", "ICHSegmenterLib", *arguments, "--output", str(tmp_path / "two"), "--devices", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    answer = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert answer.stdout.count("deviations from the authors' code") == 1
    assert "No table yet" not in answer.stdout
    alone, together = table_of(tmp_path / "one"), table_of(tmp_path / "two")
    assert [row["patients"] for row in alone["rows"]] == [row["patients"] for row in together["rows"]]
    assert alone["deviations"] == together["deviations"]
    for fold in range(2):
        name = Path("training") / f"fold-{fold}" / "unet.safetensors"
        first, second = load_file(tmp_path / "one" / name), load_file(tmp_path / "two" / name)
        for key in first:
            torch.testing.assert_close(first[key], second[key], rtol=1e-3, atol=1e-5)
