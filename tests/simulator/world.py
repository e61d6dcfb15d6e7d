"""A swarm in one process: one requester, some owners, a chain, a network, and one seed for all.

world = World(Settings(seed=7, owners=20))
world.run()
check_books(world)
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from eth_keys import keys as eth_keys
from simulator.chain import Chain
from simulator.clock import Clock
from simulator.entropy import stream
from simulator.network import Network, Weather
from simulator.participant import Node, State

from protocol.arith.paillier import key_proof
from protocol.arith.paillier.cryptosystem import PrivateKey, generate_key
from protocol.books import lists
from protocol.books.enrolment import Cohort
from protocol.books.typed_data import Domain
from protocol.machines import inputs
from protocol.machines.job import OVER, JobPhase
from protocol.machines.round import Phase, Role
from protocol.owner.state import OwnerState
from protocol.params import PROTOCOL_VERSION
from protocol.requester.state import RequesterState
from protocol.spec.job import (
    ETHER,
    ChainRef,
    ClassTarget,
    CohortSpec,
    EncryptionSpec,
    Envelope,
    Family,
    JobSpec,
    ModelSpec,
    NumberFeature,
    Outside,
    Party,
    PaymentSpec,
    PrivacySpec,
    TimingSpec,
    TrainingSpec,
    encode_spec,
)
from protocol.wire.blobs import blob_digest

START_MS = 1_750_000_000_000
_FEATURES, _CLASSES, _ROWS = 4, 3, 40

Rows = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


@dataclass
class Settings:
    """One world. The seed decides everything that is not said here."""

    seed: int = 1
    owners: int = 5
    min_owners: int = 0  # 0: all of them
    rounds: int = 3
    hidden: int = 0  # above 0: a dense model, whose batches may be too large for gossip
    block: int = 5
    epsilon: float | None = None  # above 0: noise, with which dropouts are recovered
    dropouts: int = 0
    corrupt: int = 0
    shuffle: bool = False
    sealed: bool = False  # weights that owners cannot read; noise is then drawn once a job
    envelope: Envelope = Envelope.PAILLIER
    merit: int = 1_000_003
    finality: int = 2
    ready_seconds: int = 10
    contribute_seconds: int = 20
    commit_seconds: int = 30
    unmask_seconds: int = 20
    enrol_seconds: int = 20
    lifetime_seconds: int = 3 * 3600
    weather: Weather = field(default_factory=Weather)
    #: For measuring: what a step gives is kept as it is, not stored and read again. No crashes.
    lean: bool = False


@dataclass(frozen=True)
class Policy:
    """What an owner asks for besides the job's terms."""

    known: tuple[bytes, ...] = ()
    known_least: int = 0
    max_unpaid: int = 4_000


@functools.cache
def paillier_key() -> PrivateKey:
    """The smallest key that a spec allows; the same in every run."""
    return generate_key(2048, stream("the simulator's key"))


@functools.cache
def proof() -> bytes:
    """What a sealed job's spec shows of that key."""
    return key_proof.prove(paillier_key())


