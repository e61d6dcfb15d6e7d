"""The control socket over time: silence, events, and subscribers that do not read."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import trio
from kits.control.fake import serving
from kits.control.wire import ask, lines, request
from trio.testing import lockstep_stream_pair, memory_stream_pair

from node.console.client import CallError, Client
from node.console.failure import Failure
from node.control import examples as ex
from node.control import rpc
from node.control.codes import Code
from node.control.events import EventBus
from node.control.server import ControlServer
from protocol.params import (
    CONTROL_IDLE_SECONDS,
    CONTROL_LINE_SECONDS,
    MAX_CONTROL_LINE_BYTES,
    MAX_CONTROL_SUBSCRIPTIONS,
)

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


async def test_a_call_lasts_as_long_as_the_daemon_says_anything(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as running:

        def call() -> str:
            with Client(running.path, tmp_path, silence=0.02) as client:
                return str(client.call("data.add", {"name": "blocks", "path": "/x"})["name"])

        async with trio.open_nursery() as nursery:

            async def release() -> None:
                while running.server.statistics.calls < 4:  # noqa: ASYNC110 (a thread's doing)
                    await trio.sleep(0.01)
                running.node.blocked.set()

            nursery.start_soon(release)
            assert await trio.to_thread.run_sync(call) == "blocks"


async def test_a_call_ends_once_the_daemon_says_nothing_at_all(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()  # connections are taken by the system; nobody reads them
        with (
            Client(tmp_path / "s", tmp_path, silence=0.05) as client,
            pytest.raises(Failure, match="did not answer status") as caught,
        ):
            client.call("data.add", {"name": "x", "path": "/x"})
        assert caught.value.next == "assay status"


async def test_an_oversized_call_is_explained_to_the_client(tmp_path: Path) -> None:
    async with serving(tmp_path / "s") as running:

        def call() -> int:
            with Client(running.path, tmp_path) as client, pytest.raises(CallError) as caught:
                client.call("job.post", {"spec": "x" * (8 * MAX_CONTROL_LINE_BYTES)})
            return caught.value.code

        assert await trio.to_thread.run_sync(call) == Code.TOO_LARGE
