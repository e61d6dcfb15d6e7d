"""Shelves between peers in memory: real stores and signatures, a network that obeys the test."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.lowlevel
import trio.testing
from kits.books import CHAIN_ID, CONTRACT, Person
from kits.message_cases import CARD

from node.cards import shelf
from node.cards.own import OwnCards
from node.cards.shelf import Shelf
from node.net.errors import Unreachable
from node.store import cards, catalogue
from node.store.store import Store
from protocol import params
from protocol.errors import InputError, Malformed, PeerError, StateError
from protocol.policy.policy import Policy
from protocol.tokens import NO_TOKENS
from protocol.wire.cards import Card, Withdrawn
from protocol.wire.codec import decode, encode
from protocol.wire.envelope import Context, Envelope, Frame, open_envelope
from protocol.wire.identity import peer_id_text
from protocol.wire.messages import AskCards, Body, ToldCards
from protocol.wire.topics import CARDS_TOPIC

FILE = """
title = "{title}"
valid_days = {days}

[[columns]]
name = "age"
kind = "number"
"""


class Node:
    """A node's shelf and own cards. `answers` stands in for what peers reply, by peer."""

    def __init__(self, person: Person, store: Store) -> None:
        self.person = person
        self.store = store
        self.answers: dict[bytes, Callable[[AskCards], Body]] = {}
        self.asked: list[tuple[bytes, int]] = []
        self.published: list[tuple[str, Envelope]] = []
        self.others: list[Person] = []
        self.blamed: list[str] = []
        self.thanked: list[str] = []
        swarm = SimpleNamespace(
            peer_id_bytes=person.peer,
            connected=lambda: [peer_id_text(p.peer) for p in self.others],
            request=self._request,
            publish=self._publish,
            blame=lambda peer, offence: self.blamed.append(offence),
            thank=self.thanked.append,
        )
        self.services: Any = SimpleNamespace(
            store=store,
            swarm=swarm,
            tokens=lambda: NO_TOKENS,
            domain=SimpleNamespace(chain_id=CHAIN_ID, contract=CONTRACT),
            place=place,
            keys=SimpleNamespace(sign_peer=person._peer_key.sign),
        )
        self.shelf = Shelf(self.services)
        self.own = OwnCards(self.services, self.shelf)

    async def _request(self, peer: str, protocol: str, data: bytes, timeout: float) -> bytes:
        frame = decode(Frame, data, params.MAX_STREAM_MESSAGE_BYTES)
        body = open_envelope(frame.envelope).body
        assert isinstance(body, AskCards)
        other = next(p for p in self.others if peer_id_text(p.peer) == peer)
        self.asked.append((other.peer, body.mark))
        if other.peer not in self.answers:
            raise Unreachable(peer, "nobody answers")
        reply = self.answers[other.peer](body)
        return encode(Frame(encode(other.say(place(), reply)), b""))

    async def _publish(self, topic: str, data: bytes) -> None:
        frame = decode(Frame, data, params.MAX_GOSSIP_BYTES)
        self.published.append((topic, open_envelope(frame.envelope)))

    async def titles(self) -> list[str]:
        rows = await self.store.read(lambda tx: cards.live_cards(tx, int(time.time())))
        bodies = [open_envelope(body).body for _, _, body in rows]
        return sorted(body.title for body in bodies if isinstance(body, Card))

    async def add(self, dataset: str, rows: int = 1500) -> None:
        found = catalogue.Dataset(
            dataset, "/d.csv", bytes(32), rows, 10, (("age", "number"), ("sex", "text")), 0.0
        )
        await self.store.run(lambda tx: catalogue.save_dataset(tx, found))


def place(job: bytes = bytes(32), *at: int, **changes: Any) -> Context:
    fields = {"chain_id": CHAIN_ID, "contract": CONTRACT} | changes
    return Context(job=job, round=0, attempt=0, **fields)


