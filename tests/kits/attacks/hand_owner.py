"""An enrolled owner whose every word the test chooses: honest until it is told to lie.

It computes what an honest owner computes, with the daemon's own functions, and then says that, or
whatever a test puts in its place. All owners of its job make one block.
"""

from __future__ import annotations

import dataclasses
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from kits.attacks.hostile import Hostile, opened
from kits.daemons.processes import until
from node.data.datasets import import_file
from node.store.blobs import BlobRef, Blobs
from node.work import secagg as secagg_tasks
from node.work import tasks
from node.work.secagg import MadeSecrets
from protocol.books.enrolment import Cohort
from protocol.books.lists import (
    RosterEntry,
    contributions_root,
    decode_contributions,
    examine_cohort,
    examine_roster,
)
from protocol.spec.job import decode_spec
from protocol.wire.blobs import blob_digest
from protocol.wire.envelope import Context, Envelope, opening_digest
from protocol.wire.messages import (
    Ask,
    Body,
    Committed,
    Contribution,
    Enrolled,
    Freeze,
    Open,
    Ready,
    Release,
    Told,
)

#: The one block of the job.
BLOCK = 0


@dataclass
class Attempt:
    """One attempt of a round, as a hand-driven owner sees it."""

    opening: Open
    place: Context
    made: MadeSecrets = field(repr=False)
    roster_digest: bytes = b""
    roster: tuple[RosterEntry, ...] = ()

    @property
    def where(self) -> tuple[int, int]:
        return self.place.round, self.place.attempt

    @property
    def ready(self) -> Ready:
        """What an honest owner says."""
        return self.made.ready


