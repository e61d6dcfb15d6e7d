"""Typed values to JSON, JSON to typed values, and the JSON Schema of a type: one walk for each.

The types are frozen dataclasses and the aliases below. Amounts of wei are decimal strings in JSON,
because a JavaScript number is exact only up to 2^53; digests are 0x-prefixed hex; times are seconds
since the epoch. `decode` accepts exactly what `schema` describes and names the field that fails.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, get_args, get_origin

from protocol.errors import FatalError, InputError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


@dataclasses.dataclass(frozen=True)
class Wire:
    """How an annotated type travels: a pattern for its text, and both directions."""

    name: str
    pattern: str
    example: str
    write: Callable[[Any], str]
    read: Callable[[str], Any]


def _write_digest(value: bytes) -> str:
    return "0x" + value.hex()


def _read_digest(text: str) -> bytes:
    return bytes.fromhex(text[2:])


#: An amount of wei: a decimal string of at most 78 digits (2^256 has 78).
Wei = Annotated[int, Wire("wei", r"^(0|[1-9][0-9]{0,77})$", "1000000000000000", str, int)]
#: 32 bytes.
Digest = Annotated[
    bytes, Wire("digest", r"^0x[0-9a-f]{64}$", "0x" + "00" * 32, _write_digest, _read_digest)
]
#: An account or a contract on the chain.
Address = Annotated[str, Wire("address", r"^0x[0-9a-fA-F]{40}$", "0x" + "00" * 20, str, str)]
#: A job: what `jobs` lists in its column `job`.
JobId = Annotated[str, Wire("job", r"^[0-9A-Za-z]{1,66}$", "0x" + "00" * 32, str, str)]
#: The name of a dataset in one home.
DatasetName = Annotated[str, Wire("dataset", r"^[a-z0-9][a-z0-9._-]{0,63}$", "ward-3", str, str)]
#: A path on the daemon's machine; absolute, since the daemon's directory is not the caller's.
AbsolutePath = Annotated[str, Wire("path", r"^/[^\x00]{0,4095}$", "/srv/data.csv", str, str)]
#: Seconds since the epoch.
Timestamp: TypeAlias = float


_HINTS: Final[dict[Any, Mapping[str, Any]]] = {}


def hints(cls: Any) -> Mapping[str, Any]:
    """Field name to type of a dataclass, annotations resolved, in order of declaration."""
    if cls not in _HINTS:
        resolved = typing.get_type_hints(cls, include_extras=True)
        _HINTS[cls] = {field.name: resolved[field.name] for field in dataclasses.fields(cls)}
    return _HINTS[cls]


def docs(cls: Any) -> tuple[str, Mapping[str, str]]:
    """Summary and field descriptions out of a dataclass' docstring (its lines `field: text`)."""
    lines = [line.strip() for line in (cls.__doc__ or "").strip().splitlines()]
    fields: dict[str, str] = {}
    names = {field.name for field in dataclasses.fields(cls)}
    last = ""
    for line in lines[1:]:
        name, colon, text = line.partition(": ")
        if colon and name in names:
            fields[name] = text
            last = name
        elif line and last:
            fields[last] += " " + line
        else:
            last = ""
    return lines[0] if lines else "", fields


def _wire(kind: Any) -> Wire | None:
    if get_origin(kind) is Annotated:
        return next((note for note in get_args(kind)[1:] if isinstance(note, Wire)), None)
    return None


def _is_optional(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def schema(kind: Any, components: dict[str, Json]) -> dict[str, Json]:
    """The JSON Schema of a type. Dataclasses go into `components` and are referred to."""
    wire = _wire(kind)
    if wire is not None:
        return {"type": "string", "title": wire.name, "pattern": wire.pattern}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _schema_of_dataclass(kind, components)
    origin, args = get_origin(kind), get_args(kind)
    if _is_optional(kind):
        return {"anyOf": [schema(arg, components) for arg in args]}
    if origin is Literal:
        return {"enum": list(args)}
    if origin is tuple:
        return {"type": "array", "items": schema(args[0], components)}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema(args[1], components)}
    plain: dict[Any, dict[str, Json]] = {
        bool: {"type": "boolean"},
        int: {"type": "integer"},
        float: {"type": "number"},
        str: {"type": "string"},
        type(None): {"type": "null"},
        Any: {},
    }
    if kind not in plain:
        raise FatalError(f"no JSON Schema for {kind!r}")
    return plain[kind]


def _schema_of_dataclass(cls: type, components: dict[str, Json]) -> dict[str, Json]:
    if cls.__name__ not in components:
        components[cls.__name__] = {}  # reserved first, so that a cycle ends
        summary, described = docs(cls)
        properties: dict[str, Json] = {}
        for name, kind in hints(cls).items():
            properties[name] = {**schema(kind, components), "description": described.get(name, "")}
        components[cls.__name__] = {
            "type": "object",
            "description": summary,
            "properties": properties,
            "required": list[Json](required(cls)),
            "additionalProperties": False,
        }
    return {"$ref": f"#/components/schemas/{cls.__name__}"}


