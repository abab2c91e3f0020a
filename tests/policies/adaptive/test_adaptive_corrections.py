"""Corrections on a linear system whose body changes, and what a planner imagines with them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from toy_bodies import A, Linear, Z, live

from foresight.core.errors import ForesightError
from foresight.planning.solvers import imagine
from foresight.policies.adaptive.config import (
    FinetuneConfig,
    GainConfig,
    GradientConfig,
    RLSConfig,
    adaptation_of,
)
from foresight.policies.adaptive.correction import Space, Transition
from foresight.policies.adaptive.dynamics import AdaptedDynamics
from foresight.policies.adaptive.finetune import Finetuned
from foresight.policies.adaptive.gain import ActuatorGain
from foresight.policies.adaptive.residual import LinearResidual, NetworkResidual
from foresight.worldmodel.dynamics.rollout import mean_rollout, mean_step
from foresight.worldmodel.dynamics.simnorm import simnorm

WEAK = (0.5, 1.4)


def made(kind):
    """A correction of each kind for the toy, and the model that it corrects."""
    model, space = Linear(), Space(False, Z, Z)
    if kind == "rls":
        return LinearResidual(RLSConfig(ridge=0.1), space, A), model
    if kind == "gradient":
        return NetworkResidual(GradientConfig(steps=5, rate=1e-2, decay=0), space, A), model
    if kind == "gain":
        return ActuatorGain(GainConfig(ridge=0.5), model, A), model
    return Finetuned(FinetuneConfig(steps=5, rate=1e-2), Linear(), lambda tuned: tuned), model


def errors(correction, model, body, horizon=5):
    """Squared errors over a horizon, of the model and of what is corrected."""
    random = torch.Generator().manual_seed(9)
    z = torch.randn(1, Z, generator=random)
    actions = torch.rand(1, 20, horizon, A, generator=random) * 2 - 1
    with torch.no_grad():
        truth = mean_rollout(body, z.expand(20, -1), actions[0])
        plain = imagine(model, z, actions).mean(0)[0]
        adapted = imagine(AdaptedDynamics(model, correction), z, actions).mean(0)[0]
    return [float((each - truth).square().mean()) for each in (plain, adapted)]


@pytest.mark.parametrize("kind", ["rls", "gradient", "gain", "finetune"])
def test_a_changed_gear_is_made_good_several_decisions_ahead(kind):
    correction, model = made(kind)
    correction.reset(1, 0)
    before = errors(correction, model, Linear(WEAK))
    assert before[0] == before[1] > 0
    live(correction, Linear(WEAK), model)
    assert correction.active
    plain, adapted = errors(correction, model, Linear(WEAK))
    assert plain == before[0]
    assert adapted < (0.01 if kind in ("rls", "gain") else 0.3) * plain
    correction.reset(1, 0)  # and all of it is forgotten
    assert errors(correction, model, Linear(WEAK)) == before


@pytest.mark.parametrize("kind", ["rls", "gain"])
def test_a_change_in_the_middle_is_tracked_by_forgetting(kind):
    correction, model = made(kind)
    correction.fit.forgetting = 0.9
    correction.reset(1, 0)
    live(correction, Linear(), model, 100)
    plain, adapted = errors(correction, model, Linear(WEAK))
    assert adapted > 0.5 * plain
    live(correction, Linear(WEAK), model, 60, seed=1)
    assert errors(correction, model, Linear(WEAK))[1] < 0.05 * plain


def test_strengths_are_those_of_the_body():
    correction, model = made("gain")
    live(correction, Linear(WEAK), model)
    torch.testing.assert_close(correction.gain[0], torch.tensor(WEAK), atol=0.02, rtol=0)
    (told,) = correction.notes()
    assert told["actuator_gain"] == pytest.approx(sum(WEAK) / 2, abs=0.02)
    proposed = correction.proposed(torch.tensor([[0.4, 0.7]]))
    torch.testing.assert_close(proposed, torch.tensor([[0.8, 0.5]]), atol=0.05, rtol=0)
    assert float(correction.proposed(torch.tensor([[0.9, 0.7]]))[0, 0]) == 1.0
    correction.config = replace(correction.config, prior=False)
    assert float(correction.proposed(torch.tensor([[0.4, 0.7]]))[0, 0]) == pytest.approx(0.4)


@pytest.mark.parametrize("kind", ["rls", "gradient", "finetune"])
def test_what_is_learned_from_noise_changes_nothing(kind):
    """The model is right but for noise: the gate stays closed, and the planner's numbers the same.

    Without it what was learned from noise makes predictions worse.
    """
    correction, model = made(kind)
    shut = []
    for seed in range(3):
        correction.reset(1, seed)
        random = torch.Generator().manual_seed(seed)
        for _ in range(25):
            z, action = (torch.randn(1, n, generator=random) for n in (Z, A))
            with torch.no_grad():
                predicted = mean_step(model, z, action)
            after = predicted + torch.randn(1, Z, generator=random)
            correction.learn(Transition(z, action, predicted, after, torch.ones(1)))
            shut.append(not correction.active)
        assert not correction.active
    assert sum(shut) > 0.9 * len(shut)
    plain, adapted = errors(correction, model, Linear())
    assert plain == adapted == 0
    correction.gate.opened, correction.active = torch.tensor([True]), True
    if kind != "finetune":  # which has made nothing for the planner yet
        assert errors(correction, model, Linear())[1] > 0.01


@pytest.mark.parametrize("kind", ["rls", "gain"])
def test_a_model_that_is_right_is_left_alone(kind):
    correction, model = made(kind)
    live(correction, Linear(), model)
    assert errors(correction, model, Linear())[1] < 1e-8


@pytest.mark.parametrize("kind", ["rls", "gradient", "gain"])
def test_robots_side_by_side_learn_apart_and_are_imagined_apart(kind):
    """Two robots of different bodies: each as it would be alone."""
    both, model = made(kind)
    both.reset(2, 0)
    alone = [made(kind)[0] for _ in range(2)]
    bodies = [Linear(WEAK), Linear((1.2, 0.8))]
    random = torch.Generator().manual_seed(4)
    for _ in range(12):
        z = torch.randn(2, Z, generator=random)
        action = torch.rand(2, A, generator=random) * 2 - 1
        with torch.no_grad():
            predicted = model.step(z.expand(2, -1, -1), action).mean(0)
            after = torch.stack(
                [body.step(z.expand(2, -1, -1), action)[0, i] for i, body in enumerate(bodies)]
            )
        both.learn(Transition(z, action, predicted, after, torch.ones(2)))
        for i, one in enumerate(alone):
            part = [t[i : i + 1] for t in (z, action, predicted, after)]
            one.learn(Transition(*part, torch.ones(1)))
    actions = torch.rand(2, 7, 3, A, generator=random) * 2 - 1
    with torch.no_grad():
        together = imagine(AdaptedDynamics(model, both), z, actions)
        for i, one in enumerate(alone):
            apart = imagine(AdaptedDynamics(model, one), z[i : i + 1], actions[i : i + 1])
            torch.testing.assert_close(together[:, i : i + 1], apart, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(together[:, 0, 0, 1], together[:, 1, 0, 1])


def test_whole_futures_are_the_steps_one_after_the_other():
    for kind in ("rls", "gain"):
        correction, model = made(kind)
        live(correction, Linear(WEAK), model, 10)
        adapted = AdaptedDynamics(model, correction)
        z, actions = torch.randn(1, Z), torch.rand(1, 4, 3, A)
        with torch.no_grad():
            whole = imagine(adapted, z, actions)
            state = z.expand(2, 4, -1)
            for step, action in enumerate(actions[0].unbind(1)):
                state = adapted.step(state, action)
                torch.testing.assert_close(whole[:, 0, :, step + 1], state)


def test_a_frozen_copy_learns_nothing_more():
    for kind in ("rls", "gradient", "gain"):
        correction, model = made(kind)
        live(correction, Linear(WEAK), model, 5)
        held = correction.frozen()
        z, actions = torch.randn(1, Z), torch.rand(1, 4, 3, A)
        with torch.no_grad():
            before = imagine(AdaptedDynamics(model, held), z, actions)
            live(correction, Linear(WEAK), model, 5, seed=3)
            torch.testing.assert_close(imagine(AdaptedDynamics(model, held), z, actions), before)
            now = imagine(AdaptedDynamics(model, correction), z, actions)
        assert not torch.allclose(now, before)


def test_shares_stay_shares():
    space = Space(True, 16, 4)
    z = simnorm(3 * torch.randn(10, 16))
    moved = space.moved(z, 0.5 * torch.randn(10, 16))
    assert bool((moved > 0).all())
    torch.testing.assert_close(moved.unflatten(-1, (8, -1)).sum(-2), torch.ones(10, 2))
    torch.testing.assert_close(space.moved(z, torch.zeros(10, 16)), z, atol=1e-5, rtol=1e-5)
    assert space.features(z, torch.zeros(10, 3)).shape == (10, 1 + 3 + 4)


def test_one_dynamics_is_not_fine_tuned_for_two_robots():
    correction, _ = made("finetune")
    with pytest.raises(ForesightError, match="2 robots side by side"):
        correction.reset(2, 0)


def test_settings_by_name_and_refusals():
    assert adaptation_of("none") is None
    assert adaptation_of("rls", keep=True) == RLSConfig(keep=True)
    with pytest.raises(ForesightError, match="choose one of none, rls, gradient, gain, finetune"):
        adaptation_of("magic")
    for wrong in (
        lambda: RLSConfig(directions=-1),
        lambda: GradientConfig(rate=0),
        lambda: GainConfig(least=1.5),
        lambda: FinetuneConfig(steps=0),
    ):
        with pytest.raises(ForesightError, match="is refused: give"):
            wrong()
