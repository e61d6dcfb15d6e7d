"""The requester of a job whose contributions prove their norm: dealings, words, verdicts, sums."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from kits.books import Job, digest_of, make_job
from kits.machine import Effects, every, notes, only, ready_of, told
from kits.requester import RequesterKit, requester_at

from protocol.machines import effects, inputs, proving
from protocol.machines.round import Phase
from protocol.requester.state import RequesterProof
from protocol.wire.messages import Committed, Dealt, Decided, RefusalCode, Refuse, Release, Words


class ProvingKit(RequesterKit):
    """With what happens between the last dealing and the sums."""

    @property
    def proof(self) -> RequesterProof:
        assert self.state.proof is not None
        return self.state.proof

    def header(self, member: int, /, **changes: object) -> Any:
        block = self.job.blocks_in(self.round.number)[member]
        size = self.job.spec.packing_for(len(self.members(block))).batch_bytes(0)
        return super().header(member, **{"batch_size": size, **changes})

    def dealings_stored(self) -> Effects:
        wanted: Effects = ()
        for dealt in self.proof.dealt:
            digest = digest_of("dealt", dealt.block)
            wanted = self.step(
                inputs.AssembledDealings(self.now, *self.place, dealt.block, digest, 900)
            )
        return wanted

    def words_of(self, member: int, /, **changes: Any) -> Words:
        block = self.job.blocks_in(self.round.number)[member]
        dealt = self.proof.dealt.at(block)
        count = 6 if dealt is None else len(dealt.members)
        words = (bytes(32),) * count
        digest = digest_of("words", member)
        body = Words(block, member, digest_of("dealt", block), words, digest, 5000)
        return dataclasses.replace(body, **changes)

    def says(self, member: int, /, **changes: Any) -> Effects:
        return self.hear(self.job.people[member], self.words_of(member, **changes))

    def words_here(self, member: int) -> Effects:
        self.says(member)
        return self.step(inputs.BlobArrived(self.now, digest_of("words", member)))

    def all_say(self, without: tuple[int, ...] = ()) -> Effects:
        wanted: Effects = ()
        for member in self.going:
            if member not in without:
                wanted = self.words_here(member)
        return wanted

    def verdict(self, block: int = 0, **changes: Any) -> Effects:
        all_ = self.members(block)
        cheats = {cheat.member for cheat in self.state.cheats}
        there = tuple(member for member in all_ if member not in cheats)
        made = inputs.VerdictMade(
            self.now,
            *self.place,
            block,
            digest_of("verdict", block),
            70_000,
            there,
            (),
            there,
            (),
            (),
        )
        return self.step(dataclasses.replace(made, **changes))

    def sum_of(self, member: int) -> bytes:
        return digest_of("sum of", member)

    def tells(self, member: int) -> Effects:
        block = self.job.blocks_in(self.round.number)[member]
        body = Release(self.round.root, block, (self.sum_of(member),))
        return self.hear(self.job.people[member], body)

    def sum_here(self, member: int) -> Effects:
        return self.step(inputs.BlobArrived(self.now, self.sum_of(member)))


def proving_at(where: Phase, job: Job | None = None) -> ProvingKit:
    kit = requester_at(Phase.READY, job or make_job(6, proven=True))
    kit.__class__ = ProvingKit
    assert isinstance(kit, ProvingKit)
    go(kit, where)
    return kit


def go(kit: ProvingKit, where: Phase) -> None:
    """The present attempt from its opening to a phase."""
    kit.all_ready()
    kit.rosters_stored()
    if where is Phase.CONTRIBUTE:
        return
    kit.all_contributed()
    if where is Phase.VERIFY:
        return
    kit.dealings_stored()
    kit.all_say()
    kit.verdict()
    if where is Phase.COMMIT:
        return
    kit.list_stored()
    kit.signed()
    kit.committed()
    kit.deep()
    if where is Phase.UNMASK:
        return
    for member in kit.going:
        kit.tells(member)
        kit.sum_here(member)
    kit.unmasked(0, good=kit.going)
    if where is Phase.APPLY:
        return
    kit.applied()


def test_dealings_are_named_and_words_awaited_before_anything_is_committed() -> None:
    kit = proving_at(Phase.CONTRIBUTE)
    wanted = kit.all_contributed()
    assert kit.round.phase is Phase.VERIFY
    assert only(wanted, proving.AssembleDealings).block == 0
    (body,) = told(kit.dealings_stored())
    assert isinstance(body, Dealt)
    assert kit.proof.verify_until
    asked = only(kit.all_say(), proving.ComputeVerdict)
    assert len(asked.messages) == 6
    wanted = kit.verdict()
    assert [type(each) for each in told(wanted)] == [Decided]
    listed = only(wanted, proving.AssembleListed)
    assert (len(listed.messages), listed.verdicts) == (6, (digest_of("verdict", 0),))
    assert kit.round.phase is Phase.COMMIT
    assert not every(wanted, effects.ComputeSum)


def test_a_ready_that_shares_secrets_is_not_listed() -> None:
    """It would have its roster refused."""
    kit = requester_at(Phase.READY, make_job(6, proven=True))
    body = ready_of(make_job(6), 0, kit.round.opening_digest)
    wanted = kit.hear(kit.job.people[0], body)
    assert "shares among" in only(wanted, effects.Blame).reason
    assert not kit.round.ready


def test_words_that_do_not_come_are_not_waited_for_longer() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.tick(kit.now)  # the lists are being stored: no deadline yet
    kit.dealings_stored()
    kit.all_say(without=(5,))
    kit.tick(kit.proof.verify_until - 1)
    assert not kit.proof.deciding
    asked = only(kit.tick(kit.proof.verify_until), proving.ComputeVerdict)
    assert len(asked.messages) == 5


def test_who_refuses_is_not_waited_for() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.dealings_stored()
    kit.all_say(without=(5,))
    wanted = kit.hear(kit.job.people[5], Refuse(RefusalCode.INVALID, "no"))
    assert every(wanted, proving.ComputeVerdict)


def test_nobody_says_anything() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.dealings_stored()
    kit.tick(kit.proof.verify_until)
    assert kit.round.phase is Phase.FAILED


def test_two_different_words_count_as_none_and_are_blamed() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.dealings_stored()
    kit.words_here(0)
    kit.says(0)  # the same again
    wanted = kit.says(0, words_digest=digest_of("other"))
    assert "two different words" in only(wanted, effects.Blame).reason
    for member in range(1, 6):
        wanted = kit.words_here(member)
    assert len(only(wanted, proving.ComputeVerdict).messages) == 5


@pytest.mark.parametrize(
    "changes",
    [
        {"member": 1},
        {"block": 3},
        {"dealt_digest": digest_of("else")},
        {"words": (bytes(32),)},
    ],
    ids=["member", "block", "list", "number"],
)
def test_words_on_something_else_are_refused(changes: dict[str, Any]) -> None:
    kit = proving_at(Phase.VERIFY)
    kit.dealings_stored()
    assert kit.deaf(kit.job.people[0], kit.words_of(0, **changes))


def test_who_failed_is_named_leaves_for_good_and_the_block_goes_on() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.dealings_stored()
    kit.all_say()
    five = tuple(member for member in range(6) if member != 3)
    wanted = kit.verdict(passed=five, failed=(3,), reasons=((3, "its squares do not add up"),))
    assert only(wanted, effects.Blame).peer == kit.job.people[3].peer
    assert "proof-failed" in notes(wanted)
    assert kit.round.phase is Phase.COMMIT
    assert kit.block(0).members == five
    assert 3 in kit.state.withholding
    kit.list_stored()
    kit.signed()
    kit.committed()
    kit.deep()
    for member in five:
        kit.tells(member)
        kit.sum_here(member)
    kit.unmasked(0, good=five)
    kit.applied()
    kit.all_ready()
    assert [roster.members for roster in kit.round.rosters] == [five]


def test_without_noise_one_that_is_undecided_ends_the_attempt_and_is_not_blamed() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.dealings_stored()
    kit.all_say()
    wanted = kit.verdict(passed=(0, 1, 2, 3, 4), reasons=((5, "too few words"),))
    assert "proof-undecided" in notes(wanted)
    assert not every(wanted, effects.Blame)
    assert kit.round.phase is Phase.FAILED
    assert not kit.state.cheats


def test_words_that_are_not_those_that_were_signed_are_blamed() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.dealings_stored()
    kit.all_say()
    assert "signed" in only(kit.verdict(bad=(2,)), effects.Blame).reason


def test_each_of_several_blocks_is_decided() -> None:
    kit = proving_at(Phase.VERIFY, make_job(12, proven=True))
    kit.dealings_stored()
    kit.all_say()
    kit.verdict(0)
    assert kit.round.phase is Phase.VERIFY
    kit.refused(
        inputs.VerdictMade(kit.now, *kit.place, 0, digest_of("again"), 1, (), (), (), (), ())
    )
    kit.verdict(1)
    assert kit.round.phase is Phase.COMMIT


@pytest.mark.parametrize("where", [Phase.COMMIT, Phase.UNMASK])
def test_a_release_counts_once_its_sum_is_here(where: Phase) -> None:
    kit = proving_at(where)
    if where is Phase.COMMIT:
        kit.list_stored()
    wanted = kit.tells(0)
    (fetch,) = every(wanted, effects.Fetch)
    assert (fetch.digest, fetch.size) == (kit.sum_of(0), 8 * kit.job.spec.parameter_count)
    assert not kit.round.releases
    kit.sum_here(0)
    assert len(kit.round.releases) == 1
    assert kit.deaf(kit.job.people[0], Release(kit.round.root, 0, (digest_of("second"),)))


def test_a_block_opens_with_everybody_s_sum() -> None:
    kit = proving_at(Phase.UNMASK)
    for member in range(5):
        kit.tells(member)
        assert not every(kit.sum_here(member), effects.ComputeUnmask)
    kit.tells(5)
    asked = only(kit.sum_here(5), effects.ComputeUnmask)
    assert len(asked.releases) == 6
    applied = only(kit.unmasked(0, good=kit.going), effects.ComputeApply)
    assert applied.blocks[0].sum == applied.blocks[0].unmask


def test_who_cannot_add_owes_nothing_and_is_not_waited_for() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.dealings_stored()
    kit.all_say()
    kit.verdict(able=(0, 1, 2, 3, 4))
    kit.list_stored()
    kit.signed()
    kit.committed()
    kit.deep()
    for member in range(4):
        kit.tells(member)
        kit.sum_here(member)
    kit.tells(4)
    assert every(kit.sum_here(4), effects.ComputeUnmask)
    kit.unmasked(0, good=(0, 1, 2, 3, 4))
    assert not kit.state.owed


@pytest.mark.parametrize("where", [Phase.APPLY, Phase.DONE])
def test_a_sum_that_comes_late_clears_its_debt(where: Phase) -> None:
    kit = proving_at(Phase.UNMASK, make_job(6, proven=True, rounds=1))
    for member in range(5):
        kit.tells(member)
        kit.sum_here(member)
    kit.tick(kit.round.unmask_until - 1)
    kit.unmasked(0, good=(0, 1, 2, 3, 4))
    assert 5 in kit.state.withholding
    if where is Phase.DONE:
        kit.applied()
    assert kit.round.phase is where
    kit.tells(5)
    kit.sum_here(5)
    assert 5 not in kit.state.withholding


def late_one() -> tuple[ProvingKit, Release, tuple[int, int]]:
    """The round is over; member 5 has not told of its sum."""
    kit = proving_at(Phase.UNMASK)
    for member in range(5):
        kit.tells(member)
        kit.sum_here(member)
    kit.tick(kit.round.unmask_until - 1)
    kit.unmasked(0, good=(0, 1, 2, 3, 4))
    root, place = kit.round.root, kit.place
    kit.applied()
    assert kit.round.number == 1
    return kit, Release(root, 0, (kit.sum_of(5),)), place


def test_a_sum_that_is_told_of_when_its_round_is_over_clears_its_debt_once_it_is_here() -> None:
    kit, body, place = late_one()
    fetch = only(kit.hear(kit.job.people[5], body, *place), effects.Fetch)
    assert (fetch.digest, fetch.peers) == (kit.sum_of(5), (kit.job.people[5].peer,))
    assert 5 in kit.state.withholding
    kit.sum_here(5)
    assert 5 not in kit.state.withholding


def test_a_late_sum_is_told_of_three_times_at_most() -> None:
    kit, body, place = late_one()
    for _ in range(3):
        kit.hear(kit.job.people[5], body, *place)
    assert "told of its sum 3 times" in kit.deaf(kit.job.people[5], body, *place)
    assert 5 in kit.state.withholding


def test_a_sum_that_is_told_of_in_time_and_served_late_clears_its_debt() -> None:
    kit = proving_at(Phase.UNMASK)
    for member in range(5):
        kit.tells(member)
        kit.sum_here(member)
    kit.tells(5)
    kit.tick(kit.round.unmask_until - 1)
    kit.unmasked(0, good=(0, 1, 2, 3, 4))
    kit.applied()
    assert (kit.round.number, 5 in kit.state.withholding) == (1, True)
    kit.sum_here(5)
    assert 5 not in kit.state.withholding


def test_a_commitment_says_what_it_says_of_any_job() -> None:
    kit = proving_at(Phase.COMMIT)
    kit.list_stored()
    assert [type(each) for each in told(kit.signed())] == [Committed]


@pytest.mark.parametrize("how", ["unsound", "refused", "late"])
def test_with_noise_one_that_deals_nothing_holds_up_nobody(how: str) -> None:
    job = make_job(7, proven=True, dropouts=1, block_size=7, min_owners=7)
    kit = proving_at(Phase.CONTRIBUTE, job)
    for member in range(6):
        kit.contributed(member)
    if how == "unsound":
        kit.contribute(6)
        kit.arrive(kit.batch(6))
        kit.unsound(6, "a dealing that another member made")
    elif how == "refused":
        kit.hear(job.people[6], Refuse(RefusalCode.INVALID, "no"))
    else:
        kit.tick(kit.round.opening.contribute_until)
    assert kit.round.phase is Phase.VERIFY
    assert kit.proof.dealt.at(0) is not None
