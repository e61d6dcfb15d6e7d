"""Owners that say why their policies do not take a job: one word each, which decides nothing."""

from __future__ import annotations

import dataclasses

import pytest
from kits.books import make_job
from kits.machine import kinds, notes, sent
from kits.owner import OwnerKit
from kits.requester import RequesterKit

from protocol import params
from protocol.machines import inputs
from protocol.machines.job import JobPhase
from protocol.requester.state import DeclinedRecord, DeclinedRecords
from protocol.wire.messages import Declined, DeclinedTerm

WORD = Declined((DeclinedTerm.ROUNDS, DeclinedTerm.EPSILON, DeclinedTerm.ROUNDS))


@pytest.fixture
def enrolling() -> RequesterKit:
    kit = RequesterKit(make_job(6))
    kit.posted()
    return kit


def test_the_first_word_of_a_peer_counts(enrolling: RequesterKit) -> None:
    owner = enrolling.job.people[0]
    wanted = enrolling.hear(owner, WORD, 0, 0)
    assert (kinds(wanted), notes(wanted)) == ([], ["not-taken"])
    (record,) = enrolling.state.declined
    assert record == DeclinedRecord(owner.peer, (DeclinedTerm.EPSILON, DeclinedTerm.ROUNDS))
    why = enrolling.deaf(owner, Declined((DeclinedTerm.PRICE,)), 0, 0)
    assert "has said so before" in why
    enrolling.hear(enrolling.job.people[1], WORD, 0, 0)
    assert len(enrolling.state.declined) == 2


def test_an_owner_that_enrols_after_all_has_changed_its_mind(enrolling: RequesterKit) -> None:
    for member in (0, 1):
        enrolling.hear(enrolling.job.people[member], WORD, 0, 0)
    enrolling.enrol(0)
    assert [each.peer for each in enrolling.state.declined] == [enrolling.job.people[1].peer]
    assert "is enrolled" in enrolling.deaf(enrolling.job.people[0], WORD, 0, 0)
    assert len(enrolling.state.enrolments) == 1


def test_no_more_words_are_kept_than_are_allowed(enrolling: RequesterKit) -> None:
    many = DeclinedRecords.of(
        DeclinedRecord(n.to_bytes(38, "big"), WORD.terms[:1])
        for n in range(params.MAX_DECLINED - 1)
    )
    enrolling.state = dataclasses.replace(enrolling.state, declined=many)
    enrolling.hear(enrolling.job.people[0], WORD, 0, 0)
    assert len(enrolling.state.declined) == params.MAX_DECLINED
    why = enrolling.deaf(enrolling.job.people[1], WORD, 0, 0)
    assert f"{params.MAX_DECLINED} peers have declined" in why


def test_a_job_that_enrols_nobody_hears_none(enrolling: RequesterKit) -> None:
    over = dataclasses.replace(enrolling.state, phase=JobPhase.PAYING)
    enrolling.state = over
    assert "nobody is being enrolled" in enrolling.deaf(enrolling.job.people[0], WORD, 0, 0)


def test_an_owner_says_it_once_and_only_where_it_lets_it_be_known() -> None:
    kit = OwnerKit(make_job(6))
    kit.terms()
    silent = kit.peek(inputs.ActionWithhold(kit.now, False, "ward: it pays too little"))[1]
    assert sent(silent) == []
    word = (DeclinedTerm.PRICE,)
    first = kit.step(inputs.ActionWithhold(kit.now, False, "ward: it pays too little", word))
    assert sent(first) == [Declined(word)]
    assert notes(first)[-1] == "explained"  # its owner sees what was told
    kit.step(inputs.ActionReconsider(kit.now))
    again = kit.step(
        inputs.ActionWithhold(kit.now, False, "ward: too many rounds", (DeclinedTerm.ROUNDS,))
    )
    assert sent(again) == []
