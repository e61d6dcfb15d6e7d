"""What a browser gets lies in the wheel, and holds nothing that the page's policy forbids."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kits.paths import ROOT

WEB = ROOT / "node" / "web"
FILES = sorted([*(WEB / "templates").iterdir(), *(WEB / "static").iterdir()])


def test_a_wheel_carries_templates_and_files() -> None:
    from hatchling.builders.wheel import WheelBuilder

    shipped = {each.relative_path for each in WheelBuilder(str(ROOT)).recurse_included_files()}
    assert {path.relative_to(ROOT).as_posix() for path in FILES} <= shipped


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_file_makes_markup_of_strings_or_reaches_elsewhere(path: Path) -> None:
    text = path.read_text()
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert word not in text
    assert re.findall(r"https?://[^\s\"')]+", text) in ([], ["http://www.w3.org/2000/svg"])
    if path.suffix == ".html":
        assert "|safe" not in text
        assert "autoescape" not in text
        assert re.search(r"<script(?! src=\"\{\{ file\()", text) is None
        assert re.search(r"\s(style|on\w+)=", text) is None


def test_the_script_is_a_few_hundred_lines_at_most() -> None:
    scripts = [path.read_text().splitlines() for path in FILES if path.suffix == ".js"]
    assert sum(map(len, scripts)) <= 300
