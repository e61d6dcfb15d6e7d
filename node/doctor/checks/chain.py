"""Checks of the chain, through every chain node of the settings."""

from __future__ import annotations

from typing import Final

from node.chain.endpoints.standing import LAG_BLOCKS
from node.chain.watch import EARLY_HEAD_SECONDS, OLD_HEAD_SECONDS
from node.console.amounts import span
from node.doctor.checks.blanks import blank
from node.doctor.findings import Finding, count, failure, not_asked, ok, warning
from node.doctor.seen import Blank, ChainSeen, EndpointSeen, Seen
from protocol.amounts import format_about

GWEI: Final = 10**9
#: A claim and a commitment take less; below this an account pays for next to nothing.
GAS: Final = 200_000

_CHANNEL: Final = "set chain.channel_contract to your network's, or take it out of config.toml"
_URL: Final = "set chain.url in config.toml to a node of the chain"


def _serving(seen: Seen, what: str) -> tuple[EndpointSeen, ...] | Finding:
    """The chain nodes that answer; not asked without any, since `reached` tells why."""
    if isinstance(seen.chain, Blank):
        return not_asked(
            f"{what}: {seen.chain.why}" if not seen.chain.asked else f"{what}: no chain"
        )
    return seen.chain.serving or not_asked(f"{what}: no chain node answers")


def reached(seen: Seen) -> Finding:
    """Every chain node answers."""
    found = seen.chain
    if isinstance(found, Blank):
        return blank("the chain", found, _URL)
    silent = [each for each in found.endpoints if each.why]
    if not found.serving:
        return failure(silent[0].why if silent else "the settings name no chain node", _URL)
    agree = 1 if isinstance(seen.config, Blank) else seen.config.agree
    if len(found.serving) < agree:
        answer = count(len(found.serving), "chain node", "answers", "answer")
        text = f"{answer}, and chain.agree wants {agree}; {silent[0].why}"
        return failure(text, "name another in chain.urls")
    if silent:
        return warning(silent[0].why, "look at it, or take it out of config.toml")
    shown = ", ".join(each.url for each in found.serving)
    return ok(f"{count(len(found.serving), 'chain node', 'answers', 'answer')}: {shown}")


def chain_id(seen: Seen) -> Finding:
    """All serve the chain of the settings."""
    found = _serving(seen, "the chain's id")
    if isinstance(found, Finding) or isinstance(seen.config, Blank):
        return found if isinstance(found, Finding) else not_asked("the chain's id: no settings")
    wanted = seen.config.chain_id
    if wanted is None:
        return not_asked("the chain's id: chain.id is not set", "assay join LINE")
    for each in found:
        if each.chain_id is not None and each.chain_id != wanted:
            text = f"{each.url} serves chain {each.chain_id}, and chain.id is {wanted}"
            return failure(text, f"{_URL} {wanted}")
    return ok(f"chain {wanted}")


def contract(seen: Seen) -> Finding:
    """The contracts' code is this assay's."""
    found = _serving(seen, "the contract")
    if isinstance(found, Finding):
        return found
    asked = [each for each in found if each.code is not None]
    if not asked:
        return not_asked("the contract: no address, or another chain")
    for each in asked:
        if each.code == "none":
            text = f"{each.url} has no contract at chain.contract"
            return failure(f"{text}: it is wrong, or the chain was begun anew", "assay join LINE")
        if each.code == "other":
            text = f"{each.url}: the code at chain.contract is not this assay's contract"
            return failure(text, "join a network of this version: assay --home OTHER init LINE")
    for each in found:
        if each.channel == "none":
            text = f"{each.url} has no contract at chain.channel_contract"
            return failure(f"{text}: it is wrong, or the chain was begun anew", _CHANNEL)
        if each.channel == "other":
            text = f"{each.url}: the code at chain.channel_contract is not this assay's"
            return failure(f"{text}: no channel opens there", _CHANNEL)
    both = any(each.channel == "right" for each in found)
    whose = "the code of both contracts" if both else "the contract's code"
    return ok(f"{whose} is the one that this assay was built with")


def head(seen: Seen) -> Finding:
    """The chain goes on: its newest block is new."""
    found = _serving(seen, "the newest block")
    if isinstance(found, Finding) or isinstance(seen.machine, Blank):
        return found if isinstance(found, Finding) else not_asked("the newest block: no clock")
    newest = max(found, key=lambda each: each.head or 0)
    age = seen.machine.now - newest.head_time
    if age > OLD_HEAD_SECONDS:
        text = f"the newest block, {newest.head}, is {span(age)} old: the chain stands still"
        return failure(
            f"{text}, its node lags, or the clock is fast",
            "look at the chain node; a development chain must make blocks by itself",
        )
    early = "" if age >= -EARLY_HEAD_SECONDS else ", in the future"
    return ok(f"the newest block is {newest.head}, {span(abs(age))} old{early}")