@asynccontextmanager
async def open_node(path: Path, number: int = 1) -> AsyncIterator[Node]:
    with Store.open(path / f"node{number}.db") as store:
        node = Node(Person(number), store)
        await node.shelf.open()
        yield node


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with open_node(tmp_path) as found:
        yield found


def card(by: Person, title: str = "a card", slot: int = 0, sequence: int = 5) -> Envelope:
    until = int(time.time()) + 1000
    body = dataclasses.replace(CARD, title=title, slot=slot, sequence=sequence, valid_until=until)
    return by.say(place(), body)


def framed(envelope: Envelope, attachment: bytes = b"") -> bytes:
    return encode(Frame(encode(envelope), attachment))


async def asks(node: Node, other: Person, reply: Callable[[AskCards], Body]) -> None:
    """The node asks this one peer, and is through with it."""
    node.others, node.answers = [other], {other.peer: reply}
    await node.shelf._ask(peer_id_text(other.peer))


async def test_cards_are_there_after_a_restart(tmp_path: Path) -> None:
    first, second = Person(11), Person(12)
    async with open_node(tmp_path) as node:
        assert await node.shelf.take([card(first, "one"), card(second, "two")]) == 2
        gone = Withdrawn(0, 6, int(time.time()) + 1000)
        assert await node.shelf.take([second.say(place(), gone)]) == 1
    async with open_node(tmp_path) as node:
        assert await node.titles() == ["one"]
        assert "not newer" in node.shelf.refusal(card(second, "two"))
        assert await node.shelf.take([card(second, "two")]) == 0
        assert await node.titles() == ["one"]


async def test_before_it_is_open_nothing_is_taken(tmp_path: Path) -> None:
    with Store.open(tmp_path / "node.db") as store:
        node = Node(Person(1), store)
        assert node.shelf.refusal(card(Person(11))) == "no cards are kept yet"
        assert await node.shelf.take([card(Person(11))]) == 0


async def test_what_is_new_is_told_in_pages_and_once(tmp_path: Path, node: Node) -> None:
    """All of it, to whoever asks from 0; after that, what came in since."""
    people = [Person(100 + number) for number in range(2 * params.MAX_TOLD_CARDS + 6)]
    await node.shelf.take([card(person, f"{person.peer.hex()}") for person in people])
    pages: list[int] = []

    def reply(body: AskCards) -> Body:
        told = replies[body.mark]
        pages.append(len(told.frames))
        return told

    replies: dict[int, ToldCards] = {}
    mark = 0
    while mark not in replies:
        replies[mark] = await node.shelf.told(mark)
        mark = replies[mark].mark
    async with open_node(tmp_path, 2) as asker:
        await asks(asker, node.person, reply)
        assert pages == [params.MAX_TOLD_CARDS] * 2 + [6, 0]
        assert await asker.titles() == await node.titles()
        await node.shelf.take([card(people[0], "replaced", sequence=6)])
        replies[mark] = await node.shelf.told(mark)
        replies[replies[mark].mark] = ToldCards(replies[mark].mark, ())
        pages.clear()
        await asks(asker, node.person, reply)
        assert pages == [1, 0]
        assert "replaced" in await asker.titles()


async def test_a_store_that_is_gone_tells_all_again(tmp_path: Path, node: Node) -> None:
    await node.shelf.take([card(Person(11), "one")])
    assert len((await node.shelf.told(10**9)).frames) == 1
    assert len((await node.shelf.told(1)).frames) == 0


async def test_what_a_liar_tells_is_dropped_one_by_one(node: Node) -> None:
    liar, honest = Person(50), Person(51)
    good = card(honest, "honest")
    numbers = dataclasses.replace(
        CARD,
        columns=tuple(dataclasses.replace(CARD.columns[0], name=f"{n:064}") for n in range(200)),
    )
    frames = (
        b"\xff",
        framed(honest.say(place(chain_id=1), good.body)),
        framed(honest.say(place(b"\x01" * 32), good.body)),
        framed(dataclasses.replace(good, signature=bytes(64))),
        framed(liar.say(place(), AskCards(0))),
        framed(good, b"attached")[: params.MAX_CARD_BYTES],
        framed(liar.say(place(), numbers))[: params.MAX_CARD_BYTES + 16],
        framed(good),
    )
    told = [ToldCards(7, frames), ToldCards(7, ())]
    await asks(node, liar, lambda body: told.pop(0))
    assert await node.titles() == ["honest"]
    assert node.blamed == ["a told card that is none"]
    assert len(node.asked) == 1, "whoever lies is not asked for more"


