"""The bundle: what somebody who helps may see, in one .zip, with everything secret left out.

What goes in is listed here, part by part; nothing of the home is copied as it lies there. No key,
no passphrase, no row, no name of a data set or of a column.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from node.doctor.findings import Finding
from node.doctor.redacting import Redactor, secrets_of, told_settings
from node.doctor.seen import Blank, Seen
from node.home.config import Config
from node.home.home import Home, write_private
from node.home.vault import MAX_PASSPHRASE, read_bounded
from protocol.errors import AssayError, InputError

#: Lines of the log's end.
MAX_LINES: Final = 2_000

_READ_ME: Final = """\
What `assay doctor --bundle` found, for whoever helps. Look through it before you hand it on.

doctor.json   every check, its state and its words; versions
config.json   the settings; of URLs the host alone
store.json    how many rows each table of the store has, and no row
log.txt       the end of the log; [left out] stands for what may speak of data

Keys, passphrases, rows, names of data sets and of columns are in none of them. A mark such as
[3f9a01bc] stands for one text that was taken out, and is the same wherever that text stood.
"""


def report(home: Home, seen: Seen, found: dict[str, Finding]) -> dict[str, Any]:
    """The examination as JSON."""
    checks = [
        {"check": name, "state": str(each.state), "sentence": each.whole, "fix": each.fix}
        for name, each in found.items()
    ]
    states = [each["state"] for each in checks]
    versions = seen.versions
    return {
        "home": str(home.path),
        "version": "" if isinstance(versions, Blank) else versions.assay,
        "failures": states.count("failure"),
        "warnings": states.count("warning"),
        "checks": checks,
    }


def check_place(path: Path) -> None:
    """Raise InputError where no bundle can be written: before the examination, which takes long."""
    if os.path.lexists(path):
        raise InputError(f"{path} exists already; name another file", "bundle")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InputError(f"{path.parent} is no directory that can be written to", "bundle")


def write_bundle(path: Path, home: Home, seen: Seen, found: dict[str, Finding]) -> None:
    """Write the bundle to `path`, mode 0600. Raises InputError: it exists, or cannot be written."""
    check_place(path)
    redactor = Redactor(home.path, _known(home, seen), _names(seen))
    untold = {name: replace(each, told="") for name, each in found.items()}
    parts = {
        "README.txt": _READ_ME,
        "doctor.json": _json(_redacted(redactor, report(home, seen, untold))),
        "config.json": _json(_config(redactor, seen)),
        "store.json": _json(_store(seen)),
        "log.txt": _log(redactor, seen),
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    try:
        write_private(path, packed.getvalue())
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}", "bundle") from error


def _known(home: Home, seen: Seen) -> set[str]:
    """Texts that must not be in the bundle, whatever their form."""
    found: set[str] = set()
    for path in (
        home.keys / "unlock",
        Path(os.environ.get("ASSAY_PASSPHRASE_FILE") or "/dev/null"),
    ):
        try:
            if path.is_file():
                text = read_bounded(path, MAX_PASSPHRASE + 2).decode(errors="replace")
                found |= {text.strip(), text.split("\n", 1)[0].rstrip("\r")}
        except (AssayError, OSError):
            continue  # what cannot be read cannot stand in a log by this command's doing
    if isinstance(seen.config, Config):
        for url in (seen.config.chain_url, *seen.config.chain_urls):
            found |= secrets_of(url or "")
    return found


def _names(seen: Seen) -> frozenset[str]:
    return frozenset() if isinstance(seen.store, Blank) else seen.store.names


def _redacted(redactor: Redactor, value: Any) -> Any:
    """Sentences of a report, redacted; names of checks and their states are assay's own."""
    if isinstance(value, dict):
        return {
            key: each if key in ("check", "state", "version") else _redacted(redactor, each)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [_redacted(redactor, each) for each in value]
    return redactor.text(value) if isinstance(value, str) else value


def _config(redactor: Redactor, seen: Seen) -> dict[str, Any]:
    found = seen.config
    if isinstance(found, Blank):
        return {"problem": redactor.text(found.why)}
    return told_settings(found) | {"network.bootstrap": f"{len(found.bootstrap)} addresses"}


def _store(seen: Seen) -> dict[str, Any]:
    found = seen.store
    if isinstance(found, Blank) or found.counts is None:
        return {"rows": None}
    return {"version": found.version, "rows": dict(found.counts)}


def _log(redactor: Redactor, seen: Seen) -> str:
    found = seen.log
    if isinstance(found, Blank):
        return ""
    # Without the store nobody knows which names stand for data: then no line is kept.
    store = seen.store
    if store.asked if isinstance(store, Blank) else store.counts is None:
        return "the store cannot be read, so that names of data in the log are not known\n"
    lines = [redactor.line(line) for line in found.tail[-MAX_LINES:]]
    return "\n".join(lines) + "\n"


def _json(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"
