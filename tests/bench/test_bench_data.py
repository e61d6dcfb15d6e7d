"""Which files count, and what is timed beside polars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scripts.benchmarks import data_files, data_read
from scripts.benchmarks.data import SUITE
from scripts.benchmarks.figures import Reply
from scripts.benchmarks.sides import assay_read


def test_the_files_that_count(tmp_path: Path) -> None:
    for name in ("b.csv", "a.CSV", "c.csv.gz", "._b.csv", "d.txt", "deep/e.csv"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x,y\n1,2\n")
    found = data_files.tables(tmp_path / "in")
    assert [path.name for path in found] == ["a.CSV", "b.csv", "c.csv.gz", "e.csv"]
    refused = data_files.taken(found, tmp_path)
    assert [path.name for path in refused] == ["c.csv.gz"]  # it is not packed
    assert "cannot be unpacked" in refused[found[2]]


class Context:
    """Calls the side here, and counts."""

    runs = 2

    def __init__(self) -> None:
        self.calls: list[str] = []

    def side(self, name: str) -> Context:
        assert name == "read"
        return self

    def say(self, text: str) -> None:
        assert text

    def call(self, function: str, **arguments: Any) -> Reply:
        self.calls.append(function)
        reply: Any = assay_read.CALLS[function](**arguments)
        return Reply(reply["seconds"], counts=reply["counts"])


def test_reading_is_timed_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assay_read, "_ROWS", 500)
    context = Context()
    found = data_read.measured(context, 1)
    assert context.calls == ["make", *["add", "read"] * 3]
    assert found.ratio == found.ours / (found.peer or 0)
    assert found.ours > 0
    assert "30 columns, 1 MB" in found.notes[0]


def test_the_bars_are_those_that_were_set() -> None:
    bars = {figure.name: str(figure.bar) for figure in SUITE.figures}
    assert bars["real-files"] == "ours at least 97"
    assert bars["read"] == "ratio at most 2"
