"""The figures of the bounty contract: gas of its calls, which is the same on every machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from protocol.params import MAX_WHOLE_ACCOUNTS
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
    """All calls of a job of 50 contributions, divided by them."""
    job = contract_gas.whole_job()
    parts = {f"{call}": (gas, None) for call, gas in job.items()}
    parts["all, venom"] = (sum(contract_gas.whole_job(experimental=True).values()), None)
    parts["all, by claims"] = (sum(contract_gas.whole_job(whole=False).values()), None)
    return Measurement(sum(job.values()) / 50, parts=parts, notes=(_RULES,))


def _pay_all(_: Context) -> Measurement:
    """A payment of one whole round of 256, divided by them; eight rounds beside it."""
    parts: dict[str, tuple[float, float | None]] = {}
    for generator, experimental in _GENERATORS.items():
        for call, gas in contract_gas.whole_rounds(experimental).items():
            parts[f"{call}, {generator}"] = (gas, None)
    one = parts["pay, 1 round, 256 owners, legacy"][0]
    return Measurement(one / MAX_WHOLE_ACCOUNTS, parts=parts, notes=(_RULES,))


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
            "gas-pay-256",
            "a round of 256 owners paid in full, for each",
            12_500,
            _pay_all,
        ),
        _figure(
            "gas-job",
            "all calls of a job of five owners and ten rounds, per contribution",
            20_000,
            _job,
        ),
    ),
)
