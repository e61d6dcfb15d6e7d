"""The ledger and its pool, without a network: what a client can rely on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.chain.devnet import CHAIN_ID, ETHER, SIGNERS

from node.devnet.clock import MAX_AHEAD
from node.devnet.ledger import Ledger
from node.devnet.pool import MAX_PER_ACCOUNT, Pool, PoolError, Waiting
from node.devnet.records import Call, LedgerError, Reverted

GWEI = 10**9


def ledger(clock: float = 1_000_000.0) -> Ledger:
    return Ledger(CHAIN_ID, {SIGNERS[0].account: ETHER}, clock=lambda: clock)


def transfer(
    nonce: int, fee: int = 5 * GWEI, tip: int = GWEI, chain_id: int = CHAIN_ID, value: int = 1
) -> bytes:
    return SIGNERS[0].sign_transaction(
        {
            "type": 2,
            "chainId": chain_id,
            "nonce": nonce,
            "gas": 21_000,
            "maxFeePerGas": fee,
            "maxPriorityFeePerGas": tip,
            "to": SIGNERS[1].account,
            "value": value,
            "data": b"",
        }
    )


def test_transactions_wait_and_are_mined_in_order() -> None:
    chain = ledger()
    hashes = [chain.submit(transfer(nonce)) for nonce in range(3)]
    assert chain.pending_nonce(SIGNERS[0].account) == 3
    assert chain.nonce(SIGNERS[0].account, chain.head) == 0
    block = chain.mine()
    assert [tx.hash for tx in block.transactions] == hashes
    assert [tx.cumulative_gas for tx in block.transactions] == [21_000, 42_000, 63_000]
    assert chain.balance(SIGNERS[1].account, block) == 3
    assert chain.balance(SIGNERS[1].account, chain.block(0)) == 0


def test_a_gap_holds_back_what_stands_behind_it() -> None:
    chain = ledger()
    late = chain.submit(transfer(1))
    assert chain.mine().transactions == []
    assert chain.pending_nonce(SIGNERS[0].account) == 0
    first = chain.submit(transfer(0))
    assert [tx.hash for tx in chain.mine().transactions] == [first, late]


def test_a_tenth_more_replaces_and_less_does_not() -> None:
    chain = ledger()
    old = chain.submit(transfer(0, fee=100 * GWEI, tip=10 * GWEI))
    with pytest.raises(LedgerError, match="underpriced"):
        chain.submit(transfer(0, fee=110 * GWEI, tip=11 * GWEI - 1))
    new = chain.submit(transfer(0, fee=110 * GWEI, tip=11 * GWEI))
    assert chain.waiting(old) is None
    assert [tx.hash for tx in chain.mine().transactions] == [new]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (transfer(0, chain_id=1), "invalid chain id"),
        (transfer(0, value=2 * ETHER), "insufficient funds"),
        (b"\x02\xff", "invalid transaction"),
        (b"", "invalid transaction"),
        (transfer(0)[:-1], "invalid transaction"),
    ],
)
def test_what_can_never_be_mined_is_refused(raw: bytes, reason: str) -> None:
    chain = ledger()
    with pytest.raises(LedgerError, match=reason):
        chain.submit(raw)
    assert chain.mine().transactions == []


def test_a_transaction_is_taken_once() -> None:
    chain = ledger()
    chain.submit(transfer(0))
    with pytest.raises(LedgerError, match="already known"):
        chain.submit(transfer(0))
    chain.mine()
    with pytest.raises(LedgerError, match="already known"):
        chain.submit(transfer(0))
    with pytest.raises(LedgerError, match="nonce too low"):
        chain.submit(transfer(0, value=2))


def test_a_fee_below_the_base_fee_waits_until_it_falls() -> None:
    chain = ledger()
    cheap = chain.submit(transfer(0, fee=GWEI // 2, tip=1))
    blocks = [chain.mine() for _ in range(8)]
    mined = [b for b in blocks if b.transactions]
    assert len(mined) == 1
    assert mined[0].number > 1
    assert mined[0].base_fee <= GWEI // 2
    assert mined[0].transactions[0].hash == cheap


def test_time_is_the_walls_and_never_runs_back() -> None:
    times = iter([100.0, 100.2, 100.9, 101.5, 99.0])
    chain = Ledger(CHAIN_ID, {}, clock=lambda: next(times))
    assert [chain.mine().header.timestamp for _ in range(4)] == [100, 100, 101, 101]


def test_rewound_blocks_come_back_with_other_hashes() -> None:
    chain = ledger()
    chain.mine()
    tx = chain.submit(transfer(0))
    old = chain.mine()
    chain.rewind(1, keep=True)
    assert chain.mined(tx) is None
    assert chain.block_by_hash(old.hash) is None
    assert chain.nonce(SIGNERS[0].account, chain.head) == 0
    new = chain.mine()
    assert new.number == old.number
    assert new.hash != old.hash
    assert [t.hash for t in new.transactions] == [tx]
    chain.rewind(1, keep=False)
    assert chain.mine().transactions == []
    with pytest.raises(LedgerError, match="no block 9"):
        chain.rewind(9, keep=True)


def test_calls_cost_nothing_and_change_nothing() -> None:
    chain = ledger()
    # PUSH1 7, PUSH0, SSTORE, PUSH1 32, PUSH0, RETURN as creation code: returns 32 zero bytes.
    code = bytes.fromhex("60075f5560205ff3")
    poor = bytes(19) + b"\x09"
    assert chain.call(Call(sender=poor, data=code), chain.head) == bytes(32)
    assert chain.nonce(poor, chain.head) == 0
    with pytest.raises(LedgerError, match="insufficient funds"):
        chain.call(Call(sender=poor, to=SIGNERS[0].account, value=1), chain.head)
    with pytest.raises(Reverted) as caught:
        # PUSH1 1, PUSH0, MSTORE8, PUSH1 1, PUSH0, REVERT
        chain.call(Call(data=bytes.fromhex("60015f5360015ffd")), chain.head)
    assert caught.value.data == b"\x01"
    with pytest.raises(LedgerError, match="InvalidInstruction"):
        chain.call(Call(data=b"\xfe"), chain.head)


def test_an_estimate_is_enough_and_not_much_more() -> None:
    chain = ledger()
    assert chain.estimate(Call(SIGNERS[0].account, SIGNERS[1].account, 1), chain.head) <= 22_000
    code = bytes.fromhex("60075f5560205ff3")
    gas = chain.estimate(Call(SIGNERS[0].account, None, 0, code), chain.head)
    chain.pay(None, 0, code, gas)
    mined = chain.mine().transactions[0]
    assert mined.ok
    assert mined.gas_used <= gas <= mined.gas_used + 3_500
    with pytest.raises(LedgerError, match="allowance"):
        chain.estimate(Call(SIGNERS[0].account, None, 0, code, gas=1_000), chain.head)


def test_two_chains_of_one_id_share_a_faucet_and_no_other() -> None:
    assert Ledger(5, {}).faucet == Ledger(5, {}).faucet != Ledger(6, {}).faucet


def waiting(sender: int, nonce: int, fee: int = 10, serial: int = 0) -> Waiting:
    tx_hash = bytes([sender, nonce % 256, nonce // 256, fee % 256, serial])
    return Waiting(tx_hash, b"", bytes([sender]), nonce, fee, fee, None)


def test_a_clock_that_is_set_ahead_shows_in_all_later_blocks_and_never_goes_back() -> None:
    chain = ledger()
    assert chain.mine().header.timestamp == 1_000_000
    assert chain.clock.advance(7_200) == 7_200
    assert chain.clock.advance(1) == 7_201
    assert [chain.mine().header.timestamp for _ in range(2)] == [1_007_201] * 2
    chain.rewind(0, keep=False)
    assert chain.mine().header.timestamp == 1_007_201
    assert chain.clock.advance(MAX_AHEAD - 7_201) == MAX_AHEAD
    for too_far in (1, -1):
        with pytest.raises(LedgerError, match="by 0 to 0 s more"):
            chain.clock.advance(too_far)


def test_the_pool_is_bounded_by_account() -> None:
    pool = Pool()
    for nonce in range(MAX_PER_ACCOUNT):
        pool.add(waiting(1, nonce))
    with pytest.raises(PoolError, match="full"):
        pool.add(waiting(1, MAX_PER_ACCOUNT))
    pool.add(waiting(2, 0))
    assert len(pool) == MAX_PER_ACCOUNT + 1


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(1, 60)), max_size=40))
def test_the_pool_gives_each_nonce_once_without_gaps(
    adds: list[tuple[int, int, int]],
) -> None:
    pool = Pool()
    best: dict[tuple[int, int], int] = {}
    for serial, (sender, nonce, fee) in enumerate(adds):
        try:
            pool.add(waiting(sender, nonce, fee, serial))
        except PoolError:
            assert fee < best[sender, nonce] + max(1, best[sender, nonce] // 10)
            continue
        assert fee >= best.get((sender, nonce), 0)
        best[sender, nonce] = fee
    ready = list(pool.ready(lambda _: 1, base_fee=1))
    for sender in range(3):
        nonces = [item.nonce for item in ready if item.sender == bytes([sender])]
        assert nonces == list(range(1, 1 + len(nonces)))
        assert (sender, 1 + len(nonces)) not in best
    assert all(item.max_fee == best[item.sender[0], item.nonce] for item in ready)
    assert len(pool) == sum(1 for _, nonce in best if nonce >= 1)
