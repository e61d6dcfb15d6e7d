"""A join line beside a running daemon: its peer and its channel contract outlive the daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.home.config import Config, load_config, save_config
from node.home.home import Home
from node.home.joining import check_channels, remember
from protocol.errors import StateError

ADDRESS = "/ip4/192.0.2.7/tcp/4001/p2p/12D3KooWQ8qMPfiYteYLJop34UttTVh2oSXtddBisMYYBuZnV2rc"
OURS, OTHER = b"\x11" * 20, b"\x22" * 20


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    save_config(home, Config(chain_id=1337, contract=b"\x33" * 20))
    return home


def test_a_lines_peer_and_channel_contract_are_stored_once(home: Home) -> None:
    for _ in range(2):
        check_channels(home, OURS)
        remember(home, ADDRESS, OURS)
    config = load_config(home)
    assert (config.bootstrap, config.channel_contract) == ((ADDRESS,), OURS)
    remember(home, ADDRESS, None)
    assert load_config(home) == config, "a line without one takes none away"


def test_a_line_of_another_channel_contract_is_refused(home: Home) -> None:
    remember(home, ADDRESS, OURS)
    with pytest.raises(StateError, match="line is for channel contract 0x2222") as caught:
        check_channels(home, OTHER)
    assert caught.value.__notes__ == ["assay --home OTHER init LINE"]
    check_channels(home, None)
    # One that came meanwhile stays: what a home is paid by changes by its owner's hand alone.
    remember(home, ADDRESS, OTHER)
    assert load_config(home).channel_contract == OURS