async def test_a_peer_that_tells_nothing_new_is_left(node: Node) -> None:
    """A page that brings nothing, or does not bring the asker on, is the last."""
    liar = Person(50)
    same = framed(card(liar))
    await asks(node, liar, lambda body: ToldCards(body.mark + 1, (same,)))
    assert [mark for _, mark in node.asked] == [0, 1]
    assert len(node.thanked) == 1
    fresh = iter(range(60, 100))
    await asks(node, liar, lambda body: ToldCards(2, (framed(card(Person(next(fresh)))),)))
    assert [mark for _, mark in node.asked[2:]] == [2]
    assert len(await node.titles()) == 2


async def test_a_peer_that_never_ends_is_left_after_a_minute(
    node: Node, mock_clock: trio.testing.MockClock
) -> None:
    """It has news each time, and is slow about it."""
    slow = Person(50)
    fresh = iter(range(100, 1000))

    async def trickle(peer: str, protocol: str, data: bytes, timeout: float) -> bytes:
        mock_clock.jump(9)
        await trio.lowlevel.checkpoint()
        return await node._request(peer, protocol, data, timeout)

    node.services.swarm.request = trickle
    node.others = [slow]
    node.answers[slow.peer] = lambda body: ToldCards(
        body.mark + 1, (framed(card(Person(next(fresh)))),)
    )
    await node.shelf._ask(peer_id_text(slow.peer))
    assert len(node.asked) == 6
    assert len(await node.titles()) == 6, "what was told in time is kept"