class World:
    """Everything at once. `owners[i]` is named o<i>."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.log: list[str] = []
        self.rejected: list[tuple[str, str]] = []
        self.accuracies: list[float] = []
        self.reluctant: set[str] = set()
        self.slow: dict[str, float] = {}
        self._cohorts: dict[bytes, Cohort] = {}
        self._found: dict[bytes, Any] = {}
        self._random = random.Random(f"world {settings.seed}")
        self._delays = random.Random(f"chain delays {settings.seed}")
        self.paillier = paillier_key()
        self.domain = Domain(1337, hashlib.sha256(b"contract").digest()[:20])
        self.clock = Clock(START_MS)
        self.chain = Chain(self.clock, self.domain, str(settings.seed))
        self.network = Network(self.clock, settings.weather, str(settings.seed))
        self._rows: dict[str, Rows] = {"holdout": self._draw_rows("holdout", 300)}
        #: What an owner's policy asks for, by name: known accounts, how many, unpaid attempts.
        self.policies: dict[str, Policy] = {}
        self.requester = self._node("r")
        self.owners = [self._node(f"o{i}") for i in range(settings.owners)]
        self.spec = self._make_spec()
        self.job = self.requester.take_job(Role.REQUESTER, encode_spec(self.spec))
        self.requester.feed(self.job, inputs.ActionPost(self.clock.now))

    # --- what nodes ask of it ---------------------------------------------------------------

    def note(self, name: str, text: str) -> None:
        """A line of the event log."""
        self.log.append(f"{self.clock.now - START_MS:>9} {name:>4} {text}")

    @property
    def log_bytes(self) -> bytes:
        return "\n".join(self.log).encode()

    def cohort(self, spec: JobSpec, job: bytes, data: bytes) -> Cohort:
        """Verified once: the same bytes give the same cohort to everybody."""
        digest = blob_digest(data)
        if digest not in self._cohorts:
            self._cohorts[digest] = lists.examine_cohort(spec, job, data)
        return self._cohorts[digest]

    def once(self, key: bytes, function: Callable[..., Any], *args: Any) -> Any:
        """What a pure function gave under that key before, or gives now."""
        if key not in self._found:
            self._found[key] = function(*args)
        return self._found[key]

    def owns_data(self, node: Node) -> bool:
        return node is not self.requester

    def consider(self, node: Node) -> inputs.Input:
        if node.name in self.reluctant:
            return inputs.ActionWithhold(self.clock.now, True, "this owner wants more")
        consent = inputs.ActionConsent(self.clock.now, "rows.csv", node.payout, _ROWS)
        policy = self.policies.get(node.name)
        if policy is None:
            return consent
        return dataclasses.replace(
            consent,
            known=policy.known,
            known_least=policy.known_least,
            max_unpaid=policy.max_unpaid,
        )

    def rows(self, node: Node) -> Rows:
        return self.rows_by_name(node.name)

    def rows_by_name(self, name: str) -> Rows:
        if name not in self._rows:
            self._rows[name] = self._draw_rows(name, _ROWS)
        return self._rows[name]

    @property
    def holdout(self) -> Rows:
        return self._rows["holdout"]

    def slowness(self, node: Node) -> float:
        return self.slow.get(node.name, 1.0)

    def chain_delay(self) -> int:
        """How long a node takes to see a new block."""
        return self._delays.randint(1, 300)

    @contextlib.contextmanager
    def timed(self, node: Node) -> Iterator[None]:
        """Count the seconds of a kernel, where anybody counts."""
        start = time.process_time()
        yield
        if self.network.meter is not None:
            self.network.meter.seconds[node.name] += time.process_time() - start

    # --- what tests do ----------------------------------------------------------------------

    def run(self, seconds: int = 3600) -> bool:
        """Until everybody is through, or for so long; whether everybody is.

        Then a little further: what was on its way arrives, what was mined is seen.
        """
        over = self.clock.run(self.clock.now + 1000 * seconds, self.over)
        self.clock.run(self.clock.now + 8_000)
        return over

    def over(self) -> bool:
        """Every machine has come to its end."""
        return all(
            node.up and all(_is_over(node.state(job)) for job in node.jobs)
            for node in (self.requester, *self.owners)
        )

    def state(self, node: Node) -> State:
        return node.state(self.job)

    @property
    def books(self) -> RequesterState:
        state = self.state(self.requester)
        assert isinstance(state, RequesterState)
        return state

    def owner_state(self, node: Node) -> OwnerState:
        state = self.state(node)
        assert isinstance(state, OwnerState)
        return state

    def crash_at(self, node: Node, phase: Phase | JobPhase, down_ms: int, times: int = 1) -> None:
        """Crash a node as it enters a phase, `times` times, each for so long."""
        left = times

        def hook(_: Node, state: State) -> None:
            nonlocal left
            round_ = state.round.phase if state.round is not None else None
            if left and phase in (state.phase, round_):
                left -= 1
                self.clock.after(0, crash)

        def crash() -> None:
            if node.up:
                node.crash()
                self.clock.after(down_ms, node.restart)

        node.hooks.append(hook)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        self.clock.after(1000 * seconds, call)

    # --- making it --------------------------------------------------------------------------

    def _node(self, name: str) -> Node:
        secret = hashlib.sha256(f"key {self.settings.seed} {name}".encode()).digest()
        peer_key = Ed25519PrivateKey.from_private_bytes(secret)
        account_key = eth_keys.PrivateKey(hashlib.sha256(b"account" + secret).digest())
        node = Node(self, name, peer_key, account_key)
        self.network.nodes[node.peer] = node
        return node

    def _draw_rows(self, name: str, count: int) -> Rows:
        """Rows of three clouds that overlap a little, all within [0, 1]."""
        draw = np.random.default_rng(list(hashlib.sha256(name.encode()).digest()[:8]))
        centres = np.array([[0.2, 0.3, 0.5, 0.7], [0.8, 0.3, 0.2, 0.4], [0.4, 0.9, 0.7, 0.2]])
        classes = draw.integers(0, _CLASSES, count)
        spread = draw.normal(0.0, 0.22, (count, _FEATURES))
        return np.clip(centres[classes] + spread, 0.0, 1.0), classes.astype(np.float64)

    def _make_spec(self) -> JobSpec:
        s, key = self.settings, self.paillier.public.to_bytes()
        noisy = s.epsilon is not None
        model = ModelSpec(Family.DENSE if s.hidden else Family.SOFTMAX, s.hidden)
        training = TrainingSpec(s.rounds, 1 if noisy else 20, 16, 0.5, 2.0, 0.0, 1.0, 0.0)
        if s.sealed:
            model = ModelSpec(Family.SOFTMAX, 0, center=0.45, bias=0.3, weight_limit=64.0)
            training = TrainingSpec(s.rounds, 20, _ROWS, 1e3, 0.5, 0.0, 1.0, 0.0)
        return JobSpec(
            version=PROTOCOL_VERSION,
            title="Three clouds",
            purpose="research",
            features=tuple(NumberFeature(f"x{i}", 0.0, 1.0) for i in range(_FEATURES)),
            outside=Outside.REFUSE,
            target=ClassTarget("cloud", ("a", "b", "c")),
            model=model,
            training=training,
            privacy=PrivacySpec(s.epsilon, 1e-3 if noisy else 0.0, s.dropouts, s.corrupt, s.sealed),
            encryption=EncryptionSpec(s.envelope, 2048, 24),
            cohort=CohortSpec(s.min_owners or s.owners, s.owners, s.block, (), s.shuffle),
            payment=PaymentSpec(ETHER, 1_000, s.merit),
            timing=TimingSpec(
                s.enrol_seconds,
                s.ready_seconds,
                s.contribute_seconds,
                s.commit_seconds,
                s.unmask_seconds,
                10,
                s.finality,
            ),
            salt=hashlib.sha256(f"salt {s.seed}".encode()).digest()[:16],
            requester=Party(self.requester.account, self.requester.peer),
            chain=ChainRef(self.domain.chain_id, self.domain.contract),
            seed=hashlib.sha256(f"weights {s.seed}".encode()).digest(),
            modulus=key,
            proof=proof() if s.sealed else b"",
            expires_at=START_MS // 1000 + s.lifetime_seconds,
        )


def _is_over(state: State) -> bool:
    through = not isinstance(state, RequesterState) or state.withdrawals > 0
    return through and state.phase in OVER
