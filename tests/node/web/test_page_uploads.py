"""Forms with files: read as they stream, in bounds, kept for one act, guarded as every form is."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from kits.daemons.processes import until
from kits.web.served import Site, in_parts, site

from node.control import examples as ex
from node.home.home import PAGE_PREFIX, Home
from node.web.uploads.multipart import (
    MAX_HEAD_BYTES,
    MAX_PARTS,
    MAX_TEXT_BYTES,
    Broken,
    Field,
    FileBegins,
    Multipart,
    boundary_of,
)
from node.web.uploads.scratch import Scratch
from node.web.uploads.taking import MAX_UPLOAD_BYTES

WITH_FILE = ("/data/add", "/data/ward-3/replace", "/post/table", f"/job/{ex.JOB}/predict")


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as page:
        yield page


def read(kind: str, pieces: list[bytes]) -> tuple[dict[str, str], list[tuple[str, bytes]], bool]:
    """Fields, files and whether it is whole, of a form that comes in pieces."""
    form = Multipart(boundary_of(kind))
    fields: dict[str, str] = {}
    files: list[tuple[str, bytes]] = []
    for piece in pieces:
        for each in form.feed(piece):
            if isinstance(each, Field):
                fields[each.name] = each.text
            elif isinstance(each, FileBegins):
                files.append((each.filename, b""))
            else:
                files[-1] = (files[-1][0], files[-1][1] + each)
    return fields, files, form.done


@given(
    content=st.one_of(
        st.binary(max_size=300),
        # What looks like a boundary and is none.
        st.lists(st.sampled_from([b"\r\n", b"--", b"-", b"----WebKit", b"x"])).map(b"".join),
    ),
    text=st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=40),
    cuts=st.lists(st.integers(0, 900), max_size=12),
)
def test_pieces_of_any_size_make_the_same_form(content: bytes, text: str, cuts: list[int]) -> None:
    kind, body = in_parts({"name": text, "path": ""}, ("rows.csv", content))
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[a:b] for a, b in pairwise(edges)]
    assert read(kind, pieces) == ({"name": text, "path": ""}, [("rows.csv", content)], True)


@given(st.binary(max_size=400), st.integers(1, 50))
def test_any_bytes_are_a_form_or_refused(content: bytes, size: int) -> None:
    pieces = [content[at : at + size] for at in range(0, len(content), size)]
    with suppress(Broken):
        read("multipart/form-data; boundary=b", [b"--b\r\n", *pieces])


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary="]
)
def test_what_is_no_form_in_parts_is_refused(kind: str) -> None:
    with pytest.raises(Broken, match="not in parts"):
        boundary_of(kind)


def test_limits_hold_at_the_limit_and_not_above() -> None:
    most = "x" * MAX_TEXT_BYTES
    fields, _, done = read(*_split(in_parts({"name": most})))
    assert (len(fields["name"]), done) == (MAX_TEXT_BYTES, True)
    with pytest.raises(Broken, match="text has more than"):
        read(*_split(in_parts({"name": most, "path": "y"})))
    parts = {f"f{number}": "" for number in range(MAX_PARTS - 1)}
    assert read(*_split(in_parts(parts)))[2]
    with pytest.raises(Broken, match="more than 32 parts"):
        read(*_split(in_parts(parts | {"more": ""})))
    with pytest.raises(Broken, match="head of a part"):
        read("multipart/form-data; boundary=b", [b"--b\r\n", b"a" * (MAX_HEAD_BYTES + 1)])


def _split(form: tuple[str, bytes]) -> tuple[str, list[bytes]]:
    return form[0], [form[1][at : at + 4096] for at in range(0, len(form[1]), 4096)]


async def test_a_file_is_handed_to_the_daemon_and_gone_after(page: Site, tmp_path: Path) -> None:
    seen: list[tuple[str, bytes, int]] = []
    add = page.running.node.data_add

    def look(path: Path) -> None:
        seen.append((path.name, path.read_bytes(), path.parent.stat().st_mode))

    async def watched(name: str, path: str, *more: object) -> object:
        look(Path(path))  # as the daemon would
        return await add(name, path, *more)  # type: ignore[arg-type]

    page.running.node.data_add = watched  # type: ignore[method-assign,assignment]
    content = b"age,sepsis\n71,no\n" * 100_000
    answer = await page.upload("/data/add", ("../../My wärd 3.csv", content), name="other")
    assert (answer.status, answer.headers["location"]) == (303, "/data/other")
    ((name, read_, mode),) = seen
    assert (name, read_ == content, mode & 0o077) == ("My-w-rd-3.csv", True, 0)
    assert _left(tmp_path) == []
    view = (await page.ask("/data")).text
    assert "handed over by the page: My-w-rd-3.csv" in view
    assert PAGE_PREFIX not in view


async def test_what_the_process_leaves_is_taken_away(page: Site, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    (mine,) = home.path.glob(f"{PAGE_PREFIX}*")
    left = home.path / f"{PAGE_PREFIX}left"
    left.mkdir()
    (left / "rows.csv").write_text("of a process that was killed")
    other = Scratch(home)
    assert not left.exists()
    assert mine.exists(), "its process lives"
    other.close()
    page.process.send(signal.SIGTERM)
    await until(lambda: not page.process.running, 30, "it ends")
    assert list(home.path.glob(f"{PAGE_PREFIX}*")) == []


@pytest.mark.parametrize("path", WITH_FILE)
async def test_a_form_with_a_file_is_guarded_as_every_form(page: Site, path: str) -> None:
    kind, body = in_parts({"name": "other", "path": "/srv/x.csv"})
    refused: tuple[dict[str, str | None], ...] = (
        {"Origin": "http://evil.example"},
        {"Origin": None},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    )
    for headers in refused:
        answer = await page.sent(path, "POST", body, {"Content-Type": kind} | headers)
        assert answer.status == 403
    answer = await page.sent(path, "POST", body, {"Content-Type": kind, "Cookie": None})
    assert answer.status == 401
    assert "other" not in page.running.node.datasets


async def test_an_upload_is_bounded_before_it_is_read(page: Site) -> None:
    over = str(MAX_UPLOAD_BYTES + 1)
    for path in WITH_FILE:
        assert (await page.ask(path, "POST", Content_Length=over)).status == 413
    # A form that brings no file has no such room.
    assert (await page.ask("/policy/ward-3", "POST", Content_Length=over)).status == 413
    assert (await page.ask("/data/ward-3/map", "POST", Content_Length="2000000")).status == 413


async def test_a_file_that_does_not_come_whole_is_not_added(page: Site, tmp_path: Path) -> None:
    kind, body = in_parts({"name": "other"}, ("rows.csv", b"a,b\n1,2\n"))
    head = (
        f"POST /data/add HTTP/1.1\r\nHost: 127.0.0.1:{page.port}\r\nOrigin: {page.origin}\r\n"
        f"Cookie: {page.cookie}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    async with await trio.open_tcp_stream("127.0.0.1", page.port) as stream:
        await stream.send_all(head.encode() + body[:-40])
        await stream.send_eof()
        await stream.receive_some()
    short = await page.sent("/data/add", "POST", body[:-40], {"Content-Type": kind})
    assert short.status == 404
    assert "did not come whole" in short.text
    assert "other" not in page.running.node.datasets
    assert _left(tmp_path) == []
    assert "Traceback" not in page.process.tail()


def _left(folder: Path) -> list[Path]:
    """Files that were handed over and are still there."""
    return [each for each in (folder / "home").glob(f"{PAGE_PREFIX}*/**/*") if each.is_file()]
