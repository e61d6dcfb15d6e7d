"""finish, cancel, expiry, withdraw: how a job ends, and what is the requester's then."""

from __future__ import annotations

import pytest
from kits.bounty import HOUR, World, book, owner

from protocol.books.trees import Merit, SumTree

NOTICE = 2 * HOUR


def test_finish_frees_what_was_escrowed_for_rounds_that_did_not_happen(world: World) -> None:
    job = world.post()
    world.commit(job, book(0, owner(1), owner(2)))
    tree = SumTree([Merit(owner(1), 400), Merit(owner(2), 600)])
    at = world.now
    receipt = world.send(world.finishing(job, tree))
    assert world.event(receipt, "Finished") == {
        "job": job,
        "model_digest": bytes([9]) * 32,
        "evidence_digest": bytes([10]) * 32,
        "merit_root": tree.root.hash,
        "merit_total": 1000,
        "effective": at + NOTICE,
    }
    assert world.job(job)["closes"] == at + NOTICE
    # Rounds may still come within the notice: their pay stays.
    assert world.liabilities(job) == (200, 1000, 800)
    assert world.surplus(job) == 200
    assert world.view("is_open", job)
    world.travel(at + NOTICE)
    assert world.liabilities(job) == (200, 1000, 0)
    assert world.surplus(job) == 1000
    assert not world.view("is_open", job)


def test_only_the_requester_finishes(world: World) -> None:
    job = world.post()
    world.commit(job, book(0, owner(1)))
    tree = SumTree([Merit(owner(1), 1000)])
    world.refused(world.finishing(job, tree), "not the requester", world.other)
    world.refused(world.finishing(bytes([5]) * 32, tree), "unknown job")


@pytest.mark.parametrize("total", [999, 1001])
def test_merit_must_be_the_whole_pot(world: World, total: int) -> None:
    job = world.post()
    world.commit(job, book(0, owner(1)))
    tree = SumTree([Merit(owner(1), total)])
    world.refused(world.finishing(job, tree), "merit total is not the pot")


def test_a_merit_root_and_a_pot_come_together(world: World) -> None:
    finish = world.bounty.functions.finish
    zero, root = bytes(32), bytes([1]) * 32
    job = world.post()
    world.commit(job, book(0, owner(1)))
    world.refused(finish(job, root, root, zero, 1000), "merit root does not fit the total")
    bare = world.post(bytes([1]) * 32, merit=0)
    world.commit(bare, book(0, owner(1)))
    world.refused(finish(bare, root, root, root, 0), "merit root does not fit the total")
    world.send(world.finishing(bare, SumTree([])))
    assert world.liabilities(bare) == (100, 0, 800)


def test_a_job_without_a_contribution_returns_its_merit_when_it_closes(world: World) -> None:
    job = world.post()
    world.send(world.finishing(job, SumTree([])))
    assert world.liabilities(job) == (0, 1000, 1200)
    world.travel(world.job(job)["closes"])
    assert world.liabilities(job) == (0, 0, 0)
    assert world.withdraw(job) == 2200
    assert world.ether(world.bounty.address) == 0


def test_merit_needs_no_contribution_yet(world: World) -> None:
    """A reorganisation may have taken out the only commitment: the pot is bound all the same."""
    job = world.post()
    tree = SumTree([Merit(owner(1), 1000)])
    world.send(world.finishing(job, tree))
    assert world.claim(job, owner(1), [], (0, 1000, []))["merit"] == 1000
    world.travel(world.job(job)["closes"])
    assert world.withdraw(job) == 1200


def test_a_finishing_job_accepts_commitments_and_nothing_else(world: World) -> None:
    job = world.post()
    world.commit(job, book(0, owner(1)))
    tree = SumTree([Merit(owner(1), 1000)])
    world.send(world.finishing(job, tree))
    closes = world.job(job)["closes"]
    world.refused(world.finishing(job, tree), "bounty: finished")
    world.refused(world.bounty.functions.cancel(job), "bounty: finished")
    world.refused(world.bounty.functions.enrol(job, bytes([1]) * 32, 1), "bounty: finished")
    world.travel(closes - 1)
    world.commit(job, book(1, owner(1)))
    assert world.liabilities(job)[0] == 200
    late = world.commitment(job, book(2, owner(1)))
    world.refused(world.committing(late, world.sign(late)), "bounty: closed")
    world.refused(world.finishing(job, tree), "bounty: finished")


def test_a_commitment_that_a_reorganisation_took_out_is_put_back_after_finish(
    world: World,
) -> None:
    job = world.post()
    listed = book(0, owner(1), owner(2))
    commitment = world.commitment(job, listed)
    signature = world.sign(commitment)
    tree = SumTree([Merit(owner(1), 600), Merit(owner(2), 400)])
    snapshot = world.tester.take_snapshot()
    world.send(world.committing(commitment, signature), world.anybody)
    world.send(world.finishing(job, tree))
    # Both are gone, and `finish` is mined first.
    world.tester.revert_to_snapshot(snapshot)
    world.send(world.finishing(job, tree))
    world.send(world.committing(commitment, signature), world.anybody)
    world.travel(world.job(job)["closes"])
    for account in (owner(1), owner(2)):
        world.claim(job, account, [listed.payment_of(account)])
    assert world.liabilities(job) == (0, 1000, 0)


