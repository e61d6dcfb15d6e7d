"""One budget for the same people: what is compared when, and what then counts together."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st
from kits.budgets import MODEL, ROWS, Inline, computed, fill, job, noisy_spec
from kits.examples import examples
from kits.paths import ROOT

from node.data.datasets import add_dataset
from node.engine.clock import Clock
from node.home.config import Config
from node.home.home import Home
from node.privacy import budgets, joins, ledger, settling
from node.privacy import reserving as privacy
from node.store import catalogue, people
from node.store.people import Link, Version
from node.store.store import Store, Transaction
from protocol.arith.noise.accountant import spent
from protocol.errors import InputError
from protocol.layout.noise import Charge
from protocol.policy.policy import Policy
from protocol.policy.terms import with_changes
from scripts.testing.keeper import mark


class Keys:
    """A node's, with one secret."""

    account = b"\x22" * 20

    def derive(self, purpose: str) -> bytes:
        return purpose.encode().ljust(32, b"k")[:32]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.create()
    return home


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    with Store.open(home.database) as opened:
        yield opened


def services_of(home: Home, store: Store) -> Any:
    engine = SimpleNamespace(machines={})
    return SimpleNamespace(
        home=home,
        store=store,
        compute=Inline(),
        config=Config(),
        keys=Keys(),
        engine=engine,
        clock=Clock(),
    )


@pytest.fixture
def services(home: Home, store: Store) -> Any:
    return services_of(home, store)


def rows(seed: int, count: int = 200) -> list[str]:
    rng = np.random.default_rng(seed)
    return [",".join(f"{cell:.3f}" for cell in rng.normal(size=6)) for _ in range(count)]


WARD = rows(1)
NEAR = [*WARD, *rows(2, 1)]


async def add(services: Any, name: str, lines: list[str]) -> None:
    """Register a file, without comparing it."""
    file = services.home.path / f"{name}.csv"
    file.write_text("a,b,c,d,e,f\n" + "\n".join(lines) + "\n")
    await add_dataset(services.home, services.store, services.compute, name, file)


async def settled(services: Any, name: str, lines: list[str], **policy: Any) -> None:
    await add(services, name, lines)
    await settling.settle(services, name)
    if policy:
        changed = with_changes(Policy.closed(), {"accept": "auto", **policy})
        await privacy.set_policy(services, name, changed)


async def reserve(services: Any, name: str, number: int, epsilon: float = 7.0) -> str:
    return await privacy.reserve_job(services, name, job(number), noisy_spec(epsilon), ROWS)


def group(services: Any, name: str) -> tuple[str, ...]:
    with services.store.snapshot() as tx:
        return people.group(tx, name)


def remove(services: Any, name: str) -> None:
    with services.store.transaction() as tx:
        assert catalogue.delete_dataset(tx, name)


# What shares


async def test_a_near_copy_has_no_second_budget(services: Any) -> None:
    await settled(services, "ward", WARD, epsilon=8)
    await settled(services, "near", NEAR, epsilon=8)
    await settled(services, "lab", rows(3), epsilon=8)
    assert group(services, "near") == ("near", "ward")
    assert await reserve(services, "ward", 1) == ""
    why = await reserve(services, "near", 2)
    assert "all jobs of near and of ward, which has rows of it, would cost epsilon" in why
    assert await reserve(services, "lab", 3) == ""
    lab, near, ward = await budgets.privacy(services)
    assert (near.left, near.reserved, near.same) == (ward.left, ward.reserved, ("ward",))
    assert (lab.same, len(near.jobs), len(ward.jobs)) == ((), 0, 1)


async def test_a_data_set_that_is_gone_counts(services: Any) -> None:
    await settled(services, "ward", WARD, epsilon=8)
    assert await reserve(services, "ward", 1) == ""
    with services.store.transaction() as tx:
        for round_ in range(20):
            ledger.charge(tx, "ward", job(1), round_, MODEL)
    remove(services, "ward")
    await settled(services, "near", NEAR, epsilon=8)
    assert group(services, "near") == ("near", "ward")
    assert await reserve(services, "near", 2) != ""
    (shown,) = await budgets.privacy(services)
    assert shown.spent is not None
    assert shown.spent > 6.9


