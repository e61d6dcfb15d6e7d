"""What is timed for secure aggregation is a whole round, and a wrong one is not a figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from protocol.arith import kernels
from protocol.arith.encoding.lanes import Lanes
from protocol.arith.secagg.masked import word_bits
from protocol.layout.packing import ENVELOPES
from scripts.benchmarks.figures import Reply
from scripts.benchmarks.secagg import SUITE
from scripts.benchmarks.sides import assay_secagg
from scripts.benchmarks.sides.parts import gradient

SMALL: dict[str, Any] = {"owners": 6, "dropped": 1, "threshold": 4, "values": 50, "key_bits": 512}


@pytest.mark.parametrize("envelope", ENVELOPES)
def test_a_round_opens_to_the_sum_of_what_went_in(envelope: str) -> None:
    reply: Any = assay_secagg.CALLS["round"](**SMALL, envelope=envelope)
    assert set(reply["parts"]) == {
        "ready",
        "check",
        "contribute",
        "sum",
        "release",
        "reconstruct",
        "unmask",
        "open",
    }
    assert reply["seconds"] == pytest.approx(sum(reply["parts"].values()))
    assert min(reply["parts"].values()) > 0


def test_a_round_that_opens_to_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = kernels.open_sum
    monkeypatch.setattr(kernels, "open_sum", lambda *arguments: real(*arguments) + 1)
    with pytest.raises(ValueError, match="not the sum of what went in"):
        assay_secagg.whole_round(**SMALL, envelope="masks")


def test_too_few_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="does not come out of its shares"):
        assay_secagg.whole_round(**{**SMALL, "dropped": 3}, envelope="masks")


def test_masks_have_the_width_of_the_block_that_is_measured() -> None:
    assert word_bits(Lanes(16, 32, 3072).width) == assay_secagg._WORD_BITS
    reply: Any = assay_secagg.CALLS["masks"](count=1000, pairs=3)
    assert reply["seconds"] > 0


def test_vectors_are_the_same_on_every_side() -> None:
    a, b = gradient(3, 100, 1.0), gradient(3, 100, 8.0)
    assert np.allclose(8.0 * a, b)
    assert not np.array_equal(a, gradient(4, 100, 1.0))


class Recorded:
    """A context whose sides answer at once, and remember what they were asked."""

    runs = 3

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, object]]] = []

    def side(self, name: str) -> Any:
        calls = self.calls

        class One:
            def call(self, function: str, **arguments: object) -> Reply:
                calls.append((name, function, arguments))
                return Reply(1.0 if name == "assay" else 2.0)

        return One()

    def say(self, text: str) -> None:
        """Nobody waits."""


def test_both_sides_are_asked_for_the_same_in_turns() -> None:
    """`large` is a job between real processes here, and takes no turns."""
    for figure in SUITE.figures:
        if figure.peer is None or figure.name == "large":
            continue
        context = Recorded()
        assert figure.measure(context).ratio == pytest.approx(2.0)
        names = [name for name, _, _ in context.calls]
        assert names == ["assay", "flower"] * (len(names) // 2)
        for ours, peer in zip(context.calls[::2], context.calls[1::2], strict=True):
            assert ours[1] == peer[1]
            assert {k: v for k, v in ours[2].items() if k != "envelope"} == peer[2]


def test_bars_are_those_of_the_issue() -> None:
    bars = {figure.name: figure.bar and str(figure.bar) for figure in SUITE.figures}
    assert bars["masks"] == "ratio at least 5"
    assert bars["round-masks"] == "ratio at least 1"
    assert bars["round-paillier"] is None
    assert bars["scale"] == "ours at most 1.05"
    assert bars["owner"] == "ours at most 200"
    assert bars["requester"] == "ours at most 5000"
