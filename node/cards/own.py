"""This owner's cards: published by hand, said again while they are valid, withdrawn by hand.

Stored, then said. A card is signed by the peer's key, under which it also enrols: docs/adr/0103 has
why, docs/guides/cards.md what a card gives away.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial

import trio

from node.cards.shelf import Shelf, seconds_now
from node.engine.services import Services
from node.store import cards, catalogue
from node.store.store import Transaction
from protocol import params
from protocol.cards.file import CardDraft, parse_card
from protocol.errors import InputError, StateError
from protocol.policy.policy import Policy
from protocol.wire.cards import Card, Withdrawn
from protocol.wire.codec import encode
from protocol.wire.envelope import Envelope, Frame, reopen_envelope
from protocol.wire.topics import CARDS_TOPIC

log = logging.getLogger("assay.cards")

#: How often it is looked whether anybody is there to hear, before cards are said, seconds.
_LOOK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class OwnCard:
    """A card of a data set of this home. `notes`: what its owner should know of it."""

    dataset: str
    card: Card
    published: bool
    notes: tuple[str, ...]


class OwnCards:
    """What this node says of its own data sets: nothing, until its owner publishes a card."""

    def __init__(self, services: Services, shelf: Shelf) -> None:
        self._services = services
        self._shelf = shelf
        self._turn = trio.Lock()

    async def publish(self, dataset: str, text: str, dry_run: bool) -> OwnCard:
        """Publish a card of a data set, in the place of its card before; only show it if `dry_run`.

        Raises InputError: no such data set, a file that is no card, a column that the data set
        lacks, a card that is too large, no free slot.
        """
        draft = parse_card(text, self._services.tokens())
        async with self._turn:
            found, policy = await self._services.store.read(partial(_of, dataset=dataset))
            _check_columns(draft, found)
            words, slots = await self._words()
            now = seconds_now()
            slot = self._slot(slots.get(dataset), now + draft.valid_seconds)
            standing = self._shelf.entry(slot)
            card = draft.complete(
                slot=slot,
                sequence=max(1000 * now, 0 if standing is None else standing.sequence + 1),
                now=now,
                rows=found.rows,
                purposes=policy.purposes,
                rate=policy.price_floor if policy.token == draft.token else 0,
            )
            envelope = self._shelf.sealed(card)
            size = len(encode(envelope))
            if size > params.MAX_CARD_BYTES:
                raise InputError(
                    f"the card takes {size} bytes signed, {params.MAX_CARD_BYTES} are allowed; "
                    "name fewer columns or words"
                )
            notes = tuple(_notes(card, policy))
            if dry_run:
                return OwnCard(dataset, card, False, notes)
            before = slots.get(dataset)
            if before is not None and before != slot and before in words:
                await self._withdraw_slot(before, words[before])
            await self._services.store.run(partial(cards.save_own, dataset=dataset, slot=slot))
            await self._say(envelope)
            return OwnCard(dataset, card, True, notes)

    async def withdraw(self, dataset: str) -> None:
        """Take a data set's card back. Raises InputError (no such card)."""
        async with self._turn:
            words, slots = await self._words()
            slot = slots.get(dataset)
            if slot is None:
                error = InputError(f"{dataset!r} has no card", "dataset")
                error.add_note("assay card list")
                raise error
            if slot in words:
                await self._withdraw_slot(slot, words[slot])
            await self._services.store.run(partial(cards.delete_own, dataset=dataset))

    async def cards(self) -> tuple[OwnCard, ...]:
        """Valid cards of this home, by data set."""
        words, slots = await self._words()
        found = []
        for dataset, slot in sorted(slots.items()):
            body = reopen_envelope(words[slot]).body if slot in words else None
            if isinstance(body, Card):
                _, policy = await self._services.store.read(partial(_maybe, dataset=dataset))
                found.append(OwnCard(dataset, body, True, tuple(_notes(body, policy))))
        return tuple(found)

    async def run(self) -> None:
        """Say all of it again, first as soon as somebody is there; until cancelled.

        A data set that is gone takes its card with it. So does a store that is gone: a home that
        was restored from its keys withdraws the cards that peers tell it of.
        """
        while True:
            while not self._services.swarm.connected():  # noqa: ASYNC110 (a swarm has no event for it)
                await trio.sleep(_LOOK_SECONDS)
            await self._withdraw_orphans()
            words, _ = await self._words()
            for body in words.values():
                await self._publish(body)
            await trio.sleep(params.CARD_AGAIN_SECONDS)

    async def _withdraw_orphans(self) -> None:
        def load(tx: Transaction) -> set[str]:
            return set(cards.own_slots(tx)) - {each.name for each in catalogue.datasets(tx)}

        for dataset in await self._services.store.read(load):
            log.info("the data set %s is gone: its card is withdrawn", dataset)
            await self.withdraw(dataset)
        async with self._turn:
            words, slots = await self._words()
            for slot in words.keys() - slots.values():
                await self._withdraw_slot(slot, words[slot])

    def _slot(self, held: int | None, valid_until: int) -> int:
        """The slot for a card: its data set's own where no word of it lives longer, else a free
        one. Raises StateError where all are taken."""

        def fits(slot: int) -> bool:
            entry = self._shelf.entry(slot)
            return entry is None or entry.kept_until <= valid_until

        def free(slot: int) -> bool:
            entry = self._shelf.entry(slot)
            return entry is None or entry.withdrawn or entry.valid_until <= seconds_now()

        if held is not None and fits(held):
            return held
        for slot in range(params.MAX_CARDS_OF_PEER):
            if slot != held and free(slot) and fits(slot):
                return slot
        raise StateError(
            f"all {params.MAX_CARDS_OF_PEER} slots for cards are taken, or remember a longer "
            "validity: withdraw a card, or give this one more valid_days"
        )

    async def _words(self) -> tuple[dict[int, bytes], dict[str, int]]:
        me, now = self._services.swarm.peer_id_bytes, seconds_now()

        def load(tx: Transaction) -> tuple[dict[int, bytes], dict[str, int]]:
            return cards.words_of(tx, me, now), cards.own_slots(tx)

        return await self._services.store.read(load)

    async def _withdraw_slot(self, slot: int, body: bytes) -> None:
        word = reopen_envelope(body).body
        entry = self._shelf.entry(slot)
        if not isinstance(word, Card) or entry is None:
            return
        sequence = max(1000 * seconds_now(), entry.sequence + 1)
        await self._say(self._shelf.sealed(Withdrawn(slot, sequence, entry.kept_until)))

    async def _say(self, envelope: Envelope) -> None:
        """Store, then gossip."""
        if not await self._shelf.take([envelope]):
            raise StateError(f"the card is not taken here: {self._shelf.refusal(envelope)}")
        await self._publish(encode(envelope))

    async def _publish(self, body: bytes) -> None:
        await self._services.swarm.publish(CARDS_TOPIC, encode(Frame(body, b"")))


