"""Rows of the table of control methods: pause, resume, job.leave."""

from __future__ import annotations

from typing import Any, Final

from node.control import examples as ex
from node.control import job_results as j
from node.control import params as p
from node.control.api import NodeApi
from node.control.codes import Code
from node.control.holding import examples as hx
from node.control.holding import results as h
from node.control.rpc import Method, calls

HOLDING: Final[tuple[Method[Any, Any], ...]] = (
    Method(
        "pause",
        "Take no job and begin no attempt until `resume`. What was begun is finished.",
        p.Nothing,
        h.Held,
        calls(NodeApi.pause),
        (),
        (p.Nothing(), hx.PAUSED),
    ),
    Method(
        "resume",
        "Take jobs and begin attempts again.",
        p.Nothing,
        h.Held,
        calls(NodeApi.resume),
        (),
        (p.Nothing(), hx.RESUMED),
    ),
    Method(
        "job.leave",
        "Begin no attempt of a job any more, for good. What is owed is released all the same.",
        p.JobParams,
        j.JobSummary,
        calls(NodeApi.job_leave),
        (Code.INPUT, Code.STATE),
        (p.JobParams(ex.JOB), hx.LEFT),
    ),
)
