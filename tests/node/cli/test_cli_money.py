"""Nothing is spent that nobody agreed to: `job post`, `send`, `token revoke`."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from node.cli.main import main
from node.cli.money_views import holds
from node.control.codes import Exit
from node.control.money import examples as mx
from node.home.config import Config, init_home
from node.home.home import Home
from node.home.tokens import change_tokens
from protocol.addresses import parse_address, to_checksum
from protocol.tokens import Token, Tokens

USDC = Token(1337, parse_address(mx.USDC), "USDC", 6)
TO = to_checksum(bytes.fromhex("abcd" * 10))


def named(assay: Any) -> None:
    """The home knows USDC."""
    home = Home(assay.home)
    home.config.write_text("[chain]\nid = 1337\nurl = 'http://127.0.0.1:1'\n")
    change_tokens(home, lambda known: Tokens((*known, USDC)))


async def test_a_job_is_posted_once_somebody_agrees(assay: Any, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text('title = "a"\n')
    async with assay.daemon() as running:
        named(assay)
        asked = await assay("job", "post", "job.toml")
        assert asked.code == Exit.REFUSED
        assert "the job locks up 2.5 USDC, after one approval of exactly that" in asked.err
        assert "about 227,000 gas, at most 0.000681 ether now" in asked.err
        assert "the account holds 4 USDC and 1 ether" in asked.err
        assert "next: assay job post job.toml --yes" in asked.err
        assert running.node.posted == []
        running.node.quote = dataclasses.replace(mx.QUOTE, problem="this account has 0 USDC")
        poor = await assay("job", "post", "job.toml")
        assert (poor.code, "this account has 0 USDC" in poor.err) == (Exit.CHAIN, True)
        assert (await assay("job", "post", "job.toml", "--yes")).code == Exit.OK
        limited = await assay("job", "post", "job.toml", "--yes", "--max-fee", "2.5")
        assert limited.code == Exit.OK
        assert len(running.node.posted) == 2
        assert running.node.fees == [None, 2_500_000_000]
        wrong = await assay("job", "post", "job.toml", "--yes", "--max-fee", "0")
        assert (wrong.code, "max_fee: is 0" in wrong.err) == (Exit.USAGE, True)


async def test_money_is_sent_once_somebody_agrees(assay: Any) -> None:
    async with assay.daemon() as running:
        named(assay)
        asked = await assay("send", TO, "2.5 USDC")
        assert asked.code == Exit.REFUSED
        assert f"2.5 USDC go to {TO}; it uses about 48,000 gas, at most" in asked.err
        assert "nobody is there to agree" in asked.err
        assert [sent[5] for sent in running.node.sent] == [True]
        done = await assay("send", TO, "2.5 usdc", "--yes", "--id", "rent", "--max-fee", "3")
        assert done.code == Exit.OK
        assert f"sent 2.5 USDC to {TO}" in done.out
        last = ("rent", TO, 2_500_000, mx.USDC, 3 * 10**9, False)
        assert running.node.sent[-1] == last
        await assay("send", TO, "0.5 ether", "--yes")
        await assay("send", TO, "7 units", "--token", mx.USDC, "--yes")
        assert [sent[2:4] for sent in running.node.sent[-2:]] == [
            (5 * 10**17, None),
            (7, mx.USDC),
        ]
        assert len({sent[0] for sent in running.node.sent}) == 4
        running.node.sent_state = "failed"
        failed = await assay("send", TO, "1 wei", "--yes")
        assert (failed.code, "not sent: 1 wei" in failed.out) == (Exit.CHAIN, True)
        running.node.sent_state = "sent"
        waits = await assay("send", TO, "1 wei", "--yes", "--id", "mine")
        assert (waits.code, "--id mine says where it stands" in waits.out) == (Exit.OK, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((TO.lower(), "1 ether"), "carries no checksum"),
        ((TO[:-1] + ("1" if TO[-1] != "1" else "2"), "1 ether"), "wrong checksum"),
        (("0x12", "1 ether"), "not an address"),
        ((TO, "1"), "say of what"),
        ((TO, "1 DAI"), "say of what"),
        ((TO, "0.0000001 USDC"), "6 decimals"),
        ((TO, "1 USDC", "--token", "ether"), "allowed is"),
        ((TO, "1 USDC", "--token", "DAI"), "no token here"),
    ],
)
def test_a_slip_of_the_pen_sends_nothing(
    arguments: tuple[str, ...], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No daemon is asked: that would end with another exit code."""
    home = Home(tmp_path / "home")
    init_home(home, Config(chain_url="http://127.0.0.1:1", chain_id=1337))
    change_tokens(home, lambda known: Tokens((*known, USDC)))
    assert main(["--home", str(home.path), "send", *arguments, "--yes"]) == Exit.USAGE
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (999_739_351_177_166_424_823, "999.739351 ether"),
        (10**12 + 1, "0.000001 ether"),
        (10**12 - 1, "999999999999 wei"),
        (0, "0 ether"),
    ],
)
def test_what_an_account_holds_is_read_at_a_glance(amount: int, shown: str) -> None:
    assert holds(str(amount), None) == shown
    assert holds(str(amount), mx.USDC, Tokens((USDC,))).endswith(" USDC")


