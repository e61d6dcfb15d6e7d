"""Text for people: join lines, amounts, tables, and what they never do."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cli import measure_views, policy_views, views
from node.console import amounts
from node.console.show import Pairs, Table, _plain, clean
from node.control import examples as ex
from node.control import joinline
from protocol.amounts import parse_amount


def test_a_join_line_is_one_token_and_comes_back() -> None:
    line = joinline.parse(f"  {ex.STATUS.join_line}\n")
    assert line == joinline.JoinLine(ex.ADDRESS, ex.PEER_ID, 1337, ex.CONTRACT)
    assert str(line) == ex.STATUS.join_line
    assert " " not in str(line)
    sells = joinline.parse(f"{ex.STATUS.join_line}&channels={ex.OWNER}")
    assert sells == joinline.JoinLine(ex.ADDRESS, ex.PEER_ID, 1337, ex.CONTRACT, ex.OWNER)
    assert joinline.parse(str(sells)) == sells
    bare = joinline.parse(ex.ADDRESS)
    assert (bare.chain_id, bare.contract, str(bare)) == (None, None, ex.ADDRESS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12D3KooW",
        "/ip4/127.0.0.1/tcp/4001",
        ex.ADDRESS + "?chain=1337",
        ex.ADDRESS + "?chain=0&contract=" + ex.CONTRACT,
        ex.ADDRESS + "?chain=01&contract=" + ex.CONTRACT,
        ex.ADDRESS + "?contract=" + ex.CONTRACT + "&chain=1",
        ex.STATUS.join_line + "&x=1",
        ex.STATUS.join_line + "&channels=0x12",
        ex.ADDRESS + "?channels=" + ex.CONTRACT,
        ex.STATUS.join_line + " x",
        ex.ADDRESS.replace("/tcp", "?/tcp"),
        "/" + "a" * 2000 + ex.ADDRESS,
    ],
)
def test_what_is_no_join_line(text: str) -> None:
    with pytest.raises(ValueError, match="no join line"):
        joinline.parse(text)


@given(st.text(max_size=80))
def test_any_text_is_a_line_or_refused(text: str) -> None:
    try:
        line = joinline.parse(text)
    except ValueError:
        return
    assert joinline.parse(str(line)) == line


def test_a_line_for_elsewhere_is_named() -> None:
    line = joinline.parse(ex.STATUS.join_line)
    assert joinline.differs(line, 1337, ex.CONTRACT.upper().replace("0X", "0x")) == ""
    assert "chain 1337" in joinline.differs(line, 1, ex.CONTRACT)
    assert "0x" + "11" * 20 in joinline.differs(line, 1337, "0x" + "11" * 20)
    sells = joinline.parse(f"{ex.STATUS.join_line}&channels={ex.OWNER}")
    # Who sells nothing trains with whoever sells, and the other way round.
    assert joinline.differs(line, 1337, ex.CONTRACT, ex.OWNER) == ""
    assert joinline.differs(sells, 1337, ex.CONTRACT) == ""
    assert joinline.differs(sells, 1337, ex.CONTRACT, ex.OWNER) == ""
    assert "channel contract" in joinline.differs(sells, 1337, ex.CONTRACT, ex.CONTRACT)
    assert joinline.differs(joinline.parse(ex.ADDRESS), 1, "0x" + "11" * 20) == ""


@given(st.integers(0, 10**30))
def test_money_is_never_rounded(wei: int) -> None:
    assert parse_amount(amounts.money(wei)) == wei
    assert amounts.money(str(wei)) == amounts.money(wei)


@pytest.mark.parametrize(
    ("wei", "text"),
    [
        (0, "0 ether"),
        (1, "1 wei"),
        (10**9, "1 gwei"),
        (1500 * 10**9, "1500 gwei"),
        (10**18, "1 ether"),
        (2 * 10**15, "0.002 ether"),
        (10**18 + 1, "1000000000000000001 wei"),
    ],
)
def test_money(wei: int, text: str) -> None:
    assert amounts.money(wei) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3725, "1 h 2 min"),
        (1e6, "11 d 13 h"),
    ],
)
def test_spans(seconds: float, text: str) -> None:
    assert amounts.span(seconds) == text


def test_sizes() -> None:
    assert [amounts.size(n) for n in (0, 1023, 1024, 1536, 2**40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 KiB",
        "1.0 TiB",
    ]


@given(st.text(max_size=60))
def test_shown_text_stays_on_its_line(text: str) -> None:
    shown = clean(text)
    assert len(shown) == len(text)
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_tables_in_a_pipe_are_whole() -> None:
    table = Table(("a", "n"), [("x" * 300, "1"), ("y", "22")], right=frozenset({"n"}))
    assert _plain(table).splitlines() == [
        "a" + " " * 299 + "   n",
        "x" * 300 + "   1",
        "y" + " " * 299 + "  22",
    ]
    assert _plain(Table(("a",), [], empty="none yet")) == "none yet"
    assert _plain(Pairs([("name", "v"), ("", "w")])) == "name  v\n      w"


def test_a_price_floor_in_ether_is_shown_as_money() -> None:
    terms = [
        {"name": name, "value": value, "allowed": "", "meaning": ""}
        for name, value in (("price_floor", "1000000000000000"), ("token", "ether"))
    ]
    shown = _plain(policy_views.policy({"dataset": "a", "decided": True, "terms": terms})[0])
    assert "0.001 ether" in shown
    terms[1]["value"] = ex.OWNER
    shown = _plain(policy_views.policy({"dataset": "a", "decided": True, "terms": terms})[0])
    assert "1000000000000000" in shown


def test_an_event_shows_the_accuracy_it_carries() -> None:
    told = {"time": 0.0, "kind": "round-applied", "text": "round 0: 1 of 8 done", "facts": {}}
    assert views.event(told).endswith("round-applied     round 0: 1 of 8 done")
    measured = told | {"facts": {"accuracy": 0.93}}
    assert views.event(measured).endswith("1 of 8 done, accuracy 93.00 %")


def test_a_linear_models_measures_have_their_names() -> None:
    told = {"time": 0.0, "kind": "round-applied", "text": "round 0", "facts": {}}
    told["facts"] = {"r_squared": 0.8125, "rmse": 3.25, "loss": 0.01}
    assert views.event(told).endswith("round 0, R² 0.8125, RMSE 3.25")
    plain = dataclasses.asdict(ex.DETAIL.rounds[0])
    linear = plain | {"accuracy": None, "auc": None, "r_squared": 0.8125, "rmse": 3.25}
    linear["recall"] = {}
    none = linear | {"r_squared": None, "rmse": None, "loss": None}
    assert measure_views.columns([none]) == ("accuracy",)
    assert measure_views.columns([linear, none]) == ("R²", "RMSE")
    assert measure_views.cells(linear, ("R²", "RMSE")) == ("0.8125", "3.25")
    assert measure_views.recalls([linear]) == []
    assert measure_views.columns([plain, none]) == ("accuracy", "log loss", "AUC")
    assert measure_views.cells(none, ("accuracy", "log loss", "AUC")) == ("", "", "")
    (table,) = measure_views.recalls([plain, none])
    assert _plain(table).splitlines()[-1].split() == ["care", "74.00", "%"]
