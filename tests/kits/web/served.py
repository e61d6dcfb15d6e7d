"""The page as its user gets it: `assay web` in a process of its own, before the fake node."""

from __future__ import annotations

import http.client
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import trio

from kits.control.fake import Running, serving
from kits.daemons.processes import Process, assay, until
from node.home.config import Config, init_home
from node.home.home import Home

_SECONDS = 60.0


@dataclass(frozen=True)
class Answer:
    """One answer of the page."""

    status: int
    headers: Mapping[str, str]
    text: str


@dataclass
class Site:
    """The page at `address`, and what is behind it."""

    address: str
    running: Running
    process: Process
    cookie: str = ""

    @property
    def port(self) -> int:
        port = urlsplit(self.address).port
        assert port is not None
        return port

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def ask(
        self,
        path: str,
        method: str = "GET",
        form: Mapping[str, str] | None = None,
        **headers: str | None,
    ) -> Answer:
        """One request on a connection of its own. Headers by name, `_` for `-`; None leaves out."""
        return await self.sent(path, method, None if form is None else urlencode(form), headers)

    async def sent(
        self, path: str, method: str, body: str | bytes | None, headers: Mapping[str, str | None]
    ) -> Answer:
        """One request with a body as it is, and headers by their own names; None leaves out."""
        given: dict[str, str | None] = {"Host": f"127.0.0.1:{self.port}", "Cookie": self.cookie}
        if method == "POST":
            given |= {"Origin": self.origin, "Content-Length": str(len(body or ""))}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await trio.to_thread.run_sync(self._ask, path, method, body, given)

    def _ask(
        self, path: str, method: str, body: str | bytes | None, headers: Mapping[str, str | None]
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_SECONDS)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders(body.encode() if isinstance(body, str) else body)
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found, answer.read().decode())
        finally:
            connection.close()

    async def enter(self) -> None:
        """Exchange the printed token for the cookie."""
        answer = await self.ask(f"/?{self.query}")
        self.cookie = answer.headers["set-cookie"].partition(";")[0]

    @property
    def query(self) -> str:
        """What follows the path of the printed address."""
        return urlsplit(self.address).query

    async def post(self, path: str, **form: str) -> Answer:
        """A form as the page itself sends it."""
        return await self.ask(path, "POST", form)

    async def upload(
        self, where: str, file: tuple[str, bytes] | None = None, /, **fields: str
    ) -> Answer:
        """A form in parts as the page itself sends it, with a file or without."""
        kind, body = in_parts(fields, file)
        return await self.sent(where, "POST", body, {"Content-Type": kind})


def in_parts(fields: Mapping[str, str], file: tuple[str, bytes] | None = None) -> tuple[str, bytes]:
    """Content type and body of a form as Chromium writes it; no file: none was chosen."""
    boundary = "----WebKitFormBoundaryAbCdEf0123456789"
    name, content = file or ("", b"")
    parts = [
        f'Content-Disposition: form-data; name="{field}"\r\n\r\n{text}'.encode()
        for field, text in fields.items()
    ]
    head = f'Content-Disposition: form-data; name="file"; filename="{name}"\r\n'
    parts.append(f"{head}Content-Type: application/octet-stream\r\n\r\n".encode() + content)
    lines = b"".join(b"--%b\r\n%b\r\n" % (boundary.encode(), part) for part in parts)
    return f"multipart/form-data; boundary={boundary}", lines + f"--{boundary}--\r\n".encode()


@asynccontextmanager
async def page_of(home: Home, log: Path) -> AsyncIterator[tuple[str, Process]]:
    """`assay web` for a home: the address that it prints, and its process."""
    process = Process(assay("--home", str(home.path), "--json", "web"), log)
    process.launch()
    try:
        await until(lambda: "\n" in process.tail(), _SECONDS, "assay web says where it is")
        yield str(json.loads(process.tail().splitlines()[0])["address"]), process
    finally:
        process.destroy()


@asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    """The page of a home with a fake daemon, entered already."""
    home = Home(folder / "home")
    init_home(home, Config())
    async with (
        serving(home.socket_path()) as running,
        page_of(home, folder / "web.log") as (address, process),
    ):
        made = Site(address, running, process)
        await made.enter()
        yield made
