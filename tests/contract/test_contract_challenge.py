"""challenge: what a settlement leaves out voids it, and what that costs whom."""

from __future__ import annotations

import re
from typing import Any

import pytest
from kits.bounty import NOTHING, UNNAMED, World, book, honest, merit_claim, owner, packed
from kits.settling import BOOKS, DAY, EARNED, GOOD, MERIT, WINDOW, altered, finished, got

from protocol.books.settlement import SettledAccount, Settlement, settle
from protocol.books.trees import SumTree

PUPPET = owner(666)


def without(*numbers: int, puppet: bool = True) -> Settlement:
    """GOOD, with a puppet in the place of what these owners earned by rounds."""
    gone = [each for each in GOOD.accounts if each.account in {owner(n) for n in numbers}]
    kept = [each for each in GOOD.accounts if each not in gone]
    if puppet:
        merit = sum(each.merit for each in gone)
        stolen = sum(each.rounds.bit_count() for each in gone)
        kept.append(SettledAccount(PUPPET, (1 << stolen) - 1, merit))
    return Settlement(sorted(kept, key=lambda each: each.account))


def payment(number: int) -> Any:
    listed = next(b for b in BOOKS if owner(number) in {c.account for c in b.contributions})
    return listed.payment_of(owner(number))


@pytest.mark.parametrize(("number", "puppet"), [(1, True), (2, True), (3, True), (2, False)])
def test_an_account_that_is_left_out_voids_it_by_one_proof(
    world: World, number: int, puppet: bool
) -> None:
    """Wherever it would stand: before the first leaf, after the last, or between two."""
    job = finished(world)
    bad = without(number, puppet=puppet)
    stands = world.settle(job, bad)
    world.travel(stands - 2)
    before = world.ether(world.anybody)
    call = world.challenging(job, owner(number), bad, payment(number))
    receipt = world.send(call, world.anybody)
    event = world.event(receipt, "Voided")
    # The bond is 600: an eighth is the challenger's, the rest raises six rates of 100.
    assert (event["challenger"], event["reward"], event["rate"]) == (world.anybody, 75, 187)
    fee = receipt.gasUsed * receipt.effectiveGasPrice
    assert world.ether(world.anybody) == before - fee + 75
    assert world.job(job)["rate"] == 187
    assert world.liabilities(job) == (6 * 187, 1000, 0)
    world.travel(stands + 1)
    world.refused(world.paying(job, bad), "none stands")
    world.refused(world.settling(job, GOOD, 0), "settled already")
    world.refused(world.challenging(job, owner(number), bad, payment(number)), "nothing to challen")
    tree = SumTree(MERIT)
    for n in EARNED:
        payments = [
            b.payment_of(owner(n))
            for b in BOOKS
            if owner(n) in {c.account for c in b.contributions}
        ]
        merit = merit_claim(tree, MERIT, owner(n)) if n in (1, 4) else NOTHING
        world.claim(job, owner(n), payments, merit)
    assert got(world) == {1: 2 * 187 + 600, 2: 2 * 187, 3: 2 * 187, 4: 400}
    assert world.ether(PUPPET) == 0
    # What no contribution is owed is the requester's: of the bond nothing but a remainder.
    assert world.withdraw(job) == 600 + (600 - 75) % 6
    assert world.ether(world.bounty.address) == 0


def test_a_round_that_is_missing_voids_it(world: World) -> None:
    job = finished(world)
    bad = altered(1, rounds=0b001)
    world.settle(job, bad)
    there = world.challenging(job, owner(1), bad, BOOKS[0].payment_of(owner(1)))
    world.refused(there, "nothing is left out")
    world.send(world.challenging(job, owner(1), bad, BOOKS[1].payment_of(owner(1))))


