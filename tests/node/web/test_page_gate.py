"""Who gets an answer of the page: real requests to its real process."""

from __future__ import annotations

import dataclasses
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from kits.daemons.processes import run, until
from kits.web.served import Site, site
from starlette.types import Message, Receive, Scope, Send

from node.control import examples as ex
from node.web.gate import MAX_BODY_BYTES, Gate

VIEWS = (
    "/",
    f"/job/{ex.JOB}",
    f"/job/{ex.JOB}/history",
    f"/job/{ex.JOB}/predict",
    "/post",
    "/post/spec",
    "/data",
    "/data/add",
    "/data/ward-3",
    "/predictions/any",
    "/waits",
    "/money",
    "/network",
    "/live",
)


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as page:
        yield page


def waits(page: Site) -> None:
    """The example's job waits for consent."""
    waiting = dataclasses.replace(ex.SUMMARY, state="waiting", dataset="")
    page.running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=waiting)


def state(page: Site) -> str:
    return page.running.node.jobs_known[ex.JOB].summary.state


async def test_without_the_token_there_is_no_answer(page: Site) -> None:
    for path in (*VIEWS, "/static/page.css", "/nowhere", "/?token=", "/?token=wrong"):
        answer = await page.ask(path, Cookie=None)
        assert (answer.status, answer.headers.get("set-cookie")) == (401, None), path
        assert "Sepsis" not in answer.text
    for cookie in (f"assay_{page.port}=wrong", f"assay_{page.port}=", "x" * 5000, "=;=;"):
        assert (await page.ask("/", Cookie=cookie)).status == 401
    token = page.query.removeprefix("token=")
    assert (await page.ask("/", Cookie=f"assay_{page.port}={token}")).status == 401


async def test_the_token_is_exchanged_for_a_cookie_that_scripts_and_others_do_not_get(
    page: Site,
) -> None:
    answer = await page.ask(f"/?{page.query}", Cookie=None)
    assert (answer.status, answer.headers["location"]) == (303, "/")
    name, *attributes = answer.headers["set-cookie"].split("; ")
    assert {each.lower() for each in attributes} == {"httponly", "path=/", "samesite=strict"}
    assert page.query.removeprefix("token=") not in name
    assert (await page.ask("/")).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "127.0.0.2:{port}", ""],
)
async def test_another_name_for_this_machine_is_refused(page: Site, host: str) -> None:
    """DNS rebinding: the browser believes that it speaks to `evil.example`."""
    named = host.format(port=page.port)
    for path in ("/", f"/?{page.query}", "/static/page.css"):
        answer = await page.ask(path, Host=named)
        assert answer.status in (400, 421)
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1:1", "https://{own}"]
)
async def test_a_form_of_another_page_changes_nothing(page: Site, origin: str | None) -> None:
    waits(page)
    sent = None if origin is None else origin.format(own=f"127.0.0.1:{page.port}")
    acts = ("/policy/ward-3", "/post", "/post/card", "/post/draft/any/model", "/network/join")
    sets = ("/data/ward-3/map", "/data/ward-3/remove")
    held = ("/pause", "/resume", f"/job/{ex.JOB}/leave")
    for act in (f"/job/{ex.JOB}/consent", f"/job/{ex.JOB}/decline", *held, *acts, *sets):
        answer = await page.ask(act, "POST", {"dataset": "ward-3"}, Origin=sent)
        assert answer.status == 403
    assert state(page) == "waiting"


@pytest.mark.parametrize("whence", ["cross-site", "same-site"])
async def test_what_a_browser_calls_another_pages_request_is_refused(
    page: Site, whence: str
) -> None:
    """Same-site too: a cookie does not tell the ports of a machine apart."""
    for path in VIEWS:
        assert (await page.ask(path, Sec_Fetch_Site=whence)).status == 403
    own = await page.ask("/", Sec_Fetch_Site="same-origin")
    typed = await page.ask("/", Sec_Fetch_Site="none")
    assert (own.status, typed.status) == (200, 200)


async def test_acts_need_a_post(page: Site) -> None:
    for act in (f"/job/{ex.JOB}/consent", f"/job/{ex.JOB}/decline", "/network/doctor"):
        assert (await page.ask(act)).status == 404
    for method in ("PUT", "DELETE", "TRACE", "OPTIONS"):
        assert (await page.ask("/", method)).status == 405


@pytest.mark.parametrize("length", [None, "-1", "2000000", "9" * 40])
async def test_a_form_has_a_length_and_a_limit(page: Site, length: str | None) -> None:
    answer = await page.ask("/policy/ward-3", "POST", Content_Length=length)
    assert answer.status in (400, 413)


