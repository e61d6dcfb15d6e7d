"""What the chain's tests share: a devnet in its own process, keys, and a proxy that misbehaves."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import requests
import trio
from eth_account import Account

from kits.paths import ROOT
from node.chain.client import ChainClient

CHAIN_ID = 31_337
ETHER = 10**18

_DEVNET = """
import json, sys
from node.devnet.server import serve_devnet
port, chain_id, block_time, fund = json.loads(sys.argv[1])
fund = {bytes.fromhex(k): v for k, v in fund.items()}
serve_devnet("127.0.0.1", port, chain_id, fund, block_time, lambda url: print(url, flush=True))
"""


class LocalSigner:
    """A key in the test's memory; satisfies node.chain.signer.Signer."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._account = Account.from_key(number.to_bytes(32, "big"))
        self.account = bytes.fromhex(self._account.address[2:])

    def sign_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        return bytes(self._account.sign_transaction(dict(transaction)).raw_transaction)

    def sign_digest(self, digest: bytes) -> bytes:
        return bytes(self._account.unsafe_sign_hash(digest).signature)


SIGNERS = [LocalSigner(1000 + n) for n in range(10)]


def rpc(url: str, method: str, *params: Any) -> Any:
    """One JSON-RPC call without assay's client; the result, or RuntimeError with the error."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    reply = requests.post(url, json=body, timeout=30).json()
    if "error" in reply:
        raise RuntimeError(reply["error"])
    return reply["result"]


class Devnet(AbstractContextManager["Devnet"]):
    """`serve_devnet` in a process of its own. All SIGNERS hold 100 ether."""

    def __init__(self, *, block_time: float = 0.2, port: int = 0, chain_id: int = CHAIN_ID) -> None:
        fund = {signer.account.hex(): 100 * ETHER for signer in SIGNERS}
        settings = json.dumps([port, chain_id, block_time, fund])
        self.process = subprocess.Popen(
            [sys.executable, "-c", _DEVNET, settings], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), "the devnet did not start"
        self.port = int(self.url.rsplit(":", 1)[1])

    def rpc(self, method: str, *params: Any) -> Any:
        return rpc(self.url, method, *params)

    @property
    def number(self) -> int:
        return int(self.rpc("eth_blockNumber"), 16)

    def nonce(self, account: bytes, tag: str = "latest") -> int:
        return int(self.rpc("eth_getTransactionCount", "0x" + account.hex(), tag), 16)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()


class _ProxyHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        proxy = self.server.proxy  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        reply = proxy.handle(json.loads(body))
        if reply is None:
            self.close_connection = True
            return
        status, reply = (reply, b"") if isinstance(reply, int) else (200, reply)
        self.send_response(status)
        if status != 200 and proxy.after:
            self.send_header("Retry-After", proxy.after)
        self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, *_: object) -> None:
        """Quiet."""


#: Given a request, forwards it when called; returns the reply's bytes, None to hang up, or an HTTP
#: status to give.
Rule = Callable[[dict[str, Any], Callable[[], bytes]], bytes | int | None]


class Proxy(AbstractContextManager["Proxy"]):
    """A chain node between client and devnet that obeys `rule`, and notes which methods it saw."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.rule: Rule = lambda _, forward: forward()
        self.seen: list[str] = []
        self.after = ""  # what an error says of when to come back
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _ProxyHandler)
        self._server.daemon_threads = True
        self._server.proxy = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def handle(self, request: dict[str, Any]) -> bytes | int | None:
        self.seen.append(request["method"])
        return self.rule(request, lambda: self.forward(request))

    def forward(self, request: dict[str, Any]) -> bytes:
        return requests.post(self._target, json=request, timeout=30).content

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def result(request: dict[str, Any], value: Any) -> bytes:
    """A reply with a result, for a rule to give."""
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": value}).encode()


def failure(request: dict[str, Any], code: int, message: str) -> bytes:
    """A reply with an error."""
    error = {"code": code, "message": message}
    return json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}).encode()


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def post_args(spec: bytes, rounds: int = 3, cohort: int = 5, rate: int = 100) -> tuple[Any, ...]:
    """Arguments of `post`; rounds * cohort * rate is the value to send along."""
    return (spec, bytes(20), rounds, cohort, rate, 0, int(time.time()) + 3600)


class Asked(Protocol):
    """A chain that answers JSON-RPC."""

    def rpc(self, method: str, *params: Any) -> Any: ...


def transact(
    chain: Asked, signer: LocalSigner, to: bytes | None, data: bytes, value: int = 0
) -> bytes:
    """Send one transaction without assay's client and wait for it; what it created, if it did."""
    sender = "0x" + signer.account.hex()
    raw = signer.sign_transaction(
        {
            "type": 2,
            "chainId": int(chain.rpc("eth_chainId"), 16),
            "nonce": int(chain.rpc("eth_getTransactionCount", sender, "pending"), 16),
            "gas": 3_000_000,
            "maxFeePerGas": 10**10,
            "maxPriorityFeePerGas": 10**9,
            "value": value,
            "data": data,
            **({} if to is None else {"to": to}),
        }
    )
    sent = chain.rpc("eth_sendRawTransaction", "0x" + raw.hex())
    chain.rpc("evm_mine")
    while (receipt := chain.rpc("eth_getTransactionReceipt", sent)) is None:
        time.sleep(0.02)
    assert receipt["status"] == "0x1"
    return bytes.fromhex((receipt["contractAddress"] or "0x")[2:])


class Poster:
    """Posts jobs without intents; `specs` lists their digests in order."""

    def __init__(self, client: ChainClient, signer: LocalSigner) -> None:
        self._client = client
        self._signer = signer
        self.specs: list[bytes] = []

    async def post(self, count: int = 1) -> None:
        nonce = await self._client.nonce(self._signer.account, "pending")
        for n in range(count):
            spec = self._signer.account + len(self.specs).to_bytes(12, "big")
            raw = self._signer.sign_transaction(
                {
                    "type": 2,
                    "chainId": CHAIN_ID,
                    "nonce": nonce + n,
                    "gas": 400_000,
                    "maxFeePerGas": 10**10,
                    "maxPriorityFeePerGas": 10**9,
                    "to": self._client.contract,
                    "value": 1500,
                    "data": self._client.codec.encode("post", post_args(spec)),
                }
            )
            await self._client.send(raw)
            self.specs.append(spec)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; the test's deadline bounds it."""
    while not condition():  # noqa: ASYNC110 (another process gives no event)
        await trio.sleep(0.02)
