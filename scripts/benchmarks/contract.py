"""The figures of the bounty contract: gas of its calls, which is the same on every machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from scripts.benchmarks import contract_gas
from scripts.benchmarks.figures import Bar, Context, Figure, Measurement, On, Suite

_SIZES = (contract_gas.SMALLEST, contract_gas.LARGEST)
_GENERATORS = {"legacy": False, "venom": True}

_calls = cache(contract_gas.calls)


def _dearest(names: tuple[str, ...], _: Context) -> Measurement:
    """The most that is paid for calls of these names, at any size, as deployed."""
    parts, deployed = {}, []
    for generator, experimental in _GENERATORS.items():
        for size in _SIZES:
            for name in names:
                gas = _calls(size, experimental)[name]
                parts[f"{name}, {size} owners, {generator}"] = (gas, None)
                if not experimental:
                    deployed.append(gas)
    return Measurement(max(deployed), parts=parts, notes=(_RULES,))


def _job(_: Context) -> Measurement:
    """All calls of a job of 50 contributions, divided by them: paid by its settlement."""
    job, venom = contract_gas.whole_job(), contract_gas.whole_job(experimental=True)
    parts = {f"{call}": (gas, None) for call, gas in job.items()}
    whole = sum(job.values())
    parts["all, paid by claims"] = (whole - job["settle"] - job["pay"] - job["withdraw"], None)
    parts["all, paid by settlement, venom"] = (sum(venom.values()) - venom["claim"], None)
    return Measurement((whole - job["claim"]) / 50, parts=parts, notes=(_RULES,))


def _settled(name: str, accounts: int, _: Context) -> Measurement:
    """A call of a settlement, by the account, as deployed."""
    found = {each: contract_gas.settled_calls(v) for each, v in _GENERATORS.items()}
    parts = {
        f"{call}, {each}": (gas, None)
        for each, calls in found.items()
        for call, gas in calls.items()
    }
    return Measurement(found["legacy"][name] / accounts, parts=parts, notes=(_RULES,))


_RULES = "py-evm, Prague rules; accounts that are paid hold ether already; legacy code is deployed."


def _figure(name: str, what: str, bar: int, measure: Callable[[Context], Measurement]) -> Figure:
    return Figure(name, what, "gas", Bar(On.OURS, bar, at_most=True), measure)


SUITE = Suite(
    name="contract",
    title="The contract",
    figures=(
        _figure("gas-post", "post, in ether", 140_000, partial(_dearest, ("post, ether",))),
        _figure(
            "gas-commit",
            "commit, the dearer of a job's first and next, at 10 and 4,096 owners",
            65_000,
            partial(_dearest, ("commit, first", "commit, next")),
        ),
        _figure(
            "gas-claim-1",
            "a claim of one round, among 4,096 owners at most",
            88_000,
            partial(_dearest, ("claim, 1 round",)),
        ),
        _figure(
            "gas-claim-20",
            "a claim of 20 rounds, among 4,096 owners at most",
            330_000,
            partial(_dearest, ("claim, 20 rounds",)),
        ),
        _figure(
            "gas-settled-claim",
            "an account's pay for any number of rounds, by a settlement, of 4,096 accounts at most",
            80_000,
            partial(_settled, "collect, first", 1),
        ),
        _figure(
            "gas-pay-256",
            "256 payments in one call, each",
            12_500,
            partial(_settled, "pay, 256 accounts", 256),
        ),
        _figure(
            "gas-job",
            "all calls of a job of five owners and ten rounds, settled, per contribution",
            20_000,
            _job,
        ),
    ),
)
