"""An owner in a job whose contributions prove their norm: words once, and a list held to them."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from kits.books import REQUESTER, digest_of, make_job
from kits.machine import Effects, every, notes, only, refusals, sent
from kits.owner import OwnerKit, owner_at

from protocol.machines import effects, inputs, proving
from protocol.machines.round import Phase
from protocol.owner.state import OwnerProof, OwnerRound
from protocol.wire.messages import Dealt, Decided, RefusalCode, Roster, Verdict, Words

DEALT, VERDICT = digest_of("dealt"), digest_of("verdict")


class ProvingKit(OwnerKit):
    """With what is heard and made between a dealing and a sum; about the present round, or one that
    is due."""

    @property
    def proof(self) -> OwnerProof:
        return self.state.proofs[-1]

    def dealt(self, digest: bytes = DEALT, **changes: Any) -> Effects:
        round_ = self.round
        body = Dealt(round_.opening_digest, (Roster(round_.block, digest, 900),))
        return self.hear(REQUESTER, dataclasses.replace(body, **changes))

    def listed(self) -> Effects:
        """The dealt list is here, and holds."""
        self.step(inputs.BlobArrived(self.now, DEALT))
        place = self.round.number, self.round.attempt
        told = inputs.ExaminedDealings(self.now, *place, DEALT, self.mates, boxes(self), 5000)
        return self.step(told)

    def boxes_here(self) -> Effects:
        wanted: Effects = ()
        for box in boxes(self):
            wanted = self.step(inputs.BlobArrived(self.now, box))
        return wanted

    def words_made(self) -> Effects:
        place, words = (self.round.number, self.round.attempt), (bytes(32),) * len(self.mates)
        return self.step(inputs.WordsMade(self.now, *place, words, digest_of("words"), 3000, 1))

    def decided(self, round_: OwnerRound | None = None, digest: bytes = VERDICT) -> Effects:
        about = round_ or self.round
        body = Decided(about.opening_digest, (Verdict(about.block, digest, 9000),))
        return self.hear(REQUESTER, body, about.number, about.attempt)

    def both_here(self, round_: OwnerRound | None = None) -> Effects:
        about = round_ or self.round
        self.step(inputs.BlobArrived(self.now, VERDICT))
        return self.step(inputs.BlobArrived(self.now, digest_of("list", about.number)))

    def verdict_holds(self, round_: OwnerRound | None = None, **changes: Any) -> Effects:
        about = round_ or self.round
        told = inputs.ExaminedVerdict(
            self.now,
            about.number,
            about.attempt,
            digest_of("list", about.number),
            digest_of("root", about.number),
            about.roster,
            (),
            5,
            about.batch_digest,
            True,
        )
        return self.step(dataclasses.replace(told, **changes))


def boxes(kit: OwnerKit) -> tuple[bytes, ...]:
    return tuple(digest_of("box", member) for member in kit.mates)


def proving_at(where: Phase, noisy: bool = False, number: int = 0) -> ProvingKit:
    if noisy:
        job = make_job(7, proven=True, dropouts=1, block_size=7, min_owners=7)
    else:
        job = make_job(6, proven=True)
    kit = owner_at(Phase.CONTRIBUTE, job)
    kit.__class__ = ProvingKit
    assert isinstance(kit, ProvingKit)
    if where is Phase.CONTRIBUTE:
        return kit
    kit.trained()
    if where is Phase.VERIFY:
        return kit
    kit.dealt()
    kit.listed()
    kit.boxes_here()
    kit.words_made()
    if where is Phase.COMMIT:
        return kit
    kit.decided()
    kit.committed()
    kit.both_here()
    kit.verdict_holds()
    kit.on_chain()
    kit.deep()
    if where is Phase.APPLY:
        return kit
    kit.result()
    assert where is Phase.DONE
    return kit


def failed(kit: ProvingKit) -> ProvingKit:
    place = kit.round.number, kit.round.attempt
    kit.step(inputs.RejectedDealings(kit.now, *place, DEALT, "it does not hold"))
    assert kit.round.phase is Phase.FAILED
    return kit


def test_an_owner_fetches_its_own_box_of_each_dealer_from_that_dealer() -> None:
    kit = proving_at(Phase.VERIFY)
    (fetch,) = every(kit.dealt(), effects.Fetch)
    assert (fetch.digest, fetch.peers) == (DEALT, (REQUESTER.peer,))
    fetched = every(kit.listed(), effects.Fetch)
    cohort = kit.job.cohort
    assert [(f.digest, f.peers) for f in fetched] == [
        (box, (cohort.members[member].peer,))
        for box, member in zip(boxes(kit), kit.mates, strict=True)
    ]


def test_words_are_asked_for_once_all_boxes_came_or_are_missing() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.dealt()
    kit.listed()
    *others, last = boxes(kit)
    for box in others[1:]:
        assert not every(kit.step(inputs.BlobArrived(kit.now, box)), proving.ComputeWords)
    kit.step(inputs.BlobMissing(kit.now, others[0], "nobody has it"))
    wanted = only(kit.step(inputs.BlobArrived(kit.now, last)), proving.ComputeWords)
    assert wanted.dealt_digest == DEALT
    (body,) = sent(kit.words_made())
    assert isinstance(body, Words)
    assert (body.member, body.dealt_digest) == (kit.member, DEALT)
    assert kit.round.phase is Phase.COMMIT


def test_a_second_list_of_dealings_gets_no_words() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.dealt()
    wanted = kit.dealt(digest_of("other"))
    assert refusals(wanted) == [(RefusalCode.CONFLICT, "two lists of dealings of one attempt")]
    assert kit.proof.dealt_digest == DEALT


def test_dealings_without_the_block_end_its_attempt() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.dealt(lists=(Roster(7, DEALT, 900),))
    assert kit.round.phase is Phase.FAILED


def test_dealings_of_another_opening_are_refused() -> None:
    kit = proving_at(Phase.VERIFY)
    body = Dealt(digest_of("else"), (Roster(0, DEALT, 900),))
    assert "another opening" in kit.deaf(REQUESTER, body)


def test_a_list_that_is_lost_is_asked_for_again() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.dealt()
    kit.step(inputs.BlobMissing(kit.now, DEALT, "nobody has it"))
    assert every(kit.dealt(), effects.Fetch)


def test_a_list_that_does_not_hold_ends_the_attempt() -> None:
    kit = failed(proving_at(Phase.VERIFY))
    assert kit.round.phase is Phase.FAILED


def test_without_dealings_the_attempt_ends_in_time() -> None:
    kit = proving_at(Phase.VERIFY)
    until = kit.round.opening.contribute_until + 2000 * kit.job.spec.timing.unmask_seconds
    kit.tick(until - 1)
    assert kit.round.phase is Phase.VERIFY
    kit.tick(until)
    assert kit.round.phase is Phase.FAILED


def test_one_box_of_two_dealers_is_looked_for_at_both_and_stops_nobody() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.dealt()
    kit.step(inputs.BlobArrived(kit.now, DEALT))
    first, second, *others = boxes(kit)
    place = kit.round.number, kit.round.attempt
    told = (first, first, *others)
    wanted = kit.step(inputs.ExaminedDealings(kit.now, *place, DEALT, kit.mates, told, 5000))
    fetches = {each.digest: each for each in every(wanted, effects.Fetch)}
    peers = [kit.job.people[member].peer for member in kit.mates]
    assert fetches[first].peers == tuple(peers[:2])
    assert second not in fetches
    for box in (first, *others):
        wanted = kit.step(inputs.BlobArrived(kit.now, box))
    assert only(wanted, proving.ComputeWords)


@pytest.mark.parametrize("where", [Phase.COMMIT, Phase.APPLY, Phase.DONE, Phase.FAILED])
def test_what_comes_late_or_again_moves_nothing(where: Phase) -> None:
    kit = failed(proving_at(Phase.VERIFY)) if where is Phase.FAILED else proving_at(where)
    assert kit.round.phase is where
    place = kit.round.number, kit.round.attempt
    kit.dealt()
    kit.decided()
    for late in (
        inputs.WordsMade(kit.now, *place, (bytes(32),), digest_of("late"), 9, 0),
        inputs.ExaminedDealings(kit.now, *place, DEALT, (0,), (bytes(32),), 9),
        inputs.RejectedDealings(kit.now, *place, DEALT, "late"),
    ):
        kit.step(late)
    assert kit.round.phase is where


def test_an_owner_that_is_slow_goes_on_with_the_others() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.decided()
    assert kit.round.phase is Phase.COMMIT
    kit = proving_at(Phase.VERIFY)
    kit.committed()
    assert kit.round.phase is Phase.COMMIT
    assert kit.round.commitment_root


def test_a_sum_leaves_once_list_and_words_hold_and_the_chain_says_so() -> None:
    kit = proving_at(Phase.COMMIT)
    kit.decided()
    kit.committed()
    wanted = only(kit.both_here(), proving.ExamineVerdict)
    assert wanted.verdict_digest == VERDICT
    kit.verdict_holds()
    kit.on_chain()
    found = only(kit.deep(), proving.SendSum)
    assert found.listed == kit.round.roster
    assert not every(kit.deep(), proving.SendSum)


def test_a_verdict_that_is_lost_is_fetched_when_it_is_heard_of_again() -> None:
    kit = proving_at(Phase.COMMIT)
    kit.decided()
    kit.step(inputs.BlobMissing(kit.now, VERDICT, "nobody has it"))
    assert every(kit.decided(), effects.Fetch)
    wanted = kit.decided(digest=digest_of("other"))
    assert refusals(wanted) == [(RefusalCode.CONFLICT, "two verdicts on one attempt")]


def test_without_noise_nobody_is_left_out_who_has_not_failed() -> None:
    """Otherwise its contribution could be had as the difference of two sums."""
    kit = proving_at(Phase.COMMIT)
    kit.decided()
    kit.committed()
    kit.both_here()
    wanted = kit.verdict_holds(members=kit.round.roster[:-1])
    (code, reason) = refusals(wanted)[0]
    assert code is RefusalCode.CONFLICT
    assert "nothing shows that it cheated" in reason
    assert kit.round.phase is Phase.FAILED


def test_without_noise_who_failed_is_left_out_and_named() -> None:
    kit = proving_at(Phase.COMMIT)
    kit.decided()
    kit.committed()
    kit.both_here()
    cheat = kit.round.roster[-1]
    wanted = kit.verdict_holds(members=kit.round.roster[:-1], failed=(cheat,))
    assert "proof-failed" in notes(wanted)
    kit.on_chain()
    assert only(kit.deep(), proving.SendSum).listed == kit.round.roster[:-1]


def test_with_noise_others_may_be_left_out() -> None:
    kit = proving_at(Phase.COMMIT, noisy=True)
    kit.decided()
    kit.committed()
    kit.both_here()
    kit.verdict_holds(members=kit.round.roster[:-1])
    kit.on_chain()
    assert every(kit.deep(), proving.SendSum)


def test_who_lacks_a_piece_of_one_that_passed_gives_no_sum() -> None:
    kit = proving_at(Phase.COMMIT)
    kit.decided()
    kit.committed()
    kit.both_here()
    kit.verdict_holds(able=False)
    kit.on_chain()
    wanted = kit.deep()
    assert not every(wanted, proving.SendSum)
    assert "no-sum" in notes(wanted)
    assert kit.round.phase is Phase.APPLY


def test_a_chain_that_is_ahead_releases_when_the_verdict_holds() -> None:
    kit = proving_at(Phase.COMMIT)
    kit.on_chain()
    kit.deep()
    kit.decided()
    kit.committed()
    kit.both_here()
    assert every(kit.verdict_holds(), proving.SendSum)


def due_kit() -> tuple[ProvingKit, OwnerRound]:
    kit = proving_at(Phase.COMMIT)
    kit.on_chain()
    kit.open(1)
    due = kit.state.due
    assert due is not None
    return kit, due


def about_due(kit: ProvingKit, due: OwnerRound) -> None:
    kit.decided(due)
    kit.committed(due)
    kit.both_here(due)


def test_a_round_that_is_due_is_released_by_its_own_words() -> None:
    kit, due = due_kit()
    place = due.number, due.attempt
    kit.hear(REQUESTER, Dealt(due.opening_digest, (Roster(due.block, DEALT, 900),)), *place)
    for late in (
        inputs.WordsMade(kit.now, *place, (bytes(32),), digest_of("late"), 9, 0),
        inputs.ExaminedDealings(kit.now, *place, DEALT, (0,), (bytes(32),), 9),
        inputs.RejectedDealings(kit.now, *place, DEALT, "late"),
    ):
        kit.step(late)
    about_due(kit, due)
    wanted = kit.verdict_holds(due)
    assert not every(wanted, proving.SendSum)
    assert every(kit.deep(), proving.SendSum)
    assert kit.state.due is not None
    assert kit.state.due.phase is Phase.DONE


def test_a_due_round_whose_chain_is_deep_is_released_at_once() -> None:
    kit, due = due_kit()
    kit.deep()
    about_due(kit, due)
    assert every(kit.verdict_holds(due), proving.SendSum)


def test_a_due_round_that_leaves_out_the_honest_is_not_released() -> None:
    kit, due = due_kit()
    about_due(kit, due)
    kit.verdict_holds(due, members=due.roster[1:] if due.roster[0] else due.roster[:-1])
    assert kit.state.due is not None
    assert kit.state.due.phase is Phase.FAILED


def test_a_new_opening_ends_the_checking() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.open(0, 1)
    assert (kit.round.attempt, kit.round.phase) == (1, Phase.OPEN)


def test_an_old_opening_leaves_the_checking_as_it_is() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.hear(REQUESTER, kit.round.opening)
    kit.freeze()
    assert kit.round.phase is Phase.VERIFY


def test_a_result_that_comes_first_is_taken() -> None:
    kit = proving_at(Phase.VERIFY)
    kit.result()
    assert kit.state.model_digest == digest_of("model", 1)
    assert kit.round.phase is Phase.VERIFY
