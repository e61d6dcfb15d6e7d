"""How a page shows texts and numbers. Texts of peers are hostile: titles, reasons, agents.

Jinja escapes markup in all that it is given. Besides that, `said` takes every control and format
character out, as the console does (a direction override could make a page read otherwise), sets the
text apart from its surroundings (`bdi`), and cuts it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from node.console.amounts import money, short, size, span
from node.console.currency import pay
from node.console.show import clean
from node.console.standing import fit_of_rows, no_noise, state
from node.control.codes import SHARED
from node.home.home import PAGE_PREFIX

if TYPE_CHECKING:
    from protocol.tokens import Tokens

#: Characters of a text that are shown, and that a pointer resting on it brings up.
SHOWN: Final = 160
_TITLED: Final = 1000

_CUT: Final = "…"


def said(text: str, shown: int = SHOWN) -> Markup:
    """Somebody else's words as HTML: cleaned, cut, isolated.

    >>> said("<b>\u202e & co", 4)
    Markup('<bdi title="&lt;b&gt;� &amp; co">&lt;b&gt;…</bdi>')
    """
    whole = clean(text[: _TITLED + 1])
    if len(whole) <= shown:
        return Markup("<bdi>{}</bdi>").format(whole)
    title = whole if len(whole) <= _TITLED else whole[: _TITLED - 1] + _CUT
    return Markup('<bdi title="{}">{}</bdi>').format(title, whole[: shown - 1] + _CUT)


def plain(text: str, shown: int = SHOWN) -> str:
    """The same for where no element may stand, as in an option: cleaned and cut.

    >>> plain("<b>\u202e & co", 4)
    '<b>…'
    """
    whole = clean(text[: shown + 1])
    return whole if len(whole) <= shown else whole[: shown - 1] + _CUT


def ident(text: str, keep: int = 10) -> Markup:
    """A hash, an address or an id: both ends, the whole to be copied from its title."""
    whole = clean(text)
    return Markup('<code title="{}">{}</code>').format(whole, short(whole, keep))


def column(name: str) -> Markup:
    """A column's name: where it must break, it does so after an underscore.

    >>> column("mean_area")
    Markup('<bdi>mean_<wbr>area</bdi>')
    """
    return Markup("<bdi>{}</bdi>").format(Markup("_<wbr>").join(plain(name, 80).split("_")))


def clock(at: float) -> Markup:
    """A moment: by the server's clock, which is the user's own."""
    local = time.localtime(at)
    machine = time.strftime("%Y-%m-%dT%H:%M:%S%z", local)
    return Markup('<time datetime="{}">{}</time>').format(
        machine, time.strftime("%Y-%m-%d %H:%M", local)
    )


def ago(at: float) -> str:
    """How long ago: '3 min 20 s'."""
    return span(max(0.0, time.time() - at))


def number(value: float | None, form: str = "{:.3g}", absent: str = "–") -> str:
    """A number, or a dash where there is none."""
    return absent if value is None else form.format(value)


def about(wei: int) -> str:
    """What an account holds, about: down to the millionth of an ether, and never more than it has.

    >>> about(99_993_699_825_625_000_000)
    '99.993699 ether'
    """
    step = 10**12
    return money(wei // step * step if wei > step else wei)


def count_of(count: int, thing: str) -> str:
    """A number of things: '1 job', '12 jobs'."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def cost(wei: int) -> str:
    """What gas costs, about: up to the next millionth of an ether.

    >>> cost(681_000_000_000_001)
    '0.000682 ether'
    """
    step = 10**12
    return money(-(-wei // step) * step)


def _term(
    value: Any, name: str, others: Sequence[Mapping[str, Any]], *, tokens: Tokens | None
) -> str:
    """A policy's value for people; a price in the currency that the `others` name."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(each) for each in value) or "none named"
    if name == "price_floor" and str(value).isdecimal():
        named = {each.get("name", each.get("rule")): each["value"] for each in others}
        token = str(named.get("token") or "")
        return _pay(str(value), token if token.startswith("0x") else None, tokens)
    return str(value)


def given(term: Any) -> str:
    """A policy's value as the form's field holds it, which reads it back.

    >>> given(["research", "teaching"]), given([]), given(None), given(8.0)
    ('research, teaching', '', '', '8.0')
    """
    if isinstance(term, list):
        return ", ".join(str(each) for each in term)
    if term is None:
        return ""
    return term if isinstance(term, str) else json.dumps(term)


def source(path: str) -> str:
    """Where a data set came from, for people: a file that the page was handed has no place.

    >>> source("/home/ada/.assay/.page-8f2/k3/ward.csv")
    'handed over by the page: ward.csv'
    """
    *folders, name = path.split("/")
    if any(each.startswith(PAGE_PREFIX) for each in folders):
        return f"handed over by the page: {name}"
    return path


def lines(text: str) -> str:
    """A text of several lines: each cleaned, none cut."""
    return "\n".join(clean(line.expandtabs(4)) for line in text.split("\n"))


def filters(tokens: Tokens | None) -> Mapping[str, Callable[..., object]]:
    """All of them for templates. `tokens`: those that the user has named."""
    return {
        "said": said,
        "plain": plain,
        "ident": ident,
        "clock": clock,
        "column": column,
        "ago": ago,
        "number": number,
        "cost": cost,
        "about": about,
        "count_of": count_of,
        "term": partial(_term, tokens=tokens),
        "given": given,
        "lines": lines,
        "money": money,
        "pay": partial(_pay, tokens=tokens),
        "shared": lambda by: SHARED[by],
        "size": size,
        "source": source,
        "span": span,
        "no_noise": no_noise,
        "state": state,
        "fits": fit_of_rows,
    }


def _pay(amount: str | int, token: str | None, tokens: Tokens | None) -> str:
    return clean(pay(str(amount), token, tokens))


def total(lines: Sequence[Mapping[str, Any]], field: str) -> int:
    """A sum of amounts, exact."""
    return sum(int(line[field]) for line in lines)
