"""Amounts for people: wei as ether, bytes, seconds, ages. Exact integers in, short text out."""

from __future__ import annotations

from typing import Final

_ETHER: Final = 10**18
_GWEI: Final = 10**9


def money(wei: str | int) -> str:
    """Wei in the largest unit that shows them exactly and briefly; nothing is ever rounded.

    >>> money(0), money(15 * 10**14), money(10**18 + 1), money(21_001)
    ('0 ether', '0.0015 ether', '1000000000000000001 wei', '21001 wei')
    """
    amount = int(wei)
    for unit, name in ((_ETHER, "ether"), (_GWEI, "gwei")):
        # Six decimals at most: more digits than that are easier to read as a whole number of wei.
        if amount % (unit // 10**6) == 0:
            whole, rest = divmod(amount, unit)
            places = len(str(unit)) - 1
            decimals = f"{rest:0{places}d}".rstrip("0")
            return f"{whole}.{decimals} {name}" if decimals else f"{whole} {name}"
    return f"{amount} wei"


def size(count: int) -> str:
    """Bytes in a binary unit: 1.2 MiB."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def span(seconds: float) -> str:
    """A length of time in two units at most: 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    whole = int(seconds)
    for unit, name, small, small_name in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= unit:
            rest = whole % unit // small
            return (
                f"{whole // unit} {name} {rest} {small_name}" if rest else f"{whole // unit} {name}"
            )
    return f"{whole} s"


def brief(seconds: float) -> str:
    """Seconds of which there may be few.

    >>> brief(0.000_25), brief(0.25), brief(90.0)
    ('0.25 ms', '250 ms', '1 min 30 s')
    """
    if seconds >= 1:
        return span(seconds)
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.2g} ms"


def short(text: str, keep: int = 10) -> str:
    """A hash or an id, shortened in the middle so that both ends can be compared."""
    return text if len(text) <= keep + 5 else f"{text[:keep]}…{text[-4:]}"
