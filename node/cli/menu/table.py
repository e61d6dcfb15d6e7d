"""Every command: its word, and the function that runs it, in the sections of the first page.

What a command says of itself there is the first paragraph of its function's docstring, which
scripts/menu copies into `sentences`. A family says its sentence here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

HELP: Final = """Train models on private data where it lies, for pay, with nobody in the middle.

Start: `assay init`, `assay up`, then paste the line that it prints into another's `assay join`.
An owner adds data (`data add`) and says what it may be used for (`policy set`); a requester posts
a job (`job post`) and follows it (`job watch`). `assay demo` shows all of it on this machine.

Exit codes: 0 done, 1 a defect, 2 bad usage or input, 3 no daemon, 4 chain, 5 peer or network,
6 refused by state or policy, 7 a fault was found, 130 interrupted.
"""


class Command(NamedTuple):
    """A word, and its function as `module:name` below node.cli.commands."""

    name: str
    function: str


class Family(NamedTuple):
    """A word with commands below it; `function` runs where none of them is named, if any does."""

    name: str
    sentence: str
    commands: tuple[Command, ...]
    function: str = ""


class Section(NamedTuple):
    """Commands that the first page shows in one frame."""

    title: str
    entries: tuple[Command | Family, ...]


class Option(NamedTuple):
    """A global option as the first page shows it."""

    name: str
    sentence: str


HOME: Final = Option("--home STR", "The node's directory; default: $ASSAY_HOME, then the user's.")
JSON: Final = Option("--json", "Print JSON, errors too.")
DEBUG: Final = Option("--debug", "Show a traceback on errors.")
#: The last two are the parser's own.
OPTIONS: Final = (
    HOME,
    JSON,
    DEBUG,
    Option("--help -h", "Display this message and exit."),
    Option("--version", "Display application version."),
)

SECTIONS: Final = (
    Section(
        "Node",
        (
            Command("init", "lifecycle:init"),
            Command("up", "lifecycle:up"),
            Command("down", "lifecycle:down"),
            Command("status", "lifecycle:status"),
            Command("pause", "lifecycle:pause"),
            Command("resume", "lifecycle:resume"),
            Command("web", "health.web:web"),
            Command("peers", "swarm:peers"),
            Command("join", "swarm:join"),
            Command("account", "account:account"),
            Command("doctor", "health.doctor:doctor"),
            Command("logs", "health.logs:logs"),
            Command("events", "health.events:events"),
            Command("metrics", "health.metrics:metrics"),
            Command("traces", "health.traces:traces"),
            Command("notify", "health.notify:notify"),
            Family(
                "token",
                "ERC-20 tokens that are called by name here.",
                (
                    Command("add", "money.token:token_add"),
                    Command("list", "money.token:token_list"),
                    Command("remove", "money.token:token_remove"),
                    Command("revoke", "money.send:token_revoke"),
                ),
            ),
            Command("send", "money.send:send"),
            Command("rpc", "rpc:rpc"),
            Family(
                "keys",
                "Back up and restore this home's keys.",
                (
                    Command("backup", "account:backup"),
                    Command("restore", "account:restore"),
                ),
            ),
            Family(
                "config",
                "Settings of this home.",
                (Command("show", "health.config:config_show"),),
            ),
            Command("completion", "health.config:completion"),
            Family(
                "service",
                "Run the daemon as a service of yours.",
                (
                    Command("install", "health.service:service_install"),
                    Command("uninstall", "health.service:service_uninstall"),
                    Command("status", "health.service:service_status"),
                    Command("print", "health.service:service_print"),
                ),
            ),
        ),
    ),
    Section(
        "Owner",
        (
            Command("earnings", "money.earnings:earnings"),
            Command("receipts", "money.earnings:receipts"),
            Family(
                "data",
                "Datasets of this home.",
                (
                    Command("add", "data:data_add"),
                    Command("list", "data:data_list"),
                    Command("show", "datasets:data_show"),
                    Command("map", "datasets:data_map"),
                    Command("replace", "datasets:data_replace"),
                    Command("remove", "datasets:data_remove"),
                ),
            ),
            Family(
                "policy",
                "What a dataset may be used for.",
                (
                    Command("show", "data:policy_show"),
                    Command("set", "data:policy_set"),
                    Command("explain", "data:policy_explain"),
                ),
            ),
            Command("privacy", "data:privacy"),
            Family(
                "card",
                "Cards: what this home tells of its datasets.",
                (
                    Command("publish", "cards:card_publish"),
                    Command("list", "cards:card_list"),
                    Command("withdraw", "cards:card_withdraw"),
                    Command("search", "cards:card_search"),
                ),
            ),
            Command("train", "jobs:train"),
            Command("leave", "jobs:leave"),
        ),
    ),
    Section(
        "Jobs",
        (
            Command("jobs", "jobs:jobs"),
            Command("params", "params:params"),
            Family(
                "offer",
                "Sell a model's use: private predictions.",
                (Command("withdraw", "sale.selling:offer_withdraw"),),
                "sale.selling:offer",
            ),
            Family(
                "offers",
                "Models on sale.",
                (Command("show", "sale.selling:offers_show"),),
                "sale.selling:offers",
            ),
            Command("sales", "sale.selling:sales"),
            Command("purchases", "sale.selling:purchases"),
            Command("redeem", "sale.selling:redeem"),
            Command("reclaim", "sale.selling:reclaim"),
            Family(
                "encoder",
                "Networks that make features of texts, images or numbers.",
                (
                    Command("add", "requester.encoders:encoder_add"),
                    Command("fetch", "requester.encoders:encoder_fetch"),
                    Command("list", "requester.encoders:encoder_list"),
                    Command("show", "requester.encoders:encoder_show"),
                    Command("remove", "requester.encoders:encoder_remove"),
                ),
            ),
            Family(
                "job",
                "Check, post, show, follow, cancel and decline jobs.",
                (
                    Command("new", "requester.new:job_new"),
                    Command("check", "check:job_check"),
                    Command("post", "jobs:job_post"),
                    Command("show", "jobs:job_show"),
                    Command("watch", "jobs:job_watch"),
                    Command("cancel", "jobs:job_cancel"),
                    Command("decline", "jobs:job_decline"),
                ),
            ),
            Family(
                "model",
                "Trained models.",
                (Command("get", "jobs:model_get"),),
            ),
            Command("predict", "requester.predict:predict"),
            Command("claim", "jobs:claim"),
            Command("audit", "jobs:audit"),
            Command("demo", "demo:demo"),
        ),
    ),
    Section(
        "Chain",
        (
            Command("devnet", "chain:devnet"),
            Command("deploy", "chain:deploy"),
        ),
    ),
)
