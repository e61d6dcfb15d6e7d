"""Private predictions as a person sees them: offers, purchases, channels."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from node.console.amounts import short, span
from node.console.currency import pay
from node.console.show import Pairs, Part, Table

if TYPE_CHECKING:
    from node.control import shapes
    from protocol.tokens import Tokens


def to_sell(o: shapes.SaleOffer, tokens: Tokens | None = None) -> str:
    """What is to be agreed to before a model is offered."""
    return (
        f"sold: {_mode(o)} for {_price(o, tokens)} a row, {o['features']} features, for "
        f"{_left(o)}; {_warning(o, tokens)}"
    )


def sold(o: shapes.SaleOffer, tokens: Tokens | None = None) -> list[Part]:
    return [
        f"offer {o['offer']}: {_mode(o)} for {_price(o, tokens)} a row",
        _warning(o, tokens),
        f"take it back: assay offer withdraw {o['offer'][:10]}; what it earns: assay sales",
    ]


def offers(found: shapes.SaleOffers, tokens: Tokens | None = None) -> list[Part]:
    rows = [
        (
            o["offer"][:10],
            o["job"][:10],
            _mode(o),
            _price(o, tokens),
            str(o["features"]),
            _stated(o),
            _left(o),
            "this node" if o["mine"] else short(o["peer"]),
        )
        for o in reversed(found["offers"])
    ]
    headings = ("offer", "job", "tells", "a row", "features", "stated accuracy", "valid", "seller")
    parts: list[Part] = [
        Table(headings, rows, "no model on sale is known here", right=frozenset({"features"}))
    ]
    if rows:
        parts.append("next: assay offers show OFFER, or: assay predict OFFER FILE --budget AMOUNT")
    return parts


def detail(d: shapes.SaleOfferDetail, tokens: Tokens | None = None) -> list[Part]:
    """An offer and its origin: first what binds the seller, then the chain's, then mere words."""
    o = d["offer"]
    asked = f"{o['batch']} at once, then {o['minute']} a minute"
    origin = "the chain does not know the job"
    if d["posted"]:
        state = "finished" if d["finished"] else "not finished"
        origin = (
            f"{d['owners']} owners, {d['rounds']} rounds, {d['contributions']} contributions, "
            f"{state}: the chain says so"
        )
    noise = "unknown" if d["sealed"] is None else "none"
    if d["epsilon"] is not None:
        noise = f"epsilon {d['epsilon']:g}, delta {d['delta']:g}, each owner's"
    sealed = {True: "sealed: owners could not read it", False: "open: its owners hold it too"}
    pairs = [
        ("offer", o["offer"]),
        ("seller", f"{o['peer']} (this node)" if o["mine"] else o["peer"]),
        ("paid", o["account"]),
        ("tells", _mode(o)),
        ("price of a row", _price(o, tokens)),
        ("rows", asked),
        ("valid", _left(o)),
        ("job", o["job"]),
        ("title", d["title"] or "unknown"),
        ("purpose", d["purpose"] or "unknown"),
        ("made by", origin),
        (
            "sold by",
            "the job's requester"
            if d["sold_by_requester"]
            else "NOT the job's requester: nothing shows that it is this job's model",
        ),
        ("model", "unknown" if d["sealed"] is None else sealed[d["sealed"]]),
        ("noise", noise),
        ("columns", ", ".join(d["columns"]) or "unknown"),
        ("answers", ", ".join(d["answers"]) or "unknown"),
        ("encoder", f"{d['encoder']}: add it before you buy" if d["encoder"] else "none"),
        ("stated accuracy", f"{_stated(o)} (the seller's word: nobody can check it)"),
    ]
    parts: list[Part] = [Pairs(pairs)]
    if d["problem"]:
        parts.append(f"not looked at, or wrong: {d['problem']}")
    parts.append(
        "nobody can check that the answers are this model's; you risk the price of one row at a "
        "time"
    )
    return parts


def to_buy(p: shapes.Prepared, budget: int, tokens: Tokens | None = None) -> str:
    """What is to be agreed to before rows are bought."""
    o = p["offer"]
    lines = [
        f"{p['ask']} of {p['rows']} rows are to be asked for, "
        f"{pay(p['price'], o['token'], tokens)} in all; at most "
        f"{pay(str(budget), o['token'], tokens)} are spent"
    ]
    if p["bought"]:
        lines.append(f"{p['bought']} were bought before, and cost nothing")
    if p["unused"]:
        lines.append(f"{p['unused']} cannot be used: {p['why']}")
    if int(p["in_channels"]) < int(p["price"]):
        lines.append(
            "a channel is opened on the chain: its deposit comes back, but for what was answered, "
            "two days later"
        )
    return "; ".join(lines)


