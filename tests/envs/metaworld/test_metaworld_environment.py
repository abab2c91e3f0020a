"""Meta-World's tasks against the package itself, and what is ours around them."""

from __future__ import annotations

import numpy as np
import pytest

from foresight.core import extras
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Policy
from foresight.core.simulator import Simulator
from foresight.envs import EnvConfig, env_ids, limit_of, make, spec_of
from foresight.envs.check import check, fits
from foresight.envs.metaworld.environment import MetaWorldEnv
from foresight.envs.metaworld.tasks import TASKS
from foresight.experts.metaworld import MetaWorldExpert
from foresight.rollout import run_episodes


def acted(env, count, seed=0):
    """What random actions lead to: states, rewards, and what Meta-World itself shows."""
    actions = np.random.default_rng(seed).uniform(-1, 1, (count, 4))
    found = [(*env.step(action)[1:], env.unwrapped.full_observation) for action in actions]
    return [np.concatenate([f[3]["state"], [f[0]], f[4]]) for f in found]


def bare(task, **options):
    return make(f"metaworld/{task}", cameras=[], **options)


def test_every_task_of_the_package_has_an_id_and_a_script():
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS
    from metaworld.policies import ENV_POLICY_MAP

    assert {f"{task}-v3" for task in TASKS} == set(ALL_V3_ENVIRONMENTS) == set(ENV_POLICY_MAP)
    assert {f"metaworld/{task}" for task in TASKS} <= set(env_ids())
    assert len(set(TASKS.values())) == len(TASKS)


@pytest.mark.parametrize("task", ["push", "drawer-open", "basketball", "shelf-place"])
def test_a_seed_decides_the_episode_whatever_was_before(task):
    fresh, used = bare(task), bare(task)
    used.reset(seed=5)
    acted(used, 30)
    for env in (fresh, used):
        env.reset(seed=7)
    assert np.array_equal(fresh.full_observation, used.full_observation)
    assert fresh.truth() == used.truth()
    for one, other in zip(acted(fresh, 5), acted(used, 5), strict=True):
        assert np.array_equal(one, other)
    places = {tuple(fresh.truth().values()) for seed in range(4) if fresh.reset(seed=seed)}
    assert len(places) == 4


@pytest.mark.parametrize("task", ["push", "drawer-open"])
def test_a_seed_gives_meta_worlds_own_episode(task):
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    theirs = ALL_V3_ENVIRONMENTS[f"{task}-v3"]()
    theirs._partially_observable, theirs._set_task_called = False, True
    theirs._freeze_rand_vec, theirs.seeded_rand_vec = False, True
    del theirs.sawyer_observation_space
    theirs.seed(3)
    theirs.reset()
    ours = bare(task)
    ours.reset(seed=3)
    for action in np.random.default_rng(0).uniform(-1, 1, (10, 4)):
        seen, reward, *_ = theirs.step(action)
        raw, gained, *_ = ours.step(action)
        assert gained == reward
        # The middle part is the step before; our first picture of it is not a stale one.
        for part in (slice(0, 18), slice(36, 39)):
            assert np.array_equal(ours.full_observation[part], seen[part])
        assert np.array_equal(raw["state"], seen[:4].astype(np.float32))


def test_objects_are_shown_where_they_are_from_the_first_moment_on():
    """Meta-World's own first observation has the drawer where the last reset had left it."""
    env = bare("drawer-open")
    env.reset(seed=3)
    before = env.truth()
    env.step(np.zeros(4))
    assert before["object_x"] == pytest.approx(env.truth()["object_x"], abs=1e-3)


def test_the_largest_state_has_room():
    env = bare("stick-pull")
    env.reset(seed=0)
    assert env.get_state()[-3:] == pytest.approx(env.unwrapped._data.mocap_pos[0])


def test_a_state_put_back_continues_alike():
    env = bare("pick-place")
    assert isinstance(env.unwrapped, Simulator)
    env.reset(seed=0)
    acted(env, 20)
    saved = env.get_state()
    ahead = acted(env, 5, seed=1)
    acted(env, 3)
    env.set_state(saved)
    for one, other in zip(ahead, acted(env, 5, seed=1), strict=True):
        assert np.array_equal(one, other)
    with pytest.raises(ForesightError, match="finite numbers"):
        env.set_state(saved[1:])


@pytest.mark.parametrize("camera", ["front", "close", "far"])
def test_pictures_are_upright_and_drawn_once_a_step(camera, monkeypatch):
    cameras = (camera, "gripper")
    env = make("metaworld/reach", cameras=cameras, size=(48, 64), action_repeat=2)
    drawn = []
    view = env._view
    monkeypatch.setattr(env, "_view", lambda name: drawn.append(name) or view(name))
    low, _ = env.reset(seed=0)
    for _ in range(10):
        high, *_ = env.step([0, 0, 1, 0])
    assert drawn == [*cameras] * 11
    rows = []
    for raw in (low, high):
        assert raw["images"][camera].shape == (48, 64, 3)
        red, green, blue = np.moveaxis(raw["images"][camera].astype(int), -1, 0)
        rows.append(np.nonzero((blue > 120) & (green > 120) & (red < 90))[0].mean())
    assert rows[1] < rows[0] - 2  # the cyan finger goes up where the hand goes up
    assert high["state"][2] > low["state"][2] + 0.1
    env.close()


