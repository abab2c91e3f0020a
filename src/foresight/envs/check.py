"""Does an environment fit? A few seeded episodes, and sentences about what they showed."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.utils.env_checker import check_env as gymnasium_check

from foresight.core.errors import ForesightError, first_line
from foresight.core.observation import Observation
from foresight.core.spec import Spec
from foresight.envs import interface
from foresight.envs.pictures import Seen, picture_findings, upside_down
from foresight.envs.registry import EnvConfig
from foresight.envs.wrap import WrappedEnv

Verdict = Literal["fits", "note", "fault"]
FORCE = 1.0
"""Actions are drawn within the bounds, and within this where there are none."""
REPLAYED = 50
"""Steps of an episode that are played again, to see whether the same comes out."""


@dataclass(frozen=True)
class Finding:
    """One sentence about an environment.

    Attributes:
        verdict: ``fault`` for what does not fit, ``note`` for what one should know.
        text: the sentence.
    """

    verdict: Verdict
    text: str


@dataclass
class Played:
    """One episode of random actions.

    Attributes:
        seed: of the episode and of its actions.
        seen: what is kept of each observation, the first one included.
        rewards: one for each step.
        end: ``terminated``, ``truncated``, or empty for one that was left.
        info: of the last step.
        seconds: spent in ``step``.
        faults: sentences about single steps.
    """

    seed: int
    seen: list[Seen] = field(default_factory=list)
    rewards: list[float] = field(default_factory=list)
    end: str = ""
    info: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def check(config: EnvConfig, episodes: int = 3, steps: int = 200, seed: int = 0) -> list[Finding]:
    """Play an environment and tell what does not fit.

    Args:
        config: of the environment.
        episodes: how many to play, with the seeds ``seed``, ``seed + 1``, ...
        steps: most steps of an episode that does not end.
        seed: the first one.

    Returns:
        Sentences in the order in which they were found. An environment that cannot be made gives
        a single one; nothing is raised.
    """
    interface.whole_number("number of episodes", episodes, 1)
    interface.whole_number("number of steps", steps, 1)
    try:
        env = config.make()
    except Exception as error:
        return [Finding("fault", _told(f"{config.id} cannot be made", error))]
    try:
        return list(_findings(env, config, range(seed, seed + episodes), steps))
    finally:
        env.close()


def fits(findings: list[Finding]) -> bool:
    """Whether nothing among the findings is a fault."""
    return all(finding.verdict != "fault" for finding in findings)


def _findings(
    env: gymnasium.Env[Any, Any], config: EnvConfig, seeds: range, steps: int
) -> Iterator[Finding]:
    spec = interface.spec_of(env)
    yield Finding("fits", _described(spec))
    played = []
    for seed in seeds:
        played.append(play(env, seed, steps))
        if played[-1].faults:  # the next one would say the same
            break
    faults = [Finding("fault", text) for text in dict.fromkeys(played[-1].faults)]
    if not faults:
        found = list(_across_episodes(env, config, played, steps))
        yield from found
        faults = [finding for finding in found if finding.verdict == "fault"]
    else:
        yield from faults
    if not faults:  # else it would say the same in its words
        yield from _gymnasium_says(config)


def _across_episodes(
    env: gymnasium.Env[Any, Any], config: EnvConfig, played: list[Played], steps: int
) -> Iterator[Finding]:
    """What shows when no single step was wrong."""
    yield from _same_again(env, config, played[0])
    notes = (*_starts(played), *_rewards(played), *_ends(env, played, steps))
    yield from (Finding("note", text) for text in notes)
    for fault, text in picture_findings([episode.seen for episode in played]):
        yield Finding("fault" if fault else "note", text)
    yield from (Finding("fault", text) for text in upside_down(config, played[0].seed))
    yield from _speed(interface.spec_of(env), played)


def play(env: gymnasium.Env[Any, Any], seed: int, steps: int) -> Played:
    """One episode of random actions; what goes wrong in it becomes a sentence."""
    played, spec = Played(seed), interface.spec_of(env)
    rng = np.random.default_rng([seed, 5])
    low = np.where(np.isfinite(spec.low), spec.low, -FORCE)
    high = np.where(np.isfinite(spec.high), spec.high, FORCE)
    where = f"reset(seed={seed})"
    try:
        raw, _ = env.reset(seed=seed)
        played.seen.append(_look(env, spec, raw, played))
        for step in range(steps):
            where = f"Step {step} after reset(seed={seed})"
            action = rng.uniform(low, high).astype(np.float32)
            begin = time.perf_counter()
            new, reward, terminated, truncated, played.info = env.step(action)
            played.seconds += time.perf_counter() - begin
            if played.seen[-1].difference(Seen.of(raw)):
                played.faults.append(
                    "step() overwrites the observation that was given before: give a copy of it."
                )
            raw = new
            played.seen.append(_look(env, spec, raw, played))
            played.rewards.append(float(reward))
            if not np.isfinite(played.rewards[-1]):
                played.faults.append(f"{where} gave the reward {reward}: a number was expected.")
            played.end = "terminated" if terminated else "truncated" if truncated else ""
            if played.end or played.faults:
                break
    except Exception as error:  # a stranger's environment may fail in any way
        played.faults.append(_told(f"{where} failed", error))
    return played


def _look(env: gymnasium.Env[Any, Any], spec: Spec, raw: Any, played: Played) -> Seen:
    """Check an observation."""
    found = Observation.of(raw)
    found.check(spec, f"The environment {interface.name_of(env)}")
    for axis, value in zip(spec.state, found.state, strict=True):
        slack = 1e-5 * max(1.0, abs(value))
        if not axis.low - slack <= value <= axis.high + slack:
            played.faults.append(
                f"The state {axis.name!r} was {value:g}, outside its bounds {axis.low:g} to "
                f"{axis.high:g}: widen the bounds of the observation space."
            )
    return Seen.of(raw)


def _same_again(
    env: gymnasium.Env[Any, Any], config: EnvConfig, first: Played
) -> Iterator[Finding]:
    """The same seed and actions once more: here, and in an environment made anew."""
    fresh = config.make()
    try:
        for other, whose in ((env, "the same environment"), (fresh, "one that was made anew")):
            again = play(other, first.seed, min(REPLAYED, len(first.rewards)))
            words = _first_difference(first, again)
            if words is not None:
                yield Finding(
                    "fault",
                    f"The seed {first.seed} does not decide the episode: played again in {whose}, "
                    f"{words}; draw every random number from self.np_random.",
                )
                return
    finally:
        fresh.close()
    yield Finding("fits", f"The seed {first.seed} gives the same episode again.")


def _first_difference(one: Played, other: Played) -> str | None:
    if other.faults:
        return f"it failed ({other.faults[0]})"
    for step, seen in enumerate(other.seen):
        words = one.seen[step].difference(seen)
        if words:
            return f"{words} differs after {step} steps"
    for step, reward in enumerate(other.rewards):
        if reward != one.rewards[step]:
            return f"the reward of step {step} is {reward:g} instead of {one.rewards[step]:g}"
    if len(other.rewards) == len(one.rewards) and other.end != one.end:
        return f"it is {other.end or 'not over'} instead of {one.end or 'not over'}"
    return None


def _starts(played: list[Played]) -> Iterator[str]:
    first, *others = played
    for other in others:
        if not first.seen[0].difference(other.seen[0]):
            yield (
                f"The seeds {first.seed} and {other.seed} begin alike: where every episode begins "
                "in one place, results say little about others."
            )
            return


def _rewards(played: list[Played]) -> Iterator[str]:
    rewards = np.concatenate([episode.rewards for episode in played])
    if not rewards.any():
        yield "Every reward was 0 under random actions: nothing tells a good action from a bad one."
        return
    yield f"Rewards of random actions go from {rewards.min():.4g} to {rewards.max():.4g}."


def _ends(env: gymnasium.Env[Any, Any], played: list[Played], steps: int) -> Iterator[str]:
    lengths = [len(episode.rewards) for episode in played]
    ends = [episode.end for episode in played]
    counted = f"{ends.count('terminated')} terminated, {ends.count('truncated')} truncated"
    between = f"{min(lengths)} to {max(lengths)}" if min(lengths) < max(lengths) else lengths[0]
    yield f"Of {len(played)} episodes, {counted}; they had {between} steps."
    if not any(ends) and interface.limit_of(env) is None:
        yield (
            f"No episode ended within {steps} steps, and no limit is known: give one with "
            "time_limit."
        )
    if all("success" not in episode.info for episode in played):
        yield 'info has no "success": results will have returns, but no success rate.'


def _speed(spec: Spec, played: list[Played]) -> Iterator[Finding]:
    rate = sum(len(p.rewards) for p in played) / max(sum(p.seconds for p in played), 1e-9)
    yield Finding("note", f"{rate:.0f} steps a second, {rate / spec.fps:.1f} times real time.")


def _gymnasium_says(config: EnvConfig) -> Iterator[Finding]:
    """What Gymnasium's own checker thinks of the environment as its author wrote it."""
    try:
        env = config.make()
    except Exception as error:
        yield Finding("fault", _told("It cannot be made a second time", error))
        return
    inner: Any = env
    while isinstance(inner, gymnasium.Wrapper) and not isinstance(inner, WrappedEnv):
        inner = inner.env
    bare = inner.unwrapped
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gymnasium_check(bare, skip_render_check=True, skip_close_check=True)
        yield Finding("fits", "Gymnasium's own checker finds nothing wrong.")
    except Exception as error:
        yield Finding("fault", _told("Gymnasium's own checker stops", error))
    finally:
        env.close()


def _described(spec: Spec) -> str:
    cameras = ", ".join(f"{name} {h}x{w}" for name, (h, w) in spec.cameras.items()) or "none"
    actions = ", ".join(f"{axis.name} [{axis.low:g}, {axis.high:g}]" for axis in spec.action[:6])
    more = f" and {len(spec.action) - 6} more" if len(spec.action) > 6 else ""
    return (
        f"Cameras: {cameras}. State: {len(spec.state)} numbers. Actions: {actions}{more}. "
        f"{spec.fps:g} decisions a second."
    )


def _told(what: str, error: Exception) -> str:
    """A failure as a sentence."""
    if isinstance(error, ForesightError):
        return str(error)
    return f"{what}: {type(error).__name__}: {first_line(error)}."
