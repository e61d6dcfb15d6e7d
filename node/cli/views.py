"""Each result as a person sees it. Results come as the JSON that the daemon sent.

Its types are for mypy: when a command runs, it imports none of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from node.cli import measure_views
from node.cli.money_views import rounded
from node.console.amounts import money, short, size, span
from node.console.currency import brief_pot, pay, pot
from node.console.show import Pairs, Part, Table
from node.console.standing import NO_NOISE, fit_of_rows, no_noise, state

if TYPE_CHECKING:
    from node.control import shapes
    from protocol.tokens import Tokens


def status(s: shapes.Status) -> list[Part]:
    chain = s["chain"]
    head = f"block {chain['head']}, {span(max(0.0, time.time() - chain['head_time']))} old"
    rows = [
        ("assay", f"{s['version']}, process {s['pid']}, up {span(time.time() - s['started_at'])}"),
        ("home", s["home"]),
        ("peer", s["peer_id"]),
        *_list("listens", s["addresses"]),
        ("peers", str(s["peers"])),
        ("chain", f"{chain['chain_id']} at {chain['url']}, {head}"),
        ("contract", chain["contract"]),
        ("account", s["account"]),
        *([("payout", s["payout"])] if s["payout"] != s["account"] else []),
        ("datasets", str(s["datasets"])),
        ("jobs", f"{s['jobs_running']} running, {s['jobs_waiting']} waiting for consent"),
        ("tasks", f"{s['tasks_queued']} queued"),
        ("traffic", f"{size(s['bytes_in'])} in, {size(s['bytes_out'])} out"),
        ("memory", size(s["resident_bytes"])),
        ("join", f"assay join '{s['join_line']}'"),
    ]
    closed = [("closed", s["closed"])] if s["closed"] else []
    return [Pairs([*rows, *closed, *_list("problem", s["problems"])])]


def _list(name: str, values: Sequence[str]) -> list[tuple[str, str]]:
    return [(name if i == 0 else "", value) for i, value in enumerate(values)]


def peers(found: Sequence[shapes.Peer]) -> list[Part]:
    rows = [
        (
            p["peer_id"],
            (p["addresses"] or ["?"])[0],
            "relay" if p["relayed"] else p["direction"],
            f"{round(p['score'], 1) + 0.0:.1f}",  # a little below zero is no "-0.0"
            str(p["rejected"]),
            span(time.time() - p["connected_at"]),
            p["agent"],
        )
        for p in found
    ]
    headings = ("peer", "address", "way", "score", "rejected", "since", "agent")
    empty = "no peer is connected; paste a line that another `assay up` printed: assay join LINE"
    return [Table(headings, rows, empty, right=frozenset({"score", "rejected"}))]


def datasets(found: Sequence[shapes.Dataset]) -> list[Part]:
    rows = [
        (
            d["name"],
            str(d["rows"]),
            str(d["column_count"]),
            size(d["bytes"]),
            _policy(d),
            str(d["jobs"]),
            _epsilon(d["epsilon_spent"]),
            d["path"],
        )
        for d in found
    ]
    headings = ("name", "rows", "columns", "size", "policy", "jobs", "epsilon spent", "path")
    right = frozenset({"rows", "columns", "size", "jobs", "epsilon spent"})
    empty = "no dataset; add one: assay data add NAME FILE"
    shared = [(d["name"], d["same"]) for d in found]
    return [Table(headings, rows, empty, right=right), *_shared(shared)]


def _shared(found: Iterable[tuple[str, Sequence[str]]]) -> list[str]:
    """A line for each budget that several datasets share."""
    groups = sorted({tuple(sorted((name, *same))) for name, same in found if same})
    return [f"one budget for {', '.join(each)}: rows of one are in another" for each in groups]


def _policy(d: shapes.Dataset) -> str:
    if d["holdout"]:
        return "hold-out: offered to no job"
    return "yes" if d["decided"] else f"none yet: assay policy set {d['name']}"


def _epsilon(value: float | None) -> str:
    return "no bound" if value is None else f"{value:.3g}"


def privacy(found: Sequence[shapes.Privacy]) -> list[Part]:
    """Budgets, then every job of every dataset."""
    budgets = [
        (
            p["dataset"],
            _epsilon(p["spent"]) + ("" if p["bounded"] else ", and jobs with no bound"),
            _epsilon(p["reserved"]),
            _epsilon(p["left"]),
            _epsilon(p["epsilon"]),
            f"{p['delta']:g}",
            f"{p['no_noise_joined']} of {p['no_noise_jobs']}",
        )
        for p in found
    ]
    headings = ("dataset", "spent", "reserved", "left", "epsilon", "delta", "joined without noise")
    empty = "no dataset; add one: assay data add NAME FILE"
    right = frozenset(headings[1:])
    jobs = [
        (
            p["dataset"],
            short(j["job"]),
            j["title"] or "-",
            str(j["charged"]),
            str(j["reserved"]),
            "-" if j["rate"] is None else f"{j['rate']:.3g}",
            "none" if j["multiplier"] is None else f"{j['multiplier']:g}",
            _epsilon(j["epsilon"]),
        )
        for p in found
        for j in p["jobs"]
    ]
    columns = ("dataset", "job", "title", "charged", "reserved", "sampled", "noise", "epsilon")
    parts: list[Part] = [Table(headings, budgets, empty, right=right)]
    if jobs:
        parts.append(Table(columns, jobs, "", "jobs, rounds of each", frozenset(columns[3:])))
    parts += _shared((p["dataset"], p["same"]) for p in found)
    if not all(p["bounded"] for p in found):
        parts.append(f"no bound: {NO_NOISE}")
    return parts


def dataset(d: shapes.Dataset) -> list[Part]:
    parts: list[Part] = [
        f"{d['name']}: {d['rows']} rows, {d['column_count']} columns, {size(d['bytes'])}",
        *(f"note: {note}" for note in d["notes"]),
    ]
    if d["same"]:
        names = ", ".join(d["same"])
        parts.append(
            f"note: it has rows of {names}: they share one privacy budget, and what one tells "
            "counts for all (assay privacy); of other people: --other-people"
        )
    if d["holdout"]:
        parts.append("it is a hold-out, and offered to no job")
    elif not d["decided"]:
        parts.append(f"it takes no job yet; next: assay policy show {d['name']}")
    return parts


def jobs(found: Sequence[shapes.JobSummary], tokens: Tokens | None = None) -> list[Part]:
    rows = [
        (
            short(j["job"]),
            j["title"],
            j["role"],
            state(j),
            f"{j['round']}/{j['rounds']}",
            str(j["enrolled"]),
            pay(j["rate"], j["token"], tokens),
            brief_pot(j["merit"], j["merit_by"], j["token"], tokens),
            j["dataset"] or "-",
            _reasons(j["reason"], "" if j["noisy"] else "no noise", *fit_of_rows(j["fits"])),
        )
        for j in found
    ]
    headings = ("job", "title", "role", "state", "round", "owners", "rate", "merit", "data", "why")
    right = frozenset({"round", "owners"})
    # What a row says in two words is said once, below: the same sentence stood in every row.
    warnings = dict.fromkeys(f"warning: {text}" for text in map(no_noise, found) if text)
    return [Table(headings, rows, "no job is known here", right=right), *warnings]


def _awaited(m: shapes.Money, token: str | None, tokens: Tokens | None) -> str:
    """What comes back to the requester, and when; empty where nothing does."""
    at = m["returns_at"]
    if at is None:
        return ""
    return f"{pay(m['awaited'], token, tokens)}, which the contract keeps until {_moment(at)}"


def _moment(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at))


def _reasons(*parts: str) -> str:
    """Each reason once, in their order; without those that are empty."""
    return "; ".join(dict.fromkeys(part for part in parts if part))


def job(d: shapes.JobDetail, tokens: Tokens | None = None) -> list[Part]:
    s, m = d["summary"], d["money"]
    measured = measure_views.columns(d["rounds"])
    token = s["token"]
    pairs = [
        ("job", s["job"]),
        ("title", s["title"]),
        ("role", s["role"]),
        ("state", state(s)),
        ("why", _reasons(s["reason"], no_noise(s), *fit_of_rows(s["fits"]))),
        ("requester", s["requester"]),
        ("model", "sealed: owners cannot read it" if s["sealed"] else "open: owners can read it"),
        ("declined", _declined(d)),
        ("round", f"{s['round']} of {s['rounds']}"),
        ("data", s["dataset"]),
        ("rate", pay(s["rate"], token, tokens)),
        ("merit", pot(s["merit"], s["merit_by"], token, tokens)),
        ("escrowed", pay(m["escrowed"], token, tokens)),
        ("earned", f"{pay(m['earned'], token, tokens)}, by all owners"),
        ("paid", f"{pay(m['paid'], token, tokens)}, to all owners"),
        ("returned", pay(m["returned"], token, tokens)),
        ("awaited", _awaited(m, token, tokens)),
        ("gas", f"{m['gas']:,}, which cost about {money(rounded(int(m['gas_cost'])))}"),
        ("traffic", f"{size(d['bytes_in'])} in, {size(d['bytes_out'])} out"),
        ("shares", f"released {d['releases']} times, to open sums" * (d["releases"] > 0)),
        ("epsilon", _epsilon(d["epsilon_spent"]) if s["role"] == "owner" else ""),
        ("seconds", seconds(d["seconds"])),
        ("digest", d["spec_digest"]),
    ]
    rounds = Table(
        ("round", "attempt", "phase", "owners", "blocks", *measured, "gas", "size", "seconds"),
        [
            (
                str(r["number"]),
                str(r["attempt"]),
                _where(r),
                str(r["contributors"]),
                _blocks(r),
                *measure_views.cells(r, measured),
                str(r["gas"]),
                size(r["bytes"]),
                seconds(r["seconds"]),
            )
            for r in d["rounds"]
        ],
        "no round yet",
        "rounds",
        frozenset({"round", "attempt", "owners", *measured, "gas", "size"}),
    )
    members = Table(
        ("account", "block", "now", "contributions", "size", "rate", "merit", "claimed"),
        [
            (
                o["account"],
                "-" if o["block"] is None else str(o["block"]),
                _standing(o),
                str(o["contributions"]),
                size(o["bytes"]),
                pay(o["rate"], token, tokens),
                pay(o["merit"], token, tokens),
                pay(o["claimed"], token, tokens),
            )
            for o in d["members"]
        ],
        "nobody is enrolled yet",
        "owners",
        frozenset({"block", "contributions", "size"}),
    )
    recalls = measure_views.recalls(d["rounds"])
    return [Pairs([row for row in pairs if row[1]]), rounds, *recalls, members]


def _declined(d: shapes.JobDetail) -> str:
    """What owners that explain themselves say of their policies."""
    if not d["declined"]:
        return ""
    told = ", ".join(f"{each['why']} ({each['owners']})" for each in d["declined"])
    return f"by {d['decliners']} owners, in their own words: {told}"


def _where(r: shapes.Round) -> str:
    """A round's phase, and how many have done what it waits for."""
    if r["phase"] == "ready" and r["ready"] is not None:
        return f"ready ({r['ready']})"
    if r["phase"] == "unmask" and r["released"] is not None:
        return f"unmask ({r['released']} of {r['contributors']} released)"
    return str(r["phase"])