async def test_what_has_ended_goes_while_a_peer_is_asked(
    node: Node,
    nursery: trio.Nursery,
    mock_clock: trio.testing.MockClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(*_: object) -> bytes:
        await trio.sleep_forever()

    await node.shelf.take([card(Person(11), "ended")])
    node.services.swarm.request = never
    node.others = [Person(50)]
    later = int(time.time()) + 2000
    monkeypatch.setattr(shelf, "_VISIT_SECONDS", 1e9)
    monkeypatch.setattr(shelf, "seconds_now", lambda: later)
    nursery.start_soon(node.shelf.run)
    await settled()
    mock_clock.jump(600)
    end = time.monotonic() + 20
    while await node.store.read(cards.card_entries):
        assert time.monotonic() < end, "it stays"


async def test_pages_are_told_to_one_peer_at_a_pace(node: Node) -> None:
    """A question is small, its answer half a MiB; each peer has a pace of its own."""
    await node.shelf.take([card(Person(11), "one")])
    for _ in range(params.TOLD_PAGES_AT_ONCE):
        reply = decode(Frame, await node.shelf.answer("greedy", 0), 10_000)
        told = open_envelope(reply.envelope)
        assert isinstance(told.body, ToldCards)
        assert (told.sender, len(told.body.frames)) == (node.person.peer, 1)
    with pytest.raises(PeerError, match="too many questions for cards"):
        await node.shelf.answer("greedy", 0)
    await node.shelf.answer("another", 0)


async def test_an_answer_that_is_none_costs_its_peer(node: Node) -> None:
    async def garbage(*_: object) -> bytes:
        return b"\xff"

    node.services.swarm.request = garbage
    with pytest.raises(Malformed):
        await node.shelf._ask(peer_id_text(Person(50).peer))
    assert node.blamed == ["an answer about cards that is none"]


async def test_another_kind_of_answer_is_an_error(node: Node) -> None:
    with pytest.raises(Exception, match="it answers with AskCards"):
        await asks(node, Person(50), lambda body: AskCards(0))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what threads of the store do; the mock clock stands still meanwhile."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "it does not come"
        await trio.lowlevel.checkpoint()


async def settled() -> None:
    """Every task sleeps, or waits for a thread that will be through in a moment."""
    for _ in range(20):
        await trio.testing.wait_all_tasks_blocked(0.002)


async def test_each_peer_is_asked_soon_and_not_always(
    node: Node, nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    silent, speaks, late = Person(50), Person(51), Person(52)
    node.others = [silent, speaks]
    node.answers = {speaks.peer: lambda body: ToldCards(body.mark, ())}
    nursery.start_soon(node.shelf.run)
    for _ in range(6):
        mock_clock.jump(2)
        await settled()
    assert sorted(peer for peer, _ in node.asked) == sorted([silent.peer, speaks.peer])
    node.others.append(late)
    mock_clock.jump(2)
    await until(lambda: late.peer in [peer for peer, _ in node.asked])
    for count in (4, 5, 6):
        await settled()
        mock_clock.jump(120)
        await until(lambda n=count: len(node.asked) >= n)  # type: ignore[misc]


# --- own cards


async def test_nothing_is_said_by_itself(
    node: Node, nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    await node.add("ward")
    node.others = [Person(50)]
    nursery.start_soon(node.own.run)
    for _ in range(3):
        await settled()
        mock_clock.jump(params.CARD_AGAIN_SECONDS)
    await settled()
    assert node.published == []
    assert await node.own.cards() == ()


async def test_a_card_is_stored_then_said_and_said_again(
    tmp_path: Path, nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    async with open_node(tmp_path) as node:
        await node.add("ward")
        shown = await node.own.publish("ward", FILE.format(title="t", days=3), True)
        assert (shown.published, node.published) == (False, [])
        assert await node.titles() == []
        own = await node.own.publish("ward", FILE.format(title="t", days=3), False)
        assert own.card.rows == 3
        [(topic, envelope)] = node.published
        assert (topic, envelope.body, envelope.sender) == (CARDS_TOPIC, own.card, node.person.peer)
        assert await node.titles() == ["t"]
    async with open_node(tmp_path) as node:
        nursery.start_soon(node.own.run)
        for _ in range(3):
            mock_clock.jump(2)
            await settled()
        assert node.published == [], "nobody is there to hear"
        node.others = [Person(50)]
        mock_clock.jump(2)
        await until(lambda: len(node.published) == 1)
        await settled()
        mock_clock.jump(params.CARD_AGAIN_SECONDS)
        await until(lambda: len(node.published) == 2)
        assert [said for _, said in node.published] == [envelope] * 2
        [again] = await node.own.cards()
        assert (again.dataset, again.card) == ("ward", own.card)


async def test_replacing_and_withdrawing(node: Node) -> None:
    await node.add("ward")
    first = await node.own.publish("ward", FILE.format(title="first", days=3), False)
    second = await node.own.publish("ward", FILE.format(title="second", days=4), False)
    assert second.card.slot == first.card.slot
    assert second.card.sequence > first.card.sequence
    assert await node.titles() == ["second"]
    await node.own.withdraw("ward")
    gone = node.published[-1][1].body
    assert isinstance(gone, Withdrawn)
    assert gone.sequence > second.card.sequence
    assert gone.valid_until >= second.card.valid_until
    assert await node.titles() == []
    with pytest.raises(InputError, match="has no card"):
        await node.own.withdraw("ward")
    # Its withdrawal is told as long as the card could be.
    told = await node.shelf.told(0)
    assert [open_envelope(decode(Frame, f, 9000).envelope).body for f in told.frames] == [gone]


async def test_a_shorter_card_takes_another_slot(node: Node) -> None:
    """Whoever never heard the longer one's end could be told it again."""
    await node.add("ward")
    long = await node.own.publish("ward", FILE.format(title="long", days=90), False)
    short = await node.own.publish("ward", FILE.format(title="short", days=1), False)
    assert short.card.slot != long.card.slot
    bodies = [envelope.body for _, envelope in node.published]
    assert [type(body) for body in bodies] == [Card, Withdrawn, Card]
    assert isinstance(bodies[1], Withdrawn)
    assert (bodies[1].slot, bodies[1].valid_until) == (long.card.slot, long.card.valid_until)
    assert await node.titles() == ["short"]


async def test_a_home_has_so_many_cards(node: Node) -> None:
    for number in range(params.MAX_CARDS_OF_PEER):
        await node.add(f"ward-{number}")
        await node.own.publish(f"ward-{number}", FILE.format(title=f"{number}", days=3), False)
    await node.add("ward")
    with pytest.raises(StateError, match="all 16 slots"):
        await node.own.publish("ward", FILE.format(title="t", days=3), False)
    await node.own.withdraw("ward-7")
    await node.own.publish("ward", FILE.format(title="t", days=4), False)
    assert len(await node.titles()) == params.MAX_CARDS_OF_PEER


async def test_a_card_goes_with_its_data_set(node: Node, nursery: trio.Nursery) -> None:
    await node.add("ward")
    await node.own.publish("ward", FILE.format(title="t", days=3), False)
    await node.store.run(lambda tx: catalogue.delete_dataset(tx, "ward"))
    node.others = [Person(50)]
    nursery.start_soon(node.own.run)
    await until(lambda: isinstance(node.published[-1][1].body, Withdrawn))
    assert await node.titles() == []


async def test_a_home_without_its_store_withdraws_what_it_is_told_of(
    node: Node, nursery: trio.Nursery
) -> None:
    """It said so before it was restored from its keys; nobody here means it any more."""
    assert await node.shelf.take([card(node.person, "of old", slot=3)]) == 1
    node.others = [Person(50)]
    nursery.start_soon(node.own.run)
    await until(lambda: bool(node.published))
    gone = node.published[0][1].body
    assert isinstance(gone, Withdrawn)
    assert gone.slot == 3
    assert await node.titles() == []


async def test_what_a_card_may_not_say(node: Node) -> None:
    await node.add("ward")
    with pytest.raises(InputError, match="there is no data set 'other'"):
        await node.own.publish("other", FILE.format(title="t", days=3), False)
    text = FILE.format(title="t", days=3).replace("age", "weight")
    with pytest.raises(InputError, match="has no column 'weight'"):
        await node.own.publish("ward", text, False)
    assert node.published == []


async def test_a_card_has_a_largest_size(node: Node) -> None:
    names = [f"{number:064}" for number in range(200)]
    columns = tuple((name, "number") for name in names)
    wide = catalogue.Dataset("wide", "/d.csv", bytes(32), 10, 10, columns, 0.0)
    await node.store.run(lambda tx: catalogue.save_dataset(tx, wide))
    listed = ", ".join(f'"{name}"' for name in names)
    text = f'title = "t"\n[[columns]]\nnames = [{listed}]\nkind = "number"'
    with pytest.raises(InputError, match="8192 are allowed"):
        await node.own.publish("wide", text, False)


async def test_a_policy_fills_in_and_warns(node: Node) -> None:
    await node.add("ward")
    policy = dataclasses.replace(Policy.closed(), decided=True, purposes=("care",), price_floor=7)
    await node.store.run(lambda tx: catalogue.save_policy(tx, "ward", policy))
    own = await node.own.publish("ward", FILE.format(title="t", days=3), True)
    assert (own.card.purposes, own.card.rate, own.notes) == (("care",), 7, ())
    text = 'purposes = ["sales"]\nleast_rate = "6"' + FILE.format(title="t", days=3)
    told = (await node.own.publish("ward", text, True)).notes
    assert [note.partition(" ")[2] for note in told] == [
        "names purposes that its policy does not take",
        "least rate is below the policy's price_floor",
    ]


def test_a_card_that_is_too_large_does_not_open() -> None:
    with pytest.raises(Malformed, match="at most 8192"):
        open_envelope(bytes(8193), params.MAX_CARD_BYTES)
