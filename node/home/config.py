"""config.toml: what a user may set, read strictly and written with its explanations.

Every error is an `InputError` whose `field` is the setting's dotted name and whose text gives the
value and what is allowed. A setting that this version does not know is refused too: a misspelt
`finality` must not leave the default in force unnoticed.
"""

from __future__ import annotations

import ipaddress
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from node.home.home import Home, write_private
from node.home.hours import check_hours
from node.home.template import TEMPLATE
from protocol.addresses import parse_address, to_checksum
from protocol.errors import InputError

#: A config is a page of text; anything much longer is not one.
MAX_CONFIG_BYTES: Final = 256 * 1024
MAX_ADDRESSES: Final = 64
MAX_WORKERS: Final = 64
#: Less than that, and no round of any job would be met.
MIN_SHARE: Final = 5
MAX_CHAIN_URLS: Final = 7
#: Six minutes of two-second blocks, or Ethereum's two epochs with room: deeper is a typing error.
MAX_FINALITY: Final = 256
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("text", "json")

#: A fixed port, so that a join line stays good over restarts; not IPFS' 4001.
DEFAULT_LISTEN: Final = ("/ip4/0.0.0.0/tcp/4620",)
DEFAULT_FINALITY: Final = 2
#: Gas at 200 gwei makes a transaction of 200,000 gas cost 0.04 ether: more is worth a look first.
DEFAULT_MAX_FEE_GWEI: Final = 200
#: Less than chance makes of rows that say little, and more than a few people who moved.
DEFAULT_OVERLAP: Final = 0.1
MAX_OVERLAP: Final = 0.5
MAX_MAX_FEE_GWEI: Final = 1_000_000


