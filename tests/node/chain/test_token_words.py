"""What token contracts say: read within limits, believed by nobody, refused in words."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from eth_abi import encode
from eth_hash.auto import keccak
from hypothesis import given
from hypothesis import strategies as st

from node.chain.errors import Reverted
from node.chain.replies import Invalid
from node.chain.tokens import calls, reading
from protocol.errors import InputError

TOKEN = b"\x11" * 20
OWNER, SPENDER = b"\x22" * 20, b"\x33" * 20


class Contract:
    """Answers calls by selector, as a chain node would hand them on; else it reverts."""

    chain_id = 7

    def __init__(self, code: bytes = b"\x01", **answers: bytes) -> None:
        self._code = code
        self.answers = {calls.SELECTORS[f"{k}()"]: v for k, v in answers.items() if "(" not in k}

    async def code(self, address: bytes) -> bytes:
        return self._code

    async def run(self, sender: bytes, to: bytes, data: bytes, *_: Any) -> bytes:
        answer = self.answers.get(data[:4].hex())
        if answer is None:
            raise Reverted("http://node", "eth_call", "no such function", b"")
        return answer


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_selectors_are_those_of_the_signatures() -> None:
    for signature, first in calls.SELECTORS.items():
        assert keccak(signature.encode())[:4].hex() == first


def test_calls_are_what_another_encoder_makes() -> None:
    made = calls.call("approve(address,uint256)", SPENDER, 2**256 - 1)
    plain = encode(["address", "uint256"], ["0x" + SPENDER.hex(), 2**256 - 1])
    assert made[4:] == plain


async def test_a_token_that_speaks_is_read() -> None:
    told = encode(["string"], ["USDC"])
    found = await reading.describe(Contract(symbol=told, decimals=word(6)), TOKEN)
    assert (found.symbol, found.decimals, found.problems) == ("USDC", 6, ())
    old = Contract(symbol=b"MKR".ljust(32, b"\0"), decimals=word(18))
    assert (await reading.describe(old, TOKEN)).symbol == "MKR"


@pytest.mark.parametrize(
    ("contract", "words"),
    [
        (Contract(), ("refuses symbol: no such function", "refuses decimals")),
        (
            Contract(symbol=b"", decimals=b""),
            ("answers symbol with nonsense", "answers decimals with nonsense: 0 bytes"),
        ),
        (
            Contract(symbol=encode(["string"], ["x" * 257]), decimals=word(37)),
            ("a text of 257 bytes; at most 256", "it says that it has 37 decimals; at most 36"),
        ),
        (
            Contract(symbol=word(32) + word(2**200), decimals=word(2**256 - 1)),
            ("a text of", "decimals; at most 36"),
        ),
        (
            Contract(symbol=word(64) * 3, decimals=b"\x01"),
            ("96 bytes that are no text", "1 bytes where a number has 32"),
        ),
    ],
)
async def test_a_token_that_fails_or_lies_is_told_of_in_words(
    contract: Contract, words: tuple[str, ...]
) -> None:
    found = await reading.describe(contract, TOKEN)
    assert (found.symbol, found.decimals) == (None, None)
    for text, problem in zip(words, found.problems, strict=True):
        assert text in problem


async def test_an_address_without_a_contract_is_refused() -> None:
    with pytest.raises(InputError, match="no contract stands at 0x1111"):
        await reading.describe(Contract(b""), TOKEN)


async def test_a_call_that_would_come_to_nothing_is_refused_before_it_is_sent() -> None:
    contract, data = Contract(), calls.call("approve(address,uint256)", SPENDER, 5)
    for fine in (b"", word(1), word(1) + b"more"):
        contract.answers[data[:4].hex()] = fine
        await reading.rehearse(contract, TOKEN, OWNER, data)
    for wrong in (word(0), word(2), b"\x01", b"no"):
        contract.answers[data[:4].hex()] = wrong
        with pytest.raises(InputError, match="refuses approve: it answers 0x"):
            await reading.rehearse(contract, TOKEN, OWNER, data)
    del contract.answers[data[:4].hex()]
    with pytest.raises(InputError, match="refuses approve: no such function"):
        await reading.rehearse(contract, TOKEN, OWNER, data)


@given(st.binary(max_size=400))
def test_any_answer_is_a_text_or_invalid(data: bytes) -> None:
    with contextlib.suppress(Invalid):
        assert len(calls.text(data)) <= calls.MAX_TEXT
    assert isinstance(calls.agreed(data), bool)
