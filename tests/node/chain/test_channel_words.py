"""The channel contract's calls as bytes are what the ABI's own encoder makes of them."""

from __future__ import annotations

import pytest
from eth_abi import encode
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from contracts import interface
from node.chain.channels import calls
from node.chain.channels.calls import ChannelState
from node.chain.replies import Invalid
from protocol.sale.vouchers import MAX_DEPOSIT, Terms, Voucher

ADDRESS = st.binary(min_size=20, max_size=20)
TERMS = st.builds(
    Terms,
    ADDRESS,
    ADDRESS,
    ADDRESS,
    st.integers(0, 2**64 - 1),
    st.binary(min_size=32, max_size=32),
)
AMOUNT = st.integers(0, MAX_DEPOSIT)
NAMED = ["address", "address", "address", "uint64", "bytes32", "uint256", "bytes"]


def test_selectors_are_the_contracts() -> None:
    for signature, selector in calls.SELECTORS.items():
        assert keccak(signature.encode())[:4].hex() == selector
    known = {
        f"{each['name']}({','.join(item['type'] for item in each['inputs'])})"
        for each in interface("channel").abi
        if each["type"] == "function"
    }
    assert set(calls.SELECTORS) <= known


@given(TERMS, AMOUNT, st.binary(max_size=65))
def test_calls_are_encoded_as_the_abi_has_them(terms: Terms, amount: int, signature: bytes) -> None:
    named = (terms.buyer, terms.seller, terms.token, terms.expiry, terms.salt)
    assert calls.opening(terms, amount)[4:] == encode(
        ["address", "address", "uint256", "uint64", "bytes32"],
        [terms.seller, terms.token, amount, terms.expiry, terms.salt],
    )
    redeem = calls.redeeming(terms, Voucher(amount, signature))
    assert redeem[4:] == encode(NAMED, [*named, amount, signature])
    assert calls.closing(terms)[4:] == encode(NAMED, [*named, 0, b""])
    assert calls.question(terms.salt)[4:] == terms.salt


@given(st.integers(1, MAX_DEPOSIT), st.data(), st.booleans())
def test_what_a_channel_holds_is_read(deposit: int, data: st.DataObject, closed: bool) -> None:
    redeemed = data.draw(st.integers(0, deposit))
    words = encode(["uint256", "uint256", "bool"], [deposit, redeemed, closed])
    assert calls.held(words) == ChannelState(deposit, redeemed, closed)


@pytest.mark.parametrize(
    "words",
    [b"", bytes(95), bytes(97), encode(["uint256"] * 3, [1, 2, 0])]
    + [encode(["uint256"] * 3, each) for each in ([MAX_DEPOSIT + 1, 0, 0], [1, 1, 2])],
)
def test_nonsense_is_no_channel(words: bytes) -> None:
    with pytest.raises(Invalid):
        calls.held(words)


def test_no_channel_is_none() -> None:
    assert calls.held(bytes(96)) is None
