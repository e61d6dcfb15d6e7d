"""The command line: every command, its arguments and its help (cyclopts)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from cyclopts import App, CycloptsError, Group, Parameter

from node.cli.commands import (
    account,
    cards,
    chain,
    check,
    data,
    demo,
    jobs,
    lifecycle,
    params,
    rpc,
    swarm,
)
from node.cli.commands import datasets as inside
from node.cli.commands.health import (
    config,
    doctor,
    events,
    logs,
    metrics,
    notify,
    service,
    traces,
    web,
)
from node.cli.commands.money import earnings, send, token
from node.cli.commands.requester import encoders, new, predict
from node.cli.commands.sale import selling
from node.console.failure import Failure
from node.console.session import Session
from node.control.codes import Exit

_HELP: Final = """Train models on private data where it lies, for pay, with nobody in the middle.

Start: `assay init`, `assay up`, then paste the line that it prints into another's `assay join`.
An owner adds data (`data add`) and says what it may be used for (`policy set`); a requester posts
a job (`job post`) and follows it (`job watch`). `assay demo` shows all of it on this machine.

Exit codes: 0 done, 1 a defect, 2 bad usage or input, 3 no daemon, 4 chain, 5 peer or network,
6 refused by state or policy, 7 a fault was found, 130 interrupted.
"""


def build() -> App:
    """The app with all its commands."""
    app = App(name="assay", help=_HELP, version=_version, version_flags=["--version"])
    app.meta.group_parameters = everywhere = Group("Global options", sort_key=0)
    app["--help"].group = app["--version"].group = everywhere
    node, own, work, net = (
        Group("Node", sort_key=1),
        Group("Owner", sort_key=2),
        Group("Jobs", sort_key=3),
        Group("Chain", sort_key=4),
    )
    app.command(lifecycle.init, group=node)
    app.command(lifecycle.up, group=node)
    app.command(lifecycle.down, group=node)
    app.command(lifecycle.status, group=node)
    app.command(lifecycle.pause, group=node)
    app.command(lifecycle.resume, group=node)
    app.command(web.web, group=node)
    app.command(swarm.peers, group=node)
    app.command(swarm.join, group=node)
    app.command(account.account, group=node)
    app.command(doctor.doctor, group=node)
    app.command(logs.logs, group=node)
    app.command(events.events, group=node)
    app.command(metrics.metrics, group=node)
    app.command(traces.traces, group=node)
    app.command(notify.notify, group=node)
    tokens = App(name="token", help="ERC-20 tokens that are called by name here.", group=node)
    tokens.command(token.token_add, name="add")
    tokens.command(token.token_list, name="list")
    tokens.command(token.token_remove, name="remove")
    tokens.command(send.token_revoke, name="revoke")
    app.command(tokens)
    app.command(send.send, group=node)
    app.command(earnings.earnings, group=own)
    app.command(earnings.receipts, group=own)
    app.command(rpc.rpc, group=node)
    keys = App(name="keys", help="Back up and restore this home's keys.", group=node)
    keys.command(account.backup)
    keys.command(account.restore)
    app.command(keys)
    settings = App(name="config", help="Settings of this home.", group=node)
    settings.command(config.config_show, name="show")
    app.command(settings)
    app.command(config.completion_of(app), group=node)
    services = App(name="service", help="Run the daemon as a service of yours.", group=node)
    services.command(service.service_install, name="install")
    services.command(service.service_uninstall, name="uninstall")
    services.command(service.service_status, name="status")
    services.command(service.service_print, name="print")
    app.command(services)

    datasets = App(name="data", help="Datasets of this home.", group=own)
    datasets.command(data.data_add, name="add")
    datasets.command(data.data_list, name="list")
    datasets.command(inside.data_show, name="show")
    datasets.command(inside.data_map, name="map")
    datasets.command(inside.data_replace, name="replace")
    datasets.command(inside.data_remove, name="remove")
    app.command(datasets)
    policy = App(name="policy", help="What a dataset may be used for.", group=own)
    policy.command(data.policy_show, name="show")
    policy.command(data.policy_set, name="set")
    policy.command(data.policy_explain, name="explain")
    app.command(policy)
    app.command(data.privacy, group=own)
    card = App(name="card", help="Cards: what this home tells of its datasets.", group=own)
    card.command(cards.card_publish, name="publish")
    card.command(cards.card_list, name="list")
    card.command(cards.card_withdraw, name="withdraw")
    card.command(cards.card_search, name="search")
    app.command(card)
    app.command(jobs.train, group=own)
    app.command(jobs.leave, group=own)

    app.command(jobs.jobs, group=work)
    app.command(params.params, group=work)
    selling_one = App(name="offer", help="Sell a model's use: private predictions.", group=work)
    selling_one.default(selling.offer)
    selling_one.command(selling.offer_withdraw, name="withdraw")
    app.command(selling_one)
    on_sale = App(name="offers", help="Models on sale.", group=work)
    on_sale.default(selling.offers)
    on_sale.command(selling.offers_show, name="show")
    app.command(on_sale)
    app.command(selling.sales, group=work)
    app.command(selling.purchases, group=work)
    app.command(selling.redeem, group=work)
    app.command(selling.reclaim, group=work)
    encoder = App(
        name="encoder", help="Networks that make features of texts, images or numbers.", group=work
    )
    encoder.command(encoders.encoder_add, name="add")
    encoder.command(encoders.encoder_fetch, name="fetch")
    encoder.command(encoders.encoder_list, name="list")
    encoder.command(encoders.encoder_show, name="show")
    encoder.command(encoders.encoder_remove, name="remove")
    app.command(encoder)
    job = App(name="job", help="Check, post, show, follow, cancel and decline jobs.", group=work)
    job.command(new.job_new, name="new")
    job.command(check.job_check, name="check")
    job.command(jobs.job_post, name="post")
    job.command(jobs.job_show, name="show")
    job.command(jobs.job_watch, name="watch")
    job.command(jobs.job_cancel, name="cancel")
    job.command(jobs.job_decline, name="decline")
    app.command(job)
    model = App(name="model", help="Trained models.", group=work)
    model.command(jobs.model_get, name="get")
    app.command(model)
    app.command(predict.predict, group=work)
    app.command(jobs.claim, group=work)
    app.command(jobs.audit, group=work)
    app.command(demo.demo, group=work)

    app.command(chain.devnet, group=net)
    app.command(chain.deploy, group=net)
    return app


def run(tokens: Sequence[str], remember: list[Session]) -> int:
    """Run one command line; its exit code. The session is put into `remember` once it is known.

    Raises Failure for bad usage, and whatever the command raises.
    """
    app = build()
    codes: list[int] = []

    @app.meta.default
    def launch(
        *rest: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        home: Annotated[
            str | None,
            Parameter(help="The node's directory; default: $ASSAY_HOME, then the user's."),
        ] = None,
        json: Annotated[bool, Parameter(help="Print JSON, errors too.", negative=())] = False,
        debug: Annotated[bool, Parameter(help="Show a traceback on errors.", negative=())] = False,
    ) -> None:
        session = Session(home, json, debug)
        remember[:] = [session]
        command, bound, ignored = app.parse_args(rest, exit_on_error=False, print_error=False)
        extra = {"session": session} if "session" in ignored else {}
        codes.append(int(command(*bound.args, **bound.kwargs, **extra) or 0))

    try:
        app.meta(list(tokens), exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        path = " ".join(("assay", *(error.command_chain or ())))
        raise Failure(Exit.USAGE, _text(error), next_=f"{path} --help") from None
    return codes[0] if codes else Exit.OK


def _text(error: CycloptsError) -> str:
    return " ".join(str(error).split())


def _version() -> str:
    from node.version import VERSION  # late: reading the metadata takes 20 ms

    return f"assay {VERSION}"
