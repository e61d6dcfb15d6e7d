"""claim: every committed contribution is worth the rate, once; merit follows how the job ended."""

from __future__ import annotations

from typing import Any

import pytest
from eth_tester.exceptions import TransactionFailed
from kits.bounty import NOTHING, Book, Contribution, World, book, merit_claim, owner, packed

from protocol.books.trees import NODE_BYTES, Merit, SumTree

MERIT_BIT = 1 << 255


def test_a_claim_pays_all_rounds_and_merit_in_one_transaction(world: World) -> None:
    job = world.post()
    books = [book(0, owner(1), owner(2)), book(1, owner(2)), book(2, owner(2), owner(3), owner(1))]
    for listed in books:
        world.commit(job, listed)
    entries = [Merit(owner(2), 700), Merit(owner(1), 300)]
    tree = SumTree(entries)
    world.send(world.finishing(job, tree))
    payments = [books[2].payment_of(owner(1)), books[0].payment_of(owner(1))]
    claimed = world.claim(job, owner(1), payments, merit_claim(tree, entries, owner(1)))
    assert bytes.fromhex(claimed.pop("account")[2:]) == owner(1)
    assert claimed == {"job": job, "amount": 500, "rounds_bits": 0b101, "merit": 300}
    assert world.ether(owner(1)) == 500
    paid = world.bounty.functions.paid(job, world.w3.to_checksum_address(owner(1))).call()
    assert paid == 0b101 | MERIT_BIT
    assert world.liabilities(job) == (400, 700, 0)


def test_money_out_is_money_in_once_all_have_claimed(world: World) -> None:
    job = world.post()
    books = [book(0, owner(1), owner(2), owner(3)), book(1, owner(1))]
    for listed in books:
        world.commit(job, listed)
    entries = [Merit(owner(number), amount) for number, amount in ((1, 1), (2, 990), (3, 9))]
    tree = SumTree(entries)
    world.send(world.finishing(job, tree))
    world.travel(world.job(job)["closes"])
    returned = world.withdraw(job)
    for number in (1, 2, 3):
        account = owner(number)
        payments = [
            listed.payment_of(account)
            for listed in books
            if account in {contribution.account for contribution in listed.contributions}
        ]
        world.claim(job, account, payments, merit_claim(tree, entries, account))
    assert [world.ether(owner(number)) for number in (1, 2, 3)] == [201, 1090, 109]
    assert returned + 201 + 1090 + 109 == 2200
    assert world.ether(world.bounty.address) == 0
    assert world.job(job)["held"] == 0


def test_rounds_paid_before_are_ignored_and_the_rest_is_paid(world: World) -> None:
    job = world.post()
    books = [book(0, owner(1)), book(1, owner(1))]
    for listed in books:
        world.commit(job, listed)
    first, second = (listed.payment_of(owner(1)) for listed in books)
    world.claim(job, owner(1), [first])
    assert world.claim(job, owner(1), [first, second, second])["rounds_bits"] == 0b10
    assert world.ether(owner(1)) == 200


def test_a_claim_with_nothing_to_pay_is_refused(world: World) -> None:
    job = world.post()
    listed = book(0, owner(1))
    world.commit(job, listed)
    world.refused(world.claiming(job, owner(1), []), "nothing to pay")
    world.claim(job, owner(1), [listed.payment_of(owner(1))])
    again = world.claiming(job, owner(1), [listed.payment_of(owner(1))])
    world.refused(again, "nothing to pay")


def test_an_account_is_paid_once_a_round_whatever_the_tree_lists(world: World) -> None:
    job = world.post()
    listed = Book(0, [Contribution(owner(1), block) for block in range(3)])
    world.commit(job, listed)
    claimed = world.claim(job, owner(1), [listed.payment(position) for position in range(3)])
    assert claimed["amount"] == 100
    second = world.claiming(job, owner(1), [listed.payment(2)])
    world.refused(second, "nothing to pay")


