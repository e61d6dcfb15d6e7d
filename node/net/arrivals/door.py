"""Where dialled connections wait, once it is proved who they are, until they are taken in.

node/net/rules/turns.py decides; here are the tasks that wait.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import trio

from node.net.guard import Bucket
from node.net.rules import turns

log = logging.getLogger("assay.net")

#: So that a pause is none that rounding makes of nothing.
_LEAST_PAUSE: Final = 0.001


@dataclass(eq=False, slots=True)
class _Caller:
    """Who waits, and what became of it once `settled` is set."""

    who: turns.Waiting
    settled: trio.Event = field(default_factory=trio.Event)
    comes_in: bool = False


class Door:
    """The door of one node. `run` opens it, for as long as that runs."""

    def __init__(self, counters: Counter[str]) -> None:
        self._counters = counters
        self._callers: dict[Hashable, _Caller] = {}
        self._comes = trio.Event()
        self._debts = turns.Debts()
        #: Whether a peer goes before strangers.
        self.knows: Callable[[str], bool] = lambda peer: False

    async def wait(self, key: Hashable, address: str, peer: str) -> bool:
        """Wait for one's turn; whether it came. `key` is of this connection alone."""
        who = turns.Waiting(key, address, peer, trio.current_time(), self.knows(peer))
        caller = self._callers[key] = _Caller(who)
        try:
            owes = partial(self._debts.owes, now=who.since)
            goes = turns.too_many(self._who_waits(), turns.MAX_AT_DOOR, owes)
            if goes is not None:
                self._callers[goes].settled.set()
            self._comes.set()
            with trio.move_on_after(turns.DOOR_SECONDS):
                await caller.settled.wait()
            self._counters["door.sent_away"] += not caller.comes_in
            return caller.comes_in
        finally:
            del self._callers[key]

    def spoke(self, address: str, peer: str) -> None:
        """Whoever was taken in has spoken as a node of this network does."""
        self._debts.spoke(address, peer, trio.current_time())

    async def run(self) -> None:
        """Take in who waits, one after the other, until cancelled."""
        rate, burst = turns.TAKEN_IN_PER_SECOND, turns.TAKEN_IN_AT_ONCE
        pace = Bucket(rate, burst, trio.current_time(), burst)
        while True:
            now = trio.current_time()
            key = turns.next_turn(self._who_waits(), partial(self._debts.owes, now=now))
            if key is None:
                self._comes = trio.Event()
                await self._comes.wait()
            elif pace.allows(now):
                caller = self._callers[key]
                self._debts.came(caller.who.address, caller.who.peer, now)
                caller.comes_in = True
                caller.settled.set()
                await trio.sleep(turns.BREATH)
                await trio.sleep(turns.pause(trio.current_time() - now - turns.BREATH))
            else:
                await trio.sleep(max(_LEAST_PAUSE, (1 - pace.level) / rate))

    def _who_waits(self) -> list[turns.Waiting]:
        return [each.who for each in self._callers.values() if not each.settled.is_set()]
