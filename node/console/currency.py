"""Pay as a person sees it: each amount in its currency, by the name that its user gave it.

Amounts come as the JSON that the daemon sent: whole numbers of the smallest unit, and an address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.console.amounts import money, short
from node.control.codes import SHARED

if TYPE_CHECKING:
    from node.control.job_results import MeritBy
    from protocol.tokens import Token, Tokens


def pay(amount: str, token: str | None, tokens: Tokens | None = None) -> str:
    """An amount in ether, in a token by its name here, or in units of an address."""
    if token is None:
        return money(amount)
    if tokens is None or named(token, tokens) is None:
        return f"{amount} units of {short(token)}"
    return tokens.shown(int(amount), bytes.fromhex(token[2:]))


def pot(amount: str, by: MeritBy, token: str | None, tokens: Tokens | None = None) -> str:
    """A job's merit, and what shares it."""
    shown = pay(amount, token, tokens)
    return shown if amount == "0" else f"{shown}, {SHARED[by]}"


def brief_pot(amount: str, by: MeritBy, token: str | None, tokens: Tokens | None = None) -> str:
    """The same in a word, for a row among others."""
    shown = pay(amount, token, tokens)
    word = {"worth": "by worth", "discretion": "discretionary", "equal": "equal"}[by]
    return shown if amount == "0" else f"{shown} ({word})"


def named(token: str | None, tokens: Tokens | None) -> Token | None:
    """The user's entry of a token, by its address; None for ether, and where it has no name."""
    return None if token is None or tokens is None else tokens.at(bytes.fromhex(token[2:]))
