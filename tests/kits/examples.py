"""How many examples of a property a run tries: three profiles, and parts of them for single tests.

`dev` is what `scripts/test` runs while one works, `ci` what `.ci/run` does (it sets CI), `long`
what `--long` does. None of them fails because a machine is slow: no example has a deadline, and
slow generation is no failure.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import HealthCheck, settings

#: Examples of a property, by profile.
PROFILES = {"dev": 25, "ci": 100, "long": 500}

#: So many are tried of the dearest property, unless the profile's part is more.
_LEAST = 5

#: What a property that holds must not fail for: how fast the machine is that runs it.
_OF_THE_MACHINE = (HealthCheck.too_slow,)


def register() -> None:
    """Make the profiles known to Hypothesis; `dev` holds until a run chooses another."""
    for name, examples in PROFILES.items():
        settings.register_profile(
            name,
            max_examples=examples,
            deadline=None,
            suppress_health_check=_OF_THE_MACHINE,
            print_blob=name != "dev",
        )
    settings.load_profile("dev")


def examples(part: float, *, steps: int = 50, allow: Iterable[HealthCheck] = ()) -> settings:
    """Settings with this part of the profile's examples, for a property dearer or harder than most.

    At least five, since one run of a state machine says little. Each run of a state machine takes
    at most `steps`; what `allow` names is no failure.
    """
    return settings(
        max_examples=max(_LEAST, round(part * settings().max_examples)),
        stateful_step_count=steps,
        suppress_health_check=(*_OF_THE_MACHINE, *allow),
    )
