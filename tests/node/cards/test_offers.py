"""What a full table of cards costs whoever looks into it: threads' time, and not the loop's."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from kits.books import CHAIN_ID, CONTRACT, Person
from kits.message_cases import CARD

from node.cards import offers
from node.cards.offers import CardCalls
from node.control import rpc, wire
from node.control.cards import results as r
from node.control.methods import METHODS
from protocol.cards.search import Query
from protocol.errors import InputError
from protocol.wire.codec import encode
from protocol.wire.envelope import Context

ME = Person(1)
COLUMNS = 100


def rows(count: int) -> list[tuple[bytes, int, bytes]]:
    """Cards of many columns, as the store has them."""
    columns = tuple(dataclasses.replace(CARD.columns[0], name=f"c{n}") for n in range(COLUMNS))
    until = int(time.time()) + 1000
    found = []
    for number in range(count):
        person = Person(100 + number)
        card = dataclasses.replace(CARD, columns=columns, title=f"{number}", valid_until=until)
        context = Context(CHAIN_ID, CONTRACT, bytes(32), 0, 0)
        found.append((person.peer, until - 9, encode(person.say(context, card))))
    return found


def calls_on(known: list[tuple[bytes, int, bytes]]) -> CardCalls:
    async def read(load: object) -> list[tuple[bytes, int, bytes]]:
        return known

    services: Any = SimpleNamespace(
        store=SimpleNamespace(read=read), swarm=SimpleNamespace(peer_id_bytes=ME.peer)
    )
    return CardCalls(services, SimpleNamespace())  # type: ignore[arg-type]


def aside(function: Callable[..., Any], threads: set[int]) -> Callable[..., Any]:
    def noted(*given: Any) -> Any:
        threads.add(threading.get_ident())
        return function(*given)

    return noted


async def test_cards_are_filtered_shown_and_encoded_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[int] = set()
    monkeypatch.setattr(Query, "meets", aside(Query.meets, threads))
    monkeypatch.setattr(offers, "_offer", aside(offers._offer, threads))
    monkeypatch.setattr(wire, "encode", aside(wire.encode, threads))
    monkeypatch.setattr(rpc, "_json", aside(rpc._json, threads))
    context: Any = SimpleNamespace(api=calls_on(rows(20)), while_wanted=lambda call: call())
    text = await METHODS["offers"].answer(context, {"columns": ["c7"], "limit": 5})
    assert threads
    assert threading.get_ident() not in threads
    reply = json.loads(text)
    assert [each["title"] for each in reply["offers"]] == ["19", "18", "17", "16", "15"]
    assert (reply["known"], reply["matching"]) == (20, 20)
    assert len(reply["offers"][0]["columns"]) == COLUMNS
    result = wire.decode(reply, r.Offers, "")
    assert json.loads(rpc._json(wire.encode(result, r.Offers))) == reply


async def test_one_call_at_a_time_looks_through_all_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = calls_on(rows(1))
    at_once: list[int] = []

    def slow(known: object, **_: object) -> None:
        at_once.append(calls._looking.borrowed_tokens)

    monkeypatch.setattr(offers, "_detail", slow)
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(calls.offer_show, "0x00")
    assert at_once == [1] * 4


async def test_one_card_is_shown_or_named_as_missing() -> None:
    known = rows(3)
    calls = calls_on(known)
    card = offers.card_id(known[1][0], CARD.slot).hex()
    assert (await calls.offer_show("0x" + card)).offer.title == "1"
    with pytest.raises(InputError, match="no card here begins"):
        await calls.offer_show("0x" + "0" * 64)
