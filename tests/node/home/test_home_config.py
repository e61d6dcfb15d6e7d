from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.home.config import (
    LOG_FORMATS,
    LOG_LEVELS,
    MAX_ADDRESSES,
    MAX_CONFIG_BYTES,
    MAX_FINALITY,
    MAX_MAX_FEE_GWEI,
    MAX_WORKERS,
    SETTINGS,
    Config,
    init_home,
    load_config,
    no_chain,
    parse_config,
    parse_contract,
    render_config,
    save_config,
)
from node.home.home import Home
from node.home.keys import Keys
from protocol.errors import InputError

PEER = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo"
CONTRACT = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"  # EIP-55's first example

configs = st.builds(
    Config,
    listen=st.just(("/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/65535")),
    announce=st.sampled_from([(), ("/dns4/a.example/tcp/80", "/ip4/203.0.113.5/tcp/4001")]),
    bootstrap=st.lists(
        st.sampled_from([f"/ip4/10.0.0.1/tcp/1/p2p/{PEER}", f"/dns4/a.example/tcp/80/p2p/{PEER}"]),
        max_size=3,
    ).map(tuple),
    chain_url=st.none() | st.sampled_from(["http://127.0.0.1:8545", "https://x.example/v3/s3cret"]),
    chain_id=st.none() | st.integers(1, 2**63 - 1),
    contract=st.none() | st.binary(min_size=20, max_size=20),
    channel_contract=st.none() | st.binary(min_size=20, max_size=20),
    finality=st.integers(0, MAX_FINALITY),
    max_fee_gwei=st.integers(1, MAX_MAX_FEE_GWEI),
    log_level=st.sampled_from(LOG_LEVELS),
    log_format=st.sampled_from(LOG_FORMATS),
    payout=st.none() | st.binary(min_size=20, max_size=20).filter(any),
    workers=st.integers(1, MAX_WORKERS),
    whole_rounds=st.booleans(),
)


def test_several_chain_nodes_are_read_back() -> None:
    config = Config(chain_url="http://a", chain_urls=("http://b", "https://c/key"), agree=2)
    assert parse_config(tomllib.loads(render_config(config))) == config
    assert "key" not in repr(config)


@given(configs)
def test_what_is_written_is_read_back(config: Config) -> None:
    assert parse_config(tomllib.loads(render_config(config))) == config


def test_every_field_has_its_setting() -> None:
    assert {field.name for field in dataclasses.fields(Config)} == set(SETTINGS.values())
    assert parse_config({}) == Config()