def test_what_is_put_back_into_a_job_that_finished_with_nothing_shares_the_merit(
    world: World,
) -> None:
    job = world.post()
    world.send(world.finishing(job, SumTree([])))
    listed = book(0, owner(1), owner(2))
    world.commit(job, listed)
    assert world.claim(job, owner(1), [listed.payment_of(owner(1))])["amount"] == 100
    named = world.claiming(job, owner(2), [listed.payment_of(owner(2))], (0, 1000, []))
    world.refused(named, "merit without a sum tree")
    world.travel(world.job(job)["closes"])
    assert world.claim(job, owner(1), [])["merit"] == 500
    assert world.claim(job, owner(2), [listed.payment_of(owner(2))])["amount"] == 600
    assert world.withdraw(job) == 1000
    assert world.ether(world.bounty.address) == 0


def test_finish_never_puts_the_closing_off(world: World) -> None:
    for number, lead in enumerate((NOTICE, NOTICE + 1)):
        job = world.post(bytes([number]) * 32)
        world.commit(job, book(0, owner(1)))
        expiry = world.job(job)["closes"]
        world.travel(expiry - lead)
        at = world.now
        world.send(world.finishing(job, SumTree([Merit(owner(1), 1000)])))
        assert world.job(job)["closes"] == at + NOTICE <= expiry
    short = world.post(bytes([9]) * 32, expiry=world.now + HOUR)
    expiry = world.job(short)["closes"]
    receipt = world.send(world.finishing(short, SumTree([])))
    assert world.event(receipt, "Finished")["effective"] == expiry == world.job(short)["closes"]


def test_a_job_can_still_finish_within_the_notice(world: World) -> None:
    job = world.post()
    world.commit(job, book(0, owner(1)))
    cancelled = world.send(world.bounty.functions.cancel(job))
    effective = world.event(cancelled, "Cancelled")["effective"]
    tree = SumTree([Merit(owner(1), 1000)])
    snapshot = world.tester.take_snapshot()
    world.travel(effective)
    world.refused(world.finishing(job, tree), "bounty: closed")
    world.tester.revert_to_snapshot(snapshot)
    world.travel(effective - 1)
    world.send(world.finishing(job, tree))
    assert world.job(job)["closes"] == effective
    world.travel(effective + HOUR)
    assert world.liabilities(job) == (100, 1000, 0)


def test_a_cancellation_takes_effect_after_the_notice(world: World) -> None:
    job = world.post()
    at = world.now
    receipt = world.send(world.bounty.functions.cancel(job))
    assert world.event(receipt, "Cancelled") == {"job": job, "effective": at + NOTICE}
    assert world.job(job)["closes"] == at + NOTICE
    assert world.bounty.functions.NOTICE().call() == NOTICE
    assert world.bounty.functions.MAX_VALIDITY().call() < NOTICE
    assert world.surplus(job) == 0
    world.travel(at + NOTICE)
    assert world.withdraw(job) == 2200


def test_only_the_requester_cancels(world: World) -> None:
    job = world.post()
    world.refused(world.bounty.functions.cancel(job), "not the requester", world.other)
    world.refused(world.bounty.functions.cancel(bytes([5]) * 32), "unknown job")


def test_a_cancellation_brings_the_end_closer_or_is_refused(world: World) -> None:
    job = world.post()
    world.send(world.bounty.functions.cancel(job))
    world.refused(world.bounty.functions.cancel(job), "closes sooner already")
    short = world.post(bytes([1]) * 32, expiry=world.now + 2 * NOTICE)
    expiry = world.job(short)["closes"]
    snapshot = world.tester.take_snapshot()
    world.travel(expiry - NOTICE)
    world.refused(world.bounty.functions.cancel(short), "closes sooner already")
    world.travel(expiry)
    world.refused(world.bounty.functions.cancel(short), "bounty: closed")
    world.tester.revert_to_snapshot(snapshot)
    world.travel(expiry - NOTICE - 1)
    world.send(world.bounty.functions.cancel(short))


def test_an_expired_job_cannot_finish(world: World) -> None:
    job = world.post()
    world.commit(job, book(0, owner(1)))
    world.travel(world.job(job)["closes"])
    world.refused(world.finishing(job, SumTree([Merit(owner(1), 1000)])), "bounty: closed")


def test_after_an_expiry_merit_stays_bound_but_for_its_dust(world: World) -> None:
    job = world.post()
    world.commit(job, book(0, owner(1), owner(2), owner(3)))
    world.travel(world.job(job)["closes"])
    assert world.liabilities(job) == (300, 999, 0)
    assert world.withdraw(job) == 2200 - 300 - 999


def test_the_requester_withdraws_what_lies_above_the_liabilities(world: World) -> None:
    job = world.post()
    world.refused(world.bounty.functions.withdraw(job), "nothing to withdraw")
    world.commit(job, book(0, owner(1)))
    before = world.ether(world.bounty.address)
    receipt = world.send(world.bounty.functions.withdraw(job))
    assert world.event(receipt, "Withdrawn") == {"job": job, "amount": 300}
    assert before - world.ether(world.bounty.address) == 300
    assert world.job(job)["held"] == 1900
    world.refused(world.bounty.functions.withdraw(job), "nothing to withdraw")


def test_only_the_requester_withdraws(world: World) -> None:
    job = world.post()
    world.commit(job, book(0, owner(1)))
    world.refused(world.bounty.functions.withdraw(job), "not the requester", world.other)
    world.refused(world.bounty.functions.withdraw(bytes([5]) * 32), "unknown job")


def test_ether_sent_without_a_job_is_refused(world: World) -> None:
    call = {"from": world.other, "to": world.bounty.address, "value": 1, "gas": 100_000}
    receipt = world.w3.eth.get_transaction_receipt(world.w3.eth.send_transaction(call))
    assert receipt.status == 0
    assert world.ether(world.bounty.address) == 0
