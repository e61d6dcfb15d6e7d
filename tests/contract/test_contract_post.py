"""post and enrol: what a job may promise, and that its money is there."""

from __future__ import annotations

from typing import Any

import pytest
from eth_abi import encode
from eth_hash.auto import keccak
from kits.bounty import ETHER, HOUR, UNNAMED, World, book, owner

from protocol.addresses import ZERO_ADDRESS
from protocol.books.trees import Merit, SumTree

SPEC = bytes([1]) * 32


def test_a_post_escrows_all_it_promises(world: World) -> None:
    terms = world.terms(SPEC)
    receipt = world.send(world.posting(terms), value=2200)
    posted = world.event(receipt, "Posted")
    assert posted == {
        "job": world.bounty.functions.job_id(world.requester, SPEC).call(),
        "requester": world.requester,
        "spec_digest": SPEC,
        "token": ETHER,
        "rounds": 3,
        "cohort": 4,
        "rate": 100,
        "merit": 1000,
        "expiry": terms["expiry"],
    }
    assert world.ether(world.bounty.address) == 2200
    assert world.liabilities(posted["job"]) == (0, 1000, 1200)
    assert world.surplus(posted["job"]) == 0
    assert world.bounty.functions.is_open(posted["job"]).call()
    job = world.job(posted["job"])
    assert (job["requester"], job["closes"]) == (world.requester.lower(), terms["expiry"])
    assert (job["held"], job["finished"], job["next_round"]) == (2200, False, 0)


def test_a_job_id_binds_chain_contract_requester_and_spec(world: World) -> None:
    expected = keccak(
        encode(
            ["uint256", "address", "address", "bytes32"],
            [world.w3.eth.chain_id, world.bounty.address, world.requester, SPEC],
        )
    )
    assert world.post(SPEC) == expected
    assert world.post(SPEC, world.other) != expected
    assert world.post(bytes([2]) * 32) != expected


def test_a_spec_is_posted_once_by_each_requester(world: World) -> None:
    world.post(SPEC)
    world.refused(world.posting(world.terms(SPEC)), "bounty: posted already", value=2200)


@pytest.mark.parametrize(("rounds", "cohort"), [(1, 1), (255, 4096)])
def test_the_largest_and_the_smallest_job_can_be_posted(
    world: World, rounds: int, cohort: int
) -> None:
    job = world.post(SPEC, rounds=rounds, cohort=cohort, rate=1, merit=0)
    assert world.liabilities(job) == (0, 0, rounds * cohort)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rounds": 0}, "rounds not in 1 to 255"),
        ({"rounds": 256}, "rounds not in 1 to 255"),
        ({"cohort": 0}, "cohort not in 1 to 4096"),
        ({"cohort": 4097}, "cohort not in 1 to 4096"),
        ({"expiry": 0}, "expiry is past"),
    ],
)
def test_a_job_out_of_bounds_is_refused(world: World, changes: dict[str, Any], reason: str) -> None:
    terms = world.terms(SPEC, rate=0, merit=0, **changes)
    world.refused(world.posting(terms), reason)


def test_an_expiry_lies_after_the_post(world: World) -> None:
    soon = world.now + 100
    world.travel(soon - 1)
    job = world.post(SPEC, expiry=soon)
    assert world.job(job)["closes"] == soon
    late = world.terms(bytes([2]) * 32, expiry=soon, rate=0, merit=0)
    world.travel(soon)
    world.refused(world.posting(late), "expiry is past")


