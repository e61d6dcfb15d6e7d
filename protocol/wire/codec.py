"""Canonical msgpack for frozen dataclasses: one value, one encoding.

A dataclass is an array of its fields in order; a union of dataclasses is an array led by the class
name. Integers, floats (finite, always 64 bits), strings, bytes, booleans, enums (by value), tuples
and optional values are what fields may hold, each with a limit in its annotation:

    @dataclass(frozen=True, slots=True)
    class Opening(Wire):
        model: Annotated[bytes, Size(32)]
        members: Annotated[tuple[int, ...], Size(0, 4096)]

Building a value checks it, so an invalid one cannot exist; decoding refuses trailing bytes, unknown
fields, values over a limit and every encoding but the canonical one (it encodes again and compares,
which is the one check that cannot forget a case). Format: msgpack specification, 2013 revision.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgpack

from protocol.errors import Malformed
from protocol.wire.tables import Table

_UINT64_MAX = 2**64 - 1
_INT64_MIN = -(2**63)


@dataclass(frozen=True, slots=True)
class Size:
    """Length of bytes, of a string's UTF-8, or of a tuple: exactly `low`, or `low` to `high`."""

    low: int
    high: int | None = None

    def check(self, length: int, where: str) -> None:
        high = self.low if self.high is None else self.high
        if not self.low <= length <= high:
            allowed = f"{self.low}" if high == self.low else f"{self.low} to {high}"
            raise Malformed(f"{where}: length {length}, allowed {allowed}")


@dataclass(frozen=True, slots=True)
class Range:
    """Bounds of a number, both included."""

    low: float
    high: float

    def check(self, value: float, where: str) -> None:
        if not self.low <= value <= self.high:
            raise Malformed(f"{where}: {value} is outside {self.low} to {self.high}")


@dataclass(frozen=True, slots=True)
class Uint:
    """An unsigned integer wider than 64 bits (wei, token units): big-endian, fixed width."""

    bits: int


Amount = Annotated[int, Uint(256)]
"""Money in the smallest unit of its token (wei for ether)."""


class Wire:
    """Base of every dataclass that travels or is stored: checked when it is built."""

    __slots__ = ()

    def __post_init__(self) -> None:
        for name, schema in fields_of(type(self)):
            schema.check(getattr(self, name), f"{type(self).__name__}.{name}")


W = TypeVar("W", bound=Wire)


@dataclass(frozen=True, slots=True)
class Schema:
    """How one field is checked, and turned to and from what msgpack knows."""

    check: Callable[[Any, str], None]
    pack: Callable[[Any], Any]
    unpack: Callable[[Any, str], Any]


def encode(value: Wire) -> bytes:
    """The one encoding of `value`."""
    return bytes(msgpack.packb(_pack_fields(value), use_bin_type=True))


def decode(cls: type[W], data: bytes, limit: int) -> W:
    """Read a `cls` from hostile bytes of at most `limit`.

    Raises Malformed: too long, no msgpack, trailing bytes, another schema, a value over its limit,
    or not the canonical encoding.
    """
    value = _unpack_array(cls, parse(data, limit, cls.__name__), cls.__name__)
    if encode(value) != data:
        raise Malformed(f"{cls.__name__}: not the canonical encoding")
    return value


def encode_tagged(value: Wire) -> bytes:
    """Encode one member of a union: the class name leads."""
    return bytes(msgpack.packb([type(value).__name__, *_pack_fields(value)], use_bin_type=True))


def decode_tagged(union: tuple[type[W], ...], data: bytes, limit: int) -> W:
    """Read one of `union` from hostile bytes; raises Malformed as `decode` does."""
    items = parse(data, limit, "message")
    value = _unpack_tagged({cls.__name__: cls for cls in union}, items, "message")
    if encode_tagged(value) != data:
        raise Malformed(f"{type(value).__name__}: not the canonical encoding")
    return value


def parse(data: bytes, limit: int, where: str) -> Any:
    """What msgpack reads from at most `limit` bytes. Raises Malformed."""
    if len(data) > limit:
        raise Malformed(f"{where}: {len(data)} bytes, at most {limit} are allowed")
    try:
        # Lengths inside are bounded by the buffer's: msgpack allocates nothing larger.
        return msgpack.unpackb(data, raw=False, use_list=True, strict_map_key=True)
    except (ValueError, msgpack.exceptions.UnpackException, RecursionError) as e:
        raise Malformed(f"{where}: no msgpack ({type(e).__name__})") from e


def _pack_fields(value: Wire) -> list[Any]:
    return [schema.pack(getattr(value, name)) for name, schema in fields_of(type(value))]


