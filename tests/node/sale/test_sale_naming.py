"""Offers and channels are named by the beginning of an id."""

from __future__ import annotations

import pytest

from node.sale.naming import only
from protocol.errors import InputError

IDS = [(bytes.fromhex(each), each) for each in ("12ab", "12cd", "34ef")]


@pytest.mark.parametrize("given", ["34", "0x34", "34EF", "3"])
def test_one_that_begins_so_is_meant(given: str) -> None:
    assert only(given, IDS, "offer", "known here", "assay offers") == "34ef"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("12", "offer: 2 offers known here begin with '12'"),
        ("99", "offer: no offer known here begins with '99'"),
        ("", "offer: no offer known here begins with ''"),
        ("0x", "offer: no offer known here begins with '0x'"),
        ("34ef00", "offer: no offer known here begins with '34ef00'"),
    ],
)
def test_none_and_several_say_where_to_look(given: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        only(given, IDS, "offer", "known here", "assay offers")
    assert str(caught.value) == said
    assert caught.value.__notes__ == ["assay offers"]
    assert caught.value.field == "offer"


def test_nothing_is_not_the_only_one() -> None:
    with pytest.raises(InputError):
        only("", IDS[:1], "channel", "served here", "assay sales")
