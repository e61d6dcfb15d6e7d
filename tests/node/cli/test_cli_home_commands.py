"""Commands that work without a daemon: init, join, account, keys, deploy, and up's refusals."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from eth_utils.address import is_checksum_address

from node.cli.main import main
from node.control import examples as ex
from node.control.codes import Exit
from node.home.config import load_config
from node.home.home import Home

LINE = ex.STATUS.join_line
URL = ("--chain-url", "http://127.0.0.1:8545")


async def test_init_makes_a_home_that_is_ready(assay: Any) -> None:
    ended = await assay("init", *URL, "--chain-id", "1337", "--json")
    assert ended.code == 0
    assert ended.json["home"] == str(assay.home)
    assert assay.home.stat().st_mode & 0o077 == 0
    account = await assay("account", "--json")
    assert account.json == {"address": ended.json["account"]}
    # In mixed case, which a mistyped digit does not survive, as `status` shows it.
    assert is_checksum_address(ended.json["account"])
    again = await assay("init", *URL)
    assert again.code == Exit.USAGE
    assert "is a home already" in again.err
    assert (await assay("account", "--json")).json == account.json


async def test_init_takes_a_join_line(assay: Any) -> None:
    ended = await assay(
        "init", LINE, *URL, "--listen", "/ip4/127.0.0.1/tcp/0", "--finality", "0", "--json"
    )
    assert ended.code == 0
    config = load_config(Home(assay.home))
    assert config.chain_id == 1337
    assert config.contract == bytes.fromhex(ex.CONTRACT[2:])
    assert config.bootstrap == (ex.ADDRESS,)
    assert config.listen == ("/ip4/127.0.0.1/tcp/0",)
    assert config.finality == 0
    tomllib.loads(Home(assay.home).config.read_text())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((LINE, "--chain-id", "5"), "chain 1337"),
        ((LINE, "--contract", "0x" + "11" * 20), "contract"),
        (("--listen", "nonsense"), "network.listen"),
        (("--chain-url", "ftp://x"), "chain.url"),
        (("--contract", "0x12"), "contract"),
        (("--finality", "-1"), "chain.finality"),
    ],
)
def test_init_refuses_and_leaves_nothing(
    arguments: tuple[str, ...], says: str, tmp_path: Path, capsys: Any
) -> None:
    home = tmp_path / "home"
    assert main(["--home", str(home), "init", *arguments]) == Exit.USAGE
    assert says in capsys.readouterr().err
    assert not home.exists()


async def test_join_without_a_daemon_is_stored(assay: Any) -> None:
    await assay("init", *URL)
    ended = await assay("join", LINE)
    assert ended.code == 0
    assert "the next `assay up` joins" in ended.out
    config = load_config(Home(assay.home))
    assert (config.chain_id, config.bootstrap) == (1337, (ex.ADDRESS,))
    for other in (LINE.replace("1337", "1338"), LINE.replace("c0c0", "c1c1")):
        refused = await assay("join", other)
        assert refused.code == Exit.REFUSED
        assert "one home serves one contract" in refused.err
    assert (await assay("join", LINE)).code == 0
    assert load_config(Home(assay.home)) == config


async def test_a_home_with_a_long_path_has_no_daemon_either(assay: Any) -> None:
    """Its socket would lie elsewhere: no link to it, no daemon."""
    assay.environ["ASSAY_HOME"] = str(assay.home / ("long" * 30))
    assert (await assay("init", *URL)).code == 0
    assert (await assay("join", LINE)).code == 0
    ended = await assay("status")
    assert (ended.code, "no daemon runs" in ended.err) == (Exit.NO_DAEMON, True), ended.err


async def test_up_names_the_process_that_runs(assay: Any) -> None:
    await assay("init")
    with Home(assay.home).lock():
        for arguments in (("up",), ("up", "--background")):
            ended = await assay(*arguments)
            assert ended.code == Exit.REFUSED
            assert f"in use by process {os.getpid()}" in ended.err


async def test_up_in_the_background_hands_on_why_it_failed(assay: Any) -> None:
    ended = await assay("up", "--background")
    assert ended.code == Exit.USAGE
    assert "assay init" in ended.err
    await assay("init")
    home = Home(assay.home)
    home.config.write_text("[network]\nlisten = 5\n")
    ended = await assay("up", "--background")
    assert ended.code == Exit.USAGE
    assert ended.err.startswith("error: network.listen: is 5")
    assert "network.listen" in home.log.read_text()
    assert home.log.stat().st_mode & 0o077 == 0


async def test_keys_survive_a_lost_disk(assay: Any, tmp_path: Path) -> None:
    account = (await assay("init", *URL, "--chain-id", "7", "--json")).json["account"]
    backup = tmp_path / "keys.backup"
    assert (await assay("keys", "backup", str(backup), stdin="correct horse\n")).code == 0
    other = ("--home", str(tmp_path / "other"))
    wrong = await assay(*other, "keys", "restore", str(backup), stdin="wrong horse\n")
    assert wrong.code == Exit.USAGE
    restored = await assay(
        *other, "keys", "restore", str(backup), "--json", stdin="correct horse\n"
    )
    assert restored.json["address"] == account
    assert (await assay(*other, "account", "--json")).json["address"] == account
    assert load_config(Home(tmp_path / "other")).chain_id == 7


async def test_a_passphrase_file_seals_the_keys(assay: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("correct horse\n")
    secret.chmod(0o600)
    assay.environ["ASSAY_PASSPHRASE_FILE"] = str(secret)
    ended = await assay("init", "--json")
    assert ended.json["sealed"] is True
    assert "correct horse" not in ended.out
    printed = await assay("service", "print")
    assert f"LoadCredential=passphrase:{secret}" in printed.out
    assert "Environment=" not in printed.out


async def test_deploy_says_what_is_missing(assay: Any) -> None:
    await assay("init")
    ended = await assay("deploy")
    assert ended.code == Exit.USAGE
    assert "url or id is missing" in ended.err
    home = Home(assay.home)
    home.config.write_text('[chain]\nurl = "http://127.0.0.1:1"\nid = 1337\n')
    ended = await assay("deploy")
    assert ended.code == Exit.CHAIN
    assert ended.err.count("\n") <= 2
    assert load_config(home).contract is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--fund", "0x12"), "fund"),
        (("--fund", "0x" + "11" * 20 + "=5 bananas"), "fund"),
        (("--fund", "0x" + "11" * 20, "--fund", "0x" + "11" * 20), "twice"),
        (("--block-time", "0"), "block_time"),
    ],
)
def test_devnet_refuses_bad_values(
    arguments: tuple[str, ...], says: str, tmp_path: Path, capsys: Any
) -> None:
    assert main(["--home", str(tmp_path / "home"), "devnet", *arguments]) == Exit.USAGE
    assert says in capsys.readouterr().err