async def test_the_strictest_policy_of_a_group_holds(services: Any) -> None:
    await settled(services, "ward", WARD, epsilon=3)
    await settled(services, "near", NEAR, epsilon=20)
    assert "the strictest of their policies allows 3" in await reserve(services, "near", 1)
    (shown,) = await budgets.privacy(services, "near")
    assert shown.epsilon == 3
    # A data set whose owner has decided nothing restricts no other.
    await settled(services, "third", NEAR[1:])
    await privacy.set_policy(
        services, "ward", with_changes(Policy.closed(), {"accept": "auto", "epsilon": 20})
    )
    assert await reserve(services, "near", 1) == ""
    # A smaller budget of one ends the rounds of all.
    await privacy.set_policy(
        services, "ward", with_changes(Policy.closed(), {"accept": "auto", "epsilon": 2})
    )
    with services.store.transaction() as tx, pytest.raises(InputError, match="does not run"):
        ledger.charge(tx, "near", job(1), 0, MODEL)


async def test_a_bridge_makes_one_group_and_ends_what_no_longer_fits(services: Any) -> None:
    other = rows(3)
    await settled(services, "ward", WARD, epsilon=8)
    await settled(services, "lab", other, epsilon=8)
    assert await reserve(services, "ward", 1) == await reserve(services, "lab", 2) == ""
    await settled(services, "both", [*WARD, *other], epsilon=8)
    assert group(services, "lab") == ("both", "lab", "ward")
    with services.store.transaction() as tx:
        ledger.charge(tx, "ward", job(1), 0, MODEL)
        with pytest.raises(InputError, match="does not run"):
            ledger.charge(tx, "lab", job(2), 0, MODEL)


async def test_an_owner_may_say_that_they_are_other_people(services: Any) -> None:
    await settled(services, "ward", WARD, epsilon=8)
    await add(services, "twins", NEAR)
    await settling.check_names(services, ["ward"])
    with pytest.raises(InputError, match="no data set 'nowhere'"):
        await settling.check_names(services, ["nowhere"])
    await settling.settle(services, "twins", ["ward"])
    assert group(services, "twins") == ("twins",)
    with services.store.snapshot() as tx:
        (link,) = people.links(tx)
    assert (link.apart, link.part) == (True, 1.0)
    # The word was about these two: the next copy shares with both.
    await settled(services, "third", NEAR[3:])
    assert group(services, "ward") == ("third", "twins", "ward")
    # Said afterwards: the file is added again.
    remove(services, "third")
    await add(services, "third", NEAR[3:])
    await settling.settle(services, "third", ["ward", "twins"])
    assert group(services, "ward") == ("ward",)


async def test_a_word_that_comes_late_lets_jobs_run_again(services: Any) -> None:
    """A bridge was used, and removed; its bytes are added again with the owner's word."""
    other = rows(3)
    for name, lines in (("ward", WARD), ("lab", other)):
        await settled(services, name, lines, epsilon=8)
    assert await reserve(services, "ward", 1) == await reserve(services, "lab", 2) == ""
    await settled(services, "both", [*WARD, *other], epsilon=20)
    small = await privacy.reserve_job(services, "both", job(3), noisy_spec(0.1, 1), ROWS)
    assert "policies allows 8" in small
    with services.store.transaction() as tx, pytest.raises(InputError, match="does not run"):
        ledger.charge(tx, "lab", job(2), 0, MODEL)
    await settling.settle(services, "both", ["ward", "lab"])
    assert group(services, "lab") == ("lab",)
    with services.store.transaction() as tx:
        ledger.charge(tx, "lab", job(2), 0, MODEL)
        ledger.charge(tx, "ward", job(1), 0, MODEL)


