"""Cards among real daemons: published, spread, kept over kills, replaced, withdrawn; hostile ones.

The swarm is a line: two owners that know the requester alone, so that every card is passed on.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio
from kits.attacks.hostile import Hostile, hostile, offences
from kits.daemons import clouds
from kits.daemons.jobs import stored
from kits.daemons.processes import Daemon, Swarm, run, until

from node.console.failure import Failure
from protocol.wire import envelope as envelopes
from protocol.wire.cards import Card, CardColumn, ColumnKind, Withdrawn
from protocol.wire.envelope import Envelope
from protocol.wire.topics import CARDS_TOPIC

pytestmark = pytest.mark.waits(60)

CARD = """
title = "Clouds of owner 0"
purposes = ["research"]
least_rate = "0.001 ether"

[[columns]]
names = "x_{0..1}"
kind = "number"

[[columns]]
name = "side"
words = ["0", "1"]
"""


@pytest.fixture(scope="module")
def swarm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swarm]:
    swarm = Swarm(tmp_path_factory.mktemp("cards"), owners=2)
    try:
        trio.run(swarm.start)
        path = clouds.write_csv(swarm.folder / "clouds.csv", seed=1, rows=150)
        swarm.owners[0].call("data.add", name="clouds", path=str(path))
        yield swarm
    finally:
        swarm.destroy()


@pytest.fixture
async def peer(swarm: Swarm, tmp_path: Path) -> AsyncIterator[Hostile]:
    async with hostile(tmp_path / "hostile", swarm.contract, swarm.peer, swarm.address) as found:
        await found.follow(CARDS_TOPIC)
        yield found


def titles(daemon: Daemon) -> list[str]:
    """What others offer, as a node lists it."""
    return sorted(o["title"] for o in daemon.call("offers")["offers"] if not o["mine"])


async def shows(daemon: Daemon, wanted: list[str], seconds: float = 30) -> None:
    what = f"{daemon.home.path.name} lists {wanted}"
    await until(lambda: titles(daemon) == sorted(wanted), seconds, what)


def numbers(count: int) -> tuple[CardColumn, ...]:
    return tuple(CardColumn(f"{n:064}", ColumnKind.NUMBER, ()) for n in range(count))


def stranger(title: str, sequence: int) -> Card:
    """A card of a peer that has no data."""
    until = int(time.time()) + 1000
    return Card(0, sequence, until, title, 3, numbers(100), (), bytes(20), 0)


def assay(daemon: Daemon, *arguments: str) -> str:
    done = run("--home", str(daemon.home.path), *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_nothing_is_published_unless_its_owner_does(swarm: Swarm) -> None:
    """A data set and a policy are no card; neither is a dry run."""
    owner = swarm.owners[0]
    owner.call("policy.set", dataset="clouds", changes={"accept": "auto", "no_noise": True})
    shown = owner.call("card.publish", dataset="clouds", card=CARD, dry_run=True)
    assert (shown["published"], shown["offer"]["rows"]) == (False, "100 to 300")
    for daemon in (swarm.requester, *swarm.owners):
        assert daemon.call("offers")["offers"] == []
        assert stored(daemon, "SELECT count(*) FROM cards") == [(0,)]


async def test_a_card_spreads_and_is_found(swarm: Swarm) -> None:
    owner, other = swarm.owners
    owner.call("card.publish", dataset="clouds", card=CARD)
    for daemon in (swarm.requester, other):
        await shows(daemon, ["Clouds of owner 0"])
    [offer] = other.call("offers", columns=["x_0"], kind="number", max_rate=str(10**15))["offers"]
    assert offer["rows"] == "100 to 300"
    assert other.call("offers", columns=["x_0"], max_rate=str(10**15 - 1))["matching"] == 0
    [own] = owner.call("card.list")
    assert own["offer"]["card"] == offer["card"]
    assert owner.call("offers")["known"] == 0
    found = swarm.requester.call("offers.match", spec=clouds.spec())
    assert found == {"known": 1, "columns": 1, "purpose": 1, "price": 1}
    # From the card to a spec that is whole once ranges are declared.
    begun = swarm.folder / "begun.toml"
    assay(swarm.requester, "job", "new", "--card", offer["card"][:12], "--out", str(begun))
    text = begun.read_text().replace("# low = 0.0 ", "low = -5.0 ")
    begun.write_text(text.replace("# high = 1.0 ", "high = 5.0 "))
    assert "cards that meet it" in assay(swarm.requester, "job", "check", str(begun))


async def test_a_card_stays_over_a_kill_and_is_asked_for(swarm: Swarm) -> None:
    owner, other = swarm.owners
    other.kill()
    # Said while one is down, and not said again for ten minutes: it has to ask.
    owner.call("card.publish", dataset="clouds", card=CARD.replace("of owner 0", "renewed"))
    await shows(swarm.requester, ["Clouds renewed"])
    kept = stored(other, "SELECT body FROM cards")
    assert len(kept) == 1
    assert b"of owner 0" in kept[0][0]
    await other.start()
    await shows(other, ["Clouds renewed"])


async def test_hostile_cards(swarm: Swarm, peer: Hostile) -> None:
    """Nobody but the signer is touched; what no honest peer sends is counted against its bearer."""
    victim, other = swarm.requester, swarm.owners[1]
    before = titles(victim)
    body = stored(victim, "SELECT body FROM cards")[0][0]
    honest = envelopes.reopen_envelope(body)
    assert isinstance(honest.body, Card)
    now = int(time.time())
    mine = stranger("of a stranger", 2**53)

    async def said(envelope: Envelope) -> None:
        await peer.swarm.publish(CARDS_TOPIC, peer.frame(envelope))

    # A card of this peer is a card like any; it overwrites no other's slot.
    await said(peer.sealed(mine))
    for daemon in (victim, other):
        await shows(daemon, [*before, "of a stranger"])
    # Ignored: replays, another chain, validity without end. Nothing is counted for them.
    place = dataclasses.replace(peer.place(), chain_id=1)
    elsewhere = envelopes.seal(place, peer.swarm.peer_id_bytes, mine, peer.keys.sign_peer)
    for envelope in (
        peer.sealed(dataclasses.replace(mine, sequence=1, title="old")),
        elsewhere,
        peer.sealed(dataclasses.replace(mine, slot=1, valid_until=now + 100 * 86_400)),
        peer.sealed(dataclasses.replace(mine, slot=1, valid_until=now - 1)),
    ):
        await said(envelope)
    # Rejected: another's name, a withdrawal of another's card, a card that is too large.
    forged = dataclasses.replace(honest, statement=dataclasses.replace(honest.statement, body=mine))
    withdrawal = Withdrawn(honest.body.slot, 2**53, honest.body.valid_until)
    taken = peer.sealed(withdrawal)
    stolen = dataclasses.replace(
        taken, statement=dataclasses.replace(taken.statement, sender=honest.sender)
    )
    huge = dataclasses.replace(mine, slot=2, columns=numbers(200))
    # The last of these is answered in order behind them: what is listed then, stays.
    last = dataclasses.replace(mine, slot=3, title="the last")
    for envelope in (forged, stolen, peer.sealed(huge), peer.sealed(last)):
        await said(envelope)
    for daemon in (victim, other):
        await shows(daemon, [*before, "of a stranger", "the last"])
    assert offences(victim, peer.swarm.peer_id) == 3
    # A told or private card is no gossip: it is held to the job that it names, which is none.
    await peer.say(dataclasses.replace(mine, slot=4, title="told"), bytes(32))
    assert titles(other) == sorted([*before, "of a stranger", "the last"])


async def test_a_withdrawn_card_is_gone(swarm: Swarm, peer: Hostile) -> None:
    owner, other = swarm.owners
    body = stored(other, "SELECT body FROM cards WHERE peer = ?", owner.peer_id)[0][0]
    owner.call("card.withdraw", dataset="clouds")
    for daemon in (swarm.requester, other):
        await until(lambda d=daemon: "Clouds renewed" not in titles(d), 30, "the card is gone")
    assert owner.call("card.list") == []
    with pytest.raises(Failure, match="has no card"):
        owner.call("card.withdraw", dataset="clouds")
    # Who has kept the card says it again, in vain; a word of its own after it is heard.
    await peer.swarm.publish(CARDS_TOPIC, peer.frame(envelopes.reopen_envelope(body)))
    await peer.swarm.publish(CARDS_TOPIC, peer.frame(peer.sealed(stranger("after it", 1))))
    await until(lambda: "after it" in titles(other), 30, "the peer is heard")
    assert "Clouds renewed" not in titles(swarm.requester) + titles(other)
    known = stored(other, "SELECT withdrawn FROM cards WHERE peer = ?", owner.peer_id)
    assert known == [(1,)]
