"""For whom a running round waits, and until when, in words for its requester."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

from node.engine.engine import Machine
from protocol.books.enrolment import Cohort
from protocol.machines.round import Phase
from protocol.requester.state import RequesterProof, RequesterRound, RequesterState
from protocol.wire import identity

#: So many members are named; of more it is said how many they are.
_NAMED: Final = 3


def awaited(machine: Machine) -> str:
    """What has come in the present attempt and who is missing; empty where nobody is waited for.

    An owner that is gone for good shows here long before its round's deadline.
    """
    state, cohort = machine.state, machine.context.cohort
    if not isinstance(state, RequesterState) or state.round is None or cohort is None:
        return ""
    now = state.round
    # The opening asks the members of these groups; later ones have no blocks yet.
    asked = sum(group.count for group in state.groups[: state.adopted])
    all_of, there, what, until = _stage(now, range(asked), state.proof)
    missing = sorted(all_of - there)
    if not missing:
        return ""
    place = f"round {now.number}, attempt {now.attempt}"
    return (
        f"{place}: {len(all_of & there)} of {len(all_of)} {what}; it waits for "
        f"{_names(cohort, missing)} until {moment(until // 1000)} at the latest"
    )


def _stage(
    now: RequesterRound, cohort: Iterable[int], proof: RequesterProof | None
) -> tuple[set[int], set[int], str, int]:
    """(members asked, members heard, what of them, Unix milliseconds of the deadline)."""
    if now.phase in (Phase.OPEN, Phase.READY):
        ready = {each.member for each in now.ready}
        asked = set(cohort) - set(now.refused)
        return asked, ready, "members are ready", now.opening.ready_until
    if now.phase in (Phase.FREEZE, Phase.CONTRIBUTE):
        rostered = {member for roster in now.rosters for member in roster.members}
        here = {each.member for each in now.contributions if not each.bad}
        said = set(now.refused) | {each.member for each in now.contributions if each.bad}
        asked = rostered - said
        return asked, here, "contributions are here", now.opening.contribute_until
    if now.phase is Phase.VERIFY and proof is not None and proof.verify_until:
        rostered = {member for roster in now.rosters for member in roster.members}
        said = {each.member for each in proof.words if each.here or each.bad}
        asked = rostered - set(now.refused)
        return asked, said, "members have said what they were dealt", proof.verify_until
    if now.phase is Phase.UNMASK:
        listed = {member for block in now.blocks if not block.lost for member in block.members}
        released = {each.member for each in now.releases}
        return listed, released, "members have released their shares", now.unmask_until
    return set(), set(), "", 0


def _names(cohort: Cohort, missing: list[int]) -> str:
    named = [identity.peer_id_text(cohort.members[each].peer) for each in missing[:_NAMED]]
    rest = len(missing) - len(named)
    return ", ".join(named) + (f" and {rest} more" if rest else "")


def moment(seconds: int) -> str:
    """Unix seconds as a person reads them."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