async def test_a_data_set_that_was_never_used_leaves_nothing(services: Any) -> None:
    other = rows(3)
    for name, lines in (("ward", WARD), ("lab", other), ("both", [*WARD, *other])):
        await settled(services, name, lines, epsilon=8)
    assert group(services, "lab") == ("both", "lab", "ward")
    remove(services, "both")
    assert group(services, "lab") == ("lab",)
    with services.store.snapshot() as tx:
        assert [each.dataset for each in people.versions(tx)] == ["ward", "lab"]
    # Used, if only for a job that is not over yet.
    await settled(services, "both", [*WARD, *other], epsilon=8)
    assert await reserve(services, "both", 1) == ""
    remove(services, "both")
    assert group(services, "lab") == ("both", "lab", "ward")
    with services.store.transaction() as tx:
        ledger.release(tx, job(1))
    await settled(services, "both", [*WARD, *other], epsilon=8)
    remove(services, "both")
    assert group(services, "lab") == ("lab",)


async def test_no_word_makes_the_same_bytes_other_people(services: Any) -> None:
    await settled(services, "ward", WARD)
    with services.store.transaction() as tx:
        ward = catalogue.load_dataset(tx, "ward")
        assert ward is not None
        catalogue.save_dataset(tx, dataclasses.replace(ward, name="again"))
    await settling.settle(services, "again", ["ward"])
    await settling.settle(services, "again", ["ward"])
    assert group(services, "ward") == ("again", "ward")


async def test_a_hold_out_set_is_compared_with_nothing(services: Any) -> None:
    await settled(services, "ward", WARD)
    await add(services, "held", WARD)
    with services.store.transaction() as tx:
        catalogue.mark_holdout(tx, "held")
    await settling.settle_all(services)
    assert group(services, "ward") == ("ward",)


async def test_the_setting_says_how_much_is_shared(services: Any) -> None:
    await settled(services, "ward", WARD)
    services.config = dataclasses.replace(Config(), overlap=0.3)
    await settled(services, "fifth", [*WARD[:40], *rows(2, 160)])
    assert group(services, "fifth") == ("fifth",)
    services.config = Config()
    await settled(services, "sixth", [*WARD[40:80], *rows(4, 160)])
    assert group(services, "sixth") == ("sixth", "ward")


async def test_jobs_without_noise_are_counted_together(services: Any) -> None:
    await settled(services, "ward", WARD, no_noise=True, no_noise_jobs=2)
    await settled(services, "near", NEAR, no_noise=True, no_noise_jobs=2)
    sets = {}
    with services.store.snapshot() as tx:
        for name in ("ward", "near"):
            sets[name] = catalogue.load_dataset(tx, name)
    asker = b"\x11" * 20
    assert await joins.join(services, sets["ward"], job(1), asker) == ""
    assert await joins.others(services, sets["near"], job(2)) == {job(1)}
    assert await joins.join(services, sets["near"], job(2), asker) == ""
    why = await joins.join(services, sets["near"], job(3), asker)
    assert why.startswith("near and data sets that have rows of it have joined 2 of 2 jobs")
    (shown,) = await budgets.privacy(services, "ward")
    assert (shown.no_noise_joined, shown.no_noise_jobs) == (2, 2)
    remove(services, "ward")
    assert await joins.join(services, sets["near"], job(3), asker) != ""


async def test_who_takes_no_job_without_noise_holds_for_copies_too(services: Any) -> None:
    await settled(services, "ward", WARD, no_noise=False)
    await settled(services, "near", NEAR, no_noise=True, no_noise_jobs=2)
    with services.store.snapshot() as tx:
        near = catalogue.load_dataset(tx, "near")
    why = await joins.join(services, near, job(1), b"\x11" * 20)
    assert "joined 0 of 0 jobs without noise that the strictest of their policies allows" in why


# When


async def test_nothing_is_reserved_joined_or_charged_before_it_is_compared(services: Any) -> None:
    await add(services, "ward", WARD)
    store = services.store
    assert "is not compared" in await reserve(services, "ward", 1)
    with store.snapshot() as tx:
        ward = catalogue.load_dataset(tx, "ward")
    assert ward is not None
    assert "is not compared" in await joins.join(services, ward, job(1), b"\x11" * 20)
    await settling.settle_all(services)
    assert await reserve(services, "ward", 1) == ""
    # A reserve of an earlier assay: its rounds wait as well.
    with store.transaction() as tx:
        tx.execute("DELETE FROM sketches")
        with pytest.raises(InputError, match="is not compared"):
            ledger.charge(tx, "ward", job(1), 0, MODEL)


