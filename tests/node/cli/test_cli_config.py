"""`assay config show` and `assay completion`; and `assay logs` of a log in JSON."""

from __future__ import annotations

import json
import re
import shutil
from datetime import datetime
from typing import Any

import pytest
import trio

from node.control.codes import Exit
from node.home.config import SETTINGS, Config, init_home
from node.home.home import Home

URL = "https://mainnet.example/v3/SECRETKEY"


async def test_config_show_says_what_is_set_and_where(assay: Any) -> None:
    home = Home(assay.home)
    init_home(home, Config(chain_url=URL, chain_urls=(URL + "2",)))
    home.config.write_text(home.config.read_text().replace("finality = 2", ""))
    shown = await assay("config", "show", "--origin")
    assert shown.code == 0
    assert "SECRETKEY" not in shown.out
    lines = {line.split()[0]: line.split()[1:] for line in shown.out.splitlines()[2:]}
    assert set(lines) == set(SETTINGS)
    assert lines["chain.finality"] == ["2", "default"]
    assert lines["node.workers"] == ["1", "config.toml"]
    assert "default" not in (await assay("config", "show")).out
    as_json = (await assay("--json", "config", "show")).json
    assert as_json["file"] == str(home.config)
    # As the file has it.
    assert re.search(r"^jobs.whole_rounds +true ", shown.out, re.MULTILINE)
    assert as_json["settings"]["chain.finality"] == {"value": 2, "origin": "default"}
    assert "SECRETKEY" not in json.dumps(as_json)


async def test_config_show_refuses_what_up_refuses(assay: Any) -> None:
    home = Home(assay.home)
    missing = await assay("config", "show")
    assert missing.code == Exit.USAGE
    assert "assay init" in missing.err
    init_home(home, Config())
    home.config.write_text("[node]\nlog_format = 'xml'\n")
    wrong = await assay("config", "show")
    assert wrong.code == Exit.USAGE
    assert "node.log_format" in wrong.err
    assert "text, json" in wrong.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_is_a_script_of_that_shell(shell: str, assay: Any) -> None:
    ended = await assay("completion", shell)
    assert ended.code == 0
    for word in ("job", "decline", "--max-fee", "--home"):
        assert word.removeprefix("--") in ended.out
    if found := shutil.which(shell):
        await trio.run_process([found, "-n"], stdin=ended.out.encode())


async def test_another_shell_is_refused(assay: Any) -> None:
    assert (await assay("completion", "tcsh")).code == Exit.USAGE


async def test_logs_shows_a_log_in_json_as_text(assay: Any) -> None:
    home = Home(assay.home)
    init_home(home, Config())
    job = "12ab34cd" * 8
    line = {
        "time": datetime(2026, 1, 2, 3, 4, 5, 678_000).astimezone().isoformat(),
        "level": "error",
        "logger": "assay.jobs",
        "message": f"job {job[:8]}: \x1b[31mred\nand more",
        "exception": "Traceback\nValueError",
    }
    home.log.write_text(json.dumps(line) + "\n" + json.dumps(line | {"message": "other"}) + "\n")
    shown = (await assay("logs", "--job", job)).out.splitlines()
    assert shown[0].startswith("2026-01-02 03:04:05,678 ERROR assay.jobs: job 12ab34cd: ")
    assert "\x1b" not in shown[0]
    assert shown[-1] == "ValueError"
    assert "other" not in "".join(shown)
    as_json = await assay("--json", "logs", "--job", job)
    assert json.loads(as_json.out) == line
