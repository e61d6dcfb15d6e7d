"""What every view stands on: the daemon, templates, files, and what was just done."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from node.client.trio_rpc import TrioRpc
from node.console.failure import Failure
from node.control.codes import Exit
from node.home.home import Home
from node.web import charts, said
from node.web.explaining import Explanations
from node.web.gate import BACKGROUND
from node.web.uploads.scratch import Scratch
from node.web.uploads.taking import Taker
from protocol.policy.policy import Accept

if TYPE_CHECKING:
    from protocol.tokens import Tokens

#: Kinds of files that a browser gets beside pages.
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

#: A failure of the daemon's as a status of HTTP.
_STATUS: Final = {
    Exit.USAGE: 404,
    Exit.NO_DAEMON: 503,
    Exit.CHAIN: 502,
    Exit.PEER: 502,
    Exit.REFUSED: 409,
}


@dataclass(frozen=True)
class RefusedTerm:
    """A policy's term that could not be set, as it was given."""

    dataset: str
    term: str
    value: str
    why: str


class Page:
    """One page: the daemon of a home behind it, and its templates."""

    def __init__(self, home: Home, scratch: Scratch, tokens: Tokens | None = None) -> None:
        self.home = home
        self.tokens = tokens
        self.scratch = scratch
        self.taker = Taker(scratch)
        self.rpc = TrioRpc(home)
        self.explanations = Explanations(self.rpc)
        #: What was done last, said once on the next view. There is one user.
        self.notice = ""
        #: A term that was refused last, with what was given and why, said once beside it.
        self.refused: RefusedTerm | None = None
        #: The data set and the term that were set last: open for the next, and marked as done.
        self.opened = ("", "")
        self.files = _static()
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("node.web"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(said.filters(tokens))
        self._templates.globals.update(
            curve=charts.curve, phases=charts.phases, budget=charts.budget, past=charts.past,
            PHASES=charts.PHASES, accepts=[str(each) for each in Accept],
            measures=charts.MEASURES, total=said.total,
            # A changed file has another address, so that a browser may keep what it has.
            file=lambda name: f"/static/{name}?v={self.files[name][0]}",
        )  # fmt: skip

    async def show(self, name: str, given: Mapping[str, Any], status: int = 200) -> Response:
        """A template as HTML; what was done last is said on it, and how many jobs wait."""
        notice = ""
        if not BACKGROUND.get():
            # A view that is fetched anew while an act is under way must not take its notice.
            notice, self.notice = self.notice, ""
        waits = await self._waits()
        text = self._templates.get_template(name).render(notice=notice, waits=waits, **given)
        return HTMLResponse(text, status)

    async def waits(self, request: Request) -> Response:
        """How many jobs wait, for views that show nothing else that changes."""
        return await self.show("base.html", {})

    async def _waits(self) -> int:
        try:
            return (await self.rpc.status())["jobs_waiting"]
        except Failure:
            return 0  # the view itself says that no daemon answers

    async def static(self, request: Request) -> Response:
        """A file of this room's, by its name alone: nothing else can be named."""
        found = self.files.get(request.path_params["name"])
        if found is None:
            return await self.show(
                "failure.html", {"why": "there is no such file", "next": ""}, 404
            )
        _, content, kind = found
        kept = {"Cache-Control": "private, max-age=86400, immutable"}
        return Response(content, media_type=kind, headers=kept)

    async def failed(self, request: Request, error: Exception) -> Response:
        """What a daemon refused, or that none runs: the cause and the next command."""
        if not isinstance(error, Failure):
            raise error
        down = error.end is Exit.NO_DAEMON
        # This home may be another than the one that a bare command would mean.
        start = f"assay --home {shlex.quote(str(self.home.path))} up --background"
        back = request.url.path if request.method == "GET" else "/"
        given = {"why": str(error), "next": start if down else error.next, "down": down}
        given["back"] = back
        return await self.show("failure.html", given, _STATUS.get(error.end, 500))

    async def lost(self, request: Request, error: Exception) -> Response:
        """A path that leads nowhere."""
        return await self.show("failure.html", {"why": "there is no such page", "next": ""}, 404)


def _static() -> dict[str, tuple[str, bytes, str]]:
    """Name to (short digest, content, type) of every file of static/."""
    found = {}
    for file in files("node.web").joinpath("static").iterdir():
        suffix = file.name[file.name.rfind(".") :]
        if suffix in _TYPES:
            content = file.read_bytes()
            name = hashlib.sha256(content).hexdigest()[:12]
            found[file.name] = (name, content, _TYPES[suffix])
    return found
