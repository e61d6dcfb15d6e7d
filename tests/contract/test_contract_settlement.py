"""settle, collect, pay: one list over all rounds, and what each account has by it."""

from __future__ import annotations

import pytest
from kits.bounty import World, book, honest, merit_claim, owner
from kits.settling import BOOKS, DAY, EARNED, GOOD, MERIT, WINDOW, altered, finished, got

from protocol.books.settlement import LEAF_BYTES, SettledAccount, Settlement
from protocol.books.trees import SumTree


def test_a_settlement_that_stands_pays_everybody_in_one_call(world: World) -> None:
    job = finished(world)
    at = world.now
    stands = world.settle(job, GOOD)
    assert stands == at + WINDOW
    stood = world.job(job)
    assert (stood["settled"], stood["closes"], stood["bond"]) == (True, stands, 6)
    part = world.view("settlements", job, 0)
    assert part == (GOOD.roots[0], 4, 0)
    # 600 are owed for rounds, 1000 for merit, 600 are the bond; 600 were never committed.
    assert world.liabilities(job) == (600, 1000, 600)
    world.refused(world.paying(job, GOOD), "none stands")
    world.refused(world.collecting(job, GOOD, owner(1)), "none stands")
    world.travel(stands)
    receipt = world.send(world.paying(job, GOOD), world.anybody)
    assert world.event(receipt, "Paid") == {"job": job, "part": 0, "leaves": 0b1111}
    assert got(world) == EARNED
    assert world.view("settlements", job, 0) == (GOOD.roots[0], 4, 0b1111)
    assert world.liabilities(job) == (0, 0, 600)
    world.refused(world.paying(job, GOOD), "nothing to pay")
    world.refused(world.collecting(job, GOOD, owner(1)), "paid already")
    world.withdraw(job)
    world.travel(stands + 30 * DAY)
    assert world.withdraw(job) == 600
    assert world.ether(world.bounty.address) == 0


def test_one_account_collects_by_one_proof_whatever_it_earned(world: World) -> None:
    job = finished(world)
    world.travel(world.settle(job, GOOD))
    for number in (3, 1):
        receipt = world.send(world.collecting(job, GOOD, owner(number)), world.anybody)
        event = world.event(receipt, "Claimed")
        assert event["amount"] == EARNED[number] == world.ether(owner(number))
        assert event["merit"] == {1: 600, 3: 0}[number]
        assert event["rounds_bits"] == 0b011
    world.refused(world.collecting(job, GOOD, owner(3)), "paid already")
    world.send(world.paying(job, GOOD))
    assert got(world) == EARNED


@pytest.mark.parametrize("together", [True, False])
def test_what_was_paid_by_proofs_is_taken_off(world: World, together: bool) -> None:
    """Before the settlement and within its window, proofs of rounds and merit go on."""
    job = finished(world)
    world.claim(job, owner(1), [BOOKS[0].payment_of(owner(1))])
    stands = world.settle(job, GOOD)
    tree = SumTree(MERIT)
    world.claim(job, owner(4), [], merit_claim(tree, MERIT, owner(4)))
    world.claim(job, owner(3), [each.payment_of(owner(3)) for each in BOOKS[:2]])
    world.travel(stands)
    late = world.claiming(job, owner(2), [BOOKS[0].payment_of(owner(2))])
    world.refused(late, "bounty: settled")
    if together:
        world.send(world.paying(job, GOOD))
    else:
        world.refused(world.collecting(job, GOOD, owner(3)), "nothing to pay")
        world.refused(world.collecting(job, GOOD, owner(4)), "nothing to pay")
        for number in (1, 2):
            world.send(world.collecting(job, GOOD, owner(number)))
    assert got(world) == EARNED
    assert world.liabilities(job)[:2] == (0, 0)


