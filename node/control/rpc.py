"""JSON-RPC 2.0 over typed methods: a line in, a line out. No sockets here.

Every method is declared once, with its types, errors and an example; checking of parameters, the
OpenRPC document and the tests come from that declaration.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any, Final, Generic, NoReturn, Protocol, TypeVar

import trio

from node.bounds.nesting import depth_exceeds
from node.control import wire
from node.control.api import NodeApi
from node.control.codes import Code
from node.control.results import Subscribed, Unsubscribed
from node.control.wire import Json
from protocol.errors import (
    AssayError,
    ChainError,
    FatalError,
    InputError,
    PeerError,
    StateError,
)
from protocol.params import MAX_CONTROL_BATCH, MAX_CONTROL_BATCH_REPLY_BYTES

log: Final = logging.getLogger(__name__)

#: Arrays and objects within each other in a call: a batch of calls with lists has four. Brackets in
#: a posted spec's text count too, so there is room for names that do not close theirs.
_MAX_DEPTH: Final = 512

#: Integers in a call are those of 64 bits, which the store holds too.
_LEAST_INTEGER: Final = -(2**63)
_MOST_INTEGER: Final = 2**63 - 1
#: Digits and a sign: no longer text is turned into a number at all.
_INTEGER_DIGITS: Final = 20

#: Large results are made JSON one at a time.
_ENCODING: Final = trio.CapacityLimiter(1)

P = TypeVar("P")
R = TypeVar("R")


class Context(Protocol):
    """The means of a call: the node, and the connection that it came from."""

    @property
    def api(self) -> NodeApi:
        """The node."""

    @property
    def registry(self) -> Registry:
        """The methods, for `rpc.discover`."""

    def subscribe(self, job: str | None, since: int | None) -> Subscribed:
        """Stream events to this connection. Raises RpcError (too many)."""

    def unsubscribe(self, subscription: int) -> Unsubscribed:
        """End a subscription of this connection. Raises InputError (no such)."""

    async def while_wanted(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Its result, unless the client leaves before that: then it is cancelled, and this raises
        trio.BrokenResourceError."""


#: Methods that may compute for long and change nothing: they end with whoever asked. What changes
#: something goes on, because its client may not have meant to take it back.
ABANDONED: Final = frozenset(
    {
        "audit",
        "data.show",
        "encoder.fetch",
        "encoder.show",
        "offers",
        "offers.match",
        "policy.explain",
    }
)


