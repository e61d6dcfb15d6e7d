"""Who is let in: around every request, before anything is looked at.

A browser carries requests of every page that it shows, so loopback alone keeps nobody out:

- DNS rebinding: a name of somebody else's that resolves to 127.0.0.1 comes with its own name in
  `Host`, and is refused.
- Cross-site requests: the session's cookie is SameSite=Strict; a POST must name this page as its
  `Origin`; and what a browser calls cross-site or same-site (another port of this machine) by
  `Sec-Fetch-Site` is refused, whatever the method.
- Other users of this machine: without the token of the printed URL, or the cookie that it is
  exchanged for, there is no answer but that one is needed.

Headers let a page load its own style and script, and connect to nothing else (CSP level 3).
"""

from __future__ import annotations

import hmac
import re
import secrets
from contextvars import ContextVar
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs

import trio
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from node.web.uploads.taking import MAX_UPLOAD_BYTES

#: The longest form of ours is a spec of MAX_SPEC_BYTES, each of whose bytes a form may write as
#: three.
MAX_BODY_BYTES: Final = 1024 * 1024

#: Forms that bring a file (node/web/uploads/), by their path.
_WITH_FILE: Final = re.compile(
    r"/data/add|/data/[^/]{1,64}/replace|/post/table|/job/[^/]{1,66}/predict"
)

#: A body that does not come on for so many seconds ends the request. What comes before a body, the
#: server bounds.
_BODY_SECONDS: Final = 20.0

#: Of randomness, in a token and in a session's cookie.
_SECRET_BYTES: Final = 32

_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With no-referrer, browsers would say `Origin: null` on our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


#: Whether the request that is answered comes from the page's own script and not from its reader,
#: by what every browser says of both (Fetch metadata, `Sec-Fetch-Dest`).
BACKGROUND: ContextVar[bool] = ContextVar("background", default=False)


class Gate:
    """ASGI middleware around the page at 127.0.0.1:`port`."""

    def __init__(self, app: ASGIApp, port: int, token: str | None = None) -> None:
        self._app = app
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self.token = secrets.token_urlsafe(_SECRET_BYTES) if token is None else token
        # Cookies do not tell ports apart: pages of two homes must not overwrite each other's.
        self._cookie = f"assay_{port}"
        self._session = secrets.token_urlsafe(_SECRET_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, hand on, or refuse."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._refusal(scope) or self._entry(scope)
        if answer is None:
            BACKGROUND.set(Headers(scope=scope).get("sec-fetch-dest") == "empty")
            await self._app(scope, _bounded(receive, _most(scope["path"])), guarded)
        else:
            await answer(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        """Why a request is not looked at at all; None if it may be."""
        headers = Headers(scope=scope)
        host = headers.getlist("host")
        if len(host) != 1 or host[0] not in self._hosts:
            return _refused(421, "this page answers to its own address alone")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return _refused(405, "GET and POST are all there is")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return _refused(403, "the request comes from another page")
        if scope["method"] == "POST":
            if headers.get("origin") != f"http://{host[0]}":
                return _refused(403, "a form must be sent by this page itself")
            length = headers.get("content-length", "")
            most = _most(scope["path"])
            if not (length.isascii() and length.isdecimal() and len(length) < 20):
                return _refused(413, "a form has a length")
            if int(length) > most:
                return _refused(413, f"the form has {length} bytes; {most} are allowed")
        return None

    def _entry(self, scope: Scope) -> Response | None:
        """The cookie for the token, or that one is needed; None for who has the cookie."""
        if scope["method"] != "POST" and scope["path"] == "/":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if given and _same(given, self.token):
                answer = RedirectResponse("/", 303)
                answer.set_cookie(
                    self._cookie, self._session, path="/", httponly=True, samesite="strict"
                )
                return answer
        if _same(self._presented(Headers(scope=scope)), self._session):
            return None
        text = "open the address that `assay web` printed, with its token\n"
        return PlainTextResponse(text, 401)

    def _presented(self, headers: Headers) -> str:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return ""
        return "" if cookie is None else cookie.value


def _same(given: str, secret: str) -> bool:
    """Compared in a time that says nothing of where they differ."""
    return hmac.compare_digest(given.encode(), secret.encode())


def _refused(status: int, why: str) -> Response:
    return PlainTextResponse(f"refused: {why}\n", status)


def _most(path: str) -> int:
    """How many bytes a form may have."""
    return MAX_UPLOAD_BYTES if _WITH_FILE.fullmatch(path) else MAX_BODY_BYTES


def _bounded(receive: Receive, most: int) -> Receive:
    """A body that is longer than it may be, or stops coming, ends the request."""
    seen, whole = 0, False

    async def bounded() -> Message:
        nonlocal seen, whole
        if whole:  # what is left to hear is that the reader went away, whenever that is
            return await receive()
        message: Message = {"type": "http.disconnect"}
        with trio.move_on_after(_BODY_SECONDS):
            message = await receive()
        seen += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if seen > most:
            return {"type": "http.disconnect"}
        return message

    return bounded
