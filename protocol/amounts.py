"""Money as people write it, in exact integers: '0.002 ether', '1500 gwei', 42."""

from __future__ import annotations

import re
from typing import Final

from protocol.errors import InputError

UNITS: Final = {"wei": 0, "gwei": 9, "ether": 18}
"""Decimal places of each unit that an amount may carry."""

#: What a reader accepts, in words, for errors and help.
ALLOWED: Final = "a whole number of wei, or text such as '0.002 ether' or '1500 gwei'"

_AMOUNT = re.compile(r"([0-9]{1,78})(?:\.([0-9]{1,60}))?(?: *([a-z]+))?\Z")


def parse_amount(value: object, field: str = "", *, units: bool = True) -> int:
    """Wei, exactly. Without `units` (a token whose decimals are unknown) only a whole number.

    Raises InputError, naming `field`: no amount, unknown unit, a fraction of a wei, 2^256 or more.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        amount = value
    elif isinstance(value, str):
        amount = _from_text(value.strip(), field, units)
    else:
        raise InputError(f"is {value!r:.60}; allowed is {ALLOWED}", field)
    if not 0 <= amount < 1 << 256:
        raise InputError(f"is {value!r:.60}; an amount is from 0 to 2^256 - 1", field)
    return amount


def _from_text(text: str, field: str, units: bool) -> int:
    match = _AMOUNT.match(text)
    if match is None:
        raise InputError(f"is {text!r:.60}; allowed is {ALLOWED}", field)
    whole, fraction, unit = match[1], match[2] or "", match[3]
    if unit is not None and not units:
        raise InputError(
            f"is {text!r:.60}; give a whole number of the token's smallest unit", field
        )
    if unit is not None and unit not in UNITS:
        raise InputError(f"is {text!r:.60}; units are {', '.join(UNITS)}", field)
    places = UNITS[unit or "wei"]
    digits = fraction.rstrip("0")
    if len(digits) > places:
        raise InputError(f"is {text!r:.60}, which is no whole number of the smallest unit", field)
    return int(whole + digits.ljust(places, "0"))


def format_amount(amount: int) -> str:
    """The shortest text that `parse_amount` reads back as `amount`, in the largest fitting unit.

    Ether is used up to six decimal places, gwei up to three: 2 * 10^15 is '0.002 ether', 7 is
    '7 wei'; nothing is '0 ether'.
    """
    for unit, decimals in (("ether", 6), ("gwei", 3)):
        places = UNITS[unit]
        if amount % 10 ** (places - decimals) == 0:
            whole, rest = divmod(amount, 10**places)
            digits = f"{rest:0{places}d}".rstrip("0")
            return f"{whole}.{digits} {unit}" if digits else f"{whole} {unit}"
    return f"{amount} wei"


def format_about(amount: int, *, up: bool = False) -> str:
    """An amount for people, to the millionth of an ether: what one has is rounded down, what one
    needs `up`. 681,000,000,000,001 is '0.000681 ether', or '0.000682 ether'."""
    step = 10 ** (UNITS["ether"] - 6)
    return format_amount((-(-amount // step) if up else amount // step) * step)