def test_a_round_or_job_that_does_not_exist_pays_nothing(world: World) -> None:
    job = world.post()
    listed = book(0, owner(1))
    payment = listed.payment_of(owner(1))
    world.refused(world.claiming(job, owner(1), [payment]), "round is not committed")
    world.commit(job, listed)
    for number in (1, 2, 254, 255):
        ahead = world.claiming(job, owner(1), [(number, *payment[1:])])
        world.refused(ahead, "round is not committed")
    world.refused(world.claiming(bytes([5]) * 32, owner(1), [payment]), "unknown job")
    world.claim(job, owner(1), [payment])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_every_position_is_paid_to_its_account_and_to_no_other(world: World, count: int) -> None:
    job = world.post(cohort=5)
    listed = book(0, *(owner(number) for number in range(count)))
    world.commit(job, listed)
    wrong = "contribution is not under the round's root"
    thief = world.claiming(job, owner(99), [listed.payment(0)])
    world.refused(thief, wrong)
    for position in range(count):
        world.claim(job, owner(position), [listed.payment(position)])
        assert world.ether(owner(position)) == 100
    assert world.liabilities(job)[0] == 0


def test_a_payment_altered_anywhere_is_refused(world: World) -> None:
    job = world.post(cohort=5)
    listed = book(0, *(owner(number) for number in range(5)))
    world.commit(job, listed)
    number, position, block, roster, digest, proof = listed.payment(1)
    node = bytes(NODE_BYTES)
    altered: list[Any] = [
        (number, 0, block, roster, digest, proof),
        (number, 5, block, roster, digest, proof),
        (number, 1 + 8, block, roster, digest, proof),
        (number, position, block + 1, roster, digest, proof),
        (number, position, block, digest, roster, proof),
        (number, position, block, roster, digest, proof[:-1]),
        (number, position, block, roster, digest, [node, *proof[1:]]),
        (number, position, block, roster, digest, proof[::-1]),
        (number, position, block, roster, digest, []),
    ]
    for payment in altered:
        claiming = world.claiming(job, owner(1), [payment])
        world.refused(claiming, "contribution is not under the round's root")
    longer = [(number, position, block, roster, digest, [*proof, node])]
    world.refused(world.claiming(job, owner(1), longer), "do not end with a proof")
    world.claim(job, owner(1), [listed.payment(1)])


def test_one_bad_payment_fails_the_whole_claim(world: World) -> None:
    job = world.post()
    books = [book(0, owner(1)), book(1, owner(2))]
    for listed in books:
        world.commit(job, listed)
    claiming = world.claiming(job, owner(1), [books[0].payment(0), books[1].payment(0)])
    world.refused(claiming, "contribution is not under the round's root")


def test_255_rounds_are_claimed_by_32(world: World) -> None:
    job = world.post(rounds=255, cohort=2, merit=255)
    books = [book(number, owner(1), owner(2)) for number in range(255)]
    for listed in books:
        world.commit(job, listed)
    world.send(world.finishing(job, SumTree([Merit(owner(1), 255)])))
    payments = [listed.payment(0) for listed in books]
    rest = "are more than 32"
    world.refused(world.claiming(job, owner(1), payments[:33]), rest)
    for first in range(0, 224, 32):
        claimed = world.claim(job, owner(1), payments[first : first + 32])
        bits = (1 << 32) - 1 << first
        assert (claimed["amount"], claimed["rounds_bits"]) == (3_200, bits)
    claimed = world.claim(job, owner(1), payments[224:], (0, 255, []))
    assert (claimed["amount"], claimed["merit"]) == (3_100 + 255, 255)
    paid = world.bounty.functions.paid(job, world.w3.to_checksum_address(owner(1))).call()
    assert paid == 2**256 - 1


def raw_claim(world: World, job: bytes, payments: bytes, length: int, offset: int = 128) -> Any:
    """A claim's data by hand: `payments` under another length or at another place than it has."""
    words = (offset, 128 + 32 + -len(payments) % 32 + len(payments), length)
    at, merit, size = (value.to_bytes(32, "big") for value in words)
    head = world.bounty.encode_abi("claim", [job, world.anybody, b"", NOTHING])[:10]
    data = bytes.fromhex(head[2:]) + job + owner(1).rjust(32, b"\0") + at + merit + size + payments
    data += bytes(-len(payments) % 32)
    nothing = 0, 0, 96, 0
    data += b"".join(value.to_bytes(32, "big") for value in nothing)
    return {"to": world.bounty.address, "from": world.anybody, "data": data, "gas": 12_000_000}