def _of(tx: Transaction, dataset: str) -> tuple[catalogue.Dataset, Policy]:
    found, policy = _maybe(tx, dataset)
    if found is None:
        error = InputError(f"there is no data set {dataset!r}", "dataset")
        error.add_note("assay data list")
        raise error
    if found.holdout:
        raise InputError(f"{dataset} is a hold-out, and offered to no job", "dataset")
    return found, policy


def _maybe(tx: Transaction, dataset: str) -> tuple[catalogue.Dataset | None, Policy]:
    return catalogue.load_dataset(tx, dataset), catalogue.policy_of(tx, dataset)


def _check_columns(draft: CardDraft, dataset: catalogue.Dataset) -> None:
    has = {name for name, _ in dataset.columns}
    unknown = [column.name for column in draft.columns if column.name not in has]
    if unknown:
        names = ", ".join(map(repr, unknown[:5])) + (", …" if len(unknown) > 5 else "")
        raise InputError(f"{dataset.name} has no column {names}", "columns")


def _notes(card: Card, policy: Policy) -> list[str]:
    """Where a card promises what the policy does not take."""
    notes = []
    if not policy.decided or policy.accept.value == "never":
        notes.append("its policy takes no job: assay policy set")
    if policy.purposes and not set(card.purposes) <= set(policy.purposes):
        notes.append("it names purposes that its policy does not take")
    if policy.purposes and not card.purposes:
        notes.append("it allows any purpose; its policy does not")
    if policy.token == card.token and card.rate < policy.price_floor:
        notes.append("its least rate is below the policy's price_floor")
    return notes
