"""Each check is a function of what was seen: what it says of every kind of trouble, and of none."""

from __future__ import annotations

import dataclasses
import re
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.paths import ROOT

from node.control import examples as ex
from node.control import results as r
from node.control.wire import encode
from node.doctor.checks import machine as judging
from node.doctor.examine import CHECKS, healthy, judge
from node.doctor.findings import State, failure, ok, warning
from node.doctor.looking import machine as looking
from node.doctor.looking.bounded import MAX_WORDS, Look, cut, words
from node.doctor.seen import (
    Blank,
    BlobsSeen,
    ChainSeen,
    DaemonSeen,
    DatasetSeen,
    EncodersSeen,
    EndpointSeen,
    Entry,
    HomeSeen,
    KeysSeen,
    LogSeen,
    MachineSeen,
    PortSeen,
    Seen,
    StoreSeen,
    VersionsSeen,
    WorkersSeen,
)
from node.encoders import confining, libraries
from node.home.config import Config
from node.store.migrations import MIGRATIONS
from node.store.store import APPLICATION_ID

NOW = 1_800_000_000.0
GIB = 1024**3

CONFIG = Config(
    chain_url="http://127.0.0.1:8545",
    chain_urls=("http://127.0.0.2:8545",),
    chain_id=1337,
    contract=bytes(20),
)
HOME = HomeSeen(
    "/h",
    (
        Entry(".", "directory", 0o700, True),
        *(
            Entry(name, "directory", 0o700, True)
            for name in ("blobs", "datasets", "gradients", "keys", "keys/sealed")
        ),
    ),
    False,
)
NODE = EndpointSeen(
    "http://127.0.0.1:8545",
    chain_id=1337,
    code="right",
    head=100,
    head_time=int(NOW) - 3,
    finalized=60,
    common="ab",
    fee=10**9,
    tip=10**8,
    balance=10**18,
    logs="",
)
STORE = StoreSeen(APPLICATION_ID, len(MIGRATIONS), counts={"events": 3}, newest=NOW - 9)
DATA = DatasetSeen("ward-3", 10, 10, True, "as it was", True, False)
STATUS: Any = encode(dataclasses.replace(ex.STATUS, problems=(), version="1"), r.Status)
OUTSIDE: Any = {"peer_id": "12D3", "direction": "in", "addresses": ["/ip4/8.8.8.8/tcp/5000"]}
OPEN: Any = {"addresses": ["/ip4/9.9.9.9/tcp/4001"]}
MACHINE = MachineSeen(NOW, 90 * GIB, 10**6, 8 * GIB, 4, 4096)

#: A node with which all is well.
WELL = Seen(
    HOME,
    CONFIG,
    KeysSeen(account="0xab", sealed=2),
    DaemonSeen(7, STATUS, (OUTSIDE,)),
    dataclasses.replace(STORE, datasets=(DATA,)),
    BlobsSeen(1, 10, 1),
    MACHINE,
    VersionsSeen("1", "3.11.7", (3, 45, 0), 2, ()),
    WorkersSeen(1.0),
    EncodersSeen(("limits", "landlock", "seccomp")),
    (PortSeen("/ip4/127.0.0.1/tcp/4620"),),
    {"verdict": "unknown", "asked": []},
    ChainSeen((NODE, dataclasses.replace(NODE, url="http://127.0.0.2:8545")), 92),
    LogSeen(10, 0, "", ("a line",)),
)


def node(**changes: Any) -> ChainSeen:
    return ChainSeen((dataclasses.replace(NODE, **changes),))


def data(**changes: Any) -> StoreSeen:
    return dataclasses.replace(STORE, datasets=(dataclasses.replace(DATA, **changes),))


def machine(**changes: Any) -> MachineSeen:
    return dataclasses.replace(MACHINE, **changes)


def daemon(peers: tuple[Any, ...] = (), **changes: Any) -> DaemonSeen:
    return DaemonSeen(7, STATUS | changes, peers)


def asked(outcome: str, why: str = "", told: str = "9.9.9.9", port: int | None = 4001) -> Any:
    came = "8.8.8.8" if outcome == "dialled" else ""
    return {
        "peer_id": "12D3",
        "line": "8.8.8.8",
        "outcome": outcome,
        "port": port,
        "told": told if outcome in ("dialled", "no-answer", "claimed") else "",
        "came_from": came,
        "why": why,
    }


def reach(verdict: str, *those: Any, **status: Any) -> dict[str, Any]:
    """What is seen of a daemon whose peers were asked to dial it, and of which none had."""
    return {"daemon": daemon(**OPEN | status), "reach": {"verdict": verdict, "asked": [*those]}}


