"""Secure aggregation in workers: an attempt's secrets, masks and shares.

Plain functions over bytes; the large ones run in workers. Rosters come in as
`protocol.books.lists.RosterEntry`, verified before. Secrets are arguments and results, never
logged, and go nowhere but into the vault and the worker that masks with them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from node.store.blobs import BlobRef
from node.work import pool, tasks
from protocol.books.lists import RosterEntry
from protocol.errors import Malformed
from protocol.layout.packing import batch_maker
from protocol.spec.job import JobSpec
from protocol.wire.codec import encode
from protocol.wire.envelope import Context
from protocol.wire.messages import Ready

if TYPE_CHECKING:
    from protocol.arith.secagg.masks import Binding
    from protocol.arith.secagg.sharing import Kind, ReadyParts


@dataclass(frozen=True, slots=True)
class Attempt:
    """Where masks hold: this attempt, on this model, among this roster."""

    place: Context
    model_digest: bytes
    roster_digest: bytes
    roster: tuple[RosterEntry, ...]


@dataclass(frozen=True, slots=True)
class Unmasking:
    """The result of unmasking: the removal's blob, or none; members whose releases were good or
    bad; and members whose own shares do not make their secret. Members by index."""

    blob: BlobRef | None
    good: tuple[int, ...]
    bad: tuple[int, ...]
    liars: tuple[int, ...]


@dataclass(frozen=True)
class MadeSecrets:
    """An attempt's secrets, for the vault alone, and the Ready that tells of them."""

    ready: Ready
    secret: bytes = field(repr=False)


def binding_of(spec: JobSpec, attempt: Attempt) -> Binding:
    """All that the attempt's masks are bound to."""
    from protocol.arith.secagg.masks import Binding

    place = attempt.place
    return Binding(
        place.chain_id,
        place.contract,
        place.job,
        place.round,
        place.attempt,
        attempt.model_digest,
        attempt.roster_digest,
        spec.modulus,
    )


def new_sealing_key() -> tuple[bytes, bytes]:
    """A job's X25519 key for shares: (private, public)."""
    from protocol.arith.secagg.agreement import new_key

    return new_key(secrets.token_bytes)


def make_secrets(
    place: Context,
    opening: bytes,
    me: bytes,
    members: tuple[tuple[bytes, bytes], ...],
    threshold: int,
) -> MadeSecrets:
    """Fresh secrets of one attempt, shared among `members` (peer id, sealing key) of the block.

    Raises Malformed for a sealing key to which nothing can be sealed.
    """
    from protocol.arith.secagg.sharing import make_ready

    made, parts = make_ready(secrets.token_bytes, opening, encode(place), me, members, threshold)
    ready = Ready(
        opening,
        parts.mask_key,
        parts.share_key,
        parts.seed_hash,
        parts.seed_hashes,
        parts.key_hashes,
        parts.boxes,
    )
    return MadeSecrets(ready, made.to_bytes())


def open_shares(
    private: bytes,
    place: Context,
    roster: Sequence[RosterEntry],
    peers: Mapping[int, bytes],
    me: int,
    position: int,
) -> dict[int, tuple[bytes, bytes]]:
    """This node's share of every roster member's seed and mask key, by member.

    `peers` are peer ids by member, `position` this member's place in the whole block. Raises
    Malformed, naming the member whose box holds another share than it hashed.
    """
    from protocol.arith.secagg.sharing import check_box

    found = {}
    for entry in roster:
        try:
            found[entry.member] = check_box(
                private,
                _parts(entry.ready),
                position,
                entry.ready.opening,
                encode(place),
                peers[entry.member],
                peers[me],
            )
        except Malformed as error:
            raise Malformed(f"member {entry.member}: {error}") from None
    return found


