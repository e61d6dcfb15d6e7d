"""One node: its home on disk, and the lives that it has between crashes.

A life is node.assembly's node in a cancel scope of its own. A crash ends it between two things that
others or the disk can see: every such act goes through `about_to_act` and `has_acted`.
"""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trio

from node import assembly
from node.chain.client import ChainClient
from node.chain.endpoints.endpoints import MAX_CALLS, Endpoints
from node.home.config import Config
from node.home.home import Home
from node.home.keys import Keys
from node.store.store import Store
from protocol.wire.identity import peer_id_text
from virtual.chain import CHAIN_ID, CONTRACT
from virtual.clock import chance, current
from virtual.network import Line
from virtual.rpc import Moods, Provider, codec
from virtual.workers import Hands

if TYPE_CHECKING:
    from virtual.world import World

#: Of each call to the chain, seconds.
_TIMEOUT: Final = 10.0
assert MAX_CALLS


class Node:
    """A node of a world. `line` is its network while it is up, `running` its parts."""

    def __init__(self, world: World, name: str, home: Path, keys: Keys, peer: bytes) -> None:
        self.world, self.name = world, name
        self.home, self.keys = Home(home), keys
        self.peer_bytes, self.peer = peer, peer_id_text(peer)
        self.account: bytes = keys.account
        self.config = Config(
            chain_url=Provider.shown,
            chain_id=CHAIN_ID,
            contract=CONTRACT,
            finality=world.finality,
            whole_rounds=world.terms.whole_rounds,
        )
        self.dice = chance(world.seed, f"node {name}")
        self.drawn = 0
        #: Seconds that this node's clock is ahead of the world's.
        self.skew = 0.0
        self.slowness = 1.0
        self.workers_die = 0.0
        #: Until when it does nothing at all (SIGSTOP), on the world's clock.
        self.stopped_until = 0.0
        self.moods = Moods()
        #: Seconds that calls of this node have taken and were not waited for yet.
        self.took: list[float] = []
        #: Acts so far, and the one before or after which it crashes; 0 for none.
        self.acts = 0
        self.crash_at = 0
        self.crash_after = False
        self.down_seconds = 2.0
        self.lives = 0
        self.line: Line | None = None
        self.running: assembly.Node | None = None
        self.store: Store | None = None
        self._scope: trio.CancelScope | None = None
        self._ended = trio.Event()
        self._born = trio.Event()
        self._deeds: list[Callable[[], Awaitable[Any]]] = []
        self._asked = trio.Event()
        #: Called before each act with its number: faults look here.
        self.hooks: list[Callable[[Node], None]] = []

    # --- acts -------------------------------------------------------------------------------

    async def about_to_act(self) -> None:
        """Before what others or the disk can see. A node that is dead does nothing more."""
        self.acts += 1
        for hook in self.hooks:
            hook(self)
        if self.acts == self.crash_at and not self.crash_after:
            self.crash()
        await self._unless_dead()

    async def has_acted(self) -> None:
        if self.acts >= self.crash_at > 0 and self.crash_after:
            self.crash()
        await self._unless_dead()

    async def _unless_dead(self) -> None:
        if self._scope is None or self._scope.cancel_called:
            await trio.sleep_forever()
        while self.stopped_until > trio.current_time():  # noqa: ASYNC110 - it may be stopped again
            await trio.sleep_until(self.stopped_until)

    # --- life -------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        return self.running is not None

    def crash(self) -> None:
        """End at once, as SIGKILL does, and start again in a while."""
        if self._scope is None or self._scope.cancel_called:
            return
        self.crash_at = 0
        self.world.say(self.name, f"crashes at act {self.acts}")
        self._scope.cancel()
        self.world.calls.after(self.down_seconds, self.start)

    def stop(self) -> None:
        """End for good."""
        if self._scope is not None:
            self._scope.cancel()

    def start(self) -> None:
        self.world.nursery.start_soon(self._live)

    async def born(self) -> None:
        """Wait until a life has begun."""
        await self._born.wait()

    async def ended(self) -> None:
        """Wait until the present life is over."""
        if self._scope is not None:
            await self._ended.wait()

    async def _live(self) -> None:
        await self.ended()
        current.set(self)
        self.lives += 1
        self._ended, self._asked = trio.Event(), trio.Event()
        if self.lives > 1:
            self.world.say(self.name, "starts again")
        try:
            with trio.CancelScope() as scope:
                self._scope = scope
                self._born.set()
                await self._run()
        except Exception as error:  # noqa: BLE001 - a node that ends is a finding
            self.world.broke(self, f"the node ends: {error!r}", error)
        finally:
            if self.line is not None:
                self.line.hang_up()
            self.line = self.running = None
            if self.store is not None:
                self.store.close()
            self.store, self._scope = None, None
            self._ended.set()

    async def _run(self) -> None:
        world = self.world
        self.store = Store.open(self.home.database)
        provider = Provider(world.chain, self.dice, self.took)
        provider.moods = self.moods
        shared = codec()
        endpoints = Endpoints([provider], _TIMEOUT, shared.reason, chance=self.dice.random)
        client = ChainClient(endpoints, shared, CHAIN_ID, CONTRACT)
        line, hands = Line(world.network, self), Hands(self)
        async with trio.open_nursery() as nursery:
            found = await assembly.assemble(
                self.home, self.config, self.keys, self.store, line, client, hands, trio.Event()
            )
            nursery.start_soon(line.run)
            self.line, self.running = line, found
            self._overhear(found)
            found.start(nursery)
            self.store.patient = True
            world.is_up(self)
            while True:
                self._asked = trio.Event()
                while self._deeds:
                    nursery.start_soon(self._deeds.pop(0))
                await self._asked.wait()

    def _overhear(self, found: assembly.Node) -> None:
        """What the node tells its user stands in the world's log."""
        publish = found.bus.publish

        def heard(kind: str, text: str = "", **more: Any) -> Any:
            facts = more.get("facts") or {}
            if kind == "phase":
                self.world.enters(self, text)
            place = "".join(f" {facts[each]}" for each in ("round", "attempt") if each in facts)
            self.world.say(self.name, f"{kind}{place} {text}")
            return publish(kind, text, **more)

        found.bus.publish = heard  # type: ignore[method-assign]

    def do(self, deed: Callable[[], Awaitable[Any]]) -> None:
        """Run a deed of its user in this node's tasks, now or when it is up."""
        self._deeds.append(deed)
        self._asked.set()


def remove(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
