"""One policy for the ten tasks of a suite of LIBERO, beside what can be had without eyes."""

from __future__ import annotations

from dataclasses import replace

from foresight.envs.libero.tasks import NAMESPACE, SUITES, SWAPPED
from foresight.evaluation.results import Result
from foresight.pipelines import demonstrated
from foresight.pipelines.demonstrated import DemonstratedConfig
from studies.demonstrated import measured
from studies.registry import Request

SUITE = "spatial"
POLICIES = ("chunk", "blind", "replay", "flow", "random-eyes", "zero", "expert")
BRIEF = ("flow", "random-eyes", "zero", "expert")
"""On half the starts: what stands beside, and is not what the policy has to be above."""
PROTOCOLS = ("wide", "fifty")
"""Places that vary by some centimetres more than the benchmark's; and the benchmark's own."""


def presets(suite: str = SUITE) -> dict[str, DemonstratedConfig]:
    """The named sizes. Demonstrations begin where places vary most, never from the benchmark's
    states. ``full`` also asks where LIBERO-PRO has things change places; ``short`` where places
    vary most only, and for what the policy has to be above.
    """
    tasks = tuple(f"{NAMESPACE}{suite}/{task}" for task in SUITES[suite])
    sizes = {
        name: replace(config, protocols=PROTOCOLS)
        for name, config in demonstrated.presets(tasks).items()
    }
    moved = tuple(f"{NAMESPACE}{suite}{SWAPPED}/{task}" for task in SUITES[suite])
    full = replace(sizes["full"], policies=POLICIES, brief=BRIEF, unseen=moved)
    smoke = replace(sizes["smoke"], tasks=tasks[:1], protocols=PROTOCOLS[:1])
    needed = tuple(name for name in POLICIES if name not in ("flow", "random-eyes"))
    short = replace(full, policies=needed, protocols=PROTOCOLS[:1], unseen=())
    return {"full": full, "short": short, "smoke": smoke}


def reproduce(request: Request) -> Result:
    """See `studies.demonstrated.measured`."""
    config = presets()[request.preset]
    protocol = "+".join(map(str, config.protocols))
    return measured("libero", NAMESPACE, protocol, config, request)
