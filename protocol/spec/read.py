"""Reads values that a person wrote against the annotations of a spec's parts.

One home for limits: what a reader allows, and says it allows, comes from the same annotation that
checks the value on the wire. Problems are collected, so that a file is put right in one go.
"""

from __future__ import annotations

import difflib
import enum
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Any, TypeVar

from protocol.addresses import parse_address
from protocol.amounts import parse_amount
from protocol.errors import InputError
from protocol.spec.parts import Faulty, Part
from protocol.wire.codec import Range, Size, Uint

P = TypeVar("P", bound=Part)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the dotted path of the field, and the value and what is allowed."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class SpecError(InputError):
    """A job's file is wrong. `problems` lists everything found, in the file's order of reading."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems
        self.field = problems[0].field


class Reader:
    """Turns tables into parts and keeps a list of what was wrong on the way."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def wrong(self, field: str, message: str) -> None:
        """Note a problem and go on."""
        self.problems.append(Problem(field, message))

    def table(self, value: object, path: str) -> Mapping[str, Any] | None:
        """`value` if it is a table."""
        if isinstance(value, dict):
            return value
        self.wrong(path, f"is {shown(value)}; a table is expected")
        return None

    def attempt(self, field: str, parse: Callable[..., R], *args: Any) -> R | None:
        """`parse(*args)`; None, with the problem noted, if it raises InputError."""
        try:
            return parse(*args)
        except InputError as e:
            self.wrong(field, str(e))
            return None

    def unknown(self, table: Mapping[str, Any], known: Iterable[str], path: str) -> None:
        """Refuse every key that nothing reads, with the name that was probably meant."""
        names = tuple(known)
        for key in table:
            if key not in names:
                near = difflib.get_close_matches(key, names, 1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
                name = key if key.isprintable() else shown(key)
                self.wrong(joined(path, name), f"is not known; {hint}")

    def values(
        self,
        cls: type[Part],
        table: Mapping[str, Any],
        path: str,
        defaults: Mapping[str, Any],
        names: Sequence[str],
    ) -> dict[str, Any] | None:
        """Fields `names` of `cls`, defaults filled in; None if one is missing or wrong."""
        hints = typing.get_type_hints(cls, include_extras=True)
        found: dict[str, Any] = {}
        for name in names:
            hint, where = hints[name], joined(path, name)
            if name not in table and name in defaults:
                found[name] = defaults[name]
            elif name not in table:
                self.wrong(where, f"is missing; allowed is {allowed(hint)}")
            else:
                before = len(self.problems)
                value = self.attempt(where, read, hint, table[name])
                if len(self.problems) == before:
                    found[name] = value
        return found if len(found) == len(names) else None

    def part(
        self,
        cls: type[P],
        table: Mapping[str, Any],
        path: str,
        defaults: Mapping[str, Any],
        also: Sequence[str] = (),
    ) -> P | None:
        """A whole part; None, with the problems noted, if it cannot be built.

        `also` names keys of the table that others read.
        """
        names = tuple(field.name for field in fields(cls))
        self.unknown(table, (*names, *also), path)
        values = self.values(cls, table, path, defaults, names)
        return None if values is None else self.build(cls, values, path)

    def build(
        self,
        cls: type[P],
        values: Mapping[str, Any],
        path: str,
        places: Mapping[str, str] | None = None,
    ) -> P | None:
        """`cls(**values)`; rules between its fields become problems.

        `places` says where fields stand that are not at `path`.
        """
        try:
            return cls(**values)
        except Faulty as e:
            for fault in e.faults:
                place = (places or {}).get(fault.field, joined(path, fault.field))
                self.wrong(place, fault.message)
        return None


def joined(path: str, name: str) -> str:
    """The dotted path of `name` within `path`."""
    return f"{path}.{name}" if path else name


def shown(value: object) -> str:
    """A value as an error shows it: short, and printable whatever it holds."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    text = ascii(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def read(hint: Any, value: object) -> Any:
    """One value as its annotation wants it. Raises InputError."""
    kind, limits = _parts(hint)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return _read_optional(hint, kind, value)
    if typing.get_origin(kind) is tuple:
        return _read_accounts(hint, limits, value)
    if kind is int and limits and isinstance(limits[0], Uint):
        return parse_amount(value)
    if kind is bytes:
        return read_address(value)
    fits: bool
    if kind is bool:
        fits = isinstance(value, bool)
    elif kind is int:
        fits = isinstance(value, int) and not isinstance(value, bool) and _within(limits, value)
    elif kind is float:
        fits = _is_number(value) and _within(limits, value)
        value = float(value) if fits else value  # type: ignore[arg-type]
    elif kind is str:
        fits = isinstance(value, str) and _within(limits, len(value.encode()))
    elif isinstance(kind, type) and issubclass(kind, enum.Enum):
        fits = value in [member.value for member in kind]
        value = kind(value) if fits else value
    else:
        raise TypeError(f"no reader for {hint!r}")
    if not fits:
        raise InputError(f"is {shown(value)}; allowed is {allowed(hint)}")
    return value


def read_address(value: object) -> bytes:
    """An account as 20 bytes, its checksum verified. Raises InputError."""
    if not isinstance(value, str):
        raise InputError(f"is {shown(value)}; allowed is an address: 0x and 40 hex digits")
    return parse_address(value)


def allowed(hint: Any) -> str:
    """What a reader of `hint` takes, in words."""
    kind, limits = _parts(hint)
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        inner = [arg for arg in typing.get_args(kind) if arg is not type(None)]
        return f'{allowed(inner[0])}, or "none"'
    if typing.get_origin(kind) is tuple:
        return "a list of addresses"
    if kind is int and limits and isinstance(limits[0], Uint):
        return "an amount such as '0.002 ether' or a whole number of wei"
    if kind is bytes:
        return "an address: 0x and 40 hex digits"
    if kind is bool:
        return "true or false"
    if kind is str:
        return f"text{_span(limits, ' of ', ' bytes')}"
    if kind in (int, float):
        return f"{'a whole number' if kind is int else 'a number'}{_span(limits, ' from ', '')}"
    return " or ".join(member.value for member in kind)


def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if typing.get_origin(hint) is Annotated:
        kind, *limits = typing.get_args(hint)
        return kind, tuple(limits)
    return hint, ()


def _span(limits: tuple[Any, ...], before: str, after: str) -> str:
    for limit in limits:
        if isinstance(limit, Range):
            return f"{before}{limit.low:.12g} to {limit.high:.12g}{after}"
        if isinstance(limit, Size):
            return f"{before}{limit.low} to {limit.high or limit.low}{after}"
    return ""


def _within(limits: tuple[Any, ...], value: Any) -> bool:
    return all(
        limit.low <= value <= (limit.low if limit.high is None else limit.high) for limit in limits
    )


def _is_number(value: object) -> bool:
    """A number that a float holds: TOML's integers may be too large for one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= 2**1023 if isinstance(value, int) else math.isfinite(value)


def _read_optional(hint: Any, kind: Any, value: object) -> Any:
    if value == "none":
        return None
    inner = [arg for arg in typing.get_args(kind) if arg is not type(None)]
    try:
        return read(inner[0], value)
    except InputError:
        raise InputError(f"is {shown(value)}; allowed is {allowed(hint)}") from None


def _read_accounts(hint: Any, limits: tuple[Any, ...], value: object) -> tuple[bytes, ...]:
    if not isinstance(value, list) or not _within(limits, len(value)):
        raise InputError(f"is {shown(value)}; allowed is {allowed(hint)}{_span(limits, ', ', '')}")
    accounts = [read_address(one) for one in value]
    if len({*accounts}) != len(accounts):
        raise InputError("lists an account twice")
    return tuple(sorted(accounts))
