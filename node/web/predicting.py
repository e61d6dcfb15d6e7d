"""Predictions on the page: a job's model, opened by the daemon, and a file of the reader's own.

A worker that holds no key reads the file and writes the predictions; a file that came by the form
goes after, and what was written stays until others take its place, or the page ends.
"""

from __future__ import annotations

import csv
import secrets
from collections import Counter, OrderedDict
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Final

import trio
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from node.console.failure import Failure, explain
from node.control.codes import Exit
from node.data.reading import ENCODINGS, SEPARATORS, declared, split_names
from node.web.page import Page
from node.work.files import asked
from node.workers.compute import open_compute
from protocol.errors import AssayError

#: Rows that are shown; the file has them all.
_SHOWN: Final = 50

#: Predictions that are kept for their download; the oldest go for new ones.
_MOST_KEPT: Final = 4

#: Rows that are counted by class: a page waits for no more.
_MOST_COUNTED: Final = 100_000

_MOST_CLASSES: Final = 30


class Predicting:
    """A form, its answer, and the answer's file."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._rpc = page.rpc
        self._kept: OrderedDict[str, tuple[Path, str]] = OrderedDict()

    async def form(self, request: Request) -> Response:
        """Which rows to predict for."""
        return await self._form(request, {})

    async def predict(self, request: Request) -> Response:
        """Predict for a file's rows, show the first, and keep the file to be taken."""
        async with self._page.taker.form(request) as form:
            fields = form.fields
            found = await self._rpc.model_get(request.path_params["job"])
            mark = secrets.token_urlsafe(12)
            out = self._page.scratch.path / f"{mark}.csv"
            try:
                path = form.source()
                header = {"yes": True, "no": False}.get(fields.get("header", ""))
                names = split_names(fields.get("names", "").strip())
                written = (fields.get("separator"), fields.get("decimal"), fields.get("encoding"))
                reading = declared(*written, header, names)
                async with open_compute() as compute:
                    told = await compute.run(
                        asked.predict,
                        Path(found["path"]),
                        path,
                        reading,
                        out,
                        False,
                        self._page.home.blobs,
                    )
            except (AssayError, Failure) as error:
                lost = form.file is not None
                return await self._form(request, fields, explain(error), lost)
            stem = path.name.split(".", 1)[0] or "rows"
        self._keep(mark, out, f"{stem}-predicted.csv")
        rows, counts = await trio.to_thread.run_sync(_seen, out)
        given = {
            "job": found["job"],
            "round": found["round"],
            "told": told,
            "rows": rows,
            "counts": counts,
            "mark": mark,
            "saved": self._kept[mark][1],
            "of": path.name,
        }
        return await self._page.show("predicted.html", given)

    async def file(self, request: Request) -> Response:
        """Predictions as they were written, CSV."""
        kept = self._kept.get(request.path_params["name"])
        if kept is None:
            text = "these predictions are no longer kept"
            raise Failure(Exit.USAGE, text, next_="predict again")
        return FileResponse(kept[0], media_type="text/csv", filename=kept[1])

    def _keep(self, mark: str, out: Path, name: str) -> None:
        self._kept[mark] = out, name
        while len(self._kept) > _MOST_KEPT:
            _, (old, _) = self._kept.popitem(last=False)
            old.unlink(missing_ok=True)

    async def _form(
        self,
        request: Request,
        fields: Mapping[str, str],
        wrong: Failure | None = None,
        lost: bool = False,
    ) -> Response:
        job = await self._rpc.job_show(request.path_params["job"])
        place = {"data": "path", "file": "path", "": "path"}
        given = {
            "s": job["summary"],
            "fields": fields,
            "wrong": wrong,
            "errors": {} if wrong is None else {place.get(wrong.field, wrong.field): str(wrong)},
            "lost": lost,
            "separators": SEPARATORS,
            "encodings": ENCODINGS,
        }
        return await self._page.show("predict.html", given, 400 if wrong else 200)


def _seen(out: Path) -> tuple[list[list[str]], list[tuple[str, int]]]:
    """The head and the first rows; how often each class is predicted, none where they are many."""
    with out.open(newline="", encoding="utf-8") as opened:
        rows = list(islice(csv.reader(opened), _SHOWN + 1))
    if not rows or "prediction" not in rows[0]:
        return rows, []
    at = rows[0].index("prediction")
    with out.open(newline="", encoding="utf-8") as opened:
        predicted = (row[at] for row in islice(csv.reader(opened), 1, _MOST_COUNTED + 1))
        counts = Counter(each for each in predicted if each)
    classes = any(name.startswith(("probability_", "score_")) for name in rows[0])
    return rows, counts.most_common(_MOST_CLASSES) if classes else []
