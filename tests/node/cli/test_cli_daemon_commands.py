"""Every command that asks a daemon, as a process of its own, both for people and as JSON."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from kits.paths import ROOT

from node.cli.commands.sale.views import bought
from node.control import examples as ex
from node.control import results as r
from node.control.cards import examples as cx
from node.control.codes import Exit
from node.control.sale import examples as sx

LINE = ex.STATUS.join_line


@pytest.mark.parametrize(
    ("command", "shows"),
    [
        ("status", [ex.PEER_ID, f"assay join '{LINE}'", "block 812", "1 running, 0 waiting"]),
        ("peers", [ex.PEER_ID, "out", "1.5"]),
        ("data list", ["ward-3", "4120", "185.8 KiB", "0.5"]),
        ("data add ward-9 x.csv", ["ward-9", "assay policy show ward-9"]),
        (
            "data add ward-9 x.csv --separator semicolon --decimal , --encoding latin-1",
            ["note: read with semicolon", "note: read with ,", "note: read with latin-1"],
        ),
        ("data add ward-9 --sql table(x) --url sqlite:///x", ["ward-9", "4120 rows, 3 columns"]),
        ("data add ward-9 x.csv --no-header", ["note: read with True"]),
        ("data add ward-9 x.csv --no-header --names a,b", ["note: read with b"]),
        ("data replace ward-3 x.csv --no-header --names a,b", ["note: read with b"]),
        ("data replace ward-3 --sql table(x) --url sqlite:///x", ["ward-3: 4120 rows"]),
        ("policy show ward-3", ["accept", "never, ask or auto"]),
        ("policy set ward-3 accept=ask", ["accept", "ask"]),
        (
            f"policy explain {ex.JOB}",
            [
                "the price floor is 0.01 ether",
                "12 of 4120 rows cannot be used",
                "ward-3 leaves 0x5a5a5a5a to you; next: assay train",
            ],
        ),
        ("privacy", ["ward-3", "3.4", "4.1", "1e-05", "0x5a5a5a5a…5a5a", "0.0078", "0.61"]),
        ("privacy ward-3", ["spent", "reserved", "left", "Sepsis within 24 h"]),
        ("card list", ["ward-3", "Ward visits", "1000 to 3000"]),
        ("card withdraw ward-3", ["who has read it keeps what it said"]),
        ("card search --column age --kind number", ["0x3f5a9c02", "age, smoker", "0.002 ether"]),
        ("card search 3F5A9C", ["yes, no", "nobody has looked at the data", "0.002 ether"]),
        ("job new --card 0x3f5a9c02", ["# Begun from card"]),
        ("jobs", ["Sepsis within 24 h", "1/20", "0.001 ether", "0x5a5a5a5a…5a5a"]),
        (f"job show {ex.JOB}", ["81.00 %", "0.2 ether", "commit 1.2", ex.OWNER, "open: owners"]),
        ("job show 0x5a5", ["Sepsis"]),
        (f"claim {ex.JOB}", ["0.02 ether", ex.TRANSACTION]),
        (f"audit {ex.JOB}", ["no fault found", "escrowed = paid"]),
        ("account", ["1 ether", "0.02 ether"]),
    ],
)
async def test_a_command_shows_its_result_and_prints_it_as_json(
    command: str, shows: list[str], assay: Any
) -> None:
    async with assay.daemon():
        shown = await assay(*command.split())
    async with assay.daemon():
        printed = await assay(*command.split(), "--json")
    assert (shown.code, shown.err) == (0, "")
    for text in shows:
        assert text in shown.out
    assert (printed.code, printed.err) == (0, "")
    assert printed.out.count("\n") == 1
    assert printed.json


async def test_where_a_password_comes_from(assay: Any, tmp_path: Path) -> None:
    line = ("data", "add", "ward-9", "--sql", "select 1")
    server = (*line, "--url", "postgresql://reader@db/ward")
    held = tmp_path / "password"
    held.write_text("of the file \nand no second line\n")
    async with assay.daemon() as running:
        assert (await assay(*server)).code == 0
        assay.environ["PGPASSWORD"] = "of libpq"
        await assay(*server)
        assay.environ["ASSAY_SQL_PASSWORD"] = "of assay"
        await assay(*server)
        ended = await assay(*server, "--password-file", str(held), "--json")
        assert running.node.passwords == [None, "of libpq", "of assay", "of the file "]
        assert "of the file" not in ended.out + ended.err
        missing = await assay(*server, "--password-file", str(tmp_path / "none"))
        assert (missing.code, len(running.node.passwords)) == (Exit.USAGE, 4)
        assert "none cannot be read: No such file" in missing.err
        # The daemon's directory is not the user's.
        relative = await assay(*line, "--url", "sqlite:ward.db", "--json")
        assert relative.json["path"] == f"sqlite://{assay.home.parent}/ward.db: select 1"


async def test_a_terminal_shows_how_far_data_add_is(assay: Any) -> None:
    ours, theirs = os.openpty()
    shown = b""
    try:
        async with assay.daemon() as running, trio.open_nursery() as nursery:
            command = [sys.executable, "-m", "node.cli.main", "data", "add", "blocks", "x.csv"]
            options: dict[str, Any] = {"env": assay.environ, "stdout": subprocess.DEVNULL}
            nursery.start_soon(partial(trio.run_process, command, stderr=theirs, **options))
            await running.node.enter_blocked.wait()
            for name, line in (("other", "of another"), ("blocks", "3 rows read; copying, 50 %")):
                running.bus.publish("data.reading", line, facts={"dataset": name})
            while b"50 %" not in shown:
                await trio.lowlevel.wait_readable(ours)
                shown += os.read(ours, 4096)
            running.node.blocked.set()
    finally:
        os.close(theirs)
        os.close(ours)
    assert b"\r\x1b[2K3 rows read; copying, 50 %" in shown
    assert b"of another" not in shown


@pytest.mark.parametrize(
    ("line", "says", "next_"),
    [
        ("data add ward-9", "give a file, or --sql and --url", "assay data add NAME FILE"),
        ("data add ward-9 --sql values(1)", "--sql and --url belong together", "--sql 'SELECT"),
        ("data add ward-9 --url sqlite:/x", "--sql and --url belong together", "--sql 'SELECT"),
        ("data add ward-9 x.csv --sql values(1) --url sqlite:/x", "take the place of a file", ""),
    ],
)
async def test_a_file_or_a_statement(line: str, says: str, next_: str, assay: Any) -> None:
    ended = await assay(*line.split())
    assert ended.code == Exit.USAGE
    assert says in ended.err
    assert next_ in ended.err


async def test_jobs_without_noise_are_named_as_such(assay: Any) -> None:
    noisy = ex.PRIVACY.jobs[0]
    bare = dataclasses.replace(
        noisy, title="Unguarded", noisy=False, rate=None, multiplier=None, reserved=0, epsilon=None
    )
    async with assay.daemon() as running:
        assert "no bound" not in (await assay("privacy")).out
        running.node.budgets = (
            dataclasses.replace(ex.PRIVACY, bounded=False, jobs=(noisy, bare)),
            dataclasses.replace(ex.PRIVACY, dataset="lab", spent=None, reserved=None, jobs=()),
        )
        shown = (await assay("privacy")).out
        printed = (await assay("privacy", "--json")).json
        unknown = await assay("privacy", "ward-9")
    assert "0.5, and jobs with no bound" in shown
    (line,) = [line for line in shown.splitlines() if "Unguarded" in line]
    assert "none" in line
    assert "no bound" in line
    assert "no bound: no noise: masks hide each batch within a round" in shown
    assert [budget["bounded"] for budget in printed] == [False, True]
    assert printed[1]["spent"] is None
    assert unknown.code == Exit.USAGE
    assert "ward-9" in unknown.err


async def test_money_and_digests_are_exact_in_json(assay: Any) -> None:
    async with assay.daemon():
        detail = (await assay("job", "show", ex.JOB, "--json")).json
    assert detail["money"]["escrowed"] == "200000000000000000"
    assert detail["spec_digest"] == ex.JOB
    spent = {"ready": 0.4, "contribute": 2.1, "commit": 1.2, "unmask": 0.6}
    assert detail["rounds"][0]["seconds"] == spent


async def test_relative_paths_and_values_reach_the_daemon_whole(assay: Any, tmp_path: Path) -> None:
    spec = tmp_path / "job.toml"
    spec.write_text('[job]\ntitle = "ä"\n')
    (tmp_path / "hold.csv").write_text("x\n1\n")
    async with assay.daemon() as running:
        added = (await assay("data", "add", "a", "hold.csv", "--json")).json
        assert added["path"] == str(tmp_path / "hold.csv")
        await assay("job", "post", "job.toml", "--holdout", "hold.csv", "--yes")
        await assay("job", "post", "job.toml", "--holdout", "ward-3", "--yes")
        await assay("job", "post", "job.toml", "--yes")
        text = spec.read_text()
        path = str(tmp_path / "hold.csv")
        assert running.node.posted == [(text, path), (text, "ward-3"), (text, None)]
        await assay("claim", ex.JOB, "--account", ex.OWNER)
        await assay("claim", ex.JOB)
        await assay("claim", ex.JOB, "--all")
        assert running.node.claimed == [ex.OWNER, None, "everybody"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("accept=auto", "auto"),
        ("accept=5", 5),
        ("accept=0.5", 0.5),
        ("accept=true", True),
        ("accept=null", None),
        ('accept=["a","b"]', ("a", "b")),
        ("accept=0.001 ether", "0.001 ether"),
        ("accept=a=b", "a=b"),
        ("accept=", ""),
        ("min-rate=7", 7),
    ],
)
async def test_policy_values(text: str, value: Any, assay: Any) -> None:
    async with assay.daemon() as running:
        ended = await assay("policy", "set", "ward-3", text)
        assert ended.code == 0
        name = text.partition("=")[0].replace("-", "_")
        assert running.node.policy[name].value == value


@pytest.mark.parametrize(
    ("command", "code", "says", "next_"),
    [
        ("data add ward-3 x.csv", Exit.USAGE, "name: 'ward-3' is taken", "assay data list"),
        ("data add Ward x.csv", Exit.USAGE, "name: 'Ward' is no dataset", ""),
        (
            f"policy explain {ex.JOB} --data none",
            Exit.USAGE,
            "no dataset 'none'",
            "assay data list",
        ),
        ("card withdraw none", Exit.USAGE, "no dataset 'none'", "assay data list"),
        ("card search ffff", Exit.USAGE, "no card here begins with 'ffff'", ""),
        ("card search --max-price 2pounds", Exit.USAGE, "units are wei, gwei, ether", ""),
        ("job new --card 12", Exit.USAGE, "card: '12' is no card", ""),
        ("policy show none", Exit.USAGE, "no dataset 'none'", "assay data list"),
        ("policy set ward-3 x=1", Exit.USAGE, "x: no such term", ""),
        ("job show 0xff", Exit.USAGE, "no job '0xff'", ""),
        (f"train {ex.JOB} --data ward-3", Exit.REFUSED, "is running, not waiting", ""),
        (f"job cancel {ex.JOB}", Exit.USAGE, "only its requester can cancel", ""),
        (f"join {LINE.replace('192.0.2.7', '203.0.113.9')}", Exit.PEER, "nobody answers", ""),
        (f"join {LINE.replace('1337', '1338')}", Exit.REFUSED, "chain 1338", "init LINE"),
        (f"join {LINE.replace('c0c0', 'c1c1')}", Exit.REFUSED, "contract 0xc1c1", "init LINE"),
    ],
)
async def test_errors_of_the_daemon(
    command: str, code: Exit, says: str, next_: str, assay: Any
) -> None:
    async with assay.daemon():
        shown = await assay(*command.split())
        printed = await assay("--json", *command.split())
    assert (shown.code, shown.out) == (code, "")
    assert says in shown.err
    assert shown.err.count("\n") == (2 if next_ else 1)
    assert printed.code == code
    assert says in printed.error["message"]
    assert next_ in printed.error.get("next", "")


async def test_a_changed_policy_says_what_it_means_for_jobs_that_run(assay: Any) -> None:
    async with assay.daemon() as running:
        shown = (await assay("policy", "set", "ward-3", "accept=ask")).out
        assert "running jobs keep known, known_least and max_unpaid as they were taken" in shown
        assert "no further round" not in shown
        assert "running jobs keep" not in (await assay("policy", "show", "ward-3")).out
        running.node.shown_policy = dataclasses.replace(ex.POLICY, halted=(ex.JOB,))
        shown = (await assay("policy", "set", "ward-3", "accept=ask")).out
        assert "warning: 0x5a5a5a5a…5a5a runs no further round: the budget" in shown
        running.node.shown_policy = dataclasses.replace(ex.POLICY, running=())
        shown = (await assay("policy", "set", "ward-3", "accept=ask")).out
        assert "running jobs keep" not in shown


async def test_an_empty_list_of_what_is_allowed_allows_any(assay: Any) -> None:
    async with assay.daemon() as running:
        for name in ("purposes", "blocked"):
            running.node.policy[name] = r.PolicyTerm(name, (), "a list", "what it does")
        lines = (await assay("policy", "show", "ward-3")).out.splitlines()
    (purposes,) = [line.split() for line in lines if line.startswith("purposes")]
    (blocked,) = [line.split() for line in lines if line.startswith("blocked")]
    assert (purposes[1], blocked[1]) == ("any", "none")


async def test_rows_of_another_data_set_are_said_to_share_its_budget(assay: Any) -> None:
    async with assay.daemon() as running:
        assert "budget" not in (await assay("data", "add", "other", "x.csv")).out
        running.node.same = ("ward-3", "ward-4")
        shown = (await assay("data", "add", "twin", "x.csv")).out
        apart = ["--other-people", "ward-3", "--other-people", "ward-4"]
        assert "budget" not in (await assay("data", "add", "new", "x.csv", *apart)).out
        listed = (await assay("data", "list")).out
        budget = dataclasses.replace(running.node.budgets[0], same=("twin",))
        running.node.budgets = (budget,)
        privacy = (await assay("privacy")).out
    assert "note: it has rows of ward-3, ward-4: they share one privacy budget" in shown
    assert "one budget for twin, ward-3, ward-4: rows of one are in another" in listed
    assert "one budget for twin, ward-3: rows of one are in another" in privacy


async def test_a_job_without_a_hold_out_set_is_warned_of(assay: Any, tmp_path: Path) -> None:
    (tmp_path / "job.toml").write_text('[job]\ntitle = "a"\n')
    async with assay.daemon():
        bare = await assay("job", "post", "job.toml", "--yes")
        assert "no hold-out set: accuracy stays" in bare.out
        held = await assay("job", "post", "job.toml", "--holdout", "ward-3", "--yes")
        assert "no hold-out" not in held.out


async def test_a_poor_account_is_the_chains_matter(assay: Any, tmp_path: Path) -> None:
    (tmp_path / "poor.toml").write_text("poor = true\n")
    async with assay.daemon():
        ended = await assay("job", "post", "poor.toml", "--yes")
    assert ended.code == Exit.CHAIN
    assert "holds 0 wei" in ended.err


async def test_train_takes_a_waiting_job(assay: Any) -> None:
    async with assay.daemon() as running:
        waiting = dataclasses.replace(ex.SUMMARY, state="waiting")
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=waiting)
        ended = await assay("train", ex.JOB[:10], "--data", "ward-3", "--json")
    taken = {"job": ex.JOB, "dataset": "ward-3", "state": "enrolling"} | {
        "noisy": True,
        "sealed": False,
        "fits": [
            {
                "dataset": "ward-3",
                "rows": 4120,
                "usable": 4108,
                "why": "12 of 4120 rows cannot be used",
            }
        ],
    }
    assert ended.json == taken


async def test_an_owner_sees_how_many_rows_a_job_can_use(assay: Any) -> None:
    none = dataclasses.replace(ex.SUMMARY.fits[0], usable=0, why="4120 of 4120 rows cannot be used")
    waiting = dataclasses.replace(ex.SUMMARY, state="waiting", role="bystander", fits=(none,))
    async with assay.daemon() as running:
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=waiting)
        for command in (
            ("jobs",),
            ("job", "show", ex.JOB),
            ("train", ex.JOB, "--data", "ward-3"),
        ):
            shown = (await assay(*command)).out
            assert "ward-3: no row can be used: 4120 of 4120 rows" in shown, command
        whole = dataclasses.replace(none, usable=4120, why="")
        all_ = dataclasses.replace(waiting, fits=(whole,))
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=all_)
        assert "can be used" not in (await assay("jobs")).out


async def test_a_data_set_is_shown_from_the_inside(assay: Any) -> None:
    async with assay.daemon() as running:
        plain = (await assay("data", "show", "ward-3")).out
        against = (await assay("data", "show", "ward-3", "--job", ex.JOB)).out
        refused = dataclasses.replace(ex.DATASET_VIEW.fit, refused="no column 'x'", older=True)
        running.node.view = dataclasses.replace(ex.DATASET_VIEW, fit=refused)
        other = (await assay("data", "show", "ward-3", "--job", ex.JOB)).out
        printed = (await assay("data", "show", "ward-3", "--json")).json
    for text in ("separator comma", "in the file", "lac", "17.2", "no (3900), yes (220)"):
        assert text in plain, text
    assert "can use" not in plain
    assert "can use 4108 of 4120 rows" in against
    (line,) = [each for each in against.splitlines() if "a number from 0 to 120" in each]
    assert "empty" in line
    assert "7, 91, …" in line
    assert "cannot use ward-3: no column 'x'" in other
    assert "goes on with the version of ward-3 that it was joined with" in other
    assert printed["fit"] is None


async def test_a_data_set_is_mapped_replaced_and_removed(assay: Any, tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(ex.COLUMN_MAP)
    async with assay.daemon() as running:
        added = await assay("data", "add", "b", "b.csv", "--map", "map.toml", "--holdout")
        assert "it is a hold-out, and offered to no job" in added.out
        assert f"read with {ex.COLUMN_MAP.splitlines()[0]}" in added.out
        assert "hold-out: offered to no job" in (await assay("data", "list")).out
        await assay("data", "map", "ward-3", "map.toml")
        assert running.node.maps == {"ward-3": ex.COLUMN_MAP}
        await assay("data", "map", "ward-3", "--none")
        assert running.node.maps == {"ward-3": None}
        for wrong in ((), ("map.toml", "--none"), ("nowhere.toml",)):
            assert (await assay("data", "map", "ward-3", *wrong)).code == Exit.USAGE
        shown = await assay("data", "replace", "ward-3", "new.csv", "--decimal", ",")
        assert "running jobs keep what they were joined with: 0x5a5a5a5a" in shown.out
        assert "note: read with ," in shown.out
        assert running.node.datasets["ward-3"].path == str(tmp_path / "new.csv")
        running.node.needed.add("ward-3")
        assert (await assay("data", "remove", "ward-3")).code == Exit.REFUSED
        running.node.needed.clear()
        removed = await assay("data", "remove", "ward-3")
        assert "finds its budget again" in removed.out
        assert "ward-3" not in running.node.datasets


async def test_a_job_that_waits_is_declined(assay: Any) -> None:
    async with assay.daemon() as running:
        assert (await assay("job", "decline", ex.JOB)).code == Exit.REFUSED
        waiting = dataclasses.replace(ex.SUMMARY, state="waiting")
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=waiting)
        ended = await assay("job", "decline", ex.JOB[:8])
    assert ended.code == 0
    assert "is declined: kept out by its owner's hand" in ended.out


async def test_a_paused_node_says_so_until_it_goes_on(assay: Any) -> None:
    async with assay.daemon():
        paused = await assay("pause")
        assert "paused; 1 running jobs go on without it" in paused.out
        assert "assay resume" in (await assay("status")).out
        assert (await assay("resume")).out.startswith("resumed")
        assert "closed" not in (await assay("status")).out


async def test_a_job_that_was_taken_is_left(assay: Any) -> None:
    async with assay.daemon() as running:
        waiting = dataclasses.replace(ex.SUMMARY, state="waiting")
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=waiting)
        assert (await assay("leave", ex.JOB)).code == Exit.REFUSED
        taken = dataclasses.replace(ex.SUMMARY, state="running")
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=taken)
        left = await assay("leave", ex.JOB)
    assert left.code == 0
    assert "an attempt that has begun is finished, then none begins here" in left.out


async def test_jobs_say_once_what_is_so_of_several(assay: Any) -> None:
    async with assay.daemon() as running:
        plain = dataclasses.replace(ex.SUMMARY, noisy=False, state="waiting", reason="it waits")
        known = running.node.jobs_known
        for number in range(3):
            name = f"0x{number:064x}"
            summary = dataclasses.replace(plain, job=name)
            known[name] = dataclasses.replace(ex.DETAIL, summary=summary)
        shown = (await assay("jobs")).out
        assert shown.count("it waits; no noise") == 3
        assert shown.count("masks hide each batch within a round") == 1
        alone = (await assay("job", "show", f"0x{1:064x}")).out
        assert alone.count("masks hide each batch within a round") == 1


async def test_a_job_without_noise_says_so_wherever_it_is_shown(assay: Any) -> None:
    """docs/design.md, section 2: masks protect within a round; over rounds nothing does."""
    async with assay.daemon() as running:
        plain = dataclasses.replace(ex.SUMMARY, noisy=False, state="waiting")
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=plain)
        for command in (
            ("jobs",),
            ("job", "show", ex.JOB),
            ("train", ex.JOB, "--data", "ward-3"),
        ):
            assert "no noise: masks hide each batch within" in (await assay(*command)).out, command
        over = dataclasses.replace(plain, state="finished")
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=over)
        assert "warning: no noise" in (await assay("job", "watch", ex.JOB)).out


async def test_a_round_shows_who_is_in_what_stayed_closed_and_who_owes_what(
    assay: Any,
) -> None:
    (done,), (member,) = ex.DETAIL.rounds, ex.DETAIL.members
    rounds = (
        dataclasses.replace(done, blocks=3, closed=1),
        dataclasses.replace(done, number=1, phase="unmask", contributors=15, released=9),
        dataclasses.replace(done, number=2, phase="ready", contributors=0, ready=4, blocks=None),
    )
    members = (
        dataclasses.replace(member, part="contributed"),
        dataclasses.replace(member, part="", withheld=True, owes=3),
        dataclasses.replace(member, part="", withheld=True),
        dataclasses.replace(member, part="refused", refusal="this owner could not train"),
        dataclasses.replace(member, part="no answer"),
        dataclasses.replace(member, block=None, part="enrolled"),
    )
    shown = dataclasses.replace(ex.DETAIL, rounds=rounds, members=members)
    async with assay.daemon() as running:
        running.node.jobs_known[ex.JOB] = shown
        text = (await assay("job", "show", ex.JOB)).out
    for words in (
        "3, 1 closed",
        "unmask (9 of 15 released)",
        "ready (4)",
        "contributed",
        "owes shares of round 3 (no merit until they come)",
        "gave no shares that open its block (no merit)",
        "refused: this owner could not train",
        "no answer",
        "enrolled, no block yet",
    ):
        assert words in text, words


async def test_cancel_says_what_follows_and_bears_being_asked_twice(assay: Any) -> None:
    async with assay.daemon() as running:
        own = dataclasses.replace(ex.SUMMARY, role="requester")
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=own)
        first = await assay("job", "cancel", ex.JOB[:10])
        assert (first.code, first.err) == (0, "")
        assert f"{ex.JOB} is being cancelled; it is running until" in first.out
        assert "2 h after the block that holds the cancellation" in first.out
        assert "committed by then stay paid" in first.out
        assert "the rest comes back" in first.out
        assert f"next: assay job watch {ex.JOB}" in first.out
        again = await assay("job", "cancel", ex.JOB)
        assert (again.code, again.out.splitlines()[0]) == (
            0,
            f"{ex.JOB} is being cancelled already; it is running until the chain has that",
        )
        running.node.cancelled = dataclasses.replace(
            ex.CANCELLED, state="cancelled", already=True, effective=ex.NOW + 7200
        )
        late = await assay("job", "cancel", ex.JOB)
        assert f"{ex.JOB} is cancelled already" in late.out
        assert "which has passed" in late.out
        printed = (await assay("job", "cancel", ex.JOB, "--json")).json
        assert (printed["already"], printed["effective"], printed["notice"]) == (
            True,
            ex.NOW + 7200,
            7200,
        )


async def test_cancel_hands_on_what_its_transaction_waits_for(assay: Any) -> None:
    async with assay.daemon() as running:
        own = dataclasses.replace(ex.SUMMARY, role="requester")
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=own)
        running.node.cancelled = dataclasses.replace(
            ex.CANCELLED, transaction="", problem="the account has 0 wei: send it ether"
        )
        ended = await assay("job", "cancel", ex.JOB)
    assert "the transaction waits: the account has 0 wei" in ended.out
    assert ex.TRANSACTION not in ended.out


async def test_cancel_of_a_finished_job_is_refused(assay: Any) -> None:
    async with assay.daemon() as running:
        done = dataclasses.replace(ex.SUMMARY, role="requester", state="finished")
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=done)
        ended = await assay("job", "cancel", ex.JOB)
    assert (ended.code, ended.out) == (Exit.REFUSED, "")
    assert "cannot be cancelled: it is finished" in ended.err


async def test_an_audit_with_a_fault_ends_with_its_own_code(assay: Any) -> None:
    async with assay.daemon() as running:
        running.node.audit_ok = False
        ended = await assay("audit", ex.JOB)
        assert ended.code == Exit.FAULT
        assert "FAULT" in ended.out
        assert "1 of 2 checks failed" in ended.out
        assert (await assay("audit", ex.JOB, "--json")).json["ok"] is False


async def test_the_next_command_offers_the_same(assay: Any) -> None:
    async with assay.daemon() as running:
        said = ("offer", ex.JOB, "--price", "0.0001 ether", "--scores", "--days", "7")
        asked = await assay(*said, "--accuracy", "0.9")
        assert asked.code == Exit.REFUSED
        again = f"assay offer {ex.JOB} --price '0.0001 ether' --days 7 --accuracy 0.9 --scores"
        assert f"next: {again} --yes" in asked.err
        assert [dry for *_, dry in running.node.sold] == [True]


async def test_the_next_command_buys_the_same_into_the_same_file(
    assay: Any, tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text("age,smoker\n1,0\n")
    out = tmp_path / "for me.csv"
    async with assay.daemon():
        said = ("predict", f"0x{sx.OFFER.offer.hex()}", str(tmp_path / "new.csv"))
        asked = await assay(*said, "--budget", "0.01 ether", "--out", str(out), "--force")
        assert asked.code == Exit.REFUSED
        again = f"{' '.join(said)} --budget '0.01 ether' --out '{out}' --force --yes"
        assert f"next: assay {again}" in asked.err


@pytest.mark.parametrize("budget", ["3", "0.01", ".5"])
async def test_a_budget_without_a_unit_is_asked_for_one(
    budget: str, assay: Any, tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text("age,smoker\n1,0\n")
    async with assay.daemon():
        said = ("predict", f"0x{sx.OFFER.offer.hex()}", str(tmp_path / "new.csv"))
        asked = await assay(*said, "--budget", budget)
    assert asked.code == Exit.USAGE
    assert f"budget: is {budget!r}; say of what" in asked.err


def test_rows_that_a_budget_left_are_bought_by_a_command_that_works() -> None:
    """The file of the first part is there by then: without --force it would be refused."""
    found = {"rows": 6, "unused": 0, "notes": [], "offer": {"token": None}, "why": ""}
    told = bought({"prepared": found, "empty": 4, "left": 4, "asked": 2, "spent": "2", "out": "x"})
    assert "larger --budget, and --force" in str(told[-1])


async def test_a_network_that_is_not_there_is_no_package(assay: Any) -> None:
    async with assay.daemon():
        told = await assay("encoder", "add", "nowhere.onnx", "--kind", "text")
        assert told.code == Exit.USAGE
        assert "nowhere.onnx cannot be read: No such file" in told.err


async def test_join_uses_the_address_alone(assay: Any) -> None:
    async with assay.daemon() as running:
        assert (await assay("join", LINE)).code == 0
        assert (await assay("join", ex.ADDRESS)).code == 0
        assert running.node.joined == [ex.ADDRESS, ex.ADDRESS]


async def test_join_hands_a_lines_channel_contract_over(assay: Any) -> None:
    async with assay.daemon() as running:
        plain = await assay("join", LINE)
        assert "restart" not in plain.out
        assert "assay down" not in plain.out
        sells = await assay("join", f"{LINE}&channels={ex.OWNER}")
        assert "channel contract is stored; to buy and sell: assay down" in sells.out
        assert running.node.channels == [None, ex.OWNER]


async def test_a_model_is_copied_and_never_over_a_file(assay: Any, tmp_path: Path) -> None:
    source = tmp_path / "source.npz"
    source.write_bytes(b"weights")
    async with assay.daemon() as running:
        running.node.model_path = str(source)
        ended = await assay("model", "get", ex.JOB, "--json")
        assert ended.json["out"] == str(tmp_path / "model-0x5a5a5a5a-20.npz")
        assert (tmp_path / "model-0x5a5a5a5a-20.npz").read_bytes() == b"weights"
        target = tmp_path / "m.npz"
        ended = await assay("model", "get", ex.JOB, "--out", "m.npz", "--round", "3", "--json")
        assert (ended.json["out"], ended.json["round"]) == (str(target), 3)
        target.write_bytes(b"mine")
        ended = await assay("model", "get", ex.JOB, "--out", "m.npz")
        assert (ended.code, target.read_bytes()) == (Exit.USAGE, b"mine")
        assert "--force" in ended.err
        assert (await assay("model", "get", ex.JOB, "--out", "m.npz", "--force")).code == 0
        assert target.read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("state", "code"),
    [("finished", 0), ("declined", 6), ("cancelled", 6), ("expired", 6), ("failed", 7)],
)
async def test_watch_follows_a_job_to_its_end(state: str, code: int, assay: Any) -> None:
    async with assay.daemon() as running, trio.open_nursery() as nursery:
        bus = running.bus
        bus.publish("training", "running", job=ex.JOB)
        bus.publish("failed", "the job runs on all the same", job=ex.JOB)
        bus.publish("round.commit", "of another job", job="0x" + "bb" * 32)

        async def go_on() -> None:
            while running.node.shows < 2:  # it has asked again, because of the word above
                await trio.lowlevel.checkpoint()
            bus.publish("round.commit", "round 1", job=ex.JOB, facts={"round": 1})
            over = dataclasses.replace(ex.SUMMARY, state=state)
            running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=over)
            bus.publish("closed", f"{state}!", job=ex.JOB)

        nursery.start_soon(go_on)
        ended = await assay("job", "watch", ex.JOB[:12], "--json")
        shown = [json.loads(line) for line in ended.out.splitlines()]
        assert [event["seq"] for event in shown] == [1, 2, 4, 5]
        assert shown[-1]["text"] == f"{state}!"
        assert ended.code == code


async def test_watch_of_a_job_that_is_over_returns_at_once(assay: Any) -> None:
    async with assay.daemon() as running:
        over = dataclasses.replace(ex.SUMMARY, state="failed", reason="round 3 never opened")
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=over)
        ended = await assay("job", "watch", ex.JOB)
    assert ended.code == Exit.FAULT
    assert "failed. round 3 never opened" in ended.out


async def test_a_job_that_ended_early_is_not_just_finished(assay: Any) -> None:
    async with assay.daemon() as running:
        early = dataclasses.replace(
            ex.SUMMARY, state="finished", early=True, round=0, reason="round 0 failed 16 attempts"
        )
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=early)
        watched = await assay("job", "watch", ex.JOB)
        assert watched.code == Exit.FAULT
        assert "ended early, after 0 of 20 rounds. round 0 failed 16 attempts" in watched.out
        (row,) = [line for line in (await assay("jobs")).out.splitlines() if "Sepsis" in line]
        assert "ended early   0/20" in row
        assert (await assay("jobs", "--json")).json[0]["state"] == "finished"
        assert "ended early" in (await assay("job", "show", ex.JOB)).out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"round": 0}, "initial weights: no round went into them"),
        ({"round": 3, "final": False}, "model after round 3 of 20"),
        ({"round": 3}, "last model, after round 3 of 20: the job ended early"),
        ({}, "final model, after round 20 of 20"),
    ],
)
async def test_a_model_says_how_many_rounds_went_into_it(
    changes: dict[str, Any], says: str, assay: Any, tmp_path: Path
) -> None:
    (tmp_path / "source.npz").write_bytes(b"weights")
    async with assay.daemon() as running:
        running.node.model_path = str(tmp_path / "source.npz")
        running.node.model = dataclasses.replace(ex.MODEL, **changes)
        assert says in (await assay("model", "get", ex.JOB)).out


async def test_watch_says_that_the_daemon_ended(assay: Any) -> None:
    async with assay.daemon() as running, trio.open_nursery() as nursery:

        async def end() -> None:
            while not running.bus.statistics()["subscriptions"]:
                await trio.lowlevel.checkpoint()
            running.scope.cancel()

        nursery.start_soon(end)
        ended = await assay("job", "watch", ex.JOB)
    assert ended.code == Exit.NO_DAEMON
    assert "ended" in ended.err
    assert "next: assay up" in ended.err


async def test_a_hostile_title_cannot_drive_the_terminal(assay: Any) -> None:
    async with assay.daemon() as running:
        title = "\x1b[2J\u202eevil\nrow"
        summary = dataclasses.replace(ex.SUMMARY, title=title, noisy=False)
        running.node.jobs_known[ex.JOB] = dataclasses.replace(ex.DETAIL, summary=summary)
        shown = await assay("jobs")
        assert "\x1b" not in shown.out
        assert "\u202e" not in shown.out
        assert len(shown.out.splitlines()) == 3
        assert "no noise: masks hide each batch within a round" in shown.out
        assert (await assay("jobs", "--json")).json[0]["title"] == title


async def test_down_waits_for_the_end(assay: Any) -> None:
    from node.home.home import Home

    async with assay.daemon() as running:
        import os

        running.node.state = dataclasses.replace(ex.STATUS, pid=os.getpid())
        lock = Home(assay.home).lock()
        lock.acquire()
        late = await assay("down", "--wait", "0.1")
        assert late.code == Exit.NO_DAEMON
        assert f"kill {os.getpid()}" in late.err
        lock.release()
        ended = await assay("down")
        assert ended.code == 0
        assert "1 running jobs go on" in ended.out
        assert running.node.stopped.is_set()


async def test_a_card_is_read_here_and_published_by_the_daemon(assay: Any, tmp_path: Path) -> None:
    file = tmp_path / "card.toml"
    file.write_text(cx.CARD_TOML)
    async with assay.daemon() as running:
        shown = await assay("card", "publish", "ward-3", str(file), "--dry-run")
        assert "nothing is published: this is what everybody would read" in shown.out
        published = await assay("card", "publish", "ward-3", str(file))
        assert "take it back: assay card withdraw ward-3" in published.out
        asked = [("ward-3", cx.CARD_TOML, True), ("ward-3", cx.CARD_TOML, False)]
        assert running.node.cards == asked
        lost = await assay("card", "publish", "ward-3", str(tmp_path / "none.toml"))
        assert (lost.code, running.node.cards) == (Exit.USAGE, asked)


async def test_a_search_is_the_daemons(assay: Any) -> None:
    async with assay.daemon() as running:
        given = "--column age --column sex --kind category --purpose care --max-price"
        await assay("card", "search", *given.split(), "0.5 gwei", "--limit", "7")
        await assay("card", "search")
    every = ((), None, None, None, None, 100)
    assert running.node.searched == [
        (("age", "sex"), "category", "care", 500_000_000, None, 7),
        every,
    ]


async def test_a_spec_from_a_card_replaces_no_file(assay: Any, tmp_path: Path) -> None:
    out = tmp_path / "job.toml"
    async with assay.daemon():
        made = await assay("job", "new", "--card", "3f5a", "--out", str(out))
        again = await assay("job", "new", "--card", "3f5a", "--out", str(out))
    assert (made.code, out.read_text()) == (0, cx.DETAIL.spec)
    assert f"assay job check {out}" in made.out
    assert (again.code, again.out) == (Exit.USAGE, "")


async def test_job_check_counts_cards_where_a_daemon_runs(assay: Any) -> None:
    spec = str(ROOT / "docs" / "examples" / "digits.toml")
    async with assay.daemon():
        shown = await assay("job", "check", spec)
        printed = await assay("job", "check", spec, "--json")
    assert "cards that meet it" in shown.out
    assert printed.json["cards"] == {"known": 12, "columns": 7, "purpose": 6, "price": 5}
    alone = await assay("job", "check", spec)
    assert (alone.code, "cards that meet it" in alone.out) == (0, False)
