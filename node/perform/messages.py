"""Effects that speak: publish, send, enrol. Every message of this node is stored before it leaves.

Signatures are Ed25519 and RFC 6979: repeating an effect after a crash says the same bytes again.
"""

from __future__ import annotations

import logging

import trio
from eth_hash.auto import keccak

from node.engine.engine import Wanted
from node.engine.services import Services
from node.net.errors import ConversationError
from node.perform.sealing import sealing_key
from node.store import records
from node.store.blobs import BlobLost
from protocol import params
from protocol.books.typed_data import Enrolment, enrolment_digest
from protocol.errors import Malformed
from protocol.machines import effects
from protocol.machines.machine import kind_of
from protocol.wire import identity
from protocol.wire.codec import decode, encode
from protocol.wire.envelope import Envelope, Frame, open_envelope, seal
from protocol.wire.messages import Body, Enrol, RefusalCode, Refuse, Told

log = logging.getLogger("assay.messages")

#: Private messages: one frame each way.
PROTOCOL = "/assay/1/message"

_TIMEOUT = 10.0
_PAUSE = 1.0


def sealed(services: Services, job: bytes, round_: int, attempt: int, body: Body) -> Envelope:
    """`body`, signed by this node's peer key."""
    place = services.place(job, round_, attempt)
    return seal(place, services.swarm.peer_id_bytes, body, services.keys.sign_peer)


async def _keep(services: Services, envelope: Envelope) -> None:
    message = records.stored(envelope)
    await services.store.run(lambda tx: records.save_message(tx, message))


async def _frame(services: Services, envelope: Envelope, attachment: bytes) -> bytes:
    content = b""
    try:
        ref = services.blob(attachment) if attachment else None
        if ref is not None and ref.size <= params.MAX_INLINE_BATCH_BYTES:
            content = await trio.to_thread.run_sync(services.blobs.get, ref)
    except BlobLost:
        # A stored batch that is lost is an absence: it is never made again
        # (docs/design.md, section 5).
        log.error("blob %s is gone: it does not travel with its header", attachment.hex())
    return encode(Frame(encode(envelope), content))


async def _said(services: Services, wanted: Wanted, kind: str, number: int) -> None:
    """It is said: its bytes are counted in the transaction that ends it."""
    job = wanted.machine.key
    await services.engine.feed_all(
        (), wanted.id, lambda tx: records.count_bytes(tx, job, "out", kind, number)
    )


async def publish(services: Services, wanted: Wanted, effect: effects.Publish) -> None:
    """Sign, store, gossip."""
    job = wanted.machine.key
    envelope = sealed(services, job, effect.round, effect.attempt, effect.body)
    await _keep(services, envelope)
    frame = await _frame(services, envelope, effect.attachment)
    await services.swarm.publish(effect.topic, frame)
    await _said(services, wanted, kind_of(effect.body), len(frame))


async def send(services: Services, wanted: Wanted, effect: effects.Send) -> None:
    """Sign, store, deliver until it is acknowledged or its time is over."""
    job = wanted.machine.key
    envelope = sealed(services, job, effect.round, effect.attempt, effect.body)
    await _keep(services, envelope)
    frame = await _frame(services, envelope, effect.attachment)
    await _deliver(services, wanted, effect.peer, frame, kind_of(effect.body), effect.until)


async def deliver(
    services: Services, wanted: Wanted, peer: bytes, envelope: Envelope, kind: str, until: int
) -> None:
    """Deliver a message that is stored already."""
    await _deliver(services, wanted, peer, encode(Frame(encode(envelope), b"")), kind, until)


async def send_enrolment(services: Services, wanted: Wanted, effect: effects.SendEnrolment) -> None:
    """Sign with the account and with the peer's key, then deliver."""
    job, keys = wanted.machine.key, services.keys
    _, public = await trio.to_thread.run_sync(sealing_key, services, job)
    me = keccak(services.swarm.peer_id_bytes)
    statement = Enrolment(job, keys.account, effect.payout, me, effect.rows)
    signature = keys.sign_digest(enrolment_digest(services.domain, statement))
    body = Enrol(keys.account, effect.payout, effect.rows, public, signature)
    envelope = sealed(services, job, 0, 0, body)
    await _keep(services, envelope)
    frame = encode(Frame(encode(envelope), b""))
    await _deliver(services, wanted, effect.peer, frame, "Enrol", effect.until)


async def _deliver(
    services: Services, wanted: Wanted, peer: bytes, frame: bytes, kind: str, until: int
) -> None:
    """Again and again until the peer answers: the network may be down for a while."""
    name = identity.peer_id_text(peer)
    while services.clock.ms() < until and not wanted.pointless:
        try:
            reply = await services.swarm.request(name, PROTOCOL, frame, _TIMEOUT)
        except ConversationError as error:
            log.info("%s waits: %s", kind, error)
            await trio.sleep(_PAUSE)
            continue
        if _unknown(reply):
            # For example a home that was restored from its keys: it has kept nothing of what it was
            # told.
            log.info("%s waits: %s does not know the job", kind, name)
            await trio.sleep(_PAUSE)
            continue
        await _answered(services, peer, reply)
        await _said(services, wanted, kind, len(frame))
        return
    await services.engine.complete(wanted.id)


def _unknown(reply: bytes) -> bool:
    """Whether a peer answers that it does not know the job, and so has not stored what it got."""
    if not reply:
        return False
    try:
        body = open_envelope(decode(Frame, reply, params.MAX_STREAM_MESSAGE_BYTES).envelope).body
    except Malformed:
        return False
    return isinstance(body, Refuse) and body.code is RefusalCode.UNKNOWN


async def _answered(services: Services, peer: bytes, reply: bytes) -> None:
    """A peer's answer is taken like any other message; an empty answer says received and stored."""
    if not reply:
        return
    try:
        envelope = open_envelope(decode(Frame, reply, params.MAX_STREAM_MESSAGE_BYTES).envelope)
    except Malformed as error:
        log.info("peer %s answers garbage: %s", identity.peer_id_text(peer), error)
        return
    body = envelope.body
    if isinstance(body, Told):
        for frame in body.frames:
            await services.take(frame, peer)
    else:
        await services.take(reply, peer)