def _blocks(r: shapes.Round) -> str:
    """Blocks that go on; a closed one is paid, and is not in the model."""
    count = "-" if r["blocks"] is None else str(r["blocks"])
    return f"{count}, {r['closed']} closed" if r["closed"] else count


def _standing(o: shapes.Member) -> str:
    part = "enrolled, no block yet" if o["part"] == "enrolled" else o["part"]
    refusal = f"refused: {o['refusal']}" if part == "refused" and o["refusal"] else part
    owes = ""
    if o["cheated"] is not None:
        owes = f"proved no norm in round {o['cheated']}: out for good (no merit)"
    elif o["owes"] is not None:
        owes = f"owes shares of round {o['owes']} (no merit until they come)"
    elif o["withheld"]:
        owes = "gave no shares that open its block (no merit)"
    return "; ".join(each for each in (refusal, owes) if each)


def seconds(phases: Mapping[str, float]) -> str:
    """Phases with their seconds, in order."""
    return ", ".join(f"{name} {value:.1f}" for name, value in phases.items())


def event(e: shapes.Event) -> str:
    """One event, one line."""
    clock = time.strftime("%H:%M:%S", time.localtime(e["time"]))
    measured = measure_views.event_text(e["facts"])
    return f"{clock}  {e['kind']:<16}  {e['text']}{measured}"