def test_a_contribution_that_was_paid_before_voids_it_as_well(world: World) -> None:
    """Otherwise a puppet could stand in the place of everybody who was paid already."""
    job = finished(world)
    world.claim(job, owner(2), [BOOKS[0].payment_of(owner(2)), BOOKS[2].payment_of(owner(2))])
    bad = without(2)
    world.settle(job, bad)
    event = world.event(
        world.send(world.challenging(job, owner(2), bad, payment(2)), world.anybody), "Voided"
    )
    # Four rates are unpaid, and so many are the bond.
    assert (event["reward"], event["rate"]) == (50, 100 + 350 // 4)


def test_merit_that_is_too_low_voids_it(world: World) -> None:
    job = finished(world)
    accounts = [each for each in GOOD.accounts if each.account not in (owner(1), owner(4))]
    accounts += [SettledAccount(owner(1), 0b011, 601), SettledAccount(owner(4), 0, 399)]
    bad = Settlement(sorted(accounts, key=lambda each: each.account))
    world.settle(job, bad)
    tree = SumTree(MERIT)
    more = merit_claim(tree, MERIT, owner(1))
    world.refused(world.challenging(job, owner(1), bad, None, more), "nothing is left out")
    position, amount, proof = merit_claim(tree, MERIT, owner(4))
    lie = position, amount + 1, proof
    world.refused(world.challenging(job, owner(4), bad, None, lie), "merit not under the root")
    world.send(world.challenging(job, owner(4), bad, None, (position, amount, proof)))


def test_an_honest_settlement_cannot_be_challenged(world: World) -> None:
    job = finished(world)
    world.settle(job, GOOD)
    for listed in BOOKS:
        for contribution in listed.contributions:
            account = contribution.account
            shown = world.challenging(job, account, GOOD, listed.payment_of(account))
            world.refused(shown, "nothing is left out")
    tree = SumTree(MERIT)
    for entry in MERIT:
        merit = merit_claim(tree, MERIT, entry.account)
        world.refused(world.challenging(job, entry.account, GOOD, None, merit), "nothing is left")
    nobody = world.challenging(job, owner(9), GOOD, payment(1))
    world.refused(nobody, "contribution is not under the round's root")
    world.refused(world.challenging(job, owner(9), GOOD), "nothing is left out")


def test_an_account_that_is_there_cannot_be_hidden(world: World) -> None:
    job = finished(world)
    world.settle(job, GOOD)
    challenge = world.bounty.functions.challenge
    address, shown = world.w3.to_checksum_address(owner(2)), payment(2)
    at = GOOD.position_of(owner(2))
    assert at is not None
    last = len(GOOD.accounts) - 1
    places = [
        (n, GOOD.leaf_and_proof(n) + more)
        for n in range(last + 1)
        if n != at
        for more in (b"", GOOD.leaf_and_proof(min(n + 1, last)), GOOD.leaf_and_proof(last))
    ]
    for position, place in places:
        call = challenge(job, address, packed([shown]), NOTHING, position, place)
        wrong = "place is elsewhere|no such leaf|no end at a proof"
        world.refused(call, f"{wrong}|{re.escape(UNNAMED)}")


def test_nothing_is_challenged_that_is_not_settled(world: World) -> None:
    job = finished(world)
    call = world.challenging(job, owner(2), without(2), payment(2))
    world.refused(call, "nothing to challenge")
    longer = world.bounty.functions.challenge(
        job, world.w3.to_checksum_address(owner(2)), b"\0" * 69, NOTHING, 0, b""
    )
    world.refused(longer, "nothing to challenge")


def test_a_list_in_another_order_can_be_voided_by_its_gap(world: World) -> None:
    job = finished(world)
    bad = Settlement(without(2).accounts[::-1])
    world.settle(job, bad)
    # It descends: whoever is missing stands below its first leaf, or above its last.
    world.send(world.challenging(job, owner(2), bad, payment(2)))


def test_the_window_ends_to_the_second(world: World) -> None:
    job = finished(world)
    bad = without(2)
    at = world.now
    stands = world.settle(job, bad)
    assert stands == at + WINDOW
    snapshot = world.tester.take_snapshot()
    world.travel(stands - 1)
    receipt = world.send(world.challenging(job, owner(2), bad, payment(2)))
    assert world.event(receipt, "Voided")["account"] == world.w3.to_checksum_address(owner(2))
    world.tester.revert_to_snapshot(snapshot)
    world.travel(stands)
    receipt = world.send(world.challenging(job, owner(2), bad, payment(2)))
    assert world.event(receipt, "Claimed")["amount"] == 100


def test_after_the_window_the_bond_pays_who_was_left_out(world: World) -> None:
    job = finished(world)
    bad = without(2)
    stands = world.settle(job, bad)
    world.travel(stands)
    world.send(world.paying(job, bad), world.anybody)
    assert world.ether(PUPPET) == 200
    for listed in (BOOKS[0], BOOKS[2]):
        call = world.challenging(job, owner(2), bad, listed.payment_of(owner(2)))
        world.send(call, world.anybody)
        world.refused(call, "nothing is left out")
    assert world.ether(owner(2)) == EARNED[2]
    assert world.liabilities(job) == (0, 0, 400)
    world.travel(stands + 30 * DAY)
    # The puppet's 200 cost the requester 200 of its bond.
    assert world.withdraw(job) == 600 + 400


def test_the_bond_pays_no_longer_than_it_is_held(world: World) -> None:
    job = finished(world)
    bad = without(2)
    stands = world.settle(job, bad)
    call = world.challenging(job, owner(2), bad, payment(2))
    world.travel(stands + 30 * DAY - 1)
    snapshot = world.tester.take_snapshot()
    world.send(call)
    world.tester.revert_to_snapshot(snapshot)
    world.travel(stands + 30 * DAY)
    world.refused(call, "no bond is left")


def test_who_is_named_but_short_of_money_has_it_from_the_bond(world: World) -> None:
    """Owner 2 is left out and claims in the window, instead of voiding: its place stays taken."""
    job = finished(world)
    bad = without(2)
    stands = world.settle(job, bad)
    world.claim(job, owner(2), [BOOKS[0].payment_of(owner(2)), BOOKS[2].payment_of(owner(2))])
    world.travel(stands)
    world.refused(world.paying(job, bad), "beyond what is owed")
    order = [PUPPET, owner(1), owner(3), owner(4)]
    for account in order:
        world.send(world.collecting(job, bad, account), world.anybody)
    assert got(world) == EARNED
    assert world.liabilities(job) == (0, 0, 400)
    world.travel(stands + 30 * DAY)
    assert world.withdraw(job) == 600 + 400


def test_a_requester_that_voids_its_own_gets_an_eighth_back(world: World) -> None:
    job = finished(world)
    bad = without(2)
    world.settle(job, bad)
    held = world.job(job)["held"]
    world.send(world.challenging(job, owner(2), bad, payment(2)), world.requester)
    assert held - world.job(job)["held"] == 75
    assert world.liabilities(job)[0] == 6 * 187


def test_a_token_job_pays_its_challenger_in_the_token(world: World) -> None:
    token = world.mock("token_mock")
    world.send(token.functions.mint(world.requester, 9000))
    world.send(token.functions.approve(world.bounty.address, 9000))
    job = finished(world, token=token.address)
    bad = without(2)
    world.send(world.settling(job, bad))
    world.send(world.challenging(job, owner(2), bad, payment(2)), world.anybody)
    assert token.functions.balanceOf(world.anybody).call() == 75


def test_a_gap_between_two_parts_is_shown(world: World) -> None:
    """The last leaf of one part and the first of the next."""
    accounts = sorted(owner(n) for n in range(258))
    listed = book(0, *accounts)
    job = world.post(rounds=1, cohort=258, rate=1, merit=0)
    world.commit(job, listed)
    world.send(world.finishing(job, SumTree([])))
    world.close(job)
    missing = accounts[256]
    bad = settle([(0, [a for a in accounts if a != missing])], {})
    assert len(bad.parts) == 2
    assert bad.place(missing).position == 255
    world.settle(job, bad)
    at = listed.payment_of(missing)
    world.send(world.challenging(job, missing, bad, at))
    assert world.job(job)["closes"] == 2**64 - 1
    assert honest([listed]).position_of(missing) == 256
