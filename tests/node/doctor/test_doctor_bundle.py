"""The bundle holds no key, no row, no passphrase, no name of data, however they came into a log."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.doctor import (
    COLUMNS,
    DATASET,
    ROWS,
    add_rows,
    examined,
    home_at,
    node_that_says,
    whole_chain,
)

from node.doctor.bundle import write_bundle
from node.doctor.redacting import Redactor, secrets_of
from node.home.config import SETTINGS
from node.home.home import Home
from node.home.keys import Keys
from node.home.vault import stretch
from protocol.errors import InputError

PASSPHRASE = "Tr0ubador and three"
API_KEY = "k3y0fMyProvider"
SECRET = b"a secret of thirty-two bytes, ok"

STAMP = "2026-01-02 03:04:05,678"


def lines(home: Home, url: str, file: Path) -> list[str]:
    """What a log may come to hold, each with a secret in it."""
    account = (home.keys / "account.json").read_text()
    return [
        f"{STAMP} INFO assay.daemon: running: /ip4/203.0.113.77/tcp/4620/p2p/12D3KooWabcdefghijkl",
        f"{STAMP} WARNING assay.chain: another chain node is asked: chain node {url} is gone",
        f"{STAMP} WARNING assay.chain: node says: project {API_KEY} has no credit",
        f"{STAMP} WARNING assay.net: peer said '{ROWS[0][0]}' and \"{ROWS[1][0]}\"",
        f"{STAMP} WARNING assay.compute: {DATASET}, for the job 't': line 2: {ROWS[0][1]} is odd",
        f"{STAMP} WARNING assay.jobs: job 0123abcd: training-failed: {ROWS[1][1]} is no category",
        f"{STAMP} ERROR assay.engine: job 0123abcd4567 stops: {ROWS[0][1]} is odd",
        f"{STAMP} ERROR assay.perform: {COLUMNS[1]} is {ROWS[0][1]}",
        f"{STAMP} ERROR assay.perform: the data set {DATASET} is gone: its card is withdrawn",
        f"{STAMP} ERROR assay.engine: {SECRET.hex()} in {file}",
        f"{STAMP} INFO assay.engine: {base64.b64encode(SECRET).decode()}",
        f"{STAMP} ERROR assay.daemon: {PASSPHRASE} opens nothing in {home.path}/keys",
        "Traceback (most recent call last):",
        '  File "/home/alice/assay/node/data/cells.py", line 12, in parsed',
        f"    raise ValueError('{ROWS[1][2]}')",
        f"polars.exceptions.ComputeError: could not parse `{ROWS[0][2]}` as number",
        *ROWS[0],
        f"error: {COLUMNS[0]} holds {ROWS[0][0]}",
        f"  next: look at {file}",
        *account.splitlines(),
        f"{STAMP} ERROR assay.compute: {ROWS[0][1]} is the log's last error",
    ]


def secrets_in(home: Home, file: Path) -> dict[str, bytes]:
    """Everything that must not be in a bundle, by what it is."""
    keys = Keys.open(home, PASSPHRASE)
    vault = json.loads((home.keys / "vault.json").read_text())
    kept = {
        "passphrase": PASSPHRASE.encode(),
        "its stretching": stretch(PASSPHRASE.encode(), bytes.fromhex(vault["salt"]), 600_000),
        "account key": keys._account_key.to_bytes(),
        "vault key": keys._vault_key,
        "peer seed": keys.peer_seed,
        "sealed secret": SECRET,
        "wrapped key": bytes.fromhex(vault["wrapped"]),
        "API key": API_KEY.encode(),
        "file": file.name.encode(),
        "data set": DATASET.encode(),
        "peer's address": b"203.0.113.77",
        "home": str(home.path).encode(),
    }
    kept |= {f"cell {cell}": cell.encode() for row in ROWS for cell in row}
    kept |= {f"column {name}": name.encode() for name in COLUMNS}
    kept |= {p.name: p.read_bytes() for p in (home.keys / "sealed").iterdir()}
    return kept


def as_json(lines: list[str]) -> list[str]:
    """The same log as node.log_format = "json" has it."""
    found: list[dict[str, str]] = []
    for line in lines:
        if line.startswith(STAMP):
            level, _, rest = line.removeprefix(f"{STAMP} ").partition(" ")
            logger, _, message = rest.partition(": ")
            at = datetime.strptime(STAMP, "%Y-%m-%d %H:%M:%S,%f").astimezone().isoformat()
            found.append({"time": at, "level": level.lower(), "logger": logger, "message": message})
        else:
            found[-1]["exception"] = f"{found[-1].get('exception', '')}{line}\n"
    return [json.dumps(each) for each in found]


@pytest.mark.parametrize("form", [list, as_json])
def test_a_bundle_holds_no_key_no_row_and_no_passphrase(
    form: Callable[[list[str]], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    file.chmod(0o600)
    monkeypatch.setenv("ASSAY_PASSPHRASE_FILE", str(file))
    # Its chain node repeats the key of its URL in an error, as real ones do.
    with node_that_says(whole_chain(eth_getLogs=[{"address": API_KEY}])) as proxy:
        url = f"{proxy.url}/v3/{API_KEY}?token={API_KEY}{API_KEY}"
        home = home_at(tmp_path / "a home", url, PASSPHRASE)
        rows = add_rows(home)
        Keys.open(home, PASSPHRASE).seal("seed.abc", SECRET)
        home.log.write_text("\n".join(form(lines(home, url, rows))) + "\n")
        home.log.chmod(0o600)
        seen, found = examined(home, monkeypatch)
        bundle = tmp_path / "bundle.zip"
        write_bundle(bundle, home, seen, found)
    assert bundle.stat().st_mode & 0o077 == 0
    with zipfile.ZipFile(bundle) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    assert set(parts) == {"README.txt", "doctor.json", "config.json", "store.json", "log.txt"}
    for what, secret in secrets_in(home, rows).items():
        forms = (secret, secret.hex().encode(), secret.hex().upper().encode())
        for form in (*forms, base64.b64encode(secret).rstrip(b"=")):
            for name, content in parts.items():
                assert form.lower() not in content.lower(), f"{what} is in {name}"
    # What helps is there all the same.
    log = parts["log.txt"].decode()
    assert f"{STAMP} WARNING assay.chain: another chain node is asked: chain node http://" in log
    assert "node/data/cells.py, line 12, in parsed" in log
    assert "polars.exceptions.ComputeError" in log
    assert "job 0123abcd: training-failed [left out]" in log
    assert "assay.engine: job 0123abcd stops [left out]" in log
    checks = {each["check"]: each for each in json.loads(parts["doctor.json"])["checks"]}
    assert checks["log"]["sentence"].startswith("the log's end has 6 errors")
    assert json.loads(parts["store.json"])["rows"]["datasets"] == 1
    settings = json.loads(parts["config.json"])
    assert settings["chain.url"] == proxy.url
    assert set(settings) == set(SETTINGS)
    with pytest.raises(InputError, match="exists already"):
        write_bundle(bundle, home, seen, found)


def test_without_a_store_that_can_be_read_no_line_of_the_log_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = home_at(tmp_path / "home")
    home.log.write_text(f"{STAMP} INFO assay.daemon: running: x\n")
    home.database.write_bytes(b"damaged" * 1000)
    seen, found = examined(home, monkeypatch)
    write_bundle(tmp_path / "bundle.zip", home, seen, found)
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        assert "running" not in archive.read("log.txt").decode()


_SECRETS = st.text("abcdefghXYZ0123456789-_. ", min_size=4, max_size=20)
_LINES = st.text(max_size=200).map(lambda text: " ".join(text.splitlines()))


@given(_SECRETS, st.text("xyz/: '", max_size=40), st.text("xyz/: '", max_size=40))
def test_a_known_secret_goes_wherever_it_stands(secret: str, before: str, after: str) -> None:
    said = Redactor(Path("/home/of/assay"), {secret}, ()).text(f"{before}{secret}{after}")
    assert secret not in said or secret in before + after


@given(_LINES)
def test_a_line_that_may_speak_of_data_is_left_out(line: str) -> None:
    redactor = Redactor(Path("/home/of/assay"), {"secret"}, {"ward"})
    for said in (f"assay.compute: {line}", f"assay.net: ward {line}", f"assay.jobs: {line}"):
        kept = redactor.line(f"{STAMP} INFO {said}")
        assert kept == f"{STAMP} INFO {said.partition(':')[0]}: [left out]"
    assert redactor.line(f"> {line}") == "[left out]"


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        (
            "https://user:pw@host.example:8545/v3/abcdef?x=y is gone",
            "https://host.example:8545 is gone",
        ),
        ("/ip4/10.0.0.1/tcp/4620 answers", "/ip4/10.0.0.1/tcp/4620 answers"),
        ("/srv/data/x.csv changed", "PATH changed"),
        ("/home/of/assay/keys is open", "HOME/keys is open"),
        ("the contract's code is not this assay's", "the contract's code is not this assay's"),
        ("is 'hidden \\' too'; allowed: 1", "is '…'; allowed: 1"),
    ],
)
def test_what_has_the_form_of_a_secret_goes(text: str, redacted: str) -> None:
    assert Redactor(Path("/home/of/assay"), (), ()).text(text) == redacted


def test_the_parts_of_a_url_that_are_secret() -> None:
    found = secrets_of("https://user:word@host/v3/deadbeef?key=cafe42&b=c")
    assert {"user", "word", "deadbeef", "cafe42"} <= found
    assert "host" not in found
    assert secrets_of("http://127.0.0.1:8545") == set()