def test_merit_claimed_alone_is_taken_off_as_well(world: World) -> None:
    job = finished(world)
    tree = SumTree(MERIT)
    world.claim(job, owner(1), [], merit_claim(tree, MERIT, owner(1)))
    world.travel(world.settle(job, GOOD))
    world.send(world.paying(job, GOOD))
    assert got(world) == EARNED


def test_only_the_requester_settles_a_job_that_finished_and_closed_once(world: World) -> None:
    job = world.post()
    for listed in BOOKS:
        world.commit(job, listed)
    world.refused(world.settling(job, GOOD), "job is not finished")
    world.send(world.finishing(job, SumTree(MERIT)))
    world.refused(world.settling(job, GOOD), "job is not finished")
    world.close(job)
    settling = world.settling(job, GOOD, 600)
    world.refused(settling, "not the requester", world.other, 600)
    world.refused(world.settling(bytes([5]) * 32, GOOD), "unknown job")
    world.settle(job, GOOD)
    world.refused(settling, "settled already", value=600)
    expired = world.post(bytes([1]) * 32)
    world.commit(expired, BOOKS[0])
    world.close(expired)
    world.refused(world.settling(expired, GOOD), "job is not finished")


def test_the_bond_is_the_rate_of_all_that_is_unpaid(world: World) -> None:
    job = finished(world)
    # The job keeps 600 for rounds that did not come: they serve as the bond.
    world.send(world.settling(job, GOOD))
    assert world.liabilities(job) == (600, 1000, 600)
    assert world.surplus(job) == 0

    bare = finished(world, spec=bytes([1]) * 32)
    assert world.withdraw(bare) == 600
    for deposit, fits in ((0, False), (599, False), (600, True), (700, True)):
        snapshot = world.tester.take_snapshot()
        if fits:
            world.send(world.settling(bare, GOOD, deposit), value=deposit)
            assert world.surplus(bare) == deposit - 600
        else:
            settling = world.settling(bare, GOOD, deposit)
            world.refused(settling, "bond is not covered", value=deposit)
        world.tester.revert_to_snapshot(snapshot)
    wrong = world.settling(bare, GOOD, 600)
    world.refused(wrong, "value is not the escrow", value=599)


def test_a_token_job_is_bonded_in_its_token(world: World) -> None:
    token = world.mock("token_mock")
    world.send(token.functions.mint(world.requester, 9000))
    world.send(token.functions.approve(world.bounty.address, 9000))
    job = finished(world, token=token.address)
    world.withdraw(job)
    world.refused(world.settling(job, GOOD, 600), "ether for a token's job", value=600)
    world.send(world.settling(job, GOOD, 600))
    world.travel(world.job(job)["closes"])
    world.send(world.paying(job, GOOD))
    address = world.w3.to_checksum_address
    held = {n: token.functions.balanceOf(address(owner(n))).call() for n in EARNED}
    assert held == EARNED
    world.travel(world.now + 30 * DAY)
    assert world.withdraw(job) == 600


def test_sums_that_do_not_fit_the_job_are_refused(world: World) -> None:
    job = finished(world)
    for bad in (altered(1, merit=599), altered(1, merit=601), altered(1, merit=2**128 - 1)):
        world.refused(world.settling(job, bad), "merit is not the pot")
    world.refused(world.settling(job, altered(4, rounds=1)), "too many rounds")
    fewer = altered(1, rounds=1)
    world.send(world.settling(job, fewer))


def test_leaves_come_whole(world: World) -> None:
    job = finished(world)
    whole = GOOD.parts[0]
    settle = world.bounty.functions.settle
    for leaves in (b"", whole[:-1], whole + b"\0"):
        world.refused(settle(job, 0, True, 0, leaves), "leaves are not whole")
    high = bytearray(whole)
    high[20] = 0x80
    world.refused(settle(job, 0, True, 0, bytes(high)), "round is past 254")
    world.refused(settle(job, 0, False, 0, whole), "part is not full")
    world.refused(settle(job, 1, True, 0, whole), "not the next part")
    world.refused(settle(job, 16, True, 0, whole), "more than 16 parts")