def test_a_claim_reads_its_payments_and_nothing_beside_them(world: World) -> None:
    job = world.post()
    listed = book(0, owner(1), owner(2))
    world.commit(job, listed)
    whole = packed([listed.payment(0)])
    snapshot = world.tester.take_snapshot()
    assert world.w3.eth.call(raw_claim(world, job, whole, len(whole))) == b""
    for length in (len(whole) - 1, len(whole) + 1, 1, 5, 69, len(whole) + 24):
        with pytest.raises(TransactionFailed, match="do not end with a proof"):
            world.w3.eth.call(raw_claim(world, job, whole, length))
    with pytest.raises(TransactionFailed, match="nothing to pay"):
        world.w3.eth.call(raw_claim(world, job, whole, 0))
    for offset in (2**256 - 1, 2**256 - 36, 2**255, 4096):
        with pytest.raises(TransactionFailed):
            world.w3.eth.call(raw_claim(world, job, whole, len(whole), offset))
    world.tester.revert_to_snapshot(snapshot)
    world.claim(job, owner(1), [listed.payment(0)])


def test_merit_is_paid_once(world: World) -> None:
    job = world.post()
    listed = book(0, owner(1), owner(2))
    world.commit(job, listed)
    entries = [Merit(owner(1), 999), Merit(owner(2), 1)]
    tree = SumTree(entries)
    world.send(world.finishing(job, tree))
    merit = merit_claim(tree, entries, owner(1))
    assert world.claim(job, owner(1), [], merit)["merit"] == 999
    world.refused(world.claiming(job, owner(1), [], merit), "nothing to pay")
    # Named again beside a round that is still due, it is ignored.
    assert world.claim(job, owner(1), [listed.payment_of(owner(1))], merit)["amount"] == 100


def test_merit_that_is_not_in_the_tree_is_refused(world: World) -> None:
    job = world.post()
    world.commit(job, book(0, owner(1), owner(2)))
    entries = [Merit(owner(1), 600), Merit(owner(2), 300), Merit(owner(3), 100)]
    tree = SumTree(entries)
    world.send(world.finishing(job, tree))
    position, amount, proof = merit_claim(tree, entries, owner(1))
    [(sibling, total), upper] = proof
    wrong = "merit is not under the root"
    for merit in (
        (position, amount + 1, proof),
        (position + 1, amount, proof),
        (position, amount, proof[:1]),
        (position, amount, [(sibling, total - 1), upper]),
        (position, amount, []),
    ):
        world.refused(world.claiming(job, owner(1), [], merit), wrong)
    world.refused(world.claiming(job, owner(2), [], (position, amount, proof)), wrong)
    past = world.claiming(job, owner(1), [], (position + 4, amount, proof))
    world.refused(past, "position is past the tree")
    overflow = [(sibling, 2**256 - 1), upper]
    world.refused(
        world.claiming(job, owner(1), [], (position, amount, overflow)), "execution reverted: b''"
    )
    world.claim(job, owner(1), [], (position, amount, proof))


def test_there_is_no_merit_to_prove_without_finish(world: World) -> None:
    job = world.post()
    listed = book(0, owner(1))
    world.commit(job, listed)
    claiming = world.claiming(job, owner(1), [listed.payment(0)], (0, 1000, []))
    world.refused(claiming, "merit without a sum tree")
    world.travel(world.job(job)["closes"])
    world.refused(claiming, "merit without a sum tree")


