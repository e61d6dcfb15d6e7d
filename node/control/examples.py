"""One consistent story that the examples of the OpenRPC document tell.

A hospital's daemon at 0x22.. trains one job, posted by 0x11.., on the dataset `ward-3`.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from node.control import data_results as d
from node.control import job_results as j
from node.control import results as r

NOW: Final = 1_750_000_000.0
ETHER: Final = 10**18
JOB: Final = "0x" + "5a" * 32
REQUESTER: Final = "0x" + "11" * 20
OWNER: Final = "0x" + "22" * 20
CONTRACT: Final = "0x" + "c0" * 20
PEER_ID: Final = "12D3KooWQ1xfGnmCbZQaPzRtXsZtyxmbVLPjpZDaENTfpbYQQJHj"
ADDRESS: Final = f"/ip4/192.0.2.7/tcp/4001/p2p/{PEER_ID}"
TRANSACTION: Final = "0x" + "7e" * 32
SPEC: Final = '[job]\ntitle = "Sepsis within 24 h"\n'

STATUS: Final = r.Status(
    version="0.1.0",
    pid=4242,
    started_at=NOW - 3600,
    home="/home/ann/.local/share/assay",
    peer_id=PEER_ID,
    addresses=(ADDRESS,),
    join_line=f"{ADDRESS}?chain=1337&contract={CONTRACT}",
    account=OWNER,
    payout=OWNER,
    chain=r.ChainStatus(
        url="http://127.0.0.1:8545",
        chain_id=1337,
        contract=CONTRACT,
        head=812,
        head_time=NOW,
        reachable=True,
        problem="",
    ),
    peers=1,
    datasets=1,
    jobs_running=1,
    jobs_waiting=0,
    tasks_queued=0,
    bytes_in=1_204_331,
    bytes_out=840_112,
    resident_bytes=141_000_000,
    problems=(),
)

PEER: Final = r.Peer(
    peer_id=PEER_ID,
    addresses=(ADDRESS,),
    direction="out",
    relayed=False,
    agent="assay/0.1.0",
    score=1.5,
    connected_at=NOW - 60,
    rejected=0,
)

DATASET: Final = r.Dataset(
    name="ward-3",
    path="/srv/ward-3.csv",
    rows=4120,
    columns=("age", "lactate", "sepsis"),
    column_count=3,
    bytes=190_220,
    digest=bytes.fromhex("da" * 32),
    added_at=NOW - 1800,
    decided=True,
    jobs=1,
    epsilon_spent=0.5,
    same=(),
)

COLUMN_MAP: Final = '[columns]\nlac = { name = "lactate" }\n'

DATASET_VIEW: Final = d.DatasetView(
    name="ward-3",
    path="/srv/ward-3.csv",
    rows=4120,
    bytes=190_220,
    added_at=NOW - 1800,
    holdout=False,
    mapped=True,
    format={"file": "csv", "separator": "comma", "decimal mark": ".", "encoding": "utf-8"},
    columns=(
        d.DatasetColumn(
            "age", "age", "number", 12, 4108, 18.0, 97.0, 80, (d.DatasetWord("71", 99),)
        ),
        d.DatasetColumn("lactate", "lac", "number", 0, 4120, 0.4, 17.2, 151, ()),
        d.DatasetColumn(
            "sepsis",
            "sepsis",
            "text",
            0,
            0,
            None,
            None,
            2,
            (d.DatasetWord("no", 3900), d.DatasetWord("yes", 220)),
        ),
    ),
    column_count=3,
    fit=d.DatasetFit(
        job=JOB,
        rows=4120,
        usable=4108,
        refused="",
        older=False,
        unit="line",
        reasons=(
            d.DatasetMisfit("age", True, "a number from 0 to 120 is declared", 12, (7, 91), ()),
        ),
    ),
)

DATASET_CHANGED: Final = d.DatasetChanged(
    name="ward-3",
    rows=4120,
    columns=("age", "lactate", "sepsis"),
    column_count=3,
    kept=(JOB,),
    notes=(),
)

DATABASE: Final = "postgresql://reader@db.example/ward"
SQL: Final = "select age, lactate, sepsis from stays"

DATASET_OF_SQL: Final = dataclasses.replace(
    DATASET, path=f"postgresql://reader@db.example/ward: {SQL}"
)

POLICY: Final = r.Policy(
    dataset="ward-3",
    decided=True,
    terms=(
        r.PolicyTerm("accept", "auto", "never, ask or auto", "what to do with a job that fits"),
        r.PolicyTerm(
            "min_rate",
            str(ETHER // 1000),
            "wei, or an amount such as 0.001 ether",
            "least pay for a contribution",
        ),
    ),
    running=(JOB,),
    halted=(),
)

EXPLAINED: Final = r.Explained(
    job=JOB,
    dataset="ward-3",
    taken=False,
    verdict="waits",
    rules=(
        r.ExplainedRule("columns", None, "passes", ""),
        r.ExplainedRule("accept", "auto", "passes", ""),
        r.ExplainedRule(
            "price_floor",
            str(ETHER // 100),
            "waits",
            "it pays 0.001 ether a contribution; the price floor is 0.01 ether",
        ),
        r.ExplainedRule(
            "data", None, "passes", "12 of 4120 rows cannot be used: line 7, column age is empty"
        ),
        r.ExplainedRule("budget", None, "passes", ""),
    ),
)

PRIVACY: Final = r.Privacy(
    dataset="ward-3",
    epsilon=8.0,
    delta=1e-5,
    spent=0.5,
    reserved=3.4,
    left=4.1,
    bounded=True,
    no_noise_joined=0,
    no_noise_jobs=1,
    jobs=(
        r.PrivacyJob(
            job=JOB,
            title="Sepsis within 24 h",
            requester=REQUESTER,
            noisy=True,
            rate=0.0078,
            multiplier=0.61,
            reserved=19,
            charged=1,
            epsilon=0.5,
        ),
    ),
)

PRIVACY_POINT: Final = r.PrivacyPoint(at=NOW - 900, spent=0.2, reserved=3.6, left=4.2)

SUMMARY: Final = j.JobSummary(
    job=JOB,
    title="Sepsis within 24 h",
    role="owner",
    state="running",
    reason="",
    early=False,
    requester=REQUESTER,
    sealed=False,
    noisy=True,
    round=1,
    rounds=20,
    enrolled=5,
    token=None,
    rate=ETHER // 1000,
    merit=ETHER // 10,
    merit_by="worth",
    expires_at=NOW + 86_400,
    dataset="ward-3",
    fits=(j.RowsFit("ward-3", 4120, 4108, "12 of 4120 rows cannot be used"),),
)

DECLINED: Final = dataclasses.replace(
    SUMMARY, role="bystander", state="declined", reason="kept out by its owner's hand", dataset=""
)

MONEY: Final = j.Money(
    escrowed=ETHER // 5,
    earned=5 * ETHER // 1000,
    paid=0,
    returned=0,
    awaited=0,
    returns_at=None,
    gas=91_000,
    gas_cost=91_000 * 2 * 10**9,
)

DETAIL: Final = j.JobDetail(
    summary=SUMMARY,
    spec=SPEC,
    spec_digest=bytes.fromhex("5a" * 32),
    rounds=(
        j.Round(
            number=0,
            attempt=0,
            phase="done",
            contributors=5,
            ready=None,
            blocks=1,
            closed=0,
            released=None,
            model=bytes.fromhex("3d" * 32),
            accuracy=0.81,
            loss=0.62,
            auc=0.88,
            r_squared=None,
            rmse=None,
            recall={"home": 0.86, "care": 0.74},
            transaction=TRANSACTION,
            gas=91_000,
            bytes=240_000,
            seconds={"ready": 0.4, "contribute": 2.1, "commit": 1.2, "unmask": 0.6},
        ),
    ),
    members=(
        j.Member(
            account=OWNER,
            peer_id=PEER_ID,
            block=0,
            part="released",
            refusal="",
            withheld=False,
            owes=None,
            cheated=None,
            contributions=1,
            bytes=48_000,
            rate=ETHER // 1000,
            merit=0,
            claimed=0,
        ),
    ),
    decliners=2,
    declined=(j.Declined("epsilon", "epsilon too large", 2),),
    money=MONEY,
    bytes_in=61_000,
    bytes_out=52_000,
    releases=1,
    epsilon_spent=0.5,
    seconds={"ready": 0.4, "contribute": 2.1, "commit": 1.2},
    model=bytes.fromhex("3d" * 32),
)

POSTED: Final = j.Posted(
    job=JOB,
    spec_digest=bytes.fromhex("5a" * 32),
    escrowed=ETHER // 5,
    token=None,
    merit=ETHER // 10,
    merit_by="worth",
    noisy=True,
    sealed=False,
    transaction=TRANSACTION,
)

CONSENT: Final = j.Consent(job=JOB, dataset="ward-3", state="enrolling", noisy=True, sealed=False)

CANCELLED: Final = j.Cancelled(
    job=JOB,
    state="running",
    already=False,
    effective=None,
    notice=7200,
    transaction=TRANSACTION,
    problem="",
)

MODEL: Final = j.ModelFile(
    job=JOB,
    round=20,
    rounds=20,
    final=True,
    digest=bytes.fromhex("3d" * 32),
    path="/home/ann/.local/share/assay/models/5a5a.npz",
    bytes=5_600,
)

CLAIM: Final = j.Claim(
    job=JOB,
    account=OWNER,
    token=None,
    rounds=20,
    rate=20 * ETHER // 1000,
    merit=ETHER // 50,
    transaction=TRANSACTION,
    gas=74_000,
)

AUDIT: Final = j.Audit(
    job=JOB,
    ok=True,
    checks=(j.Check("money", True, "escrowed = paid + returned + claimable"),),
    money=MONEY,
)
