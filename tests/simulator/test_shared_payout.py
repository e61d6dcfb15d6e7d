"""Two owners that name one payout account: nobody is kept out, and who names another's pays it."""

from __future__ import annotations

import pytest
from simulator.checks import check_all_closed, check_audit, check_models, check_money, held
from simulator.world import Settings, World

from protocol.books.evidence import decode_evidence
from protocol.machines.job import JobPhase


@pytest.mark.parametrize("merit", [0, 1_000_003])
def test_whoever_squats_on_a_payout_account_earns_for_it(merit: int) -> None:
    world = World(Settings(seed=97, rounds=2, merit=merit))
    squatter, owner = world.owners[:2]
    squatter.payout = owner.payout
    assert world.run(900), "stuck:\n" + "\n".join(world.log[-40:])
    assert world.books.phase is JobPhase.CLOSED
    assert len(world.books.records) == 2
    check_all_closed(world)
    check_money(world)
    check_models(world)
    check_audit(world)
    evidence = decode_evidence(world.requester.blobs[world.books.evidence_digest])
    shares = {share.account: share.amount for share in evidence.merit}
    rate = world.spec.payment.rate
    for each in world.owners:
        assert world.chain.state.received[each.payout] == 2 * rate + shares.get(each.payout, 0)
        assert world.owner_state(each).paid == world.chain.state.received[each.payout]
    # What was committed for the squatter nobody can prove a second time.
    assert held(world).held == 2 * rate
    assert sum(shares.values()) == merit
