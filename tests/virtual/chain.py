"""The chain: blocks on virtual time over `virtual.ledger`, a pool by nonces, reorganisations."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import rlp
import trio
from eth_abi import decode, encode
from eth_hash.auto import keccak
from eth_keys import keys as eth_keys

from contracts import interface
from protocol.books.typed_data import Domain
from virtual.clock import START, Calls, chance
from virtual.ledger import Ledger, Log, Revert, require

CHAIN_ID = 1337
CONTRACT = hashlib.sha256(b"contract").digest()[:20]
DOMAIN = Domain(CHAIN_ID, CONTRACT)
GWEI = 10**9
BASE_FEE = GWEI
#: Every call of the contract takes so much here.
GAS = 150_000
#: Blocks that were there before the world began.
_OLD = 8
#: Where fees go, so that no ether is ever made or lost.
MINER = bytes([0xFE]) * 20


def _kind(entry: Mapping[str, Any]) -> str:
    """An ABI entry's type, with tuples spelt out."""
    if not entry["type"].startswith("tuple"):
        return str(entry["type"])
    inner = ",".join(map(_kind, entry["components"]))
    return f"({inner}){entry['type'].removeprefix('tuple')}"


@dataclass(frozen=True)
class Function:
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@functools.cache
def functions() -> dict[bytes, Function]:
    """The contract's functions, by selector."""
    found = {}
    for entry in interface().abi:
        if entry["type"] == "function":
            inputs = tuple(map(_kind, entry["inputs"]))
            outputs = tuple(map(_kind, entry["outputs"]))
            selector = keccak(f"{entry['name']}({','.join(inputs)})".encode())[:4]
            found[selector] = Function(entry["name"], inputs, outputs)
    return found


@functools.cache
def events() -> dict[str, tuple[bytes, tuple[tuple[str, str, bool], ...]]]:
    """Each event's topic, and its fields: name, type, whether it is indexed."""
    found = {}
    for entry in interface().abi:
        if entry["type"] == "event":
            fields = tuple((i["name"], _kind(i), i["indexed"]) for i in entry["inputs"])
            topic = keccak(f"{entry['name']}({','.join(kind for _, kind, _ in fields)})".encode())
            found[entry["name"]] = topic, fields
    return found


def plain(value: Any) -> Any:
    """A decoded value with addresses as bytes."""
    if isinstance(value, str) and value.startswith("0x") and len(value) == 42:
        return bytes.fromhex(value[2:])
    return tuple(map(plain, value)) if isinstance(value, tuple | list) else value


def call_of(data: bytes) -> tuple[Function, tuple[Any, ...]]:
    """A call's function and arguments. Raises Revert where there is no such function."""
    found = functions().get(data[:4])
    if found is None:
        raise Revert("no such function")
    args = plain(decode(list(found.inputs), data[4:]))
    # Its lists follow the arguments as they are.
    return found, (*args, data[4 + 5 * 32 :]) if found.name == "pay" else args


@dataclass(frozen=True)
class Transaction:
    """A signed transaction, as the pool holds it."""

    hash: bytes
    sender: bytes
    nonce: int
    tip: int
    max_fee: int
    to: bytes
    value: int
    data: bytes


@functools.lru_cache(maxsize=4096)
def read(raw: bytes) -> Transaction:
    """A transaction of type 2 (EIP-1559), its sender recovered."""
    assert raw[0] == 2
    fields = rlp.decode(raw[1:])
    whole = [int.from_bytes(each, "big") if isinstance(each, bytes) else 0 for each in fields]
    signed = keccak(b"\x02" + rlp.encode(fields[:9]))
    signature = eth_keys.Signature(vrs=(whole[9], whole[10], whole[11]))
    sender = signature.recover_public_key_from_msg_hash(signed).to_canonical_address()
    assert whole[0] == CHAIN_ID
    return Transaction(
        keccak(raw), sender, whole[1], whole[2], whole[3], fields[5], whole[6], fields[7]
    )


@dataclass(frozen=True, eq=False)
class Mined:
    """A transaction in its block."""

    tx: Transaction
    ok: bool
    index: int
    first_log: int
    logs: tuple[Log, ...]


@dataclass(frozen=True, eq=False)
class Block:
    """A chain block, with what is true after it. `shown` is when it was first there."""

    number: int
    hash: bytes
    parent: bytes
    timestamp: int
    mined: tuple[Mined, ...]
    ledger: Ledger
    nonces: Mapping[bytes, int]
    shown: float


@dataclass
class Habits:
    """How the chain goes on: seconds between blocks, and before a transaction may be mined."""

    interval: tuple[float, float] = (1.0, 1.0)
    wait: tuple[float, float] = (0.05, 0.9)


