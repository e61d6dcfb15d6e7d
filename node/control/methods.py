"""The table of control methods: name, summary, types, errors and an example of each."""

from __future__ import annotations

from typing import Any, Final

from node.control import data_results as d
from node.control import examples as ex
from node.control import job_results as j
from node.control import openrpc
from node.control import params as p
from node.control import results as r
from node.control.api import NodeApi
from node.control.cards import examples as cx
from node.control.cards import params as cp
from node.control.cards import results as cr
from node.control.codes import Code
from node.control.money import examples as mx
from node.control.money import params as mp
from node.control.money import results as mr
from node.control.rpc import Context, Encoded, Method, Registry, calls
from node.control.tables.encoders import ENCODERS
from node.control.tables.holding import HOLDING
from node.control.tables.network import NETWORK
from node.control.tables.sale import SALE


async def _status(context: Context, _: p.Nothing) -> r.Status:
    return context.api.status()


async def _subscribe(context: Context, given: p.SubscribeParams) -> r.Subscribed:
    return context.subscribe(given.job, given.since)


async def _unsubscribe(context: Context, given: p.UnsubscribeParams) -> r.Unsubscribed:
    return context.unsubscribe(given.subscription)


async def _discover(context: Context, _: p.Nothing) -> Encoded:
    return openrpc.answer(context.registry)


_NOTHING: Final = p.Nothing()

