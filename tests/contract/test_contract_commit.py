"""commit: the requester's word binds, through whoever brings it, in order, once and in time."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from eth_keys.constants import SECPK1_N
from kits.bounty import HOUR, World, book, owner

from protocol.books.trees import EMPTY
from protocol.books.typed_data import commitment_digest, recover
from protocol.errors import Malformed

MINUTE = 60


def test_anybody_brings_the_requesters_signed_commitment(world: World) -> None:
    job = world.post()
    listed = book(0, owner(1), owner(2), owner(3))
    commitment = world.commitment(job, listed)
    receipt = world.send(world.committing(commitment, world.sign(commitment)), sender=world.anybody)
    assert world.event(receipt, "Committed") == {
        "job": job,
        "round": 0,
        "root": listed.tree.root,
        "count": 3,
        "model_digest": commitment.model_digest,
        "submitter": world.anybody,
    }
    stored = world.bounty.functions.rounds(job, 0).call()
    assert tuple(stored) == (listed.tree.root[:30], 3)
    # Three contributions are owed, the fourth place of the round is free again.
    assert world.liabilities(job) == (300, 1000, 800)
    assert world.surplus(job) == 100


def test_the_contract_and_python_agree_on_what_is_signed(world: World) -> None:
    commitment = world.commitment(bytes([3]) * 32, book(7, owner(1)))
    digest = world.bounty.functions.commitment_digest(*dataclasses.astuple(commitment)).call()
    assert digest == commitment_digest(world.domain, commitment)
    assert world.bounty.functions.domain_separator().call() == world.domain.separator


def test_another_key_commits_nothing(world: World) -> None:
    job = world.post()
    commitment = world.commitment(job, book(0, owner(1)))
    forged = world.committing(commitment, world.sign(commitment, world.other))
    world.refused(forged, "not signed by the requester", world.other)
    world.refused(forged, "not signed by the requester", world.requester)


def test_a_signature_covers_every_field(world: World) -> None:
    job = world.post(cohort=5)
    second = world.post(bytes([1]) * 32, cohort=5)
    commitment = world.commitment(job, book(0, owner(1), owner(2)))
    signature = world.sign(commitment)
    changes: list[dict[str, Any]] = [
        {"job": second},
        {"root": bytes([1]) * 32},
        {"count": 3},
        {"model_digest": bytes([77]) * 32},
        {"valid_until": commitment.valid_until + 1},
    ]
    for change in changes:
        altered = dataclasses.replace(commitment, **change)
        world.refused(world.committing(altered, signature), "not signed by the requester")
    world.send(world.committing(commitment, signature))
    later = dataclasses.replace(commitment, round=1)
    world.refused(world.committing(later, signature), "not signed by the requester")


def test_a_signature_has_one_form(world: World) -> None:
    job = world.post()
    commitment = world.commitment(job, book(0, owner(1)))
    good = world.sign(commitment)
    s = int.from_bytes(good[32:64], "big")
    mirrored = good[:32] + (SECPK1_N - s).to_bytes(32, "big") + bytes([27 + 28 - good[64]])
    digest = commitment_digest(world.domain, commitment)
    cases = [
        (mirrored, "s is too high"),
        (good[:64] + bytes([good[64] - 27]), "v is neither 27 nor 28"),
        (good[:64] + bytes([29]), "v is neither 27 nor 28"),
        (good[:64], "length is not 65"),
        (b"", "length is not 65"),
        (bytes(64) + bytes([27]), "no signer"),
        (b"\xff" * 32 + good[32:], "no signer"),
    ]
    for signature, reason in cases:
        committing = world.committing(commitment, signature)
        world.refused(committing, f"signing: {reason}", world.anybody)
        if signature:
            world.refused(committing, f"signing: {reason}")
        with pytest.raises(Malformed):
            recover(digest, signature)
    world.send(world.committing(commitment, good))


def test_the_requesters_own_transaction_needs_no_signature(world: World) -> None:
    """It says the same as its signature would, and is bound by all the same rules."""
    job = world.post(rounds=1)
    commitment = world.commitment(job, book(0, owner(1)))
    bare = world.committing(commitment, b"")
    for stranger in (world.anybody, world.other):
        world.refused(bare, "length is not 65", stranger)
    wrong = world.committing(commitment, world.sign(commitment, world.other))
    world.refused(wrong, "not signed by the requester")
    for changes, reason in (
        ({"round": 1}, "not the next round"),
        ({"root": EMPTY}, "root is empty"),
        ({"count": 5}, "count not in 1 to cohort"),
        ({"valid_until": world.now - 1}, "commitment has expired"),
        ({"valid_until": world.now + 2 * HOUR}, "valid for too long"),
        ({"job": bytes([5]) * 32}, "unknown job"),
    ):
        world.refused(world.committing(dataclasses.replace(commitment, **changes), b""), reason)
    world.send(bare)
    world.refused(bare, "not the next round")
    assert world.liabilities(job) == (100, 1000, 0)


def test_an_owner_brings_what_a_reorganisation_took_of_a_bare_transaction(world: World) -> None:
    """Owners release only once they hold the signature, whoever sent the commitment."""
    job = world.post()
    commitment = world.commitment(job, book(0, owner(1)))
    snapshot = world.tester.take_snapshot()
    world.send(world.committing(commitment, b""))
    world.tester.revert_to_snapshot(snapshot)
    world.send(world.committing(commitment, world.sign(commitment)), world.anybody)
    assert world.job(job)["unpaid"] == 1


def test_a_round_has_one_commitment(world: World) -> None:
    job = world.post()
    first = world.commitment(job, book(0, owner(1)))
    second = world.commitment(job, book(0, owner(2)))
    world.send(world.committing(first, world.sign(first)))
    world.refused(world.committing(first, world.sign(first)), "not the next round")
    world.refused(world.committing(second, world.sign(second)), "not the next round")


def test_rounds_come_in_order_and_end(world: World) -> None:
    job = world.post(rounds=2)
    ahead = world.commitment(job, book(1, owner(1)))
    world.refused(world.committing(ahead, world.sign(ahead)), "not the next round")
    world.commit(job, book(0, owner(1)))
    world.commit(job, book(1, owner(1)))
    past = world.commitment(job, book(2, owner(1)))
    world.refused(world.committing(past, world.sign(past)), "no rounds left")


def test_a_count_is_within_the_cohort(world: World) -> None:
    job = world.post(cohort=4)
    listed = book(0, *(owner(number) for number in range(4)))
    over = world.commitment(job, listed, count=5)
    world.refused(world.committing(over, world.sign(over)), "count not in 1 to cohort")
    fields = dataclasses.astuple(world.commitment(job, listed))
    none = world.bounty.functions.commit(*fields[:3], 0, *fields[4:], bytes(65))
    world.refused(none, "count not in 1 to cohort")
    world.commit(job, listed)


def test_an_empty_root_is_refused(world: World) -> None:
    job = world.post()
    commitment = world.commitment(job, book(0, owner(1)), root=EMPTY)
    world.refused(world.committing(commitment, world.sign(commitment)), "root is empty")


def test_a_commitment_holds_until_its_last_second(world: World) -> None:
    job = world.post()
    commitment = world.commitment(job, book(0, owner(1)), valid_until=world.now + MINUTE)
    committing = world.committing(commitment, world.sign(commitment))
    snapshot = world.tester.take_snapshot()
    world.travel(commitment.valid_until + 1)
    world.refused(committing, "commitment has expired")
    world.tester.revert_to_snapshot(snapshot)
    world.travel(commitment.valid_until)
    world.send(committing)


def test_a_commitment_is_valid_for_an_hour_at_most(world: World) -> None:
    job = world.post()
    world.travel(world.now + MINUTE)
    commitment = world.commitment(job, book(0, owner(1)), valid_until=world.now + 2 * HOUR)
    committing = world.committing(commitment, world.sign(commitment))
    world.travel(commitment.valid_until - HOUR - 2)
    world.refused(committing, "valid for too long")
    world.travel(commitment.valid_until - HOUR)
    world.send(committing)


def test_a_commitment_for_nobodys_job_is_refused(world: World) -> None:
    commitment = world.commitment(bytes([5]) * 32, book(0, owner(1)))
    world.refused(world.committing(commitment, world.sign(commitment)), "unknown job")


def test_nothing_is_committed_from_the_expiry_on(world: World) -> None:
    job = world.post(expiry=world.now + HOUR)
    expiry = world.job(job)["closes"]
    world.travel(expiry - 1)
    world.commit(job, book(0, owner(1)))
    late = world.commitment(job, book(1, owner(1)))
    world.refused(world.committing(late, world.sign(late)), "bounty: closed")


def test_a_signed_commitment_outlives_the_cancellation(world: World) -> None:
    job = world.post()
    commitment = world.commitment(job, book(0, owner(1)), valid_until=world.now + HOUR)
    world.send(world.bounty.functions.cancel(job))
    world.travel(commitment.valid_until)
    world.send(world.committing(commitment, world.sign(commitment)), sender=world.anybody)
    assert world.liabilities(job)[0] == 100


def test_nothing_is_committed_after_the_cancellations_effect(world: World) -> None:
    job = world.post()
    cancelled = world.send(world.bounty.functions.cancel(job))
    effective = world.event(cancelled, "Cancelled")["effective"]
    world.travel(effective - 1)
    world.commit(job, book(0, owner(1)))
    late = world.commitment(job, book(1, owner(1)))
    world.refused(world.committing(late, world.sign(late)), "bounty: closed")
