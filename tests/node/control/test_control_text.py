"""What JSON can spell and no caller should: it costs its own line a reply, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from kits.control.fake import serving
from kits.control.wire import ask, request

from node.control import rpc
from node.control.codes import Code
from node.control.methods import METHODS

_CALL = b'{"jsonrpc":"2.0","id":%s,"method":"status"}\n'


def refused(value: bytes) -> pytest.ParameterSet:
    return pytest.param(_CALL % value, id=repr(value[:20]))


REFUSED = [
    *map(refused, (b"1e400", b"1e309", b"-1e309", b"1.0e999999999", b"NaN", b"Infinity")),
    *map(refused, (b"-Infinity", b"9223372036854775808", b"-9223372036854775809")),
    *map(refused, (b"9" * 400, b"9" * 4300, b"-" + b"9" * 4301, b"1" * 100_000, b"01", b"+1")),
    *map(refused, (rb'"\ud800"', rb'"\udc00\ud800"', rb'{"\udfff":1}', b'"a\x00b"', b'"\xff"')),
    *map(refused, (b'"\xed\xa0\x80"', b'"\xc0\x80"', b'{"a":1,"a":2}')),
    pytest.param(b'{"jsonrpc":"2.0","id":1,"id":2,"method":"status"}\n', id="two ids"),
    pytest.param(b'{"jsonrpc":"2.0","id":1,"method":"stop","method":"status"}\n', id="two methods"),
    pytest.param(b"\xff\xfe\n", id="half a UTF-16 mark"),
    pytest.param(b"\xef\xbb\xbf" + _CALL % b"1", id="UTF-8 with a mark"),
    pytest.param((_CALL % b"1").decode().strip().encode("utf-16-be") + b"\n", id="UTF-16"),
    pytest.param((_CALL % b"1").decode().strip().encode("utf-32-be") + b"\n", id="UTF-32"),
    pytest.param(b"\x00" + _CALL % b"1", id="NUL"),
    pytest.param(_CALL % (b"[" * 600 + b"]" * 600), id="deep"),
    pytest.param(_CALL % (b'{"a":' * 600 + b"1" + b"}" * 600), id="deep objects"),
]


@pytest.mark.parametrize("raw", REFUSED)
async def test_what_is_refused_costs_one_line_and_not_the_connection(
    raw: bytes, tmp_path: Path
) -> None:
    async with serving(tmp_path / "s") as running:
        wrong, good = await ask(running, raw + request("status", call_id="after"), 2)
        assert wrong["error"]["code"] == Code.PARSE
        assert wrong["id"] is None
        assert good["id"] == "after"
        assert running.server.statistics.defects == 0
        assert running.server.statistics.dropped == 0
        assert not running.node.stopped.is_set()


@pytest.mark.parametrize(
    "value",
    [
        *(b"0", b"-0", b"-0.0", b"1.5", b"1e308", b"-1.7976931348623157e308", b"1e-400"),
        *(b"9223372036854775807", b"-9223372036854775808", b"null", b'"\\u0000"'),
        *(rb'"\ud83d\ude00"', '"\U0001f600"'.encode(), '"\ufeff"'.encode()),
    ],
)
async def test_what_is_json_comes_back_as_the_id_that_it_is(value: bytes, tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as running:
        [reply] = await ask(running, _CALL % value)
    assert reply["id"] == json.loads(value)
    assert "result" in reply


class Context:
    api: Any = None
    registry = METHODS


_numbers = st.from_regex(
    rb"-?(0|[1-9][0-9]{0,400})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?", fullmatch=True
)
_texts = st.from_regex(rb'"(\\u[0-9a-fA-F]{4}|[a-z]|\xff|\xed\xa0\x80){0,4}"', fullmatch=True)
_words = st.sampled_from([b"NaN", b"Infinity", b"-Infinity", b"null", b"true", b"-0"])
_plain = st.one_of(_numbers, _texts, _words)
_values = st.recursive(
    _plain,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: b"[" + b",".join(parts) + b"]"),
        st.lists(st.tuples(_texts, inner), max_size=4).map(
            lambda pairs: b"{" + b",".join(name + b":" + value for name, value in pairs) + b"}"
        ),
    ),
    max_leaves=8,
)


@given(_values, _values, st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"]))
def test_whatever_stands_in_a_call_is_answered_in_one_line(
    call_id: bytes, params: bytes, encoding: str
) -> None:
    line = b'{"jsonrpc":"2.0","id":%s,"method":"rpc.discover","params":%s}' % (call_id, params)
    if encoding != "utf-8":
        line = line.decode("latin-1").encode(encoding).replace(b"\n", b" ")
    reply = trio.run(rpc.answer, METHODS, Context(), line)
    assert reply is not None
    assert reply.count(b"\n") == 1
    told = json.loads(reply)
    if "error" in told:
        allowed = (Code.PARSE, Code.INVALID_REQUEST, Code.INVALID_PARAMS)
        assert told["error"]["code"] in allowed
    if encoding != "utf-8":
        assert told["error"]["code"] == Code.PARSE