def test_a_job_that_shares_its_merit_equally_is_not_settled(world: World) -> None:
    job = world.post()
    world.send(world.finishing(job, SumTree([])))
    world.commit(job, BOOKS[0])
    world.close(job)
    good = honest(BOOKS[:1])
    world.refused(world.settling(job, good), "merit goes equally")
    bare = world.post(bytes([1]) * 32, merit=0)
    world.commit(bare, BOOKS[0])
    world.send(world.finishing(bare, SumTree([])))
    world.close(bare)
    world.travel(world.settle(bare, good))
    world.send(world.paying(bare, good))
    assert world.ether(owner(1)) == 100


def test_leaves_and_places_that_are_not_the_settlements_are_refused(world: World) -> None:
    job = finished(world)
    world.travel(world.settle(job, GOOD))
    pay, collect = world.bounty.functions.pay, world.bounty.functions.collect
    whole = GOOD.parts[0]
    other = altered(1, merit=601)
    for leaves in (whole[LEAF_BYTES:], whole + whole[:LEAF_BYTES], other.parts[0], b""):
        world.refused(pay(job, 0, leaves), "not these leaves")
    world.refused(pay(job, 1, whole), "no such part")
    good = GOOD.leaf_and_proof(1)
    for position, place in (
        (0, good),
        (4, good),
        (256, good),
        (1, other.leaf_and_proof(1)),
        (1, good[:LEAF_BYTES] + good[:24] + good[LEAF_BYTES + 24 :]),
    ):
        if place != good or position != 1:
            world.refused(collect(job, position, place), "no such leaf")
    for place in (good[:-1], good + b"\0", good + bytes(24)):
        world.refused(collect(job, 1, place), "no end at a proof|no such leaf")
    world.send(collect(job, 1, good))


def test_an_account_alone_is_a_settlement(world: World) -> None:
    job = world.post(merit=0)
    world.commit(job, book(0, owner(1)))
    world.send(world.finishing(job, SumTree([])))
    world.close(job)
    alone = honest([book(0, owner(1))])
    world.travel(world.settle(job, alone))
    snapshot = world.tester.take_snapshot()
    world.send(world.paying(job, alone))
    assert world.ether(owner(1)) == 100
    world.tester.revert_to_snapshot(snapshot)
    world.send(world.collecting(job, alone, owner(1)))
    assert world.ether(owner(1)) == 100


def large(number: int) -> Settlement:
    return Settlement(
        sorted(
            (SettledAccount(owner(n), 1, 0) for n in range(number)), key=lambda each: each.account
        )
    )


@pytest.mark.parametrize("number", [55, 56, 57, 256])
def test_a_part_of_any_size_keeps_its_paid_bits(world: World, number: int) -> None:
    """The first 55 lie in the part's own word, the others in one more."""
    job = world.post(rounds=1, cohort=256, rate=1, merit=0)
    accounts = [owner(n) for n in range(number)]
    world.commit(job, book(0, *accounts))
    world.send(world.finishing(job, SumTree([])))
    world.close(job)
    settled = large(number)
    world.travel(world.settle(job, settled))
    for position in {0, 53, 54, number - 1}:
        account = settled.accounts[position].account
        world.send(world.collecting(job, settled, account))
        world.refused(world.collecting(job, settled, account), "paid already")
        _, count, paid = world.view("settlements", job, 0)
        assert count == number
        assert paid >> position & 1
    world.send(world.paying(job, settled))
    assert all(world.ether(account) == 1 for account in accounts)
    assert world.view("settlements", job, 0)[2] == (1 << number) - 1