@pytest.mark.parametrize("value", [2199, 2201])
def test_ether_must_be_the_exact_escrow(world: World, value: int) -> None:
    world.refused(world.posting(world.terms(SPEC)), "value is not the escrow", value=value)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"rate": 2**96}, "rate is 2"),
        ({"rate": 2**255}, "rate is 2"),
        ({"rate": 0, "merit": 2**128}, "escrow is 2"),
        ({"rate": 1, "rounds": 1, "cohort": 1, "merit": 2**128 - 1}, "escrow is 2"),
        (
            {"rate": 2**96 - 1, "rounds": 16, "cohort": 4096, "merit": 2**128 - 2**112 + 2**16},
            "escrow is 2",
        ),
        ({"rate": 1, "merit": 2**256 - 1}, UNNAMED),
    ],
)
def test_an_amount_past_its_field_is_refused(
    world: World, changes: dict[str, Any], reason: str
) -> None:
    world.refused(world.posting(world.terms(SPEC, **changes)), reason)


def test_the_greatest_amounts_are_held_and_paid_to_the_last_unit(world: World) -> None:
    token, rate, escrow = world.mock("token_mock"), 2**96 - 1, 2**128 - 1
    world.send(token.functions.mint(world.requester, escrow))
    world.send(token.functions.approve(world.bounty.address, escrow))
    merit = escrow - rate
    job = world.post(SPEC, token=token.address, rounds=1, cohort=1, rate=rate, merit=merit)
    stood = world.job(job)
    assert (stood["rate"], stood["merit"], stood["held"]) == (rate, merit, escrow)
    assert (stood["merit_left"], stood["token"]) == (merit, token.address.lower())
    assert world.liabilities(job) == (0, merit, rate)
    listed = book(0, owner(1))
    world.commit(job, listed)
    entries = [Merit(owner(1), merit)]
    tree = SumTree(entries)
    world.send(world.finishing(job, tree))
    assert world.claim(job, owner(1), [listed.payment(0)], (0, merit, []))["amount"] == escrow
    stood = world.job(job)
    assert (stood["held"], stood["unpaid"], stood["merit_left"]) == (0, 0, 0)
    assert (stood["contributions"], stood["next_round"], stood["merit"]) == (1, 1, merit)


def test_a_job_of_the_greatest_counts_stands_as_it_was_posted(world: World) -> None:
    """Every field at its limit at once: none reaches into its neighbour."""
    job = world.post(SPEC, rounds=255, cohort=4096, rate=1, merit=7, expiry=2**64 - 1)
    for index in range(2):
        world.send(world.bounty.functions.enrol(job, bytes([1]) * 32, 2048))
        assert world.job(job)["enrolments"] == index + 1
    for number in range(255):
        world.commit(job, book(number, owner(1)), count=4096)
    stood = world.job(job)
    counts = stood["rounds"], stood["cohort"], stood["next_round"], stood["enrolled"]
    assert counts == (255, 4096, 255, 4096)
    assert stood["contributions"] == stood["unpaid"] == 255 * 4096
    assert (stood["held"], stood["closes"]) == (255 * 4096 + 7, 2**64 - 1)
    assert stood["requester"] == world.requester.lower()
    assert not stood["finished"]
    assert world.surplus(job) == 0
    world.send(world.bounty.functions.cancel(job))
    after = world.job(job)
    assert after["closes"] < 2**40
    assert {**after, "closes": 0} == {**stood, "closes": 0}


@pytest.mark.parametrize("name", ["token_mock", "silent_token_mock"])
def test_a_token_pays_in_and_out(world: World, name: str) -> None:
    token = world.mock(name)
    world.send(token.functions.mint(world.requester, 5000))
    world.send(token.functions.approve(world.bounty.address, 2200))
    job = world.post(SPEC, token=token.address)
    assert token.functions.balanceOf(world.bounty.address).call() == 2200
    assert token.functions.balanceOf(world.requester).call() == 2800
    world.travel(world.job(job)["closes"])
    assert world.withdraw(job) == 2200
    assert token.functions.balanceOf(world.requester).call() == 5000


def test_a_token_job_takes_no_ether(world: World) -> None:
    token = world.mock("token_mock")
    terms = world.terms(SPEC, token=token.address)
    world.refused(world.posting(terms), "ether for a job that pays in a token", value=1)


