"""What node/chain believes about web3 and what it brings. An upgrade shows here what moved."""

from __future__ import annotations

import subprocess
import sys

import pytest
from eth_abi.exceptions import DecodingError, EncodingError
from web3 import HTTPProvider, Web3
from web3.exceptions import Web3Exception

from contracts import interface


def test_the_provider_would_follow_a_contracts_urls_unless_told_not_to() -> None:
    """EIP-3668 by default: BoundedProvider turns it off."""
    assert HTTPProvider.global_ccip_read_enabled is True


def test_the_provider_retries_by_itself_unless_told_not_to() -> None:
    assert HTTPProvider("http://127.0.0.1:1").exception_retry_configuration is not None
    provider = HTTPProvider("http://127.0.0.1:1", exception_retry_configuration=None)
    assert provider.exception_retry_configuration is None


def test_codec_errors_share_no_base() -> None:
    """All of them have to be named where bytes from outside are decoded."""
    assert not issubclass(DecodingError, Web3Exception | ValueError)
    assert not issubclass(EncodingError, Web3Exception | ValueError)


def test_addresses_are_encoded_from_bytes() -> None:
    contract = Web3().eth.contract(abi=list(interface().abi))
    data = contract.encode_abi("paid", [bytes(32), b"\x11" * 20])
    assert data.endswith("00" * 12 + "11" * 20)
    with pytest.raises((Web3Exception, ValueError, TypeError)):
        contract.encode_abi("paid", [bytes(32), b"\x11" * 19])


def test_tuples_are_encoded_from_sequences() -> None:
    contract = Web3().eth.contract(abi=list(interface().abi))
    merit = (1, 2, [(bytes(32), 3)])
    data = contract.encode_abi("claim", [bytes(32), bytes(20), b"", merit])
    assert len(data) == 2 + 8 + 64 * (4 + 1 + 3 + 1 + 2)


def test_eth_account_raises_the_recursion_limit() -> None:
    """Through py_ecc, to 100,000: json.loads of nested text then overflows a thread's C stack and
    ends the process. Hence provider.depth_exceeds."""
    code = "import sys, eth_account; print(sys.getrecursionlimit())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 100_000