async def test_a_form_that_does_not_come_whole_does_nothing(page: Site) -> None:
    """One that is longer than it said, and one whose sender went away: no defect is logged."""
    waits(page)
    head = (
        f"POST /job/{ex.JOB}/consent HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\n"
        f"Origin: {page.origin}\r\nCookie: {page.cookie}\r\n"
    )
    longer = "Content-Length: 14\r\nTransfer-Encoding: chunked\r\n\r\n"
    content = b"dataset=ward-3" + b"&" * MAX_BODY_BYTES
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
    parts = (
        (head + longer).encode() + chunk,
        (head + "Content-Length: 99\r\n\r\ndataset=ward-3").encode(),
    )
    for sent in parts:
        async with await trio.open_tcp_stream("127.0.0.1", page.port) as stream:
            await stream.send_all(sent)
            await stream.send_eof()
            answer = bytes(await stream.receive_some())
            assert answer.split(b" ")[1] in (b"400", b"404")
        assert state(page) == "waiting"
    assert (await page.ask("/")).status == 200
    assert "Traceback" not in page.process.tail()


@pytest.mark.long
async def test_an_answer_may_take_its_time(page: Site) -> None:
    """A large file is read for minutes; the server's own timeout once ended every such answer."""
    answers = []

    async def ask() -> None:
        answers.append(await page.upload("/data/add", name="blocks", path="/srv/x.csv"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await page.running.node.enter_blocked.wait()
        await trio.sleep(25)  # above every timeout of the server's and the gate's
        page.running.node.blocked.set()
    assert answers[0].status == 303


async def test_a_body_that_stops_coming_ends_its_request(autojump_clock: object) -> None:
    """On a clock that jumps: the gate alone."""
    told = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        told.append(await receive())
        told.append(await receive())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    pieces = [{"type": "http.request", "body": b"x", "more_body": True}]

    async def receive() -> Message:
        return pieces.pop(0) if pieces else await trio.sleep_forever()

    async def send(message: Message) -> None:
        told.append(message)

    gate = Gate(app, 80, "t")
    headers = [(b"host", b"127.0.0.1:80"), (b"origin", b"http://127.0.0.1:80")]
    headers += [(b"content-length", b"9"), (b"cookie", f"assay_80={gate._session}".encode())]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
    began = trio.current_time()
    await gate(scope, receive, send)
    assert told[1] == {"type": "http.disconnect"}
    assert 5 < trio.current_time() - began < 60


async def test_every_answer_lets_a_page_reach_itself_alone(page: Site) -> None:
    for path in (*VIEWS[:-1], "/static/page.css", "/nowhere", f"/job/{'ff' * 32}"):
        headers = (await page.ask(path)).headers
        policy = dict(each.strip().split(" ", 1) for each in _policy(headers).split(";"))
        assert policy["default-src"] == "'none'"
        for kind in ("script-src", "style-src", "connect-src", "form-action", "img-src"):
            assert policy[kind] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers.get("access-control-allow-origin") is None


def _policy(headers: object) -> str:
    assert isinstance(headers, dict)
    return str(headers["content-security-policy"])


async def test_no_view_has_script_or_style_in_it_or_names_another_host(page: Site) -> None:
    for path in VIEWS[:-1]:
        text = (await page.ask(path)).text
        assert " style=" not in text
        assert "<style" not in text
        assert " onclick" not in text
        assert "<script>" not in text
        for attribute in ("src=", "href=", "action="):
            for rest in text.split(attribute)[1:]:
                assert rest[1] in "/#?", f"{path}: {attribute}{rest[:40]}"


async def test_it_listens_on_loopback_alone(page: Site) -> None:
    listening = _listening()
    here = [each for each in listening if each.endswith(f":{page.port:04X}")]
    assert here == [f"0100007F:{page.port:04X}"]


def _listening() -> list[str]:
    """Addresses and ports of all listening sockets, as Linux writes them."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [line[1] for line in lines if line[3] == "0A"]


async def test_it_ends_when_told_to_though_somebody_follows(page: Site) -> None:
    stream = await trio.open_tcp_stream("127.0.0.1", page.port)
    request = f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nCookie: {page.cookie}\r\n\r\n"
    await stream.send_all(request.encode())
    assert b"200" in await stream.receive_some()
    page.process.send(signal.SIGTERM)
    await until(lambda: not page.process.running, 30, "it ends")
    assert page.process.exit_code == 0
    await stream.aclose()


async def test_a_port_that_is_taken_is_told(page: Site) -> None:
    done = await trio.to_thread.run_sync(run, "web", "--port", str(page.port))
    assert done.returncode == 2
    assert f"port {page.port} cannot be had: Address already in use" in done.stderr
