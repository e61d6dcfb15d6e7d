"""What calls cost: only a commit may change it, by the table that it changes with."""

from __future__ import annotations

import json
import re

import pytest
from kits.paths import ROOT, TESTS

from scripts.benchmarks import contract_gas

TABLE = json.loads((TESTS / "contract" / "gas.json").read_text())
SPEC = (ROOT / "docs" / "spec" / "contract.md").read_text()


@pytest.mark.parametrize("generator", ["legacy", pytest.param("venom", marks=pytest.mark.ci)])
def test_gas_is_what_the_table_says(generator: str) -> None:
    found = contract_gas.row(generator == "venom")
    again = "python -m scripts.benchmarks.contract_gas > tests/contract/gas.json"
    assert found == TABLE[generator], f"if that is meant: {again}"


def test_the_page_shows_the_table() -> None:
    shown = {
        call: (int(legacy.replace(",", "")), int(venom.replace(",", "")))
        for call, legacy, venom in re.findall(r"^\| (.+) \| ([\d,]+) \| ([\d,]+) \|$", SPEC, re.M)
    }
    assert shown == {call: (gas, TABLE["venom"][call]) for call, gas in TABLE["legacy"].items()}


def test_a_commitment_costs_the_same_at_every_size() -> None:
    small, large = (TABLE["legacy"][f"commit, next, {n} owners"] for n in (10, 4096))
    # Zero bytes of calldata and digests are cheaper than others, by chance.
    assert abs(small - large) < 100
