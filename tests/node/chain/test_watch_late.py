"""Events that a chain node shows late are told once: by a chain that is played by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from node.chain.cursor import Cursor
from node.chain.errors import Unreachable
from node.chain.events import ChainEvent, Claimed
from node.chain.replies import Head
from node.chain.watch import IDLE_SECONDS, Batch, Watcher


def hash_of(number: int, fork: int = 0) -> bytes:
    return bytes([fork]) + number.to_bytes(31, "big")


class Played:
    """Blocks without blooms. `hidden` blocks show no logs yet; a `fail` ends one call."""

    url = "played"
    nodes: tuple[tuple[str, str], ...] = ()

    def leave(self, error: Exception) -> None:
        """There is no other."""

    def __init__(self) -> None:
        self.number, self.fork_at, self.fork = 10, 99, 0
        self.hidden: set[int] = set()
        self.events: dict[int, ChainEvent] = {}
        self.fails: list[int] = []

    def hash(self, number: int) -> bytes:
        return hash_of(number, self.fork if number >= self.fork_at else 0)

    async def head(self) -> Head:
        return self._header(self.number)

    async def header(self, number: int) -> Head:
        if self.fails and number == self.fails[0]:
            self.fails.pop()
            raise Unreachable(self.url, "hung up")
        return self._header(number)

    def _header(self, number: int) -> Head:
        return Head(number, self.hash(number), self.hash(number - 1), number, 0)

    async def block_hash(self, number: int) -> bytes:
        return self.hash(number)

    async def logs(self, first: int, last: int) -> list[ChainEvent]:
        found = (n for n in range(first, last + 1) if n in self.events and n not in self.hidden)
        return [self.events[number] for number in found]

    async def logs_of(self, block_hash: bytes) -> list[ChainEvent]:
        shown = await self.logs(1, self.number)
        return [event for event in shown if event.block_hash == block_hash]

    def claims(self, number: int) -> None:
        said = Claimed(b"j" * 32, b"a" * 20, 1, 1, 0)
        self.events[number] = ChainEvent(number, self.hash(number), 0, b"t" * 32, said)


@pytest.fixture
def played() -> Played:
    return Played()


def watching(chain: Played) -> tuple[Watcher, list[Batch]]:
    batches: list[Batch] = []

    async def keep(batch: Batch) -> None:
        batches.append(batch)

    client: Any = chain
    return Watcher(client, Cursor(9), keep), batches


def told(batches: list[Batch]) -> list[int]:
    return [event.block for batch in batches for event in batch.events]


async def test_a_range_that_breaks_off_tells_a_late_event_once(played: Played) -> None:
    """Its doubts are forgotten with it: the range is read once more as a whole."""
    watcher, batches = watching(played)
    await watcher._look()
    played.claims(11)
    played.hidden, played.number, played.fails = {11}, 13, [12]
    with pytest.raises(Unreachable):
        await watcher._look()
    played.hidden = set()
    for _ in range(3):
        await watcher._look()
        played.number += 1
    assert told(batches) == [11]


async def test_a_reorganisation_takes_back_no_more_than_it_did(played: Played) -> None:
    """Though blocks were read several at a time: what lies below the fork stays final."""
    watcher, batches = watching(played)
    await watcher._look()
    played.number = 15
    await watcher._look()
    played.fork_at, played.fork, played.number = 14, 1, 16
    await watcher._look()
    assert [batch.reorg_to for batch in batches][-1] == 13


async def test_what_a_reorganised_chain_shows_late_is_told(played: Played) -> None:
    watcher, batches = watching(played)
    for played.number in (10, 11):
        await watcher._look()
    played.fork_at, played.fork, played.number = 11, 1, 12
    played.claims(11)
    played.hidden = {11}
    await watcher._look()
    assert [batch.reorg_to for batch in batches][-1] == 10
    played.hidden = set()
    played.number = 13
    await watcher._look()
    assert told(batches) == [11]


@pytest.mark.parametrize("later", [1, 200])
async def test_a_restart_forgets_no_block_that_may_show_more(
    played: Played, tmp_path: Any, later: int
) -> None:
    """A node that ends after a block without logs reads it again, however late it comes back."""
    from node.chain.cursor import load_cursor, save_cursor
    from node.store.store import Store

    batches: list[Batch] = []
    with Store.open(tmp_path / "assay.db") as store:

        async def keep(batch: Batch) -> None:
            batches.append(batch)
            await store.run(lambda tx: save_cursor(tx, batch.cursor))

        async def look() -> None:
            client: Any = played
            watcher = Watcher(client, await store.read(lambda tx: load_cursor(tx, 9)), keep)
            await watcher._look()

        await look()
        played.claims(11)
        played.hidden, played.number = {11}, 11
        await look()
        assert told(batches) == []
        played.hidden, played.number = set(), 11 + later
        for _ in range(3):
            await look()
            played.number += 1
        assert told(batches) == [11]
        assert 11 not in (await store.read(lambda tx: load_cursor(tx, 9))).unsure


async def test_machines_hear_an_event_once_though_it_comes_again(tmp_path: Any) -> None:
    """A job's past may hold an event that its chain block showed late."""
    from node.feeds.chain import ChainFollower
    from node.store import jobs
    from node.store.store import Store

    chain = Played()
    for number in (11, 12):
        chain.claims(number)
    first, second = chain.events[11], chain.events[12]
    with Store.open(tmp_path / "assay.db") as store:
        with store.transaction() as tx:
            jobs.save_contract_event(tx, first)
        services: Any = SimpleNamespace(store=store, engine=None)
        follower = ChainFollower(services)
        head: Any = None
        again = Batch(None, (first, second), head, Cursor(9))
        assert await follower._untold(again) == [second]
        # Above a reorganisation nothing stands of what was kept.
        moved = Batch(10, (first, second), head, Cursor(9))
        assert await follower._untold(moved) == [first, second]


def waiting(chain: Played, busy: list[bool]) -> tuple[Watcher, list[Batch]]:
    """A watcher that looks ten seconds apart while no job waits for an event."""
    watcher, batches = watching(chain)
    watcher._busy = lambda: busy[0]
    return watcher, batches


async def test_while_nothing_hangs_on_the_chain_blocks_are_not_asked_for_one_by_one(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    async def header(number: int) -> Head:
        asked.append(number)
        return played._header(number)

    monkeypatch.setattr(played, "header", header)
    for busy, most in ((False, 0), (True, 9)):
        watcher, _ = waiting(played, [busy])
        await watcher._look()
        asked.clear()
        played.number += 10
        await watcher._look()
        assert len(asked) == most


async def test_an_event_that_is_shown_late_to_one_that_waits_is_told(played: Played) -> None:
    watcher, batches = waiting(played, [False])
    await watcher._look()
    played.claims(12)
    played.hidden, played.number = {12}, 16
    await watcher._look()
    assert told(batches) == []
    played.hidden, played.number = set(), 20
    await watcher._look()
    assert told(batches) == [12]


async def test_one_that_waits_looks_when_it_is_hurried(
    played: Played, autojump_clock: trio.testing.MockClock
) -> None:
    busy = [False]
    watcher, _ = waiting(played, busy)
    began = trio.current_time()
    await watcher._rest(0.5)
    assert trio.current_time() - began == IDLE_SECONDS
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watcher._rest, 0.5)
        await trio.sleep(1)
        watcher.hurry()
    assert trio.current_time() - began == IDLE_SECONDS + 1
    busy[0] = True
    await watcher._rest(0.5)
    assert trio.current_time() - began == IDLE_SECONDS + 1.5
