"""A policy term by term: what a person sets, sees and is told is allowed.

`assay policy set NAME price_floor="0.001 ether" purposes=research,teaching accept=auto`
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from protocol import params
from protocol.addresses import parse_address, to_checksum
from protocol.amounts import ALLOWED as AMOUNT
from protocol.amounts import parse_amount
from protocol.errors import InputError
from protocol.policy.policy import MAX_NO_NOISE_JOBS, Accept, Policy
from protocol.spec.checks import slug
from protocol.spec.job import ETHER
from protocol.tokens import NO_TOKENS, Tokens

#: A value as JSON or a command line has it; None puts a term back to its default.
Value: TypeAlias = bool | int | float | str | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class PolicyTerm:
    """One term for display: amounts as decimal strings, accounts as checksummed addresses."""

    name: str
    value: Value
    allowed: str
    meaning: str


@dataclass(frozen=True, slots=True)
class _Term:
    """How one field of Policy is read, shown and explained.

    `read` raises _Unfit, or InputError where there is more to say.
    """

    name: str
    allowed: str
    meaning: str
    read: Callable[[Value], Any]
    show: Callable[[Any], Value]


class _Unfit(Exception):
    """A value is none that its term allows."""


def with_changes(
    policy: Policy, changes: Mapping[str, Value], tokens: Tokens = NO_TOKENS
) -> Policy:
    """The policy with all of `changes`; the owner has decided from then on, whatever is set.

    Names take '-' for '_'. `tokens`: those that may be called by name. Raises InputError with the
    term, the value given and what is allowed; then nothing is changed.
    """
    default = Policy.closed()
    changes = _in_units(policy, changes, tokens)
    values: dict[str, Any] = {}
    for given, value in changes.items():
        name = given.replace("-", "_")
        term = _TERMS.get(name)
        if term is None:
            near = difflib.get_close_matches(name, _TERMS, 1)
            hint = f"did you mean {near[0]}?" if near else f"terms are {', '.join(_TERMS)}"
            raise InputError(f"is no term of a policy; {hint}", given)
        if name in values:
            raise InputError("is given twice", given)
        try:
            values[name] = getattr(default, name) if value is None else term.read(value)
        except _Unfit:
            raise InputError(f"is {value!r:.60}; allowed is {term.allowed}", given) from None
        except InputError as e:
            raise InputError(str(e), given) from None
    known = values.get("known", policy.known)
    least = values.get("known_least", policy.known_least)
    if least > len(known):
        named = "known_least" if "known_least" in values else "known"
        raise InputError(f"leaves {len(known)} known accounts; known_least is {least}", named)
    changed = dataclasses.replace(policy, **values, decided=True)
    if changed.token != policy.token and policy.price_floor and "price_floor" not in values:
        # The floor in another unit would be another price.
        raise InputError("changes the unit of price_floor: give that as well", "token")
    return changed


def _in_units(policy: Policy, changes: Mapping[str, Value], tokens: Tokens) -> Mapping[str, Value]:
    """The changes with a token's name as its address, and the floor in its smallest unit."""
    plain, pays = dict(changes), policy.token
    if isinstance(named := plain.get("token"), str):
        pays = tokens.address(named)
        plain["token"] = "ether" if pays == ETHER else to_checksum(pays)
    elif "token" in plain:
        pays = ETHER
    for name in ("price_floor", "price-floor"):
        if isinstance(floor := plain.get(name), str):
            plain[name] = str(tokens.parse(floor, pays, name))
    return plain


def describe(policy: Policy) -> tuple[PolicyTerm, ...]:
    """Every term with its value, what it may be and what it does, in the order of the table."""
    return tuple(
        PolicyTerm(term.name, term.show(getattr(policy, term.name)), term.allowed, term.meaning)
        for term in _TERMS.values()
    )


def _accept(value: Value) -> Accept:
    if value not in tuple(Accept):
        raise _Unfit
    return Accept(value)


