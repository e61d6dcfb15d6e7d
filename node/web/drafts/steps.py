"""The six steps as views and forms. Nothing is spent before the last one's button."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from node.console.failure import Failure, explain
from node.control.codes import Exit
from node.data.reading import ENCODINGS, SEPARATORS, declared, split_names
from node.web.acts import form_of
from node.web.drafts.draft import MOST_COLUMNS, OF_COLUMN, Draft, of_spec, of_table, step_of
from node.web.drafts.fields import FIELDS, STEPS
from node.web.drafts.posting import Posting, Written
from node.web.page import Page
from node.work.files import asked
from node.workers.compute import open_compute
from protocol.errors import AssayError, InputError
from protocol.tokens import NO_TOKENS

#: Drafts that are kept; the oldest goes for a new one.
_MOST_DRAFTS: Final = 16

_ORDER: Final = tuple(name for name, _ in STEPS)

#: Fields of the columns' form, and a few beside them.
_MOST_FIELDS: Final = MOST_COLUMNS * len(OF_COLUMN) + 16


class Steps:
    """GET shows a step, POST takes it and leads to the next."""

    def __init__(self, page: Page, posting: Posting) -> None:
        self._page = page
        self._rpc = page.rpc
        self._posting = posting
        self._drafts: OrderedDict[str, Draft] = OrderedDict()

    async def begin(self, request: Request) -> Response:
        """The first step: a table, a card, or the spec as text."""
        return await self._begin({})

    async def table(self, request: Request) -> Response:
        """Look at a table's columns, in a worker; a table that came by the form goes after."""
        async with self._page.taker.form(request) as form:
            fields = form.fields
            try:
                path = form.source()
                names = split_names(fields.get("names", "").strip())
                header = {"yes": True, "no": False}.get(fields.get("header", ""))
                reading = declared(
                    fields.get("separator"),
                    fields.get("decimal"),
                    fields.get("encoding"),
                    header,
                    names,
                )
                async with open_compute() as compute:
                    found = await compute.run(asked.look_at, path, reading)
                name = path.name.split(".", 1)[0]
                draft = of_table(_fresh(), name, found.columns, found.target, found.notes)
            except AssayError as error:
                return await self._begin(fields, explain(error), lost=form.file is not None)
            except Failure as failure:
                return await self._begin(fields, failure, lost=form.file is not None)
        return self._keep(draft)

    async def card(self, request: Request) -> Response:
        """Begin with what a card declares of its owner's data."""
        card = (await form_of(request)).get("card", "")
        try:
            offer = await self._rpc.offer_show(card)
            draft = of_spec(_fresh(), f"card {card[:10]}", offer["spec"])
        except InputError as error:
            return await self._begin({}, explain(error))
        except Failure as failure:
            if failure.end is not Exit.USAGE:
                raise
            return await self._begin({}, failure)
        return self._keep(draft)

    async def show(self, request: Request) -> Response:
        """A step of a draft; the last one asks what posting would take."""
        draft, step = self._of(request)
        if step == "costs":
            faults = draft.faults(self._page.tokens or NO_TOKENS)
            if faults:
                first = min(map(step_of, faults), key=_ORDER.index)
                return await self._step(draft, first, faults)
            return await self._posting.costs(Written(draft.spec(), draft.holdout, draft.name))
        return await self._step(draft, step, {})

    async def take(self, request: Request) -> Response:
        """What a step's form says: on to the next, or what is wrong beside each field."""
        draft, step = self._of(request)
        if step not in FIELDS:
            raise Failure(Exit.USAGE, "this step has no form")
        form = await form_of(request, _MOST_FIELDS)
        draft.take(step, form)
        if form.get("then") == "holdout":
            back = f"/post/draft/{draft.name}/payment"
            return RedirectResponse(f"/data/add?holdout=1&back={back}", 303)
        faults = draft.faults(self._page.tokens or NO_TOKENS)
        own = {name: why for name, why in faults.items() if step_of(name) == step}
        if own:
            return await self._step(draft, step, own)
        following = _ORDER[_ORDER.index(step) + 1]
        return RedirectResponse(f"/post/draft/{draft.name}/{following}", 303)

    def _of(self, request: Request) -> tuple[Draft, str]:
        draft = self._drafts.get(request.path_params["draft"])
        step = request.path_params["step"]
        if draft is None or step not in _ORDER[1:]:
            text = "this draft is no longer kept, or has no such step; nothing was posted"
            raise Failure(Exit.USAGE, text, next_="begin again at 'Post a job'")
        return draft, step

    def _keep(self, draft: Draft) -> Response:
        self._drafts[draft.name] = draft
        while len(self._drafts) > _MOST_DRAFTS:
            self._drafts.popitem(last=False)
        return RedirectResponse(f"/post/draft/{draft.name}/columns", 303)

    async def _begin(
        self, fields: Mapping[str, str], wrong: Failure | None = None, lost: bool = False
    ) -> Response:
        place = {"data": "path", "": "path"}
        given = {
            "fields": fields,
            "wrong": wrong,
            "errors": {} if wrong is None else {place.get(wrong.field, wrong.field): str(wrong)},
            "lost": lost,
            "offers": await self._rpc.offers(limit=50),
            "separators": SEPARATORS,
            "encodings": ENCODINGS,
            "steps": STEPS,
            "step": "table",
        }
        return await self._page.show("begin.html", given, 400 if wrong else 200)

    async def _step(self, draft: Draft, step: str, errors: Mapping[str, str]) -> Response:
        given = {
            "draft": draft,
            "steps": STEPS,
            "step": step,
            "title": dict(STEPS)[step],
            "asked": FIELDS[step],
            "errors": errors,
            "holdouts": [],
        }
        if step == "payment":
            sets = await self._rpc.data_list()
            given["holdouts"] = [each["name"] for each in sets if each["holdout"]]
        return await self._page.show("step.html", given, 400 if errors else 200)


def _fresh() -> str:
    return secrets.token_urlsafe(12)
