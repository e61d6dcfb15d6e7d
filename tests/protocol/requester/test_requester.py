"""The requester's machine: any input, and how its job ends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from kits.books import Person, digest_of, make_job
from kits.examples import examples
from kits.machine import BODIES, INPUTS, Effects, every, kinds, notes, only, told
from kits.requester import RequesterKit, finishing, go_through, moments, owing, paying, requester_at
from simulator.strategies import wire

from protocol import params
from protocol.errors import FatalError, StateError
from protocol.machines import effects, inputs
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.requester import pay
from protocol.requester.state import RequesterState
from protocol.wire.codec import decode, encode
from protocol.wire.messages import Ask, Open, RefusalCode, Refuse

#: Outcomes of this node's own effects: what made them checked them.
OWN = (
    inputs.AssembledCohort,
    inputs.AssembledRoster,
    inputs.AssembledContributions,
    inputs.InitialModelMade,
    inputs.BatchSound,
    inputs.SumMade,
    inputs.ModelMoved,
    inputs.Settled,
    inputs.CommitmentSigned,
    inputs.Unmasked,
)


@pytest.fixture(scope="module", params=moments(), ids=lambda moment: moment[0])
def anywhere(request: pytest.FixtureRequest) -> RequesterKit:
    found = request.param[1]
    assert isinstance(found, RequesterKit)
    return found


#: Milliseconds; the clock of a node that is told later times is broken, and deadlines overflow.
LAST_YEAR = 2**52


@examples(0.6)
@given(input_=st.one_of([wire(kind) for kind in INPUTS if kind not in OWN]))
def test_no_input_breaks_it(anywhere: RequesterKit, input_: inputs.Input) -> None:
    """Any input in any phase: a new state and effects that can be stored, or StateError."""
    assume(input_.at < LAST_YEAR)
    try:
        state, wanted = anywhere.peek(input_)
    except StateError:
        return
    except FatalError:
        # A sum of checked batches cannot fail: if it did, the job stops.
        assert isinstance(input_, inputs.SumFailed)
        return
    assert_storable(anywhere, state, wanted)


@examples(0.6)
@given(body=st.one_of([wire(kind) for kind in BODIES]), who=st.integers(0, 5), at=st.booleans())
def test_no_message_breaks_it(anywhere: RequesterKit, body: Any, who: int, at: bool) -> None:
    """Whatever a member or a stranger signs, about the present attempt or about none."""
    place = () if at and anywhere.state.round is not None else (0, 0)
    sender = (*anywhere.job.people, Person(99))[who]
    try:
        state, wanted = anywhere.peek(anywhere.message(anywhere.said(sender, body, *place)))
    except StateError:
        return
    assert_storable(anywhere, state, wanted)


def assert_storable(kit: RequesterKit, state: RequesterState, wanted: Effects) -> None:
    assert decode(RequesterState, encode(state), 1 << 20) == state
    kit.assert_storable(state, wanted)


def test_a_whole_job_goes_through() -> None:
    kit = requester_at(Phase.DONE, make_job(10, rounds=2, later=(5,)), round_=1)
    assert kit.state.phase is JobPhase.FINISHING
    assert [(r.number, r.attempt, r.count) for r in kit.state.records] == [(0, 0, 10), (1, 0, 10)]


# --- the end


def settled(kit: RequesterKit) -> Effects:
    payouts = tuple(m.payout for m in kit.job.cohort.members)
    digests = digest_of("evidence"), 900, digest_of("merit")
    return kit.step(inputs.Settled(kit.now, *digests, payouts))


def test_rounds_that_move_nothing_end_the_job() -> None:
    """Every one of them is paid for: it does not go on for ever."""
    kit = requester_at(Phase.APPLY, make_job(5, rounds=9))
    for number in range(params.MAX_LOST_ROUNDS):
        assert kit.state.phase is JobPhase.TRAINING
        go_through(kit, Phase.APPLY)
        wanted = kit.applied(contributors=0.0)
        assert kit.state.lost_rounds == number + 1
    assert kit.state.phase is JobPhase.FINISHING
    assert only(wanted, effects.Settle).model_digest == kit.state.model_digest
    assert "gave-up" in notes(wanted)
    assert [r.count for r in kit.state.records] == [5] * params.MAX_LOST_ROUNDS


def test_a_round_that_moves_something_forgives_lost_ones() -> None:
    kit = requester_at(Phase.APPLY, make_job(5, rounds=9))
    for contributors in (0.0, 0.0, 5.0):
        go_through(kit, Phase.APPLY)
        kit.applied(contributors)
    assert kit.state.lost_rounds == 0
    assert kit.state.phase is JobPhase.TRAINING


def test_the_sixteenth_failed_attempt_is_the_last() -> None:
    kit = requester_at(Phase.READY)
    wanted: Effects = ()
    for attempt in range(params.MAX_ATTEMPTS):
        assert kit.round.attempt == attempt
        kit.tick(kit.round.opening.ready_until)
        wanted = kit.tick(kit.round.retry_at)
    assert kinds(wanted) == ["Settle"]
    assert kit.state.phase is JobPhase.FINISHING
    assert kit.state.reason == "round 0 failed 16 attempts"


def test_a_round_that_cannot_be_applied_is_owed_all_the_same() -> None:
    kit = requester_at(Phase.APPLY)
    model = kit.round.opening.model_digest
    failed = inputs.MoveFailed(kit.now, 0, "the step leaves float64's range")
    assert kinds(kit.step(failed)) == ["Settle"]
    (record,) = kit.state.records
    assert (record.count, record.model_digest, record.next_model) == (5, model, model)


def test_the_books_name_who_kept_shares_back_and_what_worth_was_measured() -> None:
    kit = owing()
    kit.step(inputs.ChainCancelled(kit.now, 99, kit.now // 1000))
    kit.step(inputs.ChainHead(kit.now, 200, kit.now // 1000))
    wanted = kit.step(inputs.ChainHead(kit.now, 203, kit.now // 1000 + 9))
    settle = only(wanted, effects.Settle)
    assert settle.withheld == (4,)
    assert settle.worth == digest_of("worth", 0)


def test_claims_come_where_whole_rounds_cannot_be_paid_and_the_rest_after_them() -> None:
    kit = paying()
    accounts = tuple(kit.state.unpaid)
    assert len(accounts) == 5
    refused = inputs.TransactionFailed(kit.now, inputs.Call.PAY, b"", "too much gas")
    claims = every(kit.step(refused), effects.TransactClaim)
    assert [claim.account for claim in claims] == list(accounts)
    assert kit.state.phase is JobPhase.PAYING
    for account in accounts[:-1]:
        assert kinds(kit.step(inputs.TransactionFinal(kit.now, inputs.Call.CLAIM, account))) == []
    failed = inputs.TransactionFailed(kit.now, inputs.Call.CLAIM, accounts[-1], "nothing to pay")
    kit.step(failed)
    assert kit.state.phase is JobPhase.CLOSED, "the escrow is spent: nothing comes back"


def test_what_no_contribution_is_owed_comes_back() -> None:
    kit = requester_at(Phase.CONTRIBUTE, make_job(10, rounds=1))
    kit.all_contributed(without=(0,))
    assert kit.round.count == 5, "a block of the two is left out"
    kit.final()
    kit.all_released()
    kit.applied()
    assert kinds(settled(kit)) == ["TransactFinish"]
    wanted = kit.step(inputs.TransactionFinal(kit.now, inputs.Call.FINISH, b""))
    assert only(wanted, effects.TransactPay).evidence_digest == kit.state.evidence_digest
    assert every(wanted, effects.TransactClaim) == []
    head, closes = kit.state.head, kit.now // 1000 + 7200
    kit.step(inputs.ChainFinished(kit.now, head, digest_of("m"), digest_of("e"), closes))
    assert kit.state.phase is JobPhase.PAYING
    assert kinds(kit.step(inputs.TransactionFinal(kit.now, inputs.Call.PAY, b""))) == []
    assert not kit.state.unpaid
    # What is told twice changes nothing.
    assert kinds(kit.step(inputs.TransactionFinal(kit.now, inputs.Call.PAY, b""))) == []
    late = inputs.TransactionFailed(kit.now, inputs.Call.PAY, b"", "not the next round")
    assert every(kit.step(late), effects.TransactClaim) == []
    assert kit.state.phase is JobPhase.CLOSED, "everybody is paid; the rest waits for the notice"
    assert pay.awaits_rest(kit.context, kit.state)
    depth = kit.job.spec.timing.finality_blocks

    def heads(first: int, timestamp: int) -> list[list[str]]:
        numbers = range(first, first + depth + 1)
        return [kinds(kit.step(inputs.ChainHead(kit.now, n, timestamp))) for n in numbers]

    assert heads(head + 1, closes - 1) == [[]] * (depth + 1)
    assert heads(head + 20, closes) == [*[[]] * depth, ["TransactWithdraw"]]
    assert heads(head + 50, closes + 9) == [[]] * (depth + 1), "once"
    kit.step(inputs.TransactionFinal(kit.now, inputs.Call.WITHDRAW, b""))
    assert not pay.awaits_rest(kit.context, kit.state)


def test_a_closing_that_a_reorganisation_takes_back_is_awaited_again() -> None:
    kit = requester_at(Phase.CONTRIBUTE, make_job(10, rounds=1))
    kit.all_contributed(without=(0,))
    kit.final()
    kit.all_released()
    kit.applied()
    settled(kit)
    kit.step(inputs.TransactionFinal(kit.now, inputs.Call.FINISH, b""))
    head, closes = kit.state.head, kit.now // 1000 + 7200
    kit.step(inputs.ChainFinished(kit.now, head, digest_of("m"), digest_of("e"), closes))
    kit.step(inputs.TransactionFinal(kit.now, inputs.Call.PAY, b""))
    depth = kit.job.spec.timing.finality_blocks
    kit.step(inputs.ChainHead(kit.now, head + 9, closes))
    kit.step(inputs.ChainReorg(kit.now, head + 8))
    kit.step(inputs.ChainFinished(kit.now, head + 9, digest_of("m"), digest_of("e"), closes + 5))
    assert kinds(kit.step(inputs.ChainHead(kit.now, head + 10 + depth, closes + 4))) == []
    assert kinds(kit.step(inputs.ChainHead(kit.now, head + 20, closes + 5))) == []
    wanted = kit.step(inputs.ChainHead(kit.now, head + 20 + depth, closes + 6))
    assert kinds(wanted) == ["TransactWithdraw"]


def test_a_post_that_is_seen_after_it_expired_is_taken_back() -> None:
    kit = requester_at(JobPhase.POSTING)
    expiry = kit.job.spec.expires_at
    kit.tick(1000 * expiry)
    assert kit.state.phase is JobPhase.CANCELLED
    kit.step(inputs.ChainPosted(kit.now, 9))
    assert kinds(kit.step(inputs.ChainHead(kit.now, 10, expiry))) == []
    assert kinds(kit.step(inputs.ChainHead(kit.now, 13, expiry + 9))) == ["TransactWithdraw"]


def test_a_posting_that_is_refused_is_told_as_that() -> None:
    """Once, with the contract's words; nothing of the machine's own broke."""
    kit = requester_at(JobPhase.POSTING)
    refused = inputs.TransactionFailed(kit.now, inputs.Call.POST, b"", "bounty: closes too late")
    said = [(each.kind, each.text) for each in every(kit.step(refused), effects.Notify)]
    why = "the bounty could not be posted: bounty: closes too late"
    assert said == [("transaction-failed", "post: bounty: closes too late"), ("failed", why)]
    assert (kit.state.phase, kit.state.reason) == (JobPhase.FAILED, why)


def test_a_commitment_that_is_mined_after_its_job_failed_is_owed() -> None:
    """It was signed before a reorganisation took the roots; the chain pays it: it is booked."""
    kit = requester_at(Phase.COMMIT)
    kit.list_stored()
    kit.signed()
    round_ = kit.round
    kit.step(inputs.ChainReorg(kit.now, 0))
    assert kit.state.phase is JobPhase.FAILED
    model, block, expiry = round_.opening.model_digest, 30, kit.job.spec.expires_at
    kit.step(inputs.ChainCommitted(kit.now, block, 0, round_.root, round_.count, model))
    kit.step(inputs.ChainHead(kit.now, 90, expiry))
    wanted = kit.step(inputs.ChainHead(kit.now, 99, expiry + 9))
    assert [(each.number, each.root) for each in kit.state.records] == [(0, round_.root)]
    assert kinds(wanted) == ["Settle"]


@pytest.mark.parametrize("end", [finishing, paying])
def test_a_job_that_ends_cannot_be_cancelled(end: Any) -> None:
    kit: RequesterKit = end()
    assert "cannot be cancelled" in kit.refused(inputs.ActionCancel(kit.now))


def test_a_cancellation_that_comes_while_it_finishes_does_not_stop_it() -> None:
    kit = finishing()
    kit.step(inputs.ChainCancelled(kit.now, kit.state.head, kit.now // 1000 + 120))
    assert kit.state.phase is JobPhase.FINISHING


# --- words


def test_a_refusal_counts_from_members_only() -> None:
    kit = requester_at(Phase.READY)
    word = Refuse(RefusalCode.INVALID, "\x1b[2Jno")
    (notice,) = kit.hear(kit.job.people[0], word)
    assert isinstance(notice, effects.Notify)
    assert notice.text == "invalid: ?[2Jno", "what does not print is not shown"
    assert "not enrolled" in kit.deaf(Person(99), word)


def test_a_machine_is_not_asked() -> None:
    kit = requester_at(Phase.READY)
    assert "does not receive Ask" in kit.deaf(kit.job.people[0], Ask())


def test_a_failed_attempt_is_followed_by_the_next_on_the_same_model() -> None:
    kit = requester_at(Phase.READY)
    kit.tick(kit.round.opening.ready_until)
    assert kit.round.phase is Phase.FAILED
    first = kit.round.opening
    assert kinds(kit.tick(kit.round.retry_at - 1)) == []
    (opening,) = told(kit.tick(kit.round.retry_at))
    assert isinstance(opening, Open)
    assert opening.model_digest == first.model_digest
    assert (kit.round.number, kit.round.attempt, len(kit.round.ready)) == (0, 1, 0)
