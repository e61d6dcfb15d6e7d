"""Lists as a simulated node builds, verifies and settles them."""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING

from simulator import workers

from node.store.blobs import BlobRef
from node.work import apply as apply_tasks
from protocol.books import evidence, lists
from protocol.books.enrolment import cohort_order, draw_blocks
from protocol.books.evidence import RoundRecord
from protocol.books.trees import Merit
from protocol.errors import Malformed
from protocol.machines import effects, inputs
from protocol.machines.effects import BlobKind
from protocol.machines.machine import one_line
from protocol.requester.state import RequesterState
from protocol.wire.blobs import blob_digest
from protocol.wire.envelope import Envelope

if TYPE_CHECKING:
    from simulator.participant import Node


class Listing:
    """One node's work on lists."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def _store(self, content: bytes) -> tuple[bytes, int]:
        digest = blob_digest(content)
        self._node.blobs[digest] = content
        return digest, len(content)

    def blocks(self, job: bytes, round_: int) -> tuple[int, ...]:
        """Each member's block, of whoever has one by now."""
        context, state = self._node.contexts[job], self._node.state(job)
        held = state.groups if isinstance(state, RequesterState) else state.roots
        seeds = [each.seed for each in held if each.seed]
        return draw_blocks(context.require_cohort(), context.spec.cohort, seeds, round_)

    def assemble(self, job: bytes, effect: effects.Assemble) -> inputs.Input:
        node, context = self._node, self._node.contexts[job]
        envelopes, root = [node.messages[d] for d in effect.messages], b""
        if effect.kind is BlobKind.COHORT:
            ends = list(itertools.accumulate(effect.groups, initial=0))
            groups = [
                cohort_order(context.spec, job, envelopes[start:end])
                for start, end in itertools.pairwise(ends)
            ]
            data = lists.encode_cohort(groups)
            node.learn_cohort(job, data)
            root = node.contexts[job].require_cohort().root
        elif effect.kind is BlobKind.ROSTER:
            data = lists.encode_roster(envelopes)
        else:
            data, root = self._contributions(job, effect.round, envelopes)
        stored, place = self._store(data), (effect.round, effect.attempt)
        if effect.kind is BlobKind.COHORT:
            return inputs.AssembledCohort(node.now, *stored, root)
        if effect.kind is BlobKind.ROSTER:
            return inputs.AssembledRoster(node.now, *place, effect.block, *stored)
        return inputs.AssembledContributions(node.now, *place, *stored, root)

    def _contributions(
        self, job: bytes, round_: int, envelopes: list[Envelope]
    ) -> tuple[bytes, bytes]:
        listed = lists.contribution_list(self.blocks(job, round_), envelopes)
        cohort = self._node.contexts[job].require_cohort()
        return lists.encode_contributions(listed), lists.contributions_root(cohort, listed)

    def examine(self, job: bytes, effect: effects.Examine) -> inputs.Input:
        node = self._node
        data = node.blobs[effect.digest]
        look = {
            BlobKind.COHORT: self._examine_cohort,
            BlobKind.ROSTER: self._examine_roster,
            BlobKind.CONTRIBUTIONS: self._examine_contributions,
        }[effect.kind]
        try:
            return look(job, effect, data)
        except Malformed as error:
            about, reason = (effect.round, effect.attempt, effect.digest), one_line(str(error))
            if effect.kind is BlobKind.COHORT:
                return inputs.RejectedCohort(node.now, effect.digest, reason)
            if effect.kind is BlobKind.ROSTER:
                return inputs.RejectedRoster(node.now, *about, reason)
            return inputs.RejectedContributions(node.now, *about, reason)

    def _examine_cohort(self, job: bytes, effect: effects.Examine, data: bytes) -> inputs.Input:
        self._node.learn_cohort(job, data)
        cohort = self._node.contexts[job].require_cohort()
        index = cohort.index_of(self._node.peer)
        mine = b"" if index is None else cohort.members[index].digest
        count, now = len(cohort.members), self._node.now
        return inputs.ExaminedCohort(now, effect.digest, cohort.roots, count, mine)

    def _examine_roster(self, job: bytes, effect: effects.Examine, data: bytes) -> inputs.Input:
        node, context = self._node, self._node.contexts[job]
        cohort, blocks = context.require_cohort(), self.blocks(job, effect.round)
        place = node.place(job, effect.round, effect.attempt)
        entries = lists.examine_roster(
            context.spec, cohort, blocks, effect.block, place, effect.binding, data
        )
        node.executor.secrecy.open_shares(job, place, effect.block, entries)
        me = cohort.index_of(node.peer)
        mine = next((lists.ready_digest(e.ready) for e in entries if e.member == me), b"")
        members, about = tuple(e.member for e in entries), (effect.round, effect.attempt)
        return inputs.ExaminedRoster(node.now, *about, effect.digest, members, mine)

    def _examine_contributions(
        self, job: bytes, effect: effects.Examine, data: bytes
    ) -> inputs.Input:
        context = self._node.contexts[job]
        cohort, blocks = context.require_cohort(), self.blocks(job, effect.round)
        examine = lists.examine_contributions
        if self._node.world.settings.lean:  # a thousand owners find the same in the same list
            examine = functools.partial(self._node.world.once, effect.digest, examine)
        listed, root = examine(context.spec, cohort, blocks, data)
        me, mine, members = cohort.index_of(self._node.peer), b"", ()
        for each in listed.blocks:
            if (each.block, each.roster_digest) == (effect.block, effect.binding):
                members = each.members
                if me in members:
                    mine = each.batches[members.index(me)]
        count, about = len(lists.leaves(listed)), (effect.round, effect.attempt, effect.digest)
        return inputs.ExaminedContributions(self._node.now, *about, root, members, count, mine)

    # --- the books --------------------------------------------------------------------------

    def records(self, job: bytes) -> tuple[RoundRecord, ...]:
        state = self._node.state(job)
        assert isinstance(state, RequesterState)
        return state.records

    def rounds(self, job: bytes) -> list[tuple[lists.Leaf, ...]]:
        """What each round's commitment lists."""
        blobs = self._node.blobs
        return [
            lists.leaves(lists.decode_contributions(blobs[r.list_digest]))
            for r in self.records(job)
        ]

    def settle(self, job: bytes, effect: effects.Settle) -> inputs.Input:
        node, context = self._node, self._node.contexts[job]
        state = node.state(job)
        assert isinstance(state, RequesterState)
        cohort, pot = context.require_cohort().first(state.adopted), context.spec.payment.merit
        rounds, worths = self.rounds(job), None
        if effect.worth:
            record = BlobRef(effect.worth, len(node.blobs[effect.worth]))
            with workers.within(node, bytes):
                work = workers.work_of(node.jobs[job].spec)
                worths = apply_tasks.worths(work, record, len(cohort.members))
        books = evidence.close_books(
            job, context.spec_digest, pot, state, cohort, rounds, worths, effect.withheld
        )
        root = evidence.merit_tree(books).root.hash
        accounts = evidence.payouts(cohort, rounds)
        stored = self._store(evidence.encode_evidence(books))
        return inputs.Settled(node.now, *stored, root, accounts)

    def whole(self, job: bytes) -> tuple[list[list[tuple[bytes, bytes]]], list[Merit]]:
        """Everybody's account and leaf in each round, and the merit of a job that finished."""
        state = self._node.state(job)
        assert isinstance(state, RequesterState)
        cohort = self._node.contexts[job].require_cohort()
        rounds = [
            [(cohort.members[leaf.member].payout, lists.leaf_hash(cohort, leaf)) for leaf in each]
            for each in self.rounds(job)
        ]
        books = evidence.decode_evidence(self._node.blobs[state.evidence_digest])
        merit = [] if state.settling else [Merit(s.account, s.amount) for s in books.merit]
        return rounds, merit

    def proof(self, job: bytes, account: bytes) -> evidence.ClaimProof:
        """Everything that the requester's books prove for `account`."""
        state = self._node.state(job)
        assert isinstance(state, RequesterState)
        numbered = [
            (r.number, leaves) for r, leaves in zip(state.records, self.rounds(job), strict=True)
        ]
        books = evidence.decode_evidence(self._node.blobs[state.evidence_digest])
        cohort = self._node.contexts[job].require_cohort()
        finished = None if state.settling else books
        return evidence.Claims(cohort, numbered, finished).of(account)
