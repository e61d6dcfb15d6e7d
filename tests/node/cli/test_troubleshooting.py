"""docs/guides/troubleshooting.md: every error that it names is provoked, and reads as it says."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

from kits.daemons.processes import free_port
from kits.paths import ROOT

PAGE = ROOT / "docs" / "guides" / "troubleshooting.md"
CONTRACT = "0x" + "ab" * 20


def rows() -> list[str]:
    """The errors, as the page has them: an ellipsis for what is filled in.

    Every row of its table, but for the head and the line below, begins with one.
    """
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("|")]
    found = [re.match(r"\| `(.+?)` \| \S", line) for line in lines[2:]]
    assert all(found), "a row of the page names no error"
    return [each[1] for each in found if each]


def reads(row: str, said: str) -> bool:
    """Whether a command said that: its first line of error, in whole or as far as the row goes."""
    pattern = ".+".join(re.escape(part) for part in row.split("…"))
    return re.search(f"^error: {pattern}", said, re.MULTILINE) is not None


async def test_every_error_of_the_page_reads_as_it_says(assay: Any, tmp_path: Path) -> None:
    home, said = assay.home, list[str]()

    async def fails(*words: str, stdin: str = "") -> None:
        ended = await assay(*words, stdin=stdin)
        assert ended.code not in (0, 1), words
        assert "Traceback" not in ended.err
        said.append(ended.err)

    await fails("status")
    await fails("up")
    await assay("init")
    await fails("up")
    await fails("init")
    await fails("join", "/ip4/127.0.0.1/tcp/4620")
    await fails("--home", str(tmp_path / "b"), "init", "--contract", CONTRACT[:-1] + "z")
    url = f"http://127.0.0.1:{free_port()}"
    known = ("--chain-url", url, "--chain-id", "7")
    await assay("--home", str(tmp_path / "c"), "init", *known)
    await fails("--home", str(tmp_path / "c"), "deploy", "--yes")
    config, written = home / "config.toml", (home / "config.toml").read_text()
    config.write_text(written + "x = 1\n")
    await fails("up")
    config.write_text(written.replace("share = 100", "share = 1"))
    await fails("config", "show")
    config.write_text(written)
    short = tmp_path / "short"
    short.write_text("pass\n")
    short.chmod(0o600)
    assay.environ["ASSAY_PASSPHRASE_FILE"] = str(short)
    await fails("--home", str(tmp_path / "d"), "init")
    short.write_text("long enough\n")
    await fails("keys", "backup", str(tmp_path / "never"), stdin="correct horse\n")
    del assay.environ["ASSAY_PASSPHRASE_FILE"]
    backup = str(tmp_path / "backup")
    assert (await assay("keys", "backup", backup, stdin="correct horse\n")).code == 0
    await fails("--home", str(tmp_path / "e"), "keys", "restore", backup, stdin="wrong horse\n")
    await fails("keys", "restore", backup, stdin="correct horse\n")
    for name, version, application in (("f", 9999, 0x61736179), ("g", 3, 7)):
        other = ("--home", str(tmp_path / name))
        await assay(*other, "init", *known, "--contract", CONTRACT)
        store = sqlite3.connect(tmp_path / name / "assay.db")
        store.execute("CREATE TABLE x (y)")
        store.execute(f"PRAGMA application_id = {application}")
        store.execute(f"PRAGMA user_version = {version}")
        store.commit()
        store.close()
        await fails(*other, "up")
    await fails("job", "check", "nowhere.toml")
    await fails("stauts")

    named = rows()
    assert len(named) == len(set(named)) >= 15
    assert [row for row in named if not any(reads(row, each) for each in said)] == []
    untold = [each for each in said if not any(reads(row, each) for row in named)]
    assert untold == [], "an error that was provoked is not on the page"
