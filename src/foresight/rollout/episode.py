"""One planned episode: everything that decides it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.envs.dmc.protocol import DEFAULT, get_protocol
from foresight.envs.factories import DMC, full_id
from foresight.envs.registry import EnvConfig
from foresight.policies.registry import NamedPolicy
from foresight.rollout.run import run_episodes

SUCCESS_SHARE = 0.75
"""A recorded episode of dm_control succeeds when it earns this share of what it could."""


@dataclass(frozen=True)
class EpisodeSpec:
    """Everything that decides an episode, so that running it twice gives the same numbers.

    Attributes:
        env: where; its id is kept in its one spelling.
        seed: of the environment and of the policy's randomness.
        policy: a name of :func:`foresight.policies.make_policy`.
        max_steps: end after so many decisions already.
        tries: episodes that were tried until this one succeeded; 0 where nobody tried. It is told
            with the episode, and decides nothing.
    """

    env: EnvConfig
    seed: int
    policy: str
    max_steps: int | None = None
    tries: int = 0

    def __post_init__(self) -> None:
        known = replace(self.env, id=full_id(self.env.id))
        object.__setattr__(self, "env", known)  # one episode, one name
        if self.max_steps is not None and self.max_steps < 1:
            raise ForesightError(
                f"An episode of {self.max_steps} steps is not possible: ask for 1 or more."
            )

    @property
    def maker(self) -> NamedPolicy:
        """Makes the policy."""
        return NamedPolicy(self.policy, self.env.id)


def run_episode(spec: EpisodeSpec) -> Episode:
    """Run one episode.

    Raises:
        ForesightError: the environment or the policy does not fit.
    """
    (episode,) = run_episodes(spec.env, spec.maker, [spec.seed], max_steps=spec.max_steps)
    return judged(episode, spec.env)


def judged(episode: Episode, env: EnvConfig) -> Episode:
    """The same, with what a protocol of dm_control calls a success."""
    if episode.success is not None or not full_id(env.id).startswith(DMC):
        return episode
    repeat = get_protocol(env.protocol or DEFAULT).repeat * env.action_repeat
    return replace(episode, success=episode.return_ > SUCCESS_SHARE * len(episode) * repeat)
