"""Both ways of making vectors that are timed make the same ones, and the worse kind is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.benchmarks import data_rows, drivers
from scripts.benchmarks.figures import Reply
from scripts.benchmarks.sides import assay_rows


class Here:
    """A context whose one side runs in this process; `seconds` are told in place of the clock's."""

    runs = 3

    def __init__(self, seconds: Callable[[str, str], float] | None = None) -> None:
        self.seconds = seconds

    def side(self, name: str) -> Here:
        assert drivers.SIDES[name].module == assay_rows.__name__
        return self

    def call(self, function: str, **arguments: Any) -> Reply:
        reply: Any = assay_rows.CALLS[function](**arguments)
        if self.seconds is not None and function in ("vectors", "plain"):
            reply["seconds"] = self.seconds(function, arguments["kind"])
        return Reply(reply["seconds"], counts=reply.get("counts", {}))

    def say(self, text: str) -> None:
        pass


def test_thirty_columns_become_vectors_both_ways(tmp_path: Path) -> None:
    assay_rows.make(str(tmp_path), 500)
    assert len(assay_rows.FEATURES) + 1 == 30
    for kind in assay_rows.KINDS:
        x, y = assay_rows._vectors(tmp_path, kind)
        assert x.shape == (500, 24 + 25)
        assert set(np.unique(y)) == {0.0, 1.0}
        # A gap is 0.5 in the four columns that have them, in one row of 20.
        assert (x[:, :4] == 0.5).sum(axis=0).min() >= 25
        assert assay_rows.same(str(tmp_path), kind)["counts"] == {"inputs": 49}
        assert assay_rows.vectors(str(tmp_path), kind)["seconds"] > 0  # type: ignore[operator]


def test_other_vectors_are_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assay_rows.make(str(tmp_path), 100)
    plain = assay_rows._plain
    monkeypatch.setattr(
        assay_rows, "_plain", lambda *place: (plain(*place)[0] + 1e-9, plain(*place)[1])
    )
    with pytest.raises(ValueError, match="different vectors of types"):
        assay_rows.same(str(tmp_path), "types")


def test_the_worse_kind_is_the_figure() -> None:
    seconds = {
        ("vectors", "text"): 3.0,
        ("plain", "text"): 2.0,
        ("vectors", "types"): 3.0,
        ("plain", "types"): 1.0,
    }
    found = data_rows.measured(Here(lambda way, kind: seconds[way, kind]), 50)
    assert (found.ours, found.peer, found.ratio) == (3.0, 2.0, 3.0)
    assert found.parts == {"text": (3.0, 2.0), "types": (3.0, 1.0)}
    bar = data_rows.FIGURE.bar
    assert bar is not None
    assert not bar.met(found.ours, found.ratio)
    assert bar.met(found.ours, 2.0)