@dataclass(frozen=True)
class Config:
    """A node's settings, checked: one that is wrong cannot be built (`InputError`).

    `contract` is the bounty contract's 20 bytes, `channel_contract` the one's that pays for
    predictions; None where nothing is bought or sold. `chain_url`, `chain_id` and `contract` are
    None until the node knows its chain: such a node relays and looks, and takes no job.
    """

    listen: tuple[str, ...] = DEFAULT_LISTEN
    #: Told to others instead of this machine's own addresses; none: those.
    announce: tuple[str, ...] = ()
    bootstrap: tuple[str, ...] = ()
    #: Hidden in reprs: hosted endpoints carry their access key in the path.
    chain_url: str | None = field(default=None, repr=False)
    #: Asked where the first fails, in this order.
    chain_urls: tuple[str, ...] = field(default=(), repr=False)
    #: How many of all these must show the same blocks and events.
    agree: int = 1
    chain_id: int | None = None
    contract: bytes | None = None
    channel_contract: bytes | None = None
    finality: int = DEFAULT_FINALITY
    max_fee_gwei: int = DEFAULT_MAX_FEE_GWEI
    log_level: str = "info"
    log_format: str = "text"
    workers: int = 1
    #: The part of a core that each worker may take, percent.
    share: int = 100
    #: Windows of local time in which this node takes jobs and begins attempts; none: always.
    hours: tuple[str, ...] = ()
    #: Receives what data sets earn, unless their policies name another; None: the home's account.
    payout: bytes | None = None
    #: Jobs that this home posts pay everybody in whole rounds, and not by a claim each.
    whole_rounds: bool = True
    #: Data sets that share more than this part of the smaller one's rows share one privacy budget.
    overlap: float = DEFAULT_OVERLAP

    @property
    def max_fee(self) -> int:
        """The most that a transaction offers where its user says nothing else, wei per gas."""
        return self.max_fee_gwei * 10**9

    def __post_init__(self) -> None:
        if not self.listen:
            raise InputError(f"has 0 addresses; 1 to {MAX_ADDRESSES} are allowed", "network.listen")
        for name, addresses, peer in (
            ("network.listen", self.listen, False),
            ("network.announce", self.announce, False),
            ("network.bootstrap", self.bootstrap, True),
        ):
            if len(addresses) > MAX_ADDRESSES:
                text = f"has {len(addresses)} addresses; at most {MAX_ADDRESSES} are allowed"
                raise InputError(text, name)
            for address in addresses:
                check_address(address, name, peer=peer)
                if name == "network.announce" and address.endswith("/tcp/0"):
                    raise InputError(f"has {address!r}; nobody can dial port 0", name)
        if self.chain_url is not None:
            _check_url(self.chain_url, "chain.url")
        self._check_urls()
        if self.chain_id is not None:
            _check_range(self.chain_id, 1, 2**63 - 1, "chain.id")
        for name, account in (
            ("chain.contract", self.contract),
            ("chain.channel_contract", self.channel_contract),
        ):
            if account is not None and len(account) != 20:
                raise InputError(f"is {len(account)} bytes long; an address has 20", name)
        _check_range(self.finality, 0, MAX_FINALITY, "chain.finality")
        _check_range(self.max_fee_gwei, 1, MAX_MAX_FEE_GWEI, "chain.max_fee_gwei")
        _check_range(self.workers, 1, MAX_WORKERS, "node.workers")
        _check_range(self.share, MIN_SHARE, 100, "limits.share")
        check_hours(self.hours, "limits.hours")
        if self.payout is not None and (len(self.payout) != 20 or not any(self.payout)):
            raise InputError("is no account: 20 bytes, not all zero", "payout.account")
        if not 0 <= self.overlap <= MAX_OVERLAP:
            raise InputError(
                f"is {self.overlap:g}; 0 to {MAX_OVERLAP:g} is allowed", "privacy.overlap"
            )
        if self.log_level not in LOG_LEVELS:
            raise InputError(
                f"is {self.log_level!r}; allowed: {', '.join(LOG_LEVELS)}", "node.log_level"
            )
        if self.log_format not in LOG_FORMATS:
            raise InputError(
                f"is {self.log_format!r}; allowed: {', '.join(LOG_FORMATS)}", "node.log_format"
            )

    def _check_urls(self) -> None:
        if len(self.chain_urls) > MAX_CHAIN_URLS:
            raise InputError(
                f"has {len(self.chain_urls)} addresses; at most {MAX_CHAIN_URLS} are allowed",
                "chain.urls",
            )
        for url in self.chain_urls:
            _check_url(url, "chain.urls")
        if self.chain_urls and self.chain_url is None:
            raise InputError("needs chain.url, the node that is asked first", "chain.urls")
        named = [self.chain_url, *self.chain_urls]
        if len(set(named)) < len(named):
            raise InputError("names a chain node twice, with chain.url counted", "chain.urls")
        if not 1 <= self.agree <= len(named):
            raise InputError(
                f"is {self.agree}; 1 to {len(named)} is allowed, with chain.url and chain.urls as "
                "they are",
                "chain.agree",
            )


#: Dotted TOML name -> field of `Config`, in the file's order.
SETTINGS: Final[dict[str, str]] = {
    "network.listen": "listen",
    "network.announce": "announce",
    "network.bootstrap": "bootstrap",
    "chain.url": "chain_url",
    "chain.urls": "chain_urls",
    "chain.agree": "agree",
    "chain.id": "chain_id",
    "chain.contract": "contract",
    "chain.channel_contract": "channel_contract",
    "chain.finality": "finality",
    "chain.max_fee_gwei": "max_fee_gwei",
    "node.log_level": "log_level",
    "node.log_format": "log_format",
    "node.workers": "workers",
    "limits.share": "share",
    "limits.hours": "hours",
    "payout.account": "payout",
    "jobs.whole_rounds": "whole_rounds",
    "privacy.overlap": "overlap",
}


def load_config(home: Home) -> Config:
    """Read the home's config.toml. Raises `InputError` naming file or setting, value, allowed."""
    return parse_config(_read(home))


def load_settings(home: Home) -> tuple[Config, frozenset[str]]:
    """The same, with the dotted names of the settings that config.toml gives."""
    table = _read(home)
    return parse_config(table), frozenset(_flatten(table))


def _read(home: Home) -> dict[str, object]:
    try:
        with home.config.open("rb") as file:
            content = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{home.config} does not exist; make it with `assay init`") from None
    except OSError as error:
        raise InputError(f"{home.config} cannot be read: {error.strerror}") from error
    if len(content) > MAX_CONFIG_BYTES:
        raise InputError(f"{home.config} is longer than {MAX_CONFIG_BYTES} bytes")
    try:
        return tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{home.config} is no TOML: {error}") from error


