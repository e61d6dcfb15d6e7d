"""Every text of the page stands out from what is behind it, in light and in dark."""

from __future__ import annotations

import re

import pytest
from kits.paths import ROOT

SHEET = (ROOT / "node" / "web" / "static" / "page.css").read_text()

#: Text over ground, by the names of page.css.
PAIRS = [
    ("ink", "paper"),
    ("ink", "card"),
    ("ink", "wash"),
    ("soft", "paper"),
    ("soft", "card"),
    ("soft", "wash"),
    ("link", "paper"),
    ("link", "card"),
    ("link", "wash"),
    ("brand-ink", "brand"),
    ("good", "good-wash"),
    ("good", "card"),
    ("ask", "ask-wash"),
    ("ask", "card"),
    ("bad", "bad-wash"),
    ("bad", "card"),
]


def palettes() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\n\s*\}", SHEET, re.DOTALL)
    return {
        name: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", text))
        for name, text in (("light", light), ("dark", dark))
    }


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), PAIRS)
def test_contrast_is_that_of_wcag_aa(scheme: str, text: str, ground: str) -> None:
    """4.5 to 1, success criterion 1.4.3."""
    colours = palettes()[scheme]
    lighter, darker = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= 4.5


def test_both_palettes_have_the_same_names() -> None:
    light, dark = palettes()["light"], palettes()["dark"]
    assert set(light) == set(dark)
