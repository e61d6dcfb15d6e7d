"""What node/devnet believes about eth-tester and py-evm. An upgrade shows here what moved.

The library is imported by the tests, not by the module: it takes a second, of every run.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from eth_utils.exceptions import ValidationError


def backend() -> Any:
    from eth.vm.forks.prague import PragueVM
    from eth_tester.backends.pyevm.main import PyEVMBackend, get_default_genesis_params

    return PyEVMBackend(get_default_genesis_params(), None, vm_configuration=((0, PragueVM),))


def fresh_chain(chain: Any, **settings: Any) -> Any:
    from eth_tester import EthereumTester

    return EthereumTester(chain, **settings)


def test_a_lookup_walks_the_whole_chain() -> None:
    """The reason for the ledger's index: an unknown hash costs a read of every block."""
    from eth_tester.exceptions import TransactionNotFound

    tester = fresh_chain(backend())
    tester.mine_blocks(20)
    reads = 0
    chain = tester.backend.chain
    original = chain.get_canonical_block_by_number

    def counting(number: int) -> object:
        nonlocal reads
        reads += 1
        return original(number)

    chain.get_canonical_block_by_number = counting
    with pytest.raises(TransactionNotFound):
        tester.get_transaction_by_hash("0x" + "00" * 32)
    assert reads >= 20


def test_its_own_pool_holds_one_transaction_an_account() -> None:
    """The reason for the ledger's pool."""
    tester = fresh_chain(backend(), auto_mine_transactions=False)
    [sender, other, *_] = tester.get_accounts()
    payment = {"from": sender, "to": other, "gas": 21_000, "value": 1}
    tester.send_transaction({**payment, "nonce": 0})
    with pytest.raises(ValidationError):
        tester.send_transaction({**payment, "nonce": 1})


def test_log_indices_count_by_transaction() -> None:
    """The standard counts by block; the ledger does."""
    tester = fresh_chain(backend(), auto_mine_transactions=False)
    # PUSH0 PUSH0 LOG0, as creation code: each transaction writes one log.
    logs = {"to": "", "data": "0x5f5fa0", "gas": 100_000}
    for sender in tester.get_accounts()[:2]:
        tester.send_transaction({**logs, "from": sender})
    tester.mine_block()
    assert [log["log_index"] for log in tester.get_logs(from_block=1)] == [0, 0]


def test_a_block_needs_a_later_second_than_its_parent() -> None:
    """The reason for DevnetVM: several blocks a second would run the chain's clock ahead."""
    from eth.vm.forks.prague import PragueVM

    chain = backend().chain
    parent = chain.get_canonical_block_header_by_number(0)
    same = chain.create_header_from_parent(parent).copy(timestamp=parent.timestamp)
    with pytest.raises(ValidationError, match="strictly later"):
        PragueVM.validate_header(same, parent)


def test_transactions_are_applied_to_the_block_that_is_open() -> None:
    """apply_transaction runs at the time that the open header says."""
    chain = backend().chain
    parent = chain.get_canonical_block_header_by_number(0)
    chain.header = chain.create_header_from_parent(parent, timestamp=parent.timestamp + 100)
    assert chain.mine_block().header.timestamp == parent.timestamp + 100


def test_importing_it_raises_the_recursion_limit() -> None:
    """Hence rpc.MAX_BRACKETS: nested JSON would overflow the stack."""
    code = "import sys, eth; print(sys.getrecursionlimit())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 10_000
