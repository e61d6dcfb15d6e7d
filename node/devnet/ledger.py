"""A chain in memory: py-evm through eth-tester, a pool, and an index of what was mined.

eth-tester looks a transaction up by walking the whole chain and reads logs by re-serialising every
block (0.77 s for 104 blocks), so it is asked to execute only; what JSON-RPC reads is written down
once, when its block is mined. One lock: eth-tester is not safe for threads.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from eth.abc import BlockHeaderAPI
from eth.exceptions import PyEVMError, Revert
from eth.vm.forks.prague import PragueVM
from eth.vm.message import Message
from eth_keys.datatypes import PrivateKey
from eth_tester.backends.pyevm.main import PyEVMBackend, get_default_genesis_params
from eth_tester.utils.address import generate_contract_address
from eth_typing import Address
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError
from rlp.exceptions import RLPException  # type: ignore[import-untyped]

from node.devnet.clock import ChainClock
from node.devnet.pool import Pool, PoolError, Waiting
from node.devnet.records import (
    GAS_LIMIT,
    ZERO_ADDRESS,
    Call,
    Event,
    LedgerError,
    MinedBlock,
    MinedTransaction,
    Reverted,
)

log = logging.getLogger(__name__)

#: The tip that the devnet suggests, wei per gas.
SUGGESTED_TIP: Final = 10**9

#: An estimate is searched to within this much gas.
ESTIMATE_TOLERANCE: Final = 1_000

#: Runs that an estimate may cost after the first.
ESTIMATE_RUNS: Final = 8


class DevnetVM(PragueVM):
    """Prague's rules, but a block may carry its parent's timestamp.

    Time is in whole seconds: with several blocks a second, a strictly later timestamp would run
    the chain's clock ahead of the wall's, and deadlines with it.
    """

    @classmethod
    def validate_header(cls, header: BlockHeaderAPI, parent_header: BlockHeaderAPI) -> None:
        if header.timestamp == parent_header.timestamp:
            header = header.copy(timestamp=header.timestamp + 1)
        super().validate_header(header, parent_header)


class Ledger:
    """The chain. Every public method may be called from any thread.

    `fund` maps 20-byte addresses to their wei at the start. The faucet account is unlocked: its key
    follows from the chain id, so that it is the same at every start and worth nothing elsewhere.
    """

    def __init__(
        self,
        chain_id: int,
        fund: Mapping[bytes, int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.chain_id = chain_id
        self.clock = ChainClock(clock)
        self._lock = threading.RLock()
        self._pool = Pool()
        self.faucet_key = PrivateKey(keccak(b"assay devnet faucet %d" % chain_id))
        self.faucet = bytes(self.faucet_key.public_key.to_canonical_address())
        balances = {self.faucet: 10**9 * 10**18, **dict(fund)}
        state = {
            address: {"balance": wei, "nonce": 0, "code": b"", "storage": {}}
            for address, wei in balances.items()
        }
        genesis = get_default_genesis_params({"gas_limit": GAS_LIMIT, "timestamp": int(clock())})
        backend = PyEVMBackend(genesis, state, vm_configuration=((0, DevnetVM),))
        self._chain = backend.chain
        type(self._chain).chain_id = chain_id
        self._blocks = [MinedBlock(self._chain.get_canonical_block_header_by_number(0), [])]
        self._by_hash = {self._blocks[0].hash: self._blocks[0]}
        self._mined: dict[bytes, MinedTransaction] = {}
        self._with_events: list[int] = []

    # --- what was mined ---------------------------------------------------------------------

    @property
    def head(self) -> MinedBlock:
        with self._lock:
            return self._blocks[-1]

    def block(self, number: int) -> MinedBlock | None:
        with self._lock:
            return self._blocks[number] if 0 <= number < len(self._blocks) else None

    def block_by_hash(self, block_hash: bytes) -> MinedBlock | None:
        with self._lock:
            return self._by_hash.get(block_hash)

    def mined(self, tx_hash: bytes) -> MinedTransaction | None:
        with self._lock:
            return self._mined.get(tx_hash)

    def waiting(self, tx_hash: bytes) -> Waiting | None:
        with self._lock:
            return self._pool.get(tx_hash)

    def event_blocks(self, first: int, last: int) -> list[MinedBlock]:
        """Blocks from `first` to `last`, both included, that hold at least one log."""
        with self._lock:
            start = bisect_left(self._with_events, first)
            stop = bisect_left(self._with_events, last + 1)
            return [self._blocks[n] for n in self._with_events[start:stop]]

    # --- state ------------------------------------------------------------------------------

    def balance(self, address: bytes, at: MinedBlock) -> int:
        with self._lock:
            return int(self._chain.get_vm(at.header).state.get_balance(address))

    def code(self, address: bytes, at: MinedBlock) -> bytes:
        with self._lock:
            return bytes(self._chain.get_vm(at.header).state.get_code(address))

    def storage(self, address: bytes, slot: int, at: MinedBlock) -> int:
        with self._lock:
            return int(self._chain.get_vm(at.header).state.get_storage(address, slot))

    def nonce(self, address: bytes, at: MinedBlock) -> int:
        with self._lock:
            return int(self._chain.get_vm(at.header).state.get_nonce(address))

    def pending_nonce(self, address: bytes) -> int:
        with self._lock:
            return self._pool.next_nonce(address, self.nonce(address, self._blocks[-1]))

    def base_fee(self) -> int:
        """The next block's base fee, wei per gas."""
        with self._lock:
            return int(self._chain.header.base_fee_per_gas)

    # --- execution --------------------------------------------------------------------------

    def call(self, call: Call, at: MinedBlock) -> bytes:
        """Run a message on the state of `at` and forget it. Raises Reverted, LedgerError."""
        with self._lock:
            return bytes(self._run(call, at).output)

    def estimate(self, call: Call, at: MinedBlock) -> int:
        """The least gas limit, within ESTIMATE_TOLERANCE, with which the call succeeds."""
        with self._lock:
            intrinsic = _intrinsic_gas(call)
            top = min(call.gas, GAS_LIMIT) - intrinsic
            if top < 0:
                raise LedgerError(f"gas required exceeds allowance ({call.gas})")
            computation = self._run(call, at, gas=top)
            low = max(int(computation.get_gas_used()) - 1, 0)
            # A nested call keeps one 64th of its gas back (EIP-150); ether sent along lends 2300.
            high = min(top, low + low // 63 + 2_301)
            for _ in range(ESTIMATE_RUNS):
                try:
                    self._run(call, at, gas=high)
                    break
                except LedgerError:
                    low, high = high, min(top, 2 * high)
            while high - low > ESTIMATE_TOLERANCE:
                middle = (low + high) // 2
                try:
                    self._run(call, at, gas=middle)
                    high = middle
                except LedgerError:
                    low = middle
            floor = 21_000 + 10 * _tokens(call.data)  # EIP-7623
            return max(intrinsic + high, floor)

    def _run(self, call: Call, at: MinedBlock, gas: int | None = None) -> Any:
        """As a message, not a transaction: a view is free, and its caller may hold no ether."""
        state = self._chain.get_vm(at.header).state
        if state.get_balance(call.sender) < call.value:
            raise LedgerError("insufficient funds for transfer")
        create, nonce = call.to is None, int(state.get_nonce(call.sender))
        created: dict[str, Any] = (
            {"create_address": _create_address(call.sender, nonce)} if create else {}
        )
        message = Message(
            gas=call.gas if gas is None else gas,
            to=Address(b"" if call.to is None else call.to),
            sender=Address(call.sender),
            value=call.value,
            data=b"" if create else call.data,
            code=call.data if call.to is None else state.get_code(call.to),
            **created,
        )
        context = state.get_transaction_context_class()(gas_price=0, origin=call.sender)
        state.lock_changes()
        apply = (
            state.computation_class.apply_create_message
            if create
            else state.computation_class.apply_message
        )
        computation = apply(state, message, context)
        if computation.is_error:
            error = computation.error
            if isinstance(error, Revert):
                raise Reverted(bytes(computation.output))
            raise LedgerError(f"execution failed: {type(error).__name__}: {error}")
        return computation

    # --- transactions -----------------------------------------------------------------------

    def submit(self, raw: bytes) -> bytes:
        """Take a signed transaction into the pool; its 32-byte hash. Raises LedgerError."""
        try:
            tx = self._chain.get_transaction_builder().decode(raw)
            tx.validate()
            sender = bytes(tx.sender)
        except (ValidationError, RLPException, PyEVMError, ValueError, TypeError) as error:
            raise LedgerError(f"invalid transaction: {error}") from error
        with self._lock:
            return self._admit(tx, raw, sender)

    def _admit(self, tx: Any, raw: bytes, sender: bytes) -> bytes:
        if tx.chain_id is not None and tx.chain_id != self.chain_id:
            raise LedgerError(
                f"invalid chain id for signer: have {tx.chain_id} want {self.chain_id}"
            )
        tx_hash = bytes(tx.hash)
        if tx_hash in self._mined:
            raise LedgerError("already known")
        nonce = self.nonce(sender, self._blocks[-1])
        if tx.nonce < nonce:
            raise LedgerError(f"nonce too low: next nonce {nonce}, tx nonce {tx.nonce}")
        if tx.gas > GAS_LIMIT:
            raise LedgerError("exceeds block gas limit")
        if tx.gas < tx.intrinsic_gas:
            raise LedgerError(f"intrinsic gas too low: have {tx.gas}, want {tx.intrinsic_gas}")
        cost = tx.value + tx.gas * tx.max_fee_per_gas
        balance = self.balance(sender, self._blocks[-1])
        if balance < cost:
            raise LedgerError(
                f"insufficient funds for gas * price + value: balance {balance}, tx cost {cost}"
            )
        waiting = Waiting(
            tx_hash, raw, sender, tx.nonce, tx.max_fee_per_gas, tx.max_priority_fee_per_gas, tx
        )
        try:
            self._pool.add(waiting)
        except PoolError as error:
            raise LedgerError(str(error)) from error
        return tx_hash

    def pay(self, to: bytes | None, value: int, data: bytes, gas: int | None) -> bytes:
        """Send from the faucet; the transaction's hash. Raises LedgerError."""
        with self._lock:
            if gas is None:
                gas = self.estimate(Call(self.faucet, to, value, data), self._blocks[-1])
            unsigned = self._chain.get_transaction_builder().new_unsigned_dynamic_fee_transaction(
                chain_id=self.chain_id,
                nonce=self.pending_nonce(self.faucet),
                max_priority_fee_per_gas=SUGGESTED_TIP,
                max_fee_per_gas=2 * self.base_fee() + SUGGESTED_TIP,
                gas=gas,
                to=b"" if to is None else to,
                value=value,
                data=data,
                access_list=[],
            )
            return self.submit(unsigned.as_signed_transaction(self.faucet_key).encode())

    # --- blocks -----------------------------------------------------------------------------

    def mine(self) -> MinedBlock:
        """Seal a block with what is ready in the pool, at the clock's time."""
        with self._lock:
            parent = self._blocks[-1].header
            mix = os.urandom(32)
            chain = self._chain
            # Before the first transaction runs: contracts read their block's time from here.
            chain.header = chain.create_header_from_parent(
                parent, timestamp=max(self.clock.now(), parent.timestamp), mix_hash=mix
            )
            base_fee = int(chain.header.base_fee_per_gas)
            applied: list[tuple[Waiting, Any]] = []
            blocked: set[bytes] = set()
            state = chain.get_vm(chain.header).state
            for item in list(self._pool.ready(state.get_nonce, base_fee)):
                if item.sender in blocked:
                    continue
                if chain.header.gas_used + item.tx.gas > chain.header.gas_limit:
                    blocked.add(item.sender)
                    continue
                self._pool.remove(item)
                before = chain.header
                try:
                    _, receipt, _ = chain.apply_transaction(item.tx)
                except (ValidationError, PyEVMError) as error:
                    chain.header = before
                    blocked.add(item.sender)
                    log.warning("dropped transaction %s: %s", item.hash.hex(), error)
                    continue
                applied.append((item, receipt))
            sealed = chain.mine_block(mix_hash=mix, coinbase=ZERO_ADDRESS)
            return self._index(sealed.header, applied)

    def _index(self, header: BlockHeaderAPI, applied: Sequence[tuple[Waiting, Any]]) -> MinedBlock:
        block = MinedBlock(header, [])
        base_fee = block.base_fee
        cumulative = 0
        count = 0
        for index, (item, receipt) in enumerate(applied):
            tip = min(item.max_tip, item.max_fee - base_fee)
            created = None
            if not item.tx.to:
                created = _create_address(item.sender, item.nonce)
            mined = MinedTransaction(
                tx=item.tx,
                raw=item.raw,
                hash=item.hash,
                sender=item.sender,
                index=index,
                block=block,
                ok=receipt.state_root == b"\x01",
                gas_used=int(receipt.gas_used) - cumulative,
                cumulative_gas=int(receipt.gas_used),
                gas_price=base_fee + tip,
                created=created,
                events=[],
            )
            cumulative = int(receipt.gas_used)
            for entry in receipt.logs:
                topics = tuple(int(topic).to_bytes(32, "big") for topic in entry.topics)
                mined.events.append(Event(bytes(entry.address), topics, entry.data, count, mined))
                count += 1
            block.transactions.append(mined)
            self._mined[item.hash] = mined
        self._blocks.append(block)
        self._by_hash[block.hash] = block
        if count:
            self._with_events.append(block.number)
        return block

    def rewind(self, number: int, keep: bool) -> None:
        """Drop all blocks above `number`, as a reorganisation does: clients must bear it.

        With `keep` their transactions go back to the pool, otherwise they are lost, and with them
        all that wait. Raises LedgerError when there is no such block.
        """
        with self._lock:
            if not 0 <= number < len(self._blocks):
                raise LedgerError(f"no block {number} to go back to")
            dropped = self._blocks[number + 1 :]
            del self._blocks[number + 1 :]
            del self._with_events[bisect_left(self._with_events, number + 1) :]
            for block in dropped:
                del self._by_hash[block.hash]
                for mined in block.transactions:
                    del self._mined[mined.hash]
            self._chain.header = self._chain.create_header_from_parent(self._blocks[-1].header)
            if not keep:
                self._pool.clear()
                return
            for mined in (m for block in dropped for m in block.transactions):
                try:
                    self._admit(mined.tx, mined.raw, mined.sender)
                except LedgerError as error:
                    log.info("not back in the pool: %s: %s", mined.hash.hex(), error)


def _tokens(data: bytes) -> int:
    """Calldata in the tokens of EIP-7623: a zero byte is one, any other four."""
    zeros = data.count(0)
    return zeros + 4 * (len(data) - zeros)


def _intrinsic_gas(call: Call) -> int:
    gas = 21_000 + 4 * _tokens(call.data)
    if call.to is None:
        gas += 32_000 + 2 * ((len(call.data) + 31) // 32)  # EIP-2, EIP-3860
    return gas


def _create_address(sender: bytes, nonce: int) -> Address:
    return Address(generate_contract_address(sender, nonce))
