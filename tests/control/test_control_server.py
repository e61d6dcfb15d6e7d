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
from control_fake import Running, serving
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import lockstep_stream_pair, memory_stream_pair

from node.cli.client import CallError, Client, NoDaemon
from node.control import examples as ex
from node.control import rpc
from node.control.codes import Code
from node.control.events import EventBus
from node.control.methods import METHODS
from node.control.server import ControlServer, bind
from protocol.errors import InputError
from protocol.params import (
    CONTROL_IDLE_SECONDS,
    CONTROL_LINE_SECONDS,
    MAX_CONTROL_BATCH,
    MAX_CONTROL_CLIENTS,
    MAX_CONTROL_LINE_BYTES,
    MAX_CONTROL_SUBSCRIPTIONS,
)


async def lines(stream: trio.abc.ReceiveStream, count: int) -> list[Any]:
    """The next `count` lines as JSON; fewer at the end of the stream."""
    buffer = b""
    while buffer.count(b"\n") < count:
        chunk = await stream.receive_some()
        if not chunk:
            break
        buffer += chunk
    return [json.loads(line) for line in buffer.splitlines()]


async def ask(running: Running, raw: bytes, count: int = 1) -> list[Any]:
    async with await trio.open_unix_socket(str(running.path)) as stream:
        await stream.send_all(raw)
        return await lines(stream, count)


def request(method: str, params: Any = None, call_id: Any = 1) -> bytes:
    body = {"jsonrpc": "2.0", "id": call_id, "method": method}
    if params is not None:
        body["params"] = params
    return json.dumps(body).encode() + b"\n"


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
    "join": [("address", 5)],
    "data.add": [("name", "Not A Name"), ("path", "relative.csv")],
    "policy.show": [("dataset", "")],
    "policy.set": [("dataset", None), ("changes", []), ("changes.accept", {"accept": {}})],
    "job.post": [("spec", None), ("holdout", "not/absolute")],
    "job.show": [("job", "../..")],
    "job.consent": [("job", 1), ("dataset", 1)],
    "model.get": [("job", []), ("round", "2")],
    "claim": [("job", {}), ("account", "0x12")],
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
        assert running.server.statistics.accepted == 51


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


# Time, on trio's clock for tests


async def test_silence_and_half_lines_end(autojump_clock: Any) -> None:
    server = ControlServer(None, EventBus())  # type: ignore[arg-type]
    for sent, limit in ((b"", CONTROL_IDLE_SECONDS), (b'{"json', CONTROL_LINE_SECONDS)):
        near, far = memory_stream_pair()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.handle, far)
            if sent:
                await near.send_all(sent)
            [reply] = await lines(near, 1)
        assert reply["error"]["code"] == Code.INVALID_REQUEST
        assert f"{limit} seconds" in reply["error"]["message"]
        assert trio.current_time() - began == pytest.approx(limit, abs=1)


async def test_who_follows_events_may_stay_silent(autojump_clock: Any) -> None:
    bus = EventBus()
    server = ControlServer(None, bus)  # type: ignore[arg-type]
    near, far = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.handle, far)
        await near.send_all(request("events.subscribe"))
        await lines(near, 1)
        await trio.sleep(10 * CONTROL_IDLE_SECONDS)
        bus.publish("tick", "still here")
        [message] = await lines(near, 1)
        assert message["params"]["event"]["text"] == "still here"
        await near.aclose()


# Events


async def test_events_reach_the_client_after_the_reply_and_end_with_a_reason(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path / "s") as running:
        running.bus.publish("job.state", "posted", job=ex.JOB)
        running.bus.publish("tick", "of no job")
        async with await trio.open_unix_socket(str(running.path)) as stream:
            await stream.send_all(request("events.subscribe", {"job": ex.JOB, "since": 0}))
            reply, event = await lines(stream, 2)
            assert reply["result"] == {"subscription": 1, "seq": 2}
            assert event["params"]["event"]["text"] == "posted"
            await stream.send_all(request("events.unsubscribe", [1]))
            replies = await lines(stream, 2)
            assert {m.get("method", "reply") for m in replies} == {"events.closed", "reply"}
            await stream.send_all(request("events.unsubscribe", [1]))
            [reply] = await lines(stream, 1)
            assert reply["error"]["code"] == Code.INPUT
        while running.server.statistics.clients:
            await trio.lowlevel.checkpoint()
        assert running.bus.statistics()["subscriptions"] == 0