async def test_data_sets_of_an_earlier_assay_are_compared(services: Any) -> None:
    for name, lines in (("ward", WARD), ("near", NEAR), ("lab", rows(3))):
        await add(services, name, lines)
    await settling.settle_all(services)
    assert group(services, "ward") == ("near", "ward")
    calls = len(services.compute.calls)
    await settling.settle_all(services)
    assert len(services.compute.calls) == calls


async def test_a_copy_that_is_gone_takes_no_job_and_stops_no_other(services: Any) -> None:
    await add(services, "ward", WARD)
    await add(services, "lab", rows(3))
    with services.store.snapshot() as tx:
        ward = catalogue.load_dataset(tx, "ward")
    assert ward is not None
    for path in services.home.datasets.rglob(f"*{ward.digest.hex()[4:20]}*"):
        path.unlink()
    await settling.settle_all(services)
    with pytest.raises(InputError, match="ward cannot be compared"):
        await settling.settle(services, "ward")
    assert "is not compared" in await reserve(services, "ward", 1)
    assert await reserve(services, "lab", 2) == ""


async def test_two_that_are_added_at_once_see_each_other(services: Any) -> None:
    for name, lines in (("ward", WARD), ("near", NEAR)):
        await add(services, name, lines)
    async with trio.open_nursery() as nursery:
        for name in ("ward", "near"):
            nursery.start_soon(settling.settle, services, name)
    assert group(services, "ward") == ("near", "ward")


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_kill_leaves_all_of_a_comparison_or_nothing(
    services: Any, home: Home, moment: str
) -> None:
    """SIGKILL inside the transaction that stores it, and right behind."""
    await settled(services, "ward", WARD, epsilon=8)
    await add(services, "near", NEAR)
    services.store.close()
    script = """
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
import trio
from kits.budgets import Inline
from node.home.config import Config
from node.home.home import Home
from node.privacy import settling
from node.store import people
from node.store.store import Store, Transaction

class Keys:
    def derive(self, purpose):
        return purpose.encode().ljust(32, b"k")[:32]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

home = Home(Path(sys.argv[1]))
store = Store.open(home.database)
if sys.argv[2] == "before":
    people.save_link = die  # the sketch is in the transaction already
services = SimpleNamespace(
    home=home, store=store, compute=Inline(), config=Config(), keys=Keys()
)
trio.run(settling.settle, services, "near")
die()
"""
    died = subprocess.run(  # noqa: ASYNC221 - nothing else runs here
        [sys.executable, "-c", script, str(home.path), moment],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", **mark()},
    )
    assert died.returncode == -signal.SIGKILL
    with Store.open(home.database) as again:
        found = services_of(home, again)
        whole = moment == "after"
        assert group(found, "near") == (("near", "ward") if whole else ("near",))
        assert bool(await reserve(found, "near", 1)) is not whole
        await settling.settle(found, "near")
        assert group(found, "near") == ("near", "ward")
        assert await reserve(found, "near", 1) == ""


async def test_what_is_at_rest_is_sealed(services: Any, home: Home) -> None:
    from node.data.readers import read_file
    from node.privacy.prints import encode_sketch, sketch_of

    await settled(services, "ward", WARD)
    keys = settling.sketch_keys(services)
    assert "k" * 8 not in repr(keys)
    plain = encode_sketch(sketch_of(read_file(home.path / "ward.csv"), keys.prints))
    with services.store.snapshot() as tx:
        (version,) = people.versions(tx)
        sealed = people.load_sketch(tx, version)
    assert sealed is not None
    assert len(sealed) == len(plain) + 28
    assert plain[100:132] not in sealed
    with services.store.transaction() as tx:
        tx.execute("UPDATE sketches SET sketch = zeroblob(100)")
    await add(services, "near", NEAR)
    with pytest.raises(InputError, match="does not open"):
        await settling.settle(services, "near")


