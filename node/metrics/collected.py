"""A daemon's status and jobs as Prometheus' text format (version 0.0.4).

Names follow Prometheus' own rules: base units, `_total` for what only grows. Without `names` no
series says which job this node is in: whoever reads the metrics then learns how many there are, and
in which states. No series has a label `job` or `instance`, which Prometheus gives by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from node.control.job_results import JobState, Role

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

#: Series of single jobs: more are left out, newest first, so that an answer stays small.
MAX_JOBS: Final = 500


def text_of(
    status: Mapping[str, Any] | None, jobs: Sequence[Mapping[str, Any]], *, names: bool
) -> bytes:
    """The answer to one question. `status` and `jobs` are results of these control methods; None
    says that no daemon answers, which is a metric too."""
    registry = CollectorRegistry()
    registry.register(_Collected(status, jobs, names))
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(
        self,
        status: Mapping[str, Any] | None,
        jobs: Sequence[Mapping[str, Any]],
        names: bool,
    ) -> None:
        self._status, self._jobs, self._names = status, jobs, names

    def collect(self) -> Iterator[Metric]:
        found = self._status
        yield _gauge("assay_up", "Whether the daemon answers.", 0 if found is None else 1)
        if found is None:
            return
        about = InfoMetricFamily("assay_node", "The daemon that answers.")
        about.add_metric([], {"version": found["version"]})
        yield about
        began = found["started_at"]
        yield _gauge("assay_start_time_seconds", "When the daemon started.", began)
        for name, what, value in (
            ("assay_peers", "Connected peers.", found["peers"]),
            ("assay_datasets", "Data sets of this home.", found["datasets"]),
            ("assay_jobs_waiting", "Jobs that wait for consent.", found["jobs_waiting"]),
            ("assay_jobs_running", "Jobs with something to do here.", found["jobs_running"]),
            ("assay_tasks_queued", "Computations that wait for a worker.", found["tasks_queued"]),
            ("assay_resident_memory_bytes", "Of the daemon alone.", found["resident_bytes"]),
            ("assay_problems", "Lines of `assay status` on what is wrong.", len(found["problems"])),
        ):
            yield _gauge(name, what, value)
        bytes_ = CounterMetricFamily(
            "assay_network_bytes", "Between peers, since the start.", labels=["direction"]
        )
        bytes_.add_metric(["in"], found["bytes_in"])
        bytes_.add_metric(["out"], found["bytes_out"])
        yield bytes_
        chain = found["chain"]
        reached = int(chain["reachable"])
        yield _gauge("assay_chain_reachable", "Whether the last call succeeded.", reached)
        yield _gauge("assay_chain_head_block", "The newest block that was seen.", chain["head"])
        at = chain["head_time"]
        yield _gauge("assay_chain_head_timestamp_seconds", "That block's own time.", at)
        yield from self._of_jobs()

    def _of_jobs(self) -> Iterator[Metric]:
        counted = Counter((job["role"], job["state"]) for job in self._jobs)
        jobs = GaugeMetricFamily("assay_jobs", "Jobs known here.", labels=["role", "state"])
        for role in get_args(Role):
            for state in get_args(JobState):
                jobs.add_metric([role, state], counted[role, state])
        yield jobs
        if not self._names:
            return
        labels = ["assay_job", "role", "state"]
        done = GaugeMetricFamily("assay_job_rounds_done", "Rounds committed.", labels=labels)
        wanted = GaugeMetricFamily("assay_job_rounds", "Rounds in all.", labels=labels)
        for job in self._jobs[:MAX_JOBS]:
            about = [job["job"], job["role"], job["state"]]
            done.add_metric(about, job["round"])
            wanted.add_metric(about, job["rounds"])
        yield done
        yield wanted


def _gauge(name: str, what: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, what, value=value)
