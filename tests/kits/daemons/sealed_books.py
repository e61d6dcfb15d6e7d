"""What the requester of a sealed job can read of everybody's files, if it gets them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from kits.daemons.jobs import phases
from kits.daemons.processes import CHAIN_ID, Daemon, Swarm
from kits.daemons.sealed_clouds import posted_spec
from node.home.keys import Keys
from node.perform.compute import key_name
from node.work import tasks
from protocol.arith.encoding.lanes import SumOutOfRange
from protocol.arith.numbers.shape import HEADER_BYTES, Kind
from protocol.arith.paillier.batch import ciphertexts, decode_batch
from protocol.arith.paillier.cryptosystem import PrivateKey
from protocol.arith.sealed import ciphertexts as sealed
from protocol.errors import Malformed
from protocol.layout.packing import batch_maker
from protocol.spec.job import JobSpec
from protocol.wire.codec import encode
from protocol.wire.envelope import Context


def private_key(swarm: Swarm, spec: JobSpec) -> PrivateKey:
    """A job's private key, out of its requester's vault."""
    return PrivateKey.from_bytes(Keys.open(swarm.requester.home).unseal(key_name(spec.modulus)))


def _blobs(daemon: Daemon) -> Iterator[bytes]:
    for path in daemon.home.blobs.iterdir():
        if path.is_file():
            yield path.read_bytes()


def makers(swarm: Swarm, owner: Daemon, job: str) -> dict[bytes, tuple[int, int]]:
    """How an owner's replies are marked: rounds and attempts by mark."""
    found = {}
    for round_, attempt in {(r, a) for r, a, _ in phases(owner, job)}:
        place = Context(CHAIN_ID, swarm.contract, bytes.fromhex(job[2:]), round_, attempt)
        found[batch_maker(encode(place), owner.peer_id)] = round_, attempt
    return found


def replies_made(swarm: Swarm, owner: Daemon, job: str) -> dict[tuple[int, int], list[bytes]]:
    """Every reply to an attempt that ever lay whole on an owner's disk."""
    spec, marks = posted_spec(swarm, job), makers(swarm, owner, job)
    shape = ciphertexts(
        tasks.envelope_of(spec).public, spec.packing.ciphertexts(spec.parameter_count)
    )
    found: dict[tuple[int, int], list[bytes]] = {}
    for blob in _blobs(owner):
        mark = blob[HEADER_BYTES - 32 : HEADER_BYTES]
        if mark in marks and blob.startswith(shape.header(mark)):
            found.setdefault(marks[mark], []).append(blob)
    return found


def numbers_told(swarm: Swarm, owner: Daemon, job: str) -> dict[tuple[int, int], int]:
    """How many replies an owner made to each attempt, all of one of which hold the same numbers.

    The masks of an attempt are drawn once. Two replies under them with other numbers would tell
    their difference to whoever got both.
    """
    spec = posted_spec(swarm, job)
    key, envelope = private_key(swarm, spec), tasks.envelope_of(spec)
    count, told = spec.packing.ciphertexts(spec.parameter_count), {}
    for place, made in replies_made(swarm, owner, job).items():
        opened = {tuple(key.decrypt(decode_batch(b, envelope.public, count, None))) for b in made}
        assert len(opened) == 1, f"two replies to {place} under one mask"
        assert len(set(made)) == len(made)
        told[place] = len(made)
    return told


def models_made(swarm: Swarm, job: str) -> list[bytes]:
    """The weights of every sealed model of a job that lies at its requester: one for each blob."""
    spec = posted_spec(swarm, job)
    key, envelope = private_key(swarm, spec), tasks.envelope_of(spec)
    assert envelope.sealed is not None
    shape = ciphertexts(envelope.public, envelope.sealed.model_ciphertexts, Kind.SEALED_MODEL)
    head, found = shape.header(envelope.sealed.field), []
    for blob in _blobs(swarm.requester):
        if blob.startswith(head):
            # Another job's: under this key its plaintexts are no weights.
            with suppress(SumOutOfRange, Malformed):
                found.append(sealed.decrypt_model(key, envelope, blob).tobytes())
    return found