def _flag(value: Value) -> bool:
    words = {"true": True, "yes": True, "false": False, "no": False}
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in words:
        raise _Unfit
    return words[value.lower()]


def _whole(low: int, high: int) -> Callable[[Value], int]:
    def read(value: Value) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _Unfit
        return value

    return read


def _number(low: float, high: float) -> Callable[[Value], float]:
    def read(value: Value) -> float:
        if isinstance(value, str) and value.isascii() and len(value) < 32:
            try:
                value = float(value)
            except ValueError:
                raise _Unfit from None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise _Unfit
        if not low <= value <= high:  # no NaN is
            raise _Unfit
        return float(value) + 0.0  # no negative zero

    return read


def _entries(value: Value) -> tuple[str, ...]:
    """A list, or text with commas; empty text is the empty list."""
    if isinstance(value, str):
        value = tuple(part.strip() for part in value.split(",")) if value.strip() else ()
    if not isinstance(value, tuple | list) or len(value) > params.MAX_POLICY_ENTRIES:
        raise _Unfit
    if not all(isinstance(entry, str) for entry in value):
        raise _Unfit
    return tuple(value)


def _purposes(value: Value) -> tuple[str, ...]:
    purposes = _entries(value)
    for purpose in purposes:
        if len(purpose) > 32 or any(slug("", purpose)):
            raise _Unfit
    return tuple(sorted(set(purposes)))


def _accounts(value: Value) -> tuple[bytes, ...]:
    return tuple(sorted({parse_address(entry) for entry in _entries(value)}))


def _digests(value: Value) -> tuple[bytes, ...]:
    found = [re.fullmatch("(0x)?([0-9a-f]{64})", entry) for entry in _entries(value)]
    if not all(found):
        raise _Unfit
    return tuple(sorted({bytes.fromhex(each[2]) for each in found if each is not None}))


def _token(value: Value) -> bytes:
    if value == "ether":
        return ETHER
    if not isinstance(value, str):
        raise _Unfit
    return parse_address(value)


def _payout(value: Value) -> bytes:
    if not isinstance(value, str):
        raise _Unfit
    account = parse_address(value)
    if not any(account):
        raise _Unfit
    return account


def _same(value: Any) -> Value:
    return value  # type: ignore[no-any-return]


def _addresses(value: tuple[bytes, ...]) -> Value:
    return tuple(to_checksum(account) for account in value)


_ACCOUNTS: Final = f"a list of at most {params.MAX_POLICY_ENTRIES} addresses"
_LONGEST: Final = params.MAX_ROUNDS * params.MAX_ATTEMPTS