def test_an_unfinished_jobs_merit_is_shared_equally(world: World) -> None:
    job = world.post()
    books = [book(0, owner(1), owner(2)), book(1, owner(1))]
    for listed in books:
        world.commit(job, listed)
    world.travel(world.job(job)["closes"])
    claimed = world.claim(job, owner(1), [listed.payment_of(owner(1)) for listed in books])
    assert (claimed["amount"], claimed["merit"]) == (200 + 666, 666)
    assert world.claim(job, owner(2), [books[0].payment_of(owner(2))])["merit"] == 333
    assert world.liabilities(job) == (0, 0, 0)
    assert world.withdraw(job) == 2200 - 866 - 433
    assert world.ether(world.bounty.address) == 0


def test_rounds_claimed_before_the_expiry_get_their_share_after_it(world: World) -> None:
    job = world.post()
    books = [book(0, owner(1), owner(2)), book(1, owner(1))]
    for listed in books:
        world.commit(job, listed)
    early = world.claim(job, owner(1), [books[0].payment_of(owner(1))])
    assert (early["amount"], early["merit"]) == (100, 0)
    world.travel(world.job(job)["closes"])
    # No proof is needed for a round that was paid: its bit says enough.
    late = world.claim(job, owner(1), [])
    assert (late["amount"], late["rounds_bits"], late["merit"]) == (333, 0, 333)
    world.refused(world.claiming(job, owner(1), []), "nothing to pay")
    last = world.claim(job, owner(1), [books[1].payment_of(owner(1))])
    assert (last["amount"], last["merit"]) == (433, 333)
    shared = world.bounty.functions.shared(job, world.w3.to_checksum_address(owner(1))).call()
    assert shared == 0b11
    assert world.ether(owner(1)) == 200 + 666


def test_a_cancelled_jobs_merit_is_shared_equally(world: World) -> None:
    job = world.post()
    listed = book(0, owner(1), owner(2))
    world.commit(job, listed)
    cancelled = world.send(world.bounty.functions.cancel(job))
    effective = world.event(cancelled, "Cancelled")["effective"]
    assert world.claim(job, owner(1), [listed.payment_of(owner(1))])["merit"] == 0
    world.travel(effective)
    assert world.claim(job, owner(1), [])["merit"] == 500
    assert world.claim(job, owner(2), [listed.payment_of(owner(2))])["amount"] == 600


def test_a_finished_job_shares_nothing_after_its_expiry(world: World) -> None:
    job = world.post()
    listed = book(0, owner(1), owner(2))
    world.commit(job, listed)
    world.send(world.finishing(job, SumTree([Merit(owner(2), 1000)])))
    world.travel(world.job(job)["closes"] + 1)
    assert world.claim(job, owner(1), [listed.payment_of(owner(1))])["amount"] == 100
    world.refused(world.claiming(job, owner(1), []), "nothing to pay")


def test_without_a_pot_no_share_is_written_down(world: World) -> None:
    job = world.post(merit=0)
    listed = book(0, owner(1))
    world.commit(job, listed)
    world.travel(world.job(job)["closes"])
    assert world.claim(job, owner(1), [listed.payment(0)])["amount"] == 100
    assert world.view("shared", job, world.w3.to_checksum_address(owner(1))) == 0


def test_a_job_without_pay_by_rate_still_counts_contributions_for_merit(world: World) -> None:
    job = world.post(rate=0)
    listed = book(0, owner(1), owner(2))
    world.commit(job, listed)
    assert world.claim(job, owner(1), [listed.payment_of(owner(1))])["amount"] == 0
    world.travel(world.job(job)["closes"])
    assert world.claim(job, owner(1), [])["amount"] == 500


def test_a_token_job_pays_its_owners_in_the_token(world: World) -> None:
    token = world.mock("silent_token_mock")
    world.send(token.functions.mint(world.requester, 2200))
    world.send(token.functions.approve(world.bounty.address, 2200))
    job = world.post(token=token.address)
    listed = book(0, owner(1))
    world.commit(job, listed)
    world.claim(job, owner(1), [listed.payment(0)])
    account = world.w3.to_checksum_address(owner(1))
    assert token.functions.balanceOf(account).call() == 100
    assert token.functions.balanceOf(world.bounty.address).call() == 2100
    assert world.ether(owner(1)) == 0