def contribution(
    work: tasks.Work,
    gradient: tasks.Gradient,
    attempt: Attempt,
    secret: bytes,
    me: int,
    peer: bytes,
) -> tasks.Result:
    """An owner's masked batch of one attempt. `secret` is `make_secrets`'s."""
    from protocol.arith import kernels
    from protocol.arith.secagg.sharing import Secrets

    spec = tasks.spec_of(work)
    integers, facts = tasks.integers_of(work, gradient)
    position = next(e.position for e in attempt.roster if e.member == me)
    batch = kernels.close(
        tasks.envelope_of(spec),
        integers,
        Secrets.from_bytes(secret),
        position,
        [(e.position, e.ready.mask_key) for e in attempt.roster],
        binding_of(spec, attempt),
        batch_maker(encode(attempt.place), peer),
        secrets.token_bytes,
        pool.filled(spec),
    )
    return tasks.Result(tasks.put(work, batch), facts=facts)


def check(work: tasks.Work, batch: BlobRef, place: Context, peer: bytes) -> tasks.Result:
    """Raises Malformed unless a received batch is well formed, and made by `peer` for this."""
    from protocol.arith import kernels

    spec = tasks.spec_of(work)
    maker = batch_maker(encode(place), peer)
    kernels.check_batch(
        tasks.envelope_of(spec), tasks.get(work, batch), spec.parameter_count, maker
    )
    return tasks.Result(None)


def unmask(
    work: tasks.Work,
    attempt: Attempt,
    peers: Mapping[int, bytes],
    listed: tuple[int, ...],
    threshold: int,
    releases: Mapping[int, tuple[bytes, ...]],
) -> Unmasking:
    """Rebuild the seeds of the listed members and the mask keys of the roster's others.

    `releases` are shares by the member that released them, in the order of the roster. One share
    that does not match its maker's hash makes the whole release bad. Too few good releases open
    nothing.
    """
    from protocol.arith import kernels
    from protocol.arith.secagg.sharing import reconstruct

    spec, roster = tasks.spec_of(work), attempt.roster
    places = {entry.member: entry.position for entry in roster}
    good: list[int] = []
    bad: list[int] = []
    for member, shares in sorted(releases.items()):
        holds = len(shares) == len(roster) and all(
            _holds(entry, share, entry.member in listed, places[member], peers)
            for entry, share in zip(roster, shares, strict=True)
        )
        (good if holds else bad).append(member)
    if len(good) < threshold:
        return Unmasking(None, tuple(good), tuple(bad), ())
    present, dropped, liars = [], [], []
    for index, entry in enumerate(roster):
        there = entry.member in listed
        found = reconstruct(
            "seed" if there else "key",
            {places[member]: releases[member][index] for member in good},
            _parts(entry.ready),
            threshold,
            peers[entry.member],
            entry.ready.opening,
        )
        if found.secret is None:
            liars.append(entry.member)
        elif there:
            present.append((entry.position, entry.ready.mask_key, found.secret))
        else:
            dropped.append((entry.position, found.secret))
    if liars:
        return Unmasking(None, tuple(good), tuple(bad), tuple(liars))
    removal = kernels.unmask_vector(
        tasks.envelope_of(spec),
        spec.parameter_count,
        binding_of(spec, attempt),
        present,
        dropped,
    )
    return Unmasking(tasks.put(work, removal), tuple(good), tuple(bad), ())


def _holds(
    entry: RosterEntry, share: bytes, seed: bool, position: int, peers: Mapping[int, bytes]
) -> bool:
    """Whether a released share is the one that its maker hashed for that member."""
    from protocol.arith.secagg.sharing import share_hash

    ready = entry.ready
    kind: Kind = "seed" if seed else "key"
    said = ready.seed_hashes[position] if seed else ready.key_hashes[position]
    return share_hash(kind, share, position, peers[entry.member], ready.opening) == said


def _parts(ready: Ready) -> ReadyParts:
    from protocol.arith.secagg.sharing import ReadyParts

    return ReadyParts(
        ready.mask_key,
        ready.share_key,
        ready.seed_hash,
        ready.seed_hashes,
        ready.key_hashes,
        ready.boxes,
    )
