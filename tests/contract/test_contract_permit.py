"""`post_permitted`: whose permit it is, what it opens, and what hostile tokens make of it."""

from __future__ import annotations

from typing import Any

import pytest
from eth_tester.exceptions import TransactionFailed
from kits.bounty import ETHER, HOUR, UNNAMED, World, book, owner

from node.chain.tokens import permits

#: What a job of these tests locks up.
ESCROW = 3 * 4 * 100 + 1000
HONEST, NOTHING, CALLS_BACK, BURNS, EMPTIES, FEE = range(6)
Signature = tuple[int, bytes, bytes]
FORGED: Signature = 27, bytes([1]) * 32, bytes([2]) * 32


def address(text: str) -> bytes:
    return bytes.fromhex(text[2:])


@pytest.fixture
def token(world: World) -> Any:
    found = world.mock("permit_token_mock")
    world.send(found.functions.mint(world.requester, 10 * ESCROW))
    return found


def permit_of(world: World, coin: Any, terms: dict[str, Any], **changes: Any) -> Signature:
    """The requester's permit for a job, by the product's own words; `changes` spoil it."""
    said: dict[str, Any] = {
        "chain_id": world.domain.chain_id,
        "token": address(coin.address),
        "spender": address(world.bounty.address),
        "amount": ESCROW,
        "nonce": coin.functions.nonces(world.requester).call(),
        "deadline": terms["expiry"],
        "signer": world.requester,
    }
    said |= changes
    domain = permits.separator("Test Dollar", "1", said["chain_id"], said["token"])
    owner = address(world.requester)
    words = said["spender"], said["amount"], said["nonce"], said["deadline"]
    digest = permits.digest(domain, owner, *words)
    signed = world.keys[world.accounts.index(said["signer"])].sign_msg_hash(digest).to_bytes()
    return 27 + signed[64], bytes(signed[:32]), bytes(signed[32:64])


def posting(world: World, terms: dict[str, Any], signature: Signature) -> Any:
    return world.bounty.functions.post_permitted(*terms.values(), *signature)


def bringing(world: World, token: Any, terms: dict[str, Any], signature: Signature) -> Any:
    """The permit as a call of the token's own, by whoever sends it."""
    words = world.requester, world.bounty.address, ESCROW, terms["expiry"]
    return token.functions.permit(*words, *signature)


def allowed(world: World, token: Any) -> int:
    return int(token.functions.allowance(world.requester, world.bounty.address).call())


def held(world: World, token: Any) -> int:
    return int(token.functions.balanceOf(world.bounty.address).call())


def test_a_permit_takes_exactly_the_escrow_and_leaves_nothing(world: World, token: Any) -> None:
    terms = world.terms(token=token.address)
    world.send(posting(world, terms, permit_of(world, token, terms)))
    job = world.view("job_id", world.requester, terms["spec"])
    assert world.job(job)["held"] == held(world, token) == ESCROW
    assert (allowed(world, token), token.functions.nonces(world.requester).call()) == (0, 1)


def test_whoever_brings_a_permit_first_stops_nothing_and_gets_nothing(
    world: World, token: Any
) -> None:
    terms = world.terms(token=token.address)
    signature = permit_of(world, token, terms)
    world.send(bringing(world, token, terms, signature), world.anybody)
    # Nobody else can spend what it allows: the contract takes its own sender's tokens alone.
    world.send(token.functions.mint(world.anybody, ESCROW))
    for call in (posting(world, terms, signature), world.posting(terms)):
        world.refused(call, UNNAMED, world.anybody)
    assert allowed(world, token) == ESCROW
    world.send(posting(world, terms, signature))
    assert (held(world, token), allowed(world, token)) == (ESCROW, 0)


def test_a_strangers_posting_with_anothers_permit_takes_nothing(world: World, token: Any) -> None:
    """Seen in the pool and sent first, with the same terms or with a job of the stranger's own."""
    terms = world.terms(token=token.address)
    signature = permit_of(world, token, terms)
    before = token.functions.balanceOf(world.requester).call()
    for spec in (bytes(32), bytes([9]) * 32):
        world.refused(posting(world, terms | {"spec": spec}, signature), UNNAMED, world.anybody)
    # With tokens and an approval of its own it posts, and the permit is no part of that.
    world.send(token.functions.mint(world.anybody, ESCROW))
    world.send(token.functions.approve(world.bounty.address, ESCROW), world.anybody)
    world.send(posting(world, terms, signature), world.anybody)
    assert token.functions.balanceOf(world.requester).call() == before
    assert (allowed(world, token), token.functions.nonces(world.requester).call()) == (0, 0)
    world.send(posting(world, terms, signature))
    assert held(world, token) == 2 * ESCROW


def test_a_permit_is_good_once(world: World, token: Any) -> None:
    terms = world.terms(token=token.address)
    signature = permit_of(world, token, terms)
    world.send(posting(world, terms, signature))
    world.refused(posting(world, terms, signature), "posted already")
    world.refused(posting(world, terms | {"spec": bytes([1]) * 32}, signature), UNNAMED)
    world.refused(bringing(world, token, terms, signature), "another signature", world.anybody)


