"""A coalition that Hypothesis plays: a hostile requester with a corrupt member."""

from __future__ import annotations

from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from simulator.coalition import Coalition
from simulator.participant import Node
from simulator.world import Settings

from protocol.spec.job import Envelope
from protocol.wire.envelope import Envelope as Said
from protocol.wire.envelope import opening_digest

EVERYBODY = 0b11111

MASK = st.one_of(st.just(EVERYBODY), st.integers(0, EVERYBODY))

PLAIN = {"owners": 5, "block": 5, "corrupt": 1}

NOISY = {"owners": 6, "block": 6, "epsilon": 8.0, "dropouts": 1, "corrupt": 1}


def coalition(seed: int, noisy: bool, envelope: Envelope = Envelope.PAILLIER) -> Coalition:
    job = NOISY if noisy else PLAIN
    return Coalition(Settings(seed=seed, rounds=3, envelope=envelope, **job))  # type: ignore[arg-type]


class Coalitions(RuleBasedStateMachine):
    """The coalition says what it likes to whom it likes; time and the chain go on as they do."""

    @initialize(
        seed=st.integers(0, 10**6),
        noisy=st.booleans(),
        envelope=st.sampled_from([Envelope.MASKS, Envelope.PAILLIER]),
        rounds=st.integers(0, 2),
    )
    def begin(self, seed: int, noisy: bool, envelope: Envelope, rounds: int) -> None:
        self.them = coalition(seed, noisy, envelope)
        self.at = (0, -1)
        self.known = -1
        for _ in range(rounds):
            self.play_a_round(11, False, EVERYBODY)

    def _some(self, mask: int) -> list[Node]:
        """Those honest owners whose bit is set."""
        return [node for bit, node in enumerate(self.them.honest) if mask >> bit & 1]

    @rule(next_round=st.booleans(), again=st.booleans(), model=st.integers(0, 2), some=MASK)
    def open(self, next_round: bool, again: bool, model: int, some: int) -> None:
        """The next attempt or round, for some on one model and for the others on another; or the
        same attempt again."""
        round_, attempt = self.at
        if next_round and round_ < 2:
            self.at = round_ + 1, 0
        elif not again or attempt < 0:
            self.at = round_, attempt + 1
        them = self.them
        models = [them.model(3 * self.at[0] + model), them.model(3 * self.at[0] + (model + 1) % 3)]
        them.open(*self.at, models[0], self._some(some))
        if some != EVERYBODY:
            them.open(*self.at, models[again], self._some(EVERYBODY ^ some))

    @rule(ms=st.sampled_from([40, 1_500, 4_000]))
    def wait(self, ms: int) -> None:
        self.them.wait(ms)

    @rule(data=st.data(), dropped=st.sets(st.integers(0, 5), max_size=2), some=MASK)
    def freeze(self, data: st.DataObject, dropped: set[int], some: int) -> None:
        """A roster of those that are ready, or of some; for the rest with another Ready of ours."""
        them = self.them
        if not them.openings:
            return
        place, body = data.draw(st.sampled_from(them.openings[-3:]))
        opening = opening_digest(place, body)
        present = {m: e for (o, m), e in them.readys.items() if o == opening}
        for version, nodes in enumerate((self._some(some), self._some(EVERYBODY ^ some))):
            own = [them.own_ready(place, opening, node, version) for node in them.corrupt]
            kept = [e for m, e in present.items() if m not in dropped]
            if nodes:
                them.freeze(place, opening, them.roster(place, [*own, *kept]), nodes)

    @rule(data=st.data(), some=MASK)
    def freeze_a_mixture(self, data: st.DataObject, some: int) -> None:
        """A roster of Ready messages of any openings, with or without ours."""
        them = self.them
        if not them.readys:
            return
        place, body = data.draw(st.sampled_from(them.openings[-3:]))
        opening = opening_digest(place, body)
        chosen: dict[int, Said] = {}
        for (_, member), envelope in data.draw(st.permutations(list(them.readys.items()))):
            chosen.setdefault(member, envelope)
        own = [them.own_ready(place, opening, node) for node in them.corrupt]
        roster = them.roster(place, [*own, *chosen.values()])
        them.freeze(place, opening, roster, self._some(some))

    @rule(
        data=st.data(),
        dropped=st.sets(st.integers(0, 5), max_size=2),
        model=st.integers(0, 2),
        some=MASK,
        on_chain=st.booleans(),
    )
    def commit(
        self, data: st.DataObject, dropped: set[int], model: int, some: int, on_chain: bool
    ) -> None:
        """A roster's contributions, or some of them, shown to some, on the chain or not."""
        them = self.them
        if not them.rosters:
            return
        place, roster, members = data.draw(st.sampled_from(them.rosters[-3:]))
        listed = [m for m in members if m not in dropped]
        if listed:
            digest = them.model(3 * place.round + model)
            them.commit(place, digest, them.list_of(roster, listed), self._some(some), on_chain)

    def _number(self) -> int:
        """The round that the chain waits for."""
        return len(self.them.world.chain.state.jobs[self.them.world.job].committed)

    def _contribute(self, number: int, model: bytes) -> bool:
        """An attempt up to everybody's contribution; False where somebody is away or refuses."""
        if number > 2 or any(not node.up for node in self.them.honest):
            return False
        self.at = (number, self.at[1] + 1 if self.at[0] == number else 0)
        if self.at[1] >= 16:
            return False
        try:
            self.them.play(*self.at, model)
        except KeyError:
            return False  # for what was said before
        return True

    @rule(model=st.integers(0, 1))
    def let_them_contribute(self, model: int) -> None:
        """And commit something later, or never."""
        number = self._number()
        self._contribute(number, self.them.model(3 * number + model))

    @rule(dropped=st.integers(0, 11), split=st.booleans(), some=MASK)
    def play_a_round(self, dropped: int, split: bool, some: int) -> None:
        """An attempt up to its commitment, as it should be; at times 'it dropped' to some and 'it
        is in' to the others, with only one of the two on the chain."""
        them, number = self.them, self._number()
        model = them.model(3 * number)
        if not self._contribute(number, model):
            return
        place, roster, _ = them.rosters[-1]
        everybody = them.members(them.world.owners)
        fewer = tuple(m for m in everybody if m != dropped)
        one, other = (everybody, fewer) if split else (fewer, everybody)
        them.commit(place, model, them.list_of(roster, one), self._some(some), on_chain=True)
        them.commit(
            place, model, them.list_of(roster, other), self._some(EVERYBODY ^ some), on_chain=False
        )
        them.wait(5_000)

    @rule(data=st.data(), some=MASK)
    def say_it_again(self, data: st.DataObject, some: int) -> None:
        """Anything that the requester ever said, to anybody."""
        them, peer = self.them, self.them.requester.peer
        said = [e for e in them.requester.messages.values() if e.sender == peer]
        if said:
            envelope = data.draw(st.sampled_from(said))
            them.tell(self._some(some), envelope.context, envelope.body)

    @rule(who=st.integers(0, 4), ms=st.sampled_from([10, 2_000]))
    def crash(self, who: int, ms: int) -> None:
        node = self.them.honest[who % len(self.them.honest)]
        if node.up:
            node.crash()
            self.them.world.clock.after(ms, node.restart)

    @rule(depth=st.integers(1, 2))
    def reorganise(self, depth: int) -> None:
        self.them.world.chain.reorganise(depth)

    @invariant()
    def nobody_is_opened(self) -> None:
        if hasattr(self, "them") and self.known != len(self.them.requester.messages):
            self.known = len(self.them.requester.messages)
            self.them.check()

    def teardown(self) -> None:
        if hasattr(self, "them"):
            self.them.wait(6_000)
            self.them.check()
            self.them.check_truth()
            event(f"sums opened: {len(self.them.gains())}")
            event(f"contributions held: {min(len(self.them.spy.held()), 12) // 3 * 3} or more")
