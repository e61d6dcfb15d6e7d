"""ERC-20 tokens as a person names them, and exact amounts in them: '2.5 USDC', 2500000.

A token's contract says what it likes of itself: any symbol, any number of decimals, another one
tomorrow. So the names and decimals here are this user's own list. A name stands for one address of
one chain, and an amount is shown by that name alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from protocol.addresses import ADDRESS_BYTES, ZERO_ADDRESS, parse_address, to_checksum
from protocol.amounts import UNITS, format_amount, parse_amount
from protocol.errors import InputError

#: Tokens of one list; more are no list of a person's.
MAX_TOKENS: Final = 256

#: Most decimals that are believed: 2^128 units, which a job may escrow, have 39 digits.
MAX_DECIMALS: Final = 36

#: Longest name, and longest text that a contract may say of itself, characters.
MAX_NAME: Final = 16
MAX_SAID: Final = 64

#: What a reader accepts for a name, in words.
NAME: Final = f"a letter, then letters, digits and . _ -, at most {MAX_NAME} in all"

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*\Z")
_AMOUNT = re.compile(r"([0-9]{1,78})(?:\.([0-9]{1,60}))? *([^\s0-9.][^\s]*)\Z")

#: What `Tokens.shown` makes of an amount in a token without a name.
_NAMELESS = re.compile(r"\b([0-9]{1,78}) units of 0x([0-9a-fA-F]{40})\b")

#: Names that mean something else already.
_TAKEN: Final = frozenset({*UNITS, "eth", "none", "unit", "units"})

#: What follows a whole number of a token's smallest unit.
_UNIT: Final = frozenset({"unit", "units"})


def currency(token: bytes) -> str | None:
    """What is paid in, as the control socket and JSON have it: None for ether (the zero address),
    else the token's checksummed address."""
    return None if token == ZERO_ADDRESS else to_checksum(token)


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the list: `address` (20 bytes) on chain `chain_id`; `symbol` is its own word.

    Raises InputError, naming the field, for what no list can hold.
    """

    chain_id: int
    address: bytes
    name: str
    decimals: int
    symbol: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.chain_id < 2**63:
            raise InputError(f"is {self.chain_id}; 1 to 2^63 - 1 is allowed", "chain_id")
        if len(self.address) != ADDRESS_BYTES or self.address == ZERO_ADDRESS:
            raise InputError("is no token's address: 20 bytes, not all zero", "address")
        check_name(self.name)
        if not 0 <= self.decimals <= MAX_DECIMALS:
            raise InputError(f"is {self.decimals}; 0 to {MAX_DECIMALS} is allowed", "decimals")
        if self.symbol != said(self.symbol):
            raise InputError(f"is {self.symbol!r:.80}; printable ASCII is needed", "symbol")


def check_name(name: str) -> None:
    """Raise InputError unless a token may be called so."""
    if len(name) > MAX_NAME or _NAME.match(name) is None or name.startswith(("0x", "0X")):
        raise InputError(f"is {name!r:.60}; allowed is {NAME}", "name")
    if name.lower() in _TAKEN:
        raise InputError(f"is {name!r}, which means something else already", "name")


def said(text: str) -> str:
    """What a contract says of itself, as it may be shown: printable ASCII, at most MAX_SAID."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:MAX_SAID]).strip()


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that a user knows on one chain. No name and no address stands twice.

    Names are told apart without regard to case, so that no two look alike.
    """

    all: tuple[Token, ...] = ()

    def __post_init__(self) -> None:
        if len(self.all) > MAX_TOKENS:
            raise InputError(f"has {len(self.all)}; at most {MAX_TOKENS} are allowed", "tokens")
        if len({(t.chain_id, t.name.lower()) for t in self.all}) < len(self.all):
            raise InputError("has one name twice", "tokens")
        if len({(t.chain_id, t.address) for t in self.all}) < len(self.all):
            raise InputError("has one address twice", "tokens")

    def __iter__(self) -> Iterator[Token]:
        return iter(self.all)

    def on(self, chain_id: int | None) -> Tokens:
        """Those of one chain; none where the chain is not known."""
        return Tokens(tuple(token for token in self.all if token.chain_id == chain_id))

    def at(self, address: bytes) -> Token | None:
        """The token of this address."""
        return next((token for token in self.all if token.address == address), None)

    def called(self, name: str) -> Token | None:
        """The token of this name, whatever its case."""
        return next((token for token in self.all if token.name.lower() == name.lower()), None)

    def unit_of(self, amount: str) -> Token | None:
        """The token whose name stands behind a number: of '2.5 USDC' that of USDC."""
        return self.called(amount.strip().rpartition(" ")[2])

    def address(self, text: str, field: str = "token") -> bytes:
        """The address that a person means: 'ether' (20 zero bytes), a name, or 0x and 40 digits.

        Raises InputError, which names `field` and the next command.
        """
        if text == "ether":
            return ZERO_ADDRESS
        found = self.called(text)
        if found is not None:
            return found.address
        if text.startswith("0x"):
            return parse_address(text, field)
        known = ", ".join(("ether", *(token.name for token in self.all)))
        raise InputError(
            f"is {text!r:.60}, which is no token here; known are {known}; "
            "assay token add ADDRESS makes another known",
            field,
        )

    def shown(self, amount: int, address: bytes) -> str:
        """An amount in its currency. `parse` reads it back, where the token is of the list."""
        if address == ZERO_ADDRESS:
            return format_amount(amount)
        token = self.at(address)
        if token is None:
            return f"{amount} units of {to_checksum(address)}"
        return format_token(amount, token)

    def renamed(self, text: str) -> str:
        """A line in which amounts are called as `shown` calls them: a machine knows no names, and
        writes 'N units of ADDRESS'. Other addresses, and those of no token here, stay."""

        def named(match: re.Match[str]) -> str:
            return self.shown(int(match[1]), bytes.fromhex(match[2]))

        return _NAMELESS.sub(named, text)

    def parse(self, value: object, address: bytes, field: str = "") -> int:
        """An amount of one currency, in its smallest unit: 5, '0.1 ether', '2.5 USDC', '7 units'.

        Raises InputError: no amount, another unit, a fraction of the smallest unit, 2^256 or more.
        """
        if address == ZERO_ADDRESS:
            return parse_amount(value, field)
        token = self.at(address)
        match = _AMOUNT.match(value.strip()) if isinstance(value, str) else None
        if match is None:
            return _whole(value, field)
        unit = match[3]
        if unit.lower() in _UNIT:
            decimals = 0
        elif token is not None and unit.lower() == token.name.lower():
            decimals = token.decimals
        else:
            raise _other_unit(str(value), unit, token, address, field)
        digits = (match[2] or "").rstrip("0")
        if len(digits) > decimals:
            raise InputError(
                f"is {value!r:.60}, which is no whole number of the smallest unit: it has "
                f"{decimals} decimals",
                field,
            )
        return parse_amount(int(match[1] + digits.ljust(decimals, "0")), field)


def _whole(value: object, field: str) -> int:
    if isinstance(value, str) and not (value.strip().isascii() and value.strip().isdigit()):
        raise InputError(
            f"is {value!r:.60}; allowed is a whole number of the token's smallest unit, or text "
            "such as '2.5 USDC'",
            field,
        )
    return parse_amount(value, field, units=False)


def _other_unit(
    text: str, unit: str, token: Token | None, address: bytes, field: str
) -> InputError:
    if token is not None:
        return InputError(f"is {text!r:.60}, but the token is {token.name}", field)
    error = InputError(
        f"is {text!r:.60}: {unit!r:.30} is no unit that is known for {to_checksum(address)}; give "
        "a whole number of the token's smallest unit",
        field,
    )
    error.add_note(f"assay token add {to_checksum(address)}")
    return error


def format_token(amount: int, token: Token) -> str:
    """An amount of a token, exact to the last unit: 2500000 is '2.5 USDC'."""
    whole, rest = divmod(amount, 10**token.decimals)
    digits = f"{rest:0{token.decimals}d}".rstrip("0") if token.decimals else ""
    return f"{whole}.{digits} {token.name}" if digits else f"{whole} {token.name}"


#: Where no list is at hand.
NO_TOKENS: Final = Tokens()
