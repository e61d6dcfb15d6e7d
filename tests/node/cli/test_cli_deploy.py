"""`assay deploy` says what it will cost, and spends nothing that nobody agreed to."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kits.chain.devnet import CHAIN_ID, ETHER, Devnet

from node.cli.main import main
from node.control.codes import Exit
from node.home.config import load_config, save_config
from node.home.home import Home
from node.home.keys import public_account


@pytest.fixture(scope="module")
def devnet() -> Iterator[Devnet]:
    with Devnet() as chain:
        yield chain


@pytest.fixture
def home(devnet: Devnet, tmp_path: Path) -> Home:
    """A home on that chain; its account holds nothing."""
    made = Home(tmp_path / "home")
    url = ["--chain-url", devnet.url, "--chain-id", str(CHAIN_ID)]
    assert main(["--home", str(made.path), "init", *url]) == 0
    return made


class Terminal(io.StringIO):
    """Somebody who types this line."""

    def isatty(self) -> bool:
        return True


def deploy(home: Home, *options: str) -> int:
    return main(["--home", str(home.path), "--json", "deploy", *options])


def fund(devnet: Devnet, home: Home) -> bytes:
    account = public_account(home)
    devnet.rpc("assay_fund", "0x" + account.hex(), hex(ETHER))
    devnet.rpc("evm_mine")
    return account


def test_an_account_that_holds_too_little_is_told_how_much_it_takes(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert deploy(home, "--yes") == Exit.REFUSED
    error = json.loads(capsys.readouterr().err)["error"]
    assert "costs at most 0.0" in error["message"]
    assert error["message"].endswith("the account holds 0 ether")
    assert load_config(home).contract is None


@pytest.mark.parametrize("answer", ["", "n\n", "nonsense\n", None])
def test_without_a_yes_nothing_is_spent(
    answer: str | None, home: Home, devnet: Devnet, monkeypatch: Any, capsys: Any
) -> None:
    account = fund(devnet, home)
    given = io.StringIO("y\n") if answer is None else Terminal(answer)
    monkeypatch.setattr("sys.stdin", given)
    assert deploy(home) == Exit.REFUSED
    assert ("assay deploy --yes" in capsys.readouterr().err) == (answer is None)
    assert devnet.nonce(account, "pending") == 0
    assert load_config(home).contract is None


@pytest.mark.parametrize("asked", [True, False])
def test_it_costs_no_more_than_it_said(
    asked: bool, home: Home, devnet: Devnet, monkeypatch: Any, capsys: Any
) -> None:
    account = fund(devnet, home)
    monkeypatch.setattr("sys.stdin", Terminal("y\n") if asked else io.StringIO())
    assert deploy(home, *([] if asked else ["--yes"])) == 0
    said = capsys.readouterr().err
    made = load_config(home)
    assert None not in (made.contract, made.channel_contract)
    assert devnet.nonce(account) == 2
    spent = ETHER - int(devnet.rpc("eth_getBalance", "0x" + account.hex(), "latest"), 16)
    if asked:
        most = said.split("costs at most ")[1].split(" ether")[0]
        assert 0 < spent <= float(most) * ETHER


def test_a_network_of_before_gets_the_channel_contract_alone(
    home: Home, devnet: Devnet, capsys: Any
) -> None:
    account = fund(devnet, home)
    assert deploy(home, "--yes", "--channel") == 0
    first = load_config(home)
    assert (first.contract, first.channel_contract is None) == (None, False)
    # Whoever has both is told so, and pays for neither twice.
    for options in ((), ("--channel",)):
        assert deploy(home, "--yes", *options) == (Exit.REFUSED if options else 0)
    capsys.readouterr()
    assert deploy(home, "--yes") == Exit.REFUSED
    assert "already" in capsys.readouterr().err
    assert devnet.nonce(account) == 3


def test_a_home_without_the_channel_contract_is_told_how_to_get_it(home: Home, capsys: Any) -> None:
    save_config(home, dataclasses.replace(load_config(home), contract=b"\x11" * 20))
    capsys.readouterr()
    assert deploy(home, "--yes") == Exit.REFUSED
    assert "assay deploy --channel" in json.loads(capsys.readouterr().err)["error"]["next"]