def finality(seen: Seen) -> Finding:
    """Blocks on top of an event before the node acts on it."""
    if isinstance(seen.config, Blank):
        return not_asked("finality: no settings")
    depth = seen.config.finality
    found = _serving(seen, "finality")
    told = "" if isinstance(found, Finding) else _finalized(found)
    if depth == 0:
        text = "chain.finality is 0: the node acts on blocks that may still vanish"
        return warning(f"{text}{told}", "set chain.finality = 2, or more, in config.toml")
    if isinstance(found, Finding):
        return found
    newest = max(each.head or 0 for each in found)
    if newest < depth:
        text = f"the chain has {count(newest, 'block')}, and chain.finality is {depth}"
        return warning(f"{text}: nothing is final yet", "wait for blocks")
    return ok(f"an event counts after {count(depth, 'block')} more{told}")


def _finalized(found: tuple[EndpointSeen, ...]) -> str:
    for each in found:
        if each.finalized is not None and each.head is not None and each.finalized < each.head:
            return f"; the chain's own final block is {each.head - each.finalized} back"
    return ""


def lag(seen: Seen) -> Finding:
    """Several chain nodes show the same chain."""
    found = _serving(seen, "lag between chain nodes")
    if isinstance(found, Finding) or not isinstance(seen.chain, ChainSeen):
        return found if isinstance(found, Finding) else not_asked("lag: no chain")
    if len(found) < 2:
        text = "lag between chain nodes: one alone answers, so there is nothing to compare"
        return not_asked(text, "name others in chain.urls")
    furthest = max(found, key=lambda each: each.head or 0)
    slowest = min(found, key=lambda each: each.head or 0)
    hashes = {each.common: each for each in found if each.common}
    if len(hashes) > 1:
        one, other = list(hashes.values())[:2]
        text = f"{one.url} and {other.url} contradict each other about block {seen.chain.common}"
        return failure(
            f"{text}: one serves another chain, or lies", "look at both; keep the right one"
        )
    behind = (furthest.head or 0) - (slowest.head or 0)
    if behind >= LAG_BLOCKS:
        text = f"{slowest.url} is {behind} blocks behind {furthest.url}"
        return warning(text, "put the one that lags last in config.toml")
    return ok(f"{count(len(found), 'chain node')} are at most {count(behind, 'block')} apart")


def events(seen: Seen) -> Finding:
    """Chain nodes show the contract's events."""
    found = _serving(seen, "events")
    if isinstance(found, Finding):
        return found
    asked = [each for each in found if each.logs is not None]
    if not asked:
        return not_asked("events: no contract is set")
    for each in asked:
        if each.logs:
            return failure(each.logs, "take a chain node that answers eth_getLogs")
    return ok("the contract's events are shown")


def fees(seen: Seen) -> Finding:
    """Gas costs less than the settings allow."""
    found = _serving(seen, "fees")
    if isinstance(found, Finding) or isinstance(seen.config, Blank):
        return found if isinstance(found, Finding) else not_asked("fees: no settings")
    asked = [each for each in found if each.fee is not None]
    if not asked:
        return failure("no chain node says what gas costs", "take a chain node that does")
    first, limit = asked[0], seen.config.max_fee_gwei
    fee = first.fee or 0
    text = f"gas costs {fee / GWEI:.6g} gwei, and chain.max_fee_gwei allows {limit}"
    if fee >= limit * GWEI:
        return failure(f"{text}: transactions wait", "wait, or raise chain.max_fee_gwei")
    return ok(text)


def balance(seen: Seen) -> Finding:
    """The account can pay for a transaction."""
    found = _serving(seen, "the balance")
    if isinstance(found, Finding):
        return found
    asked = [each for each in found if each.balance is not None]
    if not asked:
        return not_asked("the balance: the account is not known, or no node tells it")
    first = asked[0]
    held, price = first.balance or 0, GAS * ((first.fee or 0) + first.tip)
    text = f"the account holds {format_about(held)}"
    if held < price or not held:
        most = f", and a transaction may cost {format_about(price, up=True)}" if price else ""
        return warning(
            f"{text}{most}: it can send none, which an owner of data need not",
            "to post, claim or send money: send ether to the account (assay account)",
        )
    return ok(text)
