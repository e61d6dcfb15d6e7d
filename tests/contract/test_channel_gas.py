"""What calls of a channel cost: only a commit may change it, by the table that it changes with."""

from __future__ import annotations

import json
import re

import pytest
from kits.paths import ROOT, TESTS

from scripts.benchmarks import channel_gas

TABLE = json.loads((TESTS / "contract" / "channel_gas.json").read_text())
SPEC = (ROOT / "docs" / "spec" / "channel.md").read_text()


@pytest.mark.parametrize("generator", ["legacy", pytest.param("venom", marks=pytest.mark.ci)])
def test_a_channels_gas_is_what_the_table_says(generator: str) -> None:
    found = channel_gas.row(generator == "venom")
    again = "python -m scripts.benchmarks.channel_gas > tests/contract/channel_gas.json"
    assert found == TABLE[generator], f"if that is meant: {again}"


def test_the_page_shows_the_channels_table() -> None:
    shown = {
        call: (int(legacy.replace(",", "")), int(venom.replace(",", "")))
        for call, legacy, venom in re.findall(r"^\| (.+) \| ([\d,]+) \| ([\d,]+) \|$", SPEC, re.M)
    }
    assert shown == {call: (gas, TABLE["venom"][call]) for call, gas in TABLE["legacy"].items()}


def test_the_bars_are_met_by_both_generators() -> None:
    for row in TABLE.values():
        assert row["open"] <= 75_000
        assert max(row["redeem, first"], row["redeem, next"]) <= 60_000
        assert max(row["close, released"], row["close, expired"]) <= 50_000
