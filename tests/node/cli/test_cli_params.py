"""`assay params`: from goals to key length, lanes, bytes and seconds; no daemon, no home."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import trio

from node.cli.main import main
from node.control.codes import Exit

GOALS = {"parameters": "100000", "owners": "30", "clip": "1", "precision": "0.0001"}


def line(**changes: str) -> list[str]:
    return ["params", *(f"--{name}={value}" for name, value in (GOALS | changes).items())]


async def test_goals_become_a_key_lanes_bytes_and_seconds(assay: Any) -> None:
    ended = await assay(*line())
    assert (ended.code, ended.err) == (0, "")
    shown = {row[:21].strip(): row[21:].split("  ")[0] for row in ended.out.splitlines()[1:]}
    # 1 / (2^14 - 1) is the first step below 0.0001; 30 owners carry 5 bits; (3072 - 2) / 20 = 153
    assert shown == {
        "key length": "3072 bits",
        "value bits": "15",
        "lane width": "20 bits",
        "lanes": "153",
        "headroom left": "2",
        "bytes per parameter": "5.02",
        "contribution": "490.5 KiB",
        "encryption": "427 ms",
        "addition": "13 ms",
        "decryption": "2.0 s",
    }
    assert not assay.home.exists()


def test_the_same_as_json_with_exact_sizes(capsys: Any) -> None:
    assert main([*line(), "--json"]) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    assert found["goals"] == {
        "parameters": 100_000,
        "owners": 30,
        "clip": 1.0,
        "precision": 0.0001,
        "security": 128,
    }
    assert (found["key_bits"], found["value_bits"], found["lanes"]) == (3072, 15, 153)
    assert (found["headroom"], found["headroom_left"]) == (32, 2)
    assert found["ciphertexts"] == 654
    assert found["contribution_bytes"] == 45 + 654 * 768
    assert found["bytes_per_parameter"] == found["contribution_bytes"] / 100_000
    assert 0 < found["add_seconds"] < found["encrypt_seconds"]


def test_more_security_takes_a_longer_key_and_more_time(capsys: Any) -> None:
    found = []
    for bits in ("112", "128", "192"):
        assert main([*line(security=bits), "--json"]) == Exit.OK
        found.append(json.loads(capsys.readouterr().out))
    assert [each["key_bits"] for each in found] == [2048, 3072, 7680]
    seconds = [each["decrypt_seconds"] for each in found]
    assert seconds == sorted(seconds)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("parameters", "0", "1 to 80000000 are allowed"),
        ("owners", "4097", "1 to 4096 are allowed"),
        ("clip", "-1", "must be above 0"),
        ("clip", "nan", "must be above 0"),
        ("precision", "0", "must be above 0"),
        ("precision", "1e-12", "neighbours are 4.65661e-10 apart"),
        ("security", "193", "1 to 192 are allowed"),
    ],
)
def test_a_goal_out_of_reach_is_named(field: str, value: str, says: str, capsys: Any) -> None:
    assert main([*line(**{field: value}), "--json"]) == Exit.USAGE
    out, err = capsys.readouterr()
    error = json.loads(err)["error"]
    assert (out, error["field"]) == ("", field)
    assert error["message"].startswith(f"{field}: is ")
    assert says in error["message"]


@pytest.mark.parametrize("field", ["parameters", "owners", "clip", "precision"])
def test_every_goal_must_be_given_as_a_number(field: str, capsys: Any) -> None:
    without = [word for word in line() if not word.startswith(f"--{field}=")]
    for words in (without, [*without, f"--{field}=many"]):
        assert main([*words, "--json"]) == Exit.USAGE
        assert f"--{field}" in json.loads(capsys.readouterr().err)["error"]["message"]


async def test_it_imports_no_numpy_no_trio_and_no_web3(assay: Any) -> None:
    script = (
        "import sys; from node.cli.main import main; code = main(sys.argv[1:]);"
        "heavy = {'trio', 'numpy', 'gmpy2', 'web3', 'libp2p', 'polars', 'rich'};"
        "print(sorted(heavy & set(sys.modules)), code)"
    )
    done = await trio.run_process(
        [sys.executable, "-c", script, *line()], capture_stdout=True, env=assay.environ
    )
    assert done.stdout.decode().splitlines()[-1] == "[] 0"
