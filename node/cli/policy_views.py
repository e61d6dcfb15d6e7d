"""What a policy looks like to a person: its terms, and its rules held against a job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from node.console.amounts import short
from node.console.currency import named, pay
from node.console.show import Part, Table

if TYPE_CHECKING:
    from node.control import shapes
    from protocol.tokens import Tokens

    Value: TypeAlias = int | float | str | list[str] | None


def policy(p: shapes.Policy, tokens: Tokens | None = None) -> list[Part]:
    values = {t["name"]: t["value"] for t in p["terms"]}
    if "price_floor" in values:
        values["price_floor"] = _floor(values["price_floor"], values.get("token"), tokens)
    values["token"] = _token(values.get("token"), tokens)
    rows = [
        (t["name"], _value(values[t["name"]], t["name"]), t["allowed"], t["meaning"])
        for t in p["terms"]
    ]
    table = Table(("term", "value", "allowed", "meaning"), rows)
    if p["decided"]:
        return [table]
    return [table, f"not decided yet: {p['dataset']} takes no job until you set a term"]


def explained(found: Sequence[shapes.Explained], tokens: Tokens | None = None) -> list[Part]:
    """One table a dataset, and what it comes to."""
    if not found:
        return ["no dataset; add one: assay data add NAME FILE"]
    parts: list[Part] = []
    for e in found:
        values = {rule["rule"]: rule["value"] for rule in e["rules"]}
        rows = []
        for rule in e["rules"]:
            name, value = rule["rule"], rule["value"]
            if name == "price_floor":
                value = _floor(value, values.get("token"), tokens)
            elif name == "token":
                value = _token(value, tokens)
            shown = "-" if value is None else _value(value, name)
            rows.append((name, shown, rule["outcome"], rule["why"] or "-"))
        parts.append(Table(("rule", "value", "outcome", "why"), rows, title=e["dataset"]))
        parts.append(_explained(e))
    return parts


def _floor(value: Value, token: Value, tokens: Tokens | None) -> Value:
    """A price floor in its currency."""
    if value is None or token is None:
        return value
    return pay(str(value), str(token) if str(token).startswith("0x") else None, tokens)


def _token(value: Value, tokens: Tokens | None) -> Value:
    """A token by its name here."""
    if not isinstance(value, str) or not value.startswith("0x"):
        return value
    known = named(value, tokens)
    return value if known is None else f"{known.name} ({value})"


def _explained(e: shapes.Explained) -> str:
    name, job = e["dataset"], e["job"][:10]  # enough for the command that follows
    if e["taken"]:
        return f"{name} was taken for {job}; these are the rules of now"
    return {
        "passes": f"{name} takes {job}",
        "waits": f"{name} leaves {job} to you; next: assay train {job} --data {name}",
        "refused": f"{name} does not take {job}; next: assay policy show {name}",
        "impossible": f"{name} cannot serve {job}, whatever its policy",
    }[e["verdict"]]


def running_jobs(p: shapes.Policy) -> list[str]:
    """What a changed policy means for jobs that run already."""
    said = [
        f"warning: {short(job)} runs no further round: the budget does not hold it any more"
        for job in p["halted"]
    ]
    if p["running"]:
        jobs = ", ".join(short(job) for job in p["running"])
        said.append(
            f"running jobs keep known, known_least and max_unpaid as they were taken with: {jobs}"
        )
    return said


#: Terms whose list names what is allowed: an empty one allows all (protocol.policy.policy).
_ANY: Final = frozenset({"purposes", "requesters"})


def _value(value: object, name: str) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or ("any" if name in _ANY else "none")
    return str(value)
