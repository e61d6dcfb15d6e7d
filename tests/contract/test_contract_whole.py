"""Whole rounds are paid to everybody in one call, from lists that the contract checks itself."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kits.bounty import HOUR, UNNAMED, Book, Contribution, World, book, merit_claim, owner

from protocol.books import trees
from protocol.books.trees import Merit, SumTree
from protocol.books.whole import encode_whole

FOUR = [owner(number) for number in range(1, 5)]


def rounds_of(world: World, job: bytes, *books: Book) -> list[Book]:
    for listed in books:
        world.commit(job, listed)
    return list(books)


def bits(*rounds: int) -> int:
    return sum(1 << each for each in rounds)


def test_everybody_in_whole_rounds_is_paid_by_one_call_of_anybody(world: World) -> None:
    job = world.post(merit=0)
    books = rounds_of(world, job, book(0, *FOUR), book(1, *FOUR[:3]), book(2, FOUR[3]))
    paid = world.pay(job, books)
    assert paid == {
        FOUR[0]: (bits(0, 1), 200),
        FOUR[1]: (bits(0, 1), 200),
        FOUR[2]: (bits(0, 1), 200),
        FOUR[3]: (bits(0, 2), 200),
    }
    assert [world.ether(account) for account in FOUR] == [200] * 4
    held = world.job(job)
    assert (held["full"], held["unpaid"], held["held"]) == (3, 0, 400)
    assert world.liabilities(job)[0] == 0


@pytest.mark.parametrize("count", [*range(1, 10), 16, 17, 33])
def test_a_tree_of_every_size_is_rebuilt(world: World, count: int) -> None:
    job = world.post(cohort=64, merit=0, rate=3)
    accounts = [owner(number) for number in range(count)]
    entries = [Merit(account, 7 + n) for n, account in enumerate(accounts)]
    pot = sum(entry.amount for entry in entries)
    with_merit = world.post(bytes([1]) * 32, cohort=64, merit=pot, rate=3)
    for each in (job, with_merit):
        rounds_of(world, each, book(0, *accounts))
    assert world.pay(job, [book(0, *accounts)]) == dict.fromkeys(accounts, (1, 3))
    world.send(world.finishing(with_merit, SumTree(entries)))
    paid = world.pay(with_merit, [book(0, *accounts)], entries)
    assert paid == {e.account: (1, 3 + e.amount) for e in entries}
    assert world.job(with_merit)["merit_left"] == 0


def test_what_was_claimed_before_is_left_out(world: World) -> None:
    job = world.post()
    books = rounds_of(world, job, book(0, *FOUR[:2]), book(1, *FOUR[:2]))
    entries = [Merit(FOUR[0], 400), Merit(FOUR[1], 600)]
    tree = SumTree(entries)
    world.claim(job, FOUR[0], [books[0].payment_of(FOUR[0])])
    world.send(world.finishing(job, tree))
    world.claim(job, FOUR[1], [], merit_claim(tree, entries, FOUR[1]))
    paid = world.pay(job, books, entries)
    assert paid == {FOUR[0]: (bits(1), 500), FOUR[1]: (bits(0, 1), 200)}
    assert [world.ether(account) for account in FOUR[:2]] == [600, 800]
    assert world.liabilities(job)[:2] == (0, 0)


def test_a_claim_of_what_was_paid_in_full_pays_nothing_more(world: World) -> None:
    job = world.post()
    books = rounds_of(world, job, book(0, *FOUR), book(1, *FOUR))
    entries = [Merit(account, 250) for account in FOUR]
    tree = SumTree(entries)
    world.send(world.finishing(job, tree))
    world.pay(job, books[:1], entries)
    first, second = (listed.payment_of(FOUR[0]) for listed in books)
    merit = merit_claim(tree, entries, FOUR[0])
    world.refused(world.claiming(job, FOUR[0], [first], merit), "nothing to pay")
    # Beside a round that is not paid yet it is ignored.
    assert world.claim(job, FOUR[0], [first, second], merit)["amount"] == 100
    paid = world.pay(job, books[1:], first=1)
    assert paid[FOUR[0]] == (0, 0)
    assert [world.ether(account) for account in FOUR] == [450] * 4
    word = world.view("paid", job, world.w3.to_checksum_address(FOUR[1]))
    assert word == bits(0, 1) | 1 << 255


def test_rounds_are_paid_once_and_in_order(world: World) -> None:
    job = world.post(merit=0)
    books = rounds_of(world, job, book(0, *FOUR), book(1, *FOUR))
    again = "not the next round to be paid in full"
    world.refused(world.paying(job, books[1:], first=1), again)
    world.pay(job, books[:1])
    world.refused(world.paying(job, books), again)
    world.refused(world.paying(job, [*books[1:], book(2, *FOUR)], first=1), "not committed")
    world.pay(job, books[1:], first=1)
    world.refused(world.paying(job, books[1:], first=1), again)
    world.refused(world.paying(job, [], first=2), "nothing to pay")


def test_a_list_that_is_not_the_rounds_is_refused(world: World) -> None:
    job = world.post(merit=0)
    listed = book(0, *FOUR[:3])
    rounds_of(world, job, listed)
    wrong = "list is not what was committed"
    moved = Book(0, listed.contributions[::-1])
    other = Book(0, [Contribution(a, digest=bytes([1]) * 32) for a in FOUR[:3]])
    thief = book(0, *FOUR[:2], FOUR[3])
    for each in (moved, other, thief):
        world.refused(world.paying(job, [each]), wrong)
    # One too few ends within the call's data, one too many does not end it.
    longer = world.paying(job, [book(0, *FOUR)])
    world.refused(longer, "lists do not end with the call|list is not")
    world.refused(world.paying(job, [book(0, *FOUR[:2])]), f"{UNNAMED}|list is not")
    call = encode_whole(0, [[(c.account, bytes(24)) for c in listed.contributions]])
    world.refused(world.paying_lists(job, call), wrong)
    more = world.paying(job, [listed])
    more.data += b"\x00"
    world.refused(more, "lists do not end with the call")
    less = world.paying(job, [listed])
    less.data = less.data[:-1]
    world.refused(less, UNNAMED)
    world.pay(job, [listed])


def test_the_lists_of_another_job_pay_nothing(world: World) -> None:
    job = world.post(merit=0)
    other = world.post(bytes([1]) * 32, sender=world.other, merit=0)
    rounds_of(world, job, book(0, *FOUR[:2]))
    world.commit(other, book(0, *FOUR[2:]), signer=world.other)
    world.refused(world.paying(job, [book(0, *FOUR[2:])]), "list is not what was committed")
    world.refused(world.paying(bytes([5]) * 32, [book(0, *FOUR[2:])]), "unknown job")


def test_accounts_ascend_so_that_none_is_paid_twice(world: World) -> None:
    job = world.post(merit=0)
    # Two contributions of one account in one round: it is paid once, as by a claim.
    twice = Book(0, [Contribution(FOUR[0], 0), Contribution(FOUR[0], 1)])
    rounds_of(world, job, twice)
    entry = [(FOUR[0], bytes(24))] * 2
    call = encode_whole(0, [entry])
    doubled = replace(call, accounts=2, lists=FOUR[0] + call.lists)
    world.refused(world.paying_lists(job, doubled), "accounts do not ascend")
    assert world.pay(job, [twice]) == {FOUR[0]: (1, 100)}
    assert world.liabilities(job)[0] == 100


def test_a_place_past_the_accounts_is_refused(world: World) -> None:
    job = world.post(merit=0)
    listed = book(0, FOUR[0])
    rounds_of(world, job, listed)
    call = world.paying(job, [listed])
    call.data = call.data[:-1] + b"\x01"
    world.refused(call, UNNAMED)


def test_merit_is_paid_whole_and_once(world: World) -> None:
    job = world.post()
    books = rounds_of(world, job, book(0, *FOUR))
    entries = [Merit(FOUR[3], 300), Merit(FOUR[0], 700)]
    world.refused(world.paying(job, books), "merit is not certain yet")
    world.refused(world.paying(job, books, entries), "merit without a sum tree")
    world.send(world.finishing(job, SumTree(entries)))
    for wrong in (entries[::-1], [Merit(FOUR[3], 301), entries[1]], [Merit(FOUR[2], 300)]):
        world.refused(world.paying(job, books, wrong), "merit is not what the root says")
    # Rounds alone, and merit alone.
    assert world.pay(job, books)[FOUR[0]] == (1, 100)
    assert world.pay(job, [], entries, first=1) == {FOUR[0]: (0, 700), FOUR[3]: (0, 300)}
    again = world.paying(job, [], entries, first=1)
    world.refused(again, "merit is paid in full already")
    assert world.job(job)["merit_full"]


def test_a_tree_that_names_an_account_twice_is_left_to_claims(world: World) -> None:
    job = world.post()
    books = rounds_of(world, job, book(0, *FOUR[:2]))
    # By hand: SumTree itself refuses such entries.
    entries = [Merit(FOUR[0], 400), Merit(FOUR[0], 600)]
    left, right = (trees._sum_leaf(n, entry) for n, entry in enumerate(entries))
    top = trees._sum_node(left, right)
    finish = world.bounty.functions.finish(job, bytes(32), bytes(32), top.hash, top.total)
    world.send(finish)
    world.refused(world.paying(job, books, entries), "an account has merit twice")
    world.pay(job, books)


def test_a_job_that_closed_without_finish_pays_equal_shares_in_whole_rounds(world: World) -> None:
    job = world.post(expiry=world.now + 2 * HOUR)
    books = rounds_of(world, job, book(0, *FOUR[:3]), book(1, *FOUR[:2]))
    # One claims its rate before, and another rate and share after the closing.
    world.claim(job, FOUR[0], [books[0].payment_of(FOUR[0])])
    world.travel(world.job(job)["closes"])
    world.claim(job, FOUR[1], [books[1].payment_of(FOUR[1])])
    assert world.pay(job, books) == {
        FOUR[0]: (bits(1), 100 + 2 * 200),
        FOUR[1]: (bits(0), 100 + 200),
        FOUR[2]: (bits(0), 100 + 200),
    }
    assert [world.ether(account) for account in FOUR[:3]] == [600, 600, 300]
    assert world.liabilities(job) == (0, 0, 0)
    for account in FOUR[:3]:
        for payments in ([], [books[0].payment_of(account)]):
            world.refused(world.claiming(job, account, payments), "nothing to pay")


def test_a_payee_that_refuses_fails_nobody_else_and_claims_later(world: World) -> None:
    proud = world.mock("attacker_mock")
    account = bytes.fromhex(proud.address[2:])
    world.send(proud.functions.refuse(True))
    job = world.post()
    books = rounds_of(world, job, book(0, account, FOUR[0]), book(1, account))
    entries = [Merit(account, 900), Merit(FOUR[0], 100)]
    world.send(world.finishing(job, SumTree(entries)))
    paid = world.pay(job, books, entries)
    assert paid == {account: (0, 0), FOUR[0]: (1, 200)}
    assert world.liabilities(job)[:2] == (200, 900)
    assert world.view("paid", job, proud.address) == 0
    payments = [listed.payment_of(account) for listed in books]
    merit = merit_claim(SumTree(entries), entries, account)
    world.refused(world.claiming(job, proud.address, payments, merit), "attacker: no thanks")
    world.send(proud.functions.refuse(False))
    claimed = world.claim(job, proud.address, payments, merit)
    assert (claimed["amount"], claimed["rounds_bits"]) == (1100, bits(0, 1))
    world.refused(world.claiming(job, proud.address, payments, merit), "nothing to pay")
    assert world.ether(account) == 1100
    assert world.liabilities(job)[:2] == (0, 0)


def test_a_missed_account_that_claims_gets_its_equal_share_once(world: World) -> None:
    proud = world.mock("attacker_mock")
    account = bytes.fromhex(proud.address[2:])
    job = world.post(expiry=world.now + 2 * HOUR)
    books = rounds_of(world, job, book(0, account, FOUR[0]), book(1, account, FOUR[0]))
    world.claim(job, account, [books[0].payment_of(account)])
    world.send(proud.functions.refuse(True))
    world.travel(world.job(job)["closes"])
    assert world.pay(job, books)[account] == (0, 0)
    world.send(proud.functions.refuse(False))
    # The share of the round that was claimed, then the round that was not.
    assert world.claim(job, account, [])["amount"] == 250
    assert world.claim(job, account, [books[1].payment_of(account)])["amount"] == 350
    assert world.ether(account) == 100 + 250 + 350
    assert world.liabilities(job) == (0, 0, 0)


def test_a_payee_that_burns_all_gas_costs_a_bounded_stipend(world: World) -> None:
    greedy = world.mock("attacker_mock")
    account = bytes.fromhex(greedy.address[2:])
    job = world.post(merit=0)
    books = rounds_of(world, job, book(0, *FOUR[:2]))
    plain = world.send(world.paying(job, books)).gasUsed
    world.send(greedy.functions.burn(True))
    other = world.post(bytes([1]) * 32, merit=0)
    listed = rounds_of(world, other, book(0, account, FOUR[0]))
    receipt = world.send(world.paying(other, listed))
    said = world.paid_by(other, world.event(receipt, "Paid"))
    assert said == {account: (0, 0), FOUR[0]: (1, 100)}
    assert receipt.gasUsed < plain + 150_000
    # A claim by somebody else fails as cheaply; the account itself may use what it pays for.
    claim = world.claiming(other, greedy.address, [listed[0].payment_of(account)])
    world.refused(claim, UNNAMED)
    data = bytes.fromhex(claim._encode_transaction_data()[2:])
    world.send(greedy.functions.burn(False))
    world.send(greedy.functions.act(world.bounty.address, data))
    assert world.ether(account) == 100


def test_too_little_gas_leaves_nobody_out(world: World) -> None:
    """Else whoever pays could make accounts claim by proof, which costs them more."""
    proud = world.mock("attacker_mock")
    job = world.post(merit=0)
    books = rounds_of(world, job, book(0, bytes.fromhex(proud.address[2:])))
    data = world.paying(job, books)
    terms = {"from": world.anybody, "gasPrice": 10**10}
    paid = 0
    for gas in range(60_000, 260_000, 10_000):
        snapshot = world.tester.take_snapshot()
        receipt = world.w3.eth.get_transaction_receipt(data.transact(terms | {"gas": gas}))
        assert bool(receipt.status) == (world.ether(proud.address) == 100)
        paid += receipt.status
        world.tester.revert_to_snapshot(snapshot)
    assert 0 < paid < 20


def test_a_payee_that_calls_back_changes_nothing(world: World) -> None:
    attacker = world.mock("attacker_mock")
    account = bytes.fromhex(attacker.address[2:])
    job = world.post(merit=0)
    books = rounds_of(world, job, book(0, account, FOUR[0]), book(1, account))
    again = world.paying(job, books).data
    world.send(attacker.functions.call_back(world.bounty.address, again))
    world.pay(job, books)
    assert (world.ether(account), world.ether(FOUR[0])) == (200, 100)
    assert not attacker.functions.worked().call()


def token_job(world: World, token: object, amount: int) -> bytes:
    functions = token.functions  # type: ignore[attr-defined]
    world.send(functions.mint(world.requester, amount))
    world.send(functions.approve(world.bounty.address, amount))
    address = token.address  # type: ignore[attr-defined]
    return world.post(token=address, merit=0)


@pytest.mark.parametrize("name", ["token_mock", "silent_token_mock", "permit_token_mock"])
def test_tokens_pay_whole_rounds(world: World, name: str) -> None:
    token = world.mock(name)
    job = token_job(world, token, 1200)
    books = rounds_of(world, job, book(0, *FOUR), book(1, *FOUR[:2]))
    world.pay(job, books)
    got = [
        token.functions.balanceOf(world.w3.to_checksum_address(account)).call() for account in FOUR
    ]
    assert got == [200, 200, 100, 100]


def test_a_token_that_refuses_says_so_for_each_account(world: World) -> None:
    token = world.mock("token_mock")
    job = token_job(world, token, 1200)
    books = rounds_of(world, job, book(0, *FOUR[:2]))
    world.send(token.functions.refuse(True))
    assert world.pay(job, books) == {FOUR[0]: (0, 0), FOUR[1]: (0, 0)}
    assert world.liabilities(job)[0] == 200
    world.send(token.functions.refuse(False))
    for account in FOUR[:2]:
        world.claim(job, account, [books[0].payment_of(account)])
    assert world.job(job)["unpaid"] == 0


def test_a_token_that_calls_back_into_pay_changes_nothing(world: World) -> None:
    token = world.mock("token_mock")
    job = token_job(world, token, 1200)
    books = rounds_of(world, job, book(0, *FOUR[:2]))
    again = world.paying(job, books).data
    world.send(token.functions.call_back(world.bounty.address, again))
    world.pay(job, books)
    assert not token.functions.worked().call()
    assert token.functions.balanceOf(world.bounty.address).call() == 1000


def test_limits_of_a_call(world: World) -> None:
    job = world.post(rounds=97, cohort=300, merit=0, rate=1)
    many = [owner(number) for number in range(257)]
    rounds_of(world, job, book(0, *many[:256]), *(book(n, FOUR[0]) for n in range(1, 97)))
    books = [book(n, FOUR[0]) for n in range(97)]
    call = encode_whole(0, [[]])
    world.refused(world.paying_lists(job, call, rounds=97), "more than 96 rounds")
    world.refused(world.paying_lists(job, call, accounts=257), UNNAMED)
    assert len(world.pay(job, [book(0, *many[:256])])) == 256
    paid = world.pay(job, books[1:97], first=1)
    assert paid[FOUR[0]] == (sum(1 << n for n in range(1, 97)), 96)
