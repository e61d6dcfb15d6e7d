"""The main job as a user runs it: nine processes, real data, and an object of JSON at the end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from node.demo.processes import environment


@pytest.mark.long
def test_the_main_job(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "node.cli.main", "demo", "--json", "--seed", "7"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment() | {"TMPDIR": str(tmp_path)},
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result = json.loads(done.stdout)
    assert result["ok"], result["faults"]
    assert result["accuracy"] >= result["pooled_accuracy"] - 0.02
    assert result["rounds"] == len(result["accuracy_by_round"]) == 12
    assert len(result["paid"]) == len(result["bytes_per_owner"]) == 5
    assert result["returned"] > 0
    assert result["escrowed"] == sum(result["paid"].values()) + result["returned"]
    assert result["gas"]["commit"]["transactions"] == result["rounds"]
    assert result["gas"]["claim"]["transactions"] == 5
    assert result["audit"]["ok"]
    assert "price floor" in result["stayed_out"]["reason"]
    assert max(result["resident_bytes"].values()) < 250 * 2**20
    assert Path(result["files"]["curve"]).read_bytes().startswith(b"\x89PNG")
    with np.load(result["files"]["model"]) as model:
        assert sum(model[name].size for name in model.files if model[name].dtype.kind == "f") >= 650
    # Homes and logs are gone with the run.
    assert not list(tmp_path.glob("assay-demo-*"))
