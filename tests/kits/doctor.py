"""Homes for the doctor: a real one with keys and rows, and a chain node that says anything."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kits.chain.devnet import Proxy, failure, result
from node.chain import library
from node.data.datasets import import_file
from node.doctor import examine as examination
from node.doctor.findings import Finding
from node.doctor.seen import Seen, WorkersSeen
from node.home.config import Config, init_home
from node.home.home import Home
from node.home.keys import Keys
from node.store.catalogue import Dataset, save_dataset
from node.store.store import Store

CHAIN_ID = 1337
CONTRACT = bytes.fromhex("5f" * 20)

#: Rows that stand nowhere else, and a name and columns that no sentence has.
ROWS = (("Zebulonía", "731.25", "quokka"), ("Wilhelmuth", "918273.5", "axolotl"))
COLUMNS = ("surname_q", "creatinine_w", "ward_kind")
DATASET = "ward-of-zurich"

#: Methods to results; a callable is asked for each call.
Said = dict[str, Any]


def whole_chain(**changes: Any) -> Said:
    """What a chain node says that has nothing to hide; `changes` by method."""
    library.load()
    from node.chain.contract import Codec

    def block(params: list[Any]) -> dict[str, Any]:
        newest = 100
        number = newest if params[0] in ("latest", "finalized") else int(params[0], 16)
        age = newest - number
        return {
            "number": hex(number),
            "hash": "0x" + number.to_bytes(32, "big").hex(),
            "parentHash": "0x" + (number - 1).to_bytes(32, "big").hex(),
            "timestamp": hex(int(time.time()) - age),
            "baseFeePerGas": hex(10**9),
        }

    said: Said = {
        "eth_chainId": hex(CHAIN_ID),
        "eth_getCode": "0x" + Codec().runtime.hex(),
        "eth_getBlockByNumber": block,
        "eth_feeHistory": {"baseFeePerGas": [hex(10**9)], "reward": [[hex(10**8)]]},
        "eth_getBalance": hex(10**18),
        "eth_getLogs": [],
    }
    return said | changes


def node_that_says(said: Said) -> Proxy:
    """A chain node on loopback; methods that `said` lacks are refused."""
    proxy = Proxy("http://127.0.0.1:9")

    def rule(request: dict[str, Any], forward: Callable[[], bytes]) -> bytes | int | None:
        method = request["method"]
        if method not in said:
            return failure(request, -32601, "no such method")
        value = said[method]
        value = value(request["params"]) if callable(value) else value
        return value if isinstance(value, bytes | int) else result(request, value)

    proxy.rule = rule
    return proxy


def home_at(path: Path, url: str | None = None, passphrase: str | None = None, **more: Any) -> Home:
    """A home as `assay init` makes it, with a store."""
    home = Home(path)
    config = Config(
        listen=("/ip4/127.0.0.1/tcp/0",), chain_url=url, chain_id=CHAIN_ID, contract=CONTRACT
    )
    init_home(home, dataclasses.replace(config, **more))
    Keys.create(home, passphrase)
    Store.open(home.database).close()
    return home


def add_rows(home: Home) -> Path:
    """A data set, imported as `assay data add` does it; the file that it came from."""
    file = home.path.parent / "patients-of-zurich.csv"
    file.write_text("\n".join(",".join(row) for row in (COLUMNS, *ROWS)) + "\n")
    imported = import_file(file, home.datasets)
    dataset = Dataset(
        DATASET,
        str(file),
        imported.copy.digest,
        imported.rows,
        imported.copy.size,
        imported.columns,
        time.time() + 1,
        format=imported.written,
    )
    with Store.open(home.database) as store, store.transaction() as tx:
        assert save_dataset(tx, dataset)
    return file


def examined(home: Home, monkeypatch: Any) -> tuple[Seen, dict[str, Finding]]:
    """Everything seen of a home and judged; a worker's libraries are not loaded each time."""
    monkeypatch.setattr(examination, "look_workers", lambda: WorkersSeen(1.0))
    seen = examination.examine(home)
    return seen, examination.judge(seen)


def states(found: dict[str, Finding]) -> dict[str, str]:
    return {name: str(each.state) for name, each in found.items()}


def failures(found: dict[str, Finding]) -> set[str]:
    return {name for name, state in states(found).items() if state == "failure"}
