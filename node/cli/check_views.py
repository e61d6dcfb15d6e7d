"""`assay job check` for people: a spec's problems, or the job's costs and its protection.

The tables show the JSON that the command made (node.cli.commands.check).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from node.cli import sealed_views
from node.cli.money_views import PUBLISHES, SUMS_ALONE, holds, rounded
from node.cli.sealed_views import Result
from node.console.amounts import brief, money, size, span
from node.console.currency import pay
from node.console.show import Part, Table
from node.control.codes import SHARED

if TYPE_CHECKING:
    from protocol.tokens import Tokens

#: How many columns of one rule are named.
_NAMES: Final = 6

_Rows = list[tuple[str, str, str]]


def problems(found: Sequence[Result]) -> list[Part]:
    """What is wrong with a spec's file."""
    rows = [(p["field"] or "the file", p["message"]) for p in found]
    return [Table(("field", "problem"), rows), _count(len(rows), "problem")]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def estimate(c: Result, tokens: Tokens | None = None) -> list[Part]:
    """What a job would cost and do. Bytes and seconds are of one round, money of the whole job."""
    e, token, rounds, sealed = c["estimate"], c["token"], c["rounds"], c["sealed_model"]
    owners = str(c["max_owners"])
    if c["min_owners"] != c["max_owners"]:
        owners = f"{c['min_owners']} to {owners}"
    blocks = "1 block" if e["blocks"] == 1 else f"at most {e['blocks']} blocks"
    longest = max(e["shortest_seconds"], e["longest_seconds"])
    way = _way(e["inline"])
    bounty = (
        f"{_count(rounds, 'round')} x {c['max_owners']} owners x {pay(c['rate'], token, tokens)}"
    )
    merit = "" if c["merit"] == "0" else f" + {pay(c['merit'], token, tokens)} merit"
    rows = [
        ("job", c["title"], f"{c['family']}, {_count(rounds, 'round')}, for {c['purpose']}"),
        ("owners", owners, f"{blocks} of at most {e['largest_block']}"),
        (
            "parameters",
            str(e["parameters"]),
            _shape(c),
        ),
        *([] if sealed is None else [sealed_views.model_row(sealed)]),
        *_lanes(c),
        (
            "bytes per parameter",
            f"{e['bytes_per_parameter']:.2f}",
            f"{c['envelope']}, {e['ciphertext_expansion']:.2f} x float64",
        ),
        (
            "contribution",
            size(e["contribution_bytes"]),
            f"of all parameters; travels {way}",
        ),
        *_messages(e),
        (
            "an owner's traffic",
            f"{size(e['owner_in'])} in, {size(e['owner_out'])} out",
            "a round: model, roster, list in; contribution, Ready, Release out",
        ),
        (
            "the requester's traffic",
            f"{size(e['requester_in'])} in, {size(e['requester_out'])} out",
            f"a round: all of that of {c['max_owners']} owners, if each fetches from it alone",
        ),
        *(_computing(e) if sealed is None else []),
        (
            "duration",
            f"{span(e['shortest_seconds'])} to {span(longest)}",
            f"a block every {c['block_seconds']:g} s; expires after {span(c['lifetime_seconds'])}",
        ),
        ("escrow", pay(e["escrow"], token, tokens), bounty + merit),
        (
            "an owner earns",
            pay(e["owner_earns"], token, tokens),
            "in all rounds" + (", and its share of merit" if merit else ""),
        ),
        *_merit(c, tokens),
        *_gas(c, tokens),
        *_cards(c),
    ]
    problem = (c["quote"] or {}).get("problem")
    warnings = [f"warning: {text}" for text in (*c["warnings"], *([problem] if problem else []))]
    protects = Table(("what", "value", "how"), _protection(c), title="what protects an owner")
    more = [_envelopes(c)] if sealed is None else sealed_views.parts(c)
    return [Table(("what", "value", "how"), rows), _gaps(c), protects, *more, "", *warnings]


def _gaps(c: Result) -> Table:
    """What becomes of empty cells, and of words that stand for them."""
    rows = []
    for rule in c["gaps"]:
        names, words = rule["columns"], ["an empty cell", *map(repr, rule["words"])]
        shown = ", ".join(names[:_NAMES]) + (
            f" and {len(names) - _NAMES} more" * (len(names) > _NAMES)
        )
        rows.append((shown, ", ".join(words), _becomes(rule, noisy=c["noisy"])))
    return Table(("column", "a gap is", "and becomes"), rows, title="what becomes of gaps")


