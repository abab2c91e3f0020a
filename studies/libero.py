"""One policy for the ten tasks of a suite of LIBERO, beside what can be had without eyes."""

from __future__ import annotations

from dataclasses import replace

from foresight.envs.libero.tasks import NAMESPACE, SUITES
from foresight.evaluation.results import Result
from foresight.pipelines import demonstrated
from foresight.pipelines.demonstrated import DemonstratedConfig
from studies.demonstrated import measured
from studies.registry import Request

SUITE = "spatial"
POLICIES = ("chunk", "blind", "replay", "zero", "expert")
PROTOCOLS = ("wide", "fifty")
"""Places that vary by some centimetres more than the benchmark's; and the benchmark's own."""


def presets(suite: str = SUITE) -> dict[str, DemonstratedConfig]:
    """The named sizes. Demonstrations begin where places vary most, never from the benchmark's
    states; ``short`` asks there only, on half the starts.
    """
    tasks = tuple(f"{NAMESPACE}{suite}/{task}" for task in SUITES[suite])
    sizes = {
        name: replace(config, protocols=PROTOCOLS)
        for name, config in demonstrated.presets(tasks).items()
    }
    full = replace(sizes["full"], policies=POLICIES)
    smoke = replace(sizes["smoke"], tasks=tasks[:1], protocols=PROTOCOLS[:1])
    short = replace(full, protocols=PROTOCOLS[:1], seeds=10)
    return {"full": full, "short": short, "smoke": smoke}


def reproduce(request: Request) -> Result:
    """See `studies.demonstrated.measured`."""
    config = presets()[request.preset]
    protocol = "+".join(map(str, config.protocols))
    return measured("libero", NAMESPACE, protocol, config, request)