def parse_config(table: Mapping[str, object]) -> Config:
    """A `Config` from parsed TOML; settings that are left out keep their defaults."""
    values: dict[str, object] = {}
    for name, value in _flatten(table).items():
        if name not in SETTINGS:
            raise InputError(f"is unknown; the settings are {', '.join(SETTINGS)}", name)
        values[SETTINGS[name]] = _convert(name, value)
    return Config(**values)  # type: ignore[arg-type]  # _convert checked each type by name


def save_config(home: Home, config: Config) -> None:
    """Replace the home's config.toml by this one, with the explanations; whole or not at all."""
    write_private(home.config, render_config(config).encode())


def init_home(home: Home, config: Config) -> None:
    """Make the home with this config; the keys come after it (`node.home.keys.Keys.create`).

    A home that has config and keys is refused and left as it is (`InputError`). One without keys is
    an `assay init` that was cut off, and is begun again.
    """
    home.create()
    if home.config.exists() and (home.keys / "vault.json").exists():
        raise InputError(f"{home.path} is a home already; edit {home.config}, or use another home")
    save_config(home, config)


def render_config(config: Config) -> str:
    """The text of config.toml; `parse_config(tomllib.loads(text))` gives `config` back."""
    return TEMPLATE.format(
        listen=_toml_list(config.listen),
        announce=_toml_list(config.announce),
        bootstrap=_toml_list(config.bootstrap),
        url=_toml_setting("url", config.chain_url, "http://127.0.0.1:8545"),
        urls=_toml_list(config.chain_urls),
        agree=config.agree,
        id=_toml_setting("id", config.chain_id, 1337),
        contract=_toml_setting(
            "contract",
            None if config.contract is None else "0x" + config.contract.hex(),
            "0x" + "00" * 20,
        ),
        channel_contract=_toml_setting(
            "channel_contract",
            None if config.channel_contract is None else "0x" + config.channel_contract.hex(),
            "0x" + "00" * 20,
        ),
        finality=config.finality,
        max_finality=MAX_FINALITY,
        max_fee_gwei=config.max_fee_gwei,
        most_gwei=MAX_MAX_FEE_GWEI,
        log_level=json.dumps(config.log_level),
        log_levels=", ".join(LOG_LEVELS),
        log_format=json.dumps(config.log_format),
        log_formats=", ".join(LOG_FORMATS),
        workers=config.workers,
        max_workers=MAX_WORKERS,
        share=config.share,
        min_share=MIN_SHARE,
        hours=_toml_list(config.hours),
        payout=_toml_setting(
            "account",
            None if config.payout is None else to_checksum(config.payout),
            to_checksum(bytes(19) + b"\x01"),
        ),
        whole_rounds=json.dumps(config.whole_rounds),
        overlap=config.overlap,
        max_overlap=MAX_OVERLAP,
    )


def no_chain(home: Home, config: Config) -> InputError:
    """Name the settings that a home lacks to know its chain, and what gives them."""
    parts = {"url": config.chain_url, "id": config.chain_id, "contract": config.contract}
    missing = [name for name, value in parts.items() if value is None]
    error = InputError(f"not set in {home.config}: {', '.join(missing)}", "chain")
    joining = "assay join, with the line that another node prints"
    if missing == ["contract"]:
        error.add_note(f"{joining}, or assay deploy for a network of your own")
    elif "url" in missing:
        error.add_note("set chain.url" + f", then: {joining}" * ("contract" in missing))
    else:
        error.add_note(joining)
    return error


def parse_contract(text: str, name: str = "chain.contract") -> bytes:
    """A contract's 20 bytes from hex. Mixed case must carry a right EIP-55 checksum.

    Raises `InputError`: money goes to this address, so a typing error must not pass.
    """
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise InputError(f"is {text[:64]!r}; 0x and 40 hexadecimal digits are needed", name)
    digits = text[2:]
    if digits not in (digits.lower(), digits.upper()):
        from eth_utils.address import is_checksum_address

        if not is_checksum_address(text):
            raise InputError(f"is {text}, whose EIP-55 checksum is wrong; copy it again", name)
    return bytes.fromhex(digits)