class Chain:
    """Blocks from genesis on. `watchers` are told of each as it is mined."""

    def __init__(self, seed: int, calls: Calls, funds: Mapping[bytes, int], log: Log_) -> None:
        self._calls, self._say = calls, log
        self._chance = chance(seed, "chain")
        self._seed, self._forks = seed, 0
        self.habits = Habits()
        ledger = Ledger(DOMAIN, {}, dict(funds))
        self.minted = sum(funds.values())
        self.blocks = [Block(0, self._hash(0), bytes(32), START, (), ledger, {}, 0.0)]
        self.pool: dict[bytes, tuple[Transaction, float]] = {}
        self.watchers: list[Callable[[Block], None]] = []
        self.index: dict[bytes, Block] = {}
        self.lost: list[bytes] = []
        #: Seconds that its clock is ahead of the world's.
        self._ahead = 0
        for _ in range(_OLD):
            self._mine(START)
        calls.after(self._interval(), self._tick)

    @property
    def head(self) -> Block:
        return self.blocks[-1]

    def _interval(self) -> float:
        return self._chance.uniform(*self.habits.interval)

    def _hash(self, number: int) -> bytes:
        name = f"block {self._seed} {number} {self._forks}"
        return hashlib.sha256(name.encode()).digest()

    def submit(self, raw: bytes) -> Transaction:
        """Into the pool. Raises Revert in a node's words."""
        tx = read(raw)
        if tx.hash in self.pool or tx.hash in self.index:
            raise Revert("already known")
        if tx.nonce < self.head.nonces.get(tx.sender, 0):
            raise Revert("nonce too low")
        for known, _ in list(self.pool.values()):
            if (known.sender, known.nonce) == (tx.sender, tx.nonce):
                if tx.max_fee * 10 < known.max_fee * 11 or tx.tip * 10 < known.tip * 11:
                    raise Revert("replacement transaction underpriced")
                del self.pool[known.hash]
        if self.head.ledger.balances.get(tx.sender, 0) < tx.value + GAS * tx.max_fee:
            raise Revert("insufficient funds for gas * price + value")
        ready = trio.current_time() + self._chance.uniform(*self.habits.wait)
        self.pool[tx.hash] = tx, ready
        return tx

    def forget(self, share: float) -> None:
        """A part of what waits is lost, as when a node starts again."""
        for key in list(self.pool):
            if self._chance.random() < share:
                del self.pool[key]

    def reorganise(self, depth: int, instead: Mapping[bytes, Transaction] | None = None) -> None:
        """Other blocks in the place of the last `depth`, one more of them; what stood in them waits
        again, some of it for a while. `instead`: what waits in the place of a transaction, by its
        hash."""
        keep = max(1, len(self.blocks) - depth)
        gone, self.blocks = self.blocks[keep:], self.blocks[:keep]
        self._forks += 1
        for block in gone:
            for each in block.mined:
                del self.index[each.tx.hash]
                wait = self._chance.choice((0.0, 0.0, 1.5, 3.0))
                tx = (instead or {}).get(each.tx.hash, each.tx)
                self.pool[tx.hash] = tx, trio.current_time() + wait
        self._say(f"a reorganisation of {len(gone)} blocks")
        for number in range(len(gone) + 1):
            # Blocks of the past keep their second; the last is of now.
            last = number == len(gone)
            self._mine(self._now() if last else self.head.timestamp + 1)

    def _now(self) -> int:
        return max(int(START + trio.current_time()) + self._ahead, self.head.timestamp)

    def skip_to(self, timestamp: int) -> None:
        """From the next block on it is so late at least: nobody lives through the time between."""
        self._ahead += max(0, timestamp - self._now())
        self._say(f"the clock is set to {timestamp}")

    def _tick(self) -> None:
        self._mine(self._now())
        self._calls.after(self._interval(), self._tick)

    def _mine(self, timestamp: int) -> None:
        parent, mined = self.head, []
        ledger, nonces, logs = parent.ledger, dict(parent.nonces), 0
        now = trio.current_time()
        waiting = sorted(
            (tx for tx, ready in self.pool.values() if ready <= now),
            key=lambda tx: (tx.nonce, tx.sender),
        )
        for tx in waiting:
            if tx.nonce < nonces.get(tx.sender, 0):
                del self.pool[tx.hash]
            if tx.nonce != nonces.get(tx.sender, 0) or tx.max_fee < BASE_FEE:
                continue
            fee = GAS * min(tx.max_fee, BASE_FEE + tx.tip)
            if ledger.balances.get(tx.sender, 0) < fee + tx.value:
                continue
            del self.pool[tx.hash]
            nonces[tx.sender] = tx.nonce + 1
            ledger = _paid(ledger, tx.sender, fee)
            ok, said = True, ()
            try:
                if tx.to == CONTRACT:
                    function, args = call_of(tx.data)
                    ledger, said = ledger.apply(tx.sender, tx.value, timestamp, function.name, args)
                    self._say(f"mines {function.name} in {parent.number + 1}")
                else:
                    require(not tx.value and not tx.data, "only empty transfers are known here")
            except Revert as revert:
                ok = False
                self._say(f"reverts {tx.hash.hex()[:8]}: {revert}")
            mined.append(Mined(tx, ok, len(mined), logs, said))
            logs += len(said)
        number = parent.number + 1
        block = Block(
            number, self._hash(number), parent.hash, timestamp, tuple(mined), ledger, nonces, now
        )
        self.blocks.append(block)
        for each in mined:
            self.index[each.tx.hash] = block
        for watch in self.watchers:
            watch(block)


def _paid(ledger: Ledger, sender: bytes, fee: int) -> Ledger:
    held = ledger.balances
    after = {**held, sender: held[sender] - fee, MINER: held.get(MINER, 0) + fee}
    return dataclasses.replace(ledger, balances=after)


def data_of(log: Log) -> tuple[list[str], str]:
    """A log's topics and data, in hex."""
    topic, fields = events()[log.name]
    topics, kinds, values = ["0x" + topic.hex()], [], []
    for name, kind, indexed in fields:
        value = log.fields[name]
        if indexed:
            topics.append("0x" + encode([kind], [value]).hex())
        else:
            kinds.append(kind)
            values.append(value)
    return topics, "0x" + encode(kinds, values).hex()


#: Says a line of the world's log.
Log_ = Callable[[str], None]
