"""Results of control methods as their JSON holds them: types for whoever reads it.

scripts/json-shapes writes this room from the dataclasses of the results, a file for each of their
modules, and a test compares. Commands import it for mypy only: it costs them nothing to run.
"""

from __future__ import annotations

from node.control.shapes.data_results import (
    DatasetChanged,
    DatasetColumn,
    DatasetFit,
    DatasetMisfit,
    DatasetRemoved,
    DatasetView,
    DatasetWord,
)
from node.control.shapes.job_results import (
    Audit,
    Cancelled,
    Check,
    Claim,
    Consent,
    JobDetail,
    JobSummary,
    Member,
    ModelFile,
    Money,
    Posted,
    Round,
    RowsFit,
)
from node.control.shapes.results import (
    Account,
    ChainStatus,
    Dataset,
    Event,
    Explained,
    ExplainedRule,
    Joined,
    Peer,
    Policy,
    PolicyTerm,
    Privacy,
    PrivacyJob,
    Status,
    Stopping,
    Subscribed,
    Unsubscribed,
)

__all__ = [
    "Account",
    "Audit",
    "Cancelled",
    "ChainStatus",
    "Check",
    "Claim",
    "Consent",
    "Dataset",
    "DatasetChanged",
    "DatasetColumn",
    "DatasetFit",
    "DatasetMisfit",
    "DatasetRemoved",
    "DatasetView",
    "DatasetWord",
    "Event",
    "Explained",
    "ExplainedRule",
    "JobDetail",
    "JobSummary",
    "Joined",
    "Member",
    "ModelFile",
    "Money",
    "Peer",
    "Policy",
    "PolicyTerm",
    "Posted",
    "Privacy",
    "PrivacyJob",
    "Round",
    "RowsFit",
    "Status",
    "Stopping",
    "Subscribed",
    "Unsubscribed",
]
