"""`assay job check` of a sealed job, and what `--no-noise` says before a job is posted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kits.paths import ROOT

from node.cli.main import main
from node.control import examples as ex
from node.control.codes import Exit
from node.workers.worker import THREAD_VARIABLES
from protocol.arith.noise import accountant

EXAMPLES = ROOT / "docs" / "examples"

SPEC = """
title = "Clouds"
purpose = "research"
[[features]]
names = "c_{1..4}"
low = 0
high = 1
[target]
name = "label"
classes = ["a", "b"]
[model]
family = "logistic"
bias = 0.5
[training]
rounds = 3
[privacy]
sealed = true
dropouts = 0
[encryption]
key_bits = 2048
[cohort]
min_owners = 5
[payment]
rate = 1
"""


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command sets for its own process, so that it does not outlast a test."""
    for name in THREAD_VARIABLES:
        monkeypatch.setenv(name, "1")


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "job.toml"
    path.write_text(SPEC)
    return path


def rows(path: Path, count: int, seed: int = 2) -> str:
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, count)
    x = np.clip(0.3 + 0.4 * y[:, None] + random.normal(0.0, 0.15, (count, 4)), 0.0, 1.0)
    lines = ["c_1,c_2,c_3,c_4,label"]
    lines += [
        ",".join([*(f"{value:.3f}" for value in row), "ab"[label]])
        for row, label in zip(x, y, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def checked(capsys: Any, *arguments: str) -> tuple[int, Any]:
    code = main(["job", "check", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def shown(capsys: Any, *arguments: str) -> str:
    assert main(["job", "check", *arguments]) == Exit.OK
    text: str = capsys.readouterr().out
    return text


async def test_a_sealed_job_is_checked_without_a_daemon_or_data(assay: Any) -> None:
    ended = await assay("job", "check", str(EXAMPLES / "digits-sealed.toml"))
    assert (ended.code, ended.err) == (0, "")
    for text in (
        "64 features x 10 outputs, of 64 inputs",
        "64 ciphertexts, 10 of 10 outputs in each",
        "seconds on one core of this machine, measured now",
        "an owner, pool full",
        "an owner, pool empty",
        "10 of full range: a pool makes them while a node waits",
        "  encrypts",
        "  decrypts",
        "once a job, about: of 1000 rows",
        "drawn once: replies of all rounds are made of them",
        "epsilon 8, delta 1e-05  once a data set, for all 6 rounds together",
        "accuracy: cannot be told without data",
        "--dry-run FILE",
    ):
        assert text in ended.out, text
    for text in ("masked words", "open model", "warning", "trains, masks, encrypts"):
        assert text not in ended.out, text
    assert not assay.home.exists()


def test_the_same_as_json(spec: Path, capsys: Any) -> None:
    code, found = checked(capsys, str(spec))
    assert (code, found["ok"], found["warnings"]) == (0, True, [])
    sealed = found["sealed_model"]
    assert sealed["layout"] == {
        "map": "none",
        "features": 5,
        "outputs": 1,
        "model_ciphertexts": 5,
        "model_bytes": found["estimate"]["model_bytes"],
        "outputs_per_ciphertext": 1,
        "reply_ciphertexts": 1,
        "rows_per_ciphertext": 5 * (2046 // 5 // found["estimate"]["lane_bits"]) + 3,
    }
    multiplier = accountant.multiplier(8.0, 1e-5, 1.0, 1)
    assert sealed["privacy"] == {
        "epsilon": 8.0,
        "delta": 1e-5,
        "multiplier": multiplier,
        "charges": 1,
    }
    assert found["noise_multiplier"] == multiplier
    seconds, pace = sealed["seconds"], sealed["seconds"]["pace"]
    assert seconds["owner"]["blinders"] == pytest.approx(pace["blinder"])
    assert seconds["owner"]["check"] == pytest.approx(5 * pace["read"])
    assert seconds["owner"]["pool_empty"] == pytest.approx(
        seconds["owner"]["pool_full"] + pace["blinder"]
    )
    assert seconds["requester"]["decrypt"] == pytest.approx(pace["decrypt"])
    assert seconds["requester"]["encrypt"] == pytest.approx(pace["table"] + 5 * pace["encrypt"])
    assert sealed["precision"]["weight_step"] == 64 / (2**15 - 1)
    assert 0 < sealed["precision"]["move_error"] < sealed["precision"]["score_error"] < 0.1
    assert sealed["dry_run"] is None
    assert checked(capsys, str(EXAMPLES / "digits.toml"))[1]["sealed_model"] is None


def test_a_dry_run_says_what_accuracy_to_expect(spec: Path, tmp_path: Path, capsys: Any) -> None:
    data = rows(tmp_path / "mine.csv", 401)
    code, found = checked(capsys, str(spec), "--dry-run", data)
    run = found["sealed_model"]["dry_run"]
    assert (code, run["measure"], run["owners"], run["rows_per_owner"]) == (0, "accuracy", 5, 60)
    assert (run["rows"], run["held_out"], run["repeated"]) == (401, 100, False)
    assert 0.9 < run["exact"]["low"] <= run["exact"]["median"] <= run["exact"]["high"] <= 1
    assert run["noisy"]["low"] <= run["noisy"]["median"] <= run["noisy"]["high"]
    text = shown(capsys, str(spec), "--dry-run", data)
    assert "accuracy to expect: 5 owners of 60 rows each, 100 rows held out, all 3 rounds" in text
    for label, figure in (("with epsilon 8", run["noisy"]), ("without noise", run["exact"])):
        low, middle, high = (f"{figure[name]:.3f}" for name in ("low", "median", "high"))
        line = next(line for line in text.splitlines() if line.startswith(label))
        assert line.split()[-4:] == [middle, low, "to", high]
    assert "the most that was seen, after all 3 rounds; the bound for its weights is" in text
    assert "cannot be told" not in text


def test_a_holdout_file_is_what_is_measured_on(spec: Path, tmp_path: Path, capsys: Any) -> None:
    mine, held = rows(tmp_path / "mine.csv", 100), rows(tmp_path / "held.csv", 37, seed=3)
    both = checked(capsys, str(spec), "--dry-run", mine, "--holdout", held)[1]
    run = both["sealed_model"]["dry_run"]
    assert (run["rows"], run["held_out"], run["rows_per_owner"]) == (100, 37, 20)
    alone = checked(capsys, str(spec), "--holdout", held)[1]["sealed_model"]["dry_run"]
    assert (alone["rows"], alone["held_out"], alone["rows_per_owner"]) == (37, 9, 5)
    # A data set's name is the daemon's: nothing here can read it.
    assert checked(capsys, str(spec), "--holdout", "ward-3")[1]["sealed_model"]["dry_run"] is None


def test_rows_are_repeated_only_where_that_is_said(spec: Path, tmp_path: Path, capsys: Any) -> None:
    data = rows(tmp_path / "mine.csv", 100)
    text = shown(capsys, str(spec), "--dry-run", data, "--rows-per-owner", "500")
    assert "5 owners of 500 rows each, drawn more than once, 25 rows held out" in text
    assert "warning: the dry run drew rows more than once, to give every owner 500" in text
    assert "drawn more than once" not in shown(
        capsys, str(spec), "--dry-run", data, "--rows-per-owner", "15"
    )


def test_weights_beyond_their_limit_are_warned_of(spec: Path, tmp_path: Path, capsys: Any) -> None:
    spec.write_text(SPEC.replace("bias = 0.5", "bias = 0.5\nweight_limit = 0.1"))
    found = checked(capsys, str(spec), "--dry-run", rows(tmp_path / "mine.csv", 100))[1]
    assert found["sealed_model"]["dry_run"]["clipped_weights"] > 0
    assert any("did not fit model.weight_limit" in text for text in found["warnings"])


def test_without_noise_the_defence_is_said_to_be_off(
    spec: Path, tmp_path: Path, capsys: Any
) -> None:
    data = rows(tmp_path / "mine.csv", 100)
    code, found = checked(capsys, str(spec), "--no-noise", "--dry-run", data)
    assert (code, found["noisy"], found["epsilon"], found["noise_multiplier"]) == (
        0,
        False,
        None,
        None,
    )
    assert (found["sealed_model"]["privacy"], found["sealed_model"]["dry_run"]["noisy"]) == (
        None,
        None,
    )
    (warning,) = found["warnings"]
    assert "the spy defence is off" in warning
    assert "whose policy names this requester in `trusted`" in warning
    text = shown(capsys, str(spec), "--no-noise", "--dry-run", data)
    assert f"warning: {warning}" in text
    assert "with epsilon" not in text
    assert "no noise: no bound on what sums tell of one row" in text
    # The file itself may say so.
    spec.write_text(SPEC.replace("dropouts = 0", 'epsilon = "none"'))
    assert checked(capsys, str(spec))[1]["warnings"] == [warning]


def test_what_only_noise_allows_is_a_problem(capsys: Any) -> None:
    noisy = str(EXAMPLES / "digits-noise.toml")
    code, found = checked(capsys, noisy, "--no-noise")
    assert (code, [each["field"] for each in found["problems"]]) == (
        Exit.USAGE,
        ["privacy.dropouts"],
    )


def test_an_epsilon_that_no_noise_gives_is_a_problem(spec: Path, capsys: Any) -> None:
    spec.write_text(SPEC.replace("dropouts = 0", "epsilon = 1e-6\ndelta = 1e-12"))
    code, found = checked(capsys, str(spec))
    assert (code, found["problems"][0]["field"]) == (Exit.USAGE, "privacy.epsilon")
    assert "too small to be shown" in found["problems"][0]["message"]


def test_an_owner_that_cannot_be_done_in_time_is_warned_of(
    spec: Path, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from node.workers import pace
    from protocol.cost.sealed import Pace

    slow = Pace(0.0, 700.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    monkeypatch.setattr(pace, "measure_pace", lambda bits, ciphertexts: slow)
    assert checked(capsys, str(spec))[1]["warnings"] == [
        "timing.contribute_seconds is 600; an owner's computing alone takes about 700 s"
    ]


@pytest.mark.parametrize(
    ("job", "arguments", "reason"),
    [
        ("digits.toml", ("--dry-run", "x.csv"), "dry runs are of sealed jobs"),
        ("digits.toml", ("--rows-per-owner", "5"), "dry runs are of sealed jobs"),
        ("digits-sealed.toml", ("--rows-per-owner", "5"), "there are no rows to share out"),
        ("digits-sealed.toml", ("--dry-run", "/no/such.csv"), "cannot be read"),
        ("digits-sealed.toml", ("--holdout", "/no/such.csv"), "cannot be read"),
    ],
)
def test_what_cannot_be_done_is_said(
    job: str, arguments: tuple[str, ...], reason: str, capsys: Any
) -> None:
    assert main(["job", "check", str(EXAMPLES / job), *arguments]) == Exit.USAGE
    assert reason in capsys.readouterr().err


def test_a_file_that_does_not_fit_names_its_line(spec: Path, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "mine.csv"
    rows(path, 20)
    path.write_text(path.read_text() + "0.1,0.2,0.3,two,a\n")
    assert main(["job", "check", str(spec), "--dry-run", str(path)]) == Exit.USAGE
    assert "mine.csv, line 22: 'two'; a number from 0 to 1 is declared" in capsys.readouterr().err
    rows(path, 6)
    assert main(["job", "check", str(spec), "--dry-run", str(path)]) == Exit.OK
    assert "5 owners of 1 rows each" in capsys.readouterr().out
    rows(path, 4)
    assert main(["job", "check", str(spec), "--dry-run", str(path)]) == Exit.USAGE
    assert "4 rows, 3 of them to train on" in capsys.readouterr().err


async def test_a_job_is_posted_without_its_noise(assay: Any, spec: Path) -> None:
    async with assay.daemon() as running:
        ended = await assay("job", "post", str(spec), "--no-noise", "--yes")
        assert ended.code == 0
        assert "warning: no noise, the spy defence is off" in ended.out
        assert "only owners whose policy names this requester in `trusted` take the job" in (
            ended.out
        )
        noisy = await assay("job", "post", str(spec), "--yes")
        assert "no noise" not in noisy.out
        posted = (await assay("job", "post", str(spec), "--no-noise", "--yes", "--json")).json
        assert (posted["job"], posted["noisy"], posted["sealed"]) == (ex.JOB, False, True)
        assert len(running.node.posted) == 3
