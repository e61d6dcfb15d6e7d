"""What hostile requesters, accounts and tokens try, and whom it harms: themselves alone."""

from __future__ import annotations

import dataclasses

import pytest
from kits.bounty import HOUR, NOTHING, UNNAMED, Book, Contribution, World, book, owner, packed

from protocol.books.trees import Merit, SumTree


def test_a_requester_that_gives_a_puppet_the_whole_pot_each_round_moves_no_other_jobs_money(
    world: World,
) -> None:
    honest = world.post(bytes([1]) * 32, sender=world.other, rounds=2, cohort=2)
    held = world.job(honest)["held"]
    books = [book(number, owner(1), owner(2)) for number in range(2)]
    puppet = owner(666)
    hostile = world.post(bytes([2]) * 32, rounds=2, cohort=4)
    paid = 0
    for number in range(2):
        world.commit(honest, books[number], signer=world.other)
        # The puppet stands at every position of the round, under other digests.
        whole = Book(number, [Contribution(puppet, position) for position in range(4)])
        world.commit(hostile, whole)
        payments = [whole.payment(position) for position in range(4)]
        paid += world.claim(hostile, puppet, payments)["amount"]
        # Nor does a proof for one job's round open the other's.
        stolen = world.claiming(honest, puppet, payments)
        world.refused(stolen, "contribution is not under the round's root")
    everything = SumTree([Merit(puppet, 1000)])
    world.send(world.finishing(hostile, everything))
    paid += world.claim(hostile, puppet, [], (0, 1000, []))["amount"]
    assert paid == world.ether(puppet) == 2 * 100 + 1000

    assert world.job(honest)["held"] == held == 1400
    assert world.liabilities(honest) == (400, 1000, 0)
    # What the puppet's other places are owed stays bound: nobody can prove them.
    assert world.job(hostile)["held"] == 600
    assert world.surplus(hostile) == 0
    entries = [Merit(owner(1), 1000)]
    world.send(world.finishing(honest, SumTree(entries)), sender=world.other)
    for account, merit in ((owner(1), (0, 1000, [])), (owner(2), (0, 0, []))):
        payments = [listed.payment_of(account) for listed in books]
        world.claim(honest, account, payments, merit)
    assert (world.ether(owner(1)), world.ether(owner(2))) == (1200, 200)
    assert world.job(honest)["held"] == 0
    assert world.ether(world.bounty.address) == 600


def test_a_later_root_that_leaves_an_owner_out_takes_nothing_from_it(world: World) -> None:
    job = world.post()
    first = book(0, owner(1), owner(2))
    world.commit(job, first)
    again = world.commitment(job, book(0, owner(2), owner(3)))
    world.refused(world.committing(again, world.sign(again)), "not the next round")
    for number in (1, 2):
        world.commit(job, book(number, owner(2), owner(3)))
    world.send(world.finishing(job, SumTree([Merit(owner(3), 1000)])))
    world.withdraw(job)
    world.travel(world.job(job)["closes"] + 1)
    assert world.liabilities(job)[0] == 600
    assert world.claim(job, owner(1), [first.payment_of(owner(1))])["amount"] == 100
    assert world.ether(owner(1)) == 100


def test_a_root_over_garbage_owes_its_count_and_pays_nobody(world: World) -> None:
    job = world.post()
    world.commit(job, book(0, owner(1)), root=bytes([1]) * 32, count=4)
    claiming = world.claiming(job, owner(1), [book(0, owner(1)).payment(0)])
    world.refused(claiming, "contribution is not under the round's root")
    assert world.liabilities(job) == (400, 1000, 800)
    assert world.surplus(job) == 0


def test_a_tree_of_more_leaves_than_its_count_pays_the_count(world: World) -> None:
    job = world.post()
    listed = book(0, *(owner(number) for number in range(4)))
    world.commit(job, listed, count=3)
    for position in range(3):
        world.claim(job, owner(position), [listed.payment(position)])
    past = world.claiming(job, owner(3), [listed.payment(3)])
    world.refused(past, "contribution is not under the round's root")
    assert world.job(job)["unpaid"] == 0


def test_a_sum_tree_whose_leaves_exceed_its_total_pays_the_pot_at_most(world: World) -> None:
    # A root that a requester made up around one leaf: the total is the pot, the leaf is more.
    job = world.post()
    world.commit(job, book(0, owner(1)))
    honest = world.post(bytes([1]) * 32, sender=world.other)
    greedy = SumTree([Merit(owner(1), 2000)])
    finish = world.bounty.functions.finish(job, bytes(32), bytes(32), greedy.root.hash, 1000)
    world.send(finish)
    claiming = world.claiming(job, owner(1), [], (0, 2000, []))
    world.refused(claiming, "merit does not add up to the pot")
    assert world.job(honest)["held"] == 2200


def test_an_account_that_claims_again_while_it_is_paid_is_paid_once(world: World) -> None:
    attacker = world.mock("attacker_mock")
    job = world.post()
    listed = book(0, bytes.fromhex(attacker.address[2:]))
    world.commit(job, listed)
    payments = [listed.payment(0)]
    data = world.bounty.encode_abi("claim", [job, attacker.address, packed(payments), NOTHING])
    world.send(attacker.functions.call_back(world.bounty.address, data))
    world.claim(job, attacker.address, payments)
    assert attacker.functions.calls().call() == 1
    assert not attacker.functions.worked().call()
    assert world.ether(attacker.address) == 100
    assert world.job(job)["held"] == 2100


