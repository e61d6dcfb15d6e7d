"""What peers may send and must not get away with, against a real daemon that waits for owners."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
from kits.attacks.hostile import Hostile, hostile, offences
from kits.daemons.jobs import stored
from kits.daemons.processes import Swarm, until

from node.net.errors import ConversationError, Refused
from node.net.peering.whois import parse_peer
from node.perform.messages import PROTOCOL
from protocol.params import (
    MAX_GOSSIP_BYTES,
    MAX_INLINE_BATCH_BYTES,
    MIN_BLOCK,
    SHARE_BOX_BYTES,
    SHARE_BYTES,
    SHARE_HASH_BYTES,
)
from protocol.wire import envelope as envelopes
from protocol.wire.blobs import blob_digest
from protocol.wire.codec import encode
from protocol.wire.envelope import Frame
from protocol.wire.messages import (
    Announce,
    Contribution,
    Finished,
    Open,
    Ready,
    RefusalCode,
    Refuse,
    Release,
)
from protocol.wire.topics import JOBS_TOPIC, block_topic, job_topic

pytestmark = pytest.mark.waits(110)


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    """A requester and one owner that has nothing: its job waits for owners for ever."""
    swarm = Swarm(tmp_path_factory.mktemp("bad"), owners=1)
    try:
        trio.run(swarm.start)
        yield swarm
    finally:
        swarm.destroy()


@pytest.fixture(scope="module")
def job(swarm: Swarm) -> bytes:
    from kits.daemons.clouds import spec, write_csv

    holdout = write_csv(swarm.folder / "holdout.csv", seed=1)
    posted = swarm.requester.call("job.post", spec=spec(), holdout=str(holdout))
    known = posted["job"]
    trio.run(until, lambda: swarm.requester.state(known) == "enrolling", 30, "it is announced")
    trio.run(until, lambda: len(swarm.owners[0].call("jobs")) == 1, 30, "the owner knows it")
    return bytes.fromhex(known[2:])


@pytest.fixture
async def peer(swarm: Swarm, tmp_path: Path) -> AsyncIterator[Hostile]:
    async with hostile(tmp_path / "hostile", swarm.contract, swarm.peer, swarm.address) as found:
        yield found


@pytest.fixture
def unmoved(swarm: Swarm, job: bytes) -> Iterator[None]:
    """Whatever the test sends: the daemons live, and keep nothing of it."""
    before = kept(swarm, job)
    yield
    assert kept(swarm, job) == before
    for daemon in (swarm.requester, swarm.owners[0]):
        assert daemon.answers()
        assert daemon.call("status")["problems"] == []


def kept(swarm: Swarm, job: bytes) -> list[object]:
    """What the daemons hold that a message could have changed."""
    shown = swarm.requester.show("0x" + job.hex())
    counts = [daemon.counts() for daemon in (swarm.requester, swarm.owners[0])]
    sent = swarm.chain.sent_by(swarm.account)
    return [*counts, shown["summary"], shown["money"], shown["members"], len(sent)]


DIGEST = bytes(range(32))


def ready(opening: bytes = DIGEST) -> Ready:
    """Well formed, for an opening that nobody has published."""
    hashes, boxes = (bytes(SHARE_HASH_BYTES),) * MIN_BLOCK, (bytes(SHARE_BOX_BYTES),) * MIN_BLOCK
    return Ready(opening, DIGEST, DIGEST, DIGEST, hashes, hashes, boxes)


def release() -> Release:
    return Release(DIGEST, 0, (bytes(SHARE_BYTES),) * MIN_BLOCK)


async def refused(peer: Hostile, frame: bytes) -> str:
    with pytest.raises(Refused) as caught:
        await peer.tell(frame)
    return str(caught.value)


@pytest.mark.usefixtures("unmoved")
class TestPrivateMessages:
    """One frame each, over /assay/1/message."""

    async def test_garbage(self, peer: Hostile, swarm: Swarm) -> None:
        assert "Frame" in await refused(peer, b"\xff" * 100)
        assert "Frame" in await refused(peer, b"")
        assert "Envelope" in await refused(peer, encode(Frame(b"\x00" * 50, b"")))
        assert offences(swarm.requester, peer.swarm.peer_id) == 3

    async def test_more_bytes_than_allowed(self, peer: Hostile, swarm: Swarm) -> None:
        stream = await peer.swarm._open(parse_peer(peer.victim), PROTOCOL)
        await stream.write((1 << 31).to_bytes(4, "big") + b"\x00" * 1000)
        await until(lambda: offences(swarm.requester, peer.swarm.peer_id) == 1, 10, "it is counted")

    async def test_a_version_that_this_node_does_not_speak(
        self, peer: Hostile, job: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(envelopes.params, "PROTOCOL_VERSION", 2)
        frame = peer.frame(peer.sealed(ready(), job))
        monkeypatch.undo()
        assert "message of version 2; this node speaks 1" in await refused(peer, frame)

    async def test_a_signature_that_is_not_its_senders(self, peer: Hostile, job: bytes) -> None:
        good = peer.sealed(ready(), job)
        for bad in (
            dataclasses.replace(good, signature=bytes(64)),
            dataclasses.replace(peer.sealed(ready(bytes(32)), job), signature=good.signature),
            dataclasses.replace(peer.sealed(ready(), job, 1), signature=good.signature),
        ):
            assert "its signature is not its sender's" in await refused(peer, peer.frame(bad))

    async def test_what_another_peer_has_signed(
        self, peer: Hostile, job: bytes, swarm: Swarm
    ) -> None:
        rows = stored(swarm.requester, "SELECT body FROM messages WHERE kind = 'Announce'")
        frame = encode(Frame(rows[0][0], b""))
        assert "did not sign" in await refused(peer, frame)

    async def test_another_chain_and_an_unknown_job(self, peer: Hostile, job: bytes) -> None:
        place = dataclasses.replace(peer.place(job), chain_id=1)
        elsewhere = envelopes.seal(place, peer.swarm.peer_id_bytes, ready(), peer.keys.sign_peer)
        reply = await peer.tell(peer.frame(elsewhere))
        assert reply == Refuse(RefusalCode.UNKNOWN, "this node is on another chain or contract")
        reply = await peer.say(ready(), DIGEST)
        assert reply == Refuse(RefusalCode.UNKNOWN, "this node does not know the job")

    async def test_an_attachment_that_is_not_what_its_message_names(
        self, peer: Hostile, job: bytes
    ) -> None:
        header = Contribution(0, 0, DIGEST, DIGEST, 5)
        frame = peer.frame(peer.sealed(header, job), b"other")
        assert "an attachment that is not what its message names" in await refused(peer, frame)

    async def test_a_contribution_from_nobody_enrolled(self, peer: Hostile, job: bytes) -> None:
        batch = os.urandom(MAX_INLINE_BATCH_BYTES)
        header = Contribution(0, 0, DIGEST, blob_digest(batch), len(batch))
        assert await peer.say(header, job, attachment=batch) is None

    async def test_stale_and_foreign_words_change_nothing(self, peer: Hostile, job: bytes) -> None:
        """Rounds that are not open, attempts that never were, and what only a requester says."""
        opening = Open(DIGEST, 100, DIGEST, 100, 2**50, 2**51)
        for body, round_, attempt in (
            (ready(), 0, 0),
            (ready(), 255, 16),
            (release(), 0, 0),
            (release(), 255, 16),
            (opening, 0, 0),
            (Finished(DIGEST, 1, DIGEST, 1), 0, 0),
            (Refuse(RefusalCode.INVALID, "no"), 0, 0),
        ):
            assert await peer.say(body, job, round_, attempt) is None

    async def test_enrolments_that_do_not_hold(self, peer: Hostile, job: bytes) -> None:
        """Each is answered in private, by name; nobody is enrolled."""
        good = peer.enrolment(job)
        for number, bad in enumerate(
            (
                dataclasses.replace(good, rows=1),
                dataclasses.replace(good, account=bytes([7]) * 20),
                dataclasses.replace(good, payout=bytes([7]) * 20),
                dataclasses.replace(good, signature=bytes(65)),
                peer.enrolment(DIGEST),
                dataclasses.replace(good, sealing_key=bytes(32)),
            ),
            start=1,
        ):
            await peer.say(bad, job)
            await until(lambda n=number: len(peer.heard) == n, 10, "it is refused")
            body = peer.heard[-1].body
            assert isinstance(body, Refuse)
            assert body.code is RefusalCode.INVALID
        assert isinstance(peer.heard[0].body, Refuse)
        assert peer.heard[0].body.reason == "an enrolment that its account did not sign"
        # Of low order: whatever is sealed to it, everybody could open.
        assert isinstance(peer.heard[-1].body, Refuse)
        assert "low order" in peer.heard[-1].body.reason

    async def test_a_peer_that_goes_on_is_banned(self, peer: Hostile, swarm: Swarm) -> None:
        with pytest.raises(ConversationError):  # noqa: PT012 (which one is the last is its choice)
            for _ in range(12):
                with pytest.raises(Refused, match="Frame"):
                    await peer.tell(b"\x00")
        await until(
            lambda: peer.swarm.peer_id not in {p["peer_id"] for p in swarm.requester.call("peers")},
            10,
            "it was hung up on",
        )


@pytest.mark.usefixtures("unmoved")
class TestGossip:
    """What everybody hears: judged before it is kept or passed on."""

    async def test_rejected(self, peer: Hostile, swarm: Swarm, job: bytes) -> None:
        topic = job_topic(job)
        opening = Open(DIGEST, 100, DIGEST, 100, 2**50, 2**51)
        bad = [
            (topic, b"\xff" * 64),
            (topic, peer.frame(peer.sealed(opening, job))),
            (topic, peer.frame(peer.sealed(ready(), job))),
            (topic, peer.frame(peer.sealed(release(), job))),
            (JOBS_TOPIC, peer.frame(peer.sealed(Announce(DIGEST, 5), DIGEST), b"other")),
        ]
        for known in {topic for topic, _ in bad}:
            await peer.follow(known)
        for number, (where, data) in enumerate(bad, start=1):
            await peer.swarm.publish(where, data)
            await until(
                lambda n=number: offences(swarm.requester, peer.swarm.peer_id) >= n,
                10,
                f"message {number} is rejected",
            )

    async def test_oversized(self, peer: Hostile, swarm: Swarm) -> None:
        await peer.follow(JOBS_TOPIC)
        await peer.swarm._parts.pubsub.publish(JOBS_TOPIC, bytes(MAX_GOSSIP_BYTES + 1))
        # It may come by more than one way, and counts each time.
        await until(
            lambda: offences(swarm.requester, peer.swarm.peer_id) >= 1, 10, "it is rejected"
        )

    async def test_replayed(self, peer: Hostile, swarm: Swarm, job: bytes) -> None:
        """The requester's own announcement once more, by somebody else: true, and nothing new."""
        rows = stored(swarm.requester, "SELECT body FROM messages WHERE kind = 'Announce'")
        await peer.follow(JOBS_TOPIC)
        await peer.swarm.publish(JOBS_TOPIC, encode(Frame(rows[0][0], b"")))
        await heard_after(peer, swarm, job)
        assert offences(swarm.requester, peer.swarm.peer_id) == 1  # the message after it alone

    async def test_a_batch_on_the_topic_of_a_block_that_nobody_drew(
        self, peer: Hostile, swarm: Swarm, job: bytes
    ) -> None:
        batch = os.urandom(1000)
        header = Contribution(0, 0, DIGEST, blob_digest(batch), len(batch))
        topic = block_topic(job, 0)
        await peer.follow(JOBS_TOPIC)
        await peer.push(topic, peer.frame(peer.sealed(header, job), batch))
        await heard_after(peer, swarm, job)

    async def test_another_spec_for_a_posted_job(
        self, peer: Hostile, swarm: Swarm, job: bytes
    ) -> None:
        """Neither who knows the job takes it, nor who hears of it for the first time: the chain
        holds another digest, and the job's id binds it."""
        spec = stored(swarm.requester, "SELECT body FROM specs")[0][0]
        forged = spec.replace(b"Two clouds", b"Two crowds")
        assert forged != spec
        body = Announce(blob_digest(forged), len(forged))
        await peer.follow(JOBS_TOPIC)
        await peer.swarm.publish(JOBS_TOPIC, peer.frame(peer.sealed(body, job), forged))
        unposted = blob_digest(b"nobody has posted this")
        await peer.swarm.publish(JOBS_TOPIC, peer.frame(peer.sealed(body, unposted), forged))
        await heard_after(peer, swarm, job)
        # Whoever does not know the job passes such a thing on in good faith: none of it is blamed.
        assert offences(swarm.requester, peer.swarm.peer_id) == 1  # the message after it alone


async def heard_after(peer: Hostile, swarm: Swarm, job: bytes) -> None:
    """Whatever was published before has been judged: one more message, which is counted."""
    before = offences(swarm.requester, peer.swarm.peer_id)
    await peer.swarm.publish(JOBS_TOPIC, b"the end")
    await until(
        lambda: offences(swarm.requester, peer.swarm.peer_id) > before, 10, "all was judged"
    )
