"""Documents of what a block dealt and said: what is signed for holds, and nothing else does."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import pytest
from kits.books import Job, digest_of, make_job

from protocol.books import dealings
from protocol.books.dealings import Cheat, Dealing, DealtList, VerdictList
from protocol.errors import Malformed
from protocol.layout.packing import batch_maker
from protocol.wire.codec import decode, encode
from protocol.wire.envelope import Envelope
from protocol.wire.messages import Contribution, Words

JOB = make_job(6, proven=True)
ROSTER = digest_of("roster")
LIMIT = 1 << 22


def dealing(member: int, job: Job = JOB, round_: int = 0) -> bytes:
    maker = batch_maker(encode(job.place(round_)), job.people[member].peer)
    boxes = tuple(digest_of("box", member, to) for to in range(6))
    commitments = b"".join(digest_of("piece", member, to) for to in range(6))
    return dealings.encode_dealing(maker, Dealing(commitments, boxes))


def header(member: int, /, round_: int = 0, **changes: Any) -> Envelope:
    data = dealing(member, round_=round_)
    body = Contribution(0, member, ROSTER, hashlib.sha256(data).digest(), len(data))
    return JOB.people[member].say(JOB.place(round_), dataclasses.replace(body, **changes))


def dealt() -> bytes:
    return dealings.encode_dealt([header(m) for m in range(6)], [dealing(m) for m in range(6)])


def said(member: int, /, **changes: Any) -> tuple[Envelope, tuple[bytes, ...]]:
    words = tuple(b"" if member == of else bytes([member, of]) * 8 for of in range(6))
    listed = hashlib.sha256(dealt()).digest()
    hashes, blob = dealings.word_hashes(words), digest_of("words", member)
    body = Words(0, member, listed, hashes, blob, 500)
    return JOB.people[member].say(JOB.place(), dataclasses.replace(body, **changes)), words


def verdict(speakers: range = range(6)) -> bytes:
    told = [said(member) for member in speakers]
    return dealings.encode_verdict(dealt(), [each for each, _ in told], [w for _, w in told])


def examine(data: bytes, roster: bytes = ROSTER) -> Any:
    return dealings.examine_verdict(JOB.cohort, JOB.blocks, 0, JOB.place(), data, roster)


def test_a_dealing_reads_back_for_its_maker_alone() -> None:
    data = dealing(2)
    maker = batch_maker(encode(JOB.place()), JOB.people[2].peer)
    assert dealings.encode_dealing(maker, dealings.decode_dealing(data, 6, maker)) == data
    doubled = data[:-32] + data[-64:-32]
    for wrong, members in ((data[:-1], 6), (data + b"\0", 6), (data, 5), (b"x" + data[1:], 6)):
        with pytest.raises(Malformed):
            dealings.decode_dealing(wrong, members, maker)
    with pytest.raises(Malformed, match="another member"):
        dealings.decode_dealing(data, 6, bytes(32))
    with pytest.raises(Malformed, match="one box"):
        dealings.decode_dealing(doubled, 6, maker)


def test_a_verdict_has_every_dealer_and_what_each_member_said_of_it() -> None:
    dealers, told = examine(verdict())
    assert [dealer.member for dealer in dealers] == list(range(6))
    assert len({dealer.binding for dealer in dealers}) == 6
    words = dealings.words_of(dealers, told)
    # Of itself nobody in this verdict has a word.
    assert words[3] == [(m, bytes([m, 3]) * 8) for m in range(6) if m != 3]


def test_a_binding_is_of_one_attempt_roster_and_dealer() -> None:
    place, peer = JOB.place(), JOB.people[0].peer
    one = dealings.binding_of(place, ROSTER, peer)
    others = {
        dealings.binding_of(JOB.place(0, 1), ROSTER, peer),
        dealings.binding_of(JOB.place(1), ROSTER, peer),
        dealings.binding_of(place, digest_of("else"), peer),
        dealings.binding_of(place, ROSTER, JOB.people[1].peer),
    }
    assert len(others - {one}) == 4


HEADERS = {
    "another member's": lambda: [header(1, member=0), header(1)],
    "of another roster": lambda: [header(0, roster_digest=digest_of("else")), header(1)],
    "of another round": lambda: [header(0, round_=1), header(1)],
    "of another dealing": lambda: [header(0, batch_digest=digest_of("else")), header(1)],
    "twice": lambda: [header(0), header(0)],
    "out of order": lambda: [header(1), header(0)],
}


@pytest.mark.parametrize("why", HEADERS)
def test_headers_that_nobody_signed_for_this_are_refused(why: str) -> None:
    listed = HEADERS[why]()
    data = dealings.encode_dealt(listed, [dealing(0 if why == "twice" else m) for m in range(2)])
    with pytest.raises(Malformed):
        dealings.examine_dealt(JOB.cohort, JOB.blocks, 0, JOB.place(), data)


def test_a_dealt_list_of_another_roster_is_no_verdict_s() -> None:
    with pytest.raises(Malformed, match="another roster"):
        examine(verdict(), digest_of("else"))


def changed(**changes: Any) -> bytes:
    return encode(dataclasses.replace(decode(VerdictList, verdict(), LIMIT), **changes))


def test_words_that_their_member_did_not_sign_are_refused() -> None:
    whole = decode(VerdictList, verdict(), LIMIT)
    other = ((b"lie" * 4, *whole.words[0][1:]), *whole.words[1:])
    forged = (dataclasses.replace(whole.messages[0], signature=bytes(64)), *whole.messages[1:])
    replayed = (said(0, dealt_digest=digest_of("else"))[0], *whole.messages[1:])
    renamed = (said(0, member=1)[0], *whole.messages[1:])
    for wrong in (
        {"words": other},
        {"messages": forged},
        {"messages": replayed},
        {"messages": renamed},
        {"words": whole.words[:-1]},
        {"messages": whole.messages[::-1], "words": whole.words[::-1]},
        {"messages": (whole.messages[0],) * 6, "words": (whole.words[0],) * 6},
    ):
        with pytest.raises(Malformed):
            examine(changed(**wrong))


def test_a_cheat_shows_one_dealer_s_words_and_is_of_its_own_attempt() -> None:
    cut = dealings.cut_to(verdict(), JOB.place(), JOB.cohort, 3)
    where = JOB.cohort, JOB.blocks, 0
    later = JOB.place(2, 1)
    dealer, words = dealings.examine_cheat(*where, later, cut)
    assert dealer.member == 3
    assert [position for position, _ in words] == [0, 1, 2, 4, 5]
    assert dealer.binding == dealings.binding_of(JOB.place(), ROSTER, JOB.people[3].peer)
    cheat = decode(Cheat, cut, LIMIT)
    for wrong in (
        {"member": 2},
        {"round": 1},
        {"attempt": 1},
        {"words": (b"lie" * 4, *cheat.words[1:])},
        {"messages": cheat.messages[:-1]},
        {"member": 7},
    ):
        data = encode(dataclasses.replace(cheat, **wrong))
        with pytest.raises(Malformed):
            dealings.examine_cheat(*where, later, data)


def test_a_dealt_list_has_a_dealing_for_each_header() -> None:
    whole = decode(DealtList, dealt(), LIMIT)
    with pytest.raises(Malformed, match="differ in number"):
        dataclasses.replace(whole, dealings=whole.dealings[:-1])
