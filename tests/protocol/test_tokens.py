"""Tokens by name: exact amounts both ways, and names that cannot be mistaken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.addresses import ZERO_ADDRESS, to_checksum
from protocol.errors import InputError
from protocol.spec.read import SpecError
from protocol.spec.toml import parse_toml
from protocol.tokens import (
    MAX_DECIMALS,
    MAX_NAME,
    MAX_SAID,
    MAX_TOKENS,
    NO_TOKENS,
    Token,
    Tokens,
    said,
)

DOLLAR = Token(1, b"\x11" * 20, "USDC", 6, "USDC")
WHOLE = Token(1, b"\x22" * 20, "Points", 0)
KNOWN = Tokens((DOLLAR, WHOLE))
STRANGE = b"\x77" * 20

FILE = """
title = "Wards"
purpose = "research"
[[features]]
name = "age"
low = 0
high = 120
[target]
name = "stay"
classes = ["short", "long"]
[model]
family = "logistic"
[training]
rounds = 10
[payment]
"""


@given(st.integers(0, 2**256 - 1), st.integers(0, MAX_DECIMALS))
def test_what_is_shown_is_read_back_to_the_last_unit(amount: int, decimals: int) -> None:
    known = Tokens((Token(1, b"\x11" * 20, "USDC", decimals),))
    if amount // 10**decimals < 10**78:
        assert known.parse(known.shown(amount, b"\x11" * 20), b"\x11" * 20) == amount
    assert known.parse(f"{amount} units", b"\x11" * 20) == amount
    assert known.parse(amount, b"\x11" * 20) == amount


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("2.5 USDC", 2_500_000),
        ("2.5usdc", 2_500_000),
        ("0.000001 USDC", 1),
        ("7", 7),
        ("7 unit", 7),
    ],
)
def test_amounts_as_people_write_them(text: str, amount: int) -> None:
    assert KNOWN.parse(text, DOLLAR.address) == amount


def test_amounts_as_people_see_them() -> None:
    assert KNOWN.shown(2_500_000, DOLLAR.address) == "2.5 USDC"
    assert KNOWN.shown(0, DOLLAR.address) == "0 USDC"
    assert KNOWN.shown(12, WHOLE.address) == "12 Points"
    assert KNOWN.shown(10**15, ZERO_ADDRESS) == "0.001 ether"
    assert KNOWN.shown(12, STRANGE) == f"12 units of {to_checksum(STRANGE)}"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0.0000001 USDC", "no whole number of the smallest unit: it has 6 decimals"),
        ("1 ether", "but the token is USDC"),
        ("1 Points", "but the token is USDC"),
        ("1.5", "allowed is a whole number of the token's smallest unit"),
        ("1.5 units", "no whole number of the smallest unit"),
        (-1, "from 0 to"),
        (2**256, "from 0 to"),
        (True, "allowed is"),
        (1.5, "allowed is"),
        ("９ USDC", "allowed is"),
        ("1 USDC\n2", "allowed is"),
        ("1 " + "x" * 10_000, "but the token is"),
    ],
)
def test_an_amount_that_is_none_is_refused(value: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        KNOWN.parse(value, DOLLAR.address, "rate")
    assert caught.value.field == "rate"
    assert len(str(caught.value)) < 300


def test_a_line_is_told_again_with_names() -> None:
    dollars = Token(1, b"\x11" * 20, "USDC", 6)
    known, line = Tokens((dollars,)), "{} to {}, and {}"
    other = to_checksum(b"\x22" * 20)
    told = [tokens.shown(2_500_000, dollars.address) for tokens in (Tokens(), known)]
    rest = Tokens().shown(3, b"\x22" * 20)
    assert known.renamed(line.format(told[0], other, rest)) == line.format(told[1], other, rest)
    for same in ("", "7 units of work", f"{told[0]}00", f"{'9' * 79} units of {other}"):
        assert known.renamed(same) == same
    assert Tokens().renamed(told[0]) == told[0]


def test_a_unit_of_a_token_without_a_name_says_what_names_it() -> None:
    with pytest.raises(InputError, match="no unit that is known for") as caught:
        KNOWN.parse("2 USDC", STRANGE)
    assert caught.value.__notes__ == [f"assay token add {to_checksum(STRANGE)}"]


def test_a_token_is_named_by_name_or_address() -> None:
    assert KNOWN.address("ether") == ZERO_ADDRESS
    assert KNOWN.address("usdc") == DOLLAR.address
    assert KNOWN.address(to_checksum(STRANGE)) == STRANGE
    for wrong in ("DAI", "0x12", "Ether ", "x" * 1000):
        with pytest.raises(InputError) as caught:
            KNOWN.address(wrong, "token")
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * (MAX_NAME + 1),
        "0x11",
        "1inch",
        "ether",
        "ETH",
        "Gwei",
        "units",
        "a b",
        "USD\u20ae0",
        "US\u202eDC",
        "A\n",
        "\x1b[31m",
    ],
)
def test_a_name_that_could_be_mistaken_is_refused(name: str) -> None:
    with pytest.raises(InputError) as caught:
        Token(1, b"\x11" * 20, name, 6)
    assert caught.value.field == "name"
    assert str(caught.value).isprintable()


def test_a_list_holds_what_a_list_can_hold() -> None:
    Token(1, b"\x11" * 20, "x" * MAX_NAME, MAX_DECIMALS)
    for field, values in {
        "decimals": (1, b"\x11" * 20, "X", MAX_DECIMALS + 1),
        "address": (1, ZERO_ADDRESS, "X", 6),
        "chain_id": (0, b"\x11" * 20, "X", 6),
    }.items():
        with pytest.raises(InputError) as caught:
            Token(*values)
        assert caught.value.field == field
    for other in (Token(1, b"\x33" * 20, "uSdC", 6), Token(1, DOLLAR.address, "Other", 6)):
        with pytest.raises(InputError, match="twice"):
            Tokens((DOLLAR, other))
    elsewhere = Token(2, DOLLAR.address, "USDC", 18)
    both = Tokens((DOLLAR, elsewhere))
    assert both.on(2).all == (elsewhere,)
    assert both.on(None) == NO_TOKENS
    many = [Token(1, n.to_bytes(20, "big"), f"t{n}", 0) for n in range(1, MAX_TOKENS + 2)]
    Tokens(tuple(many[:-1]))
    with pytest.raises(InputError, match="at most 256"):
        Tokens(tuple(many))


@given(st.text())
def test_what_a_contract_says_is_shown_without_harm(text: str) -> None:
    shown = said(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= MAX_SAID
    assert said(shown) == shown


def test_a_spec_pays_in_a_token_by_its_name() -> None:
    named = FILE + 'token = "USDC"\nrate = "0.25 USDC"\nmerit = "3 usdc"\nmerit_by = "equal"\n'
    terms = parse_toml(named, tokens=KNOWN).terms
    assert (terms.payment.token, terms.payment.rate) == (DOLLAR.address, 250_000)
    assert terms.payment.merit == 3_000_000
    address = FILE + f'token = "{to_checksum(DOLLAR.address)}"\nrate = 250000\nmerit = "3000000"\n'
    assert parse_toml(address + 'merit_by = "equal"\n').terms == terms


@pytest.mark.parametrize(
    ("payment", "problems"),
    [
        ('token = "DAI"\nrate = "1 DAI"', {"payment.token": "known are ether, USDC, Points"}),
        ('token = "USDC"\nrate = "1 ether"', {"payment.rate": "but the token is USDC"}),
        ('token = "USDC"\nrate = "0.0000001 USDC"', {"payment.rate": "6 decimals"}),
        ("token = 5\nrate = 1", {"payment.token": "is 5; allowed is an address"}),
        ('token = "ether"\nrate = "1 USDC"', {"payment.rate": "allowed is"}),
    ],
)
def test_a_spec_says_what_is_wrong_with_its_payment(payment: str, problems: dict[str, str]) -> None:
    with pytest.raises(SpecError) as caught:
        parse_toml(FILE + payment, tokens=KNOWN)
    found = {problem.field: problem.message for problem in caught.value.problems}
    assert set(found) == set(problems)
    for field, text in problems.items():
        assert text in found[field]
