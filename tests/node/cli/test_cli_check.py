"""`assay job check`: every problem of a spec, or what the job costs; no daemon, no network."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from kits.paths import ROOT

from node.cli.main import main
from node.control.codes import Exit

EXAMPLES = ROOT / "docs" / "examples"
DIGITS = EXAMPLES / "digits.toml"


def write(folder: Path, *swaps: tuple[str, str]) -> str:
    text = DIGITS.read_text()
    for old, new in swaps:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "job.toml").write_text(text)
    return str(folder / "job.toml")


async def test_a_sound_spec_shows_its_price_and_its_risks(assay: Any) -> None:
    ended = await assay("job", "check", str(DIGITS), "--holdout", "no-such-data")
    assert (ended.code, ended.err) == (0, "")
    for text in (
        "650",  # parameters
        "lanes                    161 ",
        "headroom left            3  ",  # of 19-bit lanes: 8 batches of 16 bits, 5 owners
        "bytes per parameter      5.98",
        "3.8 KiB",  # a contribution
        "inside its gossip message",
        "648 B",  # a Ready
        "3.1 KiB",  # a block's roster
        "8.4 KiB in, 4.8 KiB out",
        "24.1 KiB in, 42.2 KiB out",
        "12 min 39 s to 3 h 52 min",
        "0.25 ether",  # escrow
        "0.04 ether",  # an owner earns
        "4 of 5",  # threshold
        "2 x 4 > 5 + 1: never two sums of it; 4 <= 5 - 0 - 1: always one",
        "dropouts and shuffled blocks are refused",
        "paillier (this job)  3.8 KiB       5 ciphertexts",
        "masks                1.9 KiB       masked words",
        "warning: no noise: masks hide each contribution within a round; over rounds nothing",
        "warning: open model: owners can read the weights",
    ):
        assert text in ended.out, text
    assert not assay.home.exists()


async def test_the_same_as_json_with_exact_money(assay: Any) -> None:
    ended = await assay("job", "check", str(DIGITS), "--json", "--block-seconds", "1")
    assert ended.code == 0
    found = ended.json
    assert (found["ok"], found["problems"], len(found["warnings"])) == (True, [], 2)
    estimate = found["estimate"]
    assert (estimate["escrow"], estimate["owner_earns"]) == (
        "250000000000000000",
        "40000000000000000",
    )
    assert (estimate["parameters"], estimate["inline"]) == (650, True)
    slower = (await assay("job", "check", str(DIGITS), "--json")).json["estimate"]
    # 20 rounds, a commitment and 2 blocks of finality each, and the end.
    assert slower["shortest_seconds"] - estimate["shortest_seconds"] == pytest.approx(21 * 3 * 11)


NOISY = (
    ("local_steps = 100", "local_steps = 1"),
    (
        "[cohort]\nmin_owners = 5\nmax_owners = 5",
        "[privacy]\nepsilon = 8\ndelta = 1e-5\ndropouts = 2\ncorrupt = 1\n"
        "[cohort]\nmin_owners = 8\nmax_owners = 8\nblock_size = 8",
    ),
)


async def test_noise_is_told_with_what_it_allows(assay: Any, tmp_path: Path) -> None:
    path = write(tmp_path, *NOISY)
    ended = await assay("job", "check", path)
    assert ended.code == 0
    for text in (
        "2 x 5 > 8 + 1: never two sums of it; 5 <= 8 - 2 - 1: always one",  # design.md, 5
        "epsilon 8, delta 1e-05",
        "at most 3.09",  # noise multiplier
        "a block goes on without so many",
        "cohort.shuffle may draw them anew",
    ):
        assert text in ended.out, text
    assert "no noise" not in ended.out
    found = (await assay("job", "check", path, "--json")).json
    assert (found["noisy"], found["dropouts"], found["estimate"]["threshold"]) == (True, 2, 5)
    assert found["noise_multiplier"] == pytest.approx(3.087, abs=1e-3)
    assert [each["envelope"] for each in found["estimate"]["envelopes"]] == ["paillier", "masks"]
    plain = (await assay("job", "check", str(DIGITS), "--json")).json
    assert (plain["noisy"], plain["noise_multiplier"]) == (False, None)


async def test_weak_numbers_are_called_weak(assay: Any, tmp_path: Path) -> None:
    weak = [
        (a, b.replace("epsilon = 8", "epsilon = 1000").replace("1e-5", "0.1")) for a, b in NOISY
    ]
    found = (await assay("job", "check", write(tmp_path, *weak), "--json")).json
    said = [text for text in found["warnings"] if "which is weak" in text]
    assert [text.split(",")[0] for text in said] == [
        "privacy.epsilon is 1000",
        "privacy.delta is 0.1",
    ]
    fine = (await assay("job", "check", write(tmp_path, *NOISY), "--json")).json
    assert not any("weak" in text for text in fine["warnings"])


def test_a_large_model_travels_by_digest(capsys: Any) -> None:
    assert main(["job", "check", str(EXAMPLES / "digits-dense.toml")]) == Exit.OK
    assert "by digest, over streams" in capsys.readouterr().out


async def test_every_problem_is_named_with_its_field(assay: Any, tmp_path: Path) -> None:
    path = write(
        tmp_path,
        ("rounds = 20", "rouns = 20"),
        ("clip_norm = 4.0", "clip_norm = -1"),
        ('rate = "0.002 ether"', 'rate = "2 bananas"'),
    )
    fields = ["training.rouns", "training.rounds", "training.clip_norm", "payment.rate"]
    shown = await assay("job", "check", path)
    assert (shown.code, shown.err) == (Exit.USAGE, "")
    assert [line.split()[0] for line in shown.out.splitlines()[1:-1]] == fields
    assert "did you mean rounds?" in shown.out
    assert shown.out.splitlines()[-1] == "4 problems"
    printed = await assay("job", "check", path, "--json")
    assert (printed.code, printed.json["ok"]) == (Exit.USAGE, False)
    assert [problem["field"] for problem in printed.json["problems"]] == fields


def test_what_is_no_toml_is_a_problem_of_the_file(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "job.toml"
    path.write_text("title = \n")
    assert main(["job", "check", str(path)]) == Exit.USAGE
    assert "the file  no valid TOML" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("swap", "warns"),
    [
        (("contribute_seconds = 120", "contribute_seconds = 1"), ""),
        (("local_steps = 100", "local_steps = 10000"), ""),
        (("commit_seconds = 300", "commit_seconds = 11"), "less than a chain block takes"),
        (("commit_seconds = 300", "commit_seconds = 12"), ""),
        (("finality_blocks = 2", "finality_blocks = 1024"), "the job expires after 86400 s"),
    ],
)
def test_plain_warnings(swap: tuple[str, str], warns: str, tmp_path: Path, capsys: Any) -> None:
    path = write(tmp_path, swap)
    assert main(["job", "check", path]) == Exit.OK
    warnings = [line for line in capsys.readouterr().out.splitlines() if "warning: " in line]
    assert len(warnings) == (3 if warns else 2)
    assert warns in warnings[-1]


def test_an_owner_that_cannot_be_done_in_time_is_warned_of(tmp_path: Path, capsys: Any) -> None:
    swaps = (
        ("contribute_seconds = 120", "contribute_seconds = 1"),
        (
            "local_steps = 100",
            "local_steps = 10000",
        ),
    )
    assert main(["job", "check", write(tmp_path, *swaps)]) == Exit.OK
    text = capsys.readouterr().out
    assert "warning: timing.contribute_seconds is 1; an owner's computing alone takes" in text


def test_other_tokens_have_no_unit(tmp_path: Path, capsys: Any) -> None:
    token = "0x" + "ab" * 20
    path = write(
        tmp_path,
        ('rate = "0.002 ether"', f'token = "{token}"\nrate = 7'),
        ('merit = "0.05 ether"', "merit = 0"),
    )
    assert main(["job", "check", path]) == Exit.OK
    text = capsys.readouterr().out
    assert "700 units of 0x" in text
    assert "ether" not in text


@pytest.mark.parametrize("pace", ["0", "-1", "nan", "inf", "3601", "fast"])
def test_a_pace_that_no_chain_has_is_refused(pace: str, capsys: Any) -> None:
    assert main(["job", "check", str(DIGITS), f"--block-seconds={pace}", "--json"]) == Exit.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert "block" in err


async def test_it_imports_no_numpy_no_trio_and_no_web3(assay: Any) -> None:
    script = (
        "import sys; from node.cli.main import main; code = main(sys.argv[1:]);"
        "heavy = {'trio', 'numpy', 'gmpy2', 'web3', 'libp2p', 'polars', 'rich'};"
        "print(sorted(heavy & set(sys.modules)), code)"
    )
    done = await trio.run_process(
        [sys.executable, "-c", script, "job", "check", str(DIGITS)],
        capture_stdout=True,
        env=assay.environ,
    )
    assert done.stdout.decode().splitlines()[-1] == "[] 0"


async def test_room_in_lanes_is_told_of_ciphertexts_alone(assay: Any, tmp_path: Path) -> None:
    found = (await assay("job", "check", str(DIGITS), "--json")).json["estimate"]
    assert (found["headroom"], found["lanes"], found["lane_bits"]) == (8, 161, 19)
    assert found["bytes_per_parameter"] == found["contribution_bytes"] / 650
    masked = ("[cohort]", '[encryption]\nenvelope = "masks"\n[cohort]')
    ended = await assay("job", "check", write(tmp_path, masked))
    assert ended.code == 0
    rows = [row.split("  ")[0] for row in ended.out.splitlines()]
    assert "lanes" not in rows
    assert "headroom left" not in rows
    assert "bytes per parameter      3.07 " in ended.out  # 24-bit words behind a header


def test_what_gaps_become_is_shown(tmp_path: Path, capsys: Any) -> None:
    columns = (
        '[[features]]\nnames = ["age", "dose"]\nlow = 0\nhigh = 9\ngaps = ["NA", -1]\n'
        "missing = 2.5\nindicator = true\n\n"
        '[[features]]\nname = "ward"\ncategories = ["a", "b"]\nmissing = "b"\n\n'
        '[[features]]\nname = "visits"\nlow = 0\nhigh = 9\nmissing = "drop-row"\n\n[[features]]'
    )
    path = write(tmp_path, ("[[features]]", columns))
    assert main(["job", "check", path]) == Exit.OK
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    found = {cells[0]: " ".join(cells[1:]).strip() for cells in lines}
    words = "an empty cell, 'NA', '-1'"
    assert found["age, dose"] == f"{words} 2.5, and one more input says that it was a gap"
    assert found["ward"].split() == ["an", "empty", "cell", "b"]
    assert found["visits"].endswith("drop-row: its row is left out")
    rest = next(found[each] for each in found if each.startswith("pixel_0_0, "))
    assert rest.endswith("refuse: a data set with one cannot take part")
    assert main(["job", "check", path, "--json"]) == Exit.OK
    gaps = json.loads(capsys.readouterr().out)["gaps"]
    assert gaps[0] == {
        "columns": ["age", "dose"],
        "words": ["NA", "-1"],
        "missing": 2.5,
        "filled": True,
        "indicator": True,
    }
    assert [(rule["missing"], rule["filled"]) for rule in gaps[1:]] == [
        ("b", True),
        ("drop-row", False),
        ("refuse", False),
    ]
    noise = (*NOISY, ("[[features]]", columns))
    assert main(["job", "check", write(tmp_path, *noise)]) == Exit.OK
    assert "drop-row: its row adds zeros, and is counted like any other" in capsys.readouterr().out
