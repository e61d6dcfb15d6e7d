"""The demo's wait for what no contribution is owed: it ends with the money, or without it."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest

from node.demo import notice
from node.demo.screen import PlainScreen


def job(returns_at: float | None) -> dict[str, Any]:
    return {"money": {"awaited": "5" if returns_at else "0", "returns_at": returns_at}}


def world(answers: list[dict[str, Any]], moved: list[int]) -> Any:
    ledger = SimpleNamespace(now=lambda: 1000, advance=moved.append)
    user = SimpleNamespace(ask=lambda *_, **__: answers.pop(0))
    return SimpleNamespace(ledger=ledger, requester=user)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "_POLL_SECONDS", 0.0)


def test_the_clock_goes_on_by_the_notice_and_the_screen_says_so() -> None:
    out, moved = io.StringIO(), list[int]()
    answers = [job(8200.0), job(None)]
    shown = notice.wait_out("0x", job(8200.0), world(answers, moved), PlainScreen(out))
    assert (shown, moved, answers) == (job(None), [7200], [])
    assert "keeps 5 wei for 2 h more" in out.getvalue()
    assert "its clock is set ahead" in out.getvalue()


def test_nothing_is_said_where_nothing_is_awaited() -> None:
    out, moved = io.StringIO(), list[int]()
    assert notice.wait_out("0x", job(None), world([], moved), PlainScreen(out)) == job(None)
    assert (out.getvalue(), moved) == ("", [])


def test_what_never_comes_is_left_to_the_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice, "_SECONDS", 0.0)
    stays = job(8200.0)
    assert notice.wait_out("0x", stays, world([], []), PlainScreen(io.StringIO())) == stays