def required(cls: type) -> list[str]:
    """Names of a dataclass' fields that have no default."""
    return [
        field.name
        for field in dataclasses.fields(cls)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]


def encode(value: Any, kind: Any) -> Json:
    """A typed value as JSON. Raises FatalError where the value is not of the type."""
    wire = _wire(kind)
    if wire is not None:
        text = wire.write(value)
        if re.fullmatch(wire.pattern[1:-1], text) is None:
            raise FatalError(f"{text[:80]!r} is no {wire.name}")
        return text
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _encode_dataclass(value, kind)
    origin, args = get_origin(kind), get_args(kind)
    if _is_optional(kind):
        return _encode_union(value, args)
    if origin is tuple:
        return [encode(item, args[0]) for item in value]
    if origin is dict:
        return {str(key): encode(item, args[1]) for key, item in value.items()}
    if not _fits(value, kind):
        raise FatalError(f"expected {describe(kind)}, got {type(value).__name__}")
    return value  # type: ignore[no-any-return]


def _encode_dataclass(value: Any, cls: type[Any]) -> Json:
    if type(value) is not cls:
        raise FatalError(f"expected {cls.__name__}, got {type(value).__name__}")
    return {name: encode(getattr(value, name), kind) for name, kind in hints(cls).items()}


def _encode_union(value: Any, args: tuple[Any, ...]) -> Json:
    if value is None and type(None) in args:
        return None
    for arg in args:
        try:
            return encode(value, arg)
        except (FatalError, AttributeError, TypeError):
            continue
    raise FatalError(f"{type(value).__name__} is none of {' | '.join(map(describe, args))}")


def decode(value: Json, kind: Any, field: str) -> Any:
    """JSON as a typed value. Raises InputError: the field, what was there, what may be."""
    wire = _wire(kind)
    if wire is not None:
        if not isinstance(value, str) or re.fullmatch(wire.pattern[1:-1], value) is None:
            allowed = f"{wire.name} such as {wire.example} (pattern {wire.pattern})"
            raise InputError(f"{_seen(value)} is no {allowed}", field)
        return wire.read(value)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _decode_dataclass(value, kind, field)
    origin, args = get_origin(kind), get_args(kind)
    if _is_optional(kind):
        return _decode_union(value, args, field)
    if origin is tuple:
        if not isinstance(value, list):
            raise InputError(f"{_seen(value)} is not an array", field)
        return tuple(decode(item, args[0], f"{field}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise InputError(f"{_seen(value)} is not an object", field)
        return {key: decode(item, args[1], f"{field}.{key}") for key, item in value.items()}
    if not _fits(value, kind):
        raise InputError(f"{_seen(value)} is not {describe(kind)}", field)
    return value


def _decode_dataclass(value: Json, cls: type, field: str) -> Any:
    if not isinstance(value, dict):
        raise InputError(f"{_seen(value)} is not an object", field)
    prefix = f"{field}." if field else ""
    known = hints(cls)
    for name in value:
        if name not in known:
            names = ", ".join(known) or "none"
            raise InputError(f"unknown; the parameters are: {names}", f"{prefix}{name[:80]}")
    for name in required(cls):
        if name not in value:
            raise InputError(f"missing; expected {describe(known[name])}", f"{prefix}{name}")
    return cls(**{name: decode(item, known[name], prefix + name) for name, item in value.items()})


def _decode_union(value: Json, args: tuple[Any, ...], field: str) -> Any:
    if value is None and type(None) in args:
        return None
    others = [arg for arg in args if arg is not type(None)]
    if len(others) == 1:
        return decode(value, others[0], field)
    for arg in others:
        try:
            return decode(value, arg, field)
        except InputError:
            continue
    raise InputError(f"{_seen(value)} is none of {' | '.join(map(describe, args))}", field)


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return any(value == arg and type(value) is type(arg) for arg in get_args(kind))
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        # JSON has no NaN and no infinity; an integer beyond a double's range is neither.
        return abs(value) <= 1.7976931348623157e308
    if kind is str:
        return isinstance(value, str) and _is_unicode(value)
    if kind is Any:
        return True
    return kind is type(None) and value is None


def _is_unicode(text: str) -> bool:
    """False for lone surrogates, which JSON can spell and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def describe(kind: Any) -> str:
    """A type in the words of an error."""
    wire = _wire(kind)
    if wire is not None:
        return f"a {wire.name}"
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(str(arg) for arg in get_args(kind))
    if _is_optional(kind):
        return " or ".join(describe(arg) for arg in get_args(kind))
    if get_origin(kind) is tuple:
        return "an array"
    if get_origin(kind) is dict or dataclasses.is_dataclass(kind):
        return "an object"
    names: Final = {bool: "a boolean", int: "an integer", float: "a number", str: "a string"}
    return names.get(kind, "null")


def _seen(value: Json) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