def test_a_token_that_takes_a_fee_is_refused(world: World) -> None:
    token = world.mock("token_mock")
    world.send(token.functions.mint(world.requester, 2200))
    world.send(token.functions.approve(world.bounty.address, 2200))
    posting = world.posting(world.terms(SPEC, token=token.address))
    world.send(token.functions.take_fee(1))
    world.refused(posting, "token delivered another amount")
    world.send(token.functions.take_fee(0))
    world.send(posting)


def test_a_token_that_returns_false_is_refused(world: World) -> None:
    token = world.mock("token_mock")
    world.send(token.functions.mint(world.requester, 2200))
    world.send(token.functions.approve(world.bounty.address, 2200))
    posting = world.posting(world.terms(SPEC, token=token.address))
    world.send(token.functions.refuse(True))
    world.refused(posting, "token refused the transfer")
    world.send(token.functions.refuse(False))
    job = bytes(world.event(world.send(posting), "Posted")["job"])
    world.travel(world.job(job)["closes"])
    world.send(token.functions.refuse(True))
    world.refused(world.bounty.functions.withdraw(job), "token refused the transfer")


def test_a_token_without_the_allowance_is_refused(world: World) -> None:
    token = world.mock("token_mock")
    world.send(token.functions.mint(world.requester, 2200))
    world.refused(world.posting(world.terms(SPEC, token=token.address)), UNNAMED)


def test_an_account_without_code_is_no_token(world: World) -> None:
    world.refused(world.posting(world.terms(SPEC, token=world.other)), UNNAMED)


def test_enrolments_are_numbered_and_counted(world: World) -> None:
    job = world.post(SPEC)
    for index, count in enumerate((3, 1)):
        root = bytes([index + 1]) * 32
        receipt = world.send(world.bounty.functions.enrol(job, root, count))
        enrolled = world.event(receipt, "Enrolled")
        assert enrolled == {"job": job, "index": index, "root": root, "count": count}
    assert (world.job(job)["enrolments"], world.job(job)["enrolled"]) == (2, 4)


def test_the_cohort_bounds_all_enrolments_together(world: World) -> None:
    job = world.post(SPEC)
    root = bytes([1]) * 32
    world.send(world.bounty.functions.enrol(job, root, 3))
    world.refused(world.bounty.functions.enrol(job, root, 2), "cohort is full")
    world.refused(world.bounty.functions.enrol(job, root, 65535), "cohort is full")
    world.send(world.bounty.functions.enrol(job, root, 1))


def test_only_the_requester_enrols(world: World) -> None:
    job = world.post(SPEC)
    enrolling = world.bounty.functions.enrol(job, bytes([1]) * 32, 1)
    world.refused(enrolling, "not the requester", world.other)
    unknown = world.bounty.functions.enrol(bytes([5]) * 32, bytes([1]) * 32, 1)
    world.refused(unknown, "unknown job")


def test_an_empty_enrolment_is_refused(world: World) -> None:
    job = world.post(SPEC)
    world.refused(world.bounty.functions.enrol(job, bytes(32), 1), "root is empty")
    world.refused(world.bounty.functions.enrol(job, bytes([1]) * 32, 0), "count is zero")


def test_a_closed_job_enrols_nobody(world: World) -> None:
    job = world.post(SPEC, expiry=world.now + HOUR)
    world.travel(world.job(job)["closes"])
    enrolling = world.bounty.functions.enrol(job, bytes([1]) * 32, 1)
    world.refused(enrolling, "bounty: closed")


def test_a_job_that_nobody_posted_is_empty(world: World) -> None:
    unknown = bytes([5]) * 32
    assert world.job(unknown)["requester"] == "0x" + ZERO_ADDRESS.hex()
    assert not world.bounty.functions.is_open(unknown).call()
    assert world.liabilities(unknown) == (0, 0, 0)
    assert world.surplus(unknown) == 0
