"""docs/guides/operations.md says what every message of the log means, and no other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from kits.paths import ROOT

GUIDE = ROOT / "docs" / "guides" / "operations.md"
LEVELS = {"info": "info", "warning": "warning", "error": "error", "exception": "error"}


def logged() -> Iterator[tuple[str, str]]:
    """Level and text of what the daemon may log; an ellipsis for what is filled in."""
    for path in sorted((ROOT / "node").rglob("*.py")):
        if path.parent.name == "devnet":  # a chain for trying things out, which nobody operates
            continue
        for call in ast.walk(ast.parse(path.read_text())):
            match call:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[first, *_]
                ) if level in LEVELS:
                    assert isinstance(first, ast.Constant), f"{path}: a message that varies"
                    text = re.sub(r"%[-.0-9]*[a-z]", "…", str(first.value))
                    yield LEVELS[level], text


def test_every_message_is_explained_and_every_explanation_is_of_a_message() -> None:
    rows = re.findall(r"^\| (info|warning|error) \| `(.+?)` \| .+ \|$", GUIDE.read_text(), re.M)
    # Nothing but what is filled in: the words come from elsewhere.
    said = {each for each in logged() if each[1] != "…"}
    assert sorted(said - set(rows)) == []
    assert sorted(set(rows) - said) == []
    assert len(rows) == len(set(rows))