def _becomes(rule: Result, *, noisy: bool) -> str:
    if rule["filled"]:
        value = rule["missing"]
        filled = value if isinstance(value, str) else f"{value:g}"
        return f"{filled}, and one more input says that it was a gap" * rule["indicator"] or filled
    if noisy:
        return f"{rule['missing']}: its row adds zeros, and is counted like any other"
    if rule["missing"] == "drop-row":
        return "drop-row: its row is left out"
    return "refuse: a data set with one cannot take part"


def _gas(c: Result, tokens: Tokens | None) -> _Rows:
    """What the requester's transactions use, and cost at what is offered now.

    A daemon knows whether posting takes an approval or a permit, and by what everybody is paid.
    """
    g, quote = c["gas"], c["quote"]
    approve, post, total = g["approve"], g["post"], g["all"]
    if quote is not None:
        approve = approve if quote["approves"] else 0
        post, total = quote["gas"] - approve, quote["gas_job"]
    paid = total - approve - post - g["enrol"] - g["commit"] - g["finish"]
    by = "pay all" if g["pay"] == paid else "claim for all"
    how = (
        f"approve {approve:,}, " * bool(approve) + f"post {post:,}, enrol {g['enrol']:,}, "
        f"commit {g['commit']:,}, finish {g['finish']:,}, {by} {paid:,}"
    )
    rows = [("the requester's gas", f"about {total:,}", how)]
    if quote is not None and int(quote["fee"]):
        fee = int(quote["fee"])
        most = f"at most {money(rounded(total * fee))}"
        rows.append(("gas costs", most, f"at {fee / 10**9:.6g} gwei, the most that is offered now"))
    if quote is not None and quote["balance"] is not None:
        held = holds(quote["balance"], quote["token"], tokens)
        allowed = int(quote["allowance"])
        may = f"; the contract may take {pay(str(allowed), quote['token'], tokens)} of it"
        rows.append(("the account holds", held, "for the escrow" + may * bool(allowed)))
    return rows


def _cards(c: Result) -> _Rows:
    """Known cards that meet the spec; nothing where no daemon could tell."""
    met = c["cards"]
    if met is None:
        return []
    how = (
        f"of {met['known']} known: {met['columns']} have the columns, {met['purpose']} of them "
        f"allow the purpose, {met['price']} of them take the rate"
    )
    return [("cards that meet it", str(met["price"]), how)]


def _shape(c: Result) -> str:
    """What the parameters are of."""
    e = c["estimate"]
    outputs = _count(e["outputs"], "output")
    if c["sealed_model"] is None:
        return f"{_count(e['inputs'], 'input')}, {outputs}"
    kind = c["sealed_model"]["layout"]["map"]
    by = "" if kind == "none" else f" by a {kind} map"
    features = _count(e["features"], "feature")
    return f"{features} x {outputs}, of {_count(e['inputs'], 'input')}{by}"


def _computing(e: Result) -> _Rows:
    """An open job's; of a sealed one, seconds are measured."""
    return [
        (
            "an owner computes",
            brief(e["contribute_seconds"]),
            "a round, about: trains, masks, encrypts",
        ),
        (
            "the requester computes",
            brief(e["apply_seconds"]),
            "a round, about: adds, unmasks, decrypts",
        ),
    ]


def _lanes(c: Result) -> _Rows:
    """How values share a ciphertext; masked words share nothing."""
    e = c["estimate"]
    if c["envelope"] != "paillier":
        return []
    block, width = e["largest_block"], e["lane_bits"]
    return [
        (
            "lanes",
            str(e["lanes"]),
            f"values in a ciphertext of a {c['key_bits']}-bit key; {width} bits each",
        ),
        (
            "headroom left",
            str(e["headroom"] - block),
            f"batches that may still be added to a block of {block} before a lane could overflow",
        ),
    ]


def _way(inline: bool) -> str:
    return "inside its gossip message" if inline else "by digest, over streams"


def _messages(e: Result) -> _Rows:
    """The private messages and lists of a round's secure aggregation."""
    block = e["largest_block"]
    return [
        ("Ready", size(e["ready_bytes"]), f"an owner's secrets, shared among a block of {block}"),
        ("roster", size(e["roster_bytes"]), "a block's list of these, to each of its members"),
        ("Release", size(e["release_bytes"]), "an owner's shares, once pay for the round is final"),
        ("commitment's list", size(e["list_bytes"]), "who contributed, to each owner"),
    ]


def _merit(c: Result, tokens: Tokens | None) -> list[tuple[str, str, str]]:
    """What shares the pot, and what that publishes."""
    if c["merit"] == "0":
        return []
    rows = [("merit", pay(c["merit"], c["token"], tokens), SHARED[c["merit_by"]])]
    if c["merit_by"] != "worth":
        return rows
    return [*rows, ("", "", PUBLISHES), *([] if c["noisy"] else [("", "", SUMS_ALONE)])]