class HandOwner:
    """Enrolled at one requester; see the module."""

    def __init__(self, peer: Hostile, job: bytes, spec: bytes, folder: Path) -> None:
        self.peer = peer
        self.job = job
        self.spec = decode_spec(spec)
        self._work = tasks.Work(folder / "blobs", spec)
        self._work.blobs.mkdir()
        self.blobs = Blobs(self._work.blobs)
        self._cohort: Cohort | None = None
        peer.swarm.serve_blobs(self.blobs)

    @property
    def cohort(self) -> Cohort:
        assert self._cohort is not None, "no opening was followed yet"
        return self._cohort

    @property
    def me(self) -> bytes:
        return self.peer.swarm.peer_id_bytes

    @property
    def member(self) -> int:
        found = self.cohort.index_of(self.me)
        assert found is not None, "the cohort leaves this owner out"
        return found

    @property
    def mates(self) -> tuple[int, ...]:
        """The other members."""
        return tuple(m for m in range(len(self.cohort.members)) if m != self.member)

    async def enrol(self) -> None:
        """Take the job, truthfully, and hear that it stands."""
        await self.peer.say(self.peer.enrolment(self.job), self.job)
        await until(lambda: bool(self.peer.heard), 20, "the enrolment is answered")
        assert isinstance(self.peer.heard[-1].body, Enrolled)

    async def opened(self, after: tuple[int, int]) -> Attempt:
        """Follow the next attempt: its model, its members, and secrets that nobody knows yet."""
        envelope = await self._told(Open, after)
        opening, place = envelope.body, envelope.context
        assert isinstance(opening, Open)
        await self._fetch(opening.model_digest, opening.model_size)
        if self._cohort is None:
            cohort = await self._fetch(opening.cohort_digest, opening.cohort_size)
            self._cohort = examine_cohort(self.spec, self.job, cohort)
        members = tuple((m.peer, m.sealing_key) for m in self.cohort.members)
        made = secagg_tasks.make_secrets(
            place,
            opening_digest(place, opening),
            self.me,
            members,
            self.spec.threshold(len(members)),
        )
        return Attempt(opening, place, made)

    async def say_ready(self, attempt: Attempt, **lies: Any) -> Body | None:
        """Its Ready; `lies` replace fields of it."""
        return await self._say(dataclasses.replace(attempt.ready, **lies), attempt)

    async def frozen(self, attempt: Attempt) -> Attempt:
        """The block's roster, once it is frozen: it holds, whatever this owner said."""
        freeze = (await self._told(Freeze, _before(attempt))).body
        assert isinstance(freeze, Freeze)
        (roster,) = freeze.rosters
        data = await self._fetch(roster.digest, roster.size)
        blocks = (BLOCK,) * len(self.cohort.members)
        attempt.roster = examine_roster(
            self.spec, self.cohort, blocks, BLOCK, attempt.place, freeze.opening, data
        )
        attempt.roster_digest = roster.digest
        return attempt

    async def ready(self, after: tuple[int, int]) -> Attempt:
        """Follow the next attempt up to its frozen roster, honestly."""
        attempt = await self.opened(after)
        await self.say_ready(attempt)
        return await self.frozen(attempt)

    async def contribute(self, attempt: Attempt, batch: bytes, **lies: Any) -> Body | None:
        """A header for `batch`, which rides along; `lies` replace fields of the header."""
        header = Contribution(
            BLOCK, self.member, attempt.roster_digest, blob_digest(batch), len(batch)
        )
        told = dataclasses.replace(header, **lies)
        return await self._say(told, attempt, b"" if lies else batch)

    async def train(self, attempt: Attempt, csv: Path) -> bytes:
        """An honest batch."""
        model = BlobRef(attempt.opening.model_digest, attempt.opening.model_size)
        masked = secagg_tasks.Attempt(
            attempt.place, attempt.opening.model_digest, attempt.roster_digest, attempt.roster
        )

        def work() -> bytes:
            copy = import_file(csv, self._work.blobs).copy
            rows = tasks.Rows(self._work.blobs, copy.digest, "clouds")
            gradient = tasks.Gradient(rows, model, secrets.token_bytes(32))
            done = secagg_tasks.contribution(
                self._work, gradient, masked, attempt.made.secret, self.member, self.me
            )
            assert done.blob is not None
            return self.blobs.get(done.blob)

        return await trio.to_thread.run_sync(work)

    async def shares(self, attempt: Attempt) -> Release:
        """What an honest owner releases, once the requester has told of its commitment.

        Waits for no finality: the requester keeps what comes early.
        """
        committed = (await self._told(Committed, _before(attempt))).body
        assert isinstance(committed, Committed)
        data = await self._fetch(committed.list_digest, committed.list_size)
        found = decode_contributions(data)
        assert contributions_root(self.cohort, found) == committed.root
        (listed,) = found.blocks
        peers = {member: m.peer for member, m in enumerate(self.cohort.members)}
        private, _ = self.peer.sealing_key
        opened_ = secagg_tasks.open_shares(
            private, attempt.place, attempt.roster, peers, self.member, self.member
        )
        kinds = [0 if entry.member in listed.members else 1 for entry in attempt.roster]
        shares = (opened_[e.member][k] for e, k in zip(attempt.roster, kinds, strict=True))
        return Release(committed.root, BLOCK, tuple(shares))

    async def release(self, attempt: Attempt, **lies: Any) -> Body | None:
        """Its shares; `lies` replace fields of the message."""
        honest = await self.shares(attempt)
        return await self._say(dataclasses.replace(honest, **lies), attempt)

    async def _told(self, kind: type[Body], after: tuple[int, int]) -> Envelope:
        """The requester's newest word of a kind, once it is about a later attempt than `after`."""
        while True:
            reply = await self.peer.say(Ask(), self.job)
            assert isinstance(reply, Told)
            for frame in reply.frames:
                found = opened(frame)
                place = found.context
                if isinstance(found.body, kind) and (place.round, place.attempt) > after:
                    return found
            await trio.sleep(0.2)

    async def _fetch(self, digest: bytes, size: int) -> bytes:
        ref = BlobRef(digest, size)
        if not self.blobs.holds(ref):
            sink = self.blobs.sink(ref)
            await self.peer.swarm.fetch(digest, size, [self.peer.victim], sink)
        return self.blobs.get(ref)

    async def _say(self, body: Body, attempt: Attempt, attachment: bytes = b"") -> Body | None:
        return await self.peer.say(body, self.job, *attempt.where, attachment)


def _before(attempt: Attempt) -> tuple[int, int]:
    """A place that only this attempt and later ones come after."""
    round_, number = attempt.where
    return round_, number - 1
