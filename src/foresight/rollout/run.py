"""Episodes of a policy, side by side and in several processes, in the order of their seeds."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

import foresight.experts  # noqa: F401 (names its policies)
from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.policy import BatchPolicy, Policy
from foresight.core.progress import track
from foresight.envs.registry import EnvConfig
from foresight.policies.registry import MakePolicy
from foresight.rollout.film import Film
from foresight.rollout.pool import run_jobs
from foresight.rollout.vector import Start, Team, VectorRollout


def run_episodes(
    env: EnvConfig,
    make_policy: MakePolicy | Sequence[MakePolicy],
    seeds: Sequence[int],
    *,
    parallel: int = 1,
    workers: int = 1,
    max_steps: int | None = None,
    expert: MakePolicy | None = None,
    start: Start | None = None,
    film: Film | None = None,
    images: bool = True,
    finish: Callable[[Episode], Any] | None = None,
    on_episode: Callable[[Any], None] | None = None,
    label: str = "episodes",
) -> Iterator[Any]:
    """Run one episode for each seed and yield them in the order of the seeds.

    All randomness of an episode follows from its seed: that of the environment, of the policy, and
    of Python's, NumPy's and torch's own generators, whose states are put back afterwards. So
    neither ``workers`` nor (for policies whose arithmetic does not depend on the batch, and which
    draw from no global generator) ``parallel`` changes a number.

    Args:
        env: what to act in; made once for each of the ``parallel`` ones in every worker.
        make_policy: makes the policy in the worker; or one for each seed. Those that look into a
            simulator are given it (`foresight.core.simulator.Privileged`).
        seeds: of the episodes.
        parallel: episodes that step together in one process.
        workers: processes; 1 stays in this one. More need everything given here to be picklable.
        max_steps: cut episodes after so many decisions.
        expert: asked about every state; its answers are the column ``action.expert``.
        start: begins each episode, ``env.reset`` if not given.
        film: seeds whose episodes are filmed apart from the policy's cameras; ``info["film"]``.
        images: whether episodes keep their pictures.
        finish: called with each episode in the process that ran it, for work that is better done
            there (encoding frames, say); its results are yielded instead.
        on_episode: called in this process with each of them as soon as it is there, in any order.
        label: for the progress bar and the sentence of an error.

    Raises:
        ForesightError: whatever the environment or the policy has to say, fewer than one worker,
            something that cannot travel to a worker, or a worker that died.
    """
    makers = list(make_policy) if isinstance(make_policy, Sequence) else [make_policy] * len(seeds)
    if len(makers) != len(seeds):
        raise ForesightError(f"{len(makers)} policies for {len(seeds)} seeds: give one for each.")
    if parallel < 1:
        raise ForesightError(f"{parallel} episodes side by side: expected at least 1.")
    planned = list(zip(map(int, seeds), makers, strict=True))
    groups = [planned[i : i + parallel] for i in range(0, len(planned), parallel)]
    count = max((len(group) for group in groups), default=1)
    make_rollout = partial(
        VectorRollout,
        env,
        count,
        max_steps=max_steps,
        expert=expert,
        start=start,
        film=film,
        images=images,
    )

    def tell(group: list[Any]) -> None:
        if on_episode is not None:
            for found in group:
                on_episode(found)

    results = run_jobs(partial(_Runner, make_rollout, finish), groups, workers, label, tell)
    return _flat(results, label, len(seeds))


def _flat(groups: Iterator[list[Any]], label: str, total: int) -> Iterator[Any]:
    def each() -> Iterator[Any]:
        try:
            for group in groups:
                yield from group
        finally:
            groups.close()  # type: ignore[attr-defined]

    episodes = each()
    try:
        yield from track(episodes, label, total=total)
    finally:
        episodes.close()  # type: ignore[attr-defined]


class _Runner:
    """Runs groups of episodes in one process; keeps environments and policies between them."""

    def __init__(
        self, make_rollout: Callable[[], VectorRollout], finish: Callable[[Episode], Any] | None
    ) -> None:
        self.rollout, self.finish = make_rollout(), finish
        self._policies: dict[Any, list[Policy]] = {}

    def __call__(self, group: Sequence[tuple[int, MakePolicy]]) -> list[Any]:
        seeds, makers = [seed for seed, _ in group], [make for _, make in group]
        team = Team(self._members(makers))
        with seeded(seeds[0]):
            episodes = self.rollout.run(team, seeds)
        if self.finish is None:
            return episodes
        return [self.finish(episode) for episode in episodes]

    def close(self) -> None:
        for policies in self._policies.values():
            for policy in policies:
                policy.close()
        self.rollout.close()

    def _members(self, makers: Sequence[MakePolicy]) -> list[tuple[Policy, list[int]]]:
        """Each maker's policies with the robots that they act for."""
        robots: dict[MakePolicy, list[int]] = {}
        for i, make in enumerate(makers):
            robots.setdefault(make, []).append(i)
        members: list[tuple[Policy, list[int]]] = []
        for make, own in robots.items():
            known = self._policies.setdefault(make, [])
            if not known:
                known.append(make(self.rollout.spec))
            if isinstance(known[0], BatchPolicy):
                members.append((known[0], own))
                continue
            while len(known) < len(own):
                known.append(make(self.rollout.spec))
            members += [(policy, [i]) for policy, i in zip(known, own, strict=False)]
        return members


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Python's, NumPy's and torch's own generators start from a seed, and are put back after.

    Torch's only if it is loaded already: a scripted policy's worker starts in a third of the time
    without it, and a policy that needs torch has loaded it when it is made.
    """
    torch = sys.modules.get("torch")
    before = random.getstate(), np.random.get_state()
    drawn = None if torch is None else torch.random.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    if torch is not None:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        if torch is not None:
            torch.random.set_rng_state(drawn)
