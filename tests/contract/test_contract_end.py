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
    receipt = world.send(world.finishing(job, tree))
    assert world.event(receipt, "Finished") == {
        "job": job,
        "model_digest": bytes([9]) * 32,
        "evidence_digest": bytes([10]) * 32,
        "merit_root": tree.root.hash,
        "merit_total": 1000,
    }
    assert world.liabilities(job) == (200, 1000, 0)
    assert world.surplus(job) == 1000
    assert not world.bounty.functions.is_open(job).call()


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
    world.refused(finish(job, root, root, zero, 1000), "merit root does not fit the pot")
    bare = world.post(bytes([1]) * 32, merit=0)
    world.commit(bare, book(0, owner(1)))
    world.refused(finish(bare, root, root, root, 0), "merit root does not fit the pot")
    world.send(world.finishing(bare, SumTree([])))
    assert world.liabilities(bare) == (100, 0, 0)


def test_a_job_without_a_contribution_returns_its_merit_at_finish(world: World) -> None:
    job = world.post()
    pot = SumTree([Merit(owner(1), 1000)])
    world.refused(world.finishing(job, pot), "merit total is not the pot")
    world.send(world.finishing(job, SumTree([])))
    assert world.liabilities(job) == (0, 0, 0)
    assert world.withdraw(job) == 2200
    assert world.ether(world.bounty.address) == 0


def test_a_finished_job_accepts_nothing_more(world: World) -> None:
    job = world.post()
    world.commit(job, book(0, owner(1)))
    tree = SumTree([Merit(owner(1), 1000)])
    world.send(world.finishing(job, tree))
    late = world.commitment(job, book(1, owner(1)))
    world.refused(world.committing(late, world.sign(late)), "bounty: finished")
    world.refused(world.finishing(job, tree), "bounty: finished")
    world.refused(world.bounty.functions.cancel(job), "bounty: finished")
    world.refused(world.bounty.functions.enrol(job, bytes([1]) * 32, 1), "bounty: finished")


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
