"""Documents name files that exist, keep to the glossary, and have the form that they promise."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
CODE = ("protocol", "node", "contracts", "scripts", "tests")

_LINK = re.compile(r"\]\(([^)#\s]+)?(?:#([^)\s]+))?\)")
_QUOTED = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"(?:protocol|node|contracts|scripts|tests|docs)/[\w./-]*\w(?:\.\w+|/)?")
_NAME = re.compile(r"\w*[A-Z_]\w*(?:\.\w+)*")
_TEST = re.compile(r"test_\w+")
_FILE = re.compile(r"[\w-]+\.(?:py|vy|md|json|toml|cff)")
#: What a home, a job or a build writes, or others publish; no file of the repository.
_MADE = {
    "config.json",
    "tokenizer.json",
    "config.toml",
    "tokens.json",
    "vault.json",
    "my-job.toml",
    "contracts/build/",
    "contracts/build/bounty.json",
}

#: Keep a Changelog 1.1.0, in its order.
_KINDS = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
_LONGEST_ENTRY = 160


def documents() -> list[Path]:
    return sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(path: Path) -> set[str]:
    """The headings of a page as links name them."""
    found = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each).strip().lower().replace(" ", "-") for each in found}


@pytest.mark.parametrize("path", documents(), ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    lost = []
    for link, anchor in _LINK.findall(path.read_text()):
        if "://" in link or link.startswith("mailto:"):
            continue
        page = path.parent / link if link else path
        if not page.exists() or (anchor and anchor not in anchors(page)):
            lost.append(f"{link}#{anchor}" if anchor else link)
    assert lost == []


@pytest.mark.parametrize("path", documents(), ids=name_of)
def test_every_file_that_a_page_names_exists(path: Path) -> None:
    """Whole paths from the root, and single names of files anywhere below it."""
    names = {
        each.name
        for folder in (*CODE, "docs")
        for each in (ROOT / folder).rglob("*")
        if "__pycache__" not in each.parts
    }
    names |= {each.name for each in ROOT.iterdir()}
    lost = []
    for quoted in _QUOTED.findall(path.read_text()):
        if quoted in _MADE:
            continue
        whole, single = _PATH.fullmatch(quoted), _FILE.fullmatch(quoted)
        if (whole and not (ROOT / quoted).exists()) or (single and quoted not in names):
            lost.append(quoted)
    assert lost == []


@pytest.mark.parametrize("path", documents(), ids=name_of)
def test_every_test_that_a_page_names_exists(path: Path) -> None:
    """A promise is held by the test that stands beside it, so that one must not be lost."""
    named = {each for each in _QUOTED.findall(path.read_text()) if _TEST.fullmatch(each)}
    written = {
        found
        for each in (ROOT / "tests").rglob("test_*.py")
        for found in re.findall(r"def (test_\w+)\(", each.read_text())
    }
    assert sorted(named - written) == []


def test_every_name_in_contributing_is_in_the_code() -> None:
    """A reader who follows a path to a function must find it."""
    quoted = _QUOTED.findall((ROOT / "CONTRIBUTING.md").read_text())
    names = [each for each in quoted if _NAME.fullmatch(each) and not _FILE.fullmatch(each)]
    named = {word for each in names for word in each.split(".")}
    code = "\n".join(
        path.read_text()
        for folder in CODE
        for path in (ROOT / folder).rglob("*.py")
        if path != Path(__file__).resolve()
    )
    assert sorted(named - set(re.findall(r"\w+", code))) == []


def unused_words() -> dict[str, str]:
    """What the glossary's last table has given up, and what stands in its place."""
    table = (DOCS / "glossary.md").read_text().partition("## Not used")[2]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)
    return dict(rows[1:])


def module_docstrings() -> list[tuple[str, str]]:
    found = []
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            said = ast.get_docstring(ast.parse(path.read_text()))
            found.append((name_of(path), said or ""))
    return found


def test_words_that_the_glossary_gave_up_are_not_used() -> None:
    words = unused_words()
    assert "block of the chain" in words
    pages = [(name_of(p), p.read_text()) for p in documents() if p.name != "glossary.md"]
    found = [
        f"{name}: {word!r} is {instead!r} now"
        for name, text in (*pages, *module_docstrings())
        for word, instead in words.items()
        if re.search(rf"\b{re.escape(word)}\b", " ".join(text.split()), re.IGNORECASE)
    ]
    assert found == []


def test_the_glossary_has_each_word_once() -> None:
    text = (DOCS / "glossary.md").read_text().partition("## Not used")[0]
    rows = re.findall(r"^\| ([^|]+) \| .+ \|$", text, re.MULTILINE)
    words = [word for row in rows for word in row.split(", ") if word != "word"]
    assert sorted(words) == sorted(set(words))
    assert {"round", "attempt", "block", "key", "books", "share", "settle"} <= set(words)


def test_the_changelog_is_one_line_a_change() -> None:
    lines = (ROOT / "CHANGELOG.md").read_text().splitlines()
    headings = [line for line in lines if line.startswith("## ")]
    assert headings[0] == "## Unreleased"
    dated = re.compile(r"## \d+\.\d+\.\d+ - \d{4}-\d{2}-\d{2}")
    assert [line for line in headings[1:] if not dated.fullmatch(line)] == []
    for part in "\n".join(lines).split("\n## ")[1:]:
        kinds = re.findall(r"^### (.*)$", part, re.MULTILINE)
        assert kinds == [kind for kind in _KINDS if kind in kinds]
        below = part.partition("\n### ")[2].splitlines()[1:]
        entries = [line for line in below if line and not line.startswith("### ")]
        wrong = [line for line in entries if not re.fullmatch(r"- .+\.", line)]
        assert wrong == [], "an entry is one line that begins with '- ' and ends with a full stop"
        assert [line for line in entries if len(line) > _LONGEST_ENTRY] == []
        twice = [line for line, count in Counter(entries).items() if count > 1]
        assert twice == [], "two branches that were brought together say it twice"


def test_whoever_cites_assay_names_its_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {project['version']}\n" in cited
    assert f"\nlicense: {project['license']}\n" in cited


def test_packages_carry_their_types() -> None:
    """Whatever the wheel packs says that it is typed (PEP 561)."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert packed == ["node", "protocol", "contracts"]
    assert [name for name in packed if not (ROOT / name / "py.typed").exists()] == []