def cancelled(c: shapes.Cancelled) -> list[Part]:
    """What was done, and what follows."""
    job, closes = c["job"], c["effective"]
    already = " already" if c["already"] else ""
    if closes is not None:
        said = f"is cancelled{already}"
        left = closes - time.time()
        clock = _moment(closes)
        when = f"at {clock}, in {span(left)}" if left > 0 else f"at {clock}, which has passed"
    else:
        said = f"is being cancelled{already}; it is {c['state']} until the chain has that"
        when = f"{span(c['notice'])} after the block that holds the cancellation"
    return [
        f"{job} {said}",
        *([f"the transaction waits: {c['problem']}"] if c["problem"] else []),
        *([f"transaction {c['transaction']}"] if c["transaction"] else []),
        f"the contract closes it {when}",
        "contributions that are committed by then stay paid, with an equal share of merit each",
        "after the closing this daemon pays everybody, and the rest comes back: keep it up",
        f"next: assay job show {job}" if closes is not None else f"next: assay job watch {job}",
    ]


def audit(a: shapes.Audit) -> list[Part]:
    rows = [("ok" if c["ok"] else "FAULT", c["name"], c["detail"]) for c in a["checks"]]
    faults = sum(not c["ok"] for c in a["checks"])
    verdict = "no fault found" if a["ok"] else f"{faults} of {len(a['checks'])} checks failed"
    return [Table(("", "check", "found"), rows, "nothing was checked"), verdict]
