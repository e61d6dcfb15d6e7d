"""The client: typed answers, and a ChainError that names node and cause for every failure."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import trio
from kits.chain.devnet import (
    CHAIN_ID,
    ETHER,
    SIGNERS,
    Devnet,
    Proxy,
    Rule,
    closed_port,
    failure,
    post_args,
    result,
)

from node.chain import provider
from node.chain.client import ChainClient
from node.chain.endpoints.endpoints import MAX_TRIES
from node.chain.errors import (
    BadReply,
    Busy,
    NoContract,
    OtherContract,
    Refused,
    Reverted,
    Slow,
    Unreachable,
    WrongChain,
)
from node.chain.fees import GWEI, TIP_FLOOR, TIP_MULTIPLE, Fees, TooDear
from node.chain.provider import MAX_DEPTH, depth_exceeds
from protocol.errors import ChainError, InputError

BLOCK: dict[str, Any] = {
    "number": "0x5",
    "hash": "0x" + "11" * 32,
    "parentHash": "0x" + "22" * 32,
    "timestamp": "0x6",
    "baseFeePerGas": "0x7",
}


async def test_it_reads_the_chain(client: ChainClient, shared: Devnet, contract: bytes) -> None:
    await client.check()
    head = await client.head()
    assert head.number >= 1
    assert await client.header(head.number) == head
    assert await client.block_hash(head.number) == head.hash
    assert await client.block_hash(head.number - 1) == head.parent
    assert await client.header(10**9) is None
    # It may have paid for contracts of another room that shares the chain.
    assert 99 * ETHER < await client.balance(SIGNERS[8].account) <= 100 * ETHER
    assert await client.nonce(SIGNERS[9].account) == 1
    assert await client.nonce(SIGNERS[9].account, 0) == 0
    assert isinstance(await client.fees(), Fees)
    assert len(await client.code(contract)) > 1000
    assert await client.receipt(bytes(32)) is None
    assert await client.knows(bytes(32)) is False


async def test_views_of_the_contract_are_typed(client: ChainClient) -> None:
    assert await client.job(b"\x01" * 32) is None
    assert await client.round(b"\x01" * 32, 0) is None
    assert await client.paid(b"\x01" * 32, SIGNERS[0].account) == 0
    assert await client.call("NOTICE") == 7200
    assert await client.call("liabilities", b"\x01" * 32) == (0, 0, 0)
    assert len(await client.call("domain_separator")) == 32


@pytest.mark.parametrize(
    ("function", "args"),
    [("mint", ()), ("job_id", (b"\x01",)), ("paid", (b"\x01" * 32, b"\x02" * 19)), ("", ())],
)
async def test_calls_that_the_contract_lacks_are_our_error(
    client: ChainClient, function: str, args: tuple[Any, ...]
) -> None:
    with pytest.raises(InputError):
        await client.call(function, *args)


async def test_a_revert_has_the_contracts_reason(client: ChainClient, contract: bytes) -> None:
    data = client.codec.encode("post", post_args(b"\x01" * 32))
    with pytest.raises(Reverted) as caught:
        await client.estimate(SIGNERS[0].account, contract, data, value=1)
    assert caught.value.reason == "bounty: value is not the escrow"
    with pytest.raises(Reverted, match="reverted: bounty: unknown job"):
        await client.run(
            SIGNERS[0].account, contract, client.codec.encode("cancel", (b"\x01" * 32,))
        )


async def test_nothing_listens(contract: bytes) -> None:
    port = closed_port()
    client = await ChainClient.open(f"http://127.0.0.1:{port}", CHAIN_ID, contract)
    with pytest.raises(Unreachable, match=rf"127.0.0.1:{port} is unreachable: .*refused"):
        await client.head()


async def test_another_chain_id(shared: Devnet, contract: bytes) -> None:
    client = await ChainClient.open(shared.url, 5, contract)
    with pytest.raises(WrongChain, match=f"serves chain id {CHAIN_ID}, expected 5") as caught:
        await client.check()
    assert (caught.value.expected, caught.value.got) == (5, CHAIN_ID)


async def test_no_contract_at_the_address(shared: Devnet) -> None:
    client = await ChainClient.open(shared.url, CHAIN_ID, b"\x42" * 20)
    with pytest.raises(NoContract, match="no contract at 0x" + "42" * 20):
        await client.check()
    with pytest.raises(NoContract):
        await client.job(b"\x01" * 32)


async def test_other_code_at_the_address(shared: Devnet, contract: bytes) -> None:
    """A network of somebody's own making, whose contract differs from ours by one byte."""
    client = await ChainClient.open(shared.url, CHAIN_ID, contract)
    runtime = client.codec.runtime
    assert await client.code(contract) == runtime
    forged = runtime[:-1] + bytes([runtime[-1] ^ 1])
    # PUSH2 length, DUP1, PUSH1 10, PUSH0, CODECOPY, PUSH0, RETURN, and then the forged code.
    creation = b"\x61" + len(forged).to_bytes(2, "big") + bytes.fromhex("80600a5f395ff3") + forged
    tx_hash = shared.rpc("eth_sendTransaction", {"data": "0x" + creation.hex()})
    shared.rpc("evm_mine")
    address = shared.rpc("eth_getTransactionReceipt", tx_hash)["contractAddress"]
    client = await ChainClient.open(shared.url, CHAIN_ID, bytes.fromhex(address[2:]))
    assert await client.code(bytes.fromhex(address[2:])) == forged
    with pytest.raises(OtherContract, match="is not this assay's contract") as caught:
        await client.check()
    assert caught.value.lacks == ()
    assert "somebody who changed the contract. Nothing is sent to it" in str(caught.value)


