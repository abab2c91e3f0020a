"""The best constant action: the baseline that every learnt policy has to beat."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from gymnasium import spaces

from foresight.core.errors import ForesightError
from foresight.core.spec import Spec, numbered_axes
from foresight.envs.dmc.environment import DMControlEnv, make
from foresight.policies.scripted import generator, uniform_action

TRAINING_SEED = 10_000
"""Seeds from here on are for searching and training; evaluation uses 0, 1, 2, …"""

_GRID = np.linspace(-1, 1, 9)
_DRAWS = 64


def best_constant(
    task: str,
    protocol: str = "seed200",
    seeds: Sequence[int] = range(TRAINING_SEED, TRAINING_SEED + 5),
    candidates: np.ndarray | None = None,
) -> tuple[np.ndarray, float]:
    """The constant action with the highest mean return over ``seeds``.

    Args:
        task: an id such as ``cartpole-swingup``.
        protocol: the protocol of the later comparison.
        seeds: training seeds, 10,000 or above, so that the search sees no evaluation episode.
        candidates: actions ``[N, A]``; None for :func:`default_candidates`.

    Returns:
        The action, float32 ``[A]``, and its mean return.

    Raises:
        ForesightError: an evaluation seed, or candidates of the wrong shape.
    """
    if not len(seeds) or min(seeds) < TRAINING_SEED:
        raise ForesightError(
            f"Seeds {list(seeds)[:3]} are not for searching: pass seeds from {TRAINING_SEED} on."
        )
    env = make(task, protocol, render=None)
    actions = default_candidates(env.action_space) if candidates is None else candidates
    actions = np.asarray(actions, np.float32)
    if actions.ndim != 2 or actions.shape[1:] != env.action_space.shape or not len(actions):
        raise ForesightError(
            f"Candidates of shape {actions.shape} do not fit {task}: pass an array "
            f"[N, {env.action_space.shape[0]}]."
        )
    means = [np.mean([_return(env, seed, action) for seed in seeds]) for action in actions]
    best = int(np.argmax(means))
    return actions[best], float(means[best])


def default_candidates(space: spaces.Box) -> np.ndarray:
    """Zero first; then a grid for one or two actuators, else equal values and fixed draws.

    Returns:
        Actions, float32 ``[N, A]``.
    """
    (length,) = space.shape
    grid: list[np.ndarray] = [np.zeros(length)]
    if length <= 2:
        grid += [np.array(values) for values in itertools.product(_GRID, repeat=length)]
    else:
        grid += [np.full(length, value) for value in _GRID]
    random = generator("constant", TRAINING_SEED)
    spec = Spec(action=numbered_axes("action", length, space.low, space.high))
    draws = [uniform_action(random, spec) for _ in range(_DRAWS if length > 2 else 0)]
    return np.clip(np.array([*grid, *draws], np.float32), space.low, space.high)


def constant_spec(action: np.ndarray) -> str:
    """The behaviour spec of a constant action: ``constant:0.5,-0.25``."""
    return "constant:" + ",".join(f"{value:.6g}" for value in np.ravel(action))


def _return(env: DMControlEnv, seed: int, action: np.ndarray) -> float:
    env.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        _, reward, terminated, truncated, _ = env.step(action)
        total += reward
        over = terminated or truncated
    return total