def _unpack_array(cls: type[W], items: Any, where: str) -> W:
    fields = fields_of(cls)
    if not isinstance(items, list) or len(items) != len(fields):
        raise Malformed(f"{where}: expected an array of {len(fields)} fields")
    return cls(
        *(
            schema.unpack(item, f"{where}.{name}")
            for item, (name, schema) in zip(items, fields, strict=True)
        )
    )


def _unpack_tagged(union: dict[str, type[W]], items: Any, where: str) -> W:
    if not isinstance(items, list) or not items or not isinstance(items[0], str):
        raise Malformed(f"{where}: expected an array led by a name")
    cls = union.get(items[0])
    if cls is None:
        raise Malformed(f"{where}: unknown kind {items[0][:40]!r}")
    return _unpack_array(cls, items[1:], cls.__name__)


_compiled: dict[type, tuple[tuple[str, Schema], ...]] = {}


def fields_of(cls: type[Wire]) -> tuple[tuple[str, Schema], ...]:
    """Names and schemas of a class's fields, in their order."""
    fields = _compiled.get(cls)
    if fields is None:
        hints = typing.get_type_hints(cls, include_extras=True)
        fields = tuple(
            (field.name, _schema(hints[field.name]))
            for field in dataclasses.fields(cls)  # type: ignore[arg-type]
        )
        _compiled[cls] = fields
    return fields


def _same(value: Any) -> Any:
    return value


@functools.cache
def entry_schema(hint: Any) -> Schema:
    """The schema of a table's value."""
    return _schema(hint)


def _schema(hint: Any) -> Schema:
    """Compile an annotation; a TypeError here is a mistake in our own source."""
    limits: tuple[Any, ...] = ()
    if typing.get_origin(hint) is Annotated:
        hint, *rest = typing.get_args(hint)
        limits = tuple(rest)
    origin = typing.get_origin(hint)
    if hint in (bytes, str):
        return _sized(hint, limits)
    if hint is bool:
        return _scalar(bool, ())
    if hint is int and limits and isinstance(limits[0], Uint):
        return _wide(limits[0].bits)
    if hint is int:
        return _scalar(int, limits or (Range(0, _UINT64_MAX),))
    if hint is float:
        return _scalar(float, limits)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _enum(hint)
    if isinstance(hint, type) and issubclass(hint, Wire):
        return _nested(hint)
    if isinstance(hint, type) and issubclass(hint, Table):
        return _table(hint)
    if origin is tuple:
        return _tuple(typing.get_args(hint), limits)
    if origin in (typing.Union, types.UnionType):
        return _union(typing.get_args(hint), limits)
    raise TypeError(f"no wire form for {hint!r}")


def _expect(value: Any, kind: type, where: str) -> None:
    if type(value) is not kind:
        raise Malformed(f"{where}: expected {kind.__name__}, got {type(value).__name__}")


def _sized(kind: type, limits: tuple[Any, ...]) -> Schema:
    if not limits:
        raise TypeError(f"{kind.__name__} without a Size")

    def check(value: Any, where: str) -> None:
        _expect(value, kind, where)
        try:
            length = len(value) if kind is bytes else len(value.encode())
        except UnicodeEncodeError as e:
            raise Malformed(f"{where}: no valid Unicode") from e
        for limit in limits:
            limit.check(length, where)

    def unpack(value: Any, where: str) -> Any:
        _expect(value, kind, where)
        return value

    return Schema(check, _same, unpack)


def _scalar(kind: type, limits: tuple[Any, ...]) -> Schema:
    def check(value: Any, where: str) -> None:
        _expect(value, kind, where)
        if kind is float and not math.isfinite(value):
            raise Malformed(f"{where}: not a finite number")
        if kind is int and not _INT64_MIN <= value <= _UINT64_MAX:
            raise Malformed(f"{where}: does not fit 64 bits")
        for limit in limits:
            limit.check(value, where)

    def unpack(value: Any, where: str) -> Any:
        _expect(value, kind, where)
        return value

    return Schema(check, _same, unpack)


def _wide(bits: int) -> Schema:
    size = bits // 8

    def check(value: Any, where: str) -> None:
        _expect(value, int, where)
        if not 0 <= value < 1 << bits:
            raise Malformed(f"{where}: does not fit {bits} bits")

    def unpack(value: Any, where: str) -> Any:
        _expect(value, bytes, where)
        Size(size).check(len(value), where)
        return int.from_bytes(value, "big")

    return Schema(check, lambda value: value.to_bytes(size, "big"), unpack)


