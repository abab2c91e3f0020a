"""Phase 5b, first stage: can reward be read from the latent state, and does it help to plan?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from foresight.core.errors import ForesightError
from foresight.evaluation.statistics import LEVEL, RESAMPLES, Interval, Row, Summary
from foresight.worldmodel.heads.scalar import ScalarConfig, ScalarHead
from foresight.worldmodel.heads.training import HeadTraining, Latents, episode_rows
from foresight.worldmodel.state import encode_latents
from studies.phases.common import EXPLORATION, TASK, Measured, Place, View
from studies.phases.reward_models import RidgeReward, train_reward
from studies.phases.rows import measurement, relabelled, return_differences

RIDGE, MLP, TWOHOT, BY_FRAME = "ridge", "mlp", "two-hot", "mlp split by frame"


def phase_5b(place: Place) -> Measured:
    """Three reward models, a split that leaks for comparison, and planning with reward."""
    measured: list[Row] = []
    summary: Summary = {}
    episodes: list[Row] = []
    for view in place.views:
        rows, found = _reward_models(place, view)
        measured += rows
        summary |= found
        place.train(view)  # its reward model is the sources' MLP, learnt with the dynamics
        planner = replace(place.config.planner, objective="reward")
        episodes += place.act(view, "one-step", planner, f"{view.name}:reward")
        known = place.act(view, "one-step", place.config.planner, f"{view.name}:cem")
        episodes += relabelled(known, f"{view.name}:goal")
    episodes += place.rivals()
    for view in place.views:
        for rival in (f"{view.name}:goal", "zero"):
            summary |= return_differences(episodes, TASK, f"{view.name}:reward", rival)
    return Measured(episodes + measured, summary)


def _reward_models(place: Place, view: View) -> tuple[list[Row], Summary]:
    latents = _latents(place, view)
    assert latents.rewards is not None and latents.actions is not None
    guesses = {name: _predicted(place, latents, name) for name in (RIDGE, MLP, TWOHOT)}
    rows: list[Row] = []
    summary: Summary = {}
    errors = {name: squared_errors(latents, guess) for name, guess in guesses.items()}
    total = totals(latents)
    for name, each in errors.items():
        _keep(rows, summary, f"{view.name}:{name}", "reward-r2", one_minus(each, total))
        rows.append(
            measurement(
                "reward-mse", TASK, f"{view.name}:{name}", float(each.sum()) / _held(latents)
            )
        )
    variance = float(total.sum()) / _held(latents)
    rows.append(measurement("reward-mse", TASK, f"{view.name}:constant", variance))
    leak = one_minus(*_by_frame(place, latents))
    _keep(rows, summary, f"{view.name}:{BY_FRAME}", "reward-r2", leak)
    for first, second in ((MLP, RIDGE), (TWOHOT, MLP)):
        name = f"{view.name}:{first} minus {second}"
        gain = ratio_interval(errors[second] - errors[first], total)
        _keep(rows, summary, name, "reward-r2-difference", gain)
    return rows, summary


def _keep(rows: list[Row], summary: Summary, condition: str, measure: str, found: Interval) -> None:
    """One row for the table, and the interval over episodes in place of the row's own."""
    rows.append(measurement(measure, TASK, condition, found.mean))
    summary[f"{condition}:{measure}/{TASK}"] = found.as_dict()


def _latents(place: Place, view: View) -> Latents:
    trained = place.train(view)
    experience = place.experience(view, place.plan(EXPLORATION))
    return Latents(
        z=encode_latents(trained.model.state, experience.features, experience.offsets),
        offsets=experience.offsets,
        train=experience.train,
        validation=experience.validation,
        actions=experience.actions,
        rewards=experience.rewards,
    )


def _training(place: Place) -> HeadTraining:
    return HeadTraining(updates=place.config.updates, batch=place.config.batch)


