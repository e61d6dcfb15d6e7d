"""`assay token`: a token gets a name only by its user's word, and amounts are then shown by it."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kits.bounty import MOCKS, compiled
from kits.chain.devnet import CHAIN_ID, SIGNERS, Devnet, transact

from node.cli.main import main
from node.control import examples as ex
from node.control import results as r
from node.control.cards import examples as cx
from node.control.codes import Exit
from node.control.money import examples as mx
from node.home.config import Config, init_home
from node.home.home import Home
from node.home.tokens import change_tokens, load_tokens
from protocol.addresses import parse_address, to_checksum
from protocol.tokens import Token, Tokens

USDC = Token(1337, parse_address(mx.USDC), "USDC", 6)


@pytest.fixture(scope="module")
def devnet() -> Iterator[Devnet]:
    with Devnet() as chain:
        yield chain


@pytest.fixture(scope="module")
def dollar(devnet: Devnet) -> str:
    code = bytes.fromhex(compiled(MOCKS / "permit_token_mock.vy")["bytecode"][2:])
    return to_checksum(transact(devnet, SIGNERS[0], None, code))


@pytest.fixture
def home(devnet: Devnet, tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    init_home(made, Config(chain_url=devnet.url, chain_id=CHAIN_ID))
    return made


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(home: Home, *arguments: str) -> int:
    return main(["--home", str(home.path), "--json", "token", *arguments])


def test_a_token_is_called_by_the_symbol_that_its_user_agreed_to(
    home: Home, dollar: str, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert run(home, "add", dollar) == Exit.OK
    said = capsys.readouterr()
    assert "calls itself 'TUSD', with 6 decimals" in said.err
    assert json.loads(said.out)["name"] == "TUSD"
    assert run(home, "list") == Exit.OK
    [row] = json.loads(capsys.readouterr().out)
    assert row == {
        "name": "TUSD",
        "address": dollar,
        "decimals": 6,
        "symbol": "TUSD",
        "chain_id": CHAIN_ID,
    }
    for again in ((dollar,), (dollar, "--name", "Other")):
        assert run(home, "add", *again, "--yes") == Exit.USAGE
        assert "TUSD here already" in capsys.readouterr().err
    assert run(home, "remove", "tusd") == Exit.OK
    assert not load_tokens(home).all
    assert run(home, "remove", "tusd") == Exit.USAGE


@pytest.mark.parametrize("answer", ["n\n", "", None])
def test_without_a_yes_nothing_is_named(
    answer: str | None, home: Home, dollar: str, monkeypatch: Any, capsys: Any
) -> None:
    given = io.StringIO("y\n") if answer is None else Terminal(answer)
    monkeypatch.setattr("sys.stdin", given)
    assert run(home, "add", dollar, "--name", "Own") == Exit.REFUSED
    assert ("--name Own --yes" in capsys.readouterr().err) == (answer is None)
    assert not load_tokens(home).all


def test_its_user_overrules_what_the_contract_says(home: Home, dollar: str, capsys: Any) -> None:
    assert run(home, "add", dollar, "--name", "Mine", "--decimals", "2", "--yes") == Exit.OK
    assert load_tokens(home).shown(12345, parse_address(dollar)) == "123.45 Mine"


def test_a_contract_that_is_no_token_is_refused_in_words(
    home: Home, devnet: Devnet, capsys: Any
) -> None:
    # Contracts of one byte: STOP answers every call with nothing, INVALID fails with all gas.
    mute, broken = (
        to_checksum(transact(devnet, SIGNERS[1], None, bytes.fromhex(f"60{op}60005360016000f3")))
        for op in ("00", "fe")
    )
    assert run(home, "add", broken, "--yes") == Exit.USAGE
    assert "fails at symbol" in capsys.readouterr().err
    assert run(home, "add", mute, "--yes") == Exit.USAGE
    assert "answers symbol with nonsense" in capsys.readouterr().err
    assert run(home, "add", mute, "--name", "Mute", "--yes") == Exit.USAGE
    assert "answers decimals with nonsense" in capsys.readouterr().err
    nobody = to_checksum(b"\x07" * 20)
    assert run(home, "add", nobody, "--name", "A", "--decimals", "6", "--yes") == Exit.USAGE
    assert "no contract stands at" in capsys.readouterr().err
    assert not load_tokens(home).all


async def test_every_amount_is_shown_in_its_token(assay: Any) -> None:
    async with assay.daemon() as running:
        node, home = running.node, Home(assay.home)
        detail = ex.DETAIL
        summary = dataclasses.replace(detail.summary, token=mx.USDC, rate=250_000, merit=3_000_000)
        money = dataclasses.replace(detail.money, escrowed=2_500_000)
        members = tuple(dataclasses.replace(m, claimed=1) for m in detail.members)
        shown = dataclasses.replace(detail, summary=summary, money=money, members=members)
        node.jobs_known[ex.JOB] = shown
        node.account_shown = mx.ACCOUNT
        node.claim_shown = dataclasses.replace(ex.CLAIM, token=mx.USDC, rate=40_000, merit=1)
        card = dataclasses.replace(cx.OFFER, token=mx.USDC, least_rate=250_000)
        node.offers_shown = dataclasses.replace(cx.OFFERS, offers=(card,))
        for name, value in (("token", mx.USDC), ("price_floor", "50000")):
            node.policy[name] = r.PolicyTerm(name, value, "", "")
        assert "250000 units of 0x5FbDB231…0aa3" in (await assay("jobs")).out
        assert f"assay token add {mx.USDC}" in (await assay("account")).out
        home.config.write_text("[chain]\nid = 1337\nurl = 'http://127.0.0.1:1'\n")
        change_tokens(home, lambda known: Tokens((*known, USDC)))
        listed = (await assay("jobs")).out
        assert "0.25 USDC" in listed
        assert "3 USDC" in listed
        job = (await assay("job", "show", ex.JOB)).out
        assert "2.5 USDC" in job
        assert "0.000001 USDC" in job
        assert "91,000, which cost about 0.000182 ether" in job
        account = (await assay("account")).out
        assert "2.5 USDC" in account
        assert "0.04 USDC" in account
        assert "0.02 ether" in account
        claimed = (await assay("claim", ex.JOB)).out
        assert "0.04 USDC" in claimed
        assert "0.000001 USDC" in claimed
        assert "0.25 USDC" in (await assay("card", "search")).out
        policy = (await assay("policy", "show", "ward-3")).out
        assert "0.05 USDC" in policy
        assert f"USDC ({mx.USDC})" in policy
        await assay("card", "search", "--max-price", "1.5 USDC")
        await assay("card", "search", "--token", "usdc", "--max-price", "2")
        await assay("card", "search", "--token", "usdc")
        assert [search[3:5] for search in node.searched[-3:]] == [
            (1_500_000, mx.USDC),
            (2, mx.USDC),
            (None, mx.USDC),
        ]
