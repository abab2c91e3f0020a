"""Seeds give the numbers that they gave before there was one world model.

`golden.json` was written by the two models that this one replaced.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.training.experience import Experience
from foresight.training.loop import FitConfig
from foresight.training.offline import TrainConfig, train_world_model
from foresight.worldmodel.config import CameraInput, StateEncoderConfig, WorldModelConfig
from foresight.worldmodel.dynamics.config import DynamicsConfig
from joint_worlds import tiny

GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text())


def same(found, name, **tolerance):
    wanted = torch.tensor(GOLDEN[name] if isinstance(name, str) else name)
    torch.testing.assert_close(
        found.detach().flatten(), wanted.flatten(), **({"atol": 2e-5, "rtol": 1e-4} | tolerance)
    )


@pytest.fixture
def world():
    """The model, whose heads say something, and features of four episodes."""
    model = tiny(history=2, proprio=3)
    random = torch.Generator().manual_seed(1)
    tokens = torch.randn(20, 4, 5, generator=random)
    model.state.fit(tokens)
    with torch.no_grad():
        for head in (model.reward, model.value):
            for weight in head.net.parameters():
                weight.add_(0.1 * torch.randn(weight.shape, generator=random))
    numbers = model.state.compress([tokens.view(4, 5, 4, 5)])
    actions = torch.rand(4, 6, 2, generator=random) * 2 - 1
    return model, numbers, actions


def test_a_learned_state_and_what_is_imagined_from_it(world):
    model, numbers, actions = world
    same(numbers[0, 0], "numbers")
    z = model.encode(model.state.stack(numbers)[:, -1])
    same(z[0], "encode")
    imagined = model.dynamics.apart(z.expand(3, -1, -1), actions.expand(3, -1, -1, -1))
    same(imagined[:, 0, -1], "imagine")
    same(model.reward(imagined[:, :, -1], actions[:, -1].expand(3, -1, -1)), "reward")
    same(model.value_of(z), "value")
    same(model.prior(z)[0], "prior")
    same(model.proprio(z), "sense")
    same(model.scaled(actions[0]), "scaled")


def test_plans(world):
    model, numbers, _ = world
    features = model.state.stack(numbers)
    sizes = {"samples": 24, "elites": 6, "prior_samples": 6}
    planner = MPCPlanner.of(
        model, MPCConfig(**sizes, iterations=3, uncertainty_penalty=0.1), 3, torch.float32
    )
    now, before = features[:, -1], features[:, -2]
    plans = [planner.act(now), planner.act(before), planner.act(now, explore=True)]
    for plan, wanted in zip(plans, GOLDEN["plan"], strict=True):
        same(plan, wanted, atol=1e-3)
    free = MPCConfig(**sizes, iterations=2, prior_weight=0.0, members=2)
    same(MPCPlanner.of(model, free, 3, torch.float32).act(now), "plan_free", atol=1e-3)


def linear_world():
    """A noise-free linear system x' = x + B a with reward -|x_0|."""
    width, length, count = 6, 40, 24
    rng = np.random.default_rng(0)
    gain = rng.normal(size=(2, width)) * 0.3
    features, actions = [], []
    for _ in range(count):
        x = rng.normal(size=width)
        for _ in range(length):
            action = rng.uniform(-1, 1, 2)
            features.append(x)
            actions.append(action)
            x = x + action @ gain
    array = np.array(features, dtype=np.float32)
    return Experience(
        features=array,
        actions=torch.tensor(np.array(actions), dtype=torch.float32),
        rewards=-torch.from_numpy(array[:, 0]).abs(),
        offsets=np.arange(count + 1) * length,
        train=list(range(20)),
        validation=list(range(20, count)),
    )


TRAININGS = {
    "standardise": (StateEncoderConfig("standardise", history=2), DynamicsConfig(hidden=32)),
    "pca": (StateEncoderConfig("pca", dim=4, history=3), DynamicsConfig(hidden=32, members=3)),
    "transformer": (
        StateEncoderConfig("raw"),
        DynamicsConfig("transformer", hidden=16, layers=1, heads=2, context=4, members=2),
    ),
}


@pytest.mark.parametrize("kind", TRAININGS)
def test_twenty_updates_of_a_fixed_state(kind, tmp_path):
    state, dynamics = TRAININGS[kind]
    base = WorldModelConfig("toy", 2, (-1, -1), (1, 1), (CameraInput("camera", 1, 6),))
    config = TrainConfig(
        fit=FitConfig(epochs=2, updates=20, batch=64),
        state=state,
        dynamics=dynamics,
        horizon=2,
        measure_horizon=3,
    )
    trained = train_world_model(linear_world(), base, config, tmp_path)
    wanted = GOLDEN[f"train_{kind}"]
    for name, key in (("loss", "train/loss"), ("validation", "validation/loss")):
        assert [record[key] for record in trained.history] == pytest.approx(wanted[name], rel=1e-4)
    errors = [float(np.mean(entry.model)) for entry in trained.horizon_errors]
    assert errors == pytest.approx(wanted["errors"], rel=1e-3)
