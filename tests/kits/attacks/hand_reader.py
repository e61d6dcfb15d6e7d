"""What a requester can open with what it holds, computed as its worker does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from node.store.blobs import BlobRef, Blobs
from node.work import secagg as secagg_tasks
from node.work import tasks
from protocol.arith import kernels
from protocol.arith.numbers.fixedpoint import Integers
from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.arith.secagg import masks
from protocol.arith.secagg.sharing import Kind, reconstruct
from protocol.books import lists
from protocol.books.enrolment import Cohort
from protocol.books.lists import RosterEntry
from protocol.spec.job import JobSpec
from protocol.wire.envelope import Context

KEY_BITS = 2048


@cache
def paillier_key() -> tuple[bytes, bytes, bytes]:
    """(modulus, private, proof): one for all jobs of a test run. Its base is kept back: owners
    encrypt as under an ordinary key, and it decrypts that too."""
    key = tasks.generate_key(KEY_BITS, sealed=True)
    return key.modulus, key.private, key.proof


@cache
def _opened_key() -> PrivateKey:
    return PrivateKey.from_bytes(paillier_key()[1])


class Reader:
    """A requester's books of one job. Members are indexes into the cohort, all in one block."""

    spec: JobSpec
    cohort: Cohort
    work: tasks.Work
    blobs: Blobs
    blocks: tuple[int, ...]

    @property
    def threshold(self) -> int:
        return self.spec.threshold(len(self.cohort.members))

    def entries(self, roster: BlobRef) -> tuple[RosterEntry, ...]:
        return lists.roster_entries(self.cohort, self.blocks, 0, self.blobs.get(roster))

    def bound_at(self, place: Context, model: bytes, roster: BlobRef) -> secagg_tasks.Attempt:
        """What masks of an attempt at `place` are bound to, on this model, among this roster."""
        return secagg_tasks.Attempt(place, model, roster.digest, self.entries(roster))

    def secret(
        self,
        kind: Kind,
        of: int,
        roster: BlobRef,
        releases: Mapping[int, tuple[bytes, ...]],
    ) -> bytes | None:
        """A member's seed or mask key from released shares; None where they do not make it."""
        entries = self.entries(roster)
        index = next(i for i, e in enumerate(entries) if e.member == of)
        entry = entries[index]
        return reconstruct(
            kind,
            {member: shares[index] for member, shares in releases.items()},
            secagg_tasks._parts(entry.ready),
            self.threshold,
            self.cohort.members[of].peer,
            entry.ready.opening,
        ).secret

    def sum_of(
        self,
        bound: secagg_tasks.Attempt,
        batches: Mapping[int, bytes],
        releases: Mapping[int, tuple[bytes, ...]],
    ) -> Integers:
        """The opened sum of a block, as its requester computes it. Raises SumOutOfRange."""
        found = secagg_tasks.unmask(
            self.work,
            bound,
            {i: member.peer for i, member in enumerate(self.cohort.members)},
            tuple(sorted(batches)),
            self.threshold,
            releases,
        )
        assert found.blob is not None, found
        return self._open([batches[m] for m in sorted(batches)], self.blobs.get(found.blob))

    def alone(
        self,
        bound: secagg_tasks.Attempt,
        member: int,
        batch: bytes,
        seed: bytes,
        *,
        private: bytes | None = None,
        others: Sequence[tuple[int, bytes]] = (),
    ) -> Integers:
        """One member's integers: its batch without its self-mask and its masks with others.

        Those follow from its own mask key (`private`), or from all the others' (`others`: position
        and private key). Raises SumOutOfRange where they are not the ones.
        """
        envelope, binding = tasks.envelope_of(self.spec), secagg_tasks.binding_of(self.spec, bound)
        entry = next(e for e in bound.roster if e.member == member)
        count = self.spec.parameter_count
        if private is None:
            present = [(entry.position, entry.ready.mask_key, seed)]
            removal = kernels.unmask_vector(envelope, count, binding, present, others)
        else:
            shape = envelope.removal_shape(count)
            space = masks.Residues(self.spec.n)
            keys = [(e.position, e.ready.mask_key) for e in bound.roster]
            mask = masks.contribution_mask(
                space, shape.count, private, seed, entry.position, keys, binding
            )
            removal = kernels.encode_residues(shape, mask)
        return self._open([batch], removal)

    def _open(self, batches: Sequence[bytes], removal: bytes) -> Integers:
        envelope, count = tasks.envelope_of(self.spec), self.spec.parameter_count
        total = kernels.sum_batches(envelope, batches, count)
        return kernels.open_sum(_opened_key(), total, removal, envelope, len(batches), count)
