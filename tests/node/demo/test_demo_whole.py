"""The main job as a user runs it: nine processes, real data, and an object of JSON at the end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from node.control.codes import Exit
from node.demo.swarm.processes import environment


def run(out: Path, *options: str) -> dict[str, Any]:
    """What `assay demo` prints."""
    command = [sys.executable, "-m", "node.cli.main", "demo", "--json", "--seed", "7", *options]
    done = subprocess.run(
        [*command, "--out", str(out)],
        capture_output=True,
        text=True,
        env=environment() | {"TMPDIR": str(out)},
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["ok"], result["faults"]
    # Homes and logs are gone with the run.
    assert not list(out.glob("assay-demo-*"))
    return result


@pytest.mark.long
def test_the_main_job(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result["accuracy"] >= result["pooled_accuracy"] - 0.02
    assert result["rounds"] == len(result["accuracy_by_round"]) == 12
    assert len(result["paid"]) == len(result["bytes_per_owner"]) == 5
    assert result["returned"] > 0
    assert result["escrowed"] == sum(result["paid"].values()) + result["returned"]
    assert result["gas"]["commit"]["transactions"] == result["rounds"]
    assert result["gas"]["pay"]["transactions"] == 1
    assert result["audit"]["ok"]
    assert "price floor" in result["stayed_out"]["reason"]
    assert max(result["resident_bytes"].values()) < 250 * 2**20
    assert Path(result["files"]["curve"]).read_bytes().startswith(b"\x89PNG")
    with np.load(result["files"]["model"]) as model:
        assert sum(model[name].size for name in model.files if model[name].dtype.kind == "f") >= 650
    assert "sealed" not in result


def sealed(out: Path, *options: str) -> dict[str, Any]:
    """The sealed part of a sealed run's result, once what all of them show is checked."""
    result = run(out, "--sealed", *options)
    found: dict[str, Any] = result["sealed"]
    assert result["rounds"] == len(found["twin"]) == 6
    assert abs(result["accuracy"] - found["downloaded"]) <= 0.005
    assert found["refusal"]["code"] == Exit.REFUSED
    assert "the model is sealed" in found["refusal"]["reason"]
    assert not found["refusal"]["file"]
    assert result["escrowed"] == sum(result["paid"].values()) + result["returned"]
    assert result["audit"]["ok"]
    return found | {"accuracy": result["accuracy"]}


@pytest.mark.long
def test_the_sealed_job(tmp_path: Path) -> None:
    found = sealed(tmp_path, "--epsilon", "4")
    assert found["epsilon"] == found["documented"]["epsilon"] == 4.0
    assert found["accuracy"] >= found["documented"]["worst"] - 0.02
    assert len(found["spent"]) == 5
    assert all(3.9 < spent <= 4.0 for spent in found["spent"])


@pytest.mark.long
def test_the_sealed_job_among_owners_who_trust(tmp_path: Path) -> None:
    found = sealed(tmp_path, "--data", "breast-cancer", "--no-noise")
    assert found["epsilon"] is None
    assert found["spent"] == [None] * 5
    assert abs(found["accuracy"] - found["twin"][-1]) <= 0.005
