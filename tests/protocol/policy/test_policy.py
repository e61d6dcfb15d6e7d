"""What an owner's policy lets through, leaves to a person, and refuses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kits.specs import SPEC

from protocol import params
from protocol.addresses import to_checksum
from protocol.errors import InputError, Malformed
from protocol.policy.policy import Accept, Policy
from protocol.policy.rules import (
    DatasetFacts,
    Decision,
    Standing,
    Verdict,
    judge,
    obstacles,
)
from protocol.policy.terms import describe, with_changes
from protocol.spec.job import ETHER, JobSpec
from protocol.tokens import Token, Tokens
from protocol.wire.codec import decode, encode

DATA = DatasetFacts(("id", *SPEC.columns), 100)
REQUESTER = SPEC.requester.account
OTHER = b"\x77" * 20
OPEN = with_changes(Policy.closed(), {"accept": "auto", "no_noise": True})


def spec_with(part: str, **values: Any) -> JobSpec:
    return dataclasses.replace(SPEC, **{part: dataclasses.replace(getattr(SPEC, part), **values)})


def test_a_new_dataset_takes_nothing() -> None:
    policy = Policy.closed()
    assert not policy.decided
    decision = judge(policy, SPEC, DATA)
    assert decision.verdict is Verdict.WAIT
    assert decision.reasons[0] == "its dataset's owner has set no policy yet"
    even_cheap = dataclasses.replace(policy, accept=Accept.AUTO, no_noise=True)
    assert judge(even_cheap, SPEC, DATA).verdict is Verdict.WAIT


def test_a_job_that_fits_is_taken_without_asking() -> None:
    assert judge(OPEN, SPEC, DATA) == Decision(Verdict.ACCEPT, ())
    assert obstacles(OPEN, SPEC, DATA) == ()


def test_no_noise_takes_the_owners_word() -> None:
    policy = with_changes(Policy.closed(), {"accept": "auto"})
    decision = judge(policy, SPEC, DATA)
    assert decision.verdict is Verdict.REFUSE
    assert decision.reasons == (
        "it adds no noise, which the policy does not allow (no_noise=true would)",
    )
    assert obstacles(Policy.closed(), SPEC, DATA) == decision.reasons
    assert obstacles(policy, SPEC, DATA) == decision.reasons


# Each term: the change, the job that still fits, the job that does not, words of the reason.
WAITS = [
    (
        {"price_floor": "0.001 ether"},
        SPEC,
        spec_with("payment", rate=10**15 - 1),
        "the price floor",
    ),
    ({"purposes": "teaching,research"}, SPEC, dataclasses.replace(SPEC, purpose="ads"), "allows"),
    (
        {"requesters": (to_checksum(REQUESTER),)},
        SPEC,
        spec_with("requester", account=OTHER),
        "not on the policy's list",
    ),
    (
        {"min_block": 6},
        spec_with("cohort", min_owners=6, max_owners=6, block_size=6),
        SPEC,
        "blocks have 5 members",
    ),
    ({"max_rounds": 20}, SPEC, spec_with("training", rounds=21), "runs 21 rounds"),
    (
        {"min_contribute_seconds": 300},
        SPEC,
        spec_with("timing", contribute_seconds=299),
        "leaves 299 s",
    ),
    (
        {},
        spec_with("privacy", corrupt=1),
        spec_with("privacy", corrupt=0),
        "bear 0 members that work for its requester (privacy.corrupt); the policy asks for 1",
    ),
    (
        {"corrupt_least": 0, "finality_least": 0},
        spec_with("privacy", corrupt=0),
        spec_with("payment", rate=1, token=OTHER),
        "pays in token",
    ),
    (
        {},
        spec_with("timing", finality_blocks=1),
        spec_with("timing", finality_blocks=0),
        "count under 0 further chain blocks (timing.finality_blocks); the policy asks for 1",
    ),
    (
        {"finality_least": 12},
        spec_with("timing", finality_blocks=12),
        spec_with("timing", finality_blocks=11),
        "the policy asks for 12",
    ),
    ({"token": to_checksum(OTHER)}, spec_with("payment", token=OTHER), SPEC, "pays in ether"),
    ({}, SPEC, spec_with("payment", token=OTHER), f"pays in token {to_checksum(OTHER)}"),
]


@pytest.mark.parametrize(("changes", "fits", "waits", "reason"), WAITS)
def test_what_does_not_fit_waits_for_a_person(
    changes: dict[str, Any], fits: JobSpec, waits: JobSpec, reason: str
) -> None:
    policy = with_changes(OPEN, changes)
    assert judge(policy, fits, DATA) == Decision(Verdict.ACCEPT, ())
    decision = judge(policy, waits, DATA)
    assert decision.verdict is Verdict.WAIT
    assert len(decision.reasons) == 1
    assert reason in decision.reasons[0]
    assert obstacles(policy, waits, DATA) == ()


NOISY = dataclasses.replace(
    SPEC,
    privacy=dataclasses.replace(SPEC.privacy, epsilon=4.0, delta=1e-6),
    training=dataclasses.replace(SPEC.training, local_steps=1),
)


def test_a_job_above_the_whole_budget_is_refused_with_the_numbers() -> None:
    policy = with_changes(Policy.closed(), {"accept": "auto", "epsilon": 4})
    assert judge(policy, NOISY, DATA) == Decision(Verdict.ACCEPT, ())
    tighter = with_changes(policy, {"epsilon": "3.9"})
    decision = judge(tighter, NOISY, DATA)
    assert decision.verdict is Verdict.REFUSE
    assert decision.reasons == ("it costs epsilon 4; the policy allows 3.9 over all jobs",)
    assert obstacles(tighter, NOISY, DATA) == decision.reasons
    none = with_changes(policy, {"epsilon": 0})
    assert judge(none, NOISY, DATA).verdict is Verdict.REFUSE
    # The budget is noise's alone: a job without any is no_noise's to allow.
    assert judge(with_changes(none, {"no_noise": True}), SPEC, DATA).verdict is Verdict.ACCEPT


def test_a_dataset_joins_so_many_jobs_without_noise_and_no_hand_takes_more() -> None:
    one, two = Standing(joined=1), Standing(joined=2)
    decision = judge(OPEN, SPEC, DATA, one)
    assert decision.verdict is Verdict.REFUSE
    (reason,) = decision.reasons
    assert "has joined 1 of 1 such jobs that the policy allows in its life" in reason
    assert "(no_noise_jobs=2 would allow it)" in reason
    assert obstacles(OPEN, SPEC, DATA, one) == decision.reasons
    more = with_changes(OPEN, {"no_noise_jobs": 2})
    assert judge(more, SPEC, DATA, one).verdict is Verdict.ACCEPT
    assert judge(more, SPEC, DATA, two).verdict is Verdict.REFUSE
    assert (
        "no_noise_jobs=1" in judge(with_changes(OPEN, {"no_noise_jobs": 0}), SPEC, DATA).reasons[0]
    )
    # Noise is the ledger's: its jobs compose, and need no count.
    assert judge(OPEN, NOISY, DATA, two).verdict is Verdict.ACCEPT


def test_known_members_must_fit_into_a_block() -> None:
    known = ",".join(to_checksum(bytes([i]) * 20) for i in range(1, 12))
    fits = SPEC.cohort.largest_block - 1
    policy = with_changes(OPEN, {"known": known, "known_least": fits})
    assert judge(policy, SPEC, DATA).verdict is Verdict.ACCEPT
    decision = judge(with_changes(policy, {"known_least": fits + 1}), SPEC, DATA)
    assert decision.verdict is Verdict.WAIT
    assert f"asks for {fits + 1} known ones" in decision.reasons[0]


def test_more_known_members_than_known_accounts_cannot_be_asked_for() -> None:
    two = ",".join(to_checksum(bytes([i]) * 20) for i in (1, 2))
    with pytest.raises(InputError, match="leaves 0 known accounts; known_least is 1") as refused:
        with_changes(OPEN, {"known_least": 1})
    assert refused.value.field == "known_least"
    policy = with_changes(OPEN, {"known_least": 2, "known": two})
    with pytest.raises(InputError, match="leaves 1 known accounts") as refused:
        with_changes(policy, {"known": to_checksum(bytes([1]) * 20)})
    assert refused.value.field == "known"
    with pytest.raises(Malformed, match="known_least"):
        dataclasses.replace(policy, known=())


def test_open_models_can_be_left_out() -> None:
    decision = judge(with_changes(OPEN, {"open_models": "no"}), SPEC, DATA)
    assert decision == Decision(
        Verdict.WAIT, ("its model is open; the policy asks its owner (open_models=true would not)",)
    )


def test_ask_leaves_every_job_to_the_owner_and_never_takes_none() -> None:
    asked = judge(with_changes(OPEN, {"accept": "ask"}), SPEC, DATA)
    assert asked.verdict is Verdict.WAIT
    assert asked.reasons == ("the policy leaves every job to its owner (accept=auto would not)",)
    never = judge(with_changes(OPEN, {"accept": "never"}), SPEC, DATA)
    assert never == Decision(Verdict.REFUSE, ("the policy takes no job (accept=never)",))


def test_unpaid_attempts_are_counted_against_the_requester() -> None:
    policy = with_changes(OPEN, {"max_unpaid": 2})
    assert judge(policy, SPEC, DATA, Standing(unpaid=2)).verdict is Verdict.ACCEPT
    decision = judge(policy, SPEC, DATA, Standing(unpaid=3))
    assert decision.verdict is Verdict.WAIT
    assert "left 3 attempts unpaid; the policy allows 2" in decision.reasons[0]


@pytest.mark.parametrize("policy", [OPEN, Policy.closed()])
def test_what_cannot_work_is_refused_whatever_the_policy(policy: Policy) -> None:
    missing = judge(policy, SPEC, DatasetFacts(("age", "stay"), 100))
    assert missing == Decision(Verdict.REFUSE, ("the dataset has no column 'ward'",))
    several = judge(policy, SPEC, DatasetFacts((), 0))
    assert several.verdict is Verdict.REFUSE
    assert several.reasons == (
        "the dataset has no column 'age', 'ward', 'stay'",
        "the dataset has no rows",
    )
    admitted = tuple(bytes([i]) * 20 for i in range(1, 6))
    listed = spec_with("cohort", max_owners=5, admission=admitted)
    refused = judge(policy, listed, DATA, Standing(account=OTHER))
    assert refused.verdict is Verdict.REFUSE
    assert "admits 5 accounts only" in refused.reasons[0]
    if policy.decided:
        assert judge(policy, listed, DATA, Standing(account=admitted[2])).verdict is Verdict.ACCEPT


def test_many_missing_columns_make_one_line() -> None:
    from protocol.spec.job import NumberFeature

    wide = dataclasses.replace(
        SPEC, features=tuple(NumberFeature(f"c{i}", 0.0, 1.0) for i in range(9))
    )
    (reason,) = judge(OPEN, wide, DATA).reasons
    assert reason == "the dataset has no column 'c0', 'c1', 'c2' and 6 more"


def test_a_blocked_requester_is_refused() -> None:
    policy = with_changes(OPEN, {"blocked": to_checksum(REQUESTER)})
    decision = judge(policy, SPEC, DATA)
    assert decision.verdict is Verdict.REFUSE
    assert decision.reasons == (f"its requester {to_checksum(REQUESTER)} is blocked",)
    assert judge(policy, spec_with("requester", account=OTHER), DATA).verdict is Verdict.ACCEPT


def test_all_reasons_are_told() -> None:
    policy = with_changes(
        OPEN, {"accept": "ask", "price_floor": "1 ether", "purposes": "teaching", "max_rounds": 1}
    )
    assert len(judge(policy, SPEC, DATA).reasons) == 4


CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "accept": st.sampled_from(["never", "ask", "auto"]),
        "price_floor": st.integers(0, 10**20),
        "no_noise": st.booleans() | st.sampled_from(["yes", "no", "true", "False"]),
        "open-models": st.booleans(),
        "sealed-models": st.booleans(),
        "purposes": st.sampled_from(["", "research", "b,a , c", ("x", "y")]),
        "requesters": st.lists(st.binary(min_size=20, max_size=20).map(to_checksum)).map(tuple),
        "blocked": st.lists(st.binary(min_size=20, max_size=20).map(to_checksum)).map(",".join),
        "min_block": st.integers(5, 32) | st.integers(5, 32).map(str),
        "max_rounds": st.integers(1, 255),
        "max_unpaid": st.integers(0, 100),
        "min_contribute_seconds": st.integers(1, 604_800),
        "epsilon": st.floats(0, 1e3) | st.sampled_from(["8", "0.5", "-0.0", 3]),
        "delta": st.floats(1e-12, 0.1) | st.just("1e-5"),
        "corrupt_least": st.integers(0, 32),
        "finality_least": st.integers(0, 1024) | st.just("3"),
        "no_noise_jobs": st.integers(0, 10_000),
        "published_sums": st.booleans() | st.just("true"),
    },
)


@given(CHANGES)
def test_a_policy_survives_storage_and_what_is_shown_sets_it_again(changes: dict[str, Any]) -> None:
    policy = with_changes(Policy.closed(), changes)
    assert policy.decided
    assert decode(Policy, encode(policy), 65_536) == policy
    shown = {term.name: term.value for term in describe(policy)}
    assert with_changes(Policy.closed(), shown) == policy
    assert set(shown) == {f.name for f in dataclasses.fields(Policy)} - {"decided"}


@given(CHANGES, st.integers(0, 10**18), st.booleans())
def test_only_a_decided_policy_ever_accepts(
    changes: dict[str, Any], rate: int, decided: bool
) -> None:
    policy = dataclasses.replace(with_changes(Policy.closed(), changes), decided=decided)
    decision = judge(policy, spec_with("payment", rate=rate + 1), DATA)
    assert bool(decision.reasons) == (decision.verdict is not Verdict.ACCEPT)
    if decision.verdict is Verdict.ACCEPT:
        assert decided
        assert policy.no_noise
        assert policy.accept is Accept.AUTO
        assert rate + 1 >= policy.price_floor


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("price-flor", "1", "price-flor: is no term of a policy; did you mean price_floor?"),
        ("zzz", "1", "terms are accept, price_floor"),
        ("price-floor", "1 eth", "price-floor: is '1 eth'; units are wei, gwei, ether"),
        ("price_floor", 0.5, "price_floor: is 0.5; allowed is a whole number of wei"),
        ("accept", "always", "accept: is 'always'; allowed is never, ask or auto"),
        ("accept", True, "accept: is True; allowed is never, ask or auto"),
        ("no_noise", "maybe", "no_noise: is 'maybe'; allowed is true or false"),
        ("no_noise", 1, "no_noise: is 1; allowed is true or false"),
        ("min_block", 4, "min_block: is 4; allowed is a whole number from 5 to 32"),
        ("min_block", 33, "min_block: is 33; allowed"),
        ("min_block", "5.0", "min_block: is '5.0'; allowed"),
        ("min_block", True, "min_block: is True; allowed"),
        ("max_rounds", 256, "max_rounds: is 256; allowed is a whole number from 1 to 255"),
        ("max_rounds", "9" * 30, "max_rounds: is '999"),
        ("max_unpaid", -1, "max_unpaid: is -1; allowed"),
        ("epsilon", -1, "epsilon: is -1; allowed is a number from 0 to 1000"),
        ("epsilon", "nan", "epsilon: is 'nan'; allowed"),
        ("epsilon", "much", "epsilon: is 'much'; allowed"),
        ("epsilon", True, "epsilon: is True; allowed"),
        ("epsilon", 10**400, "epsilon: is 1000"),
        ("delta", 0, "delta: is 0; allowed is a number from 1e-12 to 0.1"),
        ("known_least", 32, "known_least: is 32; allowed is a whole number from 0 to 31"),
        ("purposes", "Re search", "purposes: is 'Re search'; allowed is a list of words"),
        ("purposes", 3, "purposes: is 3; allowed"),
        ("requesters", "0x12", "requesters: '0x12' is not an address"),
        ("blocked", ("a",) * 257, "allowed is a list of at most 256 addresses"),
        ("token", 5, "token: is 5; allowed is ether, a token's name here or its address"),
        ("decided", True, "decided: is no term of a policy"),
    ],
)
def test_a_wrong_term_is_named_with_what_is_allowed(name: str, value: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        with_changes(OPEN, {"max_unpaid": 1, name: value})
    assert message in str(caught.value)
    assert caught.value.field == name


def test_null_puts_a_term_back_to_its_default() -> None:
    policy = with_changes(OPEN, {"max_rounds": 3, "purposes": "x"})
    assert with_changes(policy, {"max_rounds": None, "purposes": None}) == OPEN


def test_a_term_may_be_given_once() -> None:
    with pytest.raises(InputError, match="given twice"):
        with_changes(OPEN, {"max_unpaid": 1, "max-unpaid": 2})


def test_a_floor_is_never_read_in_another_token() -> None:
    token = to_checksum(OTHER)
    priced = with_changes(OPEN, {"price_floor": "1 gwei"})
    with pytest.raises(InputError, match="changes the unit of price_floor"):
        with_changes(priced, {"token": token})
    with pytest.raises(InputError, match="whole number of the token's smallest unit"):
        with_changes(priced, {"token": token, "price_floor": "1 ether"})
    changed = with_changes(priced, {"token": token, "price_floor": "250"})
    assert (changed.token, changed.price_floor) == (OTHER, 250)
    with pytest.raises(InputError, match="changes the unit"):
        with_changes(changed, {"token": "ether"})
    assert with_changes(changed, {"token": "ether", "price_floor": None}).token == ETHER


def test_a_policy_with_lists_out_of_order_cannot_be_built() -> None:
    for values in ({"purposes": ("b", "a")}, {"blocked": (OTHER, OTHER)}):
        with pytest.raises(Malformed, match="must ascend"):
            dataclasses.replace(OPEN, **values)
    most = tuple(i.to_bytes(20, "big") for i in range(params.MAX_POLICY_ENTRIES + 1))
    assert dataclasses.replace(OPEN, requesters=most[:-1]).requesters == most[:-1]
    with pytest.raises(Malformed, match="length 257"):
        dataclasses.replace(OPEN, requesters=most)


def test_a_floor_in_a_token_by_its_name() -> None:
    known = Tokens((Token(1, b"\x11" * 20, "USDC", 6),))
    changed = with_changes(OPEN, {"token": "usdc", "price_floor": "0.25 USDC"}, known)
    assert (changed.token, changed.price_floor) == (b"\x11" * 20, 250_000)
    assert with_changes(changed, {"price-floor": "1 USDC"}, known).price_floor == 1_000_000
    with pytest.raises(InputError, match="price_floor: is '1 ether', but the token is USDC"):
        with_changes(changed, {"price_floor": "1 ether"}, known)
    told = judge(changed, SPEC, DATA, Standing(tokens=known)).reasons[0]
    assert told == "it pays in ether; the policy asks for USDC"
    floor = dataclasses.replace(SPEC.payment, token=b"\x11" * 20, rate=1)
    spec = dataclasses.replace(SPEC, payment=floor)
    (told,) = judge(changed, spec, DATA, Standing(tokens=known)).reasons
    assert told == "it pays 0.000001 USDC a contribution; the price floor is 0.25 USDC"


def test_a_payout_account_is_an_account() -> None:
    account = to_checksum(b"\x5a" * 20)
    named = with_changes(OPEN, {"payout": account})
    assert named.payout == b"\x5a" * 20
    assert {term.name: term.value for term in describe(named)}["payout"] == account
    assert with_changes(named, {"payout": None}).payout == b""
    wrong = account[:-1] + ("1" if account[-1] != "1" else "2")
    for value in (wrong, to_checksum(bytes(20)), "", 5, True):
        with pytest.raises(InputError) as caught:
            with_changes(OPEN, {"payout": value})
        assert caught.value.field == "payout"
    for body in (b"\x5a" * 19, bytes(20)):
        with pytest.raises(Malformed):
            dataclasses.replace(OPEN, payout=body)
