"""Sales on the page: models on sale, who bought and what is granted, purchases of this home.

What is agreed to is what was shown, as with a job that is posted (node/web/drafts/posting.py): an
offer's terms come back with a mark that counts once.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import trio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from node.console.asked import amount
from node.console.currency import pay
from node.console.failure import Failure, explain
from node.control.codes import Exit
from node.web.acts import form_of
from node.web.gate import BACKGROUND
from node.web.page import Page
from protocol.errors import AssayError

if TYPE_CHECKING:
    from node.control import shapes

#: Offers in one view: any peer may make one. `assay offers` lists them all.
_MOST_OFFERS: Final = 100
#: Channels in one view, the newest.
_MOST_CHANNELS: Final = 200
#: Terms that wait for an answer. Older ones are asked for again.
_MOST_MARKS: Final = 32

#: A redeem is final after minutes; the view waits for a quick chain, and the daemon goes on alone.
_REDEEM_SECONDS: Final = 15.0
#: A seller is asked first, and dialled where it is not connected.
_RECLAIM_SECONDS: Final = 30.0

#: What the form holds at first; days, rows: `assay offer`'s own.
_FIELDS: Final = {"mode": "label", "days": "30", "batch": "1000", "minute": "60"}


class Sales:
    """Views and forms around `sale.*`."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._rpc = page.rpc
        self._marked: OrderedDict[str, dict[str, Any]] = OrderedDict()

    async def sale(self, request: Request) -> Response:
        """All of it. `ask`: peers are asked for their offers, once, and not by the script."""
        ask = "ask" in request.query_params and not BACKGROUND.get()
        problem, offers = "", list[Any]()
        try:
            offers = (await self._rpc.sale_offers(ask=ask))["offers"][::-1]
        except Failure as failure:
            if failure.end is not Exit.USAGE:
                raise
            problem = str(failure)  # no channel contract: nothing is bought or sold here
        channels = (await self._rpc.sale_channels())["channels"][::-1]
        sold = [each for each in channels if each["side"] == "seller"]
        bought = [each for each in channels if each["side"] == "buyer"]
        mine = [each for each in offers if each["mine"]]
        others = [each for each in offers if not each["mine"]]
        given = {
            "problem": problem,
            "mine": [(each, _earned(each, sold)) for each in mine],
            "others": others[:_MOST_OFFERS],
            "more": len(others) - _MOST_OFFERS,
            "sold": sold[:_MOST_CHANNELS],
            "bought": bought[:_MOST_CHANNELS],
        }
        return await self._page.show("sale.html", given)

    async def offer(self, request: Request) -> Response:
        """An offer: what binds its seller, what the chain says, what nobody can check."""
        found = await self._rpc.sale_show(request.path_params["offer"])
        return await self._page.show("sale_offer.html", {"d": found, "o": found["offer"]})

    async def form(self, request: Request) -> Response:
        """Terms to offer a finished job's model under."""
        return await self._form({**_FIELDS, "job": request.query_params.get("job", "")})

    async def terms(self, request: Request) -> Response:
        """What an offer under these terms would be; nothing is offered yet."""
        fields = {**_FIELDS, **await form_of(request)}
        try:
            given = _given(fields, self._page)
            found = await self._rpc.sale_offer(**given, dry_run=True)
        except (AssayError, Failure) as error:
            failure = explain(error)
            if failure.end not in (Exit.USAGE, Exit.REFUSED):
                raise
            return await self._form(fields, wrong=failure)
        mark = secrets.token_urlsafe(16)
        self._marked[mark] = given
        while len(self._marked) > _MOST_MARKS:
            self._marked.popitem(last=False)
        return await self._form(fields, shown=found["offer"], mark=mark)

    async def sell(self, request: Request) -> Response:
        """Offer what was shown under a mark, once."""
        given = self._marked.pop((await form_of(request)).get("mark", ""), None)
        if given is None:
            text = "this form was sent before, or its terms are old; nothing was offered now"
            raise Failure(Exit.REFUSED, text, next_="see whether it is among your offers")
        sold = await self._rpc.sale_offer(**given)
        return self._done(f"Offer {sold['offer']['offer'][:10]} stands; peers are told.")

    async def withdraw(self, request: Request) -> Response:
        """Take an offer of this home off sale."""
        gone = await self._rpc.sale_withdraw(request.path_params["offer"])
        return self._done(
            f"Offer {gone['offer'][:10]} is withdrawn; channels that were opened are served on."
        )

    async def redeem(self, request: Request) -> Response:
        """Turn what a buyer granted into money; all channels where the form names none."""
        channel = (await form_of(request)).get("channel") or None
        with trio.move_on_after(_REDEEM_SECONDS) as waited:
            await self._rpc.sale_redeem(channel=channel)
        if waited.cancelled_caught:
            return self._done("It is being redeemed. This view shows it once the chain says final.")
        return self._done("Redeemed, and final on the chain.")

    async def reclaim(self, request: Request) -> Response:
        """Take back what is left of a channel of ours, with its seller's release."""
        channel = (await form_of(request)).get("channel", "")
        with trio.move_on_after(_RECLAIM_SECONDS) as waited:
            found = (await self._rpc.sale_reclaim(channel))["channels"]
        if waited.cancelled_caught:
            return self._done(
                "It is being taken back, in two transactions at most. This view shows it once the "
                "chain says final. If it stays open, the seller is away: try again later."
            )
        left = pay(found[0]["left"], found[0]["token"], self._page.tokens)
        return self._done(f"Channel {found[0]['channel'][:10]} is closed: {left} came back.")

    def _done(self, notice: str) -> Response:
        self._page.notice = notice
        return RedirectResponse("/sale", 303)

    async def _form(
        self,
        fields: Mapping[str, str],
        wrong: Failure | None = None,
        shown: shapes.SaleOffer | None = None,
        mark: str = "",
    ) -> Response:
        jobs = await self._rpc.jobs()
        given = {
            "fields": fields,
            "wrong": wrong,
            "errors": {} if wrong is None else {wrong.field: str(wrong)},
            "shown": shown,
            "mark": mark,
            "jobs": [
                each for each in jobs if each["role"] == "requester" and each["state"] == "finished"
            ],
        }
        return await self._page.show("sale_new.html", given, 400 if wrong else 200)


def _given(fields: Mapping[str, str], page: Page) -> dict[str, Any]:
    """The form as the method takes it. Raises InputError, Failure, which name the field."""
    price, token = amount(page.tokens, fields.get("price", "").strip(), None, "price")
    accuracy = fields.get("accuracy", "").strip()
    return {
        "job": fields.get("job", ""),
        "price": price,
        "token": token,
        "scores": fields.get("mode") == "scores",
        **{name: _number(fields, name, int) for name in ("batch", "minute", "days")},
        "accuracy": _number(fields, "accuracy", float) if accuracy else None,
    }


def _number(fields: Mapping[str, str], name: str, kind: type[int] | type[float]) -> int | float:
    text = fields.get(name, "").strip()
    try:
        return kind(text)
    except ValueError:
        raise Failure(Exit.USAGE, f"is {text!r:.40}; a number is expected", field=name) from None


def _earned(offer: shapes.SaleOffer, sold: list[shapes.SaleChannel]) -> dict[str, int]:
    """Over all channels of an offer: how many, answers, and amounts in its token."""
    of = [each for each in sold if each["offer"] == offer["offer"]]
    sums = {name: sum(int(each[name]) for each in of) for name in ("granted", "redeemed")}
    return {"channels": len(of), "answers": sum(each["answers"] for each in of), **sums}
