"""A world: one requester, some owners, a chain, a network, and one seed for all of it.

outcome = World(Terms(seed=7, owners=20)).run()
assert outcome.broken == []
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import trio
from kits.daemons import clouds

from protocol.errors import AssayError
from protocol.machines.job import OVER, JobPhase
from protocol.requester.pay import awaits_rest
from protocol.requester.state import RequesterState
from virtual import clock, entropy, homes, workers
from virtual.chain import Block, Chain
from virtual.clock import Calls, chance, current
from virtual.invariants import Invariants
from virtual.lives import Node, remove
from virtual.network import Network
from virtual.once import remembered

_ETHER = 10**18
_count = itertools.count()


@dataclass(frozen=True)
class Terms:
    """What kind of job it is; the seed decides everything that is not said here."""

    seed: int = 1
    owners: int = 5
    #: Places that nobody takes: what they would have earned returns in the end.
    spare: int = 0
    rounds: int = 3
    block: int = 5
    envelope: str = "masks"
    merit_by: str = "equal"
    noisy: bool = False
    dropouts: int = 0
    finality: int = 2
    enrol_seconds: int = 12
    ready_seconds: int = 12
    contribute_seconds: int = 20
    unmask_seconds: int = 20
    commit_seconds: int = 60
    lifetime_seconds: int = 3600
    #: Whether the requester pays everybody in one transaction.
    whole_rounds: bool = True
    faults: tuple[str, ...] = ()
    #: Virtual seconds after which a job that is not over counts as stuck.
    patience: float = 5400.0


@dataclass
class Outcome:
    """What a world came to. `broken`: promises that did not hold; `log`: every line of it."""

    terms: Terms
    broken: list[str]
    log: list[str]
    phase: str
    rounds: int
    virtual_seconds: float
    processor_seconds: float
    errors: list[BaseException] = field(default_factory=list)

    @property
    def text(self) -> bytes:
        return "\n".join(self.log).encode()


class World:
    """Everything at once. The requester's name is r, owners are o0, o1, …"""

    def __init__(self, terms: Terms) -> None:
        self.terms, self.seed, self.finality = terms, terms.seed, terms.finality
        self.log: list[str] = []
        self.broken: list[str] = []
        self.errors: list[BaseException] = []
        self.dice = chance(terms.seed, "world")
        self.job = b""
        self.posts = True
        #: Of a node's name: the act at which it crashes, and whether after it.
        self.crashes: dict[str, tuple[int, bool]] = {}
        self.nodes: dict[str, Node] = {}
        #: Of a node's name: the phase of a round in which it is stopped once, and for how long.
        self.stops: dict[str, tuple[str, float]] = {}

    # --- telling ----------------------------------------------------------------------------

    def say(self, name: str, text: str) -> None:
        self.log.append(f"{trio.current_time():10.3f} {name:>3} {text}")

    def broke(self, node: Node | None, text: str, error: BaseException | None = None) -> None:
        """A promise that does not hold."""
        name = "-" if node is None else node.name
        self.say(name, f"BROKEN {text}")
        self.broken.append(f"{name}: {text}")
        if error is not None:
            self.errors.append(error)

    # --- running ----------------------------------------------------------------------------

    def run(self) -> Outcome:
        began = time.process_time()
        place = homes.folder() / f"world-{next(_count)}"
        names = ["r", *(f"o{number}" for number in range(self.terms.owners))]
        templates = {name: homes.template(name) for name in names}
        try:
            for name in names:
                shutil.copytree(templates[name], place / name)
            with self._listening(), entropy.seeded(), workers.prepared(), remembered():
                clock.run(self.seed, lambda: self._main(place, names))
        finally:
            remove(place)
        requester = self.final
        return Outcome(
            self.terms,
            self.broken,
            self.log,
            "" if requester is None else str(requester.phase.value),
            0 if requester is None else len(requester.records),
            self._ended,
            time.process_time() - began,
            self.errors,
        )

    async def _main(self, place: Path, names: list[str]) -> None:
        self._ended, self.final = 0.0, None
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            self._build(place, names)
            nursery.start_soon(self.calls.run)
            self._inject()
            for node in self.nodes.values():
                node.start()
            with trio.move_on_after(self.terms.patience) as patience:
                await self._over()
                await self._close()
                await self.checks.end()
            if patience.cancelled_caught:
                self.broke(None, f"the job is not over after {self.terms.patience:.0f} s")
                self._why_stuck()
            self._ended = trio.current_time()
            for node in self.nodes.values():
                node.stop()
            for node in self.nodes.values():
                await node.ended()
            nursery.cancel_scope.cancel()

    def _build(self, place: Path, names: list[str]) -> None:
        self.calls = Calls()
        #: Until when what a fault does may still go on, on the world's clock.
        self.lasts_until = 0.0
        self.network = Network(self.seed, self.calls, self.say)
        for name in names:
            keys = homes.open_keys(name, place / name)
            node = Node(self, name, place / name, keys, homes.peer_of(name))
            self.nodes[name] = node
            self.network.nodes[node.peer] = node
        self.requester = self.nodes[names[0]]
        self.owners = [self.nodes[name] for name in names[1:]]
        self.network.introduce()
        funds = {node.account: 100 * _ETHER for node in self.nodes.values()}
        self.chain = Chain(self.seed, self.calls, funds, lambda text: self.say("#", text))
        self.checks = Invariants(self)
        self.chain.watchers.append(self._block)

    def _block(self, block: Block) -> None:
        for mined in block.mined:
            for log in mined.logs:
                if log.name == "Posted":
                    self.job = log.fields["job"]
        self.checks.block(block)

    def _inject(self) -> None:
        from virtual.faults import FAULTS

        for name in self.terms.faults:
            FAULTS[name].inject(self)
        for name, (act, after) in self.crashes.items():
            self.nodes[name].crash_at, self.nodes[name].crash_after = act, after

    def enters(self, node: Node, phase: str) -> None:
        """A node's machine says that its round is in another phase."""
        if self.stops.get(node.name, ("", 0.0))[0] == phase:
            _, seconds = self.stops.pop(node.name)
            self.say(node.name, f"is stopped for {seconds:.0f} s")
            node.stopped_until = trio.current_time() + seconds

    def is_up(self, node: Node) -> None:
        """A life of a node begins. The requester's user posts, unless that was done before."""
        if node is not self.requester or not self.posts:
            return
        assert node.running is not None
        machines = node.running.services.engine.machines
        if machines:
            self.job = next(iter(machines))
        else:
            node.do(self._post)

    async def _post(self) -> None:
        assert self.requester.running is not None
        terms = self.terms
        text = clouds.spec(
            rounds=terms.rounds,
            ready=terms.ready_seconds,
            contribute=terms.contribute_seconds,
            finality=terms.finality,
            unmask=terms.unmask_seconds,
            owners=terms.owners,
            block=terms.block,
            dropouts=terms.dropouts if terms.noisy else None,
            envelope=terms.envelope,
        )
        for name, value in (
            ("enrol_seconds", terms.enrol_seconds),
            ("commit_seconds", terms.commit_seconds),
            ("lifetime_seconds", terms.lifetime_seconds),
        ):
            text = _with(text, name, value)
        most = f"max_owners = {terms.owners}\n"
        assert most in text
        text = text.replace(most, f"max_owners = {terms.owners + terms.spare}\n")
        text = text.replace('merit_by = "equal"', f'merit_by = "{terms.merit_by}"')
        try:
            await self.requester.running.api.job_post(text, "holdout")
        except AssayError as error:
            # Its user reads why, and tries again.
            self.say("r", f"is not posted: {error}")
            await trio.sleep(2.0)
            self.is_up(self.requester)

    # --- its end ----------------------------------------------------------------------------

    async def _over(self) -> None:
        """Until every machine has come to its end and nothing is left to do."""
        # Over is what all nodes' machines say.
        while not self.is_over() or trio.current_time() < self.lasts_until:  # noqa: ASYNC110
            await trio.sleep(1.0)

    async def _close(self) -> None:
        """Through the notice of `finish`, on the chain's clock, to the requester's last coin."""
        held = self.chain.head.ledger.jobs.get(self.job)
        if held is None or not held.finished:
            return
        self.checks.paid()
        self.chain.skip_to(held.closes)
        while not self._has_rest():  # noqa: ASYNC110 - the chain and its machine say it
            await trio.sleep(1.0)

    def _has_rest(self) -> bool:
        """Whether nothing comes back to the requester any more."""
        if self.requester.running is None:
            return False
        machine = self.requester.running.services.engine.machines[self.job]
        assert isinstance(machine.state, RequesterState)
        self.final = machine.state
        return machine.broken != "" or not awaits_rest(machine.context, machine.state)

    def is_over(self) -> bool:
        for node in self.nodes.values():
            if node.running is None:
                return False
            machine = node.running.services.engine.machines.get(self.job)
            if machine is None:
                if node is self.requester:
                    return False
                continue
            if machine.broken:
                continue
            state = machine.state
            if isinstance(state, RequesterState):
                self.final = state
                held = self.chain.head.ledger.jobs.get(self.job)
                lost = state.phase in (JobPhase.CANCELLED, JobPhase.FAILED)
                if lost and held is not None and held.held and not state.withdrawals:
                    return False
            if state.phase not in OVER:
                return False
        return True

    def _why_stuck(self) -> None:
        for node in self.nodes.values():
            machine = None
            if node.running is not None:
                machine = node.running.services.engine.machines.get(self.job)
            if machine is None:
                self.say(node.name, f"is {'up, without the job' if node.up else 'down'}")
            else:
                where = machine.state.round
                at = "" if where is None else f" {where.number}.{where.attempt} {where.phase.value}"
                self.say(node.name, f"stands at {machine.state.phase.value}{at} {machine.broken}")

    # --- homes ------------------------------------------------------------------------------

    @staticmethod
    def make_home(name: str, path: Path) -> None:
        """A home with the data set of a node of that name, by the calls that its user makes."""
        world, place = World(Terms(seed=0)), homes.folder() / "making"
        world.posts = False
        homes.blank(name, place / name)
        csv, dataset = homes.csv_of(name)
        holdout = name == "r"

        async def deed() -> None:
            running = world.requester.running
            assert running is not None
            none = None, None, None
            await running.api.data_add(dataset, str(csv), *none, holdout=holdout)
            if not holdout:
                await running.api.policy_set(dataset, homes.TAKES_ALL)
            world.requester.stop()

        async def main() -> None:
            async with trio.open_nursery() as world.nursery:
                world._build(place, [name])
                world.requester.do(deed)
                world.requester.start()
                await world.requester.born()
                await world.requester.ended()
                world.nursery.cancel_scope.cancel()

        with entropy.seeded(), workers.prepared():
            clock.run(0, main)
        assert not world.broken, world.broken
        shutil.move(place / name, path)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """The product's own log becomes part of the world's."""
        handler = _Handler(self)
        tops = [logging.getLogger(name) for name in ("assay", "node")]
        before = [(top.level, top.propagate) for top in tops]
        for top in tops:
            top.addHandler(handler)
            top.setLevel(logging.INFO)
            top.propagate = False
        try:
            yield
        finally:
            for top, (level, passes) in zip(tops, before, strict=True):
                top.removeHandler(handler)
                top.setLevel(level)
                top.propagate = passes


class _Handler(logging.Handler):
    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        node = current.get()
        name = "-" if node is None else node.name
        text = record.getMessage()
        # Homes have another path in each run.
        text = text.replace(str(homes.folder()), "…")
        text = re.sub(r"world-\d+", "world", text)
        text = re.sub(r"\d+ bytes are free", "some bytes are free", text)
        self._world.say(name, f"{record.levelname.lower()} {record.name}: {text}")
        if record.exc_info:
            error = record.exc_info[1]
            self._world.broke(node, f"{text}: {error!r}", error)


def _with(text: str, name: str, value: int) -> str:
    """A job's file with one of its timings set."""
    old = "lifetime_days" if name.startswith("lifetime") else name
    kept = [line for line in text.splitlines() if not line.startswith(f"{old} =")]
    kept.insert(kept.index("[timing]") + 1, f"{name} = {value}")
    return "\n".join(kept) + "\n"
