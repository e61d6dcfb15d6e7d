"""What an owner asks of a commitment before it gives up its shares: once, and of one kind."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from kits.books import REQUESTER, digest_of, make_job
from kits.machine import every, kinds, refusals
from kits.owner import DEPTH, OwnerKit, due, go_through, owner_at, release

from protocol.machines import effects, inputs
from protocol.machines.effects import BlobKind
from protocol.machines.job import JobPhase
from protocol.machines.round import Phase
from protocol.wire.messages import RefusalCode


@pytest.fixture
def said() -> OwnerKit:
    """The requester has shown its commitment."""
    kit = owner_at(Phase.COMMIT)
    assert kinds(kit.committed()) == ["Fetch"]
    return kit


def released(wanted: tuple[effects.Effect, ...]) -> list[effects.SendRelease]:
    return every(wanted, effects.SendRelease)


# --- what comes first


@pytest.mark.parametrize("order", [("list", "chain", "deep"), ("chain", "deep", "list")])
def test_shares_go_once_the_whole_list_is_verified_and_final(
    said: OwnerKit, order: tuple[str, ...]
) -> None:
    do = {"list": said.list_examined, "chain": said.on_chain, "deep": said.deep}
    for step in order[:-1]:
        assert released(do[step]()) == [], f"after {step}"
        assert said.round.phase is Phase.COMMIT
    (shares,) = released(do[order[-1]]())
    assert said.round.phase is Phase.APPLY
    assert shares == effects.SendRelease(
        0,
        0,
        said.round.opening.model_digest,
        digest_of("root", 0),
        said.round.block,
        said.round.roster_digest,
        said.mates,
        1000 * said.job.spec.expires_at,
    )
    (earned,) = said.state.earned
    assert (earned.round, earned.root, earned.block > 0) == (0, digest_of("root", 0), True)


def test_shares_wait_for_the_last_block_of_finality(said: OwnerKit) -> None:
    said.list_examined()
    assert released(said.on_chain()) == []
    for depth in range(DEPTH):
        assert released(said.deep(depth)) == []
    assert len(released(said.deep(DEPTH))) == 1


def test_shares_of_those_who_dropped_are_told_from_those_who_are_in() -> None:
    """The list alone decides: what it leaves out of the roster dropped."""
    job = make_job(5, dropouts=1)
    kit = owner_at(Phase.COMMIT, job, 1)
    kit.committed(count=4)
    kit.list_examined(members=(0, 1, 3, 4), count=4)
    kit.on_chain(count=4)
    (shares,) = released(kit.deep())
    assert shares.listed == (0, 1, 3, 4)
    assert kit.round.roster == (0, 1, 2, 3, 4)


def test_shares_go_once_whatever_comes_again() -> None:
    """A commitment heard again, its list, the chain's word after a reorganisation, a restart."""
    kit = owner_at(Phase.COMMIT)
    release(kit)
    again: list[effects.Effect] = []
    depth = kit.state.commitments[-1].block
    for input_ in (
        inputs.ChainHead(kit.now, depth + 9, 0),
        inputs.ChainReorg(kit.now, depth - 1),
        inputs.ChainCommitted(
            kit.now, depth, 0, digest_of("root", 0), 5, kit.round.opening.model_digest
        ),
        inputs.ChainHead(kit.now, depth + 9, 0),
    ):
        again += kit.step(input_)
    assert "Committed of round 0.0 is not awaited" in kit.deaf(REQUESTER, kit.commitment())
    assert released(tuple(again)) == []


def test_a_due_round_is_released_when_the_next_has_begun() -> None:
    kit = due()
    assert kit.state.due is not None
    assert kit.state.due.phase is Phase.DUE
    (shares,) = released(kit.deep())
    assert (shares.round, shares.attempt) == (0, 0)
    assert shares.roster_digest == digest_of("roster", 0, 0)
    assert kit.state.due.phase is Phase.DONE
    assert kit.round.number == 1
    assert kit.state.unpaid == 0


def test_a_due_rounds_list_may_come_after_the_next_opening() -> None:
    kit = owner_at(Phase.COMMIT)
    kit.open(1)
    before = kit.state.due
    assert before is not None
    assert kinds(kit.committed(before)) == ["Fetch"]
    listed = inputs.BlobArrived(kit.now, digest_of("list", 0))
    examine = kit.step(listed)
    assert [e.kind for e in every(examine, effects.Examine)] == [BlobKind.CONTRIBUTIONS]
    kit.list_examined(before)
    kit.on_chain(before)
    assert [e.round for e in released(kit.deep())] == [0]


def test_a_failed_attempts_commitment_is_not_awaited() -> None:
    """Another attempt of the same round followed: nothing is released for the first any more."""
    kit = owner_at(Phase.COMMIT)
    first = kit.round
    go_through(kit, 0, Phase.COMMIT, attempt=1)
    body = kit.commitment(first)
    assert "Committed of round 0.0 is not awaited" in kit.deaf(REQUESTER, body, 0, 0)


def test_nothing_is_released_once_the_job_is_over(said: OwnerKit) -> None:
    """Nobody applies sums any more, and the key of the boxes is destroyed; pay stays owed."""
    said.list_examined()
    said.on_chain()
    said.step(inputs.ChainCancelled(said.now, 99, 1))
    assert said.state.phase is JobPhase.CANCELLED
    assert released(said.deep()) == []
    assert [e.block > 0 for e in said.state.earned] == [True]


# --- commitments that are refused