class RpcError(Exception):
    """An error reply. `data` may hold `field` (what is wrong) and `next` (the next command)."""

    def __init__(self, code: Code, message: str, data: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = dict(data or {})


@dataclass(frozen=True)
class Encoded:
    """A result whose JSON was made before: `text` goes into the reply as it stands."""

    text: bytes


def calls(function: Callable[..., Awaitable[R]]) -> Callable[[Context, P], Awaitable[R]]:
    """A call of the node: the function takes what the parameters hold, in their order.

    A test compares the types that each function takes with those of its method's parameters.
    """

    def call(context: Context, given: P) -> Awaitable[R]:
        named: Callable[..., Awaitable[R]] = getattr(context.api, function.__name__)
        return named(*(getattr(given, name) for name in wire.hints(given.__class__)))

    return call


@dataclass(frozen=True)
class Method(Generic[P, R]):
    """One method.

    `params` is a frozen dataclass; `result` any type that node.control.wire knows; `example` is a
    call that makes sense together with what it returns. `large`: a result may be some megabytes,
    and is made JSON on a thread.
    """

    name: str
    summary: str
    params: type[P]
    result: Any
    call: Callable[[Context, P], Awaitable[R | Encoded]]
    errors: tuple[Code, ...]
    example: tuple[P, R]
    large: bool = False

    async def answer(self, context: Context, given: Json) -> bytes:
        """Check the parameters, call; the result's JSON. Raises RpcError and AssayError."""
        try:
            params: P = wire.decode(self._by_name(given), self.params, "")
        except InputError as error:
            raise RpcError(Code.INVALID_PARAMS, str(error), {"field": error.field}) from None
        call = partial(self.call, context, params)
        result = await (context.while_wanted(call) if self.name in ABANDONED else call())
        if isinstance(result, Encoded):
            return result.text
        if self.large:
            return await trio.to_thread.run_sync(self._encoded, result, limiter=_ENCODING)
        return self._encoded(result)

    def _encoded(self, result: R) -> bytes:
        value = wire.encode(result, self.result)
        return _json_by_parts(value) if self.large else _json(value)

    def _by_name(self, given: Json) -> dict[str, Json]:
        names = list(wire.hints(self.params))
        if isinstance(given, list):
            if len(given) > len(names):
                allowed = f"{len(given)} given, at most {len(names)} allowed"
                raise InputError(f"too many parameters: {allowed}", "params")
            return dict(zip(names, given, strict=False))
        if isinstance(given, dict):
            return given
        raise InputError("must be an object or an array", "params")


class Registry:
    """Methods by name. Raises FatalError at construction where a name stands twice."""

    def __init__(self, methods: Iterable[Method[Any, Any]]) -> None:
        self._methods: dict[str, Method[Any, Any]] = {}
        for method in methods:
            if method.name in self._methods:
                raise FatalError(f"two methods are called {method.name}")
            self._methods[method.name] = method

    def __iter__(self) -> Iterator[Method[Any, Any]]:
        return iter(self._methods.values())

    def __getitem__(self, name: str) -> Method[Any, Any]:
        return self._methods[name]

    def __contains__(self, name: object) -> bool:
        return name in self._methods


async def answer(registry: Registry, context: Context, line: bytes) -> bytes | None:
    """The reply to one line, with its newline; None where the line asks for none.

    Total: it answers whatever the line holds and whatever the call raises, except a cancellation.
    """
    try:
        request = parse(line)
    except ValueError as error:
        return refusal(RpcError(Code.PARSE, f"not JSON: {error}"))
    if not isinstance(request, list):
        reply = await _answer_one(registry, context, request)
        return None if reply is None else reply + b"\n"
    if not request:
        return refusal(RpcError(Code.INVALID_REQUEST, "a batch holds at least one call"))
    if len(request) > MAX_CONTROL_BATCH:
        text = f"a batch of {len(request)} calls; at most {MAX_CONTROL_BATCH} are allowed"
        return refusal(RpcError(Code.TOO_LARGE, text))
    replies = await _answer_batch(registry, context, request)
    return b"[" + b",".join(replies) + b"]\n" if replies else None


async def _answer_batch(registry: Registry, context: Context, calls: list[Json]) -> list[bytes]:
    """The replies to a batch, in its order. Others get their turn before each call."""
    replies: list[bytes] = []
    size = 0
    for each in calls:
        # Shielded: what earlier calls of the batch did is told, although the daemon drains.
        await trio.lowlevel.cancel_shielded_checkpoint()
        if size < MAX_CONTROL_BATCH_REPLY_BYTES:
            reply = await _answer_one(registry, context, each)
        else:
            reply = _over_budget(each)
        if reply is not None:
            replies.append(reply)
            size += len(reply)
    return replies


def _over_budget(request: Json) -> bytes | None:
    if not isinstance(request, dict) or "id" not in request:
        return None
    call_id = request["id"]
    text = (
        f"not called: the replies before it fill the {MAX_CONTROL_BATCH_REPLY_BYTES} bytes "
        "of one batch; call it in another"
    )
    known = None if isinstance(call_id, bool | list | dict) else call_id
    return _error(known, RpcError(Code.TOO_LARGE, text))


def parse(line: bytes) -> Json:
    """JSON as RFC 8259 has it, in UTF-8, and as every reader understands it. Raises ValueError.

    No byte order mark, NaN or infinity, no number beyond a double, no integer beyond 64 bits, no
    name twice in an object, no lone surrogate; nested a few deep.
    """
    if depth_exceeds(line, _MAX_DEPTH):
        raise ValueError(f"nested more than {_MAX_DEPTH} deep")
    # Of bytes, json.loads guesses the encoding: b"\xff\xfe" would make UTF-16 of them.
    parsed: Json = json.loads(
        line.decode(),
        parse_constant=_refuse_constant,
        parse_float=_finite,
        parse_int=_integer,
        object_pairs_hook=_without_doubles,
    )
    if b"\\u" in line:
        # Only escapes can spell half a character. UTF-8 cannot, nor can the store.
        try:
            json.dumps(parsed, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("a lone surrogate is no character") from None
    return parsed


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text[:40]} is beyond the numbers of 64 bits")
    return number


def _integer(text: str) -> int:
    if len(text) <= _INTEGER_DIGITS:
        number = int(text)
        if _LEAST_INTEGER <= number <= _MOST_INTEGER:
            return number
    raise ValueError(f"{text[:40]} is beyond the integers of 64 bits")


def _without_doubles(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        [(double, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{double[:40]!r} stands twice in one object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _json(value: Json) -> bytes:
    """JSON in one line: line breaks inside strings are escaped."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _json_by_parts(value: Json) -> bytes:
    """The same, item by item of the lists in an object: json holds the interpreter for as long as
    one call takes, and the event loop waits for it."""
    if isinstance(value, dict):
        named = (_json(name) + b":" + _json_by_parts(each) for name, each in value.items())
        return b"{" + b",".join(named) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(_json, value)) + b"]"
    return _json(value)


def encoded(value: Json) -> Encoded:
    """A result that is made once, for calls that return the same each time."""
    return Encoded(_json(value))


def refusal(error: RpcError) -> bytes:
    """An error line that answers no call in particular."""
    return _error(None, error) + b"\n"


def notification(method: str, params: Json) -> bytes:
    """A line that asks for no reply."""
    return _json({"jsonrpc": "2.0", "method": method, "params": params}) + b"\n"


async def _answer_one(registry: Registry, context: Context, request: Json) -> bytes | None:
    if not isinstance(request, dict):
        return _error(None, RpcError(Code.INVALID_REQUEST, "a request is a JSON object"))
    call_id = request.get("id")
    if isinstance(call_id, bool | list | dict):
        text = "`id` is a string, a number or null"
        return _error(None, RpcError(Code.INVALID_REQUEST, text, {"field": "id"}))
    try:
        name, params = _checked(registry, request)
        result = await registry[name].answer(context, params)
        head = b'{"jsonrpc":"2.0","id":' + _json(call_id)
        return head + b',"result":' + result + b"}" if "id" in request else None
    except RpcError as error:
        failed = error
    except AssayError as error:
        failed = _from_ours(error)
    except trio.BrokenResourceError:
        raise  # the client has left
    except Exception as error:
        log.exception("control call %r failed", request.get("method"))
        text = f"a defect in the daemon ({type(error).__name__}); its log has the details"
        failed = RpcError(Code.INTERNAL, text)
    # A request without an id is a notification. A malformed one is answered all the same, with a
    # null id, as the specification's examples have it.
    malformed = failed.code == Code.INVALID_REQUEST
    return _error(call_id, failed) if "id" in request or malformed else None


def _checked(registry: Registry, request: dict[str, Json]) -> tuple[str, Json]:
    if request.get("jsonrpc") != "2.0":
        text = '`jsonrpc` must be "2.0"'
        raise RpcError(Code.INVALID_REQUEST, text, {"field": "jsonrpc"})
    name = request.get("method")
    if not isinstance(name, str):
        raise RpcError(Code.INVALID_REQUEST, "`method` must be a string", {"field": "method"})
    if name not in registry:
        text = f"no method {name[:80]!r}; rpc.discover lists all"
        raise RpcError(Code.METHOD_NOT_FOUND, text, {"field": "method"})
    return name, request.get("params", {})


def _error(call_id: Json, error: RpcError) -> bytes:
    body: dict[str, Json] = {"code": int(error.code), "message": str(error)}
    if error.data:
        body["data"] = dict[str, Json](error.data)
    return _json({"jsonrpc": "2.0", "id": call_id, "error": body})


def _from_ours(error: AssayError) -> RpcError:
    """Our errors by class. The first note on an exception is the next command."""
    codes: tuple[tuple[type[AssayError], Code], ...] = (
        (InputError, Code.INPUT),
        (PeerError, Code.PEER),
        (ChainError, Code.CHAIN),
        (StateError, Code.STATE),
    )
    code = next((code for kind, code in codes if isinstance(error, kind)), Code.FATAL)
    if code is Code.FATAL:
        log.error("control call met a broken invariant", exc_info=error)
    data: dict[str, str] = {}
    if isinstance(error, InputError) and error.field:
        data["field"] = error.field
    if notes := getattr(error, "__notes__", None):
        data["next"] = str(notes[0])
    return RpcError(code, str(error), data)
