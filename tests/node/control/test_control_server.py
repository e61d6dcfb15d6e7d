"""The control socket against good, bad, slow and many clients. Real sockets, the real client."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from kits.control.fake import serving
from kits.control.wire import ask, lines, request

from node.console.client import Client, NoDaemon
from node.control import examples as ex
from node.control import rpc
from node.control.codes import Code
from node.control.methods import METHODS
from node.control.server import bind
from protocol.errors import InputError
from protocol.params import (
    MAX_CONTROL_BATCH,
    MAX_CONTROL_CLIENTS,
    MAX_CONTROL_LINE_BYTES,
)

# The socket itself


async def test_the_socket_is_private_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "s"
    before = os.umask(0o022)
    os.umask(before)
    async with serving(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()
    after = os.umask(before)
    os.umask(after)
    assert after == before


def test_it_is_private_from_the_first_moment(tmp_path: Path, monkeypatch: Any) -> None:
    modes = []
    real = socket.socket.listen

    def listen(self: socket.socket, backlog: int) -> None:
        modes.append(stat.S_IMODE((tmp_path / "s").stat().st_mode))
        real(self, backlog)

    monkeypatch.setattr(socket.socket, "listen", listen)
    bind(tmp_path / "s").close()
    assert modes == [0o600]


def test_a_dead_daemons_socket_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    bind(path).close()
    assert path.exists()
    bind(path).close()
    file = tmp_path / "f"
    file.write_text("precious")
    with pytest.raises(InputError, match="not a socket"):
        bind(file)
    assert file.read_text() == "precious"
    with pytest.raises(InputError, match="cannot listen"):
        bind(tmp_path / ("x" * 120))


async def test_a_later_daemons_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with serving(path):
        path.rename(tmp_path / "old")
        later = bind(path)
    assert path.exists()
    later.close()


# Lines that are wrong


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"garbage\n", Code.PARSE),
        (b"\xff\xfe\x00\n", Code.PARSE),
        (b'{"jsonrpc":"2.0","id":1,"method":"status"\n', Code.PARSE),
        (b'{"jsonrpc":"2.0","id":NaN,"method":"status"}\n', Code.PARSE),
        (b"[" * 100_000 + b"\n", Code.PARSE),
        (b"1" * 10_000 + b"\n", Code.PARSE),
        (b'"status"\n', Code.INVALID_REQUEST),
        (b"[]\n", Code.INVALID_REQUEST),
        (b"{}\n", Code.INVALID_REQUEST),
        (b'{"jsonrpc":"1.0","id":1,"method":"status"}\n', Code.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":{},"method":"status"}\n', Code.INVALID_REQUEST),
        (b'{"jsonrpc":"2.0","id":1,"method":5}\n', Code.INVALID_REQUEST),
        (request("no.such.method"), Code.METHOD_NOT_FOUND),
        (request("status", 5), Code.INVALID_PARAMS),
        (request("status", [1]), Code.INVALID_PARAMS),
        (request("status", {"x": 1}), Code.INVALID_PARAMS),
        (request("job.show"), Code.INVALID_PARAMS),
    ],
)
async def test_a_wrong_line_gets_its_code_and_the_connection_lives(
    raw: bytes, code: Code, tmp_path: Path
) -> None:
    async with serving(tmp_path / "s") as running:
        wrong, good = await ask(running, raw + request("status", call_id="after"), 2)
    assert wrong["error"]["code"] == code
    assert wrong["error"]["message"]
    assert good["id"] == "after"
    assert good["result"]["peer_id"] == ex.PEER_ID


WRONG: dict[str, list[tuple[str, Any]]] = {
    "join": [("address", 5), ("channels", "0x12")],
    "encoder.add": [("path", "minilm.assay"), ("name", ""), ("origin", "minilm.onnx")],
    "encoder.show": [("encoder", "")],
    "encoder.remove": [("encoder", 5)],
    "data.add": [
        ("name", "Not A Name"),
        ("path", "relative.csv"),
        ("separator", 5),
        ("decimal", True),
        ("encoding", []),
        ("other_people", "ward-3"),
        ("columns", 1),
        ("holdout", "yes"),
        ("header", "no"),
        ("names", "a,b"),
        ("images", "a,b"),
    ],
    "data.show": [("name", ""), ("job", 5)],
    "data.map": [("name", 1), ("columns", [])],
    "data.remove": [("name", None)],
    "data.replace": [
        ("name", "Not A Name"),
        ("path", "relative.csv"),
        ("separator", 5),
        ("decimal", True),
        ("encoding", []),
        ("header", 0),
        ("names", 1),
        ("images", 1),
    ],
    "data.replace_sql": [("name", "a b"), ("sql", 5), ("url", None), ("password", 7)],
    "data.add_sql": [
        ("name", "a b"),
        ("sql", 5),
        ("url", None),
        ("password", 7),
        ("other_people", 1),
        ("columns", []),
        ("holdout", 1),
    ],
    "policy.show": [("dataset", "")],
    "privacy": [("dataset", ""), ("history", 1)],
    "policy.set": [("dataset", None), ("changes", []), ("changes.accept", {"accept": {}})],
    "policy.explain": [("job", 1), ("dataset", "")],
    "card.publish": [("dataset", ""), ("card", None), ("dry_run", 1)],
    "card.withdraw": [("dataset", "")],
    "offers": [
        ("columns", "age"),
        ("kind", "word"),
        ("purpose", 1),
        ("max_rate", 5),
        ("token", "0x12"),
        ("limit", "all"),
    ],
    "offer.show": [("card", "0x12")],
    "offers.match": [("spec", None), ("no_noise", 1)],
    "sale.offer": [
        ("job", 1),
        ("price", 5),
        ("token", "0x12"),
        ("scores", 1),
        ("batch", "9"),
        ("minute", "9"),
        ("days", 0.5),
        ("accuracy", "high"),
        ("dry_run", 1),
    ],
    "sale.withdraw": [("offer", "0x12")],
    "sale.offers": [("ask", 1)],
    "sale.show": [("offer", "0x12")],
    "sale.prepare": [
        ("offer", "0x12"),
        ("path", "not/absolute"),
        ("separator", 1),
        ("decimal", 1),
        ("encoding", 1),
        ("header", 1),
        ("names", "a"),
        ("images", "a"),
    ],
    "sale.buy": [("purchase", "x"), ("budget", 5)],
    "sale.write": [("purchase", "x")],
    "sale.redeem": [("channel", "0x12")],
    "encoder.fetch": [("offer", "0x12"), ("digest", "6e1d0c5b")],
    "sale.reclaim": [("channel", None), ("channel", "0x12")],
    "job.quote": [("spec", None), ("no_noise", 1)],
    "job.post": [
        ("spec", None),
        ("holdout", "not/absolute"),
        ("no_noise", 1),
        ("max_fee", 5),
    ],
    "send": [
        ("id", "A B"),
        ("to", "0x12"),
        ("amount", 1),
        ("token", "ether"),
        ("max_fee", 1),
        ("dry_run", "no"),
    ],
    "token.revoke": [("id", ""), ("token", "USDC")],
    "earnings": [("job", 5), ("signed", 1)],
    "job.show": [("job", "../..")],
    "job.consent": [("job", 1), ("dataset", 1)],
    "job.cancel": [("job", 7)],
    "job.decline": [("job", 7)],
    "job.leave": [("job", 7)],
    "model.get": [("job", []), ("round", "2")],
    "claim": [("job", {}), ("account", "0x12"), ("everybody", 1)],
    "audit": [("job", True)],
    "events.subscribe": [("job", ""), ("since", 1.5)],
    "events.unsubscribe": [("subscription", None)],
}


def test_the_list_of_wrong_values_covers_every_parameter() -> None:
    from node.control import wire

    for method in METHODS:
        fields = {name.partition(".")[0] for name, _ in WRONG.get(method.name, [])}
        assert fields == set(wire.hints(method.params)), method.name


async def test_every_parameter_is_checked_and_named(tmp_path: Path) -> None:
    from node.control import wire

    async with serving(tmp_path / "s") as running:
        for name, cases in WRONG.items():
            given, _ = METHODS[name].example
            good = wire.encode(given, METHODS[name].params)
            assert isinstance(good, dict)
            for field, value in cases:
                params = {**good, field.partition(".")[0]: value}
                [reply] = await ask(running, request(name, params))
                assert reply["error"]["code"] == Code.INVALID_PARAMS, (name, field)
                assert reply["error"]["data"]["field"] == field
                assert field in reply["error"]["message"]
    assert running.node.joined == []
    assert running.node.posted == []


async def test_a_line_at_the_limit_is_read_and_one_past_it_is_not(tmp_path: Path) -> None:
    head = request("status")[:-1]
    fits = head + b" " * (MAX_CONTROL_LINE_BYTES - len(head))
    async with serving(tmp_path / "s") as running:
        [reply] = await ask(running, fits + b"\n")
        assert "result" in reply
        [reply] = await ask(running, fits + b" \n")
        assert reply["error"]["code"] == Code.TOO_LARGE
        async with await trio.open_unix_socket(str(running.path)) as stream:
            await stream.send_all(fits + b" " * 100)  # and no newline: it must not wait for one
            [reply] = await lines(stream, 1)
            assert reply["error"]["code"] == Code.TOO_LARGE
            assert await stream.receive_some() == b""
        [reply] = await ask(running, request("status"))
        assert "result" in reply


async def test_nobody_is_there(tmp_path: Path) -> None:
    with pytest.raises(NoDaemon) as caught:
        Client(tmp_path / "s", tmp_path)
    assert str(caught.value) == f"no daemon runs on {tmp_path}"
    assert caught.value.next == "assay init, then: assay up"
    (tmp_path / "config.toml").touch()
    with pytest.raises(NoDaemon) as caught:
        Client(tmp_path / "s", tmp_path)
    assert caught.value.next == "assay up"


# Calls


async def test_positions_notifications_and_batches(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as running:
        [reply] = await ask(running, request("data.add", ["b", "/b.csv"]))
        assert reply["result"]["path"] == "/b.csv"
        silent = json.dumps({"jsonrpc": "2.0", "method": "join", "params": ["/x"]}).encode() + b"\n"
        [reply] = await ask(running, silent + request("peers", call_id=None))
        assert reply["id"] is None
        assert running.node.joined == ["/x"]
        batch = [json.loads(request("status", call_id=1)), 7, json.loads(silent)]
        [replies] = await ask(running, json.dumps(batch).encode() + b"\n")
        assert [reply["id"] for reply in replies] == [1, None]
        assert replies[1]["error"]["code"] == Code.INVALID_REQUEST
        call = json.loads(request("data.list"))
        [replies] = await ask(running, json.dumps([call] * MAX_CONTROL_BATCH).encode() + b"\n")
        assert len(replies) == MAX_CONTROL_BATCH
        [reply] = await ask(running, json.dumps([call] * (MAX_CONTROL_BATCH + 1)).encode() + b"\n")
        assert reply["error"]["code"] == Code.TOO_LARGE


@pytest.mark.parametrize(
    ("method", "params", "code", "data"),
    [
        (
            "data.add",
            {"name": "ward-3", "path": "/x"},
            Code.INPUT,
            {"field": "name", "next": "assay data list"},
        ),
        ("join", {"address": "/ip4/203.0.113.9/tcp/1/p2p/x"}, Code.PEER, None),
        ("job.post", {"spec": "poor"}, Code.CHAIN, None),
        ("job.consent", {"job": ex.JOB, "dataset": "ward-3"}, Code.STATE, None),
        ("data.add", {"name": "fatal", "path": "/x"}, Code.FATAL, None),
        ("data.add", {"name": "defect", "path": "/x"}, Code.INTERNAL, None),
    ],
)
async def test_errors_by_class(
    method: str, params: Any, code: Code, data: Any, tmp_path: Path, caplog: Any
) -> None:
    async with serving(tmp_path / "s") as running:
        [reply] = await ask(running, request(method, params))
        assert reply["error"]["code"] == code
        assert reply["error"].get("data") == data
        [reply] = await ask(running, request("status"))
        assert "result" in reply
    # Only a defect or a broken invariant is the log's business.
    assert bool(caplog.records) == (code in (Code.FATAL, Code.INTERNAL))


def test_a_result_of_the_wrong_type_is_a_defect_that_ends_one_call() -> None:
    async def scenario() -> bytes | None:
        class Broken:
            def status(self) -> Any:
                return dataclasses.replace(ex.STATUS, peers="many")

        class Context:
            api: Any = Broken()
            registry = METHODS

        return await rpc.answer(METHODS, Context(), request("status"))  # type: ignore[arg-type]

    assert json.loads(trio.run(scenario) or b"")["error"]["code"] == Code.FATAL


@given(st.binary(max_size=200).filter(lambda raw: b"\n" not in raw))
def test_any_line_gets_at_most_one_line_back(raw: bytes) -> None:
    class Context:
        api: Any = None
        registry = METHODS

    async def scenario() -> bytes | None:
        return await rpc.answer(METHODS, Context(), raw)  # type: ignore[arg-type]

    reply = trio.run(scenario)
    assert reply is None or (reply.count(b"\n") == 1 and json.loads(reply))


async def test_fifty_clients_at_once_and_one_that_waits(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as running:
        slow = await trio.open_unix_socket(str(running.path))
        await slow.send_all(request("data.add", {"name": "blocks", "path": "/b"}))
        await running.node.enter_blocked.wait()

        def use(number: int) -> None:
            with Client(running.path, tmp_path) as client:
                for turn in range(5):
                    name = f"d{number}-{turn}"
                    assert client.call("data.add", {"name": name, "path": "/x"})["name"] == name
                    assert client.call("status")["peer_id"] == ex.PEER_ID

        async with trio.open_nursery() as nursery:
            limiter = trio.CapacityLimiter(50)
            for number in range(50):
                nursery.start_soon(
                    lambda n=number: trio.to_thread.run_sync(use, n, limiter=limiter)
                )
        running.node.blocked.set()
        [reply] = await lines(slow, 1)
        assert reply["result"]["name"] == "blocks"
        await slow.aclose()
        assert len(running.node.datasets) == 1 + 1 + 250
        assert running.server.statistics.calls == 1 + 50 * 5 * 2


async def test_the_client_past_the_limit_is_told_so(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as running:
        streams = []
        for _ in range(MAX_CONTROL_CLIENTS):
            stream = await trio.open_unix_socket(str(running.path))
            await stream.send_all(request("peers"))
            await lines(stream, 1)
            streams.append(stream)
        [reply] = await ask(running, b"")
        assert reply["error"]["code"] == Code.BUSY
        await streams.pop().aclose()
        while running.server.statistics.clients == MAX_CONTROL_CLIENTS:
            await trio.lowlevel.checkpoint()
        [reply] = await ask(running, request("peers"))
        assert "result" in reply
        for stream in streams:
            await stream.aclose()


async def test_the_reply_to_stop_leaves_although_the_daemon_drains(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery, serving(tmp_path / "s") as running:

        async def drain() -> None:
            await running.node.stopped.wait()
            running.scope.cancel()

        nursery.start_soon(drain)

        def call() -> Any:
            with Client(running.path, tmp_path) as client:
                return client.call("stop")

        reply = await trio.to_thread.run_sync(call)
    assert reply == {"pid": 4242, "jobs_running": 1}
    assert not (tmp_path / "s").exists()