async def test_what_the_contract_may_take_is_taken_back(assay: Any) -> None:
    async with assay.daemon() as running:
        named(assay)
        assert (await assay("token", "revoke", "USDC")).code == Exit.REFUSED
        assert running.node.sent == []
        done = await assay("token", "revoke", "usdc", "--yes")
        assert (done.code, running.node.sent[0][3]) == (Exit.OK, mx.USDC)
        assert "the contract may take nothing of usdc" in done.out


async def test_a_check_says_what_gas_costs_and_whether_the_account_holds_it(assay: Any) -> None:
    spec = Path(__file__).parents[3] / "docs" / "examples" / "digits.toml"
    without = await assay("job", "check", str(spec))
    assert "the requester's gas" in without.out
    assert "pay all" in without.out
    assert "claim for all" not in without.out
    assert "gas costs" not in without.out
    async with assay.daemon() as running:
        named(assay)
        held = 999_991_265_427_658_173_154
        running.node.quote = dataclasses.replace(mx.QUOTE, token=None, balance=held, coin=held)
        coin = await assay("job", "check", str(spec))
        assert re.search("the account holds +999.991265 ether", coin.out)
        running.node.quote = mx.QUOTE
        shown = await assay("job", "check", str(spec))
        assert "at 3 gwei, the most that is offered now" in shown.out
        assert "4 USDC" in shown.out
        # The daemon knows of a permit, and whether it pays by claims.
        gas = (await assay("job", "check", str(spec), "--json")).json["gas"]
        rest = gas["all"] - gas["approve"] - gas["post"]
        permitted = dataclasses.replace(
            mx.QUOTE, approves=False, gas=217_000, gas_job=217_000 + rest
        )
        running.node.quote = permitted
        shown = await assay("job", "check", str(spec))
        assert f"about {217_000 + rest:,}" in shown.out
        assert "post 217,000, enrol" in shown.out
        assert f"pay all {gas['pay']:,}" in shown.out
        assert "approve" not in shown.out
        claims = dataclasses.replace(permitted, gas_job=9_217_000 + rest)
        running.node.quote = claims
        assert (
            f"claim for all {9_000_000 + gas['pay']:,}"
            in (await assay("job", "check", str(spec))).out
        )
        running.node.quote = dataclasses.replace(mx.QUOTE, problem="send it ether")
        assert "warning: send it ether" in (await assay("job", "check", str(spec))).out
        result = (await assay("job", "check", str(spec), "--json")).json
        assert result["gas"]["all"] > result["gas"]["post"] > 100_000
        assert result["quote"]["escrow"] == "2500000"
