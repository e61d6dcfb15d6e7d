"""What a user does on the page: forms, sent by POST, answered by a way back (303)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Final
from urllib.parse import parse_qsl, quote

import trio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response

from node.console.currency import pay
from node.console.failure import Failure
from node.control import joinline
from node.control.codes import Exit
from node.web.page import Page, RefusedTerm

#: Fields of the largest form of ours.
_MOST_FIELDS: Final = 8

#: The doctor ends by itself well before.
_DOCTOR_SECONDS: Final = 150.0


class Acts:
    """POST. What the daemon refuses reaches the reader as a Failure's own words."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._rpc = page.rpc
        self._examining = trio.Lock()

    async def consent(self, request: Request) -> Response:
        """Take a waiting job with the data set that the form names."""
        form = await form_of(request)
        taken = await self._rpc.job_consent(request.path_params["job"], form.get("dataset", ""))
        return self._done(
            f"/job/{taken['job']}", f"{taken['dataset']} trains this job; it is {taken['state']}."
        )

    async def decline(self, request: Request) -> Response:
        """Keep out of a waiting job, for good."""
        job = await self._rpc.job_decline(request.path_params["job"])
        return self._done("/", f"You keep out of {job['job'][:10]}, for good. Nobody is told.")

    async def leave(self, request: Request) -> Response:
        """Begin no attempt of a job that was taken any more."""
        job = await self._rpc.job_leave(request.path_params["job"])
        said = "You have left this job: an attempt that has begun is finished, then none begins."
        return self._done(f"/job/{job['job']}", said)

    async def pause(self, request: Request) -> Response:
        """Take no job and begin no attempt until `resume`."""
        await self._rpc.pause()
        return self._done("/", "Paused: no job is taken and no attempt begun.")

    async def resume(self, request: Request) -> Response:
        """Go on."""
        held = await self._rpc.resume()
        return self._done("/", f"Resumed, but {held['closed']}." if held["closed"] else "Resumed.")

    async def claim(self, request: Request) -> Response:
        """Send claims of a job's pay."""
        claims = await self._rpc.claim(request.path_params["job"])
        sent = [each for each in claims if each["transaction"]]
        said = ", ".join(
            pay(str(int(each["rate"]) + int(each["merit"])), each["token"]) for each in sent
        )
        return self._done("/money", f"Claimed {said}." if sent else "There is nothing to claim.")

    async def policy(self, request: Request) -> Response:
        """Change one term of a data set's policy."""
        form = await form_of(request)
        name, term = request.path_params["dataset"], form.get("term", "")
        try:
            value = _value(form.get("value", ""), await self._held(name, term))
            await self._rpc.policy_set(name, {term: value})
        except Failure as failure:
            if failure.end is not Exit.USAGE or failure.field == "dataset":
                raise
            self._page.refused = RefusedTerm(name, term, form.get("value", ""), str(failure))
            return RedirectResponse(f"/data#row-{quote(name)}-{quote(term)}", 303)
        self._page.opened = (name, term)
        notice = f"{name}: {term} is {form.get('value', '') or 'empty'}."
        return self._done(f"/data#row-{quote(name)}-{quote(term)}", notice)

    async def _held(self, name: str, term: str) -> object:
        """What a term is now: a list's form is read as a list."""
        terms = (await self._rpc.policy_show(name))["terms"]
        return next((each["value"] for each in terms if each["name"] == term), None)

    async def join(self, request: Request) -> Response:
        """Dial a peer by the line that its node printed, and again after each restart."""
        try:
            line = joinline.parse((await form_of(request)).get("line", ""))
        except ValueError as error:
            raise Failure(Exit.USAGE, str(error), field="line") from None
        chain = (await self._rpc.status())["chain"]
        if why := joinline.differs(line, chain["chain_id"], chain["contract"]):
            raise Failure(Exit.REFUSED, f"{why}; one home serves one contract on one chain")
        joined = await self._rpc.join(line.address, channels=line.channels)
        notice = f"Joined: {joined['peers']} peers are connected."
        if joined["restart"]:
            notice += " To buy and sell, restart the daemon: the channel contract is new here."
        return self._done("/network", notice)

    async def doctor(self, request: Request) -> Response:
        """Examine this node, by the command that does (`assay doctor`), one at a time."""
        async with self._examining:
            found = await _examined(str(self._page.home.path))
        given = {
            "status": await self._rpc.status(),
            "peers": await self._rpc.peers(),
            "doctor": found,
        }
        return await self._page.show("network.html", given)

    def _done(self, where: str, notice: str) -> Response:
        self._page.notice = notice
        self._page.explanations.forget()
        return RedirectResponse(where, 303)


async def form_of(request: Request, most: int = _MOST_FIELDS) -> dict[str, str]:
    """The fields of a form; the gate has bounded its length. One that is broken has none.

    Raises Failure for one that does not come whole: nothing is done with a part of it.
    """
    try:
        text = (await request.body()).decode("ascii", "replace")
    except ClientDisconnect:
        raise Failure(Exit.USAGE, "the form did not come whole; nothing was done") from None
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=most))
    except ValueError:
        return {}


def _value(text: str, held: object) -> object:
    """A term's value, as `assay policy set TERM=VALUE` reads it; a list also with commas alone.

    >>> _value("research, teaching", []), _value("", []), _value("", "0xfd"), _value("8", 1.0)
    (['research', 'teaching'], [], None, 8)
    """
    if isinstance(held, list) and not text.lstrip().startswith("["):
        return text.replace(",", " ").split()
    if not text.strip():
        return None
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


async def _examined(home: str) -> dict[str, Any]:
    """What the doctor found: its report, or why there is none."""
    command = [sys.executable, "-m", "node.cli.main", "--home", home, "--json", "doctor"]
    try:
        with trio.fail_after(_DOCTOR_SECONDS):
            done = await trio.run_process(
                command,
                stdin=subprocess.DEVNULL,
                capture_stdout=True,
                stderr=subprocess.DEVNULL,
                check=False,
                env=dict(os.environ),
            )
        report: dict[str, Any] = json.loads(done.stdout)
    except trio.TooSlowError:
        return {"problem": "the doctor did not end in time; in a terminal: assay doctor"}
    except ValueError:
        return {"problem": "the doctor gave no report; in a terminal: assay doctor"}
    return report