def test_more_than_256_accounts_come_in_parts(world: World) -> None:
    job = world.post(rounds=1, cohort=600, rate=1, merit=0)
    accounts = [owner(n) for n in range(600)]
    world.commit(job, book(0, *accounts))
    world.send(world.finishing(job, SumTree([])))
    world.close(job)
    settled = large(600)
    assert len(settled.parts) == 3
    world.send(world.settling(job, settled, 0, 0, False))
    world.refused(world.settling(job, settled, 600, 2, True), "not the next part", value=600)
    world.send(world.settling(job, settled, 0, 0, False))  # it begins anew
    world.send(world.settling(job, settled, 0, 1, False))
    world.refused(world.settling(job, settled, 0, 1, False), "not the next part")
    world.refused(world.paying(job, settled), "none stands")
    world.send(world.settling(job, settled, 600, 2, True), value=600)
    world.travel(world.job(job)["closes"])
    world.send(world.collecting(job, settled, settled.accounts[300].account))
    for part in range(3):
        world.send(world.paying(job, settled, part))
    assert all(world.ether(account) == 1 for account in accounts)
    assert world.liabilities(job) == (0, 0, 600)


def test_a_payee_that_refuses_or_burns_gas_holds_up_nobody(world: World) -> None:
    """What it is owed stays, and `collect` pays it with all the gas that there is."""
    proud, greedy = world.mock("attacker_mock"), world.mock("burner_mock")
    world.send(proud.functions.refuse(True))
    accounts = [bytes.fromhex(each.address[2:]) for each in (proud, greedy)]
    listed = book(0, owner(1), owner(2), *accounts)
    job = world.post(cohort=4, merit=0)
    world.commit(job, listed)
    world.send(world.finishing(job, SumTree([])))
    world.close(job)
    good = honest([listed])
    world.travel(world.settle(job, good))
    receipt = world.send(world.paying(job, good), world.anybody)
    assert receipt.gasUsed < 300_000
    paid = world.event(receipt, "Paid")["leaves"]
    assert paid == sum(1 << (good.position_of(owner(n)) or 0) for n in (1, 2))
    assert [world.ether(owner(n)) for n in (1, 2)] == [100, 100]
    assert [world.ether(each.address) for each in (proud, greedy)] == [0, 0]
    assert world.liabilities(job)[0] == 200
    assert world.view("settlements", job, 0)[2].bit_count() == 2
    world.refused(world.collecting(job, good, accounts[0]), "attacker: no thanks")
    world.send(world.collecting(job, good, accounts[1]))
    world.send(proud.functions.refuse(False))
    world.send(world.paying(job, good))
    assert [world.ether(each.address) for each in (proud, greedy)] == [100, 100]
    assert world.liabilities(job)[0] == 0


def test_a_payee_that_calls_back_gets_its_pay_once(world: World) -> None:
    attacker = world.mock("attacker_mock")
    account = bytes.fromhex(attacker.address[2:])
    listed = book(0, owner(1), account)
    job = world.post(merit=0)
    world.commit(job, listed)
    world.send(world.finishing(job, SumTree([])))
    world.close(job)
    good = honest([listed])
    world.travel(world.settle(job, good))
    position = good.position_of(account)
    again = world.bounty.encode_abi("collect", [job, position, good.leaf_and_proof(position or 0)])
    world.send(attacker.functions.call_back(world.bounty.address, again))
    world.send(world.collecting(job, good, account))
    assert attacker.functions.calls().call() == 1
    assert not attacker.functions.worked().call()
    assert world.ether(attacker.address) == 100
    assert world.liabilities(job)[0] == 100


def test_a_token_that_refuses_one_payee_pays_the_others(world: World) -> None:
    token = world.mock("token_mock")
    world.send(token.functions.mint(world.requester, 9000))
    world.send(token.functions.approve(world.bounty.address, 9000))
    job = finished(world, token=token.address)
    world.send(world.settling(job, GOOD))
    world.travel(world.job(job)["closes"])
    world.send(token.functions.refuse(True))
    world.send(world.paying(job, GOOD))
    assert world.liabilities(job) == (600, 1000, 600)
    assert world.view("settlements", job, 0)[2] == 0
    world.send(token.functions.refuse(False))
    world.send(world.paying(job, GOOD))
    assert world.liabilities(job) == (0, 0, 600)
