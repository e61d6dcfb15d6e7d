"""A daemon of this machine, as an object."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from node.client import frames
from node.client.job import Job
from node.client.rpc import Rpc
from node.home.home import find_home

if TYPE_CHECKING:
    import polars as pl

    from node.control.shapes import Account, Dataset, Explained, Offers, Policy, Quote, Status


class Node:
    """A running daemon. `rpc` has every method of the control socket as a typed function; the rest
    says the frequent ones in a program's own terms. It holds no connection: nothing is to close.
    """

    def __init__(self, rpc: Rpc) -> None:
        self.rpc = rpc

    def __repr__(self) -> str:
        return f"<Node on {self.rpc.home.path}>"

    def status(self) -> Status:
        """The daemon at a glance. Raises NoDaemon where none runs."""
        return self.rpc.status()

    def jobs(self) -> list[Job]:
        """Jobs known here, newest first."""
        return [Job(self.rpc, each) for each in self.rpc.jobs()]

    def waiting(self) -> list[Job]:
        """Jobs that wait for this owner's consent: `job.accept(dataset)` or `job.decline()`."""
        return [job for job in self.jobs() if job.state == "waiting"]

    def job(self, job: str) -> Job:
        """A job by its id, or by a prefix of it that is unambiguous. Raises CallError."""
        return Job(self.rpc, self.rpc.job_show(job)["summary"])

    def explain(self, job: Job | str, dataset: str | None = None) -> list[Explained]:
        """Every rule of this home's policies against a job: passes, or why not. Asks nobody."""
        wanted = job.id if isinstance(job, Job) else job
        return self.rpc.policy_explain(wanted, dataset=dataset)

    def quote(self, spec: str | Path, *, no_noise: bool = False) -> Quote:
        """What posting a job would take now; nothing is sent. See `post`."""
        return self.rpc.job_quote(_text(spec), no_noise=no_noise)

    def post(
        self,
        spec: str | Path,
        *,
        holdout: str | Path | None = None,
        no_noise: bool = False,
        max_fee: int | None = None,
    ) -> Job:
        """Check a spec, escrow its bounty, announce the job. It spends money: see `quote`.

        `spec` is TOML text, or a Path to a file of it. `holdout`: a data set's name, or a Path to a
        file, on which accuracy is measured. `max_fee`: the most that its posting offers, wei per
        gas. Raises CallError, OSError.
        """
        measured = str(holdout.absolute()) if isinstance(holdout, Path) else holdout
        posted = self.rpc.job_post(
            _text(spec), holdout=measured, no_noise=no_noise, max_fee=max_fee
        )
        return self.job(posted["job"])

    def add(self, name: str, file: str | Path, *, holdout: bool = False) -> Dataset:
        """Register a file as a data set. It takes nothing until it has a policy (`policy`)."""
        return self.rpc.data_add(name, str(Path(file).absolute()), holdout=holdout)

    def policy(self, dataset: str, **changes: object) -> Policy:
        """A data set's policy, with these terms changed first, all or none."""
        if changes:
            return self.rpc.policy_set(dataset, changes)
        return self.rpc.policy_show(dataset)

    def datasets(self) -> pl.DataFrame:
        """A row for each data set of this home."""
        return frames.datasets(self.rpc.data_list())

    def privacy(self) -> pl.DataFrame:
        """A row for each data set's budget: spent, reserved, left."""
        return frames.privacy(self.rpc.privacy())

    def earnings(self, job: Job | str | None = None) -> pl.DataFrame:
        """What this home's data sets earned, a row a round, and what was paid of it."""
        wanted = job.id if isinstance(job, Job) else job
        return frames.earnings(self.rpc.earnings(job=wanted))

    def account(self) -> Account:
        """This home's account, and what it has in each currency."""
        return self.rpc.account()

    def offers(self, *columns: str, purpose: str | None = None, limit: int = 100) -> Offers:
        """Known cards of data sets that have all of these columns, newest first."""
        return self.rpc.offers(columns=columns, purpose=purpose, limit=limit)

    def table(self) -> pl.DataFrame:
        """A row for each job known here."""
        return frames.jobs(self.rpc.jobs())


def connect(home: str | os.PathLike[str] | None = None, seconds: float | None = None) -> Node:
    """The daemon of a home: of `home`, else of $ASSAY_HOME, else of this user.

    `seconds`: how long a call waits for its answer; None: as long as the daemon lives. A file may
    take hours to read. Raises NoDaemon where none runs.
    """
    node = Node(Rpc(find_home(home), seconds))
    node.status()
    return node


def _text(spec: str | Path) -> str:
    return spec.read_text() if isinstance(spec, Path) else spec
