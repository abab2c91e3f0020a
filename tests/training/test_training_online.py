"""Acting, remembering and learning on the real simulator, with small networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bodies import spec_of_task
from foresight import load_encoder
from foresight.core.errors import ForesightError
from foresight.core.metrics import read_metrics
from foresight.core.observation import Observation
from foresight.envs.dmc.environment import make
from foresight.envs.render import RenderSettings
from foresight.policies.mpc import (
    ImagineConfig,
    Imaginer,
    MPCFactory,
    MPCPolicy,
)
from foresight.rollout.arena import LAPSE, Arena, Led, Teacher, Wander
from foresight.training.learner_config import LearnerConfig
from foresight.training.online import STATE, ImproveConfig, Improvement, improve
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.observation import ObservationEncoder
from foresight.worldmodel.state import stack_history

SEARCH = ImagineConfig(samples=12, elites=4, iterations=2, prior_samples=4)
CONFIG = ImproveConfig(
    task="point_mass-easy",
    steps=5 * 2 * 16,
    start=2,
    teacher="expert",
    demonstrations=2,
    senses=True,
    lessons=3,
    length=16,
    parallel=2,
    updates=0.2,
    settle=3,
    latent=32,
    hidden=32,
    members=2,
    axes=4,
    learn=LearnerConfig(batch=4),
    search=SEARCH,
    save_every=2,
)


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learned")
    return improve(CONFIG, folder), folder


def test_it_learns_for_as_many_steps_as_it_was_given(learned):
    model, folder = learned
    log = read_metrics(folder / "metrics.jsonl")
    assert [line["steps"] for line in log] == [32, 64, 96, 128, 160]
    assert all(np.isfinite(line["prediction"]) for line in log[1:])  # after the start
    files = sorted((folder / "rounds").iterdir())
    assert len(files) == 5
    part = load_file(files[-1])
    assert part["features"].shape == (2, 9, 2 * 64 * 4) and part["actions"].shape == (2, 8, 2)
    assert float(part["actions"].abs().max()) <= 1
    past, now = part["features"].float().chunk(2, dim=-1)
    torch.testing.assert_close(past[:, 1:], now[:, :-1])
    torch.testing.assert_close(past[:, 0], now[:, 0])
    answers = [bool(load_file(file)["taught"].isfinite().all()) for file in files]
    assert answers == [False, True, False, False, False]  # random, led, and then on its own
    again = WorldModel.load(folder)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value)


def test_the_log_tells_what_each_stage_took(learned):
    _, folder = learned
    log = read_metrics(folder / "metrics.jsonl")
    acting = ("simulate", "encode", "act", "teacher")
    parts = {f"collect/{name}" for name in acting} | {"learn/study", "learn/update"}
    *log, last = log
    assert last["seconds/learn/settle"] > 0 and np.isfinite(last["finetune/prediction"])
    for line in log[1:]:  # the first round only acts
        names = {name.partition("/")[2] for name in line if name.startswith("seconds/")}
        assert names == {"collect", "learn"} | parts
        for whole in ("collect", "learn"):
            inside = [line[f"seconds/{name}"] for name in parts if name.startswith(whole)]
            assert 0 < sum(inside) <= line[f"seconds/{whole}"]
        assert all(0.01 < line[f"peak-gib/{name}"] < 64 for name in names)


def test_a_killed_run_goes_on_and_ends_like_a_whole_one(learned, tmp_path, monkeypatch):
    _, whole = learned
    real = Improvement._report

    def report(self, *values):
        real(self, *values)
        if self.rounds == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Improvement, "_report", report)
        with pytest.raises(KeyboardInterrupt):
            improve(CONFIG, tmp_path)
    killed = read_metrics(tmp_path / "metrics.jsonl")
    assert len(killed) == 3
    improve(CONFIG, tmp_path)
    log = read_metrics(tmp_path / "metrics.jsonl")
    assert [line["steps"] for line in log] == [32, 64, 96, 128, 160]
    times = [line["seconds/learn"] for line in log]
    assert times == sorted(times)  # all processes together, and so the round that was done twice
    assert times[2] > killed[-1]["seconds/learn"]
    # The first two rounds were saved: what they learned from is the same to the last bit.
    for name in ("00000", "00001"):
        one, two = (load_file(f / "rounds" / f"{name}.safetensors") for f in (whole, tmp_path))
        torch.testing.assert_close(one, two, rtol=0, atol=0, equal_nan=True)
    with pytest.raises(ForesightError):
        improve(replace(CONFIG, discount=0.9), tmp_path)
    assert (tmp_path / STATE).exists()


def test_the_agent_decides_every_second_step_and_holds_in_between(learned):
    _, folder = learned
    agent = MPCFactory(str(folder), SEARCH)(spec_of_task("point_mass-easy"))
    env = make("point_mass-easy", render=RenderSettings(size=64, quality="smooth"))
    runs = []
    for _ in range(2):  # the second time it starts afresh
        observation, _ = env.reset(seed=5)
        agent.reset(Observation.of(observation), 3)
        actions = []
        for _ in range(6):
            actions.append(agent.act(Observation.of(observation)))
            assert env.action_space.contains(actions[-1])
            observation = env.step(actions[-1])[0]
        np.testing.assert_array_equal(actions[0], actions[1])
        assert not np.array_equal(actions[1], actions[2])
        runs.append(np.stack(actions))
    np.testing.assert_array_equal(*runs)
    env.close()


def test_one_scene_is_planned_for_as_in_the_arena(learned):
    model, _ = learned
    encoder = load_encoder("foresight-small")
    with Arena("point_mass-easy", "seed200", 2, 1, length=8) as arena:
        gaze = ObservationEncoder(encoder, model.state)
        agent = MPCPolicy(model.eval(), encoder, SEARCH)
        agent.planner.reset(1)
        rolled = arena.roll([11], gaze, agent.planner.act)
    env = make("point_mass-easy", render=RenderSettings(size=64, quality="smooth"))
    observation, _ = env.reset(seed=11)
    agent.reset(Observation.of(observation), 1)
    rewards = []
    for step in range(8):
        action = agent.act(Observation.of(observation))
        if step % 2 == 0:
            np.testing.assert_allclose(action, rolled.actions[0, step // 2], atol=1e-5)
        observation, reward, *_ = env.step(action)
        rewards.append(reward)
    env.close()
    np.testing.assert_allclose(sum(rewards), float(rolled.rewards.sum()), atol=1e-6)


def test_a_plan_stays_with_the_proposal_as_far_as_it_is_trusted(learned):
    model, _ = learned
    random = torch.Generator().manual_seed(2)
    now, before = torch.randn(4, model.features, generator=random).chunk(2, dim=-1)
    features = torch.cat([before, now], dim=-1)
    with torch.no_grad():
        proposed = torch.tanh(model.eval().prior(model.encode(features))[0])

    def strays(trust):
        search = replace(SEARCH, samples=64, iterations=6, prior_samples=0, trust=trust)
        return float((Imaginer(model, search).act(features) - proposed).abs().mean())

    assert strays(1e4) < 0.3 * strays(0.0)
    proposing = replace(SEARCH, trust=1e6)
    torch.testing.assert_close(
        Imaginer(model, proposing).act(features), proposed, atol=0.05, rtol=0.05
    )


def test_random_decisions_last_and_keep_their_spread():
    wander = Wander(3, memory=0.9, seed=1)
    walk = torch.stack([wander(torch.zeros(200, 1)) for _ in range(50)])
    assert float(walk.abs().max()) <= 1
    inner = walk[20:]
    moved = inner.diff(dim=0).square().mean() / inner.var()
    assert float(moved) < 0.4  # independent draws would give 2


def test_episodes_that_are_looked_at_later_are_the_same():
    encoder, seeds = load_encoder("foresight-small"), [4, 5]

    def leads(teacher):
        return Led(teacher, Wander(2, seed=3), seed=1)

    with Arena("point_mass-easy", "seed200", 2, 2, length=12) as arena:
        teacher = Teacher("expert", "point_mass-easy", 2)
        rolled = arena.roll(seeds, ObservationEncoder(encoder), leads(teacher), teacher)
        gaze = ObservationEncoder(encoder)
        gaze.see(np.full((2, 64, 64, 3), 9, np.uint8))  # of another episode
        recorded = arena.record(seeds, leads(teacher), teacher)
    later = recorded.seen(gaze)
    assert recorded.frames.shape == (7, 2, 64, 64, 3)
    for name, value in vars(rolled).items():
        assert torch.equal(value, getattr(later, name)), name


def test_a_teacher_leads_and_is_asked_wherever_one_goes():
    encoder = load_encoder("foresight-small")
    with Arena("point_mass-easy", "seed200", 2, 3, length=60) as arena:
        teacher = Teacher("expert", "point_mass-easy", 3)
        led = Led(teacher, Wander(2), seed=1)
        seeds = [21, 22, 23]
        rolled = arena.roll(seeds, ObservationEncoder(encoder), led, teacher)
        clean = led.strength[:, 0] == 0
        assert 0 < int(clean.sum()) < 3
        torch.testing.assert_close(rolled.actions[clean], rolled.taught[clean])
        assert not torch.equal(rolled.actions[~clean], rolled.taught[~clean])
        lost = arena.roll(seeds, ObservationEncoder(encoder), Wander(2), teacher)
    assert rolled.rewards.sum() > lost.rewards.sum()
    # The answer depends on the state alone: the expert pushes towards the target.
    position, push = lost.senses[:, :-1, :2], lost.taught
    assert float((position * push).sum(-1).mean()) < 0
    assert rolled.senses.shape == (3, 31, 4)


def test_a_teacher_that_lapses_lets_the_noise_decide_for_a_while():
    class Still:
        """A teacher that would do nothing, in 400 scenes."""

        behaviours = (None,) * 400
        latest = torch.zeros(400, 1)

    def taken(lapse):
        led = Led(Still(), Wander(1, seed=3), seed=1, lapse=lapse)
        clean = led.strength[:, 0] == 0
        return torch.stack([led(torch.zeros(400, 1)) for _ in range(300)])[..., 0][:, clean]

    assert float(taken(0).abs().max()) == 0
    away = taken(60) != 0
    # After 60 decisions on the mean comes a lapse of 1 to LAPSE.
    mean = (1 + LAPSE) / 2
    assert float(away[100:].float().mean()) == pytest.approx(mean / (mean + 60), rel=0.1)
    lengths = [len(run) for one in away.T for run in "".join(str(int(x)) for x in one).split("0")]
    assert LAPSE - 5 <= max(lengths) <= LAPSE * 2  # two may follow each other at once


def test_the_past_is_stacked_as_it_is_seen():
    numbers = torch.randn(2, 5, 3)
    stacked = stack_history(numbers, 3)
    assert stacked.shape == (2, 5, 9)
    torch.testing.assert_close(stacked[:, 4], torch.cat([numbers[:, t] for t in (2, 3, 4)], -1))
    torch.testing.assert_close(stacked[:, 1], torch.cat([numbers[:, t] for t in (0, 0, 1)], -1))


def test_settings_without_sense_are_refused(tmp_path):
    with pytest.raises(ForesightError, match="need a teacher"):
        improve(replace(CONFIG, teacher=None), tmp_path / "nobody")
    with pytest.raises(ForesightError, match="Learning for 0 steps"):
        improve(replace(CONFIG, steps=0), tmp_path)
    with pytest.raises(ForesightError, match="Planning with 3 dynamics"):
        improve(replace(CONFIG, search=replace(SEARCH, members=3)), tmp_path / "other")


def test_a_model_of_other_eyes_is_refused(learned):
    model, _ = learned
    with pytest.raises(ForesightError, match="trained on encoder foresight-small"):
        MPCPolicy(model, load_encoder("random-small"), SEARCH)