def _enum(kind: type[enum.Enum]) -> Schema:
    def check(value: Any, where: str) -> None:
        _expect(value, kind, where)

    def unpack(value: Any, where: str) -> Any:
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise Malformed(f"{where}: no {kind.__name__}")
        try:
            return kind(value)
        except ValueError as e:
            raise Malformed(f"{where}: no {kind.__name__} is {value!r:.40}") from e

    return Schema(check, lambda value: value.value, unpack)


def _nested(cls: type[Wire]) -> Schema:
    def check(value: Any, where: str) -> None:
        _expect(value, cls, where)

    return Schema(check, _pack_fields, lambda value, where: _unpack_array(cls, value, where))


def _tuple(args: tuple[Any, ...], limits: tuple[Any, ...]) -> Schema:
    if len(args) == 2 and args[1] is Ellipsis:
        if not limits:
            raise TypeError("a tuple of any length without a Size")
        item = _schema(args[0])

        def check(value: Any, where: str) -> None:
            _expect(value, tuple, where)
            for limit in limits:
                limit.check(len(value), where)
            for i, one in enumerate(value):
                item.check(one, f"{where}[{i}]")

        def unpack(value: Any, where: str) -> Any:
            _expect(value, list, where)
            for limit in limits:
                limit.check(len(value), where)
            return tuple(item.unpack(one, f"{where}[{i}]") for i, one in enumerate(value))

        return Schema(check, lambda value: [item.pack(one) for one in value], unpack)

    items = tuple(_schema(arg) for arg in args)

    def check_fixed(value: Any, where: str) -> None:
        _expect(value, tuple, where)
        Size(len(items)).check(len(value), where)
        for i, (schema, one) in enumerate(zip(items, value, strict=True)):
            schema.check(one, f"{where}[{i}]")

    def unpack_fixed(value: Any, where: str) -> Any:
        _expect(value, list, where)
        Size(len(items)).check(len(value), where)
        return tuple(
            schema.unpack(one, f"{where}[{i}]")
            for i, (schema, one) in enumerate(zip(items, value, strict=True))
        )

    return Schema(
        check_fixed,
        lambda value: [schema.pack(one) for schema, one in zip(items, value, strict=True)],
        unpack_fixed,
    )


def _table(cls: type[Table[Any]]) -> Schema:
    """A table is the array of its values by place. What it holds was checked when it was put in."""
    item = entry_schema(cls.item)

    def check(value: Any, where: str) -> None:
        _expect(value, cls, where)
        Size(0, cls.most).check(len(value), where)

    def unpack(value: Any, where: str) -> Any:
        _expect(value, list, where)
        Size(0, cls.most).check(len(value), where)
        found = [item.unpack(one, f"{where}[{i}]") for i, one in enumerate(value)]
        for i, one in enumerate(found):
            item.check(one, f"{where}[{i}]")
        return cls.of(found)

    return Schema(check, lambda value: [item.pack(one) for one in value], unpack)


def _union(args: tuple[Any, ...], limits: tuple[Any, ...]) -> Schema:
    if type(None) in args:
        rest = tuple(arg for arg in args if arg is not type(None))
        hint: Any = rest[0] if len(rest) == 1 else typing.Union[rest]  # noqa: UP007
        inner = _schema(Annotated[(hint, *limits)] if limits else hint)

        def check(value: Any, where: str) -> None:
            if value is not None:
                inner.check(value, where)

        return Schema(
            check,
            lambda value: None if value is None else inner.pack(value),
            lambda value, where: None if value is None else inner.unpack(value, where),
        )
    if all(isinstance(arg, type) and issubclass(arg, Wire) for arg in args):
        classes = {arg.__name__: arg for arg in args}

        def check_member(value: Any, where: str) -> None:
            if type(value) not in args:
                raise Malformed(f"{where}: expected one of {', '.join(classes)}")

        return Schema(
            check_member,
            lambda value: [type(value).__name__, *_pack_fields(value)],
            lambda value, where: _unpack_tagged(classes, value, where),
        )
    if set(args) <= {int, float, str, bytes, bool}:
        # A fact's value: scalars tell themselves apart in msgpack.
        schemas = {arg: _schema(Annotated[(arg, *limits)] if limits else arg) for arg in args}

        def check_scalar(value: Any, where: str) -> None:
            if type(value) not in schemas:
                raise Malformed(f"{where}: unexpected {type(value).__name__}")
            schemas[type(value)].check(value, where)

        return Schema(check_scalar, _same, lambda value, where: value)
    raise TypeError(f"no wire form for a union of {args!r}")
