"""What the studies of demonstrated tasks share: from a request to a result."""

from __future__ import annotations

from dataclasses import asdict, replace

from foresight.evaluation.results import Result, make_result
from foresight.pipelines import demonstrated
from foresight.pipelines.demonstrated import DemonstratedConfig
from studies.registry import Request

LABELS = ("own scripted demonstrations", "fast rendering")


def measured(
    name: str, namespace: str, protocol: str, config: DemonstratedConfig, request: Request
) -> Result:
    """Collect, learn and compare; a stopped run goes on.

    Args:
        name: of the study.
        namespace: of its tasks, which a request may leave out.
        protocol: as the result names it.
        config: of the preset; what the request names goes before it.
        request: what was asked for.
    """
    config = asked(config, namespace, request)
    rows = demonstrated.measure(config, request.folder, request.processes)
    about = {**asdict(config), "labels": LABELS}
    return make_result(name, about, protocol, rows, demonstrated.successes(rows))


def asked(config: DemonstratedConfig, namespace: str, request: Request) -> DemonstratedConfig:
    """A preset with what a request names in its place."""
    named = tuple(f"{namespace}{task.removeprefix(namespace)}" for task in request.tasks)
    return replace(
        config,
        tasks=named or config.tasks,
        episodes=request.episodes or config.episodes,
        seeds=request.seeds or config.seeds,
        encoder=request.encoder,
        device=request.device,
    )
