"""What must hold after every event, and what must be true when all is over.

Each is stated over what anybody can see: the chain's blocks, bytes that leave a node, rows that lie
in its store. None of them asks the machines whether they did well.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Final

import trio

from node.chain.intents import rows
from node.home.keys import ONCE_PREFIX
from node.perform import chain as chain_effects
from node.perform.messages import PROTOCOL
from node.store import outbox
from protocol import params
from protocol.books import lists
from protocol.machines.job import JobPhase
from protocol.owner.state import OwnerState
from protocol.requester.state import RequesterState
from protocol.wire.blobs import blob_digest
from protocol.wire.codec import decode
from protocol.wire.envelope import Frame, reopen_envelope
from protocol.wire.messages import Contribution, Release
from virtual.chain import Block
from virtual.ledger import Ledger, Revert, owed
from virtual.network import mark_of

if TYPE_CHECKING:
    from virtual.lives import Node
    from virtual.world import World

#: Looks, each five seconds after the last, until nothing may be left.
_PATIENCE: Final = 120


class Invariants:
    """The promises of one world; what breaks one is told to it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._said: dict[tuple[str, int, int], tuple[int, bytes]] = {}
        self._sent: dict[tuple[str, int, int], bytes] = {}
        world.network.spies.append(self._private)

    # --- after every event ------------------------------------------------------------------

    def block(self, block: Block) -> None:
        """Money in is money out; nothing is owed that is not held; what is committed can be
        claimed."""
        ledger, world = block.ledger, self._world
        held = sum(job.held for job in ledger.jobs.values())
        if sum(ledger.balances.values()) + held != world.chain.minted:
            world.broke(None, f"block {block.number}: ether was made or lost")
        for job in ledger.jobs.values():
            if job.held < owed(job, block.timestamp):
                world.broke(None, f"block {block.number}: a job owes more than it holds")
        for each in block.mined:
            for log in each.logs:
                if log.name == "Committed":
                    self._claimable(ledger, log.fields["round"], block.timestamp)

    def _claimable(self, ledger: Ledger, number: int, now: int) -> None:
        """Whoever stands in a committed list can be paid by what is on disk now."""
        world, requester = self._world, self._world.requester
        if requester.running is None:
            return
        services = requester.running.services
        machine = services.engine.machines[world.job]
        state, cohort = machine.state, machine.context.cohort
        assert isinstance(state, RequesterState)
        record = next((r for r in state.records if r.number == number), None)
        digest = record.list_digest if record else None
        if record is None and state.round is not None and state.round.number == number:
            digest = state.round.list_digest
        if not digest or cohort is None:
            world.broke(requester, f"round {number} is committed, and its list is not known")
            return
        listed = lists.leaves(lists.decode_contributions(self._blob(digest)))
        from protocol.books.evidence import Claims

        paid = ledger.jobs[world.job].paid
        for account in {cohort.members[leaf.member].payout for leaf in listed}:
            if paid.get(account, 0) >> number & 1:
                continue  # in the very chain block that holds the commitment again
            proof = Claims(cohort, [(number, listed)], None).of(account)
            args = (world.job, account, *chain_effects.claim_args(proof))
            try:
                ledger.apply(account, 0, now, "claim", args)
            except Revert as revert:
                world.broke(requester, f"round {number} cannot be claimed: {revert}")

    def _blob(self, digest: bytes) -> bytes:
        """From the requester's disk, or, where a fault damaged that, from whoever has it."""
        for node in self._world.nodes.values():
            path = node.home.blobs / digest.hex()
            content = path.read_bytes() if path.is_file() else b""
            if blob_digest(content) == digest:
                return content
        raise AssertionError(f"blob {digest.hex()} is nowhere")

    def _private(self, origin: Node, target: Node, protocol: str, data: bytes) -> None:
        """Of each member one kind of share, ever; no batch without its charge, nor two of one
        attempt."""
        if protocol != PROTOCOL:
            return
        envelope = reopen_envelope(decode(Frame, data, params.MAX_STREAM_MESSAGE_BYTES).envelope)
        body, place = envelope.body, envelope.context
        world = self._world
        world.say(origin.name, f"tells {target.name} {type(body).__name__} {mark_of(data)}")
        if isinstance(body, Release):
            key = origin.name, place.round, body.block
            said = place.attempt, hashlib.sha256(repr(body).encode()).digest()
            if self._said.setdefault(key, said) != said:
                world.broke(origin, f"two kinds of share in round {place.round}")
        elif isinstance(body, Contribution):
            place_ = origin.name, place.round, place.attempt
            if self._sent.setdefault(place_, body.batch_digest) != body.batch_digest:
                world.broke(origin, f"two batches in attempt {place.round}.{place.attempt}")
            if world.terms.noisy:
                self._charged(origin, place.round)

    def _charged(self, origin: Node, round_: int) -> None:
        assert origin.store is not None
        with origin.store.snapshot() as tx:
            found = tx.execute(
                "SELECT count(*) FROM privacy_charges WHERE job = ? AND round = ?",
                (self._world.job, round_),
            ).fetchone()[0]
        if not found:
            self._world.broke(origin, f"round {round_} was told and not charged")

    # --- when all is over -------------------------------------------------------------------

    async def end(self) -> None:
        """Everybody is paid; nothing is left to do, once what is on its way has arrived."""
        nodes = self._world.nodes.values()
        for _ in range(_PATIENCE):
            await trio.sleep(5.0)
            if not any(self._left_behind(node) for node in nodes):
                break
        self.paid()
        self._empty()
        for node in nodes:
            for each in self._left_behind(node):
                self._world.broke(node, each)

    def _empty(self) -> None:
        """A job that is over for its requester holds nothing: all is paid, and the rest is back."""
        job = self._world.chain.head.ledger.jobs.get(self._world.job)
        closed = self._world.final is not None and self._world.final.phase is JobPhase.CLOSED
        if closed and job is not None and job.held:
            self._world.broke(None, f"the job is closed, and {job.held} wei are held")

    def paid(self) -> None:
        """By the rate for every committed contribution, and the whole pot of a finished job."""
        world = self._world
        job = world.chain.head.ledger.jobs.get(world.job)
        assert world.requester.running is not None
        services = world.requester.running.services
        machine = services.engine.machines[world.job]
        state, cohort = machine.state, machine.context.cohort
        assert isinstance(state, RequesterState)
        if job is None:
            if state.phase is JobPhase.CLOSED:
                world.broke(world.requester, "closed, and never posted")
            return
        if len(state.records) != len(job.committed):
            world.broke(world.requester, "books and chain have other numbers of rounds")
            return
        earned: Counter[bytes] = Counter()
        for record, (_, _, model) in zip(state.records, job.committed, strict=True):
            if record.model_digest != model:
                world.broke(world.requester, f"round {record.number} is on another model")
            blob = self._blob(record.list_digest)
            assert cohort is not None
            for leaf in lists.leaves(lists.decode_contributions(blob)):
                earned[cohort.members[leaf.member].payout] += 1
        for account, number in sorted(earned.items()):
            if job.paid.get(account, 0).bit_count() < number:
                world.broke(None, f"0x{account.hex()[:8]} is not paid for {number} rounds")
        if state.phase is JobPhase.CLOSED and job.by_tree and job.merit_left:
            world.broke(None, f"the job is closed, and {job.merit_left} wei of merit are not paid")

    def _left_behind(self, node: Node) -> list[str]:
        """No effect that is not done, no intent that is not settled, no task, no secret of an
        attempt, no machine that broke."""
        world = self._world
        if node.running is None or node.store is None:
            return ["the node is down at the end"]
        services, found = node.running.services, []
        with node.store.snapshot() as tx:
            for each in outbox.pending(tx):
                found.append(f"an effect is not done: {each.effect[:24]!r}")
            for row in rows.live(tx, services.intents._owner):
                found.append(f"intent {row.id} is {row.state}: {row.error}")
        nursery = services.engine._nursery
        if nursery is None or nursery.child_tasks:
            found.append("a task of its engine is left behind")
        for machine in services.engine.machines.values():
            if machine.broken:
                found.append(f"its machine broke: {machine.broken}")
            state = machine.state
            if isinstance(state, OwnerState) and state.phase is JobPhase.CLOSED:
                job = world.chain.head.ledger.jobs[world.job]
                held = job.paid.get(state.payout, 0) & ((1 << 255) - 1)
                if held.bit_count() * job.rate > state.paid:
                    found.append("its books say less than the chain paid")
        secrets = [name for name in services.keys.sealed() if name.startswith(ONCE_PREFIX)]
        if secrets:
            found.append(f"secrets of attempts are left: {', '.join(secrets)}")
        return found
