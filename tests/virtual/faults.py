"""Faults by name, each listed once and injected at the ports: network, chain, disk, clock, process.

A fault draws what is left to chance from the world's seed and its own name, so that a seed means
the same with and without the others.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio

from protocol.wire.blobs import blob_digest
from virtual.clock import chance

if TYPE_CHECKING:
    from virtual.lives import Node
    from virtual.world import World

#: Most faults come and go within so many seconds of a world's beginning: jobs take a minute or two.
_BUSY: Final = 90.0

GWEI: Final = 10**9


@dataclass(frozen=True)
class Fault:
    """One fault: its name, what happens, how it is done."""

    name: str
    what: str
    inject: Callable[[World], None]
    #: Whether seeds draw it; one that ends every job alike is looked at by itself.
    drawn: bool = True


FAULTS: Final[dict[str, Fault]] = {}


def _fault(
    name: str, what: str, drawn: bool = True
) -> Callable[[Callable[[World, random.Random], None]], None]:
    def enter(inject: Callable[[World, random.Random], None]) -> None:
        assert name not in FAULTS
        FAULTS[name] = Fault(
            name, what, lambda world: inject(world, chance(world.seed, name)), drawn
        )

    return enter


def _now_and_then(
    world: World, dice: random.Random, every: tuple[float, float], call: Callable[[], None]
) -> None:
    """Again and again while the world is young."""

    def again() -> None:
        if trio.current_time() < _BUSY:
            call()
            world.calls.after(dice.uniform(*every), again)

    world.calls.after(dice.uniform(*every), again)


def _some(dice: random.Random, nodes: list[Node], share: float = 0.3) -> list[Node]:
    return dice.sample(nodes, max(1, round(share * len(nodes))))


# --- the network


@_fault("lossy", "gossip is lost, or comes twice")
def _(world: World, dice: random.Random) -> None:
    world.network.weather.loss = dice.uniform(0.05, 0.3)
    world.network.weather.duplicates = dice.uniform(0.0, 0.3)


@_fault("deaf", "no gossip of the job arrives at some owners, ever")
def _(world: World, dice: random.Random) -> None:
    deaf = {node.peer for node in _some(dice, world.owners)}
    world.network.deaf = deaf


@_fault("resets", "streams break before a request arrives, and after it was answered")
def _(world: World, dice: random.Random) -> None:
    world.network.weather.broken = dice.uniform(0.05, 0.25)


@_fault("far", "300 ms one way, 2 Mbit/s")
def _(world: World, dice: random.Random) -> None:
    world.network.weather.delay = 0.25, 0.35
    world.network.weather.bytes_per_second = 250e3


@_fault("unordered", "frames take 5 to 900 ms, and overtake each other")
def _(world: World, dice: random.Random) -> None:
    world.network.weather.delay = 0.005, 0.9


@_fault("one-way", "for a while nothing comes through in one direction between two nodes")
def _(world: World, dice: random.Random) -> None:
    def lose() -> None:
        node, way = dice.choice(world.owners).name, dice.random() < 0.5
        ends = trio.current_time() + dice.uniform(3, 20)

        def cut(origin: str, target: str) -> bool:
            one, other = (origin, target) if way else (target, origin)
            return (one, other) == (node, "r") and trio.current_time() < ends

        world.network.weather.cuts.append(cut)

    _now_and_then(world, dice, (4, 12), lose)


@_fault("partition", "for a while some nodes reach only each other")
def _(world: World, dice: random.Random) -> None:
    def part() -> None:
        island = {node.name for node in _some(dice, list(world.nodes.values()), dice.random() / 2)}
        ends = trio.current_time() + dice.uniform(3, 30)

        def cut(origin: str, target: str) -> bool:
            return (origin in island) != (target in island) and trio.current_time() < ends

        world.network.weather.cuts.append(cut)

    _now_and_then(world, dice, (15, 40), part)


# --- the chain, and what stands before it


@_fault("receipts-late", "receipts are null for 15 s after mining")
def _(world: World, dice: random.Random) -> None:
    for node in world.nodes.values():
        node.moods.receipts_late = 15.0


@_fault("logs-late", "logs of a block are missing for a while after its head")
def _(world: World, dice: random.Random) -> None:
    for node in world.nodes.values():
        node.moods.logs_late = dice.uniform(0.5, 8.0)


@_fault("busy", "a third of calls are answered 429 or 503, or hung up on")
def _(world: World, dice: random.Random) -> None:
    for node in world.nodes.values():
        node.moods.failing = 1 / 3


@_fault("slow-node", "calls to the chain take up to 1.5 s")
def _(world: World, dice: random.Random) -> None:
    for node in _some(dice, list(world.nodes.values()), 0.5):
        node.moods.latency = 0.05, 1.5


@_fault("down", "a chain node is down for a minute")
def _(world: World, dice: random.Random) -> None:
    def up(node: Node) -> None:
        node.moods.down = False

    def down(node: Node) -> None:
        node.moods.down = True
        world.calls.after(60.0, lambda: up(node))

    for node in _some(dice, list(world.nodes.values())):
        world.calls.after(dice.uniform(2, 50), lambda node=node: down(node))


@_fault("behind", "some chain nodes lag two blocks behind the others")
def _(world: World, dice: random.Random) -> None:
    for node in _some(dice, list(world.nodes.values()), 0.5):
        node.moods.behind = 2


@_fault("poor", "chain nodes know neither fee history nor receipts of a block")
def _(world: World, dice: random.Random) -> None:
    for node in world.nodes.values():
        node.moods.lacks = frozenset({"eth_feeHistory", "eth_getBlockReceipts"})


@_fault("dear", "a tip of 400 gwei is suggested")
def _(world: World, dice: random.Random) -> None:
    for node in world.nodes.values():
        node.moods.tip = 400 * GWEI


@_fault("uneven", "blocks come every 0.3 to 9 s, transactions wait up to 10 s")
def _(world: World, dice: random.Random) -> None:
    world.chain.habits.interval = 0.3, 9.0
    world.chain.habits.wait = 0.1, 10.0


@_fault("reorganised", "blocks are replaced, no deeper than what counts as final")
def _(world: World, dice: random.Random) -> None:
    depth = world.terms.finality
    _now_and_then(world, dice, (3, 12), lambda: world.chain.reorganise(dice.randint(1, depth)))


@_fault("reorganised-deep", "blocks are replaced, deeper than what counts as final", drawn=False)
def _(world: World, dice: random.Random) -> None:
    depth, when = world.terms.finality + dice.randint(1, 10), dice.uniform(8, 45)
    world.calls.after(when, lambda: world.chain.reorganise(depth))
    # A job that is over by then begins again, as far as the blocks go; and it would not be the one
    # that happens if the chain's clock had been set ahead before.
    world.lasts_until = max(world.lasts_until, when + 60)


@_fault("forgetful", "what waits in the pool is forgotten")
def _(world: World, dice: random.Random) -> None:
    _now_and_then(world, dice, (2, 6), lambda: world.chain.forget(0.5))


# --- processes and machines


def _crashes(world: World, dice: random.Random, node: Node) -> None:
    def crash() -> None:
        node.crash_at = node.acts + dice.randint(1, 30)
        node.crash_after = dice.random() < 0.5
        node.down_seconds = dice.choice((0.1, 1.0, 5.0, 30.0))

    _now_and_then(world, dice, (1, 25), crash)


@_fault("requester-killed", "SIGKILL of the requester, between any two of its acts")
def _(world: World, dice: random.Random) -> None:
    _crashes(world, dice, world.requester)


@_fault("owners-killed", "SIGKILL of owners, between any two of their acts")
def _(world: World, dice: random.Random) -> None:
    for node in _some(dice, world.owners):
        _crashes(world, dice, node)


@_fault("stopped", "SIGSTOP of a node for 90 s")
def _(world: World, dice: random.Random) -> None:
    def stop(node: Node) -> None:
        world.say(node.name, "is stopped for 90 s")
        node.stopped_until = trio.current_time() + 90.0

    node = dice.choice(list(world.nodes.values()))
    world.calls.after(dice.uniform(3, 50), lambda: stop(node))


@_fault("clocks", "clocks are some seconds off, and those of owners up to nine minutes late")
def _(world: World, dice: random.Random) -> None:
    for node in world.nodes.values():
        node.skew = dice.uniform(-2, 2)
    for node in _some(dice, world.owners):
        node.skew = dice.uniform(-540, 0)


@_fault(
    "clocks-far", "clocks are an hour off: the requester's, or some owners', or one that is set"
)
def _(world: World, dice: random.Random) -> None:
    whose = dice.choice(([world.requester], _some(dice, world.owners), list(world.nodes.values())))
    for node in whose:
        node.skew = dice.choice((-3600, 3600))

    def turn(node: Node) -> None:
        node.skew = dice.choice((-3600, 0, 3600))
        world.say(node.name, f"has its clock set {node.skew:.0f} s ahead")

    node = dice.choice(list(world.nodes.values()))
    world.calls.after(dice.uniform(5, 60), lambda: turn(node))


@_fault("disk-full", "no room for the store, for a while")
def _(world: World, dice: random.Random) -> None:
    def fill() -> None:
        node = dice.choice(list(world.nodes.values()))
        if node.store is None or not node.store.patient:
            return
        writer = node.store._writer
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count = {pages}")
        world.say(node.name, "has a full disk")

        def free() -> None:
            try:
                writer.execute("PRAGMA max_page_count = 1073741823")
            except sqlite3.ProgrammingError:
                return  # that life is over
            world.say(node.name, "has room again")

        world.calls.after(dice.uniform(2, 20), free)

    _now_and_then(world, dice, (5, 25), fill)


@_fault("store-locked", "another program holds the database, for a while")
def _(world: World, dice: random.Random) -> None:
    def lock() -> None:
        node = dice.choice(list(world.nodes.values()))
        if node.store is None or not node.store.patient or node.crash_at:
            return  # one that starts while its database is held ends, and says why
        # SQLite would wait, in the loop, which is the whole world's here.
        node.store._writer.execute("PRAGMA busy_timeout = 0")
        other = sqlite3.connect(node.home.database, timeout=0, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            other.close()  # it is held already
            return
        world.say(node.name, "has its database held")

        def free() -> None:
            other.close()
            world.say(node.name, "has its database free")

        world.calls.after(dice.uniform(2, 20), free)

    _now_and_then(world, dice, (5, 25), lock)


@_fault("blobs-damaged", "bits flip in blobs that another node has whole, and files go")
def _(world: World, dice: random.Random) -> None:
    def whole(node: Node, name: str) -> bool:
        path = node.home.blobs / name
        return path.is_file() and blob_digest(path.read_bytes()).hex() == name

    def damage() -> None:
        node = dice.choice(list(world.nodes.values()))
        held = sorted(path for path in node.home.blobs.iterdir() if path.is_file())
        if not held:
            return
        path, how = dice.choice(held), dice.choice(("flip", "cut", "gone"))
        others = (each for each in world.nodes.values() if each is not node)
        if not any(whole(each, path.name) for each in others):
            return
        world.say(node.name, f"{how}: blob {path.name[:8]}")
        content = path.read_bytes()
        if how == "gone":
            path.unlink()
        else:
            path.write_bytes(
                content[:-1] if how == "cut" else bytes([content[0] ^ 1]) + content[1:]
            )

    _now_and_then(world, dice, (1, 6), damage)


@_fault("workers-killed", "workers end in the middle of a computation, some many times in a row")
def _(world: World, dice: random.Random) -> None:
    for node in world.nodes.values():
        node.workers_die = 0.05


@_fault("slow-owners", "some owners compute 40 times more slowly")
def _(world: World, dice: random.Random) -> None:
    for node in _some(dice, world.owners):
        node.slowness = 40.0