METHODS: Final = Registry(
    (
        Method(
            "status",
            "The daemon at a glance, from a snapshot; never waits.",
            p.Nothing,
            r.Status,
            _status,
            (),
            (_NOTHING, ex.STATUS),
        ),
        *NETWORK,
        Method(
            "stop",
            "Drain and end. Jobs go on when the daemon starts again.",
            p.Nothing,
            r.Stopping,
            calls(NodeApi.stop),
            (),
            (_NOTHING, r.Stopping(4242, 1)),
        ),
        *HOLDING,
        Method(
            "data.add",
            "Register a file as a dataset. It takes nothing until it has a policy.",
            p.DataAddParams,
            r.Dataset,
            calls(NodeApi.data_add),
            (Code.INPUT,),
            (p.DataAddParams("ward-3", "/srv/ward-3.csv"), ex.DATASET),
        ),
        Method(
            "data.add_sql",
            "Register the rows that a database gives now. The password is not kept.",
            p.DataAddSqlParams,
            r.Dataset,
            calls(NodeApi.data_add_sql),
            (Code.INPUT,),
            (p.DataAddSqlParams("ward-3", ex.SQL, ex.DATABASE), ex.DATASET_OF_SQL),
        ),
        Method(
            "data.list",
            "Datasets of this home.",
            p.Nothing,
            tuple[r.Dataset, ...],
            calls(NodeApi.data_list),
            (),
            (_NOTHING, (ex.DATASET,)),
        ),
        Method(
            "data.show",
            "Look into a dataset: columns, gaps, ranges, and which rows a job can use.",
            p.DataShowParams,
            d.DatasetView,
            calls(NodeApi.data_show),
            (Code.INPUT,),
            (p.DataShowParams("ward-3", ex.JOB), ex.DATASET_VIEW),
        ),
        Method(
            "data.replace",
            "A dataset's next version. Budget, policy, column map and jobs stay.",
            p.DataReplaceParams,
            d.DatasetChanged,
            calls(NodeApi.data_replace),
            (Code.INPUT, Code.STATE),
            (p.DataReplaceParams("ward-3", "/srv/ward-3.csv"), ex.DATASET_CHANGED),
        ),
        Method(
            "data.replace_sql",
            "The same by the rows that a database gives now. The password is not kept.",
            p.DataReplaceSqlParams,
            d.DatasetChanged,
            calls(NodeApi.data_replace_sql),
            (Code.INPUT, Code.STATE),
            (p.DataReplaceSqlParams("ward-3", ex.SQL, ex.DATABASE), ex.DATASET_CHANGED),
        ),
        Method(
            "data.map",
            "Give a dataset a column map, or take it away.",
            p.DataMapParams,
            d.DatasetChanged,
            calls(NodeApi.data_map),
            (Code.INPUT, Code.STATE),
            (p.DataMapParams("ward-3", ex.COLUMN_MAP), ex.DATASET_CHANGED),
        ),
        Method(
            "data.remove",
            "Remove a dataset and its copies. What was told of it stays in the ledger.",
            p.DatasetNameParams,
            d.DatasetRemoved,
            calls(NodeApi.data_remove),
            (Code.INPUT, Code.STATE),
            (p.DatasetNameParams("ward-3"), d.DatasetRemoved("ward-3", 1, True)),
        ),
        Method(
            "policy.show",
            "What a dataset may be used for.",
            p.DatasetParams,
            r.Policy,
            calls(NodeApi.policy_show),
            (Code.INPUT,),
            (p.DatasetParams("ward-3"), ex.POLICY),
        ),
        Method(
            "policy.set",
            "Change terms of a policy, all or none.",
            p.PolicySetParams,
            r.Policy,
            calls(NodeApi.policy_set),
            (Code.INPUT,),
            (p.PolicySetParams("ward-3", {"accept": "auto"}), ex.POLICY),
        ),
        Method(
            "policy.explain",
            "Every rule of policies and data against a job: passes, or why not. Asks nobody.",
            p.ExplainParams,
            tuple[r.Explained, ...],
            calls(NodeApi.policy_explain),
            (Code.INPUT, Code.STATE),
            (p.ExplainParams(ex.JOB, "ward-3"), (ex.EXPLAINED,)),
        ),
        Method(
            "privacy",
            "Privacy budgets by dataset: spent, reserved, left, and what each job told.",
            p.PrivacyParams,
            tuple[r.Privacy, ...],
            calls(NodeApi.privacy),
            (Code.INPUT,),
            (p.PrivacyParams("ward-3"), (ex.PRIVACY,)),
        ),
        Method(
            "card.publish",
            "Publish a card of a dataset: what its owner declares, for everybody to find.",
            cp.PublishParams,
            cr.OwnCard,
            calls(NodeApi.card_publish),
            (Code.INPUT, Code.STATE),
            (cp.PublishParams("ward-3", cx.CARD_TOML), cx.OWN),
        ),
        Method(
            "card.list",
            "Published cards of this home's datasets.",
            p.Nothing,
            tuple[cr.OwnCard, ...],
            calls(NodeApi.card_list),
            (),
            (_NOTHING, (cx.OWN,)),
        ),
        Method(
            "card.withdraw",
            "Take a dataset's card back. Who has read it keeps what it said.",
            p.DatasetParams,
            cr.WithdrawnCard,
            calls(NodeApi.card_withdraw),
            (Code.INPUT, Code.STATE),
            (p.DatasetParams("ward-3"), cr.WithdrawnCard("ward-3")),
        ),
        Method(
            "offers",
            "Known cards of datasets, all or those that are looked for.",
            cp.OffersParams,
            cr.Offers,
            calls(NodeApi.offers),
            (Code.INPUT,),
            (cp.OffersParams(("age",), "number", max_rate=5 * 10**15), cx.OFFERS),
            large=True,
        ),
        Method(
            "offer.show",
            "One card, and a spec to start from.",
            cp.OfferParams,
            cr.OfferDetail,
            calls(NodeApi.offer_show),
            (Code.INPUT,),
            (cp.OfferParams("0x3f5a9c02"), cx.DETAIL),
        ),
        Method(
            "offers.match",
            "How many known cards meet a spec and its price.",
            cp.MatchParams,
            cr.Matches,
            calls(NodeApi.offers_match),
            (Code.INPUT,),
            (cp.MatchParams(ex.SPEC), cx.MATCHES),
        ),
        Method(
            "jobs",
            "Jobs known here, newest first.",
            p.Nothing,
            tuple[j.JobSummary, ...],
            calls(NodeApi.jobs),
            (),
            (_NOTHING, (ex.SUMMARY,)),
        ),
        Method(
            "job.quote",
            "What posting a job would take now. Nothing is sent.",
            mp.QuoteParams,
            mr.Quote,
            calls(NodeApi.job_quote),
            (Code.INPUT, Code.CHAIN),
            (mp.QuoteParams(ex.SPEC), mx.QUOTE),
        ),
        Method(
            "job.post",
            "Check a spec, escrow its bounty, announce the job.",
            p.PostParams,
            j.Posted,
            calls(NodeApi.job_post),
            (Code.INPUT, Code.CHAIN, Code.STATE),
            (p.PostParams(ex.SPEC, "ward-3"), ex.POSTED),
        ),
        Method(
            "job.show",
            "All that this node knows of a job: rounds, members, money, bytes, seconds.",
            p.JobParams,
            j.JobDetail,
            calls(NodeApi.job_show),
            (Code.INPUT,),
            (p.JobParams(ex.JOB), ex.DETAIL),
        ),
        Method(
            "job.consent",
            "Take a waiting job by hand with one dataset.",
            p.ConsentParams,
            j.Consent,
            calls(NodeApi.job_consent),
            (Code.INPUT, Code.STATE),
            (
                p.ConsentParams(ex.JOB, "ward-3"),
                ex.CONSENT,
            ),
        ),
        Method(
            "job.decline",
            "Keep out of a job that waits for this owner, for good. Nobody is told.",
            p.JobParams,
            j.JobSummary,
            calls(NodeApi.job_decline),
            (Code.INPUT, Code.STATE),
            (p.JobParams(ex.JOB), ex.DECLINED),
        ),
        Method(
            "job.cancel",
            "Ask the contract to close this requester's job, after its notice. Twice is once.",
            p.JobParams,
            j.Cancelled,
            calls(NodeApi.job_cancel),
            (Code.INPUT, Code.CHAIN, Code.STATE),
            (p.JobParams(ex.JOB), ex.CANCELLED),
        ),
        Method(
            "model.get",
            "A job's model as an .npz file in the home.",
            p.ModelParams,
            j.ModelFile,
            calls(NodeApi.model_get),
            (Code.INPUT, Code.STATE),
            (p.ModelParams(ex.JOB), ex.MODEL),
        ),
        Method(
            "claim",
            "Send claims of a job's pay, for one account or for all.",
            p.ClaimParams,
            tuple[j.Claim, ...],
            calls(NodeApi.claim),
            (Code.INPUT, Code.CHAIN, Code.STATE),
            (p.ClaimParams(ex.JOB), (ex.CLAIM,)),
        ),
        Method(
            "audit",
            "Check a job's books from the chain and the stored evidence. Faults are results.",
            p.JobParams,
            j.Audit,
            calls(NodeApi.audit),
            (Code.INPUT, Code.CHAIN),
            (p.JobParams(ex.JOB), ex.AUDIT),
        ),
        Method(
            "send",
            "Send ether or a token from this home's account, once.",
            mp.SendParams,
            mr.Sent,
            calls(NodeApi.send),
            (Code.INPUT, Code.CHAIN),
            (mp.SendParams("4f2a9c01", ex.REQUESTER, 2_500_000, mx.USDC), mx.SENT),
        ),
        Method(
            "token.revoke",
            "Take back what the bounty contract may take of a token.",
            mp.RevokeParams,
            mr.Sent,
            calls(NodeApi.token_revoke),
            (Code.INPUT, Code.CHAIN),
            (mp.RevokeParams("4f2a9c02", mx.USDC), mx.REVOKED),
        ),
        Method(
            "earnings",
            "What was earned and paid, by job and round; as signed receipts, too.",
            mp.EarningsParams,
            mr.Earnings,
            calls(NodeApi.earnings),
            (Code.INPUT,),
            (mp.EarningsParams(), mx.EARNINGS),
        ),
        Method(
            "account",
            "This home's account, and what it has in each currency.",
            p.Nothing,
            mr.Account,
            calls(NodeApi.account),
            (Code.CHAIN,),
            (_NOTHING, mx.ACCOUNT),
        ),
        *ENCODERS,
        Method(
            "events.subscribe",
            "Stream events to this connection; one that lags is dropped with a reason.",
            p.SubscribeParams,
            r.Subscribed,
            _subscribe,
            (Code.BUSY,),
            (p.SubscribeParams(None, 0), r.Subscribed(1, 17)),
        ),
        Method(
            "events.unsubscribe",
            "End a subscription of this connection.",
            p.UnsubscribeParams,
            r.Unsubscribed,
            _unsubscribe,
            (Code.INPUT,),
            (p.UnsubscribeParams(1), r.Unsubscribed(1)),
        ),
        Method(
            "rpc.discover",
            "This interface as an OpenRPC document.",
            p.Nothing,
            dict[str, Any],
            _discover,
            (),
            (_NOTHING, {"openrpc": "1.3.2"}),
        ),
        *SALE,
    )
)