def _predicted(place: Place, latents: Latents, name: str) -> torch.Tensor:
    """Rewards ``[N]`` of all steps, by a model that has learnt from the training episodes."""
    assert latents.actions is not None and latents.rewards is not None
    width, actions = latents.z.shape[1], latents.actions.shape[1]
    rows = episode_rows(latents.offsets, latents.train)
    if name == RIDGE:
        ridge = RidgeReward.fit(latents.z[rows], latents.actions[rows], latents.rewards[rows])
        return ridge(latents.z, latents.actions)
    torch.manual_seed(0)
    # Rewards lie between 0 and 1; 0 is a bin of its own.
    config = ScalarConfig("twohot" if name == TWOHOT else "mse", bins=41, low=-2.0, high=2.0)
    head = ScalarHead(width, actions, config)
    train_reward(head, latents, _training(place))
    with torch.inference_mode():
        parts = zip(latents.z.split(8192), latents.actions.split(8192), strict=True)
        return torch.cat([head(z, action) for z, action in parts]).clone()


def _by_frame(place: Place, latents: Latents) -> tuple[np.ndarray, np.ndarray]:
    """Errors and totals of a model whose held-out steps have learnt neighbours, by episode.

    Steps are held out one by one, wherever they lie: the sources' way of splitting.
    """
    steps = split_by_frame(latents, place.config.validation)
    guess = _predicted(place, steps, MLP)
    owner = np.repeat(np.arange(len(latents.offsets) - 1), np.diff(latents.offsets))
    found = []
    for each in (squared_errors(steps, guess), totals(steps)):
        sums = np.bincount(owner[steps.validation], each, minlength=len(latents.offsets) - 1)
        found.append(sums)
    return found[0], found[1]


def split_by_frame(latents: Latents, share: float, seed: int = 0) -> Latents:
    """The same states with every step an episode of its own, a random share of them held out."""
    order = np.random.default_rng(seed).permutation(len(latents.z))
    cut = round(len(order) * share)
    return replace(
        latents,
        offsets=np.arange(len(order) + 1),
        train=sorted(order[cut:].tolist()),
        validation=sorted(order[:cut].tolist()),
    )


def squared_errors(latents: Latents, guess: torch.Tensor) -> np.ndarray:
    """Sum of squared errors in each held-out episode, ``[episodes]``."""
    assert latents.rewards is not None
    return _sums(latents, (guess - latents.rewards).double().square())


def totals(latents: Latents) -> np.ndarray:
    """Sum of squares about the mean of the training rewards in each held-out episode."""
    assert latents.rewards is not None
    rows = episode_rows(latents.offsets, latents.train)
    return _sums(latents, (latents.rewards - latents.rewards[rows].mean()).double().square())


def ratio_interval(
    above: Float[np.ndarray, " n"], below: Float[np.ndarray, " n"], resamples: int = RESAMPLES
) -> Interval:
    """``Σ above / Σ below`` with its bootstrap interval; pairs are resampled together.

    For ratios of sums over episodes, such as R² with a sum of squares for each (the ratio estimator
    of Cochran 1977, chapter 6). Draws whose denominator is zero are left out.

    Raises:
        ForesightError: the lengths differ, or the denominators sum up to nothing.
    """
    count = len(above)
    if count != len(below) or not below.sum() > 0:
        raise ForesightError(
            f"A ratio of {count} to {len(below)} values that sum up to {below.sum():g} is "
            "undefined: give one pair for each episode and a positive denominator."
        )
    draws = np.random.default_rng(0).integers(0, count, size=(resamples, count))
    sums = below[draws].sum(axis=1)
    found = above[draws].sum(axis=1)[sums > 0] / sums[sums > 0]
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(above.sum() / below.sum()), float(low), float(high), count)


def one_minus(errors: np.ndarray, total: np.ndarray) -> Interval:
    """R² = 1 - Σ errors / Σ total with its interval over episodes."""
    return ratio_interval(total - errors, total)


def _sums(latents: Latents, each: torch.Tensor) -> np.ndarray:
    ends = torch.cat([torch.zeros(1, dtype=torch.float64), each.cumsum(0)]).numpy()
    held = np.asarray(latents.validation)
    return ends[latents.offsets[held + 1]] - ends[latents.offsets[held]]


def _held(latents: Latents) -> int:
    held = np.asarray(latents.validation)
    return int((latents.offsets[held + 1] - latents.offsets[held]).sum())