def test_init_writes_a_home_once(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    config = Config(chain_url="http://127.0.0.1:8545", chain_id=1337, contract=bytes(20))
    init_home(home, config)
    assert load_config(home) == config
    assert home.config.stat().st_mode & 0o777 == 0o600
    # Cut off before its keys were made: begun again.
    init_home(home, Config(workers=2))
    init_home(home, config)
    Keys.create(home)
    with pytest.raises(InputError, match="is a home already"):
        init_home(home, Config())
    assert load_config(home) == config
    save_config(home, Config())
    assert load_config(home) == Config()


def test_endpoints_key_stays_out_of_repr_and_errors() -> None:
    assert "s3cret" not in repr(Config(chain_url="https://x.example/v3/s3cret"))
    with pytest.raises(InputError) as caught:
        Config(chain_url="ftp://x.example/v3/s3cret")
    assert "s3cret" not in str(caught.value)
    assert caught.value.field == "chain.url"


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        ("listen = 3", "listen", "unknown; the settings are network.listen"),
        ("[chain]\nfinalty = 3", "chain.finalty", "unknown"),
        ("[chain]\nfinality = '3'", "chain.finality", "'3'; a whole number"),
        ("[jobs]\nwhole_rounds = 1", "jobs.whole_rounds", "is 1; true or false is needed"),
        ("[chain]\nmax_fee_gwei = 0", "chain.max_fee_gwei", "is 0; 1 to 1000000 is allowed"),
        (
            f"[chain]\nmax_fee_gwei = {MAX_MAX_FEE_GWEI + 1}",
            "chain.max_fee_gwei",
            "is 1000001; 1 to 1000000 is allowed",
        ),
        ("[chain]\nfinality = true", "chain.finality", "True; a whole number"),
        (f"[chain]\nfinality = {MAX_FINALITY + 1}", "chain.finality", "257; 0 to 256"),
        ("[chain]\nid = 0", "chain.id", "is 0; 1 to"),
        (f"[chain]\nid = {2**63}", "chain.id", "1 to 9223372036854775807"),
        ("[chain]\nurl = 'localhost:8545'", "chain.url", "http://HOST:PORT"),
        ("[chain]\nurl = 'http://'", "chain.url", "http://HOST:PORT"),
        ("[chain]\nurl = 'http://a:99999'", "chain.url", "http://HOST:PORT"),
        ("[chain]\nurl = 7", "chain.url", "is int; a string"),
        ("[chain]\nurls = ['http://a']", "chain.urls", "needs chain.url"),
        ("[chain]\nurl = 'http://a'\nurls = 'http://b'", "chain.urls", "is str; a list"),
        ("[chain]\nurl = 'http://a'\nurls = ['b']", "chain.urls", "http://HOST:PORT"),
        ("[chain]\nurl = 'http://a'\nurls = ['http://a']", "chain.urls", "twice"),
        ("[chain]\nagree = 2", "chain.agree", "is 2; 1 to 1 is allowed"),
        ("[chain]\nagree = 0", "chain.agree", "is 0; 1 to 1"),
        ("[chain]\ncontract = '0x12'", "chain.contract", "40 hexadecimal digits"),
        ("[payout]\naccount = '0x12'", "payout.account", "40 hex digits"),
        (f"[payout]\naccount = '0x{'0' * 40}'", "payout.account", "not all zero"),
        (f"[payout]\naccount = '{CONTRACT.replace('A', 'a')}'", "payout.account", "EIP-55"),
        (f"[chain]\ncontract = '{CONTRACT.replace('A', 'a')}'", "chain.contract", "EIP-55"),
        ("[chain]\nchannel_contract = '0x12'", "chain.channel_contract", "40 hexadecimal digits"),
        ("[node]\nworkers = 0", "node.workers", "is 0; 1 to 64"),
        (f"[node]\nworkers = {MAX_WORKERS + 1}", "node.workers", "is 65; 1 to 64"),
        ("[node]\nlog_level = 'loud'", "node.log_level", "'loud'; allowed: debug, info"),
        ("[network]\nlisten = []", "network.listen", "0 addresses; 1 to 64"),
        ("[network]\nlisten = ['/ip4/1.2.3/tcp/1']", "network.listen", "'1.2.3' is no ip4"),
        ("[network]\nlisten = ['/ip4/1.2.3.4/tcp/65536']", "network.listen", "0 to 65535"),
        ("[network]\nlisten = ['/ip4/1.2.3.4/udp/1/quic']", "network.listen", "is needed"),
        ("[network]\nannounce = ['/ip4/1.2.3.4/tcp/0']", "network.announce", "nobody can dial"),
        ("[network]\nannounce = ['1.2.3.4:5']", "network.announce", "is needed"),
        (f"[network]\nlisten = ['/ip4/1.2.3.4/tcp/1/p2p/{PEER}']", "network.listen", "is needed"),
        ("[network]\nbootstrap = ['/ip4/1.2.3.4/tcp/1']", "network.bootstrap", "/p2p/PEER"),
        (f"[network]\nbootstrap = ['/ip4/1.2.3.4/tcp/0/p2p/{PEER}']", "network.bootstrap", "1 to"),
        (f"[network]\nbootstrap = ['/dns/a b/tcp/1/p2p/{PEER}']", "network.bootstrap", "is needed"),
        ("[network]\nbootstrap = '/ip4/1.2.3.4/tcp/1'", "network.bootstrap", "list of strings"),
    ],
)
def test_bad_setting_is_named_with_what_is_allowed(text: str, field: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_config(tomllib.loads(text))
    assert caught.value.field == field
    assert says in str(caught.value)


def test_limits_of_the_file(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.create()
    with pytest.raises(InputError, match="assay init"):
        load_config(home)
    home.config.write_bytes(b"#" * MAX_CONFIG_BYTES)
    assert load_config(home) == Config()
    home.config.write_bytes(b"#" * (MAX_CONFIG_BYTES + 1))
    with pytest.raises(InputError, match="longer than"):
        load_config(home)
    home.config.write_bytes(b"[chain\n")
    with pytest.raises(InputError, match=r"no TOML.*line 1"):
        load_config(home)
    one = "/ip4/127.0.0.1/tcp/1"
    assert len(Config(listen=(one,) * MAX_ADDRESSES).listen) == MAX_ADDRESSES
    with pytest.raises(InputError, match="65 addresses"):
        Config(listen=(one,) * (MAX_ADDRESSES + 1))


def test_contract_addresses() -> None:
    assert parse_contract(CONTRACT).hex() == CONTRACT[2:].lower()
    assert parse_contract(CONTRACT.lower()) == parse_contract("0x" + CONTRACT[2:].upper())


@pytest.mark.parametrize(
    ("known", "next_"),
    [
        ({}, "set chain.url, then: assay join"),
        ({"chain_url": "http://c"}, "assay join, with the line"),
        ({"chain_id": 7, "contract": bytes(range(20))}, "set chain.url"),
        ({"chain_url": "http://c", "chain_id": 7}, "or assay deploy for a network of your own"),
    ],
)
def test_what_a_home_lacks_of_its_chain_comes_with_what_gives_it(
    known: dict[str, Any], next_: str, tmp_path: Path
) -> None:
    (said,) = no_chain(Home(tmp_path), Config(**known)).__notes__
    assert next_ in said
    assert ("join" in said) is ("contract" not in known)