def _protection(c: Result) -> _Rows:
    """Masks within a round, noise over rounds, and what each of them allows."""
    e = c["estimate"]
    rows = [_threshold(c, c["block_size"], e["threshold"])]
    if e["largest_block"] != c["block_size"]:
        rows.append(_threshold(c, e["largest_block"], e["largest_threshold"]))
    rows.append(
        ("corrupt", str(c["corrupt"]), "members of a block that may work for the requester")
    )
    if c["envelope"] == "shares":
        rows += _proofs(c)
    if not c["noisy"]:
        nothing = "over rounds nothing protects an owner: dropouts and shuffled blocks are refused"
        if c["sealed"]:
            nothing = "the spy defence is off: crafted weights read an owner's rows, round by round"
        return [
            *rows,
            ("noise", "none", nothing),
            ("blocks", "fixed, whole", "the same in all rounds; each counts whole or not at all"),
            ("dropouts", "0", "one member that stays away costs its block the attempt"),
        ]
    noise = f"epsilon {c['epsilon']:g}, delta {c['delta']:g}"
    dropouts = (
        "a block goes on without so many; an owner's own noise covers what sums then differ by"
    )
    if not c["dropouts"]:
        dropouts = "a block counts whole; with noise, privacy.dropouts may allow more"
    shuffled = "drawn anew each round: worth is measured for each owner"
    fixed = "the same in all rounds; with noise, cohort.shuffle may draw them anew"
    return [
        *rows,
        ("noise", noise, f"each owner's own, over all {_count(c['rounds'], 'round')} together"),
        _multiplier(c),
        ("blocks", "shuffled" if c["shuffle"] else "fixed", shuffled if c["shuffle"] else fixed),
        ("dropouts", str(c["dropouts"]), dropouts),
    ]


def _proofs(c: Result) -> _Rows:
    """What proofs stop, and what they rest on."""
    e, corrupt = c["estimate"], c["corrupt"]
    needed = e["threshold"] + 2 * corrupt
    liars = "corrupt = 0 trusts every member: one liar can leave others undecided"
    if corrupt:
        firm = "they can close no block either"
        if c["block_size"] - c["dropouts"] < needed + corrupt**2:
            firm = f"they can close it, paid: {needed + corrupt**2} that stay would prevent that"
        liars = f"{needed} that stay correct {_count(corrupt, 'liar')}; {firm}"
    part = c["proof"].partition("/")[2]
    bound = f"1/{part} of clip_norm" if part else "clip_norm"
    within = "nothing within that is stopped"
    if not part and not c["noisy"]:
        within += '; honest ones are often a hundredth of it: proof = "norm/128" stops more'
    return [
        ("proof", c["proof"], f"whose contribution is longer than {bound} is named, and not paid"),
        ("", "", within),
        ("", "", f"{e['threshold']} members that collude read the others, without the requester"),
        ("liars", str(corrupt), liars),
    ]


def _multiplier(c: Result) -> tuple[str, str, str]:
    what = "the noise's deviation over the most that one record adds to"
    if c["sealed"]:
        drawn = "its statistics, drawn once: replies of all rounds are made of them"
        return "noise multiplier", f"{c['noise_multiplier']:.3g}", f"{what} {drawn}"
    less = "a gradient; less where a step samples few of an owner's rows"
    return "noise multiplier", f"at most {c['noise_multiplier']:.3g}", f"{what} {less}"


def _threshold(c: Result, members: int, shares: int) -> tuple[str, str, str]:
    """t of n, with both inequalities of docs/design.md, section 5, in numbers."""
    dropouts, corrupt = c["dropouts"], c["corrupt"]
    return (
        "threshold",
        f"{shares} of {members}",
        f"shares open a block's sum; 2 x {shares} > {members} + {corrupt}: never two sums of it;"
        f" {shares} <= {members} - {dropouts} - {corrupt}: always one",
    )


def _envelopes(c: Result) -> Table:
    """One contribution in each envelope."""
    rows = [
        (
            each["envelope"] + (" (this job)" if each["envelope"] == c["envelope"] else ""),
            size(each["contribution_bytes"]),
            _made_of(each),
            _way(each["inline"]),
            brief(each["contribute_seconds"]),
            brief(each["apply_seconds"]),
        )
        for each in c["estimate"]["envelopes"]
    ]
    headings = ("envelope", "contribution", "made of", "travels", "an owner", "the requester")
    return Table(headings, rows, title="the same contribution in each envelope")


def _made_of(each: Result) -> str:
    if each["ciphertexts"]:
        return _count(each["ciphertexts"], "ciphertext")
    return "shares and proof" if each["envelope"] == "shares" else "masked words"