def test_all_is_well() -> None:
    found = judge(WELL)
    assert {name: each.whole for name, each in found.items() if each.state is not State.OK} == {}
    assert healthy(found)


F, W, N = State.FAILURE, State.WARNING, State.NOT_ASKED

TROUBLE: list[tuple[str, dict[str, Any], State, str]] = [
    ("home", {"home": HomeSeen("/h", HOME.entries[:2], False)}, F, "is missing"),
    (
        "permissions",
        {"home": HomeSeen("/h", (*HOME.entries, Entry("x", "file", 0o640, True)), False)},
        W,
        "x in /h can be read",
    ),
    (
        "permissions",
        {"home": HomeSeen("/h", (*HOME.entries, Entry("keys/x", "file", 0o640, True)), False)},
        F,
        "keys/x in /h can be read",
    ),
    (
        "permissions",
        {"home": HomeSeen("/h", (Entry(".", "directory", 0o755, True),), False)},
        F,
        ". in /h can be read",
    ),
    (
        "permissions",
        {"home": HomeSeen("/h", (*HOME.entries, Entry("x", "file", 0o600, False)), False)},
        F,
        "another user",
    ),
    ("config", {"config": Config()}, F, "lack chain.url"),
    ("config", {"config": Config(chain_url="http://a", chain_id=1)}, F, "no contract"),
    ("keys", {"keys": KeysSeen(locked=True)}, N, "the daemon has opened them"),
    ("keys", {"keys": KeysSeen(locked=True), "daemon": DaemonSeen(None)}, W, "would not start"),
    ("keys", {"keys": KeysSeen(why="odd")}, F, "odd"),
    ("keys", {"keys": KeysSeen(damaged=("a", "b", "c", "d"))}, F, "a, b, c and 1 others"),
    ("store", {"store": StoreSeen(0, 0)}, F, "not assay's"),
    ("store", {"store": StoreSeen(APPLICATION_ID, 10**6)}, F, "knows up to"),
    ("store", {"store": dataclasses.replace(STORE, faults=("a", "b"))}, F, "damaged: a; b"),
    ("store", {"store": dataclasses.replace(STORE, whole=False)}, W, "large"),
    ("transactions", {"store": dataclasses.replace(STORE, troubles=("no ether",))}, W, "no ether"),
    ("transactions", {"store": dataclasses.replace(STORE, faults=("a",))}, N, "damaged"),
    ("data-copies", {"store": dataclasses.replace(STORE, faults=("a",))}, N, "damaged"),
    ("data-copies", {"store": data(held=None)}, F, "is gone"),
    ("data-copies", {"store": data(held=9)}, F, "not what was added"),
    ("data-copies", {"store": data(same=False)}, F, "not what was added"),
    ("data-files", {"store": data(source="changed")}, W, "changed"),
    ("data-files", {"store": data(source="gone")}, W, "no longer there"),
    ("policies", {"store": data(decided=False)}, W, "takes no job"),
    ("blobs", {"blobs": BlobsSeen(1, 1, 1, ("ab" * 32,))}, F, "abababab"),
    ("blobs", {"blobs": BlobsSeen(1, 10**12, 0)}, W, "nearly fill"),
    ("clock", {"store": dataclasses.replace(STORE, newest=NOW + 999)}, F, "before something"),
    ("clock", {"chain": node(head_time=int(NOW) + 999)}, F, "the clock is slow"),
    ("clock", {"chain": Blank("x", asked=False), "store": Blank("x")}, N, "nothing"),
    ("disk", {"machine": machine(free_bytes=1)}, F, "waits for room"),
    ("disk", {"machine": machine(free_bytes=GIB // 2)}, W, "may not fit"),
    ("disk", {"machine": machine(free_files=3)}, F, "3 files"),
    ("memory", {"machine": machine(memory=1)}, W, "1 worker may take"),
    ("memory", {"machine": machine(memory=None)}, N, "does not tell"),
    ("limits", {"machine": machine(open_files=64)}, F, "64 files"),
    ("limits", {"machine": machine(open_files=512)}, W, "512 files"),
    ("limits", {"config": Config(workers=9)}, W, "9 workers for 4 cores"),
    ("versions", {"versions": VersionsSeen("1", "3", (3, 36, 0), 0, ())}, F, "SQLite 3.36.0"),
    (
        "versions",
        {"versions": VersionsSeen("1", "3", (3, 45, 0), 1, (("a", "1", "2"),))},
        F,
        "a is 2",
    ),
    ("versions", {"versions": VersionsSeen("2", "3", (3, 45, 0), 0, ())}, W, "the daemon is"),
    ("workers", {"workers": WorkersSeen(1.0, "no numpy")}, F, "no numpy"),
    ("encoders", {"encoders": EncodersSeen(("limits",))}, W, "without landlock and seccomp"),
    ("encoders", {"encoders": EncodersSeen((), ("onnx",))}, N, "not installed here are onnx"),
    ("chain", {"chain": node(why="silent")}, F, "silent"),
    ("chain", {"chain": ChainSeen((NODE, EndpointSeen("u", "silent")))}, W, "silent"),
    ("chain-id", {"chain": node(chain_id=5)}, F, "serves chain 5"),
    ("contract", {"chain": node(code="none")}, F, "no contract"),
    ("contract", {"chain": node(code="other")}, F, "not this assay's"),
    ("contract", {"chain": node(channel="none")}, F, "no contract at chain.channel_contract"),
    ("contract", {"chain": node(channel="other")}, F, "no channel opens there"),
    ("head", {"chain": node(head_time=int(NOW) - 4000)}, F, "stands still"),
    ("finality", {"config": dataclasses.replace(CONFIG, finality=0)}, W, "may still vanish"),
    ("finality", {"chain": node(head=1)}, W, "nothing is final yet"),
    ("lag", {"chain": node()}, N, "nothing to compare"),
    ("lag", {"chain": ChainSeen((NODE, dataclasses.replace(NODE, head=90)), 82)}, W, "10 blocks"),
    (
        "lag",
        {"chain": ChainSeen((NODE, dataclasses.replace(NODE, common="cd")), 92)},
        F,
        "contradict each other about block 92",
    ),
    ("events", {"chain": node(logs="it refused")}, F, "it refused"),
    ("fees", {"chain": node(fee=10**13)}, F, "transactions wait"),
    ("fees", {"chain": node(fee=None)}, F, "no chain node says"),
    ("balance", {"chain": node(balance=0)}, W, "it can send none"),
    ("balance", {"chain": node(balance=None)}, N, "not known"),
    ("daemon", {"daemon": DaemonSeen(None)}, W, "no daemon"),
    ("daemon", {"daemon": DaemonSeen(7, why="silent")}, F, "process 7"),
    ("problems", {"daemon": daemon(problems=["a", "b"])}, F, "(1 more): a"),
    ("ports", {"ports": (PortSeen("/x", "taken"),)}, F, "does not answer: taken"),
    ("ports", {"ports": (PortSeen("/x", "taken"),), "daemon": DaemonSeen(None)}, F, "cannot be"),
    ("peers", {"daemon": daemon()}, W, "no peer"),
    ("reachability", reach("unknown"), N, "no peer is connected"),
    (
        "reachability",
        reach("near", asked("dialled", told="10.0.0.2"), asked("unable")),
        N,
        "1 of 1 peer dialled back, from this network alone",
    ),
    (
        "reachability",
        reach("unreached", asked("no-answer"), asked("claimed"), asked("refused")),
        W,
        "no answer at 9.9.9.9, port 4001: 0 of 2 peers got through",
    ),
    (
        "reachability",
        reach("unknown", asked("unable", "it is older"), asked("refused", "it is busy")),
        N,
        "2 peers were asked, which tells nothing yet: it is older; it is busy",
    ),
    ("reachability", {"daemon": daemon(**OPEN), "reach": Blank("it hangs")}, N, "it hangs"),
    (
        "reachability",
        reach("near", asked("dialled"), addresses=["/ip4/127.0.0.1/tcp/1"]),
        W,
        "loopback",
    ),
    ("log", {"log": LogSeen(10, 2, "it broke", ())}, W, "2 errors, the last: it broke"),
]


@pytest.mark.parametrize(("name", "changes", "state", "says"), TROUBLE)
def test_trouble_is_told(name: str, changes: dict[str, Any], state: State, says: str) -> None:
    seen = dataclasses.replace(WELL, **changes)
    found = CHECKS[name](seen)
    assert (found.state, says in found.whole) == (state, True), found
    assert found.fix or state is State.NOT_ASKED


def test_a_dial_that_arrived_outweighs_whoever_says_no() -> None:
    seen = dataclasses.replace(
        WELL, **reach("outside", asked("dialled"), asked("no-answer"), asked("dialled"))
    )
    found = CHECKS["reachability"](seen)
    assert (found.state, found.fix) == (State.OK, "")
    said = "reachable from outside at 9.9.9.9, port 4001: 2 of 3 peers dialled back"
    assert found.sentence == said
    # And a line that a peer from outside opened outweighs those who say that they get no answer.
    seen = dataclasses.replace(
        WELL,
        daemon=daemon((OUTSIDE,), **OPEN),
        reach=reach("unreached", asked("no-answer"))["reach"],
    )
    assert CHECKS["reachability"](seen).state is State.OK


@pytest.mark.parametrize(
    ("told", "line"),
    [
        ("9.9.9.9", ""),
        ("203.0.113.5", "'/ip4/203.0.113.5/tcp/4001/p2p/"),
        ("2a00:1450::1", "'/ip6/2a00:1450::1/tcp/4001/p2p/"),
        ("", ""),
    ],
)
def test_who_is_reached_by_another_address_than_its_own_is_given_a_line(
    told: str, line: str
) -> None:
    seen = dataclasses.replace(WELL, **reach("outside", asked("dialled", told=told)))
    found = CHECKS["reachability"](seen)
    assert found.state is State.OK
    assert (f"give others this line: assay join {line}" in found.fix) if line else not found.fix
    assert not line or found.fix.startswith(f'set network.announce to ["{line[1:-5]}"], or ')
    assert not line or found.fix.endswith(STATUS["join_line"].partition("/p2p/")[2] + "'")


def test_peers_have_a_few_lines_for_their_reasons() -> None:
    talkers = [asked("refused", f"{number} {'x' * 600}") for number in range(9)]
    found = CHECKS["reachability"](dataclasses.replace(WELL, **reach("unknown", *talkers)))
    assert len(found.whole) < 700


def test_who_is_not_reached_is_told_which_port_to_forward() -> None:
    for listen, fixed in (("/ip4/0.0.0.0/tcp/4001", False), ("/ip4/0.0.0.0/tcp/0", True)):
        config = dataclasses.replace(CONFIG, listen=(listen,))
        seen = dataclasses.replace(WELL, config=config, **reach("unreached", asked("no-answer")))
        fix = CHECKS["reachability"](seen).fix
        assert "forward port 4001 of the router" in fix
        assert ("with a fixed port in network.listen" in fix) is fixed


def test_every_check_has_a_trouble() -> None:
    assert {name for name, *_ in TROUBLE} == set(CHECKS)


@given(st.sets(st.sampled_from([field.name for field in dataclasses.fields(Seen)])), st.booleans())
def test_whatever_was_not_seen_every_check_says_its_word(parts: set[str], asked: bool) -> None:
    blank = Blank("it is not there", asked)
    found = judge(dataclasses.replace(WELL, **dict.fromkeys(parts, blank)))
    assert set(found) == set(CHECKS)
    for each in found.values():
        assert "a defect in this check" not in each.sentence
        assert each.fix or each.state in (State.OK, State.NOT_ASKED)
    if not asked and "home" not in parts and "config" not in parts:
        assert healthy(found)


def test_a_defect_of_one_check_is_its_failure_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(CHECKS, "clock", lambda seen: 1 / 0)  # type: ignore[arg-type, return-value]
    found = judge(WELL)
    assert {name for name, each in found.items() if each.state is F} == {"clock"}
    assert "ZeroDivisionError" in found["clock"].sentence


def test_only_a_failure_is_a_fault() -> None:
    assert healthy({"a": ok("x"), "b": warning("x", "y")})
    assert not healthy({"a": ok("x"), "b": failure("x", "y")})


def test_a_look_that_fails_or_does_not_end_is_words() -> None:
    failed = Look(9.0, "it", lambda: open("/nowhere/at all").read()).found()  # noqa: SIM115
    assert failed == Blank("/nowhere/at all: No such file or directory")
    over = threading.Event()
    late = Look(0.0, "it", lambda: over.wait(60)).found()
    over.set()
    assert late == Blank("it gave no answer within 0 s")
    assert Look(9.0, "it", lambda: 3).found() == 3


def test_words_are_one_line_and_bounded() -> None:
    assert words(ValueError("a\nb\x00")) == "ValueError: a b\x00"
    assert len(cut("x" * 10_000)) == MAX_WORDS


def test_the_guide_names_every_check() -> None:
    text = (ROOT / "docs" / "guides" / "operations.md").read_text()
    part = text.partition("## Something is wrong")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([a-z-]+)` \|", part, re.MULTILINE)
    assert sorted(rows) == sorted(CHECKS)


@pytest.mark.parametrize("missing", [(), ("onnx", "seccompy")])
def test_walls_are_those_of_the_machine_where_the_extra_is_installed(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    monkeypatch.setattr(libraries, "missing", lambda: missing)
    seen = looking.look_encoders()
    assert seen.missing == missing
    assert seen.walls == (() if missing else tuple(str(each) for each in confining.available()))
    assert all(each in judging._WALLS for each in seen.walls)
    assert {str(each) for each in confining.Wall} == set(judging._WALLS)
