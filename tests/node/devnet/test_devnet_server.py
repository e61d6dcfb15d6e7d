"""The devnet's process from outside: what JSON-RPC promises, and what a rude client meets."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time

import pytest
import requests
from kits.chain.devnet import CHAIN_ID, ETHER, SIGNERS, Devnet, closed_port, until
from kits.paths import ROOT
from web3 import Web3

from node.devnet.params import INVALID_PARAMS, NO_METHOD
from node.devnet.rpc import MAX_BATCH, MAX_BRACKETS
from node.devnet.server import MAX_BODY, serve_devnet
from protocol.errors import InputError


def post(url: str, body: bytes) -> requests.Response:
    return requests.post(url, data=body, timeout=10)


def call(method: str, *params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).encode()


def test_web3_as_it_comes_talks_to_it(shared: Devnet) -> None:
    w3 = Web3(Web3.HTTPProvider(shared.url))
    assert w3.is_connected()
    assert w3.eth.chain_id == CHAIN_ID
    assert w3.net.version == str(CHAIN_ID)
    assert w3.eth.get_balance(Web3.to_checksum_address(SIGNERS[8].account)) == 100 * ETHER
    block = w3.eth.get_block("latest", full_transactions=True)
    assert w3.eth.get_block(block["hash"]) == w3.eth.get_block(block["number"])
    history = w3.eth.fee_history(4, "latest", [50])
    assert len(history["baseFeePerGas"]) == len(history["reward"]) + 1
    assert w3.eth.gas_price > w3.eth.max_priority_fee > 0
    [faucet] = w3.eth.accounts
    target = Web3.to_checksum_address(bytes(19) + b"\x77")
    tx_hash = w3.eth.send_transaction({"from": faucet, "to": target, "value": 5})
    waiting = w3.eth.get_transaction(tx_hash)
    assert waiting["value"] == 5
    receipt = w3.eth.wait_for_transaction_receipt(tx_hash, timeout=10, poll_latency=0.05)
    assert receipt["status"] == 1
    assert w3.eth.get_transaction(tx_hash)["blockNumber"] == receipt["blockNumber"]
    assert w3.eth.get_balance(target) == 5
    assert w3.eth.get_balance(target, receipt["blockNumber"] - 1) == 0


def test_its_clock_can_be_set_ahead_as_anvils_can() -> None:
    with Devnet(block_time=3600) as chain:
        before = int(chain.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        assert chain.rpc("evm_increaseTime", 7_200) == 7_200
        assert chain.rpc("evm_increaseTime", "0x1") == 7_201
        chain.rpc("evm_mine")
        after = int(chain.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
        assert after >= before + 7_201
        refused = json.loads(post(chain.url, call("evm_increaseTime", -1)).content)
        assert refused["error"]["code"] == INVALID_PARAMS


def test_any_account_can_be_funded(shared: Devnet) -> None:
    account = "0x" + "5a" * 20
    tx_hash = shared.rpc("assay_fund", account, hex(ETHER))
    shared.rpc("evm_mine")
    assert shared.rpc("eth_getTransactionReceipt", tx_hash)["status"] == "0x1"
    assert int(shared.rpc("eth_getBalance", account), 16) == ETHER


async def test_blocks_come_by_themselves_at_the_walls_time(shared: Devnet) -> None:
    first = shared.number
    began = time.monotonic()
    await until(lambda: shared.number >= first + 10)
    assert time.monotonic() - began > 0.2 * 8
    timestamp = int(shared.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    assert abs(timestamp - time.time()) < 2.5


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", -32700),
        (b"[" * MAX_BRACKETS, -32700),
        (b"[" * (MAX_BRACKETS + 1), -32700),
        (b'{"a":' * 100_000, -32700),
        (b"[]", -32600),
        (b"3", -32600),
        (b'{"id": {}, "method": "eth_chainId"}', -32600),
        (b'{"id": 1, "method": 5}', -32600),
        (b'{"id": 1, "method": "eth_chainId", "params": {}}', -32600),
        (call("eth_mining"), NO_METHOD),
        (call("eth_getBalance", "0x12"), INVALID_PARAMS),
        (call("eth_getBalance", "0x" + "zz" * 20), INVALID_PARAMS),
        (call("eth_getBlockByNumber", "newest"), INVALID_PARAMS),
        (call("eth_getBlockByNumber", -1), INVALID_PARAMS),
        (call("eth_getTransactionReceipt"), INVALID_PARAMS),
        (call("eth_getLogs", []), INVALID_PARAMS),
        (call("eth_getLogs", {"topics": ["0x00"]}), INVALID_PARAMS),
        (call("eth_getLogs", {"fromBlock": "0x0", "toBlock": hex(10**12)}), None),
        (call("eth_call", None), INVALID_PARAMS),
        (call("eth_call", {"to": "0x" + "00" * 20, "value": "0x" + "f" * 65}), INVALID_PARAMS),
        (call("eth_feeHistory", "0x0", "latest", []), INVALID_PARAMS),
        (call("eth_sendRawTransaction", "0x"), -32000),
        (call("eth_sendTransaction", {"from": "0x" + "01" * 20, "to": "0x" + "02" * 20}), -32000),
        (call("assay_rewind", hex(10**6)), -32000),
    ],
)
def test_bad_requests_get_an_error_each(shared: Devnet, body: bytes, code: int | None) -> None:
    reply = post(shared.url, body).json()
    assert reply.get("error", {}).get("code") == code
    assert post(shared.url, call("eth_chainId")).json()["result"] == hex(CHAIN_ID)


def test_batches_are_bounded(shared: Devnet) -> None:
    one = json.loads(call("eth_chainId"))
    assert len(post(shared.url, json.dumps([one] * MAX_BATCH).encode()).json()) == MAX_BATCH
    over = post(shared.url, json.dumps([one] * (MAX_BATCH + 1)).encode()).json()
    assert over["error"]["code"] == -32600


def test_bodies_are_bounded(shared: Devnet) -> None:
    fits = call("eth_chainId").ljust(MAX_BODY)
    assert post(shared.url, fits).json()["result"] == hex(CHAIN_ID)
    assert post(shared.url, fits + b" ").status_code == 413
    connection = http.client.HTTPConnection("127.0.0.1", shared.port, timeout=5)
    connection.putrequest("POST", "/")
    connection.putheader("Content-Length", "-1")
    connection.endheaders()
    assert connection.getresponse().status == 411
    connection.close()


def test_a_client_that_hangs_up_harms_nobody(shared: Devnet) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", shared.port)) as rude:
            rude.sendall(b"POST / HTTP/1.1\r\nContent-Length: 500\r\n\r\n{")
    assert shared.rpc("eth_chainId") == hex(CHAIN_ID)


def test_eight_writers_at_once_lose_nothing(shared: Devnet) -> None:
    """eth-tester alone gives BlockNotFound and nonce errors here."""
    failures: list[Exception] = []

    def write(number: int) -> None:
        signer = SIGNERS[number]
        try:
            start = shared.nonce(signer.account, "pending")
            for nonce in range(start, start + 5):
                raw = signer.sign_transaction(
                    {
                        "type": 2,
                        "chainId": CHAIN_ID,
                        "nonce": nonce,
                        "gas": 21_000,
                        "maxFeePerGas": 10 * 10**9,
                        "maxPriorityFeePerGas": 10**9,
                        "to": signer.account,
                        "value": 1,
                        "data": b"",
                    }
                )
                shared.rpc("eth_sendRawTransaction", "0x" + raw.hex())
        except (RuntimeError, requests.RequestException) as error:
            failures.append(error)

    before = [shared.nonce(SIGNERS[n].account) for n in range(8)]
    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert failures == []
    shared.rpc("evm_mine")
    assert [shared.nonce(SIGNERS[n].account) for n in range(8)] == [n + 5 for n in before]


def test_a_port_in_use_is_named(shared: Devnet) -> None:
    with pytest.raises(InputError, match=f"port: cannot listen on 127.0.0.1:{shared.port}"):
        serve_devnet("127.0.0.1", shared.port, 1, {}, 1.0, lambda _: None)


@pytest.mark.parametrize(
    ("chain_id", "fund", "block_time", "field"),
    [
        (0, {}, 1.0, "chain_id"),
        (2**63, {}, 1.0, "chain_id"),
        (1, {b"\x01": 1}, 1.0, "fund"),
        (1, {bytes(20): -1}, 1.0, "fund"),
        (1, {}, 0.0, "block_time"),
        (1, {}, float("nan"), "block_time"),
    ],
)
def test_settings_out_of_range_are_named(
    chain_id: int, fund: dict[bytes, int], block_time: float, field: str
) -> None:
    with pytest.raises(InputError) as caught:
        serve_devnet("127.0.0.1", 0, chain_id, fund, block_time, lambda _: None)
    assert caught.value.field == field


def test_it_ends_cleanly_and_gives_its_port_back() -> None:
    port = closed_port()
    with Devnet(port=port) as first:
        assert first.port == port
        assert first.stop() == 0
    with Devnet(port=port) as second:
        second.process.send_signal(2)
        assert second.process.wait(10) == 0


def test_starting_it_loads_neither_web3_nor_trio() -> None:
    code = "import sys, node.devnet; print([m for m in ('web3', 'trio') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
