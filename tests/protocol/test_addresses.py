"""Addresses as people write them."""

from __future__ import annotations

import pytest
from eth_utils import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from protocol.addresses import ZERO_ADDRESS, parse_address, to_checksum
from protocol.errors import InputError

# EIP-55's own examples.
EXAMPLES = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


@pytest.mark.parametrize("text", EXAMPLES)
def test_the_standards_examples(text: str) -> None:
    assert to_checksum(parse_address(text)) == text


@given(st.binary(min_size=20, max_size=20))
def test_what_is_written_is_read_back(address: bytes) -> None:
    text = to_checksum(address)
    assert text == to_checksum_address(address)
    for form in (text, text.lower(), "0x" + text[2:].upper()):
        assert parse_address(form) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0x",
        EXAMPLES[2][:-1],
        EXAMPLES[2] + "0",
        EXAMPLES[2][2:],
        "0X" + EXAMPLES[2][2:],
        EXAMPLES[2].replace("A", "g"),
        " " + EXAMPLES[2][1:],
        "0x" + "1 " * 20,
        "0x" + "_1" * 20,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"payout: .* is not an address"):
        parse_address(text, "payout")


def test_a_wrong_checksum_is_refused() -> None:
    with pytest.raises(InputError, match="wrong checksum"):
        parse_address("0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")


def test_an_address_has_20_bytes() -> None:
    assert to_checksum(ZERO_ADDRESS) == "0x" + "0" * 40
    for size in (0, 19, 21, 32):
        with pytest.raises(ValueError, match=f"20 bytes, not {size}"):
            to_checksum(bytes(size))
