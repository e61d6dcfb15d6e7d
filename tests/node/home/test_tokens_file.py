"""tokens.json: what a user named stays so, and a damaged file is refused whole."""

from __future__ import annotations

import json
import stat
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from node.engine.services import Services
from node.home.config import Config, init_home
from node.home.home import Home
from node.home.tokens import MAX_FILE_BYTES, change_tokens, load_all, load_tokens
from protocol.errors import InputError
from protocol.tokens import NO_TOKENS, Token, Tokens

HERE = Token(7, b"\x11" * 20, "USDC", 6, "USD Coin")
ELSEWHERE = Token(8, b"\x11" * 20, "USDC", 18)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    init_home(made, Config(chain_url="http://127.0.0.1:8545", chain_id=7))
    return made


def test_what_was_named_is_read_back_chain_by_chain(home: Home) -> None:
    assert load_tokens(home) == NO_TOKENS
    change_tokens(home, lambda known: Tokens((*known, HERE)))
    change_tokens(home, lambda known: Tokens((*known, ELSEWHERE)))
    assert load_all(home).all == (HERE, ELSEWHERE)
    assert load_tokens(home).all == (HERE,)
    assert stat.S_IMODE(home.tokens.stat().st_mode) == 0o600


def test_a_change_that_does_not_fit_leaves_the_file(home: Home) -> None:
    change_tokens(home, lambda known: Tokens((*known, HERE)))
    with pytest.raises(InputError, match="twice"):
        change_tokens(home, lambda known: Tokens((*known, HERE)))
    assert load_all(home).all == (HERE,)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        b" " * (MAX_FILE_BYTES + 1),
        json.dumps({"tokens": [{"name": "USDC"}]}).encode(),
        json.dumps({"tokens": ["USDC"]}).encode(),
        b'{"tokens": [{"chain_id": 7, "address": "0x12", "name": "A", "decimals": 6,'
        b' "symbol": ""}]}',
        b'{"tokens": [{"chain_id": 7, "address": "0x1111111111111111111111111111111111111111",'
        b' "name": "A", "decimals": true, "symbol": ""}]}',
        b'{"tokens": [{"chain_id": 7, "address": "0x1111111111111111111111111111111111111111",'
        b' "name": "A", "decimals": 6, "symbol": "\\u001b[31m"}]}',
    ],
)
def test_a_damaged_file_is_refused_whole(home: Home, content: bytes) -> None:
    home.tokens.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_tokens(home)
    assert str(home.tokens) in str(caught.value)


def test_a_damaged_list_costs_the_names_and_stops_no_job(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    services: Any = SimpleNamespace(home=home, chain=SimpleNamespace(chain_id=7))
    services.tokens = partial(Services.tokens, services)
    change_tokens(home, lambda known: Tokens((*known, HERE, ELSEWHERE)))
    assert Services.tokens_shown(services).all == (HERE,)
    home.tokens.write_text("{")
    assert Services.tokens_shown(services) == NO_TOKENS
    assert "amounts are shown without tokens' names" in caplog.text
    with pytest.raises(InputError):
        Services.tokens(services)