@pytest.mark.parametrize(
    "changes",
    [
        {"chain_id": 1},
        {"token": bytes([0x11]) * 20},
        {"spender": bytes([0x22]) * 20},
        {"amount": ESCROW + 1},
        {"amount": ESCROW - 1},
        {"nonce": 1},
        {"deadline": 2**255},
        {"signer": "other"},
    ],
    ids=lambda changes: "-".join(f"{name}-{str(value)[:8]}" for name, value in changes.items()),
)
def test_a_permit_of_other_words_posts_nothing(
    world: World, token: Any, changes: dict[str, Any]
) -> None:
    if "signer" in changes:
        changes = {"signer": world.other}
    terms = world.terms(token=token.address)
    world.refused(posting(world, terms, permit_of(world, token, terms, **changes)), UNNAMED)


def test_a_job_that_expires_takes_its_permit_along(world: World, token: Any) -> None:
    terms = world.terms(token=token.address, expiry=world.now + HOUR)
    signature = permit_of(world, token, terms)
    world.travel(terms["expiry"] + 1)
    world.refused(posting(world, terms, signature), "expiry is past")
    world.refused(bringing(world, token, terms, signature), "permit is late", world.anybody)


def test_an_approval_that_is_there_needs_no_permit(world: World, token: Any) -> None:
    terms = world.terms(token=token.address)
    world.send(token.functions.approve(world.bounty.address, ESCROW))
    world.send(posting(world, terms, FORGED))
    assert (held(world, token), token.functions.nonces(world.requester).call()) == (ESCROW, 0)


def hostile(world: World, mood: int, data: bytes = b"") -> Any:
    token = world.mock("hostile_permit_mock")
    world.send(token.functions.mint(world.requester, 10 * ESCROW))
    world.send(token.functions.set_mood(mood, world.bounty.address, data))
    return token


@pytest.mark.parametrize("mood", [NOTHING, BURNS, FEE])
def test_a_token_whose_permit_lies_posts_nothing(world: World, mood: int) -> None:
    token = hostile(world, mood)
    call = posting(world, world.terms(token=token.address), FORGED)
    world.refused(call, {NOTHING: UNNAMED, BURNS: ".", FEE: "another amount"}[mood])
    job = world.view("job_id", world.requester, bytes(32))
    assert world.job(job)["requester"] == ETHER


@pytest.mark.parametrize("name", ["post", "post_permitted", "commit", "claim", "pay"])
def test_a_permit_cannot_call_back(world: World, name: str) -> None:
    """What anybody may call, and would succeed a moment later, does not while a permit runs."""
    job = world.post(bytes([5]) * 32, sender=world.other, merit=0)
    first, second = book(0, owner(1)), book(1, owner(1))
    world.commit(job, first, signer=world.other)
    free = list(world.terms(bytes([6]) * 32, rate=0, merit=0).values())
    functions = world.bounty.functions
    word = world.commitment(job, second)
    call = {
        "post": functions.post(*free),
        "post_permitted": functions.post_permitted(*free, *FORGED),
        "commit": world.committing(word, world.sign(word, world.other)),
        "claim": world.claiming(job, owner(1), [first.payment(0)]),
        "pay": world.paying(job, [first]),
    }[name]
    data = call.data if name == "pay" else bytes.fromhex(call._encode_transaction_data()[2:])
    token = hostile(world, CALLS_BACK, data)
    before = world.view("jobs", job)
    world.send(posting(world, world.terms(token=token.address), FORGED))
    assert (token.functions.calls().call(), token.functions.worked().call()) == (1, 0)
    assert held(world, token) == ESCROW
    assert world.view("jobs", job) == before
    world.send(call, world.anybody)


def test_a_token_that_empties_the_contract_fails_its_own_jobs_alone(
    world: World, token: Any
) -> None:
    other = world.terms(bytes([3]) * 32, token=token.address)
    world.send(posting(world, other, permit_of(world, token, other)))
    ether = world.post(bytes([4]) * 32)
    bad = hostile(world, HONEST)
    for number in (5, 6):
        terms = world.terms(bytes([number]) * 32, token=bad.address)
        world.send(posting(world, terms, FORGED))
        world.send(bad.functions.set_mood(EMPTIES, world.bounty.address, b""))
    assert held(world, bad) == ESCROW, "of two jobs' escrows"
    assert held(world, token) == world.job(ether)["held"] == ESCROW
    assert world.ether(world.bounty.address) == ESCROW


def test_what_is_no_token_posts_nothing(world: World) -> None:
    """The zero address, an account, a precompile, and the contract itself."""
    for place in (ETHER, world.anybody, "0x" + "00" * 19 + "01", world.bounty.address):
        call = posting(world, world.terms(token=world.w3.to_checksum_address(place)), FORGED)
        world.refused(call, "value is not the escrow" if place == ETHER else UNNAMED)


def test_a_permitted_posting_takes_no_ether(world: World, token: Any) -> None:
    terms = world.terms(token=token.address)
    call = posting(world, terms, permit_of(world, token, terms))
    data = bytes.fromhex(call._encode_transaction_data()[2:])
    message = {"from": world.requester, "to": world.bounty.address, "data": data, "value": 1}
    with pytest.raises(TransactionFailed):
        world.w3.eth.call(message)
    world.send(call)
