"""Data sets on the page: added from a file, looked into, replaced, mapped, removed."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import trio
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from node.console.failure import Failure, explain
from node.control.codes import Exit
from node.data.datasets import check_name
from node.data.reading import ENCODINGS, SEPARATORS, split_names
from node.web.acts import form_of
from node.web.explaining import VIEW_SECONDS
from node.web.page import Page
from protocol.errors import InputError

if TYPE_CHECKING:
    from node.control.shapes import DatasetChanged

_HEADERS: Final = {"yes": True, "no": False}

#: Forms whose second coming is known as such.
_MOST_MARKS: Final = 32

#: Where a form leads back to: a draft of a job that wants a hold-out.
_BACK: Final = re.compile(r"/post/draft/[A-Za-z0-9_-]{8,32}/payment")


def reading_of(fields: Mapping[str, str]) -> dict[str, object]:
    """How a file of text is written, as `data.add` takes it; empty where its header is to say."""
    found: dict[str, object] = {
        name: fields[name] for name in ("separator", "decimal", "encoding") if fields.get(name)
    }
    header = _HEADERS.get(fields.get("header", ""))
    names = split_names(fields.get("names", "").strip())
    return (
        found | ({} if header is None else {"header": header}) | ({"names": names} if names else {})
    )


class Sets:
    """Views and forms around `data.*`."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._rpc = page.rpc
        self._adding = trio.Lock()
        #: Forms that added a data set, and where each led.
        self._done_before: OrderedDict[str, str] = OrderedDict()

    async def form(self, request: Request) -> Response:
        """An empty form to add one."""
        query = request.query_params
        holdout = "yes" if "holdout" in query else ""
        return await self._form({"holdout": holdout, "back": query.get("back", "")})

    async def add(self, request: Request) -> Response:
        """Read a file and keep the node's copy of it. A file that came by the form goes after."""
        async with self._page.taker.form(request) as form, self._adding:
            fields = form.fields
            # A browser that lost the answer sends the form again, by itself.
            if led := self._done_before.get(fields.get("mark", "")):
                return RedirectResponse(led, 303)
            try:
                check_name(fields.get("name", ""))
                added = await self._rpc.data_add(
                    fields.get("name", ""),
                    str(form.source()),
                    columns=fields.get("columns", "").strip() or None,
                    holdout=fields.get("holdout") == "yes",
                    other_people=fields.get("other_people", "").replace(",", " ").split(),
                    **reading_of(fields),  # type: ignore[arg-type]
                )
            except (Failure, InputError) as error:
                failure = explain(error)
                if failure.end is not Exit.USAGE:
                    raise
                return await self._form(fields, failure, lost=form.file is not None)
        said = [
            f"{added['name']} is added: {added['rows']:,} rows of {added['column_count']} columns."
        ]
        said += [f"{each}." for each in added["notes"]]
        if added["same"]:
            said.append(f"It shares the privacy budget of {', '.join(added['same'])}.")
        if not added["holdout"]:
            said.append("It takes no job until it has a policy.")
        self._page.explanations.forget()
        back = fields.get("back", "")
        led = back if _BACK.fullmatch(back) else f"/data/{added['name']}"
        if mark := fields.get("mark", ""):
            self._done_before[mark] = led
            while len(self._done_before) > _MOST_MARKS:
                self._done_before.popitem(last=False)
        return self._done(led, *said)

    async def look(self, request: Request) -> Response:
        """One data set from the inside; `job` holds its rows against a job's spec."""
        name, job = request.path_params["dataset"], request.query_params.get("job") or None
        view = await self._rpc.data_show(name, job=job)
        budget = None
        with trio.move_on_after(VIEW_SECONDS):
            # A worker that is to compose it may be busy: the view is asked for again, then.
            budget = (await self._rpc.privacy(dataset=name, history=True))[0]
        given = {
            "view": view,
            "b": budget,
            "policy": await self._rpc.policy_show(name),
            "separators": SEPARATORS,
            "encodings": ENCODINGS,
        }
        return await self._page.show("dataset.html", given)

    async def replace(self, request: Request) -> Response:
        """The next version of a data set."""
        name = request.path_params["dataset"]
        async with self._page.taker.form(request) as form:
            changed = await self._rpc.data_replace(
                name,
                str(form.source()),
                **reading_of(form.fields),  # type: ignore[arg-type]
            )
        return self._changed(changed, "It is replaced")

    async def map(self, request: Request) -> Response:
        """Give it a column map, or take it away."""
        text = (await form_of(request)).get("columns", "").replace("\r\n", "\n").strip()
        changed = await self._rpc.data_map(request.path_params["dataset"], columns=text or None)
        return self._changed(changed, "It has the column map" if text else "It has no column map")

    async def remove(self, request: Request) -> Response:
        """Remove it and its copies; what was told of it stays in the ledger."""
        gone = await self._rpc.data_remove(request.path_params["dataset"])
        self._page.explanations.forget()
        told = " What jobs were told of it stays in its budget." if gone["told"] else ""
        return self._done("/data", f"{gone['name']} is removed.{told}")

    def _changed(self, changed: DatasetChanged, what: str) -> Response:
        self._page.explanations.forget()
        said = [f"{what}: {changed['rows']:,} rows of {changed['column_count']} columns."]
        said += [f"{each}." for each in changed["notes"]]
        if changed["kept"]:
            said.append(f"{len(changed['kept'])} jobs go on with the version that they began with.")
        return self._done(f"/data/{changed['name']}", *said)

    def _done(self, where: str, *said: str) -> Response:
        self._page.notice = " ".join(said)
        return RedirectResponse(where, 303)

    async def _form(
        self, fields: Mapping[str, str], wrong: Failure | None = None, lost: bool = False
    ) -> Response:
        given = {
            "fields": fields,
            "wrong": wrong,
            "errors": {} if wrong is None else {_field(wrong): str(wrong)},
            "lost": lost,
            "separators": SEPARATORS,
            "encodings": ENCODINGS,
            "back": fields.get("back", "") if _BACK.fullmatch(fields.get("back", "")) else "",
            "mark": secrets.token_urlsafe(16),
            "names": [each["name"] for each in await self._rpc.data_list()],
        }
        return await self._page.show("add.html", given, 400 if wrong else 200)


def _field(wrong: Failure) -> str:
    """The form's field that a fault is about: a fault of the rows is the file's."""
    return {"data": "path", "file": "path"}.get(wrong.field, wrong.field)