_TERMS: Final[Mapping[str, _Term]] = {
    term.name: term
    for term in (
        _Term(
            "accept",
            "never, ask or auto",
            "what becomes of a job that fits: refused, left to you, or taken",
            _accept,
            lambda value: str(value.value),
        ),
        _Term(
            "price_floor",
            AMOUNT,
            "least pay for one contribution, in wei or the token's smallest unit",
            parse_amount,
            str,
        ),
        _Term(
            "token",
            "ether, a token's name here or its address",
            "what it must be paid in",
            _token,
            lambda value: "ether" if value == ETHER else to_checksum(value),
        ),
        _Term(
            "no_noise",
            "true or false",
            "take jobs that add no noise: masks hide each batch within a round, "
            "nothing protects over rounds",
            _flag,
            _same,
        ),
        _Term(
            "published_sums",
            "true or false",
            'take jobs without noise whose merit goes by "worth": at their end owners read sums of '
            "blocks, and members that work together learn the rest of their block's",
            _flag,
            _same,
        ),
        _Term(
            "no_noise_jobs",
            f"a whole number from 0 to {MAX_NO_NOISE_JOBS}",
            "how many jobs without noise it joins in its life: sums of two that differ by you "
            "give your exact gradient",
            _whole(0, MAX_NO_NOISE_JOBS),
            _same,
        ),
        _Term(
            "explain_refusals",
            "true or false",
            "tell a requester which terms its spec does not meet (epsilon, price, rounds, ...), "
            "never anything of the data",
            _flag,
            _same,
        ),
        _Term(
            "open_models",
            "true or false",
            "take jobs whose model you can read",
            _flag,
            _same,
        ),
        _Term(
            "sealed_models",
            "true or false",
            "take jobs whose model you cannot read",
            _flag,
            _same,
        ),
        _Term(
            "trusted",
            _ACCOUNTS,
            "requesters whose sealed models without noise are taken, though weights crafted to spy "
            "could then read every row",
            _accounts,
            _addresses,
        ),
        _Term(
            "purposes",
            "a list of words such as research, or empty for any",
            "what the model may be for, by the requester's word",
            _purposes,
            _same,
        ),
        _Term(
            "requesters",
            f"{_ACCOUNTS}, or empty for anybody",
            "whose jobs are taken",
            _accounts,
            _addresses,
        ),
        _Term("blocked", _ACCOUNTS, "whose jobs are refused", _accounts, _addresses),
        _Term(
            "min_block",
            f"a whole number from {params.MIN_BLOCK} to {params.MAX_BLOCK}",
            "least owners whose contributions are added before anybody reads the sum",
            _whole(params.MIN_BLOCK, params.MAX_BLOCK),
            _same,
        ),
        _Term(
            "max_rounds",
            f"a whole number from 1 to {params.MAX_ROUNDS}",
            "most rounds of one job",
            _whole(1, params.MAX_ROUNDS),
            _same,
        ),
        _Term(
            "max_unpaid",
            f"a whole number from 0 to {_LONGEST}",
            "attempts without pay that a requester may cause before its jobs wait for you",
            _whole(0, _LONGEST),
            _same,
        ),
        _Term(
            "min_contribute_seconds",
            "a whole number from 1 to 604800",
            "least time that a job must leave for a contribution",
            _whole(1, 7 * 86_400),
            _same,
        ),
        _Term(
            "epsilon",
            "a number from 0 to 1000",
            "most that all jobs with noise together may tell of one record; 0 takes none",
            _number(0.0, 1e3),
            _same,
        ),
        _Term(
            "delta",
            "a number from 1e-12 to 0.1",
            "chance that more is told than epsilon says; far below 1 / rows",
            _number(1e-12, 0.1),
            _same,
        ),
        _Term(
            "known",
            _ACCOUNTS,
            "owners that you know not to work for a requester",
            _accounts,
            _addresses,
        ),
        _Term(
            "known_least",
            f"a whole number from 0 to {params.MAX_BLOCK - 1}, no more than known has",
            "how many others of your block, its roster and its committed list must be known "
            "ones, or you do not contribute, and release nothing",
            _whole(0, params.MAX_BLOCK - 1),
            _same,
        ),
        _Term(
            "corrupt_least",
            f"a whole number from 0 to {params.MAX_BLOCK}",
            "least members of a block that may work for the requester without harm "
            "(privacy.corrupt); at 0 three puppets of five read you alone",
            _whole(0, params.MAX_BLOCK),
            _same,
        ),
        _Term(
            "finality_least",
            f"a whole number from 0 to {params.MAX_FINALITY_BLOCKS}",
            "least chain blocks on top of a commitment before your shares leave "
            "(timing.finality_blocks)",
            _whole(0, params.MAX_FINALITY_BLOCKS),
            _same,
        ),
        _Term(
            "encoders",
            f"a list of at most {params.MAX_POLICY_ENTRIES} digests, 64 hex digits each",
            "networks that jobs may have run on your texts or images, in a confined process; "
            "none unless you name it",
            _digests,
            lambda value: tuple(each.hex() for each in value),
        ),
        _Term(
            "payout",
            "an address, with its checksum; null for payout.account of config.toml",
            "who receives what this dataset earns, in jobs that are taken from now on",
            _payout,
            lambda value: to_checksum(value) if value else None,
        ),
    )
}
