"""The topics that messages are gossiped on: one for all jobs, one for all cards, one a job, one a
block of owners."""

from __future__ import annotations

#: Job announcements.
JOBS_TOPIC = "assay/1/jobs"

#: Cards of data sets, and withdrawals of cards.
CARDS_TOPIC = "assay/1/cards"


def job_topic(job: bytes) -> str:
    """Openings, digests and results of one job."""
    return f"assay/1/job/{job.hex()}"


def block_topic(job: bytes, block: int) -> str:
    """Contributions of one block; its members and the requester join."""
    return f"assay/1/block/{job.hex()}/{block}"