@pytest.mark.parametrize("name", ["post", "commit"])
def test_an_account_can_do_nothing_else_while_it_is_paid(world: World, name: str) -> None:
    attacker = world.mock("attacker_mock")
    job = world.post()
    listed = book(0, bytes.fromhex(attacker.address[2:]))
    world.commit(job, listed)
    commitment = world.commitment(job, book(1, owner(5)))
    arguments = {
        "post": [*world.terms(bytes([9]) * 32, rate=0, merit=0).values()],
        "commit": [*dataclasses.astuple(commitment), world.sign(commitment)],
    }
    data = world.bounty.encode_abi(name, arguments[name])
    world.send(attacker.functions.call_back(world.bounty.address, data))
    world.claim(job, attacker.address, [listed.payment(0)])
    assert attacker.functions.calls().call() == 1
    assert not attacker.functions.worked().call()
    # The lock alone stood in the way: the same call goes through by itself.
    world.send(attacker.functions.act(world.bounty.address, data))


@pytest.mark.parametrize("again", ["withdraw", "post"])
def test_a_requester_that_calls_back_while_it_withdraws_gets_its_surplus_once(
    world: World, again: str
) -> None:
    attacker = world.mock("attacker_mock")
    encode = world.bounty.encode_abi
    world.post()
    terms = world.terms(bytes([1]) * 32)
    posting = encode("post", [*terms.values()])
    world.send(attacker.functions.act(world.bounty.address, posting), value=2200)
    job = world.bounty.functions.job_id(attacker.address, bytes([1]) * 32).call()
    withdrawing = encode("withdraw", [job])
    free = world.terms(bytes([2]) * 32, rate=0, merit=0, expiry=terms["expiry"] + HOUR)
    call_back = {"withdraw": withdrawing, "post": encode("post", [*free.values()])}[again]
    world.send(attacker.functions.call_back(world.bounty.address, call_back))
    world.travel(terms["expiry"])
    world.send(attacker.functions.act(world.bounty.address, withdrawing))
    assert attacker.functions.calls().call() == 1
    assert not attacker.functions.worked().call()
    assert world.ether(attacker.address) == 2200
    assert world.ether(world.bounty.address) == 2200


def test_a_token_that_calls_back_changes_nothing(world: World) -> None:
    token = world.mock("token_mock")
    world.send(token.functions.mint(world.requester, 5000))
    world.send(token.functions.approve(world.bounty.address, 5000))
    other = world.terms(bytes([9]) * 32, rate=0, merit=0)
    posting = world.bounty.encode_abi("post", [*other.values()])
    world.send(token.functions.call_back(world.bounty.address, posting))
    job = world.post(token=token.address)
    assert (token.functions.calls().call(), token.functions.worked().call()) == (1, False)
    listed = book(0, owner(1))
    world.commit(job, listed)
    claim = world.bounty.encode_abi(
        "claim",
        [job, world.w3.to_checksum_address(owner(1)), packed([listed.payment(0)]), NOTHING],
    )
    world.send(token.functions.call_back(world.bounty.address, claim))
    world.claim(job, owner(1), [listed.payment(0)])
    assert (token.functions.calls().call(), token.functions.worked().call()) == (2, False)
    assert world.job(job)["held"] == token.functions.balanceOf(world.bounty.address).call() == 2100


def test_a_token_that_stops_paying_fails_its_own_claims_and_no_others(world: World) -> None:
    token = world.mock("token_mock")
    world.send(token.functions.mint(world.requester, 2200))
    world.send(token.functions.approve(world.bounty.address, 2200))
    frozen = world.post(bytes([1]) * 32, token=token.address)
    ether = world.post(bytes([2]) * 32)
    listed = book(0, owner(1))
    for job in (frozen, ether):
        world.commit(job, listed)
    world.send(token.functions.refuse(True))
    claiming = world.claiming(frozen, owner(1), [listed.payment(0)])
    world.refused(claiming, "token refused the transfer")
    world.claim(ether, owner(1), [listed.payment(0)])
    # Nothing of the failed claim stayed: it goes through once the token pays again.
    world.send(token.functions.refuse(False))
    world.claim(frozen, owner(1), [listed.payment(0)])


def test_an_account_that_refuses_its_pay_harms_itself_alone(world: World) -> None:
    proud = world.mock("attacker_mock")
    world.send(proud.functions.refuse(True))
    job = world.post()
    listed = book(0, bytes.fromhex(proud.address[2:]), owner(1))
    world.commit(job, listed)
    refused = world.claiming(job, proud.address, [listed.payment(0)])
    world.refused(refused, "attacker: no thanks")
    world.claim(job, owner(1), [listed.payment(1)])
    world.send(proud.functions.refuse(False))
    world.claim(job, proud.address, [listed.payment(0)])
    assert world.ether(proud.address) == 100


def test_a_claim_of_more_than_32_payments_is_refused(world: World) -> None:
    job = world.post()
    listed = book(0, owner(1))
    world.commit(job, listed)
    claiming = world.claiming(job, owner(1), [listed.payment(0)] * 33)
    world.refused(claiming, "are more than 32")
    world.claim(job, owner(1), [listed.payment(0)] * 32)
    assert world.ether(owner(1)) == 100


def test_payments_longer_than_32_of_the_deepest_are_refused_unread(world: World) -> None:
    job = world.post()
    # 32 payments under 4096 leaves have 32 * (27 + 12 * 24) bytes.
    address = world.w3.to_checksum_address(owner(1))
    longest = 32 * (27 + 12 * 24)
    for size, reason in ((longest, "round is not committed"), (longest + 1, UNNAMED)):
        claiming = world.bounty.functions.claim(job, address, bytes(size), NOTHING)
        world.refused(claiming, reason)
