"""Takes out of a text what must not leave this machine: secrets, names of data, paths, addresses.

Known texts (passphrases, names of columns and data sets, parts of URLs) go wherever they stand; of
others, whatever has the form of a secret. What is taken out of a text twice gets one mark twice, by
a salt that is drawn for each bundle and not kept.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from node.home.config import Config
from protocol.addresses import to_checksum

#: A word that is shorter cannot be told from any other word.
_SHORTEST: Final = 4
_URL: Final = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"<>]+")
#: Keys, digests, tokens. Names of functions and peers have that form too, which is no loss.
_LONG: Final = re.compile(r"[A-Za-z0-9_+=]{24,}")
#: As repr() writes a value; the apostrophe of a word is none.
_QUOTED: Final = re.compile(r"(?<!\w)'(?:[^'\\]|\\.)*'(?!\w)|\"(?:[^\"\\]|\\.)*\"")
_HOST: Final = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])|(?<=/ip6/)[^/\s]+")
#: Addresses that mean nothing outside of a house (RFC 1918, RFC 4193).
_NEAR: Final = tuple(
    ipaddress.ip_network(each)
    for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
#: An absolute path; multiaddresses begin alike, and stay.
_PATH: Final = re.compile(
    r"(?<![\w./])/(?!/|(?:ip4|ip6|dns|dns4|dns6|tcp|p2p|assay)/)[^\s:,;'\")]+"
)
_LINE: Final = re.compile(
    r"(?P<head>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ (?P<logger>[\w.]+)): (?P<said>.*)"
)
_FRAME: Final = re.compile(
    r'\s*(?:\|\s*)*File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<in>\w+)'
)
_RAISED: Final = re.compile(
    r"\s*(?:\|\s*)*(?P<kind>[A-Za-z_][\w.]*(?:Error|Exception|Group|Full))\b"
)

#: Loggers whose messages are about the network, the chain and the daemon. All others may speak of
#: data; a job's lines keep what happened and lose what was said of it.
_PLAIN: Final = (
    "assay.announcements",
    "assay.chain",
    "assay.daemon",
    "assay.engine",
    "assay.idle",
    "assay.inbox",
    "assay.messages",
    "assay.net",
    "assay.perform",
    "assay.secrets",
    "node.chain",
    "node.control",
    "node.store",
    "libp2p",
)
_JOB: Final = re.compile(r"job [0-9a-f]{8,64}(?P<what> stops|: [a-z-]+(?=:))?")
#: "job " and eight digits of its id, as `assay jobs` takes them.
_SHOWN_JOB: Final = 12
_LEFT_OUT: Final = "[left out]"


class Redactor:
    """Redacts texts of one bundle. `known`: texts that must not be in it; `home`: its directory.

    `names`: of data sets and columns; a line of a log that has one of them is left out.
    """

    def __init__(self, home: Path, known: Iterable[str], names: Iterable[str]) -> None:
        self._salt = secrets.token_bytes(16)
        self._home = re.compile(rf"{re.escape(str(home))}(?![\w-])")
        names = {each for each in names if each}
        self._known = _any(each for each in known if len(each) >= _SHORTEST)
        self._names = _any(names, words=True)

    def text(self, text: str) -> str:
        """A sentence of assay's own, redacted."""
        text = _QUOTED.sub("'…'", self._home.sub("HOME", text))
        text = _URL.sub(lambda match: origin(match[0]), text)
        text = self._names.sub(self._mark, self._known.sub(self._mark, text))
        text = _HOST.sub(self._host, text)
        text = _LONG.sub(self._mark, text)
        # What origin left of a URL has no path, and begins with no slash.
        return _PATH.sub("PATH", text)

    def line(self, line: str) -> str:
        """A line of the log, redacted; of a traceback, where it was and what was raised."""
        if match := _LINE.fullmatch(line):
            return f"{match['head']}: {self._said(match['logger'], match['said'])}"
        if match := _FRAME.match(line):
            where = "/".join(Path(match["file"]).parts[-3:])
            return f"  {where}, line {match['line']}, in {match['in']}"
        if match := _RAISED.match(line):
            return f"  {match['kind']}"
        if line.startswith(("error: ", "  next: ")) and not self._names.search(line):
            return self.text(line)
        return _LEFT_OUT

    def _said(self, logger: str, said: str) -> str:
        if job := _JOB.match(said):
            return f"{said[:_SHOWN_JOB]}{job['what'] or ''} {_LEFT_OUT}"
        plain = any(logger == each or logger.startswith(f"{each}.") for each in _PLAIN)
        if not plain or self._names.search(said):
            return _LEFT_OUT
        return self.text(said)

    def _host(self, match: re.Match[str]) -> str:
        """An address of this machine or network stays; others' are marked."""
        try:
            host = ipaddress.ip_address(match[0])
        except ValueError:
            return match[0]
        own = host.is_loopback or host.is_unspecified or host.is_link_local
        near = any(host in network for network in _NEAR if network.version == host.version)
        return match[0] if own or near else self._mark(match)

    def _mark(self, match: re.Match[str]) -> str:
        return f"[{hashlib.sha256(self._salt + match[0].encode()).hexdigest()[:8]}]"


def _any(texts: Iterable[str], words: bool = False) -> re.Pattern[str]:
    """Any of these, or as whole words alone, the longest first; of none, what never matches."""
    each = "|".join(sorted({re.escape(text) for text in texts}, key=len, reverse=True))
    whole = rf"(?<!\w)(?:{each})(?!\w)" if words else each
    return re.compile(whole if each else r"(?!)", re.IGNORECASE)


def origin(url: str) -> str:
    """A URL's scheme, host and port."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "URL"
    return f"{parts.scheme}://{parts.hostname or '?'}{port}"


def told_settings(config: Config) -> dict[str, object]:
    """Every setting by its dotted name, as JSON has it and as somebody else may read it: of a chain
    node's address the origin alone. Listed by hand: a new one may be secret."""
    return {
        "network.listen": list(config.listen),
        "network.announce": list(config.announce),
        "network.bootstrap": list(config.bootstrap),
        "chain.url": None if config.chain_url is None else origin(config.chain_url),
        "chain.urls": [origin(url) for url in config.chain_urls],
        "chain.agree": config.agree,
        "chain.id": config.chain_id,
        "chain.contract": None if config.contract is None else to_checksum(config.contract),
        "chain.channel_contract": (
            None if config.channel_contract is None else to_checksum(config.channel_contract)
        ),
        "chain.finality": config.finality,
        "chain.max_fee_gwei": config.max_fee_gwei,
        "node.log_level": config.log_level,
        "node.log_format": config.log_format,
        "node.workers": config.workers,
        "limits.share": config.share,
        "limits.hours": list(config.hours),
        "payout.account": None if config.payout is None else to_checksum(config.payout),
        "jobs.whole_rounds": config.whole_rounds,
        "privacy.overlap": config.overlap,
    }


def secrets_of(url: str) -> set[str]:
    """The parts of a URL that may be secret: credentials, path, query."""
    parts = urlsplit(url)
    found = {parts.username or "", parts.password or "", *parts.path.split("/")}
    found |= {value for _, value in parse_qsl(parts.query)} | {parts.path, parts.query}
    return {each for each in found if len(each) >= _SHORTEST}
