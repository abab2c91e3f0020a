"""The best constant action: the baseline that every learnt policy has to beat."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.spec import Spec
from foresight.envs.registry import EnvConfig, spec_of
from foresight.policies.scripted import FixedAction, generator, uniform_action
from foresight.rollout import run_episodes

TRAINING_SEED = 10_000
"""Seeds from here on are for searching and training; evaluation uses 0, 1, 2, …"""

_POINTS = {1: 9, 2: 9, 3: 5}
"""Numbers of an action to the points of a grid along each."""
_EQUAL = np.linspace(-1, 1, 9)
_DRAWS = 64


def best_constant(
    env: EnvConfig,
    seeds: Sequence[int] = range(TRAINING_SEED, TRAINING_SEED + 5),
    candidates: np.ndarray | None = None,
    workers: int = 1,
) -> tuple[np.ndarray, float]:
    """The constant action with the highest mean return over ``seeds``.

    Args:
        env: of the later comparison, best without cameras.
        seeds: training seeds, 10,000 or above, so that the search sees no evaluation episode.
        candidates: actions ``[N, A]``; None for :func:`default_candidates`.
        workers: processes.

    Returns:
        The action, float32 ``[A]``, and its mean return.

    Raises:
        ForesightError: an evaluation seed, or candidates of the wrong shape.
    """
    if not len(seeds) or min(seeds) < TRAINING_SEED:
        raise ForesightError(
            f"Seeds {list(seeds)[:3]} are not for searching: pass seeds from {TRAINING_SEED} on."
        )
    made = env.make()
    spec = spec_of(made)
    made.close()
    actions = default_candidates(spec) if candidates is None else candidates
    actions = np.asarray(actions, np.float32)
    if actions.ndim != 2 or actions.shape[1] != len(spec.action) or not len(actions):
        raise ForesightError(
            f"Candidates of shape {actions.shape} do not fit {env.id}: pass an array "
            f"[N, {len(spec.action)}]."
        )
    makers = [FixedAction(tuple(map(float, action))) for action in actions]
    returns = run_episodes(
        env,
        [maker for maker in makers for _ in seeds],
        [seed for _ in makers for seed in seeds],
        workers=workers,
        images=False,
        finish=_return,
        label=f"constant actions of {env.id}",
    )
    means = np.array(list(returns)).reshape(len(actions), len(seeds)).mean(1)
    best = int(np.argmax(means))
    return actions[best], float(means[best])


def default_candidates(spec: Spec) -> Float32[np.ndarray, "N A"]:
    """Zero first; then a grid over the bounds for up to three numbers, else equal values and fixed
    draws.
    """
    length = len(spec.action)
    grid: list[np.ndarray] = [np.zeros(length)]
    draws: list[np.ndarray] = []
    if length in _POINTS:
        along = np.linspace(spec.low, spec.high, _POINTS[length]).T
        grid += [np.array(values) for values in itertools.product(*along)]
    else:
        grid += [np.full(length, value) for value in _EQUAL]
        random = generator("constant", TRAINING_SEED)
        draws = [uniform_action(random, spec) for _ in range(_DRAWS)]
    return np.clip(np.array([*grid, *draws], np.float32), spec.low, spec.high)


def constant_name(action: np.ndarray) -> str:
    """The name of the policy of a constant action: ``constant:0.5,-0.25``."""
    return "constant:" + ",".join(f"{value:.6g}" for value in np.ravel(action))


def _return(episode: Episode) -> float:
    return float(episode.info["return"])
