"""docs/ARCHITECTURE.md maps every source file once; every link in docs/ leads somewhere."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"

_MAPPED = re.compile(r"^- `([^`]+)`: (.*)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_KINDS = {".py", ".vy", ".json"}


def sources() -> list[str]:
    """Source files of the product, but empty ones and what was built from others."""
    found = []
    for folder in ("protocol", "node", "contracts", "scripts"):
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            built = "__pycache__" in name or name.startswith("contracts/build/")
            kind = path.suffix in _KINDS or (folder == "scripts" and path.suffix == "")
            if path.is_file() and kind and not built and path.stat().st_size:
                found.append(name)
    return sorted(found)


def first_sentence(path: Path) -> str:
    """What a file says of itself: the line that the map could have."""
    if path.suffix != ".py":
        return "..."
    text = ast.get_docstring(ast.parse(path.read_text())) or "..."
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[.!])\s", paragraph)[0]


def mapped() -> list[tuple[str, str]]:
    text = (DOCS / "ARCHITECTURE.md").read_text()
    return _MAPPED.findall(text.partition("## The map")[2])


def test_every_file_is_mapped() -> None:
    known = {name for name, _ in mapped()}
    missing = [f"- `{name}`: {first_sentence(ROOT / name)}" for name in sources()]
    missing = [line for line in missing if line.split("`")[1] not in known]
    assert missing == [], "add these lines to docs/ARCHITECTURE.md"


def test_nothing_else_is_mapped() -> None:
    real = set(sources())
    assert [name for name, _ in mapped() if name not in real] == [], "these files are gone"


def test_each_file_is_mapped_once_and_in_one_line_of_words() -> None:
    counts = Counter(name for name, _ in mapped())
    assert {name: count for name, count in counts.items() if count > 1} == {}
    assert [name for name, words in mapped() if not 15 <= len(words) <= 160] == []


def documents() -> list[Path]:
    return sorted(DOCS.rglob("*.md"))


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.relative_to(DOCS).as_posix())
def test_every_link_leads_somewhere(path: Path) -> None:
    links = _LINK.findall(path.read_text())
    local = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in local if not (path.parent / link).exists()] == []


def test_every_decision_and_every_page_is_listed() -> None:
    for folder in ("adr", "spec"):
        index = (DOCS / folder / "README.md").read_text()
        pages = [path.name for path in (DOCS / folder).glob("*.md") if path.name != "README.md"]
        assert [name for name in sorted(pages) if f"]({name})" not in index] == []