@pytest.mark.parametrize(("protocol", "after"), [("first-success", 5), ("held", 40)])
def test_an_episode_goes_on_for_a_while_after_its_success(protocol, after):
    env = bare("reach", protocol=protocol)
    expert = MetaWorldExpert("reach", spec_of(env))
    expert.attach(env)
    raw, _ = env.reset(seed=0)
    told, terminated, truncated = [], False, False
    while not (terminated or truncated):
        raw, _, terminated, truncated, info = env.step(expert.act(Observation.of(raw)))
        told.append(info["success"])
    assert terminated and len(told) - told.index(True) == after + 1


def test_pictures_do_not_change_the_physics():
    seen, blind = make("metaworld/push", size=16, quality="fast"), bare("push")
    for env in (seen, blind):
        env.reset(seed=2)
    for one, other in zip(acted(seen, 5), acted(blind, 5), strict=True):
        assert np.array_equal(one, other)
    seen.close()


def play(env, seed=0, most=500):
    """When the script first succeeds, how long the episode is, and how it ends."""
    raw, _ = env.reset(seed=seed)
    script = MetaWorldExpert(env.unwrapped.task_id, spec_of(env))
    script.attach(env)
    script.reset(Observation.of(raw), seed)
    first = None
    for step in range(1, most + 1):
        raw, _, terminated, truncated, info = env.step(script.act(Observation.of(raw)))
        first = step if first is None and info["success"] else first
        if terminated or truncated:
            break
    return first, step, terminated, truncated


def test_an_episode_ends_soon_after_its_success_unless_the_benchmark_counts():
    env = bare("reach")
    first, length, *ends = play(env)
    assert (length, ends) == (first + 5, [True, False])
    with pytest.raises(ForesightError, match="reset"):
        env.step(np.zeros(4))
    assert limit_of(env) == 500
    long = bare("reach", protocol="mt500", time_limit=first + 20)
    assert play(long) == (first, first + 20, False, True)
    held = bare("reach", action_repeat=5)
    assert limit_of(held) == 100 and spec_of(held).fps == 16


def test_an_episode_without_success_is_truncated():
    env = bare("peg-insert-side", action_repeat=100)
    env.reset(seed=0)
    ends = [env.step(np.zeros(4))[2:4] for _ in range(5)]
    assert ends == [(False, False)] * 4 + [(False, True)]


def test_checkers_find_nothing_wrong():
    """Ours, and Gymnasium's within it."""
    config = EnvConfig("metaworld/window-close", size=16, quality="fast")
    findings = check(config, episodes=2, steps=4)
    assert fits(findings), [finding.text for finding in findings]
    assert "Gymnasium's own checker finds nothing wrong." in [f.text for f in findings]


def test_what_a_robot_would_feel_and_do():
    spec = spec_of(bare("push"))
    names = [axis.name for axis in spec.state], [axis.name for axis in spec.action]
    assert names == (
        ["hand_x", "hand_y", "hand_z", "gripper_opening"],
        ["move_x", "move_y", "move_z", "grip"],
    )
    assert spec.tasks == (TASKS["push"],) and spec.fps == 80
    assert set(bare("push").truth()) == {
        f"{thing}_{axis}" for thing in ("hand", "object", "goal") for axis in "xyz"
    }


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cameras": ["wrist"]}, "no camera 'wrist'.*front, gripper"),
        ({"protocol": "seed200"}, "first-success, held, mt500"),
        ({"cameras": [], "action_repeat": 0}, "0 steps"),
    ],
)
def test_what_is_not_there_is_told(options, words):
    with pytest.raises(ForesightError, match=words):
        make("metaworld/push", **options)


def test_a_missing_package_and_a_wrong_name_are_told(monkeypatch):
    with pytest.raises(ForesightError, match="metaworld/push"):
        make("metaworld/pusch")
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(ForesightError, match=r'pip install "foresight-robotics\[metaworld\]"'):
        make("metaworld/push")


def test_pictures_on_demand_are_drawn_when_they_are_looked_at(monkeypatch):
    env = make("metaworld/reach", size=16, quality="fast", cameras=("close", "gripper"))
    expected = [env.reset(seed=1)[0]] + [env.step([0, 0, 1, 0])[0] for _ in range(3)]
    drawn = []
    view = env._view
    monkeypatch.setattr(env, "_view", lambda name: drawn.append(name) or view(name))
    env.on_demand = True
    first, _ = env.reset(seed=1)
    late = [env.step([0, 0, 1, 0])[0] for _ in range(3)][-1]
    assert not drawn and list(late["images"]) == ["close", "gripper"]
    assert np.array_equal(late["images"]["gripper"], expected[-1]["images"]["gripper"])
    assert drawn == ["gripper"]
    seen = Observation.of(late)
    assert seen.images["gripper"] is late["images"]["gripper"]
    with pytest.raises(ForesightError, match="its moment was over"):
        first["images"]["close"]
    env.close()


def test_a_rollout_that_keeps_no_pictures_draws_what_is_looked_at(monkeypatch):
    drawn = []
    view = MetaWorldEnv._view
    monkeypatch.setattr(MetaWorldEnv, "_view", lambda self, n: drawn.append(n) or view(self, n))
    config = EnvConfig("metaworld/reach", size=16, quality="fast")

    class Seldom(Policy):
        def __init__(self, spec):
            self.steps = 0

        def act(self, observation):
            self.steps += 1
            return np.full(4, observation.images["front"].mean() / 255 if self.steps == 2 else 0)

    found = []
    for images in (True, False):
        drawn.clear()
        found.append(next(run_episodes(config, Seldom, [3], max_steps=4, images=images)))
        looks = [name for name in drawn if name == "gripper"]
        assert len(looks) == (5 if images else 1)
    assert np.array_equal(found[0].action, found[1].action)
