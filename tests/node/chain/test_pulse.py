"""When a chain is looked at: at its next block's moment, where it has a rhythm."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
import trio
import trio.testing

from node.chain.cursor import Cursor
from node.chain.pulse import Pulse
from node.chain.replies import Head
from node.chain.watch import Batch, Watcher

INTERVAL = 0.5


def follow(
    blocks: Iterator[tuple[float, int]], until: float, cost: float = 0.004
) -> tuple[list[float], int]:
    """How late each block was seen, and how many looks there were. `blocks` give when each is
    mined, and its timestamp."""
    pulse, now, looks, newest = Pulse(), 100.0, 0, -1
    mined = [next(blocks)]
    late: list[float] = []
    while now < until:
        while mined[-1][0] <= now:
            mined.append(next(blocks))
        head = len(mined) - 2
        looks, now = looks + 1, now + cost
        if head >= 0:
            if head > newest:
                late += [now - mined[number][0] for number in range(newest + 1, head + 1)]
                newest = head
            pulse.saw(head, mined[head][1], now)
        pause = pulse.pause(now, INTERVAL)
        assert 0.01 <= pause <= 4 * INTERVAL
        now += pause
    return late, looks


def steady(step: float, start: float = 101.37, clock: float = 1_700_000_000.0) -> Iterator:  # type: ignore[type-arg]
    """Blocks at every `step` seconds, whose timestamps are cut to whole seconds."""
    return ((start + step * n, int(clock + start + step * n)) for n in count())


@pytest.mark.parametrize("start", [101.0, 101.004, 101.37, 101.995])
def test_a_steady_chain_is_looked_at_when_its_block_comes(start: float) -> None:
    late, looks = follow(steady(1.0, start), 160.0)
    assert max(late[10:]) < 0.08
    assert looks < 2.4 * 60  # as many as before


def test_a_chain_of_twelve_seconds_takes_a_third_of_the_looks() -> None:
    late, looks = follow(steady(12.0), 1300.0)
    assert max(late[10:]) < 0.08
    assert looks < 1200 / INTERVAL / 2.5


def test_a_chain_that_drifts_is_followed() -> None:
    late, _ = follow(steady(1.013), 200.0)
    assert sorted(late[10:])[len(late) // 2] < 0.08
    assert max(late[10:]) < INTERVAL + 0.01


def test_where_a_block_is_missing_the_others_are_seen_as_before() -> None:
    def gaps() -> Iterator[tuple[float, int]]:
        return (each for n, each in enumerate(steady(2.0)) if n % 20 != 13)

    late, looks = follow(gaps(), 300.0)
    assert max(late) < INTERVAL + 0.01
    assert looks < 3 * 200


@pytest.mark.parametrize("step", [0.25, 0.05, 90.0])
def test_chains_without_such_a_rhythm_are_looked_at_as_before(step: float) -> None:
    _, looks = follow(steady(step), 700.0)
    assert looks == pytest.approx(600 / (INTERVAL + 0.004), abs=2)


def test_blocks_on_demand_are_looked_at_as_before() -> None:
    moments = [101.0, 101.1, 109.0, 109.2, 133.0, 134.7, 150.0, 151.0, 190.0, 300.0, 10_000.0]
    late, looks = follow(((at, int(at)) for at in moments), 250.0)
    assert max(late) < INTERVAL + 0.01
    assert looks == pytest.approx(150 / (INTERVAL + 0.004), abs=2)


def test_a_chain_that_goes_back_begins_anew_and_lies_cost_no_more_than_a_look_in_10_ms() -> None:
    pulse = Pulse()
    for number in range(6):
        pulse.saw(number, 1000 + number, 50.0 + number)
    assert pulse.pause(55.5, INTERVAL) == pytest.approx(0.48)
    pulse.saw(6, 10**30, 56.0)
    assert pulse.pause(56.1, INTERVAL) == INTERVAL
    for number in range(7, 12):
        pulse.saw(number, 0, 57.0)
    assert pulse.pause(57.0, INTERVAL) == INTERVAL
    pulse.saw(3, 1003, 58.0)
    assert pulse.pause(58.0, INTERVAL) == INTERVAL


class Steady:
    """A chain node whose chain mines every second of trio's clock, empty blocks."""

    url = "http://steady"

    async def check(self) -> None:
        await trio.lowlevel.checkpoint()

    async def head(self) -> Head:
        await trio.sleep(0.004)
        number = int(trio.current_time() - 0.37)
        return Head(number, _hash(number), _hash(number - 1), 1_700_000_000 + number, 0, bytes(256))

    async def header(self, number: int) -> Head:
        return Head(number, _hash(number), _hash(number - 1), 1_700_000_000 + number, 0, bytes(256))

    async def block_hash(self, number: int) -> bytes:
        return _hash(number)

    async def logs_of(self, block: bytes) -> list[Any]:
        return []

    async def logs(self, first: int, last: int) -> list[Any]:
        return []

    def may_have_logged(self, head: Head) -> bool:
        return False


def _hash(number: int) -> bytes:
    return number.to_bytes(32, "big", signed=True)


async def test_a_watcher_sees_a_steady_chains_blocks_soon(
    autojump_clock: trio.testing.MockClock,
) -> None:
    late: list[float] = []

    async def take(batch: Batch) -> None:
        late.append(trio.current_time() - 0.37 - batch.head.number)

    chain: Any = Steady()
    await trio.sleep(10 - trio.current_time() % 1)
    with trio.move_on_after(60):
        await Watcher(chain, Cursor(1), take, INTERVAL).run()
    assert len(late) > 50
    assert max(late[10:]) < 0.08