def progress(p: Mapping[str, Any], b: Mapping[str, Any], tokens: Tokens | None = None) -> str:
    token = p["offer"]["token"]
    spent = pay(b["spent"], token, tokens)
    return f"{b['asked']} of {p['ask']} rows, {spent} spent" + (
        f": {b['doing']}" if b["doing"] else ""
    )


def bought(b: Mapping[str, Any], tokens: Tokens | None = None) -> list[Part]:
    p = b["prepared"]
    token = p["offer"]["token"]
    parts: list[Part] = [*p["notes"]]
    done = p["rows"] - b["empty"]
    parts.append(f"{done} of {p['rows']} rows are predicted in {b['out']}")
    parts.append(f"{b['asked']} answers were bought for {pay(b['spent'], token, tokens)}")
    if p["unused"]:
        parts.append(f"{p['unused']} rows cannot be used: {p['why']}")
    if b["left"]:
        parts.append(
            f"{b['left']} rows are left: the budget does not cover them; the same command with a "
            "larger --budget, and --force for the file that is there now, goes on"
        )
    return parts


def channels(found: shapes.SaleChannels, side: str, tokens: Tokens | None = None) -> list[Part]:
    rows = []
    for c in found["channels"]:
        token = c["token"]
        amounts = [pay(c["deposit"], token, tokens), pay(c["granted"], token, tokens)]
        if side == "seller":
            amounts.append(pay(c["redeemed"], token, tokens))
        amounts.append(pay(c["left"], token, tokens))
        left = c["expiry"] - time.time()
        rows.append(
            (
                c["channel"][:10],
                c["offer"][:10],
                short(c["peer"]),
                str(c["answers"]),
                *amounts,
                span(left) if left > 0 else "over",
                c["state"] + (f": {c['problem']}" if c["problem"] else ""),
            )
        )
    seen = ("redeemed",) if side == "seller" else ()
    money = ("deposit", "granted", *seen, "left")
    headings = ("channel", "offer", "peer", "answers", *money, "expires", "state")
    empty = "nobody has bought here" if side == "seller" else "nothing was bought from here"
    parts: list[Part] = [Table(headings, rows, empty, right=frozenset({"answers"}))]
    if side == "seller" and any(c["granted"] != c["redeemed"] for c in found["channels"]):
        parts.append("next: assay redeem")
    if side == "buyer" and any(
        int(c["left"]) and c["state"] != "closed" for c in found["channels"]
    ):
        parts.append(
            "what is left comes back by itself once a channel expires, and at once with its "
            "seller's signature: assay reclaim CHANNEL"
        )
    return parts


def redeemed(found: shapes.SaleChannels, tokens: Tokens | None = None) -> list[Part]:
    return [
        f"channel {c['channel'][:10]}: {pay(c['redeemed'], c['token'], tokens)} redeemed in all"
        for c in found["channels"]
    ]


def reclaimed(found: shapes.SaleChannels, tokens: Tokens | None = None) -> list[Part]:
    return [
        f"channel {c['channel'][:10]} is closed: {pay(c['left'], c['token'], tokens)} came back"
        for c in found["channels"]
    ]


def _mode(o: shapes.SaleOffer) -> str:
    if o["mode"] == "scores":
        return "scores"
    return f"the class, of {o['classes']}"


def _price(o: shapes.SaleOffer, tokens: Tokens | None) -> str:
    return pay(o["price"], o["token"], tokens)


def _stated(o: shapes.SaleOffer) -> str:
    return "none" if o["accuracy"] is None else f"{100 * o['accuracy']:.3g}%"


def _left(o: shapes.SaleOffer) -> str:
    left = o["until"] - time.time()
    return span(left) if left > 0 else "over"


def _warning(o: shapes.SaleOffer, tokens: Tokens | None) -> str:
    cost = pay(o["copy_price"], o["token"], tokens)
    return f"{o['warning']}; {o['copy_answers']} answers cost {cost}"