_ADDRESS: Final = re.compile(
    r"/(?P<kind>ip4|ip6|dns|dns4|dns6)/(?P<host>[^/\s]{1,253})/tcp/(?P<port>[0-9]{1,5})"
    r"(?:/p2p/(?P<peer>[1-9A-HJ-NP-Za-km-z]{32,64}))?"
)
_DNS_NAME: Final = re.compile(r"(?=.{1,253}\Z)[a-zA-Z0-9_-]{1,63}(\.[a-zA-Z0-9_-]{1,63})*\.?")


def check_address(text: str, name: str, *, peer: bool) -> None:
    """Raise `InputError` unless `text` is a TCP multiaddress, with /p2p/PEER exactly if `peer`."""
    wanted = "/ip4|ip6|dns/HOST/tcp/PORT" + ("/p2p/PEER" if peer else "")
    match = _ADDRESS.fullmatch(text)
    if match is None or (match["peer"] is not None) is not peer:
        raise InputError(f"has {text[:300]!r}; {wanted} is needed", name)
    if int(match["port"]) > 65535 or (peer and int(match["port"]) == 0):
        raise InputError(f"has {text!r}; its port is none ({'1' if peer else '0'} to 65535)", name)
    try:
        if match["kind"] == "ip4":
            ipaddress.IPv4Address(match["host"])
        elif match["kind"] == "ip6":
            ipaddress.IPv6Address(match["host"])
        elif not _DNS_NAME.fullmatch(match["host"]):
            raise ValueError(match["host"])
    except ValueError:
        raise InputError(f"has {text!r}; {match['host']!r} is no {match['kind']}", name) from None


def _check_url(url: str, name: str) -> None:
    # The value stays out of the message: hosted endpoints carry their access key in it.
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or len(url) > 2048 or not url.isprintable() or " " in url:
        raise InputError(
            "is no address of an Ethereum node; http://HOST:PORT or https://HOST/… is needed",
            name,
        )


def _check_range(value: int, low: int, high: int, name: str) -> None:
    if not low <= value <= high:
        raise InputError(f"is {value}; {low} to {high} is allowed", name)


def _flatten(table: Mapping[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for section, value in table.items():
        if isinstance(value, dict):
            flat.update((f"{section}.{key}", inner) for key, inner in value.items())
        else:
            flat[section] = value
    return flat


def _convert(name: str, value: object) -> object:
    if name in _LISTS:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            shown = type(value).__name__ if name == "chain.urls" else f"{value!r:.200}"
            raise InputError(f"is {shown}; a list of strings is needed", name)
        return tuple(value)
    if name == "privacy.overlap":
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise InputError(f"is {value!r:.200}; a number is needed", name)
        return float(value)
    if name == "jobs.whole_rounds":
        if not isinstance(value, bool):
            raise InputError(f"is {value!r:.200}; true or false is needed", name)
        return value
    wanted: type = int if name in _NUMBERS else str
    if not isinstance(value, wanted) or isinstance(value, bool):
        kind = "a whole number" if wanted is int else "a string"
        shown = type(value).__name__ if name == "chain.url" else f"{value!r:.200}"
        raise InputError(f"is {shown}; {kind} is needed", name)
    if name in ("chain.contract", "chain.channel_contract"):
        return parse_contract(str(value), name)
    if name == "payout.account":
        return parse_address(str(value), name)
    return value


_LISTS: Final = [name for name, field in SETTINGS.items() if type(getattr(Config, field)) is tuple]
_NUMBERS: Final = (
    "chain.agree",
    "chain.id",
    "chain.finality",
    "chain.max_fee_gwei",
    "node.workers",
    "limits.share",
)


def _toml_list(values: tuple[str, ...]) -> str:
    if not values:
        return "[]"
    return "[\n" + "".join(f"  {_toml_string(value)},\n" for value in values) + "]"


def _toml_string(value: str) -> str:
    # A JSON string in ASCII is a TOML basic string, except that TOML wants DEL escaped.
    return json.dumps(value).replace("\x7f", "\\u007f")


def _toml_setting(key: str, value: str | int | None, example: str | int) -> str:
    shown = example if value is None else value
    text = str(shown) if isinstance(shown, int) else _toml_string(shown)
    return f"{'# ' if value is None else ''}{key} = {text}"
