"""A requester's two acts: to post a job, after its costs were shown, and to cancel one.

What is agreed to is what was shown: the quote comes back with a mark that counts once, so that a
form that is sent twice posts once, and the fee that was shown is the most that is offered.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from node.console.failure import Failure
from node.control.codes import Exit
from node.web.acts import form_of
from node.web.drafts.fields import STEPS
from node.web.page import Page

if TYPE_CHECKING:
    from node.control.shapes import Quote

#: Quotes that wait for an answer. Older ones are asked for again.
_MOST_QUOTES: Final = 32


@dataclass(frozen=True)
class Written:
    """What a person wrote: the spec, the hold-out, and the draft that it is of, if any."""

    spec: str = ""
    holdout: str = ""
    draft: str = ""


class Posting:
    """Views and forms around `job.post`."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._rpc = page.rpc
        self._quoted: OrderedDict[str, tuple[Written, int]] = OrderedDict()

    async def form(self, request: Request) -> Response:
        """The spec as text: empty, or what a card proposes."""
        card = request.query_params.get("card")
        spec = (await self._rpc.offer_show(card))["spec"] if card else ""
        return await self._shown(Written(spec))

    async def quote(self, request: Request) -> Response:
        """What posting it would take now; nothing is sent."""
        form = await form_of(request)
        # A browser ends the lines of a form by two characters.
        draft = Written(form.get("spec", "").replace("\r\n", "\n"), form.get("holdout", ""))
        return await self.costs(draft)

    async def costs(self, draft: Written) -> Response:
        """What posting a draft would take now, and the button that posts it."""
        try:
            quote = await self._rpc.job_quote(draft.spec)
        except Failure as failure:
            if failure.end is not Exit.USAGE:
                raise
            return await self._shown(draft, wrong=failure)
        mark = ""
        if not quote["problem"]:
            mark = secrets.token_urlsafe(16)
            self._quoted[mark] = draft, int(quote["fee"])
            while len(self._quoted) > _MOST_QUOTES:
                self._quoted.popitem(last=False)
        return await self._shown(draft, quote=quote, mark=mark)

    async def post(self, request: Request) -> Response:
        """Post what was quoted under a mark, once."""
        mark = (await form_of(request)).get("mark", "")
        if mark not in self._quoted:
            text = "this form was sent before, or its quote is old; nothing was posted now"
            raise Failure(Exit.REFUSED, text, next_="see whether the job is among your jobs")
        draft, fee = self._quoted.pop(mark)
        try:
            posted = await self._rpc.job_post(
                draft.spec, holdout=draft.holdout or None, max_fee=fee
            )
        except Failure as failure:
            if failure.end is not Exit.USAGE:
                raise
            return await self._shown(draft, wrong=failure)
        self._page.notice = "The job is posted. Owners that it suits will enrol."
        return RedirectResponse(f"/job/{posted['job']}", 303)

    async def cancel(self, request: Request) -> Response:
        """Cancel a job of this home."""
        found = await self._rpc.job_cancel(request.path_params["job"])
        self._page.notice = (
            "It is being cancelled. What is committed by the closing stays paid; then the rest "
            "comes back."
        )
        return RedirectResponse(f"/job/{found['job']}", 303)

    async def _shown(
        self,
        draft: Written,
        quote: Quote | None = None,
        mark: str = "",
        wrong: Failure | None = None,
    ) -> Response:
        sets = await self._rpc.data_list()
        given = {
            "draft": draft,
            "quote": quote,
            "mark": mark,
            "wrong": wrong,
            "holdouts": [each["name"] for each in sets if each["holdout"]],
            "account": "" if quote is None else (await self._rpc.status())["account"],
            "steps": STEPS,
            "step": "costs",
            "matches": None if quote is None else await self._rpc.offers_match(draft.spec),
        }
        return await self._page.show("post.html", given, 400 if wrong else 200)
