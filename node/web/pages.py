"""The views: each asks the daemon, and hands what it said to a template."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import trio
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from node.console.failure import Failure
from node.control.codes import Exit
from node.web import history
from node.web.explaining import VIEW_SECONDS
from node.web.page import Page

if TYPE_CHECKING:
    from node.control import shapes

#: Jobs in one view; whoever wants all has `assay jobs`. Anybody may post, so the list has an end.
_MOST_JOBS: Final = 200
_MOST_WAITING: Final = 20

#: Terms that an owner sets first; the others hold as they are until somebody looks for them.
FIRST_TERMS: Final = (
    "accept", "price_floor", "token", "no_noise", "published_sums", "epsilon", "delta",
)  # fmt: skip

#: States in which a job is on its way.
_ON_THE_WAY: Final = frozenset({"posted", "enrolling", "running", "settling"})


class Pages:
    """GET: nothing is changed."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._rpc = page.rpc
        self._privacy: list[shapes.Privacy] = []

    async def home(self, request: Request) -> Response:
        """What waits for the user, and what runs."""
        status, jobs = await self._rpc.status(), await self._rpc.jobs()
        waiting = [each for each in jobs if each["state"] == "waiting"]
        shown = waiting[:_MOST_WAITING]
        explained = await self._page.explanations.of_all([each["job"] for each in shown])
        asked = [(each, explained.get(each["job"])) for each in shown]
        running = [each for each in jobs if each["state"] in _ON_THE_WAY]
        others = [each for each in jobs if each["state"] not in (*_ON_THE_WAY, "waiting")]
        given = {
            "status": status,
            "waiting": asked,
            "more": len(waiting) - len(asked),
            "running": running[:_MOST_JOBS],
            "others": others[:_MOST_JOBS],
            "budgets": await self._budgets(),
            "account": await self._account(),
        }
        return await self._page.show("home.html", given)

    async def job(self, request: Request) -> Response:
        """All about one job."""
        job = await self._rpc.job_show(request.path_params["job"])
        explained: list[shapes.Explained] = []
        if job["summary"]["state"] == "waiting":
            explained = await self._page.explanations.of(job["summary"]["job"])
        mine: list[shapes.Earning] = []
        if job["summary"]["role"] == "owner":
            mine = (await self._rpc.earnings(job=job["summary"]["job"]))["lines"]
        given = {"job": job, "s": job["summary"], "asked": explained, "mine": mine}
        return await self._page.show("job.html", given)

    async def history(self, request: Request) -> Response:
        """A job's linked blocks; `flip` changes a byte of one in a copy, `check` audits."""
        job = await self._rpc.job_show(request.path_params["job"])
        texts = history.blocks(job)
        which = request.query_params.get("flip", "")
        flip = int(which) if which.isascii() and which.isdigit() and len(which) < 6 else None
        if flip is not None and flip < len(texts):
            texts = history.flipped(texts, flip)
        audit = None
        if "check" in request.query_params:
            audit = await self._rpc.audit(job["summary"]["job"])
        given = {
            "job": job,
            "s": job["summary"],
            "blocks": history.checked(texts),
            "flip": flip,
            "audit": audit,
        }
        return await self._page.show("history.html", given)

    async def model(self, request: Request) -> Response:
        """A job's newest model as .npz (docs/spec/model-file.md), out of the home."""
        found = await self._rpc.model_get(request.path_params["job"])
        name = f"model-{found['job'][:10]}-{found['round']}.npz"
        return FileResponse(found["path"], media_type="application/octet-stream", filename=name)

    async def data(self, request: Request) -> Response:
        """Data sets, their budgets and their policies."""
        budgets = {each["dataset"]: each for each in await self._rpc.privacy()}
        sets = [
            (each, budgets.get(each["name"]), await self._rpc.policy_show(each["name"]))
            for each in await self._rpc.data_list()
        ]
        refused, self._page.refused = self._page.refused, None
        opened, self._page.opened = self._page.opened, ("", "")
        given = {"sets": sets, "refused": refused, "opened": opened, "first": FIRST_TERMS}
        return await self._page.show("data.html", given)

    async def money(self, request: Request) -> Response:
        """What the account has, and what was earned job by job."""
        lines = (await self._rpc.earnings())["lines"]
        by_job = [(job, list(of)) for job, of in groupby(lines, key=lambda each: each["job"])]
        given = {"account": await self._account(), "earned": by_job[:_MOST_JOBS]}
        return await self._page.show("money.html", given)

    async def receipts(self, request: Request) -> Response:
        """What was earned as a signed file (docs/spec/receipts.md), to be kept."""
        text = (await self._rpc.earnings(signed=True))["receipts"]
        kept = {"Content-Disposition": 'attachment; filename="assay-receipts.jsonl"'}
        return Response(text, media_type="application/jsonl", headers=kept)

    async def network(self, request: Request) -> Response:
        """The daemon itself, its chain and its peers."""
        given: dict[str, Any] = {
            "status": await self._rpc.status(),
            "peers": await self._rpc.peers(),
            "doctor": None,
        }
        return await self._page.show("network.html", given)

    async def _budgets(self) -> list[shapes.Privacy]:
        """Privacy budgets; those of before, where a worker that is to compose them is busy."""
        with trio.move_on_after(VIEW_SECONDS):
            self._privacy = await self._rpc.privacy()
        return self._privacy

    async def _account(self) -> shapes.Account | str:
        """The account, or why the chain does not tell: that is no reason to show nothing else."""
        try:
            return await self._rpc.account()
        except Failure as failure:
            if failure.end is not Exit.CHAIN:
                raise
            return str(failure)