async def test_a_subscriber_that_does_not_read_is_dropped_and_nobody_waits_for_it(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path / "s", backlog=16) as running:
        slow = await trio.open_unix_socket(str(running.path))
        await slow.send_all(request("events.subscribe"))
        await lines(slow, 1)
        # More than the socket's buffers hold, so that the server's write has to wait.
        while running.bus.statistics()["dropped"] == 0:
            running.bus.publish("tick", "x" * 16_384)
            await trio.lowlevel.checkpoint()
        [reply] = await ask(running, request("status"))
        assert "result" in reply
        received = b""
        while b"events.closed" not in received[-4096:]:
            chunk = await slow.receive_some()
            assert chunk, "the reason must arrive before the end"
            received += chunk
        closed = json.loads(received.splitlines()[-1])
        assert "lagged" in closed["params"]["reason"]
        await slow.aclose()


async def test_a_subscriber_that_never_reads_loses_its_connection(autojump_clock: Any) -> None:
    bus = EventBus()
    server = ControlServer(None, bus)  # type: ignore[arg-type]
    # A stream without a buffer: sending waits until the other side reads.
    near, far = lockstep_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.handle, far)
        await near.send_all(request("events.subscribe"))
        await lines(near, 1)
        bus.publish("tick", "never read")
    assert server.statistics.clients == 0
    assert server.statistics.dropped == 1
    assert bus.statistics()["subscriptions"] == 0


async def test_an_event_that_cannot_be_sent_is_logged_and_left_out(
    tmp_path: Path, caplog: Any
) -> None:
    async with (
        serving(tmp_path / "s") as running,
        await trio.open_unix_socket(str(running.path)) as stream,
    ):
        await stream.send_all(request("events.subscribe"))
        await lines(stream, 1)
        running.bus.publish("tick", "bad", facts={"x": object()})  # type: ignore[dict-item]
        running.bus.publish("tick", "bad", job="not a job")
        running.bus.publish("tick", "good")
        [message] = await lines(stream, 1)
    assert message["params"]["event"]["text"] == "good"
    assert len(caplog.records) == 2


async def test_a_defect_in_serving_one_client_ends_that_client_alone(
    tmp_path: Path, caplog: Any, monkeypatch: Any
) -> None:
    async with serving(tmp_path / "s") as running:
        with monkeypatch.context() as patched:
            patched.setattr(rpc, "answer", lambda *_: 1 / 0)
            assert await ask(running, request("status")) == []
        [reply] = await ask(running, request("status"))
        assert "result" in reply
        assert running.server.statistics.defects == 1
        assert running.server.statistics.clients <= 1
    assert "defect" in caplog.text


async def test_subscriptions_are_counted(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as running:
        raw = request("events.subscribe") * (MAX_CONTROL_SUBSCRIPTIONS + 1)
        replies = await ask(running, raw, MAX_CONTROL_SUBSCRIPTIONS + 1)
    assert ["result" in reply for reply in replies] == [True] * MAX_CONTROL_SUBSCRIPTIONS + [False]
    assert replies[-1]["error"]["code"] == Code.BUSY


async def test_the_client_sees_events_and_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", backlog=16) as running:
        running.bus.publish("tick", "one")

        def follow() -> list[str]:
            with Client(running.path, tmp_path) as client:
                events = client.events(since=0)
                return [next(events)["text"], next(events)["text"]]

        async with trio.open_nursery() as nursery:

            async def publish() -> None:
                while not running.bus.statistics()["subscriptions"]:
                    await trio.lowlevel.checkpoint()
                running.bus.publish("tick", "two")

            nursery.start_soon(publish)
            assert await trio.to_thread.run_sync(follow) == ["one", "two"]


async def test_the_client_gives_up_on_a_daemon_that_is_stuck(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as running:

        def call() -> str:
            with Client(running.path, tmp_path) as client:
                with pytest.raises(Exception, match="did not answer") as caught:
                    client.call("data.add", {"name": "blocks", "path": "/x"}, timeout=0.05)
                return str(caught.value)

        assert str(tmp_path) in await trio.to_thread.run_sync(call)


async def test_an_oversized_call_is_explained_to_the_client(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as running:

        def call() -> int:
            with Client(running.path, tmp_path) as client, pytest.raises(CallError) as caught:
                client.call("job.post", {"spec": "x" * (8 * MAX_CONTROL_LINE_BYTES)})
            return caught.value.code

        assert await trio.to_thread.run_sync(call) == Code.TOO_LARGE