async def test_an_older_contract_is_told_by_what_it_does_not_know(shared: Devnet) -> None:
    """The bounty contract of c34fd29, which paid by claims alone, as its compiler made it."""
    creation = Path(__file__).with_name("older_bounty.hex").read_text().replace("\n", "")
    address = _deployed(shared, creation)
    client = await ChainClient.open(shared.url, CHAIN_ID, address)
    with pytest.raises(OtherContract) as caught:
        await client.check()
    assert caught.value.lacks == ("missed", "post_permitted", "pay")
    said = str(caught.value)
    assert "does not know missed, post_permitted, pay, as one that an older version" in said
    assert "join one that this version made (assay join LINE)" in said
    client.close()


async def test_something_else_at_the_address_is_no_older_version(shared: Devnet) -> None:
    address = _deployed(shared, "60016000f3" + "00" * 27)
    client = await ChainClient.open(shared.url, CHAIN_ID, address)
    with pytest.raises(OtherContract, match="it is another one altogether: the address is wrong"):
        await client.check()
    client.close()


def _deployed(devnet: Devnet, creation: str) -> bytes:
    tx_hash = devnet.rpc("eth_sendTransaction", {"data": "0x" + creation, "gas": hex(6_000_000)})
    devnet.rpc("evm_mine")
    address = devnet.rpc("eth_getTransactionReceipt", tx_hash)["contractAddress"]
    return bytes.fromhex(address[2:])


async def test_a_slow_node_costs_the_timeout_and_no_more(proxy: Proxy, contract: bytes) -> None:
    client = await ChainClient.open(proxy.url, CHAIN_ID, contract, timeout=0.3)
    release = threading.Event()
    proxy.rule = lambda _, forward: b"" if release.wait(20) else None
    began = time.monotonic()
    with pytest.raises(Slow, match=r"did not answer eth_getBlockByNumber within 0\.3 s"):
        await client.head()
    assert time.monotonic() - began < 5
    release.set()
    proxy.rule = lambda _, forward: forward()
    assert (await client.head()).number > 0


