"""What is timed for proofs passes, and opens to what went in; bars are the issue's."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.arith.proofs.verify import Outcome, Verdict
from scripts.benchmarks.figures import Reply
from scripts.benchmarks.proof import SUITE
from scripts.benchmarks.sides import assay_proofs

SMALL: dict[str, Any] = {"owners": 8, "threshold": 5, "values": 50}


def test_a_round_opens_to_the_sum_of_what_went_in() -> None:
    reply: Any = assay_proofs.CALLS["round"](**SMALL, dropped=2)
    assert set(reply["parts"]) == {
        "prove",
        "seal",
        "open boxes",
        "verify",
        "decide",
        "release",
        "open",
    }
    assert reply["seconds"] == pytest.approx(sum(reply["parts"].values()))
    assert min(reply["parts"].values()) > 0


def test_a_round_that_opens_to_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = assay_proofs.sum_shares
    monkeypatch.setattr(assay_proofs, "sum_shares", lambda t, held: real(t, held[1:]))
    with pytest.raises(ValueError, match="not the sum of what went in"):
        assay_proofs.whole_round(**SMALL, dropped=2)


def test_a_round_in_which_a_proof_does_not_pass_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failed = Verdict(Outcome.FAILED, frozenset(), frozenset(), "by hand")
    monkeypatch.setattr(assay_proofs, "decide", lambda *arguments: failed)
    for call, more in (("round", {"dropped": 2}), ("verify", {})):
        with pytest.raises(ValueError, match="did not pass: by hand"):
            assay_proofs.CALLS[call](**SMALL, **more)


def test_too_few_that_stay_are_refused() -> None:
    with pytest.raises(ValueError, match="did not pass: 5 words, 6 are needed"):
        assay_proofs.whole_round(**SMALL, dropped=3)


def test_bytes_are_those_of_pieces_and_words() -> None:
    reply: Any = assay_proofs.CALLS["verify"](**SMALL)
    terms = assay_proofs.statement(50, 8, 5)
    counts = reply["counts"]
    assert counts["shares"] + counts["proofs"] == 8 * (terms.piece_bytes + 32)
    assert counts["words"] == 8 * terms.word_bytes
    assert assay_proofs.CALLS["prove"](**SMALL)["seconds"]


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
                counts = {"shares": 100, "proofs": 4, "words": 3}
                return Reply(3.0 if name == "proofs" else 1.0, counts=counts)

        return One()

    def say(self, text: str) -> None:
        """Nobody waits."""


def test_figures_ask_for_the_sizes_of_the_issue() -> None:
    found: dict[str, Any] = {}
    asked: dict[str, dict[str, object]] = {}
    for figure in SUITE.figures:
        if figure.name == "demo-proof":
            continue  # it runs demos, and asks no side
        context = Recorded()
        found[figure.name] = figure.measure(context)
        asked[figure.name] = context.calls[0][2]
        assert all(call[2] == asked[figure.name] for call in context.calls)
    assert found["round-shares"].ratio == pytest.approx(1 / 3)
    assert found["proof-bytes"].ours == pytest.approx(0.07)
    sizes = {"-650": (650, 5), "": (19_210, 8), "-100000": (100_000, 8)}
    for call in ("prove", "verify"):
        for ending, size in sizes.items():
            terms = asked[call + ending]
            assert (terms["values"], terms["owners"]) == size
    assert asked["round-shares"] == {
        "owners": 8,
        "dropped": 2,
        "threshold": 5,
        "values": 19_210,
    }


def test_bars_are_those_of_the_issue() -> None:
    assert {figure.name: str(figure.bar) for figure in SUITE.figures} == {
        "prove-650": "ours at most 0.1",
        "prove": "ours at most 1",
        "prove-100000": "ours at most 5",
        "verify-650": "ours at most 0.02",
        "verify": "ours at most 0.2",
        "verify-100000": "ours at most 1",
        "proof-bytes": "ours at most 0.1",
        "round-shares": "ratio at least 0.333333",
        "demo-proof": "ours at most 1.5",
    }