def test_a_commitment_that_the_account_did_not_sign_is_refused() -> None:
    kit = owner_at(Phase.COMMIT)
    good = kit.commitment()
    for bad in (
        dataclasses.replace(good, count=4),
        dataclasses.replace(good, root=b"\x09" * 32),
        dataclasses.replace(good, valid_until=good.valid_until + 1),
        dataclasses.replace(good, signature=bytes(65)),
    ):
        why = "the commitment is not signed by the account"
        assert refusals(kit.hear(REQUESTER, bad)) == [(RefusalCode.INVALID, why)]
    assert kit.round.commitment_root == b""


def test_a_commitment_to_another_model_is_refused() -> None:
    kit = owner_at(Phase.COMMIT)
    wanted = kit.committed(model_digest=b"\x09" * 32)
    why = "the commitment names another model"
    assert refusals(wanted) == [(RefusalCode.CONFLICT, why)]


def test_a_second_commitment_is_refused(said: OwnerKit) -> None:
    wanted = said.committed(root=b"\x09" * 32)
    assert refusals(wanted) == [(RefusalCode.CONFLICT, "two commitments of one round")]
    later = said.committed(valid_until=said.now // 1000 + 60)
    assert kinds(later) == [], "the same root, signed again"
    assert said.round.commitment_root == digest_of("root", 0)


BAD_LISTS: dict[str, tuple[dict[str, Any], RefusalCode | None, str]] = {
    "another root": ({"root": b"\x09" * 32}, RefusalCode.INVALID, "not the commitment's"),
    "another batch of mine": ({"mine": b"\x09" * 32}, RefusalCode.INVALID, "another batch"),
    "my block without me": (
        {"mine": b"", "members": (1, 2, 3, 4)},
        RefusalCode.CONFLICT,
        "without its contribution",
    ),
    "without my block": ({"mine": b"", "members": ()}, None, ""),
}


@pytest.mark.parametrize(("changes", "code", "why"), BAD_LISTS.values(), ids=BAD_LISTS.keys())
def test_nothing_is_released_for_a_list_that_does_not_fit(
    said: OwnerKit, changes: dict[str, Any], code: RefusalCode | None, why: str
) -> None:
    wanted = said.list_examined(**changes)
    found = refusals(wanted)
    assert [c for c, _ in found] == ([code] if code else [])
    assert all(why in reason for _, reason in found)
    assert said.round.phase is Phase.FAILED
    assert said.state.earned == ()
    said.on_chain()
    assert released(said.deep()) == []


def test_members_outside_the_roster_are_refused() -> None:
    """Whose masks are in no sum of this roster: their seeds would open somebody else's."""
    job = make_job(5, dropouts=1)
    kit = owner_at(Phase.FREEZE, job, 1)
    kit.roster_examined(members=(0, 1, 2, 3))
    kit.trained()
    kit.committed(count=4)
    ((code, why),) = refusals(kit.list_examined(members=(0, 1, 2, 4), count=4))
    assert (code, why) == (RefusalCode.INVALID, "the commitment lists members outside the roster")
    kit.on_chain(count=4)
    assert released(kit.deep()) == []


def test_a_list_that_does_not_hold_is_refused(said: OwnerKit) -> None:
    place = 0, 0, said.round.list_digest
    reason = "member 7 is listed in block 0, not its own"
    wanted = said.step(inputs.RejectedContributions(said.now, *place, reason))
    assert refusals(wanted) == [(RefusalCode.INVALID, reason)]
    said.on_chain()
    assert released(said.deep()) == []


@pytest.mark.parametrize(
    "changes",
    [{"root": b"\x09" * 32}, {"count": 4}, {"model_digest": b"\x09" * 32}],
    ids=["root", "count", "model"],
)
def test_another_commitment_on_the_chain_is_not_what_was_said(
    said: OwnerKit, changes: dict[str, Any]
) -> None:
    said.list_examined()
    said.on_chain(**changes)
    wanted = said.deep()
    why = "the chain holds another commitment"
    assert refusals(wanted) == [(RefusalCode.CONFLICT, why)]
    assert released(wanted) == []
    assert said.round.phase is Phase.FAILED
    assert said.state.earned == ()


def test_a_reorganisation_takes_certainty_back(said: OwnerKit) -> None:
    said.list_examined()
    said.on_chain()
    block = said.state.commitments[-1].block
    said.step(inputs.ChainReorg(said.now, block - 1))
    assert said.state.commitments == ()
    assert [e.block for e in said.state.earned] == [0]
    assert released(said.step(inputs.ChainHead(said.now, block + 9, 0))) == []
    assert said.round.phase is Phase.COMMIT


def test_a_root_that_a_reorganisation_brings_back_is_earned(said: OwnerKit) -> None:
    """Another one stood there for a few blocks; what is final counts."""
    said.list_examined()
    said.on_chain(root=b"\x09" * 32)
    assert [e.block for e in said.state.earned] == [0]
    said.step(inputs.ChainReorg(said.now, said.state.commitments[-1].block - 1))
    said.on_chain()
    assert len(released(said.deep())) == 1
    assert [e.block > 0 for e in said.state.earned] == [True]


def test_a_lost_list_is_fetched_when_the_commitment_is_heard_again(said: OwnerKit) -> None:
    said.step(inputs.BlobMissing(said.now, digest_of("list", 0), "gone"))
    assert kinds(said.committed()) == ["Fetch"]
    assert kinds(said.committed()) == []


def test_a_list_is_examined_under_this_owners_roster(said: OwnerKit) -> None:
    wanted = said.step(inputs.BlobArrived(said.now, digest_of("list", 0)))
    (examine,) = every(wanted, effects.Examine)
    assert examine.binding == said.round.roster_digest
    assert examine.block == said.round.block


def test_a_result_ends_the_round() -> None:
    kit = owner_at(Phase.APPLY)
    kit.result()
    assert kit.round.phase is Phase.DONE
    assert kit.state.model_digest == digest_of("model", 1)