async def test_a_reply_that_drips_in_meets_the_deadline() -> None:
    """Each read returns in time; their sum does not."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]

    async def drip(stream: trio.SocketStream) -> None:
        await stream.receive_some(10_000)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with pytest.raises(trio.BrokenResourceError):  # noqa: PT012 (the peer ends the loop)
            while True:
                await stream.send_all(b" ")
                await trio.sleep(0.02)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, drip, [listener])
        client = await ChainClient.open(f"http://127.0.0.1:{port}", CHAIN_ID, timeout=0.3)
        with pytest.raises(Slow):
            await client.head()
        await trio.sleep(0.3)
        nursery.cancel_scope.cancel()


async def test_a_caller_can_give_up_waiting(proxy: Proxy) -> None:
    client = await ChainClient.open(proxy.url, CHAIN_ID, timeout=20)
    release = threading.Event()
    proxy.rule = lambda _, forward: b"" if release.wait(20) else None
    with trio.move_on_after(0.2) as scope:
        await client.head()
    assert scope.cancelled_caught
    release.set()


async def test_a_call_that_fails_is_asked_again_by_itself(proxy: Proxy) -> None:
    """A public endpoint: a third of its calls get 429, 503, or nothing."""
    failures: list[int | None] = [429, 503, None]
    calls = 0

    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes | int | None:
        nonlocal calls
        calls += 1
        return failures[calls // 3 % 3] if calls % 3 == 0 else forward()

    proxy.rule = rule
    client = await ChainClient.open(proxy.url, CHAIN_ID, chance=lambda: 0.0)
    for _ in range(12):
        assert (await client.head()).number > 0
    assert calls == 17


@pytest.mark.parametrize(
    "rule",
    [
        lambda request, forward: 429,
        lambda request, forward: failure(request, -32005, "daily request count exceeded"),
    ],
)
async def test_a_call_is_tried_a_bounded_number_of_times(proxy: Proxy, rule: Rule) -> None:
    proxy.rule = rule
    client = await ChainClient.open(proxy.url, CHAIN_ID, chance=lambda: 0.0)
    with pytest.raises(Busy, match="refused eth_getBlockByNumber"):
        await client.head()
    assert len(proxy.seen) == MAX_TRIES


async def test_a_node_is_asked_again_when_it_wants_to_be(proxy: Proxy) -> None:
    client = await ChainClient.open(proxy.url, CHAIN_ID, chance=lambda: 0.0)
    times: list[float] = []

    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes | int:
        times.append(time.monotonic())
        return 429 if len(times) == 1 else forward()

    proxy.rule, proxy.after = rule, "1"
    assert (await client.head()).number > 0
    assert times[1] - times[0] >= 1  # by itself it would ask after a twentieth of that


@pytest.mark.parametrize(
    ("after", "understood"),
    [
        ("3600", 3600),
        ("-1", 0),
        ("1e3", 0),
        ("\u00b2", 0),
        ("9" * 4000, 0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 0),
        ("", 0),
    ],
)
def test_when_a_node_wants_to_be_asked_again(after: str, understood: float) -> None:
    response = requests.Response()
    response.headers["Retry-After"] = after
    assert provider._after(response) == understood


async def test_a_node_that_wants_an_hour_is_not_waited_for(proxy: Proxy) -> None:
    client = await ChainClient.open(proxy.url, CHAIN_ID, chance=lambda: 0.0)
    before = len(proxy.seen)
    proxy.rule, proxy.after = (lambda request, forward: 429), "3600"
    with pytest.raises(Busy) as caught:
        await client.head()
    assert caught.value.after == 3600
    assert len(proxy.seen) == before + 1


def hang_up(request: dict[str, Any], forward: Callable[[], bytes]) -> None:
    return None


def answer(body: bytes) -> Rule:
    return lambda request, forward: body


def give(value: Any) -> Rule:
    return lambda request, forward: result(request, value)


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        (hang_up, Unreachable),
        (answer(b""), BadReply),
        (answer(b"<html>"), BadReply),
        (answer(b"[" * 200_000), BadReply),
        (answer(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH), BadReply),
        (answer(b"[]"), BadReply),
        (answer(b'{"jsonrpc": "2.0", "id": 0}'), BadReply),
        (answer(b'{"id": 0, "error": "no"}'), BadReply),
        (answer(b'{"id": 0, "error": {"code": "x", "message": ["y"]}}'), Refused),
        (lambda r, f: failure(r, -32000, "header not found"), Refused),
        (give(None), BadReply),
        (give([]), BadReply),
        (give("0x5"), BadReply),
        (give({**BLOCK, "number": "5"}), BadReply),
        (give({**BLOCK, "number": "0x" + "f" * 65}), BadReply),
        (give({**BLOCK, "hash": "0x11"}), BadReply),
        (give({**BLOCK, "hash": "0x" + "zz" * 32}), BadReply),
        (give({**BLOCK, "timestamp": None}), BadReply),
        (give({**BLOCK, "timestamp": hex(2**63)}), BadReply),
        (give({**BLOCK, "number": hex(2**63)}), BadReply),
    ],
)
async def test_nonsense_is_an_error_that_names_the_node(
    proxy: Proxy, rule: Rule, error: type[ChainError]
) -> None:
    client = await ChainClient.open(proxy.url, CHAIN_ID)
    proxy.rule = rule
    with pytest.raises(error, match=client.url):
        await client.head()


async def test_replies_are_bounded(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    client = await ChainClient.open(proxy.url, CHAIN_ID)
    reply = json.dumps({"result": BLOCK}).encode()
    proxy.rule = answer(reply)
    monkeypatch.setattr(provider, "MAX_REPLY_BYTES", len(reply))
    assert (await client.head()).number == 5
    monkeypatch.setattr(provider, "MAX_REPLY_BYTES", len(reply) - 1)
    with pytest.raises(BadReply, match=f"over {len(reply) - 1} bytes"):
        await client.head()


LOG: dict[str, Any] = {
    "address": "0x" + "33" * 20,
    "topics": [],
    "data": "0x",
    "blockNumber": "0x5",
    "blockHash": "0x" + "11" * 32,
    "transactionHash": "0x" + "44" * 32,
    "logIndex": "0x0",
}


async def test_logs_that_the_contract_cannot_have_written(proxy: Proxy) -> None:
    client = await ChainClient.open(proxy.url, CHAIN_ID, b"\x33" * 20)
    topic = "0x" + next(iter(client.codec.topics())).hex()
    fine = {**LOG, "topics": [topic, "0x" + "55" * 32]}
    _, enrolled, committed, *_ = ("0x" + each.hex() for each in client.codec.topics())

    def words(kind: str, *values: int) -> dict[str, Any]:
        data = "0x" + "".join(value.to_bytes(32, "big").hex() for value in values)
        return {**fine, "topics": [kind, "0x" + "55" * 32], "data": data}

    proxy.rule = give(
        [words(enrolled, 0, 0, 4096), {**words(committed, 254, 0, 5, 0, 0), "logIndex": "0x1"}]
    )
    assert len(await client.logs(1, 8)) == 2
    for logs in (
        [words(enrolled, 0, 0, 4097)],
        [words(committed, 256, 0, 5, 0, 0)],
        [{**words(enrolled, 0, 0, 9), "logIndex": hex(2**63)}],
        None,
        [LOG],
        [{**LOG, "topics": ["0x" + "00" * 32]}],
        [{**fine, "data": "0x00"}],
        [{**fine, "topics": [topic] * 5}],
        [{**fine, "address": "0x" + "34" * 20}],
        [{**fine, "blockNumber": "0x9"}],
        [{**fine, "removed": True}],
        [{**fine, "data": "0x" + "00" * 5000}],
        [fine, fine],
    ):
        proxy.rule = give(logs)
        with pytest.raises(BadReply):
            await client.logs(1, 8)


async def test_the_chains_own_final_block(proxy: Proxy) -> None:
    client = await ChainClient.open(proxy.url, CHAIN_ID, chance=lambda: 0.0)
    final = await client.finalized()
    assert final is not None
    proxy.rule = lambda request, forward: result(request, None)
    assert await client.finalized() is None
    proxy.rule = lambda request, forward: failure(request, -32602, "unknown tag")
    assert await client.finalized() is None
    proxy.rule = lambda request, forward: result(request, {})
    with pytest.raises(BadReply):
        await client.finalized()
    proxy.rule = lambda request, forward: 429
    with pytest.raises(Busy):
        await client.finalized()


async def test_redirects_are_not_followed(proxy: Proxy, shared: Devnet) -> None:
    """A node that answers 302 cannot send us, and our requests, elsewhere."""
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]

    async def redirect(stream: trio.SocketStream) -> None:
        await stream.receive_some(10_000)
        text = f"HTTP/1.1 307 Go\r\nLocation: {proxy.url}\r\nContent-Length: 0\r\n\r\n"
        await stream.send_all(text.encode())
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, redirect, [listener])
        client = await ChainClient.open(f"http://127.0.0.1:{port}", CHAIN_ID)
        with pytest.raises(Refused, match="HTTP 307"):
            await client.head()
        nursery.cancel_scope.cancel()
    assert proxy.seen == []


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "http://", "127.0.0.1:8545", "http://[::1", "http://a:0"]
)
async def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(InputError, match=r"chain\.url"):
        await ChainClient.open(url, CHAIN_ID)


def test_errors_do_not_show_a_providers_key() -> None:
    assert (
        provider.shown("https://u:p@node.example:8545/v3/SECRET?k=1")
        == "https://node.example:8545/…"
    )
    assert provider.shown("http://127.0.0.1:8545/") == "http://127.0.0.1:8545"


def test_depth_is_bounded_before_parsing() -> None:
    assert not depth_exceeds(b"[" * 64 + b"]" * 64 + b'{"a": [1]}' * 1000, 64)
    assert depth_exceeds(b'{"a":' * 65, 64)


def test_an_offer_stays_within_its_limit() -> None:
    assert Fees(10, 5).offer(1000) == (25, 5)
    assert Fees(10, 5).offer(20) == (20, 5)
    assert Fees(10, 5).offer(11) == (11, 1)
    with pytest.raises(TooDear, match=r"costs 300 gwei now, and chain.max_fee_gwei .* allows 200"):
        Fees(300 * GWEI, 0).offer(200 * GWEI)
    dear = 100 * GWEI
    assert Fees(dear, TIP_MULTIPLE * dear).bounded().tip == TIP_MULTIPLE * dear
    assert Fees(dear, TIP_MULTIPLE * dear + 1).bounded().tip == TIP_MULTIPLE * dear
    assert Fees(7, TIP_FLOOR + 1).bounded().tip == TIP_FLOOR


def test_an_offer_that_was_not_taken_is_raised_to_the_limit_and_not_left_behind_it() -> None:
    """Twice the base fee is beyond the limit here, and what a new transaction offers is not."""
    assert Fees(110, 2).raised(50, 2, 200) == (200, 3)
    assert Fees(10, 5).raised(100, 8, 1000) == (126, 11)
    assert Fees(10, 5).raised(190, 8, 200)[0] > 200
    with pytest.raises(TooDear):
        Fees(200, 5).raised(50, 2, 200)


def history(*tips: int) -> dict[str, Any]:
    rewards = [[hex(tip)] for tip in tips]
    return {"oldestBlock": "0x1", "baseFeePerGas": ["0x7"] * (len(tips) + 1), "reward": rewards}


@pytest.mark.parametrize(
    ("told", "tip"),
    [
        (history(0, 3, 4, 0, 5), 4),
        (history(0, 0), TIP_FLOOR),
        (history(400 * GWEI, 400 * GWEI), TIP_FLOOR),
        ({**history(1), "reward": None}, TIP_FLOOR),
        ({**history(1), "reward": [[]]}, TIP_FLOOR),
        ({**history(1), "baseFeePerGas": []}, TIP_FLOOR),
        ([], TIP_FLOOR),
        (None, TIP_FLOOR),
    ],
)
async def test_a_tip_is_what_was_paid_and_never_what_a_node_fancies(
    proxy: Proxy, told: Any, tip: int
) -> None:
    """It suggests 400 gwei, as one did: a post of 0.02 ether would have cost 0.083."""

    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes:
        if request["method"] == "eth_feeHistory":
            if told is None:
                return failure(request, -32601, "the method does not exist")
            return result(request, told)
        if request["method"] == "eth_maxPriorityFeePerGas":
            return result(request, hex(400 * GWEI))
        return forward()

    proxy.rule = rule
    client = await ChainClient.open(proxy.url, CHAIN_ID)
    assert (await client.fees()).tip == tip
