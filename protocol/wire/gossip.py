"""Verdicts on gossip: an ordered list of checks, cheap before costly, the seen-set updated last.

A REJECT costs its sender points, so a message is rejected only if no honest peer sends it. A
message that is late, early or unknown here is ignored. Total: no input raises. docs/spec/gossip.md
lists the checks in this order, tests/vectors/gossip.json has an example of each outcome.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from protocol import params
from protocol.errors import Malformed
from protocol.wire.blobs import blob_digest
from protocol.wire.codec import decode
from protocol.wire.envelope import NO_JOB, Envelope, Frame, open_envelope
from protocol.wire.messages import FROM_REQUESTER, OF_CARDS, Announce, Contribution
from protocol.wire.topics import CARDS_TOPIC, JOBS_TOPIC, block_topic, job_topic
from protocol.wire.verdict import Verdict


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as the judge knows it: its requester, and its members if the list is known here.

    A node that only relays has no list: it forwards contributions on their signature alone, within
    its rate limits.
    """

    requester: bytes
    members: frozenset[bytes] | None


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict with its reason, and the decoded message if it was accepted."""

    verdict: Verdict
    reason: str
    envelope: Envelope | None = None
    attachment: bytes = b""


class Seen:
    """Digests of contents that were accepted, the oldest forgotten first. Bounded."""

    def __init__(self, size: int = params.MAX_SEEN) -> None:
        self._size = size
        self._digests: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._digests

    def add(self, digest: bytes) -> None:
        self._digests[digest] = None
        self._digests.move_to_end(digest)
        while len(self._digests) > self._size:
            self._digests.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Place:
    """Where this node is; it ignores messages of other chains and contracts."""

    chain_id: int
    contract: bytes


def _welcome(_: Envelope) -> str:
    """The refusal of a card where no table of cards is kept: none."""
    return ""


def judge(
    topic: str,
    data: bytes,
    place: Place,
    job_view: Callable[[bytes], JobView | None],
    seen: Seen,
    card_refusal: Callable[[Envelope], str] = _welcome,
) -> Judged:
    """Judge one gossip message. Never raises; `seen` is touched only on ACCEPT.

    `card_refusal` says why a card or its withdrawal is not taken now; empty where it is.
    """
    if len(data) > params.MAX_GOSSIP_BYTES:
        return Judged(Verdict.REJECT, f"{len(data)} bytes, at most {params.MAX_GOSSIP_BYTES}")
    digest = hashlib.sha256(data).digest()
    if digest in seen:
        return Judged(Verdict.IGNORE, "seen before")
    try:
        frame = decode(Frame, data, params.MAX_GOSSIP_BYTES)
        envelope = open_envelope(frame.envelope)
    except Malformed as e:
        return Judged(Verdict.REJECT, str(e))
    context, body = envelope.context, envelope.body
    if (context.chain_id, context.contract) != (place.chain_id, place.contract):
        return Judged(Verdict.IGNORE, "of another chain or contract")
    if not _fits(topic, envelope):
        return Judged(Verdict.REJECT, f"{type(body).__name__} does not belong on {topic}")
    attached = _attachment_digest(envelope)
    if frame.attachment and (attached is None or blob_digest(frame.attachment) != attached):
        return Judged(Verdict.REJECT, "its attachment is not what it names")
    if isinstance(body, OF_CARDS):
        if len(frame.envelope) > params.MAX_CARD_BYTES:
            size = len(frame.envelope)
            return Judged(
                Verdict.REJECT, f"a card of {size} bytes, at most {params.MAX_CARD_BYTES}"
            )
        # What is old here may be news elsewhere, and clocks differ: nobody is blamed.
        if refusal := card_refusal(envelope):
            return Judged(Verdict.IGNORE, refusal)
        seen.add(digest)
        return Judged(Verdict.ACCEPT, "", envelope)
    view = job_view(context.job)
    if view is None:
        if not isinstance(body, Announce):
            return Judged(Verdict.IGNORE, "of a job that is not known here")
    elif isinstance(body, FROM_REQUESTER):
        if envelope.sender != view.requester:
            # A node that does not know the job forwards any announcement of it, in good faith.
            blame = Verdict.IGNORE if isinstance(body, Announce) else Verdict.REJECT
            return Judged(blame, "not from the job's requester")
    elif view.members is not None and envelope.sender not in view.members:
        # Its sender may be enrolled under a root that has not reached this node yet.
        return Judged(Verdict.IGNORE, "from a peer that is not known to be enrolled")
    seen.add(digest)
    return Judged(Verdict.ACCEPT, "", envelope, frame.attachment)


def _fits(topic: str, envelope: Envelope) -> bool:
    body, job = envelope.body, envelope.context.job
    if isinstance(body, Announce):
        return topic == JOBS_TOPIC
    if isinstance(body, Contribution):
        return topic == block_topic(job, body.block)
    if isinstance(body, OF_CARDS):
        return topic == CARDS_TOPIC and about_no_job(envelope)
    return isinstance(body, FROM_REQUESTER) and topic == job_topic(job)


def about_no_job(envelope: Envelope) -> bool:
    """Whether a message's context names no job, round or attempt, as a card's does."""
    context = envelope.context
    return (context.job, context.round, context.attempt) == (NO_JOB, 0, 0)


def _attachment_digest(envelope: Envelope) -> bytes | None:
    body = envelope.body
    if isinstance(body, Announce):
        return body.spec_digest
    if isinstance(body, Contribution):
        return body.batch_digest
    return None