# The sum


NAMES = ("ward", "near", "far")
#: Which data set each job is on.
_TWO = ["ward", "near", "ward", "near", "far"]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.integers(1, 5), st.sampled_from([3.0, 7.0])),
        st.tuples(st.just("charge"), st.integers(1, 5), st.integers(1, 4)),
        st.tuples(st.just("release"), st.integers(1, 5), st.none()),
        st.tuples(st.just("policy"), st.sampled_from([5.0, 8.0]), st.sampled_from(NAMES)),
        st.tuples(st.just("link"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    ),
    max_size=20,
)


@given(STEPS, st.lists(st.sampled_from(NAMES), min_size=5, max_size=5))
@example(
    [
        ("link", "ward", "near"),
        ("reserve", 1, 7.0),
        ("reserve", 2, 7.0),
        ("charge", 1, 4),
        ("charge", 2, 4),
    ],
    _TWO,
)
@example(
    [
        ("reserve", 1, 7.0),
        ("reserve", 2, 7.0),
        ("charge", 1, 1),
        ("link", "ward", "near"),
        ("charge", 1, 4),
        ("charge", 2, 4),
    ],
    _TWO,
)
@example(
    [
        ("link", "near", "ward"),
        ("policy", 5.0, "near"),
        ("reserve", 1, 7.0),
        ("charge", 1, 4),
    ],
    _TWO,
)
@examples(0.25)
def test_no_charge_of_a_group_passes_its_budget(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any, Any]], of: list[str]
) -> None:
    """Whatever jobs come on which of its data sets, in whatever order, and whenever it grows."""
    path = tmp_path_factory.mktemp("group") / "assay.db"
    limits = dict.fromkeys(NAMES, 8.0)
    groups = {name: frozenset({name}) for name in NAMES}

    async def link(services: Any, number: int, one: str, other: str) -> None:
        """A new version of `one` is found to share rows with `other`."""
        version, known = Version(one, bytes([number]) * 32), Version(other, b"d" * 32)
        seen = await services.store.read(people.versions)
        links = [Link(version, known, 1.0, apart=False)]
        assert await settling._enter(services, version, b"", links, (), seen)
        merged = groups[one] | groups[other]
        groups.update(dict.fromkeys(merged, merged))

    def told(tx: Transaction, group: frozenset[str]) -> tuple[Charge, ...]:
        """What was charged to all of them, from the tables themselves."""
        rows = tx.execute(
            "SELECT dataset, rate, multiplier, (SELECT count(*) FROM privacy_charges c"
            " WHERE c.job = r.job) FROM privacy_reserves r ORDER BY job"
        )
        return tuple(Charge(*rest) for name, *rest in rows if name in group)

    def charge(store: Store, name: str, number: int, rounds: int) -> None:
        for round_ in range(rounds):
            with store.transaction() as tx:
                before = told(tx, groups[name])
                try:
                    ledger.charge(tx, name, job(number), round_, MODEL)
                except InputError:
                    assert told(tx, groups[name]) == before
                    continue
                after = told(tx, groups[name])
                if after != before:
                    budget = min(limits[each] for each in groups[name])
                    assert computed(spent, after, 1e-5) <= budget

    async def play(store: Store) -> None:
        services: Any = SimpleNamespace(store=store, compute=Inline())
        for number, (kind, first, second) in enumerate(steps):
            if kind == "reserve":
                spec = noisy_spec(second, rounds=4)
                await privacy.reserve_job(services, of[first - 1], job(first), spec, ROWS)
            elif kind == "policy":
                limits[second] = first
                changed = with_changes(Policy.closed(), {"epsilon": first})
                await privacy.set_policy(services, second, changed)
            elif kind == "link" and first != second:
                await link(services, number, first, second)
            elif kind == "charge":
                charge(store, of[first - 1], first, second)
            elif kind == "release":
                with store.transaction() as tx:
                    ledger.release(tx, job(first))

    with Store.open(path) as store:
        fill(store, *NAMES)
        trio.run(play, store)
