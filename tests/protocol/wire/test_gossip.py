"""Verdicts on gossip: one published vector for each outcome, and that judging is total."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.books import REQUESTER, Person, digest_of
from kits.gossip_cases import (
    ANNOUNCE,
    BATCH,
    CASES,
    COMMITTED,
    FINISHED,
    FREEZE,
    JOB,
    KNOWN,
    MEMBERS,
    OPEN,
    PLACE,
    RELAYED,
    RESULT,
    SPEC,
    STRANGER,
    VECTORS,
    Case,
    contribution,
    document,
    place,
    said,
)

from protocol import params
from protocol.wire.blobs import blob_digest
from protocol.wire.envelope import Frame, open_envelope
from protocol.wire.gossip import JobView, Seen, judge
from protocol.wire.messages import Announce, Ask, Body, Contribution
from protocol.wire.topics import JOBS_TOPIC, block_topic, job_topic
from protocol.wire.verdict import Verdict


def test_the_vectors_are_what_the_cases_make() -> None:
    assert VECTORS.read_text() == document()


def read_vectors() -> list[dict[str, Any]]:
    return list(json.loads(VECTORS.read_text())["cases"])


@pytest.mark.parametrize("vector", read_vectors(), ids=lambda vector: str(vector["name"]))
def test_each_vector_has_its_verdict(vector: dict[str, Any]) -> None:
    """Judged from the file alone, as a second implementation would."""
    data = vector["data"]
    raw = bytes.fromhex(data["byte"]) * data["count"] if isinstance(data, dict) else None
    content = raw if raw is not None else bytes.fromhex(data)
    view = None
    if vector["job"] is not None:
        members = vector["job"]["members"]
        known = None if members is None else frozenset(map(bytes.fromhex, members))
        view = JobView(bytes.fromhex(vector["job"]["requester"]), known)
    seen = Seen()
    for digest in vector["seen"]:
        seen.add(bytes.fromhex(digest))
    known = lambda job: view if job == JOB else None  # noqa: E731
    refusal = lambda envelope: str(vector["card"])  # noqa: E731
    found = judge(vector["topic"], content, PLACE, known, seen, refusal)
    assert found.verdict.value == vector["verdict"], found.reason
    assert vector["reason"] in found.reason
    accepted = found.verdict is Verdict.ACCEPT
    assert (hashlib.sha256(content).digest() in seen) == (accepted or bool(vector["seen"]))
    assert (found.envelope is not None) == accepted


def test_an_accepted_message_comes_with_what_it_says() -> None:
    case = next(case for case in CASES if case.name == "a contribution")
    found = case.judge()
    assert found.envelope is not None
    assert found.envelope.body == contribution()
    assert found.envelope.sender == MEMBERS[0].peer
    assert found.attachment == BATCH
    assert found.reason == ""


def test_a_message_of_the_largest_size_is_read() -> None:
    """At the limit the size is no reason; what stands there is."""
    found = judge(JOBS_TOPIC, bytes(params.MAX_GOSSIP_BYTES), PLACE, lambda job: None, Seen())
    assert found.verdict is Verdict.REJECT
    assert "at most" not in found.reason


def test_the_largest_attachments_fit_a_message() -> None:
    """What rides along, and the envelope around it, stay within what gossip carries."""
    batch = bytes(params.MAX_INLINE_BATCH_BYTES)
    body = Contribution(4096, 4096, digest_of("f"), blob_digest(batch), len(batch))
    data = said(body, MEMBERS[0], batch, place(round_=254, attempt=15))
    assert len(data) <= params.MAX_GOSSIP_BYTES
    found = judge(block_topic(JOB, 4096), data, PLACE, lambda job: KNOWN, Seen())
    assert found.verdict is Verdict.ACCEPT


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case.name))
def test_nobody_is_blamed_for_what_another_accepts(case: Case) -> None:
    """A REJECT hits the forwarder: who knows less of a job must not be led into one."""

    def verdict(view: JobView | None) -> Verdict:
        known = lambda job: view if job == JOB else None  # noqa: E731
        return judge(case.topic, case.data, PLACE, known, Seen()).verdict

    views = (None, RELAYED, KNOWN)
    verdicts = {verdict(view) for view in views}
    assert not {Verdict.ACCEPT, Verdict.REJECT} <= verdicts


def test_seen_forgets_the_oldest_first() -> None:
    seen = Seen(size=3)
    for number in (1, 2, 3, 1, 4):
        seen.add(bytes([number]))
    assert [bytes([n]) in seen for n in (1, 2, 3, 4)] == [True, False, True, True]


def unjudgeable(job: bytes) -> JobView | None:
    raise AssertionError("no job is looked up before a message holds")


@given(st.binary(max_size=400), st.sampled_from([JOBS_TOPIC, job_topic(JOB), "", "\x00"]))
def test_no_bytes_raise(data: bytes, topic: str) -> None:
    seen = Seen()
    found = judge(topic, data, PLACE, unjudgeable, seen)
    assert found.verdict is Verdict.REJECT, "random bytes are nobody's signed message"
    assert found.reason
    assert hashlib.sha256(data).digest() not in seen


@given(st.sampled_from(CASES), st.data())
def test_a_mutated_frame_is_never_accepted(case: Case, data: st.DataObject) -> None:
    """Any flipped, cut or inserted bytes: a verdict, and nothing but the original passes."""
    whole = case.data[:2000]
    cut = data.draw(st.integers(0, len(whole)))
    drop = data.draw(st.integers(0, 8))
    insert = data.draw(st.binary(max_size=8))
    mutated = whole[:cut] + insert + whole[cut + drop :]
    view = data.draw(st.sampled_from([None, KNOWN, RELAYED]))
    seen = Seen()
    found = judge(case.topic, mutated, PLACE, lambda job: view, seen)
    assert (hashlib.sha256(mutated).digest() in seen) == (found.verdict is Verdict.ACCEPT)
    if mutated != case.data and found.verdict is Verdict.ACCEPT:
        # Taking the attachment off leaves another valid message: the body names it by digest.
        assert found.attachment == b""
        assert found.envelope == open_envelope(Frame(*msgpack.unpackb(case.data)).envelope)


topics = st.sampled_from([JOBS_TOPIC, job_topic(JOB), block_topic(JOB, 0), block_topic(JOB, 1)])


@given(
    topics,
    st.sampled_from([ANNOUNCE, OPEN, FREEZE, COMMITTED, RESULT, FINISHED, contribution(), Ask()]),
    st.sampled_from([REQUESTER, MEMBERS[0], STRANGER]),
    st.sampled_from([b"", SPEC, BATCH]),
    st.sampled_from([None, KNOWN, RELAYED]),
)
def test_only_what_the_rules_name_is_accepted(
    topic: str, body: Body, by: Person, attachment: bytes, view: JobView | None
) -> None:
    """The rules once more, in other words: who may say what where."""
    found = judge(topic, said(body, by, attachment), PLACE, lambda job: view, Seen())
    if isinstance(body, Announce):
        right_place, named = topic == JOBS_TOPIC, SPEC
        allowed = view is None or by is REQUESTER
    elif isinstance(body, Contribution):
        right_place, named = topic == block_topic(JOB, 0), BATCH
        allowed = view is RELAYED or (view is KNOWN and by is MEMBERS[0])
    elif isinstance(body, Ask):
        right_place, named, allowed = False, b"", False
    else:
        right_place, named = topic == job_topic(JOB), b""
        allowed = view is not None and by is REQUESTER
    holds = right_place and attachment in (b"", named)
    assert (found.verdict is Verdict.ACCEPT) == (holds and allowed)
    if not holds:
        assert found.verdict is Verdict.REJECT
