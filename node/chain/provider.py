"""web3's HTTP provider, bounded: in bytes, in time, and in where it goes.

web3's own provider reads a reply of any size, retries with sleeps, and follows a contract's
off-chain lookups (EIP-3668) to any address that the contract names. A daemon can afford none of
these.
"""

from __future__ import annotations

import ipaddress
import json
import time
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from web3 import HTTPProvider
from web3.types import RPCEndpoint, RPCResponse

from node.bounds.nesting import depth_exceeds
from node.chain.errors import BadReply, Busy, Refused, Slow, Unreachable
from protocol.errors import InputError

#: A reply: ten thousand logs of half a kilobyte each fit.
MAX_REPLY_BYTES: Final = 16 * 1024 * 1024

#: Arrays and objects within each other in a reply: logs have three.
MAX_DEPTH: Final = 64

#: HTTP statuses by which a gateway says 'later': too many requests, and nobody behind it.
BUSY: Final = frozenset({429, 502, 503, 504})

_READ: Final = 64 * 1024


def shown(url: str) -> str:
    """A URL without what may be a secret: providers put keys into the path or the query."""
    parts = urlsplit(url)
    host = parts.hostname or "?"
    port = f":{parts.port}" if parts.port else ""
    more = "/…" if parts.path.strip("/") or parts.query else ""
    return f"{parts.scheme}://{host}{port}{more}"


def check_url(url: str) -> None:
    """Raise InputError unless `url` is http or https and names a host."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise InputError("an http:// or https:// URL is expected", "chain.url")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class BoundedProvider(HTTPProvider):
    """One session for all threads; raises Unreachable, Slow, BadReply, Refused."""

    # Never fetch the URLs of a contract's revert (EIP-3668): anybody may have written them.
    global_ccip_read_enabled = False

    def __init__(self, url: str, timeout: float, connections: int) -> None:
        check_url(url)
        session = requests.Session()
        # A proxy or .netrc of the environment has no business between us and our own machine.
        session.trust_env = not _is_loopback(url)
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections, max_retries=0)
        session.mount("http://", adapter)
        session.mount("https://", adapter)
        super().__init__(url, session=session, exception_retry_configuration=None)
        self.shown = shown(url)
        self._url = url
        self._timeout = timeout
        self._session = session

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """Post one call and read its reply. Blocks for at most about the timeout."""
        body = self._post(method, self.encode_rpc_request(method, params))
        if depth_exceeds(body, MAX_DEPTH):
            raise BadReply(self.shown, method, f"nested more than {MAX_DEPTH} deep")
        try:
            reply = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise BadReply(self.shown, method, "not JSON") from error
        if not isinstance(reply, dict) or ("result" in reply) == ("error" in reply):
            raise BadReply(self.shown, method, "neither a result nor an error")
        return reply  # type: ignore[return-value]

    def _post(self, method: str, data: bytes) -> bytes:
        deadline = time.monotonic() + self._timeout
        try:
            with self._session.post(
                self._url,
                data=data,
                headers={"Content-Type": "application/json"},
                timeout=self._timeout,
                stream=True,
                allow_redirects=False,
            ) as response:
                body = bytearray()
                # One read of the socket at a time: the timeout above holds for each, so that a
                # reply that drips in byte by byte meets the deadline here.
                while chunk := response.raw.read1(_READ, decode_content=True):
                    body += chunk
                    if len(body) > MAX_REPLY_BYTES:
                        cause = f"over {MAX_REPLY_BYTES} bytes"
                        raise BadReply(self.shown, method, cause)
                    if time.monotonic() > deadline:
                        raise Slow(self.shown, method, self._timeout)
        except requests.Timeout as error:
            raise Slow(self.shown, method, self._timeout) from error
        except (requests.RequestException, HTTPError, OSError) as error:
            raise Unreachable(self.shown, _cause(error)) from error
        if response.status_code in BUSY:
            text = f"HTTP {response.status_code} {response.reason}"
            raise Busy(self.shown, method, response.status_code, text, _after(response))
        if response.status_code != 200 and not body.lstrip().startswith(b"{"):
            text = f"HTTP {response.status_code} {response.reason}"
            raise Refused(self.shown, method, response.status_code, text)
        return bytes(body)

    def close(self) -> None:
        self._session.close()


def _after(response: requests.Response) -> float:
    """Seconds after which to ask again, as the node wants it (RFC 9110, 10.2.3); 0 if it says none.

    A date instead of a number is not looked at: it would be by the node's clock.
    """
    said = response.headers.get("Retry-After", "")
    return float(said) if len(said) <= 6 and said.isascii() and said.isdecimal() else 0.0


def _cause(error: BaseException) -> str:
    """The innermost cause in a few words: requests wraps a refused connection five times."""
    seen = error
    while True:
        inner = seen.__cause__ or seen.__context__
        if inner is None:
            break
        seen = inner
    return str(seen) or type(seen).__name__
