"""JSON-RPC parameters, each checked before use; and what goes into a reply's `error`."""

from __future__ import annotations

from typing import Any, Final

from node.devnet.records import GAS_LIMIT, ZERO_ADDRESS, Call

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
NO_METHOD: Final = -32601
INVALID_PARAMS: Final = -32602
SERVER_ERROR: Final = -32000
LIMIT_EXCEEDED: Final = -32005
REVERTED: Final = 3


class RpcError(Exception):
    """What goes into a reply's `error`."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


def quantity(value: Any, name: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**256:
        return value
    if isinstance(value, str) and value.startswith("0x") and 3 <= len(value) <= 66:
        try:
            return int(value[2:], 16)
        except ValueError:
            pass
    raise RpcError(INVALID_PARAMS, f"{name}: a quantity in hex, as 0x1f")


def octets_of(value: Any, name: str) -> bytes:
    if isinstance(value, str) and value.startswith("0x"):
        try:
            return bytes.fromhex(value[2:])
        except ValueError:
            pass
    raise RpcError(INVALID_PARAMS, f"{name}: bytes in hex, as 0x00ff")


def octets(params: list[Any], position: int) -> bytes:
    return octets_of(params[position] if len(params) > position else None, f"params[{position}]")


def _sized(params: list[Any], position: int, size: int, what: str) -> bytes:
    value = octets(params, position)
    if len(value) != size:
        raise RpcError(INVALID_PARAMS, f"params[{position}]: {what} has {size} bytes")
    return value


def address(params: list[Any], position: int) -> bytes:
    return _sized(params, position, 20, "an address")


def digest(params: list[Any], position: int) -> bytes:
    return _sized(params, position, 32, "a hash")


def full(params: list[Any]) -> bool:
    return len(params) > 1 and params[1] is True


def call(params: list[Any]) -> Call:
    fields = params[0] if params else None
    if not isinstance(fields, dict):
        raise RpcError(INVALID_PARAMS, "transaction: an object")
    data = fields.get("input")
    if data is None:
        data = fields.get("data")
    sender, to = fields.get("from"), fields.get("to")
    gas = fields.get("gas")
    return Call(
        sender=ZERO_ADDRESS if sender is None else address([sender], 0),
        to=None if to in (None, "", "0x") else address([to], 0),
        value=quantity(fields.get("value", 0), "value"),
        data=b"" if data is None else octets_of(data, "data"),
        gas=GAS_LIMIT if gas is None else min(quantity(gas, "gas"), GAS_LIMIT),
    )


def topics(value: Any) -> list[set[bytes] | None]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > 4:
        raise RpcError(INVALID_PARAMS, "topics: an array of at most four")
    out: list[set[bytes] | None] = []
    for item in value:
        choices = item if isinstance(item, list) else [item]
        if item is None or not choices:
            out.append(None)
        else:
            out.append({digest([choice], 0) for choice in choices[:100]})
    return out


def matches(topics: tuple[bytes, ...], wanted: list[set[bytes] | None]) -> bool:
    if len(wanted) > len(topics):
        return False
    return all(w is None or t in w for t, w in zip(topics, wanted, strict=False))
