"""An attempt's secrets as a simulated node keeps, shares and releases them.

`vault` is what the daemon seals and never backs up. `given` is the durable record of which kind of
share of whom has left: it is written before the message that carries the shares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator import workers
from simulator.entropy import stream

from node.work import secagg as secagg_tasks
from protocol.arith.secagg.agreement import new_key, public_of
from protocol.books import lists
from protocol.books.enrolment import block_members
from protocol.books.lists import RosterEntry
from protocol.errors import FatalError, Malformed
from protocol.machines import effects, inputs
from protocol.machines.machine import one_line
from protocol.wire.envelope import Context
from protocol.wire.messages import Release

if TYPE_CHECKING:
    from simulator.participant import Node


class Secrecy:
    """One node's secrets, by job and attempt."""

    def __init__(self, node: Node) -> None:
        self._node = node

    # --- keys -------------------------------------------------------------------------------

    def sealing_key(self, job: bytes) -> bytes:
        """The job's public sealing key; made once."""
        node, name = self._node, _sealing(job)
        if name not in node.vault:
            node.vault[name] = new_key(stream(f"{node.world.settings.seed} {node.name} {name}"))[0]
        return public_of(node.vault[name])

    def forget_sealing_key(self, job: bytes) -> None:
        self._node.vault.pop(_sealing(job), None)

    def forget(self, job: bytes, round_: int, attempt: int) -> None:
        self._node.vault.pop(attempt_name(job, round_, attempt), None)

    def of(self, job: bytes, round_: int, attempt: int) -> bytes:
        """An attempt's secrets; empty where they are forgotten: too late to mask."""
        return self._node.vault.get(attempt_name(job, round_, attempt), b"")

    def make(self, job: bytes, effect: effects.MakeSecrets) -> inputs.Input:
        """Fresh ones, whenever they are asked for."""
        node, context = self._node, self._node.contexts[job]
        if _sealing(job) not in node.vault:
            why = "the job's sealing key is not here: shares for it could not be opened"
            return inputs.SecretsFailed(node.now, effect.round, effect.attempt, why)
        cohort = context.require_cohort()
        blocks = node.executor.listing.blocks(job, effect.round)
        members = [cohort.members[m] for m in block_members(blocks, effect.block)]
        entropy = node.entropy("secrets")
        with workers.within(node, entropy):
            made = secagg_tasks.make_secrets(
                node.place(job, effect.round, effect.attempt),
                effect.opening,
                node.peer,
                tuple((m.peer, m.sealing_key) for m in members),
                context.spec.threshold(len(members)),
            )
        node.vault[attempt_name(job, effect.round, effect.attempt)] = made.secret
        node.made.append(made.secret)
        ready = node.tricks.ready(made.ready)
        return inputs.SecretsMade(node.now, effect.round, effect.attempt, ready)

    # --- shares -----------------------------------------------------------------------------

    def _peers(self, job: bytes) -> dict[int, bytes]:
        members = self._node.contexts[job].require_cohort().members
        return {index: member.peer for index, member in enumerate(members)}

    def open_shares(
        self, job: bytes, place: Context, block: int, roster: tuple[RosterEntry, ...]
    ) -> dict[int, tuple[bytes, bytes]]:
        """This node's shares of every roster member. Raises Malformed, naming who sealed wrong."""
        node = self._node
        private = node.vault.get(_sealing(job))
        if private is None:
            raise Malformed("the job's sealing key is not here")
        me = node.contexts[job].require_cohort().index_of(node.peer)
        if me is None:
            raise FatalError("a node that is not in the cohort opens no boxes")
        whole = block_members(node.executor.listing.blocks(job, place.round), block)
        peers = self._peers(job)
        return secagg_tasks.open_shares(private, place, roster, peers, me, whole.index(me))

    def roster(self, job: bytes, round_: int, block: int, digest: bytes) -> tuple[RosterEntry, ...]:
        """A roster that was examined, or made, here."""
        node = self._node
        blocks = node.executor.listing.blocks(job, round_)
        cohort = node.contexts[job].require_cohort()
        return lists.roster_entries(cohort, blocks, block, node.blobs[digest])

    def release(self, job: bytes, effect: effects.SendRelease) -> Release | None:
        """The shares to send; None where a restored node has nothing to open its boxes with."""
        node, place = self._node, (job, effect.round, effect.attempt)
        body = node.releases.get(place)
        if body is None:
            roster = self.roster(job, effect.round, effect.block, effect.roster_digest)
            try:
                shares = self.open_shares(job, node.place(*place), effect.block, roster)
            except Malformed as error:
                node.world.note(node.name, f"  releases nothing: {error}")
                return None
            chosen = []
            for entry in roster:
                kind = "seed" if entry.member in effect.listed else "key"
                held = node.given.setdefault(
                    (job, effect.round, entry.member), (effect.attempt, kind)
                )
                if held != (effect.attempt, kind):
                    node.world.note(
                        node.name, f"  gave {held} of member {entry.member}, not {kind}"
                    )
                    return None
                chosen.append(shares[entry.member][kind == "key"])
            body = Release(effect.root, effect.block, tuple(chosen))
            node.releases[place] = body
        return node.tricks.release(body)

    def unmask(self, job: bytes, effect: effects.ComputeUnmask) -> inputs.Input:
        """Put released shares together, as the daemon's worker does."""
        node, context = self._node, self._node.contexts[job]
        cohort = context.require_cohort()
        blocks = node.executor.listing.blocks(job, effect.round)
        attempt = secagg_tasks.Attempt(
            node.place(job, effect.round, effect.attempt),
            effect.model_digest,
            effect.roster_digest,
            self.roster(job, effect.round, effect.block, effect.roster_digest),
        )
        releases = {}
        for digest in effect.releases:
            envelope = node.messages[digest]
            member = cohort.index_of(envelope.sender)
            assert isinstance(envelope.body, Release)
            assert member is not None
            releases[member] = envelope.body.shares
        with workers.within(node, node.entropy("unmask")), node.world.timed(node):
            found = secagg_tasks.unmask(
                workers.work_of(node.jobs[job].spec),
                attempt,
                self._peers(job),
                effect.listed,
                context.spec.threshold(len(block_members(blocks, effect.block))),
                releases,
            )
        digest = b"" if found.blob is None else found.blob.digest
        node.world.note(node.name, one_line(f"  unmasks: bad {found.bad} liars {found.liars}"))
        place = effect.round, effect.attempt, effect.block
        return inputs.Unmasked(node.now, *place, digest, found.good, found.bad, found.liars)


def _sealing(job: bytes) -> str:
    return f"once.sealing.{job.hex()}"


def attempt_name(job: bytes, round_: int, attempt: int) -> str:
    """Under which name an attempt's secrets lie in the vault."""
    return f"once.attempt.{job.hex()}.{round_}.{attempt}"
