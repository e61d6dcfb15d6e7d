"""`assay job new` and `assay predict`, as their user types them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kits.books import make_spec

from node.control.codes import Exit
from node.store.blobs import Blobs
from node.work import exporting, tasks
from protocol.arith.numbers.vectors import Kind, encode_vector
from protocol.spec.job import encode_spec
from protocol.spec.toml import parse_toml

ROWS = "age,stay\n34,short\n71,long\n,short\n"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of `age` that finds the old long."""
    (tmp_path / "blobs").mkdir()
    weights = np.array([-4.0, 4.0, 2.0, -2.0])
    blob = Blobs(tmp_path / "blobs").put(encode_vector(Kind.MODEL, weights))
    work = tasks.Work(tmp_path / "blobs", encode_spec(make_spec()))
    exporting.export_model(work, b"", blob, tmp_path / "model.npz")
    return tmp_path / "model.npz"


async def test_a_spec_is_made_of_a_table_and_checked(assay: Any, tmp_path: Path) -> None:
    lines = [f"{20 + n},{'long' if n > 20 else 'short'}" for n in range(40)]
    (tmp_path / "rows.csv").write_text("\n".join(["age,stay", *reversed(lines)]) + "\n")
    made = await assay("job", "new", "rows.csv")
    assert (made.code, made.err) == (0, "")
    assert "job.toml: 1 features of 40 rows" in made.out
    assert "target stay (guessed; --target names another)" in made.out
    assert "next: edit it, then assay job check job.toml" in made.out
    checked = await assay("job", "check", "job.toml")
    assert (checked.code, checked.err) == (0, "")
    spec = (tmp_path / "job.toml").read_text()
    again = await assay("job", "new", "rows.csv")
    assert again.code == Exit.USAGE
    assert "job.toml exists" in again.err
    assert (tmp_path / "job.toml").read_text() == spec
    other = await assay(
        "job", "new", "rows.csv", "--target", "age", "-o", "job.toml", "--force", "--json"
    )
    assert other.json["target"] == "age"
    assert parse_toml((tmp_path / "job.toml").read_text()).terms.target.name == "age"
    wrong = await assay("job", "new", "rows.csv", "-o", "b.toml", "--target", "wing", "--json")
    assert (wrong.code, wrong.error["field"]) == (Exit.USAGE, "target")
    assert not (tmp_path / "b.toml").exists()


async def test_predictions_of_a_file(assay: Any, model: Path, tmp_path: Path) -> None:
    (tmp_path / "ward.csv").write_text(ROWS)
    done = await assay("predict", "model.npz", "ward.csv")
    assert (done.code, done.err) == (0, "")
    assert "2 of 3 rows predicted" in done.out
    assert "1 rows have an empty prediction; the first: ward.csv, line 4" in done.out
    out = (tmp_path / "ward-predicted.csv").read_text().splitlines()
    assert out[0] == "line,prediction,probability_short,probability_long"
    assert [line.split(",")[:2] for line in out[1:]] == [["2", "short"], ["3", "long"], ["4", ""]]
    again = await assay("predict", "model.npz", "ward.csv")
    assert again.code == Exit.USAGE
    assert "exists" in again.err
    assert "--force" in again.err
    forced = await assay("predict", "model.npz", "ward.csv", "--force", "--json")
    assert (forced.json["rows"], forced.json["unused"]) == (3, 1)
    odd = await assay("predict", "ward.csv", "ward.csv", "-o", "other.csv")
    assert odd.code == Exit.USAGE
    assert "is no model of assay" in odd.err


async def test_of_a_job_the_daemon_writes_the_model(
    assay: Any, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "ward.csv").write_text(ROWS)
    async with assay.daemon() as running:
        running.node.model_path = str(model)
        done = await assay("predict", "0x5a5", "ward.csv", "--round", "3", "-o", "out.csv")
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "out.csv").exists()
