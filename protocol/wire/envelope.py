"""The signed envelope: who says what, about which job, round and attempt, on which chain.

Signed bytes: a domain tag, then the canonical encoding of every field but the signature, so no
signature can be moved to another chain, contract, job, round, attempt, sender or kind of message.
A frame is an envelope and an attachment that the body names by digest (a batch, a spec).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from protocol import params
from protocol.errors import Malformed
from protocol.wire import identity
from protocol.wire.codec import Range, Size, Wire, decode, encode
from protocol.wire.messages import Body, Digest, PeerId

_TAG = b"assay/1 message\x00"

#: The job field of a message that is about no job.
NO_JOB = bytes(32)


@dataclass(frozen=True, slots=True)
class Context(Wire):
    """Where a message belongs: everything that its signature is bound to besides its content."""

    chain_id: int
    contract: Annotated[bytes, Size(20)]
    job: Digest
    round: Annotated[int, Range(0, params.MAX_ROUNDS)]
    attempt: Annotated[int, Range(0, params.MAX_ATTEMPTS)]


@dataclass(frozen=True, slots=True)
class _Statement(Wire):
    version: Annotated[int, Range(0, 2**16)]
    context: Context
    sender: PeerId
    body: Body


@dataclass(frozen=True, slots=True)
class Envelope(Wire):
    """A statement and its sender's Ed25519 signature (RFC 8032)."""

    statement: _Statement
    signature: Annotated[bytes, Size(64)]

    @property
    def context(self) -> Context:
        return self.statement.context

    @property
    def sender(self) -> bytes:
        return self.statement.sender

    @property
    def body(self) -> Body:
        return self.statement.body


@dataclass(frozen=True, slots=True)
class Frame(Wire):
    """What a gossip message or a stream request carries."""

    envelope: Annotated[bytes, Size(1, params.MAX_STREAM_MESSAGE_BYTES)]
    attachment: Annotated[bytes, Size(0, params.MAX_INLINE_BATCH_BYTES)]


def seal(context: Context, sender: bytes, body: Body, sign: Callable[[bytes], bytes]) -> Envelope:
    """Sign `body`; `sign` is Ed25519 under the sender's key: deterministic, so safe to repeat."""
    statement = _Statement(params.PROTOCOL_VERSION, context, sender, body)
    return Envelope(statement, sign(_TAG + encode(statement)))


def open_envelope(data: bytes, limit: int = params.MAX_STREAM_MESSAGE_BYTES) -> Envelope:
    """Decode and verify. Raises Malformed: schema, limit, unknown version, or a bad signature."""
    envelope = decode(Envelope, data, limit)
    version = envelope.statement.version
    if version != params.PROTOCOL_VERSION:
        raise Malformed(f"message of version {version}; this node speaks {params.PROTOCOL_VERSION}")
    if not identity.verify(envelope.sender, envelope.signature, _TAG + encode(envelope.statement)):
        raise Malformed(f"{type(envelope.body).__name__}: its signature is not its sender's")
    return envelope


def reopen_envelope(data: bytes) -> Envelope:
    """Decode an envelope that this node opened or sealed before, and has kept.

    Nobody else can have written these bytes, so the signature is not verified again. What comes
    from outside goes through `open_envelope`.
    """
    return decode(Envelope, data, params.MAX_STREAM_MESSAGE_BYTES)


def envelope_digest(envelope: Envelope) -> bytes:
    """The name by which lists and later messages refer to this one: SHA-256 of its encoding."""
    return hashlib.sha256(encode(envelope)).digest()


def opening_digest(context: Context, body: Wire) -> bytes:
    """The digest that Ready and Freeze bind to: of the opening's content and place, whoever relayed
    it."""
    return hashlib.sha256(b"assay/1 opening\x00" + encode(context) + encode(body)).digest()
